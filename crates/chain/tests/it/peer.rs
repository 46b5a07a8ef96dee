//! The same sequences of transactions into anvil and into our node: receipts, logs, traces, state,
//! proofs and errors must be the same, but for the differences listed here with their reasons.
//!
//! Needs the anvil that `cargo xtask setup` installs, and fails without it.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U64, U256},
    providers::{Provider, RootProvider},
};
use serde_json::{Map, Value, json};
use tilth_chain::{Chain, Clock, Config, Production};

use crate::{
    fixture::{config, genesis, signer, start},
    programs::{Act, DELEGATOR, SENDERS, Scribe},
};

/// anvil, stopped when dropped.
struct Anvil {
    child: Child,
    client: RootProvider,
    _dir: tempfile::TempDir,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn anvil_path() -> PathBuf {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../contracts/node_modules/@foundry-rs/anvil-linux-{arch}/bin/anvil"));
    assert!(path.exists(), "{} is missing: run `cargo xtask setup`", path.display());
    path
}

impl Anvil {
    /// With the genesis of our fixture.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ours = genesis();
        let mut alloc = Map::new();
        for (address, balance) in &ours.balances {
            alloc.insert(address.to_string(), json!({"balance": balance}));
        }
        let file = dir.path().join("genesis.json");
        let genesis = json!({
            "config": {"chainId": ours.chain_id},
            "timestamp": U64::from(ours.timestamp),
            "gasLimit": U64::from(ours.gas_limit),
            "baseFeePerGas": U64::from(ours.base_fee),
            "difficulty": "0x0",
            "alloc": alloc,
        });
        std::fs::write(&file, genesis.to_string()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(anvil_path())
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--hardfork", "osaka", "--accounts", "1", "--steps-tracing"])
            .args(["--chain-id", &ours.chain_id.to_string()])
            .args(["--gas-limit", &ours.gas_limit.to_string()])
            // Of the first block; ours follows from the genesis.
            .args(["--base-fee", "875000000"])
            .args(["--timestamp", &ours.timestamp.to_string()])
            .arg("--init")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = RootProvider::new_http(format!("http://127.0.0.1:{port}").parse().unwrap());
        let anvil = Self { child, client, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(60);
        while anvil.client.get_chain_id().await.is_err() {
            assert!(Instant::now() < deadline, "anvil does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ask(&anvil.client, "anvil_setCoinbase", json!([Address::repeat_byte(0xbe)])).await;
        anvil
    }
}

pub type Answer = Result<Value, (i64, String, Option<Value>)>;

async fn try_ask(client: &impl Provider, method: &'static str, params: Value) -> Answer {
    client.raw_request(method.into(), &params).await.map_err(|error| {
        let payload = error.as_error_resp().unwrap_or_else(|| panic!("{method}: {error}"));
        let data = payload.data.as_ref().map(|data| serde_json::from_str(data.get()).unwrap());
        (payload.code, payload.message.to_string(), data)
    })
}

async fn ask(client: &impl Provider, method: &'static str, params: Value) -> Value {
    match try_ask(client, method, params.clone()).await {
        Ok(answer) => answer,
        Err(error) => panic!("{method} {params}: {error:?}"),
    }
}

/// Both nodes at the same height.
pub struct Pair {
    ours: RootProvider,
    chain: Chain,
    clock: Clock,
    anvil: Anvil,
    /// Blocks after the first.
    pub height: u64,
    /// What differs without being allowed to.
    wrong: Vec<String>,
}

impl Pair {
    pub async fn start() -> Self {
        let clock = Clock::manual(genesis().timestamp);
        let setup = Config { production: Production::Manual, clock: clock.clone(), ..config() };
        let chain = start(setup).await;
        let ours = RootProvider::new_http(chain.rpc_url().parse().unwrap());
        Self { ours, chain, clock, anvil: Anvil::start().await, height: 0, wrong: Vec::new() }
    }

    /// Mines one transaction in a block of its own on both.
    pub async fn mine(&mut self, act: &Act) {
        self.height += 1;
        self.clock.advance(2);
        let params = json!([act.raw]);
        let next = json!([self.clock.now()]);
        ask(&self.anvil.client, "evm_setNextBlockTimestamp", next).await;
        for client in [&self.ours, &self.anvil.client] {
            ask(client, "eth_sendRawTransaction", params.clone()).await;
        }
        let head = self.chain.mine().await.unwrap();
        assert_eq!(head.number, self.height);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.anvil.client.get_block_number().await.unwrap() < self.height {
            assert!(Instant::now() < deadline, "anvil does not mine {act:?}");
        }
    }

    /// What ours answers.
    pub async fn ask(&self, method: &'static str, params: Value) -> Value {
        ask(&self.ours, method, params).await
    }

    pub async fn both(&self, method: &'static str, params: Value) -> (Answer, Answer) {
        let ours = try_ask(&self.ours, method, params.clone());
        (ours.await, try_ask(&self.anvil.client, method, params).await)
    }

    /// Compares an answer after both have been brought into the form of the comparison.
    async fn same(
        &mut self,
        act: &str,
        method: &'static str,
        params: Value,
        form: fn(Value) -> Value,
    ) {
        let (ours, theirs) = self.both(method, params.clone()).await;
        let (ours, theirs) = (ours.map(form), theirs.map(form));
        if ours != theirs {
            let show = |answer: &Answer| match answer {
                Ok(value) => value.to_string(),
                Err(error) => format!("{error:?}"),
            };
            let (ours, theirs) = (show(&ours), show(&theirs));
            self.wrong.push(format!("{act}: {method} {params}\n ours   {ours}\n theirs {theirs}"));
        }
    }

    pub async fn compare(&mut self, act: &Act, contracts: &[Address]) {
        let what = &format!("block {} ({})", self.height, act.what);
        let hash = json!([act.hash]);
        self.same(what, "eth_getTransactionReceipt", hash, receipt).await;
        let number = json!([U64::from(self.height), false]);
        self.same(what, "eth_getBlockByNumber", number, header).await;
        let whole = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
        self.same(what, "debug_traceTransaction", json!([act.hash, whole]), calls).await;
        let top = json!({"tracer": "callTracer", "tracerConfig": {"onlyTopCall": true}});
        self.same(what, "debug_traceTransaction", json!([act.hash, top]), top_call).await;
        self.selectors(what, act).await;
        let plain = json!([act.hash, {"tracer": "callTracer"}]);
        let tree = ask(&self.ours, "debug_traceTransaction", plain).await;
        let calls_fail = tree.to_string().contains("\"error\"");
        for config in [json!({}), json!({"diffMode": true})] {
            let options = json!({"tracer": "prestateTracer", "tracerConfig": config});
            let params = json!([act.hash, options]);
            let (ours, theirs) = self.both("debug_traceTransaction", params.clone()).await;
            let (mut ours, mut theirs) = (prestate(ours.unwrap()), prestate(theirs.unwrap()));
            if act.what == "delegate" && config == json!({}) {
                // Allowed: geth looks where the called account delegates to before it applies the
                // transaction's authorisations, anvil after.
                let both = [ours.clone(), theirs.clone()];
                for accounts in [&mut ours, &mut theirs] {
                    let accounts = accounts.as_object_mut().unwrap();
                    accounts.retain(|address, _| {
                        both.iter().all(|accounts| accounts.get(address).is_some())
                    });
                }
            }
            if config == json!({}) && calls_fail {
                // Allowed: what an instruction that could not be paid for would have looked at is
                // in anvil's.
                let known = ours.as_object().unwrap();
                let theirs = theirs.as_object_mut().unwrap();
                theirs.retain(|address, _| known.contains_key(address));
                for (address, account) in theirs {
                    if let Some(slots) = account.get_mut("storage").and_then(Value::as_object_mut) {
                        slots.retain(|slot, _| known[address]["storage"].get(slot).is_some());
                        if slots.is_empty() {
                            account.as_object_mut().unwrap().remove("storage");
                        }
                    }
                }
            }
            if ours != theirs {
                self.wrong.push(format!("{what}: prestateTracer {params}\n {ours}\n {theirs}"));
            }
        }
        let options = json!({"enableReturnData": true});
        let params = json!([act.hash, options]);
        let (ours, theirs) = self.both("debug_traceTransaction", params).await;
        let [ours, theirs] = steps(ours.unwrap(), theirs.unwrap(), act.what);
        if ours != theirs {
            self.wrong
                .push(format!("{what}: steps of {}\n ours   {ours}\n theirs {theirs}", act.hash));
        }
        let mut addresses: Vec<Address> = contracts.to_vec();
        addresses.extend((0..SENDERS).map(|index| signer(index).address()));
        addresses.push(signer(DELEGATOR).address());
        addresses.push(Address::repeat_byte(0xbe));
        addresses.extend((0xa0..0xa4).map(Address::repeat_byte));
        for address in addresses {
            self.same(what, "eth_getBalance", json!([address, "latest"]), same).await;
            self.same(what, "eth_getTransactionCount", json!([address, "latest"]), same).await;
            self.same(what, "eth_getCode", json!([address, "latest"]), same).await;
            let slots = json!((0..SLOTS).map(B256::with_last_byte).collect::<Vec<_>>());
            self.proofs(what, json!([address, slots, "latest"])).await;
        }
    }

    /// Accounts with their storage. Allowed: the root and proofs of a storage with slots that are
    /// zero, which are leaves of the trie in anvil and none in Ethereum; ours must then be what
    /// alloy-trie says.
    async fn proofs(&mut self, what: &str, params: Value) {
        let (ours, theirs) = self.both("eth_getProof", params).await;
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        let form = |proof: &Value, with_nodes: bool| {
            let mut kept = pick(proof, &["address", "balance", "nonce", "codeHash"]);
            let slots = proof["storageProof"].as_array().unwrap().iter();
            let fields: &[&str] = if with_nodes { &["value", "proof"] } else { &["value"] };
            kept["storage"] = slots.map(|slot| pick(slot, fields)).collect();
            kept
        };
        let root = storage_root(&ours);
        // From an empty trie, anvil's proof is the encoding of nothing, geth's and ours no node.
        let is_empty = root == json!(alloy_trie::EMPTY_ROOT_HASH);
        let with_nodes = theirs["storageHash"] == root && !is_empty;
        if ours["storageHash"] != root || form(&ours, with_nodes) != form(&theirs, with_nodes) {
            self.wrong.push(format!("{what}: eth_getProof\n ours   {ours}\n theirs {theirs}"));
        }
    }

    /// The function selectors of all calls. Allowed: those of precompiles, which only anvil counts.
    async fn selectors(&mut self, what: &str, act: &Act) {
        let (ours, theirs) =
            self.both("debug_traceTransaction", json!([act.hash, {"tracer": "4byteTracer"}])).await;
        let (ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        let calls = json!([act.hash, {"tracer": "callTracer"}]);
        let mut frames = vec![ask(&self.anvil.client, "debug_traceTransaction", calls).await];
        while let Some(frame) = frames.pop() {
            frames.extend(frame["calls"].as_array().into_iter().flatten().cloned());
            let to: Address = frame["to"].as_str().unwrap_or("0x").parse().unwrap_or_default();
            let secp256r1 = Address::from_word(B256::from(U256::from(0x100)));
            let is_precompile =
                to != Address::ZERO && (to <= Address::with_last_byte(0x11) || to == secp256r1);
            let input = frame["input"].as_str().unwrap_or_default();
            if is_precompile && input.len() >= 10 {
                let key = format!("{}-{}", &input[..10], input.len() / 2 - 5);
                let count = &mut theirs[key.as_str()];
                *count = count
                    .as_u64()
                    .filter(|count| *count > 1)
                    .map_or(Value::Null, |count| json!(count - 1));
            }
        }
        theirs.as_object_mut().unwrap().retain(|_, count| !count.is_null());
        if ours != theirs {
            self.wrong.push(format!("{what}: 4byteTracer\n ours   {ours}\n theirs {theirs}"));
        }
    }

    /// What calls of a contract answer, and how many gas they are said to need.
    pub async fn probe(&mut self, target: Address) {
        let request = json!({"from": signer(0).address(), "to": target, "gas": "0x7a120"});
        let (ours, theirs) = self.both("eth_call", json!([request, "latest"])).await;
        if error_form(&ours) != error_form(&theirs) {
            self.wrong.push(format!("eth_call {target}\n ours   {ours:?}\n theirs {theirs:?}"));
        }
        let (ours, theirs) = self.both("eth_estimateGas", json!([request, "latest"])).await;
        let agree = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                let [ours, theirs] =
                    [ours, theirs].map(|gas| gas.as_str().unwrap().parse::<U256>().unwrap());
                // Both may be above the true need by their own slack, which is 1.5 per cent. A
                // program that bears that a call runs out of gas has several needs: then it must
                // do to call it with either.
                let most = ours.max(theirs);
                let mut agree = (most - ours.min(theirs)) * U256::from(100) <= most * U256::from(2);
                if !agree {
                    agree = true;
                    for gas in [ours, theirs] {
                        let mut request = request.clone();
                        request["gas"] = json!(gas);
                        let params = json!([request, "latest"]);
                        agree &= try_ask(&self.ours, "eth_call", params).await.is_ok();
                    }
                }
                agree
            }
            _ => error_form(&ours) == error_form(&theirs),
        };
        if !agree {
            self.wrong
                .push(format!("eth_estimateGas {target}\n ours   {ours:?}\n theirs {theirs:?}"));
        }
    }

    pub fn verdict(self) {
        let count = self.wrong.len();
        // One of each kind.
        let mut seen = BTreeSet::new();
        let kind = |text: &str| {
            let line = text.lines().next().unwrap_or_default();
            let method = line.split_once("): ").map_or(line, |(_, rest)| rest);
            let tracer = line.split("Tracer").next().and_then(|text| text.rsplit('"').next());
            format!("{:.24}{}", method, tracer.filter(|text| text.len() < 12).unwrap_or_default())
        };
        let shown: Vec<&str> = self
            .wrong
            .iter()
            .filter(|text| seen.insert(kind(text)))
            .map(|text| text.get(..1500).unwrap_or(text))
            .collect();
        let shown = shown.join("\n");
        assert!(count == 0, "{count} differences, the first:\n{shown}");
    }
}

fn same(value: Value) -> Value {
    value
}

fn pick(value: &Value, fields: &[&str]) -> Value {
    let field = |name: &&str| ((*name).to_owned(), value[*name].clone());
    Value::Object(fields.iter().map(field).collect())
}

/// Not compared: block hashes, which differ with the headers.
fn receipt(value: Value) -> Value {
    let mut kept = pick(
        &value,
        &[
            "status",
            "cumulativeGasUsed",
            "gasUsed",
            "effectiveGasPrice",
            "type",
            "from",
            "to",
            "contractAddress",
            "logsBloom",
            "transactionHash",
            "transactionIndex",
            "blockNumber",
        ],
    );
    let logs = value["logs"].as_array().into_iter().flatten();
    kept["logs"] = logs
        .map(|log| pick(log, &["address", "topics", "data", "logIndex", "transactionIndex"]))
        .collect();
    kept
}

/// Not compared: the parent's hash, the state root (the history contract of EIP-2935 is only in
/// ours), randomness and extra data.
fn header(value: Value) -> Value {
    pick(
        &value,
        &[
            "number",
            "gasUsed",
            "gasLimit",
            "baseFeePerGas",
            "timestamp",
            "miner",
            "logsBloom",
            "receiptsRoot",
            "transactionsRoot",
            "transactions",
            "withdrawalsRoot",
        ],
    )
}

/// No program uses others than the slots before this one.
const SLOTS: u8 = 10;

/// The root of the slots that programs use.
fn storage_root(proof: &Value) -> Value {
    let slots = proof["storageProof"].as_array().unwrap().iter().enumerate();
    let slots = slots.map(|(slot, entry)| {
        let value: U256 = entry["value"].as_str().unwrap().parse().unwrap();
        (B256::from(U256::from(slot)), value)
    });
    let slots: Vec<_> = slots.filter(|(_, value)| !value.is_zero()).collect();
    json!(alloy_trie::root::storage_root_unhashed(slots))
}

/// Success or not, with the answer or the data of the revert. Not compared: the words, which are
/// geth's in ours and revm's in anvil.
fn error_form(answer: &Answer) -> Value {
    match answer {
        Ok(value) => json!({"ok": value}),
        Err((code, _, data)) if *code == 3 => json!({"reverted": data}),
        Err(_) => json!("failed"),
    }
}

/// Allowed: the gas of the transaction's frame, which is the gas limit in geth and ours, and what
/// the intrinsic cost leaves of it in anvil; the logs of that frame if it fails, which only anvil
/// keeps.
fn calls(mut value: Value) -> Value {
    if let Some(root) = value.as_object_mut() {
        root.remove("gas");
        if root.contains_key("error") {
            root.remove("logs");
        }
    }
    soften_calls(&mut value);
    value
}

/// As [`calls`]. Allowed: the destruction of the called contract, a call of its own that only anvil
/// lists although it was asked for none.
fn top_call(mut value: Value) -> Value {
    if let Some(inner) = value.get_mut("calls").and_then(Value::as_array_mut) {
        inner.retain(|call| call["type"] != "SELFDESTRUCT");
        if inner.is_empty() {
            value.as_object_mut().unwrap().remove("calls");
        }
    }
    calls(value)
}

/// Allowed: the words of an error; who destroys itself in its own favour, which is the caller in
/// anvil.
fn soften_calls(frame: &mut Value) {
    if let Some(error) = frame.get_mut("error") {
        *error = json!("failed");
    }
    let own = frame["to"].clone();
    for call in frame.get_mut("calls").and_then(Value::as_array_mut).into_iter().flatten() {
        if call["type"] == "SELFDESTRUCT" && call["to"] == own {
            call.as_object_mut().unwrap().remove("from");
        }
        soften_calls(call);
    }
}

/// Allowed: accounts that did not exist, which anvil reports as empty ones; the hash of the
/// code, and that code was cleared, which only geth and ours report.
fn prestate(mut value: Value) -> Value {
    for side in ["pre", "post"] {
        if let Some(accounts) = value.get_mut(side) {
            *accounts = prestate(accounts.take());
        }
    }
    if let Some(accounts) = value.as_object_mut() {
        accounts.values_mut().filter_map(Value::as_object_mut).for_each(|account| {
            account.remove("codeHash");
            if account.get("code") == Some(&json!("0x")) {
                account.remove("code");
            }
        });
        accounts.retain(|_, account| {
            let slots = account["storage"].as_object().into_iter().flatten();
            account["balance"] != "0x0"
                || ["code", "nonce"].iter().any(|field| account.get(field).is_some())
                || slots.into_iter().any(|(_, value)| *value != json!(B256::ZERO))
        });
    }
    value
}

/// Allowed: in a failing step its cost and what it would have written, and whether and how it tells the error (geth tells it only if
/// the step could not start, and the whole price); empty fields, which geth and ours leave out.
///
/// Instructions that there are none of are only unknown to anvil, and have a number in geth and ours.
///
/// In a creation the cost, in which anvil includes the gas that it passes on; and the refund of
/// transactions with authorisations, which geth and ours count from the start.
///
/// The storage of transactions with access lists: anvil leaves out the slots that are warm already.
fn steps(mut ours: Value, mut theirs: Value, what: &str) -> [Value; 2] {
    let (authorizes, lists_slots) = (what == "delegate", what == "call with access list");
    let lists = [&mut ours, &mut theirs].map(|trace| trace["structLogs"].as_array_mut().unwrap());
    let [ours_steps, theirs_steps] = lists;
    for (ours, theirs) in ours_steps.iter_mut().zip(theirs_steps) {
        let failed = theirs.get("error").is_some();
        let creates = theirs["op"].as_str().is_some_and(|op| op.starts_with("CREATE"));
        if theirs["op"] == "Unknown" {
            theirs["op"] = ours["op"].clone();
        }
        for step in [ours, theirs] {
            step.as_object_mut().unwrap().retain(|name, value| match name.as_str() {
                "refund" => !authorizes && *value != json!(0),
                "returnData" => *value != json!("0x"),
                "error" => !failed,
                "storage" => !failed && !lists_slots,
                "gasCost" => !failed && !creates,
                _ => true,
            });
        }
    }
    [ours, theirs]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sequences_leave_the_same_behind_in_anvil() {
    for seed in 0..3 {
        let mut pair = Pair::start().await;
        let mut scribe = Scribe::new(seed);
        for _ in 0..80 {
            let act = scribe.act();
            pair.mine(&act).await;
            let recent = scribe.contracts.len().saturating_sub(3);
            pair.compare(&act, &scribe.contracts[recent..]).await;
        }
        for target in scribe.contracts.clone() {
            pair.probe(target).await;
        }
        pair.verdict();
    }
}
