//! Who looks at holders, and who is paid for it, by logs alone.

use alloy_primitives::{Address, B256, aliases::U96};
use tilth_contracts::{Auditors, JobBook};

use super::*;
use crate::trust::{
    kept_play::{DUE, ID, LOOKS, Play},
    mind::{Conduct, Service, Sight},
};

const HONEST: (Conduct, Sight) = (Conduct::Fetches, Sight::Looks);
/// It has deleted what it has signed for, and says what it sees.
const DELETES: (Conduct, Sight) = (Conduct::Deletes, Sight::Looks);
/// The draws of all who have signed.
const ALL: u16 = 0b1111;

/// When the time of its holders is over.
fn until(play: &Play) -> u64 {
    play.keeps.ranges[&play.id].until
}

/// With those who look called for, right when they may be; and when they may say something for the last time.
fn called(people: [(Conduct, Sight); 4]) -> (Play, u64) {
    let mut play = Play::kept(people);
    let time = until(&play) + 1;
    play.call(time);
    assert_eq!(play.keeps.faults, Vec::<String>::new());
    (play, time - 1 + SPOT_TIME_S)
}

/// The first of those who look say what they are like to say of draws of which these serve. What all together then
/// come to.
fn look(play: &mut Play, time: u64, votes: u8, serving: u16) -> u16 {
    let mut by = 0;
    for draw in 0..votes {
        let number = play.lookers()[usize::from(draw)];
        let holder = *play.keeps.holder(number).unwrap();
        let says = |of: &usize| holder.says(serving >> of & 1 == 1) == Some(true);
        let seen = draws(ALL).filter(says).fold(0, |bits, of| bits | 1_u16 << of);
        by += draws(seen).map(|of| 1_u64 << (4 * of)).sum::<u64>();
        play.spot(time, draw, seen);
    }
    served(by, votes.into())
}

#[test]
fn who_serves_has_its_second_half() {
    let (mut play, end) = called([HONEST; 4]);
    let came = look(&mut play, end, 7, ALL);
    assert_eq!(came, ALL);
    play.conclude(end + 1, came);
    assert_eq!(play.keeps.faults, Vec::<String>::new());
    assert_eq!(play.counts.spots, [0, 1]);
    let (served, unserved) = (play.counts.served, play.counts.unserved);
    assert_eq!((served.trials, served.came, served.expected), (1, 1, u128::from(ONE.0)));
    assert_eq!(unserved.trials, 0);
    let deposit = &play.keeps.deposits[&ID.job];
    assert_eq!(deposit.fees, 8 * play.fee() + 7 * least_fee());
    assert_eq!(deposit.reserved, 0);
    let mut again = play;
    again.conclude(end + 1, came);
    assert_eq!(again.keeps.faults.len(), 1, "it is over");
}

#[test]
fn who_looks_is_called_for_when_time_is_over_and_once() {
    for (late, is_right) in [(0, false), (1, true), (SPOT_DUE_S, true), (SPOT_DUE_S + 1, false)] {
        let mut play = Play::kept([HONEST; 4]);
        let time = until(&play) + late;
        play.call(time);
        assert_eq!(play.is_right(), is_right, "{late}");
    }
    let (mut twice, end) = called([HONEST; 4]);
    twice.call(end);
    assert_eq!(twice.keeps.faults.len(), 1);
    let mut open = Play::drawn(Service::Anybody, 0);
    open.call(DUE + 20);
    assert_eq!(open.keeps.faults.len(), 1, "it is not held");
}

#[test]
fn holders_of_inputs_are_looked_at_when_their_job_is_over() {
    // That it is cancelled is not enough: its ranges are not judged.
    for (is_cancelled, is_over, is_right) in
        [(false, true, true), (true, true, true), (true, false, false), (false, false, false)]
    {
        let mut play = Play::new(Service::Anybody, 0);
        play.id = RangeId::inputs(ID.job);
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        (0..4).for_each(|draw| play.sign(DUE + 20, draw));
        let until = play.deadline() + 7 * 86_400;
        play.held_until(DUE + 20, until);
        if is_cancelled {
            let cancelled = JobBook::JobCancelled { jobId: 1, refunded: 0 };
            play.tell_of_jobs(DUE + 90, &cancelled, false);
        }
        if is_over {
            let done = JobBook::JobDone {
                jobId: 1,
                state: 4,
                resultRoot: B256::ZERO,
                settledTasks: 16,
                refunded: 0,
            };
            play.tell_of_jobs(DUE + 100, &done, false);
        }
        assert_eq!(play.keeps.faults, Vec::<String>::new());
        play.call(DUE + 200);
        assert_eq!(play.is_right(), is_right, "{is_cancelled} {is_over}");
    }
}

#[test]
fn only_whom_a_draw_names_says_once_and_in_time_what_it_has_seen() {
    let (play, end) = called([HONEST; 4]);
    let named = play.lookers();
    let least = U96::saturating_from(least_fee());
    let right =
        Spots::Spotted { jobId: 1, seq: 0, number: named[2], draw: 2, seen: ALL, fee: least };
    for (what, time, event) in [
        ("", end, right.clone()),
        ("late", end + 1, right.clone()),
        ("another", end, Spots::Spotted { number: named[2] % 4 + 1, ..right.clone() }),
        ("not drawn", end, Spots::Spotted { draw: 7, ..right.clone() }),
        ("not signed", end, Spots::Spotted { seen: ALL | 1 << 9, ..right.clone() }),
        ("a lie", end, Spots::Spotted { seen: 0, ..right.clone() }),
        ("more", end, Spots::Spotted { fee: least + U96::from(1), ..right.clone() }),
    ] {
        let (mut play, _) = called([HONEST; 4]);
        play.tell_of_looks(time, &event);
        assert_eq!(play.is_right(), what.is_empty(), "{what}: {:?}", play.keeps.faults);
    }
    let (mut twice, _) = called([HONEST; 4]);
    (0..2).for_each(|_| twice.spot(end, 2, ALL));
    assert_eq!(twice.keeps.faults.len(), 1);
    let mut uncalled = Play::kept([HONEST; 4]);
    uncalled.tell_of_looks(end, &right);
    assert_eq!(uncalled.keeps.faults.len(), 1);
}

#[test]
fn it_ends_when_time_is_over_and_with_no_vote() {
    // Else whoever looks last would pay for the end.
    for (votes, late, is_right) in [(7, 0, false), (7, 1, true), (6, 0, false), (6, 1, true)] {
        let (mut play, end) = called([HONEST; 4]);
        let came = look(&mut play, end, votes, ALL);
        play.conclude(end + late, came);
        assert_eq!(play.is_right(), is_right, "{votes} {late}");
    }
    // Where too few have looked nobody is paid, which people who all look do not come to.
    for (votes, came, paid) in [(3, 0, 0), (4, ALL, 4)] {
        let (mut play, end) = called([HONEST; 4]);
        assert_eq!(look(&mut play, end, votes, ALL), came);
        play.conclude(end + 1, came);
        assert_eq!(play.counts.spots, [u64::from(votes == 3), u64::from(votes == 4)]);
        assert_eq!(play.is_right(), votes == 4);
        let deposit = &play.keeps.deposits[&ID.job];
        let looks = u128::from(votes) * least_fee();
        assert_eq!((deposit.reserved, deposit.fees), (0, (4 + paid) * play.fee() + looks));
    }
}

#[test]
fn who_has_deleted_it_has_no_second_half() {
    let serving = 0b0111;
    for (served, is_right) in [(serving, true), (ALL, false), (0, false)] {
        let (mut play, end) = called([HONEST, HONEST, HONEST, DELETES]);
        assert_eq!(look(&mut play, end, 7, serving), serving);
        play.conclude(end + 1, served);
        assert_eq!(play.is_right(), is_right, "{served:b}");
        let unserved = play.counts.unserved;
        assert_eq!((unserved.trials, unserved.expected), (1, 0));
        assert_eq!(unserved.came, u64::from(served == ALL));
    }
}

#[test]
fn liars_have_their_way_as_often_as_they_have_stake() {
    let half = ONE.0 / 2;
    for (liar, serves) in [(Sight::Denies, true), (Sight::Vouches, false), (Sight::Absent, true)] {
        let conduct = if serves { Conduct::Fetches } else { Conduct::Deletes };
        let people =
            [(conduct, liar), (conduct, liar), (conduct, Sight::Looks), (conduct, Sight::Looks)];
        let (mut play, end) = called(people);
        let serving = if serves { ALL } else { 0 };
        let no = if liar == Sight::Absent { 0 } else { half };
        let mut by = 0;
        let mut votes = 0;
        for draw in 0..7 {
            let holder = *play.keeps.holder(play.lookers()[usize::from(draw)]).unwrap();
            if let Some(says) = holder.says(serves) {
                let seen = if says { ALL } else { 0 };
                play.spot(end, draw, seen);
                by += draws(seen).map(|of| 1_u64 << (4 * of)).sum::<u64>();
                votes += 1;
            }
        }
        let came = served(by, votes);
        play.conclude(end + 1, came);
        assert_eq!(play.keeps.faults, Vec::<String>::new(), "{liar:?}");
        let sample = if serves { play.counts.served } else { play.counts.unserved };
        assert_eq!(sample.expected, u128::from(seen_chance(half, no)), "{liar:?}");
        assert_eq!((sample.trials, sample.came), (1, u64::from(came == ALL)), "{serving:b}");
    }
}

#[test]
fn whoever_has_something_coming_to_it_calls_for_those_who_look() {
    for (people, is_right) in [([HONEST; 4], false), ([DELETES; 4], true)] {
        let mut play = Play::kept(people);
        let end = until(&play) + SPOT_DUE_S;
        play.conclude(end + 1, 0);
        assert_eq!(play.is_right(), is_right);
        assert_eq!(play.keeps.deposits[&ID.job].reserved, 0);
        assert_eq!((play.counts.served.trials, play.counts.unserved.trials), (0, 0));
    }
    let mut early = Play::kept([DELETES; 4]);
    let end = until(&early) + SPOT_DUE_S;
    early.conclude(end, 0);
    assert_eq!(early.keeps.faults.len(), 1, "it might still be looked at");
}

#[test]
fn nobody_knows_who_will_look_when_they_are_called_for() {
    for (block, is_right) in [(LOOKS - 1, true), (LOOKS, false)] {
        let mut play = Play::kept([HONEST; 4]);
        play.keeps.block = block;
        let time = until(&play) + 1;
        play.call(time);
        assert_eq!(play.is_right(), is_right, "{block}");
    }
}

#[test]
fn who_has_nothing_at_stake_now_has_no_vote() {
    for (stake, is_right) in [(1, true), (0, false)] {
        let (mut play, end) = called([HONEST; 4]);
        let owner = play.keeps.holder(play.lookers()[0]).unwrap().who;
        let slashed = Auditors::AuditorSlashed {
            owner,
            beneficiary: Address::ZERO,
            toBeneficiary: 25,
            burned: 25,
            stake,
            leaving: 0,
        };
        let at = play.scene.farm.addresses().auditors;
        play.log(at, (end, false), &slashed);
        play.spot(end, 0, ALL);
        assert_eq!(play.is_right(), is_right, "{stake}");
    }
}
