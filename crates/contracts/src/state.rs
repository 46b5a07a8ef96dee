//! The enumerations of the contracts, which ABI calls and events carry as `uint8`.

use std::fmt;

/// A number that is not a value of the enumeration: the chain runs other contracts than we were built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not a {what}")]
pub struct UnknownValue {
    what: &'static str,
    value: u8,
}

macro_rules! on_chain_enum {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $value:literal => $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant = $value,)*
        }

        impl TryFrom<u8> for $name {
            type Error = UnknownValue;

            fn try_from(value: u8) -> Result<Self, UnknownValue> {
                match value {
                    $($value => Ok(Self::$variant),)*
                    _ => Err(UnknownValue { what: $what, value }),
                }
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                value as u8
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

on_chain_enum! {
    /// `IJobBook.JobState`.
    JobState, "job state" {
        /// There is no such job.
        None = 0 => "unknown",
        /// Ranges can be claimed (or, when it is dry, after a top-up).
        Open = 1 => "open",
        /// Nothing can be claimed now; claimed ranges are still judged.
        Draining = 2 => "draining",
        /// Cancelled by the client, claimed ranges are still judged.
        Cancelling = 3 => "cancelling",
        /// Over.
        Done = 4 => "done",
        /// Over after a cancel.
        Cancelled = 5 => "cancelled",
    }
}

impl JobState {
    /// Whether nothing can change any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

on_chain_enum! {
    /// `IJobBook.RangeState`.
    RangeState, "range state" {
        /// There is no such range.
        None = 0 => "unknown",
        /// A provider works on it.
        Claimed = 1 => "claimed",
        /// Its results are handed in.
        Submitted = 2 => "submitted",
        /// Accepted and paid.
        Settled = 3 => "settled",
        /// Given back; its tasks go out again.
        Released = 4 => "released",
        /// Not handed in in time; its tasks go out again.
        Expired = 5 => "expired",
        /// Its results do not count, by the verdict of its audit; its tasks go out again.
        Rejected = 6 => "rejected",
    }
}

on_chain_enum! {
    /// `IJobBook.Refusal`: why a provider gets no range now.
    Refusal, "claim refusal" {
        /// It would get one.
        None = 0 => "not refused",
        /// There is no such job.
        NoSuchJob = 1 => "there is no such job",
        /// The job is draining, cancelled or over.
        NotOpen = 2 => "the job gives out no more work",
        /// Every task is claimed; some may come back.
        NothingLeft = 3 => "every task is claimed",
        /// The job's deadline is over.
        DeadlinePassed = 4 => "the job's deadline is over",
        /// The escrow pays for no further task until the client tops up.
        Dry = 5 => "the job's escrow is used up",
        /// The key belongs to no provider.
        NotRegistered = 6 => "the provider is not registered",
        /// The provider paused itself.
        ProviderPaused = 7 => "the provider is paused",
        /// Two ranges per slot are held already.
        NoFreeSlot = 8 => "the provider holds as many ranges as its slots allow",
        /// The stake carries no more unsettled work.
        NoExposure = 9 => "the provider's stake carries no more unsettled work",
        /// Class bits or video memory are missing.
        NotQualified = 10 => "the provider's machine does not meet the job's requirements",
        /// The job pays less than asked for.
        PriceTooLow = 11 => "the job pays less than the provider asks for",
        /// Zero tasks were asked for.
        WantZero = 12 => "no tasks were asked for",
    }
}

impl Refusal {
    /// Whether the same claim can succeed later without the provider or the client doing anything.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::NothingLeft | Self::Dry | Self::NoFreeSlot | Self::NoExposure)
    }
}

on_chain_enum! {
    /// `IJobBook.Field`: which of a job's terms `BadTerms` refuses.
    TermsField, "field of a job's terms" {
        /// Hash of the spec: must not be zero.
        SpecHash = 0 => "spec hash",
        /// 1 to 2^30.
        TaskCount = 1 => "task count",
        /// 1 to 2^42 units.
        UnitCap = 2 => "unit cap per task",
        /// At most 2^47 units.
        PrepareCap = 3 => "unit cap of the prepare phase",
        /// At least one base unit.
        Price = 4 => "price",
        /// From the minimum for the job's value to three days.
        Window = 5 => "challenge window",
        /// 5 seconds to one day.
        RangeTimeout = 6 => "range timeout",
        /// One second to the range timeout.
        TargetSeconds = 7 => "target seconds per range",
        /// At least 1.
        Parallelism = 8 => "parallelism",
        /// 1 to 2^20 tasks.
        FirstRange = 9 => "tasks in a first range",
        /// In the future, at most 366 days away.
        Deadline = 10 => "deadline",
        /// Must be 0 for now.
        AfterJob = 11 => "job to wait for",
        /// At most 256 bytes.
        Contact = 12 => "contact",
        /// With a clock: one base unit to the cap. Otherwise 0.
        FloorPrice = 13 => "floor price",
        /// With a clock: 16 seconds to the deadline.
        FinishSeconds = 14 => "finish of the clock",
        /// 0, or 2 in an audited job.
        Replicas = 15 => "replicas",
        /// Only in an audited job.
        Kept = 16 => "kept",
    }
}

on_chain_enum! {
    /// `IAudits.State`: where the audit of a submitted range stands.
    AuditState, "state of an audit" {
        /// There is no such case: the range was not submitted, or its job is not audited.
        None = 0 => "unknown",
        /// The beacon decides whether it is audited.
        Submitted = 1 => "waiting for the beacon",
        /// The provider says at which positions the drawn leaves are.
        Naming = 2 => "waiting for the provider to name the drawn leaves",
        /// The auditors re-execute and commit.
        Committing = 3 => "being re-executed",
        /// The provider opens the drawn leaves.
        Opening = 4 => "waiting for the provider to open the drawn leaves",
        /// The auditors show what they committed to.
        Revealing = 5 => "votes are being shown",
        /// Over.
        Closed = 6 => "over",
    }
}

on_chain_enum! {
    /// `IAudits.Outcome`: what an audit has come to.
    AuditOutcome, "outcome of an audit" {
        /// Not over.
        Open = 0 => "open",
        /// Not drawn, or paid before it could be: the range may be paid.
        Unaudited = 1 => "not audited",
        /// The provider's results stand.
        Upheld = 2 => "upheld",
        /// They do not: the range is rejected and its provider's stake pays.
        Overturned = 3 => "overturned",
        /// No answer led, nobody came or could be drawn, or the beacon was lost: the range is rejected, nobody's stake pays.
        Undecided = 4 => "undecided",
    }
}

on_chain_enum! {
    /// `IAudits.SeatState`: what an auditor has done.
    SeatState, "state of an auditor's seat" {
        /// Drawn; its commitment is awaited.
        Drawn = 0 => "drawn",
        /// Committed; its answer is awaited.
        Committed = 1 => "committed",
        /// Its answer is known.
        Revealed = 2 => "voted",
        /// It did not commit in time.
        Absent = 3 => "absent",
        /// It did not reveal in time.
        NotRevealed = 4 => "silent after its commitment",
    }
}

on_chain_enum! {
    /// `IReplicas.State`: where a replicated range stands before its audit.
    ReplicaState, "state of a replica" {
        /// There is no such replica: the range was not submitted, or its job is not replicated.
        None = 0 => "unknown",
        /// The primary has committed; the beacon draws its mate.
        Sealed = 1 => "waiting for the beacon",
        /// The mate runs the range and commits.
        Working = 2 => "being done by its mate",
        /// Both show their roots.
        Revealing = 3 => "roots are being shown",
        /// There is no mate; the primary shows its root.
        Alone = 4 => "waiting for its provider to show the root",
        /// The roots differ: both show the nodes below, down to one leaf.
        Walking = 5 => "different roots are being walked down",
        /// Both show the leaf in which they differ.
        Showing = 6 => "the leaf in which they differ is being shown",
        /// Auditors vote on that leaf.
        Disputed = 7 => "a leaf is before the auditors",
        /// Over.
        Closed = 8 => "over",
    }
}

on_chain_enum! {
    /// `IReplicas.Outcome`: what a replica has come to.
    ReplicaOutcome, "outcome of a replica" {
        /// Not over.
        Open = 0 => "open",
        /// Both roots are equal: both are paid when the audit lets it be paid.
        Matched = 1 => "matched",
        /// The primary has shown its root, and there is no mate, or it was wrong.
        Alone = 2 => "without a mate",
        /// The roots differ, and the auditors have not found the primary's to be right: the range is rejected.
        Unequal = 3 => "unequal",
        /// The primary did not show its root: the range is rejected.
        Silent = 4 => "not shown by its provider",
    }
}

on_chain_enum! {
    /// `IWaiting.State`: how a provider stands in the line of a job.
    EntryState, "state of a waiting provider" {
        /// It does not wait.
        Nobody = 0 => "not waiting",
        /// On the line, whatever it has to do.
        Waiting = 1 => "waiting",
        /// Off the line; its bond is not free yet.
        Left = 2 => "gone",
    }
}

on_chain_enum! {
    /// `IHolders.State`: where an ask for holders of a kept range stands.
    HoldState, "state of an ask for holders" {
        /// Nobody has asked.
        None = 0 => "not asked for",
        /// The beacon draws the holders.
        Asked = 1 => "waiting for the beacon",
        /// Holders fetch the content and sign.
        Open = 2 => "being fetched by holders",
        /// Too few have signed; it may be asked for once more.
        Again = 3 => "not held, and to be asked for again",
        /// Enough hold it: the range may be paid.
        Held = 4 => "held",
        /// Too few have signed twice: the range is rejected.
        Lost = 5 => "not held",
        /// The range was paid or rejected before.
        Dropped = 6 => "over without holders",
    }
}

on_chain_enum! {
    /// `ISpots.SpotState`: where looking at the holders of a content stands, when their time is over.
    SpotState, "state of a look at holders" {
        /// Nobody has called for auditors that look.
        None = 0 => "not looked at",
        /// Auditors are drawn, and look who serves.
        Asked = 1 => "being looked at",
        /// Who was seen to serve is paid; nobody need keep it any more.
        Over = 2 => "looked at",
    }
}

impl HoldState {
    /// Whether something of the deposit is reserved for the ask.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Asked | Self::Open | Self::Again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_there_and_back() {
        for value in 0..=u8::MAX {
            if let Ok(state) = JobState::try_from(value) {
                assert_eq!(u8::from(state), value);
            } else {
                assert!(value > 5);
            }
            assert_eq!(Refusal::try_from(value).is_ok(), value <= 12);
            assert_eq!(TermsField::try_from(value).is_ok(), value <= 16);
            assert_eq!(RangeState::try_from(value).is_ok(), value <= 6);
            assert_eq!(AuditState::try_from(value).is_ok(), value <= 6);
            assert_eq!(AuditOutcome::try_from(value).is_ok(), value <= 4);
            assert_eq!(SeatState::try_from(value).is_ok(), value <= 4);
            assert_eq!(ReplicaState::try_from(value).is_ok(), value <= 8);
            assert_eq!(ReplicaOutcome::try_from(value).is_ok(), value <= 4);
            assert_eq!(EntryState::try_from(value).is_ok(), value <= 2);
            assert_eq!(HoldState::try_from(value).is_ok(), value <= 6);
            assert_eq!(SpotState::try_from(value).is_ok(), value <= 2);
        }
    }
}
