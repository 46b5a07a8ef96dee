//! One range of ours.

use super::event::{Claim, Commitment, Millis};

/// Where a range of ours is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Claimed, on no slot.
    Held,
    /// On a slot.
    Running,
    /// Complete; being committed to.
    Storing,
    /// To be committed to, after a failure.
    Complete,
    /// Committed to.
    Stored(Commitment),
    /// The chain is being told.
    Submitting(Commitment),
    /// To be given back.
    GivingUp,
    /// Being given back.
    Releasing,
    /// The chain knows; can be settled when the window is over.
    Submitted,
    /// A mate's: stored. To commit to it and to show it is its keeper's affair.
    Kept,
    /// Paid; served for a while longer.
    Settled,
    /// An audit did not let it be paid; kept until nothing can take that back.
    Rejected,
}

/// What we are in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its provider, who claimed it.
    Primary,
    /// Its second provider, who was drawn: it must be stored by then.
    Mate { due: Millis },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub claim: Claim,
    pub role: Role,
    pub stage: Stage,
    /// When it was submitted, settled or rejected, by stage.
    pub since: Millis,
    /// The next attempt at what is due comes no earlier.
    pub not_before: Millis,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Deaths of the worker in a row without a new leaf in between.
    pub deaths: u32,
    /// Leaves in the journal at the last death.
    pub done: u32,
    /// Whether a slot has begun with it.
    pub begun: bool,
    /// Whether what is being committed to is of tasks that it had before a reorganisation.
    pub stale: bool,
}

impl Range {
    pub(super) fn new(claim: Claim) -> Self {
        Self {
            claim,
            role: Role::Primary,
            stage: Stage::Held,
            since: claim.at,
            not_before: 0,
            failures: 0,
            deaths: 0,
            done: 0,
            begun: false,
            stale: false,
        }
    }

    /// One that we are drawn for.
    pub(super) fn of_mate(claim: Claim, due: Millis) -> Self {
        Self { role: Role::Mate { due }, ..Self::new(claim) }
    }

    /// Whether it has these tasks.
    pub(super) fn is_of(&self, claim: &Claim) -> bool {
        (self.claim.from, self.claim.count) == (claim.from, claim.count)
    }

    /// Whether we are its second provider.
    pub(super) fn is_mates(&self) -> bool {
        self.role != Role::Primary
    }

    /// By when it must be stored, if we are its second provider.
    pub(super) fn due(&self) -> Option<Millis> {
        match self.role {
            Role::Primary => None,
            Role::Mate { due } => Some(due),
        }
    }

    /// Whether the chain counts it as held by us.
    pub(super) fn is_held(&self) -> bool {
        !self.is_mates()
            && !matches!(self.stage, Stage::Submitted | Stage::Settled | Stage::Rejected)
    }

    /// Whether it is a mate's and still to be run or stored.
    pub(super) fn is_duty(&self) -> bool {
        self.is_mates() && !matches!(self.stage, Stage::Kept | Stage::Settled | Stage::Rejected)
    }

    /// Whether its submission is near, so that the next range is best asked for together with it.
    pub(super) fn is_nearly_submitted(&self) -> bool {
        !self.is_mates() && matches!(self.stage, Stage::Storing | Stage::Stored(_))
    }

    /// Moves on to a new stage, with a clean record.
    pub(super) fn enter(&mut self, stage: Stage, now: Millis) {
        self.stage = stage;
        self.since = now;
        self.not_before = 0;
        self.failures = 0;
    }

    /// Whether what has come of committing to it is of tasks that it no longer has: then it is to be run anew.
    pub(super) fn was_stale(&mut self, now: Millis) -> bool {
        let is_over = self.stale && self.stage == Stage::Storing;
        if is_over {
            self.stale = false;
            self.enter(Stage::Held, now);
        }
        is_over
    }

    /// Back to `stage` after a failed attempt, to be tried again after a pause.
    pub(super) fn retry(&mut self, stage: Stage, now: Millis, pause: impl Fn(u32) -> Millis) {
        self.stage = stage;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause(self.failures));
    }
}
