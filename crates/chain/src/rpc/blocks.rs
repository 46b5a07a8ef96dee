//! Blocks and headers.

use alloy_consensus::Header;
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

pub(super) fn uncles_by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<U64>, RpcError> {
    let (head, hash) = (rpc.head(), args.take::<B256>()?);
    uncle_count(&head, head.snapshot.number_of(&hash)?)
}

pub(super) fn uncle_count(head: &Head, number: Option<u64>) -> Result<Option<U64>, RpcError> {
    Ok(uncles(head, number)?.map(|uncles| U64::from(uncles.len())))
}

pub(super) fn uncle_by_hash(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcBlock>, RpcError> {
    let (head, hash) = (rpc.head(), args.take::<B256>()?);
    uncle(&head, head.snapshot.number_of(&hash)?, args.take()?)
}

fn uncles(head: &Head, number: Option<u64>) -> Result<Option<Vec<Header>>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    Ok(head.snapshot.body(number)?.map(|body| body.ommers))
}

pub(super) fn uncle(
    head: &Head,
    number: Option<u64>,
    Index(index): Index,
) -> Result<Option<RpcBlock>, RpcError> {
    let mut uncles = uncles(head, number)?.unwrap_or_default().into_iter();
    let uncle = usize::try_from(index).ok().and_then(|index| uncles.nth(index));
    Ok(uncle.map(convert::uncle))
}

pub(super) fn block(
    head: &Head,
    number: Option<u64>,
    full: bool,
) -> Result<Option<RpcBlock>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    Ok(head.block_of(number)?.map(|block| convert::block(block, full)))
}

pub(super) fn header(head: &Head, number: Option<u64>) -> Result<Option<RpcHeader>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    Ok(head.header_of(number)?.map(|header| convert::header(&header)))
}

pub(super) fn count(head: &Head, number: Option<u64>) -> Result<Option<U64>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    let transactions = head.snapshot.transactions(number)?;
    Ok(transactions.map(|transactions| U64::from(transactions.len())))
}
