//! What happens when the disk fails.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{TxKind, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use redb::{StorageBackend, backends::InMemoryBackend};

use super::*;
use crate::store::StoreOptions;

/// Storage in memory that outlives its database and can be made to run full.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    content: Arc<InMemoryBackend>,
    pub(super) full: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self { content: Arc::new(InMemoryBackend::new()), full: Arc::default() }
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
    let genesis = Genesis {
        chain_id: 5,
        timestamp: 1_700_000_000,
        gas_limit: 30_000_000,
        base_fee: 7,
        balances: vec![(signer().address(), U256::from(1_u128 << 100))],
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
