//! What happens when the disk fails, and which of those that wait go into a block.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{Signature, TxKind, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use redb::{StorageBackend, backends::InMemoryBackend};

use super::*;
use crate::{block::Transaction, pool::Prepared, store::StoreOptions};

/// Storage in memory that outlives its database and can be made to run full, or not to be read.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    content: Arc<InMemoryBackend>,
    pub(super) full: Arc<AtomicBool>,
    pub(super) unreadable: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new() -> Self {
        let content = Arc::new(InMemoryBackend::new());
        Self { content, full: Arc::default(), unreadable: Arc::default() }
    }

    fn check(&self) -> Result<(), io::Error> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.content.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(io::Error::other("a bad sector"));
        }
        self.content.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        self.content.set_len(len)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        self.content.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        self.content.write(offset, data)
    }
}

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).unwrap()
}

pub(super) fn open(disk: &Disk) -> Node {
    let options =
        StoreOptions { cache_bytes: 1 << 20, history_blocks: 100, ..StoreOptions::default() };
    open_on(Store::on_backend(disk.clone(), &options).unwrap()).unwrap()
}

pub(super) fn open_on(store: Store) -> Option<Node> {
    open_with(store, 0)
}

/// A node with the coins of [`signer`] and with so many other accounts.
pub(super) fn open_with(store: Store, others: u64) -> Option<Node> {
    let others = (0..others).map(|other| {
        // None of them is a precompiled contract.
        let address = Address::from_word(B256::from(U256::from(other + (1 << 32))));
        (address, U256::ONE)
    });
    let genesis = Genesis {
        chain_id: 5,
        timestamp: 1_700_000_000,
        gas_limit: 30_000_000,
        base_fee: 7,
        balances: std::iter::once((signer().address(), U256::from(1_u128 << 100)))
            .chain(others)
            .collect(),
        ..Genesis::default()
    };
    let clock = Clock::manual(1_800_000_000);
    Node::open(store, &genesis, Limits::default(), clock, Address::ZERO).ok()
}

pub(super) fn transfer(nonce: u64) -> Vec<u8> {
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
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
}

#[test]
fn a_full_disk_halts_the_chain_and_loses_nothing() {
    let disk = Disk::new();
    let node = open(&disk);
    node.submit(&transfer(0)).unwrap();
    let first = node.produce(false).unwrap().unwrap();
    assert_eq!(first.header.number, 1);

    disk.full.store(true, Ordering::SeqCst);
    node.submit(&transfer(1)).unwrap();
    assert!(node.produce(false).is_err());
    // Nothing was shown that is not stored, what waits still waits, and nothing more is taken.
    assert_eq!(node.head().header.hash(), first.header.hash());
    assert_eq!(node.pool().len(), 1);
    let refused = node.submit(&transfer(2)).unwrap_err();
    assert!(matches!(refused, SubmitError::Halted(_)), "{refused}");
    assert!(node.produce(false).is_err());

    // There is room again: the node goes on by itself.
    disk.full.store(false, Ordering::SeqCst);
    let second = node.produce(false).unwrap().unwrap();
    assert_eq!(second.header.number, 2);
    assert_eq!(second.header.parent_hash, first.header.hash());
    let account = second.snapshot.account(&signer().address()).unwrap().unwrap();
    assert_eq!(account.nonce, 2);
    assert_eq!(node.pool().len(), 0);
    node.submit(&transfer(2)).unwrap();
    assert_eq!(node.produce(false).unwrap().unwrap().header.number, 3);
    drop((first, second, node));

    let node = open(&disk);
    assert_eq!(node.head().header.number, 3);
    node.submit(&transfer(3)).unwrap();
    assert_eq!(node.produce(false).unwrap().unwrap().header.number, 4);
}

/// Contracts draw lots with block hashes: nobody may know the next one from what the node shows.
#[test]
fn the_next_randomness_is_not_the_pending_block_s_and_another_in_each_run() {
    let nodes = [open(&Disk::new()), open(&Disk::new())];
    let parents = nodes.each_ref().map(|node| node.head());
    assert_eq!(parents[0].header.hash(), parents[1].header.hash());
    let shown = nodes.each_ref().map(|node| node.next_attributes(&node.head().header).prev_randao);
    let made = nodes.each_ref().map(|node| node.produce(true).unwrap().unwrap().header.mix_hash);
    assert_eq!(shown[0], shown[1]);
    assert!(!shown.contains(&made[0]) && !shown.contains(&made[1]));
    assert_ne!(made[0], made[1]);
}

#[test]
fn two_blocks_in_one_second_share_their_timestamp() {
    let node = open(&Disk::new());
    let first = node.produce(true).unwrap().unwrap();
    let second = node.produce(true).unwrap().unwrap();
    assert_eq!(first.header.timestamp, second.header.timestamp);
    assert_ne!(first.header.mix_hash, second.header.mix_hash);
    assert!(node.produce(false).unwrap().is_none());
}

/// A node with coins for the addresses that are one of these bytes over and over.
fn rich(senders: std::ops::RangeInclusive<u8>) -> Node {
    let genesis = Genesis {
        chain_id: 5,
        timestamp: 1_700_000_000,
        gas_limit: 30_000_000,
        base_fee: 7,
        balances: senders
            .map(|who| (Address::repeat_byte(who), U256::from(1_u128 << 100)))
            .collect(),
        ..Genesis::default()
    };
    let store = Store::in_memory(&StoreOptions::default()).unwrap();
    let clock = Clock::manual(1_800_000_000);
    Node::open(store, &genesis, Limits::default(), clock, Address::ZERO).unwrap()
}

/// Lets a transfer wait that nobody checks before it comes to a block.
fn wait(node: &Node, who: u8, change: impl FnOnce(&mut TxEip1559)) {
    let mut tx = TxEip1559 {
        chain_id: 5,
        gas_limit: 21_000,
        max_fee_per_gas: 2000,
        max_priority_fee_per_gas: 500,
        to: TxKind::Call(Address::repeat_byte(0xaa)),
        ..TxEip1559::default()
    };
    change(&mut tx);
    let signature = Signature::new(U256::from(who), U256::ONE, false);
    let envelope = TxEnvelope::from(tx.into_signed(signature));
    let transaction = Transaction::new_unchecked(envelope, Address::repeat_byte(who));
    node.admit(Prepared::new(transaction)).unwrap();
}

/// What does not fit is left for the next block, and smaller ones that pay less are still looked for,
/// but not without end.
#[test]
fn a_block_is_closed_after_64_in_a_row_that_do_not_fit() {
    for (misfits, expected) in [(63, 2), (64, 1)] {
        let node = rich(1..=200);
        wait(&node, 1, |tx| tx.max_priority_fee_per_gas = 1000);
        for who in 2..2 + misfits {
            wait(&node, who, |tx| tx.gas_limit = 30_000_000);
        }
        wait(&node, 200, |tx| tx.max_priority_fee_per_gas = 1);
        let head = node.produce(false).unwrap().unwrap();
        assert_eq!(head.header.gas_used, expected * 21_000, "{misfits}");
        let left = usize::from(misfits) + 2 - usize::try_from(expected).unwrap();
        assert_eq!(node.pool().counts(), (left, 0));
    }
}

#[test]
fn what_turns_out_not_to_be_valid_is_dropped_by_the_one_who_writes_the_block() {
    let node = rich(1..=2);
    // It offers a larger tip than it would pay at all.
    wait(&node, 1, |tx| tx.max_priority_fee_per_gas = 3000);
    wait(&node, 1, |tx| tx.nonce = 1);
    wait(&node, 2, |_| ());
    // Somebody else's block may become the chain's.
    let parent = node.head().header.clone();
    let attributes = BlockAttributes {
        timestamp: parent.timestamp + 1,
        gas_limit: parent.gas_limit,
        ..BlockAttributes::default()
    };
    let proposed = node.propose(&parent.hash(), attributes).unwrap();
    assert_eq!(proposed.block.transactions.len(), 1);
    assert_eq!(node.pool().counts(), (3, 0));
    let head = node.produce(false).unwrap().unwrap();
    assert_eq!(head.header.gas_used, 21_000);
    // What came after it waits for another one of its nonce.
    assert_eq!(node.pool().counts(), (0, 1));
}
