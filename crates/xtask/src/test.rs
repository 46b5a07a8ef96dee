//! `cargo xtask test`: everything that must hold before a change lands, in order of cost, ending
//! with the Rust tests so that a log closes with the test runner's summary.

use crate::{
    arm, artifacts, gpu, guests, models,
    run::{beside, root, run, run_in, step},
    setup, tidy,
};

/// Features, targets and profile must be the same for every cargo call here, or cargo builds the
/// dependencies again. Release is what people run, so it is what is tested, with GPU programs, which are a default feature.
pub const WORKSPACE: &[&str] = &["--workspace", "--release"];
/// What has tests. Examples, which are for benches, are seen by clippy.
const TESTED: &[&str] = &["--lib", "--bins", "--tests"];

pub fn run_tests(rust_only: bool, nextest: &[String]) -> anyhow::Result<()> {
    let (mut golden, mut published) = (None, None);
    if !rust_only {
        setup::all()?;
        published = models::for_tests()?;
        step("structure");
        tidy::run()?;
        run("cargo", &["fmt", "--all", "--check"])?;
        // The compiler for contracts uses one core, and the linker often leaves one idle: what is built for the tests is built
        // beside it, too.
        let contracts = beside("contracts")?;
        let ours = lint().and_then(|()| {
            step("guest programs");
            guests::run(true)?;
            golden = Some(gpu::golden()?);
            arm::run_kernels()?;
            step("crates: building tests");
            let build = [&["nextest", "run", "--no-run"][..], WORKSPACE, TESTED].concat();
            run("cargo", &build)
        });
        // Waited for in any case: what it has started would go on in the folder of the next run.
        contracts.wait().and(ours)?;
    }
    step("crates: tests");
    gpu::warn_if_missing();
    // A driver in software is among what is set up; where there is one, nothing that needs it is skipped.
    let required = golden.as_deref().filter(|_| gpu::has_software_vulkan()).map(gpu::required);
    let mut args = vec!["nextest", "run"];
    args.extend(WORKSPACE);
    args.extend(TESTED);
    args.extend(nextest.iter().map(String::as_str));
    let published = published.iter().flatten().map(|(variable, value)| (*variable, value.as_str()));
    let at_once = at_once();
    let threads = at_once.as_deref().map(|threads| (THREADS, threads));
    let env: Vec<(&str, &str)> =
        required.into_iter().flatten().chain(published).chain(threads).collect();
    run_in(&root(), "cargo", &args, &env)
}

/// The variable by which nextest is told how many tests run at once.
const THREADS: &str = "NEXTEST_TEST_THREADS";

/// How many tests run at once: two a core, since the long ones wait for blocks and windows most of their time. `None`: whoever
/// runs them has said so in the environment.
fn at_once() -> Option<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::env::var_os(THREADS).is_none().then(|| cores.saturating_mul(2).to_string())
}

fn lint() -> anyhow::Result<()> {
    step("crates: style");
    let mut clippy = vec!["clippy", "--all-targets"];
    clippy.extend(WORKSPACE);
    clippy.extend(["--", "-D", "warnings"]);
    run("cargo", &clippy)?;
    run(&setup::tool("cargo-deny"), &["check", "bans", "licenses", "sources"])
}

/// Artifacts, style and tests of the contracts.
pub fn contracts() -> anyhow::Result<()> {
    step("contracts");
    artifacts::run(true)?;
    let dir = root().join("contracts");
    let _outputs = artifacts::outputs(&dir)?;
    run_in(&dir, &artifacts::forge()?, &["fmt", "--check"], &[])?;
    artifacts::tests(&dir, &[])
}
