//! Every rule at its bound: what just keeps it is taken, what just breaks it is refused in geth's words.

use alloy_consensus::{
    EthereumTxEnvelope, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Signature, TxKind};

use super::*;

const TAKEN: &str = "taken";
const TO: Address = Address::repeat_byte(0xaa);

fn rules(fork: SpecId) -> AdmissionRules {
    AdmissionRules {
        chain_id: 1,
        fork,
        gas_limit: 30_000_000,
        bytes_max: 128 << 10,
        tip_min: 0,
        allow_unprotected: false,
    }
}

/// What is said of a transaction.
fn verdict(transaction: &Transaction, rules: &AdmissionRules) -> String {
    check(transaction, rules).map_or_else(|error| error.to_string(), |()| TAKEN.to_owned())
}

fn signature() -> Signature {
    Signature::new(U256::ONE, U256::ONE, false)
}

fn sent(envelope: TxEnvelope) -> Transaction {
    Transaction::new_unchecked(envelope, Address::repeat_byte(1))
}

fn dynamic(change: impl FnOnce(&mut TxEip1559)) -> Transaction {
    let mut tx = TxEip1559 {
        chain_id: 1,
        gas_limit: 21_000,
        max_fee_per_gas: 1000,
        max_priority_fee_per_gas: 10,
        to: TO.into(),
        ..TxEip1559::default()
    };
    change(&mut tx);
    sent(TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature())))
}

fn legacy(chain_id: Option<u64>, gas_price: u128) -> Transaction {
    let tx =
        TxLegacy { chain_id, gas_price, gas_limit: 21_000, to: TO.into(), ..TxLegacy::default() };
    sent(TxEnvelope::Legacy(Signed::new_unhashed(tx, signature())))
}

fn listing() -> Transaction {
    let tx = TxEip2930 {
        chain_id: 1,
        gas_price: 1000,
        gas_limit: 21_000,
        to: TO.into(),
        ..TxEip2930::default()
    };
    sent(TxEnvelope::Eip2930(Signed::new_unhashed(tx, signature())))
}

fn authorizing(count: usize, gas_limit: u64) -> Transaction {
    let authorization = Authorization { chain_id: U256::ONE, address: TO, nonce: 0 };
    let tx = TxEip7702 {
        chain_id: 1,
        gas_limit,
        max_fee_per_gas: 1000,
        to: TO,
        authorization_list: vec![authorization.into_signed(signature()); count],
        ..TxEip7702::default()
    };
    sent(TxEnvelope::Eip7702(Signed::new_unhashed(tx, signature())))
}

fn with_blobs() -> Transaction {
    let tx = TxEip4844 { chain_id: 1, gas_limit: 21_000, ..TxEip4844::default() };
    let signed = Signed::new_unhashed(tx, signature());
    sent(TxEnvelope::from(EthereumTxEnvelope::<TxEip4844>::Eip4844(signed)))
}

/// With so many zero bytes.
fn data(length: usize, gas_limit: u64) -> Transaction {
    dynamic(|tx| {
        tx.input = vec![0; length].into();
        tx.gas_limit = gas_limit;
    })
}

fn check_all(cases: &[(&AdmissionRules, Transaction, &str)]) {
    for (rules, transaction, expected) in cases {
        assert_eq!(verdict(transaction, rules), *expected, "{transaction:?} under {rules:?}");
    }
}

#[test]
fn gas() {
    let [osaka, prague, cancun] = [SpecId::OSAKA, SpecId::PRAGUE, SpecId::CANCUN].map(rules);
    let gas = |gas_limit| dynamic(|tx| tx.gas_limit = gas_limit);
    check_all(&[
        (&osaka, gas(21_000), TAKEN),
        (&osaka, gas(20_999), "intrinsic gas too low: gas 20999, minimum needed 21000"),
        (&osaka, gas(16_777_216), TAKEN),
        (&osaka, gas(16_777_217), "transaction gas limit too high (cap: 16777216, tx: 16777217)"),
        (&prague, gas(16_777_217), TAKEN),
        (&prague, gas(30_000_000), TAKEN),
        (&prague, gas(30_000_001), "exceeds block gas limit"),
        // Ten per zero byte at least (EIP-7623), and four to begin with.
        (&osaka, data(100, 22_000), TAKEN),
        (
            &osaka,
            data(100, 21_999),
            "insufficient gas for floor data gas cost: gas 21999, minimum needed 22000",
        ),
        (&osaka, data(100, 21_399), "intrinsic gas too low: gas 21399, minimum needed 21400"),
        (&cancun, data(100, 21_400), TAKEN),
        (&osaka, authorizing(1, 46_000), TAKEN),
        (&osaka, authorizing(1, 45_999), "intrinsic gas too low: gas 45999, minimum needed 46000"),
    ]);
}

#[test]
fn sizes() {
    let (osaka, merge) = (rules(SpecId::OSAKA), rules(SpecId::MERGE));
    let large = |length| data(length, 2_000_000);
    let besides = large(100_000).inner().encode_2718_len() - 100_000;
    let largest = (128 << 10) - besides;
    let creating = |length: usize| {
        dynamic(|tx| {
            tx.to = TxKind::Create;
            tx.input = vec![0; length].into();
            tx.gas_limit = 1_000_000;
        })
    };
    check_all(&[
        (&osaka, large(largest), TAKEN),
        (&osaka, large(largest + 1), "oversized data: transaction size 131073, limit 131072"),
        (&osaka, creating(49_152), TAKEN),
        (&osaka, creating(49_153), "max initcode size exceeded: code size 49153 limit 49152"),
        // Before EIP-3860, and of what creates nothing.
        (&merge, creating(49_153), TAKEN),
        (&osaka, data(49_153, 1_000_000), TAKEN),
    ]);
}

#[test]
fn fees_nonces_and_chains() {
    let osaka = rules(SpecId::OSAKA);
    let choosy = AdmissionRules { tip_min: 5, ..osaka.clone() };
    let lenient = AdmissionRules { allow_unprotected: true, ..osaka.clone() };
    let tip = |tip| dynamic(|tx| tx.max_priority_fee_per_gas = tip);
    let nonce = |nonce| dynamic(|tx| tx.nonce = nonce);
    let too_low = "transaction gas price below minimum: gas tip cap 4, minimum needed 5";
    let other_chain = "invalid sender: invalid chain id for signer: have 2 want 1";
    check_all(&[
        (&osaka, tip(0), TAKEN),
        (&osaka, tip(1000), TAKEN),
        (&osaka, tip(1001), "max priority fee per gas higher than max fee per gas"),
        (&choosy, tip(5), TAKEN),
        (&choosy, tip(4), too_low),
        // What has one price offers all of it.
        (&choosy, legacy(Some(1), 5), TAKEN),
        (&choosy, legacy(Some(1), 4), too_low),
        (&osaka, nonce(u64::MAX - 1), TAKEN),
        (&osaka, nonce(u64::MAX), "nonce has max value"),
        (&osaka, dynamic(|tx| tx.chain_id = 2), other_chain),
        (&osaka, legacy(Some(2), 5), other_chain),
        (&osaka, legacy(None, 5), "only replay-protected (EIP-155) transactions allowed over RPC"),
        (&lenient, legacy(None, 5), TAKEN),
        (&lenient, legacy(Some(2), 5), other_chain),
    ]);
}

#[test]
fn kinds() {
    let [istanbul, berlin, london, cancun, prague] =
        [SpecId::ISTANBUL, SpecId::BERLIN, SpecId::LONDON, SpecId::CANCUN, SpecId::PRAGUE]
            .map(rules);
    let plain = || dynamic(|_| ());
    let not_yet = |kind, fork: &str| {
        format!("transaction type not supported: type {kind} rejected, pool not yet in {fork}")
    };
    let (one, two, two_again, four) =
        (not_yet(1, "Berlin"), not_yet(2, "Berlin"), not_yet(2, "London"), not_yet(4, "Prague"));
    check_all(&[
        (&istanbul, legacy(Some(1), 5), TAKEN),
        (&istanbul, listing(), one.as_str()),
        (&berlin, listing(), TAKEN),
        (&istanbul, plain(), two.as_str()),
        (&berlin, plain(), two_again.as_str()),
        (&london, plain(), TAKEN),
        (&cancun, authorizing(1, 100_000), four.as_str()),
        (&prague, authorizing(1, 100_000), TAKEN),
        (
            &prague,
            authorizing(0, 100_000),
            "set code tx must have at least one authorization tuple",
        ),
        (&prague, with_blobs(), "transaction type not supported: received type 3"),
    ]);
}

#[test]
fn accounts() {
    let cost = U256::from(21_000 * 1000 + 7);
    let prepared = |nonce| {
        Prepared::new(dynamic(|tx| {
            tx.nonce = nonce;
            tx.value = U256::from(7);
        }))
    };
    let account = Sender { nonce: 3, balance: cost, code: SenderCode::None };
    let said = |nonce, account: Sender| match check_account(&prepared(nonce), &account) {
        Ok(()) => TAKEN.to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(said(3, account), TAKEN);
    assert_eq!(said(4, account), TAKEN);
    assert_eq!(said(2, account), "nonce too low: next nonce 3, tx nonce 2");
    assert_eq!(said(3, Sender { code: SenderCode::Delegation, ..account }), TAKEN);
    let contract = said(3, Sender { code: SenderCode::Contract, ..account });
    assert_eq!(contract, format!("sender not an eoa: address {}", Address::repeat_byte(1)));
    let poor = Sender { balance: cost - U256::ONE, ..account };
    let text = "insufficient funds for gas * price + value: balance 21000006, tx cost 21000007, \
                overshot 1";
    assert_eq!(said(3, poor), text);
}
