//! What the `debug_` namespace tells of states and blocks besides traces.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, U256, keccak256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use serde_json::{Value, json};
use tilth_chain::{Chain, Clock, Config, Production};

use crate::{
    errors::ask,
    fixture::{client, config, deploying, genesis, register, signer, start, words},
};

async fn result(chain: &Chain, method: &str, params: Value) -> Value {
    let mut answer = ask(chain, method, params.clone()).await;
    assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
    answer["result"].take()
}

async fn refusal(chain: &Chain, method: &str, params: Value) -> String {
    let answer = ask(chain, method, params.clone()).await;
    let message = answer["error"]["message"].as_str();
    message.unwrap_or_else(|| panic!("{method} {params}: {answer}")).to_owned()
}

/// A chain whose blocks hold: 1 a transfer to `SINK`, 2 the register's deployment, 3 a write to it,
/// 4 the write that undoes it, 5 nothing.
async fn chain() -> (Chain, Address) {
    let clock = Clock::manual(1_800_000_000);
    let setup = Config { production: Production::Manual, clock: clock.clone(), ..config() };
    let chain = start(setup).await;
    let provider = client(&chain);
    let contract = signer(0).address().create(1);
    let store = |words| TransactionRequest::default().with_to(contract).with_input(words);
    let requests = [
        TransactionRequest::default().with_to(SINK).with_value(U256::from(7)),
        TransactionRequest::default().with_deploy_code(deploying(&register())),
        store(words(&[1, 5])),
        store(words(&[1, 0])),
    ];
    for (nonce, request) in (0..).zip(requests) {
        let request = request.with_nonce(nonce).with_gas_limit(200_000);
        let _ = provider.send_transaction(request).await.unwrap();
        clock.advance(1);
        chain.mine().await.unwrap();
    }
    clock.advance(1);
    chain.mine().await.unwrap();
    (chain, contract)
}

const SINK: Address = Address::repeat_byte(0x77);

/// In the order of their hashes, as a trie lists them.
fn sorted(mut addresses: Vec<Address>) -> Value {
    addresses.sort_by_cached_key(|address| keccak256(address.as_slice()));
    json!(addresses)
}

#[tokio::test]
async fn modified_accounts_are_those_that_differ() {
    let (chain, contract) = chain().await;
    let (sender, miner) = (signer(0).address(), config().beneficiary);
    // Contracts of the protocol that are told of every block.
    let by_number = |params| result(&chain, "debug_getModifiedAccountsByNumber", params);
    let empty = by_number(json!([5])).await;
    let told: Vec<Address> = serde_json::from_value(empty.clone()).unwrap();
    assert!(!told.contains(&sender) && !told.contains(&contract), "{empty}");
    let with = |more: &[Address]| sorted([told.clone(), more.to_vec()].concat());
    assert_eq!(by_number(json!([1])).await, with(&[sender, miner, SINK]));
    assert_eq!(by_number(json!([2])).await, with(&[sender, miner, contract]));
    assert_eq!(by_number(json!([3])).await, with(&[sender, miner, contract]));
    assert_eq!(by_number(json!([1, 3])).await, with(&[sender, miner, contract]));
    assert_eq!(by_number(json!([0, 5])).await, with(&[sender, miner, contract, SINK]));
    // What block 3 wrote block 4 has taken back.
    assert_eq!(by_number(json!([2, 4])).await, with(&[sender, miner]));
    let hash = |number: u64| {
        let params = json!([format!("{number:#x}"), false]);
        async { result(&chain, "eth_getBlockByNumber", params).await["hash"].take() }
    };
    let by_hash = |params| result(&chain, "debug_getModifiedAccountsByHash", params);
    assert_eq!(by_hash(json!([hash(1).await])).await, with(&[sender, miner, SINK]));
    let range = json!([hash(2).await, hash(4).await]);
    assert_eq!(by_hash(range).await, with(&[sender, miner]));

    let unknown = B256::repeat_byte(0xab);
    for (method, params, message) in [
        ("Number", json!([31]), "start block 1f not found".to_owned()),
        ("Number", json!([1, 31]), "end block 31 not found".to_owned()),
        ("Number", json!([0]), "block 0 has no parent".to_owned()),
        (
            "Number",
            json!([3, 3]),
            "start block height (3) must be less than end block height (3)".to_owned(),
        ),
        ("Hash", json!([unknown]), format!("start block {} not found", "ab".repeat(32))),
    ] {
        let method = format!("debug_getModifiedAccountsBy{method}");
        assert_eq!(refusal(&chain, &method, params.clone()).await, message, "{params}");
    }
}

#[tokio::test]
async fn accounts_are_listed_page_by_page_at_every_height() {
    let (chain, contract) = chain().await;
    let key = |address: Address| format!("pre({})", keccak256(address));
    for (number, has_contract, has_sink) in [(0, false, false), (1, false, true), (5, true, true)] {
        let (mut listed, mut start) = (serde_json::Map::new(), "0x".to_owned());
        let mut pages = 0;
        loop {
            let params = json!([format!("{number:#x}"), start, 3, false, true, true]);
            let page = result(&chain, "debug_accountRange", params).await;
            let block = json!([format!("{number:#x}"), false]);
            let block = result(&chain, "eth_getBlockByNumber", block).await;
            assert_eq!(format!("0x{}", page["root"].as_str().unwrap()), block["stateRoot"]);
            listed.extend(page["accounts"].as_object().unwrap().clone());
            pages += 1;
            match page.get("next") {
                Some(next) => {
                    assert_eq!(page["accounts"].as_object().unwrap().len(), 3, "{page}");
                    start = next.as_str().unwrap().to_owned();
                }
                None => break,
            }
        }
        assert_eq!(pages, listed.len().div_ceil(3));
        assert_eq!(listed.contains_key(&key(contract)), has_contract, "{number}");
        assert_eq!(listed.contains_key(&key(SINK)), has_sink, "{number}");
        for (address, _) in genesis().balances {
            let balance = json!([address, format!("{number:#x}")]);
            let balance = result(&chain, "eth_getBalance", balance).await;
            let balance: U256 = serde_json::from_value(balance).unwrap();
            assert_eq!(listed[&key(address)]["balance"], balance.to_string());
        }
        if has_contract {
            let code = alloy::primitives::hex::encode_prefixed(register());
            assert_eq!(listed[&key(contract)]["code"], code);
            assert_eq!(listed[&key(contract)]["nonce"], 1);
        }
        let whole = result(&chain, "debug_dumpBlock", json!([format!("{number:#x}")])).await;
        assert_eq!(whole["accounts"], Value::Object(listed));
    }
    // Addresses are not kept: without leave to list hashes there is nothing to list.
    let params = json!(["latest", "0x", 3, false, true, false]);
    let none = result(&chain, "debug_accountRange", params).await;
    assert_eq!(none["accounts"], json!({}));
    let params = json!(["0x63", "0x", 3, false, true, false]);
    assert_eq!(refusal(&chain, "debug_accountRange", params).await, "block #99 not found");
}

#[tokio::test]
async fn blocks_that_were_refused_are_not_kept() {
    let (chain, _) = chain().await;
    assert_eq!(result(&chain, "debug_getBadBlocks", json!([])).await, json!([]));
    let hash = B256::repeat_byte(0xab);
    let message = refusal(&chain, "debug_traceBadBlock", json!([hash])).await;
    assert_eq!(message, format!("bad block {hash} not found"));
    let modules = result(&chain, "rpc_modules", json!([])).await;
    let namespaces: Vec<&str> =
        chain.methods().iter().map(|method| method.split('_').next().unwrap()).collect();
    for (name, version) in modules.as_object().unwrap() {
        assert_eq!(version, "1.0");
        assert!(namespaces.contains(&name.as_str()), "{name}");
    }
    assert!(namespaces.iter().all(|name| modules.get(name).is_some()), "{modules}");
}
