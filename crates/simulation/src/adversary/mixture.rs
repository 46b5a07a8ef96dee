//! All that is not for sale, at once: what honest people are promised against each they are promised against all.

use super::{
    AUDITORS, PROVIDERS, TASKS,
    clock::Liar,
    copying::{Copier, Parrot},
    forging::Forger,
    griefing::Griefer,
    hoarding::Hoarder,
    inflating::Inflater,
    lazy_auditor::Sleeper,
    lazy_provider::Idler,
    proposing::{Backwards, Censor},
    withholding_provider::Keeper,
};
use crate::{
    random::Random,
    trust::{Cast, Side},
};

/// Any of the others' providers and auditors, beside a stranger and under a producer of blocks who all mean ill.
pub fn cast(random: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    let stake = 50 + 50 * u128::from(random.below(4));
    let mut comes = || random.below(2) == 0;
    if comes() {
        cast.provider(Side::Foe, stake, Forger { permille: 200 });
    }
    if comes() {
        cast.provider(Side::Foe, stake, Inflater::Leaves);
    }
    if comes() {
        cast.provider(Side::Foe, stake, Inflater::Sum);
    }
    if comes() {
        cast.provider(Side::Foe, stake, Idler::Traps);
    }
    if comes() {
        cast.provider(Side::Foe, stake, Copier::Root);
    }
    if comes() {
        cast.provider(Side::Foe, stake, Keeper::Leaves);
    }
    let hoards = comes();
    if hoards {
        cast.provider(Side::Foe, stake, Hoarder);
    }
    for mind in [Sleeper::Guesses, Sleeper::Silent, Sleeper::Absent] {
        if comes() {
            cast.auditor(Side::Foe, 25, mind);
            cast.allowed.idle_votes = true;
        }
    }
    if comes() {
        cast.auditor(Side::Foe, 25, Parrot);
    }
    if comes() {
        cast.clients[0].max_failures = TASKS / 6;
    }
    // Ranges with two first auditors, and stakes that carry them.
    if comes() {
        cast.clients[0].price = 10;
        cast.providers.iter_mut().for_each(|provider| provider.stake *= 10);
    }
    for provider in &mut cast.providers {
        provider.slots = 1 + u16::try_from(random.below(3)).unwrap_or(0);
    }
    cast.stranger = Some(Box::new(Griefer));
    cast.proposer = match random.below(3) {
        0 => {
            // Whoever is first in every block gets what it let expire again, until its stake is gone.
            cast.allowed.undone = hoards;
            Box::new(Backwards)
        }
        1 => {
            // Who is left out for five minutes is late with a range, which has less.
            cast.allowed.bonds = true;
            Box::new(Censor::default())
        }
        _ => Box::new(Liar),
    };
    cast
}
