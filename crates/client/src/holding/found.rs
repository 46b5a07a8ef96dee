//! Where what is held is found.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use tilth_contracts::{HoldState, Holders};
use tilth_protocol::{Contact, RangeId};

use crate::{ChainError, Link};

/// Most holders of a range that are asked.
const MOST: usize = 8;

/// Where the holders of a range serve it, by what they have announced from `first_block` on; nobody while it is not held.
/// Whether its time is over is not asked: who still has it may serve it.
///
/// # Errors
/// Those of [`Link`].
pub async fn holders_of(
    link: &Link,
    first_block: u64,
    range: RangeId,
) -> Result<Vec<Contact>, ChainError> {
    let holders = link.addresses().holders;
    let (job, seq) = (range.job.0, range.seq);
    let ask = link.read(holders, Holders::askedCall { jobId: job, seq }).await?;
    if HoldState::try_from(ask.state) != Ok(HoldState::Held) {
        return Ok(Vec::new());
    }
    let named = link.read(holders, Holders::namedCall { jobId: job, seq }).await?;
    let numbers: BTreeSet<u32> = signers(&named, ask.bits).into_iter().take(MOST).collect();
    announced(link, holders, first_block, &numbers).await
}

/// What auditors have announced last, in the order of their numbers: read at one go, for the past can be long.
async fn announced(
    link: &Link,
    holders: Address,
    first_block: u64,
    numbers: &BTreeSet<u32>,
) -> Result<Vec<Contact>, ChainError> {
    if numbers.is_empty() {
        // Without topics the filter would name everybody.
        return Ok(Vec::new());
    }
    let topics: Vec<B256> = numbers.iter().map(|number| U256::from(*number).into()).collect();
    let filter = Filter::new()
        .address(holders)
        .event_signature(Holders::HolderContact::SIGNATURE_HASH)
        .topic1(topics);
    let logs = link.scan(&filter, first_block).await?;
    Ok(latest(&logs, numbers).into_values().collect())
}

/// The last contact of each that can be read. `logs`: in chain order.
fn latest(logs: &[Log], numbers: &BTreeSet<u32>) -> BTreeMap<u32, Contact> {
    let said = logs.iter().filter_map(|log| {
        let said = Holders::HolderContact::decode_log(&log.inner).ok()?;
        let contact = Contact::from_bytes(&said.contact).ok()?;
        numbers.contains(&said.number).then_some((said.number, contact))
    });
    said.collect()
}

/// Numbers of those whose draws have signed, each once.
fn signers(named: &[u32], bits: u16) -> BTreeSet<u32> {
    let draws = (0_u32..16).zip(named);
    draws.filter(|(draw, _)| bits >> draw & 1 == 1).map(|(_, number)| *number).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use serde_json::{Value, json};
    use tilth_contracts::Addresses;

    use super::*;
    use crate::test_node::{Said, serve};

    fn contact(endpoint: u8) -> Contact {
        Contact { endpoint: [endpoint; 32], addresses: Vec::new() }
    }

    fn said(number: u32, contact: Vec<u8>) -> Log {
        let said = Holders::HolderContact { number, contact: contact.into() };
        let inner = alloy::primitives::Log { address: Address::ZERO, data: said.encode_log_data() };
        Log { inner, block_number: Some(3), ..Log::default() }
    }

    #[tokio::test]
    async fn where_all_of_them_serve_it_is_read_at_one_go() {
        let logs = [
            said(5, contact(1).to_bytes()),
            said(2, contact(2).to_bytes()),
            said(9, contact(3).to_bytes()),
            said(5, contact(4).to_bytes()),
            said(2, vec![255]),
        ];
        let logs = json!(logs);
        let scans = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&scans);
        let says = move |question: Value| {
            let told: Said = match question["method"].as_str() {
                Some("eth_blockNumber") => Ok("0x5a".into()),
                Some("eth_getLogs") => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    Ok(logs.clone())
                }
                _ => Err(json!({ "code": -32_601, "message": "not available" })),
            };
            std::future::ready(told)
        };
        let link = Link::open(&serve(says).await, Addresses::predeployed()).unwrap();
        let found = announced(&link, Address::ZERO, 0, &BTreeSet::from([2, 5, 7])).await.unwrap();
        assert_eq!(found, [contact(2), contact(4)], "the last word of each that can be read");
        let nobody = announced(&link, Address::ZERO, 0, &BTreeSet::new()).await.unwrap();
        assert!(nobody.is_empty());
        assert_eq!(scans.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_has_signed_is_asked_and_only_once() {
        let named = [3, 1, 3, 2, 9];
        assert_eq!(signers(&named, 0b0_1101), BTreeSet::from([2, 3]));
        assert_eq!(signers(&named, 0), BTreeSet::new());
        assert_eq!(signers(&[], u16::MAX), BTreeSet::new());
    }
}
