//! From a description and tensors to a blob.

use std::collections::HashSet;
use std::io::Write;

use super::quantise::{Quantiser, factor, fixed, gains, power};
use super::turns::{Scaling, turns, whole};
use super::{Tensor, Tensors};
use crate::blob::{Architecture, Kind, Layer, Writer};
use crate::int1::activation::Gate;
use crate::int1::rotation::Pairing;
use crate::tokenizer::Vocabulary;
use crate::{Error, Result};

/// The fractional bits of the residual stream in imported models.
pub(super) const RESIDUAL_FRACTION: i32 = 16;
/// The same of Gemma's, whose streams reach 104,000 in Gemma 3 270M: words with 16 hold 32,768, with these 524,288
/// (int1.md, section 1).
const GEMMA_FRACTION: i32 = 12;

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

impl Family {
    /// The fractional bits of the residual stream in imported models of this kind.
    pub(super) fn residual_fraction(self) -> i32 {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 => RESIDUAL_FRACTION,
            Self::Gemma3 => GEMMA_FRACTION,
        }
    }
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
    /// What scores are divided by the root of: in most models the width of a head.
    pub query_scalar: f64,
    /// Positions that local layers see; zero if there are none.
    pub window: usize,
    /// Of so many layers the last sees everything, the others are local. Of no meaning without a window.
    pub period: usize,
    /// The base of local layers' rotary frequencies, which are never stretched.
    pub local_base: f64,
    /// Fractional bits of the residual stream: the family's, but in the made-up models of the golden vectors, which all
    /// have the same.
    pub residual_fraction: i32,
    /// What is to be added to all gains: one where a file has them without it.
    pub gain_offset: f32,
    /// Whether neighbours turn together, not halves.
    pub neighbours: bool,
    /// Tensors whose numbers are already in this description.
    pub read: &'static [&'static str],
}

impl Description {
    fn architecture(&self, vocabulary: usize) -> Result<Architecture> {
        let bases = [self.rotary_base, self.local_base];
        let finite = self.epsilon > 0.0
            && self.epsilon < 1.0
            && bases.iter().all(|base| (2.0..1e12).contains(base))
            && (1.0..=65_536.0).contains(&self.query_scalar);
        if !finite
            || self.layers > 512
            || self.head_width == 0
            || self.head_width > 256
            || self.rotary_pairs > 128
        {
            return Err(Error::unsupported(format!(
                "{} layers, heads of {} by the root of {}, epsilon {}, rotary bases {bases:?}",
                self.layers, self.head_width, self.query_scalar, self.epsilon
            )));
        }
        let gemma = self.family == Family::Gemma3;
        let mut sets = vec![turns(self.rotary_base, self.rotary_pairs, &self.scaling)];
        if gemma {
            sets.push(turns(self.local_base, self.rotary_pairs, &Scaling::None));
        }
        let local =
            |layer: usize| gemma && self.window > 0 && !(layer + 1).is_multiple_of(self.period);
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
            residual_fraction: self.residual_fraction,
            epsilon: whole(self.epsilon * power(2 * self.residual_fraction + 16)),
            head_epsilon: whole(self.epsilon * power(48)),
            embedding_factor: gemma.then(|| factor(root(self.width))),
            score_factor: factor(std::f64::consts::LOG2_E / self.query_scalar.sqrt()),
            pairing: if self.neighbours { Pairing::Neighbours } else { Pairing::Halves },
            turns: sets,
            layers,
            pooling: None,
        };
        architecture.check()?;
        Ok(architecture)
    }
}

pub(super) fn root(x: usize) -> f64 {
    (x as f64).sqrt()
}

/// A blob being made from tensors.
pub(super) struct Assembly<'a, W> {
    tensors: &'a dyn Tensors,
    quantiser: Quantiser,
    writer: Writer<W>,
    /// Is added to all gains.
    gain_offset: f32,
    /// The names of the tensors that are in the blob.
    taken: HashSet<String>,
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
    vocabulary.check()?;
    let embedding =
        tensors.tensor("token_embd.weight")?.ok_or_else(|| missing("token_embd.weight"))?;
    let (rows, _) = embedding.shape();
    let architecture = d.architecture(rows)?;
    if vocabulary.len() > rows {
        return Err(Error::damaged(format!("{} tokens for {rows} embeddings", vocabulary.len())));
    }
    let mut a = Assembly::new(tensors, quantiser, into)?;
    a.gain_offset = d.gain_offset;
    a.taken.extend(d.read.iter().map(|name| (*name).to_owned()));
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
    a.finish(&d.name, &format!("{:?}", d.family), architecture, vocabulary)
}

fn missing(name: &str) -> Error {
    Error::damaged(format!("the tensor {name} is missing"))
}

impl<'a, W: Write> Assembly<'a, W> {
    pub fn new(tensors: &'a dyn Tensors, quantiser: Quantiser, into: W) -> Result<Self> {
        let writer = Writer::new(into)?;
        Ok(Self { tensors, quantiser, writer, gain_offset: 0.0, taken: HashSet::new() })
    }

    /// Ends the blob, if nothing was left over.
    pub fn finish(
        mut self,
        name: &str,
        kind: &str,
        architecture: Architecture,
        vocabulary: &Vocabulary,
    ) -> Result<(blake3::Hash, usize)> {
        // A bias or an adapter that is left out would make another model, in silence.
        let names = self.tensors.names();
        if let Some(other) = names.into_iter().find(|name| !self.taken.contains(&**name)) {
            return Err(Error::unsupported(format!("nothing in {kind} takes the tensor {other}")));
        }
        let text =
            serde_json::to_vec(vocabulary).map_err(|error| Error::damaged(error.to_string()))?;
        self.writer.section("vocabulary", Kind::Bytes { length: text.len() }, &text)?;
        self.writer.finish(name, architecture)
    }

    /// A tensor that must be there.
    pub fn need(&mut self, name: &str) -> Result<Tensor<'a>> {
        self.taken.insert(name.to_owned());
        self.tensors.tensor(name)?.ok_or_else(|| missing(name))
    }

    /// Tensors below each other as one matrix.
    pub fn matrix(&mut self, name: &str, parts: &[(&str, usize)], columns: usize) -> Result<()> {
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
        self.rows(name, rows.len(), columns, |index, into| {
            let (tensor, row) = rows[index];
            tensor.row(row, into);
        })
    }

    /// A matrix whose row `i` is written by `row(i, into)`.
    pub fn rows(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        row: impl FnMut(usize, &mut [f32]),
    ) -> Result<()> {
        let bytes = self.quantiser.matrix(rows, columns, row)?;
        self.writer.section(name, Kind::Matrix { rows, columns }, &bytes)
    }

    pub fn gains(&mut self, name: &str, from: &str, length: usize) -> Result<()> {
        let mut numbers = self.need(from)?.vector(from, length)?;
        numbers.iter_mut().for_each(|gain| *gain += self.gain_offset);
        let (mantissas, fraction) = gains(&numbers)?;
        self.words(name, &mantissas, fraction)
    }

    pub fn bias(&mut self, name: &str, parts: &[(&str, usize)]) -> Result<()> {
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
