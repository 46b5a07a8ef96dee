//! Who sells what at the moment, and how well.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy::primitives::Address;
use bytes::Bytes;
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
/// Looking who sells takes everybody's time; it is done no more often than this.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    sellers: Vec<Seller>,
    /// By owner: a new endpoint costs nothing, a new owner a stake.
    standings: HashMap<Address, Standing>,
    /// At which look a seller was first seen: nobody becomes older than he is.
    first_seen: HashMap<Address, u64>,
    looks: u64,
    names: Names,
    /// All models as they are shown, made when somebody asks.
    listing: Option<Bytes>,
}

/// What one seller says that a model makes, and what speaks for it.
#[derive(Clone, Copy, Debug)]
struct Said {
    makes: Makes,
    first_seen: u64,
    /// That have ended well.
    answers: u64,
}

impl State {
    fn offered(&self) -> Offered<'_> {
        let mut offered = Offered::new();
        for offer in self.sellers.iter().flat_map(|seller| &seller.offers) {
            *offered.entry(&offer.name).or_default().entry(offer.model).or_default() += 1;
        }
        offered
    }

    /// A seller has one word about each model, its first: whoever offers one often counts once.
    fn set(&mut self, mut sellers: Vec<Seller>) {
        for seller in &mut sellers {
            let mut seen = BTreeSet::new();
            seller.offers.retain(|offer| seen.insert(offer.model));
        }
        self.looks = self.looks.saturating_add(1);
        for seller in &sellers {
            self.first_seen.entry(seller.owner).or_insert(self.looks);
        }
        self.sellers = sellers;
        self.listing = None;
        let mut names = std::mem::take(&mut self.names);
        names.see(&self.offered());
        self.names = names;
    }

    /// What is said of all models, or of one.
    fn said(&self, of: Option<ContentHash>) -> BTreeMap<ContentHash, Vec<Said>> {
        let mut said: BTreeMap<ContentHash, Vec<Said>> = BTreeMap::new();
        for seller in &self.sellers {
            let standing = self.standings.get(&seller.owner);
            let answers = standing.map_or(0, |standing| standing.answers);
            let first_seen = self.first_seen.get(&seller.owner).copied().unwrap_or(self.looks);
            let offers = seller.offers.iter();
            for offer in offers.filter(|offer| of.is_none_or(|model| model == offer.model)) {
                let one = Said { makes: offer.makes, first_seen, answers };
                said.entry(offer.model).or_default().push(one);
            }
        }
        said
    }
}

/// What most of them say. Of equally many those count who say what the question takes for granted, then those who were
/// here first, then those who have answered more, then the first in the order of what they say.
fn most_said(said: &[Said], fits: impl Fn(Makes) -> bool) -> Option<Makes> {
    let mut sums: BTreeMap<Makes, (usize, u64, u64)> = BTreeMap::new();
    for one in said {
        let (sellers, first_seen, answers) = sums.entry(one.makes).or_insert((0, u64::MAX, 0));
        *sellers += 1;
        *first_seen = one.first_seen.min(*first_seen);
        *answers = answers.saturating_add(one.answers);
    }
    let best = sums.into_iter().max_by_key(|(makes, (sellers, first_seen, answers))| {
        (*sellers, fits(*makes), Reverse(*first_seen), *answers, Reverse(*makes))
    });
    best.map(|(makes, _)| makes)
}

/// All offers.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) asker: Asker,
    link: Link,
    contacts: Contacts,
    state: Mutex<State>,
    /// `None` is a time that stands still, for tests: what was found out of a provider is not forgotten then.
    began: Option<Instant>,
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
        Self { asker, link, contacts, state, began: Some(Instant::now()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no time pass any more.
    #[cfg(test)]
    pub(crate) fn stand_still(&mut self) {
        self.began = None;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let passed = self.began.map(|began| began.elapsed()).unwrap_or_default();
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks again and again, for ever: everybody but those who did not answer before, who are skipped for a while, two
    /// minutes at most. Not more than once a second, however short the interval.
    pub(crate) async fn keep(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval.max(MIN_INTERVAL)).await;
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
                if state.first_seen.len() > MAX_STANDINGS {
                    let here: BTreeSet<_> = sellers.iter().map(|s| s.owner).collect();
                    state.first_seen.retain(|owner, _| here.contains(owner));
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

    /// What is remembered of a provider.
    #[cfg(test)]
    pub(crate) fn standing(&self, owner: Address) -> Standing {
        self.state().standings.get(&owner).copied().unwrap_or_default()
    }

    /// Providers and models at the moment.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        let models: BTreeSet<_> =
            state.sellers.iter().flat_map(|s| s.offers.iter().map(|o| o.model)).collect();
        (state.sellers.len(), models.len())
    }

    /// All models on sale as they are shown, with what each makes: written once each time it was found out who sells, so
    /// that a tie which answers decide meanwhile shows a moment later.
    pub(crate) fn listing(
        &self,
        show: impl FnOnce(Vec<(Listed, Option<Makes>)>) -> Bytes,
    ) -> Bytes {
        let mut state = self.state();
        if let Some(listing) = &state.listing {
            return listing.clone();
        }
        let said = state.said(None);
        let makes =
            |model: &ContentHash| said.get(model).and_then(|said| most_said(said, |_| true));
        let models = state.names.list(&state.offered()).into_iter();
        let models = models.map(|listed| {
            let makes = makes(&listed.model);
            (listed, makes)
        });
        let listing = show(models.collect());
        state.listing = Some(listing.clone());
        listing
    }

    /// The model of a name or hash.
    pub(crate) fn resolve(&self, name: &str) -> Option<Listed> {
        let state = self.state();
        state.names.resolve(name, &state.offered())
    }

    /// What a model makes, as most say who sell it.
    pub(crate) fn makes(&self, model: ContentHash) -> Option<Makes> {
        most_said(self.state().said(Some(model)).get(&model)?, |_| true)
    }

    /// What a model makes, as most say who sell it, and whom of them to ask, the best first. `fits` is what the question
    /// takes for granted; it decides where as many say one thing as another.
    pub(crate) fn choices(
        &self,
        model: ContentHash,
        input: u32,
        output: u32,
        fits: impl Fn(Makes) -> bool,
    ) -> Option<(Makes, Vec<Choice>)> {
        let state = self.state();
        let makes = most_said(state.said(Some(model)).get(&model)?, fits)?;
        let (mut choices, mut candidates) = (Vec::new(), Vec::new());
        for seller in &state.sellers {
            let mut offers = seller.offers.iter();
            let Some(offer) = offers.find(|offer| offer.model == model && offer.makes == makes)
            else {
                continue;
            };
            let standing = state.standings.get(&seller.owner).copied();
            let (standing, busy) = (standing.unwrap_or_default(), seller.busy);
            candidates.push(Candidate { prices: offer.prices, standing, busy });
            choices.push(Choice { seller: seller.clone(), offer: offer.clone() });
        }
        let order = order(&candidates, input, output, self.now_ms());
        Some((makes, order.into_iter().map(|index| choices[index].clone()).collect()))
    }

    /// Remembers something of a provider.
    pub(crate) fn note(&self, seller: &Seller, what: impl FnOnce(&mut Standing)) {
        what(self.state().standings.entry(seller.owner).or_default());
    }
}

#[cfg(test)]
mod tests;
