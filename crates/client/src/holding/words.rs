//! What the machine of kept ranges is told, and what it wants done. Every effect that can end is answered by exactly
//! one event.

use alloy::primitives::{Address, B256};
use tilth_protocol::RangeId;

use super::{said::Standing, view::View};
use crate::audit::Millis;

/// What a range is: after a reorganisation the same number can stand for others. Of inputs only the last is not zero: the
/// hash of the spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// First task.
    pub from: u32,
    /// Number of tasks.
    pub count: u32,
    /// What was submitted.
    pub root: B256,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The chain's past has been read up to its head.
    CaughtUp {
        /// The head's number.
        head: u64,
    },
    /// A range of a kept job was handed in.
    Submitted {
        /// The range.
        range: RangeId,
        /// Owner of its provider.
        provider: Address,
    },
    /// The client's job is open: others must hold its inputs before anybody works on it.
    Opened {
        /// The inputs.
        inputs: RangeId,
    },
    /// Holders are asked for.
    Asked {
        /// The range.
        range: RangeId,
        /// Owner of its provider; zero: it is about inputs.
        provider: Address,
        /// The beacon's round, a block number.
        round: u64,
    },
    /// An auditor's own notes say that it has fetched a range, so it may have signed for it. They are told instead of
    /// the logs that said so, which need not be read again.
    Noted {
        /// The range.
        range: RangeId,
    },
    /// An auditor has signed.
    Signed {
        /// The range.
        range: RangeId,
        /// Its number.
        auditor: u32,
    },
    /// Auditors are called for that look who serves a range, because the time of its holders is over.
    Called {
        /// The range.
        range: RangeId,
    },
    /// A range is paid or rejected, or its ask has ended, or the look at who serves it.
    Over {
        /// The range.
        range: RangeId,
    },
    /// Something else was said about a range: of its ask, its audit or its replica.
    News {
        /// The range.
        range: RangeId,
    },
    /// The client's job is over.
    JobOver,
    /// A look has ended. Ends [`Effect::Look`].
    Looked {
        /// The range.
        range: RangeId,
        /// What was seen; `None`: the chain did not answer.
        view: Option<Box<View>>,
    },
    /// The size of what a range has made is known. Ends [`Effect::Size`], or else [`Event::Ended`] does.
    Sized {
        /// The range.
        range: RangeId,
        /// Which.
        part: Part,
        /// Its size, MiB, rounded up.
        mib: u32,
    },
    /// What a range has made is here, is what was submitted and no larger than stated, and is kept. Ends
    /// [`Effect::Fetch`], or else [`Event::Ended`] does.
    Fetched {
        /// The range.
        range: RangeId,
        /// Which.
        part: Part,
    },
    /// The deposit does not pay for what is asked for; whoever can do something about it was told. Ends
    /// [`Effect::Ask`], or else [`Event::Ended`] does.
    Unpaid {
        /// The inputs.
        range: RangeId,
    },
    /// We have asked every holder for its piece. Ends [`Effect::Inspect`], or else [`Event::Ended`] does.
    Inspected {
        /// The range.
        range: RangeId,
        /// Our draw.
        draw: u8,
        /// The holders' draws that have served it, draw 0 lowest.
        seen: u16,
    },
    /// A move has ended, carried out or not. Ends every effect that names no other event.
    Ended {
        /// The range.
        range: RangeId,
        /// Whether it was carried out.
        done: bool,
    },
    /// Ends [`Effect::Close`].
    Closed {
        /// Whether nothing of the deposit is free any more. Some may still be reserved for those who hold.
        done: bool,
    },
    /// The time that [`Machine::next_wake`](super::Machine::next_wake) named has come.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read an ask from the chain. Ends with `Looked`.
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
        /// Whether it is done if somebody else has had it noted: no block is needed.
        once: bool,
    },
    /// As its provider: say how large what we have made is; as the client: how large the inputs are. Ends with `Sized` or
    /// `Ended`.
    Size {
        /// The range.
        range: RangeId,
        /// Which.
        part: Part,
    },
    /// As its provider or client: ask for holders. Ends with `Ended`, or of inputs with `Unpaid`.
    Ask {
        /// The range.
        range: RangeId,
        /// Size, MiB.
        mib: u32,
    },
    /// Have holders begin.
    Draw {
        /// The range.
        range: RangeId,
    },
    /// End an ask that too few have signed, or whose range is over.
    Fail {
        /// The range.
        range: RangeId,
    },
    /// As a holder: fetch what a range has made, or the inputs of a job, check it, and keep it. Ends with `Fetched` or `Ended`.
    Fetch {
        /// The range.
        range: RangeId,
        /// Which.
        part: Part,
        /// Its size as it was stated, MiB: larger is not what was asked for.
        mib: u32,
        /// How long it is of use.
        left: Millis,
    },
    /// As a holder: sign for one of our draws.
    Sign {
        /// The range.
        range: RangeId,
        /// Which: if the range is another one when this is sent, we do not hold it.
        part: Part,
        /// The draw.
        draw: u8,
    },
    /// Call for auditors that look who serves a range, whose time is over.
    Check {
        /// The range.
        range: RangeId,
    },
    /// As an auditor that is drawn to look: fetch a piece from every holder. Ends with `Inspected` or `Ended`.
    Inspect {
        /// The range.
        range: RangeId,
        /// Which.
        part: Part,
        /// Our draw.
        draw: u8,
        /// What the pieces follow from, with the draws: see `tilth_verification::holding::piece`.
        seed: B256,
        /// All draws that have signed, and the numbers of the auditors whom they name; we may be among them.
        holders: Vec<(u8, u32)>,
        /// How long it is of use.
        left: Millis,
    },
    /// As that auditor: say who has served.
    Spot {
        /// The range.
        range: RangeId,
        /// Our draw.
        draw: u8,
        /// The holders' draws that have, draw 0 lowest.
        seen: u16,
    },
    /// End the look at who serves a range: its time is over, or nobody has called for it in time.
    Conclude {
        /// The range.
        range: RangeId,
    },
    /// As the client: add to the deposit what is missing when this is carried out.
    Fund {
        /// The range that would be paid without holders otherwise.
        range: RangeId,
        /// So much of it must be free, base units.
        due: u128,
    },
    /// As the client: take back what of the deposit is free. Ends with `Closed`.
    Close,
    /// An ask stands otherwise than before. Ends by itself.
    Show {
        /// The range.
        range: RangeId,
        /// How.
        standing: Standing,
    },
    /// As a holder: what we have signed for is kept until then, or until it is to be forgotten: so long somebody may
    /// still look whether we have it. Said again when that changes. Ends by itself.
    Keep {
        /// The range.
        range: RangeId,
        /// By the chain's clock.
        until: Millis,
    },
    /// We have nothing more to do with a range; what was kept for it as a holder can go. Ends by itself.
    Forget {
        /// The range.
        range: RangeId,
    },
}

impl Effect {
    /// The range it is about; `None` for what is about the whole job.
    pub fn range(&self) -> Option<RangeId> {
        match self {
            Self::Look { range }
            | Self::Poke { range, .. }
            | Self::Size { range, .. }
            | Self::Ask { range, .. }
            | Self::Draw { range }
            | Self::Fail { range }
            | Self::Fetch { range, .. }
            | Self::Sign { range, .. }
            | Self::Check { range }
            | Self::Inspect { range, .. }
            | Self::Spot { range, .. }
            | Self::Conclude { range }
            | Self::Fund { range, .. }
            | Self::Show { range, .. }
            | Self::Keep { range, .. }
            | Self::Forget { range } => Some(*range),
            Self::Close => None,
        }
    }
}
