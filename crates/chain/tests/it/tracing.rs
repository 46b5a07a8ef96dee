//! Traces of generated chains agree with what the chain says of itself.

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256, hex},
    providers::Provider,
};
use serde_json::{Value, json};
use tilth_chain::{Chain, Config, Production};

use crate::{
    fixture::{client, config, register, signer, start},
    programs::{Act, SENDERS, Scribe},
};

async fn ask(chain: &Chain, method: &'static str, params: Value) -> Value {
    match client(chain).raw_request(method.into(), &params).await {
        Ok(answer) => answer,
        Err(error) => panic!("{method} {params}: {error}"),
    }
}

async fn error_of(chain: &Chain, method: &'static str, params: Value) -> (i64, String) {
    match client(chain).raw_request::<_, Value>(method.into(), &params).await {
        Ok(answer) => panic!("{method} {params} succeeded: {answer}"),
        Err(error) => {
            let payload = error.as_error_resp().unwrap();
            (payload.code, payload.message.to_string())
        }
    }
}

fn quantity(value: &Value) -> u64 {
    value.as_str().unwrap_or_else(|| panic!("no quantity: {value}")).parse::<U64>().unwrap().to()
}

async fn send(chain: &Chain, act: &Act) {
    let answer = ask(chain, "eth_sendRawTransaction", json!([act.raw])).await;
    assert_eq!(answer, json!(act.hash));
}

/// Every frame's gas lies within its parent's, and a frame that failed takes its logs with it.
fn check_frame(frame: &Value, logs: &mut Vec<Value>, failed: bool) {
    let failed = failed || frame.get("error").is_some();
    let used = quantity(&frame["gasUsed"]);
    assert!(used <= quantity(&frame["gas"]), "{frame}");
    for call in frame["calls"].as_array().into_iter().flatten() {
        check_frame(call, logs, failed);
    }
    let own = frame["logs"].as_array().cloned().unwrap_or_default();
    assert!(!failed || own.is_empty(), "{frame}");
    logs.extend(own);
}

/// All traces of one transaction against its receipt.
fn check(transaction: &Value, receipt: &Value, calls: &Value, steps: &Value, diff: &Value) {
    let succeeded = receipt["status"] == "0x1";
    assert_eq!(calls["gasUsed"], receipt["gasUsed"], "{calls}");
    assert_eq!(calls.get("error").is_none(), succeeded, "{calls}");
    assert_eq!(calls["from"], receipt["from"]);
    assert_eq!(calls["value"], transaction["value"]);
    assert_eq!(calls["input"], transaction["input"]);
    assert_eq!(calls["gas"], transaction["gas"]);
    if succeeded && transaction["to"].is_null() {
        assert_eq!(calls["to"], receipt["contractAddress"]);
    }
    let mut logs = Vec::new();
    check_frame(calls, &mut logs, false);
    logs.sort_by_key(|log| quantity(&log["index"]));
    let expected: Vec<Value> = receipt["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|log| json!([log["address"], log["topics"], log["data"], log["logIndex"]]))
        .collect();
    let got: Vec<Value> = logs
        .iter()
        .map(|log| json!([log["address"], log["topics"], log["data"], log["index"]]))
        .collect();
    assert_eq!(got, expected, "{calls}");

    assert_eq!(steps["gas"], quantity(&receipt["gasUsed"]));
    assert_eq!(steps["failed"], !succeeded);
    let output = calls.get("output").cloned().unwrap_or_else(|| json!("0x"));
    assert_eq!(steps["returnValue"], output);
    check_steps(steps["structLogs"].as_array().unwrap());

    // The sender has paid, so it is in the difference.
    let from = receipt["from"].as_str().unwrap();
    let balance = |side: &str| -> U256 {
        diff[side][from]["balance"].as_str().unwrap_or_else(|| panic!("{diff}")).parse().unwrap()
    };
    let fee = U256::from(quantity(&receipt["gasUsed"]))
        * U256::from(quantity(&receipt["effectiveGasPrice"]));
    assert!(balance("pre") - balance("post") >= fee || calls["value"] == "0x0", "{diff}");
    assert!(diff["post"][from]["nonce"].as_u64() > diff["pre"][from]["nonce"].as_u64(), "{diff}");
}

/// Gas falls by what each step costs, within one frame.
fn check_steps(steps: &[Value]) {
    for pair in steps.windows(2) {
        let [step, next] = pair else { continue };
        if step["depth"] == next["depth"] && step.get("error").is_none() {
            let op = step["op"].as_str().unwrap();
            let is_frame = op.starts_with("CALL")
                && !op.starts_with("CALLD")
                && !op.starts_with("CALLV")
                && op != "CALLER"
                || ["DELEGATECALL", "STATICCALL", "CREATE", "CREATE2"].contains(&op);
            let left = step["gas"].as_u64().unwrap() - step["gasCost"].as_u64().unwrap();
            if !is_frame {
                assert_eq!(next["gas"].as_u64().unwrap(), left, "{step} {next}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stored_block_traces_to_its_receipts() {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let mut failures = 0;
    for seed in 0..12 {
        let mut scribe = Scribe::after(seed, &chain).await;
        for _ in 0..3 {
            let acts: Vec<Act> = (0..6).map(|_| scribe.act()).collect();
            for act in &acts {
                send(&chain, act).await;
            }
            let number = chain.mine().await.unwrap().number;
            let block = ask(&chain, "eth_getBlockByNumber", json!([U64::from(number), true])).await;
            let transactions = block["transactions"].as_array().unwrap();
            assert_eq!(transactions.len(), acts.len(), "seed {seed}: {block}");
            let receipts = ask(&chain, "eth_getBlockReceipts", json!([U64::from(number)])).await;
            let of_block = |options: Value| {
                let chain = &chain;
                async move {
                    let params = json!([U64::from(number), options]);
                    ask(chain, "debug_traceBlockByNumber", params).await
                }
            };
            let with_logs = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
            let calls = of_block(with_logs.clone()).await;
            let steps = of_block(json!({"enableMemory": true, "enableReturnData": true})).await;
            let diff =
                of_block(json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}}));
            let diff = diff.await;
            for (index, transaction) in transactions.iter().enumerate() {
                let hash = &transaction["hash"];
                for trace in [&calls, &steps, &diff] {
                    assert_eq!(&trace[index]["txHash"], hash);
                }
                let parts = [&calls, &steps, &diff].map(|trace| &trace[index]["result"]);
                let [calls, steps, diff] = parts;
                let receipt = &receipts[index];
                failures += u32::from(receipt["status"] == "0x0");
                check(transaction, receipt, calls, steps, diff);
                // One transaction alone gives the same as with its block.
                let alone = ask(&chain, "debug_traceTransaction", json!([hash, with_logs])).await;
                assert_eq!(&alone, calls, "seed {seed}");
                // All at once gives each.
                let mux = json!({"tracer": "muxTracer", "tracerConfig": {
                    "callTracer": {"withLog": true},
                    "prestateTracer": {"diffMode": true},
                    "4byteTracer": null,
                    "noopTracer": {},
                    "flatCallTracer": {},
                }});
                let all = ask(&chain, "debug_traceTransaction", json!([hash, mux])).await;
                assert_eq!(&all["callTracer"], calls);
                assert_eq!(&all["prestateTracer"], diff);
                assert_eq!(all["noopTracer"], json!({}));
                assert_eq!(all["flatCallTracer"][0]["transactionHash"], *hash);
            }
            let by_hash = json!([block["hash"], with_logs]);
            assert_eq!(ask(&chain, "debug_traceBlockByHash", by_hash).await, calls);
        }
    }
    assert!(failures > 10, "the programs hardly ever fail: {failures}");
    chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_traced_with_overrides_and_before_a_transaction() {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let target = Address::repeat_byte(0xc7);
    let code = Bytes::from(register());
    let slot = json!({"code": code, "stateDiff": {
        B256::with_last_byte(5).to_string(): B256::with_last_byte(9),
    }});
    let request = json!({"to": target, "data": U256::from(5).to_be_bytes_vec().as_slice().iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))});
    let options = json!({"tracer": "callTracer", "stateOverrides": {target.to_string(): slot}});
    let traced = ask(&chain, "debug_traceCall", json!([request, "latest", options])).await;
    assert_eq!(traced["output"], json!(B256::with_last_byte(9)), "{traced}");
    assert_eq!(traced["type"], "CALL");

    // The struct logger sees the same, and every tracer the block as it is pretended to be.
    let asking = Address::repeat_byte(0xc8);
    // number()
    let number = hex!("43600052 60206000f3");
    let accounts = json!({
        target.to_string(): slot,
        asking.to_string(): {"code": hex::encode_prefixed(number)},
    });
    let options = json!({"stateOverrides": accounts, "blockOverrides": {"number": "0x4d2"}});
    for (to, value) in [(target, 9), (asking, 1234)] {
        let mut request = request.clone();
        request["to"] = json!(to);
        let traced = ask(&chain, "debug_traceCall", json!([request, "latest", options])).await;
        assert_eq!(traced["returnValue"], json!(B256::from(U256::from(value))), "{traced}");
    }

    // Two transfers in a block; before the second, the receiver has the first only.
    let mut scribe = Scribe::new(0);
    let receiver = Address::repeat_byte(0x77);
    let transfers: Vec<Act> = (0..2).map(|_| scribe.transfer(receiver, 1000)).collect();
    for transfer in &transfers {
        send(&chain, transfer).await;
    }
    chain.mine().await.unwrap();
    // balance(address in calldata)
    let teller = hex!("60003531 60005260206000f3");
    for (index, expected) in [(Some(0), 0), (Some(1), 1000), (None, 2000)] {
        let mut options = json!({"tracer": "callTracer", "stateOverrides": {
            target.to_string(): {"code": hex::encode_prefixed(teller)},
        }});
        if let Some(index) = index {
            options["txIndex"] = json!(U64::from(index));
        }
        let request = json!({"to": target, "data": receiver.into_word()});
        let traced = ask(&chain, "debug_traceCall", json!([request, "0x1", options])).await;
        assert_eq!(
            traced["output"],
            json!(B256::from(U256::from(expected))),
            "{index:?}: {traced}"
        );
    }
    let beyond = json!([{"to": target}, "0x1", {"txIndex": "0x2"}]);
    let (code, message) = error_of(&chain, "debug_traceCall", beyond).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("transaction index 2 out of range for block 0x"), "{message}");
    let poor = json!([{"from": Address::repeat_byte(1), "to": target, "value": "0x1"}, "latest"]);
    let (_, message) = error_of(&chain, "debug_traceCall", poor).await;
    assert!(message.starts_with("tracing failed: insufficient funds"), "{message}");
    chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_traced_is_refused_in_geths_words() {
    let chain = start(config()).await;
    let unknown = B256::with_last_byte(1);
    for (method, params, code, message) in [
        ("debug_traceTransaction", json!([unknown]), -32000, "transaction not found".to_owned()),
        ("debug_traceBlockByHash", json!([unknown]), -32000, format!("block {unknown} not found")),
        ("debug_traceBlockByNumber", json!(["0x63"]), -32000, "block #99 not found".into()),
        ("debug_traceBlockByNumber", json!(["0x0"]), -32000, "genesis is not traceable".into()),
        (
            "debug_traceCall",
            json!([{}, "pending"]),
            -32000,
            "tracing on top of pending is not supported".into(),
        ),
        (
            "debug_traceCall",
            json!([{}, "latest", {"timeout": "soon"}]),
            -32000,
            "time: invalid duration \"soon\"".into(),
        ),
        (
            "debug_traceCall",
            json!([{}, "latest", {"tracer": "prestateTracer",
                "tracerConfig": {"diffMode": true, "includeEmpty": true}}]),
            -32000,
            "cannot use diffMode with includeEmpty".into(),
        ),
    ] {
        assert_eq!(error_of(&chain, method, params).await, (code, message), "{method}");
    }
    let script = json!([{}, "latest", {"tracer": "{result: function() {return 1}}"}]);
    let (_, message) = error_of(&chain, "debug_traceCall", script).await;
    assert!(message.contains("JavaScript tracers are not supported"), "{message}");
    chain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_traces_end_and_never_keep_blocks_from_being_made() {
    let mut setup = config();
    setup.limits.response_bytes_max = 4 << 20;
    let chain = start(Config { production: Production::Manual, ..setup }).await;
    // A loop without end, with as much gas as a call may have.
    let target = Address::repeat_byte(0xc7);
    let endless = json!({target.to_string(): {"code": "0x5b600056"}});
    let call = |options: Value| {
        let mut options = options;
        options["stateOverrides"] = endless.clone();
        json!([{"to": target}, "latest", options])
    };
    // The record grows too large, or the time ends.
    let (_, message) = error_of(&chain, "debug_traceCall", call(json!({}))).await;
    assert_eq!(message, "trace exceeds the limit of 4194304 bytes");
    let short = call(json!({"tracer": "callTracer", "timeout": "1ms"}));
    assert_eq!(error_of(&chain, "debug_traceCall", short).await.1, "execution timeout");
    let limited = call(json!({"limit": 1000, "timeout": "1ms"}));
    assert_eq!(error_of(&chain, "debug_traceCall", limited).await.1, "execution timeout");

    // While many run as long as they may, blocks are made.
    let long: Vec<_> = (0..40)
        .map(|_| {
            let client = client(&chain);
            let params = call(json!({"tracer": "prestateTracer", "timeout": "3s"}));
            tokio::spawn(async move {
                client.raw_request::<_, Value>("debug_traceCall".into(), params).await
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let mut scribe = Scribe::new(1);
    for _ in 0..20 {
        let before = Instant::now();
        send(&chain, &scribe.transfer(target, 1)).await;
        assert_eq!(chain.mine().await.unwrap().gas_used, 21_000);
        slowest = slowest.max(before.elapsed());
    }
    assert!(slowest < Duration::from_secs(3), "a block took {slowest:?}");
    assert!(long.iter().any(|task| !task.is_finished()), "the traces ended before the blocks");
    for task in long {
        let _ = task.await.unwrap();
    }
    chain.shutdown().await;
}

impl Scribe {
    /// One that goes on where a chain stands.
    async fn after(seed: u64, chain: &Chain) -> Self {
        let mut scribe = Self::new(seed);
        for index in 0..SENDERS {
            let params = json!([signer(index).address(), "latest"]);
            let nonce = ask(chain, "eth_getTransactionCount", params).await;
            scribe.set_nonce(index, quantity(&nonce));
        }
        let params = json!([signer(crate::programs::DELEGATOR).address(), "latest"]);
        let nonce = ask(chain, "eth_getTransactionCount", params).await;
        scribe.set_delegator_nonce(quantity(&nonce));
        scribe
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_is_listed_as_it_was_before_a_transaction() {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let mut scribe = Scribe::new(0);
    // sstore(number, 7) at creation and at every call.
    let deploy = scribe.deploy(&hex!("60074355"));
    send(&chain, &deploy).await;
    chain.mine().await.unwrap();
    let target = signer(0).address().create(0);
    for _ in 0..2 {
        send(&chain, &scribe.call(target)).await;
        chain.mine().await.unwrap();
    }
    let range = |number: u64, start: &str, count: usize| {
        json!([U64::from(number), 0, target, start, count])
    };
    let nothing = ask(&chain, "debug_storageRangeAt", range(2, "0x", 10)).await;
    assert_eq!(nothing, json!({"storage": null, "nextKey": null}));
    let key = |slot: u64| alloy::primitives::keccak256(U256::from(slot).to_be_bytes::<32>());
    let value = json!({"key": null, "value": B256::with_last_byte(7)});
    let first = ask(&chain, "debug_storageRangeAt", range(3, "0x", 10)).await;
    assert_eq!(first, json!({"storage": {key(2).to_string(): value}, "nextKey": null}));
    chain.mine().await.unwrap();
    let mut keys = [key(2), key(3)];
    keys.sort();
    let page = ask(&chain, "debug_storageRangeAt", range(4, "0x", 1)).await;
    assert_eq!(page, json!({"storage": {keys[0].to_string(): value}, "nextKey": keys[1]}));
    let rest = ask(&chain, "debug_storageRangeAt", range(4, &keys[1].to_string(), 1)).await;
    assert_eq!(rest, json!({"storage": {keys[1].to_string(): value}, "nextKey": null}));
    chain.shutdown().await;
}
