//! The machine in random histories: a model of the contracts, other parties who move asks on, answers that come in any
//! order, fail, or come twice.

use proptest::prelude::*;
use tilth_contracts::{HoldState, RangeState, SpotState};

use super::{
    party::Party,
    said::Standing,
    words::Event,
    world::{AUDITOR, DUE, HOUR, KEPT, OURS, PROVIDER, World, at},
};
use crate::audit::Millis;

#[derive(Clone, Copy, Debug)]
enum Deed {
    End(usize, bool),
    MoveOn(usize),
    News(usize),
    Pass(Millis),
    /// Nothing is asked for, and so much time passes.
    Rest(u64),
    Acknowledge(usize),
    Reorganise(usize),
    Clock(Millis),
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(at, done)| Deed::End(at, done)),
        2 => any::<usize>().prop_map(Deed::MoveOn),
        2 => any::<usize>().prop_map(Deed::News),
        3 => (1_u64..30_000).prop_map(Deed::Pass),
        1 => (1_u64..8).prop_map(Deed::Rest),
        1 => any::<usize>().prop_map(Deed::Acknowledge),
        1 => any::<usize>().prop_map(Deed::Reorganise),
        1 => (0_u64..7_200_000).prop_map(Deed::Clock),
        1 => Just(Deed::Restart),
    ]
}

/// Whatever happens: in the end all is paid, nobody is punished, and nothing is left to be done.
fn ended(party: Party, deeds: Vec<Deed>, cases: usize) -> Result<World, TestCaseError> {
    let mut world = World::new(party, cases);
    world.introduce();
    for deed in deeds {
        world.does(deed);
    }
    world.settle();
    for (seq, case) in world.cases.iter().enumerate() {
        prop_assert_eq!(case.range, RangeState::Settled, "range {}", seq);
        prop_assert_ne!(case.state, HoldState::Lost, "range {}", seq);
    }
    prop_assert_eq!(world.machine.cases().count(), 0);
    prop_assert_eq!(world.machine.at_stake(), 0);
    prop_assert_eq!(world.machine.next_wake(), None);
    Ok(world)
}

proptest! {
    #[test]
    fn a_provider_asks_until_it_is_held_whatever_happens(
        deeds in prop::collection::vec(deed(), 0..120),
        cases in 1_usize..8,
    ) {
        let world = ended(Party::Provider(PROVIDER), deeds, cases)?;
        for (case, shown) in world.cases.iter().zip(&world.shown) {
            if case.state == HoldState::Held {
                prop_assert_eq!(*shown, Some(Standing::Over(HoldState::Held)));
            }
        }
    }

    #[test]
    fn a_holder_signs_for_what_it_has_and_keeps_it_whatever_happens(
        deeds in prop::collection::vec(deed(), 0..120),
        cases in 1_usize..8,
    ) {
        let world = ended(Party::Auditor(AUDITOR), deeds, cases)?;
        for (seq, case) in world.cases.iter().enumerate() {
            if case.state != HoldState::Held {
                continue;
            }
            prop_assert!(case.bits & OURS != 0, "it was held without us");
            prop_assert!(world.forgotten[seq] && world.now >= case.until);
            // It has called for those who look, unless all of the time in which it could may have passed at one go.
            let late = case.spot.state == SpotState::None && world.rested > 20;
            prop_assert!(case.spot.state == SpotState::Over || late, "{:?}", case.spot);
        }
    }

    #[test]
    fn a_clients_deposit_reaches_and_comes_back_whatever_happens(
        deeds in prop::collection::vec(deed(), 0..120),
        cases in 1_usize..8,
    ) {
        let mut world = ended(Party::Client, deeds, cases)?;
        prop_assert!(world.closed);
        prop_assert_eq!(world.deposit, world.held(), "it has waited for none who hold");
        // A later command has what those have not earned.
        world.now += KEPT + DUE + HOUR;
        world.restart();
        world.settle();
        prop_assert_eq!((world.reserved(), world.deposit), (0, 0));
        prop_assert_eq!((world.machine.cases().count(), world.machine.next_wake()), (0, None));
    }
}

impl World {
    fn does(&mut self, deed: Deed) {
        match deed {
            Deed::End(at, done) => {
                if let Some(at) = at.checked_rem(self.under_way.len()) {
                    self.end(at, done);
                }
            }
            Deed::MoveOn(seq) => {
                let seq = seq % self.cases.len();
                self.move_on(seq);
                self.tell(self.told(seq));
            }
            Deed::News(seq) => self.tell(Event::News { range: at(seq % self.cases.len()) }),
            Deed::Pass(time) => {
                self.now += time;
                self.tell(Event::Tick);
            }
            Deed::Rest(hours) => {
                let rests = self.cases.iter().all(|case| {
                    case.state == HoldState::Held || case.range != RangeState::Submitted
                });
                if rests {
                    self.now += hours * HOUR;
                    self.rested += hours;
                    self.tell(Event::Tick);
                }
            }
            Deed::Acknowledge(seq) => {
                let seq = seq % self.cases.len();
                if self.cases[seq].range == RangeState::Submitted {
                    self.end_range(seq, RangeState::Settled);
                    self.tell(self.told(seq));
                }
            }
            Deed::Reorganise(seq) => {
                let seq = seq % self.cases.len();
                self.reorganise(seq);
                self.tell(self.told(seq));
            }
            Deed::Clock(wrong) => self.wrong_clock = wrong,
            Deed::Restart => self.restart(),
        }
    }
}
