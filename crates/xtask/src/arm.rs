//! `cargo xtask arm`: the tensor crate's kernels for 64-bit ARM. Where there is no such processor, an emulator of single
//! programs runs them.

use std::{env::consts::ARCH, path::Path};

use anyhow::{Context as _, ensure};

use crate::{
    run::{exists, output, root, run, run_in, step},
    setup::install,
};

/// Linked by Rust's own linker with the C library that comes with it, so that no compiler of C for ARM is needed.
const TARGET: &str = "aarch64-unknown-linux-musl";
/// The emulator: it is called the second where it is linked statically.
const EMULATORS: &[&str] = &["qemu-aarch64", "qemu-aarch64-static"];
/// The Debian package that brings it.
const PACKAGE: &str = "qemu-user";
/// What is run: every kernel against the scalar one, and against `vectors/int1`.
const TESTS: &[&str] = &["--test", "kernels", "--test", "vectors"];
/// Neither text nor threads have a part in it, and BLAKE3 would bring code in C.
const FEATURES: &[&str] = &["--no-default-features", "--features", "blake3/pure"];

/// Runs the tests; says aloud that it did not where what they need cannot be had.
pub fn run_kernels() -> anyhow::Result<()> {
    step("tensor: the kernels of 64-bit ARM, emulated");
    if ARCH == "aarch64" {
        eprintln!("not needed: this machine is one, and its tests of the crates run them");
        return Ok(());
    }
    let emulator = match prepare() {
        Ok(emulator) => emulator,
        Err(why) => {
            eprintln!("\nSKIPPED: the kernels of 64-bit ARM (NEON): {why:#}\n");
            return Ok(());
        }
    };
    let env = [
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", emulator),
        ("TILTH_REQUIRE_KERNELS", "neon"),
    ];
    let mut args = vec!["nextest", "run", "--release", "--target", TARGET];
    args.extend(["--package", "tilth-tensor"]);
    args.extend(FEATURES);
    args.extend(TESTS);
    run_in(&root(), "cargo", &args, &env)
}

/// The standard library for the target and the emulator, installed where they are missing; the emulator.
fn prepare() -> anyhow::Result<&'static str> {
    let library = output("rustc", &["--print", "target-libdir", "--target", TARGET])?;
    if !Path::new(library.trim()).exists() {
        ensure!(
            exists("rustup"),
            "there is no standard library for {TARGET} and no rustup to fetch it: install it by hand"
        );
        run("rustup", &["target", "add", TARGET])
            .with_context(|| format!("install by hand: rustup target add {TARGET}"))?;
    }
    if let Some(found) = emulator() {
        return Ok(found);
    }
    install(&[PACKAGE])?;
    emulator()
        .with_context(|| format!("{PACKAGE} is installed, but has brought none of {EMULATORS:?}"))
}

fn emulator() -> Option<&'static str> {
    EMULATORS.iter().copied().find(|program| exists(program))
}
