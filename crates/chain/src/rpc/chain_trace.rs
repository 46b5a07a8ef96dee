//! `debug_subscribe("traceChain", start, end, options)`: the blocks after `start` up to `end`, traced in
//! their order, each told when it is done.
//!
//! A block is traced when the one before has been handed over, and handed over when the peer has read
//! most of what waits for it: a slow reader slows down nobody but itself. Each block takes its turn
//! among all executions.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use hyper::body::Bytes;

use super::{
    Arguments, Rpc,
    debug::{TIMEOUT_MAX, number_of, replay, subject, timeout},
    error::RpcError,
    subscriptions::{Subject, Subscription},
};
use crate::{
    message::{Caller, on_behalf_of},
    node::Head,
    trace::TraceOptions,
};

/// A range of blocks to be traced.
#[derive(Clone, Debug)]
pub(super) struct ChainTrace {
    /// Not traced itself.
    start: u64,
    end: u64,
    options: Arc<TraceOptions>,
}

impl ChainTrace {
    /// Reads what follows the subscription's name.
    pub(super) fn read(head: &Head, args: &mut Arguments<'_>) -> Result<Self, RpcError> {
        let (start, end): (BlockNumberOrTag, BlockNumberOrTag) = (args.take()?, args.take()?);
        let options: TraceOptions = args.take_optional()?.unwrap_or_default();
        timeout(&options)?;
        let number = |block: BlockNumberOrTag| {
            let missing = || RpcError::server(format!("block #{} not found", number_of(block)));
            head.resolve(block).ok_or_else(missing)
        };
        let (first, last) = (number(start)?, number(end)?);
        if first >= last {
            return Err(RpcError::server(format!(
                "end block (#{}) needs to come after start block (#{})",
                number_of(end),
                number_of(start)
            )));
        }
        // Said at once, while somebody listens to errors.
        head.state_of(Some(BlockId::number(first)))?;
        Ok(Self { start: first, end: last, options: Arc::new(options) })
    }
}

/// Tells a subscription of its blocks, until all are told, it has ended, or one cannot be traced.
pub(super) async fn run(rpc: Arc<Rpc>, caller: Caller, reader: Arc<Subscription>) {
    let Subject::Chain(range) = &reader.subject else { return };
    for number in range.start + 1..=range.end {
        // Before it is traced: a connection has one trace at a time, and none that nobody reads.
        let _turn = reader.turn().await;
        if reader.has_ended() {
            return;
        }
        let place = rpc.executions.take(caller).await;
        let (node, range) = (Arc::clone(&rpc), range.clone());
        let traced = tokio::task::spawn_blocking(move || {
            let _place = place;
            on_behalf_of(caller, || block(&node, number, &range))
        });
        match traced.await {
            Ok(Ok(Some(result))) => reader.tell([result]),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                return tracing::debug!(number, ?error, "a chain is not traced any further");
            }
            // It panicked, or the node stops.
            Err(_) => return,
        }
    }
}

/// One block's traces, or nothing if it has no transactions and is not the last one.
fn block(rpc: &Rpc, number: u64, range: &ChainTrace) -> Result<Option<Bytes>, RpcError> {
    let head = rpc.head();
    let block = head.block_of(number)?.ok_or_else(RpcError::header_not_found)?;
    if block.transactions.is_empty() && number < range.end {
        return Ok(None);
    }
    let count = u32::try_from(block.transactions.len().max(1)).unwrap_or(u32::MAX);
    let time = timeout(&range.options)?.saturating_mul(count).min(TIMEOUT_MAX);
    let mut moment = Some(replay(rpc, &head, &block.header, time)?);
    let limits = &rpc.node.limits;
    let response_max = usize::try_from(limits.response_bytes_max).unwrap_or(usize::MAX);
    // Of what may wait for a connection one block takes a quarter at the most.
    let mut room = response_max.min(limits.subscription_bytes_max / 4);
    let hash = block.header.hash();
    let mut json = format!("{{\"block\":\"{number:#x}\",\"hash\":\"{hash}\",\"traces\":[");
    for (index, transaction) in block.transactions.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        let Some(before) = moment.take() else {
            json.push_str("null");
            continue;
        };
        let hash = transaction.inner().tx_hash();
        let subject = subject(&block.header, index, transaction);
        match before.trace(transaction, subject, &range.options, room) {
            Ok((after, result)) => {
                room = room.saturating_sub(result.len());
                json.push_str(&format!("{{\"txHash\":\"{hash}\",\"result\":{result}}}"));
                moment = Some(after);
            }
            Err(error) => {
                let error = serde_json::Value::from(error.to_string());
                json.push_str(&format!("{{\"txHash\":\"{hash}\",\"error\":{error}}}"));
            }
        }
    }
    json.push_str("]}");
    Ok(Some(json.into()))
}
