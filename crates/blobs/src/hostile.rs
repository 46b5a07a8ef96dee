//! Doors for fuzzing: what strangers ask for, and nobody else has to look at from outside.

use iroh_blobs::protocol::ChunkRangesSeq;

pub use crate::admission::MAX_PARTS;

/// Whether a request wants parts of a sequence; `None` if it names places beyond all sequences.
pub fn wants_parts(ranges: &ChunkRangesSeq) -> Option<bool> {
    crate::admission::wants_parts(ranges)
}
