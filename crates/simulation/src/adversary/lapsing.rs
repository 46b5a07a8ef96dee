//! A client and providers of its job that have no mates drawn, so that nobody but the primary knows what a range came
//! to.

use alloy_primitives::Address;
use tilth_protocol::{JobId, Leaf, RangeId};

use super::{TASKS, colluding::Friend, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{ClientMind, HandIn, ProviderMind},
        public::{Job, Public},
        world,
    },
};

/// A primary that makes a leaf of every range up.
#[derive(Clone, Copy, Debug)]
pub struct Lapser {
    /// Whose jobs alone it works for.
    pub client: Address,
    /// Whether it has its mate drawn when nobody has kept the beacon; else it waits until nobody can be drawn any more.
    pub late: bool,
}

impl ProviderMind for Lapser {
    fn wants(&mut self, _: JobId, facts: &Job, _: &Public) -> bool {
        facts.client == self.client
    }

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
        lost && self.late
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
    let client = world::client_address(1);
    for late in [false, true] {
        cast.provider(Side::Foe, 200, Lapser { client, late });
    }
    cast
}
