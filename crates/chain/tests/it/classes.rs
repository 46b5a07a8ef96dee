//! Each kind of execution that nodes have been known to get wrong, made on purpose, in anvil and in
//! our node: what happened must be the same, and must be what was meant to happen.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::{eip2718::Encodable2718, eip2930::AccessListItem},
    primitives::{Address, B256, Bytes, TxKind, U256},
    signers::SignerSync,
};
use serde_json::{Value, json};

use crate::{
    fixture::signer,
    peer::Pair,
    programs::{Act, DELEGATOR, Scribe},
};

/// Bytes of code, put together piece by piece.
#[derive(Clone, Default)]
struct Code(Vec<u8>);

impl Code {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Stores the top of the stack in a slot.
    fn store(self, slot: u8) -> Self {
        self.raw(&[0x60, slot, 0x55])
    }

    /// Writes a word into memory.
    fn memory(self, at: u8, word: B256) -> Self {
        self.raw(&[0x7f]).raw(word.as_slice()).raw(&[0x60, at, 0x52])
    }

    /// Calls with input from memory 0 and leaves on the stack whether it succeeded.
    fn call(self, opcode: u8, to: Address, gas: u32, value: u8, input: u8) -> Self {
        let code = self.raw(&[0x60, 0x20, 0x60, 0xe0, 0x60, input, 0x60, 0]);
        let code = if matches!(opcode, CALL | CALLCODE) { code.raw(&[0x60, value]) } else { code };
        code.raw(&[0x73]).raw(to.as_slice()).raw(&[0x63]).raw(&gas.to_be_bytes()).raw(&[opcode])
    }

    /// Creates from creation code of at most 32 bytes and leaves the address on the stack.
    fn create(self, init: &[u8], value: u8, salt: Option<u8>) -> Self {
        let mut word = B256::ZERO;
        word[..init.len()].copy_from_slice(init);
        let code = self.memory(0, word);
        let code = if let Some(salt) = salt { code.raw(&[0x60, salt]) } else { code };
        let length = u8::try_from(init.len()).unwrap();
        let opcode = if salt.is_some() { 0xf5 } else { 0xf0 };
        code.raw(&[0x60, length, 0x60, 0, 0x60, value, opcode])
    }
}

const CALL: u8 = 0xf1;
const CALLCODE: u8 = 0xf2;
const DELEGATECALL: u8 = 0xf4;
const STATICCALL: u8 = 0xfa;
const SELFDESTRUCT: u8 = 0xff;
/// Reverts with the word 0x2a.
const COMPLAIN: [u8; 10] = [0x60, 0x2a, 0x60, 0, 0x52, 0x60, 0x20, 0x60, 0, 0xfd];
/// Jumps for ever.
const FOREVER: [u8; 4] = [0x5b, 0x60, 0, 0x56];

/// Both nodes and who writes to them.
struct Stage {
    pair: Pair,
    scribe: Scribe,
}

impl Stage {
    async fn start() -> Self {
        Self { pair: Pair::start().await, scribe: Scribe::new(0) }
    }

    /// Mines and compares; returns the receipt.
    async fn play(&mut self, act: Act, watched: &[Address]) -> Value {
        self.pair.mine(&act).await;
        self.pair.compare(&act, watched).await;
        self.pair.ask("eth_getTransactionReceipt", json!([act.hash])).await
    }

    async fn deploy(&mut self, code: Code) -> Address {
        // One transaction in each block, all of the same account.
        let address = signer(0).address().create(self.pair.height);
        let act = self.scribe.deploy(&code.0);
        let receipt = self.play(act, &[address]).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        address
    }

    async fn fund(&mut self, address: Address, value: u64) {
        // Code would cost more than a transfer may.
        let act = self.scribe.pay(address, value);
        let receipt = self.play(act, &[address]).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }

    /// Calls; the receipt must have this status.
    async fn call(&mut self, to: Address, status: &str, watched: &[Address]) -> Value {
        let act = self.scribe.call(to);
        let receipt = self.play(act, &[&[to], watched].concat()).await;
        assert_eq!(receipt["status"], status, "{receipt}");
        receipt
    }

    async fn slot(&self, address: Address, slot: u8) -> U256 {
        let params = json!([address, format!("{slot:#x}"), "latest"]);
        let value = self.pair.ask("eth_getStorageAt", params).await;
        value.as_str().unwrap().parse().unwrap()
    }

    async fn balance(&self, address: Address) -> U256 {
        let value = self.pair.ask("eth_getBalance", json!([address, "latest"])).await;
        serde_json::from_value(value).unwrap()
    }

    async fn code(&self, address: Address) -> Bytes {
        let value = self.pair.ask("eth_getCode", json!([address, "latest"])).await;
        serde_json::from_value(value).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_have_up_to_four_topics() {
    let mut stage = Stage::start().await;
    let mut code = Code::default().memory(0, B256::repeat_byte(0xdd));
    for topics in 0..=4 {
        for topic in 0..topics {
            code = code.raw(&[0x60, 0x10 + topic]);
        }
        code = code.raw(&[0x60, 7 * topics, 0x60, 0, 0xa0 + topics]);
    }
    let contract = stage.deploy(code).await;
    let receipt = stage.call(contract, "0x1", &[]).await;
    let logs = receipt["logs"].as_array().unwrap();
    let topics: Vec<usize> =
        logs.iter().map(|log| log["topics"].as_array().unwrap().len()).collect();
    assert_eq!(topics, [0, 1, 2, 3, 4]);
    stage.pair.verdict();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contracts_are_destroyed_under_the_rules_of_cancun() {
    let mut stage = Stage::start().await;
    let heir = Address::repeat_byte(0xa1);
    // An old contract only gives its coins away.
    let old = Code::default().raw(&[0x73]).raw(heir.as_slice()).raw(&[SELFDESTRUCT]);
    let old = stage.deploy(old).await;
    stage.fund(old, 30).await;
    assert_eq!(stage.balance(heir).await, U256::from(30));
    stage.call(old, "0x1", &[heir]).await;
    assert!(!stage.code(old).await.is_empty());
    // To itself it gives them and keeps them.
    let selfish = stage.deploy(Code::default().raw(&[0x30, SELFDESTRUCT])).await;
    stage.fund(selfish, 7).await;
    assert_eq!(stage.balance(selfish).await, U256::from(7));
    // One of this transaction goes, with what it stored; what it had goes to the heir, or nowhere.
    let brief = |to: u8| [0x60, 1, 0x60, 1, 0x55, 0x60, to, SELFDESTRUCT];
    let selfish = [0x60, 1, 0x60, 1, 0x55, 0x30, SELFDESTRUCT];
    let code = Code::default().create(&brief(0xa5), 2, None).store(0);
    let maker = stage.deploy(code.create(&selfish, 3, None).store(1)).await;
    // Calls with value make them; the payment itself is the call.
    stage.fund(maker, 5).await;
    assert_eq!(stage.balance(maker).await, U256::ZERO);
    assert_eq!(stage.balance(Address::with_last_byte(0xa5)).await, U256::from(2));
    for slot in 0..2 {
        let made = Address::from_word(stage.slot(maker, slot).await.into());
        assert_ne!(made, Address::ZERO);
        assert!(stage.code(made).await.is_empty());
        assert_eq!(stage.slot(made, 1).await, U256::ZERO);
        assert_eq!(stage.balance(made).await, U256::ZERO);
    }
    stage.pair.verdict();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_fail_inside_leave_the_rest_standing() {
    let mut stage = Stage::start().await;
    let forever = stage.deploy(Code::default().raw(&FOREVER)).await;
    let complain = stage.deploy(Code::default().raw(&COMPLAIN)).await;
    let store = stage.deploy(Code::default().raw(&[0x60, 1]).store(9)).await;
    let invalid = stage.deploy(Code::default().raw(&[0xfe])).await;
    // Calls itself with half of its gas, until there is none.
    let deep = Code::default()
        .raw(&[0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x30, 0x5a, 0x60, 1, 0x1c, CALL]);
    let deep = stage.deploy(deep.store(1)).await;
    let code = Code::default()
        .call(CALL, forever, 20_000, 0, 0)
        .store(0)
        .call(CALL, complain, 20_000, 0, 0)
        .store(1)
        .raw(&[0x60, 0xe0, 0x51])
        .store(2)
        .call(STATICCALL, store, 20_000, 0, 0)
        .store(3)
        .call(CALL, invalid, 20_000, 0, 0)
        .store(4)
        .call(CALL, store, 20_000, 1, 0)
        .store(5)
        .call(DELEGATECALL, store, 60_000, 0, 0)
        .store(6)
        .call(CALLCODE, complain, 20_000, 0, 0)
        .store(7)
        .call(CALL, store, 0, 0, 0)
        .store(8);
    let outer = stage.deploy(code).await;
    stage.call(outer, "0x1", &[store]).await;
    let mut slots = Vec::new();
    for slot in 0..10 {
        slots.push(stage.slot(outer, slot).await.to::<u64>());
    }
    // Out of gas, revert and its word, static, invalid, no coins, delegated, revert, no gas; and
    // what the delegated code stored here.
    assert_eq!(slots, [0, 0, 0x2a, 0, 0, 0, 1, 0, 0, 1]);
    assert_eq!(stage.slot(store, 9).await, U256::ZERO);
    stage.call(deep, "0x1", &[]).await;
    assert_eq!(stage.slot(deep, 1).await, U256::ONE);
    // And whole transactions.
    for failing in [forever, complain, invalid] {
        stage.call(failing, "0x0", &[]).await;
    }
    for target in [forever, complain, store, invalid, outer] {
        stage.pair.probe(target).await;
    }
    stage.pair.verdict();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_contract_does_not_come_under_the_address_of_the_first() {
    let mut stage = Stage::start().await;
    // sstore(1, 1); return one byte of code.
    let init = [0x60, 1, 0x60, 1, 0x55, 0x60, 1, 0x60, 0, 0xf3];
    let twice = Code::default().create(&init, 0, Some(3)).store(0).create(&init, 0, Some(3));
    let maker = stage.deploy(twice.store(1)).await;
    stage.call(maker, "0x1", &[]).await;
    let made = Address::from_word(stage.slot(maker, 0).await.into());
    assert_eq!(stage.code(made).await.len(), 1);
    assert_eq!(stage.slot(maker, 1).await, U256::ZERO);
    // In a later transaction neither: both attempts burn what they are given, and nothing is left to
    // write that down.
    stage.call(maker, "0x0", &[made]).await;
    assert_eq!(stage.slot(maker, 0).await, U256::from_be_bytes(made.into_word().0));
    // What is refused as code: a leading 0xef, more than 24 KiB, what reverts, what cannot be paid.
    let refused: [&[u8]; 4] = [
        &[0x60, 0xef, 0x60, 0, 0x53, 0x60, 1, 0x60, 0, 0xf3],
        &[0x61, 0x60, 0x01, 0x60, 0, 0xf3],
        &COMPLAIN,
        &[0x61, 0x20, 0x00, 0x60, 0, 0xf3],
    ];
    for init in refused {
        let maker = stage.deploy(Code::default().create(init, 0, None).store(0)).await;
        stage.call(maker, "0x1", &[]).await;
        assert_eq!(stage.slot(maker, 0).await, U256::ZERO);
    }
    stage.pair.verdict();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn precompiles_fail_alike() {
    let mut stage = Stage::start().await;
    let odd = B256::repeat_byte(0x5a);
    // A precompile, bytes of input that is no point and no signature, and whether that succeeds.
    let cases = [
        (0x01, 0x80, true),
        (0x02, 0x20, true),
        (0x05, 0x60, false),
        (0x06, 0x80, false),
        (0x07, 0x60, false),
        (0x08, 0xc0, false),
        (0x08, 0x20, false),
        (0x09, 0x20, false),
        (0x0a, 0xc0, false),
        (0x0b, 0x20, false),
        (0x0d, 0x20, false),
        (0x0f, 0x20, false),
        (0x10, 0x40, false),
    ];
    for (number, input, succeeds) in cases {
        let code = (0..6).fold(Code::default(), |code, word| code.memory(32 * word, odd));
        let to = Address::with_last_byte(number);
        let contract = stage.deploy(code.call(CALL, to, 40_000, 0, input).store(0)).await;
        stage.call(contract, "0x1", &[]).await;
        let flag = stage.slot(contract, 0).await;
        assert_eq!(flag, U256::from(u8::from(succeeds)), "precompile {number:#x}");
    }
    // secp256r1 says nothing of a signature that is not one.
    let mut to = Address::ZERO;
    to[18] = 1;
    let code = Code::default().call(CALL, to, 40_000, 0, 0xa0).store(0).raw(&[0x3d]).store(1);
    let contract = stage.deploy(code).await;
    stage.call(contract, "0x1", &[]).await;
    assert_eq!(stage.slot(contract, 0).await, U256::ONE);
    assert_eq!(stage.slot(contract, 1).await, U256::ZERO);
    stage.pair.verdict();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_delegate_and_take_it_back() {
    let mut stage = Stage::start().await;
    let account = signer(DELEGATOR).address();
    let log = Code::default().raw(&[0x60, 7]).store(2).raw(&[0x30, 0x60, 0, 0x60, 0, 0xa1]);
    let target = stage.deploy(log).await;
    let act = stage.scribe.delegate(target);
    let receipt = stage.play(act, &[account, target]).await;
    assert_eq!(receipt["logs"][0]["address"], json!(account), "{receipt}");
    assert_eq!(stage.code(account).await, [&[0xef, 0x01, 0x00], target.as_slice()].concat());
    assert_eq!(stage.slot(account, 2).await, U256::from(7));
    let receipt = stage.call(account, "0x1", &[target]).await;
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 1);
    // A delegation to one that delegates is not followed twice; to itself it cannot run.
    let act = stage.scribe.delegate(account);
    stage.play(act, &[account]).await;
    stage.call(account, "0x0", &[]).await;
    let act = stage.scribe.delegate(Address::ZERO);
    stage.play(act, &[account]).await;
    assert!(stage.code(account).await.is_empty());
    let receipt = stage.call(account, "0x1", &[]).await;
    assert_eq!(receipt["logs"], json!([]));
    stage.pair.verdict();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_lists_warm_what_they_name() {
    let mut stage = Stage::start().await;
    // Reads two of its slots and another account's balance.
    let other = Address::repeat_byte(0xa2);
    let code = Code::default().raw(&[0x60, 1, 0x54, 0x50, 0x60, 2, 0x54, 0x50, 0x73]);
    let contract = stage.deploy(code.raw(other.as_slice()).raw(&[0x31, 0x50])).await;
    let plain = stage.call(contract, "0x1", &[]).await;
    let slot = |slot: u8| B256::with_last_byte(slot);
    let item = |address, slots: &[u8]| AccessListItem {
        address,
        storage_keys: slots.iter().map(|number| slot(*number)).collect(),
    };
    let gas = |receipt: &Value| {
        u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap()
    };
    let lists = [
        (vec![], 0),
        // Both slots: 1900 each for 2000 saved, 2400 for the contract, which is warm anyway.
        (vec![item(contract, &[1, 2])], 2400 + 2 * (1900 - 2000)),
        (vec![item(contract, &[1]), item(contract, &[1, 2])], 2 * 2400 + 3 * 1900 - 2 * 2000),
        (vec![item(other, &[])], 2400 - 2500),
        (vec![item(other, &[5]), item(Address::repeat_byte(0xa3), &[])], 2 * 2400 + 1900 - 2500),
    ];
    for (items, more) in lists {
        let act = stage.scribe.listed(contract, Bytes::new(), items);
        let receipt = stage.play(act, &[contract, other]).await;
        let used = i64::try_from(gas(&receipt)).unwrap();
        assert_eq!(used, i64::try_from(gas(&plain)).unwrap() + more, "{receipt}");
    }
    stage.pair.verdict();
}

/// Signs as the first sender.
fn raw(transaction: TxEip1559) -> Bytes {
    let signature = signer(0).sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_refuse_the_same_transactions() {
    let mut stage = Stage::start().await;
    let nobody = Address::repeat_byte(0xa1);
    stage.fund(nobody, 1).await;
    let good = TxEip1559 {
        chain_id: 7357,
        nonce: 1,
        gas_limit: 100_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(nobody),
        ..TxEip1559::default()
    };
    let large = Bytes::from(vec![0; 49_153]);
    let cases = [
        ("nonce too low", TxEip1559 { nonce: 0, ..good.clone() }),
        (
            "insufficient funds",
            TxEip1559 { value: U256::from(10).pow(U256::from(30)), ..good.clone() },
        ),
        ("intrinsic gas too low", TxEip1559 { gas_limit: 20_999, ..good.clone() }),
        ("invalid chain id", TxEip1559 { chain_id: 7358, ..good.clone() }),
        (
            "max priority fee per gas higher",
            TxEip1559 { max_priority_fee_per_gas: 6_000_000_000, ..good.clone() },
        ),
        (
            "max initcode size exceeded",
            TxEip1559 { to: TxKind::Create, gas_limit: 10_000_000, input: large, ..good.clone() },
        ),
    ];
    for (words, transaction) in cases {
        let params = json!([raw(transaction)]);
        let (ours, theirs) = stage.pair.both("eth_sendRawTransaction", params).await;
        assert!(theirs.is_err(), "{words}: anvil takes it");
        let (code, message, data) = ours.unwrap_err();
        assert_eq!((code, data), (-32000, None), "{words}");
        assert!(message.contains(words), "{words}: {message}");
    }
    for bytes in ["0x", "0x02", "0x02c0", "0xf8", "0x7fc0", "0xc0"] {
        let (ours, theirs) = stage.pair.both("eth_sendRawTransaction", json!([bytes])).await;
        assert!(ours.is_err() && theirs.is_err(), "{bytes}: {ours:?} {theirs:?}");
    }
    // None of them left anything behind.
    for client in ["latest", "pending"] {
        let params = json!([signer(0).address(), client]);
        let (ours, theirs) = stage.pair.both("eth_getTransactionCount", params).await;
        assert_eq!((&ours, &theirs), (&Ok(json!("0x1")), &Ok(json!("0x1"))));
    }
    stage.pair.verdict();
}
