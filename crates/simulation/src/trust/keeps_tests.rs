//! What may become of a kept range, by logs alone.

use alloy_primitives::aliases::U96;
use tilth_verification::{
    arithmetic::ONE,
    holding::{FIRST_HOLDERS, HOLD_TIME_S, SPOTTERS},
};

use super::*;
use crate::trust::{
    cast::least_fee,
    kept::LATE,
    kept_play::{DUE, ID, Play},
    mind::Service,
    sample::held,
};

#[test]
fn four_of_seven_hold_a_range_and_it_is_paid() {
    let mut play = Play::drawn(Service::Anybody, 0);
    (0..4).for_each(|draw| play.sign(DUE + 20, draw));
    play.held(DUE + 20);
    play.settle(DUE + 30, false);
    let reserved = 4 * play.fee() + SPOTTERS as u128 * least_fee();
    let left = play.keeps.deposits[&ID.job].funded - 4 * play.fee() - reserved;
    play.close(DUE + 40, left, reserved);
    assert_eq!(play.keeps.faults, Vec::<String>::new());
    assert_eq!(play.counts.holds, [0, 0, 0, 0, 1, 0, 0]);
    let held = play.counts.held;
    assert_eq!((held.trials, held.came, held.expected), (1, 1, u128::from(ONE.0)));
    // Its deposit is not gone, nobody has looked at it, and the chain of this play knows of no ask. Nor does its ledger pay
    // anybody.
    play.keeps.check(&mut play.scene).unwrap();
    let others = play.keeps.faults.iter().filter(|fault| !fault.contains(" is due to "));
    assert_eq!(others.count(), 3);
}

#[test]
fn too_few_votes_hold_nothing() {
    for (votes, time, is_right) in [
        (3, DUE + 20, false),
        (4, DUE + 20, true),
        (7, DUE + 10 + HOLD_TIME_S + 1, false),
        (8, DUE + 10 + HOLD_TIME_S + 1, true),
    ] {
        let mut play = Play::drawn(Service::Anybody, 0);
        (0..votes).for_each(|draw| play.sign(time, draw));
        assert!(play.is_right());
        play.held(time);
        assert_eq!(play.is_right(), is_right, "{votes} at {time}");
    }
}

#[test]
fn only_whom_a_draw_names_signs_for_it_once_and_in_its_time() {
    let second_hour = DUE + 10 + HOLD_TIME_S + 1;
    for (draw, time, is_right) in [
        (0, DUE + 20, true),
        (6, DUE + 10 + HOLD_TIME_S, true),
        (7, DUE + 10 + HOLD_TIME_S, false),
        (7, second_hour, true),
        (14, second_hour + HOLD_TIME_S, false),
    ] {
        let mut play = Play::drawn(Service::Anybody, 0);
        play.sign(time, draw);
        assert_eq!(play.is_right(), is_right, "{draw} at {time}");
    }
    let mut twice = Play::drawn(Service::Anybody, 0);
    (0..2).for_each(|_| twice.sign(DUE + 20, 1));
    assert_eq!(twice.keeps.faults.len(), 1);
    let mut other = Play::drawn(Service::Anybody, 0);
    let (named, fee) = (other.keeps.ranges[&ID].named[0], U96::saturating_from(other.fee()));
    let number = named % 4 + 1;
    other.tell(DUE + 20, &Holders::Held { jobId: 1, seq: 0, number, draw: 0, fee });
    assert_eq!(other.keeps.faults.len(), 1);
    let mut undrawn = Play::submitted(Service::Anybody, 0);
    undrawn.ask(DUE, 1);
    let fee = U96::saturating_from(undrawn.fee());
    undrawn.tell(DUE + 1, &Holders::Held { jobId: 1, seq: 0, number: 1, draw: 0, fee });
    assert_eq!(undrawn.keeps.faults.len(), 1);
}

#[test]
fn only_liars_sign_for_what_nobody_serves() {
    let mut play = Play::drawn(Service::Nobody, 2);
    let named = play.keeps.ranges[&ID].named.clone();
    for (draw, number) in (0_u8..).zip(named).take(FIRST_HOLDERS) {
        let before = play.keeps.faults.len();
        play.sign(DUE + 20, draw);
        assert_eq!(play.keeps.faults.len() == before, number > 2, "{number}");
    }
}

#[test]
fn a_vote_earns_its_fee_and_nothing_else() {
    for (more, is_right) in [(0, true), (1, false)] {
        let mut play = Play::drawn(Service::Anybody, 0);
        let number = play.keeps.ranges[&ID].named[0];
        let fee = U96::saturating_from(play.fee() + more);
        play.tell(DUE + 20, &Holders::Held { jobId: 1, seq: 0, number, draw: 0, fee });
        assert_eq!(play.is_right(), is_right, "{more}");
    }
}

#[test]
fn nothing_is_asked_for_before_its_window_is_over_or_for_other_money() {
    for (time, asked, more, is_right) in
        [(DUE, 1, 0, true), (DUE - 1, 1, 0, false), (DUE, 2, 0, false), (DUE, 1, 1, false)]
    {
        let mut play = Play::submitted(Service::Anybody, 0);
        let reserved = Deposit::cost(play.fee()) + more;
        play.ask_with(time, asked, U96::saturating_from(reserved));
        assert_eq!(play.is_right(), is_right, "{time} {asked} {more}");
    }
    let mut again = Play::drawn(Service::Anybody, 0);
    again.ask(DUE + 20, 2);
    assert!(!again.is_right(), "the first ask is not over");
    let mut paid = Play::submitted(Service::Anybody, 0);
    paid.settle(DUE - 10, true);
    paid.ask(DUE, 1);
    assert_eq!(paid.keeps.faults.len(), 1, "its client has it");
}

#[test]
fn every_ask_ends_when_its_time_is_over() {
    let end = DUE + 10 + 2 * HOLD_TIME_S;
    for (time, is_right) in
        [(end, false), (end + 1, true), (end + LATE, true), (end + LATE + 1, false)]
    {
        let mut play = Play::drawn(Service::Nobody, 0);
        play.fail(time, HoldState::Again, 0);
        assert_eq!(play.is_right(), is_right, "{time}");
    }
    for (drawn, is_right) in [(DUE + LATE, true), (DUE + LATE + 1, false)] {
        let mut play = Play::submitted(Service::Nobody, 0);
        play.ask(DUE, 1);
        play.draw(drawn);
        assert_eq!(play.is_right(), is_right, "drawn at {drawn}");
    }
    // What its client has acknowledged ends at once, and not as if it were lost.
    for (late, is_right) in [(0, true), (LATE + 1, false)] {
        let mut play = Play::drawn(Service::Nobody, 0);
        play.settle(DUE + 30, true);
        play.fail(DUE + 30 + late, HoldState::Dropped, 0);
        assert_eq!(play.is_right(), is_right, "{late}");
        assert_eq!(play.keeps.deposits[&ID.job].reserved, 0);
    }
    let mut open = Play::drawn(Service::Nobody, 0);
    open.fail(DUE + 30, HoldState::Dropped, 0);
    assert!(!open.is_right(), "its range is not over");
}

#[test]
fn what_nobody_holds_twice_costs_what_its_holders_would_have_earned() {
    // More than a tenth of what it is worth.
    let due = 8 * least_fee();
    let first = DUE + 11 + 2 * HOLD_TIME_S;
    let second = first + 11 + 2 * HOLD_TIME_S;
    for (cut, is_right) in [(due, true), (due - 1, false), (2 * due, false), (0, false)] {
        let mut play = Play::drawn(Service::Nobody, 0);
        play.fail(first, HoldState::Again, 0);
        play.ask(first, 2);
        play.draw(first + 10);
        assert!(play.is_right());
        play.fail(second, HoldState::Lost, cut);
        assert_eq!(play.is_right(), is_right, "{cut}");
        assert_eq!(play.keeps.deposits[&ID.job].reserved, 0);
        assert_eq!(play.counts.holds, [0, 0, 0, 1, 0, 1, 0]);
    }
    let mut once = Play::drawn(Service::Nobody, 0);
    once.fail(first, HoldState::Lost, due);
    assert!(!once.is_right(), "it was asked for once");
}

#[test]
fn what_is_served_is_held() {
    let mut play = Play::drawn(Service::Majority, 0);
    play.fail(DUE + 11 + 2 * HOLD_TIME_S, HoldState::Again, 0);
    assert_eq!(play.keeps.faults.len(), 1, "all of its holders could sign");
}

#[test]
fn what_is_withheld_is_held_as_often_as_liars_have_stake() {
    for is_held in [false, true] {
        let mut play = Play::drawn(Service::Nobody, 1);
        // Four votes, if it is so: of one who lies.
        play.keeps.ranges.get_mut(&ID).unwrap().named.fill(4);
        if is_held {
            (0..4).for_each(|draw| play.sign(DUE + 20, draw));
            play.held(DUE + 20);
        } else {
            play.fail(DUE + 11 + 2 * HOLD_TIME_S, HoldState::Again, 0);
        }
        assert_eq!(play.keeps.faults, Vec::<String>::new());
        let sample = play.counts.held;
        assert_eq!((sample.trials, sample.came), (1, u64::from(is_held)));
        assert_eq!(sample.expected, u128::from(held(ONE.0 / 4)));
    }
}

#[test]
fn without_its_client_only_what_is_held_is_paid() {
    for (acknowledged, is_right) in [(true, true), (false, false)] {
        let mut play = Play::drawn(Service::Anybody, 0);
        play.settle(DUE + 30, acknowledged);
        assert_eq!(play.is_right(), is_right);
        let mut unasked = Play::submitted(Service::Anybody, 0);
        unasked.settle(DUE + 30, acknowledged);
        assert_eq!(unasked.is_right(), is_right, "nobody has asked");
    }
    // Its client has taken back what would pay for holders.
    let mut waived = Play::submitted(Service::Anybody, 0);
    let all = waived.keeps.deposits[&ID.job].funded;
    waived.close(20, all, 0);
    waived.settle(DUE + 30, false);
    assert_eq!(waived.keeps.faults, Vec::<String>::new());
    assert_eq!(waived.counts.holds[0], 1);
}

#[test]
fn a_deposit_becomes_fees_or_comes_back() {
    for (more, left, is_right) in [(0, 0, true), (1, 0, false), (0, 1, false)] {
        let mut play = Play::new(Service::Anybody, 0);
        let all = play.keeps.deposits[&ID.job].funded;
        play.close(20, all - more, left);
        assert_eq!(play.is_right(), is_right, "{more} {left}");
    }
    // What may still be spent stays.
    let mut open = Play::drawn(Service::Anybody, 0);
    let all = open.keeps.deposits[&ID.job].funded;
    open.close(DUE + 20, all, 0);
    assert_eq!(open.keeps.faults.len(), 1);
    // In the end nothing is left, and the chain says so.
    for (closes, is_right) in [(false, false), (true, true)] {
        let mut play = Play::new(Service::Anybody, 0);
        let all = play.keeps.deposits[&ID.job].funded;
        if closes {
            play.close(20, all, 0);
        }
        play.keeps.check(&mut play.scene).unwrap();
        assert_eq!(play.is_right(), is_right);
    }
}

#[test]
fn in_the_end_nothing_is_open() {
    let mut play = Play::submitted(Service::Anybody, 0);
    let all = play.keeps.deposits[&ID.job].funded;
    play.close(20, all, 0);
    play.keeps.check(&mut play.scene).unwrap();
    assert_eq!(play.keeps.faults, Vec::<String>::new(), "nobody has asked");
    for state in [HoldState::Asked, HoldState::Open, HoldState::Again, HoldState::Held] {
        play.keeps.ranges.get_mut(&ID).unwrap().state = state;
        play.keeps.faults.clear();
        play.keeps.check(&mut play.scene).unwrap();
        let wrong = if state == HoldState::Held { 2 } else { 1 };
        assert_eq!(play.keeps.faults.len(), wrong, "{state}");
    }
}

#[test]
fn the_line_is_that_of_the_second_before_the_submission() {
    use tilth_contracts::Auditors;
    for (time, stake) in [(9, 50), (10, 100)] {
        let mut play = Play::new(Service::Anybody, 0);
        let at = play.scene.farm.addresses().auditors;
        let slashed = Auditors::AuditorSlashed {
            owner: Address::with_last_byte(0),
            beneficiary: Address::ZERO,
            toBeneficiary: 25,
            burned: 25,
            stake: 50,
            leaving: 0,
        };
        play.log(at, (time, false), &slashed);
        play.submit();
        assert_eq!(play.keeps.ranges[&ID].line, [stake, 100, 100, 100], "cut at {time}");
    }
}
