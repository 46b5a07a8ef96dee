//! When disputes are drawn and how they end, by logs alone.

use alloy_primitives::{Address, U256, aliases::U40};
use alloy_sol_types::SolEvent;
use tilth_contracts::{Audits, RangeState, Replicas};
use tilth_protocol::{JobId, Leaf as Told, Status};
use tilth_verification::audit::answer;

use super::*;
use crate::{farm::Farm, random::Random, trust::public::Range};

const ID: RangeId = RangeId { job: JobId(1), seq: 0 };
/// When its range was handed in.
const AT: u64 = 1_000;
/// The last second in which it can be drawn.
const LAST: u64 = AT + DISPUTE_DRAW_TIME_S;

/// What its primary shows, what its mate does, and what neither has found.
const LEAVES: [&[u8]; 3] = [b"primary", b"mate", b"neither"];

/// What auditors say who find such an output in the leaf that is in dispute.
fn found(output: &[u8]) -> B256 {
    answer(ID.job, &[Told::finished(7, output, 50); SAMPLES as usize])
}

struct Play {
    disputes: Disputes,
    counts: Counts,
    scene: Scene,
}

impl Play {
    /// A range, and a dispute about it that has just begun.
    fn new() -> Self {
        let mut scene = Scene::new(Farm::new().unwrap(), Random::new(0));
        let range = Range {
            provider: Address::repeat_byte(2),
            from: 0,
            count: 1,
            price: 1,
            state: RangeState::Submitted,
            at: AT,
            root: B256::ZERO,
        };
        scene.public.ranges.insert(ID, range);
        let (disputes, counts) = (Disputes::default(), Counts::default());
        let mut play = Self { disputes, counts, scene };
        // The mate first, whose number is the greater one.
        play.show(2, LEAVES[1]);
        play.show(1, LEAVES[0]);
        play.begin(AT + 60, DISPUTED_RATE);
        play
    }

    fn tell<E: SolEvent>(&mut self, address: Address, time: u64, event: &E) {
        let log = Log { address, data: event.encode_log_data() };
        self.disputes.read(&log, time, &self.scene, &mut self.counts);
    }

    fn show(&mut self, number: u32, output: &[u8]) {
        let told = Told::finished(7, output, 50);
        let leaf = Leaf {
            job: ID.job.0,
            index: told.index,
            status: told.status as u8,
            output: told.output.into(),
            size: told.size,
            units: told.units,
        };
        let replicas = self.scene.farm.addresses().replicas;
        self.tell(replicas, AT + 50, &Replicas::LeafShown { jobId: 1, seq: 0, number, leaf });
    }

    fn begin(&mut self, time: u64, rate: u32) {
        let audits = self.scene.farm.addresses().audits;
        let due = Audits::AuditDue { jobId: 1, seq: 0, round: 5, provider: 1, rate };
        self.tell(audits, time, &due);
    }

    fn draw(&mut self, time: u64) {
        let audits = self.scene.farm.addresses().audits;
        let (positions, deadline) = (U256::ZERO, U40::from(time + 3_600));
        let stage = Audits::AuditStage { jobId: 1, seq: 0, stage: 0, positions, deadline };
        self.tell(audits, time, &stage);
    }

    /// Auditors find what that says, if it is one of both.
    fn decide(&mut self, time: u64, outcome: AuditOutcome) {
        let answer = match outcome {
            AuditOutcome::Upheld => found(LEAVES[0]),
            AuditOutcome::Overturned => found(LEAVES[1]),
            _ => B256::ZERO,
        };
        self.decide_as(time, outcome, answer);
    }

    fn decide_as(&mut self, time: u64, outcome: AuditOutcome, answer: B256) {
        let audits = self.scene.farm.addresses().audits;
        let closed = Audits::AuditClosed {
            jobId: 1,
            seq: 0,
            outcome: outcome.into(),
            answer,
            provider: 1,
            record: 0,
        };
        self.tell(audits, time, &closed);
    }

    fn lose(&mut self, time: u64) {
        let replicas = self.scene.farm.addresses().replicas;
        let lost = Replicas::MateLost { jobId: 1, seq: 0, number: 2, why: 2, cut: 9 };
        self.tell(replicas, time, &lost);
    }

    fn close(&mut self, time: u64, outcome: ReplicaOutcome) {
        let replicas = self.scene.farm.addresses().replicas;
        let closed = Replicas::ReplicaClosed { jobId: 1, seq: 0, outcome: outcome.into() };
        self.tell(replicas, time, &closed);
    }

    fn is_right(&self) -> bool {
        self.disputes.faults.is_empty()
    }
}

#[test]
fn our_times_are_the_contracts() {
    let parameters = include_str!("../../../../contracts/src/libraries/Parameters.sol");
    assert!(parameters.contains(" constant DRAW_TIME = 5 days;"));
    assert!(parameters.contains(" constant DISPUTE_DRAW_TIME = DRAW_TIME / 2;"));
    assert_eq!(DRAW_TIME_S, 5 * 86_400);
    assert_eq!(DISPUTE_DRAW_TIME_S, DRAW_TIME_S / 2);
}

#[test]
fn nobody_is_drawn_when_the_time_is_over() {
    for (time, is_right) in [(AT + 70, true), (LAST, true), (LAST + 1, false)] {
        let mut play = Play::new();
        assert!(play.disputes.is_undrawn(ID));
        play.draw(time);
        assert_eq!(play.is_right(), is_right, "{time}");
        assert!(!play.disputes.is_undrawn(ID));
    }
}

#[test]
fn what_nobody_was_drawn_for_is_undecided_and_only_when_it_is_late() {
    for (outcome, time, is_right) in [
        (AuditOutcome::Undecided, LAST + 1, true),
        (AuditOutcome::Undecided, LAST, false),
        (AuditOutcome::Upheld, LAST + 1, false),
        (AuditOutcome::Overturned, LAST + 1, false),
        (AuditOutcome::Unaudited, LAST + 1, false),
    ] {
        let mut play = Play::new();
        play.decide(time, outcome);
        assert_eq!(play.is_right(), is_right, "{outcome} at {time}");
        assert_eq!(play.counts.disputes, [0, 1]);
    }
}

#[test]
fn a_replica_ends_as_its_dispute_has() {
    let all = [ReplicaOutcome::Matched, ReplicaOutcome::Alone, ReplicaOutcome::Unequal];
    for (decided, due) in [
        (Some(AuditOutcome::Upheld), Some(ReplicaOutcome::Alone)),
        (Some(AuditOutcome::Overturned), Some(ReplicaOutcome::Unequal)),
        (Some(AuditOutcome::Undecided), Some(ReplicaOutcome::Unequal)),
        (None, None),
    ] {
        for outcome in all {
            let mut play = Play::new();
            play.draw(AT + 70);
            if let Some(decided) = decided {
                play.decide(AT + 80, decided);
            }
            if decided == Some(AuditOutcome::Upheld) {
                play.lose(AT + 85);
            }
            assert_eq!(play.disputes.faults, Vec::<String>::new());
            play.close(AT + 90, outcome);
            assert_eq!(play.is_right(), due == Some(outcome), "{decided:?} {outcome}");
        }
    }
}

#[test]
fn a_mate_loses_when_something_else_is_found_and_by_nothing_else() {
    let [primary, mate, neither] = LEAVES.map(found);
    for (decided, is_wrong) in [
        (Some((AuditOutcome::Upheld, primary)), true),
        (Some((AuditOutcome::Overturned, mate)), false),
        (Some((AuditOutcome::Overturned, neither)), true),
        (Some((AuditOutcome::Undecided, B256::ZERO)), false),
        // Nothing is decided yet.
        (None, false),
    ] {
        for loses in [false, true] {
            let mut play = Play::new();
            play.draw(AT + 70);
            if let Some((outcome, answer)) = decided {
                play.decide_as(AT + 80, outcome, answer);
            }
            if loses {
                play.lose(AT + 90);
                assert_eq!(play.is_right(), is_wrong, "{decided:?}");
                let before = play.disputes.faults.len();
                play.lose(AT + 90);
                assert_eq!(play.disputes.faults.len(), before + 1, "{decided:?}: twice");
                continue;
            }
            let Some((outcome, _)) = decided else { continue };
            let upheld = outcome == AuditOutcome::Upheld;
            let end = if upheld { ReplicaOutcome::Alone } else { ReplicaOutcome::Unequal };
            play.close(AT + 90, end);
            assert_eq!(play.is_right(), !is_wrong, "{decided:?}: it costs nothing");
        }
    }
    let mut late = Play::new();
    late.draw(AT + 70);
    late.decide(AT + 80, AuditOutcome::Upheld);
    late.lose(AT + 85);
    late.close(AT + 90, ReplicaOutcome::Alone);
    assert!(late.is_right());
    late.lose(AT + 95);
    assert!(!late.is_right(), "its replica is closed");
}

#[test]
fn both_have_shown_a_leaf_before_that_is_disputed() {
    let mut play = Play::new();
    let by_mate = play.disputes.all[&ID].by_mate;
    assert_eq!(by_mate, Some(found(LEAVES[1])));
    play.disputes.shown.clear();
    play.show(1, LEAVES[0]);
    play.begin(AT + 60, DISPUTED_RATE);
    assert_eq!(play.disputes.faults.len(), 1);
}

#[test]
fn a_leaf_comes_to_what_its_auditors_say() {
    for (status, code) in [(Status::Ok, 0), (Status::Trap, 1)] {
        let told = Told { status, ..Told::finished(9, b"output", 30) };
        let output = told.output.into();
        let leaf = Leaf { job: 1, index: 9, status: code, output, size: 6, units: 30 };
        assert_eq!(answer_of_one(&leaf), answer(ID.job, &[told; SAMPLES as usize]));
    }
}

#[test]
fn the_audit_that_follows_has_its_time() {
    let last = AT + DRAW_TIME_S - LEFT_S;
    for (time, is_right) in [(last, true), (last + 1, false)] {
        let mut play = Play::new();
        play.draw(LAST);
        play.decide(time, AuditOutcome::Upheld);
        play.lose(time);
        play.close(time, ReplicaOutcome::Alone);
        play.begin(time, 1);
        assert_eq!(play.is_right(), is_right, "{time}");
        // What becomes of it is another case's.
        play.draw(time + 60);
        play.decide(time + 90, AuditOutcome::Upheld);
        assert_eq!(play.counts.disputes, [1, 0]);
    }
}

#[test]
fn every_dispute_ends() {
    for (decided, closed) in [(false, false), (true, false), (true, true)] {
        let mut play = Play::new();
        play.draw(AT + 70);
        if decided {
            play.decide(AT + 80, AuditOutcome::Upheld);
        }
        if closed {
            play.lose(AT + 85);
            play.close(AT + 90, ReplicaOutcome::Alone);
        }
        assert!(play.is_right());
        play.disputes.check();
        assert_eq!(play.is_right(), closed, "{decided}");
    }
}
