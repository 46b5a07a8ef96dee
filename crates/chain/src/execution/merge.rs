//! Where proof of work ends: at the block with which the total difficulty reaches its terminal value.

use alloy_consensus::Header;
use alloy_primitives::U256;

use super::InvalidBlock;
use crate::block::ChainSpec;

/// Whether a child of `parent` is judged by the difficulty of all blocks before it.
pub fn counts_difficulty(spec: &ChainSpec, parent: &Header) -> bool {
    let terminal = spec.forks.terminal_total_difficulty;
    terminal.is_some_and(|terminal| !terminal.is_zero()) && !parent.difficulty.is_zero()
}

/// Checks that proof of work ends exactly where the terminal total difficulty says. `total` is the
/// difficulty of all blocks up to `parent`; it matters only if [`counts_difficulty`] says so.
///
/// # Errors
/// When the block goes on with proof of work too long, or with proof of stake too early.
pub fn check_merge(
    spec: &ChainSpec,
    parent: &Header,
    total: U256,
    header: &Header,
) -> Result<(), InvalidBlock> {
    let terminal = spec.forks.terminal_total_difficulty.unwrap_or(U256::MAX);
    if !counts_difficulty(spec, parent) {
        return Ok(());
    }
    match (!header.difficulty.is_zero(), total >= terminal) {
        (true, true) => {
            Err(InvalidBlock::Merge("proof of work after the terminal total difficulty"))
        }
        (false, false) => {
            Err(InvalidBlock::Merge("proof of stake before the terminal total difficulty"))
        }
        (true, false) | (false, true) => Ok(()),
    }
}
