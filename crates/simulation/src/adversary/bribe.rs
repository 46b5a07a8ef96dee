//! An auditor that a forger has paid: it upholds that one's ranges and is honest in all others.

use super::{AUDITORS, PROVIDERS, TASKS, cartel::Upholder, forging::Forger};
use crate::{
    random::Random,
    trust::{Cast, Side},
};

/// One bribed auditor with a tenth of the stake, and two forgers.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Forger { permille: 500 });
    cast.provider(Side::Foe, 200, Forger { permille: 500 });
    cast.auditor(Side::Foe, 25, Upholder);
    cast.allowed.bought_votes = true;
    cast
}
