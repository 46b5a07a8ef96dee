//! The difficulty of proof of work blocks, with the bomb that every few forks pushed back.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::U256;

use crate::block::ChainSpec;

/// No block is easier than this.
const MINIMUM: U256 = U256::from_limbs([131_072, 0, 0, 0]);

/// The difficulty moves by a multiple of its 2048th part.
const DIVISOR: u64 = 2048;

/// Blocks after which the bomb doubles.
const BOMB_PERIOD: u64 = 100_000;

/// At the most so many parts down per block.
const STEPS_DOWN_MAX: u64 = 99;

/// The difficulty that a proof of work child of `parent` must have at `timestamp`, which is not
/// before the parent's.
pub fn next_difficulty(spec: &ChainSpec, parent: &Header, timestamp: u64) -> U256 {
    let number = parent.number.saturating_add(1);
    let forks = &spec.forks;
    let reached = |fork: Option<u64>| fork.is_some_and(|fork| fork <= number);
    let elapsed = timestamp.saturating_sub(parent.timestamp);
    let delay = match () {
        () if reached(forks.gray_glacier) => 11_400_000,
        () if reached(forks.arrow_glacier) => 10_700_000,
        () if reached(forks.london) => 9_700_000,
        () if reached(forks.muir_glacier) => 9_000_000,
        () if reached(forks.constantinople) => 5_000_000,
        () if reached(forks.byzantium) => 3_000_000,
        () if reached(forks.homestead) => {
            let adjusted = adjust(parent.difficulty, 1, elapsed / 10);
            return adjusted.saturating_add(bomb(number));
        }
        () => return frontier(parent.difficulty, elapsed, number),
    };
    // A parent with ommers counts as two blocks (EIP-100).
    let up = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
    adjust(parent.difficulty, up, elapsed / 9).saturating_add(bomb(number.saturating_sub(delay)))
}

fn frontier(parent: U256, elapsed: u64, number: u64) -> U256 {
    let step = parent / U256::from(DIVISOR);
    let adjusted =
        if elapsed < 13 { parent.saturating_add(step) } else { parent.saturating_sub(step) };
    adjusted.max(MINIMUM).saturating_add(bomb(number))
}

/// Moves by `up - down` steps, at most 99 downwards, and not below the minimum.
fn adjust(parent: U256, up: u64, down: u64) -> U256 {
    let step = parent / U256::from(DIVISOR);
    let adjusted = if up >= down {
        parent.saturating_add(step.saturating_mul(U256::from(up - down)))
    } else {
        let steps = (down - up).min(STEPS_DOWN_MAX);
        parent.saturating_sub(step.saturating_mul(U256::from(steps)))
    };
    adjusted.max(MINIMUM)
}

/// What the bomb adds in the block of this (delayed) number.
fn bomb(number: u64) -> U256 {
    match (number / BOMB_PERIOD).checked_sub(2) {
        None => U256::ZERO,
        Some(exponent) if exponent < 256 => U256::ONE << exponent,
        Some(_) => U256::MAX,
    }
}
