//! What became of replicated ranges before their audits, from the chain's events alone: whose seal was handed in, who was
//! drawn as its mate, who showed a root and who did not.

use std::collections::BTreeMap;

use alloy::{
    primitives::{B256, U256},
    rpc::types::{Filter, Log},
    sol_types::SolEventInterface,
};
use tilth_contracts::{ReplicaOutcome, ReplicaState, Replicas::ReplicasEvents};
use tilth_protocol::{Amount, JobId, PREPARE_INDEX, RangeId};

use crate::{ChainError, Link};

/// Why a mate has lost its place, as the contract says it.
const SILENT: u8 = 1;
const WRONG: u8 = 2;

/// One thing that the chain says about a replicated range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The range.
    pub range: RangeId,
    /// What it says.
    pub what: What,
    /// The block.
    pub block: u64,
    /// The transaction that proves it.
    pub transaction: B256,
}

/// What there is to be said. Providers are named by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its provider handed in a seal.
    Sealed {
        /// Who.
        provider: u32,
    },
    /// A mate was drawn.
    Drawn {
        /// Who.
        mate: u32,
    },
    /// There is no mate, and none will be drawn.
    NoMate,
    /// The mate has committed.
    Committed {
        /// To this.
        seal: B256,
    },
    /// A provider has shown what was in its seal.
    Shown {
        /// Who.
        provider: u32,
        /// What.
        root: B256,
    },
    /// The roots differ below a node, or in a leaf: both show what is below it, or the leaf.
    Step {
        /// Whether it is a leaf.
        leaf: bool,
    },
    /// In a walk a provider has come first.
    Posted {
        /// Who.
        provider: u32,
    },
    /// A provider has shown the leaf in which they differ.
    LeafShown {
        /// Who.
        provider: u32,
        /// Its task, or [`PREPARE_INDEX`].
        task: u32,
        /// What it says came out: inline, or a hash.
        output: B256,
    },
    /// That leaf is before the auditors.
    Disputed,
    /// The mate was late, or committed and was silent then, or was found to be wrong.
    MateLost {
        /// Who.
        mate: u32,
        /// Whether it had committed, and was silent then.
        silent: bool,
        /// Whether it was wrong.
        wrong: bool,
        /// What its stake was cut by.
        cut: Amount,
    },
    /// The range's provider did not show its root.
    PrimaryLost {
        /// Who.
        provider: u32,
        /// What its stake was cut by.
        cut: Amount,
    },
    /// It is over.
    Closed {
        /// What it came to; `None`: something that this version does not know.
        outcome: Option<ReplicaOutcome>,
    },
}

/// A replicated range as its entries leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Number of the range's provider.
    pub primary: u32,
    /// Number of the mate, if it has one now.
    pub mate: Option<u32>,
    /// Where it stands.
    pub state: ReplicaState,
    /// What it came to.
    pub outcome: ReplicaOutcome,
}

/// One provider's replicas in numbers of ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// It found the same as another provider, as whichever of the two.
    pub matched: u32,
    /// It found something else than another provider.
    pub unequal: u32,
    /// As a mate it did not commit in time.
    pub late: u32,
    /// It committed and did not show what to.
    pub silent: u32,
    /// As a mate it was found to be wrong.
    pub wrong: u32,
}

impl What {
    /// What happened, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Sealed { .. } => "seal handed in".to_owned(),
            Self::Drawn { .. } => "drawn as mate".to_owned(),
            Self::NoMate => "no mate".to_owned(),
            Self::Committed { .. } => "mate committed".to_owned(),
            Self::Shown { .. } => "root shown".to_owned(),
            Self::Step { leaf: false } => "roots differ: nodes are awaited".to_owned(),
            Self::Step { leaf: true } => "roots differ: the leaf is awaited".to_owned(),
            Self::Posted { .. } => "nodes posted".to_owned(),
            Self::LeafShown { task: PREPARE_INDEX, .. } => {
                "leaf of the prepare phase shown".to_owned()
            }
            Self::LeafShown { task, .. } => format!("leaf of task {task} shown"),
            Self::Disputed => "leaf before the auditors".to_owned(),
            Self::MateLost { wrong: true, .. } => "mate was wrong".to_owned(),
            Self::MateLost { silent: false, .. } => "mate was late".to_owned(),
            Self::MateLost { silent: true, .. } => "mate was silent".to_owned(),
            Self::PrimaryLost { .. } => "provider was silent".to_owned(),
            Self::Closed { outcome: Some(outcome) } => format!("roots: {outcome}"),
            Self::Closed { outcome: None } => "over".to_owned(),
        }
    }

    /// The provider that it names.
    pub fn provider(&self) -> Option<u32> {
        match self {
            Self::Sealed { provider }
            | Self::Shown { provider, .. }
            | Self::Posted { provider }
            | Self::LeafShown { provider, .. }
            | Self::PrimaryLost { provider, .. } => Some(*provider),
            Self::Drawn { mate } | Self::MateLost { mate, .. } => Some(*mate),
            Self::NoMate
            | Self::Committed { .. }
            | Self::Step { .. }
            | Self::Disputed
            | Self::Closed { .. } => None,
        }
    }

    /// What a stake was cut by.
    pub fn cut(&self) -> Option<Amount> {
        match self {
            Self::MateLost { cut, .. } | Self::PrimaryLost { cut, .. } => Some(*cut),
            _ => None,
        }
    }

    /// What is sealed, or was; of a leaf, what came out.
    pub fn hash(&self) -> Option<B256> {
        match self {
            Self::Committed { seal } => Some(*seal),
            Self::Shown { root, .. } => Some(*root),
            Self::LeafShown { output, .. } => Some(*output),
            _ => None,
        }
    }
}

/// Reads what the chain says about the replicas of one job, or of all; oldest first.
///
/// # Errors
/// Those of the chain.
pub async fn read(
    link: &Link,
    first_block: u64,
    job: Option<JobId>,
) -> Result<Vec<Entry>, ChainError> {
    let mut filter = Filter::new().address(link.addresses().replicas);
    if let Some(job) = job {
        filter = filter.topic1(U256::from(job.0));
    }
    let logs = link.scan(&filter, first_block).await?;
    Ok(logs.iter().filter_map(entry).collect())
}

pub(crate) fn entry(log: &Log) -> Option<Entry> {
    let at = |job: u64, seq: u32| RangeId { job: JobId(job), seq };
    let (range, what) = match ReplicasEvents::decode_log(&log.inner).ok()?.data {
        ReplicasEvents::MateDue(e) => (at(e.jobId, e.seq), What::Sealed { provider: e.provider }),
        ReplicasEvents::MateDrawn(e) => (at(e.jobId, e.seq), What::Drawn { mate: e.number }),
        ReplicasEvents::NoMate(e) => (at(e.jobId, e.seq), What::NoMate),
        ReplicasEvents::MateCommitted(e) => {
            (at(e.jobId, e.seq), What::Committed { seal: e.sealed_ })
        }
        ReplicasEvents::RootShown(e) => {
            (at(e.jobId, e.seq), What::Shown { provider: e.number, root: e.root })
        }
        ReplicasEvents::MateLost(e) => {
            let (mate, silent, wrong) = (e.number, e.why == SILENT, e.why == WRONG);
            (at(e.jobId, e.seq), What::MateLost { mate, silent, wrong, cut: Amount(e.cut) })
        }
        ReplicasEvents::WalkStep(e) => (at(e.jobId, e.seq), What::Step { leaf: e.level == 0 }),
        ReplicasEvents::NodesPosted(e) => (at(e.jobId, e.seq), What::Posted { provider: e.number }),
        ReplicasEvents::LeafShown(e) => {
            let (task, output) = (e.leaf.index, e.leaf.output);
            (at(e.jobId, e.seq), What::LeafShown { provider: e.number, task, output })
        }
        ReplicasEvents::LeafDisputed(e) => (at(e.jobId, e.seq), What::Disputed),
        ReplicasEvents::PrimaryLost(e) => {
            let (provider, cut) = (e.number, Amount(e.cut));
            (at(e.jobId, e.seq), What::PrimaryLost { provider, cut })
        }
        ReplicasEvents::ReplicaClosed(e) => {
            let outcome = ReplicaOutcome::try_from(e.outcome).ok();
            (at(e.jobId, e.seq), What::Closed { outcome })
        }
    };
    let block = log.block_number.unwrap_or_default();
    let transaction = log.transaction_hash.unwrap_or_default();
    Some(Entry { range, what, block, transaction })
}

/// How the ranges stand that entries are about, all of which are there from the first one on.
pub fn standings(entries: &[Entry]) -> BTreeMap<RangeId, Replica> {
    let mut all = BTreeMap::new();
    for Entry { range, what, .. } in entries {
        if let What::Sealed { provider } = what {
            let (mate, state, outcome) = (None, ReplicaState::Sealed, ReplicaOutcome::Open);
            all.insert(*range, Replica { primary: *provider, mate, state, outcome });
        }
        let Some(replica) = all.get_mut(range) else { continue };
        match what {
            What::Drawn { mate } => {
                (replica.mate, replica.state) = (Some(*mate), ReplicaState::Working);
            }
            What::NoMate => (replica.mate, replica.state) = (None, ReplicaState::Alone),
            What::Committed { .. } => replica.state = ReplicaState::Revealing,
            What::Step { leaf: false } => replica.state = ReplicaState::Walking,
            What::Step { leaf: true } => replica.state = ReplicaState::Showing,
            What::Disputed => replica.state = ReplicaState::Disputed,
            What::MateLost { .. } => replica.mate = None,
            What::Closed { outcome } => {
                replica.state = ReplicaState::Closed;
                replica.outcome = outcome.unwrap_or(replica.outcome);
            }
            What::Sealed { .. }
            | What::Shown { .. }
            | What::Posted { .. }
            | What::LeafShown { .. }
            | What::PrimaryLost { .. } => {}
        }
    }
    all
}

/// What every provider's replicas have come to, by its number.
pub fn records(entries: &[Entry]) -> BTreeMap<u32, Record> {
    let mut all: BTreeMap<u32, Record> = BTreeMap::new();
    let mut add = |provider: u32, count: fn(&mut Record) -> &mut u32| {
        let count = count(all.entry(provider).or_default());
        *count = count.saturating_add(1);
    };
    for replica in standings(entries).values() {
        let both = [Some(replica.primary), replica.mate];
        match replica.outcome {
            ReplicaOutcome::Matched => {
                both.into_iter().flatten().for_each(|number| add(number, |r| &mut r.matched));
            }
            ReplicaOutcome::Unequal => {
                both.into_iter().flatten().for_each(|number| add(number, |r| &mut r.unequal));
            }
            ReplicaOutcome::Open | ReplicaOutcome::Alone | ReplicaOutcome::Silent => {}
        }
    }
    for entry in entries {
        match entry.what {
            What::MateLost { mate, wrong: true, .. } => add(mate, |r| &mut r.wrong),
            What::MateLost { mate, silent: false, .. } => add(mate, |r| &mut r.late),
            What::MateLost { mate, silent: true, .. } => add(mate, |r| &mut r.silent),
            What::PrimaryLost { provider, .. } => add(provider, |r| &mut r.silent),
            _ => {}
        }
    }
    all
}

/// The entries that are about a provider: those that name it, and the ends of ranges of which it is one of both.
pub fn of_provider(entries: &[Entry], number: u32) -> Vec<Entry> {
    let standings = standings(entries);
    let is_one_of_both = |range: &RangeId| {
        standings
            .get(range)
            .is_some_and(|replica| replica.primary == number || replica.mate == Some(number))
    };
    let about = |entry: &&Entry| match entry.what {
        What::Closed { .. } => is_one_of_both(&entry.range),
        what => what.provider() == Some(number),
    };
    entries.iter().filter(about).copied().collect()
}

#[cfg(test)]
#[path = "replicas_tests.rs"]
mod tests;
