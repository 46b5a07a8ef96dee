//! What the world asserts about every effect when it is asked for.

use tilth_contracts::ReplicaState;

use super::{
    words::{Effect, Role},
    world::{World, found_in, nodes_of},
};

impl World {
    pub(super) fn check(&self, effect: &Effect) {
        assert!(self.caught_up, "{effect:?} before the past is known");
        let of = effect.range();
        if matches!(effect, Effect::Show { .. } | Effect::Forget { .. }) {
            return;
        }
        let busy = self.under_way.iter().any(|other| other.range() == of);
        assert!(!busy, "two things at a time: {effect:?} beside {:?}", self.under_way);
        // What is acted on was seen in the same moment, so the replica is as the machine knows it.
        let case = self.cases[of.seq as usize];
        match effect {
            Effect::Run { role, part, .. } => {
                assert!(self.is(*role), "runs for somebody else");
                assert_eq!(*part, case.part, "runs other tasks");
            }
            Effect::Commit { part, found, .. } => {
                assert_eq!(*part, case.part, "commits to other tasks");
                assert!(self.is(Role::Mate) && case.state == ReplicaState::Working);
                assert_eq!(*found, found_in(case.part), "commits to what it found elsewhere");
            }
            Effect::Reveal { role, found, .. } => {
                assert!(self.is(*role), "shows somebody else's");
                assert!(matches!(case.state, ReplicaState::Revealing | ReplicaState::Alone));
                assert_eq!(*found, found_in(case.part), "shows what it found elsewhere");
                let bit = if *role == Role::Primary { 1 } else { 2 };
                assert_eq!(case.shown & bit, 0, "shows it twice");
            }
            Effect::Post { role, part, at, theirs, .. } => {
                assert!(self.is(*role) && case.state == ReplicaState::Walking);
                assert_eq!((*part, *at), (case.part, case.at), "walks elsewhere");
                let bit = if *role == Role::Primary { 1 } else { 2 };
                assert_eq!(case.shown & bit, 0, "posts twice");
                let other = if *role == Role::Primary { Role::Mate } else { Role::Primary };
                let due = if case.shown == 0 { Vec::new() } else { nodes_of(&case, other) };
                assert_eq!(*theirs, due, "brings others along than are there");
            }
            Effect::Open { role, part, position, .. } => {
                assert!(self.is(*role) && case.state == ReplicaState::Showing);
                assert_eq!((*part, *position), (case.part, case.at.index), "another leaf");
                let bit = if *role == Role::Primary { 1 } else { 2 };
                assert_eq!(case.shown & bit, 0, "shows it twice");
            }
            Effect::Conclude { .. } => {
                assert!(case.state == ReplicaState::Disputed && case.decided, "too early");
            }
            Effect::Advance { .. } => {
                let silent = match case.state {
                    ReplicaState::Working => self.is(Role::Mate) && case.mate != 0,
                    ReplicaState::Revealing | ReplicaState::Walking | ReplicaState::Showing => {
                        self.is(Role::Primary) && case.shown & 1 == 0
                            || self.is(Role::Mate) && case.shown & 2 == 0
                    }
                    ReplicaState::Alone => self.is(Role::Primary),
                    _ => false,
                };
                assert!(!silent, "called for its own punishment");
            }
            Effect::Draw { .. } => assert_eq!(case.state, ReplicaState::Sealed),
            _ => {}
        }
    }
}
