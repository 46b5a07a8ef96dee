//! When disputes are drawn and how they end, by logs alone.

use alloy_primitives::{Address, B256, U256, aliases::U40};
use alloy_sol_types::SolEvent;
use tilth_contracts::{Audits, RangeState, Replicas};
use tilth_protocol::JobId;

use super::*;
use crate::{farm::Farm, random::Random, trust::public::Range};

const ID: RangeId = RangeId { job: JobId(1), seq: 0 };
/// When its range was handed in.
const AT: u64 = 1_000;
/// The last second in which it can be drawn.
const LAST: u64 = AT + DISPUTE_DRAW_TIME_S;

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
        play.begin(AT + 60, DISPUTED_RATE);
        play
    }

    fn tell<E: SolEvent>(&mut self, address: Address, time: u64, event: &E) {
        let log = Log { address, data: event.encode_log_data() };
        self.disputes.read(&log, time, &self.scene, &mut self.counts);
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

    fn decide(&mut self, time: u64, outcome: AuditOutcome) {
        let audits = self.scene.farm.addresses().audits;
        let closed = Audits::AuditClosed {
            jobId: 1,
            seq: 0,
            outcome: outcome.into(),
            answer: B256::ZERO,
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
            assert_eq!(play.disputes.faults, Vec::<String>::new());
            play.close(AT + 90, outcome);
            assert_eq!(play.is_right(), due == Some(outcome), "{decided:?} {outcome}");
        }
    }
}

#[test]
fn nobody_loses_by_what_was_not_decided() {
    for (decided, is_right) in [
        (AuditOutcome::Upheld, true),
        (AuditOutcome::Overturned, true),
        (AuditOutcome::Undecided, false),
    ] {
        let mut play = Play::new();
        play.draw(AT + 70);
        play.decide(AT + 80, decided);
        play.lose(AT + 90);
        assert_eq!(play.is_right(), is_right, "{decided}");
    }
}

#[test]
fn the_audit_that_follows_has_its_time() {
    let last = AT + DRAW_TIME_S - LEFT_S;
    for (time, is_right) in [(last, true), (last + 1, false)] {
        let mut play = Play::new();
        play.draw(LAST);
        play.decide(time, AuditOutcome::Upheld);
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
            play.close(AT + 90, ReplicaOutcome::Alone);
        }
        assert!(play.is_right());
        play.disputes.check();
        assert_eq!(play.is_right(), closed, "{decided}");
    }
}
