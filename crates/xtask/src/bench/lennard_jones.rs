//! The Lennard-Jones example in full on a farm of two providers: 276 runs, then the job that evaluates them; beside NIST's
//! values and the published equation of state. Half an hour of CPU, so it runs only when it is named.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::Value;

use super::{
    Report, built,
    node::tempdir,
    process::{Running, machine_cpu, measure},
};
use crate::run::root;

/// Where the results stay.
const OUT: &str = "target/lennard-jones";
/// Runs of the grid, and NIST's energies and pressures that they are compared with.
const RUNS: u64 = 276;
const PUBLISHED: usize = 28;
/// Differences in standard errors: a good one is below the first. Errors come from few seeds, so beyond the second it is no
/// scatter any more.
const GOOD: f64 = 3.0;
const ABSURD: f64 = 6.0;
/// Below it energies are so small that their shares say nothing.
const DENSE: f64 = 0.1;

/// A row of comparison.csv.
struct Row<'a> {
    source: &'a str,
    quantity: &'a str,
    temperature: f64,
    density: f64,
    ours: f64,
    error: f64,
    published: f64,
    sigmas: f64,
}

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let out = root().join(OUT);
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    farm(report, &out)?;
    let table = fs::read_to_string(out.join("comparison.csv"))?;
    let rows = table.lines().skip(1).map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let (nist, equation): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.source.starts_with("NIST"));
    anyhow::ensure!(nist.len() == PUBLISHED, "{} of {PUBLISHED} values compared", nist.len());
    println!("| T | density | | ours | NIST | standard errors |\n|---|---|---|---|---|---|");
    for Row { temperature, density, quantity, ours, error, published, sigmas, .. } in &nist {
        println!(
            "| {temperature} | {density} | {quantity} | {ours} ± {error} | {published} | {sigmas} |"
        );
    }
    for quantity in ["energy", "pressure"] {
        let worst = nist.iter().filter(|row| row.quantity == quantity);
        let worst = worst.map(|row| row.sigmas.abs()).fold(0.0, f64::max);
        let what = format!("Lennard-Jones: largest difference from NIST, {quantity}");
        report.at_most(&what, worst, GOOD, "standard errors");
    }
    report.line(
        "Lennard-Jones: differences from NIST beyond 2 standard errors",
        format!("{} of {}", beyond(&nist, 2.0), nist.len()),
        "one in twenty by chance".into(),
        String::new(),
    );
    let dense = equation.iter().filter(|row| row.quantity == "energy" && row.density >= DENSE);
    let worst = dense.map(|row| (row.ours / row.published - 1.0).abs() * 100.0);
    let worst = worst.fold(0.0, f64::max);
    report.line(
        "Lennard-Jones: largest difference from the published equation, energy, density from 0.1",
        format!("{worst:.1} %"),
        format!("{} of {} beyond 3 of our errors", beyond(&equation, GOOD), equation.len()),
        "the equation quotes no error".into(),
    );
    let absurd = beyond(&nist, ABSURD);
    anyhow::ensure!(absurd == 0, "{absurd} values differ from NIST's beyond any scatter");
    eprintln!("   results: {OUT}");
    Ok(())
}

/// How many differ by more standard errors.
fn beyond(rows: &[&Row<'_>], most: f64) -> usize {
    rows.iter().filter(|row| row.sigmas.abs() > most).count()
}

/// Runs both jobs; what they cost.
fn farm(report: &mut Report, out: &Path) -> anyhow::Result<()> {
    let dir = tempdir()?;
    let mut up = Running::start(
        &built("tilth"),
        &["up", "--providers", "2", "--json", "--dir", &dir, "--listen", "127.0.0.1:0"],
    )?;
    up.first_json_line()?;
    let job = root().join("examples/lennard-jones/job.toml").display().to_string();
    let out = out.display().to_string();
    let before = machine_cpu()?;
    let client = measure(&built("tilth"), &["run", &job, "--json", "--dir", &dir, "--out", &out])?;
    let cpu = machine_cpu()? - before;
    let said: Value = serde_json::from_str(&client.stdout)?;
    let stages = said["stages"].as_array().context("it says nothing of its stages")?;
    let count = |stage: usize, what: &str| stages.get(stage).and_then(|said| said[what].as_u64());
    for (stage, tasks) in [(0, RUNS), (1, 4)] {
        let found = ["tasks", "failures", "missing"].map(|what| count(stage, what));
        anyhow::ensure!(found == [Some(tasks), Some(0), Some(0)], "stage {stage}: {said:#}");
    }
    drop(up);
    fs::remove_dir_all(&dir)?;
    report.line(
        "Lennard-Jones: 276 runs and their evaluation, two providers",
        format!("{:.1} min of CPU, the whole machine", cpu / 60.0),
        format!("{:.1} min wall", client.wall / 60.0),
        String::new(),
    );
    Ok(())
}

fn read(line: &str) -> anyhow::Result<Row<'_>> {
    let cells: Vec<&str> = line.split(',').collect();
    let &[temperature, density, source, quantity, ours, error, published, _, sigmas] = &cells[..]
    else {
        anyhow::bail!("not a row of nine: {line:?}");
    };
    let number =
        |text: &str| text.parse::<f64>().with_context(|| format!("not a number: {line:?}"));
    Ok(Row {
        source,
        quantity,
        temperature: number(temperature)?,
        density: number(density)?,
        ours: number(ours)?,
        error: number(error)?,
        published: number(published)?,
        sigmas: number(sigmas)?,
    })
}
