//! Tools for a database that no node uses: its check, and the dropping of what is kept too long.

use std::{path::Path, process::ExitCode};

use serde_json::json;
use tilth_chain::{
    Limits,
    fsck::{self, Finding, Level, Options, Report, Stage},
    retention::{Progress, prune as drop_old},
};
use tilth_protocol::Problem;

use super::shown::Shown;
use crate::{Ended, print_json};

/// Findings that are written out for a person; `--json` has all.
const FINDINGS_SHOWN: usize = 20;

/// Checks the database in `dir`; with `repair`, makes anew what can be and checks once more.
pub fn fsck(dir: &Path, quick: bool, repair: bool, json: bool) -> Ended {
    let level = if quick { Level::Quick } else { Level::Full };
    let mut shown = Shown::new(json);
    let mut check = |repair| {
        let at = &mut |done: fsck::Progress| shown.at(stage(done.stage), done.done, done.total);
        fsck::fsck(dir, Options { level, repair }, at).map_err(|error| error.problem())
    };
    let first = check(repair)?;
    // Whether the repair has helped is not taken from its word.
    let after = if first.repaired { Some(check(false)?) } else { None };
    let seconds = shown.end().as_secs_f64();
    let left = after.as_ref().unwrap_or(&first);
    if json {
        print_json(&json!({
            "dir": dir,
            "level": if quick { "quick" } else { "full" },
            "sound": left.findings.is_empty(),
            "repaired": first.repaired,
            "findings": first.findings.iter().map(finding).collect::<Vec<_>>(),
            "left": left.findings.iter().map(finding).collect::<Vec<_>>(),
            "blocks": left.blocks,
            "accounts": left.accounts,
            "slots": left.slots,
            "history_blocks": left.history_blocks,
            "seconds": seconds,
        }))?;
    } else {
        say(&first, left, seconds);
    }
    match left.findings.first() {
        None => Ok(ExitCode::SUCCESS),
        Some(worst) => Err(damaged(dir, left, worst)),
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Blocks => "checking block",
        Stage::State => "checking accounts and slots",
        Stage::Tries => "checking trie nodes",
        Stage::History => "checking earlier values of block",
        Stage::Repair => "making the indices anew, block",
    }
}

fn finding(finding: &Finding) -> serde_json::Value {
    json!({
        "place": finding.place.to_string(),
        "what": finding.what,
        "repairable": finding.is_repairable(),
    })
}

fn say(first: &Report, left: &Report, seconds: f64) {
    for finding in first.findings.iter().take(FINDINGS_SHOWN) {
        println!("{}: {}", finding.place, finding.what);
    }
    let more = first.findings.len().saturating_sub(FINDINGS_SHOWN);
    if more > 0 {
        println!("and {more} more");
    }
    if first.repaired {
        println!("repaired: {} of {} are gone", gone(first, left), first.findings.len());
    }
    println!(
        "checked in {seconds:.1} s: {} blocks, {} accounts, {} slots, earlier values of {} blocks",
        left.blocks, left.accounts, left.slots, left.history_blocks
    );
    if left.findings.is_empty() {
        println!("nothing is wrong");
    }
}

fn gone(first: &Report, left: &Report) -> usize {
    first.findings.iter().filter(|finding| !left.findings.contains(finding)).count()
}

/// The first finding's advice, after the number of all.
fn damaged(dir: &Path, left: &Report, first: &Finding) -> Problem {
    // What cannot be repaired decides what to do.
    let worst = left.findings.iter().find(|finding| !finding.is_repairable()).unwrap_or(first);
    let problem = worst.problem();
    Problem::new(
        format!("the chain in {} is damaged", dir.display()),
        format!("{} findings; {}: {}", left.findings.len(), worst.place, worst.what),
        problem.advice,
    )
}

/// Drops what `limits` do not keep of the chain in `dir`.
pub fn prune(dir: &Path, limits: &Limits, json: bool) -> Ended {
    let mut shown = Shown::new(json);
    let at = &mut |progress: Progress| match progress {
        Progress::History(blocks) => shown.at("dropping earlier values of blocks", blocks, None),
        Progress::Bodies(blocks) => shown.at("dropping transactions of blocks", blocks, None),
        Progress::Compacting => shown.at("giving space back", 0, None),
    };
    let pruned = drop_old(dir, limits, at).map_err(|error| error.problem())?;
    let seconds = shown.end().as_secs_f64();
    if json {
        print_json(&json!({
            "dir": dir,
            "history_blocks": pruned.history_blocks,
            "body_blocks": pruned.body_blocks,
            "oldest_state": pruned.oldest_state,
            "first_body": pruned.first_body,
            "bytes_before": pruned.bytes_before,
            "bytes_after": pruned.bytes_after,
            "seconds": seconds,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "dropped in {seconds:.1} s: earlier values of {} blocks, transactions and logs of {} blocks",
        pruned.history_blocks, pruned.body_blocks
    );
    println!(
        "readable are states from block {} on, transactions and logs from block {} on",
        pruned.oldest_state, pruned.first_body
    );
    println!("the database has {} bytes, it had {}", pruned.bytes_after, pruned.bytes_before);
    Ok(ExitCode::SUCCESS)
}
