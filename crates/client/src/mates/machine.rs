//! What a party does about the replicas it has an interest in, as a pure state machine:
//! `step(event, now) -> effects`. No clock, no randomness, no chain inside.
//!
//! # How
//! Logs only say *which* replica to look at. What is done about it follows from what the chain then shows
//! ([`View`](super::View)) and from what we have found ourselves. Every move is followed by another look, so it makes no
//! difference who made it: done by somebody else is done.
//!
//! ```text
//! look -> Sealed:    wait for the beacon (or make blocks), then draw
//!         Working:   the mate runs the range and commits   others: after the deadline, go on without it
//!         Revealing: primary and mate show their roots     others: the same
//!         Alone:     the primary shows its root            others: the same
//!         Walking:   primary and mate post their nodes, the second one with those of the first
//!                                                          others: the same
//!         Showing:   primary and mate show their leaf      others: the same
//!         Disputed:  when the auditors have decided, conclude: where the primary was right, that begins the range's own audit
//!         Closed:    whoever answers for it looks on until that is final; then forget
//! ```
//!
//! # Invariants (tested over random histories in `properties`)
//! - Nothing is done before the chain's past is known ([`Event::CaughtUp`]).
//! - At most one thing is under way for each replica.
//! - What is committed to and shown was found in the tasks that the range has now.
//! - Nobody calls for the next step when the one who is late is itself.
//! - What we answer for is not forgotten before the chain has said for [`FINAL`](crate::audit::FINAL) that it is over.
//! - Without replicas there is no wake-up time.

use tilth_contracts::ReplicaState;
use tilth_protocol::RangeId;

use super::{
    case::Case,
    words::{Effect, Event, Party, Rules, Standing},
};
use crate::{
    audit::Millis,
    cases::{Cases, REACH},
};

/// A party's mind about replicas. See the module's head.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    /// Whether the past has been read.
    caught_up: bool,
    cases: Cases<Case>,
}

impl Machine {
    /// A machine that knows of no replica.
    pub fn new(rules: Rules) -> Self {
        Self { rules, caught_up: false, cases: Cases::new() }
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        self.cases.note_time(now);
        self.apply(event, now);
        if !self.caught_up {
            return Vec::new();
        }
        self.cases.plan(self.rules, now)
    }

    /// When to send [`Event::Tick`]. `None`: only news can matter.
    pub fn next_wake(&self) -> Option<Millis> {
        self.cases.next_wake()
    }

    /// The replicas followed.
    pub fn cases(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.cases.all.keys().copied()
    }

    /// Number of open replicas that cost us something if we stop now and do not come back: those of our ranges, and
    /// those whose mate we are, until they are before the auditors.
    pub fn at_stake(&self) -> usize {
        let moves = |standing| match standing {
            Some(Standing::Over(_) | Standing::Open(ReplicaState::Disputed)) => false,
            Some(Standing::Open(_)) | None => true,
        };
        let open = |case: &&Case| case.ours && !case.bystander && moves(case.shown);
        self.cases.all.values().filter(open).count()
    }

    fn apply(&mut self, event: Event, now: Millis) {
        match event {
            Event::CaughtUp { head } => {
                self.caught_up = true;
                // What ended long ago is over for good; what ended just now may be open again. A client is shown all.
                let near = |round: u64| round.saturating_add(REACH) >= head;
                let all = self.rules.party == Party::Client;
                let stays = |case: &Case| !case.is_past || case.round.is_none_or(near);
                self.cases.all.retain(|_, case| all || stays(case));
            }
            Event::Due { range, provider, round } => {
                let ours = self.rules.party == Party::Provider(provider);
                if ours || self.rules.party == Party::Client {
                    let case = self.cases.open(range);
                    (case.round, case.ours) = (Some(round), case.ours || ours);
                    case.course.hear();
                }
            }
            Event::Drawn { range, mate } => {
                if self.rules.party == Party::Provider(mate) {
                    self.cases.open(range).ours = true;
                }
                self.cases.heard(range);
            }
            Event::Posted { range, number, at, nodes } => {
                // Nobody else brings them along.
                if let Some(case) = self.cases.all.get_mut(&range).filter(|case| case.ours) {
                    case.posted.insert((number, at), nodes);
                }
                self.cases.heard(range);
            }
            Event::Closed { range } => {
                if let Some(case) = self.cases.all.get_mut(&range) {
                    case.is_past = !self.caught_up;
                }
                self.cases.heard(range);
            }
            Event::News { range } => self.cases.heard(range),
            Event::Found { range, part, found } => {
                self.cases.learnt(range, now, |case| case.found = Some((part, found)));
            }
            Event::Looked { range, view } => {
                self.cases.looked(range, view.map(|view| *view), now);
            }
            Event::Ended { range, done } => self.cases.ended(range, done, now),
            Event::Tick => {}
        }
    }
}
