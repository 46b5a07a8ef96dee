//! That adversaries have done what they are here for: one that does nothing harms nobody, and proves nothing.

use tilth_simulation::trust::{Counts, Report, counts::CONTRACTS};

use super::{TURNS, row};

/// Whoever makes results up has handed them in, was found out, and has lost by it.
fn check_forgers(report: &Report) {
    // At least so many false ranges in each world: a provider claims another one while its first is looked into.
    for (name, least) in [
        ("forger, one leaf", 2),
        ("forger, a tenth", 2),
        ("forger, everything", 2),
        ("unit inflater", 2),
        ("lazy provider", 2),
        ("copying provider", 2),
        ("sybil swarm", 5),
        ("bribed auditor", 2),
        ("auditor cartel", 2),
        ("crowd of small auditors", 2),
        ("most of them at once", 1),
        ("impatient", 1),
        ("impatient, replicated", 1),
        ("friends, a tenth of the bonds", 1),
        ("friends, a third of the bonds", 1),
        ("friends, all bonds", 1),
        ("friend that joins late", 1),
        ("primary silent at its mate", 1),
        ("lapser", 2),
        ("exhauster", 2),
    ] {
        let (won, counts) = (row(report, name).won, row(report, name).counts);
        assert!(counts.false_ranges >= least * TURNS, "{name}: {counts:?}");
        assert!(won[0] < 0, "{name}: {won:?}");
    }
    // It forges when its own job is over, which leaves it a few ranges.
    let wash = row(report, "wash trader");
    assert!(wash.counts.false_ranges > 0 && wash.won[0] < 0, "{wash:?}");
    // Everything that was made up is seen wherever anybody looks.
    for name in ["forger, everything", "lazy provider", "auditor cartel"] {
        let hits = row(report, name).counts.hits;
        assert!(hits.trials >= TURNS && hits.came == hits.trials, "{name}: {hits:?}");
    }
}

/// Votes were for sale, or were given without looking, where somebody was to be judged by them.
fn check_voters(report: &Report) {
    for name in ["bribed auditor", "auditor cartel", "crowd of small auditors", "sybil swarm"] {
        let bought = row(report, name).counts.bought;
        assert!(bought.trials >= TURNS, "{name}: {bought:?}");
    }
    for name in ["framing cartel", "lazy auditor"] {
        let framed = row(report, name).counts.framed;
        assert!(framed.trials >= TURNS, "{name}: {framed:?}");
    }
    let Counts { no_lead, .. } = row(report, "lazy auditor").counts;
    assert!(no_lead.trials >= TURNS, "{no_lead:?}");
    // They have gained or lost something, so they have voted.
    for name in ["copying auditor", "framing cartel", "lazy auditor"] {
        assert_ne!(row(report, name).won[0], 0, "{name}");
    }
    for name in ["nobody", "nobody, replicated", "nobody, kept", "framing cartel", "lazy auditor"] {
        let Counts { seats, verdicts, .. } = row(report, name).counts;
        assert!(verdicts >= TURNS && seats >= verdicts, "{name}: {seats} for {verdicts}");
    }
}

/// Whoever withholds pays for it, and so does whoever takes what it does not do.
fn check_withholders(report: &Report) {
    for name in [
        "withholding provider",
        "withholding client",
        "client and provider withhold",
        "claim-hoarder",
        "copying mate",
        "silent mate",
    ] {
        let won = row(report, name).won;
        assert!(won[0] < 0, "{name}: {won:?}");
    }
    assert!(row(report, "withholding provider").counts.compensation > 0);
    assert!(row(report, "claim-hoarder").counts.compensation > 0);
}

/// Ranges are paid when auditors have upheld them, or when nobody was to look into them: whoever has a record sees both.
fn check_paid(report: &Report) {
    let [upheld, spared] = row(report, "wash trader").counts.paid;
    assert!(upheld >= TURNS && spared >= TURNS, "{upheld} {spared}");
    for name in ["nobody", "nobody, replicated", "nobody, kept"] {
        let [upheld, spared] = row(report, name).counts.paid;
        assert!(upheld >= TURNS && upheld + spared >= 4 * TURNS, "{name}: {upheld} {spared}");
    }
}

/// Who makes blocks, and whoever is in front of them, has really been in the way, and nobody else is.
fn check_chains(report: &Report) {
    let quiet = row(report, "nobody").counts;
    assert_eq!((quiet.left_waiting, quiet.ahead, quiet.strangers), (0, 0, [0; 7]));
    let Counts { left_waiting, .. } = row(report, "censoring proposer").counts;
    assert!(left_waiting >= TURNS, "{left_waiting}");
    // Half a minute a block.
    let Counts { ahead, .. } = row(report, "clock liar").counts;
    assert!(ahead >= 100 * TURNS, "{ahead}");
    check_strangers(report);
    for name in ["impatient", "impatient, replicated", "impatient, kept"] {
        let Counts { refused_pay, honest_cut, .. } = row(report, name).counts;
        // In every block until somebody has looked, whoever of both it is.
        assert!(refused_pay.iter().all(|tries| *tries >= 2 * TURNS), "{name}: {refused_pay:?}");
        assert!(refused_pay.iter().sum::<u64>() >= 5 * TURNS, "{name}: {refused_pay:?}");
        assert_eq!(honest_cut, 0, "{name}");
    }
}

/// A stranger was really the first to do something about each contract of which that is allowed, and nobody honest has lost by it.
fn check_strangers(report: &Report) {
    let mut all = [0; CONTRACTS.len()];
    for (name, touched) in [
        ("griefing stranger", &["Audits", "SoloRandomness"][..]),
        ("griefing stranger, replicated", &["Audits", "SoloRandomness", "Replicas"][..]),
        ("griefing stranger, kept", &["Audits", "SoloRandomness", "Holders", "Spots"][..]),
    ] {
        let Counts { strangers, honest_cut, honest_unpaid, .. } = row(report, name).counts;
        for (contract, count) in CONTRACTS.into_iter().zip(strangers) {
            let must = touched.contains(&contract);
            assert!(!must || count > 0, "{name} has changed nothing of {contract}: {strangers:?}");
        }
        all.iter_mut().zip(strangers).for_each(|(sum, more)| *sum += more);
        assert_eq!((honest_cut, honest_unpaid), (0, 0), "{name}");
    }
    // A range is paid, and a job ended, once, by whoever is first: it comes to that in one of three worlds.
    assert!(all[0] > 0, "nothing was paid or ended: {all:?}");
}

/// See the module's head; what rows of kept jobs have come to is checked beside it.
pub(super) fn check_plain(report: &Report) {
    check_forgers(report);
    check_voters(report);
    check_withholders(report);
    check_paid(report);
    check_chains(report);
}
