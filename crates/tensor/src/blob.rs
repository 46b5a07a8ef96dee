//! The model blob: one file with everything a model needs, named by its BLAKE3 hash.
//!
//! ```text
//! magic (8), zeros to 64
//! sections, each from a multiple of 64
//! header (JSON)
//! length of the header (u64, little endian), magic (8)
//! ```
//!
//! The header comes last, so that a blob is written in one pass. BLAKE3 is a tree over chunks of 1 KiB:
//! any part can be fetched and proved on its own.

mod header;
mod write;

#[cfg(feature = "text")]
pub(crate) use header::LARGEST_VOCABULARY;
pub use header::{Architecture, Header, Kind, Layer, Pooling, Section};
pub use write::Writer;

use crate::int1::layer_norm::LayerNorm;
use crate::int1::norm::{EPSILON_BITS, GAIN_BITS, Gains, LONGEST};
use crate::matrix::{Matrix, Store};
use crate::{Error, Result};

/// The first and last bytes of a blob.
pub const MAGIC: &[u8; 8] = b"tilthmdl";
/// The longest header that is read.
pub const LONGEST_HEADER: usize = 16 << 20;
/// Sections begin at multiples of this.
pub const ALIGNMENT: usize = 64;

/// An opened blob.
#[derive(Clone)]
pub struct Blob {
    store: Store,
    header: Header,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("sections", &self.header.sections.len())
            .finish_non_exhaustive()
    }
}

impl Blob {
    /// Reads the header and checks that every section lies within the file.
    ///
    /// # Errors
    /// When the file is not a blob, or is damaged.
    pub fn open(store: Store) -> Result<Self> {
        let bytes = (*store).as_ref();
        if !bytes.starts_with(MAGIC) || !bytes.ends_with(MAGIC) || bytes.len() < ALIGNMENT + 16 {
            return Err(Error::new(
                "this is not a model blob",
                "the magic bytes are missing",
                "Import the model first",
            ));
        }
        let end = bytes.len() - 16;
        let length =
            bytes[end..].first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
        let start = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LONGEST_HEADER)
            .and_then(|length| end.checked_sub(length))
            .filter(|start| *start >= ALIGNMENT)
            .ok_or_else(|| Error::damaged(format!("a header of {length} bytes")))?;
        let header: Header = serde_json::from_slice(&bytes[start..end])
            .map_err(|error| Error::damaged(format!("header: {error}")))?;
        header.check(start)?;
        Ok(Self { store, header })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The model's id: the hash of all its bytes.
    #[must_use]
    pub fn id(&self) -> blake3::Hash {
        blake3::hash((*self.store).as_ref())
    }

    fn section(&self, name: &str) -> Result<&Section> {
        self.header
            .sections
            .get(name)
            .ok_or_else(|| Error::damaged(format!("there is no section {name}")))
    }

    /// Whether there is a section.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.header.sections.contains_key(name)
    }

    /// A matrix of exactly this shape.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix> {
        match self.section(name)? {
            Section { at, kind: Kind::Matrix { rows: r, columns: c } }
                if (*r, *c) == (rows, columns) =>
            {
                Matrix::open(&self.store, *at, rows, columns)
            }
            section => {
                Err(Error::damaged(format!("{name} is {:?}, not {rows} x {columns}", section.kind)))
            }
        }
    }

    /// A vector of exactly this length, and its fractional bits.
    ///
    /// # Errors
    /// When it is missing or has another length.
    pub fn vector(&self, name: &str, length: usize) -> Result<(Vec<i32>, i32)> {
        match self.section(name)? {
            Section { at, kind: Kind::Vector { length: l, fraction } } if *l == length => {
                let bytes = &(*self.store).as_ref()[*at..*at + 4 * length];
                let words = bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|word| i32::from_le_bytes(*word).max(-i32::MAX));
                Ok((words.collect(), *fraction))
            }
            section => {
                Err(Error::damaged(format!("{name} is {:?}, not of length {length}", section.kind)))
            }
        }
    }

    /// The gains of a normalisation.
    ///
    /// # Errors
    /// When they are missing, of another length, or beyond the profile's bounds.
    pub fn gains(&self, name: &str, length: usize, epsilon: u64) -> Result<Gains> {
        self.gains_with(name, length, epsilon, length as u128)
    }

    /// Gains and biases of a layer normalisation whose input and result have `fraction` fractional bits; the
    /// biases' section is called `NAME_bias`.
    ///
    /// # Errors
    /// As for [`gains`](Self::gains).
    pub fn layer_norm(
        &self,
        name: &str,
        length: usize,
        epsilon: u64,
        fraction: i32,
    ) -> Result<LayerNorm> {
        // The bound on lengths comes before the cube.
        let cube = (length.min(LONGEST) as u128).pow(3);
        let gains = self.gains_with(name, length, epsilon, cube)?;
        Ok(LayerNorm {
            gains,
            biases: self.biases(&format!("{name}_bias"), length, fraction)?,
            fraction,
        })
    }

    /// Biases with `fraction` fractional bits.
    ///
    /// # Errors
    /// When they are missing, of another length or fraction.
    pub fn biases(&self, name: &str, length: usize, fraction: i32) -> Result<Vec<i32>> {
        match self.vector(name, length)? {
            (words, found) if found == fraction => Ok(words),
            (_, found) => {
                Err(Error::damaged(format!("{name} has {found} fractional bits, not {fraction}")))
            }
        }
    }

    /// Gains whose epsilon is taken `times`.
    fn gains_with(&self, name: &str, length: usize, epsilon: u64, times: u128) -> Result<Gains> {
        let (mantissas, fraction) = self.vector(name, length)?;
        let wide = mantissas.iter().any(|m| m.unsigned_abs() >= 1 << GAIN_BITS);
        if wide || length > LONGEST || !(-64..=64).contains(&fraction) {
            return Err(Error::damaged(format!(
                "{name} holds gains beyond 23 bits or {LONGEST} elements"
            )));
        }
        let epsilon = u64::try_from((u128::from(epsilon) * times) >> 16)
            .ok()
            .filter(|epsilon| *epsilon < 1 << EPSILON_BITS)
            .ok_or_else(|| Error::damaged(format!("{name}: epsilon is too large")))?;
        Ok(Gains { mantissas, fraction, epsilon })
    }

    /// A section of plain bytes.
    ///
    /// # Errors
    /// When it is missing.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        match self.section(name)? {
            Section { at, kind: Kind::Bytes { length } } => {
                Ok(&(*self.store).as_ref()[*at..*at + *length])
            }
            section => Err(Error::damaged(format!("{name} is {:?}, not bytes", section.kind))),
        }
    }
}
