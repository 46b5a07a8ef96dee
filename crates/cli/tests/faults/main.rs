//! The fault runner: a farm of real processes, faults that a seed decides, and what must be true when they
//! are over. `docs/reference/faults.md` describes it; `cargo xtask faults` runs more rounds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod clock;
mod disk;
mod errand;
mod farm;
mod http;
mod oracle;
mod process;
mod proxy;
mod round;
mod schedule;
mod space;

use std::sync::{Mutex, PoisonError};

use schedule::Plan;

/// Seeds of the rounds that run with every test run.
pub const FIXED: [u64; 3] = [5, 8, 12];
/// Names the seeds of the rounds that run by command: `A..B`, or one.
const SEEDS: &str = "TILTH_FAULT_SEEDS";

/// Rounds look for orphans among the children of their process, so it runs one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn round(seed: u64) {
    run(Plan::of(seed));
}

fn run(plan: Plan) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = plan.name();
    match round::run(plan) {
        Ok(report) => eprintln!("{name}: {report:?}"),
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn first_fixed_round_loses_nothing() {
    round(FIXED[0]);
}

#[test]
fn second_fixed_round_loses_nothing() {
    round(FIXED[1]);
}

#[test]
fn third_fixed_round_loses_nothing() {
    round(FIXED[2]);
}

#[test]
fn a_round_in_which_the_nodes_disk_is_full_loses_nothing() {
    run(Plan::full_node());
}

#[test]
#[ignore = "as long as one likes: cargo xtask faults --seeds A..B"]
fn rounds_by_command() {
    let text = std::env::var(SEEDS).unwrap_or_else(|_| panic!("{SEEDS} names no seeds"));
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|e| panic!("{text}: {e}"));
    let seeds = match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    };
    assert!(!seeds.is_empty(), "{SEEDS} is {text}, which is no seed");
    seeds.for_each(round);
}
