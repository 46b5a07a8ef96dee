//! Who gets what from whom: the inputs of jobs, and what kept ranges have made.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::{FIRST_HOLDERS, is_majority};

use super::{mind::Service, scene::Scene};
use crate::farm::FarmError;

impl Scene {
    /// Whether a provider gets the inputs of a job: from its client, or from somebody who holds them.
    pub fn serves_providers(&self, job: JobId, provider: Address) -> bool {
        let client = self.public.jobs.get(&job).map(|facts| facts.client);
        let is_served = client.is_none_or(|client| !self.refused.contains(&(client, provider)));
        is_served || self.is_held(RangeId::inputs(job))
    }

    /// Whether somebody serves the inputs of a range to its auditors.
    pub fn has_inputs(&self, id: RangeId) -> bool {
        let client = self.public.jobs.get(&id.job).map(|job| job.client);
        let provider = self.public.ranges.get(&id).map(|range| range.provider);
        let is_served = [client, provider]
            .into_iter()
            .flatten()
            .any(|who| self.serves_auditors.get(&who).copied().unwrap_or(true));
        is_served || self.is_held(RangeId::inputs(id.job))
    }

    /// Whether enough have signed that they hold it, and one of them has it.
    fn is_held(&self, id: RangeId) -> bool {
        let all = (id, 0)..=(id, u32::MAX);
        self.public.held.contains_key(&id) && self.stored.range(all).next().is_some()
    }

    /// To whom a range's provider serves what the range has made; a client the inputs of its job.
    pub fn service(&self, id: RangeId) -> Service {
        let who = if id.is_inputs() {
            self.public.jobs.get(&id.job).map(|facts| facts.client)
        } else {
            self.public.ranges.get(&id).map(|facts| facts.provider)
        };
        let service = who.and_then(|who| self.serves_holders.get(&who));
        service.copied().unwrap_or(Service::Anybody)
    }

    /// Whether an auditor whom draws name gets what it is drawn to hold.
    ///
    /// # Errors
    /// Those of [`Farm::read`](crate::Farm::read).
    pub fn serves_holder(&mut self, id: RangeId, auditor: u32) -> Result<bool, FarmError> {
        Ok(match self.service(id) {
            Service::Anybody => true,
            Service::Nobody => false,
            Service::Majority => {
                let round = self.ask(id)?.round;
                majority(&self.named(id, round)?).contains(&auditor)
            }
        })
    }
}

/// As few auditors as together have enough of the first votes, in the order of the draws.
fn majority(named: &[u32]) -> BTreeSet<u32> {
    let first = &named[..named.len().min(FIRST_HOLDERS)];
    let mut served = BTreeSet::new();
    for number in first {
        let votes = first.iter().filter(|other| served.contains(*other)).count();
        if is_majority(votes, FIRST_HOLDERS) {
            break;
        }
        served.insert(*number);
    }
    served
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Farm, Random,
        trust::{
            Cast,
            cast::terms,
            public::{Job, Kept},
        },
    };

    #[test]
    fn no_more_are_served_than_must_sign() {
        for (named, served) in [
            ([1, 2, 3, 4, 5, 6, 7, 8], vec![1, 2, 3, 4]),
            ([1, 1, 1, 2, 2, 6, 7, 8], vec![1, 2]),
            ([1, 2, 1, 1, 1, 6, 7, 8], vec![1]),
            ([1, 2, 3, 3, 3, 3, 3, 8], vec![1, 2, 3]),
        ] {
            assert_eq!(majority(&named).into_iter().collect::<Vec<_>>(), served, "{named:?}");
        }
        assert!(majority(&[]).is_empty());
    }

    #[test]
    fn inputs_come_from_holders_where_the_client_gives_none() {
        const CLIENT: Address = Address::repeat_byte(1);
        const PROVIDER: Address = Address::repeat_byte(2);
        let job = JobId(1);
        let (inputs, range) = (RangeId::inputs(job), RangeId { job, seq: 0 });
        let mut scene = Scene::new(Farm::new().unwrap(), Random::new(0));
        let terms = terms(&Cast::honest(16, 0, 0).clients[0], 0);
        let facts = Job { client: CLIENT, terms, settled: 0, over: false };
        scene.public.jobs.insert(job, facts);
        scene.refused.insert((CLIENT, PROVIDER));
        scene.serves_auditors.insert(CLIENT, false);
        let served =
            |scene: &Scene| [scene.serves_providers(job, PROVIDER), scene.has_inputs(range)];
        assert_eq!(served(&scene), [false, false]);
        // One has them, and it is not said that enough do: nobody knows whom to ask.
        scene.stored.insert((inputs, 3));
        assert_eq!(served(&scene), [false, false]);
        scene.public.held.insert(inputs, Kept { due: 0, over: false });
        assert_eq!(served(&scene), [true, true]);
        // All have signed, and none has them.
        scene.stored.clear();
        assert_eq!(served(&scene), [false, false]);
    }
}
