//! Writing a blob in one pass.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{ALIGNMENT, Architecture, Header, Kind, MAGIC, Section};
use crate::{Error, Result};

/// A blob being written.
#[derive(Debug)]
pub struct Writer<W> {
    to: Hashing<W>,
    sections: BTreeMap<String, Section>,
}

#[derive(Debug)]
struct Hashing<W> {
    to: W,
    hash: blake3::Hasher,
    written: usize,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.written += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn failed(error: io::Error) -> Error {
    Error::new("the model cannot be written", error.to_string(), "Make room and try again")
}

impl<W: Write> Writer<W> {
    /// Begins a blob.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn new(to: W) -> Result<Self> {
        let to = Hashing { to, hash: blake3::Hasher::new(), written: 0 };
        let mut writer = Self { to, sections: BTreeMap::new() };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(failed)
    }

    /// Adds a section.
    ///
    /// # Errors
    /// When the sink fails or the bytes are not what the kind says.
    pub fn section(&mut self, name: &str, kind: Kind, bytes: &[u8]) -> Result<()> {
        if kind.bytes()? != bytes.len() {
            return Err(Error::damaged(format!("{name}: {} bytes for {kind:?}", bytes.len())));
        }
        let gap = self.to.written.next_multiple_of(ALIGNMENT) - self.to.written;
        self.put(&[0; ALIGNMENT][..gap])?;
        let at = self.to.written;
        self.put(bytes)?;
        self.sections.insert(name.to_owned(), Section { at, kind });
        Ok(())
    }

    /// Ends the blob; returns its id and size in bytes.
    ///
    /// # Errors
    /// When the sink fails or the architecture is out of bounds.
    pub fn finish(
        mut self,
        name: &str,
        architecture: Architecture,
    ) -> Result<(blake3::Hash, usize)> {
        let sections = std::mem::take(&mut self.sections);
        let header = Header { profile: "int1".into(), name: name.into(), architecture, sections };
        header.check(self.to.written)?;
        let text =
            serde_json::to_vec(&header).map_err(|error| Error::damaged(error.to_string()))?;
        self.put(&text)?;
        self.put(&(text.len() as u64).to_le_bytes())?;
        self.put(MAGIC)?;
        self.to.flush().map_err(failed)?;
        Ok((self.to.hash.finalize(), self.to.written))
    }
}
