//! The node under load, beside anvil in the same run: transfers, calls, log queries, and the start with a large chain.
//!
//! `crates/chain/examples/load` drives both over HTTP with the same signed transactions on the same genesis. The CPU
//! is that of the node's process alone.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{
    Report, built,
    node::{ANVIL_SILENT, anvil, tempdir},
    process::{Running, free_port, measure, median, rpc},
};
use crate::run::{root, run_in};

/// Transfers that the node must sustain.
const TRANSFERS: u64 = 200_000;
/// Transfers for anvil: it keeps everything in memory, and its blocks come once a second.
const ANVIL_TRANSFERS: u64 = 20_000;
/// Seconds after which a run is ended, and counted as far as it came.
const SECONDS: &str = "240";
const CALLS: u64 = 50_000;
/// Blocks for the log queries, with a transfer each.
const BLOCKS: u64 = 100_000;
/// anvil gets a tenth of them, or as many as it makes in its time: what a block costs it grows with the number of
/// blocks before (by 1.4 us of CPU for each of them with `--prune-history`, by twice that without, measured with
/// `anvil_mine`), so that all 100,000 would take it about two CPU hours.
const ANVIL_BLOCKS: u64 = BLOCKS / 10;
const ANVIL_SECONDS: u64 = 150;
/// What the large chain has on disk at least, in bytes.
const LARGE: u64 = 1 << 30;
/// Transactions with which it grows at once; each writes 380 slots and 128 KiB of logs.
const GROWTH: &str = "1000";
const STARTS: usize = 5;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    transfers_and_calls(report)?;
    logs(report)?;
    large_chain(report)?;
    roots(report)
}

/// The state root's cost per changed key, beside both tries made anew by alloy-trie.
fn roots(report: &mut Report) -> anyhow::Result<()> {
    let output = measure(&built("examples/roots"), &[])?.stdout;
    let figures: Value = serde_json::from_str(output.lines().next_back().context("no figures")?)?;
    let anew = figure(&figures, "anew_seconds") * 1e6;
    for transfers in ["100", "1000", "5000"] {
        let ours = figure(&figures["us_per_key"], transfers);
        // A transfer changes its sender's account and two slots.
        let theirs = anew / (3.0 * transfers.parse::<f64>()?);
        report.line(
            &format!(
                "state root, {transfers} ERC-20 transfers at 300,000 accounts, CPU per changed key (aim 5 us)"
            ),
            format!("{ours:.1} us"),
            format!("alloy-trie anew {theirs:.0} us"),
            format!("{:.3}x", ours / theirs),
        );
    }
    Ok(())
}

/// A node with its address.
struct Node {
    running: Running,
    address: String,
}

impl Node {
    fn ours(dir: &str) -> anyhow::Result<Self> {
        let mut running = Running::start(&built("examples/load"), &["serve", dir])?;
        let address = running.first_line()?.trim().to_owned();
        Ok(Self { running, address })
    }

    /// Beside the load's genesis.
    fn anvil(args: &[&str]) -> anyhow::Result<Self> {
        let dir = tempdir()?;
        let genesis = format!("{dir}/genesis.json");
        fs::write(&genesis, measure(&built("examples/load"), &["genesis"])?.stdout)?;
        Self::bare_anvil(&[&["--init", &genesis, "--gas-limit", "1000000000"], args].concat())
    }

    fn bare_anvil(args: &[&str]) -> anyhow::Result<Self> {
        let port = free_port()?.to_string();
        let running = Running::start(&anvil(), &[&[ANVIL_SILENT, "--port", &port], args].concat())?;
        let address = format!("127.0.0.1:{port}");
        answers(&address)?;
        Ok(Self { running, address })
    }

    /// What the driver measured.
    fn drive(&self, command: &str, args: &[&str]) -> anyhow::Result<Value> {
        let pid = self.running.pid().to_string();
        let mut line = vec![command, &self.address, &pid];
        line.extend(args);
        drive(&line)
    }
}

fn drive(line: &[&str]) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&measure(&built("examples/load"), line)?.stdout)?)
}

/// Waits for the first answer and returns the milliseconds until it came.
fn answers(address: &str) -> anyhow::Result<f64> {
    let (address, started) = (address.parse()?, Instant::now());
    while rpc(address, "eth_chainId").is_err() {
        if started.elapsed() > Duration::from_secs(60) {
            bail!("no answer within 60 s");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

fn figure(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(f64::NAN)
}

fn transfers_and_calls(report: &mut Report) -> anyhow::Result<()> {
    let dir = tempdir()?;
    let node = Node::ours(&dir)?;
    let count = TRANSFERS.to_string();
    let ours = node.drive("transfers", &[&count, SECONDS])?;
    let calls = CALLS.to_string();
    let our_calls = node.drive("calls", &[&calls])?;
    let our_single = node.drive("single", &["200"])?;
    let stored = size(Path::new(&dir))?;
    drop(node);
    fs::remove_dir_all(&dir)?;
    // Mining at once, anvil does not come to an end with long runs; with a block a second it does.
    let node = Node::anvil(&["--block-time", "1"])?;
    let theirs = node.drive("transfers", &[&ANVIL_TRANSFERS.to_string(), SECONDS])?;
    let their_calls = node.drive("calls", &[&calls])?;
    drop(node);
    let their_single = Node::anvil(&[])?.drive("single", &["200"])?;
    eprintln!("   ours {ours}\n   anvil {theirs}");
    if ours["in_time"] != true || theirs["in_time"] != true {
        eprintln!(
            "   NOTE: a run was ended after {SECONDS} s and counts what was mined until then"
        );
    }
    let rate = |run: &Value, per: &str| figure(run, "mined") / figure(run, per);
    let mut pair = |what: &str, ours: f64, theirs: f64, unit: &str| {
        report.line(
            what,
            format!("{ours:.0} {unit}"),
            format!("anvil {theirs:.0} {unit}"),
            format!("{:.2}x", ours / theirs),
        );
    };
    pair(
        "ERC-20 transfers, raw batches of 100, per CPU second (aim 10,000; 200,000, anvil 20,000 at --block-time 1)",
        rate(&ours, "cpu"),
        rate(&theirs, "cpu"),
        "/CPU s",
    );
    pair("the same per wall second", rate(&ours, "wall"), rate(&theirs, "wall"), "/s");
    pair("memory idle", figure(&ours, "memory_before"), figure(&theirs, "memory_before"), "MiB");
    pair("memory under that load", figure(&ours, "memory"), figure(&theirs, "memory"), "MiB");
    let calls = |run: &Value, per: &str| figure(run, "calls") / figure(run, per);
    pair(
        "eth_call in batches of 100",
        calls(&our_calls, "cpu"),
        calls(&their_calls, "cpu"),
        "/CPU s",
    );
    pair("the same per wall second", calls(&our_calls, "wall"), calls(&their_calls, "wall"), "/s");
    let single = |run: &Value, per: &str| figure(run, per) * 1e6 / figure(run, "transfers");
    pair(
        "one transfer to its receipt, wall",
        single(&our_single, "wall"),
        single(&their_single, "wall"),
        "us",
    );
    pair("the same, CPU", single(&our_single, "cpu"), single(&their_single, "cpu"), "us");
    report.line(
        "on disk after 200,000 transfers",
        format!("{} MiB", stored >> 20),
        "anvil keeps nothing".into(),
        String::new(),
    );
    Ok(())
}

fn logs(report: &mut Report) -> anyhow::Result<()> {
    let dir = kept("logs")?;
    let shown = dir.display().to_string();
    if !dir.join("whole").exists() {
        build_in_memory(&shown)?;
        fs::write(dir.join("whole"), "")?;
    }
    let blocks = BLOCKS.to_string();
    let ours = Node::ours(&shown)?.drive("logs", &[&blocks])?;
    let node = Node::anvil(&["--prune-history"])?;
    let count = (ANVIL_BLOCKS + 10).to_string();
    let made = drive(&["fill", &node.address, &count, &ANVIL_SECONDS.to_string()])?;
    let made = made["blocks"].as_u64().context("no number of blocks")?;
    if made < ANVIL_BLOCKS {
        eprintln!("   NOTE: anvil made {made} blocks in {ANVIL_SECONDS} s, and is asked for those");
    }
    // Queries ask for all of them and for tenths.
    let theirs = node.drive("logs", &[&(made.min(ANVIL_BLOCKS) / 10 * 10).to_string()])?;
    drop(node);
    for name in ["one receiver", "all transfers"] {
        let (our, their) = (&ours[name], &theirs[name]);
        let shown = |run: &Value| {
            format!(
                "{:.2} ms CPU, {:.2} ms wall over {} blocks, {:.1} logs",
                figure(run, "cpu") * 1000.0,
                figure(run, "wall") * 1000.0,
                run["blocks"],
                figure(run, "logs"),
            )
        };
        let per_block = |run: &Value| figure(run, "cpu") / figure(run, "blocks");
        report.line(
            &format!("eth_getLogs, {name}"),
            shown(our),
            format!("anvil {}", shown(their)),
            format!("{:.2}x the CPU per block", per_block(our) / per_block(their)),
        );
    }
    Ok(())
}

/// Makes the long chain where writing through costs nothing: each of its blocks is one.
fn build_in_memory(dir: &str) -> anyhow::Result<()> {
    let memory = Path::new("/dev/shm");
    let count = (BLOCKS + 10).to_string();
    if !memory.is_dir() {
        drive(&["build", dir, &count])?;
        return Ok(());
    }
    let there = memory.join(format!("tilth-bench-{}", std::process::id()));
    fs::create_dir_all(&there)?;
    let made = drive(&["build", &there.display().to_string(), &count]).and_then(|_| {
        for entry in fs::read_dir(&there)? {
            let entry = entry.context("a file of the chain")?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), Path::new(dir).join(entry.file_name()))?;
            }
        }
        Ok(())
    });
    fs::remove_dir_all(&there)?;
    made
}

/// Cold start with a chain of a gibibyte, which is made once and kept: 200,000 transfers, and the rest as storage and
/// logs. anvil starts with the largest state it was given.
fn large_chain(report: &mut Report) -> anyhow::Result<()> {
    let dir = kept("large")?;
    let shown = dir.display().to_string();
    let started = Instant::now();
    let before = size(&dir)?;
    if before == 0 {
        Node::ours(&shown)?.drive("transfers", &[&TRANSFERS.to_string(), SECONDS])?;
    }
    while size(&dir)? < LARGE {
        let node = Node::ours(&shown)?;
        drive(&["grow", &node.address, GROWTH])?;
        drop(node);
        eprintln!("   the large chain has {} MiB", size(&dir)? >> 20);
    }
    if before < LARGE {
        eprintln!("   it took {:.0} s to make", started.elapsed().as_secs_f64());
    }
    let state = root().join("target/bench/anvil-state.json");
    if !state.exists() {
        let node = Node::anvil(&["--block-time", "1"])?;
        node.drive("transfers", &[&ANVIL_TRANSFERS.to_string(), SECONDS])?;
        dump(&node, &state)?;
    }
    let (mut ours, mut theirs, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let path = state.display().to_string();
    for _ in 0..STARTS {
        let started = Instant::now();
        let node = Node::ours(&shown)?;
        answers(&node.address)?;
        ours.push(started.elapsed().as_secs_f64() * 1000.0);
        memory.push(node.running.rss_mib()?);
        drop(node);
        let started = Instant::now();
        let node = Node::bare_anvil(&["--load-state", &path])?;
        theirs.push(started.elapsed().as_secs_f64() * 1000.0);
        drop(node);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    report.line(
        "cold start with a stored chain",
        format!("{ours:.0} ms with {} MiB", size(&dir)? >> 20),
        format!("anvil {theirs:.0} ms with a dump of {} MiB", fs::metadata(&state)?.len() >> 20),
        format!("{:.2}x; memory then {:.0} MiB", ours / theirs, median(memory)),
    );
    Ok(())
}

/// Writes anvil's state as a file to start from. It takes neither `--dump-state` nor `--load-state`
/// beside a genesis, so it is asked for its state, which comes as the digits of a gzip file. The file
/// has its name only when it is whole, so a run that was cut short leaves none that a later one takes.
fn dump(node: &Node, state: &Path) -> anyhow::Result<()> {
    let answer = rpc(node.address.parse()?, "anvil_dumpState")?;
    let digits = answer["result"].as_str().and_then(|text| text.strip_prefix("0x"));
    let mut packed = Vec::new();
    for pair in digits.context("anvil gave no state")?.as_bytes().chunks(2) {
        packed.push(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    }
    let part = format!("{}.part", state.display());
    let file = format!("{part}.gz");
    fs::write(&file, packed)?;
    run_in(&root(), "gzip", &["--decompress", "--force", &file], &[])?;
    fs::rename(&part, state).with_context(|| format!("{part} could not be renamed"))
}

/// A folder under `target/bench` that later runs find again.
fn kept(name: &str) -> anyhow::Result<PathBuf> {
    let dir = root().join("target/bench").join(name);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Bytes of the files in a folder.
fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        sum += entry.and_then(|entry| entry.metadata()).context("a file of the folder")?.len();
    }
    Ok(sum)
}
