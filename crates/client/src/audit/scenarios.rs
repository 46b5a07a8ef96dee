//! Single decisions of the machine, told as short stories.

use alloy::primitives::B256;
use tilth_contracts::{AuditOutcome, AuditState, SeatState};
use tilth_verification::arithmetic::Share;

use super::{
    words::{Effect, Event, Party, Standing},
    world::{HOUR, LATER, ROUND, SEAT, World, range, rules, value},
};

#[test]
fn whoever_is_late_is_passed_over_but_nobody_asks_for_that_itself() {
    let late = |party, state| {
        let mut world = World::new(party, 1);
        world.introduce();
        world.cases[0].beacon = Some(B256::repeat_byte(9));
        world.enter(0, state);
        world.now += 3 * HOUR;
        world.tell(Event::News { range: range(0) });
        let mut asked = false;
        for _ in 0..6 {
            // In this model nothing comes of it, so it would be asked for again and again.
            while let Some(last) = world.under_way.len().checked_sub(1).filter(|_| !asked) {
                asked |= matches!(world.under_way[last], Effect::Advance { .. });
                world.end(last, true);
            }
            world.now += 60_000;
            world.tell(Event::Tick);
        }
        asked
    };
    assert!(late(Party::Client, AuditState::Naming) && late(Party::Client, AuditState::Committing));
    assert!(
        late(Party::Auditor(4), AuditState::Naming) && late(Party::Auditor(4), AuditState::Opening)
    );
    assert!(!late(Party::Auditor(4), AuditState::Committing));
    assert!(
        late(Party::Provider(5), AuditState::Committing)
            && late(Party::Provider(5), AuditState::Revealing)
    );
    assert!(!late(Party::Provider(5), AuditState::Naming));
    assert!(!late(Party::Provider(5), AuditState::Opening));
}

#[test]
fn what_may_be_paid_is_what_nobody_doubts() {
    let over = Standing::Over;
    assert!(
        over(AuditOutcome::Upheld).may_be_paid() && over(AuditOutcome::Unaudited).may_be_paid()
    );
    assert!(Standing::NotDrawn.may_be_paid() && !Standing::Open(AuditState::Naming).may_be_paid());
    assert!(
        !over(AuditOutcome::Overturned).may_be_paid()
            && !over(AuditOutcome::Undecided).may_be_paid()
    );
    let disputed = Standing::Disputed(AuditState::Closed);
    assert!(!disputed.may_be_paid() && disputed.is_blind());
}

#[test]
fn what_was_paid_without_a_draw_is_known_for_that_when_its_beacon_is_forgotten() {
    let value = Some(B256::repeat_byte(9));
    for (beacon, lapses) in [(None, 0), (value, 1), (None, 2)] {
        for party in [Party::Client, Party::Provider(5)] {
            let mut world = World::new(party, 1);
            let case = &mut world.cases[0];
            (case.beacon, case.lapses, case.paid) = (beacon, lapses, true);
            case.rate = Share::new(0);
            world.introduce();
            world.end(0, true);
            assert_eq!(world.shown[0], Some(Standing::NotDrawn), "{party:?} {lapses}");
            assert_eq!(world.machine.at_stake(), 0);
            assert_eq!(world.forgotten[0], party == Party::Client);
        }
    }
}

/// Blocks from the beacon's to the draw of a range that is not audited, if one comes every so many milliseconds.
fn remembered(party: Party, block_time: u64) -> Option<u64> {
    let mut world = World::new(party, 1);
    let case = &mut world.cases[0];
    (case.beacon, case.block) = (Some(B256::repeat_byte(9)), ROUND + 1);
    case.rate = Share::new(0);
    world.introduce();
    let begun = world.now;
    for _ in 0..4_000 {
        while let Some(last) = world.under_way.len().checked_sub(1) {
            if matches!(world.under_way[last], Effect::Draw { .. }) {
                return Some(world.cases[0].block - ROUND);
            }
            world.end(last, true);
        }
        let Some(wake) = world.machine.next_wake() else { break };
        world.now = wake;
        world.cases[0].block = ROUND + 1 + (wake - begun) / block_time;
        world.tell(Event::Tick);
    }
    assert!(world.forgotten[0], "neither drawn nor forgotten");
    None
}

#[test]
fn what_is_not_audited_is_put_on_record_before_block_hashes_are_gone_however_fast_blocks_come() {
    for block_time in [12_000, 1_000, 100, 20] {
        for party in [Party::Provider(5), Party::Client] {
            let blocks = remembered(party, block_time).unwrap();
            assert!((65..200).contains(&blocks), "{blocks} blocks of {block_time} ms");
        }
    }
    assert_eq!(remembered(Party::Auditor(4), 1_000), None, "it is none of the auditors' affair");
}

#[test]
fn our_own_move_is_tried_whatever_our_clock_says() {
    for (party, state) in [
        (Party::Provider(5), AuditState::Naming),
        (Party::Provider(5), AuditState::Opening),
        (Party::Auditor(4), AuditState::Committing),
    ] {
        for hours in [-5, 5] {
            let mut world = World::new(party, 1);
            world.cases[0].beacon = Some(B256::repeat_byte(9));
            world.enter(0, state);
            world.wrong_clock = hours * i64::try_from(HOUR).unwrap();
            world.introduce();
            world.end(0, true);
            let own = matches!(
                world.under_way[..],
                [Effect::Name { .. } | Effect::Open { .. } | Effect::Examine { .. }]
            );
            assert!(own, "{party:?} {hours} h: {:?}", world.under_way);
        }
    }
}

/// Lets so many blocks come, one a second, and everything end as it should.
fn pass(world: &mut World, blocks: u64) {
    for _ in 0..blocks {
        while let Some(last) = world.under_way.len().checked_sub(1) {
            world.end(last, true);
        }
        world.now += 1_000;
        world.cases.iter_mut().for_each(|case| case.block += 1);
        world.tell(Event::Tick);
    }
}

#[test]
fn what_was_sealed_is_kept_although_a_node_knows_nothing_of_the_case() {
    for keeps in [true, false] {
        let mut world = World::new(Party::Auditor(4), 1);
        world.cases[0].state = AuditState::None;
        if keeps {
            let sealed = world.seal(0);
            world.tell(Event::Sealed { range: range(0), seat: SEAT, sealed });
        }
        world.introduce();
        pass(&mut world, 200);
        // In one that was in a block that does not count any more nothing is left to do.
        assert_eq!(world.forgotten[0], !keeps);
    }
}

#[test]
fn a_seal_that_is_missing_when_it_must_be_shown_is_looked_for_on_disk() {
    let mut world = World::new(Party::Auditor(4), 1);
    let case = &mut world.cases[0];
    (case.beacon, case.seat) = (Some(B256::repeat_byte(9)), SeatState::Committed);
    world.enter(0, AuditState::Committing);
    world.enter(0, AuditState::Opening);
    world.introduce();
    world.end(0, true);
    // Said long before it is needed.
    assert!(matches!(world.under_way[..], [Effect::Recall { .. }]), "{:?}", world.under_way);
    world.end(0, true);
    world.seal(0);
    world.enter(0, AuditState::Revealing);
    world.now = world.machine.next_wake().expect("it looks again");
    world.tell(Event::Tick);
    world.end(0, true);
    assert!(matches!(world.under_way[..], [Effect::Recall { .. }]), "{:?}", world.under_way);
    world.end(0, true);
    world.end(0, true);
    assert!(matches!(world.under_way[..], [Effect::Reveal { .. }]), "{:?}", world.under_way);
}

#[test]
fn a_case_that_was_over_and_is_open_again_is_gone_on_with() {
    for party in [Party::Auditor(4), Party::Provider(5)] {
        let mut world = World::new(party, 1);
        let case = &mut world.cases[0];
        (case.beacon, case.seat) = (Some(B256::repeat_byte(9)), SeatState::Committed);
        world.enter(0, AuditState::Committing);
        if let Party::Auditor(_) = party {
            let sealed = world.seal(0);
            world.tell(Event::Sealed { range: range(0), seat: SEAT, sealed });
        }
        world.enter(0, AuditState::Closed);
        world.introduce();
        world.end(0, true);
        assert!(!world.forgotten[0] && world.under_way.is_empty(), "{:?}", world.under_way);
        assert_eq!(world.machine.at_stake(), 0, "nobody waits for it");
        // The block that closed it does not count; nobody says so.
        let open = match party {
            Party::Auditor(_) => AuditState::Revealing,
            _ => AuditState::Opening,
        };
        world.enter(0, open);
        let wake = world.machine.next_wake().expect("it looks again");
        assert!(wake <= world.now + HOUR / 4, "while it can still be answered");
        world.now = wake;
        world.tell(Event::Tick);
        world.end(0, true);
        let own = matches!(world.under_way[..], [Effect::Reveal { .. } | Effect::Open { .. }]);
        assert!(own, "{party:?}: {:?}", world.under_way);
        assert_eq!(world.machine.at_stake(), 1);
    }
    // A client has nothing to answer for.
    let mut client = World::new(Party::Client, 1);
    client.enter(0, AuditState::Closed);
    client.introduce();
    client.end(0, true);
    assert!(client.forgotten[0]);
}

fn end_all(world: &mut World) {
    while let Some(last) = world.under_way.len().checked_sub(1) {
        world.end(last, true);
    }
}

/// One range whose dispute has ended for its provider.
fn disputed(party: Party) -> World {
    let mut world = World::new(party, 1);
    let case = &mut world.cases[0];
    (case.dispute, case.beacon, case.seat) = (true, Some(value(ROUND)), SeatState::Committed);
    world.enter(0, AuditState::Committing);
    if let Party::Auditor(_) = party {
        let sealed = world.seal(0);
        world.tell(Event::Sealed { range: range(0), seat: SEAT, sealed });
    }
    world.cases[0].seat = SeatState::Revealed;
    world.enter(0, AuditState::Closed);
    world.introduce();
    world.end(0, true);
    assert_eq!(world.shown[0], Some(Standing::Disputed(AuditState::Closed)), "{party:?}");
    world
}

#[test]
fn a_range_whose_dispute_is_upheld_is_neither_paid_nor_given_up_before_its_own_audit() {
    for party in [Party::Client, Party::Provider(5)] {
        let mut world = disputed(party);
        // However long nobody concludes it.
        pass(&mut world, 1_000);
        assert!(!world.forgotten[0], "{party:?}");
        assert_eq!(world.machine.at_stake(), usize::from(party != Party::Client));
        end_all(&mut world);
        world.renew(0);
        world.announce(0);
        assert!(matches!(world.under_way[..], [Effect::Look { .. }]), "{:?}", world.under_way);
        end_all(&mut world);
        assert_eq!(world.shown[0], Some(Standing::Open(AuditState::Submitted)));
        // Logs of the dispute come late.
        world.repeat(0);
        world.settle();
        assert_eq!(world.shown[0], Some(Standing::Over(AuditOutcome::Upheld)));
        assert!(world.forgotten[0], "{party:?}");
        let did = matches!(party, Party::Provider(_));
        assert_eq!((world.named[0], world.opened[0]), (did, did), "the range's own leaves");
    }
}

#[test]
fn the_end_of_a_dispute_that_is_heard_late_does_not_end_what_follows_it() {
    for (party, ends) in [
        (Party::Auditor(4), 1),
        (Party::Auditor(4), 2),
        (Party::Provider(5), 1),
        (Party::Provider(5), 2),
    ] {
        let mut world = World::new(party, 1);
        for (round, seat) in [(ROUND, SEAT), LATER] {
            world.tell(Event::Due { range: range(0), provider: 5, round });
            world.tell(Event::Seated { range: range(0), auditor: 4, seat });
        }
        for _ in 0..ends {
            world.tell(Event::Closed { range: range(0) });
        }
        world.tell(Event::CaughtUp { head: ROUND + 10_000 });
        let known = world.machine.cases().count();
        assert_eq!(known, 2 - ends, "{party:?}: both are over, or one of both");
    }
}

#[test]
fn who_has_voted_in_a_dispute_and_does_not_in_the_audit_after_it_has_nothing_at_stake() {
    let mut world = disputed(Party::Auditor(4));
    assert_eq!(world.machine.at_stake(), 0, "nobody waits for it");
    world.renew(0);
    world.cases[0].number = None;
    world.announce(0);
    world.cases[0].beacon = Some(value(LATER.0));
    for state in [AuditState::Naming, AuditState::Committing, AuditState::Revealing] {
        world.enter(0, state);
        world.tell(Event::News { range: range(0) });
        while let Some(last) = world.under_way.len().checked_sub(1) {
            let looks = matches!(world.under_way[last], Effect::Look { .. });
            assert!(looks, "{state}: {:?}", world.under_way);
            world.end(last, true);
        }
        assert_eq!(world.shown[0], Some(Standing::Open(state)));
        assert_eq!(world.machine.at_stake(), 0, "{state}");
        assert!(!world.forgotten[0], "a node that is late knows less than the disk");
    }
    world.enter(0, AuditState::Closed);
    world.settle();
    assert!(world.forgotten[0]);
}

#[test]
fn one_round_is_noted_once_for_all_cases_that_rest_on_it() {
    let mut world = World::new(Party::Client, 5);
    world.introduce();
    for _ in 0..20 {
        while let Some(look) =
            world.under_way.iter().position(|effect| matches!(effect, Effect::Look { .. }))
        {
            world.end(look, true);
        }
        assert!(world.under_way.len() <= 1, "{:?}", world.under_way);
        world.now += 1_000;
        world.tell(Event::Tick);
    }
    // The others look now and then whether it is noted.
    let is_move = |effect: &&Effect| !matches!(effect, Effect::Look { .. });
    let moves: Vec<_> = world.under_way.iter().filter(is_move).collect();
    assert!(matches!(moves[..], [Effect::Poke { round: ROUND, .. }]), "{moves:?}");
}

#[test]
fn what_changes_nothing_is_not_done_again_at_once() {
    let mut world = World::new(Party::Client, 1);
    world.cases[0].beacon = Some(B256::repeat_byte(9));
    world.enter(0, AuditState::Naming);
    world.now += 3 * HOUR;
    world.introduce();
    let (mut asked, begun) = (0, world.now);
    while world.now < begun + HOUR / 60 {
        while let Some(last) = world.under_way.len().checked_sub(1) {
            asked += usize::from(matches!(world.under_way[last], Effect::Advance { .. }));
            world.end(last, true);
        }
        let Some(wake) = world.machine.next_wake() else { break };
        world.now = wake;
        world.tell(Event::Tick);
    }
    assert!((2..10).contains(&asked), "{asked} times within a minute");
}

#[test]
fn a_fresh_start_looks_only_at_what_is_open_and_what_is_ours_comes_first() {
    let old = ROUND + 10_000;
    let mut world = World::new(Party::Auditor(4), 60);
    for seq in 0..60 {
        let round = if seq < 40 { ROUND } else { old };
        world.tell(Event::Due { range: range(seq), provider: 5, round });
    }
    world.tell(Event::Seated { range: range(7), auditor: 4, seat: SEAT });
    world.tell(Event::Seated { range: range(8), auditor: 4, seat: SEAT });
    world.tell(Event::Closed { range: range(8) });
    world.tell(Event::Closed { range: range(41) });
    world.tell(Event::CaughtUp { head: old + 20 });
    // A client wants to know what came of each.
    let mut client = World::new(Party::Client, 1);
    client.tell(Event::Due { range: range(0), provider: 5, round: ROUND });
    client.tell(Event::Closed { range: range(0) });
    client.tell(Event::CaughtUp { head: old });
    assert_eq!(client.under_way, [Effect::Look { range: range(0), seat: None }]);
    let known: Vec<_> = world.machine.cases().map(|range| range.seq).collect();
    let expected: Vec<_> = [7].into_iter().chain(40..60).filter(|seq| *seq != 41).collect();
    assert_eq!(known, expected);
    assert_eq!(world.under_way.len(), 9, "ours, and a few of the others");
    assert!(world.under_way.iter().any(|effect| effect.range() == range(7)));
    assert_eq!(world.machine.at_stake(), 1);
}

#[test]
fn whose_turn_it_is_differs_between_cases() {
    let first = |seq: u32| {
        let names = (0..6).map(|name| {
            let rules =
                super::words::Rules { name: B256::repeat_byte(name), ..rules(Party::Client) };
            (rules.rank(range(seq), ROUND, AuditState::Submitted), name)
        });
        names.min().map(|(_, name)| name)
    };
    let firsts: std::collections::BTreeSet<_> = (0..60).map(first).collect();
    assert_eq!(firsts.len(), 6, "everybody pays for some");
}

#[test]
fn a_beacon_that_was_forgotten_spares_nobody_and_one_that_is_lost_ends_the_case() {
    let value = Some(B256::repeat_byte(9));
    for (beacon, lapses) in [(value, 1), (None, 0), (None, 2)] {
        for party in [Party::Provider(5), Party::Client, Party::Auditor(4)] {
            let mut world = World::new(party, 1);
            let case = &mut world.cases[0];
            (case.beacon, case.lapses, case.rate) = (beacon, lapses, Share::new(0));
            case.block = ROUND + 700;
            world.tell(Event::Due { range: range(0), provider: 5, round: ROUND + 600 });
            world.tell(Event::CaughtUp { head: ROUND + 700 });
            world.end(0, true);
            world.now = world.machine.next_wake().expect("it waits for others first");
            world.tell(Event::Tick);
            world.end(0, true);
            assert!(matches!(world.under_way[..], [Effect::Draw { .. }]), "{:?}", world.under_way);
        }
    }
}

#[test]
fn a_round_that_has_moved_is_neither_noted_nor_drawn_in_a_hot_loop() {
    let mut world = World::new(Party::Provider(5), 1);
    let case = &mut world.cases[0];
    (case.block, case.stuck) = (ROUND + 700, true);
    world.introduce();
    let (mut sent, begun) = (0, world.now);
    while world.now < begun + HOUR / 60 {
        while let Some(last) = world.under_way.len().checked_sub(1) {
            let moves = matches!(world.under_way[last], Effect::Draw { .. } | Effect::Poke { .. });
            sent += usize::from(moves);
            if moves {
                world.cases[0].lapses = 1;
            }
            world.end(last, true);
        }
        let Some(wake) = world.machine.next_wake() else { break };
        world.now = wake;
        world.tell(Event::Tick);
    }
    assert!((2..20).contains(&sent), "{sent} transactions within a minute");
}
