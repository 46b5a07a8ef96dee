//! Where providers can be reached: the endpoints they announced in the Registry's events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy::{primitives::Address, rpc::types::Filter, sol_types::SolEvent};
use tilth_contracts::Registry;
use tilth_protocol::Contact;

use crate::{ChainError, Link};

/// Most providers remembered.
const MAX_KNOWN: usize = 4096;
/// Most endpoints of one provider that are tried: the latest, and those it has moved away from. An owner
/// who starts a second agent with the same keys (in a new folder, on a new machine) has results at both.
const MAX_ENDPOINTS: usize = 4;
/// For so long it is remembered that a provider has announced nothing: all of the chain is looked through for it.
const NONE: Duration = Duration::from_secs(10);

/// A memory of providers' endpoints. Clones share it.
#[derive(Clone, Debug)]
pub struct Contacts {
    link: Link,
    first_block: u64,
    known: Arc<Mutex<Known>>,
}

/// Places by owner, each with the moment the chain was asked.
type Known = HashMap<Address, (Vec<Contact>, Instant)>;

impl Contacts {
    /// Looks for events from `first_block` on.
    pub fn new(link: Link, first_block: u64) -> Self {
        Self { link, first_block, known: Arc::default() }
    }

    /// A provider's endpoints, the latest first; none if it announced none that can be read. With
    /// `fresh` the chain is asked even if endpoints are remembered.
    ///
    /// # Errors
    /// Those of [`Link`].
    pub async fn of(&self, provider: Address, fresh: bool) -> Result<Vec<Contact>, ChainError> {
        self.not_older(provider, if fresh { Duration::ZERO } else { Duration::MAX }).await
    }

    /// As [`Contacts::of`]; the chain is asked if what is remembered is older than that.
    ///
    /// # Errors
    /// Those of [`Link`].
    pub async fn not_older(
        &self,
        provider: Address,
        age: Duration,
    ) -> Result<Vec<Contact>, ChainError> {
        if let Some((contacts, asked)) = self.lock().get(&provider) {
            let age = if contacts.is_empty() { age.min(NONE) } else { age };
            if asked.elapsed() < age {
                return Ok(contacts.clone());
            }
        }
        let filter = Filter::new()
            .address(self.link.addresses().registry)
            .event_signature(Registry::EndpointChanged::SIGNATURE_HASH)
            .topic1(provider.into_word());
        let logs = self.link.scan(&filter, self.first_block).await?;
        let contacts = latest(logs.iter().rev().filter_map(|log| {
            let event = Registry::EndpointChanged::decode_log(&log.inner).ok()?;
            let contact = Contact::from_bytes(&event.endpoint).ok()?;
            (contact.endpoint == event.endpointId.0).then_some(contact)
        }));
        let mut known = self.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(provider, (contacts.clone(), Instant::now()));
        drop(known);
        Ok(contacts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first announcement of each endpoint, as many as are tried.
fn latest(announced: impl Iterator<Item = Contact>) -> Vec<Contact> {
    let mut contacts: Vec<Contact> = Vec::new();
    for contact in announced {
        if contacts.len() == MAX_ENDPOINTS {
            break;
        }
        if !contacts.iter().any(|known| known.endpoint == contact.endpoint) {
            contacts.push(contact);
        }
    }
    contacts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_of_a_provider_is_known_by_its_latest_addresses() {
        let contact = |endpoint: u8, port: u16| Contact {
            endpoint: [endpoint; 32],
            addresses: vec![([127, 0, 0, 1], port).into()],
        };
        let newest_first = [contact(2, 20), contact(1, 11), contact(2, 9), contact(1, 10)];
        assert_eq!(latest(newest_first.into_iter()), [contact(2, 20), contact(1, 11)]);
        let many = (0..50).map(|number| contact(number, 1));
        assert_eq!(latest(many).len(), MAX_ENDPOINTS);
    }
}
