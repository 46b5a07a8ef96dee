//! Simulated blocks in the dress of the RPC.

use alloy_consensus::TxType;
use alloy_eips::{eip2930::AccessList, eip4895::Withdrawals, eip7702::SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Header as RpcHeader, Log as RpcLog};
use serde::Serialize;

use super::block::{Call, Made, Outcome};
use crate::{
    block::{ChainSpec, SealedHeader},
    rpc::reason_in_words,
};

/// The code of a call that halted.
const HALTED: i32 = -32015;
/// The code of a call that reverted.
const REVERTED: i32 = 3;

/// One simulated block.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SimulatedBlock {
    #[serde(flatten)]
    header: RpcHeader,
    transactions: Transactions,
    uncles: [B256; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawals: Option<Withdrawals>,
    calls: Vec<CallResult>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Transactions {
    Hashes(Vec<B256>),
    Full(Vec<FullTransaction>),
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult {
    return_data: Bytes,
    logs: Vec<RpcLog>,
    gas_used: U64,
    max_used_gas: U64,
    status: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CallError>,
}

#[derive(Clone, Debug, Serialize)]
struct CallError {
    message: String,
    code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Bytes>,
}

/// A transaction that nobody signed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FullTransaction {
    block_hash: B256,
    block_number: U64,
    block_timestamp: U64,
    from: Address,
    gas: U64,
    gas_price: U128,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_per_gas: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_priority_fee_per_gas: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_per_blob_gas: Option<U128>,
    hash: B256,
    input: Bytes,
    nonce: U64,
    to: Option<Address>,
    transaction_index: U64,
    value: U256,
    #[serde(rename = "type")]
    kind: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_list: Option<AccessList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_list: Option<Vec<SignedAuthorization>>,
    v: U64,
    r: U64,
    s: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    y_parity: Option<U64>,
}

impl SimulatedBlock {
    pub(super) fn new(spec: &ChainSpec, made: Made, full: bool) -> Self {
        let Made { header, withdrawals, calls } = made;
        let transactions = if full {
            let of_block = |(index, call)| full_transaction(spec, &header, index, call);
            Transactions::Full(calls.iter().enumerate().map(of_block).collect())
        } else {
            Transactions::Hashes(calls.iter().map(|call| call.transaction.hash).collect())
        };
        let size = size(&header, withdrawals.as_ref(), &calls);
        let results = calls.into_iter().enumerate();
        Self {
            transactions,
            calls: results.map(|(index, call)| result(&header, index, call)).collect(),
            header: RpcHeader {
                hash: header.hash(),
                inner: header.into_inner(),
                total_difficulty: None,
                size: Some(U256::from(size)),
            },
            uncles: [],
            withdrawals,
        }
    }
}

/// Bytes of the block's RLP.
fn size(header: &SealedHeader, withdrawals: Option<&Withdrawals>, calls: &[Call]) -> usize {
    let transaction = |call: &Call| match call.transaction.kind {
        TxType::Legacy => call.transaction.encoded.len(),
        _ => call.transaction.encoded.length(),
    };
    let payload_length = calls.iter().map(transaction).sum();
    let transactions = alloy_rlp::Header { list: true, payload_length }.length_with_payload();
    let withdrawals = withdrawals.map_or(0, |withdrawals| withdrawals.length());
    // No ommers: an empty list.
    let payload_length = header.inner().length() + transactions + 1 + withdrawals;
    alloy_rlp::Header { list: true, payload_length }.length_with_payload()
}

fn result(header: &SealedHeader, index: usize, call: Call) -> CallResult {
    let hash = call.transaction.hash;
    let log = |(number, log)| RpcLog {
        inner: log,
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        block_timestamp: Some(header.timestamp),
        transaction_hash: Some(hash),
        transaction_index: u64::try_from(index).ok(),
        log_index: Some(number),
        removed: false,
    };
    let (return_data, error) = match call.outcome {
        Outcome::Returned(output) => (output, None),
        Outcome::Reverted(output) => {
            let message = match reason_in_words(&output) {
                Some(reason) => format!("execution reverted: {reason}"),
                None => "execution reverted".to_owned(),
            };
            (Bytes::new(), Some(CallError { message, code: REVERTED, data: Some(output) }))
        }
        Outcome::Halted(message) => {
            (Bytes::new(), Some(CallError { message, code: HALTED, data: None }))
        }
    };
    CallResult {
        return_data,
        logs: call.logs.into_iter().map(log).collect(),
        gas_used: U64::from(call.gas_used),
        max_used_gas: U64::from(call.gas_most),
        status: U64::from(error.is_none()),
        error,
    }
}

fn full_transaction(
    spec: &ChainSpec,
    header: &SealedHeader,
    index: usize,
    call: &Call,
) -> FullTransaction {
    let message = &call.message;
    let kind = call.transaction.kind;
    let is_legacy = kind == TxType::Legacy;
    let typed = |value| (!is_legacy).then_some(value);
    let base_fee = u128::from(header.base_fee_per_gas.unwrap_or_default());
    let price = message.tip_cap.saturating_add(base_fee).min(message.fee_cap);
    let blob_fee = message.blob_fee_cap.filter(|_| kind == TxType::Eip4844);
    FullTransaction {
        block_hash: header.hash(),
        block_number: U64::from(header.number),
        block_timestamp: U64::from(header.timestamp),
        from: message.from,
        gas: U64::from(message.gas),
        gas_price: U128::from(message.gas_price.unwrap_or(price)),
        max_fee_per_gas: typed(U128::from(message.fee_cap)),
        max_priority_fee_per_gas: typed(U128::from(message.tip_cap)),
        max_fee_per_blob_gas: blob_fee.map(U128::from),
        hash: call.transaction.hash,
        input: message.data.clone(),
        nonce: U64::from(message.nonce),
        to: message.to,
        transaction_index: U64::from(index),
        value: message.value,
        kind: U64::from(u8::from(kind)),
        access_list: (!is_legacy).then(|| message.access_list.clone().unwrap_or_default()),
        // What geth derives from a legacy transaction whose v is zero.
        chain_id: Some(U64::from(if is_legacy { LEGACY_CHAIN_ID } else { spec.chain_id })),
        blob_versioned_hashes: message.blob_hashes.clone().filter(|_| kind == TxType::Eip4844),
        authorization_list: message.authorizations.clone().filter(|_| kind == TxType::Eip7702),
        v: U64::ZERO,
        r: U64::ZERO,
        s: U64::ZERO,
        y_parity: (!is_legacy).then_some(U64::ZERO),
    }
}

/// (2^64 - 35) / 2, from v = 0 by EIP-155 in 64 bits.
const LEGACY_CHAIN_ID: u64 = 0x7fff_ffff_ffff_ffee;
