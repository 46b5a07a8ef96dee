//! Whoever wants to be paid before anybody has looked: a provider that tries to have its ranges paid in every block from
//! when they are handed in on, and a client that acknowledges what has not been judged.

use tilth_protocol::{Leaf, RangeId};

use super::{
    AUDITORS, PROVIDERS, TASKS,
    forging::forge,
    holders::{ENOUGH, away, client, kept},
    replicated,
};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{ClientMind, HandIn, ProviderMind},
        public::Public,
    },
};

/// The provider.
#[derive(Clone, Copy, Debug)]
pub struct Hasty {
    /// Whether it makes a third of its leaves up.
    pub forges: bool,
}

impl ProviderMind for Hasty {
    fn hand_in(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        _: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        Some(if self.forges { forge(truth, 333, random) } else { HandIn::honest(truth) })
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
    cast.provider(Side::Foe, 200, Hasty { forges: true });
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

/// Where others must hold what a range has made, or its client says that it has it. What is handed in is right: it would be
/// rejected before anybody were asked to hold it.
pub fn holders(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS);
    away(&mut cast, Side::Honest, ENOUGH, false);
    client(&mut cast, Side::Foe, ENOUGH, Patron);
    cast.provider(Side::Foe, 200, Hasty { forges: false });
    cast
}
