//! How long a client leaves a range to its provider.

use tilth_contracts::HoldState;

use crate::holding::{
    party::Party,
    scenarios::{NOTHING, asked_for, one},
    words::{Effect, Event},
    world::{HOUR, MAX_MIB, MIB, at, rules},
};

/// One that runs for some minutes at a time asks, too.
#[test]
fn a_client_that_has_just_come_asks_at_once_when_the_providers_time_is_over() {
    for (state, mib) in [(HoldState::None, MAX_MIB), (HoldState::Again, MIB)] {
        let mut world = one(Party::Client, state);
        world.now += rules(Party::Client).ask_after - 1;
        world.introduce();
        world.end(0, true);
        assert_eq!(world.under_way, NOTHING, "{state}: it is the provider's to ask");
        world.restart();
        world.end(0, true);
        assert_eq!(world.under_way, [Effect::Ask { range: at(0), mib }], "{state}");
        world.end(0, true);
        assert_eq!(world.cases[0].state, HoldState::Asked, "and the contract takes it");
    }
}

#[test]
fn a_provider_whose_audit_is_seen_to_end_late_has_its_time_nevertheless() {
    let mut world = one(Party::Client, HoldState::None);
    world.now += HOUR;
    world.cases[0].may_pay = false;
    world.introduce();
    world.end(0, true);
    assert_eq!(world.under_way, NOTHING, "its audit is not over");
    world.cases[0].may_pay = true;
    world.tell(Event::News { range: at(0) });
    world.end(0, true);
    assert_eq!(world.under_way, NOTHING, "it could not ask before");
    let ask = Effect::Ask { range: at(0), mib: MAX_MIB };
    assert_eq!(asked_for(&mut world, 3), [ask]);

    // Who has not seen it goes by the chain alone.
    let mut world = one(Party::Client, HoldState::None);
    world.now += HOUR;
    world.introduce();
    world.end(0, true);
    assert_eq!(world.under_way, [Effect::Ask { range: at(0), mib: MAX_MIB }]);
}
