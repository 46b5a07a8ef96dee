//! Imports and runs a model by hand, and measures: what `cargo xtask bench infer` calls.
//!
//! ```text
//! infer import MODEL.gguf BLOB [SCALE_BITS]
//! infer chat BLOB TEXT [TOKENS] [THREADS]
//! infer speed BLOB THREADS
//! infer perplexity BLOB TEXT_FILE TOKENS THREADS
//! infer tokenise BLOB < TEXT
//! infer tokens BLOB TEXT_FILE COUNT
//! infer answer BLOB "TOKEN TOKEN ..." MOST
//! infer embed BLOB TEXT [OTHER_TEXT]
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use tilth_tensor::blob::Blob;
use tilth_tensor::cache::{Cache, Table};
use tilth_tensor::chat::{Message, Template};
use tilth_tensor::encoder::{Encoder, to_f32};
use tilth_tensor::engine::{Engine, Limits, Request};
use tilth_tensor::import::{self, Quantiser};
use tilth_tensor::int1::sampling::{LogProbabilities, Sampling};
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::{Model, Row};
use tilth_tensor::tokenizer::{Stream, Tokenizer, Vocabulary};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Positions of a window over which perplexity is taken.
const WINDOW: usize = 512;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["import", from, to] => import_file(from, to, Quantiser::default()),
        ["import", from, to, bits] => {
            import_file(from, to, Quantiser { scale_bits: bits.parse()? })
        }
        ["chat", blob, text, ref rest @ ..] => {
            let number =
                |i: usize, otherwise| rest.get(i).map_or(Ok(otherwise), |text| text.parse());
            chat(blob, text, number(0, 60)?, number(1, 1)?)
        }
        ["speed", blob, threads] => speed(blob, threads.parse()?),
        ["perplexity", blob, text, tokens, threads] => {
            perplexity(blob, text, tokens.parse()?, threads.parse()?)
        }
        ["tokenise", blob] => tokenise(blob),
        ["tokens", blob, text, count] => tokens(blob, text, count.parse()?),
        ["answer", blob, prompt, most] => {
            let prompt: Result<Vec<u32>, _> = prompt.split_whitespace().map(str::parse).collect();
            let words: Vec<String> = answer(&open(blob)?.0.into(), prompt?, most.parse()?)?
                .iter()
                .map(u32::to_string)
                .collect();
            println!("{}", words.join(" "));
            Ok(())
        }
        ["embed", blob, ref texts @ ..] => embed(blob, texts),
        _ => Err("infer import|chat|speed|perplexity|tokenise|tokens|answer|embed ...".into()),
    }
}

fn import_file(from: &str, to: &str, quantiser: Quantiser) -> Outcome {
    let file = fs::read(from)?;
    let (id, size) = import::gguf(&file, quantiser, BufWriter::new(File::create(to)?))?;
    println!("{id} {size}");
    Ok(())
}

fn open(blob: &str) -> Outcome<(Model, Tokenizer, Vocabulary)> {
    let blob = Blob::open(Arc::new(fs::read(blob)?))?;
    let vocabulary = Vocabulary::open(&blob)?;
    Ok((Model::open(&blob)?, Tokenizer::new(&vocabulary)?, vocabulary))
}

fn chat(blob: &str, text: &str, most: usize, threads: usize) -> Outcome {
    let (model, tokenizer, vocabulary) = open(blob)?;
    let messages = [Message { role: "user".into(), content: text.into() }];
    let prompt = Template::new(&vocabulary)?.tokens(&messages, true, &tokenizer)?;
    let limits =
        Limits { pages: (prompt.len() + most).div_ceil(32), rows: 64, running: 1, waiting: 1 };
    let mut engine = Engine::new(Arc::new(model), Arc::new(Machine::new(threads)?), limits)?;
    let stops = tokenizer.ends().to_vec();
    engine.submit(Request {
        id: 0,
        prompt,
        most,
        sampling: Sampling::GREEDY,
        stops,
        alternatives: None,
    })?;
    let (mut tokens, mut text, mut stream) = (vec![], String::new(), Stream::default());
    while !engine.is_idle() {
        for event in engine.step()? {
            tokens.push(event.token);
            if !tokenizer.is_special(event.token) {
                stream.push(tokenizer.token(event.token), &mut text);
            }
            print!("{}", std::mem::take(&mut text));
            std::io::stdout().flush()?;
        }
    }
    stream.end(&mut text);
    print!("{text}");
    println!("\n{tokens:?}");
    Ok(())
}

/// Processor seconds of this process.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn speed(blob: &str, threads: usize) -> Outcome {
    let (model, tokenizer, _) = open(blob)?;
    let (model, machine) = (Arc::new(model), Arc::new(Machine::new(threads)?));
    let text = "The farm grew wheat and barley, and in a good year there was enough for the whole valley. ".repeat(40);
    let all = tokenizer.encode(&text)?;
    println!("kernels {}", machine.kernels.name);
    for (what, prompt, most, streams) in [
        ("prefill", 512, 1, 1),
        ("decode", 1, 64, 1),
        ("decode after 512", 512, 64, 1),
        ("batch of 8", 1, 32, 8),
    ] {
        let limits = Limits { pages: 20 * streams, rows: 512, running: streams, waiting: streams };
        let mut engine = Engine::new(model.clone(), machine.clone(), limits)?;
        for id in 0..streams as u64 {
            let tokens = all[..prompt].to_vec();
            engine.submit(Request {
                id,
                prompt: tokens,
                most,
                sampling: Sampling::GREEDY,
                stops: vec![],
                alternatives: None,
            })?;
        }
        let mut count = prompt * streams;
        if most > 1 {
            engine.step()?;
            count = (most - 1) * streams;
        }
        let (wall, used) = (Instant::now(), cpu());
        while !engine.is_idle() {
            engine.step()?;
        }
        let (wall, used) = (wall.elapsed().as_secs_f64(), cpu() - used);
        println!(
            "{what}: {:.1} tokens/s wall, {:.1} tokens per CPU second",
            count as f64 / wall,
            count as f64 / used
        );
    }
    Ok(())
}

/// Mean negative log-likelihood of each token after the first in windows of a text.
fn perplexity(blob: &str, text: &str, tokens: usize, threads: usize) -> Outcome {
    let (model, tokenizer, _) = open(blob)?;
    let machine = Machine::new(threads)?;
    let all: Vec<u32> =
        tokenizer.encode(&fs::read_to_string(text)?)?.into_iter().take(tokens).collect();
    let (mut sum, mut count) = (0i64, 0u32);
    let mut cache = Cache::new(model.cache_shape(), WINDOW / 32)?;
    for window in all.chunks(WINDOW) {
        let mut table = Table::default();
        cache.grow(&mut table, window.len());
        let rows: Vec<Row> = (0u32..)
            .zip(window)
            .map(|(position, token)| Row { sequence: 0, position, token: *token, logits: true })
            .collect();
        let logits = model.forward(&rows, &[&table], &mut cache, &machine)?;
        cache.release(&mut table);
        for (logits, next) in logits.iter().zip(&window[1..]) {
            sum += i64::from(LogProbabilities::new(logits).of(*next));
            count += 1;
        }
    }
    let mean = -(sum as f64) / 65_536.0 / f64::from(count);
    println!("{count} tokens, perplexity {:.4}", mean.exp());
    Ok(())
}

/// The first tokens of plain text, as [`perplexity`] takes them.
fn tokens(blob: &str, text: &str, count: usize) -> Outcome {
    let (_, tokenizer, _) = open(blob)?;
    for token in tokenizer.encode(&fs::read_to_string(text)?)?.into_iter().take(count) {
        println!("{token}");
    }
    Ok(())
}

/// The likeliest tokens after others, on one thread.
fn answer(model: &Arc<Model>, prompt: Vec<u32>, most: usize) -> Outcome<Vec<u32>> {
    let limits =
        Limits { pages: Cache::needed(prompt.len() + most), rows: 64, running: 1, waiting: 1 };
    let mut engine = Engine::new(model.clone(), Arc::new(Machine::new(1)?), limits)?;
    engine.submit(Request {
        id: 0,
        prompt,
        most,
        sampling: Sampling::GREEDY,
        stops: vec![],
        alternatives: None,
    })?;
    let mut tokens = vec![];
    while !engine.is_idle() {
        tokens.extend(engine.step()?.into_iter().map(|event| event.token));
    }
    Ok(tokens)
}

/// The embedding of a text, or the cosine of two texts.
fn embed(blob: &str, texts: &[&str]) -> Outcome {
    let blob = Blob::open(Arc::new(fs::read(blob)?))?;
    let tokenizer = Tokenizer::new(&Vocabulary::open(&blob)?)?;
    let encoder = Encoder::open(&blob)?;
    let tokens: Vec<Vec<u32>> =
        texts.iter().map(|text| tokenizer.encode_input(text)).collect::<Result<_, _>>()?;
    let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    let embeddings = encoder.embed(&tokens, &Machine::new(1)?)?;
    match &embeddings[..] {
        [one] => println!("{:?}", to_f32(one)),
        [one, other] => {
            let cosine: f32 = to_f32(one).iter().zip(to_f32(other)).map(|(a, b)| a * b).sum();
            println!("{cosine:.4}");
        }
        _ => return Err("infer embed BLOB TEXT [OTHER_TEXT]".into()),
    }
    Ok(())
}

fn tokenise(blob: &str) -> Outcome {
    let (_, tokenizer, _) = open(blob)?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    for token in tokenizer.encode_template(&text)? {
        println!("{token}");
    }
    Ok(())
}
