//! Single decisions of the machine, told as short stories.

use alloy::primitives::B256;
use tilth_contracts::{HoldState, RangeState};

use super::{
    machine::Machine,
    party::{Party, Rules},
    said::Standing,
    words::{Effect, Event},
    world::{
        AUDITOR, HOUR, KEPT, MAX_MIB, MIB, MOST, PROVIDER, START, WINDOW, World, at, cost, rules,
    },
};

pub(super) const NOTHING: [Effect; 0] = [];
const BEACON: Option<B256> = Some(B256::repeat_byte(9));

/// A world of one range whose window is over and whose ask is in this state.
pub(super) fn one(party: Party, state: HoldState) -> World {
    let mut world = World::new(party, 1);
    (world.now, world.deposit) = (START + WINDOW, MOST);
    let case = &mut world.cases[0];
    case.state = state;
    if state != HoldState::None {
        (case.mib, case.asked, case.beacon) = (MIB, 1, BEACON);
    }
    if matches!(state, HoldState::Open | HoldState::Held | HoldState::Again) {
        case.from = world.now;
    }
    if state == HoldState::Held {
        (case.bits, case.until) = (0b1111, world.now + KEPT);
    }
    world
}

/// What is asked for while nothing comes of anything but looks, within so many minutes; each once.
pub(super) fn asked_for(world: &mut World, minutes: usize) -> Vec<Effect> {
    let mut all = Vec::new();
    for _ in 0..minutes {
        while let Some(last) = world.under_way.len().checked_sub(1) {
            let effect = world.under_way[last].clone();
            let looks = matches!(effect, Effect::Look { .. });
            if !looks && !all.contains(&effect) {
                all.push(effect);
            }
            world.end(last, looks);
        }
        world.now += 60_000;
        world.tell(Event::Tick);
    }
    all
}

/// Everything works and time passes, until something is so.
pub(super) fn pass(world: &mut World, until: impl Fn(&World) -> bool) {
    for _ in 0..1_000 {
        if until(world) {
            return;
        }
        world.now = world.machine.next_wake().expect("it waits for nothing");
        world.tell(Event::Tick);
        world.work_off();
    }
    panic!("it does not come to that: {:?}", world.cases);
}

fn asks(world: &mut World, minutes: usize, what: fn(&Effect) -> bool) -> bool {
    asked_for(world, minutes).iter().any(what)
}

fn is_ask(effect: &Effect) -> bool {
    matches!(effect, Effect::Ask { .. })
}

fn is_fail(effect: &Effect) -> bool {
    matches!(effect, Effect::Fail { .. })
}

#[test]
fn a_provider_asks_with_the_size_of_what_it_has() {
    let mut world = one(Party::Provider(PROVIDER), HoldState::None);
    world.introduce();
    world.end(0, true);
    let part = world.cases[0].part;
    assert_eq!(world.under_way, [Effect::Size { range: at(0), part }]);
    world.end(0, true);
    world.end(0, true);
    assert_eq!(world.under_way, [Effect::Ask { range: at(0), mib: MIB }]);
    world.end(0, true);
    assert_eq!(world.cases[0].state, HoldState::Asked);
}

/// The first time its client has asked, who knows no size.
#[test]
fn a_provider_says_the_second_time_how_large_its_range_is() {
    let mut world = one(Party::Provider(PROVIDER), HoldState::Again);
    world.cases[0].mib = MAX_MIB;
    world.introduce();
    world.end(0, true);
    let part = world.cases[0].part;
    assert_eq!(world.under_way, [Effect::Size { range: at(0), part }]);
    world.end(0, true);
    world.end(0, true);
    assert_eq!(world.under_way, [Effect::Ask { range: at(0), mib: MIB }]);
    world.end(0, true);
    assert_eq!((world.cases[0].state, world.cases[0].mib), (HoldState::Asked, MIB));
}

#[test]
fn nothing_is_asked_for_before_all_else_lets_it_be_paid() {
    let parties = [Party::Provider(PROVIDER), Party::Client];
    for party in parties {
        let mut young = one(party, HoldState::None);
        young.cases[0].window_end = young.now + HOUR;
        young.introduce();
        assert!(!asks(&mut young, 50, is_ask), "{party:?}: its window is not over");
        let mut audited = one(party, HoldState::None);
        audited.cases[0].may_pay = false;
        audited.introduce();
        assert!(!asks(&mut audited, 50, is_ask), "{party:?}: its audit is not over");
    }
}

#[test]
fn what_is_too_large_is_not_asked_for() {
    let mut world = one(Party::Provider(PROVIDER), HoldState::None);
    world.introduce();
    world.end(0, true);
    world.under_way.clear();
    let part = world.cases[0].part;
    world.tell(Event::Sized { range: at(0), part, mib: MAX_MIB + 1 });
    assert_eq!(asked_for(&mut world, 10), NOTHING);
}

#[test]
fn a_client_asks_for_the_largest_size_where_the_provider_does_not() {
    for (state, mib) in [(HoldState::None, MAX_MIB), (HoldState::Again, MIB)] {
        let mut world = one(Party::Client, state);
        world.introduce();
        // Its patience is a minute.
        world.work_off();
        assert_eq!(world.under_way, NOTHING);
        let asked = asked_for(&mut world, 3);
        assert_eq!(asked, [Effect::Ask { range: at(0), mib }], "{state}");
    }
}

#[test]
fn a_deposit_is_filled_up_within_what_was_set() {
    let fills_up = |deposit: u128| {
        let mut world = one(Party::Client, HoldState::None);
        world.deposit = deposit;
        // Before it can be asked for: once it could, anybody may have it paid.
        world.cases[0].window_end = world.now + HOUR;
        world.introduce();
        asked_for(&mut world, 2)
    };
    // For this range and for the next one, without which the job gives out none.
    let due = 2 * cost(MAX_MIB);
    for deposit in [100, cost(MAX_MIB), due - 1] {
        assert_eq!(fills_up(deposit), [Effect::Fund { range: at(0), due }], "{deposit}");
    }
    assert_eq!(fills_up(due), NOTHING, "it reaches");
    // What was set does not reach for the next one, but for this one.
    let mut world = World::new(Party::Client, 1);
    (world.now, world.deposit) = (START, 100);
    world.machine = Machine::new(Rules { most: due - 1, ..rules(Party::Client) });
    world.introduce();
    let this = Effect::Fund { range: at(0), due: cost(MAX_MIB) };
    assert_eq!(asked_for(&mut world, 2), [this]);
    // All that was set is reserved for another range.
    let mut world = World::new(Party::Client, 2);
    (world.now, world.deposit) = (START + WINDOW, MOST);
    let dear = u32::try_from(MOST / cost(1)).unwrap();
    let case = &mut world.cases[1];
    (case.state, case.mib, case.asked, case.beacon) = (HoldState::Open, dear, 1, BEACON);
    case.from = world.now;
    world.introduce();
    let funds = |effect: &Effect| matches!(effect, Effect::Fund { .. });
    assert!(!asks(&mut world, 5, funds), "more than was set");
    assert_eq!(world.shown[0], Some(Standing::Waived));
}

#[test]
fn what_is_waived_is_nobodys_to_ask_for() {
    let mut world = one(Party::Provider(PROVIDER), HoldState::None);
    world.deposit = cost(MAX_MIB) - 1;
    world.introduce();
    assert_eq!(asked_for(&mut world, 10), NOTHING);
    assert_eq!(world.shown[0], Some(Standing::Waived));
    assert_eq!(world.machine.at_stake(), 0, "nobody will fetch it");
}

#[test]
fn a_provider_does_not_call_for_its_own_punishment() {
    for (asked, ends) in [(1, true), (2, false)] {
        let mut world = one(Party::Provider(PROVIDER), HoldState::Open);
        world.cases[0].asked = asked;
        world.introduce();
        assert!(!asks(&mut world, 110, is_fail), "it has time");
        assert_eq!(asks(&mut world, 20, is_fail), ends, "{asked}");
        // Nor by a beacon that nobody kept.
        let mut world = one(Party::Provider(PROVIDER), HoldState::Asked);
        let case = &mut world.cases[0];
        (case.asked, case.beacon, case.lapses) = (asked, None, 1);
        world.introduce();
        let draws = |effect: &Effect| matches!(effect, Effect::Draw { .. });
        assert_eq!(asks(&mut world, 5, draws), ends, "{asked}");
    }
    let mut world = one(Party::Client, HoldState::Open);
    world.cases[0].asked = 2;
    world.introduce();
    assert!(asks(&mut world, 130, is_fail), "others do");
}

#[test]
fn what_is_reserved_for_a_range_that_is_over_is_set_free_by_its_client() {
    for state in [HoldState::Asked, HoldState::Open, HoldState::Again] {
        for party in [Party::Client, Party::Provider(PROVIDER), Party::Auditor(AUDITOR)] {
            let mut world = one(party, state);
            world.end_range(0, RangeState::Settled);
            // Long ago: a client that was away looks at all that was asked for.
            world.cases[0].block = 9_999;
            world.introduce();
            assert_eq!(asks(&mut world, 2, is_fail), party == Party::Client, "{party:?} {state}");
        }
    }
}

#[test]
fn a_deposit_comes_back_when_nothing_of_it_is_needed_any_more() {
    let mut world = one(Party::Client, HoldState::Open);
    world.end_range(0, RangeState::Settled);
    world.job_over = true;
    world.introduce();
    let closes = |world: &World| world.under_way.contains(&Effect::Close);
    world.end(0, true);
    assert!(!closes(&world), "something is reserved");
    world.end(0, true);
    world.end(0, true);
    assert!(world.forgotten[0] && closes(&world));
    world.end(0, false);
    assert!(!closes(&world), "not at once again");
    world.now = world.machine.next_wake().unwrap();
    world.tell(Event::Tick);
    assert!(closes(&world));
    world.end(0, true);
    world.tell(Event::Tick);
    assert_eq!((world.under_way.len(), world.machine.next_wake()), (0, None));
}

#[test]
fn only_a_provider_whose_range_is_open_has_something_at_stake() {
    for (party, stake) in
        [(Party::Client, 0), (Party::Auditor(AUDITOR), 0), (Party::Provider(PROVIDER), 1)]
    {
        let mut world = one(party, HoldState::Open);
        world.introduce();
        world.end(0, true);
        assert_eq!(world.machine.at_stake(), stake, "{party:?}");
    }
    let mut world = one(Party::Provider(PROVIDER), HoldState::Held);
    world.introduce();
    world.work_off();
    assert_eq!(world.machine.at_stake(), 0);
    assert_eq!(world.shown[0], Some(Standing::Over(HoldState::Held)));
}

#[test]
fn one_of_many_ranges_has_the_round_noted_for_all() {
    let mut world = World::new(Party::Client, 8);
    (world.now, world.deposit) = (START + WINDOW, MOST);
    for case in &mut world.cases {
        (case.state, case.mib, case.asked) = (HoldState::Asked, MIB, 1);
    }
    world.introduce();
    let mut pokes = 0;
    for _ in 0..5 {
        while let Some(at) =
            world.under_way.iter().position(|effect| matches!(effect, Effect::Look { .. }))
        {
            world.end(at, true);
        }
        let now = world.under_way.iter().filter(|effect| matches!(effect, Effect::Poke { .. }));
        pokes = now.count().max(pokes);
        world.now += 2_000;
        world.tell(Event::Tick);
    }
    assert_eq!(pokes, 1);
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let mut world = one(Party::Client, HoldState::Open);
    world.introduce();
    world.end(0, true);
    let wake = world.machine.next_wake().unwrap();
    let waited = wake - world.now;
    world.now -= HOUR;
    world.tell(Event::Tick);
    assert_eq!(world.machine.next_wake(), Some(world.now + waited));
}
