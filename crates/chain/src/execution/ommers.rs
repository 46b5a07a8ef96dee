//! Whether a proof of work block may name the ommers it names.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::map::B256Set;

use super::{InvalidBlock, check_header};
use crate::block::{Block, ChainSpec, SealedHeader};

/// How many generations of ancestors are needed to judge ommers.
pub const OMMER_DEPTH: usize = 7;

/// Ommers per block.
const OMMERS_MAX: usize = 2;

/// An earlier block as far as ommers need it.
#[derive(Clone, Debug)]
pub struct Ancestor {
    /// Its header.
    pub header: SealedHeader,
    /// Its own ommers.
    pub ommers: Vec<Header>,
}

/// Checks a block's ommers: at most two, siblings of one of the last six ancestors, valid as
/// headers, and never named before. `ancestors` are the block's parent, the parent's parent and so
/// on, [`OMMER_DEPTH`] of them or all there are.
///
/// # Errors
/// The rule that is broken.
pub fn check_ommers(
    spec: &ChainSpec,
    block: &Block,
    ancestors: &[Ancestor],
) -> Result<(), InvalidBlock> {
    if block.ommers.is_empty() {
        return Ok(());
    }
    if block.header.difficulty.is_zero() || block.header.ommers_hash == EMPTY_OMMER_ROOT_HASH {
        return Err(InvalidBlock::Ommer("a proof of stake block has none"));
    }
    if block.ommers.len() > OMMERS_MAX {
        return Err(InvalidBlock::Ommer("too many"));
    }
    let mut named = B256Set::default();
    named.insert(block.header.hash());
    for ancestor in ancestors {
        named.extend(ancestor.ommers.iter().map(|ommer| ommer.hash_slow()));
    }
    for ommer in &block.ommers {
        let hash = ommer.hash_slow();
        if !named.insert(hash) {
            return Err(InvalidBlock::Ommer("named twice"));
        }
        if ancestors.iter().any(|ancestor| ancestor.header.hash() == hash) {
            return Err(InvalidBlock::Ommer("it is an ancestor"));
        }
        // Its parent is not the block's own parent: then it would be a sibling.
        let parent = ancestors
            .iter()
            .skip(1)
            .find(|ancestor| ancestor.header.hash() == ommer.parent_hash)
            .ok_or(InvalidBlock::Ommer("its parent is not an ancestor"))?;
        if ommer.difficulty.is_zero() {
            return Err(InvalidBlock::Ommer("it is proof of stake"));
        }
        check_header(spec, &parent.header, ommer)
            .map_err(|reason| InvalidBlock::OmmerHeader(Box::new(reason)))?;
    }
    Ok(())
}
