//! Who sells what at the moment, and how well.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy::primitives::Address;
use tilth_client::{
    Contacts, Link,
    infer::{Asker, Seller, sellers},
};
use tilth_protocol::{
    ContentHash,
    infer::{Makes, ModelOffer},
};
use tracing::{debug, warn};

use crate::{
    names::{Listed, Names, Offered},
    route::{Candidate, Standing, order},
};

/// Most providers whose standing is remembered.
const MAX_STANDINGS: usize = 4096;

#[derive(Debug, Default)]
struct State {
    sellers: Vec<Seller>,
    /// By owner: a new endpoint costs nothing, a new owner a stake.
    standings: HashMap<Address, Standing>,
    names: Names,
}

impl State {
    fn offered(&self) -> Offered<'_> {
        let mut offered = Offered::new();
        for offer in self.sellers.iter().flat_map(|seller| &seller.offers) {
            *offered.entry(&offer.name).or_default().entry(offer.model).or_default() += 1;
        }
        offered
    }

    fn set(&mut self, sellers: Vec<Seller>) {
        self.sellers = sellers;
        let mut names = std::mem::take(&mut self.names);
        names.see(&self.offered());
        self.names = names;
    }
}

/// What most of them say; of equally many the first in their order.
pub(crate) fn most_named(all: impl Iterator<Item = Makes>) -> Option<Makes> {
    let mut counts: BTreeMap<Makes, usize> = BTreeMap::new();
    for makes in all {
        *counts.entry(makes).or_default() += 1;
    }
    let most = counts.values().max().copied()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(makes, _)| makes)
}

/// All offers.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) asker: Asker,
    link: Link,
    contacts: Contacts,
    state: Mutex<State>,
    began: Instant,
}

/// Someone to ask.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) seller: Seller,
    pub(crate) offer: ModelOffer,
}

impl Market {
    /// `names` are what the operator calls models; they come before what providers call them.
    pub(crate) fn new(
        asker: Asker,
        link: Link,
        contacts: Contacts,
        names: BTreeMap<String, ContentHash>,
    ) -> Self {
        let state = Mutex::new(State { names: Names::new(names), ..State::default() });
        Self { asker, link, contacts, state, began: Instant::now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks again and again, for ever: everybody but those who did not answer before, who are skipped for a while, two
    /// minutes at most.
    pub(crate) async fn keep(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.refresh().await;
        }
    }

    pub(crate) async fn refresh(&self) {
        match sellers::find(&self.link, &self.contacts, &self.asker).await {
            Ok(sellers) => {
                debug!(sellers = sellers.len(), "looked who sells models");
                let mut state = self.state();
                if state.standings.len() > MAX_STANDINGS {
                    let here: BTreeSet<_> = sellers.iter().map(|s| s.owner).collect();
                    state.standings.retain(|owner, _| here.contains(owner));
                }
                state.set(sellers);
            }
            // Those of the last time stay.
            Err(error) => warn!(%error, "the chain does not say who sells models"),
        }
    }

    /// Says who sells, without asking anybody.
    #[cfg(test)]
    pub(crate) fn set(&self, sellers: Vec<Seller>) {
        self.state().set(sellers);
    }

    /// Providers and models at the moment.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        let models: BTreeSet<_> =
            state.sellers.iter().flat_map(|s| s.offers.iter().map(|o| o.model)).collect();
        (state.sellers.len(), models.len())
    }

    /// All models on sale, by name.
    pub(crate) fn models(&self) -> Vec<Listed> {
        let state = self.state();
        state.names.list(&state.offered())
    }

    /// The model of a name or hash.
    pub(crate) fn resolve(&self, name: &str) -> Option<Listed> {
        let state = self.state();
        state.names.resolve(name, &state.offered())
    }

    /// What a model makes, as most say who sell it.
    pub(crate) fn makes(&self, model: ContentHash) -> Option<Makes> {
        let state = self.state();
        let offers = state.sellers.iter().flat_map(|seller| &seller.offers);
        most_named(offers.filter(|offer| offer.model == model).map(|offer| offer.makes))
    }

    /// Whom to ask for a model, the best first.
    pub(crate) fn choices(&self, model: ContentHash, input: u32, output: u32) -> Vec<Choice> {
        let state = self.state();
        let (mut choices, mut candidates) = (Vec::new(), Vec::new());
        for seller in &state.sellers {
            let Some(offer) = seller.offers.iter().find(|offer| offer.model == model) else {
                continue;
            };
            let standing = state.standings.get(&seller.owner).copied();
            let (standing, busy) = (standing.unwrap_or_default(), seller.busy);
            candidates.push(Candidate { prices: offer.prices, standing, busy });
            choices.push(Choice { seller: seller.clone(), offer: offer.clone() });
        }
        let order = order(&candidates, input, output, self.now_ms());
        order.into_iter().map(|index| choices[index].clone()).collect()
    }

    /// Remembers something of a provider.
    pub(crate) fn note(&self, seller: &Seller, what: impl FnOnce(&mut Standing)) {
        what(self.state().standings.entry(seller.owner).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_say_counts_and_no_order_of_asking_does() {
        let (text, small) = (Makes::Text, Makes::Embeddings { dimensions: 384 });
        let wide = Makes::Embeddings { dimensions: 768 };
        assert_eq!(most_named([wide, small, wide].into_iter()), Some(wide));
        assert_eq!(most_named([wide, small].into_iter()), Some(small));
        assert_eq!(most_named([small, text].into_iter()), Some(text));
        assert_eq!(most_named(std::iter::empty()), None);
    }
}
