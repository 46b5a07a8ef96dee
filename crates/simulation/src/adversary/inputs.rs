//! Clients of kept jobs that keep their inputs from some.

use alloy_primitives::Address;

use super::{
    PROVIDERS, TASKS,
    holders::{ENOUGH, client, kept},
    withholding_provider::Keeper,
};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, ClientMind, Conduct, Question, Reply, Service},
        public::Public,
        world,
    },
};

/// A client that gives its inputs to no auditor of its ranges.
#[derive(Clone, Copy, Debug)]
pub struct Miser {
    /// To which holders it gives them.
    pub service: Service,
    /// The one provider that gets them.
    pub friend: Option<Address>,
}

impl ClientMind for Miser {
    fn serves(&self, provider: Address) -> bool {
        self.friend == Some(provider)
    }

    fn serves_auditors(&self) -> bool {
        false
    }

    fn serves_holders(&self) -> Service {
        self.service
    }
}

/// A friend of a [`Miser`]: it has all inputs, signs that it holds them, and gives them to nobody.
#[derive(Clone, Copy, Debug)]
pub struct Friend;

impl AuditorMind for Friend {
    fn reply(&mut self, ask: &Question<'_>, _: &Public, _: &mut Random) -> Reply {
        Reply::Say(ask.honest())
    }

    fn holds(&self) -> Conduct {
        Conduct::Lies
    }
}

/// To nobody: nobody works for it, and it pays for that.
pub fn nobody(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    client(&mut cast, Side::Foe, ENOUGH, Miser { service: Service::Nobody, friend: None });
    cast.allowed.undone = true;
    cast
}

/// To those who hold them, and then to nobody: all others have them from these.
pub fn only_holders(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    client(&mut cast, Side::Foe, ENOUGH, Miser { service: Service::Anybody, friend: None });
    cast
}

/// To its friends alone, a provider and two fifths of the auditors' stake: where enough of these are drawn, its job
/// has work, and auditors pay for not coming who could not, where no more of them were absent than friends came.
pub fn only_friends(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS);
    cast.provider(Side::Foe, 200, Keeper::Inputs);
    let friend = Some(world::provider_address(cast.providers.len() - 1));
    client(&mut cast, Side::Foe, ENOUGH, Miser { service: Service::Nobody, friend });
    (0..6).for_each(|_| cast.auditor(Side::Foe, 25, Friend));
    (cast.allowed.absences, cast.allowed.undone) = (true, true);
    cast
}
