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

use std::collections::{BTreeMap, BTreeSet};

use tilth_contracts::ReplicaState;
use tilth_protocol::RangeId;

use super::{
    case::{Act, BEACON_PAUSE, Case, REACH, stands},
    words::{Effect, Event, Party, Rules, Standing},
};
use crate::audit::Millis;

/// Looks under way at a time: a start after a long absence must not flood a node.
const MAX_LOOKS: usize = 32;

/// A party's mind about replicas. See the module's head.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    /// Whether the past has been read.
    caught_up: bool,
    cases: BTreeMap<RangeId, Case>,
    /// Replicas for which a beacon's round is being noted: one of them does it for all.
    noting: BTreeMap<u64, RangeId>,
    wake: Option<Millis>,
    latest: Millis,
}

impl Machine {
    /// A machine that knows of no replica.
    pub fn new(rules: Rules) -> Self {
        let (cases, noting) = (BTreeMap::new(), BTreeMap::new());
        Self { rules, caught_up: false, cases, noting, wake: None, latest: 0 }
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
        }
        effects
    }

    /// When to send [`Event::Tick`]. `None`: only news can matter.
    pub fn next_wake(&self) -> Option<Millis> {
        self.wake
    }

    /// The replicas followed.
    pub fn cases(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.cases.keys().copied()
    }

    /// Number of open replicas that cost us something if we stop now and do not come back: those of our ranges, and
    /// those whose mate we are, until they are before the auditors.
    pub fn at_stake(&self) -> usize {
        let moves = |standing| match standing {
            Some(Standing::Over(_) | Standing::Open(ReplicaState::Disputed)) => false,
            Some(Standing::Open(_)) | None => true,
        };
        let open = |case: &&Case| case.ours && !case.bystander && moves(case.shown);
        self.cases.values().filter(open).count()
    }

    /// A clock that was set back.
    fn note_time(&mut self, now: Millis) {
        let back = self.latest.saturating_sub(now);
        self.latest = now;
        if back > 0 {
            self.cases.values_mut().for_each(|case| case.set_back(back));
        }
    }

    fn apply(&mut self, event: Event, now: Millis) {
        match event {
            Event::CaughtUp { head } => {
                self.caught_up = true;
                // What ended long ago is over for good; what ended just now may be open again. A client is shown all.
                let near = |round: u64| round.saturating_add(REACH) >= head;
                let all = self.rules.party == Party::Client;
                self.cases.retain(|_, case| all || !case.is_past || case.round.is_none_or(near));
            }
            Event::Due { range, provider, round } => {
                let ours = self.rules.party == Party::Provider(provider);
                if ours || self.rules.party == Party::Client {
                    let case = self.cases.entry(range).or_default();
                    (case.round, case.ours) = (Some(round), case.ours || ours);
                    case.hear();
                }
            }
            Event::Drawn { range, mate } => {
                if self.rules.party == Party::Provider(mate) {
                    self.cases.entry(range).or_default().ours = true;
                }
                self.heard(range);
            }
            Event::Posted { range, number, at, nodes } => {
                if let Some(case) = self.cases.get_mut(&range) {
                    // Nobody else brings them along.
                    if case.ours {
                        case.posted.insert((number, at), nodes);
                    }
                    case.hear();
                }
            }
            Event::Closed { range } => {
                if let Some(case) = self.cases.get_mut(&range) {
                    case.is_past = !self.caught_up;
                    case.hear();
                }
            }
            Event::News { range } => self.heard(range),
            Event::Found { range, part, found } => {
                if let Some(case) = self.cases.get_mut(&range) {
                    case.found = Some((part, found));
                    case.end(true, now);
                }
            }
            Event::Looked { range, view } => {
                if let Some(case) = self.cases.get_mut(&range) {
                    case.end(view.is_some(), now);
                    case.view = view.map(|view| *view).filter(|_| !case.news);
                }
            }
            Event::Ended { range, done } => {
                if let Some(case) = self.cases.get_mut(&range) {
                    case.end(done, now);
                }
            }
            Event::Tick => {}
        }
    }

    fn heard(&mut self, range: RangeId) {
        if let Some(case) = self.cases.get_mut(&range) {
            case.hear();
        }
    }

    /// Does what is due in all replicas whose state is known.
    fn act(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let rules = self.rules;
        let (cases, noting) = (&self.cases, &mut self.noting);
        noting.retain(|_, range| cases.get(range).is_some_and(|case| case.busy));
        let mut over = Vec::new();
        for (range, case) in &mut self.cases {
            if case.busy || case.not_before > now {
                continue;
            }
            let Some(view) = case.view else { continue };
            if let Some(standing) = stands(&view)
                && case.shown != Some(standing)
            {
                case.shown = Some(standing);
                out.push(Effect::Show { range: *range, standing });
            }
            let act = match case.act(rules, *range, &view, now) {
                Act::Do(Effect::Poke { round, .. }) if self.noting.contains_key(&round) => {
                    Act::Wait(BEACON_PAUSE)
                }
                act => act,
            };
            match act {
                Act::Do(effect) => {
                    if let Effect::Poke { round, .. } = effect {
                        self.noting.insert(round, *range);
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

    /// Has replicas looked at whose time has come: those that have waited longest first.
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
}
