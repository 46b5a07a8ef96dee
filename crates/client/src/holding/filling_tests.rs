//! What is locked of a deposit, of a node that says what contracts would and refuses every transaction.

use std::sync::Arc;

use alloy::{
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
use tilth_contracts::{Addresses, Holders, Job, JobBook, JobState, Keep, Terms};
use tilth_protocol::{
    Amount, ContentHash, ContentRef, JobId, JobSpec, Limits, Output, RangeId, Workload,
};
use tilth_verification::holding::Prices;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::{
    holding::subject::Subject,
    test_node::{Said, serve},
};

const LEAST: u128 = 10_u128.pow(16);
/// An audit's least fee is this part of the small value.
const FEE_PART: u128 = 10_000;
const TASKS: u32 = 4;
const MIB: u32 = 2;
const RANGE: RangeId = RangeId { job: JobId(1), seq: 0 };
/// The time of the latest block, and one that is still to come.
const NOW: u64 = 1_790_000_000;
const LATER: u64 = NOW + 1;

fn prices() -> Prices {
    Prices::usual(LEAST, MIB, 604_800)
}

/// What a range can cost.
fn each() -> u128 {
    prices().cost(LEAST, MIB)
}

fn terms(deadline: u64) -> Terms {
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
fn job(state: JobState, (unclaimed, outstanding): (u32, u32), deadline: u64) -> Job {
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

/// What is locked for it, all of which is free.
fn keep(free: u128) -> Keep {
    let prices = prices();
    Keep {
        deposit: U96::saturating_from(free),
        reserved: U96::ZERO,
        maxMib: prices.max_mib,
        perMib: U96::saturating_from(prices.per_mib),
        perMibDay: U96::saturating_from(prices.per_mib_day),
        keepSeconds: prices.keep_seconds,
    }
}

fn agreed(client: Address) -> Agreed {
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

/// What a contract says when it is asked this; zeros to all else.
fn answer(job: &Job, keep: &Keep, input: &[u8]) -> Vec<u8> {
    if input.starts_with(&JobBook::jobCall::SELECTOR) {
        JobBook::jobCall::abi_encode_returns(job)
    } else if input.starts_with(&Holders::keptCall::SELECTOR) {
        Holders::keptCall::abi_encode_returns(keep)
    } else if input.starts_with(&Holders::smallValueCall::SELECTOR) {
        Holders::smallValueCall::abi_encode_returns(&U256::from(LEAST * FEE_PART))
    } else {
        vec![0; 4_096]
    }
}

/// An account on such a chain, and the amounts that it tries to lock.
async fn account(job: Job, keep: Keep) -> (Account, UnboundedReceiver<u128>) {
    let (tell, told) = unbounded_channel();
    let says = move |question: Value| {
        let request = &question["params"][0];
        let input = || {
            let text = request["input"].as_str().or(request["data"].as_str());
            hex::decode(text.unwrap()).unwrap()
        };
        let said: Said = match question["method"].as_str() {
            Some("eth_call") => Ok(hex::encode_prefixed(answer(&job, &keep, &input())).into()),
            Some("eth_getBlockByNumber") => {
                let mut block: Block = Block::default();
                block.header.inner.timestamp = NOW;
                Ok(json!(block))
            }
            Some("eth_estimateGas") => {
                let call = Holders::fundCall::abi_decode(&input()).unwrap();
                // A test that has heard enough is over.
                let _ = tell.send(call.amount.to::<u128>());
                Err(json!({ "code": 3, "message": "execution reverted" }))
            }
            _ => Err(json!({ "code": -32_601, "message": "not available" })),
        };
        std::future::ready(said)
    };
    let link = Link::open(&serve(says).await, Addresses::predeployed()).unwrap();
    (Account::new(link, PrivateKeySigner::random()), told)
}

/// The deposit is used up, nothing is out, and the job was opened from another folder: nobody else sees to it.
#[tokio::test]
async fn what_could_not_be_locked_is_tried_again_also_from_another_folder() {
    let (account, mut told) = account(job(JobState::Open, (1, 0), LATER), keep(0)).await;
    let agreed = agreed(account.address());
    let tried = async {
        for _ in 0..3 {
            assert_eq!(told.recv().await, Some(each()));
        }
    };
    let filling = async {
        tokio::select! {
            () = fill_up(&account, &agreed, None, Duration::from_millis(1)) => unreachable!(),
            () = tried => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(120), Box::pin(filling)).await.expect("again");
}

#[tokio::test]
async fn only_what_a_range_can_need_is_locked() {
    let open = JobState::Open;
    // What is to be claimed and what is out, until when; what is free, what is added, and for how many it must reach.
    for (state, ranges, deadline, free, adds, due) in [
        (open, (1, 0), LATER, 0, 1, 1),
        (open, (1, 0), NOW, 0, 1, 1),
        (open, (1, 1), LATER, 1, 1, 2),
        (open, (1, 1), LATER, 2, 0, 2),
        // All is claimed: the last range has what it needs, or the last two have not.
        (open, (0, 1), LATER, 1, 0, 1),
        (open, (0, 2), LATER, 1, 1, 2),
        (open, (0, 0), LATER, 0, 0, 1),
        // Nothing can be claimed any more.
        (open, (1, 1), NOW - 1, 1, 0, 1),
        (open, (1, 0), NOW - 1, 0, 0, 1),
        (JobState::Draining, (1, 3), LATER, 1, 0, 1),
        (JobState::Done, (0, 0), LATER, 0, 0, 1),
    ] {
        let shown = job(state, ranges, deadline);
        let (account, mut told) = account(shown, keep(free * each())).await;
        let mut offer = None;
        let done = Box::pin(locked(&account, &agreed(account.address()), &mut offer)).await;
        let text = format!("{state} {ranges:?} {deadline} {free}");
        assert_eq!(done.is_err(), adds != 0, "{text}: {done:?}");
        assert_eq!(told.try_recv().ok(), (adds != 0).then_some(adds * each()), "{text}");
        assert_eq!(offer.map(|deposit| deposit.amount), Some(Amount(u128::from(TASKS) * each())));
        let subject = Subject::range(account.link(), RANGE).await.unwrap();
        assert_eq!(subject.out, due, "{text}");
    }
}

#[tokio::test]
async fn nobody_but_its_client_locks_anything() {
    let (account, mut told) = account(job(JobState::Open, (1, 0), LATER), keep(0)).await;
    let mut offer = Some(Deposit::by_chain(&prices(), LEAST, (TASKS, 1)));
    let others = agreed(Address::repeat_byte(9));
    Box::pin(locked(&account, &others, &mut offer)).await.unwrap();
    assert_eq!((offer, told.try_recv().ok()), (None, None));
}
