//! Many small identities of one person: providers that make results up until their stake is gone, and
//! auditors that uphold them.

use super::{AUDITORS, PROVIDERS, TASKS, cartel::Upholder, forging::Forger};
use crate::{
    random::Random,
    trust::{Cast, Side},
};

/// Five providers and six auditors, which hold a fifth of the auditors' stake; they are as many as an
/// answer needs to lead.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    (0..5).for_each(|_| cast.provider(Side::Foe, 10, Forger { permille: 500 }));
    (0..6).for_each(|_| cast.auditor(Side::Foe, 10, Upholder));
    // All that can be lost to them, but not the stakes of honest providers.
    cast.allowed.bought_votes = true;
    cast
}
