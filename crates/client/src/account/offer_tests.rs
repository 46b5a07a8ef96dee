use std::sync::{Arc, Mutex};

use alloy::{
    consensus::{Transaction as _, TxEnvelope},
    eips::Decodable2718 as _,
    primitives::{Address, Bytes, TxKind, U256, hex},
    signers::local::PrivateKeySigner,
};
use serde_json::{Value, json};
use tilth_contracts::Addresses;

use super::*;
use crate::{
    Link,
    account::{Account, Order, PATIENCE},
    test_node::{Said, serve},
};

const MARKET: Fees = Fees { max: 20, priority: 1 };

#[test]
fn more_is_bid_only_for_what_is_refused_again_and_again() {
    let mut offer = Offer::new(MARKET);
    for times in 1..=REFUSALS {
        assert_eq!(offer.under(5), MARKET, "{times}");
        assert_eq!(offer.refuse(5, true), times);
    }
    assert_eq!(offer.under(5), MARKET.raised());
    // It is counted now.
    assert_eq!(offer.under(6), MARKET);
    assert_eq!(offer.refuse(6, true), 1);
    assert_eq!((offer.under(6), offer.under(5)), (MARKET, MARKET));
    // There is nothing to bid for where a nonce is used.
    for times in 1..=2 * REFUSALS {
        assert_eq!((offer.refuse(5, false), offer.under(5)), (times, MARKET));
    }
    let mut highest = MARKET;
    for _ in 0..BIDS {
        highest = highest.raised();
    }
    for _ in 0..2 * BIDS {
        offer.refuse(5, true);
        offer.under(5);
    }
    assert_eq!(offer.under(5), highest, "not without end");
}

#[test]
fn a_node_that_is_behind_has_a_block_of_time_and_what_is_stuck_is_overtaken_soon() {
    let waits = |bids: u32| {
        let pauses = (1..REFUSALS + bids).map(|times| pause_after(times, times, false));
        pauses.sum::<Duration>()
    };
    assert!(waits(0) > Duration::from_secs(12), "{:?}", waits(0));
    assert!(waits(BIDS) < PATIENCE / 6, "{:?}", waits(BIDS));
    assert!(pause_after(1, 1, false) < LAG.1, "somebody was quicker");
    assert!(pause_after(9, 2, true) <= LAG.0);
}

/// Behind its address there are several: so often it is one that does not know what waits under nonce 5, and all refuse
/// what pays no more than that.
#[derive(Debug)]
struct Node {
    behind: u32,
    offers: Vec<(u64, u128)>,
}

impl Node {
    fn hear(&mut self, asked: &Value) -> Said {
        match asked["method"].as_str().unwrap() {
            "eth_chainId" => Ok("0x7".into()),
            "eth_feeHistory" => Ok(json!({
                "oldestBlock": "0x0", "baseFeePerGas": ["0x9", "0x9"], "gasUsedRatio": [0.5],
                "reward": [["0x1"]],
            })),
            "eth_getTransactionCount" => {
                let count = if self.behind == 0 { "0x6" } else { "0x5" };
                self.behind = self.behind.saturating_sub(1);
                Ok(count.into())
            }
            "eth_getTransactionReceipt" => Ok(Value::Null),
            "eth_sendRawTransaction" => {
                let raw = hex::decode(asked["params"][0].as_str().unwrap()).unwrap();
                let envelope = TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap();
                let (nonce, fee) = (envelope.nonce(), envelope.max_fee_per_gas());
                self.offers.push((nonce, fee));
                if nonce == 5 && fee * 10 < self.offers[0].1 * 11 {
                    let message = "replacement transaction underpriced";
                    return Err(json!({ "code": -32_000, "message": message }));
                }
                Ok(json!(envelope.tx_hash()))
            }
            method => panic!("{method}"),
        }
    }
}

/// The nonce that a transaction gets, and all that was offered for it.
async fn handed_in(behind: u32) -> (u64, Vec<(u64, u128)>) {
    let node = Arc::new(Mutex::new(Node { behind, offers: Vec::new() }));
    let heard = Arc::clone(&node);
    let says = move |asked: Value| std::future::ready(heard.lock().unwrap().hear(&asked));
    let link = Link::open(&serve(says).await, Addresses::predeployed()).unwrap();
    let account = Account::new(link, PrivateKeySigner::from_bytes(&[7; 32].into()).unwrap());
    let to = TxKind::Call(Address::ZERO);
    let order = Order { to, input: Bytes::new(), value: U256::ZERO, gas: 21_000 };
    let sent = account.hand_in(&order).await.unwrap();
    let offers = node.lock().unwrap().offers.clone();
    (sent.nonce, offers)
}

/// It is alive: whoever has sent it would send it anew.
#[tokio::test]
async fn what_a_node_that_is_behind_does_not_count_yet_is_not_outbid() {
    let (nonce, offers) = handed_in(REFUSALS - 1).await;
    let fee = offers[0].1;
    let mut due = vec![(5, fee); REFUSALS as usize - 1];
    due.push((6, fee));
    assert_eq!((nonce, offers), (6, due));
}

#[tokio::test]
async fn what_is_never_counted_is_outbid_in_the_end() {
    let (nonce, offers) = handed_in(u32::MAX).await;
    let fee = offers[0].1;
    assert_eq!((nonce, offers.len()), (5, REFUSALS as usize + 1));
    let (last, before) = offers.split_last().unwrap();
    assert!(before.iter().all(|offer| *offer == (5, fee)), "{offers:?}");
    assert!(last.1 > fee, "{offers:?}");
}
