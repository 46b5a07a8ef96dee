//! A message in the form of a transaction that nobody signed, as geth hashes and encodes it.

use alloy_consensus::{Signed, TxEip1559, TxEip4844, TxEip7702, TxEnvelope, TxType};
use alloy_eips::{eip2718::Encodable2718, eip2930::AccessList};
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_rlp::{BufMut, Encodable};

use super::Message;

/// An encoded transaction with r = s = 0.
#[derive(Clone, Debug)]
pub(crate) struct Unsigned {
    pub(crate) kind: TxType,
    pub(crate) hash: B256,
    /// EIP-2718.
    pub(crate) encoded: Bytes,
}

/// The signature of nobody.
fn nobody() -> Signature {
    Signature::new(U256::ZERO, U256::ZERO, false)
}

impl Unsigned {
    /// The transaction `message` would be, legacy if it has a gas price. Its kind is otherwise
    /// the oldest that carries all it has, but not older than EIP-1559.
    pub(crate) fn new(message: &Message, chain_id: u64) -> Self {
        let access_list = message.access_list.clone().unwrap_or_default();
        let to = message.to.unwrap_or_default();
        let envelope: TxEnvelope = if let Some(price) = message.gas_price {
            return Self::legacy(message, price);
        } else if let Some(authorization_list) = message.authorizations.clone() {
            let transaction = TxEip7702 {
                chain_id,
                nonce: message.nonce,
                gas_limit: message.gas,
                max_fee_per_gas: message.fee_cap,
                max_priority_fee_per_gas: message.tip_cap,
                to,
                value: message.value,
                access_list,
                authorization_list,
                input: message.data.clone(),
            };
            Signed::new_unhashed(transaction, nobody()).into()
        } else if let Some(blob_versioned_hashes) = message.blob_hashes.clone() {
            let transaction = TxEip4844 {
                chain_id,
                nonce: message.nonce,
                gas_limit: message.gas,
                max_fee_per_gas: message.fee_cap,
                max_priority_fee_per_gas: message.tip_cap,
                to,
                value: message.value,
                access_list,
                blob_versioned_hashes,
                max_fee_per_blob_gas: message.blob_fee_cap.unwrap_or_default(),
                input: message.data.clone(),
            };
            Signed::new_unhashed(transaction, nobody()).into()
        } else {
            Signed::new_unhashed(eip1559(message, chain_id, access_list), nobody()).into()
        };
        let kind = envelope.tx_type();
        Self { kind, hash: *envelope.tx_hash(), encoded: envelope.encoded_2718().into() }
    }

    /// Without a signature there is no EIP-155 either: v, r and s are all zero.
    fn legacy(message: &Message, price: u128) -> Self {
        let mut fields = Vec::new();
        message.nonce.encode(&mut fields);
        price.encode(&mut fields);
        message.gas.encode(&mut fields);
        kind(message).encode(&mut fields);
        message.value.encode(&mut fields);
        message.data.encode(&mut fields);
        for _ in 0..3 {
            0_u8.encode(&mut fields);
        }
        let mut encoded = Vec::new();
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut encoded);
        encoded.put_slice(&fields);
        Self { kind: TxType::Legacy, hash: keccak256(&encoded), encoded: encoded.into() }
    }
}

fn kind(message: &Message) -> TxKind {
    message.to.map_or(TxKind::Create, TxKind::Call)
}

fn eip1559(message: &Message, chain_id: u64, access_list: AccessList) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce: message.nonce,
        gas_limit: message.gas,
        max_fee_per_gas: message.fee_cap,
        max_priority_fee_per_gas: message.tip_cap,
        to: kind(message),
        value: message.value,
        access_list,
        input: message.data.clone(),
    }
}
