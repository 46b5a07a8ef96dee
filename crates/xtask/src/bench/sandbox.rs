//! How long a program takes to start in the sandbox, beside bubblewrap, which makes namespaces and mounts
//! but neither cgroups nor a call filter, and accounts for nothing.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Report, built, process::median};
use crate::{
    run::{exists, output},
    setup,
};

/// Starts of each kind, ours and the peer's in turns of so many.
const TURN: usize = 25;
const TURNS: usize = 8;

/// What some starts took.
#[derive(Default)]
struct Took {
    /// From the call to the program's first instruction, in microseconds; only ours tells.
    started: Vec<f64>,
    /// From the call to the end of a program that ends at once, in microseconds.
    whole: Vec<f64>,
    /// CPU seconds of everything together.
    cpu: f64,
}

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    if !exists("bwrap") {
        setup::install(&["bubblewrap"])?;
    }
    let program = built("sandbox-fixture");
    let (mut ours, mut theirs) = (Took::default(), Took::default());
    for _ in 0..TURNS {
        turn_of_ours(&program, &mut ours)?;
        turn_of_bubblewrap(&program, &mut theirs)?;
    }
    let all = f64::from(u32::try_from(TURN * TURNS)?);
    let millis = |micros| median(micros) / 1000.0;
    let (ours_whole, theirs_whole) = (millis(ours.whole), millis(theirs.whole));
    report.line(
        "sandbox: from call to running program, median",
        format!("{:.2} ms", millis(ours.started)),
        "-".into(),
        format!("of {all}"),
    );
    report.line(
        "sandbox: start and end of an empty program, median",
        format!("{ours_whole:.2} ms"),
        format!("bubblewrap {theirs_whole:.2} ms"),
        format!("{:.2} times the peer", ours_whole / theirs_whole),
    );
    let (ours_cpu, theirs_cpu) = (ours.cpu / all * 1000.0, theirs.cpu / all * 1000.0);
    report.line(
        "sandbox: CPU of a start and end",
        format!("{ours_cpu:.2} ms"),
        format!("bubblewrap {theirs_cpu:.2} ms"),
        format!("{:.2} times the peer", ours_cpu / theirs_cpu),
    );
    Ok(())
}

fn turn_of_ours(program: &str, took: &mut Took) -> anyhow::Result<()> {
    let request = json!({ "act": ["exit", "0"], "times": TURN });
    let before = cpu_of_children()?;
    let said = output(program, &["agent", &request.to_string()])?;
    took.cpu += cpu_of_children()? - before;
    let outcome: Value = serde_json::from_str(&said)?;
    let list = |name: &str| -> anyhow::Result<Vec<f64>> {
        let list = outcome[name].as_array().with_context(|| format!("no {name}"))?;
        Ok(list.iter().filter_map(Value::as_f64).collect())
    };
    let missing: Vec<&Value> = outcome["report"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|measure| measure["state"] != "Enforced")
        .collect();
    if !missing.is_empty() {
        eprintln!("   measured without: {missing:?}");
    }
    took.started.extend(list("spawn_us")?);
    took.whole.extend(list("whole_us")?);
    Ok(())
}

fn turn_of_bubblewrap(program: &str, took: &mut Took) -> anyhow::Result<()> {
    let before = cpu_of_children()?;
    for _ in 0..TURN {
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        command.args(["--ro-bind", program, "/bin/fixture", "--tmpfs", "/tmp", "--dev", "/dev"]);
        for folder in ["/lib", "/lib64", "/usr/lib"] {
            if fs::exists(folder)? {
                command.args(["--ro-bind", folder, folder]);
            }
        }
        command.args(["--clearenv", "/bin/fixture", "act", "exit", "0"]);
        let began = Instant::now();
        let status = command.stdin(Stdio::null()).status().context("cannot start bwrap")?;
        took.whole.push(began.elapsed().as_secs_f64() * 1e6);
        ensure!(status.success(), "bwrap: {status}");
    }
    took.cpu += cpu_of_children()? - before;
    Ok(())
}

/// CPU seconds of this process's children that have ended, and of theirs.
fn cpu_of_children() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").context("odd /proc/self/stat")?.1;
    let ticks = fields.split(' ').skip(13).take(2).filter_map(|field| field.parse::<f64>().ok());
    // `USER_HZ` is 100 everywhere.
    Ok(ticks.sum::<f64>() / 100.0)
}
