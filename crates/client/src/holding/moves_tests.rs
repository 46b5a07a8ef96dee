//! What counts as done although it was refused, and what is not sent at all.

use alloy::{
    primitives::{Address, B256, aliases::U40},
    signers::local::PrivateKeySigner,
    sol_types::SolError,
};
use serde_json::{Value, json};
use tilth_protocol::{JobId, Problem};

use super::*;
use crate::{
    Account,
    holding::party::Party,
    test_node::{Said, linked},
};

const US: Address = Address::repeat_byte(5);
const RANGE: RangeId = RangeId { job: JobId(7), seq: 3 };

/// What a contract has refused, and said so.
pub(crate) fn refused(data: Vec<u8>) -> ChainError {
    let problem = Box::new(Problem::new("no", "no", "no"));
    ChainError::Reverted { action: "sending", problem, data: data.into() }
}

#[test]
fn a_draw_that_has_spoken_waits_no_more() {
    let spot = |bits, state: SpotState| Spot {
        round: 12,
        asOf: U40::from(9),
        seen: 0,
        bits,
        votes: 0,
        state: u8::from(state),
    };
    assert!(is_waiting(&spot(0b101, SpotState::Asked), 1));
    assert!(!is_waiting(&spot(0b101, SpotState::Asked), 2));
    assert!(!is_waiting(&spot(0, SpotState::None), 1) && !is_waiting(&spot(0, SpotState::Over), 1));
}

#[tokio::test]
async fn what_somebody_else_has_had_noted_is_not_noted_again() {
    let says = |question: Value| {
        let of = question["params"][0]["topics"][1].clone();
        let round = json!(B256::from(U256::from(12)));
        let log = json!({
            "address": Address::ZERO, "topics": [B256::ZERO], "data": "0x", "blockHash": B256::ZERO,
            "blockNumber": "0x15", "transactionHash": B256::ZERO, "transactionIndex": "0x0",
            "logIndex": "0x0", "removed": false,
        });
        let told: Said = match question["method"].as_str() {
            Some("eth_blockNumber") => Ok("0x5a".into()),
            Some("eth_getLogs") if of == round || of[0] == round => Ok(json!([log])),
            Some("eth_getLogs") => Ok(json!([])),
            _ => Err(json!({ "code": -32_601, "message": "not available" })),
        };
        std::future::ready(told)
    };
    let link = linked(says).await;
    assert!(is_noted(&link, 12).await);
    assert!(!is_noted(&link, 13).await);
    // The node takes no transaction.
    let account = Account::new(link, PrivateKeySigner::random());
    let post = Post { account, party: Party::Auditor(4), from_block: 0, job: None, most: 0 };
    let note = Effect::Poke { range: RANGE, round: 12, once: true };
    assert!(Box::pin(post.send(RANGE, &note)).await.is_ok());
}

#[test]
fn a_deposit_of_which_nothing_is_free_is_closed() {
    let free = Holders::NothingFree { jobId: 7 }.abi_encode();
    assert!(is_nothing_free(&refused(free)));
    let other = Holders::NotClient { jobId: 7, caller: US }.abi_encode();
    assert!(!is_nothing_free(&refused(other)));
    assert!(!is_nothing_free(&ChainError::Unread));
}
