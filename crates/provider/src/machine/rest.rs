//! While the owner has the machine: work stands still, is finished, or is left.

use tilth_protocol::RangeId;

use super::{
    Machine, Slot, Work,
    effect::{Effect, Note},
    event::{Millis, Rest, SlotId},
    range::{Range, Stage},
};

/// The part of a range's time that is kept for storing and submitting it.
const MARGIN: u64 = 10;

impl Machine {
    /// Whether new work may be looked for.
    pub(super) fn takes_work(&self) -> bool {
        !self.draining && self.rest.is_none() && !self.crowded
    }

    /// Whether nothing may run and nothing may be begun.
    pub(super) fn stands_still(&self) -> bool {
        matches!(self.rest, Some(Rest::Freeze | Rest::Release))
    }

    /// Ranges that are held and stand still for as long as the owner has the machine.
    pub(super) fn still(&self) -> usize {
        if self.rest != Some(Rest::Freeze) {
            return 0;
        }
        let runs = |slot: &&Slot| match slot.work {
            Work::Running(range, _) => slot.frozen.is_some() && !self.is_mates(range),
            _ => false,
        };
        let begun = self.slots.iter().filter(runs).count();
        let waits = |range: &&Range| range.stage == Stage::Held && !range.is_mates();
        self.ranges.values().filter(waits).count().saturating_add(begun)
    }

    /// The owner comes, goes, or wants something else.
    pub(super) fn owner_wants(&mut self, rest: Option<Rest>, out: &mut Vec<Effect>) {
        let stood = self.stands_still();
        self.rest = rest;
        if stood || !self.stands_still() {
            return;
        }
        // Nothing new is fetched while we stand still, so this is said once of each.
        let fetching = self.jobs.iter().filter(|(_, job)| job.is_fetching());
        out.extend(fetching.map(|(job, _)| Effect::StopFetch { job: *job }));
    }

    pub(super) fn rest(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.rest == Some(Rest::Release) {
            self.stop_calibrations(out);
        }
        if self.stands_still() {
            let ids = self.ids(|stage| matches!(stage, Stage::Held | Stage::Running));
            for id in ids {
                // A mate cannot give anything back: what it was drawn for is gone on with if there is time afterwards.
                let leaves = !self.is_mates(id) || self.rest == Some(Rest::Release);
                if leaves && self.is_too_late(id, now) {
                    self.leave(id, now, out);
                }
            }
        }
        self.stop_late_calibrations(now, out);
        self.freeze(now, out);
    }

    /// A trial task of a job that is over would stand still for as long as the owner stays, and the job be kept for it.
    fn stop_late_calibrations(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.rest != Some(Rest::Freeze) {
            return;
        }
        for slot in (0..).take(self.slots.len()) {
            let state = self.slots.get(usize::from(slot)).filter(|state| !state.leaving);
            let Some(Work::Calibrating(job)) = state.map(|state| state.work) else { continue };
            let ends = self.jobs.get(&job).map_or(0, |job| job.ends());
            if self.is_due(ends, now) {
                self.stop(slot, out);
            }
        }
    }

    /// Brings what stands still in line with what should.
    fn freeze(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let rest = self.rest;
        for (slot, state) in (0..).zip(&mut self.slots) {
            let freezes = match state.work {
                Work::Idle => false,
                // Stopping ends the worker.
                Work::Calibrating(_) | Work::Running(..) => {
                    rest == Some(Rest::Freeze) && !state.leaving
                }
            };
            match state.frozen {
                None if freezes => {
                    state.frozen = Some(now);
                    out.push(Effect::Freeze { slot });
                }
                Some(since) if !freezes => {
                    state.thaw(since, now);
                    out.push(Effect::Thaw { slot });
                }
                _ => {}
            }
        }
    }

    /// An owner who wants the memory gets that of trial tasks, too; they are made again another time.
    fn stop_calibrations(&mut self, out: &mut Vec<Effect>) {
        for slot in (0..).take(self.slots.len()) {
            let calibrates = |state: &&mut Slot| matches!(state.work, Work::Calibrating(_));
            if self.slot_mut(slot).filter(calibrates).is_some_and(|state| !state.leaving) {
                self.stop(slot, out);
            }
        }
    }

    /// Whether a range would not be done in time even if the owner left now; the machine is woken when
    /// that becomes so.
    fn is_too_late(&mut self, id: RangeId, now: Millis) -> bool {
        if self.rest == Some(Rest::Release) {
            return true;
        }
        let Some((range, job)) = self.ranges.get(&id).zip(self.jobs.get(&id.job)) else {
            return false;
        };
        let timeout = job.terms.range_timeout_ms;
        let runs = |slot: &&Slot| matches!(slot.work, Work::Running(other, _) if other == id);
        let left = match self.slots.iter().find(runs) {
            Some(slot) => self.time_left(slot, now),
            None => self.duration(id),
        };
        let end = range.claim.at.saturating_add(timeout - timeout / MARGIN);
        self.is_due(end.saturating_sub(left), now)
    }

    /// Stops what a slot runs; it stands still no more, whatever the owner does.
    pub(super) fn stop(&mut self, slot: SlotId, out: &mut Vec<Effect>) {
        if let Some(state) = self.slot_mut(slot) {
            state.leaving = true;
        }
        out.push(Effect::Abort { slot });
    }

    /// Gives a range back; one that runs is stopped first and comes by here again.
    fn leave(&mut self, id: RangeId, now: Millis, out: &mut Vec<Effect>) {
        let runs = |slot: &Slot| matches!(slot.work, Work::Running(other, _) if other == id);
        let running = self.slots.iter().position(runs);
        match running.and_then(|slot| SlotId::try_from(slot).ok()) {
            Some(slot) => {
                if self.slots.get(usize::from(slot)).is_some_and(|state| !state.leaving) {
                    self.stop(slot, out);
                }
            }
            None => {
                let given_back = |range: &&mut Range| !range.is_mates();
                if let Some(range) = self.ranges.get_mut(&id).filter(given_back) {
                    range.enter(Stage::GivingUp, now);
                    out.push(Effect::Note(Note::TooLate { range: id }));
                }
            }
        }
    }
}

impl Slot {
    /// Ends standing still: the time stood does not count as time run.
    fn thaw(&mut self, since: Millis, now: Millis) {
        if let Work::Running(range, began) = self.work {
            let stood = now.saturating_sub(since);
            self.work = Work::Running(range, began.saturating_add(stood));
        }
        self.frozen = None;
    }
}
