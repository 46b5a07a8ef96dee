//! Gemma 3's definition in double precision.

use super::model::{HEAD, LAYERS, WIDTH, numbers};

/// What distinguishes the graph from others of the same shape.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Positions that local layers see.
    pub window: usize,
    /// Every so many layers one sees everything.
    pub period: usize,
    /// Base of its rotary frequencies.
    pub base: f64,
    /// Base of the others'.
    pub local_base: f64,
    /// What divides its frequencies.
    pub stretch: f64,
    /// Scores are divided by its root.
    pub scalar: f64,
    /// Is added to gains.
    pub offset: f64,
    /// Embeddings are multiplied by its root.
    pub embedding: f64,
}

pub const PUBLISHED: Settings = Settings {
    window: 4,
    period: 6,
    base: 1e6,
    local_base: 10_000.0,
    stretch: 8.0,
    scalar: 24.0,
    offset: 1.0,
    embedding: WIDTH as f64,
};

fn times(name: &str, x: &[f64]) -> Vec<f64> {
    let (columns, matrix) = numbers(name);
    matrix.chunks(columns).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn normal(s: &Settings, name: &str, x: &[f64]) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let gains = numbers(name).1;
    x.iter().zip(gains).map(|(x, gain)| x / (mean + 1e-6).sqrt() * (gain + s.offset)).collect()
}

/// Halves of a head turn together.
fn turned(s: &Settings, head: &[f64], position: usize, local: bool) -> Vec<f64> {
    let (base, stretch) = if local { (s.local_base, 1.0) } else { (s.base, s.stretch) };
    let mut turned = head.to_vec();
    for i in 0..HEAD / 2 {
        let angle = position as f64 * base.powf(-(i as f64) / (HEAD / 2) as f64) / stretch;
        let (x, y) = (head[i], head[i + HEAD / 2]);
        turned[i] = x * angle.cos() - y * angle.sin();
        turned[i + HEAD / 2] = x * angle.sin() + y * angle.cos();
    }
    turned
}

fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

fn join(x: &mut [f64], branch: Vec<f64>) {
    x.iter_mut().zip(branch).for_each(|(x, branch)| *x += branch);
}

/// The logits after every token.
pub fn logits(s: &Settings, tokens: &[u32]) -> Vec<Vec<f64>> {
    let embedding = numbers("model.embed_tokens.weight").1;
    let row = |token: &u32| &embedding[*token as usize * WIDTH..][..WIDTH];
    let scaled = |token| row(token).iter().map(|x| x * s.embedding.sqrt()).collect::<Vec<f64>>();
    let mut stream: Vec<Vec<f64>> = tokens.iter().map(scaled).collect();
    for layer in 0..LAYERS {
        let local = !(layer + 1).is_multiple_of(s.period);
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let mut seen: Vec<(Vec<f64>, Vec<f64>)> = vec![];
        for (position, x) in stream.iter_mut().enumerate() {
            let inner = normal(s, &name("input_layernorm"), x);
            let part = |part: &str| times(&name(&format!("self_attn.{part}")), &inner);
            let head = |norm: &str, head: &[f64]| {
                turned(s, &normal(s, &name(norm), head), position, local)
            };
            seen.push((head("self_attn.k_norm", &part("k_proj")), part("v_proj")));
            let begin = if local { (position + 1).saturating_sub(s.window) } else { 0 };
            let queries = part("q_proj");
            let heads = queries.chunks(HEAD).map(|query| head("self_attn.q_norm", query));
            let attended: Vec<f64> =
                heads.flat_map(|query| attend(s, &query, &seen[begin..])).collect();
            let out = times(&name("self_attn.o_proj"), &attended);
            join(x, normal(s, &name("post_attention_layernorm"), &out));
            let inner = normal(s, &name("pre_feedforward_layernorm"), x);
            let (gate, up) =
                (times(&name("mlp.gate_proj"), &inner), times(&name("mlp.up_proj"), &inner));
            let hidden: Vec<f64> =
                gate.iter().zip(up).map(|(gate, up)| gelu_tanh(*gate) * up).collect();
            let down = times(&name("mlp.down_proj"), &hidden);
            join(x, normal(s, &name("post_feedforward_layernorm"), &down));
        }
    }
    let last =
        |x: &Vec<f64>| times("model.embed_tokens.weight", &normal(s, "model.norm.weight", x));
    stream.iter().map(last).collect()
}

fn attend(s: &Settings, query: &[f64], seen: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let dot = |key: &[f64]| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
    let scores: Vec<f64> = seen.iter().map(|(key, _)| dot(key) / s.scalar.sqrt()).collect();
    let highest = scores.iter().copied().fold(f64::MIN, f64::max);
    let total: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
    let mut result = vec![0.0; HEAD];
    for ((_, value), score) in seen.iter().zip(scores) {
        let weight = (score - highest).exp() / total;
        result.iter_mut().zip(value).for_each(|(sum, x)| *sum += weight * x);
    }
    result
}
