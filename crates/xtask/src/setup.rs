//! Installs what the tests need and the checkout does not hold. Each step is skipped when its result
//! is already there.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{
    gpu,
    run::{exists, output, root, run, run_in, step},
};

/// The test runner, pinned.
const NEXTEST: &str = "cargo-nextest@0.9.143";

/// Debian packages: program to look for, package that brings it.
const PACKAGES: &[(&str, &str)] = &[
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3"),
    ("unshare", "util-linux"),
    // Networks of namespaces, and links that lose packets, for the fault runner.
    ("ip", "iproute2"),
    ("nft", "nftables"),
    // Checks the user service that `tilth provider install` writes.
    ("systemd-analyze", "systemd"),
];

pub fn all() -> anyhow::Result<()> {
    step("set-up");
    system_packages()?;
    // For the sandbox's test of what Vulkan needs, and for GPU programs: a driver that computes on the CPU.
    install(if gpu::has_software_vulkan() { &[] } else { gpu::PACKAGES })?;
    node_packages(&root().join("contracts"))?;
    let clients = root().join("crates/chain/tests/clients");
    node_packages(&clients)?;
    python_packages(&clients)?;
    let openai = root().join("crates/cli/tests/openai");
    node_packages(&openai)?;
    python_packages(&openai)?;
    python_packages(&tools())?;
    if !exists("cargo-nextest") {
        run("cargo", &["install", "--locked", NEXTEST])?;
    }
    Ok(())
}

/// Where the tools live that come as Python packages.
fn tools() -> PathBuf {
    root().join("crates/xtask/tools")
}

/// A program of `tools/requirements.txt`; set-up installs it.
pub fn tool(name: &str) -> String {
    tools().join("venv/bin").join(name).display().to_string()
}

/// The Debian packages that are missing.
pub fn system_packages() -> anyhow::Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(program, _)| !exists(program)).map(|(_, name)| *name).collect();
    install(&missing)?;
    // Debian's Python is there without the part that makes environments.
    let makes_environments = output("python3", &["-c", "import ensurepip, venv"]).is_ok();
    install(if makes_environments { &[] } else { &["python3-venv"] })
}

/// Installs Debian packages if any are named.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let lock = ["-o", "DPkg::Lock::Timeout=300"];
    let sudo = std::env::var("USER").is_ok_and(|user| user != "root") && exists("sudo");
    let apt = |args: &[&str]| {
        let mut all = vec!["apt-get"];
        all.extend(lock);
        all.extend(args);
        if sudo { run("sudo", &all) } else { run(all[0], &all[1..]) }
    };
    apt(&["update"])?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    apt(&args).with_context(|| format!("install by hand: {}", packages.join(" ")))
}

/// `npm ci` unless the installed tree is the locked one.
pub fn node_packages(dir: &Path) -> anyhow::Result<()> {
    let lock = std::fs::read(dir.join("package-lock.json"))?;
    let stamp = dir.join("node_modules/.tilth-lock");
    let hash = blake3::hash(&lock).to_hex().to_string();
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == hash) {
        return Ok(());
    }
    run_in(dir, "npm", &["ci", "--no-audit", "--no-fund"], &[])?;
    std::fs::write(stamp, hash)?;
    Ok(())
}

/// An environment `venv` with exactly the packages of `requirements.txt`, whose hashes are checked.
fn python_packages(dir: &Path) -> anyhow::Result<()> {
    let pins = std::fs::read(dir.join("requirements.txt"))?;
    let stamp = dir.join("venv/.tilth-lock");
    let hash = blake3::hash(&pins).to_hex().to_string();
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == hash) {
        return Ok(());
    }
    run_in(dir, "python3", &["-m", "venv", "--clear", "venv"], &[])?;
    let python = dir.join("venv/bin/python").display().to_string();
    let install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt"];
    run_in(dir, &python, &install, &[])?;
    std::fs::write(stamp, hash)?;
    Ok(())
}
