//! A mate whose work a machine decides: that waits in lines, runs what it is drawn for, as any other range, and says when
//! it is found.

use std::collections::BTreeMap;

use alloy_primitives::aliases::U96;
use tilth_client::{
    audit::Millis,
    mates::{Event, Part},
};
use tilth_contracts::{Audits, Registry, Waiting};
use tilth_protocol::{Amount, JobId, Price, RangeId};
use tilth_provider::{
    machine::{Effect, Event as Told, Place},
    words::{self, Leaving, LineTerms},
};

use super::{
    agent::Agent,
    mind::ProviderMind,
    pairing::{Pairing, Works},
    provider::Provider,
    scene::Scene,
    work::Work,
};
use crate::farm::FarmError;

/// A range that it is the mate of, and that is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Its tasks.
    pub part: Part,
    /// After that it is of no use.
    pub due: Millis,
}

impl Pairing {
    /// The same of a provider whose machine runs what it is drawn for.
    #[must_use]
    pub(super) fn by_machine(mut self) -> Self {
        self.drawn = Some(BTreeMap::new());
        self
    }

    /// Has the machine run a range, unless it has done so.
    pub(super) fn hand_on(&mut self, range: RangeId, drawn: Drawn) -> Option<Event> {
        let part = drawn.part;
        if let Some(work) = self.copies.get(&range).filter(|work| is_of(work, part)) {
            return Some(Event::Found { range, part, found: work.found() });
        }
        if let Some(asked) = &mut self.drawn {
            asked.insert(range, drawn);
        }
        None
    }

    /// The machine has run and stored a range.
    pub(super) fn has_done(
        &mut self,
        (range, part): (RangeId, Part),
        work: Work,
        mind: &mut dyn ProviderMind,
        own: &Works,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        let found = work.found();
        self.copies.insert(range, work);
        let Some(asked) = &mut self.drawn else { return Ok(()) };
        if asked.get(&range).is_none_or(|drawn| drawn.part != part) {
            return Ok(());
        }
        asked.remove(&range);
        let effects = self.mates.take(Event::Found { range, part, found }, scene)?;
        self.perform(effects, mind, own, scene)
    }

    /// Does not wait any more for what is too late.
    pub(super) fn miss_late(
        &mut self,
        mind: &mut dyn ProviderMind,
        own: &Works,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        let Some(asked) = &mut self.drawn else { return Ok(()) };
        let now = scene.now;
        let late: Vec<RangeId> =
            asked.iter().filter(|(_, drawn)| drawn.due <= now).map(|(range, _)| *range).collect();
        asked.retain(|_, drawn| drawn.due > now);
        for range in late {
            let effects = self.mates.take(Event::Ended { range, done: false }, scene)?;
            self.perform(effects, mind, own, scene)?;
        }
        Ok(())
    }

    /// When it misses something next.
    pub(super) fn missed_from(&self) -> Option<Millis> {
        self.drawn.iter().flatten().map(|(_, drawn)| drawn.due).min()
    }

    /// Removes what is on disk of ranges.
    pub(super) fn clear(&mut self, is_gone: impl Fn(RangeId) -> bool) {
        self.copies.retain(|range, _| !is_gone(*range));
    }
}

impl Provider {
    /// Waits in a line, with no more than it may.
    pub(super) fn line_up(
        &self,
        agent: &Agent,
        job: JobId,
        (bond, min_price): (Amount, Price),
        scene: &mut Scene,
    ) -> Result<Option<Told>, FarmError> {
        let number = agent.name.number;
        let entry = scene.entry(job, number)?;
        if words::is_in_line(&entry) {
            return Ok(Some(Told::Moved { job, place: Some(Place::On) }));
        }
        let at = *scene.farm.addresses();
        let standing = Registry::standingCall { node: self.who };
        let carried = scene.farm.read(at.registry, &standing)?.room;
        let room = scene.farm.read(at.audits, &Audits::roomCall { provider: number })?;
        let room = carried.min(u128::try_from(room).unwrap_or(u128::MAX));
        let bond = bond.0.min(agent.bond);
        let min_price = U96::saturating_from(min_price.0);
        let Some(terms) = words::line_terms(&entry, scene.farm.now, bond, min_price, room) else {
            return Ok(Some(Told::Moved { job, place: None }));
        };
        let LineTerms { bond, min_price } = terms;
        let call = Waiting::waitCall { jobId: job.0, bond, minPrice: min_price };
        let (bond, min_price) = (Amount(bond.to::<u128>()), Price(min_price.to::<u128>()));
        self.send(agent, Effect::Wait { job, bond, min_price }, &call, scene);
        Ok(None)
    }

    /// Leaves a line, or has its bond back.
    pub(super) fn leave_line(
        &self,
        agent: &Agent,
        job: JobId,
        scene: &mut Scene,
    ) -> Result<Option<Told>, FarmError> {
        let entry = scene.entry(job, agent.name.number)?;
        let place = match words::on_leaving(&entry, scene.farm.now) {
            Leaving::Needless => Some(Place::Off),
            Leaving::Early => None,
            Leaving::To(_) => {
                let call = Waiting::leaveCall { jobId: job.0 };
                self.send(agent, Effect::Leave { job }, &call, scene);
                return Ok(None);
            }
        };
        Ok(Some(Told::Moved { job, place }))
    }
}

/// Whether it was made of these tasks.
fn is_of(work: &Work, part: Part) -> bool {
    let leaves = &work.hand_in.leaves;
    let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
    count == part.count && leaves.first().is_some_and(|leaf| leaf.index == part.from)
}
