//! safetensors files, with the names that Hugging Face's models use.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Tensors;
use super::encoding::{Encoding, Tensor};
use super::names::{self, Names};
use crate::{Error, Result};

/// The longest header that is read.
const LONGEST_HEADER: usize = 64 << 20;

/// A parsed file. Tensors stay where they are.
#[derive(Debug)]
pub struct Safetensors<'a> {
    places: BTreeMap<String, Place>,
    data: &'a [u8],
    known: &'static Names,
}

#[derive(Debug, Deserialize)]
struct Place {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl<'a> Safetensors<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let length = bytes.first_chunk().map_or(u64::MAX, |word| u64::from_le_bytes(*word));
        let header = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LONGEST_HEADER)
            .and_then(|length| bytes.get(8..length.checked_add(8)?))
            .ok_or_else(|| Error::damaged(format!("a header of {length} bytes")))?;
        let mut entries: BTreeMap<String, Value> = serde_json::from_slice(header)
            .map_err(|error| Error::damaged(format!("header: {error}")))?;
        entries.remove("__metadata__");
        let data = &bytes[8 + header.len()..];
        let places = entries
            .into_iter()
            .map(|(name, value)| match serde_json::from_value::<Place>(value) {
                // A file that is cut short within tensors that are not needed is cut short.
                Ok(place) if place.data_offsets[1] > data.len() => {
                    Err(Error::damaged(format!("{name} lies outside the file")))
                }
                Ok(place) => Ok((name, place)),
                Err(error) => Err(Error::damaged(format!("{name}: {error}"))),
            })
            .collect::<Result<_>>()?;
        Ok(Self { places, data, known: &names::LLAMA })
    }

    /// The same file, of a kind that gives its tensors these names.
    pub(super) fn named(self, known: &'static Names) -> Self {
        Self { known, ..self }
    }
}

impl Tensors for Safetensors<'_> {
    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some(place) = self.known.foreign(name).and_then(|name| self.places.get(&name)) else {
            return Ok(None);
        };
        let encoding = match place.dtype.as_str() {
            "F32" => Encoding::F32,
            "F16" => Encoding::F16,
            "BF16" => Encoding::Bf16,
            other => return Err(Error::unsupported(format!("{name} is in the encoding {other}"))),
        };
        let (rows, columns) = match place.shape[..] {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ => {
                return Err(Error::unsupported(format!(
                    "{name} has {} dimensions",
                    place.shape.len()
                )));
            }
        };
        let bytes = self.data.get(place.data_offsets[0]..place.data_offsets[1]);
        let bytes = bytes.ok_or_else(|| Error::damaged(format!("{name} lies outside the file")))?;
        Tensor::new(encoding, rows, columns, bytes).map(Some)
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        let names = self.places.keys().filter(|name| !self.known.passes_over(name));
        names.map(|name| self.known.ours(name).map_or(name.as_str().into(), Cow::Owned)).collect()
    }
}
