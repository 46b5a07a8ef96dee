//! Doors for fuzzing: decoders that outside data meets, and that nobody else has to call from outside. What a
//! decoder refuses is no fault; what makes it panic is.

use std::time::Duration;

use alloy_primitives::{Address, B256, Log, LogData};
use serde_json::Value;
use tilth_service::Doing;
use tokio::io::AsyncRead;

use crate::{
    Access, Chain,
    trie::{self, Prefix},
    websocket::{Event, Reader},
};

/// Every decoder of a stored record, on the same bytes.
pub fn stored_records(bytes: &[u8]) {
    let index = usize::from(bytes.first().copied().unwrap_or_default() % 8);
    let _ = crate::block::decode_body(bytes);
    let _ = crate::block::decode_body_at(bytes, index);
    let _ = crate::block::decode_receipt_at(bytes, index);
    let _ = crate::block::receipts_with(bytes, |_, _| true);
    let _ = crate::state::decode_account(bytes);
    crate::store::every_record(bytes);
}

/// A trie record decoded and encoded again; `None` if it is none of a node at `at`.
pub fn trie_record_again(record: &[u8], at: &Prefix) -> Option<Vec<u8>> {
    trie::record_again(record, at)
}

/// The answer to a message of a connection that can carry subscriptions; those are ended at once.
pub fn in_session<'a>(chain: &'a Chain, body: &'a [u8]) -> Doing<'a, Vec<u8>> {
    Box::pin(async move { chain.server.answer_in_session(body).await })
}

/// Reads frames until the peer ends or breaks the protocol; messages, and what was pinged.
pub async fn websocket(
    stream: impl AsyncRead + Unpin,
    bytes_max: usize,
    message_time: Duration,
) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(stream, bytes_max, message_time);
    let mut messages = Vec::new();
    loop {
        match reader.next().await {
            Ok(Event::Message(bytes) | Event::Ping(bytes)) => messages.push(bytes),
            Ok(Event::Pong) => {}
            Ok(Event::Close) | Err(_) => return messages,
        }
    }
}

/// What is configured about web pages and hosts, against what a request says.
pub fn gate(access: &Access, origin: &str, host: &str) -> (bool, bool) {
    crate::rpc::gate(access, origin, host)
}

/// Reads what logs are wanted. A log made of what it names must be one of those.
///
/// # Panics
/// When it is not.
pub fn criteria(query: &Value) {
    let Some((criteria, address, topics)) = crate::rpc::criteria(query) else { return };
    let address: Address = address.unwrap_or_default();
    let topics: Vec<B256> = topics.into_iter().map(Option::unwrap_or_default).collect();
    let log = Log { address, data: LogData::new_unchecked(topics, Default::default()) };
    assert!(criteria(&log), "{query} does not find {log:?}");
}
