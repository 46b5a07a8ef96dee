//! What a blob says about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ALIGNMENT;
use crate::int1::activation::Gate;
use crate::int1::attention::{Factor, LONGEST_CONTEXT, WIDEST_HEAD};
use crate::int1::norm::LONGEST;
use crate::int1::rotation::Pairing;
use crate::matrix::Matrix;
use crate::{Error, Result};

/// The most layers of a model.
pub const MOST_LAYERS: usize = 512;
/// The most tokens of a vocabulary: with 2^18 exponentials of 30 bits, shares of totals fit 64 bits.
pub const LARGEST_VOCABULARY: usize = 1 << 18;

/// The header of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The blob format and arithmetic: `int1`.
    pub profile: String,
    /// What the model was called where it came from.
    pub name: String,
    /// The graph.
    pub architecture: Architecture,
    /// Where everything lies.
    pub sections: BTreeMap<String, Section>,
}

/// A decoder of the Llama kind, or an encoder of the BERT kind: what distinguishes one from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Tokens.
    pub vocabulary: usize,
    /// Elements of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`. As many, in an encoder.
    pub key_heads: usize,
    /// Elements per head.
    pub head_width: usize,
    /// Elements of the feed-forward layer.
    pub hidden: usize,
    /// Positions.
    pub context: usize,
    /// The gate of the feed-forward layer.
    pub gate: Gate,
    /// Fractional bits of the residual stream.
    pub residual_fraction: i32,
    /// The constant under the root of normalisations, with `2 * residual_fraction + 16` fractional bits, in
    /// encoders too.
    pub epsilon: u64,
    /// The same for queries and keys, which have 16 fractional bits: 48 in all.
    pub head_epsilon: u64,
    /// What embeddings are multiplied by, if anything.
    pub embedding_factor: Option<Factor>,
    /// The factor of scores.
    pub score_factor: Factor,
    /// Which elements turn together.
    pub pairing: Pairing,
    /// Per set of rotary frequencies: advance per position of each pair, as a fraction of a turn, 64 bits. None
    /// in an encoder, whose positions are learnt.
    pub turns: Vec<Vec<u64>>,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Which rows become the embedding: there in encoders, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
}

/// How an encoder's rows become one embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of all rows.
    Mean,
    /// The first row.
    First,
}

/// What distinguishes layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// How many positions are seen; zero for all.
    pub window: usize,
    /// Which set of `turns`.
    pub turns: usize,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Where it begins.
    pub at: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a section holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Weights, as [`Matrix`] lays them out.
    Matrix {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// 32-bit words, little endian.
    Vector {
        /// Words.
        length: usize,
        /// Fractional bits.
        fraction: i32,
    },
    /// Plain bytes.
    Bytes {
        /// Bytes.
        length: usize,
    },
}

impl Kind {
    /// Bytes in the file.
    ///
    /// # Errors
    /// When a shape is beyond the profile's bounds.
    pub fn bytes(&self) -> Result<usize> {
        match self {
            Self::Matrix { rows, columns } => Matrix::bytes(*rows, *columns),
            Self::Vector { length, .. } if *length <= LONGEST * 64 => Ok(4 * length),
            Self::Vector { length, .. } => Err(Error::damaged(format!("a vector of {length}"))),
            Self::Bytes { length } => Ok(*length),
        }
    }
}

impl Header {
    /// Checks everything that can be checked without the sections' contents. Sections must end before
    /// `end`.
    pub(super) fn check(&self, end: usize) -> Result<()> {
        if self.profile != "int1" {
            return Err(Error::unsupported(format!("the profile {}", self.profile)));
        }
        for (name, section) in &self.sections {
            let inside = section
                .at
                .checked_add(section.kind.bytes()?)
                .is_some_and(|last| last <= end && section.at.is_multiple_of(ALIGNMENT));
            if !inside {
                return Err(Error::damaged(format!("{name} lies outside the file")));
            }
        }
        self.architecture.check()
    }
}

impl Architecture {
    /// Checks the profile's bounds, on which the overflow proofs rest.
    ///
    /// # Errors
    /// Naming what is out of bounds.
    pub fn check(&self) -> Result<()> {
        let is_encoder = self.pooling.is_some();
        let sets = if is_encoder { 0..=0 } else { 1..=4 };
        let within = [
            ("vocabulary", self.vocabulary, 1, LARGEST_VOCABULARY),
            ("width", self.width, 2, LONGEST),
            ("heads", self.heads, 1, 1024),
            ("key_heads", self.key_heads, 1, self.heads),
            ("head_width", self.head_width, 2, WIDEST_HEAD),
            ("hidden", self.hidden, 1, 1 << 18),
            ("context", self.context, 1, LONGEST_CONTEXT),
            ("layers", self.layers.len(), 1, MOST_LAYERS),
            ("sets of turns", self.turns.len(), *sets.start(), *sets.end()),
        ];
        for (what, value, least, most) in within {
            if !(least..=most).contains(&value) {
                return Err(Error::unsupported(format!(
                    "{what} is {value}, not within {least} to {most}"
                )));
            }
        }
        if !self.heads.is_multiple_of(self.key_heads) || !self.head_width.is_multiple_of(2) {
            return Err(Error::unsupported(
                "heads must be a multiple of key_heads, head_width even",
            ));
        }
        let plain = |layer: &Layer| *layer == Layer::default();
        if is_encoder {
            if self.key_heads != self.heads
                || self.embedding_factor.is_some()
                || !self.layers.iter().all(plain)
            {
                return Err(Error::damaged("an encoder with parts of a decoder"));
            }
        } else if self.turns.iter().any(|turns| 2 * turns.len() > self.head_width)
            || self.layers.iter().any(|layer| layer.turns >= self.turns.len())
        {
            return Err(Error::damaged("the rotary frequencies do not fit the heads"));
        }
        let factors = std::iter::once(&self.score_factor).chain(&self.embedding_factor);
        if factors.into_iter().any(|f| f.mantissa >> 30 != 1 || !(-64..=64).contains(&f.fraction))
            || !(8..=20).contains(&self.residual_fraction)
        {
            return Err(Error::damaged("a factor or fraction is out of range"));
        }
        Ok(())
    }
}
