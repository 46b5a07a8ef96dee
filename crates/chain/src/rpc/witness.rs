//! `debug_executionWitness`.

use std::rc::Rc;

use alloy_eips::BlockId;
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::Header as RpcHeader;
use serde::Serialize;

use super::{Arguments, Rpc, convert, debug::chosen, error::RpcError};
use crate::{
    message::{Watch, Watched},
    witness,
};

/// A witness in geth's form.
#[derive(Debug, Serialize)]
pub(super) struct Witness {
    /// The parent's header, and before it those whose hashes were asked for, ascending.
    headers: Vec<RpcHeader>,
    codes: Vec<Bytes>,
    state: Vec<Bytes>,
    /// geth collects none.
    keys: Option<Vec<Bytes>>,
}

pub(super) fn execution(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Witness, RpcError> {
    let id: BlockId = args.take()?;
    let name = match id {
        BlockId::Hash(hash) => hash.block_hash.to_string(),
        BlockId::Number(number) => number.to_string(),
    };
    let missing = || RpcError::server(format!("block {name} not found"));
    let (head, block) = chosen(rpc, id)?.ok_or_else(missing)?;
    let Some(before) = block.header.number.checked_sub(1) else {
        return Err(RpcError::server(format!("block {name} found, but parent missing")));
    };
    let (parent, reader) = head.state_of(Some(BlockId::number(before)))?;
    let watch = Rc::new(Watch::start(&rpc.turns, rpc.node.limits.call_time_max));
    let state = Watched { reader, watch, hashes_below: block.header.number };
    let witness = witness::witness(&rpc.node.spec, &head, &parent, &block, state)?;
    let mut headers = Vec::new();
    for number in witness.first_header..=before {
        let header = head.header_of(number)?.ok_or_else(RpcError::header_not_found)?;
        headers.push(convert::header(&header));
    }
    Ok(Witness {
        headers,
        codes: witness.codes.into_iter().collect(),
        state: witness.nodes.into_iter().collect(),
        keys: None,
    })
}
