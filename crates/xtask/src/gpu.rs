//! `cargo xtask gpu`: the check of a device, for machines that have one. It runs the tests of GPU programs on the best
//! device that Vulkan shows, and measures the path tracer there beside the CPU.

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::run::{root, run, run_in, step};

/// Where the path tracer's GPU program is written, by class, below `target`.
const TRACER: &str = "target/gpu-tracer";
/// The picture that is measured: the render example's view, smaller.
const MEASURED: &str = "path-tracer/tests/measured.json";

/// Makes the path tracer's GPU program of the render example's scene, with the settings of a file below `guests`; the
/// folder with its job.
pub fn tracer(class: &str, settings: &str) -> anyhow::Result<String> {
    step("guests: the path tracer as a GPU program");
    let name = settings.rsplit('/').next().unwrap_or(settings).trim_end_matches(".json");
    let out = root().join(TRACER).join(format!("{name}-{class}"));
    let out = out.to_str().context("the checkout's path is not text")?.to_owned();
    path_tracer(settings, &["--gpu", class, "--out", &out])?;
    Ok(out)
}

/// Runs the native path tracer on the render example's scene.
fn path_tracer(settings: &str, more: &[&str]) -> anyhow::Result<()> {
    let mut args = vec!["run", "--release", "--locked", "--package", "path-tracer", "--"];
    args.extend(["--scene", "../examples/render/scene.glb"]);
    args.extend(["--environment", "../examples/render/environment.hdr", "--settings", settings]);
    args.extend(more);
    run_in(&root().join("guests"), "cargo", &args, &[])
}

/// The environment in which tests of GPU programs do not skip anything.
pub fn required(tracer: &str) -> [(&str, &str); 2] {
    [("TILTH_REQUIRE_GPU", "1"), ("TILTH_TRACER", tracer)]
}

/// Tests and figures on whatever device is there.
pub fn run_device() -> anyhow::Result<()> {
    run("cargo", &["build", "--release", "-p", "tilth-cli", "--features", "gpu"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let tilth = root().join(target).join("release/tilth");
    let tilth = tilth.to_str().context("the target folder's path is not text")?.to_owned();
    step("gpu: what the conformance vector finds");
    run(&tilth, &["doctor"])?;
    step("gpu: tests of the worker on the best device");
    let golden = tracer("exact", "path-tracer/tests/render.json")?;
    let args = ["test", "--release", "-p", "tilth-worker", "--features", "gpu", "gpu::"];
    let more = ["--", "--nocapture", "--test-threads", "1"];
    run_in(&root(), "cargo", &[&args[..], &more].concat(), &required(&golden))?;
    step("gpu: tests of the program, on a driver in software where there is one");
    let args =
        ["test", "--release", "-p", "tilth-cli", "--features", "gpu", "--test", "it", "gpu::"];
    run_in(&root(), "cargo", &[&args[..], &more].concat(), &[("TILTH_TRACER", golden.as_str())])?;
    step("gpu: the golden picture");
    let out = format!("{golden}/picture.png");
    measure(&tilth, &golden, &out)?;
    step("gpu: figures");
    let picture = root().join(TRACER).join("native.png");
    let picture = picture.to_str().context("the checkout's path is not text")?;
    let cores = std::thread::available_parallelism()?.to_string();
    path_tracer(MEASURED, &["--threads", &cores, "--out", picture])?;
    let mut pictures = Vec::new();
    for class in ["exact", "plain"] {
        let folder = tracer(class, MEASURED)?;
        let out = format!("{folder}/picture.png");
        let seconds = measure(&tilth, &folder, &out)?;
        eprintln!("{class}: {seconds:.2} s");
        pictures.push(out);
    }
    eprintln!("pictures: {picture}, {}", pictures.join(", "));
    Ok(())
}

/// Runs a job on a bare worker; seconds of all its tasks.
fn measure(tilth: &str, folder: &str, out: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    let job = format!("{folder}/job.toml");
    let output = Command::new(tilth).args(["try", &job, "--json", "--out", out]).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`tilth try {job}` failed: {words}");
    let said: Value = serde_json::from_slice(&output.stdout)?;
    eprintln!("  {said} ({:.1} s with start and loading)", started.elapsed().as_secs_f64());
    said["seconds"].as_f64().context("it says no time")
}
