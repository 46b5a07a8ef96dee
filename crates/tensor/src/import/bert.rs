//! Encoders of the BERT kind: from a description and tensors to a blob.

use std::io::Write;

use super::Tensors;
use super::assemble::{Assembly, RESIDUAL_FRACTION, root};
use super::quantise::{Quantiser, factor, power};
use super::turns::whole;
use crate::blob::{Architecture, Layer, Pooling};
use crate::int1::activation::Gate;
use crate::int1::rotation::Pairing;
use crate::tokenizer::Vocabulary;
use crate::{Error, Result};

/// What a published encoder is.
#[derive(Clone, Debug)]
pub struct EncoderDescription {
    /// Its name.
    pub name: String,
    /// Layers.
    pub layers: usize,
    /// Elements of the stream, and of an embedding.
    pub width: usize,
    /// Heads.
    pub heads: usize,
    /// Elements of the feed-forward layer.
    pub hidden: usize,
    /// Positions that have an embedding.
    pub positions: usize,
    /// Positions that are used; at most `positions`.
    pub context: usize,
    /// Types of tokens; texts are of the first.
    pub types: usize,
    /// The constant under the root of normalisations.
    pub epsilon: f64,
    /// The function of the feed-forward layer.
    pub activation: Gate,
    /// Which rows become the embedding.
    pub pooling: Pooling,
}

impl EncoderDescription {
    fn architecture(&self, vocabulary: usize) -> Result<Architecture> {
        let head_width = self.width.checked_div(self.heads).unwrap_or_default();
        if head_width * self.heads != self.width
            || self.layers > 512
            || !(self.epsilon > 0.0 && self.epsilon < 1.0)
            || head_width == 0
        {
            return Err(Error::unsupported(format!(
                "{} layers, {} heads in {} elements, epsilon {}",
                self.layers, self.heads, self.width, self.epsilon
            )));
        }
        let architecture = Architecture {
            vocabulary,
            width: self.width,
            heads: self.heads,
            key_heads: self.heads,
            head_width,
            hidden: self.hidden,
            context: self.context,
            gate: self.activation,
            residual_fraction: RESIDUAL_FRACTION,
            epsilon: whole(self.epsilon * power(2 * RESIDUAL_FRACTION + 16)),
            head_epsilon: 0,
            embedding_factor: None,
            score_factor: factor(std::f64::consts::LOG2_E / root(head_width)),
            pairing: Pairing::Halves,
            turns: vec![],
            layers: vec![Layer::default(); self.layers],
            pooling: Some(self.pooling),
        };
        architecture.check()?;
        Ok(architecture)
    }
}

/// Writes the blob of an encoder; returns its id and size.
///
/// # Errors
/// When a tensor is missing or of the wrong shape, or the sink fails.
pub fn assemble_encoder(
    description: &EncoderDescription,
    tensors: &dyn Tensors,
    vocabulary: &Vocabulary,
    quantiser: Quantiser,
    into: impl Write,
) -> Result<(blake3::Hash, usize)> {
    let d = description;
    vocabulary.check()?;
    let mut a = Assembly::new(tensors, quantiser, into)?;
    let rows = a.need("token_embd.weight")?.shape().0;
    let architecture = d.architecture(rows)?;
    if vocabulary.len() > rows || d.context > d.positions {
        return Err(Error::damaged(format!(
            "{} tokens for {rows} embeddings, {} of {} positions",
            vocabulary.len(),
            d.context,
            d.positions
        )));
    }
    a.matrix("embedding", &[("token_embd.weight", rows)], d.width)?;
    let positions = a.need("position_embd.weight")?;
    let types = a.need("token_types.weight")?;
    if positions.shape() != (d.positions, d.width) || types.shape() != (d.types, d.width) {
        return Err(Error::damaged(format!(
            "positions are {:?} and types {:?}",
            positions.shape(),
            types.shape()
        )));
    }
    // All tokens of a text are of the first type, which therefore belongs to the positions.
    let mut first = vec![0.0; d.width];
    types.row(0, &mut first);
    a.rows("positions", d.context, d.width, |position, into| {
        positions.row(position, into);
        into.iter_mut().zip(&first).for_each(|(x, first)| *x += first);
    })?;
    let norm = |a: &mut Assembly<'_, _>, to: &str, from: &str| {
        a.gains(to, &format!("{from}.weight"), d.width)?;
        a.bias(&format!("{to}_bias"), &[(&format!("{from}.bias"), d.width)])
    };
    norm(&mut a, "norm", "token_embd_norm")?;
    for index in 0..d.layers {
        let to = |part: &str| format!("layer.{index}.{part}");
        let from = |part: &str| format!("blk.{index}.{part}");
        let mut dense = |name: &str, parts: &[&str], rows: usize, columns: usize| {
            let all = |ending: &str| -> Vec<(String, usize)> {
                parts.iter().map(|part| (from(&format!("{part}.{ending}")), rows)).collect()
            };
            a.matrix(&to(name), &borrowed(&all("weight")), columns)?;
            a.bias(&to(&format!("{name}_bias")), &borrowed(&all("bias")))
        };
        dense("qkv", &["attn_q", "attn_k", "attn_v"], d.width, d.width)?;
        dense("out", &["attn_output"], d.width, d.width)?;
        dense("up", &["ffn_up"], d.hidden, d.width)?;
        dense("down", &["ffn_down"], d.width, d.hidden)?;
        norm(&mut a, &to("attention_norm"), &from("attn_output_norm"))?;
        norm(&mut a, &to("hidden_norm"), &from("layer_output_norm"))?;
    }
    a.finish(&d.name, "an encoder", architecture, vocabulary)
}

fn borrowed(names: &[(String, usize)]) -> Vec<(&str, usize)> {
    names.iter().map(|(name, rows)| (name.as_str(), *rows)).collect()
}
