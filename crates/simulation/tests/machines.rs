//! Providers that work by the machine of the real program, in single worlds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use tilth_simulation::{
    Farm, Random,
    adversary::{ALL, crash},
    trust::{Counts, Outcome, World, run_seed},
};

/// Nothing is wrong, and all that was handed in was handed in by machines and paid.
fn check(outcome: &Outcome, name: &str) {
    assert_eq!(outcome.faults, Vec::<String>::new(), "{name}");
    let Counts { by_machine, honest_ranges, honest_cut, honest_unpaid, .. } = outcome.counts;
    assert!(by_machine > 0, "{name}");
    assert_eq!((by_machine, honest_cut, honest_unpaid), (honest_ranges, 0, 0), "{name}");
}

#[test]
fn honest_jobs_are_done_by_the_machine_of_the_real_program() {
    let farm = Farm::new().unwrap();
    for name in ["nobody", "nobody, replicated", "nobody, kept", "reorganising proposer"] {
        let adversary = ALL.iter().find(|adversary| adversary.name == name).unwrap();
        for seed in 0..3 {
            let outcome = run_seed(&farm, seed, adversary).unwrap();
            check(&outcome, name);
            assert_eq!(outcome.counts.restarts, [0, 0], "{name}: nobody dies");
        }
    }
}

#[test]
fn who_is_killed_again_and_again_loses_nothing_by_it() {
    let farm = Farm::new().unwrap();
    let mut all = Counts::default();
    for seed in 0..5 {
        let mut random = Random::new(seed);
        let cast = crash::restarting(&mut random);
        let outcome = World::new(&farm, cast, random).unwrap().finish().unwrap();
        check(&outcome, "restarting");
        assert!(outcome.counts.restarts[0] > 0, "{seed}: nobody was killed");
        all.merge(&outcome.counts);
    }
    let [died, since] = all.restarts;
    assert!(died >= 5 && since > 0, "killed {died} times, and {since} ranges came after that");
}
