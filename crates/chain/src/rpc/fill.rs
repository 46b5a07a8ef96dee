//! Requests made whole: `eth_fillTransaction`, and `eth_resend`, which needs one made whole first.

use alloy_primitives::{B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{AccessList, SignedAuthorization, TransactionRequest};
use serde::Serialize;

use super::{
    Arguments, Rpc, access_list::fill_in_fees, error::RpcError, estimate::estimate,
    submission::check_fee,
};
use crate::{
    message::{Message, Unsigned},
    node::Head,
    state::StateReader,
};

/// Blobs in one transaction.
const BLOBS_MAX: usize = 6;

/// A transaction nobody has signed yet.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Filled {
    raw: Bytes,
    tx: Transaction,
}

/// Its fields as geth writes them; what its kind lacks is null or left out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    #[serde(rename = "type")]
    kind: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<U64>,
    nonce: U64,
    to: Option<alloy_primitives::Address>,
    gas: U64,
    gas_price: Option<U256>,
    max_priority_fee_per_gas: Option<U256>,
    max_fee_per_gas: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_per_blob_gas: Option<U256>,
    value: U256,
    input: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_list: Option<AccessList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_list: Option<Vec<SignedAuthorization>>,
    v: U64,
    r: U64,
    s: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    y_parity: Option<U64>,
    hash: B256,
}

pub(super) fn fill_transaction(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Filled, RpcError> {
    let message = filled(rpc, args.take()?)?;
    let unsigned = Unsigned::new(&message, rpc.node.spec.chain_id);
    let typed = message.gas_price.is_none();
    let price = |price: u128| typed.then(|| U256::from(price));
    let blobs = message.blob_hashes.is_some() && typed;
    let tx = Transaction {
        kind: U64::from(u8::from(unsigned.kind)),
        chain_id: typed.then(|| U64::from(rpc.node.spec.chain_id)),
        nonce: U64::from(message.nonce),
        to: message.to,
        gas: U64::from(message.gas),
        gas_price: message.gas_price.map(U256::from),
        max_priority_fee_per_gas: price(message.tip_cap),
        max_fee_per_gas: price(message.fee_cap),
        max_fee_per_blob_gas: message.blob_fee_cap.filter(|_| blobs).map(U256::from),
        value: message.value,
        input: message.data,
        access_list: typed.then(|| message.access_list.unwrap_or_default()),
        blob_versioned_hashes: message.blob_hashes.filter(|_| blobs),
        authorization_list: message.authorizations.filter(|_| typed),
        v: U64::ZERO,
        r: U64::ZERO,
        s: U64::ZERO,
        y_parity: typed.then_some(U64::ZERO),
        hash: unsigned.hash,
    };
    Ok(Filled { raw: unsigned.encoded, tx })
}

/// The node has no keys, so no waiting transaction is one it could sign again.
pub(super) fn resend(rpc: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    let request: TransactionRequest = args.take()?;
    let (price, gas): (Option<U256>, Option<U64>) = (args.take_optional()?, args.take_optional()?);
    if request.nonce.is_none() {
        return Err(RpcError::server("missing transaction nonce in transaction spec"));
    }
    let message = filled(rpc, request)?;
    let price = price.map_or(message.fee_cap, |price| price.saturating_to());
    check_fee(rpc, price, gas.map_or(message.gas, |gas| gas.to()))?;
    let hash = Unsigned::new(&message, rpc.node.spec.chain_id).hash;
    Err(RpcError::server(format!("transaction {hash} not found")))
}

/// The request with everything a transaction needs.
fn filled(rpc: &Rpc, mut request: TransactionRequest) -> Result<Message, RpcError> {
    let head = rpc.head();
    fill_in_fees(rpc, &head, head.header.base_fee_per_gas, &mut request)?;
    if request.blob_versioned_hashes.is_some() && request.max_fee_per_blob_gas.is_none() {
        let price = rpc.node.spec.blob_fee_of(&head.header);
        request.max_fee_per_blob_gas = price.map(|price| price.saturating_mul(2));
    }
    if request.nonce.is_none() {
        request.nonce = Some(next_nonce(rpc, &head, &request)?);
    }
    check(&request)?;
    if request.gas.is_none() {
        let mut probe = TransactionRequest { nonce: None, chain_id: None, ..request.clone() };
        request.gas = Some(estimate(rpc, &head, &mut probe, None, None, None)?);
    }
    Message::new(&request, rpc.node.spec.chain_id, 0).map_err(RpcError::server)
}

fn next_nonce(rpc: &Rpc, head: &Head, request: &TransactionRequest) -> Result<u64, RpcError> {
    let from = request.from.unwrap_or_default();
    if let Some(nonce) = rpc.node.pool().pending_nonce(&from) {
        return Ok(nonce);
    }
    Ok(head.snapshot.account(&from)?.unwrap_or_default().nonce)
}

fn check(request: &TransactionRequest) -> Result<(), RpcError> {
    let complain = |reason: &str| Err(RpcError::server(reason));
    let (input, data) = (&request.input.input, &request.input.data);
    if input.is_some() && data.is_some() && input != data {
        return complain(
            "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass \
             transaction call data",
        );
    }
    match request.blob_versioned_hashes.as_ref().map(Vec::len) {
        Some(0) => return complain("need at least 1 blob for a blob transaction"),
        Some(have) if have > BLOBS_MAX => {
            return Err(RpcError::server(format!(
                "too many blobs in transaction (have={have}, max={BLOBS_MAX})"
            )));
        }
        Some(_) | None => {}
    }
    if request.to.and_then(|to| to.to().copied()).is_some() {
        return Ok(());
    }
    if request.blob_versioned_hashes.is_some() {
        return complain("missing \"to\" in blob transaction");
    }
    if input.as_ref().or(data.as_ref()).is_none_or(|data| data.is_empty()) {
        return complain("contract creation without any data provided");
    }
    if request.authorization_list.as_ref().is_some_and(|list| !list.is_empty()) {
        return complain(
            "authorizationList provided for contract creation, but \"to\" field is missing",
        );
    }
    Ok(())
}
