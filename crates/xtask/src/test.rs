//! `cargo xtask test`: everything that must hold before a change lands, in order of cost, ending
//! with the Rust tests so that a log closes with the test runner's summary.

use crate::{
    artifacts, guests,
    run::{beside, root, run, run_in, step},
    setup, tidy,
};

/// Features, targets and profile must be the same for every cargo call here, or cargo builds the
/// dependencies again. Release is what people run, so it is what is tested. GPU programs are not in yet: how long
/// a run with them takes from cold is not known. `cargo xtask gpu` tests them.
pub const WORKSPACE: &[&str] = &["--workspace", "--release"];
/// The same with GPU programs.
pub const WITH_GPU: &[&str] = &["--workspace", "--release", "--features", "tilth-cli/gpu"];

pub fn run_tests(rust_only: bool, nextest: &[String]) -> anyhow::Result<()> {
    if !rust_only {
        setup::all()?;
        step("structure");
        tidy::run()?;
        run("cargo", &["fmt", "--all", "--check"])?;
        // The compiler for contracts uses one core, and the linker often leaves one idle.
        let contracts = beside("contracts")?;
        let ours = lint().and_then(|()| {
            step("guest programs");
            guests::run(true)
        });
        // Waited for in any case: what it has started would go on in the folder of the next run.
        contracts.wait().and(ours)?;
    }
    step("crates: tests");
    let mut args = vec!["nextest", "run"];
    args.extend(WORKSPACE);
    args.extend(nextest.iter().map(String::as_str));
    run("cargo", &args)
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
    let forge = artifacts::forge()?;
    for args in [&["fmt", "--check"][..], &["test"][..]] {
        run_in(&dir, &forge, args, &[])?;
    }
    Ok(())
}
