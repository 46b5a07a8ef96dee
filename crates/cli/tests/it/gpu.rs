//! GPU programs as people run them, on a Vulkan driver in software. Built with the feature `gpu` only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::net::{Net, eventually, repository, tilth};

/// What `tilth doctor` says about the driver in software; `None`, said aloud, where there is none.
/// `TILTH_REQUIRE_GPU` makes that a failure.
fn software() -> Option<Value> {
    let about = tilth(&["doctor", "--json"]).json();
    let all = about["gpu"].as_array().unwrap();
    let found = all.iter().find(|gpu| gpu["use"] == "software").unwrap().clone();
    if found["report"].is_null() {
        let why = format!("no Vulkan driver in software: {}", found["missing"]);
        assert!(std::env::var_os("TILTH_REQUIRE_GPU").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        return None;
    }
    Some(found)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn change(path: &Path, changes: &[(&str, &str)]) {
    let mut text = fs::read_to_string(path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    fs::write(path, text).unwrap();
}

/// The example, 12 tiles of it, below the given folder; the job file.
fn small_example(dir: &Path) -> PathBuf {
    let folder = dir.join("gpu");
    copy(&repository("examples/gpu"), &folder);
    change(
        &folder.join("job.toml"),
        &[("width = 640", "width = 300"), ("height = 400", "height = 200")],
    );
    change(&folder.join("program.toml"), &[("[640, 400, 80, 16", "[300, 200, 80, 16")]);
    folder.join("job.toml")
}

fn pixels(path: &Path) -> (u32, u32, Vec<u8>) {
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    (info.width, info.height, pixels)
}

#[test]
fn the_doctor_examines_the_device_in_the_sandbox() {
    let Some(found) = software() else { return };
    let report = &found["report"];
    assert_eq!((&report["software"], &report["exact"]), (&true.into(), &true.into()), "{report}");
    let parts = report["findings"].as_array().unwrap();
    assert_eq!(parts.len(), 9);
    assert!(parts.iter().all(|part| part["compared"].as_u64().unwrap() >= 4096));
    let said = tilth(&["doctor"]);
    assert!(said.stdout.contains("exact and plain programs"), "{said:#?}");
}

/// A job on providers in the sandbox gives the bits of a bare worker; a program that never ends kills its worker and
/// not the agent, which goes on with the next job.
#[test]
fn a_gpu_job_runs_on_providers_and_survives_a_hung_one() {
    if software().is_none() {
        return;
    }
    let mut net = Net::start_with(2, &["--gpu", "software"]);
    let folder = net.dir.path().join("files");
    let job = small_example(&folder);
    let job = job.to_str().unwrap();
    let (bare, farm) = (folder.join("bare.png"), folder.join("farm.png"));
    let tried = tilth(&["try", job, "--json", "--out", bare.to_str().unwrap()]).json();
    assert_eq!((&tried["tasks"], &tried["failures"]), (&12.into(), &0.into()), "{tried}");
    // 80 x 80 x 16 samples, to whole thousands.
    assert_eq!(tried["units"], 12 * 103, "{tried}");

    let hung = folder.join("hung");
    copy(&folder.join("gpu"), &hung);
    change(
        &hung.join("fractal.wgsl"),
        &[("if (id.x >= tile.z || id.y >= tile.w) { return; }", "")],
    );
    // The driver in software ends endless loops, so it is the number of invocations that has no end: 2^34.
    change(
        &hung.join("program.toml"),
        &[
            ("dispatch-seconds = 60", "dispatch-seconds = 1"),
            ("workgroups = [10, 10, 1]", "workgroups = [16384, 16384, 1]"),
            // Nor are they counted, or no job could pay for a task.
            ("count = 1", "count = 0"),
            ("workgroups = [75, 1, 1]\ncount = 0", "workgroups = [75, 1, 1]\ncount = 1"),
        ],
    );
    let hung = hung.join("job.toml");
    change(&hung, &[("\"seahorses\"", "\"endless\"")]);
    let said = tilth(&["try", hung.to_str().unwrap(), "--tasks", "1"]);
    assert!(said.problem().contains("the GPU does not answer"), "{said:#?}");
    // It is tried before it is claimed, so nobody ever claims it.
    let _endless = net.spawn(&["run", hung.to_str().unwrap()]);
    let log_says = |net: &Net| net.log().contains("the GPU does not answer");
    eventually("a provider's worker is ended", || log_says(&net).then_some(()));

    let ran = net.tilth(&["run", job, "--out", farm.to_str().unwrap()]);
    assert!(ran.status.success(), "{ran:#?}\n{}", net.log());
    assert_eq!(pixels(&bare), pixels(&farm));
    // What is paid for is called as the program's author has named it, here and from then on.
    assert!(ran.stderr.contains("tasks at 0.01 GRAIN per megapixel-samples"), "{ran:#?}");
    assert!(ran.stdout.contains("megapixel-samples"), "{ran:#?}");
    let about = ran.stderr.split("job ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let shown = net.tilth(&["job", "show", about]);
    assert!(shown.stdout.contains("megapixel-samples"), "{shown:#?}");
    let listed = net.json(&["job", "show", about]);
    assert_eq!(listed["totals"]["units"], 12 * 103, "{listed}");
    // Anybody with a GPU finds the same bits; without one nothing is said of anybody.
    let verified = net.json(&["verify", about, "--gpu", "software"]);
    assert_eq!((&verified["wrong"], &verified["failed"]), (&0.into(), &0.into()), "{verified}");
    let refused = net.tilth(&["verify", about]);
    assert!(refused.problem().contains("--gpu hardware"), "{refused:#?}");
    assert!(!refused.stdout.contains("WRONG"), "{refused:#?}");
    let jobs = net.json(&["job", "ls"]);
    let endless = jobs.as_array().unwrap().iter().find(|job| job["name"] == "endless").unwrap();
    assert_eq!(endless["settled"], 0, "{jobs}");
    net.up.as_mut().unwrap().kill();
}

/// `cargo xtask gpu` makes the folder with `path-tracer --gpu exact`.
#[test]
fn the_path_tracer_gives_the_golden_picture() {
    if software().is_none() {
        return;
    }
    let Some(folder) = std::env::var_os("TILTH_TRACER").map(PathBuf::from) else {
        let why = "TILTH_TRACER does not name a folder made by `path-tracer --gpu exact`";
        assert!(std::env::var_os("TILTH_REQUIRE_GPU").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    copy(&folder, dir.path());
    let (job, out) = (dir.path().join("job.toml"), dir.path().join("picture.png"));
    let tried =
        tilth(&["try", job.to_str().unwrap(), "--json", "--out", out.to_str().unwrap()]).json();
    assert_eq!(tried["failures"], 0, "{tried}");
    let (width, height, pixels) = pixels(&out);
    assert_eq!((width, height), (112, 63));
    let golden = fs::read(repository("guests/path-tracer/tests/golden.rgb")).unwrap();
    let (width, height, mut at, mut different) = (width as usize, height as usize, 0, 0);
    for y in (0..height).step_by(32) {
        for x in (0..width).step_by(32) {
            for row in y..(y + 32).min(height) {
                let length = ((x + 32).min(width) - x) * 3;
                let start = (row * width + x) * 3;
                let pairs = pixels[start..start + length].iter().zip(&golden[at..at + length]);
                different += pairs.filter(|(found, due)| found != due).count();
                at += length;
            }
        }
    }
    assert_eq!((at, different), (golden.len(), 0), "bytes compared, bytes that differ");
}

/// A driver in software has no memory of its own, so little is announced for it; but that little was filled and walked
/// through, is found by jobs, and can be asked for again by anybody.
#[test]
fn graphics_memory_is_announced_when_it_was_filled_and_shown_to_whoever_asks() {
    if software().is_none() {
        return;
    }
    let mut net = Net::start_with(1, &["--gpu", "software", "--measure"]);
    let provider = net.json(&["providers"])[0].clone();
    assert_eq!(provider["vram-mib"], 16, "{provider}\n{}", net.log());

    let said = net.json(&["challenge", "provider-1", "--vram"]);
    assert!(["passed", "right"].iter().any(|finding| said["finding"] == *finding), "{said:#}");
    assert_eq!(said["device"]["name"], "gpu", "{said:#}");
    let task = &said["task"];
    let labels = task["lanes"].as_u64().unwrap() * task["depth"].as_u64().unwrap();
    assert_eq!((&task["kind"], labels * 32), (&"memory".into(), 14 << 20), "{said:#}");
    let checked = tilth(&["challenge", "--verify", said["transcript"].as_str().unwrap(), "--json"]);
    assert_eq!(checked.json()["verdict"], "right");

    let folder = net.dir.path().join("files");
    let job = small_example(&folder);
    let (path, out) = (job.to_str().unwrap(), folder.join("out.png"));
    let run = |net: &Net| net.tilth(&["run", path, "--out", out.to_str().unwrap()]);
    change(&job, &[("[limits]", "[requires]\nvram = \"16MiB\"\n\n[limits]")]);
    let ran = run(&net);
    assert!(ran.status.success(), "{ran:#?}\n{}", net.log());
    change(&job, &[("16MiB", "17MiB"), ("\"seahorses\"", "\"larger\"")]);
    let larger = |net: &Net| {
        let jobs = net.json(&["job", "ls"]);
        jobs.as_array().unwrap().iter().find(|job| job["name"] == "larger").cloned()
    };
    let mut waiting = net.spawn(&["run", path]);
    eventually("the larger job is open", || larger(&net));
    change(&job, &[("17MiB", "1MiB"), ("\"larger\"", "\"small\"")]);
    let ran = run(&net);
    assert!(ran.status.success(), "{ran:#?}\n{}", net.log());
    // Whoever has done the later one has seen this one.
    let left = larger(&net).unwrap();
    assert_eq!(left["settled"], 0, "{left}");
    waiting.signal("INT");
    assert_eq!(waiting.wait().code(), Some(130), "{}", net.log());
    net.up.as_mut().unwrap().kill();
}

#[test]
fn the_bench_challenges_a_gpu_in_the_sandbox() {
    if software().is_none() {
        return;
    }
    for size in [&["--memory", "4"][..], &["--order", "256", "--rounds", "2"]] {
        let said = tilth(&[&["bench", "--gpu", "software", "--json"][..], size].concat()).json();
        for time in ["commit-ms", "open-ms", "check-ms"] {
            assert!(said[time].as_f64().unwrap() > 0.0, "{said:#}");
        }
    }
}
