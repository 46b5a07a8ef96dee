//! What may become of the inputs of a kept job, by logs alone.

use alloy_primitives::{
    Address,
    aliases::{U40, U96},
};
use tilth_contracts::{Auditors, JobBook};
use tilth_verification::holding::HOLD_TIME_S;

use super::*;
use crate::trust::{
    cast::least_fee,
    kept_play::{DUE, ID, PROVIDER, Play},
    mind::Service,
};

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
    let at = play.scene.farm.addresses().auditors;
    let slashed = Auditors::AuditorSlashed {
        owner: Address::with_last_byte(0),
        beneficiary: Address::ZERO,
        toBeneficiary: 25,
        burned: 25,
        stake: 50,
        leaving: 0,
    };
    play.log(at, (first, false), &slashed);
    play.ask(first + 6, 2);
    assert_eq!(play.keeps.ranges[&play.id].line, [50, 100, 100, 100]);
}
