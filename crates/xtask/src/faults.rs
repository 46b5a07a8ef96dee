//! `cargo xtask faults`: rounds of the fault runner, as many as one likes.

use anyhow::bail;

use crate::{
    run::{root, run_in, step},
    setup,
};

/// Runs the rounds of these seeds, `A..B` or one, each to its end; a failing one stops the run and says
/// where its logs are.
pub fn run_faults(seeds: &str, show: bool, as_user: bool) -> anyhow::Result<()> {
    let is_seed = |text: &str| text.trim().parse::<u64>().is_ok();
    let valid = match seeds.split_once("..") {
        Some((first, end)) => is_seed(first) && is_seed(end),
        None => is_seed(seeds),
    };
    if !valid {
        bail!("{seeds} names no seeds: write A..B, or one number");
    }
    setup::system_packages()?;
    step("rounds of faults");
    let mut env = vec![("TILTH_FAULT_SEEDS", seeds)];
    if show {
        env.push(("TILTH_FAULT_SHOW", "1"));
    }
    if as_user {
        env.push(("TILTH_FAULT_AS_USER", "1"));
    }
    // The same selection as for the tests, so that nothing is built twice.
    let args = ["test", "--workspace", "--release", "--test", "faults", "--"];
    let which = ["--ignored", "--exact", "rounds_by_command", "--nocapture"];
    run_in(&root(), "cargo", &[&args[..], &which].concat(), &env)
}
