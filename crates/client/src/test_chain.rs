//! A chain that takes blocks back, for tests. It goes on by a step with every question that it is asked, so nothing
//! depends on how fast a machine is; what happens follows from a seed.

use std::sync::{Arc, Mutex};

use alloy::{
    consensus::{Transaction as _, TxEnvelope},
    eips::Decodable2718 as _,
    primitives::{Address, B256, hex, keccak256},
};
use serde_json::{Value, json};

use crate::{
    Link,
    test_node::{Said, linked_deep},
};

/// Inclusions of ours that fail, in all.
const FAILURES: u32 = 2;

/// A transaction of the one account that there is.
#[derive(Clone, Copy, Debug)]
struct Tx {
    hash: B256,
    nonce: u64,
    /// Whether it is not another program's.
    ours: bool,
    /// Whether it succeeds in the block that it is in.
    succeeds: bool,
    /// Most that it pays for gas in all, and of that to who makes the block.
    fees: [u128; 2],
}

/// What gas costs where it is not always the same.
#[derive(Clone, Copy, Debug)]
struct Market {
    /// A block takes only what pays that.
    base: u128,
    /// The base from the first transaction on that is handed in.
    then: u128,
    /// Whether the next nonce counts what no block takes now.
    counts_all: bool,
}

#[derive(Debug)]
struct Block {
    hash: B256,
    transactions: Vec<Tx>,
}

/// The chain, and what waits for a block.
#[derive(Debug)]
pub(crate) struct TestChain {
    blocks: Vec<Block>,
    pool: Vec<Tx>,
    /// What has so many blocks on top stays.
    reach: usize,
    /// The highest number that any block has had.
    highest: usize,
    random: u64,
    /// Blocks ever made.
    made: u64,
    failures: u32,
    /// Whether another program is still to use a nonce of ours.
    has_rival: bool,
    /// The block of the first receipt that was given while that could be taken back, until it is.
    told: Option<B256>,
    was_told: bool,
    market: Option<Market>,
    /// Transactions that took the place of another one.
    pub(crate) replaced: usize,
    /// Blocks that were taken back.
    pub(crate) taken_back: usize,
    /// Those with something of ours.
    pub(crate) undone: usize,
}

impl TestChain {
    /// A chain with one block, which takes back what has less than `reach` blocks on top.
    pub(crate) fn new(seed: u64, reach: usize) -> Self {
        Self {
            blocks: vec![Block { hash: keccak256(b"first"), transactions: Vec::new() }],
            pool: Vec::new(),
            reach,
            highest: 0,
            random: seed,
            made: 0,
            failures: 0,
            has_rival: true,
            told: None,
            was_told: false,
            market: None,
            replaced: 0,
            taken_back: 0,
            undone: 0,
        }
    }

    /// A chain that takes nothing back, on which gas costs more from the first transaction on that is handed in, and
    /// one takes another's place for a tenth more. `counts_all`: whether the nonce that comes next counts those that pay
    /// too little.
    pub(crate) fn with_spike(seed: u64, counts_all: bool) -> Self {
        let market = Some(Market { base: 9, then: 200, counts_all });
        Self { market, has_rival: false, failures: FAILURES, ..Self::new(seed, 0) }
    }

    /// A link to its node, for a network with so many confirmations.
    pub(crate) async fn link(chain: &Arc<Mutex<Self>>, confirmations: u32) -> Link {
        let chain = Arc::clone(chain);
        let says = move |asked: Value| std::future::ready(chain.lock().unwrap().hear(&asked));
        linked_deep(says, confirmations).await
    }

    /// Numbers and hashes of the blocks from the first on, without that one and up to this one.
    pub(crate) fn up_to(&self, last: u64) -> Vec<(u64, B256)> {
        let numbered = (0..).zip(&self.blocks).skip(1);
        numbered.map(|(n, block)| (n, block.hash)).take_while(|(n, _)| *n <= last).collect()
    }

    /// Number and hash of the block that a transaction is in.
    pub(crate) fn block_of(&self, hash: B256) -> Option<(u64, B256)> {
        let mut numbered = (0..).zip(&self.blocks);
        let found = numbered.find(|(_, block)| block.transactions.iter().any(|tx| tx.hash == hash));
        found.map(|(number, block)| (number, block.hash))
    }

    /// How many transactions of ours have succeeded.
    pub(crate) fn successes(&self) -> usize {
        let all = self.blocks.iter().flat_map(|block| &block.transactions);
        all.filter(|tx| tx.ours && tx.succeeds).count()
    }

    /// The most that one of ours in a block offers for gas.
    pub(crate) fn dearest(&self) -> u128 {
        let all = self.blocks.iter().flat_map(|block| &block.transactions);
        all.map(|tx| tx.fees[0]).max().unwrap_or(0)
    }

    /// Goes on: mostly by a block, now and then by others in the place of the last ones.
    pub(crate) fn step(&mut self) {
        if let Some(told) = self.told.take() {
            // What was said too early is not true for long.
            let place = self.blocks.iter().position(|block| block.hash == told);
            return self.take_back(place.unwrap());
        }
        match self.below(8) {
            0 => {}
            1 | 2 => {
                let stay = self.highest.saturating_sub(self.reach) + 1;
                let gone = self.blocks.len().saturating_sub(stay);
                if gone > 0 {
                    let gone = 1 + self.below(gone);
                    self.take_back(self.blocks.len() - gone);
                    for _ in 0..self.below(gone + 2) {
                        self.mine();
                    }
                }
            }
            _ => self.mine(),
        }
    }

    fn take_back(&mut self, from: usize) {
        assert!(from + self.reach > self.highest, "this one stays");
        for block in self.blocks.split_off(from) {
            self.taken_back += 1;
            self.undone += usize::from(block.transactions.iter().any(|tx| tx.ours));
            for tx in block.transactions {
                // It waits again, or is forgotten; another program sees to what is its own.
                if !tx.ours || self.below(2) == 0 {
                    self.pool.push(tx);
                }
            }
        }
    }

    fn mine(&mut self) {
        let (mut transactions, mut next) = (Vec::new(), self.count(self.blocks.len()));
        let base = self.base();
        let is_next = |tx: &Tx, next| tx.nonce == next && tx.fees[0] >= base;
        while let Some(place) = self.pool.iter().position(|tx| is_next(tx, next)) {
            if self.below(3) == 0 {
                break;
            }
            let mut tx = if self.has_rival && self.below(4) == 0 {
                self.has_rival = false;
                let hash = keccak256(format!("rival {}", self.made));
                Tx { hash, nonce: next, ours: false, succeeds: true, fees: [0; 2] }
            } else {
                self.pool.remove(place)
            };
            tx.succeeds = !(tx.ours && self.failures < FAILURES && self.below(4) == 0);
            self.failures += u32::from(!tx.succeeds);
            transactions.push(tx);
            next += 1;
        }
        self.made += 1;
        let hash = keccak256(format!("block {} of {}", self.made, self.random));
        self.blocks.push(Block { hash, transactions });
        self.highest = self.highest.max(self.blocks.len() - 1);
    }

    /// What a block asks for gas.
    fn base(&self) -> u128 {
        self.market.map_or(0, |market| market.base)
    }

    /// Transactions in so many blocks: the nonce that is next after them.
    fn count(&self, blocks: usize) -> u64 {
        self.blocks.iter().take(blocks).map(|block| block.transactions.len() as u64).sum()
    }

    /// A number below another one.
    fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    /// Goes on and answers.
    fn hear(&mut self, asked: &Value) -> Said {
        self.step();
        let params = &asked["params"];
        match asked["method"].as_str().unwrap() {
            "eth_chainId" => Ok("0x7".into()),
            "eth_blockNumber" => Ok(number(self.blocks.len() as u64 - 1)),
            "eth_estimateGas" => Ok("0x5208".into()),
            "eth_call" => Ok("0x".into()),
            "eth_feeHistory" => {
                let base = format!("{:#x}", self.market.map_or(9, |market| market.base));
                Ok(json!({
                    "oldestBlock": "0x0", "baseFeePerGas": [base, base], "gasUsedRatio": [0.5],
                    "reward": [["0x1"]],
                }))
            }
            "eth_getTransactionCount" => Ok(number(self.nonce(params[1].as_str().unwrap()))),
            "eth_sendRawTransaction" => self.take(params[0].as_str().unwrap()),
            "eth_getTransactionReceipt" => {
                Ok(self.receipt(params[0].as_str().unwrap().parse().unwrap()))
            }
            "eth_getLogs" => {
                let [from, to] = ["fromBlock", "toBlock"].map(|name| read(&params[0][name]));
                let said = self.up_to(to).into_iter().filter(|(number, _)| *number >= from);
                Ok(said.map(|(number, hash)| log(number, hash)).collect())
            }
            method => panic!("{method}"),
        }
    }

    fn nonce(&self, at: &str) -> u64 {
        let latest = self.count(self.blocks.len());
        match at {
            "latest" => latest,
            "pending" => {
                let all = self.market.is_none_or(|market| market.counts_all);
                let counts = |tx: &Tx| all || tx.fees[0] >= self.base();
                let waits =
                    |nonce: &u64| self.pool.iter().any(|tx| tx.nonce == *nonce && counts(tx));
                latest + (latest..).take_while(waits).count() as u64
            }
            _ => self.count(usize::try_from(read(&at.into())).unwrap() + 1),
        }
    }

    /// Takes a transaction into the pool. What is there or was forgotten there stays: it may be in a block one day.
    fn take(&mut self, raw: &str) -> Said {
        let raw = hex::decode(raw).unwrap();
        let envelope = TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap();
        let (hash, nonce) = (*envelope.tx_hash(), envelope.nonce());
        let refusal = if nonce < self.count(self.blocks.len()) {
            "nonce too low"
        } else if self.pool.iter().any(|tx| tx.hash == hash) {
            "already known"
        } else {
            let tip = envelope.max_priority_fee_per_gas().unwrap();
            let fees = [envelope.max_fee_per_gas(), tip];
            if self.makes_room(nonce, fees) {
                self.pool.push(Tx { hash, nonce, ours: true, succeeds: true, fees });
                return Ok(json!(hash));
            }
            "replacement transaction underpriced"
        };
        Err(json!({ "code": -32_000, "message": refusal }))
    }

    /// Whether there is no other one under that nonce any more. Without a market there may be several.
    fn makes_room(&mut self, nonce: u64, fees: [u128; 2]) -> bool {
        let Some(market) = &mut self.market else { return true };
        market.base = market.then;
        let Some(place) = self.pool.iter().position(|tx| tx.nonce == nonce) else { return true };
        let before = self.pool[place].fees;
        let is_more = |(now, before): (u128, u128)| now * 10 >= before * 11;
        let takes_its_place = fees.into_iter().zip(before).all(is_more);
        if takes_its_place {
            self.pool.remove(place);
            self.replaced += 1;
        }
        takes_its_place
    }

    fn receipt(&mut self, hash: B256) -> Value {
        let Some((block, block_hash)) = self.block_of(hash) else { return Value::Null };
        let could_go = usize::try_from(block).unwrap() + self.reach > self.highest;
        if could_go && !self.was_told {
            (self.was_told, self.told) = (true, Some(block_hash));
        }
        let all = self.blocks.iter().flat_map(|block| &block.transactions);
        let succeeds = all.filter(|tx| tx.hash == hash).all(|tx| tx.succeeds);
        json!({
            "transactionHash": hash, "blockHash": block_hash, "blockNumber": number(block),
            "transactionIndex": "0x0", "from": Address::ZERO, "to": Address::ZERO, "type": "0x2",
            "status": number(succeeds.into()), "gasUsed": "0x5208", "cumulativeGasUsed": "0x5208",
            "effectiveGasPrice": "0x1", "contractAddress": null, "logs": [],
            "logsBloom": format!("0x{}", "0".repeat(512)),
        })
    }
}

/// What every block says, in a transaction of its own.
fn log(block: u64, hash: B256) -> Value {
    json!({
        "address": Address::ZERO, "topics": [B256::ZERO], "data": "0x", "blockHash": hash,
        "blockNumber": number(block), "transactionHash": hash, "transactionIndex": "0x0",
        "logIndex": "0x0", "removed": false,
    })
}

/// A number as nodes say it.
fn number(number: u64) -> Value {
    format!("{number:#x}").into()
}

/// And as they read it.
fn read(number: &Value) -> u64 {
    u64::from_str_radix(number.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
