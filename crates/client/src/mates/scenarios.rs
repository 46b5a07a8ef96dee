//! Single decisions of the machine, told as short stories.

use alloy::primitives::B256;
use tilth_contracts::{ReplicaOutcome, ReplicaState};
use tilth_verification::walk::Place;

use super::{
    words::{Effect, Event, Party, Role, Standing},
    world::{HOUR, MATE, PRIMARY, ROUND, World, at, found_in, nodes_of},
};

const BEACON: Option<B256> = Some(B256::repeat_byte(9));

/// A world of one replica in this state, with everything drawn that can be by then.
fn one(party: Party, state: ReplicaState) -> World {
    let mut world = World::new(party, 1);
    let case = &mut world.cases[0];
    case.beacon = BEACON;
    let alone = matches!(state, ReplicaState::None | ReplicaState::Sealed | ReplicaState::Alone);
    case.mate = u32::from(!alone) * MATE;
    let committed = !alone && state != ReplicaState::Working;
    case.committed = committed.then(|| found_in(case.part));
    world.enter(0, state);
    world
}

/// Whether something like that is asked for while nothing comes of anything, within ten minutes.
fn asks_for(world: &mut World, what: fn(&Effect) -> bool) -> bool {
    for _ in 0..10 {
        while let Some(last) = world.under_way.len().checked_sub(1) {
            if what(&world.under_way[last]) {
                return true;
            }
            let looks = matches!(world.under_way[last], Effect::Look { .. });
            world.end(last, looks);
        }
        world.now += 60_000;
        world.tell(Event::Tick);
    }
    false
}

#[test]
fn whoever_is_late_is_passed_over_but_nobody_asks_for_that_itself() {
    let late = |party, state| {
        let mut world = one(party, state);
        world.now += 3 * HOUR;
        world.introduce();
        asks_for(&mut world, |effect| matches!(effect, Effect::Advance { .. }))
    };
    let (primary, mate) = (Party::Provider(PRIMARY), Party::Provider(MATE));
    for state in
        [ReplicaState::Sealed, ReplicaState::Working, ReplicaState::Revealing, ReplicaState::Alone]
    {
        assert!(late(Party::Client, state), "{state}");
    }
    assert!(late(primary, ReplicaState::Sealed) && late(primary, ReplicaState::Working));
    assert!(!late(primary, ReplicaState::Revealing) && !late(primary, ReplicaState::Alone));
    assert!(!late(mate, ReplicaState::Working) && !late(mate, ReplicaState::Revealing));
    assert!(late(mate, ReplicaState::Alone), "it was drawn, and is not any more");
}

#[test]
fn whoever_has_shown_its_root_goes_on_without_the_other() {
    for (party, shown) in [(Party::Provider(PRIMARY), 1), (Party::Provider(MATE), 2)] {
        let mut world = one(party, ReplicaState::Revealing);
        world.cases[0].shown = shown;
        world.introduce();
        let early = asks_for(&mut world, |effect| matches!(effect, Effect::Advance { .. }));
        assert!(!early, "the other has time");
        world.now += 3 * HOUR;
        world.tell(Event::News { range: at(0) });
        assert!(asks_for(&mut world, |effect| matches!(effect, Effect::Advance { .. })));
    }
}

/// A world of one walk in which one of both is to make a move.
fn walking(party: Party, state: ReplicaState) -> World {
    let mut world = one(party, state);
    let case = &mut world.cases[0];
    (world.at_odds, case.part.count) = (true, 300);
    case.at = match state {
        ReplicaState::Walking => Place::top(300),
        _ => Place { level: 0, index: 7 },
    };
    world
}

#[test]
fn whoever_is_late_in_a_walk_is_passed_over_but_nobody_asks_for_that_itself() {
    let late = |party, state, shown| {
        let mut world = walking(party, state);
        world.cases[0].shown = shown;
        world.now += 3 * HOUR;
        world.introduce();
        asks_for(&mut world, |effect| matches!(effect, Effect::Advance { .. }))
    };
    let (primary, mate) = (Party::Provider(PRIMARY), Party::Provider(MATE));
    for state in [ReplicaState::Walking, ReplicaState::Showing] {
        for shown in 0..3 {
            assert!(late(Party::Client, state, shown), "{state} {shown}");
            assert_eq!(late(primary, state, shown), shown == 1, "{state} {shown}");
            assert_eq!(late(mate, state, shown), shown == 2, "{state} {shown}");
        }
    }
    for party in [Party::Client, primary, mate] {
        assert!(!late(party, ReplicaState::Disputed, 3), "a case of the auditors has no time here");
    }
}

#[test]
fn whoever_comes_second_waits_until_it_has_heard_of_the_nodes() {
    for (party, bit, other) in [(PRIMARY, 2, Role::Mate), (MATE, 1, Role::Primary)]
        .map(|(n, b, o)| (Party::Provider(n), b, o))
    {
        let mut world = walking(party, ReplicaState::Walking);
        world.cases[0].shown = bit;
        // Its own look is quicker than the log, or an earlier step's nodes are all it knows.
        world.tell(Event::Due { range: at(0), provider: PRIMARY, round: ROUND });
        world.tell(Event::Drawn { range: at(0), mate: MATE });
        let old = Place { level: 13, index: 0 };
        let number = if other == Role::Mate { MATE } else { PRIMARY };
        world.tell(Event::Posted { range: at(0), number, at: old, nodes: Vec::new() });
        world.tell(Event::CaughtUp { head: ROUND });
        assert!(!asks_for(&mut world, |effect| !matches!(effect, Effect::Look { .. })));
        world.cases[0].due = world.now + HOUR;
        world.tell(world.news(0));
        // One of a step that is over, which a node has told late, takes nothing from it.
        world.tell(Event::Posted { range: at(0), number, at: old, nodes: Vec::new() });
        world.work_off_looks();
        let [Effect::Post { theirs, .. }] = &world.under_way[..] else {
            panic!("{:?}", world.under_way)
        };
        assert_eq!(*theirs, nodes_of(&world.cases[0], other));
        world.end(0, true);
        assert_eq!(world.cases[0].at.level, 5, "four levels down");
    }
}

#[test]
fn a_leaf_is_shown_without_running_anything() {
    for party in [Party::Provider(PRIMARY), Party::Provider(MATE)] {
        let mut world = walking(party, ReplicaState::Showing);
        world.introduce();
        world.work_off_looks();
        let [Effect::Open { position: 7, .. }] = world.under_way[..] else {
            panic!("{:?}", world.under_way)
        };
        world.end(0, true);
        assert_ne!(world.cases[0].shown, 0);
    }
}

#[test]
fn a_verdict_is_concluded_although_it_may_end_the_range() {
    let verdicts = [ReplicaOutcome::Alone, ReplicaOutcome::Unequal];
    let parties = [Party::Client, Party::Provider(PRIMARY), Party::Provider(MATE)];
    for (party, verdict) in parties.map(|party| verdicts.map(|verdict| (party, verdict))).concat() {
        let mut world = walking(party, ReplicaState::Disputed);
        world.verdicts[0] = verdict;
        world.introduce();
        let concludes = |effect: &Effect| matches!(effect, Effect::Conclude { .. });
        assert!(!asks_for(&mut world, concludes), "the auditors are not done");
        assert_eq!(world.machine.at_stake(), 0, "we have shown all that there is");
        world.cases[0].decided = true;
        assert_eq!(world.view(0).range_over, verdict == ReplicaOutcome::Unequal);
        assert!(asks_for(&mut world, concludes), "{party:?}");
        world.work_off();
        assert_eq!(world.cases[0].state, ReplicaState::Closed);
        assert_eq!(world.shown[0], Some(Standing::Over(verdict)));
    }
}

#[test]
fn our_own_move_is_tried_whatever_our_clock_says() {
    for (party, state) in [
        (Party::Provider(MATE), ReplicaState::Working),
        (Party::Provider(MATE), ReplicaState::Revealing),
        (Party::Provider(PRIMARY), ReplicaState::Revealing),
        (Party::Provider(PRIMARY), ReplicaState::Alone),
    ] {
        for hours in [-5, 5] {
            let mut world = one(party, state);
            world.wrong_clock = hours * 3_600_000;
            world.introduce();
            let runs = asks_for(&mut world, |effect| matches!(effect, Effect::Run { .. }));
            assert!(runs, "{party:?} {state} {hours}");
            world.work_off();
            assert_ne!(world.cases[0].state, ReplicaState::Working, "{party:?} {hours}");
            assert!(world.cases[0].shown != 0 || world.cases[0].state == ReplicaState::Closed);
        }
    }
}

#[test]
fn what_nobody_can_use_any_more_is_not_run() {
    let mut world = one(Party::Provider(MATE), ReplicaState::Working);
    world.now += 3 * HOUR;
    world.introduce();
    assert!(!asks_for(&mut world, |effect| !matches!(effect, Effect::Look { .. })));
    let mut world = one(Party::Provider(MATE), ReplicaState::Working);
    world.now += HOUR;
    world.introduce();
    world.end(0, true);
    let [Effect::Run { role: Role::Mate, left, .. }] = world.under_way[..] else {
        panic!("{:?}", world.under_way)
    };
    assert_eq!(left, HOUR, "what is left of its two hours");
}

#[test]
fn what_was_found_before_a_reorganisation_is_not_committed_to_after_it() {
    let mut world = one(Party::Provider(MATE), ReplicaState::Working);
    world.introduce();
    world.end(0, true);
    assert!(matches!(world.under_way[..], [Effect::Run { .. }]));
    // It ends while the chain is another one.
    world.reorganise(0);
    world.cases[0].mate = MATE;
    world.enter(0, ReplicaState::Working);
    world.end(0, true);
    world.end(0, true);
    let [Effect::Run { part, .. }] = world.under_way[..] else { panic!("{:?}", world.under_way) };
    assert_eq!(part, world.cases[0].part, "the tasks it has now");
}

#[test]
fn a_beacon_that_nobody_kept_is_drawn_for_all_to_know() {
    for (block, lapses) in [(ROUND + 257, 0), (ROUND + 2, 1)] {
        let mut world = one(Party::Provider(PRIMARY), ReplicaState::Sealed);
        let case = &mut world.cases[0];
        (case.beacon, case.block, case.lapses) = (None, block, lapses);
        world.introduce();
        assert!(asks_for(&mut world, |effect| matches!(effect, Effect::Draw { .. })), "{block}");
    }
}

#[test]
fn one_of_many_ranges_has_the_round_noted_for_all() {
    let mut world = World::new(Party::Client, 8);
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
fn a_replica_that_the_chain_does_not_know_is_forgotten_by_whom_it_costs_nothing() {
    for party in [Party::Client, Party::Provider(PRIMARY)] {
        let mut world = one(party, ReplicaState::None);
        world.introduce();
        let passes = |world: &mut World, blocks: u64, time: u64| {
            world.work_off();
            world.cases[0].block += blocks;
            world.now += time;
            world.tell(Event::News { range: at(0) });
            world.machine.cases().count()
        };
        assert_eq!(passes(&mut world, 63, 60_000), 1);
        assert_eq!(passes(&mut world, 1, 60_000), 1, "not yet looked at");
        world.under_way.clear();
        let looked = Event::Looked { range: at(0), view: Some(Box::new(world.view(0))) };
        if party == Party::Client {
            world.tell(looked);
            assert!(world.forgotten[0]);
            continue;
        }
        world.tell(looked);
        assert_eq!(world.machine.cases().count(), 1, "a node that reads anew knows of it late");
        assert_eq!(world.machine.at_stake(), 1);
    }
}

#[test]
fn only_who_answers_for_a_replica_has_something_at_stake() {
    for (party, stake) in
        [(Party::Client, 0), (Party::Provider(PRIMARY), 1), (Party::Provider(MATE), 1)]
    {
        let mut world = one(party, ReplicaState::Revealing);
        world.introduce();
        assert_eq!(world.machine.at_stake(), stake, "{party:?}");
        world.close(0, ReplicaOutcome::Matched);
        world.tell(Event::Closed { range: at(0) });
        world.work_off();
        assert_eq!(world.machine.at_stake(), 0, "{party:?}");
        assert_eq!(world.shown[0], Some(Standing::Over(ReplicaOutcome::Matched)));
    }
    let mut world = World::new(Party::Provider(9), 1);
    world.introduce();
    assert_eq!(world.machine.cases().count(), 0, "it is none of a third one's affair");
}

#[test]
fn a_mate_that_was_late_has_nothing_at_stake_any_more() {
    let mut world = one(Party::Provider(MATE), ReplicaState::Working);
    world.introduce();
    world.end(0, true);
    assert!(matches!(world.under_way[..], [Effect::Run { role: Role::Mate, .. }]));
    assert_eq!(world.machine.at_stake(), 1);
    // Others have gone on without it.
    world.cases[0].mate = 0;
    world.enter(0, ReplicaState::Alone);
    world.end(0, true);
    world.end(0, true);
    assert_eq!(world.machine.at_stake(), 0);
    assert_eq!(world.machine.cases().count(), 1, "a block that does not count may have said so");
    // Which it has.
    world.cases[0].mate = MATE;
    world.enter(0, ReplicaState::Working);
    world.tell(Event::News { range: at(0) });
    world.end(0, true);
    assert_eq!(world.machine.at_stake(), 1);
}

#[test]
fn what_ended_long_ago_is_shown_to_its_client_alone() {
    let past = |party, block| {
        let mut world = one(party, ReplicaState::Alone);
        world.close(0, ReplicaOutcome::Alone);
        world.cases[0].block = block;
        world.introduce();
        world.under_way.len()
    };
    let primary = Party::Provider(PRIMARY);
    assert_eq!((past(primary, ROUND + 256), past(primary, ROUND + 257)), (1, 0));
    assert_eq!(past(Party::Client, ROUND + 257), 1);
}

#[test]
fn a_root_is_a_secret_until_its_replica_is_over() {
    for state in [
        ReplicaState::Sealed,
        ReplicaState::Working,
        ReplicaState::Revealing,
        ReplicaState::Walking,
        ReplicaState::Showing,
    ] {
        assert!(Standing::Open(state).is_secret());
    }
    assert!(!Standing::Over(ReplicaOutcome::Unequal).is_secret());
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let mut world = one(Party::Client, ReplicaState::Working);
    world.introduce();
    world.end(0, true);
    let wake = world.machine.next_wake().unwrap();
    let waited = wake - world.now;
    world.now -= HOUR;
    world.tell(Event::Tick);
    assert_eq!(world.machine.next_wake(), Some(world.now + waited));
}
