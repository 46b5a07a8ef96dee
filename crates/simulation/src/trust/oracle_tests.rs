//! What a verdict may be, whoever handed the work in.

use alloy_primitives::B256;
use tilth_contracts::HoldState;

use super::*;
use crate::{
    random::Random,
    trust::{kept, scene::Handed},
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
fn where_most_were_absent_they_pay_if_others_hold_what_all_needed() {
    for (absent, are_held, is_fault) in
        [(1, false, false), (2, false, true), (1, true, false), (2, true, false)]
    {
        let mut oracle = Oracle::new(Allowed::default(), Share::new(0));
        oracle.cases.insert(ID, Seen { given: 3, ..Seen::default() });
        let mut inputs = kept::Seen::new(Vec::new(), 0);
        inputs.state = if are_held { HoldState::Held } else { HoldState::Lost };
        oracle.keeps.ranges.insert(RangeId::inputs(ID.job), inputs);
        (0..absent).for_each(|_| oracle.miss(ID, 0));
        oracle.miss(ID, 5);
        assert_eq!(!oracle.faults.is_empty(), is_fault, "{absent} {are_held}");
        let most = absent == 2;
        assert_eq!(oracle.counts.absences, [u64::from(!most), u64::from(most)]);
    }
}
