//! What a verdict may be, whoever handed the work in.

use alloy_primitives::B256;
use alloy_sol_types::SolEvent;
use tilth_contracts::{Auditors, Audits, RangeState, Registry, SoloRandomness};

use super::*;
use crate::{
    random::Random,
    trust::{
        Cast,
        cast::terms,
        mind::{Conduct, Sight},
        pairs,
        public::{Job, Range},
        scene::Handed,
    },
};

const ID: RangeId = RangeId { job: JobId(1), seq: 0 };
/// An answer that somebody voted for.
const VOTED: B256 = B256::repeat_byte(1);

/// A range that was handed in by a foe or not, and whether a wrong leaf of it was drawn; `None`: none was drawn yet.
#[derive(Clone, Copy)]
struct Work {
    by_foe: bool,
    hit: Option<bool>,
}

fn scene() -> Scene {
    Scene::new(crate::farm::Farm::new().unwrap(), Random::new(0))
}

/// An oracle that has seen how the case of a range ended.
fn judged(
    scene: &mut Scene,
    allowed: Allowed,
    Work { by_foe, hit }: Work,
    (outcome, answer): (AuditOutcome, B256),
) -> Oracle {
    let wrong = vec![hit == Some(true)];
    scene.handed.insert(ID, Handed { leaves: Vec::new(), wrong, units: 1, by_foe });
    let mut oracle = Oracle::new(allowed, Share::new(0));
    oracle.cases.insert(ID, Seen { hit, ..Seen::default() });
    oracle.judge(ID, outcome, answer, scene);
    oracle
}

#[test]
fn verdicts_are_held_to_what_was_drawn_and_not_to_who_handed_it_in() {
    let mut scene = scene();
    for by_foe in [false, true] {
        for (wrong, outcome, is_fault) in [
            (false, AuditOutcome::Upheld, false),
            (true, AuditOutcome::Upheld, true),
            (false, AuditOutcome::Overturned, true),
            (true, AuditOutcome::Overturned, false),
            (false, AuditOutcome::Undecided, true),
            (true, AuditOutcome::Undecided, true),
            (true, AuditOutcome::Unaudited, false),
        ] {
            let work = Work { by_foe, hit: Some(wrong) };
            let oracle = judged(&mut scene, Allowed::default(), work, (outcome, VOTED));
            assert_eq!(!oracle.faults.is_empty(), is_fault, "{by_foe} {wrong} {outcome}");
            let heard = u64::from(outcome != AuditOutcome::Unaudited);
            assert_eq!(oracle.counts.verdicts, heard);
        }
    }
}

#[test]
fn a_case_follows_another_only_where_a_provider_was_right_in_a_dispute() {
    let (upheld, overturned) = (Some(AuditOutcome::Upheld), Some(AuditOutcome::Overturned));
    for (before, outcome, rate, is_right) in [
        (DISPUTED_RATE, upheld, 1, true),
        (DISPUTED_RATE, upheld, DISPUTED_RATE, false),
        (DISPUTED_RATE, overturned, 1, false),
        (DISPUTED_RATE, None, 1, false),
        (1, upheld, 1, false),
        (1, Some(AuditOutcome::Unaudited), DISPUTED_RATE, false),
    ] {
        let mut oracle = Oracle::new(Allowed::default(), Share::new(0));
        oracle.begin(ID, before);
        assert_eq!(oracle.faults, Vec::<String>::new());
        if let Some(seen) = oracle.cases.get_mut(&ID) {
            (seen.outcome, seen.hit, seen.audited) = (outcome, Some(true), true);
        }
        oracle.begin(ID, rate);
        assert_eq!(oracle.faults.is_empty(), is_right, "{before} {outcome:?} {rate}");
        let seen = oracle.cases[&ID];
        assert_eq!((seen.rate, seen.hit, seen.audited), (rate, None, false), "it begins anew");
    }
}

#[test]
fn only_foes_are_silent_and_nobody_has_voted_them_down() {
    let mut scene = scene();
    let idle = Allowed { idle_votes: true, ..Allowed::default() };
    let bought = Allowed { bought_votes: true, ..Allowed::default() };
    for allowed in [Allowed::default(), idle, bought] {
        for hit in [None, Some(false), Some(true)] {
            for by_foe in [false, true] {
                let end = (AuditOutcome::Overturned, B256::ZERO);
                let oracle = judged(&mut scene, allowed, Work { by_foe, hit }, end);
                assert_eq!(oracle.faults.is_empty(), by_foe);
                assert_eq!((oracle.counts.framed.trials, oracle.counts.bought.trials), (0, 0));
            }
        }
    }
}

#[test]
fn where_files_are_withheld_only_foes_work_stays_undecided() {
    let mut scene = scene();
    let allowed = Allowed { absences: true, ..Allowed::default() };
    for by_foe in [false, true] {
        let work = Work { by_foe, hit: Some(false) };
        let oracle = judged(&mut scene, allowed, work, (AuditOutcome::Undecided, B256::ZERO));
        assert_eq!(oracle.faults.is_empty(), by_foe);
    }
}

#[test]
fn where_votes_may_be_wrong_each_kind_of_error_is_counted() {
    let mut scene = scene();
    let idle = Allowed { idle_votes: true, ..Allowed::default() };
    let bought = Allowed { bought_votes: true, ..Allowed::default() };
    for by_foe in [false, true] {
        let mut counts = |allowed: Allowed, wrong: bool, outcome: AuditOutcome| {
            let work = Work { by_foe, hit: Some(wrong) };
            let oracle = judged(&mut scene, allowed, work, (outcome, VOTED));
            assert_eq!(oracle.faults, Vec::<String>::new());
            let Counts { framed, no_lead, bought, .. } = oracle.counts;
            let pair = |sample: super::super::sample::Sample| (sample.trials, sample.came);
            [pair(framed), pair(no_lead), pair(bought)]
        };
        let (upheld, overturned) = (AuditOutcome::Upheld, AuditOutcome::Overturned);
        assert_eq!(counts(idle, false, overturned), [(1, 1), (1, 0), (0, 0)]);
        assert_eq!(counts(idle, false, AuditOutcome::Undecided), [(1, 0), (1, 1), (0, 0)]);
        assert_eq!(counts(bought, false, overturned), [(1, 1), (0, 0), (0, 0)]);
        assert_eq!(counts(bought, true, overturned), [(0, 0), (0, 0), (1, 0)]);
        assert_eq!(counts(bought, true, upheld), [(0, 0), (0, 0), (1, 1)]);
    }
}

#[test]
fn where_most_were_absent_or_nobody_holds_the_inputs_none_of_them_pays() {
    for (absent, given, is_kept, is_fault) in [
        (1, 3, true, false),
        (1, 3, false, true),
        (1, 2, true, false),
        (1, 1, true, true),
        (2, 4, true, false),
        (2, 4, false, true),
        (2, 3, true, true),
    ] {
        let mut oracle = Oracle::new(Allowed::default(), Share::new(0));
        oracle.cases.insert(ID, Seen { given, ..Seen::default() });
        (0..absent).for_each(|seat| oracle.miss_in(ID, seat, 0, is_kept));
        // That nothing was left to be cut is not another absence.
        oracle.miss_in(ID, 0, 0, is_kept);
        assert_eq!(oracle.counts.absences, 0, "it was noticed, and has cost nothing yet");
        oracle.miss_in(ID, 0, 5, is_kept);
        let seen = format!("{absent} of {given}, kept: {is_kept}");
        assert_eq!(!oracle.faults.is_empty(), is_fault, "{seen}: {:?}", oracle.faults);
        assert_eq!(oracle.counts.absences, 1);
    }
}

/// A client, a provider, a mate, and somebody else: auditors of these numbers, all of them.
const PARTIES: [Address; 4] = [
    Address::repeat_byte(1),
    Address::repeat_byte(2),
    Address::repeat_byte(3),
    Address::repeat_byte(4),
];

/// An oracle that has seen a replicated range get its mate, and a case about it begin.
fn begun(scene: &mut Scene, rate: u32) -> Oracle {
    let [client, provider, mate, _] = PARTIES;
    let terms = terms(&Cast::honest(16, 0, 0).clients[0], 0);
    let job = Job { client, terms, settled: 0, over: false };
    scene.public.jobs.insert(ID.job, job);
    let range = Range {
        provider,
        from: 0,
        count: 4,
        price: 1,
        state: RangeState::Submitted,
        at: 10,
        root: B256::ZERO,
    };
    scene.public.ranges.insert(ID, range);
    let mut oracle = Oracle::new(Allowed::default(), Share::new(0));
    for who in PARTIES {
        oracle.keeps.meet(who, (Conduct::Fetches, Sight::Looks), 100);
    }
    for who in [provider, mate] {
        oracle.pairs.meet(who, Side::Honest, 100);
    }
    let seen = pairs::Seen { primary: 1, mate: 2, ..pairs::Seen::default() };
    oracle.pairs.ranges.insert(ID, seen);
    oracle.begin(ID, rate);
    oracle
}

#[test]
fn nobody_judges_what_it_has_a_part_in() {
    let mut scene = scene();
    // In an audit of its own a mate's voice is one like all others.
    for (auditor, audited, disputed) in
        [(1, false, false), (2, false, false), (3, true, false), (4, true, true), (5, true, true)]
    {
        for (rate, is_right) in [(1, audited), (DISPUTED_RATE, disputed)] {
            let mut oracle = begun(&mut scene, rate);
            // Whom the beacon draws is seen to beside this (`seats_tests`).
            oracle.seat(ID, auditor, 6, &scene);
            assert_eq!(oracle.faults.is_empty(), is_right, "{auditor} at {rate}");
            assert_eq!(oracle.cases[&ID].given, 7);
        }
    }
}

#[test]
fn of_every_cut_half_is_burned_at_least() {
    let scene = scene();
    let [owner, beneficiary, ..] = PARTIES;
    let at = *scene.farm.addresses();
    for (given, burned, is_right) in
        [(50, 50, true), (0, 100, true), (49, 50, true), (51, 49, false), (1, 0, false)]
    {
        let provider = Registry::StakeSlashed {
            owner,
            beneficiary,
            toBeneficiary: given,
            burned,
            stake: 0,
            unbonding: 0,
        };
        let auditor = Auditors::AuditorSlashed {
            owner,
            beneficiary,
            toBeneficiary: given,
            burned,
            stake: 0,
            leaving: 0,
        };
        for (address, data) in
            [(at.registry, provider.encode_log_data()), (at.auditors, auditor.encode_log_data())]
        {
            let mut oracle = Oracle::new(Allowed::default(), Share::new(0));
            oracle.meet(owner, Side::Foe, 100);
            oracle.read(&Log { address, data }, &scene);
            assert_eq!(oracle.faults.is_empty(), is_right, "{given} {burned}: {:?}", oracle.faults);
            assert_eq!((oracle.given(&beneficiary), oracle.counts.honest_cut), (given, 0));
        }
    }
}

#[test]
fn a_case_goes_by_its_own_round_and_by_whether_that_has_moved() {
    let scene = scene();
    let at = *scene.farm.addresses();
    let mut oracle = Oracle::new(Allowed::default(), Share::new(0));
    let due = Audits::AuditDue { jobId: 1, seq: 0, round: 7, provider: 1, rate: 5 };
    let moved = SoloRandomness::Moved { round: 7, to: 9 };
    for (address, data) in
        [(at.audits, due.encode_log_data()), (at.randomness, moved.encode_log_data())]
    {
        oracle.read(&Log { address, data }, &scene);
    }
    assert_eq!((oracle.cases[&ID].round, oracle.cases[&ID].rate), (7, 5));
    assert!(oracle.moved.contains(&7) && !oracle.moved.contains(&9));
}
