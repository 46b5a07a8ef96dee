//! What the farm costs on top of the work: a render on two providers beside the same tasks on two
//! bare workers (no sandbox, no chain, no network) on the same cores.

use serde_json::Value;

use super::{
    Report, built,
    node::tempdir,
    process::{Running, machine_cpu, measure},
};
use crate::run::root;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let job = root().join("examples/render/job.toml").display().to_string();
    let before = machine_cpu()?;
    let bare = measure(&built("tilth"), &["try", &job, "--workers", "2", "--json"])?;
    let bare_cpu = machine_cpu()? - before;
    let dir = tempdir()?;
    let mut up = Running::start(
        &built("tilth"),
        &["up", "--providers", "2", "--json", "--dir", &dir, "--listen", "127.0.0.1:0"],
    )?;
    up.first_json_line()?;
    let before = machine_cpu()?;
    let client = measure(&built("tilth"), &["run", &job, "--json", "--dir", &dir])?;
    let cpu = machine_cpu()? - before;
    let same: Vec<Value> = [&bare.stdout, &client.stdout]
        .into_iter()
        .map(|text| serde_json::from_str::<Value>(text).map(|value| value["sha256"].clone()))
        .collect::<Result<_, _>>()?;
    anyhow::ensure!(same[0] == same[1], "the two pictures differ: {same:?}");
    drop(up);
    std::fs::remove_dir_all(&dir)?;
    let line = |report: &mut Report, what: &str, ours: f64, bare: f64, aim: f64| {
        let over = (ours / bare - 1.0) * 100.0;
        report.line(
            what,
            format!("{ours:.1} s"),
            format!("bare workers {bare:.1} s"),
            format!("{over:+.1} % (aim {aim} %)"),
        );
    };
    line(report, "render: CPU of the whole farm", cpu, bare_cpu, 5.0);
    line(report, "render: wall time", client.wall, bare.wall, 10.0);
    Ok(())
}
