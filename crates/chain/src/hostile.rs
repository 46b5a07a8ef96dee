//! Doors for fuzzing: decoders of stored records, which outside data meets when a database is
//! damaged. What a decoder refuses is no fault; what makes it panic is.

/// Every decoder of a stored record, on the same bytes.
pub fn stored_records(bytes: &[u8]) {
    let index = usize::from(bytes.first().copied().unwrap_or_default() % 8);
    let _ = crate::block::decode_body(bytes);
    let _ = crate::block::decode_body_at(bytes, index);
    let _ = crate::block::decode_receipt_at(bytes, index);
    let _ = crate::state::decode_account(bytes);
}
