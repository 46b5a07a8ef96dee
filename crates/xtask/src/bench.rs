//! `cargo xtask bench`: our figures, beside the peers' from the same run where there is a peer.
//!
//! Wall times on shared machines mean little; every bench therefore prints CPU seconds or a ratio as
//! well. Results worth keeping go to `docs/measurements/` with command, machine and date.

mod audits;
mod blobs;
mod challenge;
mod dispatch;
mod fuel;
mod gas;
mod gateway;
mod gpu;
mod infer;
mod lennard_jones;
mod load;
mod node;
mod overhead;
mod perplexity;
mod process;
mod relay;
mod sandbox;
mod settling;

use anyhow::{Context as _, bail};

use crate::{
    run::{run, step, target_dir},
    test::WORKSPACE,
};

type Bench = fn(&mut Report) -> anyhow::Result<()>;

/// Each by its name, with the packages whose programs it starts; without any it wants all.
const BENCHES: &[(&str, Bench, &[&str])] = &[
    ("gas", gas::run, &[]),
    ("dispatch", dispatch::run, &[]),
    ("overhead", overhead::run, &[]),
    ("node", node::run, &[]),
    ("load", load::run, &["tilth-chain"]),
    ("blobs", blobs::run, &[]),
    ("relay", relay::run, &[]),
    ("sandbox", sandbox::run, &[]),
    ("challenge", challenge::run, &[]),
    ("infer", infer::run, &["tilth-tensor"]),
    ("fuel", fuel::run, &["tilth-tensor", "tilth-vm"]),
    ("perplexity", perplexity::run_perplexity, &["tilth-tensor"]),
    ("gateway", gateway::run, &["tilth-tensor", "tilth-cli"]),
    ("gpu", gpu::run, &[]),
    ("audits", audits::run, &["tilth-cli", "tilth-simulation"]),
    ("lennard-jones", lennard_jones::run, &["tilth-cli"]),
];
/// Those that take so long that they run only when they are named.
const LONG: &[&str] = &["lennard-jones"];

/// The lines of a report: what, ours, the peer's or the aim, and what the two mean together.
#[derive(Default)]
pub struct Report {
    lines: Vec<[String; 4]>,
}

impl Report {
    /// Adds a line.
    pub fn line(&mut self, what: &str, ours: String, beside: String, verdict: String) {
        eprintln!("   {what}: {ours} | {beside} | {verdict}");
        self.lines.push([what.to_owned(), ours, beside, verdict]);
    }

    /// Adds a line for a figure with an upper bound.
    pub fn at_most(&mut self, what: &str, ours: f64, aim: f64, unit: &str) {
        let verdict = if ours <= aim { "within" } else { "ABOVE" };
        self.line(
            what,
            format!("{ours:.1} {unit}"),
            format!("at most {aim} {unit}"),
            verdict.into(),
        );
    }

    fn print(&self) {
        println!("| figure | tilth | peer or aim | |\n|---|---|---|---|");
        for [what, ours, beside, verdict] in &self.lines {
            println!("| {what} | {ours} | {beside} | {verdict} |");
        }
    }
}

/// Runs the named benches, or all that do not take long.
pub fn run_benches(names: &[String]) -> anyhow::Result<()> {
    for name in names {
        if !BENCHES.iter().any(|(known, ..)| known == name) {
            let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
            bail!("there is no bench {name}; there are {}", known.join(", "));
        }
    }
    let is_wanted = |name: &str| {
        names.iter().any(|wanted| wanted == name) || names.is_empty() && !LONG.contains(&name)
    };
    let wanted: Vec<_> = BENCHES.iter().filter(|bench| is_wanted(bench.0)).collect();
    let mut build = vec!["build", "--examples", "--bins"];
    if wanted.iter().any(|bench| bench.2.is_empty()) {
        build.extend(WORKSPACE);
    } else {
        build.push("--release");
        for package in wanted.iter().flat_map(|bench| bench.2) {
            build.extend(["-p", *package]);
        }
    }
    run("cargo", &build)?;
    let mut report = Report::default();
    // What was measured before a failure is shown all the same.
    let result = wanted.into_iter().try_for_each(|(name, bench, _)| {
        step(name);
        bench(&mut report).with_context(|| format!("the bench {name}"))
    });
    machine();
    report.print();
    result
}

/// Says what was measured on.
fn machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("machine: {cores} cores, {model}\n");
}

/// A program that `cargo build --release` made.
fn built(name: &str) -> String {
    target_dir().join("release").join(name).display().to_string()
}
