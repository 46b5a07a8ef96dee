//! Messages without transactions: overrides, geth's words for everything that goes wrong, access
//! lists, and the limits on what a request may execute.

use std::time::{Duration, Instant};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use serde_json::{Value, json};
use tilth_chain::{Chain, Config, GenesisAccount};

use crate::{
    fixture::{client, config, post, register, reverter, signer, start},
    socket::Socket,
};

/// An account of nobody.
const AT: &str = "0x5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c";

/// The whole answer to one request.
async fn ask(chain: &Chain, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    serde_json::from_str(&post(chain, body.to_string()).await).unwrap()
}

async fn result(chain: &Chain, method: &str, params: Value) -> Value {
    let answer = ask(chain, method, params).await;
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].clone()
}

async fn error(chain: &Chain, method: &str, params: Value) -> Value {
    let answer = ask(chain, method, params).await;
    assert!(answer.get("result").is_none(), "{answer}");
    answer["error"].clone()
}

fn hex(code: &[u8]) -> String {
    alloy::primitives::hex::encode_prefixed(code)
}

fn word(value: u64) -> String {
    format!("{:#066x}", U256::from(value))
}

#[tokio::test]
async fn failures_are_told_in_geths_words() {
    let chain = start(config()).await;
    let too_deep = [vec![0x5f; 1025]].concat();
    for (code, message) in [
        ("0xfe", "invalid opcode: INVALID"),
        ("0x0c", "invalid opcode: opcode 0xc not defined"),
        ("0x6001600252f6", "invalid opcode: opcode 0xf6 not defined"),
        ("0x01", "stack underflow (0 <=> 2)"),
        ("0x600155", "stack underflow (1 <=> 2)"),
        ("0x5f82", "stack underflow (1 <=> 3)"),
        (hex(&too_deep).as_str(), "stack limit reached 1024 (1023)"),
        ("0x600056", "invalid jump destination"),
        ("0x5b5f56", "out of gas"),
        ("0x60015f5f3e", "return data out of bounds"),
        ("0x5f5ffd", "execution reverted"),
        (hex(&reverter()).as_str(), "execution reverted: out of hay"),
    ] {
        let params = json!([{ "to": AT }, "latest", { AT: { "code": code } }]);
        let error = error(&chain, "eth_call", params).await;
        assert_eq!(error["message"], message, "{code}");
        let reverted = message.starts_with("execution reverted");
        assert_eq!(error["code"], if reverted { 3 } else { -32000 }, "{code}");
        assert_eq!(error.get("data").is_some(), reverted, "{code}");
    }
}

/// Before EIP-3541 anybody could deploy such code, and a genesis or an override may have it today.
#[tokio::test]
async fn code_that_only_begins_like_a_delegation_is_code() {
    let long = format!("0xef0100{}", "07".repeat(21));
    for code in ["0xef01", "0xef0100", "0xef0100aa", "0xef0101", &long] {
        let account = GenesisAccount { code: code.parse().unwrap(), ..GenesisAccount::default() };
        let mut config = config();
        config.genesis.accounts.insert(AT.parse().unwrap(), account);
        let chain = start(config).await;
        let undefined = "invalid opcode: opcode 0xef not defined";
        let stored = error(&chain, "eth_call", json!([{ "to": AT }, "latest"])).await;
        assert_eq!(stored["message"], undefined, "{code}");
        let other = Address::repeat_byte(7).to_string();
        let params = json!([{ "to": other }, "latest", { other.as_str(): { "code": code } }]);
        assert_eq!(error(&chain, "eth_call", params).await["message"], undefined, "{code}");
        assert_eq!(result(&chain, "eth_getCode", json!([AT, "latest"])).await, code);
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn messages_that_may_not_start_are_refused_in_geths_words() {
    let chain = start(config()).await;
    let rich = signer(0).address().to_checksum(None);
    let poor = "0x000000000000000000000000000000000000bEEF";
    let base_fee = 1_000_000_000;
    for (request, message) in [
        (
            json!({ "from": poor, "to": AT, "value": "0x1" }),
            format!(
                "err: insufficient funds for gas * price + value: address {poor} have 0 want 1 \
                 (supplied gas 50000000)"
            ),
        ),
        (
            json!({ "from": poor, "to": AT, "gas": "0x5208", "gasPrice": "0x3b9aca00" }),
            format!(
                "err: insufficient funds for gas * price + value: address {poor} have 0 want \
                 21000000000000 (supplied gas 21000)"
            ),
        ),
        (
            json!({ "from": rich, "to": AT, "maxFeePerGas": "0x1" }),
            format!(
                "err: max fee per gas less than block base fee: address {rich}, maxFeePerGas: 1, \
                 baseFee: {base_fee} (supplied gas 50000000)"
            ),
        ),
        (
            json!({ "from": rich, "to": AT, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2" }),
            format!(
                "err: max priority fee per gas higher than max fee per gas: address {rich}, \
                 maxPriorityFeePerGas: 2, maxFeePerGas: 1 (supplied gas 50000000)"
            ),
        ),
        (
            json!({ "to": AT, "gas": "0x5207" }),
            "err: intrinsic gas too low: have 20999, want 21000 (supplied gas 20999)".to_owned(),
        ),
        (
            json!({ "to": AT, "gas": "0x5237", "input": "0x0101" }),
            "err: insufficient gas for floor data gas cost: have 21047, want 21080 (supplied gas \
             21047)"
                .to_owned(),
        ),
        (
            json!({ "to": AT, "gasPrice": "0x1", "maxFeePerGas": "0x1" }),
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".to_owned(),
        ),
        (
            json!({ "to": AT, "chainId": "0x1" }),
            "chainId does not match node's (have=1, want=7357)".to_owned(),
        ),
        (
            json!({ "to": AT, "authorizationList": [] }),
            "err: EIP-7702 transaction with empty auth list (sender \
             0x0000000000000000000000000000000000000000) (supplied gas 50000000)"
                .to_owned(),
        ),
        (
            json!({ "to": AT, "blobVersionedHashes": [] }),
            "err: blob transaction missing blob hashes (supplied gas 50000000)".to_owned(),
        ),
        (
            json!({ "to": AT, "blobVersionedHashes": [word(0)] }),
            "err: blob 0 has invalid hash version (supplied gas 50000000)".to_owned(),
        ),
        (
            json!({ "input": "0x", "blobVersionedHashes": [word(0)] }),
            "err: blob transaction of type create (supplied gas 50000000)".to_owned(),
        ),
        (
            json!({ "input": hex(&vec![0; 49_153]) }),
            "err: max initcode size exceeded: code size 49153 limit 49152 (supplied gas 50000000)"
                .to_owned(),
        ),
    ] {
        let error = error(&chain, "eth_call", json!([request, "latest"])).await;
        assert_eq!((&error["message"], &error["code"]), (&json!(message), &json!(-32000)));
    }
    let estimates = [
        (
            json!({ "from": rich, "to": AT, "maxFeePerGas": "0x1" }),
            format!(
                "failed with 16777216 gas: max fee per gas less than block base fee: address \
                 {rich}, maxFeePerGas: 1, baseFee: {base_fee}"
            ),
        ),
        (
            json!({ "from": poor, "to": AT, "value": "0x1", "gasPrice": "0x3b9aca00" }),
            "insufficient funds for transfer".to_owned(),
        ),
        (
            json!({ "from": poor, "to": AT, "value": "0x1" }),
            format!(
                "failed with 16777216 gas: insufficient funds for gas * price + value: address \
                 {poor} have 0 want 1"
            ),
        ),
        (
            json!({ "to": AT, "gas": "0x5300", "input": hex(&[1; 200]) }),
            "gas required exceeds allowance (21248)".to_owned(),
        ),
    ];
    for (request, message) in estimates {
        let error = error(&chain, "eth_estimateGas", json!([request])).await;
        assert_eq!((&error["message"], &error["code"]), (&json!(message), &json!(-32000)));
    }
}

#[tokio::test]
async fn estimates_follow_the_funds_and_the_overrides() {
    let chain = start(config()).await;
    let endless = json!({ AT: { "code": "0x5b5f56" } });
    let error_ = error(&chain, "eth_estimateGas", json!([{ "to": AT }, "latest", endless])).await;
    assert_eq!(error_["message"], "gas required exceeds allowance (16777216)");
    // 30000 gas at this price is all the account has.
    let rich = signer(3).address();
    let overrides = json!({
        rich.to_string(): { "balance": format!("{:#x}", 30_000_u64 * 1_000_000_000) },
        AT: { "code": "0x5b5f56" },
    });
    let request = json!({ "from": rich, "to": AT, "gasPrice": "0x3b9aca00" });
    let error_ = error(&chain, "eth_estimateGas", json!([request, "latest", overrides])).await;
    assert_eq!(error_["message"], "gas required exceeds allowance (30000)");
    // Reads the block's number 7 times or not at all: block overrides change the price.
    let code = hex(&register());
    let store = json!([
        { "to": AT, "input": format!("{}{}", word(1), &word(2)[2..]) },
        "latest",
        { AT: { "code": code } },
        { "number": "0x10", "time": "0x70000000" },
    ]);
    let gas = result(&chain, "eth_estimateGas", store).await;
    let gas = u64::from_str_radix(gas.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert!((43_000..48_000).contains(&gas), "{gas}");
}

#[tokio::test]
async fn state_and_block_overrides_are_what_the_message_sees() {
    let chain = start(config()).await;
    // Returns slots 0 and 1, its balance and, as the last word, number() + timestamp().
    let code = "0x5f545f526001546020523060405247604052434201606052\
                60805ff3"
        .replace(' ', "");
    let see = |account: Value, block: Value| {
        let params = json!([{ "to": AT }, "latest", { AT: account }, block]);
        let chain = &chain;
        async move { result(chain, "eth_call", params).await.as_str().unwrap()[2..].to_owned() }
    };
    let words = |values: [u64; 4]| values.map(|value| word(value)[2..].to_owned()).concat();
    let diff = json!({ "code": code, "balance": "0x5", "stateDiff": { word(1): word(9) } });
    let seen = see(diff, json!({ "number": "0x64", "time": "0x3e8" })).await;
    assert_eq!(seen, words([0, 9, 5, 1100]));
    // Replaced storage of a contract that has some.
    let provider = client(&chain);
    let deploy = crate::fixture::deploying(&register());
    let deployed = provider
        .send_transaction(TransactionRequest::default().with_deploy_code(deploy))
        .await
        .unwrap()
        .get_receipt()
        .await
        .unwrap()
        .contract_address
        .unwrap();
    for slot in [0, 1] {
        let input = crate::fixture::words(&[slot, 70 + slot]);
        let request = TransactionRequest::default().with_to(deployed).with_input(input);
        provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    }
    let at = deployed.to_string();
    for (kind, first) in [("state", 0), ("stateDiff", 70)] {
        let account = json!({ "code": code, kind: { word(1): word(8) } });
        let overrides = json!({ at.as_str(): account });
        let block = json!({ "number": "0x0", "time": "0x0" });
        let params = json!([{ "to": at }, "latest", overrides, block]);
        let seen = result(&chain, "eth_call", params).await;
        assert_eq!(seen.as_str().unwrap()[2..], words([first, 8, 0, 0]), "{kind}");
    }
    // The rest of the block: base fee, beneficiary, randomness, gas limit, price of blobs.
    let code = "0x485f52416020524460405245606052 4a60805260a05ff3".replace(' ', "");
    let block = json!({
        "baseFeePerGas": "0x7", "feeRecipient": AT, "prevRandao": word(11),
        "gasLimit": "0xd", "blobBaseFee": "0x11",
    });
    let rich = signer(0).address();
    let request = json!({ "from": rich, "to": AT, "gasPrice": "0x7", "gas": "0x186a0" });
    let params = json!([request, "latest", { AT: { "code": code } }, block]);
    let seen = result(&chain, "eth_call", params).await;
    let seen = seen.as_str().unwrap().to_owned();
    let address = format!("{:0>64}", &AT[2..]);
    let expected = [&word(7)[2..], &address, &word(11)[2..], &word(13)[2..], &word(17)[2..]];
    assert_eq!(seen[2..], expected.concat());
    for (field, value) in [("beaconRoot", json!(word(1))), ("withdrawals", json!([]))] {
        let params = json!([{ "to": AT }, "latest", {}, { field: value }]);
        let error = error(&chain, "eth_call", params).await;
        let message = format!("block override {field:?} is not supported for this RPC method");
        assert_eq!(error["message"], message);
    }
}

#[tokio::test]
async fn precompiles_move_and_give_way() {
    let chain = start(config()).await;
    let identity = "0x0000000000000000000000000000000000000004";
    let moved = json!({ identity: { "movePrecompileToAddress": AT } });
    let ask_at = |to: &str, overrides: Value| json!([{ "to": to, "input": "0xc0ffee" }, "latest", overrides]);
    assert_eq!(result(&chain, "eth_call", ask_at(AT, moved.clone())).await, "0xc0ffee");
    assert_eq!(result(&chain, "eth_call", ask_at(identity, moved)).await, "0x");
    let code = json!({ identity: { "code": "0x60015f5260205ff3" } });
    assert_eq!(result(&chain, "eth_call", ask_at(identity, code)).await, word(1));
    let to = "0x5c5c5c5C5C5C5c5c5C5c5c5c5c5c5C5C5C5c5c5C";
    for (overrides, message) in [
        (
            json!({ AT: { "movePrecompileToAddress": identity } }),
            format!("account {} is not a precompile", AT.parse::<Address>().unwrap()),
        ),
        (
            json!({ identity: { "movePrecompileToAddress": AT }, AT: { "nonce": "0x1" } }),
            format!("account {} is already overridden", to.parse::<Address>().unwrap()),
        ),
        (
            json!({ AT: { "state": {}, "stateDiff": {} } }),
            format!("account {} has both 'state' and 'stateDiff'", AT.parse::<Address>().unwrap()),
        ),
    ] {
        let error = error(&chain, "eth_call", ask_at(AT, overrides)).await;
        assert_eq!(error["message"], message);
    }
}

#[tokio::test]
async fn access_lists_name_what_is_touched_and_nothing_else() {
    let chain = start(config()).await;
    let from = signer(0).address();
    // sload(0x2a); balance(0x77..77); staticcall of precompile 4; balance(caller).
    let other = "0x7777777777777777777777777777777777777777";
    let code = format!("0x602a5450 73{}3150 5f5f5f5f60045afa50 333150 00", &other[2..]);
    let overrides = json!({ AT: { "code": code.replace(' ', "") } });
    let params = json!([{ "from": from, "to": AT }, "latest", overrides]);
    let created = result(&chain, "eth_createAccessList", params).await;
    let list = json!([
        { "address": AT, "storageKeys": [word(0x2a)] },
        { "address": other, "storageKeys": [] },
    ]);
    assert_eq!(created["accessList"], list);
    assert!(created.get("error").is_none(), "{created}");
    // With the list the same call is charged for it: the gas is that of the last, stable run.
    let request = json!({ "from": from, "to": AT, "accessList": list });
    let params = json!([request, "latest", overrides]);
    let again = result(&chain, "eth_createAccessList", params).await;
    assert_eq!(again, created);
    let overrides = json!({ AT: { "code": "0x60015450fe" } });
    let params = json!([{ "from": from, "to": AT, "gas": "0x186a0" }, "latest", overrides]);
    let failing = result(&chain, "eth_createAccessList", params).await;
    assert_eq!(failing["error"], "invalid opcode: INVALID");
    assert_eq!(failing["gasUsed"], "0x186a0");
    assert_eq!(failing["accessList"][0]["storageKeys"], json!([word(1)]));
    let poor = json!([{ "from": other, "to": AT, "value": "0x1" }]);
    let error = error(&chain, "eth_createAccessList", poor).await;
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("failed to apply transaction: 0x"), "{message}");
    assert!(message.contains(" err: insufficient funds for gas * price + value"), "{message}");
}

/// Executions that gas does not end are ended by time, and meanwhile blocks are made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_calls_are_aborted_and_keep_no_block_from_being_made() {
    let mut config: Config = config();
    config.limits.call_gas_max = 0;
    config.limits.call_time_max = Duration::from_secs(2);
    let chain = start(config).await;
    let provider = client(&chain);
    let mut calls = tokio::task::JoinSet::new();
    let url = chain.rpc_url();
    // A loop of jumps, one of calls of oneself, one of hashes of a megabyte.
    for code in ["0x5b5f56", "0x5f5f5f5f5f305af15f5f5f5f5f305af1", "0x5b62100000 5f20505f56"] {
        for method in ["eth_call", "eth_estimateGas", "eth_createAccessList"] {
            let request = json!({ "to": AT, "gas": "0xffffffffffffff" });
            let params = json!([request, "latest", { AT: { "code": code.replace(' ', "") } }]);
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let sent = http.post(&url).header("content-type", "application/json");
            calls.spawn(async move {
                let answer = sent.body(body.to_string()).send().await.unwrap();
                (code, method, answer.text().await.unwrap())
            });
        }
    }
    let began = Instant::now();
    let mut meanwhile = 0;
    let mut aborted = 0;
    while let Some(next) = {
        // Its gas is named: an estimate would wait for its turn behind those calls.
        let transfer = TransactionRequest::default().with_to(Address::ZERO).with_gas_limit(21_000);
        let sent = provider.send_transaction(transfer).await.unwrap();
        assert!(sent.get_receipt().await.unwrap().status());
        match calls.try_join_next() {
            Some(ended) => Some(Some(ended)),
            None if calls.is_empty() => None,
            None => Some(None),
        }
    } {
        assert!(began.elapsed() < Duration::from_secs(300), "calls go on for ever");
        let Some(ended) = next else {
            // A block was made, and no call has ended.
            meanwhile += 1;
            continue;
        };
        let (code, method, answer) = ended.unwrap();
        // An estimate is bounded by a transaction's gas, and the list pays for its gas.
        if method == "eth_call" {
            assert!(answer.contains("execution aborted (timeout = 2s)"), "{code}: {answer}");
            aborted += 1;
        }
    }
    assert_eq!(aborted, 3);
    assert!(meanwhile >= 3, "{meanwhile} blocks in {:?}", began.elapsed());
}

/// Requests for this method that were answered so far.
fn answered(chain: &Chain, method: &str) -> u64 {
    let start = format!("tilth_rpc_requests_total{{method=\"{method}\"");
    let text = chain.metrics().render();
    let counts = text.lines().filter(|line| line.starts_with(&start));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Whoever asks for more than there are places waits for them alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_estimate_gets_through_while_another_connection_floods() {
    const CALLS: u64 = 60;
    let mut config: Config = config();
    // What the calls do is bounded by gas alone, so a slow machine is slow for all of them alike.
    config.limits.call_gas_max = 0;
    config.limits.call_time_max = Duration::ZERO;
    config.limits.request_time_max = Duration::from_secs(3600);
    let places = 16;
    config.limits.heavy_requests_max = places;
    let chain = start(config).await;
    let mut flood = Socket::connect(chain.rpc_addr()).await;
    let request = json!({ "to": AT, "gas": "0x77359400" });
    let params = json!([request, "latest", { AT: { "code": "0x5b5f56" } }]);
    for id in 0..CALLS {
        let id = format!("call {id}");
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "eth_call", "params": params });
        flood.send_text(&call.to_string()).await;
    }
    // When this is answered, all of them were read.
    flood.call("eth_chainId", json!([])).await;
    assert_eq!(result(&chain, "eth_estimateGas", json!([{ "to": AT }])).await, "0x5208");
    // In the order in which they came, all but the last ones would have ended before.
    let ended = answered(&chain, "eth_call");
    assert!(ended < CALLS - places as u64, "{ended} of {CALLS} calls came before the estimate");
    assert_eq!(answered(&chain, "eth_estimateGas"), 1);
}
