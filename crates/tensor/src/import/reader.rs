//! The header of a GGUF file, value by value: nothing is allocated before the bytes that it stands for are seen.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// A value of the metadata.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Whole(i128),
    Real(f64),
    Bool(bool),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Wholes(Vec<i64>),
    Reals(Vec<f32>),
    Other,
}

/// What a file says of itself, by keys.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a>(BTreeMap<&'a str, Value<'a>>);

impl<'a> Metadata<'a> {
    pub fn insert(&mut self, key: &'a str, value: Value<'a>) {
        self.0.insert(key, value);
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// What a key says, if it is there. A value that `read` does not take is no value that is missing: the file says
    /// something, and it would be left out in silence.
    pub fn value<'b, T>(
        &'b self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'b Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| Error::damaged(format!("{key} is not {wanted}")))
    }

    pub fn whole<T: TryFrom<i128>>(&self, key: &str, wanted: &str) -> Result<Option<T>> {
        self.value(key, wanted, |value| match value {
            Value::Whole(x) => T::try_from(*x).ok(),
            _ => None,
        })
    }

    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        self.whole(key, "a count")
    }

    pub fn real(&self, key: &str) -> Result<Option<f64>> {
        self.value(key, "a real number", |value| match value {
            Value::Real(x) => Some(*x),
            _ => None,
        })
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.value(key, "a text", |value| match value {
            Value::Text(x) => Some(*x),
            _ => None,
        })
    }

    pub fn switch(&self, key: &str) -> Result<Option<bool>> {
        self.value(key, "true or false", |value| match value {
            Value::Bool(x) => Some(*x),
            _ => None,
        })
    }

    /// Texts that must be there.
    pub fn texts(&self, key: &str) -> Result<&[&'a str]> {
        let found = self.value(key, "a list of texts", |value| match value {
            Value::Texts(x) => Some(x.as_slice()),
            _ => None,
        });
        needed(key, found?)
    }
}

/// What must be there.
pub(super) fn needed<T>(key: &str, found: Option<T>) -> Result<T> {
    found.ok_or_else(|| Error::damaged(format!("{key} is missing")))
}

/// A place in a file's header.
pub(super) struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
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

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
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

    pub fn text(&mut self) -> Result<&'a str> {
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

    pub fn value(&mut self, kind: u32) -> Result<Value<'a>> {
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
            6 => Value::Reals(
                (0..count).map(|_| Ok(f32::from_le_bytes(self.array()?))).collect::<Result<_>>()?,
            ),
            _ => {
                self.take(count * least)?;
                Value::Other
            }
        })
    }
}
