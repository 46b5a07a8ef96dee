//! What jobs cost, by logs alone.

use alloy_primitives::{
    B256,
    aliases::{U40, U96},
};
use tilth_contracts::JobBook;

use super::*;
use crate::{
    farm::Farm,
    random::Random,
    trust::{Cast, cast::terms, public::Range, scene::Handed},
};

const CLIENT: Address = Address::repeat_byte(1);
const PROVIDER: Address = Address::repeat_byte(2);
const JOB: JobId = JobId(1);
const PRICE: u128 = 10;
const UNITS: u64 = 7;
/// What a range comes to that is handed in here.
const WORTH: u128 = 70;
const FUNDS: u128 = 1_000;

struct Play {
    bills: Bills,
    counts: Counts,
    scene: Scene,
}

impl Play {
    /// A job with a range in work, one that is handed in, and one that was given back.
    fn new() -> Self {
        let mut scene = Scene::new(Farm::new().unwrap(), Random::new(0));
        let states = [RangeState::Claimed, RangeState::Submitted, RangeState::Released];
        for (seq, state) in (0..).zip(states) {
            let (id, root) = (RangeId { job: JOB, seq }, B256::ZERO);
            let (provider, price) = (PROVIDER, PRICE);
            let found = Range { provider, from: 0, count: 1, price, state, at: 10, root };
            scene.public.ranges.insert(id, found);
            let (leaves, wrong) = (Vec::new(), Vec::new());
            scene.handed.insert(id, Handed { leaves, wrong, units: UNITS, by_foe: false });
        }
        let mut play = Self { bills: Bills::default(), counts: Counts::default(), scene };
        play.tell(JobBookEvents::JobOpened(JobBook::JobOpened {
            jobId: 1,
            client: CLIENT,
            program: B256::ZERO,
            terms: terms(&Cast::honest(16, 0, 0).clients[0], 0),
            escrow: FUNDS,
            at: U40::from(5),
        }));
        play
    }

    fn tell(&mut self, event: JobBookEvents) {
        self.bills.read(&event, &self.scene, &mut self.counts);
    }

    fn cancel(&mut self, refunded: u128) {
        self.tell(JobBookEvents::JobCancelled(JobBook::JobCancelled { jobId: 1, refunded }));
    }

    fn settle(&mut self, seq: u32, paid: u128, fee: u128) {
        self.tell(JobBookEvents::RangeSettled(JobBook::RangeSettled {
            jobId: 1,
            seq,
            provider: PROVIDER,
            paid,
            fee,
            resultRoot: B256::ZERO,
        }));
    }

    fn settle_mate(&mut self, provider: Address) {
        let (paid, fee) = (WORTH - 1, 1);
        let settled = JobBook::MateSettled { jobId: 1, seq: 1, provider, paid, fee };
        self.tell(JobBookEvents::MateSettled(settled));
    }

    fn end(&mut self, state: JobState, refunded: u128) {
        self.tell(JobBookEvents::JobDone(JobBook::JobDone {
            jobId: 1,
            state: state.into(),
            resultRoot: B256::ZERO,
            settledTasks: 1,
            refunded,
        }));
    }

    fn is_right(&self) -> bool {
        self.bills.faults.is_empty()
    }
}

#[test]
fn all_that_is_put_into_a_job_is_paid_for_ranges_or_goes_back() {
    for (more, mate, refunded, is_right) in [
        (0, None, FUNDS - WORTH, true),
        (0, None, FUNDS - WORTH + 1, false),
        (0, None, FUNDS - WORTH - 1, false),
        (30, None, FUNDS - WORTH + 30, true),
        (30, None, FUNDS - WORTH, false),
        (0, Some(PROVIDER), FUNDS - 2 * WORTH, true),
        (0, Some(PROVIDER), FUNDS - WORTH, false),
        (0, Some(Address::ZERO), FUNDS - WORTH, true),
    ] {
        let mut play = Play::new();
        let funded = JobBook::JobFunded { jobId: 1, amount: more, escrow: FUNDS + more };
        play.tell(JobBookEvents::JobFunded(funded));
        if let Some(provider) = mate {
            play.settle_mate(provider);
        }
        play.settle(1, WORTH - 2, 2);
        assert!(play.is_right());
        play.end(JobState::Done, refunded);
        assert_eq!(play.is_right(), is_right, "{more} {mate:?} {refunded}");
        assert_eq!(play.counts.cancelled, [0; 4]);
    }
}

#[test]
fn a_range_costs_what_was_handed_in_for_it() {
    for (paid, fee, is_right) in [(70, 0, true), (60, 10, true), (70, 1, false), (69, 0, false)] {
        let mut play = Play::new();
        play.settle(1, paid, fee);
        assert_eq!(play.is_right(), is_right, "{paid} {fee}");
    }
}

#[test]
fn what_was_out_when_a_job_was_cancelled_is_counted_and_paid() {
    let mut play = Play::new();
    play.cancel(500);
    assert!(play.bills.is_cancelled(JOB) && !play.bills.is_cancelled(JobId(2)));
    assert_eq!(play.counts.cancelled, [1, 1, 1, 0]);
    play.settle(1, WORTH, 0);
    play.settle(0, WORTH, 0);
    assert_eq!(play.counts.cancelled, [1, 1, 1, 2]);
    play.end(JobState::Cancelled, FUNDS - 500 - 2 * WORTH);
    assert_eq!(play.bills.faults, Vec::<String>::new());
}

#[test]
fn a_job_ends_as_what_became_of_it() {
    for (is_cancelled, state, is_right) in [
        (false, JobState::Done, true),
        (false, JobState::Cancelled, false),
        (true, JobState::Done, false),
        (true, JobState::Cancelled, true),
        (true, JobState::Cancelling, false),
    ] {
        let mut play = Play::new();
        if is_cancelled {
            play.cancel(0);
        }
        play.end(state, FUNDS);
        assert_eq!(play.is_right(), is_right, "{is_cancelled} {state}");
    }
}

#[test]
fn a_job_that_was_cancelled_gives_out_nothing_and_is_not_cancelled_again() {
    for is_cancelled in [false, true] {
        let mut play = Play::new();
        if is_cancelled {
            play.cancel(0);
        }
        play.tell(JobBookEvents::RangeClaimed(JobBook::RangeClaimed {
            jobId: 1,
            seq: 3,
            provider: PROVIDER,
            from: 3,
            count: 1,
            price: U96::from(PRICE),
            escrow: 0,
            at: U40::from(20),
        }));
        assert_eq!(play.is_right(), !is_cancelled);
    }
    let mut play = Play::new();
    play.cancel(0);
    play.cancel(0);
    assert!(!play.is_right());
}
