//! What may become of the inputs of a kept job, by logs alone.

use alloy_primitives::aliases::{U40, U96};
use tilth_contracts::{Auditors, JobBook};
use tilth_verification::holding::HOLD_TIME_S;

use super::*;
use crate::trust::{
    cast::least_fee,
    kept_play::{DUE, ID, PROVIDER, Play},
    mind::Service,
};

/// An auditor is left with so much.
fn slash(play: &mut Play, time: u64, owner: Address, stake: u128) {
    let at = play.scene.farm.addresses().auditors;
    let slashed = Auditors::AuditorSlashed {
        owner,
        beneficiary: Address::ZERO,
        toBeneficiary: 25,
        burned: 25,
        stake,
        leaving: 0,
    };
    play.log(at, (time, false), &slashed);
}

fn cancel(play: &mut Play, time: u64) {
    play.tell_of_jobs(time, &JobBook::JobCancelled { jobId: 1, refunded: 0 }, false);
}

#[test]
fn inputs_are_held_before_anybody_works_and_until_a_week_after_the_deadline() {
    let week_after = |play: &Play| play.deadline() + u64::from(INPUTS_AFTER_S);
    let claims = |play: &mut Play| {
        let claimed = JobBook::RangeClaimed {
            jobId: 1,
            seq: 1,
            provider: PROVIDER,
            from: 4,
            count: 4,
            price: U96::from(1_000),
            escrow: 0,
            at: U40::from(DUE + 30),
        };
        play.tell_of_jobs(DUE + 30, &claimed, false);
    };
    for (early, is_right) in [(0, true), (1, false)] {
        let mut play = Play::new(Service::Anybody, 0);
        play.id = RangeId::inputs(ID.job);
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        (0..4).for_each(|draw| play.sign(DUE + 20, draw));
        assert_eq!(play.keeps.faults, Vec::<String>::new());
        let until = week_after(&play) - early;
        play.held_until(DUE + 20, until);
        claims(&mut play);
        assert_eq!(play.is_right(), is_right, "{early}");
        assert_eq!(play.counts.inputs, [0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(play.counts.holds, [0; 7]);
    }
    let mut unheld = Play::new(Service::Anybody, 0);
    claims(&mut unheld);
    assert_eq!(unheld.keeps.faults.len(), 1, "nobody holds them");
}

#[test]
fn what_nobody_holds_of_inputs_costs_its_client_eight_least_fees() {
    let first = DUE + 11 + 2 * HOLD_TIME_S;
    let second = first + 11 + 2 * HOLD_TIME_S;
    let due = 8 * least_fee();
    for (cut, is_right) in [(due, true), (due - 1, false), (due + 1, false), (0, false)] {
        let mut play = Play::new(Service::Nobody, 0);
        play.id = RangeId::inputs(ID.job);
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        play.fail(first, HoldState::Again, 0);
        // The fee stays what it was with the first ask.
        play.ask(first, 2);
        play.draw(first + 10);
        assert_eq!(play.keeps.faults, Vec::<String>::new());
        play.fail(second, HoldState::Lost, cut);
        assert_eq!(play.is_right(), is_right, "{cut}");
        let deposit = &play.keeps.deposits[&ID.job];
        assert_eq!((deposit.reserved, deposit.fees), (0, 0));
        assert_eq!((deposit.burned, deposit.free()), (cut, deposit.funded - cut));
        assert_eq!(play.counts.inputs, [0, 0, 0, 1, 0, 1, 0]);
    }
}

#[test]
fn what_lost_inputs_cost_is_burned_and_all_else_comes_back() {
    let (first, second) = (DUE + 11 + 2 * HOLD_TIME_S, DUE + 22 + 4 * HOLD_TIME_S);
    let due = 8 * least_fee();
    for (burned, by_holders, left, is_right) in [
        (due, true, due, true),
        (due, false, due, false),
        (due - 1, true, due, false),
        (0, true, due, false),
        (due, true, 0, false),
    ] {
        let mut play = Play::new(Service::Nobody, 0);
        play.id = RangeId::inputs(ID.job);
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        play.fail(first, HoldState::Again, 0);
        play.ask(first, 2);
        play.draw(first + 10);
        let at = play.scene.farm.addresses();
        let module = if by_holders { at.holders } else { at.registry };
        play.burn(second, module, burned);
        play.fail(second, HoldState::Lost, due);
        let back = play.keeps.deposits[&ID.job].funded - left;
        play.close(second + 10, back, 0);
        play.keeps.check(&mut play.scene).unwrap();
        // The chain of this play knows of no ask.
        let others = play.keeps.faults.iter().filter(|fault| !fault.contains("ended as"));
        assert_eq!(others.count() == 0, is_right, "{burned} {by_holders} {left}");
    }
    // Nobody's inputs were lost, and something is burned.
    let mut play = Play::new(Service::Anybody, 0);
    let all = play.keeps.deposits[&ID.job].funded;
    play.close(20, all, 0);
    let holders = play.scene.farm.addresses().holders;
    play.burn(30, holders, 1);
    play.keeps.check(&mut play.scene).unwrap();
    assert_eq!(play.keeps.faults.len(), 1);
}

#[test]
fn inputs_are_asked_for_by_their_client_out_of_what_is_free() {
    for (taken, is_right) in [(false, true), (true, false)] {
        let mut play = Play::new(Service::Anybody, 0);
        play.id = RangeId::inputs(ID.job);
        if taken {
            let all = play.keeps.deposits[&ID.job].funded;
            play.close(20, all, 0);
        }
        play.ask(DUE, 1);
        assert_eq!(play.is_right(), is_right, "taken back: {taken}");
    }
}

#[test]
fn whoever_asks_for_inputs_anew_is_drawn_from_the_line_of_then() {
    let mut play = Play::new(Service::Nobody, 0);
    play.id = RangeId::inputs(ID.job);
    play.ask(DUE, 1);
    play.draw(DUE + 10);
    let first = DUE + 11 + 2 * HOLD_TIME_S;
    play.fail(first, HoldState::Again, 0);
    slash(&mut play, first, Address::with_last_byte(0), 50);
    play.ask(first + 6, 2);
    assert_eq!(play.keeps.ranges[&play.id].line, [50, 100, 100, 100]);
}

#[test]
fn who_has_nothing_at_stake_now_signs_for_nothing() {
    for (stake, is_right) in [(1, true), (0, false)] {
        let mut play = Play::drawn(Service::Anybody, 0);
        let number = play.keeps.ranges[&ID].named[0];
        let owner = play.keeps.holder(number).unwrap().who;
        slash(&mut play, DUE + 15, owner, stake);
        play.sign(DUE + 20, 0);
        assert_eq!(play.is_right(), is_right, "{stake}");
    }
}

#[test]
fn an_ask_is_its_providers_of_a_size_that_may_be_and_of_a_round_that_nobody_knows() {
    let most = Play::submitted(Service::Anybody, 0).prices.max_mib;
    for (mib, provider, round, is_right) in [
        (most, PROVIDER, 8, true),
        (1, PROVIDER, 8, true),
        (most + 1, PROVIDER, 8, false),
        (0, PROVIDER, 8, false),
        (most, Address::repeat_byte(9), 8, false),
        (most, Address::ZERO, 8, false),
        (most, PROVIDER, 7, false),
    ] {
        let mut play = Play::submitted(Service::Anybody, 0);
        play.keeps.block = 7;
        let reserved = Deposit::cost(play.prices.fee(least_fee(), mib));
        let reserved = U96::saturating_from(reserved);
        let (seq, asked) = (ID.seq, 1);
        let event = Holders::HoldAsked { jobId: 1, seq, provider, round, mib, asked, reserved };
        play.tell(DUE, &event);
        assert_eq!(play.is_right(), is_right, "{mib} {provider} {round}");
    }
}

#[test]
fn inputs_are_nobodys_and_of_a_size_that_may_be() {
    let parameters = include_str!("../../../../contracts/src/libraries/Parameters.sol");
    assert!(parameters.contains(" constant MOST_INPUTS_MIB = 64 << 10;"));
    for (mib, provider, is_right) in [
        (1, Address::ZERO, true),
        (MOST_INPUTS_MIB, Address::ZERO, true),
        (MOST_INPUTS_MIB + 1, Address::ZERO, false),
        (0, Address::ZERO, false),
        (1, PROVIDER, false),
    ] {
        let mut play = Play::new(Service::Anybody, 0);
        let left = play.deadline() - DUE;
        let deposit = play.keeps.deposits.get_mut(&ID.job).unwrap();
        deposit.funded = 1 << 90;
        let reserved = U96::saturating_from(Deposit::cost(deposit.inputs_fee(mib, left)));
        let (seq, round, asked) = (RangeId::INPUTS, 1, 1);
        let event = Holders::HoldAsked { jobId: 1, seq, provider, round, mib, asked, reserved };
        play.tell(DUE, &event);
        assert_eq!(play.is_right(), is_right, "{mib} {provider}");
    }
}

#[test]
fn nobody_asks_or_signs_for_inputs_of_a_job_that_gives_out_none() {
    let of_inputs = || {
        let mut play = Play::new(Service::Anybody, 0);
        play.id = RangeId::inputs(ID.job);
        play
    };
    let mut late = of_inputs();
    cancel(&mut late, DUE - 1);
    late.ask(DUE, 1);
    assert_eq!(late.keeps.faults.len(), 1, "nobody had asked before");
    let mut open = of_inputs();
    open.ask(DUE, 1);
    open.draw(DUE + 10);
    open.sign(DUE + 20, 0);
    cancel(&mut open, DUE + 30);
    assert_eq!(open.keeps.faults, Vec::<String>::new());
    open.sign(DUE + 40, 1);
    assert_eq!(open.keeps.faults.len(), 1);
}

#[test]
fn who_gives_its_inputs_up_when_it_has_asked_twice_pays_as_if_they_were_lost() {
    let first = DUE + 11 + 2 * HOLD_TIME_S;
    let due = 8 * least_fee();
    for (twice, cut, is_right) in [
        (true, due, true),
        (true, due - 1, false),
        (true, 0, false),
        (false, 0, true),
        (false, due, false),
    ] {
        let mut play = Play::new(Service::Nobody, 0);
        play.id = RangeId::inputs(ID.job);
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        let mut time = DUE + 30;
        if twice {
            play.fail(first, HoldState::Again, 0);
            play.ask(first, 2);
            play.draw(first + 10);
            time = first + 30;
        }
        // That it is cancelled is enough.
        cancel(&mut play, time);
        assert_eq!(play.keeps.faults, Vec::<String>::new());
        play.fail(time, HoldState::Dropped, cut);
        assert_eq!(play.is_right(), is_right, "{twice} {cut}");
        let deposit = &play.keeps.deposits[&ID.job];
        assert_eq!((deposit.reserved, deposit.burned), (0, cut));
    }
}

#[test]
fn what_nobody_need_hold_any_more_has_not_failed() {
    for (is_cancelled, is_right) in [(false, true), (true, false)] {
        let mut play = Play::new(Service::Nobody, 0);
        play.id = RangeId::inputs(ID.job);
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        if is_cancelled {
            cancel(&mut play, DUE + 30);
        }
        play.fail(DUE + 11 + 2 * HOLD_TIME_S, HoldState::Again, 0);
        assert_eq!(play.is_right(), is_right, "{is_cancelled}");
    }
}
