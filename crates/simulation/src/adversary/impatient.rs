//! Whoever wants to be paid before anybody has looked: a provider that makes leaves up and has its ranges paid in the block
//! in which they are handed in, or in any later one, and a client that acknowledges what has not been judged.

use tilth_protocol::{Leaf, RangeId};

use super::{AUDITORS, PROVIDERS, TASKS, forging::forge, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{ClientMind, HandIn, ProviderMind},
        public::Public,
    },
};

/// The provider: a third of its leaves are made up.
#[derive(Clone, Copy, Debug)]
pub struct Hasty;

impl ProviderMind for Hasty {
    fn hand_in(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        _: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        Some(forge(truth, 333, random))
    }

    fn is_impatient(&self) -> bool {
        true
    }
}

/// The client, which would rather pay at once: for whoever works for it that is worth something.
#[derive(Clone, Copy, Debug)]
pub struct Patron;

impl ClientMind for Patron {
    fn is_impatient(&self) -> bool {
        true
    }
}

/// Both beside honest people, who work for either client.
fn with(mut cast: Cast) -> Cast {
    cast.clients[0].tasks = TASKS / 2;
    cast.client(Side::Foe, TASKS / 2, Patron);
    cast.clients[1].replicated = cast.clients[0].replicated;
    cast.provider(Side::Foe, 200, Hasty);
    cast
}

/// Where ranges are audited.
pub fn cast(_: &mut Random) -> Cast {
    with(Cast::honest(TASKS, PROVIDERS, AUDITORS))
}

/// Where another provider must have found the same before.
pub fn mates(_: &mut Random) -> Cast {
    with(replicated(40))
}
