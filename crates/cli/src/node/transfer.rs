//! Tools for a chain that does not run: first block, blocks in and out, replay.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde_json::json;
use tilth_chain::{Config, Progress, StoredChain, TransferError};
use tilth_protocol::Problem;

use super::{genesis::with_causes, shown::Shown};
use crate::{Ended, args::NodeCommand, print_json};

/// Runs one of them. Blocks its thread.
pub fn tool(config: Config, command: &NodeCommand, json: bool) -> Ended {
    let (dir, genesis) = (config.dir.clone().unwrap_or_default(), config.genesis.clone());
    let chain = StoredChain::open(config).map_err(|error| error.problem())?;
    match command {
        NodeCommand::Init => {
            let head = chain.head();
            if json {
                print_json(&json!({
                    "dir": dir,
                    "chain_id": genesis.chain_id,
                    "head": { "number": head.number, "hash": head.hash().to_string() },
                }))?;
            } else {
                println!("chain {} in {}", genesis.chain_id, dir.display());
                println!("its last block is {}, {}", head.number, head.hash());
            }
            Ok(ExitCode::SUCCESS)
        }
        NodeCommand::Import { file } => import(&chain, file, json),
        NodeCommand::Export { file, first, last } => {
            let last = last.unwrap_or_else(|| chain.head().number);
            export(&chain, file, *first, last, json)
        }
        NodeCommand::Replay => {
            let (mut shown, last) = (Shown::new(json), chain.head().number);
            let at = |done: &Progress| shown.at("executing block", done.number, Some(last));
            let done = chain.replay(at).map_err(transfer_problem)?;
            let time = shown.end();
            say(&chain, "executed again; every root is right", &done, time, json)
        }
        // Handled before a chain is opened.
        NodeCommand::Config { .. }
        | NodeCommand::Fsck { .. }
        | NodeCommand::Prune
        | NodeCommand::Snapshot(_) => Ok(ExitCode::SUCCESS),
    }
}

fn import(chain: &StoredChain, file: &Path, json: bool) -> Ended {
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| file_problem("read", file, &error))?)
    };
    let mut shown = Shown::new(json);
    let at = |done: &Progress| shown.at("importing block", done.number, None);
    let done = chain.import(reader, at).map_err(transfer_problem)?;
    let time = shown.end();
    say(chain, "imported; every root is right", &done, time, json)
}

fn export(chain: &StoredChain, file: &Path, first: u64, last: u64, json: bool) -> Ended {
    let mut shown = Shown::new(json);
    let total = last.saturating_sub(first).saturating_add(1);
    let write = |writer: &mut dyn Write, shown: &mut Shown| {
        let at = |done: &Progress| shown.at("exporting blocks", done.blocks, Some(total));
        chain.export(first..=last, writer, at).map_err(transfer_problem)
    };
    let done = if file == Path::new("-") {
        let done = write(&mut BufWriter::new(io::stdout().lock()), &mut shown)?;
        shown.end();
        // Standard output holds the blocks, so the summary goes where progress went.
        eprintln!("{} blocks exported", done.blocks);
        return Ok(ExitCode::SUCCESS);
    } else {
        // Under another name until it is whole, so that no half file is taken for a chain.
        let mut name = file.as_os_str().to_owned();
        name.push(".part");
        let part = Path::new(&name);
        let failed = |error: io::Error| file_problem("written", file, &error);
        let mut writer = BufWriter::new(File::create(part).map_err(failed)?);
        let done = write(&mut writer, &mut shown)?;
        let whole = writer.into_inner().map_err(|error| failed(error.into_error()))?;
        whole.sync_all().map_err(failed)?;
        std::fs::rename(part, file).map_err(failed)?;
        done
    };
    let time = shown.end();
    say(chain, "exported", &done, time, json)
}

fn say(chain: &StoredChain, what: &str, done: &Progress, time: Duration, json: bool) -> Ended {
    let head = chain.head();
    if json {
        print_json(&json!({
            "blocks": done.blocks,
            "skipped": done.skipped,
            "transactions": done.transactions,
            "gas": done.gas,
            "seconds": time.as_secs_f64(),
            "head": { "number": head.number, "hash": head.hash().to_string() },
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let skipped = match done.skipped {
        0 => String::new(),
        skipped => format!(" ({skipped} more were there already)"),
    };
    println!(
        "{} blocks with {} transactions {what}, in {:.1} s{skipped}",
        done.blocks,
        done.transactions,
        time.as_secs_f64()
    );
    println!("the chain's last block is {}, {}", head.number, head.hash());
    Ok(ExitCode::SUCCESS)
}

fn file_problem(what: &str, file: &Path, error: &io::Error) -> Problem {
    Problem::new(
        format!("the file of blocks cannot be {what}"),
        format!("{}: {error}", file.display()),
        "check the path and its permissions",
    )
}

fn transfer_problem(error: TransferError) -> Problem {
    let advice = match &error {
        TransferError::File(_) => "get the file again; the blocks before this place are kept",
        TransferError::Write(_) => "check that the disk has room",
        TransferError::OtherChain { .. } => {
            "import into a fresh folder, with the genesis the file's chain was started with"
        }
        TransferError::Gap { .. } => "import the blocks in between first",
        TransferError::Block { .. } => {
            "check that the genesis (option `genesis`) is the one of the file's chain; \
             the blocks before are kept"
        }
        TransferError::NoBlock { .. } => "choose blocks that the chain has",
        TransferError::Dropped { .. } => {
            "ask a node that keeps all blocks (option limits.body-blocks), or begin later"
        }
        TransferError::Chain(_) => "check the folder's disk, then run `tilth node replay`",
    };
    Problem::new(
        error.to_string(),
        std::error::Error::source(&error).map_or_else(String::new, with_causes),
        advice,
    )
}
