//! Jobs that follow each other, as one command drives them.

use std::{path::Path, process::ExitCode, time::Instant};

use serde_json::{Value, json};
use tilth_client::{
    Agreed, Jobs, Pipeline, Progress,
    job_file::Stage,
    pipeline::{self, Next, plan::Standing, plan::Stop},
};
use tilth_contracts::HoldState;
use tilth_protocol::{Amount, Harmless, Problem};
use tilth_service::StopSignals;

use crate::{
    DETACHED, Ended,
    args::Results,
    place::Place,
    print_json,
    run::{Followed, Following, Outcome, say_open},
    store::Store,
};

/// A pipeline's surroundings.
pub struct Drive<'a> {
    pub place: &'a Place,
    pub store: &'a Store,
    pub jobs: &'a Jobs,
    pub json: bool,
    /// Where the results of the last job go.
    pub results: &'a Results,
}

/// Puts a pipeline on disk; nothing is opened yet.
pub async fn begin(
    jobs: &Jobs,
    place: &Place,
    stages: &[Stage],
    funds: Option<Amount>,
) -> Result<Pipeline, Problem> {
    let dir = pipeline::folder(&place.dir);
    Pipeline::begin(jobs, &dir, stages, funds).await.map_err(|error| error.problem())
}

/// Whether there is something left to do for a pipeline.
pub fn goes_on(dir: &Path, number: u32) -> bool {
    let shown = pipeline::list(dir).into_iter().find(|shown| shown.pipeline == number);
    let unfinished = |shown: pipeline::Shown| {
        let mut standings = shown.stages.iter().map(|stage| &stage.standing);
        let first = standings.find(|standing| !matches!(standing, Standing::Complete { .. }));
        match first {
            None | Some(Standing::Stopped { .. }) => false,
            Some(Standing::Waiting) => !shown.cancelled,
            Some(_) => true,
        }
    };
    shown.is_some_and(unfinished)
}

impl Drive<'_> {
    /// Goes on until the pipeline is over or the user leaves it.
    pub async fn run(
        &self,
        mut pipeline: Pipeline,
        detach: bool,
        signals: &mut StopSignals,
    ) -> Ended {
        let count = pipeline.len();
        let mut told = Vec::new();
        let mut last = None;
        loop {
            let next = tokio::select! {
                next = pipeline.next() => next.map_err(|error| error.problem())?,
                _ = signals.next() => return self.leave(&pipeline, None),
            };
            let (stage, agreed, fresh) = match next {
                Next::Follow { stage, agreed, fresh } => (stage, agreed, fresh),
                Next::Over(end) => return self.over(&pipeline, end, told, last),
            };
            self.store.note(&self.place.dir, agreed.job);
            let prefix = format!("stage {} of {count}, ", stage + 1);
            if fresh && !self.json {
                say_open(&prefix, &agreed, &self.jobs.unit(&agreed.spec).await);
            }
            let following = self.following(&agreed, prefix);
            if detach {
                let ended = following.until_claimed(signals).await;
                self.say_next(stage, count);
                return ended;
            }
            let is_last = stage + 1 == count;
            let results = Results { out: self.results.out.clone().filter(|_| is_last) };
            match following.follow(&results, signals).await? {
                Followed::Left(progress) => return self.leave(&pipeline, Some(&progress)),
                Followed::Over(outcome) => {
                    let noted = pipeline.ended(stage, &agreed, &outcome.progress).await;
                    noted.map_err(|error| error.problem())?;
                    let names = following.names()?;
                    told.push(outcome.json(&agreed, &names));
                    if !self.json {
                        outcome.print(&names);
                        outcome.print_result(agreed.spec.output);
                    }
                    last = Some(outcome).filter(|_| is_last);
                }
            }
        }
    }

    fn following<'b>(&'b self, agreed: &'b Agreed, prefix: String) -> Following<'b> {
        Following {
            jobs: self.jobs,
            place: self.place,
            agreed,
            pay: true,
            json: self.json,
            began: Instant::now(),
            prefix,
        }
    }

    fn over(
        &self,
        pipeline: &Pipeline,
        end: Result<(), (usize, Stop)>,
        told: Vec<Value>,
        last: Option<Box<Outcome>>,
    ) -> Ended {
        let number = pipeline.number();
        let good = end.is_ok() && last.as_ref().is_none_or(|outcome| outcome.missing == 0);
        let stopped = end.err().map(|(stage, why)| (stage + 1, why.to_string()));
        if self.json {
            print_json(&json!({
                "pipeline": number,
                "state": if stopped.is_some() { "stopped" } else { "done" },
                "stopped": stopped.as_ref().map(|(stage, why)| json!({ "stage": stage, "why": why })),
                "stages": told,
                "output": last.as_ref().map(|outcome| &outcome.path),
                "sha256": last.as_ref().map(|outcome| &outcome.sha256),
            }))?;
        } else {
            match &stopped {
                None => println!("pipeline {number} is done"),
                Some((stage, why)) => {
                    println!(
                        "pipeline {number} ended at stage {stage} of {}: {}",
                        pipeline.len(),
                        Harmless(why)
                    );
                }
            }
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The user leaves: what goes on and what waits.
    fn leave(&self, pipeline: &Pipeline, progress: Option<&Progress>) -> Ended {
        let dir = self.place.dir_option();
        let number = pipeline.number();
        match pipeline.opened().last() {
            Some(job) => {
                eprintln!(
                    "detached from pipeline {number}; follow it again with: tilth job fetch {job}{dir}"
                );
                eprintln!("jobs that come after job {job} are opened when you do");
            }
            None => eprintln!(
                "detached from pipeline {number} before its first job was open; should `tilth job ls{dir}` \
                 show it, `tilth job fetch` goes on"
            ),
        }
        let idle = progress.is_some_and(|progress| {
            let held = progress.inputs == Some(HoldState::Held);
            let claimed = progress.totals.providers.iter().any(|share| share.ranges > 0);
            !progress.over && !held && !claimed
        });
        if idle {
            eprintln!("nobody holds the job's inputs yet: it waits until you follow it again");
        }
        Ok(ExitCode::from(DETACHED))
    }

    fn say_next(&self, stage: usize, count: usize) {
        if !self.json && stage + 1 < count {
            eprintln!("the job after it is opened when you follow it again");
        }
    }
}
