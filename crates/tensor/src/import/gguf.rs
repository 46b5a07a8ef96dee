//! GGUF files: the container of llama.cpp.

use std::collections::BTreeMap;

use super::Tensors;
use super::assemble::{Description, Family};
use super::encoding::{Encoding, Tensor};
use super::turns::Scaling;
use crate::tokenizer::Vocabulary;
use crate::{Error, Result};

/// The most entries of metadata and the most tensors that are read.
const MOST: u64 = 1 << 16;

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

/// A value of the metadata.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Whole(i128),
    Real(f64),
    Bool(bool),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Wholes(Vec<i64>),
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let part = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        let part = part.ok_or_else(|| {
            Error::damaged(format!("it ends within its header, at byte {}", self.at))
        })?;
        self.at += length;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of things of at least `least` bytes each that must still be in the file.
    fn count(&mut self, least: usize) -> Result<usize> {
        let count = self.u64()?;
        let left = self.bytes.len() - self.at;
        usize::try_from(count)
            .ok()
            .filter(|count| count.checked_mul(least).is_some_and(|bytes| bytes <= left))
            .ok_or_else(|| {
                Error::damaged(format!("{count} entries in the {left} bytes that are left"))
            })
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.count(1)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map_err(|_| Error::damaged(format!("text before byte {} is no UTF-8", self.at)))
    }

    fn scalar(&mut self, kind: u32) -> Result<Value<'a>> {
        Ok(match kind {
            0 => Value::Whole(i128::from(self.array::<1>()?[0])),
            1 => Value::Whole(i128::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Whole(i128::from(u16::from_le_bytes(self.array()?))),
            3 => Value::Whole(i128::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Whole(i128::from(self.u32()?)),
            5 => Value::Whole(i128::from(i32::from_le_bytes(self.array()?))),
            6 => Value::Real(f64::from(f32::from_le_bytes(self.array()?))),
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            8 => Value::Text(self.text()?),
            10 => Value::Whole(i128::from(self.u64()?)),
            11 => Value::Whole(i128::from(i64::from_le_bytes(self.array()?))),
            12 => Value::Real(f64::from_le_bytes(self.array()?)),
            kind => return Err(Error::damaged(format!("metadata of the unknown type {kind}"))),
        })
    }

    fn value(&mut self, kind: u32) -> Result<Value<'a>> {
        if kind != 9 {
            return self.scalar(kind);
        }
        let kind = self.u32()?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            kind => return Err(Error::damaged(format!("an array of the type {kind}"))),
        };
        let count = self.count(least)?;
        Ok(match kind {
            8 => Value::Texts((0..count).map(|_| self.text()).collect::<Result<_>>()?),
            5 => Value::Wholes(
                (0..count)
                    .map(|_| Ok(i64::from(i32::from_le_bytes(self.array()?))))
                    .collect::<Result<_>>()?,
            ),
            4 => Value::Wholes(
                (0..count).map(|_| Ok(i64::from(self.u32()?))).collect::<Result<_>>()?,
            ),
            _ => {
                self.take(count * least)?;
                Value::Other
            }
        })
    }
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
        let scaling = if let Some(tensor) = self.tensor("rope_freqs.weight")? {
            Scaling::Factors(tensor.vector("rope_freqs.weight", tensor.shape().1)?)
        } else {
            match (
                self.text(&format!("{kind}.rope.scaling.type")),
                self.real(&format!("{kind}.rope.scaling.factor")),
            ) {
                (None | Some("none"), _) => Scaling::None,
                (Some("linear"), Some(factor)) if factor >= 1.0 => Scaling::Linear(factor),
                (Some(kind), _) => {
                    return Err(Error::unsupported(format!("rotary scaling {kind}")));
                }
            }
        };
        Ok(Description {
            family,
            name: self.text("general.name").unwrap_or(kind).to_owned(),
            layers: need("block_count")?,
            width,
            heads,
            key_heads: optional("attention.head_count_kv").unwrap_or(heads),
            head_width,
            hidden: need("feed_forward_length")?,
            context: need("context_length")?,
            epsilon: self.real(&format!("{kind}.attention.layer_norm_rms_epsilon")).unwrap_or(1e-6),
            rotary_base: self.real(&format!("{kind}.rope.freq_base")).unwrap_or(10_000.0),
            rotary_pairs: optional("rope.dimension_count").unwrap_or(head_width) / 2,
            scaling,
            window: optional("attention.sliding_window").unwrap_or(0),
            // llama.cpp reorders the weights of these so that neighbours turn together.
            neighbours: family == Family::Llama,
            gain_offset: 0.0,
        })
    }

    /// The tokenizer and chat template.
    ///
    /// # Errors
    /// When it is of a kind that is not supported, or damaged.
    pub fn vocabulary(&self) -> Result<Vocabulary> {
        let kind = self.text("tokenizer.ggml.model").unwrap_or("");
        if kind != "gpt2" {
            return Err(Error::unsupported(format!("a tokenizer of the kind {kind}")));
        }
        let Some(Value::Texts(tokens)) = self.values.get("tokenizer.ggml.tokens") else {
            return Err(Error::damaged("tokenizer.ggml.tokens is missing"));
        };
        let Some(Value::Texts(merges)) = self.values.get("tokenizer.ggml.merges") else {
            return Err(Error::damaged("tokenizer.ggml.merges is missing"));
        };
        let types = match self.values.get("tokenizer.ggml.token_type") {
            Some(Value::Wholes(types)) => types.as_slice(),
            _ => &[],
        };
        let token = |key: &str| {
            self.whole(&format!("tokenizer.ggml.{key}")).and_then(|x| u32::try_from(x).ok())
        };
        let flag = |key: &str| matches!(self.values.get(key), Some(Value::Bool(true)));
        Vocabulary::from_gguf(
            tokens,
            merges,
            types,
            self.text("tokenizer.ggml.pre").unwrap_or("default"),
            token("bos_token_id").filter(|_| flag("tokenizer.ggml.add_bos_token")),
            token("eos_token_id"),
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
}
