//! A wall clock that is set back: pauses were reckoned by the later time and must not last until then.

use super::{
    Machine, Work,
    event::Millis,
    job::{Phase, Sleep},
    range::{Role, Stage},
};

impl Machine {
    /// Notes the time. If it is earlier than before, the clock was set: what waits for a time of ours waits
    /// as long as it was meant to. Times that the chain has given stay what they are.
    pub(super) fn note_time(&mut self, now: Millis) {
        let back = self.latest.saturating_sub(now);
        self.latest = now;
        if back == 0 {
            return;
        }
        let earlier = |time: &mut Millis| *time = time.saturating_sub(back);
        for job in self.jobs.values_mut() {
            if let Phase::Seen { not_before } = &mut job.phase {
                earlier(not_before);
            }
            if let Some(Sleep::Until(time) | Sleep::Inputs(time) | Sleep::Settlement(time)) =
                &mut job.sleep
            {
                earlier(time);
            }
            earlier(&mut job.settle_not_before);
            earlier(&mut job.expire_not_before);
            job.line.set_back(back);
        }
        for range in self.ranges.values_mut() {
            earlier(&mut range.not_before);
            if let Role::Mate { due } = &mut range.role {
                earlier(due);
            }
            if matches!(range.stage, Stage::Settled | Stage::Rejected) {
                earlier(&mut range.since);
            }
        }
        for slot in &mut self.slots {
            if let Work::Running(_, since) = &mut slot.work {
                earlier(since);
            }
            if let Some(since) = &mut slot.frozen {
                earlier(since);
            }
        }
        earlier(&mut self.withdraw_not_before);
    }
}
