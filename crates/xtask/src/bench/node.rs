//! The node: cold start and idle memory, beside anvil; and a provider's idle memory.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::bail;

use super::{
    Report, built,
    process::{Running, free_port, median, rpc},
};
use crate::run::root;

/// Starts of each node; the median is reported.
const STARTS: usize = 7;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let anvil = anvil();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut our_memory, mut their_memory) = (Vec::new(), Vec::new());
    // Alternating, so that a slow moment of the machine meets both.
    for _ in 0..STARTS {
        let dir = tempdir()?;
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let (start, memory) = cold_start(
            &built("tilth"),
            &["up", "--providers", "0", "--json", "--dir", &dir, "--listen", &listen],
            port,
        )?;
        ours.push(start);
        our_memory.push(memory);
        std::fs::remove_dir_all(&dir)?;
        let port = free_port()?;
        let (start, memory) =
            cold_start(&anvil, &[ANVIL_SILENT, "--port", &port.to_string()], port)?;
        theirs.push(start);
        their_memory.push(memory);
    }
    let (start, peer) = (median(ours), median(theirs));
    report.line(
        "node: cold start to first answer (aim < 300 ms)",
        format!("{start:.0} ms"),
        format!("anvil {peer:.0} ms"),
        format!("{:.2}x", start / peer),
    );
    let (memory, peer) = (median(our_memory), median(their_memory));
    report.line(
        "node: idle memory",
        format!("{memory:.0} MiB"),
        format!("anvil {peer:.0} MiB"),
        format!("{:.2}x", memory / peer),
    );
    provider(report)
}

/// Keeps anvil from writing every request to its output.
pub const ANVIL_SILENT: &str = "--silent";

/// anvil, from the npm packages of `contracts/`.
pub fn anvil() -> String {
    let package = "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
    root().join(package).display().to_string()
}

/// Milliseconds until the first answer, and memory a second later.
fn cold_start(program: &str, args: &[&str], port: u16) -> anyhow::Result<(f64, f64)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = Instant::now();
    let node = Running::start(program, args)?;
    while rpc(address, "eth_chainId").is_err() {
        if started.elapsed() > Duration::from_secs(20) {
            bail!("{program} did not answer within 20 s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let start = started.elapsed().as_secs_f64() * 1000.0;
    std::thread::sleep(Duration::from_secs(1));
    Ok((start, node.rss_mib()?))
}

/// A provider in a process of its own, idle.
fn provider(report: &mut Report) -> anyhow::Result<()> {
    let dir = tempdir()?;
    let mut up = Running::start(
        &built("tilth"),
        &["up", "--providers", "1", "--json", "--dir", &dir, "--listen", "127.0.0.1:0"],
    )?;
    up.first_json_line()?;
    let alone = up.rss_mib()?;
    report.line(
        "node and one provider in one process: idle memory",
        format!("{alone:.0} MiB"),
        String::new(),
        String::new(),
    );
    drop(up);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// A fresh folder.
pub fn tempdir() -> anyhow::Result<String> {
    let unique = format!("tilth-bench-{}-{}", std::process::id(), free_port()?);
    let dir = std::env::temp_dir().join(unique);
    std::fs::create_dir_all(&dir)?;
    Ok(dir.display().to_string())
}
