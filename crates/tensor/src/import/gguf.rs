//! GGUF files: the container of llama.cpp.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Tensors;
use super::assemble::{Description, Family, GEMMA_FRACTION, RESIDUAL_FRACTION};
use super::config::{GEMMA_PERIOD, USUAL_BASE};
use super::encoding::{Encoding, Tensor};
use super::reader::{Reader, Value};
use super::turns::Scaling;
use crate::tokenizer::{Scored, Vocabulary};
use crate::{Error, Result};

/// The most entries of metadata and the most tensors that are read.
const MOST: u64 = 1 << 16;
/// Layers of Gemma 3's largest model, whose scores are divided by another root; files do not say it.
const GEMMA_27B: usize = 62;
/// What would make another model of the same tensors.
const REFUSED: [&str; 5] = [
    "expert_count",
    "attention.clamp_kqv",
    "rope.scaling.attn_factor",
    "attn_logit_softcapping",
    "final_logit_softcapping",
];

/// A parsed file. Strings and tensors stay where they are.
#[derive(Debug)]
pub struct Gguf<'a> {
    values: BTreeMap<&'a str, Value<'a>>,
    tensors: BTreeMap<&'a str, Place>,
    data: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Place {
    encoding: u32,
    rows: usize,
    columns: usize,
    offset: u64,
}

impl<'a> Gguf<'a> {
    /// Reads metadata and the list of tensors.
    ///
    /// # Errors
    /// When the file is not GGUF of version 2 or 3, or damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        if bytes.get(..4) != Some(b"GGUF") {
            return Err(Error::new(
                "this is not a GGUF file",
                "it does not begin with GGUF",
                "Name a .gguf file",
            ));
        }
        reader.at = 4;
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(Error::unsupported(format!("GGUF version {version}")));
        }
        let (count, entries) = (reader.u64()?, reader.u64()?);
        if count > MOST || entries > MOST {
            return Err(Error::damaged(format!(
                "{count} tensors and {entries} entries of metadata"
            )));
        }
        let mut values = BTreeMap::new();
        for _ in 0..entries {
            let key = reader.text()?;
            let kind = reader.u32()?;
            values.insert(key, reader.value(kind)?);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..count {
            let name = reader.text()?;
            tensors.insert(name, place(&mut reader)?);
        }
        let alignment = match values.get("general.alignment") {
            Some(Value::Whole(x)) => usize::try_from(*x).unwrap_or(0),
            _ => 32,
        };
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(Error::damaged(format!("an alignment of {alignment}")));
        }
        let start = reader.at.next_multiple_of(alignment);
        let data = bytes.get(start..).unwrap_or_default();
        Ok(Self { values, tensors, data })
    }

    fn whole(&self, key: &str) -> Option<i128> {
        match self.values.get(key) {
            Some(Value::Whole(x)) => Some(*x),
            _ => None,
        }
    }

    fn real(&self, key: &str) -> Option<f64> {
        match self.values.get(key) {
            Some(Value::Real(x)) => Some(*x),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        match self.values.get(key) {
            Some(Value::Text(x)) => Some(x),
            _ => None,
        }
    }

    /// What kind of model this is.
    ///
    /// # Errors
    /// When it is of a kind that is not supported, or something is missing.
    pub fn description(&self) -> Result<Description> {
        let kind = self.text("general.architecture").unwrap_or("");
        let family = match kind {
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "gemma3" => Family::Gemma3,
            kind => return Err(Error::unsupported(format!("the architecture {kind}"))),
        };
        let optional =
            |key: &str| self.whole(&format!("{kind}.{key}")).and_then(|x| usize::try_from(x).ok());
        let need = |key: &str| {
            optional(key).ok_or_else(|| Error::damaged(format!("{kind}.{key} is missing")))
        };
        let heads = need("attention.head_count")?;
        let width = need("embedding_length")?;
        let head_width = optional("attention.key_length")
            .or_else(|| width.checked_div(heads))
            .unwrap_or_default();
        let rotary_pairs = optional("rope.dimension_count").unwrap_or(head_width) / 2;
        for key in REFUSED {
            if self.values.contains_key(&*format!("{kind}.{key}")) {
                return Err(Error::unsupported(format!("{kind}.{key}")));
            }
        }
        let scaling = self.scaling(kind, rotary_pairs)?;
        let layers = need("block_count")?;
        let gemma = family == Family::Gemma3;
        let query_scalar = match width.checked_div(heads) {
            Some(share) if gemma && layers == GEMMA_27B => share,
            _ => head_width,
        };
        let real = |key: &str| self.real(&format!("{kind}.{key}"));
        Ok(Description {
            family,
            name: self.text("general.name").unwrap_or(kind).to_owned(),
            layers,
            width,
            heads,
            key_heads: optional("attention.head_count_kv").unwrap_or(heads),
            head_width,
            hidden: need("feed_forward_length")?,
            context: need("context_length")?,
            epsilon: real("attention.layer_norm_rms_epsilon").unwrap_or(1e-6),
            rotary_base: real("rope.freq_base").unwrap_or(USUAL_BASE),
            rotary_pairs,
            scaling,
            query_scalar: query_scalar as f64,
            window: optional("attention.sliding_window").unwrap_or(0),
            period: optional("attention.sliding_window_pattern").unwrap_or(GEMMA_PERIOD),
            local_base: real("rope.freq_base_swa").unwrap_or(USUAL_BASE),
            residual_fraction: if gemma { GEMMA_FRACTION } else { RESIDUAL_FRACTION },
            // llama.cpp adds what Gemma's published gains lack.
            gain_offset: 0.0,
            // llama.cpp reorders the weights of these so that neighbours turn together.
            neighbours: family == Family::Llama,
            read: &["rope_freqs.weight"],
        })
    }

    /// How the rotary frequencies of an architecture are stretched.
    fn scaling(&self, kind: &str, rotary_pairs: usize) -> Result<Scaling> {
        if let Some(tensor) = self.tensor("rope_freqs.weight")? {
            let factors = tensor.vector("rope_freqs.weight", rotary_pairs)?;
            if let Some(x) = factors.iter().find(|x| !(1.0..=65_536.0).contains(*x)) {
                return Err(Error::damaged(format!("rope_freqs divides a frequency by {x}")));
            }
            return Ok(Scaling::Factors(factors));
        }
        let factor = self.real(&format!("{kind}.rope.scaling.factor"));
        match (self.text(&format!("{kind}.rope.scaling.type")), factor) {
            (None | Some("none"), _) => Ok(Scaling::None),
            (Some("linear"), Some(factor)) if factor >= 1.0 => Ok(Scaling::Linear(factor)),
            (Some(kind), _) => Err(Error::unsupported(format!("rotary scaling {kind}"))),
        }
    }

    fn types(&self) -> &[i64] {
        match self.values.get("tokenizer.ggml.token_type") {
            Some(Value::Wholes(types)) => types.as_slice(),
            _ => &[],
        }
    }

    fn token(&self, key: &str) -> Option<u32> {
        self.whole(&format!("tokenizer.ggml.{key}")).and_then(|x| u32::try_from(x).ok())
    }

    fn is_set(&self, key: &str) -> bool {
        matches!(self.values.get(&*format!("tokenizer.ggml.{key}")), Some(Value::Bool(true)))
    }

    /// Pieces with scores, as SentencePiece has them.
    fn scored(&self) -> Result<Vocabulary> {
        // Files that do not say are read as if they wanted it.
        if !matches!(self.values.get("tokenizer.ggml.add_space_prefix"), Some(Value::Bool(false))) {
            return Err(Error::unsupported("a tokenizer that puts a space before every text"));
        }
        let Some(Value::Texts(tokens)) = self.values.get("tokenizer.ggml.tokens") else {
            return Err(Error::damaged("tokenizer.ggml.tokens is missing"));
        };
        let Some(Value::Reals(scores)) = self.values.get("tokenizer.ggml.scores") else {
            return Err(Error::damaged("tokenizer.ggml.scores is missing"));
        };
        Vocabulary::from_scored(Scored {
            tokens,
            scores,
            types: self.types(),
            first: self.token("bos_token_id").filter(|_| self.is_set("add_bos_token")),
            end: self.token("eos_token_id"),
            chat_template: self.text("tokenizer.chat_template").map(str::to_owned),
        })
    }

    /// The tokenizer and chat template.
    ///
    /// # Errors
    /// When it is of a kind that is not supported, or damaged.
    pub fn vocabulary(&self) -> Result<Vocabulary> {
        let kind = self.text("tokenizer.ggml.model").unwrap_or("");
        if kind == "llama" {
            return self.scored();
        }
        if kind != "gpt2" {
            return Err(Error::unsupported(format!("a tokenizer of the kind {kind}")));
        }
        let Some(Value::Texts(tokens)) = self.values.get("tokenizer.ggml.tokens") else {
            return Err(Error::damaged("tokenizer.ggml.tokens is missing"));
        };
        let Some(Value::Texts(merges)) = self.values.get("tokenizer.ggml.merges") else {
            return Err(Error::damaged("tokenizer.ggml.merges is missing"));
        };
        let splitting = self.text("tokenizer.ggml.pre").unwrap_or("default");
        let first = match self.values.get("tokenizer.ggml.add_bos_token") {
            Some(Value::Bool(wanted)) => *wanted,
            // Files of Llama 3 are read as if they said so.
            _ => matches!(splitting, "llama3" | "llama-v3" | "llama-bpe"),
        };
        Vocabulary::from_gguf(
            tokens,
            merges,
            self.types(),
            splitting,
            self.token("bos_token_id").filter(|_| first),
            self.token("eos_token_id"),
            self.text("tokenizer.chat_template").map(str::to_owned),
        )
    }
}

fn place(reader: &mut Reader<'_>) -> Result<Place> {
    let dimensions = reader.u32()?;
    if !(1..=2).contains(&dimensions) {
        return Err(Error::unsupported(format!("a tensor of {dimensions} dimensions")));
    }
    let size = |x: u64| usize::try_from(x).map_err(|_| Error::damaged(format!("a side of {x}")));
    let columns = size(reader.u64()?)?;
    let rows = if dimensions == 2 { size(reader.u64()?)? } else { 1 };
    Ok(Place { encoding: reader.u32()?, rows, columns, offset: reader.u64()? })
}

impl Tensors for Gguf<'_> {
    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some(place) = self.tensors.get(name) else { return Ok(None) };
        let encoding = Encoding::from_gguf(place.encoding).ok_or_else(|| {
            Error::unsupported(format!("{name} is in the encoding {}", place.encoding))
        })?;
        let bytes = usize::try_from(place.offset).ok().and_then(|at| self.data.get(at..));
        let bytes =
            bytes.ok_or_else(|| Error::damaged(format!("{name} begins beyond the file")))?;
        Tensor::new(encoding, place.rows, place.columns, bytes).map(Some)
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        self.tensors.keys().map(|name| (*name).into()).collect()
    }
}
