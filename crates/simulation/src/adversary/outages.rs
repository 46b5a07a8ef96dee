//! A mate that makes up what it finds, and nobody else is there when that is disputed: the machines of all who mean
//! well are down. There is one range only: whoever is down while it has to name, commit or show something loses by it,
//! and what is under test is that nobody loses by a dispute that nobody has drawn.

use tilth_protocol::{JobId, Leaf, RangeId};

use super::{AUDITORS, forging::forge};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        disputes::DISPUTE_DRAW_TIME_S,
        mind::{HandIn, ProviderMind},
        public::{Job, Public},
        scene::Handed,
    },
};

/// Claims nothing, and frames whoever it is the mate of.
#[derive(Clone, Copy, Debug)]
pub struct Framer;

impl ProviderMind for Framer {
    fn wants(&mut self, _: JobId, _: &Job, _: &Public) -> bool {
        false
    }

    fn replicate(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        _: &Handed,
        random: &mut Random,
    ) -> Option<HandIn> {
        Some(forge(truth, 1_000, random))
    }
}

/// So many seconds from the dispute on.
fn cast(seconds: u64) -> Cast {
    let mut cast = Cast::honest(1, 1, AUDITORS);
    cast.clients[0].replicated = true;
    cast.mate(Side::Foe, 200, 40, Framer);
    cast.outage = Some(seconds);
    cast
}

/// For half of the time in which a dispute is drawn: they find its beacon forgotten, and have it drawn nevertheless.
pub fn half(_: &mut Random) -> Cast {
    cast(DISPUTE_DRAW_TIME_S / 2)
}

/// For all of it.
pub fn whole(_: &mut Random) -> Cast {
    let mut cast = cast(DISPUTE_DRAW_TIME_S);
    (cast.allowed.late_disputes, cast.allowed.undone) = (true, true);
    cast
}
