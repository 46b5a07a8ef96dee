//! A node whose contracts have one kept job, for tests.

use std::sync::{Arc, Mutex};

use alloy::{
    consensus::{Transaction as _, TxEnvelope},
    eips::Decodable2718 as _,
    primitives::{
        Address, B256, Bytes, U256,
        aliases::{U40, U96},
        hex,
    },
    rpc::types::Block,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use serde_json::{Value, json};
use tilth_contracts::{Holders, Job, JobBook, JobState, Keep, Terms};
use tilth_protocol::{ContentHash, ContentRef, JobId, JobSpec, Limits, Output, RangeId, Workload};
use tilth_verification::holding::Prices;

use crate::{
    Account, Agreed,
    test_node::{Said, linked},
};

/// The least fee of an audit.
pub(super) const LEAST: u128 = 10_u128.pow(16);
/// It is this part of the small value.
const FEE_PART: u128 = 10_000;
pub(super) const TASKS: u32 = 4;
const MIB: u32 = 2;
pub(super) const RANGE: RangeId = RangeId { job: JobId(1), seq: 0 };
/// The time of the latest block, and one that is still to come.
pub(super) const NOW: u64 = 1_790_000_000;
pub(super) const LATER: u64 = NOW + 1;
/// How often it is asked for a receipt before it has a block with the transaction.
const LOOKS: u32 = 5;

pub(super) fn prices() -> Prices {
    Prices::usual(LEAST, MIB, 604_800)
}

/// What a range can cost.
pub(super) fn each() -> u128 {
    prices().cost(LEAST, MIB)
}

/// Terms of a kept job.
pub(super) fn terms(deadline: u64) -> Terms {
    Terms {
        specHash: B256::ZERO,
        taskCount: TASKS,
        unitCap: 1,
        prepareCap: 0,
        price: U96::from(1),
        floorPrice: U96::ZERO,
        finishSeconds: 0,
        window: 600,
        rangeTimeout: 60,
        targetSeconds: 10,
        parallelism: 1,
        firstRange: 1,
        deadline: U40::from(deadline),
        maxFailures: 0,
        requiredClass: 0,
        minVramMib: 0,
        afterJob: 0,
        audited: true,
        replicas: 0,
        kept: true,
        callback: Address::ZERO,
        program: B256::ZERO,
        contact: Bytes::new(),
    }
}

/// A job with so many tasks to claim, and so many ranges that are out.
pub(super) fn job(state: JobState, (unclaimed, outstanding): (u32, u32), deadline: u64) -> Job {
    Job {
        client: Address::ZERO,
        state: state.into(),
        dry: false,
        resultRoot: B256::ZERO,
        unclaimed,
        settledTasks: 0,
        ranges: outstanding,
        outstanding,
        failures: 0,
        price: U96::from(1),
        escrow: 0,
        terms: terms(deadline),
    }
}

/// What is locked for it, and reserved of that.
pub(super) fn keep(deposit: u128, reserved: u128) -> Keep {
    let prices = prices();
    Keep {
        deposit: U96::saturating_from(deposit),
        reserved: U96::saturating_from(reserved),
        maxMib: prices.max_mib,
        perMib: U96::saturating_from(prices.per_mib),
        perMibDay: U96::saturating_from(prices.per_mib_day),
        keepSeconds: prices.keep_seconds,
    }
}

pub(super) fn agreed(client: Address) -> Agreed {
    let limits = Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 64 };
    let spec = JobSpec {
        name: "a job".into(),
        workload: Workload::Wasm,
        program: ContentRef { hash: ContentHash([1; 32]), size: 64 },
        inputs: Vec::new(),
        task_count: TASKS,
        limits,
        output: Output::Values,
    };
    let (spec, terms) = (Arc::new(spec), terms(LATER));
    Agreed { job: RANGE.job, client, spec, terms, opened_block: 0 }
}

/// What its contracts have, and what was tried with them.
pub(super) struct Node {
    pub(super) job: Job,
    pub(super) keep: Keep,
    /// Whether it takes transactions, or refuses them all.
    takes: bool,
    /// Whether it says nothing at all.
    pub(super) is_mute: bool,
    /// The amounts that somebody has tried to lock.
    pub(super) tried: Vec<u128>,
    /// What was handed in: hash, amount, and how often its receipt was asked for.
    pub(super) sent: Vec<(B256, u128, u32)>,
}

/// A client of such a job, whose node takes its transactions or does not.
pub(super) async fn account(job: Job, keep: Keep, takes: bool) -> (Account, Arc<Mutex<Node>>) {
    let (tried, sent) = (Vec::new(), Vec::new());
    let node = Arc::new(Mutex::new(Node { job, keep, takes, is_mute: false, tried, sent }));
    let asked = Arc::clone(&node);
    let says = move |question: Value| std::future::ready(asked.lock().unwrap().say(&question));
    (Account::new(linked(says).await, PrivateKeySigner::random()), node)
}

impl Node {
    fn say(&mut self, question: &Value) -> Said {
        let params = &question["params"];
        let method = if self.is_mute { None } else { question["method"].as_str() };
        match method {
            Some("eth_call") => Ok(hex::encode_prefixed(self.answer(&input(&params[0]))).into()),
            Some("eth_getBlockByNumber") => {
                let mut block: Block = Block::default();
                block.header.inner.timestamp = NOW;
                Ok(json!(block))
            }
            Some("eth_chainId") => Ok("0x7".into()),
            Some("eth_feeHistory") => Ok(json!({
                "oldestBlock": "0x0", "baseFeePerGas": ["0x9", "0x9"], "gasUsedRatio": [0.5],
                "reward": [["0x1"]],
            })),
            Some("eth_getTransactionCount") => Ok(format!("{:#x}", self.sent.len()).into()),
            Some("eth_estimateGas") => {
                let call = Holders::fundCall::abi_decode(&input(&params[0])).unwrap();
                self.tried.push(call.amount.to::<u128>());
                if self.takes {
                    Ok("0x5208".into())
                } else {
                    Err(json!({ "code": 3, "message": "execution reverted" }))
                }
            }
            Some("eth_sendRawTransaction") => Ok(self.take(params[0].as_str().unwrap())),
            Some("eth_getTransactionReceipt") => {
                Ok(self.receipt(params[0].as_str().unwrap().parse().unwrap()))
            }
            _ => Err(json!({ "code": -32_601, "message": "not available" })),
        }
    }

    /// What a contract says when it is asked this; zeros to all else.
    fn answer(&self, input: &[u8]) -> Vec<u8> {
        if input.starts_with(&JobBook::jobCall::SELECTOR) {
            JobBook::jobCall::abi_encode_returns(&self.job)
        } else if input.starts_with(&Holders::keptCall::SELECTOR) {
            Holders::keptCall::abi_encode_returns(&self.keep)
        } else if input.starts_with(&Holders::smallValueCall::SELECTOR) {
            Holders::smallValueCall::abi_encode_returns(&U256::from(LEAST * FEE_PART))
        } else {
            vec![0; 4_096]
        }
    }

    /// Takes a transaction, which is in no block yet.
    fn take(&mut self, raw: &str) -> Value {
        let raw = hex::decode(raw).unwrap();
        let envelope = TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap();
        let call = Holders::fundCall::abi_decode(envelope.input()).unwrap();
        let hash = *envelope.tx_hash();
        if self.sent.iter().all(|(known, ..)| *known != hash) {
            self.sent.push((hash, call.amount.to::<u128>(), 0));
        }
        json!(hash)
    }

    /// After a few looks it is in a block, and what it adds is there.
    fn receipt(&mut self, of: B256) -> Value {
        let Some((hash, amount, looks)) = self.sent.iter_mut().find(|(hash, ..)| *hash == of)
        else {
            return Value::Null;
        };
        *looks += 1;
        if *looks < LOOKS {
            return Value::Null;
        }
        if *looks == LOOKS {
            self.keep.deposit += U96::saturating_from(*amount);
        }
        json!({
            "transactionHash": *hash, "blockHash": B256::ZERO, "blockNumber": "0x1",
            "transactionIndex": "0x0", "from": Address::ZERO, "to": Address::ZERO, "type": "0x2",
            "status": "0x1", "gasUsed": "0x5208", "cumulativeGasUsed": "0x5208",
            "effectiveGasPrice": "0x1", "contractAddress": null, "logs": [],
            "logsBloom": format!("0x{}", "0".repeat(512)),
        })
    }
}

/// What a contract is asked.
fn input(request: &Value) -> Vec<u8> {
    let text = request["input"].as_str().or(request["data"].as_str());
    hex::decode(text.unwrap()).unwrap()
}
