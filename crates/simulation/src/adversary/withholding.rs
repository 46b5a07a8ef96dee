//! Not serving what others need, and not saying what must be said.

use alloy_primitives::Address;

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{ClientMind, ProviderMind},
        world,
    },
};

/// What a provider keeps to itself. It has executed everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// Where the drawn leaves are.
    Places,
    /// The drawn leaves.
    Leaves,
    /// The inputs that auditors ask for.
    Inputs,
    /// The outputs that its client has paid for.
    Outputs,
}

impl ProviderMind for Keeper {
    fn names(&self) -> bool {
        *self != Self::Places
    }
    fn opens(&self) -> bool {
        *self != Self::Leaves
    }
    fn serves_inputs(&self) -> bool {
        *self != Self::Inputs
    }
    fn serves_outputs(&self) -> bool {
        *self != Self::Outputs
    }
}

/// What a client does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miser {
    /// Serves its inputs to nobody.
    NoInputs,
    /// Serves them to providers, and to no auditor.
    NoAuditors,
    /// Acknowledges nothing.
    NoThanks,
    /// Serves one provider only, and no auditor.
    Only(Address),
}

impl ClientMind for Miser {
    fn serves(&self, provider: Address) -> bool {
        match self {
            Self::NoInputs => false,
            Self::Only(friend) => *friend == provider,
            _ => true,
        }
    }
    fn serves_auditors(&self) -> bool {
        *self == Self::NoThanks
    }
    fn acknowledges(&self) -> bool {
        *self != Self::NoThanks
    }
}

/// A provider that keeps quiet, in one way or another, and one that keeps its outputs.
pub fn provider(random: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    let silent = if random.below(2) == 0 { Keeper::Places } else { Keeper::Leaves };
    cast.provider(Side::Foe, 200, silent);
    cast.provider(Side::Foe, 200, Keeper::Outputs);
    cast
}

/// Three clients beside an honest one.
pub fn client(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS / 2, PROVIDERS, AUDITORS);
    for mind in [Miser::NoInputs, Miser::NoAuditors, Miser::NoThanks] {
        cast.client(Side::Foe, TASKS / 4, mind);
    }
    // Nobody works for the first of them.
    cast.allowed.undone = true;
    cast
}

/// A client and its own provider withhold the inputs of their job from all auditors, whom each absence costs.
pub fn both(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS / 2, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Keeper::Inputs);
    let friend = world::provider_address(cast.providers.len() - 1);
    cast.client(Side::Foe, 16, Miser::Only(friend));
    (cast.allowed.absences, cast.allowed.undone) = (true, true);
    cast
}
