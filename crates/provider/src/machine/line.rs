//! Second providers of replicated jobs: waiting to be drawn, and what is to be done when we are.
//!
//! A range that we are the mate of is run and stored as one of our own and then kept. To commit to it and to show it is
//! the affair of the keeper around `tilth_client::mates`, which tells what is to be done and when it is over.

use tilth_protocol::{Amount, JobId, RangeId};
use tilth_verification::replica::{DRAW_SPAN_S, REPLICA_TIME_S};

use super::{
    Machine, Work,
    effect::{Effect, Note},
    event::{Claim, Millis, Place},
    job::{Job, Phase},
    pause,
    range::{Range, Role, Stage},
    work_events::ranges_of,
};

/// So many ranges as large as ours are expected to be does a bond bear.
const BOND_CEILINGS: u128 = 4;
/// So long after leaving a line ranges of before can draw us, and a little more, for clocks differ.
const BOUND_MS: Millis = DRAW_SPAN_S as Millis * 1_000 + 5_000;
/// First and longest pause after a move in a line has failed.
const LINE_PAUSE: (Millis, Millis) = (2_000, 600_000);
/// So often an answer is not believed that we are not known in a line that we wait in: a node that is late says so, and
/// whoever forgets a place there is drawn all the same.
const MAX_UNKNOWN: u32 = 5;
/// Whoever has not done what it was drawn for does not come back at once, and ever later if that comes again: each costs.
const MISS_PAUSE: (Millis, Millis) = (600_000, 86_400_000);

/// Our place in the line of a job.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    place: Place,
    /// Whether a move is under way.
    moving: bool,
    /// The next move comes no earlier.
    not_before: Millis,
    failures: u32,
    /// Ranges in a row that we were drawn for and have not done.
    misses: u32,
    /// We join it no earlier.
    join_from: Millis,
    /// When we have left it.
    left_at: Millis,
}

impl Line {
    /// Whether nothing binds us to the job.
    pub(super) fn is_clear(&self) -> bool {
        self.place == Place::Off && !self.moving
    }

    /// Whether we can be drawn any time, or soon can.
    pub(super) fn is_taken(&self) -> bool {
        self.place == Place::On || self.moving
    }

    /// Until when ranges of before can draw us, if we have left it.
    pub(super) fn drawable_until(&self) -> Option<Millis> {
        let has_left = self.place == Place::Left && !self.moving;
        has_left.then(|| self.left_at.saturating_add(BOUND_MS))
    }

    /// Whether we can be drawn, now or soon.
    pub(super) fn is_drawable(&self, now: Millis) -> bool {
        self.is_taken() || self.drawable_until().is_some_and(|until| now < until)
    }

    fn come_to(&mut self, place: Place, now: Millis) {
        if place == Place::Left && self.place != Place::Left {
            self.left_at = now;
        }
        self.place = place;
    }

    /// What we were drawn for is done.
    pub(super) fn has_done(&mut self) {
        self.misses = 0;
    }

    pub(super) fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before.saturating_sub(by);
        self.join_from = self.join_from.saturating_sub(by);
        self.left_at = self.left_at.saturating_sub(by);
    }
}

impl Machine {
    // ---------------------------------------------------------------- what is told

    /// Books our place in a line, as a log says it.
    pub(super) fn placed(&mut self, id: JobId, place: Place, now: Millis) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.line.come_to(place, now);
        }
    }

    /// A move in a line has ended.
    pub(super) fn moved(&mut self, id: JobId, place: Option<Place>, now: Millis) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let line = &mut job.line;
        line.moving = false;
        // Whoever leaves a line stays bound for an hour, so nobody is off it at one go.
        let is_strange = place == Some(Place::Off) && line.place == Place::On;
        match place.filter(|_| !is_strange || line.failures >= MAX_UNKNOWN) {
            Some(place) => {
                line.come_to(place, now);
                (line.failures, line.not_before) = (0, 0);
            }
            None => {
                line.failures = line.failures.saturating_add(1);
                let wait = pause(LINE_PAUSE.0, line.failures, LINE_PAUSE.1);
                line.not_before = now.saturating_add(wait);
            }
        }
    }

    /// We are the mate of a range.
    pub(super) fn drawn(&mut self, claim: Claim, due: Millis, now: Millis, out: &mut Vec<Effect>) {
        let id = claim.range;
        if self.jobs.get(&id.job).is_none_or(|job| job.is_over(id.seq)) {
            return;
        }
        self.duties.insert(id);
        match self.ranges.get_mut(&id) {
            // Somebody cannot be both; what was told first holds.
            Some(range) if range.is_mates() => {
                range.role = Role::Mate { due };
                if !range.is_of(&claim) {
                    self.change(claim, now, out);
                }
            }
            Some(_) => {}
            None => {
                self.ranges.insert(id, Range::of_mate(claim, due));
            }
        }
    }

    /// A range that we are the mate of has other tasks than before, after a reorganisation: what was found is of no use.
    fn change(&mut self, claim: Claim, now: Millis, out: &mut Vec<Effect>) {
        let slot = self.slot_of(claim.range);
        let Some(range) = self.ranges.get_mut(&claim.range) else { return };
        match range.stage {
            // Its journal is being read; we are told again.
            Stage::Storing => return,
            Stage::Running => {}
            _ => range.enter(Stage::Held, now),
        }
        range.claim = claim;
        if let Some(slot) = slot {
            self.stop(slot, out);
        }
    }

    /// What is kept of a range that we are the mate of is gone: it is run again, though its first time may be long over.
    pub(super) fn kept_lost(&mut self, id: RangeId, due: Millis, now: Millis) {
        let Some(range) = self.ranges.get_mut(&id) else { return };
        if range.stage != Stage::Kept {
            return;
        }
        range.role = Role::Mate { due };
        // Nothing of its journal counts any more.
        (range.deaths, range.done) = (0, 0);
        range.enter(Stage::Held, now);
    }

    /// A duty is over. What is stored stays until its range is judged.
    pub(super) fn duty_over(&mut self, id: RangeId, out: &mut Vec<Effect>) {
        self.duties.remove(&id);
        if self.ranges.get(&id).is_some_and(Range::is_duty) {
            self.drop_range(id, out);
        }
    }

    /// The range of a mate was judged; true if it is one.
    pub(super) fn mates_judged(
        &mut self,
        id: RangeId,
        stage: Stage,
        now: Millis,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(range) = self.ranges.get_mut(&id).filter(|range| range.is_mates()) else {
            return false;
        };
        match range.stage {
            Stage::Kept => range.enter(stage, now),
            // A verdict that was taken back.
            Stage::Settled | Stage::Rejected if range.stage != stage => range.enter(stage, now),
            Stage::Settled | Stage::Rejected => {}
            // Done without us.
            _ => self.drop_range(id, out),
        }
        true
    }

    /// Lets go of a range that we are the mate of and cannot do.
    pub(super) fn miss(&mut self, id: RangeId, now: Millis, out: &mut Vec<Effect>) {
        if let Some(job) = self.jobs.get_mut(&id.job) {
            let line = &mut job.line;
            line.misses = line.misses.saturating_add(1);
            let wait = pause(MISS_PAUSE.0, line.misses, MISS_PAUSE.1);
            line.join_from = now.saturating_add(wait);
        }
        out.push(Effect::Note(Note::Missed { range: id }));
        self.drop_range(id, out);
    }

    // ---------------------------------------------------------------- what is asked

    /// Whether a range is one that we are the mate of.
    pub(super) fn is_mates(&self, id: RangeId) -> bool {
        self.ranges.get(&id).is_some_and(Range::is_mates)
    }

    /// Ranges that we are the mate of and that are still to be run or stored.
    pub(super) fn to_be_done(&self) -> usize {
        self.ranges.values().filter(|range| range.is_duty()).count()
    }

    /// Whether a job must be remembered although no range of it is held.
    pub(super) fn is_bound_to(&self, id: JobId, job: &Job) -> bool {
        let duties = self.duties.range(ranges_of(id)).next().is_some();
        duties || !job.line.is_clear() || (job.terms.replicated && !self.duties_known)
    }

    /// Lines in which we are so.
    pub(super) fn lines_at(&self, place: Place) -> usize {
        self.jobs.values().filter(|job| job.line.place == place).count()
    }

    /// Moves under way.
    pub(super) fn moves(&self) -> usize {
        self.jobs.values().filter(|job| job.line.moving).count()
    }

    /// What a range of ours is expected to be worth at most, times as many as a bond bears. But caps can be far above what
    /// tasks take, and somebody faster has larger ranges: we are drawn for none that pays more than half of a mate's time
    /// does at our own pace.
    fn bond(&self, job: &Job) -> Amount {
        let terms = &job.terms;
        let micros = job.speed.map_or(u64::MAX, |speed| speed.task_micros.max(1));
        let fitting = terms.target_ms.saturating_mul(1_000) / micros;
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
        let count = fitting.max(terms.first_range).min(terms.task_count);
        let units = u128::from(terms.unit_cap)
            .saturating_mul(count.into())
            .saturating_add(terms.prepare_cap.into());
        let ceilings = units.saturating_mul(terms.price.0).saturating_mul(BOND_CEILINGS);
        let in_time = |a_second: u128| a_second.max(1).saturating_mul((REPLICA_TIME_S / 2).into());
        Amount(job.speed.map_or(ceilings, |speed| ceilings.min(in_time(speed.value))))
    }

    /// Whether we do for others what they need of us in this job, as long as it is open.
    fn may_wait(&self, job: &Job, now: Millis) -> bool {
        self.takes_work() && job.is_open(now) && job.floor(&self.rules) <= job.terms.price
    }

    // ---------------------------------------------------------------- the plan

    /// Lets go of what is too late.
    pub(super) fn miss_late(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let duties: Vec<_> = self
            .ranges
            .iter()
            .filter(|(_, range)| range.is_duty())
            .filter_map(|(id, range)| range.due().map(|due| (*id, due)))
            .collect();
        for (id, due) in duties {
            if self.is_due(due, now) {
                self.miss(id, now, out);
            }
        }
    }

    /// Waits in lines where that pays, and leaves others.
    pub(super) fn line_up(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let idle = self.slots.iter().any(|slot| slot.work == Work::Idle);
        let ids: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.terms.replicated && !job.line.moving)
            .map(|(id, _)| *id)
            .collect();
        if ids.is_empty() {
            return;
        }
        // Each line can bring a range at any time, and that has a quarter of an hour.
        let room = self.room_for_lines(now);
        let mut drawable = self.drawable_lines(now);
        let mut kept = 0_usize;
        for id in ids {
            let Some(job) = self.jobs.get(&id) else { continue };
            let (line, deadline) = (job.line, job.terms.deadline);
            // Whoever comes back to a line that can still draw it has a slot for it.
            let others = drawable.saturating_sub(usize::from(line.is_drawable(now)));
            let may_wait = self.may_wait(job, now);
            let is_ready = job.phase == Phase::Ready && job.speed.is_some();
            let joins = may_wait && is_ready && idle && others < room;
            let wait =
                Effect::Wait { job: id, bond: self.bond(job), min_price: job.floor(&self.rules) };
            let effect = match line.place {
                Place::On if may_wait && kept < room => {
                    kept = kept.saturating_add(1);
                    self.is_due(deadline, now);
                    continue;
                }
                Place::On => Effect::Leave { job: id },
                Place::Off | Place::Left if joins && self.is_due(line.join_from, now) => wait,
                Place::Off => continue,
                // Nobody gets a bond back that still answers for something.
                Place::Left => {
                    let bound = self.duties.range(ranges_of(id)).next().is_some();
                    if bound || !self.is_due(line.left_at.saturating_add(BOUND_MS), now) {
                        continue;
                    }
                    Effect::Leave { job: id }
                }
            };
            if !self.is_due(line.not_before, now) {
                continue;
            }
            if let Some(job) = self.jobs.get_mut(&id) {
                job.line.moving = true;
                drawable = others.saturating_add(1);
                out.push(effect);
            }
        }
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
