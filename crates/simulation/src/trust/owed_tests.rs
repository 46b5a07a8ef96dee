//! Who is paid for holding, serving and looking, by logs alone.

use tilth_verification::holding::SPOT_TIME_S;

use super::*;
use crate::trust::{
    cast::least_fee,
    kept_play::{DUE, ID, Play},
    mind::{Conduct, Service, Sight},
};

/// Somebody who has earned nothing.
const THIEF: Address = Address::repeat_byte(9);
const HONEST: (Conduct, Sight) = (Conduct::Fetches, Sight::Looks);

fn owner(play: &Play, number: u32) -> Address {
    play.keeps.holder(number).unwrap().who
}

/// A contract pays somebody out of what somebody has locked.
fn pay(play: &mut Play, (module, from): (Address, Address), to: Address, amount: u128) {
    let at = play.scene.farm.addresses().ledger;
    let moved = Ledger::Moved { module, from, to, amount, fromLocked: 0, toFree: 0 };
    play.log(at, (DUE, false), &moved);
}

/// `Holders` does, out of what the client has.
fn pay_out(play: &mut Play, to: Address, amount: u128) {
    let holders = play.scene.farm.addresses().holders;
    let client = play.scene.public.jobs[&ID.job].client;
    pay(play, (holders, client), to, amount);
}

/// Whether the end of it says that somebody has another sum than is due.
fn is_paid(play: &mut Play) -> bool {
    assert_eq!(play.keeps.faults, Vec::<String>::new());
    play.keeps.check(&mut play.scene).unwrap();
    !play.keeps.faults.iter().any(|fault| fault.contains(" is due to "))
}

#[test]
fn whoever_signs_has_its_fee_and_nobody_else() {
    for (what, to, times, more) in [
        ("", None, 1, 0),
        ("to another", Some(THIEF), 1, 0),
        ("to nobody", None, 0, 0),
        ("twice", None, 2, 0),
        ("more", None, 1, 1),
    ] {
        let mut play = Play::drawn(Service::Anybody, 0);
        let fee = play.fee();
        for draw in 0..4_u8 {
            play.sign(DUE + 20, draw);
            let number = play.keeps.ranges[&ID].named[usize::from(draw)];
            let holder = owner(&play, number);
            if draw != 3 {
                pay_out(&mut play, holder, fee);
                continue;
            }
            for _ in 0..times {
                pay_out(&mut play, to.unwrap_or(holder), fee + more);
            }
        }
        assert_eq!(is_paid(&mut play), what.is_empty(), "{what}");
    }
}

#[test]
fn it_is_paid_by_holders_out_of_what_its_client_has() {
    let of = |play: &Play| {
        let holders = play.scene.farm.addresses().holders;
        (holders, play.scene.public.jobs[&ID.job].client)
    };
    for (by_another, of_another, is_right) in
        [(false, false, true), (true, false, false), (false, true, false)]
    {
        let mut play = Play::drawn(Service::Anybody, 0);
        play.sign(DUE + 20, 0);
        let (mut module, mut from) = of(&play);
        if by_another {
            module = play.scene.farm.addresses().registry;
        }
        if of_another {
            from = THIEF;
        }
        let (to, fee) = (owner(&play, play.keeps.ranges[&ID].named[0]), play.fee());
        pay(&mut play, (module, from), to, fee);
        assert_eq!(is_paid(&mut play), is_right, "{by_another} {of_another}");
    }
}

#[test]
fn whoever_looks_or_serves_is_paid_and_nobody_else() {
    for (what, looks, halves) in
        [("", None, None), ("who looks", Some(THIEF), None), ("who serves", None, Some(THIEF))]
    {
        let mut play = Play::kept([HONEST; 4]);
        let fee = play.fee();
        for number in 1..=4 {
            let holder = owner(&play, number);
            pay_out(&mut play, holder, fee);
        }
        let time = play.keeps.ranges[&ID].until + 1;
        play.call(time);
        for draw in 0..7_u8 {
            // The ledger says so first.
            let looker = owner(&play, play.lookers()[usize::from(draw)]);
            let to = looks.filter(|_| draw == 6).unwrap_or(looker);
            pay_out(&mut play, to, least_fee());
            play.spot(time + 10, draw, 0b1111);
        }
        for number in 1..=4 {
            let to = halves.filter(|_| number == 4).unwrap_or(owner(&play, number));
            pay_out(&mut play, to, fee);
        }
        play.conclude(time + SPOT_TIME_S, 0b1111);
        assert_eq!(is_paid(&mut play), what.is_empty(), "{what}");
    }
}

#[test]
fn only_who_was_seen_has_a_second_half() {
    for (paid, is_right) in [(3, true), (4, false), (2, false)] {
        let deletes = (Conduct::Deletes, Sight::Looks);
        let mut play = Play::kept([HONEST, HONEST, HONEST, deletes]);
        let fee = play.fee();
        for number in (1..=4).chain(1..=paid) {
            let holder = owner(&play, number);
            pay_out(&mut play, holder, fee);
        }
        let time = play.keeps.ranges[&ID].until + 1;
        play.call(time);
        for draw in 0..7_u8 {
            let looker = owner(&play, play.lookers()[usize::from(draw)]);
            pay_out(&mut play, looker, least_fee());
            play.spot(time + 10, draw, 0b0111);
        }
        play.conclude(time + SPOT_TIME_S, 0b0111);
        assert_eq!(is_paid(&mut play), is_right, "{paid}");
    }
}
