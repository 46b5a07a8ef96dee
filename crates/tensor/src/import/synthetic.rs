//! A small model from a seed: for tests, which must not depend on the network. It says nothing sensible,
//! but goes through everything that a real one goes through.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::assemble::{Description, Family, RESIDUAL_FRACTION, assemble};
use super::bert::{EncoderDescription, assemble_encoder};
use super::encoding::{Encoding, Tensor};
use super::turns::Scaling;
use super::{Quantiser, Tensors};
use crate::Result;
use crate::blob::Pooling;
use crate::int1::activation::Gate;
use crate::int1::random::draw;
use crate::tokenizer::{Normalising, Splitting, Vocabulary, WordPieces, stand_in};

/// Special tokens behind the 256 bytes and one merge.
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

#[derive(Default)]
struct Made {
    tensors: BTreeMap<String, (usize, usize, Vec<u8>)>,
    seed: u64,
}

impl Made {
    /// Uniform numbers around `middle`.
    fn add(&mut self, name: &str, rows: usize, columns: usize, middle: f32, spread: f32) {
        let stream = u32::try_from(self.tensors.len()).unwrap_or(u32::MAX);
        let number = |i: u32| {
            // 24 bits, which single precision holds exactly.
            let bits = u32::try_from(draw(self.seed, stream, i) >> 40).unwrap_or_default();
            middle + spread * (f32::from_bits(127 << 23 | bits >> 1) - 1.5) * 2.0
        };
        let count = u32::try_from(rows * columns).unwrap_or(u32::MAX);
        let bytes = (0..count).flat_map(|i| number(i).to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (rows, columns, bytes));
    }
}

impl Tensors for Made {
    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some((rows, columns, bytes)) = self.tensors.get(name) else { return Ok(None) };
        Tensor::new(Encoding::F32, *rows, *columns, bytes).map(Some)
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        self.tensors.keys().map(|name| name.as_str().into()).collect()
    }
}

/// A blob of two layers, 72 wide, with every part that `family` has.
///
/// # Errors
/// Never for a valid family; the signature is that of every import.
pub fn synthetic(family: Family, seed: u64) -> Result<Vec<u8>> {
    let d = Description {
        family,
        name: "synthetic".into(),
        layers: 2,
        width: 72,
        heads: 6,
        key_heads: 2,
        head_width: 20,
        hidden: 100,
        context: 256,
        epsilon: 1e-5,
        rotary_base: 10_000.0,
        rotary_pairs: 10,
        scaling: Scaling::None,
        query_scalar: 20.0,
        window: 40,
        period: 6,
        local_base: 10_000.0,
        residual_fraction: RESIDUAL_FRACTION,
        gain_offset: 0.0,
        neighbours: family == Family::Llama,
        read: &[],
    };
    let vocabulary = vocabulary();
    let mut made = Made { seed, ..Made::default() };
    made.add("token_embd.weight", vocabulary.len(), d.width, 0.0, 0.5);
    made.add("output_norm.weight", 1, d.width, 1.0, 0.3);
    if matches!(family, Family::Qwen2 | Family::Gemma3) {
        made.add("output.weight", vocabulary.len(), d.width, 0.0, 0.5);
    }
    for layer in 0..d.layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (queries, keys) = (d.heads * d.head_width, d.key_heads * d.head_width);
        for (part, rows, columns) in [
            ("attn_q", queries, d.width),
            ("attn_k", keys, d.width),
            ("attn_v", keys, d.width),
            ("attn_output", d.width, queries),
            ("ffn_gate", d.hidden, d.width),
            ("ffn_up", d.hidden, d.width),
            ("ffn_down", d.width, d.hidden),
        ] {
            made.add(&name(&format!("{part}.weight")), rows, columns, 0.0, 0.4);
        }
        for (part, length) in [("attn_q", queries), ("attn_k", keys), ("attn_v", keys)] {
            made.add(&name(&format!("{part}.bias")), 1, length, 0.0, 0.5);
        }
        for (part, length) in [
            ("attn_norm", d.width),
            ("ffn_norm", d.width),
            ("attn_q_norm", d.head_width),
            ("attn_k_norm", d.head_width),
            ("post_attention_norm", d.width),
            ("post_ffw_norm", d.width),
        ] {
            made.add(&name(&format!("{part}.weight")), 1, length, 1.0, 0.3);
        }
    }
    // All are drawn, so that the others' numbers do not depend on which a family has.
    made.tensors.retain(|name, _| match family {
        _ if name.ends_with(".bias") => family == Family::Qwen2,
        _ if name.contains("_q_norm") || name.contains("_k_norm") => {
            matches!(family, Family::Qwen3 | Family::Gemma3)
        }
        _ => !name.contains(".post_") || family == Family::Gemma3,
    });
    let mut blob = vec![];
    assemble(&d, &made, &vocabulary, Quantiser::default(), &mut blob)?;
    Ok(blob)
}

/// A blob of an encoder of two layers, 72 wide.
///
/// # Errors
/// Never; the signature is that of every import.
pub fn synthetic_encoder(pooling: Pooling, seed: u64) -> Result<Vec<u8>> {
    let d = EncoderDescription {
        name: "synthetic encoder".into(),
        layers: 2,
        width: 72,
        heads: 6,
        hidden: 100,
        positions: 80,
        context: 75,
        types: 2,
        epsilon: 1e-12,
        activation: Gate::Gelu,
        pooling,
    };
    let vocabulary = words();
    let mut made = Made { seed, ..Made::default() };
    made.add("token_embd.weight", vocabulary.len(), d.width, 0.0, 0.5);
    made.add("position_embd.weight", d.positions, d.width, 0.0, 0.2);
    made.add("token_types.weight", d.types, d.width, 0.1, 0.1);
    let norm = |made: &mut Made, name: &str| {
        made.add(&format!("{name}.weight"), 1, d.width, 1.0, 0.3);
        made.add(&format!("{name}.bias"), 1, d.width, 0.0, 0.3);
    };
    norm(&mut made, "token_embd_norm");
    for layer in 0..d.layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        for (part, rows, columns) in [
            ("attn_q", d.width, d.width),
            ("attn_k", d.width, d.width),
            ("attn_v", d.width, d.width),
            ("attn_output", d.width, d.width),
            ("ffn_up", d.hidden, d.width),
            ("ffn_down", d.width, d.hidden),
        ] {
            made.add(&name(&format!("{part}.weight")), rows, columns, 0.0, 0.4);
            made.add(&name(&format!("{part}.bias")), 1, rows, 0.0, 0.3);
        }
        norm(&mut made, &name("attn_output_norm"));
        norm(&mut made, &name("layer_output_norm"));
    }
    let mut blob = vec![];
    assemble_encoder(&d, &made, &vocabulary, Quantiser::default(), &mut blob)?;
    Ok(blob)
}

/// Letters and digits, each alone and inside a word, some signs, some pieces, and the usual special tokens.
fn words() -> Vocabulary {
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned).into();
    let letters = || ('a'..='z').chain('0'..='9');
    tokens.extend(letters().map(String::from));
    tokens.extend(letters().map(|letter| format!("##{letter}")));
    tokens.extend(
        ["the", "farm", "##er", "##s", "##ing", ".", ",", "!", "?", "-"].map(str::to_owned),
    );
    Vocabulary {
        form: None,
        splitting: Splitting::Whole,
        tokens,
        merges: vec![],
        special: (0..4).collect(),
        shown: vec![],
        whole_pieces: false,
        first: Some(2),
        ends: vec![],
        chat_template: None,
        word_pieces: Some(WordPieces {
            normalising: Normalising { clean: true, ideographs: true, accents: true, lower: true },
            mark: "##".into(),
            unknown: 1,
            longest: 100,
            last: Some(3),
        }),
        scored_pieces: None,
    }
}

/// The bytes, one merge and three special tokens.
fn vocabulary() -> Vocabulary {
    let mut tokens: Vec<String> = (0..=255).map(|byte| stand_in(byte).to_string()).collect();
    tokens.push("th".into());
    let special: Vec<u32> = (257..260).collect();
    tokens.extend(SPECIAL.map(str::to_owned));
    Vocabulary {
        form: None,
        splitting: Splitting::Gpt2,
        tokens,
        merges: vec![[u32::from(b't'), u32::from(b'h')]],
        special,
        shown: vec![],
        whole_pieces: false,
        first: None,
        ends: vec![257, 259],
        chat_template: None,
        word_pieces: None,
        scored_pieces: None,
    }
}
