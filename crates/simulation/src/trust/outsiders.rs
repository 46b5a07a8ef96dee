//! How those decide who have no part in any job: the producer of blocks, and a stranger.

use alloy_primitives::Address;
use tilth_client::audit::Millis;

use super::scene::{Scene, Tx};
use crate::random::Random;

/// How the producer of blocks decides.
pub trait Proposer {
    /// Takes out of the pool what goes into the next block, in this order.
    fn take(&mut self, pool: &mut Vec<Tx>, _now: Millis, _random: &mut Random) -> Vec<Tx> {
        std::mem::take(pool)
    }
    /// The time it writes into the block, seconds; the world sees to it that time does not stand still.
    fn stamp(&mut self, now: u64, _random: &mut Random) -> u64 {
        now
    }
    /// How many blocks it can take back. Everybody believes only logs and receipts with as many blocks on top, as real
    /// ones must where a chain reorganises; what they look at besides may be gone a moment later.
    fn reach(&self) -> u64 {
        0
    }
    /// How many of the last blocks it makes anew now, at most its reach: what was in them waits again, and their hashes are
    /// others. Asked only while there is something to take back.
    fn takes_back(&mut self, _now: Millis, _random: &mut Random) -> u64 {
        0
    }
}

/// Somebody with an account and no part in anything.
pub trait Stranger {
    /// Does what it likes.
    fn act(&mut self, who: Address, scene: &mut Scene);
}
