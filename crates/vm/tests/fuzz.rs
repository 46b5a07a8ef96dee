//! The fuzz target of admission without libFuzzer; see `fuzz/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/src/programs.rs"]
mod programs;
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;

#[test]
fn programs_are_admitted_or_refused() {
    smoke::smoke(programs::TARGETS, "program", 50_000);
    for seed in smoke::seeds("program") {
        tilth_vm::admission::admit(&seed).unwrap();
    }
}
