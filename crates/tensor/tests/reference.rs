//! The graph, family by family, against the same graph in double precision over the same weights: what
//! differs is the rounding of activations alone.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::sync::Arc;

use tilth_tensor::blob::{Architecture, Blob};
use tilth_tensor::cache::{Cache, Table};
use tilth_tensor::import::{Family, synthetic};
use tilth_tensor::int1::activation::Gate;
use tilth_tensor::int1::rotation::Pairing;
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::{Model, Row};

struct Reference {
    blob: Blob,
    a: Architecture,
}

impl Reference {
    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Vec<Vec<f64>> {
        let matrix = self.blob.matrix(name, rows, columns).unwrap();
        let row = |row| {
            let mut words = vec![0; columns];
            matrix.row(row, 28, &mut words);
            words.iter().map(|word| f64::from(*word) * 2f64.powi(-28)).collect()
        };
        (0..rows).map(row).collect()
    }

    fn vector(&self, name: &str, length: usize) -> Vec<f64> {
        let (words, fraction) = self.blob.vector(name, length).unwrap();
        words.iter().map(|word| f64::from(*word) * 2f64.powi(-fraction)).collect()
    }

    fn normal(&self, x: &[f64], name: &str) -> Vec<f64> {
        let gains = self.vector(name, x.len());
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        x.iter().zip(gains).map(|(x, gain)| x / (mean + 1e-5).sqrt() * gain).collect()
    }

    fn rotate(&self, head: &mut [f64], position: usize, layer: usize) {
        let base: f64 = 10_000.0;
        let pairs = self.a.turns[self.a.layers[layer].turns].len();
        for i in 0..pairs {
            let angle = position as f64 * base.powf(-(i as f64) / pairs as f64);
            let (a, b) = match self.a.pairing {
                Pairing::Neighbours => (2 * i, 2 * i + 1),
                Pairing::Halves => (i, i + pairs),
            };
            let (x, y) = (head[a], head[b]);
            head[a] = x * angle.cos() - y * angle.sin();
            head[b] = x * angle.sin() + y * angle.cos();
        }
    }

    fn gate(&self, x: f64) -> f64 {
        match self.a.gate {
            Gate::Silu => x / (1.0 + (-x).exp()),
            Gate::Gelu => unreachable!("of encoders, which have a reference of their own"),
            Gate::GeluTanh => {
                0.5 * x
                    * (1.0
                        + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3)))
                            .tanh())
            }
        }
    }

    /// Queries (with their keys' head), keys and values of one row.
    fn qkv(&self, x: &[f64], position: usize, layer: usize) -> Vec<Vec<f64>> {
        let a = &self.a;
        let name = |part: &str| format!("layer.{layer}.{part}");
        let width = a.head_width;
        let all = (a.heads + 2 * a.key_heads) * width;
        let mut flat = times(
            &self.matrix(&name("qkv"), all, a.width),
            &self.normal(x, &name("attention_norm")),
        );
        if self.blob.has(&name("qkv_bias")) {
            flat.iter_mut()
                .zip(self.vector(&name("qkv_bias"), all))
                .for_each(|(x, bias)| *x += bias);
        }
        let mut heads: Vec<Vec<f64>> = flat.chunks(width).map(<[f64]>::to_vec).collect();
        for (i, head) in heads.iter_mut().enumerate().take(a.heads + a.key_heads) {
            let part = if i < a.heads { "query_norm" } else { "key_norm" };
            if self.blob.has(&name(part)) {
                *head = self.normal(head, &name(part));
            }
            self.rotate(head, position, layer);
        }
        heads
    }

    /// The logits after every token.
    fn logits(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let a = &self.a;
        let embedding = self.matrix("embedding", a.vocabulary, a.width);
        let factor =
            a.embedding_factor.map_or(1.0, |f| f64::from(f.mantissa) * 2f64.powi(-f.fraction));
        let mut stream: Vec<Vec<f64>> = tokens
            .iter()
            .map(|t| embedding[*t as usize].iter().map(|x| x * factor).collect())
            .collect();
        for layer in 0..a.layers.len() {
            let name = |part: &str| format!("layer.{layer}.{part}");
            let heads: Vec<Vec<Vec<f64>>> = stream
                .iter()
                .enumerate()
                .map(|(position, x)| self.qkv(x, position, layer))
                .collect();
            let out = self.matrix(&name("out"), a.width, a.heads * a.head_width);
            let gate_up = self.matrix(&name("gate_up"), 2 * a.hidden, a.width);
            let down = self.matrix(&name("down"), a.width, a.hidden);
            for (position, x) in stream.iter_mut().enumerate() {
                let attended: Vec<f64> = (0..a.heads)
                    .flat_map(|head| attend(a, &heads, position, head, a.layers[layer].window))
                    .collect();
                self.join(x, times(&out, &attended), &name("attention_post_norm"));
                let both = times(&gate_up, &self.normal(x, &name("hidden_norm")));
                let (gate, up) = both.split_at(a.hidden);
                let hidden: Vec<f64> =
                    gate.iter().zip(up).map(|(gate, up)| self.gate(*gate) * up).collect();
                self.join(x, times(&down, &hidden), &name("hidden_post_norm"));
            }
        }
        let head = if self.blob.has("head") {
            self.matrix("head", a.vocabulary, a.width)
        } else {
            embedding
        };
        stream.iter().map(|x| times(&head, &self.normal(x, "norm"))).collect()
    }

    fn join(&self, x: &mut [f64], branch: Vec<f64>, norm: &str) {
        let branch = if self.blob.has(norm) { self.normal(&branch, norm) } else { branch };
        x.iter_mut().zip(branch).for_each(|(x, branch)| *x += branch);
    }
}

fn times(matrix: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn attend(
    a: &Architecture,
    heads: &[Vec<Vec<f64>>],
    position: usize,
    head: usize,
    window: usize,
) -> Vec<f64> {
    let key_head = head / (a.heads / a.key_heads);
    let begin = if window == 0 { 0 } else { (position + 1).saturating_sub(window) };
    let scores: Vec<f64> = (begin..=position)
        .map(|p| {
            let (query, key) = (&heads[position][head], &heads[p][a.heads + key_head]);
            query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (a.head_width as f64).sqrt()
        })
        .collect();
    let highest = scores.iter().copied().fold(f64::MIN, f64::max);
    let total: f64 = scores.iter().map(|s| (s - highest).exp()).sum();
    let mut result = vec![0.0; a.head_width];
    for (p, score) in (begin..).zip(scores) {
        let value = &heads[p][a.heads + a.key_heads + key_head];
        result.iter_mut().zip(value).for_each(|(r, v)| *r += (score - highest).exp() / total * v);
    }
    result
}

#[test]
fn every_family_is_its_graph() {
    let tokens: Vec<u32> = (0..70).map(|i| i * 37 % 256).collect();
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3] {
        let blob = Blob::open(Arc::new(synthetic(family, 3).unwrap())).unwrap();
        let model = Model::open(&blob).unwrap();
        let reference = Reference { a: blob.header().architecture.clone(), blob };
        let expected = reference.logits(&tokens);

        let mut cache = Cache::new(model.cache_shape(), 3).unwrap();
        let mut table = Table::default();
        assert!(cache.grow(&mut table, tokens.len()));
        let rows: Vec<Row> = (0u32..)
            .zip(&tokens)
            .map(|(position, token)| Row { sequence: 0, position, token: *token, logits: true })
            .collect();
        let ours = model.forward(&rows, &[&table], &mut cache, &Machine::new(1).unwrap()).unwrap();
        for (position, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
            let ours: Vec<f64> = ours.iter().map(|x| f64::from(*x) / 65_536.0).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let cosine =
                dot(&ours, expected) / (dot(&ours, &ours) * dot(expected, expected)).sqrt();
            assert!(cosine > 0.9999, "{family:?} at {position}: {cosine}");
        }
    }
}
