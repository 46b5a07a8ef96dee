//! What may become of a replicated range, by logs alone.

use alloy_primitives::{
    aliases::{U40, U96},
    keccak256,
};
use tilth_contracts::{Audits, JobBook, RangeState, Replicas, Waiting};
use tilth_verification::replica::MATE_DUTIES;

use super::*;
use crate::{
    farm::Farm,
    random::Random,
    trust::{public::Range, scene::Handed, workload},
};

const ID: RangeId = RangeId { job: JobId(1), seq: 0 };
/// Numbers of providers: two that are honest, and two friends.
const HONEST: [u32; 2] = [1, 2];
const FOES: [u32; 2] = [3, 4];

fn who(number: u32) -> Address {
    Address::with_last_byte(number.to_le_bytes()[0])
}

/// Four providers with a stake of 100 each, and a range worth 10.
struct Play {
    pairs: Pairs,
    counts: Counts,
    scene: Scene,
}

impl Play {
    fn new(is_forged: bool) -> Self {
        let mut scene = Scene::new(Farm::new().unwrap(), Random::new(0));
        let (leaves, wrong) = (workload::leaves(ID.job, 0, 1), vec![is_forged]);
        scene.handed.insert(ID, Handed { leaves, wrong, units: 10, by_foe: is_forged });
        let range = Range {
            provider: who(1),
            from: 0,
            count: 1,
            price: 1,
            state: RangeState::Submitted,
            at: 0,
            root: B256::ZERO,
        };
        scene.public.ranges.insert(ID, range);
        let mut pairs = Pairs::default();
        for number in HONEST.into_iter().chain(FOES) {
            let side = if FOES.contains(&number) { Side::Foe } else { Side::Honest };
            pairs.meet(who(number), side, 100);
        }
        Self { pairs, counts: Counts::default(), scene }
    }

    fn tell<E: SolEvent>(&mut self, address: Address, time: u64, event: &E) {
        let log = Log { address, data: event.encode_log_data() };
        self.pairs.read(&log, time, &self.scene, &mut self.counts);
    }

    fn wait(&mut self, time: u64, number: u32, bond: u64) {
        let (bond, at) = (U96::from(bond), self.scene.farm.addresses().waiting);
        let event = Waiting::ProviderWaits { jobId: 1, number, bond, minPrice: U96::ZERO };
        self.tell(at, time, &event);
    }

    fn due(&mut self, time: u64, provider: u32) {
        let at = self.scene.farm.addresses().replicas;
        let due = U40::ZERO;
        self.tell(at, time, &Replicas::MateDue { jobId: 1, seq: 0, round: 1, provider, due });
    }

    /// The beacon's value is one that draws this provider next, if any does.
    fn beacon_for(&mut self, number: u32) {
        let at = self.scene.farm.addresses().randomness;
        for n in 0_u32..200 {
            let value = keccak256(n.to_be_bytes());
            self.tell(at, 0, &SoloRandomness::Noted { round: 1, value });
            if self.pairs.found(ID, &self.scene).is_some_and(|(found, _)| found == number) {
                return;
            }
        }
    }

    /// It becomes the mate, by a beacon that draws it if any does.
    fn draw(&mut self, time: u64, number: u32) {
        self.beacon_for(number);
        self.make_mate(time, number);
    }

    /// It becomes the mate, whomever the beacon draws.
    fn make_mate(&mut self, time: u64, number: u32) {
        let at = self.scene.farm.addresses().replicas;
        let due = U40::ZERO;
        self.tell(at, time, &Replicas::MateDrawn { jobId: 1, seq: 0, number, due });
    }

    fn lose(&mut self, time: u64, number: u32) {
        let at = self.scene.farm.addresses().replicas;
        self.tell(at, time, &Replicas::MateLost { jobId: 1, seq: 0, number, why: 0, cut: 1 });
    }

    /// Nobody is its mate.
    fn alone(&mut self, time: u64, lapsed: bool) {
        let at = self.scene.farm.addresses().replicas;
        let due = U40::ZERO;
        self.tell(at, time, &Replicas::NoMate { jobId: 1, seq: 0, lapsed, due });
    }

    /// It is drawn for so many ranges.
    fn work(&mut self, time: u64, number: u32, times: u16) {
        for _ in 0..times {
            self.due(time, 1);
            self.draw(time, number);
        }
    }

    fn free(&mut self, time: u64, number: u32, bond: u64) {
        let at = self.scene.farm.addresses().waiting;
        let bond = U96::from(bond);
        self.tell(at, time, &Waiting::BondFreed { jobId: 1, number, bond });
    }

    fn close(&mut self, time: u64, outcome: ReplicaOutcome) {
        let at = self.scene.farm.addresses().replicas;
        let outcome = outcome.into();
        self.tell(at, time, &Replicas::ReplicaClosed { jobId: 1, seq: 0, outcome });
    }

    fn dispute(&mut self) {
        let at = self.scene.farm.addresses().replicas;
        self.tell(at, 15, &Replicas::LeafDisputed { jobId: 1, seq: 0, position: 3 });
    }

    fn audit(&mut self, rate: u32) {
        let at = self.scene.farm.addresses().audits;
        self.tell(at, 20, &Audits::AuditDue { jobId: 1, seq: 0, round: 1, provider: 1, rate });
    }

    fn pay(&mut self, mate: (Address, u128, u128), primary: (u128, u128)) {
        let at = self.scene.farm.addresses().job_book;
        let (provider, paid, fee) = mate;
        self.tell(at, 30, &JobBook::MateSettled { jobId: 1, seq: 0, provider, paid, fee });
        let (provider, (paid, fee)) = (who(1), primary);
        let root = B256::ZERO;
        let event =
            JobBook::RangeSettled { jobId: 1, seq: 0, provider, paid, fee, resultRoot: root };
        self.tell(at, 30, &event);
    }
}

#[test]
fn the_line_is_that_of_the_second_before_the_submission() {
    for (joins, is_on_it) in [(10, true), (11, false)] {
        let mut play = Play::new(false);
        play.wait(9, 1, 50);
        play.wait(joins, 2, 50);
        play.due(11, 3);
        play.draw(14, 2);
        assert_eq!(play.pairs.faults.is_empty(), is_on_it, "{joins}");
    }
    // Nobody is its own mate, and nobody is asked twice.
    let mut play = Play::new(false);
    play.wait(9, 1, 50);
    play.due(11, 1);
    play.draw(14, 1);
    assert_eq!(play.pairs.faults.len(), 1);
    play.draw(15, 1);
    assert_eq!(play.pairs.faults.len(), 2);
}

#[test]
fn whoever_is_fit_may_be_drawn() {
    for (bond, fits) in [(10, true), (9, false)] {
        let mut play = Play::new(false);
        play.wait(9, 2, bond);
        play.due(11, 1);
        play.draw(14, 2);
        assert_eq!(play.pairs.faults.is_empty(), fits, "{bond}");
        let mut play = Play::new(false);
        play.wait(9, 2, bond);
        play.due(11, 1);
        play.beacon_for(2);
        play.alone(14, false);
        assert_eq!(play.pairs.faults.is_empty(), !fits, "nobody was drawn");
    }
}

#[test]
fn nobody_has_more_to_do_than_it_can() {
    let mut play = Play::new(false);
    play.wait(9, 2, 50);
    play.work(11, 2, MATE_DUTIES);
    assert_eq!(play.pairs.faults, Vec::<String>::new());
    play.work(11, 2, 1);
    assert_eq!(play.pairs.faults.len(), 1);
}

#[test]
fn nobody_but_whom_the_beacon_draws_is_the_mate() {
    for (drawn, is_right) in [(2, true), (3, false)] {
        let mut play = Play::new(false);
        [2, 3].into_iter().for_each(|number| play.wait(9, number, 50));
        play.due(11, 1);
        play.beacon_for(drawn);
        play.make_mate(14, 2);
        assert_eq!(play.pairs.faults.is_empty(), is_right, "{drawn}");
    }
    // Before there is a beacon there is no draw, and nobody is alone because of one.
    let mut play = Play::new(false);
    play.due(11, 1);
    play.alone(14, false);
    assert_eq!(play.pairs.faults.len(), 1);
}

#[test]
fn only_who_was_drawn_and_has_enough_to_do_is_why_nobody_is_asked() {
    for (busy, duties, drawn, is_reason) in [
        (2, MATE_DUTIES, 2, true),
        (2, MATE_DUTIES - 1, 2, false),
        (2, MATE_DUTIES, 3, false),
        (4, MATE_DUTIES, 2, false),
    ] {
        let mut play = Play::new(false);
        // The last one would be fit for less.
        for (number, bond) in [(2, 10), (3, 10), (4, 10)] {
            play.wait(9, number, bond);
        }
        play.work(11, busy, duties);
        play.wait(12, 4, 9);
        play.due(14, 1);
        play.beacon_for(drawn);
        play.alone(16, false);
        assert_eq!(play.pairs.faults.is_empty(), is_reason, "{busy} {duties} {drawn}");
    }
}

#[test]
fn who_is_late_is_followed_by_whom_the_next_draw_finds_up_to_three() {
    for (late, is_right) in [(1, false), (2, false), (3, true)] {
        let mut play = Play::new(false);
        (1..=4).for_each(|number| play.wait(9, number, 50));
        // Somebody who does not wait.
        play.due(11, 9);
        for number in 1..=late {
            let before = play.pairs.faults.len();
            play.draw(14, number);
            assert_eq!(play.pairs.faults.len(), before, "{number} of {late}");
            play.lose(14, number);
        }
        let before = play.pairs.faults.len();
        play.alone(14, false);
        assert_eq!(play.pairs.faults.len() == before, is_right, "after {late}");
    }
}

#[test]
fn where_the_beacon_lapsed_nobody_is_drawn_and_the_audit_is_sure() {
    for (rate, is_right) in [(ONE.0, true), (ONE.0 - 1, false)] {
        let mut play = Play::new(true);
        play.wait(9, 2, 50);
        play.due(11, 3);
        play.alone(14, true);
        play.close(15, ReplicaOutcome::Alone);
        assert_eq!(play.pairs.faults, Vec::<String>::new(), "somebody fit waits, all the same");
        assert_eq!(play.counts.matches.trials, 0, "no draw");
        play.audit(rate);
        assert_eq!(play.pairs.faults.is_empty(), is_right, "{rate}");
    }
}

#[test]
fn nobody_honest_loses_a_place_or_a_stake() {
    for (number, is_right) in [(2, false), (3, true)] {
        let mut play = Play::new(false);
        play.wait(9, number, 50);
        play.due(11, 1);
        play.draw(14, number);
        play.lose(15, number);
        assert_eq!(play.pairs.faults.is_empty(), is_right, "mate {number}");
        let mut play = Play::new(false);
        let at = play.scene.farm.addresses().replicas;
        play.due(11, number);
        play.tell(at, 15, &Replicas::PrimaryLost { jobId: 1, seq: 0, number, cut: 100 });
        assert_eq!(play.pairs.faults.is_empty(), is_right, "primary {number}");
    }
}

#[test]
fn a_bond_is_free_when_nothing_is_due() {
    for (closed, is_right) in [(1, false), (2, true)] {
        let mut play = Play::new(false);
        play.wait(9, 2, 50);
        play.work(11, 2, 2);
        for _ in 0..closed {
            play.close(15, ReplicaOutcome::Matched);
        }
        play.free(16, 2, 50);
        assert_eq!(play.pairs.faults.is_empty(), is_right, "{closed}");
    }
    let mut play = Play::new(false);
    play.free(16, 2, 50);
    assert_eq!(play.pairs.faults.len(), 1, "nobody's bond");
}

#[test]
fn a_forged_range_is_matched_as_often_as_its_friends_have_bonds() {
    for (outcome, came) in [(ReplicaOutcome::Matched, 1), (ReplicaOutcome::Unequal, 0)] {
        let mut play = Play::new(true);
        for (number, bond) in [(1, 20), (2, 10), (3, 15), (4, 10)] {
            play.wait(9, number, bond);
        }
        play.due(11, 4);
        play.draw(14, 3);
        play.close(15, outcome);
        let matches = play.counts.matches;
        assert_eq!((matches.trials, matches.came, matches.expected), (1, came, 333_333_333));
        assert_eq!(play.counts.replicas[usize::from(u8::from(outcome))], 1);
        assert_eq!(play.pairs.faults, Vec::<String>::new());
    }
    // Nor is who was drawn with all that it may have; a friend that has so much could not match anything.
    for (full, expected) in [(2, 250_000_000), (3, 0)] {
        let mut play = Play::new(true);
        for (number, bond) in [(2, 30), (3, 10)] {
            play.wait(9, number, bond);
        }
        play.work(11, full, MATE_DUTIES);
        play.due(14, 4);
        play.beacon_for(full);
        play.alone(16, false);
        play.close(17, ReplicaOutcome::Alone);
        let matches = play.counts.matches;
        assert_eq!((matches.trials, matches.came, matches.expected), (1, 0, expected));
        assert_eq!(play.pairs.faults, Vec::<String>::new());
    }
    // Of honest work there is nothing to count.
    let mut play = Play::new(false);
    play.wait(9, 3, 15);
    play.due(11, 4);
    play.draw(14, 3);
    play.close(15, ReplicaOutcome::Matched);
    assert_eq!(play.counts.matches.trials, 0);
}

#[test]
fn who_was_drawn_stays_on_the_line_and_who_has_left_comes_back_to_it_with_its_duties() {
    let mut play = Play::new(false);
    play.wait(9, 2, 50);
    play.due(11, 1);
    play.draw(13, 2);
    for again in [14, 18] {
        play.due(again, 1);
        play.draw(again + 3, 2);
        assert_eq!(play.pairs.faults, Vec::<String>::new(), "{again}");
    }
    let at = play.scene.farm.addresses().waiting;
    play.tell(at, 22, &Waiting::ProviderLeft { jobId: 1, number: 2 });
    play.due(23, 1);
    play.draw(24, 2);
    assert_eq!(play.pairs.faults.len(), 1, "it has left");
    play.wait(25, 2, 50);
    play.work(26, 2, MATE_DUTIES - 4);
    assert_eq!(play.pairs.faults.len(), 1);
    play.work(26, 2, 1);
    assert_eq!(play.pairs.faults.len(), 2, "what it has had to do before counts");
}

#[test]
fn mates_are_paid_as_their_primaries_but_for_audits() {
    let nobody = Address::ZERO;
    for (outcome, mate, is_right) in [
        (ReplicaOutcome::Matched, (who(2), 97, 3), true),
        (ReplicaOutcome::Matched, (who(2), 94, 6), false),
        (ReplicaOutcome::Matched, (who(2), 96, 3), false),
        (ReplicaOutcome::Matched, (who(3), 97, 3), false),
        (ReplicaOutcome::Matched, (nobody, 100, 0), false),
        (ReplicaOutcome::Alone, (nobody, 100, 0), true),
        (ReplicaOutcome::Alone, (nobody, 97, 3), false),
        (ReplicaOutcome::Alone, (who(2), 97, 3), false),
    ] {
        let mut play = Play::new(false);
        play.wait(9, 2, 50);
        // A foe's, so that two that are honest need not agree.
        play.due(11, 3);
        play.draw(14, 2);
        play.close(15, outcome);
        assert_eq!(play.pairs.faults, Vec::<String>::new());
        play.pay(mate, (95, 5));
        assert_eq!(play.pairs.faults.is_empty(), is_right, "{outcome} {mate:?}");
    }
}

#[test]
fn a_leaf_is_disputed_before_it_is_closed_and_all_else_is_audited_after_it() {
    for (outcome, disputed, rate, is_right) in [
        (Some(ReplicaOutcome::Matched), false, 1, true),
        (Some(ReplicaOutcome::Alone), false, 1, true),
        (Some(ReplicaOutcome::Alone), true, 1, true),
        (Some(ReplicaOutcome::Alone), true, DISPUTED_RATE, false),
        (Some(ReplicaOutcome::Matched), true, 1, false),
        (Some(ReplicaOutcome::Unequal), true, 1, false),
        (Some(ReplicaOutcome::Unequal), false, ONE.0, false),
        (None, false, ONE.0, false),
        (None, false, DISPUTED_RATE, false),
        (None, true, ONE.0, false),
        (None, true, DISPUTED_RATE, true),
    ] {
        let mut play = Play::new(false);
        play.wait(9, 2, 50);
        play.due(11, 3);
        play.draw(14, 2);
        if disputed {
            play.dispute();
        }
        outcome.into_iter().for_each(|outcome| play.close(15, outcome));
        play.audit(rate);
        assert_eq!(play.pairs.faults.is_empty(), is_right, "{outcome:?} {disputed} {rate}");
    }
    // First the leaf, and after it the range.
    let mut play = Play::new(false);
    play.wait(9, 2, 50);
    play.due(11, 3);
    play.draw(14, 2);
    play.dispute();
    play.audit(DISPUTED_RATE);
    play.close(18, ReplicaOutcome::Alone);
    play.audit(1);
    assert_eq!(play.pairs.faults, Vec::<String>::new());
    // Two that are honest find the same.
    let mut play = Play::new(false);
    play.wait(9, 2, 50);
    play.due(11, 1);
    play.draw(14, 2);
    play.close(15, ReplicaOutcome::Unequal);
    assert_eq!(play.pairs.faults.len(), 1);
}
