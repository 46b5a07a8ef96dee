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
//!         called:    wait for the beacon; who is drawn asks every holder for a piece, and says who serves
//!                    after two hours holders end it; others forget it when they have said what they have seen
//!         over:      the client sets free what is reserved; whoever answers for it looks on until that is final
//! ```
//!
//! # Invariants (tested over random histories in `properties`)
//! - Nothing is done before the chain's past is known ([`Event::CaughtUp`]).
//! - At most one thing is under way for each range, and one deposit is filled up at a time.
//! - What is signed for was fetched as the range is now, and is kept until it was looked at, or nobody can call for
//!   that any more.
//! - What is said of those who hold was seen in that very look.
//! - The provider never ends an ask whose end costs it its stake.
//! - A deposit is never filled up above what its client has set, and comes back when the job is over; what those who
//!   hold can still earn then comes back to whoever looks for it after their time. The client waits for none of them.
//! - Without ranges there is no wake-up time.

use std::collections::{BTreeMap, BTreeSet};

use tilth_protocol::RangeId;

use super::{
    case::{Act, BEACON_PAUSE, Case, REACH},
    said::say,
    tried::pause,
    view::View,
    words::{Effect, Event, Party, Rules, Standing},
};
use crate::audit::Millis;

/// Looks under way at a time: a start after a long absence must not flood a node.
const MAX_LOOKS: usize = 32;

/// A party's mind about kept ranges. See the module's head.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    /// Whether the past has been read.
    caught_up: bool,
    cases: BTreeMap<RangeId, Case>,
    /// Ranges for which a beacon's round is being noted: one of them does it for all.
    noting: BTreeMap<u64, RangeId>,
    /// The range for which the deposit is being filled up: it does for all.
    funding: Option<RangeId>,
    closing: Closing,
    wake: Option<Millis>,
    latest: Millis,
}

/// Taking back what is left of a deposit.
#[derive(Debug, Default)]
struct Closing {
    /// Whether the job is over and there may be something left.
    due: bool,
    busy: bool,
    failures: u32,
    not_before: Millis,
}

impl Machine {
    /// A machine that knows of no range.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            caught_up: false,
            cases: BTreeMap::new(),
            noting: BTreeMap::new(),
            funding: None,
            closing: Closing::default(),
            wake: None,
            latest: 0,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        self.note_time(now);
        self.apply(event, now);
        self.wake = None;
        let mut effects = Vec::new();
        if self.caught_up {
            self.act(now, &mut effects);
            self.look(now, &mut effects);
            self.close(now, &mut effects);
        }
        effects
    }

    /// When to send [`Event::Tick`]. `None`: only news can matter.
    pub fn next_wake(&self) -> Option<Millis> {
        self.wake
    }

    /// The ranges followed.
    pub fn cases(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.cases.keys().copied()
    }

    /// Number of our ranges that cost us a part of our stake if nobody can fetch them: while they are open we must be
    /// there.
    pub fn at_stake(&self) -> usize {
        let provider = matches!(self.rules.party, Party::Provider(_));
        let open = |case: &&Case| {
            let done = case.shown.is_some_and(|shown| !matches!(shown, Standing::Open(_)));
            provider && case.ours && !done
        };
        self.cases.values().filter(open).count()
    }

    /// A clock that was set back.
    fn note_time(&mut self, now: Millis) {
        let back = self.latest.saturating_sub(now);
        self.latest = now;
        if back > 0 {
            self.cases.values_mut().for_each(|case| case.set_back(back));
            self.closing.not_before = self.closing.not_before.saturating_sub(back);
        }
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
            Event::Signed { range, auditor } => {
                if self.rules.party == Party::Auditor(auditor) {
                    self.follow(range, true);
                }
                self.heard(range);
            }
            Event::Called { range } => {
                if matches!(self.rules.party, Party::Auditor(_)) {
                    // Who looks is drawn anew, whatever was over before.
                    self.follow(range, false).is_past = false;
                }
                self.heard(range);
            }
            Event::Over { range } => {
                if let Some(case) = self.cases.get_mut(&range) {
                    case.is_past = !self.caught_up;
                    case.hear();
                }
            }
            Event::News { range } => self.heard(range),
            Event::JobOver => self.closing.due = self.rules.party == Party::Client,
            Event::Looked { range, view } => self.looked(range, view.map(|view| *view), now),
            Event::Sized { range, part, mib } => self.ended(range, true, now, |case| {
                case.sized = Some((part, mib));
            }),
            Event::Fetched { range, part } => self.ended(range, true, now, |case| {
                case.fetched = Some(part);
            }),
            Event::Inspected { range, draw, seen } => self.ended(range, true, now, |case| {
                case.looked(draw, seen);
            }),
            Event::Ended { range, done } => self.ended(range, done, now, |_| ()),
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
        self.cases.retain(|_, case| {
            let stays = match party {
                Party::Auditor(_) => case.ours,
                Party::Client => case.round.is_some(),
                Party::Provider(_) => false,
            };
            stays || !case.is_past || case.round.is_some_and(near)
        });
    }

    fn follow(&mut self, range: RangeId, ours: bool) -> &mut Case {
        let case = self.cases.entry(range).or_default();
        case.ours |= ours;
        case.hear();
        case
    }

    fn heard(&mut self, range: RangeId) {
        if let Some(case) = self.cases.get_mut(&range) {
            case.hear();
        }
    }

    fn looked(&mut self, range: RangeId, view: Option<View>, now: Millis) {
        if let Some(case) = self.cases.get_mut(&range) {
            case.end(view.is_some(), now);
            case.view = view.filter(|_| !case.news);
        }
    }

    fn ended(&mut self, range: RangeId, done: bool, now: Millis, learn: impl FnOnce(&mut Case)) {
        if let Some(case) = self.cases.get_mut(&range) {
            learn(case);
            case.end(done, now);
        }
    }

    /// Does what is due about all ranges whose state is known.
    fn act(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let rules = self.rules;
        let cases = &self.cases;
        let busy = |range: &RangeId| cases.get(range).is_some_and(|case| case.busy);
        self.noting.retain(|_, range| busy(range));
        self.funding = self.funding.filter(busy);
        let mut over = Vec::new();
        for (range, case) in &mut self.cases {
            if case.busy || case.not_before > now {
                continue;
            }
            let Some(view) = case.view else { continue };
            say(rules, *range, case, &view, out);
            let act = match case.act(rules, *range, &view, now) {
                Act::Do(Effect::Poke { round, .. }) if self.noting.contains_key(&round) => {
                    Act::Wait(BEACON_PAUSE)
                }
                Act::Do(Effect::Fund { .. }) if self.funding.is_some() => Act::Wait(BEACON_PAUSE),
                act => act,
            };
            match act {
                Act::Do(effect) => {
                    match effect {
                        Effect::Poke { round, .. } => {
                            self.noting.insert(round, *range);
                        }
                        Effect::Fund { .. } => self.funding = Some(*range),
                        _ => {}
                    }
                    case.busy = true;
                    out.push(effect);
                }
                Act::Wait(pause) => {
                    case.view = None;
                    case.not_before = now.saturating_add(pause.max(1));
                }
                Act::Forget => over.push(*range),
            }
        }
        for range in over {
            self.cases.remove(&range);
            out.push(Effect::Forget { range });
        }
    }

    /// Has ranges looked at whose time has come: those that have waited longest first.
    fn look(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let mut waiting = BTreeSet::new();
        let mut room = MAX_LOOKS;
        for (range, case) in &self.cases {
            if case.looking {
                room = room.saturating_sub(1);
            } else if !case.busy && case.not_before > now {
                let wake = self.wake.get_or_insert(case.not_before);
                *wake = case.not_before.min(*wake);
            } else if !case.busy && case.view.is_none() {
                waiting.insert((!case.ours, case.not_before, *range));
            }
        }
        // Those that find no room are looked at when another look ends.
        for (_, _, range) in waiting.into_iter().take(room) {
            if let Some(case) = self.cases.get_mut(&range) {
                (case.busy, case.looking, case.news) = (true, true, false);
                out.push(Effect::Look { range });
            }
        }
    }

    /// What is left of the deposit comes back when nothing of it can be needed any more.
    fn close(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let closing = &mut self.closing;
        if !closing.due || closing.busy || !self.cases.is_empty() {
            return;
        }
        if closing.not_before > now {
            self.wake = Some(closing.not_before);
            return;
        }
        closing.busy = true;
        out.push(Effect::Close);
    }
}
