//! GPU programs: what the tests need for them, and `cargo xtask gpu`, the check of a device, for machines that have one.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{
    bench,
    guests::NATIVE,
    run::{root, run_in, said_in, step},
    test::WORKSPACE,
};

/// Where the path tracer's GPU program is written, by picture and class.
const TRACER: &str = "target/gpu-tracer";
/// The picture whose every byte is known, as `guests/path-tracer/tests/golden.rgb`.
const GOLDEN: &str = "path-tracer/tests/render.json";
/// The render example's scene, seen from `guests`.
pub const SCENE: &str = "../examples/render/scene.glb";
/// And its light.
pub const ENVIRONMENT: &str = "../examples/render/environment.hdr";

/// Makes the path tracer's GPU program of the render example's scene, with the settings of a file below `guests`; the
/// folder with its job.
pub fn tracer(class: &str, settings: &str) -> anyhow::Result<String> {
    let name = settings.rsplit('/').next().unwrap_or(settings).trim_end_matches(".json");
    let out = root().join(TRACER).join(format!("{name}-{class}"));
    let out = out.to_str().context("the checkout's path is not text")?.to_owned();
    path_tracer(NATIVE, settings, &["--gpu", class, "--out", &out])?;
    Ok(out)
}

/// The program of the golden picture, which the tests run.
pub fn golden() -> anyhow::Result<String> {
    step("guests: the path tracer as a GPU program");
    tracer("exact", GOLDEN)
}

/// Runs the native path tracer, built with a profile, on the render example's scene; what it says.
pub fn path_tracer(profile: &str, settings: &str, more: &[&str]) -> anyhow::Result<String> {
    std::fs::create_dir_all(root().join(TRACER))?;
    let mut args = vec!["run", "--profile", profile, "--locked", "--bin", "path-tracer", "--"];
    args.extend(["--scene", SCENE, "--environment", ENVIRONMENT, "--settings", settings]);
    args.extend(more);
    said_in(&root().join("guests"), "cargo", &args)
}

/// The environment in which tests of GPU programs skip nothing.
pub fn required(golden: &str) -> [(&str, &str); 2] {
    [("TILTH_REQUIRE_GPU", "1"), ("TILTH_TRACER", golden)]
}

/// Where the driver in software is announced and Vulkan's loader lies, in Debian and its kin.
fn software_vulkan() -> [Option<PathBuf>; 2] {
    let announced = std::fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    let announced = announced.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd"))
    });
    let kind = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let loader = [kind.as_str(), "/usr/lib64", "/usr/lib"].into_iter();
    let loader = loader.map(|folder| PathBuf::from(folder).join("libvulkan.so.1"));
    [announced, loader.into_iter().find(|path| path.exists())]
}

/// Whether the tests of GPU programs find a driver.
pub fn has_software_vulkan() -> bool {
    software_vulkan().iter().all(Option::is_some)
}

/// Debian packages with a driver in software, and the loader.
pub const PACKAGES: &[&str] = &["mesa-vulkan-drivers", "libvulkan1"];

/// Says aloud which tests will find nothing to run on.
pub fn warn_if_missing() {
    if !has_software_vulkan() {
        eprintln!(
            "\nSKIPPED: the tests of GPU programs, for there is no Vulkan driver in software here; to have them:\n  \
             apt-get install {}\n",
            PACKAGES.join(" ")
        );
    }
}

/// Tests and figures on whatever device is there.
pub fn run_device() -> anyhow::Result<()> {
    let golden = golden()?;
    step("gpu: tests, those of the worker on the best device");
    let tests = |which: &str, env: &[(&str, &str)]| {
        let mut args = vec!["nextest", "run"];
        args.extend(WORKSPACE);
        args.extend(["-E", which, "--no-capture"]);
        run_in(&root(), "cargo", &args, env)
    };
    let env = required(&golden);
    // Those of a GPU's memory among them: `vram` with the shaders, `parts` with how labels lie in buffers.
    tests("(test(gpu::) or test(vram::) or test(parts::)) and package(tilth-worker)", &env)?;
    // The other tests want a driver in software, which this machine need not have.
    let env = if has_software_vulkan() { &env[..] } else { &env[1..] };
    warn_if_missing();
    tests("test(gpu::) and not package(tilth-worker)", env)?;
    step("gpu: figures");
    bench::run_benches(&["gpu".to_owned()])
}
