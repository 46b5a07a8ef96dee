//! The path tracer as a GPU program beside the same renderer in WebAssembly and on the bare CPU, on the best device that
//! Vulkan shows; what the exact class costs there; and the conformance vector. A device that is not exact is measured with
//! the plain class alone.
//!
//! A driver in software computes on the same cores, so CPU seconds are what compares with the others; on a GPU it is the
//! wall time. Starting, reading the scene and compiling the shader are taken off by a second run of one task.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::Value;

use super::{
    Report, built,
    process::{Finished, measure},
};
use crate::{
    gpu::{ENVIRONMENT, SCENE, path_tracer, tracer},
    run::root,
};

/// The picture that is measured: the render example's view, smaller.
const MEASURED: &str = "path-tracer/tests/measured.json";
/// Our own functions, which exact programs find in every shader.
const OWN_FUNCTIONS: &str = "crates/worker/src/gpu/exact.wgsl";

/// What a picture costs, without the start.
struct Cost {
    cpu: f64,
    wall: f64,
    sha256: Value,
}

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let looked = measure(&built("tilth"), &["worker", "inspect"])?;
    report.line(
        "conformance vector: a worker's start, driver, shaders, all parts",
        format!("{:.2} s of CPU, {:.2} s wall", looked.cpu, looked.wall),
        String::new(),
        String::new(),
    );
    let native = native()?;
    let wasm = cost(&wasm_job()?)?;
    let plain = cost(&tracer("plain", MEASURED)?)?;
    let line = |report: &mut Report, what: &str, ours: &Cost, beside: &str, base: &Cost| {
        report.line(
            what,
            format!("{:.2} s of CPU, {:.2} s wall", ours.cpu, ours.wall),
            format!("{beside}: {:.2} s of CPU, {:.2} s wall", base.cpu, base.wall),
            format!(
                "{:.2} times the CPU, {:.2} the wall",
                ours.cpu / base.cpu,
                ours.wall / base.wall
            ),
        );
    };
    line(report, "path tracer in WebAssembly, one worker", &wasm, "native, one thread", &native);
    if is_exact()? == Some(false) {
        let what = "path tracer on the device, plain class";
        line(report, what, &plain, "native, one thread", &native);
        line(report, what, &plain, "WebAssembly", &wasm);
        let why = "`tilth doctor` says in what the device differs".to_owned();
        report.line("exact class", "not on this device".to_owned(), String::new(), why);
        return Ok(());
    }
    let exact_job = tracer("exact", MEASURED)?;
    let exact = cost(&exact_job)?;
    anyhow::ensure!(
        wasm.sha256 == exact.sha256,
        "WebAssembly and GPU give different pictures: {} and {}",
        wasm.sha256,
        exact.sha256
    );
    let own = cost(&with_own_functions(&exact_job)?)?;
    line(report, "path tracer on the device, exact class", &exact, "native, one thread", &native);
    line(report, "path tracer on the device, exact class", &exact, "WebAssembly", &wasm);
    line(report, "exact class", &exact, "plain class, the device's functions", &plain);
    line(report, "exact class", &exact, "plain class, our functions (no NoContraction)", &own);
    Ok(())
}

/// Whether the best device that the doctor sees is exact; `None` where it sees none, as without a sandbox.
fn is_exact() -> anyhow::Result<Option<bool>> {
    // Where programs cannot be confined, the doctor ends with an error; the bare worker that is measured needs no sandbox.
    let Ok(doctor) = measure(&built("tilth"), &["doctor", "--json"]) else { return Ok(None) };
    let said: Value = serde_json::from_str(&doctor.stdout)?;
    let gpus = said["gpu"].as_array().context("the doctor says nothing of GPUs")?;
    Ok(gpus.iter().find_map(|gpu| gpu["report"]["exact"].as_bool()))
}

/// The picture by the native program. It says itself how long rendering took; one thread is one core.
fn native() -> anyhow::Result<Cost> {
    let out = root().join("target/gpu-tracer/native.png");
    let out = out.to_str().context("the checkout's path is not text")?;
    let render =
        |threads: &str| path_tracer("release", MEASURED, &["--threads", threads, "--out", out]);
    // The first run builds the program.
    render("1")?;
    let said = render("1")?;
    let seconds = said.lines().find_map(|line| line.strip_prefix("rendered in "));
    let seconds = seconds.and_then(|rest| rest.split(' ').next()).context("it says no time")?;
    let seconds: f64 = seconds.parse()?;
    Ok(Cost { cpu: seconds, wall: seconds, sha256: Value::Null })
}

/// A job that renders the same picture in WebAssembly.
fn wasm_job() -> anyhow::Result<String> {
    let folder = root().join("target/gpu-tracer/wasm");
    fs::create_dir_all(&folder)?;
    let guests = root().join("guests");
    fs::copy(guests.join(SCENE), folder.join("scene.glb"))?;
    fs::copy(guests.join(ENVIRONMENT), folder.join("environment.hdr"))?;
    let settings = fs::read(guests.join(MEASURED))?;
    let s: Value = serde_json::from_slice(&settings)?;
    fs::write(folder.join("render.json"), &settings)?;
    fs::copy(guests.join("prebuilt/path-tracer.wasm"), folder.join("path-tracer.wasm"))?;
    let job = format!(
        "name = \"measured\"\nworkload = \"wasm\"\nprogram = \"path-tracer.wasm\"\n\
         [inputs]\n\"scene.glb\" = \"scene.glb\"\n\"environment.hdr\" = \"environment.hdr\"\n\
         \"render.json\" = \"render.json\"\n\
         [limits]\ngfuel-per-task = 100.0\ngfuel-prepare = 10.0\nmemory = \"128MiB\"\noutput = \"64KiB\"\n\
         [price]\nper-gfuel = \"0.001\"\n\
         [output]\nkind = \"image\"\nwidth = {}\nheight = {}\ntile = {}\n",
        s["width"], s["height"], s["tile"]
    );
    fs::write(folder.join("job.toml"), job)?;
    text(&folder)
}

/// The exact program of a folder as a plain one with the same functions: what is left out is the marks that keep float
/// operations as they are written.
fn with_own_functions(exact: &str) -> anyhow::Result<String> {
    let folder = root().join("target/gpu-tracer/plain-own");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(exact)? {
        let path = entry?.path();
        fs::copy(&path, folder.join(path.file_name().context("a folder's entry has a name")?))?;
    }
    let shader = folder.join("tracer.wgsl");
    let own = fs::read_to_string(root().join(OWN_FUNCTIONS))?;
    fs::write(&shader, format!("{}\n{own}", fs::read_to_string(&shader)?))?;
    let program = folder.join("program.toml");
    let exact = "class = \"exact\"";
    let manifest = fs::read_to_string(&program)?;
    anyhow::ensure!(manifest.contains(exact), "the program is not an exact one");
    fs::write(&program, manifest.replace(exact, "class = \"plain\""))?;
    text(&folder)
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).context("the checkout's path is not text")
}

/// What the tasks of a folder's job cost on one bare worker.
fn cost(folder: &str) -> anyhow::Result<Cost> {
    let (job, out) = (format!("{folder}/job.toml"), format!("{folder}/picture.png"));
    let part = format!("{folder}/few.png");
    let few = ["try", &job, "--json", "--workers", "1", "--tasks", "1", "--out", &part];
    // Drivers keep what they have compiled: the first of all runs would pay for that alone.
    tried(&few)?;
    let (whole, said) = tried(&["try", &job, "--json", "--workers", "1", "--out", &out])?;
    let (start, one) = tried(&few)?;
    let tasks = said["tasks"].as_f64().context("it counts no tasks")?;
    anyhow::ensure!(one["tasks"] == 1 && tasks > 1.0, "one task cannot be told from all");
    // Both have one start; the second has one task of all.
    let share = tasks / (tasks - 1.0);
    Ok(Cost {
        cpu: (whole.cpu - start.cpu) * share,
        wall: (whole.wall - start.wall) * share,
        sha256: said["sha256"].clone(),
    })
}

fn tried(args: &[&str]) -> anyhow::Result<(Finished, Value)> {
    let done = measure(&built("tilth"), args)?;
    let said: Value = serde_json::from_str(&done.stdout)?;
    anyhow::ensure!(said["failures"] == 0, "tasks failed: {said}");
    Ok((done, said))
}
