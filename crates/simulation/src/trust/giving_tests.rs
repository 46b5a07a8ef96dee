//! Which ranges of a kept job are given out, and which are paid without holders, by logs alone.

use alloy_primitives::aliases::{U40, U96};
use tilth_contracts::{JobBook, RangeState};
use tilth_protocol::JobId;
use tilth_verification::holding::{ASKS, HOLD_TIME_S};

use super::*;
use crate::trust::{
    kept::Seen,
    kept_play::{DUE, ID, PROVIDER, Play},
    mind::Service,
};

/// One more range is claimed, as everybody hears.
fn claim(play: &mut Play, time: u64, seq: u32) {
    let id = RangeId { job: ID.job, seq };
    let mut found = play.scene.public.ranges[&ID].clone();
    (found.state, found.at) = (RangeState::Claimed, time);
    play.scene.public.ranges.insert(id, found);
    let claimed = JobBook::RangeClaimed {
        jobId: ID.job.0,
        seq,
        provider: PROVIDER,
        from: 4 * seq,
        count: 4,
        price: U96::from(1_000),
        escrow: 0,
        at: U40::from(time),
    };
    play.tell_of_jobs(time, &claimed, false);
}

/// A range is handed in, and enough hold the job's inputs, which cost nothing here.
fn given_out() -> Play {
    let mut play = Play::submitted(Service::Anybody, 0);
    let inputs = Seen { state: HoldState::Held, ..Seen::new(Vec::new(), 0) };
    play.keeps.ranges.insert(RangeId::inputs(ID.job), inputs);
    play
}

#[test]
fn a_deposit_reaches_for_all_ranges_that_are_out() {
    // It does for two, and for inputs besides, which cost less than a third one.
    let mut play = given_out();
    claim(&mut play, 20, 1);
    assert_eq!(play.keeps.faults, Vec::<String>::new());
    claim(&mut play, 30, 2);
    assert_eq!(play.keeps.faults.len(), 1, "{:?}", play.keeps.faults);
    let mut paid = given_out();
    if let Some(found) = paid.scene.public.ranges.get_mut(&ID) {
        found.state = RangeState::Settled;
    }
    claim(&mut paid, 20, 1);
    claim(&mut paid, 30, 2);
    assert_eq!(paid.keeps.faults, Vec::<String>::new());
    // Of a job that is not kept there is nothing to say.
    let mut other = Play::new(Service::Anybody, 0);
    let job = other.scene.public.jobs.get_mut(&JobId(1)).unwrap();
    job.terms.kept = false;
    (0..9).for_each(|seq| claim(&mut other, 20, seq));
    assert!(other.is_right());
}

#[test]
fn what_was_taken_back_before_a_claim_waives_nothing() {
    for (claims_at, is_right) in [(None, true), (Some(15), true), (Some(25), false)] {
        let mut play = given_out();
        if claims_at == Some(15) {
            claim(&mut play, 15, 1);
        }
        let all = play.keeps.deposits[&ID.job].funded;
        play.close(20, all, 0);
        if claims_at == Some(25) {
            claim(&mut play, 25, 1);
            assert_eq!(play.keeps.faults.len(), 1, "it reaches for nothing");
            play.keeps.faults.clear();
        }
        play.settle(DUE + 30, false);
        assert_eq!(play.is_right(), is_right, "{claims_at:?}");
        assert_eq!(play.counts.holds[0], 1);
    }
}

#[test]
fn what_was_asked_for_is_not_waived() {
    let mut play = given_out();
    play.ask(DUE, 1);
    play.draw(DUE + 10);
    play.fail(DUE + 11 + 2 * HOLD_TIME_S, HoldState::Again, 0);
    assert!(play.keeps.ranges[&ID].asked < ASKS);
    play.keeps.faults.clear();
    let all = play.keeps.deposits[&ID.job].free();
    let left = play.keeps.deposits[&ID.job].reserved;
    play.close(DUE + 12 + 2 * HOLD_TIME_S, all, left);
    play.settle(DUE + 13 + 2 * HOLD_TIME_S, false);
    assert_eq!(play.keeps.faults.len(), 1, "{:?}", play.keeps.faults);
}
