//! A small model from a seed: for tests, which must not depend on the network. It says nothing sensible,
//! but goes through everything that a real one goes through.

use std::collections::BTreeMap;

use super::assemble::{Description, Family, assemble};
use super::encoding::{Encoding, Tensor};
use super::turns::Scaling;
use super::{Quantiser, Tensors};
use crate::Result;
use crate::int1::random::draw;
use crate::tokenizer::{Splitting, Vocabulary, stand_in};

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
        window: 40,
        neighbours: family == Family::Llama,
        gain_offset: 0.0,
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
    let mut blob = vec![];
    assemble(&d, &made, &vocabulary, Quantiser::default(), &mut blob)?;
    Ok(blob)
}

/// The bytes, one merge and three special tokens.
fn vocabulary() -> Vocabulary {
    let mut tokens: Vec<String> = (0..=255).map(|byte| stand_in(byte).to_string()).collect();
    tokens.push("th".into());
    let special: Vec<u32> = (257..260).collect();
    tokens.extend(SPECIAL.map(str::to_owned));
    Vocabulary {
        splitting: Splitting::Gpt2,
        tokens,
        merges: vec![[u32::from(b't'), u32::from(b'h')]],
        special,
        whole_pieces: false,
        first: None,
        ends: vec![257, 259],
        chat_template: None,
    }
}
