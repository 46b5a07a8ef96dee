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

/// Two of them.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Honest, 200, CrashLooper);
    cast.provider(Side::Honest, 200, CrashLooper);
    cast.allowed.bonds = true;
    cast
}
