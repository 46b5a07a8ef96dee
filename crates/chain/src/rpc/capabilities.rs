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

/// Blocks, transactions, receipts and logs are kept for ever, states for so many blocks.
pub(super) fn capabilities(rpc: &Rpc, _: Arguments<'_>) -> Result<Capabilities, RpcError> {
    let head = rpc.head();
    let for_ever = Resource { disabled: false, oldest_block: U64::ZERO, delete_strategy: None };
    let retention_blocks = U64::from(rpc.node.limits.history_blocks);
    let states = Resource {
        disabled: false,
        oldest_block: U64::from(head.snapshot.oldest_state()?),
        delete_strategy: Some(DeleteStrategy { kind: "window", retention_blocks }),
    };
    Ok(Capabilities {
        head: Place { number: U64::from(head.header.number), hash: head.header.hash() },
        state: states.clone(),
        tx: for_ever.clone(),
        logs: for_ever.clone(),
        receipts: for_ever.clone(),
        blocks: for_ever,
        stateproofs: states,
    })
}
