//! Running other programs and saying so.

use std::{
    io::{Read as _, Seek as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};

/// The root of the checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Says what is about to happen, so that a long log can be read.
pub fn step(what: &str) {
    eprintln!("\n== {what}");
}

/// Runs a command in the checkout's root with its output shown; fails if it fails.
pub fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    run_in(&root(), program, args, &[])
}

/// Runs a command in a folder with extra environment; fails if it fails.
pub fn run_in(
    dir: &Path,
    program: &str,
    args: &[&str],
    env: &[(&str, &str)],
) -> anyhow::Result<()> {
    eprintln!("+ {program} {}", args.join(" "));
    let started = Instant::now();
    let status = Command::new(program)
        .args(args)
        .current_dir(dir)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    eprintln!("  ({:.1} s)", started.elapsed().as_secs_f64());
    if !status.success() {
        bail!("`{program} {}` failed: {status}", args.join(" "));
    }
    Ok(())
}

/// Another task of this program that runs at the same time; its output is kept until it is waited for, so that a log
/// stays readable. Dropping it ends it; what it has started itself ends on its own.
pub struct Beside {
    task: &'static str,
    child: Child,
    output: std::fs::File,
    started: Instant,
}

/// Starts a task of this program.
pub fn beside(task: &'static str) -> anyhow::Result<Beside> {
    let output = tempfile::tempfile()?;
    let child = Command::new(std::env::current_exe()?)
        .arg(task)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start `cargo xtask {task}`"))?;
    Ok(Beside { task, child, output, started: Instant::now() })
}

impl Beside {
    /// Waits for it and shows what it said; fails if it failed.
    pub fn wait(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        self.output.rewind()?;
        let mut said = Vec::new();
        self.output.read_to_end(&mut said)?;
        eprint!("{}", String::from_utf8_lossy(&said));
        eprintln!("  ({}: done within {:.1} s)", self.task, self.started.elapsed().as_secs_f64());
        if !status.success() {
            bail!("`cargo xtask {}` failed: {status}", self.task);
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It may be over already; a failure to end it leaves a check running that nobody reads.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command and returns its standard output; fails if it fails.
pub fn output(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("`{program} {}` failed: {}", args.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command in a folder and returns what it said on standard error, which is shown, too; fails if it fails.
pub fn said_in(dir: &Path, program: &str, args: &[&str]) -> anyhow::Result<String> {
    eprintln!("+ {program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    eprint!("{said}");
    if !output.status.success() {
        bail!("`{program} {}` failed: {}", args.join(" "), output.status);
    }
    Ok(said)
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Whether a program can be started at all.
pub fn exists(program: &str) -> bool {
    let quiet = |flag| {
        Command::new(program)
            .arg(flag)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    quiet("--version")
}
