//! `tilth challenge --verify`: is a transcript right, whoever has made it?

use std::{fs, io::Read as _, path::Path, process::ExitCode, time::Instant};

use serde_json::json;
use tilth_protocol::{
    Harmless, Problem,
    challenge::{Statement, Transcript, answer::MAX_TRANSCRIPT_BYTES, class},
};
use tilth_verification::challenge::{Fault, asking::is_in_time, check};

use super::described;
use crate::{Ended, args::Common, print_json};

/// The strongest class whose deadline the times in a transcript keep.
fn class_by_times(statement: &Statement, transcript: &Transcript) -> Option<&'static str> {
    let times = &transcript.times;
    let classes = class::CLASSES.iter().filter(|class| class.is_shown_by(&statement.task));
    let held = classes.rev().find(|class| is_in_time(times, &class.deadline(&statement.task)));
    held.map(|class| class.name)
}

/// Checks a transcript of anybody's.
pub(super) fn verify(common: &Common, path: &Path) -> Ended {
    let mut bytes = Vec::new();
    let most = MAX_TRANSCRIPT_BYTES as u64 + 1;
    let read = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Problem::new(
            "the transcript cannot be read",
            detail,
            "name a file that `tilth challenge` wrote",
        )
    })?;
    let transcript = Transcript::from_bytes(&bytes).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Problem::new(
            "this is no transcript of a challenge",
            detail,
            "name a file that `tilth challenge` wrote",
        )
    })?;
    let began = Instant::now();
    let checked = check(&transcript);
    let check_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let statement = &transcript.statement;
    let node = alloy::primitives::Address::from(statement.subject.node);
    if let Err(fault @ Fault::Statement(_)) = &checked {
        return Err(Problem::new(
            "this is no challenge that a provider answers",
            format!("{}: {fault}", path.display()),
            "ask whoever gave you the file for another one",
        ));
    }
    // Times say something about right answers only.
    let class = checked.as_ref().ok().and_then(|()| class_by_times(statement, &transcript));
    let (verdict, code) = match &checked {
        Ok(()) => ("right", ExitCode::SUCCESS),
        Err(fault) if fault.is_providers() => ("wrong", ExitCode::FAILURE),
        Err(_) => ("invalid", ExitCode::FAILURE),
    };
    let detail = checked.err().map(|fault| fault.to_string());
    if common.json {
        print_json(&json!({
            "verdict": verdict, "detail": detail, "statement": statement, "node": node,
            "times": transcript.times, "class-by-times": class,
            "check-ms": check_ms,
        }))?;
        return Ok(code);
    }
    println!("node      {node}, device {}", Harmless(&statement.subject.device));
    println!("task      {}", described(&statement.task));
    println!("not before block {} of chain {}", statement.beacon.block, statement.beacon.chain_id);
    println!("verdict   {verdict}{}", detail.map_or_else(String::new, |text| format!(": {text}")));
    let word = class.unwrap_or("none");
    println!(
        "class     {word}, if the asker tells the truth about the time ({} ms)",
        transcript.times.commit_ms
    );
    println!("checked in {check_ms} ms");
    Ok(code)
}
