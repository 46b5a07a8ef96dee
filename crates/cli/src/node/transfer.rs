//! Tools for a chain that does not run: first block, blocks in and out, replay.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Read, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tilth_chain::{Config, Progress, StoredChain, TransferError};
use tilth_protocol::Problem;

use super::genesis::with_causes;
use crate::{Ended, args::NodeCommand, print_json};

/// How often progress is written where it cannot be drawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

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
            let mut shown = Shown::new("executing", Some(chain.head().number), json);
            let done = chain.replay(|progress| shown.at(progress)).map_err(transfer_problem)?;
            let time = shown.end();
            say(&chain, "executed again; every root is right", &done, time, json)
        }
        // Handled before a chain is opened.
        NodeCommand::Config { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn import(chain: &StoredChain, file: &Path, json: bool) -> Ended {
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| file_problem("read", file, &error))?)
    };
    let mut shown = Shown::new("importing", None, json);
    let done = chain.import(reader, |progress| shown.at(progress)).map_err(transfer_problem)?;
    let time = shown.end();
    say(chain, "imported; every root is right", &done, time, json)
}

fn export(chain: &StoredChain, file: &Path, first: u64, last: u64, json: bool) -> Ended {
    let mut shown = Shown::new("exporting", Some(last.saturating_sub(first) + 1), json);
    let write = |writer: &mut dyn Write, shown: &mut Shown| {
        chain.export(first..=last, writer, |progress| shown.at(progress)).map_err(transfer_problem)
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
        TransferError::Chain(_) => "check the folder's disk, then run `tilth node replay`",
    };
    Problem::new(
        error.to_string(),
        std::error::Error::source(&error).map_or_else(String::new, with_causes),
        advice,
    )
}

/// Progress on standard error: drawn on a terminal, else a line now and then.
struct Shown {
    bar: Option<ProgressBar>,
    what: &'static str,
    quiet: bool,
    start: Instant,
    last: Instant,
}

impl Shown {
    fn new(what: &'static str, blocks: Option<u64>, quiet: bool) -> Self {
        let now = Instant::now();
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let (bar, style) = match blocks {
                Some(blocks) => (
                    ProgressBar::new(blocks),
                    "{msg} block {pos} of {len}  {wide_bar}  {per_sec}  {eta} left",
                ),
                None => (ProgressBar::new_spinner(), "{spinner} {msg} block {pos}  {per_sec}"),
            };
            // A style that does not parse is left out; these are constants.
            ProgressStyle::with_template(style)
                .map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
                .with_message(what)
        });
        Self { bar, what, quiet, start: now, last: now }
    }

    fn at(&mut self, progress: &Progress) {
        match &self.bar {
            Some(bar) => bar.set_position(progress.blocks + progress.skipped),
            None if !self.quiet && self.last.elapsed() >= LINE_EVERY => {
                self.last = Instant::now();
                eprintln!(
                    "{}: block {}, {} s",
                    self.what,
                    progress.number,
                    self.start.elapsed().as_secs()
                );
            }
            None => {}
        }
    }

    /// Clears what was drawn and says how long it took.
    fn end(self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.start.elapsed()
    }
}
