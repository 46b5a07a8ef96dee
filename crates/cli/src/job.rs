//! `tilth job`: jobs that exist already.

use std::process::ExitCode;

use serde_json::json;
use tilth_contracts::{JobBook, JobState};
use tilth_protocol::{Amount, JobId, Problem, Units};

use crate::{
    Ended,
    args::{Common, Job, Results, Serving},
    place::Place,
    print_json,
    run::{Following, attach, open_jobs},
    store::Store,
    table::{Align, Table},
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
    let place = Place::open(&common)?;
    match command {
        Job::Ls => list(&place, common.json).await,
        Job::Show { job } => show(&place, job, common.json).await,
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
            jobs.cancel(job).await.map_err(|error| error.problem())?;
            // With nothing outstanding the job can end at once; otherwise it ends when it is judged.
            let finish = JobBook::finishCall { jobId: job.0 };
            let _ = jobs.account().execute(place.network.contracts.job_book, finish).await;
            say(common.json, job, "cancelled")
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
    if json {
        print_json(&listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("job", Align::Right),
        ("name", Align::Left),
        ("account", Align::Left),
        ("state", Align::Left),
        ("settled", Align::Right),
        ("tasks", Align::Right),
        ("escrow GRAIN", Align::Right),
    ]);
    for job in listed {
        table.row([
            job.job.to_string(),
            job.name.unwrap_or_default(),
            accounts
                .iter()
                .find(|(_, address)| *address == job.client)
                .map_or_else(String::new, |(name, _)| name.clone()),
            job.state,
            job.settled.to_string(),
            job.tasks.to_string(),
            format!("{:.6}", job.escrow),
        ]);
    }
    print!("{}", table.render());
    Ok(ExitCode::SUCCESS)
}

async fn show(place: &Place, job: JobId, json: bool) -> Ended {
    let store = Store::open(&place.dir, Some(job)).await?;
    let jobs = open_jobs(place, ONLOOKER, &store)?;
    let history = jobs.history(job).await.map_err(|error| error.problem())?;
    let state = jobs.state(job).await.map_err(|error| error.problem())?;
    let totals = history.totals();
    let shown = JobState::try_from(state.state).map_err(|error| {
        Problem::new("the chain's answer is not usable", error.to_string(), "update this program")
    })?;
    if json {
        print_json(&json!({
            "job": job, "client": state.client, "state": shown.to_string(), "dry": state.dry,
            "result-root": state.resultRoot, "totals": totals,
            "ranges": history.ranges.values().map(|range| json!({
                "seq": range.seq, "provider": range.provider, "from": range.from,
                "count": range.count, "state": range.state.to_string(), "units": range.units,
                "failures": range.failures, "paid": range.paid,
            })).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("job      {job}, {shown}{}", if state.dry { ", out of money" } else { "" });
    println!("client   {}", state.client);
    println!("tasks    {} of {} settled, {} failed", totals.settled, totals.tasks, totals.failures);
    println!("cost     {:.9} GRAIN paid, {:.9} GRAIN fee", totals.paid, totals.fees);
    println!("escrow   {:.9} GRAIN not reserved\n", Amount(state.escrow));
    let mut table = Table::new(&[
        ("range", Align::Right),
        ("state", Align::Left),
        ("tasks", Align::Right),
        ("from", Align::Right),
        ("Gfuel", Align::Right),
        ("paid GRAIN", Align::Right),
        ("provider", Align::Left),
    ]);
    for range in history.ranges.values() {
        table.row([
            range.seq.to_string(),
            range.state.to_string(),
            range.count.to_string(),
            range.from.to_string(),
            Units(range.units).to_gfuel(),
            format!("{:.9}", range.paid),
            range.provider.to_string(),
        ]);
    }
    print!("{}", table.render());
    Ok(ExitCode::SUCCESS)
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
    let began = std::time::Instant::now();
    let agreed = attach(&jobs, job).await?;
    store.note(&place.dir, job);
    let pay = opener.is_some();
    let following = Following { jobs: &jobs, place, agreed: &agreed, pay, json, began };
    let ended = following.to_the_end(results, &mut signals).await;
    store.close().await;
    ended
}
