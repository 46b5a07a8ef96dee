//! What the machine of replicas is told, and what it wants done. Every effect that can end is answered by exactly one
//! event.

use alloy::primitives::B256;
use tilth_contracts::{ReplicaOutcome, ReplicaState};
use tilth_protocol::RangeId;
use tilth_verification::{
    replica::Found,
    walk::{Node, Place},
};

use super::view::View;
use crate::{audit::Millis, cases::rank};

/// Who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The client of the job: wants its ranges to go on.
    Client,
    /// The provider with this number.
    Provider(u32),
}

/// What a party is in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its provider.
    Primary,
    /// Its mate.
    Mate,
    /// Neither.
    Anybody,
}

/// What is fixed for the life of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who we are.
    pub party: Party,
    /// What nobody else is called: whose turn it is with what anybody may do is reckoned from it, anew for every range.
    pub name: B256,
    /// What anybody may do is done within so long, by one after the other.
    pub spread: Millis,
    /// If no block comes for so long while the beacon is awaited, we make one.
    pub poke_after: Millis,
}

/// Which tasks a range is about. After a reorganisation the same number can stand for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// First task.
    pub from: u32,
    /// Number of tasks.
    pub count: u32,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The chain's past has been read up to its head.
    CaughtUp {
        /// The head's number.
        head: u64,
    },
    /// A range waits for its beacon.
    Due {
        /// The range.
        range: RangeId,
        /// Number of its provider.
        provider: u32,
        /// The beacon's round, a block number.
        round: u64,
    },
    /// A mate was drawn.
    Drawn {
        /// The range.
        range: RangeId,
        /// Its number.
        mate: u32,
    },
    /// Somebody came first in a step of a walk.
    Posted {
        /// The range.
        range: RangeId,
        /// Its number.
        number: u32,
        /// Where the walk was.
        at: Place,
        /// Its nodes below that.
        nodes: Vec<Node>,
    },
    /// A replica is over.
    Closed {
        /// The range.
        range: RangeId,
    },
    /// Something else was said about a replica.
    News {
        /// The range.
        range: RangeId,
    },
    /// A look has ended. Ends [`Effect::Look`].
    Looked {
        /// The range.
        range: RangeId,
        /// What was seen; `None`: the chain did not answer.
        view: Option<Box<View>>,
    },
    /// The results of a range are in our folder. Ends [`Effect::Run`], or else [`Event::Ended`] does.
    Found {
        /// The range.
        range: RangeId,
        /// Which tasks.
        part: Part,
        /// What was found in it.
        found: Found,
    },
    /// A move has ended, carried out or not. Ends every effect that names no other event.
    Ended {
        /// The range.
        range: RangeId,
        /// Whether it was carried out.
        done: bool,
    },
    /// The time that [`Machine::next_wake`](super::Machine::next_wake) named has come.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read a replica from the chain. Ends with `Looked`.
    Look {
        /// The range.
        range: RangeId,
    },
    /// Have the beacon's round noted, which also makes a block where there are none without transactions.
    Poke {
        /// The range.
        range: RangeId,
        /// The round.
        round: u64,
    },
    /// Have the mate drawn.
    Draw {
        /// The range.
        range: RangeId,
    },
    /// Go on without those who are late.
    Advance {
        /// The range.
        range: RangeId,
    },
    /// As its primary or mate: find its results in our folder, or else run it and keep them. Ends with `Found` or `Ended`.
    Run {
        /// The range.
        range: RangeId,
        /// As what: a primary's results are those that it handed in.
        role: Role,
        /// Which tasks.
        part: Part,
        /// How long what is found is of use.
        left: Millis,
    },
    /// As its mate: commit to the seal of what was found.
    Commit {
        /// The range.
        range: RangeId,
        /// In which tasks: if the range has others when this is sent, what is committed to can never be shown.
        part: Part,
        /// What was found.
        found: Found,
    },
    /// As its primary or mate: show what is in the seal.
    Reveal {
        /// The range.
        range: RangeId,
        /// As what we committed to it.
        role: Role,
        /// What was found.
        found: Found,
    },
    /// As its primary or mate, in a walk: show our nodes below the one at which it is.
    Post {
        /// The range.
        range: RangeId,
        /// As what we committed to it.
        role: Role,
        /// Which tasks.
        part: Part,
        /// Where the walk is.
        at: Place,
        /// What the other one has posted there; empty: nothing yet.
        theirs: Vec<Node>,
        /// How long it is of use.
        left: Millis,
    },
    /// As its primary or mate, at the end of a walk: show our leaf.
    Open {
        /// The range.
        range: RangeId,
        /// As what we committed to it.
        role: Role,
        /// Which tasks.
        part: Part,
        /// The leaf's place in the range.
        position: u32,
        /// How long it is of use.
        left: Millis,
    },
    /// The auditors have decided about a leaf: do what follows for the mate, and have the range audited if its primary was right.
    Conclude {
        /// The range.
        range: RangeId,
    },
    /// A replica stands otherwise than before. Ends by itself.
    Show {
        /// The range.
        range: RangeId,
        /// How.
        standing: Standing,
    },
    /// We have nothing more to do with a replica; what was kept for it as a mate can go. Ends by itself.
    Forget {
        /// The range.
        range: RangeId,
    },
}

impl Effect {
    /// The range it is about.
    pub fn range(&self) -> RangeId {
        match self {
            Self::Look { range }
            | Self::Poke { range, .. }
            | Self::Draw { range }
            | Self::Advance { range }
            | Self::Run { range, .. }
            | Self::Commit { range, .. }
            | Self::Reveal { range, .. }
            | Self::Post { range, .. }
            | Self::Open { range, .. }
            | Self::Conclude { range }
            | Self::Show { range, .. }
            | Self::Forget { range } => *range,
        }
    }
}

/// How a replica stands, for people and for whoever guards results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As the contract says.
    Open(ReplicaState),
    /// It is over.
    Over(ReplicaOutcome),
}

impl Standing {
    /// Whether the results are still a secret: who learns them now could pass them off as its own, as a mate or, as long
    /// as a walk can end with an ordinary audit, as an auditor.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Open(_))
    }
}

impl Rules {
    /// Our place among all who may do the next thing in a replica: any number, another one for every range and step.
    pub(super) fn rank(&self, range: RangeId, round: u64, state: ReplicaState) -> u64 {
        rank(self.name, range, round, state.into())
    }
}
