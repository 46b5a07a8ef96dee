//! GGUF files: the container of llama.cpp.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Tensors;
use super::assemble::{Description, Family};
use super::config::{GEMMA_PERIOD, USUAL_BASE};
use super::encoding::{Encoding, Tensor};
use super::reader::{Metadata, Reader, Value, needed};
use super::turns::Scaling;
use crate::tokenizer::{Scored, Vocabulary};
use crate::{Error, Result};

/// The most entries of metadata and the most tensors that are read.
const MOST: u64 = 1 << 16;
/// Layers of Gemma 3's largest model, whose scores are divided by another root; files do not say it.
const GEMMA_27B: usize = 62;
/// What would make another model of the same tensors.
const REFUSED: [&str; 6] = [
    "expert_count",
    "attention.clamp_kqv",
    "rope.scaling.attn_factor",
    "rope.scale_linear",
    "attn_logit_softcapping",
    "final_logit_softcapping",
];

/// A parsed file. Strings and tensors stay where they are.
#[derive(Debug)]
pub struct Gguf<'a> {
    values: Metadata<'a>,
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
        let mut values = Metadata::default();
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
        let alignment = values.count("general.alignment")?.unwrap_or(32);
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(Error::damaged(format!("an alignment of {alignment}")));
        }
        let start = reader.at.next_multiple_of(alignment);
        let data = bytes.get(start..).unwrap_or_default();
        Ok(Self { values, tensors, data })
    }

    /// What kind of model this is.
    ///
    /// # Errors
    /// When it is of a kind that is not supported, or something is missing or of another type.
    pub fn description(&self) -> Result<Description> {
        let kind = self.values.text("general.architecture")?.unwrap_or("");
        let family = match kind {
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "gemma3" => Family::Gemma3,
            kind => return Err(Error::unsupported(format!("the architecture {kind}"))),
        };
        let optional = |key: &str| self.values.count(&format!("{kind}.{key}"));
        let need = |key: &str| needed(&format!("{kind}.{key}"), optional(key)?);
        let heads = need("attention.head_count")?;
        let width = need("embedding_length")?;
        let head_width = optional("attention.key_length")?
            .or_else(|| width.checked_div(heads))
            .unwrap_or_default();
        let layers = need("block_count")?;
        let query_scalar = match width.checked_div(heads) {
            Some(share) if family == Family::Gemma3 && layers == GEMMA_27B => share,
            _ => head_width,
        };
        let rotary_pairs = optional("rope.dimension_count")?.unwrap_or(head_width) / 2;
        for key in REFUSED {
            if self.values.has(&format!("{kind}.{key}")) {
                return Err(Error::unsupported(format!("{kind}.{key}")));
            }
        }
        let scaling = self.scaling(kind, rotary_pairs)?;
        let real = |key: &str| self.values.real(&format!("{kind}.{key}"));
        Ok(Description {
            family,
            name: self.values.text("general.name")?.unwrap_or(kind).to_owned(),
            layers,
            width,
            heads,
            key_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
            head_width,
            hidden: need("feed_forward_length")?,
            context: need("context_length")?,
            epsilon: real("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
            rotary_base: real("rope.freq_base")?.unwrap_or(USUAL_BASE),
            rotary_pairs,
            scaling,
            query_scalar: query_scalar as f64,
            window: optional("attention.sliding_window")?.unwrap_or(0),
            period: optional("attention.sliding_window_pattern")?.unwrap_or(GEMMA_PERIOD),
            local_base: real("rope.freq_base_swa")?.unwrap_or(USUAL_BASE),
            residual_fraction: family.residual_fraction(),
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
        let named = self.values.text(&format!("{kind}.rope.scaling.type"))?;
        let factor = self.values.real(&format!("{kind}.rope.scaling.factor"))?;
        // To llama.cpp, too, zero is none.
        let factor = factor.filter(|factor| *factor != 0.0);
        match (named, factor) {
            (Some("none"), _) | (None | Some("linear"), None) => Ok(Scaling::None),
            // Files that name no way are read as if they named this one.
            (None | Some("linear"), Some(factor)) if factor >= 1.0 => Ok(Scaling::Linear(factor)),
            (named, factor) => Err(Error::unsupported(format!(
                "rotary scaling {} with the factor {factor:?}",
                named.unwrap_or("linear")
            ))),
        }
    }

    fn types(&self) -> Result<&[i64]> {
        let key = "tokenizer.ggml.token_type";
        let found = self.values.value(key, "a list of whole numbers", |value| match value {
            Value::Wholes(types) => Some(types.as_slice()),
            _ => None,
        });
        Ok(found?.unwrap_or_default())
    }

    fn token(&self, key: &str) -> Result<Option<u32>> {
        self.values.whole(key, "the number of a token")
    }

    /// The token that begins every sequence, if there is to be one: `usually` where the file does not say, which in
    /// llama.cpp depends on the kind of tokenizer.
    fn first(&self, usually: bool) -> Result<Option<u32>> {
        if !self.values.switch("tokenizer.ggml.add_bos_token")?.unwrap_or(usually) {
            return Ok(None);
        }
        let key = "tokenizer.ggml.bos_token_id";
        needed(key, self.token(key)?).map(Some)
    }

    fn end(&self) -> Result<Option<u32>> {
        self.token("tokenizer.ggml.eos_token_id")
    }

    fn chat_template(&self) -> Result<Option<String>> {
        Ok(self.values.text("tokenizer.chat_template")?.map(str::to_owned))
    }

    /// Pieces with scores, as SentencePiece has them.
    fn scored(&self) -> Result<Vocabulary> {
        // Files that do not say are read as if they wanted it.
        if self.values.switch("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
            return Err(Error::unsupported("a tokenizer that puts a space before every text"));
        }
        let key = "tokenizer.ggml.scores";
        let scores = self.values.value(key, "a list of real numbers", |value| match value {
            Value::Reals(scores) => Some(scores.as_slice()),
            _ => None,
        });
        Vocabulary::from_scored(Scored {
            tokens: self.values.texts("tokenizer.ggml.tokens")?,
            scores: needed(key, scores?)?,
            types: self.types()?,
            first: self.first(true)?,
            end: self.end()?,
            chat_template: self.chat_template()?,
        })
    }

    /// The tokenizer and chat template.
    ///
    /// # Errors
    /// When it is of a kind that is not supported, or damaged.
    pub fn vocabulary(&self) -> Result<Vocabulary> {
        let kind = self.values.text("tokenizer.ggml.model")?.unwrap_or("");
        if kind == "llama" {
            return self.scored();
        }
        if kind != "gpt2" {
            return Err(Error::unsupported(format!("a tokenizer of the kind {kind}")));
        }
        let splitting = self.values.text("tokenizer.ggml.pre")?.unwrap_or("default");
        let llama3 = matches!(splitting, "llama3" | "llama-v3" | "llama-bpe");
        Vocabulary::from_gguf(
            self.values.texts("tokenizer.ggml.tokens")?,
            self.values.texts("tokenizer.ggml.merges")?,
            self.types()?,
            splitting,
            self.first(llama3)?,
            self.end()?,
            self.chat_template()?,
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
