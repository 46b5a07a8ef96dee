//! Why no work comes of jobs that could be worked on. For people: nothing is decided by it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    Machine,
    event::Millis,
    job::{Job, Phase, Sleep},
};

/// What a job waits for before a range of it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Its program and inputs are not here and ready.
    Files,
    /// One task of it is to be tried first.
    Trial,
    /// All its tasks are given out.
    Work,
    /// Its money is spent or set aside.
    Funds,
    /// The stake is bound to work that is not paid yet.
    Stake,
    /// Its price, on the clock, is below the least.
    Price,
    /// Auditors do not hold its inputs yet.
    Holders,
    /// The chain did not answer, or a trial failed; it is tried again by itself.
    Retry,
}

impl fmt::Display for Wait {
    /// For a list: "3 jobs: ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "their program and inputs are being fetched, or nobody has them",
            Self::Trial => "one task is to be tried first",
            Self::Work => "all tasks are given out",
            Self::Funds => "their money is spent or set aside",
            Self::Stake => "the stake is bound to work that is not paid yet",
            Self::Price => "their price is still below the least",
            Self::Holders => {
                "auditors do not hold their inputs yet, and nobody gets work before that"
            }
            Self::Retry => "asked again soon",
        })
    }
}

impl Machine {
    /// Number of jobs that wait, by what they wait for. Of those that are open and left alone for nothing else.
    pub fn waits(&self) -> BTreeMap<Wait, usize> {
        let mut waits = BTreeMap::new();
        let open = self.jobs.values().filter(|job| job.is_open(self.latest));
        for wait in open.filter_map(|job| self.wait(job, self.latest)) {
            *waits.entry(wait).or_insert(0) += 1;
        }
        waits
    }

    fn wait(&self, job: &Job, now: Millis) -> Option<Wait> {
        match (job.phase, job.sleep) {
            (_, Some(Sleep::Work)) => Some(Wait::Work),
            (_, Some(Sleep::Funds)) => Some(Wait::Funds),
            (_, Some(Sleep::Settlement)) => Some(Wait::Stake),
            _ if job.remaining() == 0 => Some(Wait::Work),
            (_, Some(Sleep::Until(time))) if time > now => Some(Wait::Retry),
            (_, Some(Sleep::Inputs(time))) if time > now => Some(Wait::Holders),
            (Phase::Seen { .. } | Phase::Fetching, _) => Some(Wait::Files),
            _ if job.speed.is_none() => Some(Wait::Trial),
            _ if job.pays_from(job.floor(&self.rules)) > now => Some(Wait::Price),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{JobId, RangeId};

    use super::{
        super::{
            ChainEvent, Claim, Effect, Event, Machine, Pace, Refusal,
            sample::{self, START},
        },
        *,
    };

    const JOB: JobId = JobId(1);

    fn waits(machine: &Machine) -> Vec<(Wait, usize)> {
        machine.waits().into_iter().collect()
    }

    #[test]
    fn what_a_job_waits_for_is_told() {
        let mut machine = Machine::new(sample::rules(1));
        machine.step(Event::CaughtUp, START);
        assert_eq!(waits(&machine), []);
        let opened = ChainEvent::Opened { job: JOB, terms: sample::terms(100) };
        machine.step(Event::Chain(opened), START);
        assert_eq!(waits(&machine), [(Wait::Files, 1)]);
        machine.step(Event::Fetched { job: JOB }, START);
        assert_eq!(waits(&machine), [(Wait::Trial, 1)]);
        let pace = Pace { tasks: 1, units: 10, micros: 100_000, load_micros: 0 };
        let effects = machine.step(Event::Calibrated { slot: 0, job: JOB, pace }, START);
        assert_eq!(waits(&machine), [], "it is asked for");
        let ask = effects.into_iter().find_map(|effect| match effect {
            Effect::Claim(ask) => Some(ask),
            _ => None,
        });
        let epoch = ask.unwrap().epoch;
        let refused = |why| Event::ClaimRefused { job: JOB, epoch, why };
        for (why, wait) in [
            (Refusal::Exposure, Wait::Stake),
            (Refusal::NoFunds, Wait::Funds),
            (Refusal::NoWork, Wait::Work),
            (Refusal::Unheld, Wait::Holders),
            (Refusal::Later, Wait::Retry),
        ] {
            machine.step(refused(why), START);
            assert_eq!(waits(&machine), [(wait, 1)]);
        }
        // Others have taken all of it.
        let range = RangeId { job: JOB, seq: 0 };
        let claim = Claim { range, from: 0, count: 100, at: START };
        let provider = alloy_primitives::Address::repeat_byte(9);
        machine.step(Event::Chain(ChainEvent::Claimed { provider, claim }), START);
        assert_eq!(waits(&machine), [(Wait::Work, 1)]);
        machine.step(Event::Chain(ChainEvent::Closed { job: JOB }), START);
        assert_eq!(waits(&machine), []);
    }
}
