//! What a party does about the kept ranges it has an interest in, as a pure state machine:
//! `step(event, now) -> effects`. No clock, no randomness, no chain inside.
//!
//! # How
//! Logs only say *which* range to look at. What is done about it follows from what the chain then shows
//! ([`View`](super::View)) and from what is here. Every move is followed by another look, so it makes no difference
//! who made it: done by somebody else is done.
//!
//! The inputs of a kept job are held, too, before anybody works on it; they are followed as if they were one more of its
//! ranges ([`RangeId::is_inputs`]), of which the client is the one who asks, knows the size and may lose nothing.
//!
//! ```text
//! look -> not asked: the provider asks when all but holders let the range be paid   the client: after a while
//!                    the client fills up a deposit that does not reach
//!         Asked:     wait for the beacon (or make blocks), then draw
//!         Open:      holders fetch and sign; other auditors forget it     after the deadline: the rest end it
//!         Held:      holders keep it; when its time is over they call for auditors that look whether they do
//!         called:    wait for the beacon and have it noted; who is drawn asks every holder for a piece, and says who serves
//!                    after two hours holders end it; others forget it when they have said what they have seen
//!         over:      the client sets free what is reserved; whoever answers for it looks on until that is final
//! ```
//!
//! # Invariants (tested over random histories in `properties`)
//! - Nothing is done before the chain's past is known ([`Event::CaughtUp`]): from logs, and an auditor's also from its
//!   own notes ([`Event::Noted`]). What a log says more than they do a look shows.
//! - At most one thing is under way for each range, and one deposit is filled up at a time.
//! - What is signed for was fetched as the range is now, and is kept until it was looked at, or nobody can call for
//!   that any more.
//! - What is said of those who hold was seen in that very look, and nobody looks before the beacon is noted, which would
//!   be lost meanwhile.
//! - The provider never ends an ask whose end costs it its stake.
//! - What the deposit was found not to pay for is asked for again when another amount of it is free, not before.
//! - A deposit is never filled up above what its client has set, and comes back when the job is over; what those who
//!   hold can still earn then comes back to whoever looks for it after their time. The client waits for none of them.
//! - Without ranges there is no wake-up time.

use tilth_protocol::RangeId;

use super::{
    case::Case,
    party::{Party, Rules},
    said::Standing,
    words::{Effect, Event},
};
use crate::{
    audit::Millis,
    cases::{Cases, REACH, pause},
};

/// A party's mind about kept ranges. See the module's head.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    /// Whether the past has been read.
    caught_up: bool,
    cases: Cases<Case>,
    closing: Closing,
}

/// Taking back what is left of a deposit.
#[derive(Debug, Default)]
struct Closing {
    /// Whether the job is over and there may be something left.
    due: bool,
    busy: bool,
    failures: u32,
    not_before: Millis,
    /// When it is tried again, if nothing else is waited for.
    wake: Option<Millis>,
}

impl Machine {
    /// A machine that knows of no range.
    pub fn new(rules: Rules) -> Self {
        let (cases, closing) = (Cases::new(), Closing::default());
        Self { rules, caught_up: false, cases, closing }
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let back = self.cases.note_time(now);
        self.closing.not_before = self.closing.not_before.saturating_sub(back);
        self.apply(event, now);
        if !self.caught_up {
            return Vec::new();
        }
        let mut effects = self.cases.plan(self.rules, now);
        effects.extend(self.close(now));
        effects
    }

    /// When to send [`Event::Tick`]. `None`: only news can matter.
    pub fn next_wake(&self) -> Option<Millis> {
        self.cases.next_wake().or(self.closing.wake)
    }

    /// The ranges followed.
    pub fn cases(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.cases.all.keys().copied()
    }

    /// Number of our ranges that cost us a part of our stake if nobody can fetch them: while they are open we must be
    /// there.
    pub fn at_stake(&self) -> usize {
        let provider = matches!(self.rules.party, Party::Provider(_));
        let open = |case: &&Case| {
            let done = case.shown.is_some_and(|shown| !matches!(shown, Standing::Open(_)));
            provider && case.ours && !done
        };
        self.cases.all.values().filter(open).count()
    }

    fn apply(&mut self, event: Event, now: Millis) {
        match event {
            Event::CaughtUp { head } => self.catch_up(head),
            Event::Submitted { range, provider } => {
                let ours = self.rules.party == Party::Provider(provider);
                if ours || self.rules.party == Party::Client {
                    self.follow(range, ours);
                }
            }
            Event::Opened { inputs } => {
                if self.rules.party == Party::Client {
                    self.follow(inputs, false);
                }
            }
            Event::Asked { range, provider, round } => {
                let ours = self.rules.party == Party::Provider(provider);
                if ours || !matches!(self.rules.party, Party::Provider(_)) {
                    self.follow(range, ours).round = Some(round);
                }
            }
            Event::Noted { range } => {
                if matches!(self.rules.party, Party::Auditor(_)) {
                    self.follow(range, true);
                }
            }
            Event::Signed { range, auditor } => {
                if self.rules.party == Party::Auditor(auditor) {
                    self.follow(range, true);
                }
                self.cases.heard(range);
            }
            Event::Called { range } => {
                if matches!(self.rules.party, Party::Auditor(_)) {
                    // Who looks is drawn anew, whatever was over before.
                    self.follow(range, false).is_past = false;
                }
                self.cases.heard(range);
            }
            Event::Over { range } => {
                if let Some(case) = self.cases.all.get_mut(&range) {
                    case.is_past = !self.caught_up;
                }
                self.cases.heard(range);
            }
            Event::News { range } => self.cases.heard(range),
            Event::JobOver => self.closing.due = self.rules.party == Party::Client,
            Event::Looked { range, view } => {
                self.cases.looked(range, view.map(|view| *view), now);
            }
            Event::Sized { range, part, mib } => {
                self.cases.learnt(range, now, |case| case.sized = Some((part, mib)));
            }
            Event::Fetched { range, part } => {
                self.cases.learnt(range, now, |case| case.fetched = Some(part));
            }
            Event::Unpaid { range } => self.cases.learnt(range, now, Case::refused),
            Event::Inspected { range, draw, seen } => {
                self.cases.learnt(range, now, |case| case.looked(draw, seen));
            }
            Event::Ended { range, done } => self.ended(range, done, now),
            Event::Closed { done } => {
                self.closing.busy = false;
                self.closing.due = self.closing.due && !done;
                self.closing.not_before = now.saturating_add(pause(self.closing.failures));
                self.closing.failures = self.closing.failures.saturating_add(1);
            }
            Event::Tick => {}
        }
    }

    /// What ended long ago is over for good; what ended just now may be open again, what we have signed for may have
    /// to be kept, and something of our deposit may still be reserved.
    fn catch_up(&mut self, head: u64) {
        self.caught_up = true;
        let near = |round: u64| round.saturating_add(REACH) >= head;
        let party = self.rules.party;
        self.cases.all.retain(|_, case| {
            let stays = match party {
                Party::Auditor(_) => case.ours,
                Party::Client => case.round.is_some(),
                Party::Provider(_) => false,
            };
            stays || !case.is_past || case.round.is_some_and(near)
        });
    }

    fn ended(&mut self, range: RangeId, done: bool, now: Millis) {
        if let Some(case) = self.cases.all.get_mut(&range) {
            case.moved(done);
        }
        self.cases.ended(range, done, now);
    }

    fn follow(&mut self, range: RangeId, ours: bool) -> &mut Case {
        let case = self.cases.open(range);
        case.ours |= ours;
        case.course.hear();
        case
    }

    /// What is left of the deposit comes back when nothing of it can be needed any more.
    fn close(&mut self, now: Millis) -> Option<Effect> {
        let closing = &mut self.closing;
        closing.wake = None;
        if !closing.due || closing.busy || !self.cases.all.is_empty() {
            return None;
        }
        if closing.not_before > now {
            closing.wake = Some(closing.not_before);
            return None;
        }
        closing.busy = true;
        Some(Effect::Close)
    }
}
