//! Signed transactions as they are sent: EIP-2718 bytes.

use alloy_consensus::TxEnvelope;
use alloy_eips::eip2718::Decodable2718;
use alloy_rlp::Header;

use super::DecodeError;

/// Reads a signed transaction, whole. Blob transactions are not taken: there is nobody to keep
/// their blobs.
///
/// # Errors
/// Says in geth's words why the bytes are none. Which field of a well-formed list is wrong is said
/// in the decoder's own words.
pub fn transaction(raw: &[u8]) -> Result<TxEnvelope, DecodeError> {
    let (name, fields, list) = match raw {
        [] | [0..=0x7f] => return Err(DecodeError::other("typed transaction too short")),
        [0x80..=0xff, ..] => ("LegacyTx", 9, raw),
        [1, list @ ..] => ("AccessListTx", 11, list),
        [2, list @ ..] => ("DynamicFeeTx", 12, list),
        [3, ..] => {
            return Err(DecodeError::other("transaction type not supported: received type 3"));
        }
        [4, list @ ..] => ("SetCodeTx", 13, list),
        [0 | 5..=0x7f, ..] => return Err(DecodeError::other("transaction type not supported")),
    };
    form(name, fields, list)?;
    TxEnvelope::decode_2718_exact(raw)
        .map_err(|error| DecodeError::Other(format!("rlp: {error} for types.{name}")))
}

/// Whether a list has as many elements as a struct has fields, and nothing follows it.
fn form(name: &str, fields: usize, mut list: &[u8]) -> Result<(), DecodeError> {
    let refuse = |reason: &str| Err(DecodeError::Other(format!("rlp: {reason}")));
    let too_large = "value size exceeds available input length";
    let Ok(header) = Header::decode(&mut list) else { return refuse(too_large) };
    if !header.list {
        return refuse(&format!("expected input list for types.{name}"));
    }
    let Some((mut elements, after)) = list.split_at_checked(header.payload_length) else {
        return refuse(too_large);
    };
    for _ in 0..fields {
        if elements.is_empty() {
            return refuse(&format!("too few elements for types.{name}"));
        }
        let next = Header::decode(&mut elements).ok();
        let Some(rest) = next.and_then(|header| elements.get(header.payload_length..)) else {
            return refuse(too_large);
        };
        elements = rest;
    }
    if !elements.is_empty() {
        return refuse(&format!("input list has too many elements for types.{name}"));
    }
    if !after.is_empty() {
        return refuse("input contains more than one value");
    }
    Ok(())
}
