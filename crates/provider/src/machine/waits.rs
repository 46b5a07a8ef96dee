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
            (_, Some(Sleep::Settlement(time))) if time > now => Some(Wait::Stake),
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
    use tilth_protocol::{Amount, JobId, RangeId};

    use super::{
        super::{
            ChainEvent, Claim, Effect, Event, Machine, Pace, Refusal, Terms,
            sample::{self, START},
        },
        *,
    };

    const JOB: JobId = JobId(1);
    const DAY: Millis = 86_400_000;

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

    /// A machine with a range of which the window lasts for days, and an ask of another job's, whose room is taken.
    fn without_room(now: Millis) -> Machine {
        let deadline = START + 7 * DAY;
        let rules = sample::rules(1);
        let provider = rules.owner;
        let mut machine = Machine::new(rules);
        let range = RangeId { job: JobId(2), seq: 0 };
        let terms = Terms { window_ms: 3 * DAY, deadline, ..sample::terms(10) };
        let claim = Claim { range, from: 0, count: 10, at: START };
        for event in [
            ChainEvent::Opened { job: range.job, terms },
            ChainEvent::Claimed { provider, claim },
            ChainEvent::Submitted { range, at: START },
        ] {
            machine.step(Event::Chain(event), now);
        }
        machine.step(Event::CaughtUp, now);
        assert_eq!(machine.standing().unsettled, 1);
        let terms = Terms { audited: true, deadline, ..sample::terms(100) };
        machine.step(Event::Chain(ChainEvent::Opened { job: JOB, terms }), now);
        machine.step(Event::Fetched { job: JOB }, now);
        let pace = Pace { tasks: 1, units: 10, micros: 100_000, load_micros: 0 };
        let effects = machine.step(Event::Calibrated { slot: 0, job: JOB, pace }, now);
        let epoch = effects.iter().find_map(|effect| match effect {
            Effect::Claim(ask) => Some(ask.epoch),
            _ => None,
        });
        let epoch = epoch.unwrap();
        let refused = Event::ClaimRefused { job: JOB, epoch, why: Refusal::Exposure };
        let effects = machine.step(refused, now);
        assert!(!asks_for(&effects), "{effects:?}");
        assert!(waits(&machine).contains(&(Wait::Stake, 1)), "{machine:?}");
        machine
    }

    fn asks_for(effects: &[Effect]) -> bool {
        effects.iter().any(|effect| matches!(effect, Effect::Claim(ask) if ask.job == JOB))
    }

    /// Others' ranges are acknowledged, or a deposit is filled up, and nothing tells of it.
    #[test]
    fn room_is_asked_for_again_though_nothing_of_ours_is_settled() {
        // The clock may have been a day ahead.
        for ahead in [0, DAY] {
            let mut machine = without_room(START + ahead);
            machine.step(Event::Tick, START);
            let wake = machine.next_wake().unwrap();
            assert!((START + 60_000..START + 3_000_000).contains(&wake), "in minutes, not at once");
            assert!(!asks_for(&machine.step(Event::Tick, wake - 1)), "{machine:?}");
            let effects = machine.step(Event::Tick, wake);
            assert!(asks_for(&effects), "{ahead}: {effects:?}");
        }
    }

    #[test]
    fn what_is_settled_makes_room_at_once() {
        let mut machine = without_room(START);
        let range = RangeId { job: JobId(2), seq: 0 };
        let settled = Event::Chain(ChainEvent::Settled { range, paid: Amount(70) });
        assert!(asks_for(&machine.step(settled, START)));
    }
}
