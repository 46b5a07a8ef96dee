//! From a description and tensors to a blob.

use std::io::Write;

use super::quantise::{Quantiser, factor, fixed, gains, power};
use super::turns::{Scaling, turns};
use super::{Tensor, Tensors};
use crate::blob::{Architecture, Kind, Layer, Writer};
use crate::int1::activation::Gate;
use crate::int1::rotation::Pairing;
use crate::tokenizer::Vocabulary;
use crate::{Error, Result};

/// The fractional bits of the residual stream in imported models.
const RESIDUAL_FRACTION: i32 = 16;

/// Which kind of decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 3, SmolLM.
    Llama,
    /// Qwen 2 and 2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen 3: normalised queries and keys.
    Qwen3,
    /// Gemma 3: normalised branches, windows, its own gate.
    Gemma3,
}

/// What a published file says of a model.
#[derive(Clone, Debug)]
pub struct Description {
    /// The kind.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Layers.
    pub layers: usize,
    /// Elements of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub key_heads: usize,
    /// Elements per head.
    pub head_width: usize,
    /// Elements of the feed-forward layer.
    pub hidden: usize,
    /// Positions.
    pub context: usize,
    /// The constant under the root of normalisations.
    pub epsilon: f64,
    /// The base of the rotary frequencies.
    pub rotary_base: f64,
    /// Pairs per head that turn.
    pub rotary_pairs: usize,
    /// How frequencies are stretched.
    pub scaling: Scaling,
    /// Positions that local layers see; zero if there are none.
    pub window: usize,
    /// Whether neighbours turn together, not halves.
    pub neighbours: bool,
    /// What is added to every gain of a normalisation.
    pub gain_offset: f32,
}

impl Description {
    fn architecture(&self, vocabulary: usize) -> Result<Architecture> {
        let finite = self.epsilon > 0.0
            && self.epsilon < 1.0
            && self.rotary_base >= 2.0
            && self.rotary_base < 1e12;
        if !finite
            || self.layers > 512
            || self.head_width == 0
            || self.head_width > 256
            || self.rotary_pairs > 128
        {
            return Err(Error::unsupported(format!(
                "{} layers, heads of {}, epsilon {}, rotary base {}",
                self.layers, self.head_width, self.epsilon, self.rotary_base
            )));
        }
        let gemma = self.family == Family::Gemma3;
        let mut sets = vec![turns(self.rotary_base, self.rotary_pairs, &self.scaling)];
        if gemma {
            sets.push(turns(10_000.0, self.rotary_pairs, &Scaling::None));
        }
        // Five local layers, then one that sees everything.
        let local = |layer: usize| gemma && self.window > 0 && !(layer + 1).is_multiple_of(6);
        let layers = (0..self.layers)
            .map(|layer| Layer {
                window: if local(layer) { self.window } else { 0 },
                turns: usize::from(local(layer)),
            })
            .collect();
        let architecture = Architecture {
            vocabulary,
            width: self.width,
            heads: self.heads,
            key_heads: self.key_heads,
            head_width: self.head_width,
            hidden: self.hidden,
            context: self.context,
            gate: if gemma { Gate::GeluTanh } else { Gate::Silu },
            residual_fraction: RESIDUAL_FRACTION,
            epsilon: whole(self.epsilon * power(2 * RESIDUAL_FRACTION + 16)),
            head_epsilon: whole(self.epsilon * power(48)),
            embedding_factor: gemma.then(|| factor(root(self.width))),
            score_factor: factor(std::f64::consts::LOG2_E / root(self.head_width)),
            pairing: if self.neighbours { Pairing::Neighbours } else { Pairing::Halves },
            turns: sets,
            layers,
        };
        architecture.check()?;
        Ok(architecture)
    }
}

fn root(x: usize) -> f64 {
    (x as f64).sqrt()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and bounded by the caller"
)]
fn whole(x: f64) -> u64 {
    x as u64
}

struct Assembly<'a, W> {
    tensors: &'a dyn Tensors,
    quantiser: Quantiser,
    gain_offset: f32,
    writer: Writer<W>,
}

/// Writes the blob of a model; returns its id and size.
///
/// # Errors
/// When a tensor is missing or of the wrong shape, or the sink fails.
pub fn assemble(
    description: &Description,
    tensors: &dyn Tensors,
    vocabulary: &Vocabulary,
    quantiser: Quantiser,
    into: impl Write,
) -> Result<(blake3::Hash, usize)> {
    let d = description;
    let embedding =
        tensors.tensor("token_embd.weight")?.ok_or_else(|| missing("token_embd.weight"))?;
    let (rows, _) = embedding.shape();
    let architecture = d.architecture(rows)?;
    if vocabulary.len() > rows {
        return Err(Error::damaged(format!("{} tokens for {rows} embeddings", vocabulary.len())));
    }
    let mut a =
        Assembly { tensors, quantiser, gain_offset: d.gain_offset, writer: Writer::new(into)? };
    a.matrix("embedding", &[("token_embd.weight", rows)], d.width)?;
    if tensors.tensor("output.weight")?.is_some() {
        a.matrix("head", &[("output.weight", rows)], d.width)?;
    }
    let (queries, keys) = (d.heads * d.head_width, d.key_heads * d.head_width);
    for index in 0..d.layers {
        let to = |part: &str| format!("layer.{index}.{part}");
        let from = |part: &str| format!("blk.{index}.{part}");
        a.gains(&to("attention_norm"), &from("attn_norm.weight"), d.width)?;
        let parts = [
            (&*from("attn_q.weight"), queries),
            (&*from("attn_k.weight"), keys),
            (&*from("attn_v.weight"), keys),
        ];
        a.matrix(&to("qkv"), &parts, d.width)?;
        if d.family == Family::Qwen2 {
            let parts = [
                (&*from("attn_q.bias"), queries),
                (&*from("attn_k.bias"), keys),
                (&*from("attn_v.bias"), keys),
            ];
            a.bias(&to("qkv_bias"), &parts)?;
        }
        if matches!(d.family, Family::Qwen3 | Family::Gemma3) {
            a.gains(&to("query_norm"), &from("attn_q_norm.weight"), d.head_width)?;
            a.gains(&to("key_norm"), &from("attn_k_norm.weight"), d.head_width)?;
        }
        a.matrix(&to("out"), &[(&from("attn_output.weight"), d.width)], queries)?;
        a.gains(&to("hidden_norm"), &from("ffn_norm.weight"), d.width)?;
        let parts = [(&*from("ffn_gate.weight"), d.hidden), (&*from("ffn_up.weight"), d.hidden)];
        a.matrix(&to("gate_up"), &parts, d.width)?;
        a.matrix(&to("down"), &[(&from("ffn_down.weight"), d.width)], d.hidden)?;
        if d.family == Family::Gemma3 {
            a.gains(&to("attention_post_norm"), &from("post_attention_norm.weight"), d.width)?;
            a.gains(&to("hidden_post_norm"), &from("post_ffw_norm.weight"), d.width)?;
        }
    }
    a.gains("norm", "output_norm.weight", d.width)?;
    let text = serde_json::to_vec(vocabulary).map_err(|error| Error::damaged(error.to_string()))?;
    a.writer.section("vocabulary", Kind::Bytes { length: text.len() }, &text)?;
    a.writer.finish(&d.name, architecture)
}

fn missing(name: &str) -> Error {
    Error::damaged(format!("the tensor {name} is missing"))
}

impl<W: Write> Assembly<'_, W> {
    fn need(&self, name: &str) -> Result<Tensor<'_>> {
        self.tensors.tensor(name)?.ok_or_else(|| missing(name))
    }

    /// Tensors below each other as one matrix.
    fn matrix(&mut self, name: &str, parts: &[(&str, usize)], columns: usize) -> Result<()> {
        let mut rows = vec![];
        for (part, count) in parts {
            let tensor = self.need(part)?;
            if tensor.shape() != (*count, columns) {
                return Err(Error::damaged(format!(
                    "{part} is {:?}, not {count} x {columns}",
                    tensor.shape()
                )));
            }
            rows.extend((0..*count).map(|row| (tensor, row)));
        }
        let bytes = self.quantiser.matrix(rows.len(), columns, |index, into| {
            let (tensor, row) = rows[index];
            tensor.row(row, into);
        })?;
        self.writer.section(name, Kind::Matrix { rows: rows.len(), columns }, &bytes)
    }

    fn gains(&mut self, name: &str, from: &str, length: usize) -> Result<()> {
        let mut numbers = self.need(from)?.vector(from, length)?;
        numbers.iter_mut().for_each(|x| *x += self.gain_offset);
        let (mantissas, fraction) = gains(&numbers)?;
        self.words(name, &mantissas, fraction)
    }

    fn bias(&mut self, name: &str, parts: &[(&str, usize)]) -> Result<()> {
        let mut numbers = vec![];
        for (part, length) in parts {
            numbers.extend(self.need(part)?.vector(part, *length)?);
        }
        self.words(name, &fixed(&numbers)?, 16)
    }

    fn words(&mut self, name: &str, words: &[i32], fraction: i32) -> Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.writer.section(name, Kind::Vector { length: words.len(), fraction }, &bytes)
    }
}
