//! What providers and clients do about replicated ranges before their audit: the machine of `tilth_client::mates`, fed
//! from the chain's logs under a clock of the party's own.

use std::collections::VecDeque;

use alloy_primitives::Address;
use tilth_client::{
    audit::Millis,
    mates::{Effect, Event, Machine, Party, Rules},
};
use tilth_protocol::RangeId;

use super::{
    duty::{POKE_AFTER, SPREAD},
    scene::Scene,
};
use crate::farm::FarmError;

/// A party's machine and all that it needs to be told.
#[derive(Debug)]
pub struct Mates {
    rules: Rules,
    machine: Machine,
    /// The client whose jobs alone it cares for; of a provider none.
    of: Option<Address>,
    /// What is added to the true time to get this party's, milliseconds.
    skew: i64,
    /// Events of the log that it has taken in.
    read: usize,
    caught_up: bool,
    /// What ends later, by the true time.
    later: Vec<(Millis, Event)>,
}

impl Mates {
    /// Of a party that has heard nothing.
    pub fn new(party: Party, who: Address, skew: i64) -> Self {
        let rules = Rules { party, name: who.into_word(), spread: SPREAD, poke_after: POKE_AFTER };
        let of = (party == Party::Client).then_some(who);
        let (machine, later) = (Machine::new(rules), Vec::new());
        Self { rules, machine, of, skew, read: 0, caught_up: false, later }
    }

    /// Starts again with nothing in mind.
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
        let heard = scene.public.mates.iter().skip(self.read);
        let mut events: Vec<Event> = heard
            .filter(|(job, _)| {
                let client = scene.public.jobs.get(job).map(|facts| facts.client);
                self.of.is_none() || self.of == client
            })
            .map(|(_, event)| event.clone())
            .collect();
        self.read = scene.public.mates.len();
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
            let local = self.local(scene.now);
            for effect in self.machine.step(event, local) {
                match effect {
                    Effect::Look { range } => {
                        let view = Some(Box::new(scene.look_at_pair(range, local)?));
                        queue.push_back(Event::Looked { range, view });
                    }
                    Effect::Show { .. } => {}
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

    /// Ranges that it follows; a provider's: those that it answers for.
    pub fn cases(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.machine.cases()
    }

    /// Whether it would lose something if it did not come back.
    pub fn is_at_stake(&self) -> bool {
        self.machine.at_stake() != 0
    }

    /// What its clock says.
    pub fn local(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.skew)
    }
}
