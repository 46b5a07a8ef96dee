//! Subscriptions, filters and what the server refuses, seen as bytes.

use std::time::Duration;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::{TransactionReceipt, TransactionRequest},
};
use serde_json::{Value, json};
use tilth_chain::{Access, Chain, Config, Limits, Production};

use crate::{
    fixture::{client, config, deploying, register, start, words},
    socket::{Frame, PATIENCE, Socket, http, post},
};

fn manual() -> Config {
    Config { production: Production::Manual, ..config() }
}

fn limited(limits: Limits) -> Config {
    Config { limits, ..manual() }
}

/// Sends a transaction without waiting for it.
async fn submit(chain: &Chain, request: TransactionRequest) -> String {
    let request = request.with_gas_limit(200_000);
    client(chain).send_transaction(request).await.unwrap().tx_hash().to_string()
}

/// A contract that logs its first argument as topic, mined already.
async fn logger(chain: &Chain) -> Address {
    let request = TransactionRequest::default().with_deploy_code(deploying(&register()));
    let sent = client(chain).send_transaction(request.with_gas_limit(200_000)).await.unwrap();
    chain.mine().await.unwrap();
    let receipt: TransactionReceipt = sent.get_receipt().await.unwrap();
    receipt.contract_address.unwrap()
}

/// Calls the logger in a transaction of its own.
async fn log(chain: &Chain, contract: Address, topic: u64) -> String {
    let input: Bytes = words(&[topic, 77]);
    submit(chain, TransactionRequest::default().with_to(contract).with_input(input)).await
}

fn topic(number: u64) -> Value {
    json!(format!("{:#066x}", U256::from(number)))
}

#[tokio::test]
async fn heads_and_logs_come_in_order_with_geths_bytes() {
    let chain = start(manual()).await;
    let contract = logger(&chain).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let heads = socket.subscribe(json!(["newHeads"])).await;
    assert!(heads.starts_with("0x") && heads.len() > 20, "{heads}");
    let logs = socket.subscribe(json!(["logs", {"address": contract}])).await;
    let some = socket.subscribe(json!(["logs", {"topics": [[topic(3), topic(5)]]}])).await;
    let none = socket.subscribe(json!(["logs", {"topics": [topic(99)]}])).await;
    assert_eq!(socket.news, Vec::<Value>::new());
    for number in 0..6 {
        log(&chain, contract, number).await;
    }
    let header = chain.mine().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..9 {
        seen.push(socket.next().await);
    }
    let of = |id: &str| -> Vec<Value> {
        seen.iter().filter(|(sub, _)| sub == id).map(|(_, result)| result.clone()).collect()
    };
    let expected = socket.call("eth_getHeaderByNumber", json!(["latest"])).await;
    let mut expected = expected["result"].clone();
    expected.as_object_mut().unwrap().remove("size");
    assert_eq!(of(&heads), [expected.clone()]);
    assert_eq!(expected["hash"], json!(header.hash()));
    let query = json!([{"fromBlock": "latest"}]);
    let all = socket.call("eth_getLogs", query).await["result"].clone();
    assert_eq!(json!(of(&logs)), all);
    assert_eq!(json!(of(&some)), json!([all[3], all[5]]));
    assert_eq!(of(&none), Vec::<Value>::new());
    // The shape, byte for byte.
    assert_eq!(socket.call("eth_unsubscribe", json!([logs])).await["result"], json!(true));
    chain.mine().await.unwrap();
    let text = socket.text().await;
    let start = format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{heads}","result":{{"#
    );
    assert!(text.starts_with(&start) && text.ends_with("}}}"), "{text}");
    let again = socket.call("eth_unsubscribe", json!([logs])).await;
    assert_eq!(again["error"], json!({"code": -32000, "message": "subscription not found"}));
    chain.shutdown().await;
    let (code, reason) = match socket.frame().await {
        Frame::Close(code, reason) => (code, reason),
        other => panic!("{other:?}"),
    };
    assert_eq!((code, reason.as_str()), (1001, "the node is shutting down"));
    assert_eq!(socket.frame().await, Frame::End);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_blocks_are_made() {
    let every = Duration::from_millis(1);
    let chain = start(Config { production: Production::Interval(every), ..config() }).await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let mut socket = Socket::connect(chain.rpc_addr()).await;
        // The number the node tells in the same breath is the last one not to be announced.
        let batch = json!([
            {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_blockNumber", "params": []},
        ]);
        socket.send_text(&batch.to_string()).await;
        let answer: Value = serde_json::from_str(&socket.text().await).unwrap();
        let told: U256 = serde_json::from_value(answer[1]["result"].clone()).unwrap();
        sockets.push((socket, told));
    }
    for (mut socket, told) in sockets {
        let mut expected: Option<U256> = None;
        for _ in 0..30 {
            let (_, head) = socket.next().await;
            let number: U256 = serde_json::from_value(head["number"].clone()).unwrap();
            // A block between the two calls of the batch is announced and told.
            let first = expected.unwrap_or(number);
            assert!(expected.is_some() || number <= told + U256::from(1), "{number} after {told}");
            assert_eq!(number, first);
            expected = Some(number + U256::from(1));
        }
    }
}

#[tokio::test]
async fn pending_transactions_receipts_and_syncing() {
    let chain = start(manual()).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let hashes = socket.subscribe(json!(["newPendingTransactions"])).await;
    let whole = socket.subscribe(json!(["newPendingTransactions", true])).await;
    let to = Address::repeat_byte(0x31);
    let hash = submit(&chain, TransactionRequest::default().with_to(to)).await;
    let mut seen = [socket.next().await, socket.next().await];
    seen.sort_by_key(|(id, _)| *id != hashes);
    assert_eq!(seen[0], (hashes.clone(), json!(hash)));
    assert_eq!(seen[1].0, whole);
    let waiting = socket.call("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(seen[1].1, waiting["result"]);
    assert_eq!(seen[1].1["blockHash"], Value::Null);
    for id in [hashes, whole] {
        assert_eq!(socket.call("eth_unsubscribe", json!([id])).await["result"], json!(true));
    }
    let syncing = socket.subscribe(json!(["syncing"])).await;
    assert_eq!(socket.next().await, (syncing, json!(false)));
    let every = socket.subscribe(json!(["transactionReceipts"])).await;
    let query = json!({"transactionHashes": [hash]});
    let one = socket.subscribe(json!(["transactionReceipts", query])).await;
    let other = submit(&chain, TransactionRequest::default().with_to(to)).await;
    chain.mine().await.unwrap();
    let mut told = [socket.next().await, socket.next().await];
    told.sort_by_key(|(id, _)| *id != every);
    let block = socket.call("eth_getBlockReceipts", json!(["latest"])).await["result"].clone();
    assert_eq!(told[0], (every, block.clone()));
    assert_eq!(told[1], (one, json!([block[0]])));
    assert_eq!(block[1]["transactionHash"], json!(other));
}

#[tokio::test]
async fn what_cannot_be_subscribed_is_refused_in_geths_words() {
    let limits = Limits { subscriptions_per_connection_max: 2, ..Limits::default() };
    let chain = start(limited(limits)).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let cases = [
        (json!(["newHead"]), -32601, "no \"newHead\" subscription in eth namespace"),
        (json!([]), -32602, "expected subscription name as first argument"),
        (json!([1]), -32602, "expected subscription name as first argument"),
        (json!({}), -32602, "non-array args"),
        (json!(["newHeads", 1]), -32602, "too many arguments, want at most 1"),
        (json!(["logs"]), -32602, "missing value for required argument 1"),
        (json!(["logs", {"topics": [1]}]), -32602, "invalid argument 1: invalid topic(s)"),
        (
            json!(["logs", {"fromBlock": "0x5", "toBlock": "0x4"}]),
            -32602,
            "invalid block range params",
        ),
    ];
    for (params, code, message) in cases {
        let answer = socket.call("eth_subscribe", params).await;
        assert_eq!(answer["error"], json!({"code": code, "message": message}));
    }
    let first = socket.subscribe(json!(["newHeads"])).await;
    socket.subscribe(json!(["newHeads"])).await;
    let third = socket.call("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(third["error"]["message"], json!("too many subscriptions on this connection"));
    // Another connection cannot end it, and its own place is free again afterwards.
    let mut other = Socket::connect(chain.rpc_addr()).await;
    let foreign = other.call("eth_unsubscribe", json!([first])).await;
    assert_eq!(foreign["error"]["message"], json!("subscription not found"));
    assert_eq!(socket.call("eth_unsubscribe", json!([first])).await["result"], json!(true));
    socket.subscribe(json!(["newHeads"])).await;
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]});
    let answer: Value =
        serde_json::from_str(&post(chain.rpc_addr(), &body.to_string()).await).unwrap();
    let expected = json!({"code": -32601, "message": "notifications not supported"});
    assert_eq!(answer["error"], expected);
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_cut_off_and_holds_up_nobody() {
    let limits = Limits {
        subscription_bytes_max: 1 << 20,
        stall_time_max: Duration::from_millis(500),
        ..Limits::default()
    };
    let chain = start(limited(limits)).await;
    let mut slow = Socket::connect(chain.rpc_addr()).await;
    let mut quick = Socket::connect(chain.rpc_addr()).await;
    for _ in 0..50 {
        slow.subscribe(json!(["newHeads"])).await;
    }
    let id = quick.subscribe(json!(["newHeads"])).await;
    // More than any socket buffers.
    for number in 1..=400 {
        chain.mine().await.unwrap();
        let (subscription, head) = quick.next().await;
        assert_eq!((subscription, &head["number"]), (id.clone(), &json!(format!("{number:#x}"))));
    }
    let last = loop {
        match slow.frame().await {
            Frame::Text(_) | Frame::Ping => {}
            last => break last,
        }
    };
    // Its reason may have come through, or nothing more at all.
    match last {
        Frame::End => {}
        Frame::Close(code, reason) => {
            assert_eq!(code, 1008);
            assert!(reason.starts_with("subscriber too slow"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(quick.call("eth_blockNumber", json!([])).await["result"], json!("0x190"));
}

#[tokio::test]
async fn calls_and_batches_are_answered_alike_on_both_transports() {
    let limits = Limits { batch_max: 3, batch_response_bytes_max: 100, ..Limits::default() };
    let chain = start(limited(limits)).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let cases = [
        (
            r#"{"jsonrpc":"2.0","id":"a\u0062","method":"eth_chainId"}"#,
            r#"{"jsonrpc":"2.0","id":"a\u0062","result":"0x1cbd"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":-1.50,"method":"eth_nothing","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":-1.50,"error":{"code":-32601,"message":"the method eth_nothing does not exist/is not available"}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":1,"id":5}"#,
            r#"{"jsonrpc":"2.0","id":5,"error":{"code":-32600,"message":"invalid request"}}"#,
        ),
        ("[]", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"empty batch"}}"#),
        ("{", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}"#),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"net_version"},7,{"jsonrpc":"2.0","method":"net_version"}]"#,
            r#"[{"jsonrpc":"2.0","id":1,"result":"7357"},{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request"}}]"#,
        ),
        (
            r#"[{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":4,"method":"x"},1,1]"#,
            r#"[{"jsonrpc":"2.0","id":4,"error":{"code":-32600,"message":"batch too large"}}]"#,
        ),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x0",false]},{"jsonrpc":"2.0","id":2,"method":"net_version"}]"#,
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32003,"message":"response too large"}}]"#,
        ),
    ];
    for (request, answer) in cases {
        let over_http = post(chain.rpc_addr(), request).await;
        socket.send_text(request).await;
        assert_eq!(socket.text().await, over_http);
        assert!(over_http.ends_with(answer), "{request}\n{over_http}");
        assert!(over_http == answer || answer.contains("response too large"), "{over_http}");
    }
    assert_eq!(post(chain.rpc_addr(), r#"[{"jsonrpc":"2.0","method":"net_version"}]"#).await, "");
    assert_eq!(post(chain.rpc_addr(), " ").await, "");
    // Fragments, pings, and the end.
    socket.send(0x01, br#"{"jsonrpc":"2.0","#).await;
    socket.send(0x89, b"beat").await;
    assert_eq!(socket.frame().await, Frame::Pong(b"beat".to_vec()));
    socket.send(0x80, br#""id":1,"method":"net_version"}"#).await;
    assert_eq!(socket.text().await, r#"{"jsonrpc":"2.0","id":1,"result":"7357"}"#);
    socket.send(0x88, &1000_u16.to_be_bytes()).await;
    assert_eq!(socket.frame().await, Frame::Close(1000, String::new()));
    assert_eq!(socket.frame().await, Frame::End);
    let mut wrong = Socket::connect(chain.rpc_addr()).await;
    wrong.send(0xc1, b"x").await;
    let reason = "extension that was not agreed on".to_owned();
    assert_eq!(wrong.frame().await, Frame::Close(1002, reason));
}

#[tokio::test]
async fn requests_above_the_limits_get_geths_status_codes() {
    let limits = Limits { request_bytes_max: 100, connections_max: 2, ..Limits::default() };
    let access = Access { origins: vec!["https://app.example".into()], ..Access::default() };
    let chain = start(Config { access, ..limited(limits) }).await;
    let address = chain.rpc_addr();
    let json = "Content-Type: application/json\r\n";
    let host = format!("Host: {address}\r\n");
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"net_version"}"#;
    let status = async |head: String, body: &str| {
        let (head, body) = http(address, &head, body).await;
        (head.split(' ').nth(1).unwrap().to_owned(), head, body)
    };
    let post_to = |host: &str, more: &str| format!("POST / HTTP/1.1\r\n{host}{more}");
    let (code, _, body) = status(post_to(&host, json), &" ".repeat(101)).await;
    assert_eq!((code.as_str(), body.as_str()), ("413", "content length too large (101>100)\n"));
    let (code, _, body) = status(post_to(&host, "Content-Type: text/plain\r\n"), call).await;
    let expected = "invalid content type, only application/json is supported\n";
    assert_eq!((code.as_str(), body.as_str()), ("415", expected));
    let (code, _, body) = status(format!("PUT / HTTP/1.1\r\n{host}"), "").await;
    assert_eq!((code.as_str(), body.as_str()), ("405", "method not allowed\n"));
    let (code, _, body) = status(format!("GET / HTTP/1.1\r\n{host}"), "").await;
    assert_eq!((code.as_str(), body.as_str()), ("200", ""));
    let (code, _, body) = status(post_to("Host: evil.example\r\n", json), call).await;
    assert_eq!((code.as_str(), body.as_str()), ("403", "invalid host specified\n"));
    let (code, _, _) = status(post_to("Host: localhost:1\r\n", json), call).await;
    assert_eq!(code, "200");
    // Pages: theirs is answered with their name, others' without, and other sockets are refused.
    let own = format!("{json}Origin: https://app.example\r\n");
    let (_, head, _) = status(post_to(&host, &own), call).await;
    assert!(head.contains("access-control-allow-origin: https://app.example\r\n"), "{head}");
    let foreign = format!("{json}Origin: https://evil.example\r\n");
    let (_, head, _) = status(post_to(&host, &foreign), call).await;
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    let asked =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
    let preflight = |page: &str| format!("OPTIONS / HTTP/1.1\r\n{host}Origin: {page}\r\n{asked}");
    let (code, head, _) = status(preflight("https://app.example"), "").await;
    assert_eq!(code, "204");
    assert!(head.contains("access-control-allow-headers: content-type\r\n"), "{head}");
    let (_, head, _) = status(preflight("https://evil.example"), "").await;
    assert!(!head.contains("access-control"), "{head}");
    let refused = Socket::open(address, "Origin: https://evil.example\r\n").await;
    assert!(refused.err().unwrap().starts_with("HTTP/1.1 403 "));
    // Every connection has its place, also when it has become a WebSocket.
    let first = Socket::open(address, "Origin: https://app.example\r\n").await.unwrap();
    let mut second = Socket::connect(address).await;
    let full = Socket::open(address, "").await.err().unwrap();
    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    drop(first);
    second.send(0x81, &[b' '; 101]).await;
    assert_eq!(second.frame().await, Frame::Close(1009, "message too large".to_owned()));
    let again = async {
        while Socket::open(address, "").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn connections_that_hang_are_closed() {
    let short = Duration::from_millis(50);
    let limits = Limits {
        idle_time_max: short,
        request_time_max: short,
        ping_every: short,
        ..Limits::default()
    };
    let chain = start(limited(limits)).await;
    let address = chain.rpc_addr();
    // A head that does not end.
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"POST / HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "closed in time");
    // A body that does not end.
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n"
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "closed in time");
    assert!(rest.starts_with(b"HTTP/1.1 408 "));
    // A message that does not end, and a peer that does not answer pings.
    let mut endless = Socket::connect(address).await;
    endless.send(0x01, b"{").await;
    let last = loop {
        match endless.frame().await {
            Frame::Ping => endless.send(0x8a, b"").await,
            last => break last,
        }
    };
    assert_eq!(last, Frame::Close(1008, "message took too long".to_owned()));
    let mut silent = Socket::connect(address).await;
    let last = loop {
        match silent.frame().await {
            Frame::Ping => {}
            last => break last,
        }
    };
    assert_eq!(last, Frame::Close(1008, "no answer to pings".to_owned()));
}

#[tokio::test]
async fn filters_tell_what_is_new_once() {
    let limits = Limits { filters_max: 4, ..Limits::default() };
    let chain = start(limited(limits)).await;
    let contract = logger(&chain).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let mut call = async |method: &str, params: Value| {
        let answer = socket.call(method, params).await;
        match &answer["error"] {
            Value::Null => answer["result"].clone(),
            error => json!([error["code"], error["message"]]),
        }
    };
    let blocks = call("eth_newBlockFilter", json!([])).await;
    let pending = call("eth_newPendingTransactionFilter", json!([])).await;
    let whole = call("eth_newPendingTransactionFilter", json!([true])).await;
    let query =
        json!([{"address": contract, "topics": [[topic(1), topic(2)]], "fromBlock": "0x1"}]);
    let logs = call("eth_newFilter", query).await;
    let full = call("eth_newBlockFilter", json!([])).await;
    assert_eq!(full, json!([-32005, "too many filters"]));
    for id in [&blocks, &pending, &whole, &logs] {
        assert_eq!(call("eth_getFilterChanges", json!([id])).await, json!([]));
    }
    let mut hashes = Vec::new();
    for number in 1..=3 {
        hashes.push(log(&chain, contract, number).await);
    }
    assert_eq!(call("eth_getFilterChanges", json!([pending])).await, json!(hashes));
    let objects = call("eth_getFilterChanges", json!([whole])).await;
    assert_eq!(objects[2]["hash"], json!(hashes[2]));
    assert_eq!(objects[2]["blockNumber"], Value::Null);
    let header = chain.mine().await.unwrap();
    assert_eq!(call("eth_getFilterChanges", json!([blocks])).await, json!([header.hash()]));
    let found = call("eth_getFilterChanges", json!([logs])).await;
    assert_eq!(found[0]["topics"], json!([topic(1)]));
    assert_eq!(found[1]["topics"], json!([topic(2)]));
    assert_eq!(found[2], Value::Null);
    for id in [&blocks, &pending, &whole, &logs] {
        assert_eq!(call("eth_getFilterChanges", json!([id])).await, json!([]));
    }
    assert_eq!(call("eth_getFilterLogs", json!([logs])).await, found);
    let missing = json!([-32000, "filter not found"]);
    assert_eq!(call("eth_getFilterLogs", json!([blocks])).await, missing);
    assert_eq!(call("eth_getFilterChanges", json!(["0xabc"])).await, missing);
    assert_eq!(call("eth_uninstallFilter", json!([blocks])).await, json!(true));
    assert_eq!(call("eth_uninstallFilter", json!([blocks])).await, json!(false));
    assert_eq!(call("eth_getFilterChanges", json!([blocks])).await, missing);
    // Ranges, as geth refuses them.
    let range = |from: &str, to: &str| json!([{"fromBlock": from, "toBlock": to}]);
    let invalid = json!([-32602, "invalid block range params"]);
    assert_eq!(call("eth_getLogs", range("0x2", "0x1")).await, invalid);
    assert_eq!(call("eth_newFilter", range("0x2", "0x1")).await, invalid);
    let unsupported = json!([-32602, "pending logs are not supported"]);
    assert_eq!(call("eth_getLogs", range("0x0", "pending")).await, unsupported);
    let future = json!([-32602, "block range extends beyond current head block"]);
    assert_eq!(call("eth_getLogs", range("0x0", "0x3")).await, future);
    for (from, to) in [("earliest", "latest"), ("0x2", "0x2"), ("safe", "finalized")] {
        assert_eq!(call("eth_getLogs", range(from, to)).await.as_array().unwrap().len(), 3);
    }
    let by_hash = |hash: Value| json!([{"blockHash": hash}]);
    let of_block = call("eth_getLogs", by_hash(json!(header.hash()))).await;
    assert_eq!(of_block.as_array().unwrap().len(), 3);
    let unknown = call("eth_getLogs", by_hash(topic(1))).await;
    assert_eq!(unknown, json!([-32000, "unknown block"]));
}

#[tokio::test]
async fn filters_nobody_asks_are_forgotten() {
    let limits = Limits { filter_idle_max: Duration::ZERO, ..Limits::default() };
    let chain = start(limited(limits)).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let filter = socket.call("eth_newBlockFilter", json!([])).await["result"].clone();
    let answer = socket.call("eth_getFilterChanges", json!([filter])).await;
    assert_eq!(answer["error"], json!({"code": -32000, "message": "filter not found"}));
}

#[tokio::test]
async fn queries_above_a_limit_are_told_the_range_that_works() {
    let limits = Limits { logs_results_max: 5, logs_blocks_max: 8, ..Limits::default() };
    let chain = start(limited(limits)).await;
    let contract = logger(&chain).await;
    for block in 0..4 {
        for number in 0..2 {
            log(&chain, contract, block * 10 + number).await;
        }
        chain.mine().await.unwrap();
    }
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let mut query = async |from: u64, to: u64| {
        let range = json!([{"fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}")}]);
        socket.call("eth_getLogs", range).await
    };
    let refused = query(0, 5).await["error"].clone();
    let message = "query exceeds max results 5, retry with the range 0-3";
    assert_eq!(refused, json!({"code": -32602, "message": message}));
    assert_eq!(query(0, 3).await["result"].as_array().unwrap().len(), 4);
    for _ in 0..4 {
        chain.mine().await.unwrap();
    }
    let refused = query(0, 8).await["error"].clone();
    assert_eq!(refused, json!({"code": -32602, "message": "exceed maximum block range 8"}));
    assert_eq!(query(4, 9).await["result"].as_array().unwrap().len(), 4);
    // A filter tells what fits, and the rest when it is asked again.
    let filter =
        socket.call("eth_newFilter", json!([{"address": contract}])).await["result"].clone();
    for block in 0..4 {
        for number in 0..2 {
            log(&chain, contract, block * 10 + number).await;
        }
        chain.mine().await.unwrap();
    }
    for expected in [4, 4, 0] {
        let news = socket.call("eth_getFilterChanges", json!([filter])).await;
        assert_eq!(news["result"].as_array().unwrap().len(), expected, "{news}");
    }
}

#[tokio::test]
async fn requests_of_one_connection_wait_for_each_other_and_none_is_lost() {
    let limits = Limits { requests_per_connection_max: 2, ..Limits::default() };
    let chain = start(limited(limits)).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    for id in 0..500 {
        let method = if id % 2 == 0 { "eth_blockNumber" } else { "eth_gasPrice" };
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": []});
        socket.send_text(&request.to_string()).await;
    }
    let mut answered: Vec<u64> = Vec::new();
    for _ in 0..500 {
        let answer: Value = serde_json::from_str(&socket.text().await).unwrap();
        assert!(answer["result"].is_string(), "{answer}");
        answered.push(answer["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..500));
}
