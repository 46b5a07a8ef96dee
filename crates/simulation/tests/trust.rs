//! What is promised in docs/guide/trust.md, in many small worlds. More of them by command:
//! `cargo run --release -p tilth-simulation -- trust --seeds 0..10000`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use tilth_protocol::amount::GRAIN;
use tilth_simulation::{
    adversary::{ALL, Adversary, challenging::STAKE},
    trust::{Counts, Report, Row, cast::least_fee, sample::Sample},
};
use tilth_verification::holding::INPUTS_LOST;

#[path = "trust/plain.rs"]
mod plain;

/// Worlds of each adversary.
const TURNS: u64 = 10;
/// So many trials of something that comes once in six times tell that it does, and not always.
const ENOUGH: u64 = 30;

/// The parts are played at the same time and judged together: how often something happens is said of all worlds.
#[test]
fn what_is_promised_holds_in_all_worlds() {
    const PARTS: u64 = 4;
    let all = TURNS * ALL.len() as u64;
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let play =
            |part: u64| move || Report::played(part * all / PARTS..(part + 1) * all / PARTS, None);
        let parts: Vec<_> = (0..PARTS).map(|part| scope.spawn(play(part))).collect();
        for part in parts {
            report.merge(part.join().unwrap().unwrap());
        }
    });
    report.check();
    assert_eq!(report.faults, [], "\n{}", report.render());
    assert_eq!(report.rows.len(), ALL.len());
    assert!(report.rows.values().all(|row| row.worlds == TURNS));
    // Somebody was late here, and lost bonds; elsewhere nobody honest does, unless votes are for sale.
    let counts = |name: &str| {
        let place = ALL.iter().position(|adversary| adversary.name == name).unwrap();
        report.rows[&place].counts
    };
    assert!(counts("crash-looper").honest_cut > 0);
    // Open, matched, without a mate, unequal, primary silent.
    let closed = |name: &str| counts(name).replicas.map(|times| times > 0);
    assert_eq!(closed("nobody"), [false; 5]);
    assert!(closed("nobody, replicated")[1]);
    assert_eq!(closed("nobody, replicated")[3..], [false, false]);
    for (name, outcome) in [
        ("friends, all bonds", 1),
        ("friends, a tenth of the bonds", 3),
        ("friend that joins late", 3),
        ("primary silent at its mate", 4),
        ("copying mate", 2),
        ("silent mate", 2),
        ("absent mate", 1),
        ("framing mate", 2),
        ("primary that stops in a walk", 4),
        ("mate that stops in a walk", 2),
        ("inflating mate", 2),
        ("queue hoarder", 1),
        ("lapser", 2),
        ("exhauster", 3),
    ] {
        assert!(closed(name)[outcome], "{name}: {:?}", counts(name).replicas);
    }
    let friends = counts("friends, all bonds").matches;
    assert!(friends.trials > TURNS / 2 && friends.came == friends.trials, "{friends:?}");
    // Whoever is wrong in a walk loses its stake, which is more than its own ranges' pay.
    for name in [
        "framing mate",
        "primary that stops in a walk",
        "mate that stops in a walk",
        "inflating mate",
    ] {
        let place = ALL.iter().position(|adversary| adversary.name == name).unwrap();
        assert!(report.rows[&place].won[0] < 0, "{:?}", report.rows[&place]);
    }
    // Who keeps all others at work is beside its friend, which has a quarter of the bonds, no more often than without that;
    // `check` holds all rows to their chances, and this one to having been played at all.
    let used_up = counts("exhauster").matches;
    assert!(used_up.trials > TURNS && used_up.came * 3 < used_up.trials * 2, "{used_up:?}");
    check_kept(&report);
    check_nobody_honest_loses(&report);
    check_inputs(&report);
    check_looks(&report);
    check_cancelled(&report);
    check_machines(&report);
    check_disputes(&report);
    plain::check_plain(&report);
    // The two chains that reorganise have really done so, and no other.
    let undone: Vec<u64> = report.rows.values().map(|row| row.counts.undone_blocks).collect();
    for name in ["reorganising proposer", "reorganising proposer, kept"] {
        assert!(counts(name).undone_blocks > TURNS, "{undone:?}");
    }
    assert_eq!(undone.iter().filter(|blocks| **blocks != 0).count(), 2, "{undone:?}");
}

fn row<'a>(report: &'a Report, name: &str) -> &'a Row {
    let place = ALL.iter().position(|adversary| adversary.name == name).unwrap();
    &report.rows[&place]
}

/// Whoever serves, signs or looks as it likes in a kept job, nobody honest loses anything: neither of its stake nor of its
/// pay. Only where an adversary's friends pass for holders absences cost something; where nothing is kept they never do.
fn check_nobody_honest_loses(report: &Report) {
    let mut kept = Vec::new();
    for (place, row) in &report.rows {
        if row.counts.holds.iter().chain(&row.counts.inputs).any(|asks| *asks > 0) {
            kept.push((&ALL[*place], row));
        }
    }
    let names: Vec<_> = kept.iter().map(|(adversary, _)| adversary.name).collect();
    let first = ALL.iter().position(|adversary| adversary.name == "nobody, kept").unwrap();
    let kept_ones = ALL[first..].iter().map(|adversary| adversary.name);
    // Added since, in a job that is not kept.
    let kept_ones = kept_ones.filter(|name| *name != "griefing challenger");
    assert_eq!(names, kept_ones.collect::<Vec<_>>());
    for (Adversary { name, .. }, row) in kept {
        let Counts { honest_cut, honest_unpaid, absences, .. } = row.counts;
        assert_eq!(honest_unpaid, 0, "{name}");
        if *name != "client that serves only its friends" {
            assert_eq!((honest_cut, absences), (0, 0), "{name}");
        }
    }
}

/// Nobody works on what nobody could get, and its client pays for that; where others hold inputs their client is not
/// needed, and nobody honest pays for it.
fn check_inputs(report: &Report) {
    // By the numbers of `HoldState`: failed once, held, not held. There is an honest client, too.
    let spared = row(report, "client that serves nobody");
    assert_eq!(spared.counts.inputs[3..6], [TURNS; 3]);
    // All else comes back. That it is burned, to the unit, and is nobody else's, the oracle sees.
    let due = i128::try_from(u128::from(TURNS) * INPUTS_LOST * least_fee()).unwrap();
    assert_eq!((spared.won[0], spared.counts.honest_cut), (-due, 0));
    let served = row(report, "client that serves only holders");
    assert_eq!((served.counts.inputs[5], served.counts.honest_cut), (0, 0));
    assert!(served.counts.audits.came > 0 && served.counts.absences == 0);
    // It has its work and pays for it, and for holders.
    assert!(served.won[0] < 0, "{:?}", served.won);
    // Friends with two fifths of the stake hold the inputs of some of its jobs, and then others pay for not coming, where
    // as many friends came. `Allowed` says that they pay for nothing else, and the oracle that no more were absent.
    let friends = row(report, "client that serves only its friends").counts;
    let [.., held, _, _] = friends.inputs;
    assert!(held > TURNS, "{friends:?}");
    assert!(friends.absences > 0 && friends.honest_cut > 0, "{friends:?}");
}

/// Whoever keeps what it has signed for has all of its fee, and whoever has deleted it half; unless most of those who
/// look lie.
fn check_looks(report: &Report) {
    for name in ["nobody, kept", "nobody, replicated and kept", "client that serves only holders"] {
        let counts = row(report, name).counts;
        assert!(counts.served.trials >= TURNS, "{name}: {:?}", counts.spots);
        assert_eq!(counts.served.came, counts.served.trials, "{name}");
        assert_eq!((counts.unserved.trials, counts.spots[0]), (0, 0), "{name}");
    }
    let deletes = row(report, "holders that delete").counts;
    assert!(deletes.unserved.trials > TURNS && deletes.unserved.came == 0, "{deletes:?}");
    assert_eq!(deletes.served.came, deletes.served.trials);
    // With a third of the stake: 0.17 of what they have deleted, and 0.17 of what others serve; `check` holds both to
    // their chances. Of twenty none comes in one of 42 choices of seeds.
    let vouch = row(report, "holders that delete, and vouch").counts;
    assert!(vouch.unserved.trials > 2 * TURNS, "{vouch:?}");
    assert!(vouch.unserved.came > 0 && vouch.unserved.came * 2 < vouch.unserved.trials);
    assert_eq!(vouch.served.came, vouch.served.trials);
    for name in ["auditors that see nobody serve", "auditors that do not look"] {
        let counts = row(report, name).counts;
        let Sample { came, trials, .. } = counts.served;
        assert!(trials >= ENOUGH, "{name}: {counts:?}");
        assert!(came * 2 > trials && came < trials, "{name}: {counts:?}");
        assert_eq!(counts.unserved.trials, 0, "{name}: all keep what they have signed for");
    }
    assert!(row(report, "auditors that do not look").counts.spots[0] > 0);
    let Sample { came, trials, .. } = row(report, "reorganising proposer, kept").counts.served;
    assert!(trials >= TURNS && came == trials, "{came} of {trials}");
}

/// Honest providers work by the real program's machine, but where they are there to be mates only; and so do honest
/// clients.
fn check_machines(report: &Report) {
    let without = report.rows.iter().filter(|(_, row)| row.counts.by_machine == 0);
    let names: Vec<_> = without.map(|(place, _)| ALL[*place].name).collect();
    assert_eq!(names, ["exhauster"]);
    // And honest clients acknowledge what that of the real client says: all that they do, wherever they are.
    for (place, row) in &report.rows {
        let [sent, ordered] = row.counts.acknowledged;
        assert_eq!(sent, ordered, "{}", ALL[*place].name);
    }
    for name in ["nobody", "nobody, replicated", "nobody, kept", "most of them at once"] {
        assert!(row(report, name).counts.acknowledged[1] >= TURNS, "{name}");
    }
}

/// Kept ranges have come to all that they can come to.
fn check_kept(report: &Report) {
    let row = |name: &str| row(report, name);
    // Paid without a deposit, and then by the numbers of `HoldState`: failed once, held, not held, over before.
    let came = |name: &str| {
        let [without, _, _, again, held, lost, dropped] = row(name).counts.holds;
        [without, again, held, lost, dropped].map(|asks| asks > 0)
    };
    assert_eq!(came("nobody"), [false; 5]);
    for served in [
        "nobody, kept",
        "nobody, replicated and kept",
        "provider that serves only holders",
        "absent holders",
    ] {
        let [_, _, held, lost, _] = came(served);
        assert!(held && !lost, "{served}: {:?}", row(served).counts.holds);
    }
    assert!(row("nobody, replicated and kept").counts.replicas[1] > 0);
    assert!(came("provider that serves a majority")[2]);
    assert!(came("client that never acknowledges")[2]);
    assert!(came("client that acknowledges late")[4]);
    assert!(came("client without a deposit")[0]);
    let [_, again, held, lost, _] = came("provider that serves nobody");
    assert!(again && !held && lost);
    // It has worked, and is neither paid nor spared.
    assert!(row("provider that serves nobody").won[0] < 0);
    // Of a third of the stake enough is drawn now and then.
    let [_, _, held, lost, _] = came("holders that fetch nothing");
    let lies = row("holders that fetch nothing").counts.held;
    assert!(held && lost && lies.trials > TURNS, "{lies:?}");
}

/// Whoever cancels its job has its money back but for what was out then, all of which is paid: nobody honest has worked
/// for nothing, or has lost anything.
fn check_cancelled(report: &Report) {
    // Two cancel when somebody has just begun, and two when something was just handed in.
    for (name, least) in [
        ("canceller", 4 * TURNS),
        ("canceller, replicated", 3 * TURNS),
        ("canceller, kept", 4 * TURNS),
    ] {
        let Row { counts, won, .. } = row(report, name);
        let [jobs, in_work, handed_in, paid] = counts.cancelled;
        assert!(jobs >= least && in_work >= TURNS && handed_in >= TURNS, "{name}: {counts:?}");
        assert_eq!(paid, in_work + handed_in, "{name}");
        assert_eq!((counts.honest_cut, counts.honest_unpaid), (0, 0), "{name}");
        assert!(won[0] < 0 && won[2] > 0, "{name}: {won:?}");
    }
    assert!(row(report, "canceller, replicated").counts.replicas[1] > TURNS);
    // By the numbers of `HoldState`: not held, over before. One gives up while its inputs are asked for.
    assert_eq!(row(report, "canceller, kept").counts.inputs[5..], [0, TURNS]);
    // Who gives up in the first ask has all its money back; in the second one it costs what lost inputs cost.
    let inputs = row(report, "client that gives its inputs up");
    assert_eq!(inputs.counts.inputs[3..], [TURNS, TURNS, 0, 2 * TURNS]);
    assert_eq!(inputs.counts.cancelled, [2 * TURNS, 0, 0, 0]);
    let due = i128::try_from(u128::from(TURNS) * INPUTS_LOST * least_fee()).unwrap();
    assert_eq!(inputs.won[0], -due);
}

/// Whoever is the mate of a range does not judge the dispute about it, though half of all votes would be its own.
fn check_disputes(report: &Report) {
    let kin = row(report, "mate that is an auditor");
    let Counts { left_out, replicas, honest_cut, honest_unpaid, .. } = kin.counts;
    assert!(left_out >= ENOUGH && replicas[2] > 0, "{:?}", kin.counts);
    assert_eq!((replicas[3], honest_cut, honest_unpaid), (0, 0, 0));
    assert!(kin.won[0] < 0, "{:?}", kin.won);
    // Half of its time is enough for a dispute: its primary is paid, and its mate loses all.
    let half = row(report, "framing mate, others down");
    assert_eq!((half.counts.disputes, half.counts.replicas[2]), ([TURNS, 0], TURNS));
    assert_eq!((half.counts.honest_cut, half.counts.honest_unpaid), (0, 0));
    assert!(half.won[0] < 0, "{:?}", half.won);
    // Without anybody for all of it nothing is decided: the range is not paid, and nobody loses anything.
    let whole = row(report, "framing mate, others down too long");
    assert_eq!((whole.counts.disputes, whole.counts.replicas[3]), ([0, TURNS], TURNS));
    assert_eq!((whole.counts.honest_cut, whole.counts.honest_unpaid), (0, TURNS));
    assert_eq!(whole.won[0], 0, "{:?}", whole.won);
    assert!(whole.won[2] < half.won[2], "{:?} {:?}", whole.won, half.won);
    // Whoever contests what is right carries ranges of most worlds to their votes, and pays with its stake: in each
    // world one of them at least. Their primaries are paid for all of these, and lose nothing.
    let grief = row(report, "griefing challenger");
    let Counts { disputes, replicas, honest_cut, honest_unpaid, .. } = grief.counts;
    assert!(disputes[0] > TURNS && disputes[1] == 0, "{:?}", grief.counts);
    assert!(replicas[2] >= disputes[0] && replicas[3..] == [0, 0], "{replicas:?}");
    assert_eq!((honest_cut, honest_unpaid), (0, 0));
    let cut = i128::try_from(u128::from(TURNS) * STAKE * GRAIN).unwrap();
    assert!(grief.won[0] <= -cut && grief.won[2] > 0, "{:?}", grief.won);
}
