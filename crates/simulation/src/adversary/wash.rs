//! Somebody who pays itself for work until its record is long, and then makes up another's results, which
//! are seldom audited by then.

use alloy_primitives::Address;
use tilth_client::audit::Millis;
use tilth_protocol::{JobId, Leaf, RangeId};

use super::{AUDITORS, PROVIDERS, TASKS, forging::forge, withholding_client::Miser};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{ClientMind, HandIn, ProviderMind},
        public::{Job, Public},
        world,
    },
};

/// The provider.
#[derive(Clone, Copy, Debug)]
pub struct WashTrader {
    /// Its other account.
    pub client: Address,
}

impl ProviderMind for WashTrader {
    fn wants(&mut self, _: JobId, facts: &Job, public: &Public) -> bool {
        let mut own = public.jobs.values().filter(|job| job.client == self.client);
        facts.client == self.client || own.all(|job| job.over)
    }

    fn hand_in(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        public: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        let own = public.jobs.get(&range.job).is_some_and(|job| job.client == self.client);
        // Its own tasks are such as cost nothing, and others' it does not execute.
        let honest = HandIn { executed: 0, ..HandIn::honest(truth) };
        Some(if own { honest } else { forge(truth, 1_000, random) })
    }

    fn pace(&self) -> Option<Millis> {
        Some(10)
    }
}

/// The client serves auditors, or there would be no record.
#[derive(Clone, Copy, Debug)]
struct Purse(Miser);

impl ClientMind for Purse {
    fn serves(&self, provider: Address) -> bool {
        self.0.serves(provider)
    }
}

/// One with a job of 4,000 GRAIN for itself. The victim has so many tasks that some are left when it is done.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    let (provider, client) = (cast.providers.len(), cast.clients.len());
    cast.provider(Side::Foe, 2_000, WashTrader { client: world::client_address(client) });
    let friend = world::provider_address(provider);
    cast.client(Side::Foe, 4 * TASKS, Purse(Miser::Only(friend)));
    cast.clients[client].price = 10;
    cast.clients[0].tasks = 4 * TASKS;
    cast
}
