//! Requests: as they come over the wire, and method by method.

use std::time::Duration;

use serde_json::{Value, json};
use tilth_chain::{decode, hostile};

use super::{
    BYTES_MAX,
    node::{answered, call, node},
};

/// A request body as it comes over HTTP or in a WebSocket message: one call, or a batch.
pub fn request(data: &[u8]) {
    if data.len() <= BYTES_MAX {
        answered(data);
    }
}

/// What can be called: the node's table, and what only connections with a session can do.
pub fn methods() -> Vec<&'static str> {
    let mut methods = node().1.methods();
    methods.extend(["eth_subscribe", "eth_unsubscribe", "debug_subscribe", "debug_unsubscribe"]);
    methods
}

/// Reads `["method", parameters]` and calls it. A name that no method has stands for one of them.
/// `None` if the input is not of this form.
pub fn called(data: &[u8]) -> Option<(String, Value)> {
    let (name, parameters) = serde_json::from_slice::<(String, Value)>(data).ok()?;
    let methods = methods();
    let method = match methods.iter().find(|known| **known == name) {
        Some(known) => *known,
        None => {
            let sum = name.bytes().fold(0_usize, |sum, byte| sum * 31 % 65_521 + usize::from(byte));
            methods[sum % methods.len()]
        }
    };
    Some((method.to_owned(), call(method, &parameters)))
}

/// Every method with parameters of any kind.
pub fn parameters(data: &[u8]) {
    if data.len() <= BYTES_MAX {
        called(data);
    }
}

/// A JSON text read as every type of parameter.
pub fn arguments(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Arguments are taken out of JSON that was read before: nothing else gets here.
    if let Ok(value) = serde_json::from_str::<&serde_json::value::RawValue>(text) {
        decode::every(value.get());
    }
    let _ = decode::arguments(text.trim(), 5);
    let _ = decode::StorageKey::read(text);
    let _ = decode::transaction(data);
}

/// Messages with state and block overrides, executed in every way there is:
/// `[request, block, overrides, block overrides]`.
pub fn calls(data: &[u8]) {
    let Some([request, block, overrides, blocks]) = values(data) else { return };
    let all = json!([request, block, overrides, blocks]);
    call("eth_call", &all);
    call("eth_estimateGas", &all);
    call("eth_createAccessList", &json!([request, block, overrides]));
    call("eth_fillTransaction", &json!([request]));
    let plan = json!({
        "blockStateCalls": [{ "calls": [request], "stateOverrides": overrides, "blockOverrides": blocks }],
        "traceTransfers": true,
        "validation": data.len().is_multiple_of(2),
        "returnFullTransactions": true,
    });
    call("eth_simulateV1", &json!([plan, block]));
}

/// Options of traces, with every way to trace: `[options, request]`.
pub fn traces(data: &[u8]) {
    let Some([options, request]) = values(data) else { return };
    call("debug_traceCall", &json!([request, "latest", options]));
    call("debug_traceBlockByNumber", &json!(["0x2", options]));
    let block = call("eth_getBlockByNumber", &json!(["0x2", false]));
    let hash = &block["result"]["transactions"][0];
    assert!(hash.is_string(), "the fixture's transaction is in block 2: {block}");
    call("debug_traceTransaction", &json!([hash, options]));
}

/// What logs are wanted: queries, filters, subscriptions.
pub fn logs(data: &[u8]) {
    let Ok(query) = serde_json::from_slice::<Value>(data) else { return };
    if data.len() > BYTES_MAX {
        return;
    }
    let found = call("eth_getLogs", &json!([query]));
    let made = call("eth_newFilter", &json!([query]));
    let id = &made["result"];
    if id.is_string() {
        let listed = call("eth_getFilterLogs", &json!([id]));
        assert_eq!(listed["result"], found["result"], "a filter finds what the query finds");
        call("eth_getFilterChanges", &json!([id]));
        assert_eq!(call("eth_uninstallFilter", &json!([id]))["result"], true);
    }
    call("eth_subscribe", &json!(["logs", query]));
    hostile::criteria(&query);
}

/// WebSocket frames as a peer sends them: the same messages, however the bytes are cut into pieces.
pub fn frames(data: &[u8]) {
    const MESSAGE_MAX: usize = 1000;
    let Some((cut, bytes)) = data.split_first().filter(|_| data.len() <= BYTES_MAX) else { return };
    let (runtime, _) = node();
    let read = |pieces: usize| {
        let (mut peer, stream) = tokio::io::duplex(pieces);
        runtime.block_on(async {
            let send = async move {
                // The reader gives up where the protocol is broken.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut peer, bytes).await;
            };
            let read = hostile::websocket(stream, MESSAGE_MAX, Duration::from_secs(60));
            tokio::join!(send, read).1
        })
    };
    let whole = read(BYTES_MAX);
    assert_eq!(read(usize::from(*cut) % 64 + 1), whole, "other pieces, other messages");
    assert!(whole.iter().all(|message| message.len() <= MESSAGE_MAX), "a bound was not held");
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= bytes.len());
}

/// The first values of an array; `null` for those that are missing.
fn values<const N: usize>(data: &[u8]) -> Option<[Value; N]> {
    let given: Vec<Value> =
        serde_json::from_slice(data).ok().filter(|_| data.len() <= BYTES_MAX)?;
    let mut given = given.into_iter();
    Some(std::array::from_fn(|_| given.next().unwrap_or_default()))
}
