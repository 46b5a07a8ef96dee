//! What may become of a replicated range, by logs alone.

use alloy_primitives::{
    B256,
    aliases::{U40, U96},
};
use alloy_sol_types::SolEvent;
use tilth_contracts::{Audits, JobBook, RangeState, Replicas, Waiting};

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

    fn draw(&mut self, time: u64, number: u32) {
        let at = self.scene.farm.addresses().replicas;
        let due = U40::ZERO;
        self.tell(at, time, &Replicas::MateDrawn { jobId: 1, seq: 0, number, due });
    }

    fn close(&mut self, time: u64, outcome: ReplicaOutcome) {
        let at = self.scene.farm.addresses().replicas;
        let outcome = outcome.into();
        self.tell(at, time, &Replicas::ReplicaClosed { jobId: 1, seq: 0, outcome });
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
        let at = play.scene.farm.addresses().replicas;
        let none = Replicas::NoMate { jobId: 1, seq: 0, lapsed: false, due: U40::ZERO };
        play.tell(at, 14, &none);
        assert_eq!(play.pairs.faults.is_empty(), !fits, "nobody was drawn");
    }
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
    // Of honest work there is nothing to count.
    let mut play = Play::new(false);
    play.wait(9, 3, 15);
    play.due(11, 4);
    play.draw(14, 3);
    play.close(15, ReplicaOutcome::Matched);
    assert_eq!(play.counts.matches.trials, 0);
}

#[test]
fn who_was_drawn_is_on_the_line_again_when_its_range_is_closed() {
    for (again, is_on_it) in [(14, false), (15, false), (16, true)] {
        let mut play = Play::new(false);
        play.wait(9, 2, 50);
        play.due(11, 1);
        play.draw(13, 2);
        if again > 14 {
            play.close(15, ReplicaOutcome::Matched);
        }
        play.due(again, 1);
        play.draw(again + 3, 2);
        assert_eq!(play.pairs.faults.is_empty(), is_on_it, "{again}");
    }
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
fn unequal_roots_are_audited_for_sure_and_nothing_before_it_is_closed() {
    for (outcome, rate, is_right) in [
        (Some(ReplicaOutcome::Matched), 1, true),
        (Some(ReplicaOutcome::Unequal), ONE.0, true),
        (Some(ReplicaOutcome::Unequal), ONE.0 - 1, false),
        (None, ONE.0, false),
    ] {
        let mut play = Play::new(false);
        play.wait(9, 2, 50);
        play.due(11, 3);
        play.draw(14, 2);
        outcome.into_iter().for_each(|outcome| play.close(15, outcome));
        play.audit(rate);
        assert_eq!(play.pairs.faults.is_empty(), is_right, "{outcome:?} {rate}");
    }
    // Two that are honest find the same.
    let mut play = Play::new(false);
    play.wait(9, 2, 50);
    play.due(11, 1);
    play.draw(14, 2);
    play.close(15, ReplicaOutcome::Unequal);
    assert_eq!(play.pairs.faults.len(), 1);
}
