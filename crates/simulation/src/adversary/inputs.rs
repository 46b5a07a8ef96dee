//! Clients of kept jobs that keep their inputs from some, and auditors that do not come although others hold them.

use alloy_primitives::Address;

use super::{
    AUDITORS, PROVIDERS, TASKS,
    holders::{ENOUGH, away, client, kept},
    withholding::Keeper,
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

/// An auditor that holds what it is drawn to hold, and comes to no audit.
#[derive(Clone, Copy, Debug)]
pub struct Idler;

impl AuditorMind for Idler {
    fn reply(&mut self, _: &Question<'_>, _: &Public, _: &mut Random) -> Reply {
        Reply::Never
    }
}

/// To nobody: nobody works for it.
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
/// has work, and auditors pay for not coming who could not.
pub fn only_friends(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS);
    cast.provider(Side::Foe, 200, Keeper::Inputs);
    let friend = Some(world::provider_address(cast.providers.len() - 1));
    client(&mut cast, Side::Foe, ENOUGH, Miser { service: Service::Nobody, friend });
    (0..6).for_each(|_| cast.auditor(Side::Foe, 25, Friend));
    (cast.allowed.absences, cast.allowed.undone) = (true, true);
    cast
}

/// Half of the auditors' stake comes to no audit of a job whose inputs are held.
pub fn idle(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS, PROVIDERS + 1);
    (0..AUDITORS).for_each(|_| cast.auditor(Side::Foe, 25, Idler));
    away(&mut cast, Side::Honest, ENOUGH, false);
    cast
}
