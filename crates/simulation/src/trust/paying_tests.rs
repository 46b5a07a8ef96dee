//! What is paid, when jobs end, and whether all money is there: each rule with what keeps to it, and what does not.

use alloy_primitives::Address;
use tilth_contracts::{JobBook, RangeState, SoloRandomness};
use tilth_verification::arithmetic::ONE;

use super::*;
use crate::{
    farm::Farm,
    random::Random,
    trust::{Cast, cast::terms, public, scene::Handed},
};

const ID: RangeId = RangeId { job: JobId(1), seq: 0 };
const CLIENT: Address = Address::repeat_byte(1);
const PROVIDER: Address = Address::repeat_byte(2);
/// The round that decides about the range, and so the block whose hash does.
const ROUND: u64 = 9;

/// A job, changed so, with a range that was handed in, by somebody who means ill or not.
fn scene(by_foe: bool, change: impl Fn(&mut Cast)) -> Scene {
    let mut scene = Scene::new(Farm::new().unwrap(), Random::new(0));
    let mut cast = Cast::honest(16, 0, 0);
    change(&mut cast);
    let terms = terms(&cast.clients[0], scene.farm.now);
    let job = public::Job { client: CLIENT, terms, settled: 0, over: false };
    scene.public.jobs.insert(ID.job, job);
    let found = public::Range {
        provider: PROVIDER,
        from: 0,
        count: 4,
        price: 1,
        state: RangeState::Submitted,
        at: 10,
        root: B256::ZERO,
    };
    scene.public.ranges.insert(ID, found);
    let (leaves, wrong) = (Vec::new(), Vec::new());
    scene.handed.insert(ID, Handed { leaves, wrong, units: 1, by_foe });
    scene.farm.set_hash(ROUND, B256::repeat_byte(3));
    scene
}

fn oracle(allowed: Allowed) -> Oracle {
    Oracle::new(allowed, Share::new(0))
}

fn settled() -> JobBookEvents {
    JobBookEvents::RangeSettled(JobBook::RangeSettled {
        jobId: 1,
        seq: 0,
        provider: PROVIDER,
        paid: 1,
        fee: 0,
        resultRoot: B256::ZERO,
    })
}

/// What is said against a range that is paid in a block, after this became of its case.
fn paid(scene: &Scene, case: Option<Seen>, block: u64, moved: bool) -> Vec<String> {
    let mut oracle = oracle(Allowed::default());
    oracle.cases.extend(case.map(|seen| (ID, seen)));
    oracle.keeps.block = block;
    oracle.moved.extend(moved.then_some(ROUND));
    oracle.read_job(&settled(), scene);
    oracle.faults
}

#[test]
fn a_range_that_was_drawn_is_paid_when_it_is_upheld_and_only_then() {
    let scene = scene(false, |_| {});
    for (outcome, may) in [
        (None, false),
        (Some(AuditOutcome::Open), false),
        (Some(AuditOutcome::Unaudited), false),
        (Some(AuditOutcome::Upheld), true),
        (Some(AuditOutcome::Overturned), false),
        (Some(AuditOutcome::Undecided), false),
    ] {
        // Drawn at any rate, and though it might have been spared.
        for rate in [0, ONE.0] {
            let seen = Seen { rate, round: ROUND, outcome, audited: true, ..Seen::default() };
            let faults = paid(&scene, Some(seen), ROUND + 1, false);
            assert_eq!(faults.len(), usize::from(!may), "{outcome:?} at {rate}: {faults:?}");
            // One leaf of it was right: that is no audit.
            let disputed = Seen { rate: DISPUTED_RATE, ..seen };
            assert_eq!(paid(&scene, Some(disputed), ROUND + 1, false).len(), 1, "{outcome:?}");
        }
    }
    assert_eq!(paid(&scene, None, ROUND + 1, false).len(), 1, "there is no case");
}

#[test]
fn a_range_that_was_not_drawn_is_paid_when_everybody_can_see_that() {
    let mut scene = scene(false, |_| {});
    for outcome in [
        None,
        Some(AuditOutcome::Unaudited),
        Some(AuditOutcome::Upheld),
        Some(AuditOutcome::Overturned),
    ] {
        let of = |rate| Seen { rate, round: ROUND, outcome, ..Seen::default() };
        let is_open = matches!(outcome, None | Some(AuditOutcome::Unaudited));
        let is_right = |seen, block, moved| paid(&scene, Some(seen), block, moved).is_empty();
        assert_eq!(is_right(of(0), ROUND + 1, false), is_open, "{outcome:?}");
        assert!(!is_right(of(ONE.0), ROUND + 1, false), "{outcome:?}: the beacon has drawn it");
        assert!(!is_right(of(0), ROUND, false), "{outcome:?}: nobody knows the beacon yet");
        assert!(!is_right(of(0), ROUND + 1, true), "{outcome:?}: it waited for another value");
        let unknown = Seen { round: ROUND + 1, ..of(0) };
        assert!(!is_right(unknown, ROUND + 2, false), "{outcome:?}: that block has no hash");
    }
    // What was kept of a round counts when the hash of its block is gone.
    let mut oracle = oracle(Allowed::default());
    let seen = Seen { rate: 0, round: ROUND + 1, ..Seen::default() };
    oracle.cases.insert(ID, seen);
    oracle.keeps.block = 1_000;
    oracle.keeps.beacons.insert(ROUND + 1, B256::repeat_byte(4));
    oracle.read_job(&settled(), &scene);
    assert_eq!(oracle.faults, Vec::<String>::new());
    // Where nothing is audited there is nothing to wait for.
    if let Some(job) = scene.public.jobs.get_mut(&ID.job) {
        job.terms.audited = false;
    }
    assert_eq!(paid(&scene, None, 1, false), Vec::<String>::new());
}

#[test]
fn the_value_of_a_round_is_the_contracts() {
    let mut farm = Farm::new().unwrap();
    farm.set_hash(ROUND, B256::repeat_byte(3));
    farm.block = ROUND + 1;
    let (at, call) = (*farm.addresses(), SoloRandomness::valueCall { round: ROUND });
    assert_eq!(farm.read(at.randomness, &call).unwrap(), beacon(ROUND, B256::repeat_byte(3)));
}

#[test]
fn honest_work_is_paid_unless_votes_may_be_wrong() {
    let rejected = JobBookEvents::RangeRejected(JobBook::RangeRejected {
        jobId: 1,
        seq: 0,
        provider: PROVIDER,
        escrow: 0,
    });
    let idle = Allowed { idle_votes: true, ..Allowed::default() };
    let bought = Allowed { bought_votes: true, ..Allowed::default() };
    for (by_foe, allowed, faults) in [
        (false, Allowed::default(), 1),
        (false, idle, 0),
        (false, bought, 0),
        (true, Allowed::default(), 0),
    ] {
        let mut oracle = oracle(allowed);
        oracle.read_job(&rejected, &scene(by_foe, |_| {}));
        assert_eq!(oracle.faults.len(), faults, "{by_foe} {allowed:?}");
        assert_eq!(oracle.counts.honest_unpaid, u64::from(!by_foe));
    }
}

#[test]
fn honest_providers_are_late_only_where_their_machines_die() {
    let bonds = Allowed { bonds: true, ..Allowed::default() };
    for (side, allowed, bond, faults) in [
        (Side::Honest, Allowed::default(), 0, 1),
        (Side::Foe, Allowed::default(), 5, 0),
        // Of a stake of nothing there is nothing to lose.
        (Side::Honest, bonds, 0, 0),
        // Nothing of the kind was cut.
        (Side::Honest, bonds, 5, 1),
    ] {
        let mut oracle = oracle(allowed);
        oracle.meet(PROVIDER, side, 100);
        let expired =
            JobBook::RangeExpired { jobId: 1, seq: 0, provider: PROVIDER, bond, escrow: 0 };
        oracle.read_job(&JobBookEvents::RangeExpired(expired), &scene(false, |_| {}));
        assert_eq!(oracle.faults.len(), faults, "{side:?} {allowed:?} {bond}");
    }
}

#[test]
fn our_times_are_the_contracts() {
    let parameters = include_str!("../../../../contracts/src/libraries/Parameters.sol");
    for (name, value) in [
        ("ASK_FIRST", "1 hours"),
        ("HOLD_TIME", "1 hours"),
        ("HOLD_ASKS", "2"),
        ("COMMITTEE", "15"),
        ("COMMIT_TIME", "1 hours"),
        ("REVEAL_TIME", "30 minutes"),
        ("NAME_TIME", "30 minutes"),
        ("OPEN_TIME", "30 minutes"),
    ] {
        assert!(parameters.contains(&format!(" constant {name} = {value};")), "{name}");
    }
    // Three hours each, and a quarter of one for who is late.
    assert_eq!(LONGEST_HOLD, 2 * (3 * 3_600 + 900));
    let half_hour = 1_800;
    let case = 15 * (3_600 + half_hour) + half_hour + half_hour;
    assert_eq!(LONGEST_CASE, 225 + case + half_hour);
}

#[test]
fn jobs_end_in_time() {
    type Change = fn(&mut Cast);
    let rows: [(Change, bool, u64); 4] = [
        (|_| {}, false, LONGEST_CASE),
        (|cast| cast.clients[0].replicated = true, false, LONGEST_CASE + LONGEST_REPLICA),
        (
            |cast| cast.clients[0].replicated = true,
            true,
            LONGEST_CASE + LONGEST_REPLICA + LONGEST_DISPUTE,
        ),
        (|cast| cast.clients[0].keep = Some(1), false, LONGEST_CASE + LONGEST_HOLD),
    ];
    let done = JobBookEvents::JobDone(JobBook::JobDone {
        jobId: 1,
        state: 0,
        resultRoot: B256::ZERO,
        settledTasks: 16,
        refunded: 0,
    });
    for (change, disputed, time) in rows {
        let mut scene = scene(false, change);
        let deadline = scene.public.jobs[&ID.job].terms.deadline.to::<u64>();
        for (late, faults) in [(0, 0), (1, 1)] {
            let mut oracle = oracle(Allowed::default());
            oracle.disputed.extend(disputed.then_some(ID.job));
            scene.farm.now = deadline + time + late;
            oracle.read_job(&done, &scene);
            assert_eq!(oracle.faults.len(), faults, "{late} after {time}: {:?}", oracle.faults);
        }
    }
}

#[test]
fn money_that_is_missing_or_too_much_is_seen() {
    const STRANGER: Address = Address::repeat_byte(7);
    // Who brought how much, and what they are said to have brought.
    for (brought, said, faults) in [
        (vec![(CLIENT, 100), (PROVIDER, 50)], vec![(CLIENT, 100), (PROVIDER, 50)], 0),
        (vec![(CLIENT, 100)], vec![(CLIENT, 101)], 1),
        (vec![(CLIENT, 100)], vec![(CLIENT, 99)], 1),
        (vec![(CLIENT, 100)], vec![], 1),
        // The sum is right, and somebody has it whom nobody knows.
        (vec![(STRANGER, 100)], vec![(CLIENT, 100)], 1),
    ] {
        let mut scene = scene(false, |_| {});
        let mut oracle = oracle(Allowed::default());
        for (who, money) in &brought {
            scene.farm.fund(*who, *money).unwrap();
        }
        for (who, money) in &said {
            oracle.meet(*who, Side::Honest, *money);
        }
        oracle.check_money(&mut scene).unwrap();
        assert_eq!(oracle.faults.len(), faults, "{brought:?} {said:?}");
        assert!(oracle.faults.iter().all(|fault| fault.starts_with("money: ")));
    }
}

#[test]
fn money_that_is_locked_for_nobody_is_seen() {
    let mut scene = scene(false, |_| {});
    let stake = 200 * tilth_protocol::amount::GRAIN;
    scene.farm.register(PROVIDER, 1, stake).unwrap();
    let mut knows = oracle(Allowed::default());
    knows.meet(PROVIDER, Side::Honest, stake);
    knows.check_money(&mut scene).unwrap();
    assert_eq!(knows.faults, Vec::<String>::new());
    // The registry has locked what no account of anybody known has.
    let mut blind = oracle(Allowed::default());
    blind.check_money(&mut scene).unwrap();
    assert_eq!(blind.faults.len(), 1);
}
