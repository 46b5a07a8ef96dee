//! The gateway's fuzz target without libFuzzer; see `fuzz/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../../../fuzz/src/gateway.rs"]
mod gateway;
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;

use tilth_gateway::hostile;

#[test]
fn bodies_of_requests() {
    smoke::smoke(gateway::TARGETS, "gateway", 30_000);
}

/// Mutations get past the first field only if the seeds they are made of are sound: each is taken somewhere, and
/// everything that reads takes one.
#[test]
fn seeds_are_taken() {
    let mut all = [false; 8];
    for seed in smoke::seeds("gateway") {
        let text = String::from_utf8(seed.clone()).unwrap();
        let questions = hostile::questions(&seed, 0).map(|read| read.is_ok());
        let (tab, key) = hostile::in_path(&text);
        let paths = [tab.is_some(), key.is_some()];
        let taken = [&questions[..], &hostile::operators(&seed), &paths].concat();
        assert!(taken.contains(&true), "{text}\n{:?}", hostile::questions(&seed, 0));
        all.iter_mut().zip(taken).for_each(|(all, taken)| *all |= taken);
    }
    assert_eq!(all, [true; 8], "chat, text, inputs, three for operators, a tab, a key");
}
