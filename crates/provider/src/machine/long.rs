//! Ranges that take long, beside lines: what we are drawn for must be done in a quarter of an hour and cannot be given
//! back, and a range of a plain job can keep a slot for hours.
//!
//! So each line keeps a slot from such work, also for the hour in which ranges of before can draw us. Where there is such
//! work it comes first, or a line would keep us from it as long as its job is open: lines are left for it.

use tilth_protocol::JobId;
use tilth_verification::replica::REPLICA_TIME_S;

use super::{Machine, event::Millis, job::Job, range::Stage};

/// Who is drawn waits at most so long for a slot on which nothing long runs; the rest of its time is for the range.
const LONG_MS: Millis = REPLICA_TIME_S as Millis * 1_000 / 3;

impl Job {
    /// Whether a range of it is likely to take long. Never true of an audited job: it is too slow for auditors.
    pub(super) fn is_long(&self) -> bool {
        let task_ms = self.speed.map_or(0, |speed| speed.task_micros / 1_000);
        let first_ms = task_ms.saturating_mul(self.terms.first_range.into());
        self.terms.target_ms.max(first_ms).min(self.terms.range_timeout_ms) > LONG_MS
    }
}

impl Machine {
    /// Whether a long range may be asked for: every line that can bring us one has a slot without. Who waits in none takes
    /// as many as there are.
    pub(super) fn may_take_long(&mut self, now: Millis) -> bool {
        let lines = self.drawable_lines(now);
        lines == 0 || lines.saturating_add(self.long_ranges()) < self.slots.len()
    }

    /// How many lines can bring us a range, now or soon: those that we are in, and those that we have left within the hour.
    pub(super) fn drawable_lines(&mut self, now: Millis) -> usize {
        let left: Vec<_> = self.jobs.values().filter_map(|job| job.line.drawable_until()).collect();
        let left = left.into_iter().filter(|until| !self.is_due(*until, now)).count();
        let taken = self.jobs.values().filter(|job| job.line.is_taken()).count();
        taken.saturating_add(left)
    }

    /// How many lines may be able to draw us: as many as there are slots, without those for long ranges that we have or could
    /// have.
    pub(super) fn room_for_lines(&mut self, now: Millis) -> usize {
        let workable = if self.takes_work() { self.workable(now) } else { Vec::new() };
        let is_long = |(id, _): &(JobId, u128)| self.jobs.get(id).is_some_and(Job::is_long);
        let wanted = usize::from(workable.iter().any(is_long));
        self.slots.len().saturating_sub(self.long_ranges()).saturating_sub(wanted)
    }

    /// Long ranges that keep a slot, or will.
    fn long_ranges(&self) -> usize {
        let keeps = |stage: Stage| matches!(stage, Stage::Held | Stage::Running);
        let of_long = |id: JobId| self.jobs.get(&id).is_some_and(Job::is_long);
        let ranges = self.ranges.iter();
        let kept = ranges.filter(|(id, range)| keeps(range.stage) && of_long(id.job)).count();
        let asked = self.jobs.values().filter(|job| job.is_long()).map(|job| job.asks as usize);
        asked.fold(kept, usize::saturating_add)
    }
}

#[cfg(test)]
#[path = "long_tests.rs"]
mod tests;
