//! What the world asserts about every effect when it is asked for.

use tilth_contracts::ReplicaState;

use super::{
    words::{Effect, Role},
    world::{World, found_in},
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
            Effect::Advance { .. } => {
                let silent = match case.state {
                    ReplicaState::Working => self.is(Role::Mate) && case.mate != 0,
                    ReplicaState::Revealing => {
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
