//! GPU programs as people run them, on a Vulkan driver in software. Built with the feature `gpu` only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::net::{Net, repository, tilth};

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
        &[(
            "if (xx + yy > 256.0)",
            "if (n + 1u == frame.limit) { n = 0u; }\n        if (xx < -1.0)",
        )],
    );
    change(&hung.join("program.toml"), &[("dispatch-seconds = 60", "dispatch-seconds = 1")]);
    let hung = hung.join("job.toml");
    let said = tilth(&["try", hung.to_str().unwrap(), "--tasks", "1"]);
    assert!(said.problem().contains("the GPU does not answer"), "{said:#?}");
    let detached = net.tilth(&["run", hung.to_str().unwrap(), "--detach", "--json"]).json();
    let log_says = |net: &Net| net.log().contains("does not answer");
    crate::net::eventually("a provider's worker is ended", || log_says(&net).then_some(()));

    let ran = net.tilth(&["run", job, "--json", "--out", farm.to_str().unwrap()]);
    assert!(ran.status.success(), "{ran:#?}\n{}", net.log());
    assert_eq!(pixels(&bare), pixels(&farm));
    net.tilth(&[
        "job",
        "cancel",
        detached["job"]
            .as_str()
            .map_or_else(|| detached["job"].to_string(), str::to_owned)
            .as_str(),
    ]);
    net.up.as_mut().unwrap().kill();
}

/// `cargo xtask gpu` makes the folder with `path-tracer --gpu exact`.
#[test]
fn the_path_tracer_gives_the_golden_picture() {
    if software().is_none() {
        return;
    }
    let Some(folder) = std::env::var_os("TILTH_TRACER").map(PathBuf::from) else {
        eprintln!("SKIPPED: TILTH_TRACER does not name a folder made by `path-tracer --gpu exact`");
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
