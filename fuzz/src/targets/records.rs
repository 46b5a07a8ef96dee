//! RLP and other binary forms, as bytes alone.

use alloy::{
    consensus::{Header, ReceiptEnvelope, TxEnvelope},
    eips::eip2718::{Decodable2718 as _, Encodable2718 as _},
    primitives::hex,
    rlp::Decodable as _,
};
use tilth_chain::{Block, Genesis, hostile, transfer::BlockFile};

use super::{BYTES_MAX, node::answered};

/// A signed transaction: what decodes encodes to the same bytes, and the pool survives it.
pub fn transaction(data: &[u8]) {
    if let Ok(decoded) = TxEnvelope::decode_2718_exact(data) {
        assert_eq!(decoded.encoded_2718(), data, "another encoding of the same transaction");
    }
    if data.len() <= BYTES_MAX {
        let raw = hex::encode_prefixed(data);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["{raw}"]}}"#
        );
        answered(body.as_bytes());
    }
}

/// RLP of blocks, headers and receipts.
pub fn block(mut data: &[u8]) {
    let all = data;
    if let Ok(header) = Header::decode(&mut data) {
        assert_eq!(alloy::rlp::encode(&header), all[..all.len() - data.len()], "another encoding");
    }
    if let Ok(block) = Block::from_rlp(all, &Genesis::default().spec()) {
        assert_eq!(block.to_rlp(), all, "another encoding of the same block");
    }
    let _ = ReceiptEnvelope::<alloy::primitives::Log>::decode_2718(&mut &*all);
}

/// A file of blocks, one after another: what is read is what stands there, up to the first that is
/// none.
pub fn blocks(data: &[u8]) {
    let mut rest = data;
    let mut file = BlockFile::new(data, Genesis::default().spec());
    for block in file.by_ref().map_while(Result::ok) {
        let again = block.to_rlp();
        assert!(rest.starts_with(&again), "another encoding of block {}", block.header.number);
        rest = &rest[again.len()..];
    }
    assert!(file.next().is_none(), "nothing follows an error");
}

/// Records of a database.
pub fn stored(data: &[u8]) {
    hostile::stored_records(data);
}
