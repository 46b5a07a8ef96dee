//! Every method over HTTP with what nobody should send: each answer has the right code, none is an
//! internal error, and the node goes on.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use tilth_chain::{Chain, Config, Production};

use crate::{
    fixture::{config, signer, start},
    programs::{SENDERS, Scribe},
};

/// Methods with how many arguments they need and what kinds they take.
const METHODS: &[(&str, usize, &str)] = &[
    ("web3_clientVersion", 0, ""),
    ("web3_sha3", 1, "bytes"),
    ("net_version", 0, ""),
    ("net_listening", 0, ""),
    ("net_peerCount", 0, ""),
    ("rpc_modules", 0, ""),
    ("eth_chainId", 0, ""),
    ("eth_syncing", 0, ""),
    ("eth_config", 0, ""),
    ("eth_capabilities", 0, ""),
    ("eth_accounts", 0, ""),
    ("eth_sign", 2, "address bytes"),
    ("eth_sendTransaction", 1, "request"),
    ("eth_signTransaction", 1, "request"),
    ("eth_fillTransaction", 1, "request"),
    ("eth_resend", 1, "request quantity quantity"),
    ("eth_pendingTransactions", 0, ""),
    ("eth_blockNumber", 0, ""),
    ("eth_getBlockByNumber", 2, "number bool"),
    ("eth_getBlockByHash", 2, "hash bool"),
    ("eth_getBlockTransactionCountByNumber", 1, "number"),
    ("eth_getBlockTransactionCountByHash", 1, "hash"),
    ("eth_getUncleCountByBlockNumber", 1, "number"),
    ("eth_getUncleCountByBlockHash", 1, "hash"),
    ("eth_getUncleByBlockNumberAndIndex", 2, "number quantity"),
    ("eth_getUncleByBlockHashAndIndex", 2, "hash quantity"),
    ("eth_getHeaderByNumber", 1, "number"),
    ("eth_getHeaderByHash", 1, "hash"),
    ("eth_getBlockReceipts", 1, "block"),
    ("eth_getTransactionByHash", 1, "hash"),
    ("eth_getTransactionByBlockNumberAndIndex", 2, "number quantity"),
    ("eth_getTransactionByBlockHashAndIndex", 2, "hash quantity"),
    ("eth_getRawTransactionByHash", 1, "hash"),
    ("eth_getRawTransactionByBlockNumberAndIndex", 2, "number quantity"),
    ("eth_getRawTransactionByBlockHashAndIndex", 2, "hash quantity"),
    ("eth_getTransactionReceipt", 1, "hash"),
    ("eth_sendRawTransaction", 1, "bytes"),
    ("eth_sendRawTransactionSync", 1, "bytes integer"),
    ("eth_getBalance", 1, "address block"),
    ("eth_getTransactionCount", 1, "address block"),
    ("eth_getCode", 1, "address block"),
    ("eth_getStorageAt", 2, "address key block"),
    ("eth_getStorageValues", 1, "slots block"),
    ("eth_getProof", 2, "address keys block"),
    ("eth_call", 1, "request block overrides overrides"),
    ("eth_estimateGas", 1, "request block overrides overrides"),
    ("eth_createAccessList", 1, "request block overrides"),
    ("eth_simulateV1", 1, "plan block"),
    ("eth_gasPrice", 0, ""),
    ("eth_maxPriorityFeePerGas", 0, ""),
    ("eth_baseFee", 0, ""),
    ("eth_blobBaseFee", 0, ""),
    ("eth_feeHistory", 3, "quantity number percentiles"),
    ("eth_getLogs", 1, "query"),
    ("eth_newFilter", 1, "query"),
    ("eth_newBlockFilter", 0, ""),
    ("eth_newPendingTransactionFilter", 0, "bool"),
    ("eth_uninstallFilter", 1, "name"),
    ("eth_getFilterChanges", 1, "name"),
    ("eth_getFilterLogs", 1, "name"),
    ("txpool_status", 0, ""),
    ("txpool_content", 0, ""),
    ("txpool_contentFrom", 1, "address"),
    ("txpool_inspect", 0, ""),
    ("debug_getRawTransaction", 1, "hash"),
    ("debug_getRawHeader", 1, "block"),
    ("debug_getRawBlock", 1, "block"),
    ("debug_getRawReceipts", 1, "block"),
    ("debug_traceTransaction", 1, "hash options"),
    ("debug_traceCall", 2, "request block options"),
    ("debug_traceBlock", 1, "bytes options"),
    ("debug_traceBlockByNumber", 1, "number options"),
    ("debug_traceBlockByHash", 1, "hash options"),
    ("debug_traceBadBlock", 1, "hash options"),
    ("debug_getBadBlocks", 0, "name"),
    ("debug_replayBadBlock", 1, "hash"),
    ("debug_preimage", 1, "hash"),
    ("debug_intermediateRoots", 1, "hash options"),
    ("debug_executionWitness", 1, "block"),
    ("debug_getAccessibleState", 2, "number number"),
    ("debug_storageRangeAt", 5, "block integer address bytes integer"),
    ("debug_getModifiedAccountsByNumber", 1, "integer integer"),
    ("debug_getModifiedAccountsByHash", 1, "hash hash"),
    ("debug_accountRange", 6, "block bytes integer bool bool bool"),
    ("debug_dumpBlock", 1, "number"),
];

/// A value of a kind that means something, for a chain in which `hash` is a block.
fn good(kind: &str, hash: &Value) -> Value {
    let address = signer(0).address();
    match kind {
        "address" => json!(address),
        "block" | "number" => json!("0x1"),
        "bool" => json!(false),
        "bytes" => json!("0x00ff"),
        "hash" => hash.clone(),
        "integer" => json!(1),
        "key" => json!("0x0"),
        "keys" => json!(["0x0"]),
        "name" => json!("0x1"),
        "options" | "query" | "overrides" => json!({}),
        "percentiles" => json!([5, 50.5]),
        "plan" => json!({ "blockStateCalls": [{ "calls": [{ "to": address }] }] }),
        "quantity" => json!("0x1"),
        "request" => json!({ "from": address, "to": address, "value": "0x1" }),
        "slots" => {
            json!({ address.to_string(): ["0x0000000000000000000000000000000000000000000000000000000000000000"] })
        }
        other => panic!("{other}"),
    }
}

/// JSON texts that are not of a kind.
fn wrong(kind: &str) -> &'static [&'static str] {
    match kind {
        "address" | "hash" => {
            &["7", "true", "[]", "{}", r#""""#, r#""0x12""#, r#""zz""#, r#""0x""#]
        }
        // An empty text is no bytes, for geth, too.
        "bytes" => &["7", "true", "[]", "{}", r#""zz""#, r#""0x1""#, r#""0xzz""#],
        "block" => &["7", "true", "[]", "{}", r#""newest""#, r#"{"blockHash":7}"#, r#""0x""#],
        "number" => &["true", "[]", "{}", r#""newest""#, r#""""#, r#""0x""#, "1.5", "-1"],
        "bool" => &["7", "[]", "{}", r#""yes""#, r#""true""#],
        "quantity" => &["true", "[]", "{}", r#""zz""#, r#""0x""#, "1.5", "-1"],
        "integer" => &["true", "[]", "{}", r#""zz""#, "1.5", "1e99"],
        "key" | "name" => &["7", "true", "[]", "{}"],
        "keys" => &["7", "true", "{}", r#""x""#, "[7]", "[[]]"],
        "slots" => &["7", "true", "[]", r#""x""#, r#"{"x":[]}"#],
        "percentiles" => &["7", "true", "{}", r#""x""#, r#"["x"]"#],
        "options" | "query" | "overrides" | "plan" | "request" => &["7", "true", "[]", r#""x""#],
        other => panic!("{other}"),
    }
}

struct Probe<'a> {
    chain: &'a Chain,
    http: reqwest::Client,
    asked: u32,
}

impl Probe<'_> {
    /// The answer to a call with these arguments, which is one and in time, and not an internal error.
    async fn ask(&mut self, method: &str, arguments: &[String]) -> Value {
        self.asked += 1;
        let id = self.asked;
        let arguments = arguments.join(",");
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[{arguments}]}}"#);
        let request =
            self.http.post(self.chain.rpc_url()).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method} [{arguments:.200}]");
        let text = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["id"], id, "{method} [{arguments:.200}]: {text:.500}");
        let code = answer["error"]["code"].as_i64();
        assert_eq!(code.is_some(), answer.get("result").is_none(), "{method}: {text:.500}");
        let is_internal = [-32603, -32601, -32700, -32002].contains(&code.unwrap_or_default());
        assert!(!is_internal, "{method} [{arguments:.200}]: {text:.500}");
        answer
    }

    /// A call that is refused for its arguments.
    async fn refused(
        &mut self,
        method: &str,
        arguments: &[String],
        wanted: &str,
    ) -> Option<String> {
        let answer = self.ask(method, arguments).await;
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap_or_default();
        let is_right = error["code"] == -32602 && message.contains(wanted);
        let mut shown = arguments.join(",");
        shown.truncate(200);
        (!is_right).then(|| format!("{method} [{shown}] wants {wanted:?}: {answer}"))
    }
}

#[tokio::test]
async fn no_method_is_shaken_by_what_it_is_called_with() {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let mut scribe = Scribe::new(3);
    for _ in 0..3 {
        for _ in 0..SENDERS {
            let act = scribe.act();
            crate::errors::ask(&chain, "eth_sendRawTransaction", json!([act.raw])).await;
        }
        chain.mine().await.unwrap();
    }
    let listed: BTreeSet<_> = METHODS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(listed, chain.methods().into_iter().collect());
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
    let mut probe = Probe { chain: &chain, http: http.build().unwrap(), asked: 0 };
    let mut complaints = Vec::new();
    for (method, needed, kinds) in METHODS {
        let kinds: Vec<&str> = kinds.split_whitespace().collect();
        probe_method(&mut probe, method, *needed, &kinds, &mut complaints).await;
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(probe.asked > 2_000, "{}", probe.asked);
    // Nobody was hurt.
    let before = chain.head().number;
    chain.mine().await.unwrap();
    let answer = probe.ask("eth_blockNumber", &[]).await;
    assert_eq!(answer["result"], format!("{:#x}", before + 1));
    chain.shutdown().await;
}

async fn probe_method(
    probe: &mut Probe<'_>,
    method: &str,
    needed: usize,
    kinds: &[&str],
    complaints: &mut Vec<String>,
) {
    let hash = json!(probe.chain.head().hash());
    let fine: Vec<String> = kinds.iter().map(|kind| good(kind, &hash).to_string()).collect();
    let answer = probe.ask(method, &fine).await;
    if answer["error"]["code"] == -32602 {
        complaints.push(format!("{method} does not take {fine:?}: {answer}"));
    }
    for count in 0..needed {
        let wanted = format!("missing value for required argument {count}");
        complaints.extend(probe.refused(method, &fine[..count], &wanted).await);
    }
    let mut more = fine.clone();
    more.push("1".to_owned());
    let wanted = format!("too many arguments, want at most {}", kinds.len());
    complaints.extend(probe.refused(method, &more, &wanted).await);
    for (position, kind) in kinds.iter().enumerate() {
        let with = |text: &str| {
            let mut arguments = fine.clone();
            text.clone_into(&mut arguments[position]);
            arguments
        };
        // What geth ignores is ignored.
        let is_read = method != "debug_getBadBlocks";
        for text in wrong(kind).iter().filter(|_| is_read) {
            let wanted = format!("invalid argument {position}");
            complaints.extend(probe.refused(method, &with(text), &wanted).await);
        }
        let null = probe.ask(method, &with("null")).await;
        let code = null["error"]["code"].as_i64().unwrap_or_default();
        let is_right =
            if position < needed { [0, -32602, -32000].contains(&code) } else { code != -32602 };
        if !is_right {
            complaints.push(format!("{method} with null at {position}: {null}"));
        }
        for text in huge() {
            probe.ask(method, &with(&text)).await;
        }
        let places: &[&str] = match *kind {
            "block" | "number" => &[
                "0x7fffffff",
                "0x7fffffffffffffff",
                "earliest",
                "latest",
                "safe",
                "finalized",
                "pending",
            ],
            "hash" => &["0x1111111111111111111111111111111111111111111111111111111111111111"],
            _ => &[],
        };
        for place in places {
            let answer = probe.ask(method, &with(&format!("{place:?}"))).await;
            if answer["error"]["code"] == -32602 {
                complaints.push(format!("{method} does not take {place}: {answer}"));
            }
        }
    }
}

/// Texts of any kind that are far too large.
fn huge() -> [String; 6] {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut members = String::from("{");
    for index in 0..5_000 {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(members, "{comma}\"{index}\":{index}");
    }
    members.push('}');
    [
        format!("\"0x{}\"", "f".repeat(200_000)),
        format!("\"{}\"", "\\u0000".repeat(10_000)),
        "9".repeat(10_000),
        format!("[{}null]", "null,".repeat(20_000)),
        deep,
        members,
    ]
}
