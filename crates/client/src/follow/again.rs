//! Which blocks near the head are to be read once more, and what of them was delivered.
//!
//! Behind one address there may be several nodes: one says how long the chain is, and one that has not so much of it
//! gives its logs, which are fewer, and says nothing. A block may also be replaced by another. Either way a log would
//! be missed for good, and whoever is drawn and does not hear of it loses by it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

use alloy::rpc::types::Log;

/// Blocks farther than this below the head are there at every node.
pub(crate) const DEEP: u64 = 256;

/// What was read near the head.
#[derive(Debug)]
pub(super) struct Again {
    /// So long after it was read a block is read once more.
    after: Duration,
    /// The first block that is.
    from: u64,
    /// Ends of what was read, and when that was; the oldest first.
    ends: VecDeque<(u64, Instant)>,
    /// What was delivered, by block and by a hash that is another one in every life.
    delivered: BTreeMap<u64, BTreeSet<u64>>,
    hasher: RandomState,
}

impl Again {
    pub(super) fn new(after: Duration) -> Self {
        let (ends, delivered) = (VecDeque::new(), BTreeMap::new());
        Self { after, from: 0, ends, delivered, hasher: RandomState::new() }
    }

    /// Blocks `from` to `to` were read, when `head` was the last that was ready, and these logs were found in them.
    pub(super) fn note(&mut self, (from, to, head): (u64, u64, u64), logs: &[Log], now: Instant) {
        // What follows on something that is read once more is so, too: there are no holes.
        if self.ends.is_empty() {
            let deep = head.saturating_sub(DEEP);
            if to < deep {
                return;
            }
            self.from = from.max(deep);
        }
        self.ends.push_back((to, now));
        for log in logs {
            if let Some((block, hash)) = self.key(log).filter(|(block, _)| *block >= self.from) {
                self.delivered.entry(block).or_default().insert(hash);
            }
        }
    }

    /// The first block that is still to be read once more, if any is.
    pub(super) fn first(&self) -> Option<u64> {
        (!self.ends.is_empty()).then_some(self.from)
    }

    /// Which blocks are to be read now: first and last. Some wait a little less, so that not every end is a question.
    pub(super) fn due(&self, now: Instant) -> Option<(u64, u64)> {
        let age = |read: Instant| now.saturating_duration_since(read);
        let (_, oldest) = self.ends.front()?;
        if age(*oldest) < self.after {
            return None;
        }
        let old = self.ends.iter().take_while(|(_, read)| age(*read) >= self.after / 2);
        old.last().map(|(to, _)| (self.from, *to))
    }

    /// The blocks up to `to` were read once more: what of it was not delivered yet.
    pub(super) fn read(&mut self, to: u64, logs: Vec<Log>) -> Vec<Log> {
        let known: BTreeSet<u64> = self.delivered.values().flatten().copied().collect();
        // One whose transaction is not told cannot be told apart.
        let is_new = |log: &Log| self.key(log).is_some_and(|(_, hash)| !known.contains(&hash));
        let new: Vec<_> = logs.into_iter().filter(is_new).collect();
        while self.ends.front().is_some_and(|(end, _)| *end <= to) {
            self.ends.pop_front();
        }
        self.from = to.saturating_add(1);
        self.delivered = self.delivered.split_off(&self.from);
        new
    }

    /// The block of a log, and what it says in which transaction: in another block it is the same.
    fn key(&self, log: &Log) -> Option<(u64, u64)> {
        let transaction = log.transaction_hash?;
        Some((log.block_number?, self.hasher.hash_one((transaction, &log.inner))))
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, LogData};

    use super::*;

    /// One of transaction `n` in a block.
    fn log(block: u64, n: u8) -> Log {
        let data = LogData::new_unchecked(vec![B256::repeat_byte(n)], vec![n].into());
        Log {
            inner: alloy::primitives::Log { address: Address::ZERO, data },
            block_hash: Some(B256::repeat_byte(7)),
            block_number: Some(block),
            transaction_hash: Some(B256::repeat_byte(n)),
            ..Log::default()
        }
    }

    const AFTER: Duration = Duration::from_secs(30);

    #[test]
    fn what_was_not_there_is_found_and_what_was_delivered_is_not_delivered_again() {
        let (mut again, start) = (Again::new(AFTER), Instant::now());
        again.note((1, 10, 10), &[log(9, 1)], start);
        again.note((11, 12, 12), &[log(12, 2)], start + Duration::from_secs(10));
        again.note((13, 14, 14), &[log(14, 3)], start + Duration::from_secs(20));
        assert_eq!(again.due(start + Duration::from_secs(29)), None);
        assert_eq!(again.due(start + AFTER), Some((1, 12)), "the third is too young");
        // One that was missed; one whose block was replaced, and which is now in a later one; one as it was.
        let found = again.read(12, vec![log(8, 4), log(10, 1), log(12, 2)]);
        assert_eq!(found, [log(8, 4)]);
        let third = start + Duration::from_secs(50);
        assert_eq!(again.due(third - Duration::from_secs(1)), None);
        assert_eq!(again.due(third), Some((13, 14)));
        assert_eq!(again.read(14, vec![log(14, 3), log(14, 5)]), [log(14, 5)]);
        assert_eq!(again.due(third + AFTER), None);
        assert!(again.delivered.is_empty(), "nothing is kept for ever");
    }

    #[test]
    fn the_past_is_read_once() {
        let (mut again, start) = (Again::new(AFTER), Instant::now());
        again.note((0, 1_999, 5_000), &[log(7, 1)], start);
        assert_eq!((again.due(start + AFTER), again.delivered.len()), (None, 0));
        again.note((4_000, 5_000, 5_000), &[log(4_100, 2), log(4_990, 3)], start);
        assert_eq!(again.due(start + AFTER), Some((4_744, 5_000)));
        assert_eq!(again.read(5_000, vec![log(4_990, 3)]), []);
    }

    #[test]
    fn a_chain_that_leaps_ahead_is_read_twice_without_a_hole() {
        let (mut again, start) = (Again::new(AFTER), Instant::now());
        again.note((1, 10, 10), &[], start);
        again.note((11, 2_010, 5_000), &[log(99, 1)], start);
        again.note((2_011, 4_010, 5_000), &[log(3_000, 2)], start);
        assert_eq!(again.due(start + AFTER), Some((1, 4_010)));
        let found = again.read(4_010, vec![log(7, 3), log(99, 1), log(3_000, 2)]);
        assert_eq!(found, [log(7, 3)]);
    }

    #[test]
    fn what_is_too_much_at_once_is_read_in_parts() {
        let (mut again, start) = (Again::new(AFTER), Instant::now());
        again.note((1, 10, 10), &[log(9, 1)], start);
        assert_eq!(again.read(4, vec![log(3, 2)]), [log(3, 2)]);
        assert_eq!(again.due(start + AFTER), Some((5, 10)));
        assert_eq!(again.read(10, vec![log(9, 1)]), []);
        assert_eq!(again.due(start + AFTER), None);
    }
}
