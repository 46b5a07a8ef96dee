//! 100,000 no-op tasks on two providers, from opening the job to the last submitted range; beside
//! Ray's no-op tasks on the same cores.

use serde_json::Value;

use super::{
    Report, built,
    node::tempdir,
    process::{Running, measure},
};
use crate::run::{self, root};

const TASKS: f64 = 100_000.0;

/// The peer, pinned. It is large; the environment is kept under `target/`.
const RAY: &str = "ray==2.60.0";

const RAY_SCRIPT: &str = r#"
import time, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)

@ray.remote
def noop():
    return None

ray.get([noop.remote() for _ in range(1000)])
started = time.perf_counter()
ray.get([noop.remote() for _ in range(100_000)])
print("seconds:", time.perf_counter() - started)
"#;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let seconds = ours()?;
    let peer = match ray() {
        Ok(seconds) => seconds,
        Err(error) => {
            eprintln!("SKIPPED the peer: {error:#}");
            f64::NAN
        }
    };
    report.line(
        "100,000 no-op tasks, 2 providers, open to last submitted (aim 10,000/s)",
        format!("{seconds:.2} s = {:.0}/s", TASKS / seconds),
        format!("Ray {peer:.2} s = {:.0}/s", TASKS / peer),
        format!("{:.1}x Ray's rate", peer / seconds),
    );
    Ok(())
}

fn ours() -> anyhow::Result<f64> {
    let dir = tempdir()?;
    let mut up = Running::start(
        &built("tilth"),
        &["up", "--providers", "2", "--json", "--dir", &dir, "--listen", "127.0.0.1:0"],
    )?;
    up.first_json_line()?;
    let job = root().join("examples/noop/job.toml").display().to_string();
    // The first job also compiles the program; the second one shows the dispatch rate.
    let mut seconds = f64::NAN;
    for _ in 0..2 {
        let finished = measure(&built("tilth"), &["run", &job, "--json", "--dir", &dir])?;
        let result: Value = serde_json::from_str(&finished.stdout)?;
        seconds = result["seconds-to-last-submission"].as_f64().unwrap_or(f64::NAN);
        eprintln!("   run: {seconds:.2} s");
    }
    drop(up);
    std::fs::remove_dir_all(&dir)?;
    Ok(seconds)
}

fn ray() -> anyhow::Result<f64> {
    let venv = root().join("target/bench/ray");
    let python = venv.join("bin/python").display().to_string();
    if !venv.join("installed").exists() {
        run::run("python3", &["-m", "venv", &venv.display().to_string()])?;
        run::run(&python, &["-m", "pip", "install", "--quiet", RAY])?;
        std::fs::write(venv.join("installed"), RAY)?;
    }
    let finished = measure(&python, &["-c", RAY_SCRIPT])?;
    let seconds = finished.stdout.lines().find_map(|line| line.strip_prefix("seconds: "));
    Ok(seconds.unwrap_or("nan").trim().parse()?)
}
