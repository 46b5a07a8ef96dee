//! Who sells models: every provider that the chain knows is asked.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use alloy::primitives::Address;
use tilth_contracts::Registry;
use tilth_service::Doing;
use tokio::task::{JoinError, JoinSet};
use tracing::debug;

use super::{Asker, Seller};
use crate::{ChainError, Contacts, Link};

/// Most providers that are asked, the first ones; more are for an index of its own.
const MAX_ASKED: u32 = 1024;
/// How many are asked at the same time.
const AT_ONCE: usize = 64;
/// How long all of it may take: whoever has not answered by then is left out this time.
const ALL: Duration = Duration::from_secs(30);
/// How long one may take with all its places: one place that is silent ([`super::WHO`]), and a moment for another.
/// Well below [`ALL`], so that those who say nothing make room for those who come after them.
const ONE: Duration = Duration::from_secs(18);

/// Where somebody is who does not answer is looked up again after so long: all of the chain's events are read for it,
/// and most of those who do not answer have not moved.
const STALE: Duration = Duration::from_secs(300);

/// A provider as the chain has it.
#[derive(Clone, Copy, Debug)]
struct Registered {
    owner: Address,
    node: Address,
}

/// Asks all registered providers that have a stake and are not paused what they sell. Those who do not answer, or sell
/// nothing, are left out; they are asked again later, each time after a longer while. Those who answered the last time
/// come first. Takes at most half a minute, and as long again as the chain takes.
///
/// # Errors
/// Those of the chain.
pub fn find<'a>(
    link: &'a Link,
    contacts: &'a Contacts,
    asker: &'a Asker,
) -> Doing<'a, Result<Vec<Seller>, ChainError>> {
    Box::pin(async move {
        let mut due = registered(link).await?;
        let now = Instant::now();
        {
            let quiet = asker.quiet();
            due.retain(|provider| quiet.is_due(provider.owner, now));
            due.sort_by_key(|provider| !quiet.is_good(provider.owner));
        }
        let (mut found, mut waiting) = (Vec::new(), BTreeSet::new());
        let asking = ask_all(contacts, asker, due, &mut waiting, &mut found);
        if tokio::time::timeout(ALL, asking).await.is_err() {
            debug!("not everybody was asked in time");
        }
        for owner in waiting {
            asker.quiet().silent(owner, Instant::now());
        }
        found.sort_by_key(|seller| seller.owner);
        Ok(found)
    })
}

/// What comes of asking one.
type Answered = Result<(Address, Option<Seller>), JoinError>;

/// Those whom it makes sense to ask: a stake is what makes a thousand names dear.
async fn registered(link: &Link) -> Result<Vec<Registered>, ChainError> {
    let registry = link.addresses().registry;
    let count = link.read(registry, Registry::providerCountCall {}).await?;
    let mut all = Vec::new();
    for number in 1..=count.min(MAX_ASKED) {
        let provider = link.read(registry, Registry::providerByNumberCall { number }).await?;
        if provider.stake > 0 && !provider.paused {
            all.push(Registered { owner: provider.owner, node: provider.node });
        }
    }
    Ok(all)
}

/// `waiting` are those who were asked and have not answered, at any moment: this may be ended.
async fn ask_all(
    contacts: &Contacts,
    asker: &Asker,
    due: Vec<Registered>,
    waiting: &mut BTreeSet<Address>,
    found: &mut Vec<Seller>,
) {
    let mut asking = JoinSet::new();
    for provider in due {
        if asking.len() >= AT_ONCE
            && let Some(answered) = asking.join_next().await
        {
            keep(asker, answered, waiting, found);
        }
        let owner = provider.owner;
        waiting.insert(owner);
        let one = Box::pin(ask_one(contacts.clone(), asker.clone(), provider));
        let one = tokio::time::timeout(ONE, one);
        asking.spawn(async move { one.await.unwrap_or((owner, None)) });
    }
    while let Some(answered) = asking.join_next().await {
        keep(asker, answered, waiting, found);
    }
}

fn keep(
    asker: &Asker,
    answered: Answered,
    waiting: &mut BTreeSet<Address>,
    found: &mut Vec<Seller>,
) {
    // A panic is no answer.
    let Ok((owner, seller)) = answered else { return };
    waiting.remove(&owner);
    match seller {
        Some(seller) => {
            asker.quiet().answered(owner);
            found.push(seller);
        }
        None => asker.quiet().silent(owner, Instant::now()),
    }
}

/// Asks a provider at all its places; if none is good, at those that the chain knows by now. Whoever was silent the
/// last time may have moved, and its old places may take all the time there is: it is looked up at once.
async fn ask_one(
    contacts: Contacts,
    asker: Asker,
    provider: Registered,
) -> (Address, Option<Seller>) {
    let Registered { owner, node } = provider;
    let mut asked = Vec::new();
    let was_good = asker.quiet().is_good(owner);
    for age in [if was_good { Duration::MAX } else { STALE }, STALE] {
        let places = match contacts.not_older(owner, age).await {
            Ok(places) => places,
            Err(error) => {
                debug!(%owner, %error, "where it is cannot be found out");
                continue;
            }
        };
        if places == asked {
            break;
        }
        for contact in &places {
            match asker.who(owner, node, contact).await {
                Ok(seller) => return (owner, Some(seller).filter(|one| !one.offers.is_empty())),
                Err(error) => debug!(%owner, %error, "sells no models"),
            }
        }
        asked = places;
    }
    (owner, None)
}
