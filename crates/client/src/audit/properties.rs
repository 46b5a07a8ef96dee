//! The machine in random histories: a model of the contract, other parties who move cases on, answers that
//! come in any order, fail, or come twice. Some ranges are disputed first, and have another case after that.

use proptest::prelude::*;
use tilth_contracts::{AuditOutcome, AuditState, SeatState};

use super::{
    words::{Event, Millis, Party, Standing},
    world::{World, at},
};

#[derive(Clone, Copy, Debug)]
enum Deed {
    End(usize, bool),
    MoveOn(usize),
    News(usize),
    Pass(Millis),
    Reorganise(usize),
    Repeat(usize),
    Clock(i64),
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(at, done)| Deed::End(at, done)),
        2 => any::<usize>().prop_map(Deed::MoveOn),
        2 => any::<usize>().prop_map(Deed::News),
        3 => (1_u64..20_000).prop_map(Deed::Pass),
        1 => any::<usize>().prop_map(Deed::Reorganise),
        1 => any::<usize>().prop_map(Deed::Repeat),
        1 => (-7_200_000_i64..7_200_000).prop_map(Deed::Clock),
        1 => Just(Deed::Restart),
    ]
}

proptest! {
    #[test]
    fn an_auditor_commits_and_reveals_whatever_happens(deeds in prop::collection::vec(deed(), 0..120), cases in 1_usize..12, disputes in any::<u16>()) {
        let mut world = World::new(Party::Auditor(4), cases);
        world.dispute(disputes);
        world.introduce();
        for deed in deeds {
            world.does(deed);
        }
        world.settle();
        for (seq, case) in world.cases.iter().enumerate() {
            prop_assert_eq!(case.state, AuditState::Closed, "case {}", seq);
            prop_assert!(!case.dispute);
            prop_assert_eq!(case.seat, SeatState::Revealed);
            prop_assert!(world.forgotten[seq]);
        }
        prop_assert_eq!(world.machine.next_wake(), None);
    }

    #[test]
    fn a_provider_names_and_opens_whatever_happens(deeds in prop::collection::vec(deed(), 0..120), cases in 1_usize..6, disputes in any::<u16>()) {
        let mut world = World::new(Party::Provider(5), cases);
        world.dispute(disputes);
        world.introduce();
        for deed in deeds {
            world.does(deed);
        }
        world.settle();
        for (seq, case) in world.cases.iter().enumerate() {
            prop_assert_eq!(case.state, AuditState::Closed, "case {}", seq);
            prop_assert!(!case.dispute);
            prop_assert!(world.named[seq] && world.opened[seq], "case {}", seq);
            prop_assert!(world.forgotten[seq]);
        }
        prop_assert_eq!(world.machine.next_wake(), None);
    }

    #[test]
    fn a_client_learns_what_came_of_every_case_whatever_happens(deeds in prop::collection::vec(deed(), 0..120), cases in 1_usize..6, disputes in any::<u16>()) {
        let mut world = World::new(Party::Client, cases);
        world.dispute(disputes);
        world.introduce();
        for deed in deeds {
            world.does(deed);
        }
        world.settle();
        for (seq, case) in world.cases.iter().enumerate() {
            prop_assert_eq!(case.state, AuditState::Closed, "case {}", seq);
            prop_assert!(!case.dispute);
            prop_assert_eq!(world.shown[seq], Some(Standing::Over(AuditOutcome::Upheld)));
            prop_assert!(world.forgotten[seq]);
        }
        prop_assert_eq!(world.machine.next_wake(), None);
    }
}

impl World {
    /// Those of these bits are disputed before they are audited.
    fn dispute(&mut self, which: u16) {
        for (seq, case) in self.cases.iter_mut().enumerate() {
            case.dispute = (which >> seq) & 1 != 0;
        }
    }

    fn does(&mut self, deed: Deed) {
        match deed {
            Deed::End(at, done) => {
                if let Some(at) = at.checked_rem(self.under_way.len()) {
                    self.end(at, done);
                }
            }
            Deed::MoveOn(seq) => {
                let seq = seq % self.cases.len();
                self.go_on(seq);
            }
            Deed::News(seq) => self.tell(Event::News { range: at(seq % self.cases.len()) }),
            Deed::Pass(time) => {
                self.now += time;
                self.tell(Event::Tick);
            }
            Deed::Reorganise(seq) => {
                let seq = seq % self.cases.len();
                let closed = self.cases[seq].state == AuditState::Closed;
                self.reorganise(seq);
                // Logs of the blocks that are there instead are not always heard of.
                if !closed {
                    self.announce(seq);
                }
            }
            Deed::Repeat(seq) => self.repeat(seq % self.cases.len()),
            Deed::Clock(wrong) => self.wrong_clock = wrong,
            Deed::Restart => self.restart(),
        }
    }
}
