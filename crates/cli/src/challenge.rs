//! `tilth challenge`: has a provider prove its strength, and checks what was proved.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::{Value, json};
use tilth_client::{
    Contacts,
    challenge::{Announced, Asker, ChallengeError, Report, SAMPLES, Tried, Wish, announced},
};
use tilth_protocol::{
    Harmless, Problem,
    challenge::{ProductTask, Task, Transcript, class},
};
use tilth_verification::challenge::asking::{Finding, Try};

use crate::{
    Ended,
    args::{self, Common},
    place::Place,
    print_json,
    store::Store,
};

mod verify;

pub async fn challenge(common: Common, args: args::Challenge) -> Ended {
    if let Some(file) = &args.verify {
        return verify::verify(&common, file);
    }
    let place = Place::open(&common)?;
    let owner = place.address(args.provider.as_deref().unwrap_or_default())?;
    let store = Store::open(&place.dir, None).await?;
    let asker = Asker { blobs: &store.blobs, link: &place.link };
    let contacts = Contacts::new(place.link.clone(), place.network.first_block);
    let contacts = contacts.of(owner, true).await.map_err(|error| error.problem())?;
    let mut report = Err(Problem::new(
        "there is no such provider",
        format!("{owner} has announced no endpoint"),
        "see `tilth providers`",
    ));
    // The latest endpoint first; it may have moved.
    for contact in contacts {
        let of = announced(&place.link, owner, contact).await.map_err(|error| error.problem())?;
        let asked = ask(&asker, &of, &args).await;
        let away = matches!(asked, Err(ChallengeError::Away(_)));
        report = asked.map_err(|error| error.problem());
        if !away {
            break;
        }
    }
    store.close().await;
    let report = report?;
    let path = match report.transcript() {
        Some(transcript) => Some(keep(&place.dir, &args, transcript)?),
        None => None,
    };
    if common.json {
        print_json(&as_json(&report, path.as_deref()))?;
    } else {
        show(&report, path.as_deref());
    }
    Ok(match report.finding {
        Finding::Passed | Finding::Right => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn ask(
    asker: &Asker<'_>,
    of: &Announced,
    args: &args::Challenge,
) -> Result<Report, ChallengeError> {
    let otherwise = if args.vram { Wish::Vram } else { Wish::Strength };
    let wish = wish_of(args.memory, args.order, args.rounds).map_or(otherwise, Wish::Exactly);
    asker.challenge(of, args.device.as_deref(), wish).await
}

/// The task that somebody has written sizes of, if any.
pub fn wish_of(memory: Option<u32>, order: Option<u32>, rounds: Option<u32>) -> Option<Task> {
    if let Some(mib) = memory {
        return Some(Task::Memory(class::memory(mib)));
    }
    let (order, rounds) = order.zip(rounds)?;
    Some(Task::Products(ProductTask { order, rounds, samples: SAMPLES }))
}

/// Writes the transcript and says where it is.
fn keep(dir: &Path, args: &args::Challenge, transcript: &Transcript) -> Result<PathBuf, Problem> {
    let path = args.out.clone().unwrap_or_else(|| {
        let node = alloy::primitives::Address::from(transcript.statement.subject.node);
        let nonce = alloy::primitives::hex::encode(&transcript.statement.nonce[..4]);
        dir.join("challenges").join(format!("{node}-{nonce}.challenge"))
    });
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(&path, transcript.to_bytes())
    };
    write().map_err(|error: std::io::Error| {
        Problem::new(
            "the transcript cannot be written",
            format!("{}: {error}", path.display()),
            "name another file with --out",
        )
    })?;
    Ok(path)
}

fn word(finding: Finding) -> &'static str {
    match finding {
        Finding::Passed => "passed",
        Finding::Right => "right",
        Finding::Wrong => "wrong",
        Finding::TooSlow => "too-slow",
        Finding::Failed => "failed",
        Finding::Unknown => "unknown",
    }
}

fn meaning(finding: Finding) -> &'static str {
    match finding {
        Finding::Passed => "right, and in time for its class",
        Finding::Right => {
            "right; it shows no class: too little was asked for, or none is announced"
        }
        Finding::Wrong => "it signed a wrong answer: the transcript shows it to anybody",
        Finding::TooSlow => "three tries, no right answer in time; only you have seen the time",
        Finding::Failed => "three tries, and each time its device failed or it broke off",
        Finding::Unknown => "it had no time; ask again later",
    }
}

fn tried_json(tried: &Tried) -> Value {
    let outcome = match tried.outcome {
        Try::Right => "right",
        Try::Late => "late",
        Try::Wrong => "wrong",
        Try::Broken => "broken",
        Try::Busy => "busy",
    };
    json!({
        "outcome": outcome, "detail": tried.detail, "times": tried.times, "check-ms": tried.check_ms,
        "after-seconds": tried.after_seconds,
    })
}

fn as_json(report: &Report, path: Option<&Path>) -> Value {
    json!({
        "finding": word(report.finding),
        "class": report.class.map(|class| class.name),
        "task": report.task,
        "device": report.device,
        "deadline-ms": report.deadline.map(|deadline| deadline.commit_ms),
        "tries": report.tries.iter().map(tried_json).collect::<Vec<_>>(),
        "transcript": path,
    })
}

/// What a task is, for people.
pub fn described(task: &Task) -> String {
    match task {
        Task::Products(task) => {
            let order = task.order;
            format!("{} products of {order} x {order} matrices", task.rounds)
        }
        Task::Memory(task) => format!(
            "{} MiB filled, {} walks of {} steps",
            task.bytes() >> 20,
            task.walks,
            task.steps
        ),
    }
}

/// Thousands, millions and so on of something per second.
pub fn per_second(work: u64, millis: u64) -> String {
    let rate = u128::from(work) * 1_000 / u128::from(millis.max(1));
    let steps = ["", " k", " M", " G", " T", " P"];
    let (mut scaled, mut step) = (rate * 10, 0);
    while scaled >= 10_000 && step + 1 < steps.len() {
        (scaled, step) = (scaled / 1_000, step + 1);
    }
    format!("{}.{}{}", scaled / 10, scaled % 10, steps[step])
}

fn show(report: &Report, path: Option<&Path>) {
    println!("device    {}: {}", Harmless(&report.device.name), Harmless(&report.device.model));
    println!("task      {}", described(&report.task));
    match (report.class, report.deadline) {
        (Some(class), Some(deadline)) => {
            println!("class     {}, due in {} ms and a round trip", class.name, deadline.commit_ms);
        }
        _ => println!("class     none that this could show: there is no deadline"),
    }
    for (number, tried) in report.tries.iter().enumerate() {
        let times = &tried.times;
        println!(
            "try {}     {}; worked {} ms, walked {} ms, opened in {} ms, checked in {} ms, round trip {} ms",
            number + 1,
            Harmless(&tried.detail),
            times.commit_ms,
            times.walk_ms,
            times.open_ms,
            tried.check_ms,
            times.round_trip_ms,
        );
    }
    if matches!(report.finding, Finding::Passed | Finding::Right)
        && let Some(last) = report.tries.last()
    {
        let (work, unit) = match report.task {
            Task::Products(task) => (task.operations(), "operations on int8"),
            Task::Memory(task) => (task.bytes(), "bytes filled"),
        };
        println!("rate      {} {unit} a second", per_second(work, last.times.commit_ms));
    }
    println!("{:<9} {}", word(report.finding), meaning(report.finding));
    if let Some(path) = path {
        println!(
            "kept in   {}; anybody checks it with: tilth challenge --verify FILE",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_said_in_four_digits() {
        for (work, millis, said) in [
            (0, 1, "0.0"),
            (999, 1_000, "999.0"),
            (1_000, 1_000, "1.0 k"),
            (34_359_738_368, 700, "49.0 G"),
            (u64::MAX, 0, "18446744.0 P"),
        ] {
            assert_eq!(per_second(work, millis), said);
        }
    }
}
