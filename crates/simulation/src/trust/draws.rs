//! Whom the beacon draws as the mate of a replicated range, and how likely that was a friend of its primary.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{
    arithmetic::ONE,
    draw::Seed,
    replica::{self, Asked, REPLICA_TRIES, Waiter},
};

use super::{cast::Side, pairs::Pairs, scene::Scene, workload::worth};

impl Pairs {
    pub(super) fn person(&self, number: u32) -> Option<&(Address, Side, u128)> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.people.get(place)
    }

    /// The account of a range's mate, if it has one.
    pub(super) fn mate_of(&self, id: RangeId) -> Option<Address> {
        let mate = self.ranges.get(&id)?.mate;
        self.person(mate).map(|(who, ..)| *who)
    }

    pub(super) fn is_honest(&self, number: u32) -> bool {
        self.person(number).is_some_and(|(_, side, _)| *side == Side::Honest)
    }

    /// Whether somebody is not drawn at all: the range's primary and the client.
    fn is_out(&self, id: RangeId, number: u32, scene: &Scene) -> bool {
        let client = scene.public.jobs.get(&id.job).map(|facts| facts.client);
        let is_client = self.person(number).is_some_and(|(who, ..)| client == Some(*who));
        is_client || self.ranges.get(&id).is_some_and(|seen| seen.primary == number)
    }

    /// All who could be drawn for a range, as they are now, and what it asks of them.
    fn waiters(&self, id: RangeId, scene: &Scene) -> Option<(Vec<Waiter<u32>>, Asked)> {
        let (seen, handed) = (self.ranges.get(&id)?, scene.handed.get(&id)?);
        let price = scene.public.ranges.get(&id)?.price;
        let asked = Asked { value: worth(handed.units, price), price };
        let waiter = |(number, bond): (&u32, &u128)| {
            let reach = self.person(*number).map_or(0, |(.., reach)| *reach);
            // Nobody here has a least price.
            Waiter { owner: *number, bond: *bond, min_price: 0, reach }
        };
        Some((seen.line.iter().map(waiter).collect(), asked))
    }

    /// Bonds of all who are fit to be the mate of a range now.
    fn fit(&self, id: RangeId, scene: &Scene) -> BTreeMap<u32, u128> {
        let Some((line, asked)) = self.waiters(id, scene) else { return BTreeMap::new() };
        let fit = |one: &Waiter<u32>| one.fits(asked) && !self.is_out(id, one.owner, scene);
        line.into_iter().filter(fit).map(|one| (one.owner, one.bond)).collect()
    }

    /// Whom the beacon gives a range as its next mate, with too much to do or not, and the draws that are used up then.
    /// `None`: nobody, or the beacon is not known.
    pub(super) fn found(&self, id: RangeId, scene: &Scene) -> Option<(u32, usize)> {
        let seen = self.ranges.get(&id)?;
        let seed = Seed::new(*self.beacons.get(&seen.round)?, id, 0);
        let (line, asked) = self.waiters(id, scene)?;
        let out = |number: &u32| self.is_out(id, *number, scene);
        let (place, next) = replica::mate(seed, seen.next, &line, asked, out);
        Some((line.get(place?)?.owner, next))
    }

    fn is_full(&self, job: JobId, number: u32) -> bool {
        self.lines.get(&job).is_some_and(|line| line.is_full(number))
    }

    /// The chance that a friend is drawn of these, by their bonds, and becomes the mate, billionths: one that has as much
    /// to do as it may have does not, and nobody does in its place.
    fn chance(&self, id: RangeId, fit: &BTreeMap<u32, u128>) -> u32 {
        let sum = |friends: bool| -> u128 {
            let counted =
                |number: u32| !friends || !self.is_honest(number) && !self.is_full(id.job, number);
            fit.iter().filter(|(number, _)| counted(**number)).map(|(_, bond)| bond).sum()
        };
        let chance = sum(true) * u128::from(ONE.0) / sum(false).max(1);
        u32::try_from(chance).unwrap_or(ONE.0)
    }

    /// A range has no mate, or none any more.
    pub(super) fn go_alone(&mut self, id: RangeId, lapsed: bool, time: u64, scene: &Scene) {
        let chance = self.chance(id, &self.fit(id, scene));
        let found = self.found(id, scene).map(|(number, _)| number);
        let is_full = found.is_some_and(|number| self.is_full(id.job, number));
        let Some(seen) = self.ranges.get_mut(&id) else { return };
        seen.lapsed = lapsed;
        let all_tried = seen.asked.len() as u64 >= u64::from(REPLICA_TRIES);
        if lapsed || all_tried || time > seen.until {
            return;
        }
        match found {
            // Whoever was drawn has as much to do as it may have: a draw all the same, and no match.
            Some(_) if is_full && seen.asked.is_empty() => seen.chance = Some(chance),
            Some(_) if is_full => {}
            Some(number) => self.faults.push(format!("{id} has no mate, and {number} was drawn")),
            None if !self.beacons.contains_key(&seen.round) => {
                self.faults.push(format!("{id} has no mate, and nobody knows whom it has drawn"));
            }
            None => {}
        }
    }

    pub(super) fn draw(&mut self, id: RangeId, number: u32, time: u64, scene: &Scene) {
        let chance = self.chance(id, &self.fit(id, scene));
        let found = self.found(id, scene);
        let line = self.lines.entry(id.job).or_default().at(time);
        if line.is_full(number) {
            self.faults.push(format!("{number} is the mate of {id}, and has too much to do"));
        }
        line.take(number);
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} has a mate and was never handed in"));
        };
        match found {
            Some((drawn, next)) if drawn == number => seen.next = next,
            _ => {
                let (line, primary) = (&seen.line, seen.primary);
                let text = format!("{number} is the mate of {id}, by {primary}, on {line:?}");
                self.faults.push(format!("{text}, and not {found:?}"));
            }
        }
        if seen.asked.is_empty() {
            seen.chance = Some(chance);
        }
        seen.asked.push(number);
        seen.mate = number;
    }
}
