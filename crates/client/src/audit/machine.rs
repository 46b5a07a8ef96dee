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

use std::collections::{BTreeMap, BTreeSet};

use tilth_protocol::RangeId;

use super::{
    case::{Case, stands},
    due::{Act, BEACON_PAUSE, REACH},
    words::{Effect, Event, Millis, Party, Rules, Standing},
};

/// Looks at others' cases under way at a time: a start after a long absence must not flood a node.
const MAX_LOOKS: usize = 8;
/// Looks at our own ones, which come first.
const MAX_OWN_LOOKS: usize = 32;
/// Most cases followed at a time that are as much others' to draw as ours.
const MAX_CASES: usize = 4_096;

/// A party's mind about audits. See the module's head.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    /// The head when the past had been read.
    head: Option<u64>,
    cases: BTreeMap<RangeId, Case>,
    /// Cases for which a beacon's round is being noted: one of them does it for all.
    noting: BTreeMap<u64, RangeId>,
    wake: Option<Millis>,
    latest: Millis,
}

impl Machine {
    /// A machine that knows of no case.
    pub fn new(rules: Rules) -> Self {
        let (cases, noting) = (BTreeMap::new(), BTreeMap::new());
        Self { rules, head: None, cases, noting, wake: None, latest: 0 }
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        self.note_time(now);
        self.apply(event, now);
        self.wake = None;
        let mut effects = Vec::new();
        if self.head.is_some() {
            self.plan(now, &mut effects);
        }
        effects
    }

    /// When to send [`Event::Tick`]. `None`: only news can matter.
    pub fn next_wake(&self) -> Option<Millis> {
        self.wake
    }

    /// The cases followed.
    pub fn cases(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.cases.keys().copied()
    }

    /// Number of open cases that cost us something if we stop now and do not come back: those of our ranges, those in which
    /// we have a seat. A client has none.
    pub fn at_stake(&self) -> usize {
        let stake = |case: &&Case| match (self.rules.party, case.shown) {
            (Party::Client, _) | (_, Some(Standing::Over(_))) => false,
            (Party::Provider(_), shown) => shown != Some(Standing::NotDrawn),
            (Party::Auditor(_), _) => case.is_seated(),
        };
        self.cases.values().filter(stake).count()
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
                self.head = Some(head);
                // What was to be done about these long ago is not ours alone, or done, and on a fresh start they are many.
                let near = |round: u64| round.saturating_add(REACH) >= head;
                let party = self.rules.party;
                self.cases.retain(|_, case| match party {
                    Party::Client => true,
                    Party::Provider(_) => !case.is_past() || case.round.is_none_or(near),
                    Party::Auditor(_) => case.is_ours() || case.round.is_none_or(near),
                });
            }
            Event::Due { range, provider, round } => self.due(range, provider, round),
            Event::Seated { range, auditor, seat } => {
                if self.rules.party == Party::Auditor(auditor) {
                    let case = self.cases.entry(range).or_default();
                    (case.seat, case.renewed) = (Some(seat), false);
                }
                self.heard(range);
            }
            Event::News { range } => self.heard(range),
            Event::Closed { range } => {
                self.closed(range);
                self.heard(range);
            }
            Event::Sealed { range, seat, sealed } => {
                let case = self.cases.entry(range).or_default();
                case.seat.get_or_insert(seat);
                if !case.sealed.iter().any(|known| known.question == sealed.question) {
                    case.sealed.push(sealed);
                    case.renewed = false;
                }
                case.end(true, now);
            }
            Event::Examined { range, question, answer } => {
                if let Some(case) = self.cases.get_mut(&range) {
                    case.answer = Some((question, answer));
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

    /// It is looked at once more, to show what came of it: to a client always, to others only if it is news, or nearly.
    fn closed(&mut self, range: RangeId) {
        if self.head.is_some() {
            return;
        }
        let Some(case) = self.cases.get_mut(&range) else { return };
        let is_last = case.conclude();
        if let Party::Auditor(_) = self.rules.party
            && is_last
            && case.sealed.is_empty()
        {
            self.cases.remove(&range);
        }
    }

    /// A range waits for its beacon. The provider's own and the client's are always followed.
    fn due(&mut self, range: RangeId, provider: u32, round: u64) {
        let follows = match self.rules.party {
            Party::Client => true,
            Party::Provider(number) => number == provider,
            Party::Auditor(_) => self.head.is_none() || self.cases.len() < MAX_CASES,
        };
        if !follows {
            return;
        }
        self.cases.entry(range).or_default().begin(round);
        // While the past is read the oldest ones make room: they are the first to be dropped at its end.
        if let Party::Auditor(_) = self.rules.party
            && self.cases.len() > MAX_CASES
        {
            let others = self.cases.iter().filter(|(_, case)| !case.is_ours());
            let oldest = others.min_by_key(|(_, case)| case.round).map(|(range, _)| *range);
            oldest.and_then(|oldest| self.cases.remove(&oldest));
        }
    }

    fn heard(&mut self, range: RangeId) {
        if let Some(case) = self.cases.get_mut(&range) {
            case.hear();
        }
    }

    fn plan(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.act(now, out);
        self.look(now, out);
    }

    /// Does what is due in all cases whose state is known.
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
            case.meet(&view);
            if let Some(standing) = stands(*range, &view)
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

    /// Has cases looked at whose time has come: ours first, then those that have waited longest.
    fn look(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let mut waiting = BTreeSet::new();
        let (mut own, mut others) = (MAX_OWN_LOOKS, MAX_LOOKS);
        let all = matches!(self.rules.party, Party::Client | Party::Provider(_));
        for (range, case) in &self.cases {
            let ours = all || case.is_ours();
            if case.looking {
                let room = if ours { &mut own } else { &mut others };
                *room = room.saturating_sub(1);
            } else if !case.busy && case.not_before > now {
                let wake = self.wake.get_or_insert(case.not_before);
                *wake = case.not_before.min(*wake);
            } else if !case.busy && case.view.is_none() {
                waiting.insert((!ours, case.not_before, *range));
            }
        }
        // Those that find no room are looked at when another look ends.
        for (foreign, _, range) in waiting {
            let room = if foreign { &mut others } else { &mut own };
            let Some(left) = room.checked_sub(1) else { continue };
            *room = left;
            if let Some(case) = self.cases.get_mut(&range) {
                (case.busy, case.looking, case.news) = (true, true, false);
                out.push(Effect::Look { range, seat: case.seat });
            }
        }
    }
}
