//! Small programs whose traces were worked out from geth's rules, and geth's own vectors.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_consensus::{
    TxEnvelope,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::eip2718::Decodable2718;
use alloy_evm::{EvmEnv, IntoTxEnv};
use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};
use serde_json::{Value, json};

use super::{Place, Subject, TraceOptions, run};
use crate::{
    decode::Parameter as _,
    message::{Precompiles, Turns, Watch, Watched},
    state::{AccountState, Journal, StateError, StateReader},
};

/// A state that is all in memory.
#[derive(Clone, Default)]
struct Memory(BTreeMap<Address, (AccountState, Bytes, BTreeMap<U256, U256>)>);

impl Memory {
    fn with(mut self, address: Address, balance: U256, nonce: u64, code: &[u8]) -> Self {
        let code = Bytes::copy_from_slice(code);
        let code_hash = keccak256(&code);
        let account = AccountState { nonce, balance, code_hash, ..AccountState::default() };
        self.0.insert(address, (account, code, BTreeMap::new()));
        self
    }
}

impl StateReader for Memory {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        Ok(self.0.get(address).map(|(account, _, storage)| {
            let root = if storage.is_empty() { EMPTY_ROOT_HASH } else { B256::repeat_byte(1) };
            AccountState { storage_root: root, ..*account }
        }))
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let slots = self.0.get(address).map(|(_, _, slots)| slots);
        Ok(slots.and_then(|slots| slots.get(slot)).copied().unwrap_or_default())
    }
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        let code = self.0.values().find(|(account, ..)| account.code_hash == *hash);
        Ok(code.map_or_else(Bytecode::default, |(_, code, _)| Bytecode::new_raw(code.clone())))
    }
    fn block_hash(&self, _: u64) -> Result<B256, StateError> {
        Ok(B256::ZERO)
    }
    fn storage_entries(&self, _: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        Ok(Vec::new())
    }
}

const SENDER: Address = address!("00000000000000000000000000000000000000f1");
const TARGET: Address = address!("00000000000000000000000000000000000000f2");
const OTHER: Address = address!("00000000000000000000000000000000000000f3");

fn trace(state: Memory, environment: EvmEnv, transaction: TxEnv, options: Value) -> Value {
    let watch = Watch::start(&Arc::new(Turns::new(1)), Duration::from_secs(60));
    let precompiles = Precompiles::of(environment.cfg_env.spec).called();
    let journal =
        Journal::new(Watched { reader: state, watch: watch.into(), hashes_below: u64::MAX });
    let options = TraceOptions::decode(&options.to_string()).unwrap();
    let tracer = options.tracer(&Subject::default(), environment.cfg_env.spec).unwrap();
    let place = Place { journal, environment, precompiles };
    let traced = run(place, transaction, &Subject::default(), tracer, 1 << 30).unwrap();
    serde_json::from_str(&traced.json).unwrap()
}

/// Runs code with so much gas after the intrinsic cost, on Osaka.
fn trace_code(code: &[u8], gas: u64, options: Value) -> Value {
    let state = Memory::default()
        .with(SENDER, U256::from(1_000_000), 0, &[])
        .with(TARGET, U256::from(10), 1, code)
        // Logs nothing, in a static context not even that.
        .with(OTHER, U256::ZERO, 1, &hex!("5f5fa0"));
    let environment = EvmEnv {
        cfg_env: CfgEnv::new_with_spec(SpecId::OSAKA),
        block_env: BlockEnv {
            gas_limit: 100_000_000,
            prevrandao: Some(B256::ZERO),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: 0,
                blob_gasprice: 1,
            }),
            ..BlockEnv::default()
        },
    };
    let transaction = TxEnv {
        caller: SENDER,
        kind: TARGET.into(),
        gas_limit: 21_000 + gas,
        gas_price: 0,
        chain_id: None,
        ..TxEnv::default()
    };
    trace(state, environment, transaction, options)
}

/// Cost and error of the last step, and the error of the transaction.
fn last(code: &[u8], gas: u64) -> (u64, Option<String>, String) {
    let steps = trace_code(code, gas, json!({}));
    assert_eq!(steps["failed"], true, "{steps}");
    let step = steps["structLogs"].as_array().unwrap().last().unwrap();
    let calls = trace_code(code, gas, json!({"tracer": "callTracer"}));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (step["gasCost"].as_u64().unwrap(), text(&step["error"]), text(&calls["error"]).unwrap())
}

#[test]
fn failing_instructions_cost_and_complain_as_in_geth() {
    // Code, gas, the last step's cost, its error, the frame's error if it is another.
    type Case<'a> = (&'a [u8], u64, u64, Option<&'a str>, &'a str);
    let long = "max initcode size exceeded: code size 49153 limit 49152";
    let cases: [Case<'_>; 15] = [
        // The stack: too little, too much.
        (&hex!("50"), 100, 2, Some("stack underflow (0 <=> 1)"), ""),
        (&hex!("5b5f600056"), 100_000, 3, Some("stack limit reached 1024 (1023)"), ""),
        // Not even the fixed price.
        (&hex!("5f"), 1, 2, Some("out of gas"), ""),
        // sstore(1, 1): below the sentry, and above.
        (
            &hex!("6001600155"),
            2_306,
            0,
            Some("out of gas: not enough gas for reentrancy sentry"),
            "",
        ),
        (&hex!("6001600155"), 9_000, 22_100, Some("out of gas"), ""),
        // sload(1), cold.
        (&hex!("600154"), 1_000, 2_100, Some("out of gas"), ""),
        // mload(2^32 - 1): the price of the whole memory.
        (&hex!("63ffffffff51"), 50_000, 35_184_775_266_310, Some("out of gas"), ""),
        // mload(2^256 - 1): beyond any price.
        (&hex!("5f195f0151"), 50_000, 3, Some("gas uint64 overflow"), ""),
        // A cold account, a cold heir.
        (&hex!("60aa31"), 1_000, 2_600, Some("out of gas"), ""),
        (&hex!("60aaff"), 5_100, 5_000, Some("out of gas: out of gas"), ""),
        // A call whose target is cold: found out while the price is worked out.
        (&hex!("5f5f5f5f5f60aa5af1"), 1_000, 100, Some("out of gas: out of gas"), ""),
        // create(0, 0, 49153)
        (&hex!("61c0015f5ff0"), 100_000, 32_000, Some(&format!("out of gas: {long}")), ""),
        // Those that start, and then fail.
        (&hex!("fe"), 100, 0, None, "invalid opcode: INVALID"),
        (&hex!("5f56"), 100, 8, None, "invalid jump destination"),
        (&hex!("60ff5f5f3e"), 1_000, 51, None, "return data out of bounds"),
    ];
    for (code, gas, cost, error, frame) in cases {
        let frame = if frame.is_empty() { error.unwrap_or_default() } else { frame };
        let expected = (cost, error.map(str::to_owned), frame.to_owned());
        assert_eq!(last(code, gas), expected, "{}", hex::encode(code));
    }
}

#[test]
fn what_a_static_call_forbids_fails_as_in_geth() {
    // staticcall(gas, f3, 0, 0, 0, 0), whose code logs.
    let calls = trace_code(&hex!("5f5f5f5f60f35afa"), 100_000, json!({"tracer": "callTracer"}));
    assert_eq!(calls["calls"][0]["error"], "write protection", "{calls}");
    assert!(calls["calls"][0].get("value").is_none(), "{calls}");
}

#[test]
fn precompiles_refuse_in_geths_words() {
    for (address, words) in [
        (5, "out of gas"),
        (8, "bad elliptic curve pairing size"),
        (9, "invalid input length"),
        (0x0a, "invalid input length"),
        (0x0b, "invalid input length"),
    ] {
        // call(gas, address, 0, 0, 1, 0, 0); the modular exponentiation gets no gas at all.
        let gas = if address == 5 { 0x5f } else { 0x5a };
        let code = [0x5f, 0x5f, 0x60, 1, 0x5f, 0x5f, 0x60, address, gas, 0xf1];
        let calls = trace_code(&code, 300_000, json!({"tracer": "callTracer"}));
        assert_eq!(calls["calls"][0]["error"], words, "{address}");
    }
}

#[test]
fn frames_that_run_nothing_have_no_steps() {
    // create(0, 0, 0): no code to run.
    let steps = trace_code(&hex!("5f5f5ff0"), 100_000, json!({}));
    let names: Vec<&str> =
        steps["structLogs"].as_array().unwrap().iter().map(|s| s["op"].as_str().unwrap()).collect();
    assert_eq!(names, ["PUSH0", "PUSH0", "PUSH0", "CREATE", "STOP"]);
    // What the creation passes on is not its cost.
    assert_eq!(steps["structLogs"][3]["gasCost"], 32_000);
    // A contract that destroys itself in favour of itself moves nothing and still says so.
    let calls = trace_code(&hex!("30ff"), 100_000, json!({"tracer": "callTracer"}));
    let own = json!([{"from": TARGET, "to": TARGET, "gas": "0x0", "gasUsed": "0x0", "input": "0x",
        "value": "0xa", "type": "SELFDESTRUCT"}]);
    assert_eq!(calls["calls"], own);
}

#[test]
fn the_logger_leaves_out_what_it_is_told_to() {
    // mstore(0, 1); sstore(0, 1); call(gas, 4, 0, 0, 32, 0, 0)
    let code = hex!("60015f526001 5f55 5f5f60205f5f60045af1");
    let all = trace_code(&code, 100_000, json!({"enableMemory": true, "enableReturnData": true}));
    let steps = all["structLogs"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert_eq!(last["memory"], json!([B256::with_last_byte(1)]));
    assert_eq!(last["returnData"], json!(B256::with_last_byte(1)));
    let store = steps.iter().find(|step| step["op"] == "SSTORE").unwrap();
    let slot = B256::ZERO.to_string();
    assert_eq!(store["storage"], json!({slot: B256::with_last_byte(1)}));
    let none = trace_code(&code, 100_000, json!({"disableStack": true, "disableStorage": true}));
    for step in none["structLogs"].as_array().unwrap() {
        for field in ["stack", "storage", "memory", "returnData"] {
            assert!(step.get(field).is_none(), "{step}");
        }
    }
    // The limit counts bytes: one record more than fits.
    let few = trace_code(&code, 100_000, json!({"limit": 1}));
    assert_eq!(few["structLogs"].as_array().unwrap().len(), 1);
}

/// A number as geth's vectors write it: decimal or hexadecimal, in a string or not.
fn number(value: &Value) -> U256 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        Value::Number(number) => U256::from(number.as_u64().unwrap()),
        _ => U256::ZERO,
    }
}

fn fork(config: &Value, number: u64, time: u64) -> SpecId {
    let blocks = [
        ("homesteadBlock", SpecId::HOMESTEAD),
        ("eip150Block", SpecId::TANGERINE),
        ("eip158Block", SpecId::SPURIOUS_DRAGON),
        ("byzantiumBlock", SpecId::BYZANTIUM),
        ("constantinopleBlock", SpecId::PETERSBURG),
        ("petersburgBlock", SpecId::PETERSBURG),
        ("istanbulBlock", SpecId::ISTANBUL),
        ("berlinBlock", SpecId::BERLIN),
        ("londonBlock", SpecId::LONDON),
    ];
    let times = [
        ("shanghaiTime", SpecId::SHANGHAI),
        ("cancunTime", SpecId::CANCUN),
        ("pragueTime", SpecId::PRAGUE),
        ("osakaTime", SpecId::OSAKA),
    ];
    let since = |name: &str, now: u64| {
        let mut fields = config.as_object().into_iter().flatten();
        let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.and_then(|(_, since)| since.as_u64()).is_some_and(|since| since <= now)
    };
    let mut fork = SpecId::FRONTIER;
    for (name, next) in blocks {
        if since(name, number) {
            fork = next;
        }
    }
    if config["terminalTotalDifficulty"] == json!(0) && fork == SpecId::LONDON {
        fork = SpecId::MERGE;
    }
    for (name, next) in times {
        if since(name, time) {
            fork = next;
        }
    }
    fork
}

/// The trace of one of geth's vectors.
fn retrace(vector: &Value, tracer: &str) -> Value {
    let (genesis, context) = (&vector["genesis"], &vector["context"]);
    let mut state = Memory::default();
    for (address, account) in genesis["alloc"].as_object().unwrap() {
        let address: Address = address.parse().unwrap();
        let code: Bytes = account["code"].as_str().unwrap_or("0x").parse().unwrap();
        let nonce = number(&account["nonce"]).to();
        state = state.with(address, number(&account["balance"]), nonce, &code);
        let slots = account["storage"].as_object().into_iter().flatten();
        let slots = slots.map(|(slot, value)| (slot.parse().unwrap(), number(value)));
        state.0.get_mut(&address).unwrap().2 = slots.collect();
    }
    let (height, time): (u64, u64) =
        (number(&context["number"]).to(), number(&context["timestamp"]).to());
    let fork = fork(&genesis["config"], height, time);
    let chain_id = genesis["config"]["chainId"].as_u64().unwrap();
    let after_merge = fork.is_enabled_in(SpecId::MERGE);
    let environment = EvmEnv {
        cfg_env: CfgEnv::new_with_spec(fork).with_chain_id(chain_id),
        block_env: BlockEnv {
            number: U256::from(height),
            beneficiary: context["miner"].as_str().unwrap().parse().unwrap(),
            timestamp: U256::from(time),
            gas_limit: number(&context["gasLimit"]).to(),
            basefee: number(&context["baseFeePerGas"]).to(),
            difficulty: number(&context["difficulty"]),
            prevrandao: after_merge.then(|| {
                genesis["mixHash"].as_str().unwrap_or_default().parse().unwrap_or_default()
            }),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: 0,
                blob_gasprice: 1,
            }),
            ..BlockEnv::default()
        },
    };
    let raw: Bytes = vector["input"].as_str().unwrap().parse().unwrap();
    let envelope = TxEnvelope::decode_2718_exact(&raw).unwrap();
    let signer = envelope.recover_signer_unchecked().unwrap();
    let transaction: TxEnv = Recovered::new_unchecked(envelope, signer).into_tx_env();
    let options = json!({"tracer": tracer, "tracerConfig": vector["tracerConfig"]});
    trace(state, environment, transaction, options)
}

/// Where two answers differ first.
fn difference(path: &str, have: &Value, want: &Value) -> Option<String> {
    match (have, want) {
        (Value::Array(have), Value::Array(want)) if have.len() == want.len() => have
            .iter()
            .zip(want)
            .enumerate()
            .find_map(|(at, (have, want))| difference(&format!("{path}[{at}]"), have, want)),
        (Value::Object(ours), Value::Object(theirs)) => ours
            .keys()
            .chain(theirs.keys())
            .find_map(|name| difference(&format!("{path}.{name}"), &have[name], &want[name])),
        _ => (have != want).then(|| format!("{path}: have {have:.300}, want {want:.300}")),
    }
}

/// Without what the vectors do not say, and without fields of no content, which they write or not.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            let known = |name: &str| {
                !["time", "blockHash", "blockNumber", "transactionHash", "transactionPosition"]
                    .contains(&name)
            };
            let fields = fields.iter().filter(|(name, _)| known(name));
            let fields = fields.map(|(name, value)| (name.clone(), plain(value)));
            let nothing = [
                Value::Null,
                json!({}),
                json!("0x"),
                json!("0x0"),
                json!(Address::ZERO),
                json!(""),
            ];
            fields.filter(|(_, value)| !nothing.contains(value)).collect()
        }
        Value::String(text) => Value::String(text.to_lowercase()),
        other => other.clone(),
    }
}

/// geth's vectors are not part of this repository (LGPL). To run them:
/// `GETH_TRACETEST=<go-ethereum>/eth/tracers/internal/tracetest/testdata cargo nextest run
/// --release -p tilth-chain --run-ignored all geths_own_vectors`
#[test]
#[ignore = "needs a checkout of go-ethereum: GETH_TRACETEST=DIR cargo nextest run --release -p tilth-chain --run-ignored all geths_own_vectors"]
fn geths_own_vectors() {
    let root = std::env::var("GETH_TRACETEST").expect("GETH_TRACETEST names geth's testdata");
    let root = std::path::PathBuf::from(root);
    let folders = [
        ("call_tracer", "callTracer"),
        ("call_tracer_withLog", "callTracer"),
        ("call_tracer_flat", "flatCallTracer"),
        ("prestate_tracer", "prestateTracer"),
        ("prestate_tracer_with_diff_mode", "prestateTracer"),
    ];
    let (mut passed, mut failed) = (0, Vec::new());
    for (folder, tracer) in folders {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let Ok(vector) = serde_json::from_str::<Value>(&text) else { continue };
            let outcome = std::panic::catch_unwind(|| retrace(&vector, tracer));
            let (want, name) = (plain(&vector["result"]), path.display().to_string());
            match outcome {
                Ok(got) if plain(&got) == want => passed += 1,
                Ok(got) => {
                    let first = difference("", &plain(&got), &want).unwrap_or_default();
                    failed.push(format!("{name} {first}"));
                }
                Err(_) => failed.push(format!("{name}: did not run")),
            }
        }
    }
    assert!(failed.is_empty(), "{passed} passed, {} failed:\n{}", failed.len(), failed.join("\n"));
}
