//! A provider that claims all it can and hands nothing in, so that nobody else gets the work.

use tilth_protocol::{Leaf, RangeId};

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::Public,
    },
};

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Hoarder;

impl ProviderMind for Hoarder {
    fn hand_in(&mut self, _: RangeId, _: &[Leaf], _: &Public, _: &mut Random) -> Option<HandIn> {
        None
    }
}

/// One with four slots.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 50, Hoarder);
    cast.providers[PROVIDERS].slots = 4;
    cast
}
