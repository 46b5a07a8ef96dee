//! A client and providers of its job that have no mates drawn, so that nobody but the primary knows what a range came to.

use tilth_protocol::{Leaf, RangeId};

use super::{TASKS, friends::Friend, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{ClientMind, HandIn, ProviderMind},
        public::Public,
    },
};

/// When a primary has its mate drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapser {
    /// Never: it waits until nobody can be drawn any more.
    Never,
    /// When nobody has kept the beacon.
    Late,
}

impl ProviderMind for Lapser {
    fn hand_in(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        public: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        Friend.hand_in(range, truth, public, random)
    }

    fn draws(&self, lost: bool) -> bool {
        lost && *self == Self::Late
    }
}

/// The client, which acknowledges what may be paid.
#[derive(Clone, Copy, Debug)]
struct Patron;

impl ClientMind for Patron {
    fn draws(&self) -> bool {
        false
    }
}

/// One of each beside honest people, who work for an honest client, too.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    cast.clients[0].tasks = TASKS / 2;
    cast.client(Side::Foe, TASKS / 2, Patron);
    cast.clients[1].replicated = true;
    cast.provider(Side::Foe, 200, Lapser::Never);
    cast.provider(Side::Foe, 200, Lapser::Late);
    cast
}
