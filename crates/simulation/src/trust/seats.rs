//! Watches over who sits in a case: whom the beacon draws, nobody with a part in it, and nobody pays for an absence where
//! nobody holds what is needed, or most were absent.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use tilth_protocol::RangeId;
use tilth_verification::{
    draw::{Person, Purpose, Seed},
    walk::DISPUTED_RATE,
};

use super::{oracle::Oracle, scene::Scene};

/// Who sits in a case.
#[derive(Debug, Default)]
pub(super) struct Panel {
    stage: u8,
    /// Draws of this stage that are used up.
    next: u32,
    /// Auditors by their seats.
    seats: Vec<u32>,
    /// Those who did not come, or did not show what they had committed to: nobody asks them again.
    silent: BTreeSet<u32>,
}

impl Panel {
    /// The draw that is next in this stage.
    fn next(&self, stage: u8) -> u32 {
        if stage == self.stage { self.next } else { 0 }
    }

    /// Whoever is drawn sits where it sat already, or else at the end; the place of its seat.
    fn take(&mut self, auditor: u32, stage: u8) -> usize {
        (self.next, self.stage) = (self.next(stage).saturating_add(1), stage);
        let sits = self.seats.iter().position(|one| *one == auditor);
        sits.unwrap_or_else(|| {
            self.seats.push(auditor);
            self.seats.len() - 1
        })
    }
}

impl Oracle {
    /// A vote goes to whom the beacon draws out of the line of the second before the range was handed in, without those who
    /// have a part in it or were silent.
    pub(super) fn check_draw(
        &mut self,
        id: RangeId,
        auditor: u32,
        (seat, stage): (u8, u8),
        scene: &Scene,
    ) {
        // All that is audited was handed in before, and has a case.
        let (Some(line), Some(seen)) = (self.keeps.lines.get(&id), self.cases.get(&id)) else {
            return self.blame(format!("{auditor} sits in {id}, which has no line or no case"));
        };
        let people = self.keeps.people.iter().zip(line);
        let line: Vec<Person<Address>> =
            people.map(|(one, stake)| Person { owner: one.who, stake: *stake }).collect();
        let parties = self.parties(id, scene);
        let Some(panel) = self.panels.get_mut(&id) else {
            return self.blame(format!("{auditor} sits in {id}, which has no panel"));
        };
        let silent = panel.silent.iter().filter_map(|number| self.keeps.holder(*number));
        let out: Vec<Address> =
            parties.into_iter().flatten().chain(silent.map(|one| one.who)).collect();
        let drawn = self.keeps.beacons.get(&seen.round).and_then(|beacon| {
            let seed = Seed::new(*beacon, id, stage);
            let is_out = |who: &Address| out.contains(who);
            let votes = seed.votes(Purpose::Auditor, panel.next(stage), 1, &line, is_out);
            u32::try_from(*votes.members.first()? + 1).ok()
        });
        let place = panel.take(auditor, stage);
        if drawn != Some(auditor) || place != usize::from(seat) {
            let text = format!("{auditor} sits at {seat} in {id}, and {drawn:?} was drawn");
            return self.blame(format!("{text}: {line:?}"));
        }
        self.counts.seats += 1;
    }

    /// Whoever has this seat was silent.
    pub(super) fn lose(&mut self, id: RangeId, seat: u8) {
        let Some(panel) = self.panels.get_mut(&id) else { return };
        let who = panel.seats.get(usize::from(seat)).copied();
        panel.silent.extend(who);
    }

    /// Who has a part in a case: its range's client, provider, and in a dispute the mate.
    fn parties(&self, id: RangeId, scene: &Scene) -> [Option<Address>; 3] {
        let is_dispute = self.cases.get(&id).is_some_and(|seen| seen.rate == DISPUTED_RATE);
        let client = scene.public.jobs.get(&id.job).map(|facts| facts.client);
        let provider = scene.public.ranges.get(&id).map(|facts| facts.provider);
        [client, provider, if is_dispute { self.pairs.mate_of(id) } else { None }]
    }

    /// Nobody came to a seat of a range: whether that may cost something is seen by its job.
    pub(super) fn miss(&mut self, id: RangeId, seat: u8, cut: u128, scene: &Scene) {
        let is_kept = scene.public.jobs.get(&id.job).is_some_and(|facts| facts.terms.kept);
        self.miss_in(id, seat, cut, is_kept);
    }

    /// An absence is noticed first. It costs something when the votes have decided, in a job whose inputs others hold, if no
    /// more people were absent than came: elsewhere they may not have been served, and there it may be more than they can
    /// execute.
    pub(super) fn miss_in(&mut self, id: RangeId, seat: u8, cut: u128, is_kept: bool) {
        let Some(seen) = self.cases.get_mut(&id) else { return };
        if cut == 0 {
            seen.absent |= 1_u16.checked_shl(seat.into()).unwrap_or(0);
            return;
        }
        self.counts.absences += 1;
        let (absent, given) = (seen.absent.count_ones(), u32::from(seen.given));
        if 2 * absent > given {
            self.blame(format!("{absent} of {given} were absent in {id}, and one of them paid"));
        }
        if !is_kept {
            self.blame(format!(
                "somebody paid for not coming to {id}, of which nobody holds the inputs"
            ));
        }
    }

    /// Who is drawn to judge a range has no part in it: neither its client nor its provider, and in a dispute not its
    /// mate either, who loses all or nothing by it.
    pub(super) fn seat(&mut self, id: RangeId, auditor: u32, seat: u8, scene: &Scene) {
        let Some(seen) = self.cases.get_mut(&id) else { return };
        seen.given = seen.given.max(seat.saturating_add(1));
        let parties = self.parties(id, scene);
        let [.., mate] = parties;
        let who = self.keeps.holder(auditor).map(|one| one.who);
        if who.is_some() && parties.contains(&who) {
            self.blame(format!("{auditor} judges {id} and has a part in it: {who:?}"));
        }
        if mate.is_some_and(|mate| self.keeps.people.iter().any(|one| one.who == mate)) {
            self.counts.left_out += 1;
        }
    }
}

#[cfg(test)]
#[path = "seats_tests.rs"]
mod tests;
