//! Where others can be reached: the endpoints that providers have announced in the Registry's events, and auditors, of
//! whom others fetch what they hold, in those of Holders.

mod announced;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use tilth_contracts::{Holders, Registry};
use tilth_protocol::Contact;
use tilth_service::Doing;

use self::announced::Announced;
use crate::{ChainError, Link, follow::DEEP};

/// Most providers remembered.
const MAX_KNOWN: usize = 4096;
/// Most endpoints of one provider that are tried: the latest, and those it has moved away from. An owner
/// who starts a second agent with the same keys (in a new folder, on a new machine) has results at both.
const MAX_ENDPOINTS: usize = 4;
/// For so long it is remembered that a provider has announced nothing: all of the chain is looked through for it.
const NONE: Duration = Duration::from_secs(10);

/// A memory of providers' endpoints, and of where auditors serve what they hold. Clones share it.
#[derive(Clone, Debug)]
pub struct Contacts {
    link: Link,
    first_block: u64,
    known: Arc<Mutex<Known>>,
    announced: Arc<Mutex<Announced>>,
}

/// Places by owner, each with the moment the chain was asked.
type Known = HashMap<Address, (Vec<Contact>, Instant)>;

impl Contacts {
    /// Looks for events from `first_block` on.
    pub fn new(link: Link, first_block: u64) -> Self {
        Self { link, first_block, known: Arc::default(), announced: Arc::default() }
    }

    /// A provider's endpoints, the latest first; none if it announced none that can be read. With
    /// `fresh` the chain is asked even if endpoints are remembered.
    ///
    /// # Errors
    /// Those of [`Link`].
    pub fn of(
        &self,
        provider: Address,
        fresh: bool,
    ) -> Doing<'_, Result<Vec<Contact>, ChainError>> {
        Box::pin(async move {
            self.not_older(provider, if fresh { Duration::ZERO } else { Duration::MAX }).await
        })
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

    /// Where auditors have announced last that what they hold is found, by their numbers. Who has announced nothing
    /// that can be read is not among them. The chain is asked every time, but for what was read before and stays.
    ///
    /// # Errors
    /// Those of [`Link`].
    pub fn of_holders<'a>(
        &'a self,
        numbers: &'a BTreeSet<u32>,
    ) -> Doing<'a, Result<BTreeMap<u32, Contact>, ChainError>> {
        Box::pin(async move {
            let mut found = BTreeMap::new();
            if numbers.is_empty() {
                return Ok(found);
            }
            // The head before the logs: what lies deep enough below it is the same in all that is read after that.
            let head = self.link.block_number().await?;
            let unsure = DEEP.saturating_add(self.link.confirmations().into());
            let certain = head.saturating_add(1).saturating_sub(unsure);
            let unread = self.announced().unread(numbers, self.first_block);
            for (from, words) in unread {
                // Never without topics: the filter would name everybody.
                let topics: Vec<B256> =
                    words.keys().map(|number| U256::from(*number).into()).collect();
                let filter = Filter::new()
                    .address(self.link.addresses().holders)
                    .event_signature(Holders::HolderContact::SIGNATURE_HASH)
                    .topic1(topics);
                let logs = self.link.scan_to(&filter, from, head).await?;
                found.extend(self.announced().hear(words, &logs, certain));
            }
            Ok(found)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announced(&self) -> MutexGuard<'_, Announced> {
        // Every change is one insertion or removal.
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
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
    use alloy::rpc::types::Log;
    use serde_json::{Value, json};

    use super::{
        announced::tests::{contact, log},
        *,
    };
    use crate::test_node::{Said, linked_deep};

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

    /// What a node has, and the first and last blocks of which it was asked for logs.
    struct Node {
        head: u64,
        logs: Vec<Log>,
        asked: Vec<(u64, u64)>,
    }

    impl Node {
        /// A link to it, of a network where so many blocks may be replaced.
        async fn link(node: &Arc<Mutex<Self>>, confirmations: u32) -> Link {
            let node = Arc::clone(node);
            let says = move |asked: Value| std::future::ready(node.lock().unwrap().hear(&asked));
            linked_deep(says, confirmations).await
        }

        /// Other blocks come in the place of the last ones; what they say instead.
        fn replace(&mut self, head: u64, instead: Option<Log>) {
            self.head = head;
            self.logs.retain(|log| log.block_number < Some(1_000));
            self.logs.extend(instead);
        }

        fn hear(&mut self, question: &Value) -> Said {
            match question["method"].as_str() {
                Some("eth_blockNumber") => Ok(format!("{:#x}", self.head).into()),
                Some("eth_getLogs") => {
                    let filter = &question["params"][0];
                    let [from, to] = ["fromBlock", "toBlock"].map(|name| read(&filter[name]));
                    self.asked.push((from, to));
                    let of = &filter["topics"][1];
                    let is_meant = |log: &&Log| {
                        let (block, topic) = (log.block_number.unwrap(), json!(log.topics()[1]));
                        let is_of = *of == topic
                            || of.as_array().is_some_and(|topics| topics.contains(&topic));
                        is_of && (from..=to).contains(&block)
                    };
                    Ok(json!(self.logs.iter().filter(is_meant).collect::<Vec<_>>()))
                }
                _ => Err(json!({ "code": -32_601, "message": "not available" })),
            }
        }
    }

    fn read(number: &Value) -> u64 {
        u64::from_str_radix(number.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// What is found by one who shares the memory.
    async fn find(contacts: &Contacts, numbers: &[u32]) -> BTreeMap<u32, Contact> {
        let numbers = numbers.iter().copied().collect();
        contacts.clone().of_holders(&numbers).await.unwrap()
    }

    #[tokio::test]
    async fn where_holders_are_is_read_at_one_go_and_then_only_what_is_new() {
        let said = |number, block, endpoint| log(number, block, contact(endpoint).to_bytes());
        let logs = vec![
            said(5, 10, 1),
            said(2, 20, 2),
            said(9, 30, 3),
            said(5, 40, 4),
            log(2, 50, vec![255]),
        ];
        let node = Arc::new(Mutex::new(Node { head: 1_000, logs, asked: Vec::new() }));
        let contacts = Contacts::new(Node::link(&node, 4).await, 3);
        let asked = || std::mem::take(&mut node.lock().unwrap().asked);
        assert!(find(&contacts, &[]).await.is_empty());
        assert!(asked().is_empty());
        let due = BTreeMap::from([(2, contact(2)), (5, contact(4))]);
        assert_eq!(find(&contacts, &[2, 5, 7]).await, due, "the last of each that can be read");
        assert_eq!(asked(), [(3, 1_000)]);
        // One has moved, and another one is asked for the first time.
        node.lock().unwrap().head = 1_010;
        node.lock().unwrap().logs.push(said(2, 1_005, 6));
        let due = BTreeMap::from([(2, contact(6)), (5, contact(4)), (9, contact(3))]);
        assert_eq!(find(&contacts, &[2, 5, 9]).await, due);
        assert_eq!(asked(), [(3, 1_010), (741, 1_010)]);
        // The block in which it was said is replaced by another one; and again.
        for (head, endpoint) in [(1_011, Some(7)), (1_012, None), (1_013, Some(8))] {
            node.lock().unwrap().replace(head, endpoint.map(|endpoint| said(2, 1_004, endpoint)));
            let due = BTreeMap::from([(2, contact(endpoint.unwrap_or(2)))]);
            assert_eq!(find(&contacts, &[2]).await, due);
            assert_eq!(asked(), [(head - 260, head)]);
        }
        // In the end it stays, and is not asked for any more.
        node.lock().unwrap().head = 2_000;
        assert_eq!(find(&contacts, &[2]).await, BTreeMap::from([(2, contact(8))]));
        node.lock().unwrap().logs.clear();
        assert_eq!(find(&contacts, &[2]).await, BTreeMap::from([(2, contact(8))]));
        assert_eq!(asked(), [(754, 2_000), (1_741, 2_000)]);
    }
}
