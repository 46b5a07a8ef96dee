//! Refusals, word for word as geth gives them.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy},
    eips::eip2718::Encodable2718,
    primitives::{Address, B256, TxKind, hex},
    signers::SignerSync,
};
use serde_json::{Value, json};
use tilth_chain::{Chain, Config, Production};

use crate::{
    fixture::{config, signer, start},
    socket::Socket,
};

/// Sends one call and returns the whole answer.
pub async fn ask(chain: &Chain, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let text = post(chain, body.to_string()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Sends a body and returns the body of the answer.
pub async fn post(chain: &Chain, body: String) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(chain.rpc_url()).header("content-type", "application/json");
    request.body(body).send().await.unwrap().text().await.unwrap()
}

async fn check(chain: &Chain, cases: Vec<(&str, Value, i64, &str)>) {
    for (method, params, code, message) in cases {
        let answer = ask(chain, method, params.clone()).await;
        let error = &answer["error"];
        assert_eq!(error["code"], code, "{method} {params}: {answer}");
        assert_eq!(error["message"], message, "{method} {params}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn arguments_are_refused_in_geths_words() {
    let chain = start(config()).await;
    let hash = "0x00000000000000000000000000000000000000000000000000000000deadbeef";
    let address = signer(0).address().to_string();
    let invalid = -32602;
    check(
        &chain,
        vec![
            ("eth_getBalance", json!([]), invalid, "missing value for required argument 0"),
            ("eth_getBlockByNumber", json!(["latest"]), invalid, "missing value for required argument 1"),
            ("eth_getBlockByNumber", json!(["latest", true, 1]), invalid, "too many arguments, want at most 2"),
            ("eth_chainId", json!([1]), invalid, "too many arguments, want at most 0"),
            ("eth_getBalance", json!({}), invalid, "non-array args"),
            (
                "eth_getBalance",
                json!(["0x12", "latest"]),
                invalid,
                "invalid argument 0: hex string has length 2, want 40 for common.Address",
            ),
            (
                "eth_getBalance",
                json!([null]),
                invalid,
                "invalid argument 0: json: cannot unmarshal non-string into Go value of type common.Address",
            ),
            (
                "eth_getBalance",
                json!([address, "newest"]),
                invalid,
                "invalid argument 1: hex string without 0x prefix",
            ),
            (
                "eth_getBalance",
                json!([address, {"blockHash": hash, "blockNumber": "0x0"}]),
                invalid,
                "invalid argument 1: cannot specify both BlockHash and BlockNumber, choose one or the other",
            ),
            (
                "eth_getBlockByNumber",
                json!(["0x01", false]),
                invalid,
                "invalid argument 0: hex number with leading zero digits",
            ),
            (
                "eth_getBlockByNumber",
                json!(["latest", "yes"]),
                invalid,
                "invalid argument 1: json: cannot unmarshal string into Go value of type bool",
            ),
            (
                "eth_getBlockByHash",
                json!(["0x1234", false]),
                invalid,
                "invalid argument 0: hex string has length 4, want 64 for common.Hash",
            ),
            (
                "eth_getTransactionByBlockNumberAndIndex",
                json!(["latest", 0]),
                invalid,
                "invalid argument 1: json: cannot unmarshal non-string into Go value of type hexutil.Uint",
            ),
            (
                "eth_sendRawTransaction",
                json!(["c0ffee"]),
                invalid,
                "invalid argument 0: json: cannot unmarshal hex string without 0x prefix into Go value of type hexutil.Bytes",
            ),
            ("eth_getProof", json!([address, vec!["0x0"; 1025]]), invalid, "too many storage keys requested (max 1024, got 1025)"),
            ("eth_getProof", json!([address, ["0xq"]]), invalid, "invalid hex in storage key: \"0xq\""),
            ("eth_getStorageValues", json!([{}]), invalid, "empty request"),
            ("eth_getStorageValues", json!([{address.as_str(): vec![hash; 1025]}]), -38026, "too many slots (max 1024)"),
            ("eth_feeHistory", json!(["0x1", "latest"]), invalid, "missing value for required argument 2"),
            ("eth_feeHistory", json!(["q", "latest", []]), invalid, "invalid argument 0: invalid hex or decimal integer \"q\""),
        ],
    )
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn what_is_not_there_is_said_so() {
    let chain = start(config()).await;
    let hash = "0x00000000000000000000000000000000000000000000000000000000deadbeef";
    let address = signer(0).address().to_string();
    let server = -32000;
    let zeros = "0 ".repeat(28);
    check(
        &chain,
        vec![
            ("eth_getBalance", json!([address, "0x5"]), server, "header not found"),
            ("eth_getBalance", json!([address, hash]), server, "header for hash not found"),
            (
                "eth_getCode",
                json!([address, {"blockHash": hash}]),
                server,
                "header for hash not found",
            ),
            (
                "eth_feeHistory",
                json!(["0x1", "0x5", []]),
                server,
                "request beyond head block: requested 5, head 0",
            ),
            (
                "eth_feeHistory",
                json!([1, "latest", [101]]),
                server,
                "invalid reward percentile: 101.000000",
            ),
            (
                "eth_feeHistory",
                json!([1, "latest", [5, 5]]),
                server,
                "invalid reward percentile: #0:5.000000 >= #1:5.000000",
            ),
            (
                "eth_feeHistory",
                json!([1, "latest", vec![1; 101]]),
                server,
                "invalid reward percentile: over the query limit 100",
            ),
            ("eth_sign", json!([address, "0x"]), server, "unknown account"),
            ("eth_sendTransaction", json!([{"from": address}]), server, "unknown account"),
            ("eth_signTransaction", json!([{"from": address}]), server, "gas not specified"),
            (
                "debug_getRawHeader",
                json!([hash]),
                server,
                &format!("header #[{zeros}222 173 190 239] not found"),
            ),
        ],
    )
    .await;
    for (method, params, result) in [
        ("eth_getBlockByHash", json!([hash, true]), json!(null)),
        ("eth_getBlockByNumber", json!(["0x5", true]), json!(null)),
        ("eth_getBlockReceipts", json!(["0x5"]), json!(null)),
        ("eth_getBlockReceipts", json!([hash]), json!(null)),
        ("eth_getBlockTransactionCountByNumber", json!(["0x5"]), json!(null)),
        ("eth_getUncleCountByBlockNumber", json!(["0x0"]), json!("0x0")),
        ("eth_getUncleByBlockNumberAndIndex", json!(["0x0", "0x0"]), json!(null)),
        ("eth_getTransactionByHash", json!([hash]), json!(null)),
        ("eth_getTransactionReceipt", json!([hash]), json!(null)),
        ("eth_getRawTransactionByHash", json!([hash]), json!("0x")),
        ("eth_getRawTransactionByBlockNumberAndIndex", json!(["0x0", "0x0"]), json!("0x")),
        ("debug_getRawReceipts", json!([hash]), json!([])),
        ("debug_getRawReceipts", json!(["0x5"]), json!(null)),
        ("eth_accounts", json!([]), json!([])),
        ("eth_pendingTransactions", json!(null), json!([])),
        (
            "eth_feeHistory",
            json!(["0x0", "latest", []]),
            json!({"oldestBlock": "0x0", "gasUsedRatio": null}),
        ),
    ] {
        let answer = ask(&chain, method, params.clone()).await;
        assert_eq!(answer.get("result"), Some(&result), "{method} {params}: {answer}");
    }
}

#[tokio::test]
async fn the_pool_lists_what_waits() {
    use alloy::{network::TransactionBuilder, providers::Provider, rpc::types::TransactionRequest};
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let provider = crate::fixture::client(&chain);
    let to = Address::repeat_byte(0x42);
    for nonce in [0, 1, 3] {
        let request = TransactionRequest::default()
            .with_to(to)
            .with_value(alloy::primitives::U256::from(7))
            .with_nonce(nonce)
            .with_gas_limit(21_000)
            .with_max_fee_per_gas(3_000_000_000)
            .with_max_priority_fee_per_gas(2);
        let _ = provider.send_transaction(request).await.unwrap();
    }
    let sender = signer(0).address();
    let status = ask(&chain, "txpool_status", json!([])).await;
    assert_eq!(status["result"], json!({"pending": "0x2", "queued": "0x1"}));
    let content = ask(&chain, "txpool_content", json!([])).await;
    let listed = &content["result"]["pending"][sender.to_checksum(None)];
    assert_eq!(listed.as_object().unwrap().keys().collect::<Vec<_>>(), ["0", "1"]);
    let first = &listed["0"];
    assert_eq!(first["gasPrice"], "0xb2d05e00");
    for empty in ["blockHash", "blockNumber", "blockTimestamp", "transactionIndex"] {
        assert_eq!(first.get(empty), Some(&Value::Null), "{empty}");
    }
    let from = ask(&chain, "txpool_contentFrom", json!([sender])).await;
    assert_eq!(from["result"]["pending"], *listed);
    assert_eq!(from["result"]["queued"]["3"]["nonce"], "0x3");
    let inspect = ask(&chain, "txpool_inspect", json!([])).await;
    assert_eq!(
        inspect["result"]["queued"][sender.to_checksum(None)]["3"],
        format!("{}: 7 wei + 21000 gas × 3000000000 wei", to.to_checksum(None))
    );
}

#[tokio::test]
async fn sending_can_wait_for_the_receipt() {
    use alloy::primitives::U256;
    let raw = |nonce| {
        let tx = TxEip1559 {
            chain_id: 7357,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 3_000_000_000,
            to: TxKind::Call(Address::repeat_byte(9)),
            value: U256::ONE,
            ..TxEip1559::default()
        };
        let signature = signer(0).sign_hash_sync(&tx.signature_hash()).unwrap();
        let envelope = TxEnvelope::from(tx.into_signed(signature));
        (*envelope.tx_hash(), hex::encode_prefixed(envelope.encoded_2718()))
    };
    let chain = start(config()).await;
    let (hash, bytes) = raw(0);
    let sent = ask(&chain, "eth_sendRawTransactionSync", json!([bytes])).await;
    assert_eq!(sent["result"]["transactionHash"], hash.to_string(), "{sent}");
    assert_eq!(sent["result"]["status"], "0x1");
    let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(sent["result"], receipt["result"]);
    let again = ask(&chain, "eth_sendRawTransactionSync", json!([bytes, 5])).await;
    assert_eq!(again["error"]["message"], "nonce too low: next nonce 1, tx nonce 0");
    // A gap in the nonces: the transaction waits, and so does the caller until the time is up.
    let (hash, bytes) = raw(5);
    let waits = ask(&chain, "eth_sendRawTransactionSync", json!([bytes, 50])).await;
    let error = &waits["error"];
    assert_eq!((&error["code"], &error["data"]), (&json!(4), &json!(hash.to_string())));
    assert_eq!(
        error["message"],
        "The transaction was added to the transaction pool but wasn't processed in 50ms"
    );
    for (raw, message) in [
        ("0x", "typed transaction too short"),
        ("0x05c0", "transaction type not supported"),
        ("0xc0ffee", "rlp: too few elements for types.LegacyTx"),
    ] {
        let refused = ask(&chain, "eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(refused["error"], json!({"code": -32000, "message": message}));
    }
}

#[tokio::test]
async fn requests_are_made_whole() {
    let chain = start(config()).await;
    let (from, to) = (signer(0).address(), signer(1).address());
    let request = json!({"from": from, "to": to, "value": "0x1"});
    let filled = ask(&chain, "eth_fillTransaction", json!([request])).await;
    let tx = &filled["result"]["tx"];
    assert_eq!(tx["type"], "0x2", "{filled}");
    assert_eq!((&tx["gas"], &tx["nonce"]), (&json!("0x5208"), &json!("0x0")));
    assert_eq!((&tx["gasPrice"], &tx["v"]), (&json!(null), &json!("0x0")));
    // Twice the head's base fee of 1 gwei and the tip.
    assert_eq!(tx["maxPriorityFeePerGas"], "0xf4240");
    assert_eq!(tx["maxFeePerGas"], format!("{:#x}", 2_000_000_000 + 1_000_000));
    let raw = alloy::primitives::hex::decode(filled["result"]["raw"].as_str().unwrap()).unwrap();
    assert_eq!(tx["hash"], alloy::primitives::keccak256(&raw).to_string());
    let legacy = json!({"from": from, "to": to, "gasPrice": "0x77359400", "gas": "0x5208"});
    let legacy = ask(&chain, "eth_fillTransaction", json!([legacy])).await;
    assert_eq!(legacy["result"]["tx"]["type"], "0x0");
    assert_eq!(legacy["result"]["tx"].get("chainId"), None);
    let server = -32000;
    let both = json!({"from": from, "to": to, "data": "0x01", "input": "0x02"});
    check(
        &chain,
        vec![
            ("eth_fillTransaction", json!([{"from": from}]), server, "contract creation without any data provided"),
            (
                "eth_fillTransaction",
                json!([both]),
                server,
                "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass transaction call data",
            ),
            (
                "eth_fillTransaction",
                json!([{"to": to, "gas": "0x5208", "chainId": "0x1"}]),
                server,
                "chainId does not match node's (have=1, want=7357)",
            ),
            ("eth_resend", json!([{"from": from, "to": to}]), server, "missing transaction nonce in transaction spec"),
        ],
    )
    .await;
    let lost = ask(&chain, "eth_resend", json!([{"from": from, "to": to, "nonce": "0x0"}])).await;
    let message = lost["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("transaction 0x") && message.ends_with(" not found"), "{message}");
}

/// A transfer of the first account at this price.
fn dynamic(price: u128) -> String {
    let tx = TxEip1559 {
        chain_id: 7357,
        gas_limit: 21_000,
        max_fee_per_gas: price,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..TxEip1559::default()
    };
    let signature = signer(0).sign_hash_sync(&tx.signature_hash()).unwrap();
    hex::encode_prefixed(TxEnvelope::from(tx.into_signed(signature)).encoded_2718())
}

/// A transaction of the second account that may use two million gas at this price.
fn legacy(price: u128) -> String {
    let tx = TxLegacy {
        chain_id: Some(7357),
        gas_limit: 2_000_000,
        gas_price: price,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..TxLegacy::default()
    };
    let signature = signer(1).sign_hash_sync(&tx.signature_hash()).unwrap();
    hex::encode_prefixed(TxEnvelope::from(tx.into_signed(signature)).encoded_2718())
}

#[tokio::test]
async fn fees_that_are_likely_a_mistake_are_refused() {
    // The highest price with which 21000 gas cost no more than one coin.
    let highest = 10_u128.pow(18) / 21_000;
    let chain = start(config()).await;
    let refusal = |fee: &str, cap: &str| {
        format!("tx fee ({fee} ether) exceeds the configured cap ({cap} ether)")
    };
    let server = -32000;
    let (one, message) = (dynamic(highest + 1), refusal("1.00", "1.00"));
    let cases = vec![
        ("eth_sendRawTransaction", json!([one]), server, message.as_str()),
        ("eth_sendRawTransactionSync", json!([one]), server, message.as_str()),
    ];
    check(&chain, cases).await;
    let thousand = refusal("1234.56", "1.00");
    let expensive = legacy(617_280_000_000_000);
    check(&chain, vec![("eth_sendRawTransaction", json!([expensive]), server, &thousand)]).await;
    // In a batch each stands for itself.
    let call = |id: u64, raw: &str| json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw]});
    let batch = json!([call(1, &one), call(2, &dynamic(highest))]).to_string();
    let answers: Value = serde_json::from_str(&post(&chain, batch).await).unwrap();
    assert_eq!(answers[0]["error"]["message"], message.as_str(), "{answers}");
    assert!(answers[1]["result"].is_string(), "{answers}");
    // What a wallet asks for beforehand.
    let request = json!({
        "from": signer(0).address(), "to": signer(1).address(), "nonce": "0x1", "gas": "0x5208",
        "gasPrice": format!("{:#x}", highest + 1),
    });
    check(
        &chain,
        vec![
            ("eth_signTransaction", json!([request]), server, &message),
            ("eth_resend", json!([request]), server, &message),
            (
                "eth_resend",
                json!([request, "0x1", "0x5208"]),
                server,
                &lost(&chain, &request).await,
            ),
        ],
    )
    .await;
    chain.shutdown().await;

    let mut config = config();
    config.limits.transaction_fee_max = 0;
    let chain = start(config).await;
    let sent = ask(&chain, "eth_sendRawTransaction", json!([expensive])).await;
    assert!(sent["result"].is_string(), "{sent}");
}

/// What `eth_resend` says of a request that is not in the pool.
async fn lost(chain: &Chain, request: &Value) -> String {
    let filled = ask(chain, "eth_fillTransaction", json!([request])).await;
    format!("transaction {} not found", filled["result"]["tx"]["hash"].as_str().unwrap())
}

#[tokio::test]
async fn structures_inside_of_arguments_are_read_from_objects_alone() {
    let chain = start(config()).await;
    let to = signer(0).address();
    let call = json!({"to": to});
    let array =
        |go_type: &str| format!("json: cannot unmarshal array into Go value of type {go_type}");
    let within = |field: &str, go_type: &str| {
        format!(
            "json: cannot unmarshal array into Go struct field TraceCallConfig.{field} of type {go_type}"
        )
    };
    let account = array("override.OverrideAccount");
    let tuple = array("types.AccessTuple");
    let block = array("override.BlockOverrides");
    let simulated = |call: Value| json!([{"blockStateCalls": [call]}]);
    let cases = [
        ("eth_simulateV1", json!([{"blockStateCalls": [[]]}]), array("ethapi.simBlock")),
        ("eth_simulateV1", simulated(json!({"blockOverrides": ["0x1"]})), block),
        (
            "eth_simulateV1",
            simulated(json!({"stateOverrides": {to.to_string(): []}})),
            account.clone(),
        ),
        (
            "eth_simulateV1",
            simulated(json!({"calls": [{"to": to, "accessList": [[to, []]]}]})),
            tuple.clone(),
        ),
        ("eth_call", json!([call, "latest", {to.to_string(): ["0x1"]}]), account),
        ("eth_call", json!([{"to": to, "accessList": [[to, []]]}]), tuple),
        (
            "debug_traceCall",
            json!([call, "latest", {"blockOverrides": ["0x1"]}]),
            within("blockOverrides", "override.BlockOverrides"),
        ),
        (
            "debug_traceCall",
            json!([call, "latest", {"stateOverrides": {to.to_string(): []}}]),
            within("stateOverrides", "override.OverrideAccount"),
        ),
        ("debug_traceCall", json!([call, "latest", []]), array("tracers.TraceCallConfig")),
        (
            "debug_traceTransaction",
            json!([B256::ZERO, {"disableStack": []}]),
            "json: cannot unmarshal array into Go struct field TraceConfig.disableStack of type bool"
                .to_owned(),
        ),
        (
            "debug_traceCall",
            json!([call, "latest", {"tracer": "callTracer", "tracerConfig": [true]}]),
            "json: cannot unmarshal array".to_owned(),
        ),
    ];
    for (method, params, reason) in cases {
        let answer = ask(&chain, method, params.clone()).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(&reason), "{method} {params}: {answer}");
    }
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    for subject in ["transactionReceipts", "logs"] {
        let answer = socket.call("eth_subscribe", json!([subject, []])).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("cannot unmarshal array into Go value"), "{answer}");
    }
    let many = socket.call("eth_subscribe", json!(["newHeads", true])).await;
    assert_eq!(many["error"]["message"], "too many arguments, want at most 1");
}

#[tokio::test]
async fn calls_of_simulations_are_read_as_others_and_names_without_regard_to_case() {
    let chain = start(config()).await;
    let to = signer(0).address();
    let leading = "json: cannot unmarshal hex number with leading zero digits into Go struct field \
                   TransactionArgs.gas of type hexutil.Uint64";
    let padded = json!({"to": to, "gas": "0x05208"});
    check(
        &chain,
        vec![
            ("eth_call", json!([padded]), -32602, &format!("invalid argument 0: {leading}")),
            (
                "eth_simulateV1",
                json!([{"blockStateCalls": [{"calls": [padded]}]}]),
                -32602,
                &format!("invalid argument 0: {leading}"),
            ),
        ],
    )
    .await;
    let poor = Address::repeat_byte(0x99);
    let pays = json!({"from": poor, "to": to, "value": "0x1"});
    let rich = json!({poor.to_string(): {"Balance": "0x1", "more": [1]}});
    let refused = ask(&chain, "eth_call", json!([pays, "latest"])).await;
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("insufficient funds"),
        "{refused}"
    );
    let called = ask(&chain, "eth_call", json!([pays, "latest", rich])).await;
    assert_eq!(called["result"], "0x", "{called}");
    let simulation = json!([{"BLOCKSTATECALLS": [{"stateoverrides": rich, "Calls": [pays]}]}]);
    let simulated = ask(&chain, "eth_simulateV1", simulation).await;
    assert_eq!(simulated["result"][0]["calls"][0]["status"], "0x1", "{simulated}");
}
