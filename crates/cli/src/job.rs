//! `tilth job`: jobs that exist already.

mod held;
mod show;

use std::process::ExitCode;

use serde_json::json;
use tilth_client::{
    Jobs, Listed, Pipeline,
    pipeline::{self, Shown, plan::Standing},
};
use tilth_contracts::JobBook;
use tilth_protocol::{Harmless, JobId, Problem};

pub use self::show::{replica_entries, replica_json};
use crate::{
    Ended,
    args::{Common, Job, Results, Serving},
    place::Place,
    print_json,
    run::{Following, attach, open_jobs},
    stages::{self, Drive},
    store::Store,
    table::{Align, Table},
    template,
    up::listen,
};

/// The account to look with where none of this folder's is meant.
const ONLOOKER: &str = tilth_devnet::CLIENT;

/// The name of this folder's account that opened a job, if it is one of them.
async fn opener(place: &Place, job: JobId) -> Result<Option<String>, Problem> {
    let call = JobBook::jobCall { jobId: job.0 };
    let read = place.link.read(place.network.contracts.job_book, call).await;
    let client = read.map_err(|error| error.problem())?.client;
    Ok(place.keys.list()?.into_iter().find(|(_, known)| *known == client).map(|(name, _)| name))
}

/// The account that opened a job; others may look at it, but not change it.
async fn owner(place: &Place, job: JobId) -> Result<String, Problem> {
    opener(place, job).await?.ok_or_else(|| {
        Problem::new(
            "this job cannot be changed from here",
            format!("no account of {} has opened job {job}", place.dir.display()),
            "`tilth job ls` lists the jobs of this folder's accounts; name another folder with --dir",
        )
    })
}

pub async fn job(common: Common, command: Job) -> Ended {
    if let Job::New { template, dir } = &command {
        return template::write(*template, dir.as_deref(), common.json);
    }
    let place = Place::open(&common)?;
    match command {
        // Done above: it needs no network.
        Job::New { .. } => Ok(ExitCode::SUCCESS),
        Job::Ls => list(&place, common.json).await,
        Job::Show { job } => show::show(&place, job, common.json).await,
        Job::Fetch { job, results, serving } => {
            fetch(&place, job, &results, serving, common.json).await
        }
        Job::TopUp { job, amount } => {
            let store = Store::open(&place.dir, Some(job)).await?;
            let jobs = open_jobs(&place, &owner(&place, job).await?, &store)?;
            jobs.top_up(job, amount).await.map_err(|error| error.problem())?;
            say(common.json, job, "topped up")
        }
        Job::Cancel { job } => {
            let store = Store::open(&place.dir, Some(job)).await?;
            let jobs = open_jobs(&place, &owner(&place, job).await?, &store)?;
            cancel(&place, &jobs, job, common.json).await
        }
    }
}

async fn cancel(place: &Place, jobs: &Jobs, job: JobId, json: bool) -> Ended {
    let dir = pipeline::folder(&place.dir);
    let number = pipeline::of_job(jobs, &dir, job).await.map_err(|error| error.problem())?;
    let cancelled = match number {
        Some(number) => pipeline::cancel(jobs, &dir, number, job).await,
        None => jobs.cancel(job).await.map(|()| vec![job]),
    };
    for job in cancelled.map_err(|error| error.problem())? {
        // With nothing outstanding the job can end at once; otherwise it ends when it is judged.
        let finish = JobBook::finishCall { jobId: job.0 };
        let _ = jobs.account().execute(place.network.contracts.job_book, finish).await;
    }
    match number {
        None => say(json, job, "cancelled"),
        Some(number) if json => {
            print_json(&json!({ "job": job, "pipeline": number, "done": "cancelled" }))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(number) => {
            println!("pipeline {number} of job {job} is cancelled; no further job of it is opened");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn say(json: bool, job: JobId, done: &str) -> Ended {
    if json {
        print_json(&json!({ "job": job, "done": done }))?;
    } else {
        println!("job {job} is {done}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(place: &Place, json: bool) -> Ended {
    let store = Store::open(&place.dir, None).await?;
    let jobs = open_jobs(place, ONLOOKER, &store)?;
    let accounts = place.keys.list()?;
    let addresses: Vec<_> = accounts.iter().map(|(_, address)| *address).collect();
    let listed = jobs.list(&addresses).await.map_err(|error| error.problem())?;
    let pipelines = pipeline::list(&pipeline::folder(&place.dir));
    if json {
        let listed: Result<Vec<_>, _> = listed.iter().map(|job| in_json(job, &pipelines)).collect();
        let listed = listed.map_err(|error| {
            Problem::new("the list cannot be shown", error.to_string(), "report this as a bug")
        })?;
        print_json(&listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("job", Align::Right),
        ("pipeline", Align::Left),
        ("name", Align::Left),
        ("account", Align::Left),
        ("state", Align::Left),
        ("settled", Align::Right),
        ("tasks", Align::Right),
        ("replicas", Align::Right),
        ("escrow GRAIN", Align::Right),
    ]);
    for job in listed {
        table.row([
            job.job.to_string(),
            place_in(&pipelines, job.job).map_or_else(String::new, |(shown, stage)| {
                format!("{}: {} of {}", shown.pipeline, stage + 1, shown.stages.len())
            }),
            job.name.unwrap_or_default(),
            accounts
                .iter()
                .find(|(_, address)| *address == job.client)
                .map_or_else(String::new, |(name, _)| name.clone()),
            job.state,
            job.settled.to_string(),
            job.tasks.to_string(),
            job.replicas.to_string(),
            format!("{:.6}", job.escrow),
        ]);
    }
    print!("{}", table.render());
    Ok(ExitCode::SUCCESS)
}

/// The pipeline of a job, and which of its stages it is.
fn place_in(pipelines: &[Shown], job: JobId) -> Option<(&Shown, usize)> {
    pipelines.iter().find_map(|shown| {
        let stage = shown.stages.iter().position(|stage| stage.job() == Some(job))?;
        Some((shown, stage))
    })
}

/// A line of the list, with the job's place in a pipeline if it has one.
fn in_json(job: &Listed, pipelines: &[Shown]) -> serde_json::Result<serde_json::Value> {
    let mut value = serde_json::to_value(job)?;
    if let Some((shown, stage)) = place_in(pipelines, job.job) {
        value["pipeline"] =
            json!({ "number": shown.pipeline, "stage": stage, "stages": shown.stages.len() });
    }
    Ok(value)
}

/// The stages of a pipeline as lines.
fn print_stages(shown: &Shown) {
    let cancelled = if shown.cancelled { ", cancelled" } else { "" };
    println!("pipeline {}{cancelled}", shown.pipeline);
    for (index, stage) in shown.stages.iter().enumerate() {
        let stands = match &stage.standing {
            Standing::Waiting => "waits for the one before".to_owned(),
            Standing::Opening => "is being opened".to_owned(),
            Standing::Open { job } => format!("is open as job {job}"),
            Standing::Complete { job } => format!("is complete, job {job}"),
            Standing::Stopped { job: Some(job), why } => format!("ended as job {job}: {why}"),
            Standing::Stopped { job: None, why } => format!("was not opened: {why}"),
        };
        println!(
            "  stage {} ({}, {} tasks) {stands}",
            index + 1,
            Harmless(&stage.name),
            stage.tasks
        );
    }
    println!();
}

async fn fetch(
    place: &Place,
    job: JobId,
    results: &Results,
    serving: Serving,
    json: bool,
) -> Ended {
    let mut signals = listen()?;
    let store = Store::open_at(&place.dir, Some(job), serving.bind).await?;
    let opener = opener(place, job).await?;
    let jobs = open_jobs(place, opener.as_deref().unwrap_or(ONLOOKER), &store)?;
    let dir = pipeline::folder(&place.dir);
    if opener.is_some()
        && let Some(number) =
            pipeline::of_job(&jobs, &dir, job).await.map_err(|error| error.problem())?
        && stages::goes_on(&dir, number)
    {
        let resumed = Pipeline::resume(&jobs, &dir, number).await;
        let resumed = resumed.map_err(|error| error.problem())?;
        let drive = Drive { place, store: &store, jobs: &jobs, json, results };
        let ended = drive.run(resumed, false, &mut signals).await;
        store.close().await;
        return ended;
    }
    let began = std::time::Instant::now();
    let agreed = attach(&jobs, job).await?;
    store.note(&place.dir, job);
    let pay = opener.is_some();
    let following =
        Following { jobs: &jobs, place, agreed: &agreed, pay, json, began, prefix: String::new() };
    let ended = following.to_the_end(results, &mut signals).await;
    store.close().await;
    ended
}
