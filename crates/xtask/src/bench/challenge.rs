//! What a challenge costs the one who answers, on all threads, and the one who checks, on one. The aim is a check
//! in tens of milliseconds.

use anyhow::Context as _;
use serde_json::Value;

use super::{Report, built, process::median};
use crate::run::output;

/// Sizes of products: order and rounds.
const PRODUCTS: [(u32, u32); 4] = [(512, 8), (1024, 8), (2048, 4), (4096, 1)];
/// Sizes of memories, MiB.
const MEMORIES: [u32; 3] = [16, 64, 256];
/// Times that each is measured.
const TIMES: usize = 3;
/// What a check may take, milliseconds.
const AIM: f64 = 100.0;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    for (order, rounds) in PRODUCTS {
        let [commit, _, check, bytes] =
            measure(&["--order", &order.to_string(), "--rounds", &rounds.to_string()])?;
        let operations = 2.0 * f64::from(order).powi(3) * f64::from(rounds);
        report.line(
            &format!("challenge: {rounds} products of order {order}, prover"),
            format!("{commit:.0} ms"),
            "-".into(),
            format!("{:.1} G operations/s, {bytes:.0} bytes", operations / commit / 1e6),
        );
        report.at_most(&format!("challenge: order {order}, checker"), check, AIM, "ms");
    }
    for mib in MEMORIES {
        let [commit, walk, check, bytes] = measure(&["--memory", &mib.to_string()])?;
        let rate = f64::from(mib) * 1_048_576.0 / commit / 1e3;
        report.line(
            &format!("challenge: {mib} MiB, prover"),
            format!("{commit:.0} ms and {walk:.0} ms to walk"),
            "-".into(),
            format!("{rate:.0} MB/s filled, {bytes:.0} bytes"),
        );
        report.at_most(&format!("challenge: {mib} MiB, checker"), check, AIM, "ms");
    }
    Ok(())
}

/// Medians of the times to commit, walk and check, in milliseconds, and the bytes of the transcript.
fn measure(args: &[&str]) -> anyhow::Result<[f64; 4]> {
    let names = ["commit-ms", "walk-ms", "check-ms", "transcript-bytes"];
    let mut found = [const { Vec::new() }; 4];
    for _ in 0..TIMES {
        let said = output(&built("tilth"), &[&["bench", "--json"][..], args].concat())?;
        let said: Value = serde_json::from_str(&said)?;
        for (found, name) in found.iter_mut().zip(names) {
            found.push(said[name].as_f64().with_context(|| format!("no {name}"))?);
        }
    }
    Ok(found.map(median))
}
