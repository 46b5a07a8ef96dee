//! Traces of stored blocks and transactions.

use std::{rc::Rc, sync::Arc, time::Duration};

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes, U256};
use alloy_rpc_types_eth::{TransactionRequest, state::StateOverride};
use serde_json::value::RawValue;

use super::{Arguments, Rpc, call::overridden, convert::StateView, error::RpcError};
use crate::{
    block::{Block, SealedHeader, Transaction},
    decode::{DecodeError, Index, Members, Parameter},
    execution::environment_of,
    message::{BlockOverrides, Checks, Message, Watch, Watched, refusal},
    node::Head,
    state::{Journal, StateReader},
    trace::{OPTION_NAMES, Place, Replay, Subject, TraceError, TraceOptions, run},
    transfer,
};

/// How long a trace may take if the request does not say (geth's).
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a trace may take whatever the request says.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// A trace as the tracer wrote it.
type Json = Box<RawValue>;

impl From<TraceError> for RpcError {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::State(error) => error.into(),
            other => Self::server(other.to_string()),
        }
    }
}

pub(super) fn trace_transaction(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Json, RpcError> {
    let hash: B256 = args.take()?;
    let options: TraceOptions = args.take_optional()?.unwrap_or_default();
    let head = rpc.head();
    let Some(place) = head.snapshot.place_of(&hash)? else {
        return Err(RpcError::server("transaction not found"));
    };
    let index = usize::try_from(place.index).unwrap_or(usize::MAX);
    let block = stored(&head, Some(place.block))?.ok_or_else(RpcError::header_not_found)?;
    let replay = replay(rpc, &head, &block.header, timeout(&options)?)?;
    let (replay, transaction) = before(replay, &block, index)?;
    let subject = subject(&block.header, index, transaction);
    let (_, json) = replay.trace(transaction, subject, &options, bytes_max(rpc))?;
    raw(json)
}

/// Traces a message on the state of a block, or before one of its transactions.
pub(super) fn trace_call(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Json, RpcError> {
    let request: TransactionRequest = args.take()?;
    let block: BlockId = args.take()?;
    let options: CallOptions = args.take_optional()?.unwrap_or_default();
    let head = rpc.head();
    let number = match block {
        BlockId::Number(BlockNumberOrTag::Pending) => {
            return Err(RpcError::server("tracing on top of pending is not supported"));
        }
        BlockId::Number(number) => head
            .resolve(number)
            .ok_or_else(|| RpcError::server(format!("block #{} not found", number_of(number))))?,
        BlockId::Hash(hash) => head
            .snapshot
            .number_of(&hash.block_hash)?
            .ok_or_else(|| RpcError::server(format!("block {} not found", hash.block_hash)))?,
    };
    let header = head.header_of(number)?.ok_or_else(RpcError::header_not_found)?;
    let timeout = timeout(&options.trace)?;
    let state = match options.tx_index {
        Some(Index(index)) => {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let block = stored(&head, Some(number))?.ok_or_else(RpcError::header_not_found)?;
            if number == 0 {
                return Err(RpcError::server("no transaction in genesis"));
            }
            let replay = replay(rpc, &head, &header, timeout)?;
            if index == 0 && block.transactions.is_empty() {
                replay.into_place().journal
            } else {
                before(replay, &block, index)?.0.into_place().journal
            }
        }
        None => {
            let (_, reader) = head.state_of(Some(BlockId::number(number)))?;
            let watch = Rc::new(Watch::start(&rpc.turns, timeout));
            // A message that is said to run in the next block sees the hash of this one.
            let next = options.block_overrides.as_ref().and_then(|block| block.number);
            let is_next = next.is_some_and(|next| next == U256::from(number) + U256::ONE);
            let hashes_below = number + u64::from(is_next);
            Journal::new(Watched { reader, watch, hashes_below })
        }
    };
    let environment = environment_of(&rpc.node.spec, &header);
    let (overrides, block_overrides) =
        (options.state_overrides.as_ref(), options.block_overrides.as_ref());
    let prepared = overridden(rpc, header, environment, state, overrides, block_overrides)?;
    let message = Message::new(&request, rpc.node.spec.chain_id, rpc.node.limits.call_gas_max)
        .map_err(RpcError::server)?;
    let placed = prepared.place(message)?;
    let cfg = &placed.environment.cfg_env;
    let transaction = placed.message.environment(cfg.chain_id, cfg.spec);
    let refused =
        refusal(&placed.message, &placed.sender, &transaction, cfg, placed.prices, Checks::CALL);
    if let Some(refused) = refused {
        return Err(TraceError::Invalid(refused.to_string()).into());
    }
    let subject = Subject::default();
    let tracer = options.trace.tracer(&subject, cfg.spec)?;
    let place = Place {
        journal: placed.state,
        environment: placed.environment,
        precompiles: placed.precompiles.called(),
    };
    raw(run(place, transaction, &subject, tracer, bytes_max(rpc))?.json)
}

/// The options of `debug_traceCall`.
#[derive(Default)]
struct CallOptions {
    trace: TraceOptions,
    state_overrides: Option<StateOverride>,
    block_overrides: Option<BlockOverrides>,
    tx_index: Option<Index>,
}

impl Parameter for CallOptions {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        const STRUCTURE: &str = "TraceCallConfig";
        let members = Members::read(json, &OPTION_NAMES, "tracers.TraceCallConfig")?;
        Ok(Self {
            trace: TraceOptions::of(&members)?,
            state_overrides: members.take(STRUCTURE, "stateOverrides")?,
            block_overrides: members.take(STRUCTURE, "blockOverrides")?,
            tx_index: members.take(STRUCTURE, "txIndex")?,
        })
    }
}

/// Goes on to the transaction at `index`.
pub(super) fn before<R: StateReader>(
    mut replay: Replay<R>,
    block: &Block,
    index: usize,
) -> Result<(Replay<R>, &Transaction), RpcError> {
    let Some(transaction) = block.transactions.get(index) else {
        return Err(RpcError::server(format!(
            "transaction index {index} out of range for block {}",
            block.header.hash()
        )));
    };
    for transaction in block.transactions.iter().take(index) {
        replay = replay.skip(transaction)?;
    }
    Ok((replay, transaction))
}

pub(super) fn trace_block_by_number(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Json, RpcError> {
    let number: BlockNumberOrTag = args.take()?;
    let options = args.take_optional()?.unwrap_or_default();
    let missing = || RpcError::server(format!("block #{} not found", number_of(number)));
    let (head, block) = chosen(rpc, number.into())?.ok_or_else(missing)?;
    trace(rpc, &head, &block, &options)
}

pub(super) fn trace_block_by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Json, RpcError> {
    let hash: B256 = args.take()?;
    let options = args.take_optional()?.unwrap_or_default();
    let missing = || RpcError::server(format!("block {hash} not found"));
    let (head, block) = chosen(rpc, hash.into())?.ok_or_else(missing)?;
    trace(rpc, &head, &block, &options)
}

/// Blocks that turned out to be wrong are not kept, so there is none to trace.
pub(super) fn trace_bad_block(_: &Rpc, mut args: Arguments<'_>) -> Result<Json, RpcError> {
    let hash: B256 = args.take()?;
    let _: Option<TraceOptions> = args.take_optional()?;
    Err(RpcError::server(format!("bad block {hash} not found")))
}

/// As [`trace_bad_block`].
pub(super) fn replay_bad_block(_: &Rpc, mut args: Arguments<'_>) -> Result<Json, RpcError> {
    let hash: B256 = args.take()?;
    Err(RpcError::server(format!("bad block {hash} not found")))
}

/// What hashes to a hash. As in a geth that does not record preimages there is little to say: only
/// code is kept under its hash.
pub(super) fn preimage(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let hash: B256 = args.take()?;
    let head = rpc.head();
    if head.snapshot.has_code(&hash)? {
        return Ok(head.snapshot.code(&hash)?.original_bytes());
    }
    Err(RpcError::server("unknown preimage"))
}

/// As [`trace_bad_block`].
pub(super) fn bad_blocks(_: &Rpc, _: Arguments<'_>) -> Result<Vec<Json>, RpcError> {
    Ok(Vec::new())
}

/// Traces a block that is given as RLP; its parent must be known.
pub(super) fn trace_block(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Json, RpcError> {
    let rlp: Bytes = args.take()?;
    let options = args.take_optional()?.unwrap_or_default();
    let head = rpc.head();
    let block = transfer::decode(&rlp, &rpc.node.spec).map_err(|error| match error {
        transfer::DecodeError::Malformed(error) => {
            RpcError::server(format!("could not decode block: {error}"))
        }
        transfer::DecodeError::Signature { .. } => RpcError::server("invalid sender"),
    })?;
    trace(rpc, &head, &block, &options)
}

pub(super) fn number_of(number: BlockNumberOrTag) -> i128 {
    match number {
        BlockNumberOrTag::Number(number) => number.into(),
        BlockNumberOrTag::Earliest => 0,
        BlockNumberOrTag::Pending => -1,
        BlockNumberOrTag::Latest => -2,
        BlockNumberOrTag::Finalized => -3,
        BlockNumberOrTag::Safe => -4,
    }
}

/// A block by number, tag or hash, and the head of the chain its parent is in.
pub(super) fn chosen(rpc: &Rpc, block: BlockId) -> Result<Option<(Arc<Head>, Block)>, RpcError> {
    if let Some(pending) = rpc.pending_if(block)? {
        return Ok(Some((Arc::clone(pending.parent()), pending.executed.block.clone())));
    }
    let head = rpc.head();
    let found = stored(&head, head.number_of(Some(block))?)?;
    Ok(found.map(|block| (head, block)))
}

fn stored(head: &Head, number: Option<u64>) -> Result<Option<Block>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    Ok(head.block_of(number)?)
}

/// The moment before the transactions of a block.
pub(super) fn replay<'a>(
    rpc: &Rpc,
    head: &'a Head,
    header: &SealedHeader,
    timeout: Duration,
) -> Result<Replay<StateView<'a>>, RpcError> {
    let Some(number) = header.number.checked_sub(1) else {
        return Err(RpcError::server("genesis is not traceable"));
    };
    let parent = head.header_of(number)?.filter(|parent| parent.hash() == header.parent_hash);
    let Some(parent) = parent else {
        return Err(RpcError::server(format!("block {} not found", header.parent_hash)));
    };
    let (_, reader) = head.state_of(Some(BlockId::number(number)))?;
    let watch = Rc::new(Watch::start(&rpc.turns, timeout));
    let state = Watched { reader, watch, hashes_below: header.number };
    Ok(Replay::new(&rpc.node.spec, &parent, header, state)?)
}

fn trace(rpc: &Rpc, head: &Head, block: &Block, options: &TraceOptions) -> Result<Json, RpcError> {
    // geth allows the time for each transaction; here the whole block shares it.
    let count = u32::try_from(block.transactions.len().max(1)).unwrap_or(u32::MAX);
    let time = timeout(options)?.saturating_mul(count).min(TIMEOUT_MAX);
    let mut replay = replay(rpc, head, &block.header, time)?;
    let mut room = bytes_max(rpc);
    let mut json = String::from("[");
    for (index, transaction) in block.transactions.iter().enumerate() {
        let subject = subject(&block.header, index, transaction);
        let (next, result) = replay.trace(transaction, subject, options, room)?;
        replay = next;
        room = room.saturating_sub(result.len());
        let comma = if index > 0 { "," } else { "" };
        let hash = transaction.inner().tx_hash();
        json.push_str(&format!("{comma}{{\"txHash\":\"{hash}\",\"result\":{result}}}"));
    }
    json.push(']');
    raw(json)
}

pub(super) fn subject(header: &SealedHeader, index: usize, transaction: &Transaction) -> Subject {
    Subject {
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        hash: Some(*transaction.inner().tx_hash()),
        index,
        logs_before: 0,
    }
}

/// How long the request may take.
pub(super) fn timeout(options: &TraceOptions) -> Result<Duration, RpcError> {
    let timeout = match &options.timeout {
        Some(text) => go_duration(text)
            .ok_or_else(|| RpcError::server(format!("time: invalid duration {text:?}")))?,
        None => TIMEOUT,
    };
    if timeout.is_zero() {
        return Err(TraceError::Timeout.into());
    }
    Ok(timeout.min(TIMEOUT_MAX))
}

/// Bytes an answer may have.
fn bytes_max(rpc: &Rpc) -> usize {
    usize::try_from(rpc.node.limits.response_bytes_max).unwrap_or(usize::MAX)
}

fn raw(json: String) -> Result<Json, RpcError> {
    RawValue::from_string(json).map_err(|error| RpcError::internal(error.to_string()))
}

/// A duration as Go writes it: `5s`, `1m30s`, `1.5h`, `300ms`. Negative ones count as none.
fn go_duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..unit_len] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[unit_len..];
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
    }
    Some(if negative { Duration::ZERO } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let known = [
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("300ms", Some(300)),
            ("0", Some(0)),
            ("-3s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("5y", None),
            ("99999999999999999999h", None),
        ];
        for (text, expected) in known {
            assert_eq!(go_duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
