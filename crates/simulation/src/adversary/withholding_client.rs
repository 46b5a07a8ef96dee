//! Clients that do not serve what others need, or do not acknowledge what they have.

use alloy_primitives::Address;

use super::{AUDITORS, PROVIDERS, TASKS, withholding_provider::Keeper};
use crate::{
    random::Random,
    trust::{Cast, Side, mind::ClientMind, world},
};

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

/// Three clients beside an honest one.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS / 2, PROVIDERS, AUDITORS);
    for mind in [Miser::NoInputs, Miser::NoAuditors, Miser::NoThanks] {
        cast.client(Side::Foe, TASKS / 4, mind);
    }
    // Nobody works for the first of them.
    cast.allowed.undone = true;
    cast
}

/// A client and its own provider withhold the inputs of their job from all auditors: each is absent, which delays the case and
/// costs nobody any stake.
pub fn both(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS / 2, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Keeper::Inputs);
    let friend = world::provider_address(cast.providers.len() - 1);
    cast.client(Side::Foe, 16, Miser::Only(friend));
    (cast.allowed.absences, cast.allowed.undone) = (true, true);
    cast
}
