//! The gateway in front of a provider with a real model: what it costs per token, how long the first token takes, and
//! whether many streams at once all come whole; beside llama.cpp's own server with the same model in Q8_0.
//!
//! Both run eight sequences at once on all cores and let the others wait. Processor seconds are those of the whole
//! machine without those of the client, so nothing else may run.

use std::{cell::Cell, time::Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{
    Report, built, infer,
    node::tempdir,
    process::{Running, machine_cpu, process_cpu},
};
use crate::run::{output, root};

/// Streams at the same time, as the plan of inference asks.
const STREAMS: u32 = 64;

/// What the client saw, and what the machine spent on it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Seen {
    whole: u32,
    lost: u32,
    faults: Vec<String>,
    tokens: u32,
    wall: f64,
    /// Seconds to the first token: the median, and the longest.
    first: f64,
    last_first: f64,
    /// Seconds from the first token to the end, of all streams together.
    rest: f64,
    /// Processor seconds of the client.
    client: f64,
    #[serde(skip)]
    machine: f64,
}

impl Seen {
    fn per_cpu_second(&self) -> f64 {
        f64::from(self.tokens) / (self.machine - self.client)
    }

    fn shown_together(&self) -> String {
        format!(
            "{} whole, {} lost, {:.1} tokens/s wall, {:.1} per CPU second, first after {:.2} s (median), {:.2} s (last)",
            self.whole,
            self.lost,
            f64::from(self.tokens) / self.wall,
            self.per_cpu_second(),
            self.first,
            self.last_first,
        )
    }
}

/// A server under measurement.
struct Server<'a> {
    python: &'a str,
    url: String,
    key: String,
    /// Questions asked so far: no two are alike, or what is kept of the first would answer the second.
    asked: Cell<u32>,
}

impl<'a> Server<'a> {
    fn new(python: &'a str, url: String, key: String) -> Self {
        Self { python, url, key, asked: Cell::new(0) }
    }

    /// Asks `streams` at once for `tokens` each, `times` times.
    fn ask(&self, streams: u32, tokens: u32, times: u32) -> anyhow::Result<Seen> {
        let script = root().join("crates/xtask/src/bench/streams.py").display().to_string();
        let first = self.asked.get();
        self.asked.set(first + streams * times);
        let numbers = [streams, tokens, times, first].map(|number| number.to_string());
        let [streams, tokens, times, first] = numbers.each_ref().map(String::as_str);
        let args: [&str; 7] = [&script, &self.url, &self.key, streams, tokens, times, first];
        let before = machine_cpu()?;
        let told = output(self.python, &args)?;
        let mut seen: Seen = serde_json::from_str(&told).with_context(|| told.clone())?;
        seen.machine = machine_cpu()? - before;
        ensure!(seen.tokens > 0, "nothing was answered: {:?}", seen.faults);
        Ok(seen)
    }

    /// The first answers warm caches and connections, and count for nothing.
    fn warm_up(&self) -> anyhow::Result<()> {
        self.ask(1, 8, 2).map(drop)
    }
}

/// One stream for its own sake, then many.
struct Measured {
    alone: Seen,
    many: Seen,
}

fn measured(server: &Server<'_>) -> anyhow::Result<Measured> {
    let alone = server.ask(1, 128, 8)?;
    let many = server.ask(STREAMS, 64, 1)?;
    Ok(Measured { alone, many })
}

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let prepared = infer::prepare()?;
    let theirs = {
        let mut server = Running::start(
            &prepared.python,
            &[&infer::script(), "serve", &prepared.eight, "8", "2"],
        )?;
        let address = server.first_line()?;
        let url = format!("{}/v1", address.trim());
        let server = Server::new(&prepared.python, url, "none".into());
        server.warm_up()?;
        measured(&server)?
    };
    let dir = tempdir()?;
    let mut up = Running::start(
        &built("tilth"),
        &[
            "up",
            "--providers",
            "1",
            "--json",
            "--dir",
            &dir,
            "--listen",
            "127.0.0.1:0",
            "--gateway",
            "127.0.0.1:0",
            "--model",
            &prepared.blob,
        ],
    )?;
    let about = up.first_json_line()?;
    let url = about["gateway"].as_str().context("no gateway in the first line")?.to_owned();
    let key = ["gateway", "key", "create", "bench", "--budget", "1000", "--json", "--dir", &dir];
    let key: serde_json::Value = serde_json::from_str(&output(&built("tilth"), &key)?)?;
    let key = key["key"].as_str().context("no key")?.to_owned();
    let server = Server::new(&prepared.python, url, key);
    let (idle, wall) = (process_cpu(up.pid())?, Instant::now());
    std::thread::sleep(std::time::Duration::from_secs(10));
    let idle = (process_cpu(up.pid())? - idle) / wall.elapsed().as_secs_f64();
    server.warm_up()?;
    let (before, wall) = (process_cpu(up.pid())?, Instant::now());
    let ours = measured(&server)?;
    // Starting the client takes time, too, in which the farm does what it does when nobody asks.
    let spent = process_cpu(up.pid())? - before - idle * wall.elapsed().as_secs_f64();
    drop(up);
    std::fs::remove_dir_all(&dir)?;
    shown(report, &ours, &theirs);
    let (alone, many) = (&ours.alone, &ours.many);
    let tokens = f64::from(alone.tokens + many.tokens);
    let farm = spent / tokens;
    let all = (alone.machine - alone.client + many.machine - many.client) / tokens;
    report.line(
        "gateway, provider and chain, per token",
        format!("{:.3} ms of CPU", farm * 1000.0),
        format!("model and all: {:.1} ms", all * 1000.0),
        format!("{:.1} %", farm / all * 100.0),
    );
    ensure!(many.lost == 0, "{} of {STREAMS} streams were lost: {:?}", many.lost, many.faults);
    Ok(())
}

fn shown(report: &mut Report, ours: &Measured, theirs: &Measured) {
    let single = |seen: &Seen| f64::from(seen.tokens) / seen.rest;
    let (our, their) = (&ours.alone, &theirs.alone);
    report.line(
        "one stream: time to the first token, prompt of some 110 tokens",
        format!("{:.0} ms", our.first * 1000.0),
        format!("llama.cpp's server {:.0} ms", their.first * 1000.0),
        format!("{:.2}", our.first / their.first),
    );
    report.line(
        "one stream: tokens after the first",
        format!("{:.1} tokens/s wall", single(our)),
        format!("llama.cpp's server {:.1}", single(their)),
        format!("{:.2}", single(our) / single(their)),
    );
    report.line(
        &format!("{STREAMS} streams at once"),
        ours.many.shown_together(),
        format!("llama.cpp's server: {}", theirs.many.shown_together()),
        format!("{:.2} per CPU second", ours.many.per_cpu_second() / theirs.many.per_cpu_second()),
    );
}
