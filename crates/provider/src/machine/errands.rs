//! What takes its time and is neither a run nor a transaction: fetching, and storing what was run.

use alloy_primitives::B256;
use tilth_protocol::{ContentHash, JobId, RangeId};

use super::{Later, World};
use crate::machine::{Commitment, Event, Refusal, Rest, Trouble};

impl World {
    pub(super) fn store(&mut self, range: RangeId, delay: u64) {
        assert!(self.complete.contains(&range), "stored {range} before it was complete");
        assert!(self.storing.insert(range), "stored {range} twice at a time");
        let content = ContentHash([3; 32]);
        let commitment = Commitment { root: B256::ZERO, units: 1, failures: 0, content };
        let answer = if self.fault() {
            Event::StoreFailed { range, lost: self.draw(3) == 0 }
        } else {
            Event::Stored { range, commitment }
        };
        self.later(delay, Later::Answer(answer));
    }

    pub(super) fn fetch(&mut self, id: JobId, holds: bool, epoch: u64, delay: u64) {
        let fault = self.fault();
        let may = self.rest.is_none() || (holds && self.rest == Some(Rest::Finish));
        assert!(may, "fetched while the owner was there");
        let Some(job) = self.jobs.get_mut(&id) else { panic!("fetched an unknown job") };
        assert!(holds || job.terms.price >= self.rules.price_floor, "fetched below the floor");
        let answer = if !holds && !job.funded {
            Event::FetchRefused { job: id, epoch, why: Refusal::NoFunds }
        } else if job.broken {
            Event::FetchFailed { job: id, trouble: Trouble::Lasting }
        } else if fault {
            Event::FetchFailed { job: id, trouble: Trouble::Passing }
        } else {
            job.fetched = true;
            Event::Fetched { job: id }
        };
        self.later(delay, Later::Answer(answer));
    }

    pub(super) fn stop_fetch(&mut self, id: JobId, delay: u64) {
        let of = |what: &Later| match what {
            Later::Answer(
                Event::Fetched { job }
                | Event::FetchFailed { job, .. }
                | Event::FetchRefused { job, .. },
            ) => *job == id,
            _ => false,
        };
        let key = self.todo.iter().find(|(_, what)| of(what)).map(|(key, _)| *key);
        self.todo.remove(&key.expect("stopped a fetch that was not under way"));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.fetched = false;
        }
        let trouble = Trouble::Aborted;
        self.later(delay, Later::Answer(Event::FetchFailed { job: id, trouble }));
    }
}
