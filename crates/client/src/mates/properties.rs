//! The machine in random histories: a model of the contract, other parties who move replicas on, answers that come in
//! any order, fail, or come twice.

use proptest::prelude::*;
use tilth_contracts::{ReplicaOutcome, ReplicaState};

use super::{
    words::{Event, Party, Standing},
    world::{MATE, PRIMARY, ROUND, World, at},
};
use crate::audit::Millis;

#[derive(Clone, Copy, Debug)]
enum Deed {
    End(usize, bool),
    MoveOn(usize),
    News(usize),
    Pass(Millis),
    Reorganise(usize),
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
        1 => (-7_200_000_i64..7_200_000).prop_map(Deed::Clock),
        1 => Just(Deed::Restart),
    ]
}

/// Whatever happens: in the end both have shown the same, and all is forgotten.
fn all_match(party: Party, deeds: Vec<Deed>, cases: usize) -> Result<(), TestCaseError> {
    let mut world = World::new(party, cases);
    world.introduce();
    for deed in deeds {
        world.does(deed);
    }
    world.settle();
    for (seq, case) in world.cases.iter().enumerate() {
        prop_assert_eq!(case.state, ReplicaState::Closed, "replica {}", seq);
        prop_assert_eq!(case.outcome, ReplicaOutcome::Matched, "replica {}", seq);
        prop_assert_eq!(world.shown[seq], Some(Standing::Over(ReplicaOutcome::Matched)));
        prop_assert!(world.forgotten[seq]);
    }
    prop_assert_eq!(world.machine.at_stake(), 0);
    prop_assert_eq!(world.machine.next_wake(), None);
    Ok(())
}

proptest! {
    #[test]
    fn a_mate_runs_commits_and_shows_whatever_happens(deeds in prop::collection::vec(deed(), 0..120), cases in 1_usize..8) {
        all_match(Party::Provider(MATE), deeds, cases)?;
    }

    #[test]
    fn a_primary_shows_its_root_whatever_happens(deeds in prop::collection::vec(deed(), 0..120), cases in 1_usize..8) {
        all_match(Party::Provider(PRIMARY), deeds, cases)?;
    }

    #[test]
    fn a_client_learns_what_came_of_every_replica_whatever_happens(deeds in prop::collection::vec(deed(), 0..120), cases in 1_usize..8) {
        all_match(Party::Client, deeds, cases)?;
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
                self.tell(Event::News { range: at(seq) });
            }
            Deed::News(seq) => self.tell(Event::News { range: at(seq % self.cases.len()) }),
            Deed::Pass(time) => {
                self.now += time;
                self.tell(Event::Tick);
            }
            Deed::Reorganise(seq) => {
                let seq = seq % self.cases.len();
                let closed = self.cases[seq].state == ReplicaState::Closed;
                self.reorganise(seq);
                // Logs of the blocks that are there instead are not always heard of.
                if !closed {
                    self.tell(Event::Due { range: at(seq), provider: PRIMARY, round: ROUND });
                    self.tell(Event::Drawn { range: at(seq), mate: MATE });
                }
            }
            Deed::Clock(wrong) => self.wrong_clock = wrong,
            Deed::Restart => self.restart(),
        }
    }
}
