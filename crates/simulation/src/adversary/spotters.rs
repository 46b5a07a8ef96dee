//! Holders that have deleted what they have signed for, and auditors that say something else than what they see when
//! they look who serves, or do not come.

use super::{
    PROVIDERS, TASKS,
    holders::{ENOUGH, away, kept},
    proposing::Reorganiser,
};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, Conduct, Sight},
    },
};

/// An auditor that is honest in audits.
#[derive(Clone, Copy, Debug)]
pub struct Watcher {
    /// What it does as a holder.
    pub holds: Conduct,
    /// And when it looks at holders.
    pub looks: Sight,
}

impl AuditorMind for Watcher {
    fn holds(&self) -> Conduct {
        self.holds
    }

    fn looks(&self) -> Sight {
        self.looks
    }
}

/// Honest people with kept jobs, one of whose clients is away, and a third of the auditors' stake that does this.
fn third(holds: Conduct, looks: Sight) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    away(&mut cast, Side::Honest, ENOUGH, false);
    (0..4).for_each(|_| cast.auditor(Side::Foe, 28, Watcher { holds, looks }));
    cast
}

/// Deletes what it has signed for, and says what it sees.
pub fn deleting(_: &mut Random) -> Cast {
    third(Conduct::Deletes, Sight::Looks)
}

/// Deletes what it has signed for, and says of all that they serve.
pub fn vouching(_: &mut Random) -> Cast {
    third(Conduct::Deletes, Sight::Vouches)
}

/// Says that nobody serves.
pub fn denying(_: &mut Random) -> Cast {
    third(Conduct::Fetches, Sight::Denies)
}

/// Does not look.
pub fn absent(_: &mut Random) -> Cast {
    third(Conduct::Fetches, Sight::Absent)
}

/// Honest people on a chain that reorganises.
pub fn reorganising(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    away(&mut cast, Side::Honest, ENOUGH, false);
    cast.proposer = Box::new(Reorganiser::default());
    cast
}
