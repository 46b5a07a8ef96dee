//! A provider whose machine dies every few minutes. It means well: that must not cost it more than the
//! bonds of what it lost.

use tilth_client::audit::Millis;

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{Cast, Side, mind::ProviderMind},
};

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct CrashLooper;

impl ProviderMind for CrashLooper {
    fn life(&self) -> Option<Millis> {
        Some(60_000)
    }
}

/// The same of one that works by the machine of the real program, and has its journals on disk: that costs it nothing.
#[derive(Clone, Copy, Debug)]
pub struct Restarter;

impl ProviderMind for Restarter {
    fn works_by_machine(&self) -> bool {
        true
    }

    fn life(&self) -> Option<Millis> {
        Some(60_000)
    }
}

/// Two of these, and nobody else who works.
pub fn restarting(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, 0, AUDITORS);
    (0..2).for_each(|_| cast.provider(Side::Honest, 200, Restarter));
    cast
}

/// Two that lose what they work at.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Honest, 200, CrashLooper);
    cast.provider(Side::Honest, 200, CrashLooper);
    cast.allowed.bonds = true;
    cast
}
