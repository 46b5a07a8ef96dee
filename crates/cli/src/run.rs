//! `tilth run`: submit a job, follow it, check and put together its results.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use alloy::primitives::Address;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tilth_client::{
    Agreed, Jobs, Progress, Tend,
    job_file::{self, Stage},
    merge,
};
use tilth_contracts::HoldState;
use tilth_protocol::{Harmless, JobId, Output, Price, Problem, Units};
use tilth_service::StopSignals;

use crate::{
    DETACHED, Ended,
    args::{Common, Results, Run},
    availability::availability,
    place::Place,
    print_json,
    progress::{Display, name, ranges},
    referee::referee,
    stages::{self, Drive},
    store::Store,
    table::{Align, Table},
    up::listen,
};

pub async fn run(common: Common, args: Run) -> Ended {
    let mut signals = listen()?;
    let place = Place::open(&common)?;
    let mut loaded = job_file::load_all(&args.job, &args.files)?;
    say_notes(&loaded.notes);
    for stage in &mut loaded.stages {
        args.judged.add_to(&mut stage.job.offer)?;
    }
    if !common.json {
        say_assurances(&loaded.stages);
    }
    let store = Store::open_at(&place.dir, None, args.serving.bind).await?;
    let jobs = open_jobs(&place, &args.account, &store)?;
    let began = Instant::now();
    let [only] = loaded.stages.as_slice() else {
        let begun = stages::begin(&jobs, &place, &loaded.stages, args.funds).await?;
        let results = &args.results;
        let drive = Drive { place: &place, store: &store, jobs: &jobs, json: common.json, results };
        let ended = drive.run(begun, args.detach, &mut signals).await;
        store.close().await;
        return ended;
    };
    let prepared = &only.job;
    let agreed = jobs.submit(prepared, args.funds).await.map_err(|error| error.problem())?;
    store.note(&place.dir, agreed.job);
    if !common.json {
        say_open("", &agreed, &jobs.unit(&agreed.spec).await);
    }
    let following = Following {
        jobs: &jobs,
        place: &place,
        agreed: &agreed,
        pay: true,
        json: common.json,
        began,
        prefix: String::new(),
    };
    let ended = if args.detach {
        following.until_claimed(&mut signals).await
    } else {
        following.to_the_end(&args.results, &mut signals).await
    };
    store.close().await;
    ended
}

/// What the reader of a job file has left out or changed.
pub fn say_notes(notes: &[String]) {
    for note in notes {
        eprintln!("note: {}", Harmless(note));
    }
}

/// Who decides about the results of each job, and who must have them, before money moves.
fn say_assurances(stages: &[Stage]) {
    let count = stages.len();
    for (number, stage) in (1..).zip(stages) {
        let which = if count > 1 { format!("stage {number} of {count}, ") } else { String::new() };
        let offer = &stage.job.offer;
        eprintln!("{which}referee: {}", referee(offer.audited));
        eprintln!("{which}availability: {}", availability(offer.keep_s.is_some()));
    }
}

/// Says that a job is open and what it pays for a thousand units, which are called `unit`.
pub fn say_open(prefix: &str, agreed: &Agreed, unit: &str) {
    let terms = &agreed.terms;
    let grain = |price| Price(price).to_grain_per_gfuel();
    let most = grain(terms.price.to::<u128>());
    let price = match terms.finishSeconds {
        0 => most,
        _ => format!("{} to {most}", grain(terms.floorPrice.to::<u128>())),
    };
    let tasks = agreed.spec.task_count;
    let each = match terms.replicas {
        0 => String::new(),
        replicas => format!(" to each of {replicas} providers"),
    };
    eprintln!(
        "{prefix}job {} is open: {tasks} tasks at {price} GRAIN per {unit}{each}",
        agreed.job
    );
}

/// The client's side of a network folder.
pub fn open_jobs(place: &Place, account: &str, store: &Store) -> Result<Jobs, Problem> {
    let account = place.account(account)?;
    let dir = place.dir.join("jobs");
    Ok(Jobs::new(account, store.blobs.clone(), dir, place.network.first_block))
}

/// A job that is being followed by this command.
pub struct Following<'a> {
    pub jobs: &'a Jobs,
    pub place: &'a Place,
    pub agreed: &'a Agreed,
    /// Whether it is ours to acknowledge and to end.
    pub pay: bool,
    pub json: bool,
    /// When the command began to submit or to attach.
    pub began: Instant,
    /// Which of several jobs it is, for people; empty if it is the only one.
    pub prefix: String,
}

/// What a followed job came to.
pub enum Followed {
    /// It is over and its results are put together.
    Over(Box<Outcome>),
    /// The user left it; how it stood.
    Left(Box<Progress>),
}

/// A job that is over.
pub struct Outcome {
    pub progress: Progress,
    /// What a thousand units are called.
    pub unit: String,
    pub path: PathBuf,
    pub missing: u32,
    pub sha256: Option<String>,
    pub seconds: f64,
    /// From before opening (or re-attaching) to the last submitted range.
    pub seconds_to_last_submission: f64,
}

impl Following<'_> {
    /// Leaves as soon as somebody else has the inputs: from then on providers serve them to each
    /// other.
    pub async fn until_claimed(&self, signals: &mut StopSignals) -> Ended {
        let tending = self.jobs.tend(self.agreed, Tend { pay: false });
        let mut progress = tending.progress();
        let claimed = progress.wait_for(|progress| {
            progress.over || progress.totals.providers.iter().any(|share| share.ranges > 0)
        });
        let ended = tokio::select! {
            claimed = claimed => claimed.is_err(),
            _ = signals.next() => {
                self.say_detached(&tending.progress().borrow());
                return Ok(ExitCode::from(DETACHED));
            }
        };
        if ended {
            // It says why nobody will ever claim anything.
            tending.finished().await.map_err(|error| error.problem())?;
        }
        let job = self.agreed.job;
        if self.json {
            print_json(&json!({ "job": job, "detached": true }))?;
        } else {
            let dir = self.place.dir_option();
            println!("job {job} goes on by itself; `tilth job fetch {job}{dir}` follows it again");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Follows the job until it is over and says what it came to.
    pub async fn to_the_end(&self, results: &Results, signals: &mut StopSignals) -> Ended {
        let outcome = match self.follow(results, signals).await? {
            Followed::Over(outcome) => outcome,
            Followed::Left(progress) => {
                self.say_detached(&progress);
                return Ok(ExitCode::from(DETACHED));
            }
        };
        if self.json {
            print_json(&outcome.json(self.agreed, &self.names()?))?;
        } else {
            outcome.print(&self.names()?);
            outcome.print_result(self.agreed.spec.output);
        }
        Ok(if outcome.missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What accounts are called here.
    pub fn names(&self) -> Result<BTreeMap<Address, String>, Problem> {
        let names = self.place.keys.list()?;
        Ok(names.into_iter().map(|(name, address)| (address, name)).collect())
    }

    /// Follows the job and puts its results together.
    pub async fn follow(
        &self,
        results: &Results,
        signals: &mut StopSignals,
    ) -> Result<Followed, Problem> {
        let began = self.began;
        let mut last_submission = None;
        let mut display = Display::new(self.place.keys.list()?, self.json, self.prefix.clone());
        let tending = self.jobs.tend(self.agreed, Tend { pay: self.pay });
        let mut seen = tending.progress();
        let finished = tending.finished();
        tokio::pin!(finished);
        let progress = loop {
            let current = seen.borrow_and_update().clone();
            let totals = &current.totals;
            if last_submission.is_none() && totals.submitted + totals.settled == totals.tasks {
                last_submission = Some(began.elapsed());
            }
            display.update(&current);
            tokio::select! {
                done = &mut finished => break done,
                // When the sender is gone the first branch is about to say why.
                Ok(()) = seen.changed() => {}
                _ = signals.next() => {
                    display.finish();
                    return Ok(Followed::Left(Box::new(current)));
                }
            }
        };
        display.finish();
        let progress = progress.map_err(|error| error.problem())?;
        let job = self.agreed.job;
        let path = results.out.clone().unwrap_or_else(|| {
            self.jobs.folder(job).join(merge::default_name(self.agreed.spec.output))
        });
        let merged = self.jobs.merge(self.agreed, &path).await.map_err(|error| error.problem())?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Followed::Over(Box::new(Outcome {
            progress,
            unit: self.jobs.unit(&self.agreed.spec).await,
            sha256: sha256(&merged.path)?,
            path: merged.path,
            missing: merged.missing,
            seconds,
            seconds_to_last_submission: last_submission
                .map_or(f64::NAN, |elapsed| elapsed.as_secs_f64()),
        })))
    }

    fn say_detached(&self, progress: &Progress) {
        let job = self.agreed.job;
        let dir = self.place.dir_option();
        eprintln!("detached from job {job}; follow it again with: tilth job fetch {job}{dir}");
        let alone = progress.totals.providers.iter().all(|share| share.ranges == 0)
            && progress.inputs != Some(HoldState::Held);
        if !progress.over && alone {
            eprintln!("nobody holds the job's inputs yet: it waits until you follow it again");
        }
    }
}

impl Outcome {
    /// Everything, for programs.
    pub fn json(&self, agreed: &Agreed, names: &BTreeMap<Address, String>) -> Value {
        let totals = &self.progress.totals;
        let providers: Vec<Value> = totals
            .providers
            .iter()
            .map(|share| {
                json!({
                    "provider": share.provider,
                    "name": name(names, share.provider),
                    "ranges": share.ranges,
                    "tasks": share.tasks,
                    "units": share.units,
                    "mated": share.mated,
                    "earned": share.earned,
                    "lost": share.lost,
                })
            })
            .collect();
        json!({
            "job": agreed.job,
            "name": agreed.spec.name,
            "state": self.progress.state,
            "tasks": totals.tasks,
            "failures": totals.failures,
            "missing": self.missing,
            "refused": self.progress.refused,
            "audits": self.progress.audits,
            "replicas": self.progress.replicas,
            "kept": self.progress.kept,
            "inputs": self.progress.inputs.map(|state| state.to_string()),
            "units": totals.units,
            "unit": self.unit,
            "paid": totals.paid,
            "fees": totals.fees,
            "providers": providers,
            "output": self.path,
            "sha256": self.sha256,
            "seconds": self.seconds,
            "seconds-to-last-submission": self.seconds_to_last_submission,
        })
    }

    /// The table of who did and earned what, and where the result is.
    pub fn print(&self, names: &BTreeMap<Address, String>) {
        let totals = &self.progress.totals;
        let mut table = Table::new(&[
            ("provider", Align::Left),
            ("ranges", Align::Right),
            ("tasks", Align::Right),
            (self.unit.as_str(), Align::Right),
            ("earned GRAIN", Align::Right),
        ]);
        for share in &totals.providers {
            table.row([
                name(names, share.provider),
                ranges(share),
                share.tasks.to_string(),
                Units(share.units).to_gfuel(),
                format!("{:.9}", share.earned),
            ]);
        }
        print!("\n{}", table.render());
        println!(
            "\njob {} is {}: {} tasks, {} failed, {:.9} GRAIN paid, {:.9} GRAIN fee, {:.1} s",
            self.progress.job,
            self.progress.state,
            totals.tasks,
            totals.failures,
            totals.paid,
            totals.fees,
            self.seconds,
        );
        if self.missing > 0 {
            println!("{} tasks have no output", self.missing);
        }
        for range in &self.progress.refused {
            println!(
                "range {} of {} was refused: {}\n  it is paid after its window all the same, for \
                 there are no disputes yet; what it looked like is in the job's evidence folder",
                range.seq,
                range.provider,
                Harmless(&range.reason),
            );
        }
    }

    /// The lines that scripts look for.
    pub fn print_result(&self, output: Output) {
        let what = if matches!(output, Output::Image { .. }) { "picture" } else { "output" };
        println!("{what}: {}", self.path.display());
        if let Some(sha256) = &self.sha256 {
            println!("sha256: {sha256}");
        }
    }
}

/// SHA-256 of a result file; `None` for a folder.
pub fn sha256(path: &Path) -> Result<Option<String>, Problem> {
    if path.is_dir() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|error| {
        Problem::new(
            "the result cannot be read back",
            format!("{}: {error}", path.display()),
            "fetch the job again with another --out",
        )
    })?;
    Ok(Some(alloy::hex::encode(Sha256::digest(&bytes))))
}

/// Opens a job again that this or another command has submitted.
pub async fn attach(jobs: &Jobs, job: JobId) -> Result<Agreed, Problem> {
    jobs.attach(job).await.map_err(|error| error.problem())
}
