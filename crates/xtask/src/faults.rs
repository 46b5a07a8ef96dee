//! `cargo xtask faults`: rounds of the fault runner, as many as one likes.

use anyhow::bail;

use crate::{
    run::{root, run_in, step},
    setup,
    test::WORKSPACE,
};

/// Runs the rounds of these seeds, `A..B` or one, each to its end; a failing one stops the run and says
/// where its logs are.
pub fn run_faults(seeds: &str, show: bool, as_user: bool) -> anyhow::Result<()> {
    if !names_seeds(seeds) {
        bail!("{seeds} names no seeds: write A..B with A below B, or one number");
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
    let args = [&["test"][..], WORKSPACE, &["--test", "faults", "--"]].concat();
    let which = ["--ignored", "--exact", "rounds_by_command", "--nocapture"];
    run_in(&root(), "cargo", &[&args[..], &which].concat(), &env)
}

/// Whether a text names at least one seed.
fn names_seeds(text: &str) -> bool {
    let seed = |text: &str| text.trim().parse::<u64>().ok();
    match text.split_once("..") {
        Some((first, end)) => seed(first).zip(seed(end)).is_some_and(|(first, end)| first < end),
        None => seed(text).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_empty_names_no_seeds() {
        for good in ["0", " 17 ", "0..1", "3 .. 50"] {
            assert!(names_seeds(good), "{good}");
        }
        for wrong in ["", "x", "50..0", "5..5", "..5", "5..", "1..2..3", "-1"] {
            assert!(!names_seeds(wrong), "{wrong}");
        }
    }
}
