//! How long an honest audited range takes until it is paid, beside one that nobody audits; and how many worlds the
//! simulator of audits plays.
//!
//! Tasks do next to nothing, so what is measured is the protocol: beacon, draw, fetching, commitments, openings. Times are
//! those of blocks, whole seconds; the client's own are finer, and end when all is over and its results are put together.

use std::{collections::BTreeMap, fs, net::SocketAddr};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    Report, built,
    node::tempdir,
    process::{Running, call, machine_cpu, measure, median},
};
use crate::run::root;

/// Jobs of each kind, after one of each that counts for nothing. In how many ranges one is done is the contract's to say, by what
/// its provider's stake carries.
const JOBS: usize = 9;
const TASKS: u32 = 50;
const SUBMITTED: &str =
    "RangeSubmitted(uint64,uint32,address,bytes32,uint64,uint32,bytes32,uint128,uint40)";
const SETTLED: &str = "RangeSettled(uint64,uint32,address,uint128,uint128,bytes32)";
/// The simulator's adversaries take turns, seed by seed: so many as its `adversary::ALL` has, which this crate cannot name.
const ADVERSARIES: u32 = 72;
/// Fourteen worlds of each of them, a minute of one core or so.
const SEEDS: u32 = 14 * ADVERSARIES;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    ranges(report)?;
    worlds(report)
}

/// Seconds from handing in to payment, of every range, and what whole jobs took.
#[derive(Default)]
struct Times {
    /// By the times of the blocks.
    chain: Vec<f64>,
    /// Until the client was done, as it saw it.
    client: Vec<f64>,
    /// Processor seconds of the whole machine for the whole job.
    cpu: Vec<f64>,
}

fn ranges(report: &mut Report) -> anyhow::Result<()> {
    let dir = tempdir()?;
    let mut up = Running::start(
        &built("tilth"),
        &[
            "up",
            "--providers",
            "1",
            "--auditors",
            "7",
            "--json",
            "--dir",
            &dir,
            "--listen",
            "127.0.0.1:0",
        ],
    )?;
    let chain = Chain::of(&up.first_json_line()?)?;
    let job = format!("{dir}/settling.toml");
    fs::write(&job, job_file())?;
    let kinds: [&[&str]; 2] = [&["--audited"], &[]];
    let mut found = [Times::default(), Times::default()];
    for round in 0..=JOBS {
        for (more, times) in kinds.into_iter().zip(&mut found) {
            let before = machine_cpu()?;
            let args = [&["run", job.as_str(), "--json", "--dir", &dir][..], more].concat();
            let said: Value = serde_json::from_str(&measure(&built("tilth"), &args)?.stdout)?;
            let cpu = machine_cpu()? - before;
            let seconds = chain.seconds(&said, !more.is_empty())?;
            // The first ones compile the program, at the provider and at each auditor.
            if round > 0 {
                let of = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
                times.chain.extend(seconds);
                times.client.push(of("seconds") - of("seconds-to-last-submission"));
                times.cpu.push(cpu);
            }
        }
    }
    drop(up);
    fs::remove_dir_all(&dir)?;
    let [audited, plain] = found;
    for (what, ours, beside) in [
        ("range submitted to settled, by block times", audited.chain, plain.chain),
        ("last one submitted to the client's end", audited.client, plain.client),
        ("CPU of the whole machine, whole job", audited.cpu, plain.cpu),
    ] {
        let (middle, base) = (median(ours.clone()), median(beside.clone()));
        report.line(
            &format!("honest audited job of {TASKS} tasks, 7 auditors: {what}"),
            format!("{middle:.2} s, at most {:.2} s of {}", largest(&ours), ours.len()),
            format!("plain job {base:.2} s, at most {:.2} s of {}", largest(&beside), beside.len()),
            format!("{:+.2} s", middle - base),
        );
    }
    Ok(())
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// A job of as few ranges as it may be, whose tasks are worth an audit at their caps. Nothing is paid before its client has seen what became
/// of the audit, however slow the machine is.
fn job_file() -> String {
    let program = root().join("guests/prebuilt/noop.wasm").display().to_string();
    format!(
        "name = \"settling\"\nprogram = {}\ntasks = {TASKS}\n\
         [limits]\ngfuel-per-task = 1.0\nmemory = \"1MiB\"\noutput = \"64B\"\n\
         [price]\nper-gfuel = \"0.2\"\n\
         [verification]\nwindow = \"1h\"\n\
         [schedule]\ntarget = \"5s\"\nparallelism = 1\nfirst-range = {TASKS}\n\
         [output]\nkind = \"values\"\n",
        json!(program)
    )
}

/// The chain of a network.
struct Chain {
    address: SocketAddr,
    /// First topics of the two logs.
    submitted: Value,
    settled: Value,
}

impl Chain {
    fn of(about: &Value) -> anyhow::Result<Self> {
        let url = about["rpc-url"].as_str().context("no rpc-url in the first line")?;
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse()?;
        let topic = |event: &str| {
            let bytes: String = event.bytes().map(|byte| format!("{byte:02x}")).collect();
            ask(address, "web3_sha3", &json!([format!("0x{bytes}")]))
        };
        let (submitted, settled) = (topic(SUBMITTED)?, topic(SETTLED)?);
        Ok(Self { address, submitted, settled })
    }

    /// Seconds from the submission of each range of a job to its payment.
    fn seconds(&self, said: &Value, is_audited: bool) -> anyhow::Result<Vec<f64>> {
        let job = said["job"].as_u64().context("no job")?;
        ensure!(said["missing"] == 0, "job {job} is not whole: {said:#}");
        let (submitted, settled) =
            (self.logs(&self.submitted, job)?, self.logs(&self.settled, job)?);
        // A newcomer is audited always.
        let upheld = said["audits"]["upheld"].as_u64();
        let due = is_audited.then_some(submitted.len() as u64);
        ensure!(upheld == due, "job {job} was not judged as asked: {said:#}");
        ensure!(submitted.keys().eq(settled.keys()), "job {job} has ranges that are not paid once");
        let seconds = submitted.values().zip(settled.values()).map(|(from, to)| {
            let passed = self.time(to)?.checked_sub(self.time(from)?);
            Ok(passed.context("paid before it was handed in")? as f64)
        });
        seconds.collect()
    }

    /// Blocks of a job's logs of one kind, by the numbers of their ranges.
    fn logs(&self, topic: &Value, job: u64) -> anyhow::Result<BTreeMap<u64, Value>> {
        let filter = json!([{
            "fromBlock": "0x0", "toBlock": "latest",
            "topics": [topic, format!("0x{job:064x}")],
        }]);
        let logs = ask(self.address, "eth_getLogs", &filter)?;
        let logs = logs.as_array().context("no list of logs")?;
        let places =
            logs.iter().map(|log| Ok((number(&log["topics"][2])?, log["blockNumber"].clone())));
        let found: BTreeMap<_, _> = places.collect::<anyhow::Result<_>>()?;
        ensure!(
            !found.is_empty() && found.len() == logs.len(),
            "job {job} has a range twice, or none"
        );
        Ok(found)
    }

    /// A block's time, seconds.
    fn time(&self, block: &Value) -> anyhow::Result<u64> {
        number(&ask(self.address, "eth_getBlockByNumber", &json!([block, false]))?["timestamp"])
    }
}

/// What a call came to.
fn ask(address: SocketAddr, method: &str, params: &Value) -> anyhow::Result<Value> {
    let mut answer = call(address, method, params)?;
    ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
    Ok(answer["result"].take())
}

/// A quantity: digits to the base of 16 behind `0x`.
fn number(value: &Value) -> anyhow::Result<u64> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let digits = digits.with_context(|| format!("not a quantity: {value}"))?;
    Ok(u64::from_str_radix(digits, 16)?)
}

/// Worlds of audits, all adversaries in turn; the simulator fails if one of its oracles finds a fault.
fn worlds(report: &mut Report) -> anyhow::Result<()> {
    let seeds = format!("0..{SEEDS}");
    let played = measure(&built("tilth-simulation"), &["trust", "--seeds", &seeds])?;
    let rate = |seconds: f64| f64::from(SEEDS) / seconds * 60.0;
    report.line(
        &format!("simulator of audits, {SEEDS} worlds, one thread"),
        format!("{:.0} worlds per CPU minute", rate(played.cpu)),
        format!("{:.0} per wall minute", rate(played.wall)),
        format!("{:.1} s of CPU, no fault", played.cpu),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        assert_eq!(number(&json!("0x10")).unwrap(), 16);
        for wrong in [json!("10"), json!(16), json!("0xg"), json!(null)] {
            assert!(number(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_job_is_one_range_if_it_may_be() {
        let job: Value = toml::from_str(&job_file()).unwrap();
        assert!(job["tasks"] == TASKS && job["schedule"]["first-range"] == TASKS, "{job}");
        assert!(root().join(job["program"].as_str().unwrap()).exists(), "{job}");
    }

    #[test]
    fn every_adversary_plays_as_often_as_any_other() {
        let path = root().join("crates/simulation/src/adversary.rs");
        let text = fs::read_to_string(path).unwrap();
        let of = format!("pub const ALL: [Adversary; {ADVERSARIES}] = [");
        assert!(text.contains(&of), "there are more or fewer than {ADVERSARIES}");
    }

    #[test]
    fn the_largest_of_nothing_is_nothing() {
        assert_eq!(largest(&[1.0, 3.0, 2.0]), 3.0);
        assert!(largest(&[]).is_nan());
    }
}
