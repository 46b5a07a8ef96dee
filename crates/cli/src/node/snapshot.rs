//! States as files: written from a stopped chain, or made into one.

use std::{path::Path, process::ExitCode, time::Duration};

use alloy::primitives::B256;
use serde_json::json;
use tilth_chain::{
    Genesis, GenesisError,
    snapshot::{self, ExportOptions, ImportOptions, Progress, Stage, Summary},
};
use tilth_protocol::Problem;

use super::{genesis::with_causes, shown::Shown};
use crate::{Ended, print_json};

/// Writes the chain in `dir` to a file.
pub fn export(dir: &Path, file: &Path, blocks: u64, json: bool) -> Ended {
    let mut shown = Shown::new(json);
    let at = &mut |done: Progress| shown.at(exporting(done.stage), done.done, None);
    let summary = snapshot::export(dir, file, &ExportOptions { blocks }, at)
        .map_err(|error| error.problem())?;
    say("written to", file, &summary, shown.end(), json)
}

/// Makes a chain in `dir` from a file: one with this genesis, and with this last block if it is known.
pub fn import(dir: &Path, genesis: &Genesis, file: &Path, head: Option<B256>, json: bool) -> Ended {
    let first = genesis.execute().map_err(|error| genesis_problem(&error))?;
    let options = ImportOptions { head, genesis: Some(first.block.header.hash()) };
    let mut shown = Shown::new(json);
    let at = &mut |done: Progress| shown.at(importing(done.stage), done.done, None);
    let summary = snapshot::import(file, dir, &options, at).map_err(|error| error.problem())?;
    let time = shown.end();
    if head.is_none() {
        eprintln!(
            "note: compare the last block's hash with a source you trust, or give it as --head"
        );
    }
    say("taken over from", file, &summary, time, json)
}

fn genesis_problem(error: &GenesisError) -> Problem {
    Problem::new("the genesis is not valid", with_causes(error), "correct the genesis")
}

fn exporting(stage: Stage) -> &'static str {
    match stage {
        Stage::Blocks => "writing blocks",
        Stage::Accounts => "writing accounts",
        Stage::Storage => "writing slots",
        Stage::Code => "writing code",
        Stage::Verify => "checking the state",
    }
}

fn importing(stage: Stage) -> &'static str {
    match stage {
        Stage::Blocks => "taking blocks",
        Stage::Accounts => "taking accounts",
        Stage::Storage => "taking slots",
        Stage::Code => "taking code",
        Stage::Verify => "checking the state",
    }
}

fn say(what: &str, file: &Path, summary: &Summary, time: Duration, json: bool) -> Ended {
    if json {
        print_json(&json!({
            "file": file,
            "chain_id": summary.chain_id,
            "genesis": summary.genesis_hash.to_string(),
            "head": {
                "number": summary.head_number,
                "hash": summary.head_hash.to_string(),
            },
            "blocks": summary.blocks,
            "accounts": summary.accounts,
            "slots": summary.slots,
            "codes": summary.codes,
            "seconds": time.as_secs_f64(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "chain {} {what} {}, in {:.1} s: {} blocks, {} accounts, {} slots, {} pieces of code",
        summary.chain_id,
        file.display(),
        time.as_secs_f64(),
        summary.blocks,
        summary.accounts,
        summary.slots,
        summary.codes
    );
    println!("the last block is {}, {}", summary.head_number, summary.head_hash);
    Ok(ExitCode::SUCCESS)
}
