//! What a holder does, told as short stories.

use alloy::primitives::{Address, B256};
use tilth_contracts::{HoldState, RangeState, SpotState};

use super::{
    party::Party,
    scenarios::{NOTHING, asked_for, one, pass},
    words::{Effect, Event, Part},
    world::{AUDITOR, DUE, HOUR, MIB, OURS, at},
};
use crate::audit::FINAL;

#[test]
fn a_holder_signs_at_once_and_its_later_draw_in_the_second_hour() {
    let mut world = one(Party::Auditor(AUDITOR), HoldState::Open);
    world.introduce();
    world.end(0, true);
    let part = world.cases[0].part;
    let [Effect::Fetch { mib: MIB, left, .. }] = world.under_way[..] else {
        panic!("{:?}", world.under_way)
    };
    assert_eq!(left, 2 * HOUR);
    world.end(0, true);
    world.end(0, true);
    assert_eq!(world.under_way, [Effect::Sign { range: at(0), part, draw: 2 }]);
    world.work_off();
    assert_eq!(world.cases[0].bits, 1 << 2);
    assert_eq!(asked_for(&mut world, 50), NOTHING, "the others have not come");
    let late = asked_for(&mut world, 20);
    assert_eq!(late, [Effect::Sign { range: at(0), part, draw: 9 }]);
}

#[test]
fn whom_no_draw_names_has_nothing_to_do_with_it() {
    let mut world = one(Party::Auditor(AUDITOR + 1), HoldState::Open);
    world.introduce();
    world.work_off();
    assert!(world.forgotten[0]);
    let mut world = one(Party::Provider(Address::ZERO), HoldState::Open);
    world.introduce();
    assert_eq!(world.machine.cases().count(), 0, "a third one's");
}

#[test]
fn what_is_another_range_now_is_fetched_anew() {
    let mut world = one(Party::Auditor(AUDITOR), HoldState::Open);
    world.introduce();
    world.end(0, true);
    assert!(matches!(world.under_way[..], [Effect::Fetch { .. }]));
    // It ends while the chain is another one.
    world.cases[0].part.root = B256::repeat_byte(7);
    world.cases[0].here = None;
    let part = world.cases[0].part;
    world.under_way.clear();
    let before = Part { root: B256::repeat_byte(1), ..part };
    world.tell(Event::Fetched { range: at(0), part: before });
    world.end(0, true);
    assert_eq!(world.under_way, [Effect::Fetch { range: at(0), part, mib: MIB, left: 2 * HOUR }]);
}

#[test]
fn what_is_signed_for_is_kept_until_its_time_is_over() {
    for is_noted in [false, true] {
        let mut world = one(Party::Auditor(AUDITOR), HoldState::Held);
        assert_ne!(world.cases[0].bits & OURS, 0);
        let until = world.cases[0].until;
        // Paid long ago, by many blocks.
        world.end_range(0, RangeState::Settled);
        world.cases[0].block = 9_999;
        if is_noted {
            world.cases[0].here = Some(world.cases[0].part);
        }
        world.introduce();
        world.work_off();
        let until_looked_at = Some(until + DUE + 2 * HOUR);
        assert_eq!(world.kept[0], until_looked_at, "somebody may look for it until then");
        pass(&mut world, |world| world.forgotten[0]);
        // The beacon is lost by now, so nobody has looked.
        let spot = world.cases[0].spot;
        assert_eq!((spot.state, spot.bits), (SpotState::Over, 0));
        assert_eq!(world.kept[0], Some(spot.end));
        assert!(spot.end > until + 2 * HOUR && world.now >= spot.end + FINAL);
    }
}

#[test]
fn what_is_rejected_after_all_is_looked_at_like_everything_else() {
    let mut world = one(Party::Auditor(AUDITOR), HoldState::Held);
    world.end_range(0, RangeState::Rejected);
    world.introduce();
    world.work_off();
    let until = world.cases[0].until;
    assert_eq!(world.kept[0], Some(until + DUE + 2 * HOUR));
    world.now += 2 * FINAL;
    world.tell(Event::News { range: at(0) });
    world.work_off();
    assert!(!world.forgotten[0]);
}
