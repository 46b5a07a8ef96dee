//! What a party does about the audits it has an interest in, as a pure state machine:
//! `step(event, now) -> effects`. No clock, no randomness, no chain inside.
//!
//! # How
//! Logs only say *which* case to look at. What is done about it follows from what the chain then shows
//! ([`View`](super::View)) and from what we know ourselves (answer, seal). Every move is followed by another look, so it
//! makes no difference who made it: done by somebody else is done.
//!
//! ```text
//! look -> Submitted:  wait for the beacon (or make blocks), then draw
//!         Naming:     provider names             others: after the deadline, go on without it
//!                     auditors get the job ready
//!         Committing: auditor examines, seals, commits
//!         Opening:    provider opens
//!         Revealing:  auditor reveals
//!         Closed:     whoever answers for it looks on until that is final; then forget
//! ```
//! A range in which two providers differ has a dispute's case first (from Submitted to Committing, from there to Revealing).
//! If its provider is right there, the range's own case follows in its place, with a later round and seats that count from 0
//! again. What is known of seats is therefore only where to look first; which case it is, and where we sit in it, the view says.
//!
//! # Invariants (tested over random histories in `properties`)
//! - Nothing is done before the chain's past is known ([`Event::CaughtUp`]).
//! - At most one thing is under way for each case.
//! - What is committed has been sealed before, and the seal is on disk ([`Event::Sealed`]); one question of a case
//!   never gets two seals, and what was sealed is said only to the question it answers.
//! - A range whose dispute is upheld is neither shown as payable nor given up by its client and its provider.
//! - What was sealed is not forgotten before the chain has said for [`FINAL`](super::FINAL) that the case is over.
//! - Nobody calls for the next step when the one who is late is itself.
//! - Without cases there is no wake-up time.

use tilth_protocol::RangeId;

use super::{
    case::Case,
    words::{Effect, Event, Millis, Party, Rules, Standing},
};
use crate::cases::{Cases, REACH};

/// Most cases followed at a time that are as much others' to draw as ours.
const MAX_CASES: usize = 4_096;

/// A party's mind about audits. See the module's head.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    /// The head when the past had been read.
    head: Option<u64>,
    cases: Cases<Case>,
}

impl Machine {
    /// A machine that knows of no case.
    pub fn new(rules: Rules) -> Self {
        Self { rules, head: None, cases: Cases::new() }
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        self.cases.note_time(now);
        self.apply(event, now);
        if self.head.is_none() {
            return Vec::new();
        }
        self.cases.plan(self.rules, now)
    }

    /// When to send [`Event::Tick`]. `None`: only news can matter.
    pub fn next_wake(&self) -> Option<Millis> {
        self.cases.next_wake()
    }

    /// The cases followed.
    pub fn cases(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.cases.all.keys().copied()
    }

    /// Number of open cases that cost us something if we stop now and do not come back: those of our ranges, those in which
    /// we have a seat. A client has none.
    pub fn at_stake(&self) -> usize {
        let stake = |case: &&Case| match (self.rules.party, case.shown) {
            (Party::Client, _) | (_, Some(Standing::Over(_))) => false,
            (Party::Provider(_), shown) => shown != Some(Standing::NotDrawn),
            (Party::Auditor(_), _) => case.is_seated(),
        };
        self.cases.all.values().filter(stake).count()
    }

    fn apply(&mut self, event: Event, now: Millis) {
        match event {
            Event::CaughtUp { head } => {
                self.head = Some(head);
                // What was to be done about these long ago is not ours alone, or done, and on a fresh start they are many.
                let near = |round: u64| round.saturating_add(REACH) >= head;
                let party = self.rules.party;
                self.cases.all.retain(|_, case| match party {
                    Party::Client => true,
                    Party::Provider(_) => !case.is_past() || case.round.is_none_or(near),
                    Party::Auditor(_) => case.is_ours() || case.round.is_none_or(near),
                });
            }
            Event::Due { range, provider, round } => self.due(range, provider, round),
            Event::Seated { range, auditor, seat } => {
                if self.rules.party == Party::Auditor(auditor) {
                    let case = self.cases.open(range);
                    (case.seat, case.renewed) = (Some(seat), false);
                }
                self.cases.heard(range);
            }
            Event::News { range } => self.cases.heard(range),
            Event::Closed { range } => {
                self.closed(range);
                self.cases.heard(range);
            }
            Event::Sealed { range, seat, sealed } => {
                let case = self.cases.open(range);
                case.seat.get_or_insert(seat);
                if !case.sealed.iter().any(|known| known.question == sealed.question) {
                    case.sealed.push(sealed);
                    case.renewed = false;
                }
                case.course.end(true, now);
            }
            Event::Examined { range, question, answer } => {
                self.cases.learnt(range, now, |case| case.answer = Some((question, answer)));
            }
            Event::Looked { range, view } => {
                self.cases.looked(range, view.map(|view| *view), now);
            }
            Event::Ended { range, done } => self.cases.ended(range, done, now),
            Event::Tick => {}
        }
    }

    /// It is looked at once more, to show what came of it: to a client always, to others only if it is news, or nearly.
    fn closed(&mut self, range: RangeId) {
        if self.head.is_some() {
            return;
        }
        let Some(case) = self.cases.all.get_mut(&range) else { return };
        let is_last = case.conclude();
        if let Party::Auditor(_) = self.rules.party
            && is_last
            && case.sealed.is_empty()
        {
            self.cases.all.remove(&range);
        }
    }

    /// A range waits for its beacon. The provider's own and the client's are always followed.
    fn due(&mut self, range: RangeId, provider: u32, round: u64) {
        let follows = match self.rules.party {
            Party::Client => true,
            Party::Provider(number) => number == provider,
            Party::Auditor(_) => self.head.is_none() || self.cases.all.len() < MAX_CASES,
        };
        if !follows {
            return;
        }
        self.cases.open(range).begin(round);
        // While the past is read the oldest ones make room: they are the first to be dropped at its end.
        if let Party::Auditor(_) = self.rules.party
            && self.cases.all.len() > MAX_CASES
        {
            let others = self.cases.all.iter().filter(|(_, case)| !case.is_ours());
            let oldest = others.min_by_key(|(_, case)| case.round).map(|(range, _)| *range);
            oldest.and_then(|oldest| self.cases.all.remove(&oldest));
        }
    }
}
