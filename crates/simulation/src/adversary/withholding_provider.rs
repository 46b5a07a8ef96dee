//! Providers that do not serve what others need, or do not say what must be said.

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{Cast, Side, mind::ProviderMind},
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

/// A provider that keeps quiet, in one way or another, and one that keeps its outputs.
pub fn cast(random: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    let silent = if random.below(2) == 0 { Keeper::Places } else { Keeper::Leaves };
    cast.provider(Side::Foe, 200, silent);
    cast.provider(Side::Foe, 200, Keeper::Outputs);
    cast
}
