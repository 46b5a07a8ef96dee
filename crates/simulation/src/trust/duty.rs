//! What every party does about audits: the machine of `tilth_client::audit`, fed from the chain's logs
//! under a clock of the party's own.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::Address;
use tilth_client::audit::{Effect, Event, Machine, Millis, Party, Rules, Sealed, Standing};
use tilth_protocol::RangeId;

use super::scene::Scene;
use crate::farm::FarmError;

/// What anybody may do is done by one after the other within this time, milliseconds; as at a node on the same machine.
pub(super) const SPREAD: Millis = 3_000;
/// Blocks come by themselves; longer than between two of them nobody needs to wait for one.
pub(super) const POKE_AFTER: Millis = 60_000;

/// What a party's machine goes by.
pub fn rules(party: Party, who: Address) -> Rules {
    Rules { party, name: who.into_word(), spread: SPREAD, poke_after: POKE_AFTER }
}

/// A party's machine and all that it needs to be told.
#[derive(Debug)]
pub struct Duty {
    rules: Rules,
    machine: Machine,
    /// What is added to the true time to get this party's, milliseconds.
    skew: i64,
    /// Events of the log that it has taken in.
    read: usize,
    caught_up: bool,
    /// What ends later, by the true time.
    later: Vec<(Millis, Event)>,
    shown: BTreeMap<RangeId, Standing>,
    /// Seats and seals, which are on disk.
    pub seals: BTreeMap<RangeId, (u8, Sealed)>,
}

impl Duty {
    /// Of a party that has heard nothing.
    pub fn new(rules: Rules, skew: i64) -> Self {
        Self {
            rules,
            machine: Machine::new(rules),
            skew,
            read: 0,
            caught_up: false,
            later: Vec::new(),
            shown: BTreeMap::new(),
            seals: BTreeMap::new(),
        }
    }

    /// Starts again with what is on disk.
    pub fn restart(&mut self) {
        self.machine = Machine::new(self.rules);
        (self.read, self.caught_up) = (0, false);
        self.later.clear();
    }

    /// Reads the log to its end and does what time asks for. What is left to be done is the caller's.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn catch_up(&mut self, scene: &mut Scene) -> Result<Vec<Effect>, FarmError> {
        let mut events: Vec<Event> = Vec::new();
        if !self.caught_up {
            let seals = self.seals.iter().map(|(range, (seat, sealed))| Event::Sealed {
                range: *range,
                seat: *seat,
                sealed: *sealed,
            });
            events.extend(seals);
        }
        events.extend(scene.public.audits.iter().skip(self.read).cloned());
        self.read = scene.public.audits.len();
        if !std::mem::replace(&mut self.caught_up, true) {
            events.push(Event::CaughtUp { head: scene.farm.block });
        }
        let now = scene.now;
        let ended = self.later.extract_if(.., |(at, _)| *at <= now);
        events.extend(ended.map(|(_, event)| event));
        if self.machine.next_wake().is_some_and(|wake| wake <= self.local(now)) {
            events.push(Event::Tick);
        }
        self.step(events, scene)
    }

    /// Takes in one event.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn take(&mut self, event: Event, scene: &mut Scene) -> Result<Vec<Effect>, FarmError> {
        self.step(vec![event], scene)
    }

    fn step(&mut self, events: Vec<Event>, scene: &mut Scene) -> Result<Vec<Effect>, FarmError> {
        let mut queue = VecDeque::from(events);
        let mut left = Vec::new();
        while let Some(event) = queue.pop_front() {
            for effect in self.machine.step(event, self.local(scene.now)) {
                match effect {
                    Effect::Look { range, seat } => {
                        let seated = match self.rules.party {
                            Party::Auditor(number) => seat.map(|seat| (number, seat)),
                            Party::Client | Party::Provider(_) => None,
                        };
                        let seen = scene.look(range, seated, self.local(scene.now))?;
                        let view = Some(Box::new(seen));
                        queue.push_back(Event::Looked { range, view });
                    }
                    Effect::Show { range, standing } => {
                        self.shown.insert(range, standing);
                    }
                    Effect::Forget { range } => {
                        self.seals.remove(&range);
                    }
                    other => left.push(other),
                }
            }
        }
        Ok(left)
    }

    /// Has an event come later.
    pub fn later(&mut self, at: Millis, event: Event) {
        self.later.push((at, event));
    }

    /// When it acts next without news, by the true time.
    pub fn due(&self) -> Option<Millis> {
        let wake = self.machine.next_wake().map(|wake| wake.saturating_add_signed(-self.skew));
        self.later.iter().map(|(at, _)| *at).chain(wake).min()
    }

    /// Whether it would lose something if it did not come back.
    pub fn is_at_stake(&self) -> bool {
        self.machine.at_stake() != 0
    }

    /// Whether, as far as it has seen, a range may be paid.
    pub fn may_be_paid(&self, range: RangeId) -> bool {
        self.shown.get(&range).is_some_and(|standing| standing.may_be_paid())
    }

    /// What it has seen of all cases.
    pub fn shown(&self) -> &BTreeMap<RangeId, Standing> {
        &self.shown
    }

    fn local(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.skew)
    }
}
