//! What waits outlives the process, and comes back from blocks that were abandoned.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy},
    eips::eip2718::Encodable2718,
    primitives::{TxKind, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};

use super::*;
use crate::{
    block::{Block, Transaction},
    pool::PoolLimits,
    store::StoreOptions,
};

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).unwrap()
}

fn open() -> Node {
    open_with(Limits::default())
}

fn open_with(limits: Limits) -> Node {
    let genesis = Genesis {
        chain_id: 5,
        timestamp: 1_700_000_000,
        gas_limit: 30_000_000,
        base_fee: 7,
        balances: vec![(signer().address(), U256::from(1_u128 << 100))],
        ..Genesis::default()
    };
    let options =
        StoreOptions { cache_bytes: 1 << 20, history_blocks: 100, ..StoreOptions::default() };
    let store = Store::in_memory(&options).unwrap();
    let clock = Clock::manual(1_800_000_000);
    Node::open(store, &genesis, limits, clock, Address::ZERO).unwrap()
}

fn transfer(nonce: u64) -> TxEnvelope {
    let tx = TxEip1559 {
        chain_id: 5,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1000,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::ONE,
        ..TxEip1559::default()
    };
    let signature = signer().sign_hash_sync(&tx.signature_hash()).unwrap();
    tx.into_signed(signature).into()
}

fn raw(nonce: u64) -> Vec<u8> {
    transfer(nonce).encoded_2718()
}

#[test]
fn what_waits_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool.journal");
    let node = open();
    assert_eq!(node.attach_journal(path.clone()).unwrap(), 0);
    for nonce in [0, 1, 2, 5] {
        node.submit(&raw(nonce)).unwrap();
    }
    // Killed: nothing is written at the end, and a record is torn.
    drop(node);
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(&[200, 0, 0, 0, 1, 2, 3]);
    std::fs::write(&path, torn).unwrap();
    let node = open();
    assert_eq!(node.attach_journal(path.clone()).unwrap(), 4);
    assert_eq!(node.pool().counts(), (3, 1));
    node.submit(&raw(6)).unwrap();
    node.produce(false).unwrap().unwrap();
    node.rewrite_journal().unwrap();
    assert_eq!(node.pool().counts(), (0, 2));
    drop(node);
    // The chain was in memory, so its nonces start again; what was mined is not in the journal.
    let node = open();
    assert_eq!(node.attach_journal(path).unwrap(), 2);
    assert_eq!(node.pool().counts(), (0, 2));
}

/// What was mined does not stay in the journal, however long the node runs.
#[test]
fn a_journal_that_has_grown_is_rewritten_with_what_waits() {
    let large = |nonce| {
        let tx = TxEip1559 {
            chain_id: 5,
            nonce,
            gas_limit: 1_300_000,
            max_fee_per_gas: 1000,
            to: TxKind::Call(Address::repeat_byte(1)),
            input: vec![0; 120_000].into(),
            ..TxEip1559::default()
        };
        let signature = signer().sign_hash_sync(&tx.signature_hash()).unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool.journal");
    let bytes = || std::fs::metadata(&path).unwrap().len();
    let node = open();
    node.attach_journal(path.clone()).unwrap();
    for nonce in 0..20 {
        node.submit(&large(nonce)).unwrap();
    }
    node.produce(false).unwrap().unwrap();
    assert!(node.pool().is_empty());
    // At 4 MiB.
    for nonce in 20..34 {
        node.submit(&large(nonce)).unwrap();
    }
    assert!(bytes() > 34 * 120_000);
    node.submit(&large(34)).unwrap();
    let left = bytes();
    assert!((15 * 120_000..16 * 120_000).contains(&left), "{left} bytes");
    drop(node);
    // The last one is in it, too.
    let node = open();
    assert_eq!(node.attach_journal(path.clone()).unwrap(), 15);
}

#[test]
fn what_is_configured_holds_for_what_is_sent() {
    let said = |node: &Node, raw: &[u8]| match node.submit(raw) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    };
    let choosy = open_with(Limits { tip_min: 1, ..Limits::default() });
    let poor = "transaction gas price below minimum: gas tip cap 0, minimum needed 1";
    assert_eq!(said(&choosy, &raw(0)), poor);

    let length = raw(0).len();
    let [narrow, wide] = [length - 1, length].map(|transaction_bytes_max| {
        open_with(Limits { transaction_bytes_max, ..Limits::default() })
    });
    let large = format!("oversized data: transaction size {length}, limit {}", length - 1);
    assert_eq!(said(&narrow, &raw(0)), large);
    assert_eq!(said(&wide, &raw(0)), "taken");

    let unprotected = {
        let tx = TxLegacy {
            chain_id: None,
            gas_price: 1000,
            gas_limit: 21_000,
            to: TxKind::Call(Address::repeat_byte(1)),
            ..TxLegacy::default()
        };
        let signature = signer().sign_hash_sync(&tx.signature_hash()).unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
    };
    let lenient = open_with(Limits { allow_unprotected: true, ..Limits::default() });
    let strict = "only replay-protected (EIP-155) transactions allowed over RPC";
    assert_eq!(said(&open(), &unprotected), strict);
    assert_eq!(said(&lenient, &unprotected), "taken");

    let pool = PoolLimits { per_sender_max: 1, ..PoolLimits::default() };
    let small = open_with(Limits { pool, ..Limits::default() });
    assert_eq!(said(&small, &raw(0)), "taken");
    assert_eq!(said(&small, &raw(1)), "account limit exceeded: pooled 1 txs");
}

#[test]
fn many_are_prepared_in_order() {
    let node = open();
    let mut many: Vec<Vec<u8>> = (0..100).map(raw).collect();
    many[50] = vec![0x05, 1, 2];
    many[51] = Vec::new();
    let prepared = node.prepare_all(&many);
    for (nonce, prepared) in (0..).zip(&prepared) {
        match (nonce, prepared) {
            (50, Err(error)) => assert_eq!(error.to_string(), "transaction type not supported"),
            (51, Err(error)) => assert_eq!(error.to_string(), "typed transaction too short"),
            (_, Ok(prepared)) => {
                assert_eq!(prepared.transaction.nonce(), nonce);
                assert_eq!(prepared.transaction.signer(), signer().address());
            }
            (_, Err(error)) => panic!("{nonce}: {error}"),
        }
    }
    assert!(node.prepare_all::<Vec<u8>>(&[]).is_empty());
}

#[test]
fn transactions_of_an_abandoned_block_wait_again() {
    let node = open();
    let transactions = (0..3).map(|n| Transaction::new_unchecked(transfer(n), signer().address()));
    let header = node.head().header.clone();
    let abandoned = Block::new(header, transactions.collect());
    assert_eq!(node.reinject(std::slice::from_ref(&abandoned), &[]).unwrap(), 3);
    assert_eq!(node.pool().counts(), (3, 0));
    let mined = node.produce(false).unwrap().unwrap();
    assert_eq!(mined.header.gas_used, 3 * 21_000);
    assert_eq!(node.reinject(&[abandoned], &[]).unwrap(), 0);
}

#[test]
fn what_came_back_from_an_abandoned_block_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool.journal");
    let node = open();
    node.attach_journal(path.clone()).unwrap();
    let transactions = (0..3).map(|n| Transaction::new_unchecked(transfer(n), signer().address()));
    let abandoned = Block::new(node.head().header.clone(), transactions.collect());
    assert_eq!(node.reinject(&[abandoned], &[]).unwrap(), 3);
    drop(node);
    let node = open();
    assert_eq!(node.attach_journal(path).unwrap(), 3);
}
