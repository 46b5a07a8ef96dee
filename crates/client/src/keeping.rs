//! What the keepers of audits ([`crate::audit`]), of replicas ([`crate::mates`]) and of kept ranges
//! ([`crate::holding`]) have in common: each reads logs, has its machine decide, and waits for what is under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
};

use alloy::{
    primitives::{B256, Log, U256},
    rpc::types::Log as ReadLog,
};
use tilth_protocol::{JobId, RangeId};
use tokio::task::JoinError;
use tracing::{debug, warn};

use crate::{ChainError, Link, News, cases::Millis, follow::Following};

/// What anybody may do is done by one after the other within this time, in milliseconds: at a node on this machine, and
/// elsewhere, where a few blocks must pass before one sees what another did.
const SPREAD: (Millis, Millis) = (3_000, 60_000);
/// Without blocks for so long we make one: at a node on this machine, which may make blocks only for
/// transactions, and elsewhere.
const POKE_AFTER: (Millis, Millis) = (1_000, 60_000);

/// Within how long what anybody may do is done, and without blocks for how long we make one, milliseconds.
pub(crate) fn pace(link: &Link) -> (Millis, Millis) {
    if link.is_local() { (SPREAD.0, POKE_AFTER.0) } else { (SPREAD.1, POKE_AFTER.1) }
}

/// Reads a keeper's logs.
#[derive(Debug)]
pub(crate) struct Reader {
    follow: Following,
    /// What it is about, for people.
    of: &'static str,
}

impl Reader {
    /// Reads what is followed.
    pub(crate) fn new(follow: Following, of: &'static str) -> Self {
        Self { follow, of }
    }

    /// Waits for logs; can be cancelled without loss. With them come the last block read and the one before which
    /// nothing is still to come, and whether the last is the head.
    ///
    /// # Errors
    /// [`ChainError::Rewound`]: the chain is another one than it was. [`ChainError::Unread`]: it is not read any more.
    pub(crate) async fn next(&mut self) -> Result<(Vec<ReadLog>, (u64, u64), bool), ChainError> {
        loop {
            match self.follow.next().await {
                Some(News::Logs { logs, to, certain, at_head }) => {
                    return Ok((logs, (to, certain), at_head));
                }
                Some(News::Rewound { expected, found }) => {
                    return Err(ChainError::Rewound { expected, found });
                }
                Some(News::Away { detail }) => {
                    warn!(detail, "{}: the chain does not answer", self.of);
                }
                Some(News::Back { .. }) => debug!("{}: the chain answers again", self.of),
                // To keep quiet about it costs the stake: nobody would see what is asked of us.
                None => return Err(ChainError::Unread),
            }
        }
    }
}

/// In which block each case was heard of first: at the next start it must be heard of again.
#[derive(Debug, Default)]
pub(crate) struct Firsts(BTreeMap<RangeId, u64>);

impl Firsts {
    /// A case was heard of.
    pub(crate) fn note(&mut self, range: RangeId, block: u64) {
        self.0.entry(range).or_insert(block);
    }

    /// The block below which no logs need be read again, if these cases are followed and of no block before `certain`
    /// something is still to come.
    pub(crate) fn read_up_to(
        &mut self,
        followed: impl Iterator<Item = RangeId>,
        certain: u64,
    ) -> u64 {
        let followed: BTreeSet<_> = followed.collect();
        self.0.retain(|range, _| followed.contains(range));
        self.0.values().min().map_or(certain, |first| certain.min(*first))
    }
}

/// What a piece of work has brought. A panic in it goes on here: its case would wait for ever.
pub(crate) fn finished<E>(work: Result<E, JoinError>) -> E {
    work.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}

/// The range that a log is about whose first two topics are the range's two numbers. `None`: they are not, or there are
/// none.
pub(crate) fn range_of(log: &Log) -> Option<RangeId> {
    let [_, job, seq, ..] = log.topics() else { return None };
    let number = |topic: &B256| U256::from_be_bytes(topic.0);
    Some(RangeId { job: JobId(number(job).try_into().ok()?), seq: number(seq).try_into().ok()? })
}
