//! Blocks and headers.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{Block as RpcBlock, Header as RpcHeader};

use super::{Arguments, Rpc, convert, error::RpcError};
use crate::{decode::Index, node::Head};

pub(super) fn block_number(rpc: &Rpc, _: Arguments<'_>) -> Result<U64, RpcError> {
    Ok(U64::from(rpc.head().header.number))
}

pub(super) fn by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<RpcBlock>, RpcError> {
    let (head, hash) = (rpc.head(), args.take::<B256>()?);
    let full = args.take()?;
    block(&head, head.snapshot.number_of(&hash)?, full)
}

pub(super) fn header_by_number(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcHeader>, RpcError> {
    let (head, number) = (rpc.head(), args.take::<BlockNumberOrTag>()?);
    header(&head, head.resolve(number))
}

pub(super) fn header_by_hash(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcHeader>, RpcError> {
    let (head, hash) = (rpc.head(), args.take::<B256>()?);
    header(&head, head.snapshot.number_of(&hash)?)
}

pub(super) fn count_by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<U64>, RpcError> {
    let (head, hash) = (rpc.head(), args.take::<B256>()?);
    count(&head, head.snapshot.number_of(&hash)?)
}

/// There are no uncles: zero for a block that exists.
pub(super) fn uncles_by_number(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<U64>, RpcError> {
    Ok(rpc.head().resolve(args.take()?).map(|_| U64::ZERO))
}

/// There are no uncles: zero for a block that exists.
pub(super) fn uncles_by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<U64>, RpcError> {
    let hash = args.take::<B256>()?;
    Ok(rpc.head().snapshot.number_of(&hash)?.map(|_| U64::ZERO))
}

pub(super) fn uncle_by_number(
    _: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcBlock>, RpcError> {
    let _: (BlockNumberOrTag, Index) = (args.take()?, args.take()?);
    Ok(None)
}

pub(super) fn uncle_by_hash(
    _: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcBlock>, RpcError> {
    let _: (B256, Index) = (args.take()?, args.take()?);
    Ok(None)
}

pub(super) fn block(head: &Head, number: Option<u64>, full: bool) -> Result<Option<RpcBlock>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    let Some(header) = head.header_of(number)? else { return Ok(None) };
    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
    Ok(Some(convert::block(&header, transactions, full)))
}

fn header(head: &Head, number: Option<u64>) -> Result<Option<RpcHeader>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    let Some(header) = head.header_of(number)? else { return Ok(None) };
    let mut rpc = convert::header(&header, &[]);
    rpc.size = None;
    Ok(Some(rpc))
}

pub(super) fn count(head: &Head, number: Option<u64>) -> Result<Option<U64>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    let transactions = head.snapshot.transactions(number)?;
    Ok(transactions.map(|transactions| U64::from(transactions.len())))
}
