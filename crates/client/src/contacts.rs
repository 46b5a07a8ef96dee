//! Where providers can be reached: the endpoints they announced in the Registry's events.

use std::{collections::HashMap, sync::Mutex, sync::PoisonError};

use alloy::{primitives::Address, rpc::types::Filter, sol_types::SolEvent};
use tilth_contracts::Registry;
use tilth_protocol::Contact;

use crate::{ChainError, Link};

/// Most providers remembered.
const MAX_KNOWN: usize = 4096;

/// A memory of providers' endpoints.
#[derive(Debug)]
pub struct Contacts {
    link: Link,
    first_block: u64,
    known: Mutex<HashMap<Address, Contact>>,
}

impl Contacts {
    /// Looks for events from `first_block` on.
    pub fn new(link: Link, first_block: u64) -> Self {
        Self { link, first_block, known: Mutex::default() }
    }

    /// A provider's latest endpoint, `None` if it announced none that can be read. With `fresh` the
    /// chain is asked even if an endpoint is remembered.
    ///
    /// # Errors
    /// Those of [`Link`].
    pub async fn of(&self, provider: Address, fresh: bool) -> Result<Option<Contact>, ChainError> {
        if !fresh && let Some(contact) = self.lock().get(&provider) {
            return Ok(Some(contact.clone()));
        }
        let filter = Filter::new()
            .address(self.link.addresses().registry)
            .event_signature(Registry::EndpointChanged::SIGNATURE_HASH)
            .topic1(provider.into_word());
        let logs = self.link.scan(&filter, self.first_block).await?;
        let contact = logs.iter().rev().find_map(|log| {
            let event = Registry::EndpointChanged::decode_log(&log.inner).ok()?;
            let contact = Contact::from_bytes(&event.endpoint).ok()?;
            (contact.endpoint == event.endpointId.0).then_some(contact)
        });
        if let Some(contact) = &contact {
            let mut known = self.lock();
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(provider, contact.clone());
        }
        Ok(contact)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Address, Contact>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
