//! Which part of the past the node can answer for.

use alloy_primitives::{B256, U64};
use serde::Serialize;

use super::{Arguments, Rpc, error::RpcError};

#[derive(Clone, Debug, Serialize)]
pub(super) struct Capabilities {
    head: Place,
    state: Resource,
    tx: Resource,
    logs: Resource,
    receipts: Resource,
    blocks: Resource,
    stateproofs: Resource,
}

#[derive(Clone, Debug, Serialize)]
struct Place {
    number: U64,
    hash: B256,
}

/// How far back something reaches.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    disabled: bool,
    oldest_block: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_strategy: Option<DeleteStrategy>,
}

/// So many blocks are kept behind the head.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteStrategy {
    #[serde(rename = "type")]
    kind: &'static str,
    retention_blocks: U64,
}

/// Transactions, receipts and logs are kept for ever or for so many blocks, states for so many.
pub(super) fn capabilities(rpc: &Rpc, _: Arguments<'_>) -> Result<Capabilities, RpcError> {
    let head = rpc.head();
    let window =
        |blocks: u64| DeleteStrategy { kind: "window", retention_blocks: U64::from(blocks) };
    let bodies = rpc.node.limits.body_blocks;
    let whole = Resource {
        disabled: false,
        // Block 1 is there, so everything is: block 0 always is.
        oldest_block: U64::from(Some(head.snapshot.first_body()?).filter(|n| *n > 1).unwrap_or(0)),
        delete_strategy: (bodies < u64::MAX).then(|| window(bodies)),
    };
    let states = Resource {
        disabled: false,
        oldest_block: U64::from(head.snapshot.oldest_state()?),
        delete_strategy: Some(window(rpc.node.limits.history_blocks)),
    };
    Ok(Capabilities {
        head: Place { number: U64::from(head.header.number), hash: head.header.hash() },
        state: states.clone(),
        tx: whole.clone(),
        logs: whole.clone(),
        receipts: whole.clone(),
        blocks: whole,
        stateproofs: states,
    })
}
