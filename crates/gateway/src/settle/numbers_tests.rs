use std::sync::{Arc, Mutex};

use alloy::{
    primitives::{B256, U256, hex},
    sol_types::{SolCall as _, SolEvent as _},
};
use serde_json::{Value, json};
use tilth_contracts::{Addresses, Registry as Nodes};
use tilth_protocol::Amount;

use super::*;
use crate::{
    books::{Books, tests::charge},
    settle::{
        Settling,
        tests::{empty, test_node},
    },
};

/// The node that the tests are about.
const NODE: Address = Address::repeat_byte(1);
const OTHER_NODE: Address = Address::repeat_byte(2);
const OWNER: Address = Address::repeat_byte(0xa);
const OTHER: Address = Address::repeat_byte(0xb);

/// A chain that can be another one from one moment to the next.
#[derive(Debug, Default)]
struct Chain {
    head: u64,
    /// Numbers by owner.
    numbers: Vec<(Address, u32)>,
    /// Whose [`NODE`] is now.
    owner: Address,
    /// The topics of what the Registry has said.
    said: Vec<Vec<B256>>,
}

impl Chain {
    /// Providers by owner, number and first node.
    fn of(head: u64, providers: &[(Address, u32, Address)]) -> Self {
        let mut chain = Self { head, ..Self::default() };
        for (owner, number, node) in providers {
            chain.numbers.push((*owner, *number));
            let number = B256::from(U256::from(*number));
            let topics = vec![owner.into_word(), number, node.into_word()];
            chain.say(Nodes::ProviderRegistered::SIGNATURE_HASH, topics);
            if *node == NODE {
                chain.owner = *owner;
            }
        }
        chain
    }

    fn say(&mut self, event: B256, mut topics: Vec<B256>) {
        topics.insert(0, event);
        self.said.push(topics);
    }

    /// This owner takes the node.
    fn take(mut self, owner: Address) -> Self {
        self.owner = owner;
        let topics = vec![owner.into_word(), NODE.into_word()];
        self.say(Nodes::NodeChanged::SIGNATURE_HASH, topics);
        self
    }

    fn answer(&self, asked: &Value) -> Value {
        let first = &asked["params"][0];
        match asked["method"].as_str().unwrap() {
            "eth_blockNumber" => format!("{:#x}", self.head).into(),
            "eth_getLogs" => {
                let fitting = self.said.iter().filter(|topics| fits(&first["topics"], topics));
                fitting.map(|topics| log(topics)).collect()
            }
            _ => self.call(first).into(),
        }
    }

    fn call(&self, call: &Value) -> String {
        let input = call["input"].as_str().or(call["data"].as_str()).unwrap();
        let account: Address = format!("0x{}", &input[input.len() - 40..]).parse().unwrap();
        let is = |selector: [u8; 4]| input[2..].starts_with(&hex::encode(selector));
        if is(Nodes::nodeOwnerCall::SELECTOR) {
            let owner = if account == NODE { self.owner } else { Address::ZERO };
            return owner.into_word().to_string();
        }
        if is(Nodes::providerCall::SELECTOR) {
            let number = self.numbers.iter().find(|(owner, _)| *owner == account);
            let number = number.map_or(0, |(_, number)| *number);
            return format!("0x{number:064x}{}", "0".repeat(14 * 64));
        }
        // Of one tab nothing is settled.
        format!("0x{:064x}{:064x}{:064x}", 32, 1, 0)
    }
}

/// Whether a log with these topics is one that is asked for.
fn fits(wanted: &Value, topics: &[B256]) -> bool {
    let mut wanted = wanted.as_array().unwrap().iter().enumerate();
    wanted.all(|(place, one)| {
        let one = if one.is_array() { &one[0] } else { one };
        let topic = one.as_str().map(|text| text.parse::<B256>().unwrap());
        topic.is_none() || topic == topics.get(place).copied()
    })
}

fn log(topics: &[B256]) -> Value {
    json!({
        "address": Addresses::predeployed().registry, "topics": topics, "data": "0x",
        "blockHash": B256::ZERO, "blockNumber": "0x1", "transactionHash": B256::ZERO,
        "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
    })
}

/// A gateway that owes something for answers of [`NODE`], at a chain that is what the test makes of it.
struct Scene {
    chain: Arc<Mutex<Chain>>,
    settling: Settling,
    books: Books,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let chain = Arc::new(Mutex::new(Chain::default()));
        let asked = Arc::clone(&chain);
        let says = move |request: Value| {
            std::future::ready(Ok::<Value, Value>(asked.lock().unwrap().answer(&request)))
        };
        let link = Link::open(&test_node::serve(says).await, Addresses::predeployed()).unwrap();
        let (folder, books) = empty();
        let (key, _) = books.create("key", Some(OTHER_NODE), Amount(100)).await.unwrap();
        charge(&books, &key, 10, 1).await;
        let settling = Settling { link, first_block: 0, books: books.clone() };
        Self { chain, settling, books, _folder: folder }
    }

    /// The number of the node's provider after a look at this chain, and in which block it was seen first if that is
    /// still remembered.
    async fn seen(&self, chain: Chain) -> (Option<u32>, Option<u64>) {
        *self.chain.lock().unwrap() = chain;
        self.settling.look().await.unwrap();
        let known = self.books.known().unwrap();
        let number = known.numbers.get(&NODE).copied();
        assert_eq!(self.books.owed().unwrap()[0].provider, number);
        (number, known.young.get(&NODE).copied())
    }
}

#[tokio::test]
async fn a_number_that_the_chain_takes_back_is_forgotten_or_replaced() {
    let scene = Scene::start().await;
    let with = |head, number| Chain::of(head, &[(OWNER, number, NODE)]);
    assert_eq!(scene.seen(with(100, 4)).await, (Some(4), Some(100)));
    // Somebody else was registered before it after all, and has its number.
    let others = Chain::of(101, &[(OTHER, 4, OTHER_NODE), (OWNER, 5, NODE)]);
    assert_eq!(scene.seen(others).await, (Some(5), Some(101)));
    assert_eq!(scene.seen(Chain::of(102, &[])).await, (None, None));
    assert_eq!(scene.seen(with(103, 6)).await, (Some(6), Some(103)));
    assert_eq!(scene.seen(with(103 + DEEP - 1, 6)).await, (Some(6), Some(103)));
    assert_eq!(scene.seen(with(103 + DEEP, 6)).await, (Some(6), None));
    // By now it stays, and nobody asks any more.
    assert_eq!(scene.seen(Chain::of(900, &[])).await, (Some(6), None));
}

/// It was paid for with the first owner's number: with another one all of it would be due again.
#[tokio::test]
async fn a_node_that_works_for_another_owner_keeps_the_number_that_it_had() {
    for first in [NODE, OTHER_NODE] {
        let scene = Scene::start().await;
        let chain = |head| Chain::of(head, &[(OWNER, 4, first), (OTHER, 5, Address::ZERO)]);
        assert_eq!(scene.seen(chain(100).take(OWNER)).await, (Some(4), Some(100)));
        assert_eq!(scene.seen(chain(101).take(OWNER).take(OTHER)).await, (Some(4), Some(100)));
        // Not so if it was never the first one's.
        let never = Chain::of(102, &[(OWNER, 4, OTHER_NODE), (OTHER, 5, NODE)]);
        assert_eq!(scene.seen(never).await, (Some(5), Some(102)));
    }
}
