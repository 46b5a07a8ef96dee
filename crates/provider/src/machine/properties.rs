//! What must hold in every history. The invariants of single effects are asserted by the world.

use proptest::prelude::*;
use tilth_protocol::{Amount, Clock, JobId, Price};

use super::{
    Effect, Event, Machine, Rest, Rules, Terms,
    sample::{self, START},
    world::{State, World},
};

/// Things that people and other machines do.
#[derive(Clone, Copy, Debug)]
enum Act {
    Open { tasks: u32, price: u128, class: u64, floor: Option<u128>, kind: Kind },
    DrawUs(u8),
    OtherClaims(u8),
    TopUp(u8),
    Cancel(u8),
    Acknowledge(u8),
    Crash,
    Owner(Option<Rest>),
    Wait(u16),
}

/// What a job is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Replicated,
    /// Its ranges take ten minutes, as far as its client says.
    Long,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1_u32..60, prop_oneof![Just(5_u128), Just(100), Just(700)], 0_u64..=2, kind())
            .prop_flat_map(|(tasks, price, class, kind)| {
                let floor = proptest::option::of(1..=price);
                floor.prop_map(move |floor| Act::Open { tasks, price, class, floor, kind })
            }),
        3 => any::<u8>().prop_map(Act::DrawUs),
        3 => any::<u8>().prop_map(Act::OtherClaims),
        1 => any::<u8>().prop_map(Act::TopUp),
        1 => any::<u8>().prop_map(Act::Cancel),
        2 => any::<u8>().prop_map(Act::Acknowledge),
        1 => Just(Act::Crash),
        2 => proptest::option::of(rest()).prop_map(Act::Owner),
        8 => (1_u16..120).prop_map(Act::Wait),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![1 => Just(Kind::Plain), 2 => Just(Kind::Replicated), 1 => Just(Kind::Long)]
}

fn rest() -> impl Strategy<Value = Rest> {
    prop_oneof![Just(Rest::Freeze), Just(Rest::Finish), Just(Rest::Release)]
}

fn perform(world: &mut World, act: Act) {
    let pick = |n: u8| JobId(u64::from(n) % (world.jobs.len().max(1) as u64) + 1);
    match act {
        Act::Open { tasks, price, class, floor, kind } => {
            let clock = floor.map(|floor| {
                let clock = Clock { floor: Price(floor), cap: Price(price), finish_s: 1_200 };
                (clock, world.now)
            });
            let deadline = world.now + 3_600_000;
            let required_class = if class == 2 { 0b10 } else { 0 };
            let replicated = kind == Kind::Replicated;
            let terms = Terms {
                price: Price(price),
                clock,
                deadline,
                required_class,
                audited: replicated,
                replicated,
                ..sample::terms(tasks)
            };
            let long = Terms { range_timeout_ms: 3_600_000, target_ms: 600_000, ..terms };
            world.open(if kind == Kind::Long { long } else { terms });
        }
        Act::DrawUs(n) => world.draw_us(pick(n)),
        Act::OtherClaims(n) => world.other_claims(pick(n)),
        Act::TopUp(n) => world.top_up(pick(n)),
        Act::Cancel(n) if n % 4 == 0 => world.cancel(pick(n)),
        Act::Cancel(_) => {}
        Act::Acknowledge(n) => world.acknowledge(pick(n)),
        Act::Crash => world.start(),
        Act::Owner(rest) => world.owner(rest),
        Act::Wait(steps) => {
            for _ in 0..steps {
                if !world.advance() {
                    break;
                }
            }
        }
    }
}

/// Runs until nothing is left to do. The bound is what makes a storm of timers a failure.
fn settle_down(world: &mut World) {
    for _ in 0..60_000 {
        if !world.advance() {
            return;
        }
    }
    panic!("does not come to rest: {:?}", world.machine);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_ranges_end_well_and_then_it_is_quiet(
        seed: u64,
        slots in 1_u16..4,
        trouble in prop_oneof![Just(0_u64), Just(10), Just(35)],
        acts in proptest::collection::vec(act(), 1..40),
        end in prop_oneof![2 => Just(None), 1 => rest().prop_map(Some)],
    ) {
        let mut world = World::new(seed, slots);
        world.trouble = trouble;
        world.start();
        for act in acts {
            perform(&mut world, act);
        }
        // The faults end and the client pays for everything; in half of the histories a crash wipes
        // out all grudges before that.
        world.trouble = 0;
        if seed % 2 == 0 {
            world.start();
        }
        for job in world.jobs.keys().copied().collect::<Vec<_>>() {
            world.top_up(job);
        }
        // The owner goes, or comes and stays for ever.
        world.owner(end);
        settle_down(&mut world);

        prop_assert_eq!(world.held_by_me(), 0, "claimed and neither submitted nor given back");
        prop_assert!(world.most_held <= usize::from(slots) * 2);
        prop_assert_eq!(world.machine.standing().pending, 0);
        prop_assert_eq!(world.machine.next_wake(), None);
        let left = world.machine.jobs().count();
        prop_assert_eq!(left, 0, "forgets jobs that are over: {:?}", world.machine);
        for job in world.jobs.values() {
            let unsettled = job.ranges.values().filter(|r| r.mine && r.state == State::Submitted);
            prop_assert_eq!(unsettled.count(), 0, "work was delivered and not paid");
        }
    }

    #[test]
    fn without_faults_every_task_of_every_fitting_job_is_done(
        seed: u64,
        slots in 1_u16..4,
        jobs in proptest::collection::vec(1_u32..200, 1..5),
    ) {
        let mut world = World::new(seed, slots);
        world.start();
        for tasks in jobs {
            let job = world.open(Terms { deadline: START + 36_000_000, ..sample::terms(tasks) });
            world.top_up(job);
        }
        settle_down(&mut world);
        for job in world.jobs.values() {
            prop_assert!(job.pieces.is_empty(), "tasks were left");
            prop_assert!(job.ranges.values().all(|range| range.state == State::Settled));
        }
    }

    #[test]
    fn any_events_in_any_order_are_survived(seed: u64, count in 1_usize..200) {
        let rules = Rules { withdraw_above: Some(Amount(1)), ..sample::rules(2) };
        let mut machine = Machine::new(rules);
        let mut now = START;
        let mut state = seed;
        let mut withdrawing = false;
        for _ in 0..count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now += state >> 50;
            let event = super::scenarios::stray_event(state >> 20);
            withdrawing &= !matches!(event, Event::WithdrawEnded { .. });
            let effects = machine.step(event, now);
            if effects.contains(&Effect::Withdraw) {
                prop_assert!(!withdrawing, "two withdrawals at a time");
                withdrawing = true;
            }
            prop_assert!(effects.len() < 64);
            prop_assert!(machine.next_wake().is_none_or(|wake| wake > now));
        }
    }
}

#[test]
fn idle_machine_has_no_timer() {
    let mut machine = Machine::new(sample::rules(4));
    assert_eq!(machine.step(Event::CaughtUp, START), []);
    assert_eq!(machine.next_wake(), None);
    assert_eq!(machine.step(Event::Tick, START + 1), []);
    assert_eq!(machine.next_wake(), None);
}
