//! The machine in random histories: a model of the contract, other parties who move replicas on, answers that come in
//! any order, fail, or come twice.

use proptest::prelude::*;
use tilth_contracts::{ReplicaOutcome, ReplicaState};

use super::{
    words::{Event, Party, Standing},
    world::{MATE, PRIMARY, ROUND, World, at, verdict},
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
    all_end(World::new(party, cases), deeds, |_| ReplicaOutcome::Matched)
}

/// Or both have walked down to a leaf, and what the auditors say about it is done.
fn all_are_judged(party: Party, deeds: Vec<Deed>, cases: usize) -> Result<(), TestCaseError> {
    all_end(World::at_odds(party, cases), deeds, verdict)
}

fn all_end(
    mut world: World,
    deeds: Vec<Deed>,
    outcome: fn(usize) -> ReplicaOutcome,
) -> Result<(), TestCaseError> {
    world.introduce();
    for deed in deeds {
        world.does(deed);
    }
    world.settle();
    for (seq, case) in world.cases.iter().enumerate() {
        let outcome = outcome(seq);
        prop_assert_eq!(case.state, ReplicaState::Closed, "replica {}", seq);
        prop_assert_eq!(case.outcome, outcome, "replica {}", seq);
        prop_assert_eq!(world.shown[seq], Some(Standing::Over(outcome)));
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

    #[test]
    fn a_mate_walks_down_whatever_happens(deeds in prop::collection::vec(deed(), 0..160), cases in 1_usize..6) {
        all_are_judged(Party::Provider(MATE), deeds, cases)?;
    }

    #[test]
    fn a_primary_walks_down_whatever_happens(deeds in prop::collection::vec(deed(), 0..160), cases in 1_usize..6) {
        all_are_judged(Party::Provider(PRIMARY), deeds, cases)?;
    }

    #[test]
    fn a_client_sees_every_walk_end_whatever_happens(deeds in prop::collection::vec(deed(), 0..160), cases in 1_usize..6) {
        all_are_judged(Party::Client, deeds, cases)?;
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
                self.tell(self.news(seq));
            }
            Deed::News(seq) => self.tell(self.news(seq % self.cases.len())),
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
