//! What a pipeline does next. Pure: what is on disk and on chain goes in, one step comes out.
//!
//! A stage goes `Waiting -> Opening -> Open -> Complete | Stopped`. `Opening` is written down with the
//! signed transaction before that is handed in, so whoever finds it there hands in the same transaction
//! again, and the stage is opened once. The next stage is looked at only when the one before is complete.

use serde::{Deserialize, Serialize};
use tilth_protocol::JobId;

use crate::job_file::FailedTasks;

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Standing {
    /// Its turn has not come.
    Waiting,
    /// Its opening is signed and may be on its way.
    Opening,
    /// It is on the chain.
    Open {
        /// Its job.
        job: JobId,
    },
    /// It is over and the next stage may read its results.
    Complete {
        /// Its job.
        job: JobId,
    },
    /// It is over, and so is the pipeline.
    Stopped {
        /// Its job, if it was opened.
        job: Option<JobId>,
        /// Why.
        why: Stop,
    },
}

/// Why a pipeline went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "kebab-case")]
pub enum Stop {
    /// Somebody cancelled it.
    Cancelled,
    /// Tasks have no result: the job ended before they were done, or their results could not be had.
    Missing {
        /// How many.
        tasks: u32,
    },
    /// Tasks failed, and the next job wants all of them.
    Failed {
        /// How many.
        tasks: u32,
    },
    /// No task at all gave an output.
    NothingLeft,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::Missing { tasks } => write!(f, "{tasks} tasks have no result"),
            Self::Failed { tasks } => write!(
                f,
                "{tasks} tasks failed; with `failed-tasks = \"leave-out\"` the next job would do without them"
            ),
            Self::NothingLeft => f.write_str("no task has an output"),
        }
    }
}

/// How the tasks of a job ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    /// The job was cancelled.
    pub cancelled: bool,
    /// With an output that is here.
    pub ok: u32,
    /// With a trap, out of fuel, or with too much output.
    pub failed: u32,
    /// Nobody knows.
    pub missing: u32,
}

/// Whether the next job may read these results. `next` is what it says about failed tasks; the last job has
/// nobody to answer to.
///
/// # Errors
/// Why not.
pub fn judge(endings: Endings, next: Option<FailedTasks>) -> Result<(), Stop> {
    if endings.cancelled {
        return Err(Stop::Cancelled);
    }
    let Some(failed_tasks) = next else { return Ok(()) };
    if endings.missing > 0 {
        return Err(Stop::Missing { tasks: endings.missing });
    }
    if endings.ok == 0 {
        return Err(Stop::NothingLeft);
    }
    if endings.failed > 0 && failed_tasks == FailedTasks::Stop {
        return Err(Stop::Failed { tasks: endings.failed });
    }
    Ok(())
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sign the opening of this stage and write it down.
    Sign(usize),
    /// Hand in the opening of this stage that is written down.
    HandIn(usize),
    /// Follow this stage's job until it is over.
    Follow(usize, JobId),
    /// Nothing any more; `Err` names the stage at which it ended early.
    Over(Result<(), (usize, Stop)>),
}

/// The next step of a pipeline.
pub fn step(stages: &[Standing], cancelled: bool) -> Step {
    for (index, stage) in stages.iter().enumerate() {
        return match stage {
            Standing::Complete { .. } => continue,
            Standing::Waiting if cancelled => Step::Over(Err((index, Stop::Cancelled))),
            Standing::Waiting => Step::Sign(index),
            // Even if it is cancelled: the transaction may happen, and what is open can be cancelled.
            Standing::Opening => Step::HandIn(index),
            Standing::Open { job } => Step::Follow(index, *job),
            Standing::Stopped { why, .. } => Step::Over(Err((index, *why))),
        };
    }
    Step::Over(Ok(()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A chain that takes transactions by nonce, and a disk; the rest of the world may die at any moment.
    #[derive(Default)]
    struct World {
        stages: Vec<Standing>,
        /// The nonce that a written opening is signed with.
        signed: Vec<Option<usize>>,
        /// Which stage each nonce opened; `usize::MAX`: something else of the same account.
        chain: Vec<usize>,
        cancelled: bool,
        /// How each stage's job ends.
        endings: Vec<Endings>,
        policy: Vec<FailedTasks>,
    }

    impl World {
        fn job_of(&self, stage: usize) -> Option<JobId> {
            self.chain.iter().position(|opened| *opened == stage).map(|nonce| JobId(nonce as u64))
        }

        /// One step; with `dies`, the process is killed between the effect and writing it down.
        fn step(&mut self, dies: bool) -> bool {
            match step(&self.stages, self.cancelled) {
                Step::Sign(stage) => {
                    if !dies {
                        self.signed[stage] = Some(self.chain.len());
                        self.stages[stage] = Standing::Opening;
                    }
                }
                Step::HandIn(stage) => {
                    let nonce = self.signed[stage].unwrap();
                    // The chain takes a nonce once.
                    if nonce == self.chain.len() {
                        self.chain.push(stage);
                    }
                    if !dies {
                        self.stages[stage] = match self.job_of(stage) {
                            Some(job) => Standing::Open { job },
                            None => Standing::Waiting,
                        };
                    }
                }
                Step::Follow(stage, job) => {
                    let mut endings = self.endings[stage];
                    endings.cancelled |= self.cancelled;
                    let next = self.policy.get(stage + 1).copied();
                    if !dies {
                        self.stages[stage] = match judge(endings, next) {
                            Ok(()) => Standing::Complete { job },
                            Err(why) => Standing::Stopped { job: Some(job), why },
                        };
                    }
                }
                Step::Over(_) => return false,
            }
            true
        }
    }

    fn endings() -> impl Strategy<Value = Endings> {
        (prop::bool::weighted(0.1), 0_u32..3, 0_u32..2, prop::sample::select(vec![0, 0, 0, 1]))
            .prop_map(|(cancelled, ok, failed, missing)| Endings { cancelled, ok, failed, missing })
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Step { dies: bool },
        Overtaken,
        Cancel,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            12 => any::<bool>().prop_map(|dies| Event::Step { dies }),
            2 => Just(Event::Overtaken),
            1 => Just(Event::Cancel),
        ]
    }

    proptest! {
        /// Killed wherever it may be: no stage is opened twice, none before the one before it is fit to be
        /// read, none after a cancellation that came before its signature, and the end is reached.
        #[test]
        fn every_stage_is_opened_at_most_once_and_in_order(
            plans in proptest::collection::vec((endings(), any::<bool>()), 1..5),
            events in proptest::collection::vec(event(), 0..60),
        ) {
            let policy = |leave_out| if leave_out { FailedTasks::LeaveOut } else { FailedTasks::Stop };
            let mut world = World {
                stages: vec![Standing::Waiting; plans.len()],
                signed: vec![None; plans.len()],
                endings: plans.iter().map(|(endings, _)| *endings).collect(),
                policy: plans.iter().map(|(_, leave_out)| policy(*leave_out)).collect(),
                ..World::default()
            };
            for event in events {
                match event {
                    Event::Step { dies } => { world.step(dies); }
                    // Another program with the same key was faster.
                    Event::Overtaken => world.chain.push(usize::MAX),
                    Event::Cancel => world.cancelled = true,
                }
            }
            let waiting_at_cancel: Vec<usize> = (0..plans.len())
                .filter(|stage| world.cancelled && world.stages[*stage] == Standing::Waiting)
                .collect();
            let mut steps = 0;
            while world.step(false) {
                steps += 1;
                prop_assert!(steps <= 4 * plans.len() + 4, "it ends");
            }
            for stage in 0..plans.len() {
                let opened = world.chain.iter().filter(|opened| **opened == stage).count();
                prop_assert!(opened <= 1);
                if opened == 1 && stage > 0 {
                    let complete = matches!(world.stages[stage - 1], Standing::Complete { .. });
                    prop_assert!(complete, "{:?}", world.stages);
                    let before = plans[stage - 1].0;
                    prop_assert!(!before.cancelled && before.missing == 0 && before.ok > 0);
                    prop_assert!(before.failed == 0 || plans[stage].1);
                }
            }
            for stage in waiting_at_cancel {
                prop_assert!(world.job_of(stage).is_none());
            }
        }
    }

    #[test]
    fn failed_tasks_stop_the_next_job_unless_it_says_otherwise() {
        let some = Endings { ok: 3, failed: 2, ..Endings::default() };
        assert_eq!(judge(some, Some(FailedTasks::Stop)), Err(Stop::Failed { tasks: 2 }));
        assert_eq!(judge(some, Some(FailedTasks::LeaveOut)), Ok(()));
        assert_eq!(judge(some, None), Ok(()));
        let none = Endings { failed: 5, ..Endings::default() };
        assert_eq!(judge(none, Some(FailedTasks::LeaveOut)), Err(Stop::NothingLeft));
        let cancelled = Endings { cancelled: true, ok: 5, ..Endings::default() };
        assert_eq!(judge(cancelled, None), Err(Stop::Cancelled));
        let missing = Endings { missing: 1, ok: 5, ..Endings::default() };
        assert_eq!(judge(missing, Some(FailedTasks::LeaveOut)), Err(Stop::Missing { tasks: 1 }));
    }
}
