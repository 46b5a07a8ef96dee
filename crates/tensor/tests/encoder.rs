//! Encoders: the golden embeddings, whatever the kernels, threads and company; the graph against the same in double
//! precision; what is imported and what is refused.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use tilth_tensor::blob::{Blob, Pooling};
use tilth_tensor::encoder::{Encoder, FRACTION, to_f32};
use tilth_tensor::import::{Family, synthetic, synthetic_encoder};
use tilth_tensor::int1::activation::gelu;
use tilth_tensor::int1::direction::direction;
use tilth_tensor::int1::layer_norm::{LayerNorm, layer_normalise};
use tilth_tensor::int1::norm::Gains;
use tilth_tensor::int1::random::philox;
use tilth_tensor::kernels::{Kernels, scalar};
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::Model;
use tilth_tensor::tokenizer::{Tokenizer, Vocabulary};
use tilth_tensor::workers::Workers;

fn blob(pooling: Pooling, seed: u64) -> Blob {
    Blob::open(Arc::new(synthetic_encoder(pooling, seed).unwrap())).unwrap()
}

fn machine(kernels: Kernels, threads: usize) -> Machine {
    Machine { kernels, workers: Workers::new(threads).unwrap() }
}

/// The `i`-th random word of a stream, of a size that varies.
fn word(stream: u32, i: u32) -> i32 {
    let [a, b, ..] = philox([i, 0, 0, 0], [stream, 0]);
    a.cast_signed().max(-i32::MAX) >> (b % 31)
}

fn words(stream: u32, count: u32) -> Vec<i32> {
    (0..count).map(|i| word(stream, i)).collect()
}

/// `count` tokens of the small model.
fn tokens(count: usize, step: usize) -> Vec<u32> {
    (0..count).map(|i| (i * step % 86) as u32).collect()
}

fn functions(text: &mut String) {
    for i in 0..64 {
        let x = word(200, i);
        writeln!(text, "gelu {x} {}", gelu(x)).unwrap();
    }
    for stream in 210..216 {
        let x = words(stream, 24);
        let norm = LayerNorm {
            gains: Gains {
                mantissas: words(stream + 10, 24).iter().map(|x| x >> 8).collect(),
                fraction: 20,
                epsilon: 593_736_296,
            },
            biases: words(stream + 20, 24).iter().map(|x| x >> 12).collect(),
            fraction: 16,
        };
        let mut into = vec![0; 24];
        layer_normalise(&x, &norm, &mut into);
        let (gains, biases) = (&norm.gains.mantissas, &norm.biases);
        writeln!(text, "layer_normalise {x:?} {gains:?} {biases:?} {into:?}").unwrap();
        let sums: Vec<i64> = x.iter().map(|x| i64::from(*x) << (stream - 205)).collect();
        direction(&sums, &mut into);
        writeln!(text, "direction {sums:?} {into:?}").unwrap();
    }
}

/// What the machine gives for texts of several lengths, one by one or together.
fn embeddings(text: &mut String, machine: &Machine, together: bool) {
    for pooling in [Pooling::Mean, Pooling::First] {
        let blob = blob(pooling, 7);
        writeln!(text, "blob {pooling:?} {}", blob.id()).unwrap();
        let encoder = Encoder::open(&blob).unwrap();
        let inputs: Vec<Vec<u32>> =
            [(1, 1), (5, 7), (32, 13), (33, 5), (75, 11)].map(|(n, step)| tokens(n, step)).into();
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let all = if together {
            encoder.embed(&inputs, machine).unwrap()
        } else {
            let one = |input: &&[u32]| encoder.embed(&[*input], machine).unwrap().remove(0);
            inputs.iter().map(one).collect()
        };
        for (input, embedding) in inputs.iter().zip(all) {
            writeln!(text, "embed {pooling:?} {} {embedding:?}", input.len()).unwrap();
        }
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/int1/encoder.txt")
}

/// The same embeddings for ever, on every kernel that this machine has: whoever changes these changes the protocol.
#[test]
fn golden() {
    let golden = std::fs::read_to_string(path()).unwrap();
    for kernels in Kernels::available() {
        for (threads, together) in [(1, true), (1, false), (3, true)] {
            let mut text = String::new();
            functions(&mut text);
            embeddings(&mut text, &machine(kernels, threads), together);
            for (ours, golden) in text.lines().zip(golden.lines()) {
                assert_eq!(ours, golden, "{} on {threads}", kernels.name);
            }
            assert_eq!(text.len(), golden.len());
        }
    }
}

#[test]
#[ignore = "writes vectors/int1/encoder.txt; by hand: cargo nextest run -p tilth-tensor --run-ignored only -E 'test(write_encoder)'"]
fn write_encoder() {
    let mut text = String::new();
    functions(&mut text);
    embeddings(&mut text, &machine(scalar::KERNELS, 1), false);
    std::fs::write(path(), text).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn company_does_not_show(
        texts in prop::collection::vec(prop::collection::vec(0u32..86, 1..75), 1..20),
        threads in 1usize..4,
        seed in 0u64..3,
    ) {
        let encoder = Encoder::open(&blob(Pooling::Mean, seed)).unwrap();
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let alone = machine(scalar::KERNELS, 1);
        let together = encoder.embed(&texts, &machine(Kernels::detect(), threads)).unwrap();
        prop_assert_eq!(together.len(), texts.len());
        for (text, embedding) in texts.iter().zip(&together) {
            prop_assert_eq!(&encoder.embed(&[*text], &alone).unwrap()[0], embedding);
            let length: f64 = to_f32(embedding).iter().map(|x| f64::from(*x).powi(2)).sum();
            prop_assert!((length - 1.0).abs() < 1e-5, "{}", length);
        }
    }
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let blob = blob(Pooling::Mean, 7);
    let encoder = Encoder::open(&blob).unwrap();
    assert_eq!((encoder.dimension(), encoder.context()), (72, 75));
    let machine = Machine::new(1).unwrap();
    let detail = |text: &[u32]| encoder.embed(&[&[1], text], &machine).unwrap_err().detail;
    assert!(detail(&[]).contains("no tokens"));
    assert!(detail(&[1; 76]).contains("76 tokens, at most 75"));
    assert!(detail(&[86]).contains("token 86 of 86"));
    assert!(encoder.embed(&[], &machine).unwrap().is_empty());
    // Neither is taken for the other.
    assert!(Model::open(&blob).unwrap_err().detail.contains("encoder"));
    let decoder = Blob::open(Arc::new(synthetic(Family::Llama, 7).unwrap())).unwrap();
    assert!(Encoder::open(&decoder).unwrap_err().detail.contains("decoder"));
}

#[test]
fn words_become_pieces() {
    let vocabulary = Vocabulary::open(&blob(Pooling::Mean, 7)).unwrap();
    let tokenizer = Tokenizer::new(&vocabulary).unwrap();
    let text = |text: &str| -> Vec<&str> {
        let tokens = tokenizer.encode_input(text).unwrap();
        tokens.iter().map(|token| vocabulary.tokens[*token as usize].as_str()).collect()
    };
    assert_eq!(text("The FÄRMERS!"), ["[CLS]", "the", "farm", "##er", "##s", "!", "[SEP]"]);
    assert_eq!(text("a-b the漢"), ["[CLS]", "a", "-", "b", "the", "[UNK]", "[SEP]"]);
    assert_eq!(text(""), ["[CLS]", "[SEP]"]);
    assert_eq!(text(" \u{0}\u{200b}\n"), ["[CLS]", "[SEP]"]);
    assert_eq!(text("farm€ farming"), ["[CLS]", "[UNK]", "farm", "##ing", "[SEP]"]);
    assert_eq!(text(&"a".repeat(101)), ["[CLS]", "[UNK]", "[SEP]"]);
    assert_eq!(text(&"a".repeat(100)).len(), 102);
    // What a user writes is no special token; what a template writes may be.
    assert!(!tokenizer.encode("[SEP]").unwrap().contains(&3));
    assert_eq!(tokenizer.encode_template("the[SEP]").unwrap().last(), Some(&3));
    assert_eq!(
        tokenizer.decode(&tokenizer.encode_input("The Farmers, a").unwrap()),
        "the farmers , a"
    );
}

/// The graph in double precision, over the weights of a blob.
struct Reference(Blob);

impl Reference {
    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Vec<Vec<f64>> {
        let matrix = self.0.matrix(name, rows, columns).unwrap();
        let row = |row| {
            let mut words = vec![0; columns];
            matrix.row(row, 28, &mut words);
            words.iter().map(|word| f64::from(*word) * 2f64.powi(-28)).collect()
        };
        (0..rows).map(row).collect()
    }

    fn vector(&self, name: &str, length: usize) -> Vec<f64> {
        let (words, fraction) = self.0.vector(name, length).unwrap();
        words.iter().map(|word| f64::from(*word) * 2f64.powi(-fraction)).collect()
    }

    fn dense(&self, name: &str, rows: usize, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let weights = self.matrix(name, rows, x[0].len());
        let biases = self.vector(&format!("{name}_bias"), rows);
        let dot = |row: &[f64], x: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let one = |x: &Vec<f64>| {
            weights.iter().zip(&biases).map(|(row, bias)| dot(row, x) + bias).collect()
        };
        x.iter().map(one).collect()
    }

    fn normal(&self, name: &str, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let gains = self.vector(name, x[0].len());
        let biases = self.vector(&format!("{name}_bias"), x[0].len());
        let one = |x: &Vec<f64>| {
            let n = x.len() as f64;
            let mean = x.iter().sum::<f64>() / n;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let weights = gains.iter().zip(&biases);
            x.iter()
                .zip(weights)
                .map(|(x, (gain, bias))| (x - mean) / (variance + 1e-12).sqrt() * gain + bias)
                .collect()
        };
        x.iter().map(one).collect()
    }

    fn embed(&self, tokens: &[u32], pooling: Pooling) -> Vec<f64> {
        let a = &self.0.header().architecture;
        let embedding = self.matrix("embedding", a.vocabulary, a.width);
        let positions = self.matrix("positions", a.context, a.width);
        let sum =
            |x: &[f64], y: &[f64]| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| x + y).collect() };
        let join = |x: &[Vec<f64>], y: &[Vec<f64>]| -> Vec<Vec<f64>> {
            x.iter().zip(y).map(|(x, y)| sum(x, y)).collect()
        };
        let rows: Vec<Vec<f64>> = tokens
            .iter()
            .zip(&positions)
            .map(|(token, position)| sum(&embedding[*token as usize], position))
            .collect();
        let mut x = self.normal("norm", &rows);
        for layer in 0..a.layers.len() {
            let name = |part: &str| format!("layer.{layer}.{part}");
            let qkv = self.dense(&name("qkv"), 3 * a.width, &x);
            let attended: Vec<Vec<f64>> =
                qkv.iter().map(|row| attend(row, &qkv, a.heads)).collect();
            let out = self.dense(&name("out"), a.width, &attended);
            x = self.normal(&name("attention_norm"), &join(&x, &out));
            let mut up = self.dense(&name("up"), a.hidden, &x);
            up.iter_mut().flatten().for_each(|x| *x *= normal_share(*x));
            let down = self.dense(&name("down"), a.width, &up);
            x = self.normal(&name("hidden_norm"), &join(&x, &down));
        }
        let rows = if pooling == Pooling::First { &x[..1] } else { &x };
        let mut total = vec![0.0; a.width];
        rows.iter().for_each(|row| total = sum(&total, row));
        let length = total.iter().map(|x| x * x).sum::<f64>().sqrt();
        total.iter().map(|x| x / length).collect()
    }
}

/// One row's attended values, over all rows.
fn attend(row: &[f64], all: &[Vec<f64>], heads: usize) -> Vec<f64> {
    let width = row.len() / 3;
    let head = width / heads;
    let part = |row: &[f64], kind: usize, h: usize| row[kind * width + h * head..][..head].to_vec();
    (0..heads)
        .flat_map(|h| {
            let query = part(row, 0, h);
            let score = |other: &Vec<f64>| {
                let key = part(other, 1, h);
                query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (head as f64).sqrt()
            };
            let scores: Vec<f64> = all.iter().map(score).collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let shares: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
            let total: f64 = shares.iter().sum();
            let mut sum = vec![0.0; head];
            for (share, other) in shares.iter().zip(all) {
                let value = part(other, 2, h);
                sum.iter_mut().zip(value).for_each(|(s, v)| *s += share / total * v);
            }
            sum
        })
        .collect()
}

/// The normal distribution function, by a series of terms of one sign.
fn normal_share(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let z = x / 2f64.sqrt();
    let (mut term, mut sum) = (z, z);
    for n in 1..300 {
        term *= 2.0 * z * z / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + (-z * z).exp() * sum / std::f64::consts::PI.sqrt()
}

#[test]
fn the_graph_is_the_reference_s() {
    for (pooling, seed) in [(Pooling::Mean, 3), (Pooling::First, 4)] {
        let reference = Reference(blob(pooling, seed));
        let encoder = Encoder::open(&reference.0).unwrap();
        let machine = Machine::new(1).unwrap();
        for (count, step) in [(1, 1), (2, 9), (40, 7), (75, 31)] {
            let tokens = tokens(count, step);
            let exact = reference.embed(&tokens, pooling);
            let ours = &encoder.embed(&[&tokens], &machine).unwrap()[0];
            let unit = 2f64.powi(-FRACTION);
            let cosine: f64 = ours.iter().zip(&exact).map(|(x, y)| f64::from(*x) * unit * y).sum();
            assert!(cosine > 0.999_99, "{pooling:?} {count}: {cosine}");
        }
    }
}
