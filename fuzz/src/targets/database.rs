//! A whole database some of whose records are damaged: redb's own checksums would find a flipped bit, but not a
//! record that was written wrongly, by another version or by a failing machine.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use alloy::{
    consensus::{SignableTransaction as _, TxEip1559, TxEnvelope},
    primitives::{Address, B256, Bytes, TxKind, U256},
    signers::SignerSync as _,
};
use redb::{
    Database, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction,
};
use tilth_chain::{
    Genesis,
    block::Transaction,
    execution::{BlockAttributes, BlockBuilder},
    fsck::{Level, Options},
    state::{Commitment, StateCommitment as _, StateReader as _},
    store::{LogKey, Snapshot, Store, StoreOptions},
};

use crate::fixture;

/// Memory that outlives the databases opened on it.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Vec<u8>>>);

impl Disk {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.with(|bytes| bytes.len()) as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.with(|bytes| {
            let start = place(offset);
            let found = bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(found);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.with(|bytes| bytes.resize(place(len), 0));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.with(|bytes| {
            let start = place(offset);
            let found =
                bytes.get_mut(start..start + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            found.copy_from_slice(data);
            Ok(())
        })
    }
}

/// Blocks of the chain that is damaged.
const BLOCKS: u64 = 5;

fn options() -> StoreOptions {
    StoreOptions { cache_bytes: 1 << 20, history_blocks: 3, ..StoreOptions::default() }
}

fn genesis() -> Genesis {
    let mut genesis = fixture::genesis();
    // More accounts than a subtree without records may have.
    genesis.balances.extend((1..90).map(|seed| (Address::repeat_byte(seed), U256::from(seed))));
    genesis
}

/// A sound database, as bytes.
fn sound() -> &'static [u8] {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let disk = Disk::default();
        let store = Store::on_backend(disk.clone(), &options()).expect("a database in memory");
        let first = genesis().execute().expect("a sound genesis");
        store.commit(&first.block, &first.receipts, &first.diff).expect("room");
        let mut commitment = Commitment::load(&store.snapshot().expect("open")).expect("sound");
        for number in 1..=BLOCKS {
            add_block(&store, &mut commitment, number);
            if number == BLOCKS - 2 {
                store.save_tries(&mut commitment).expect("room");
            }
        }
        drop(store);
        disk.with(|bytes| bytes.clone())
    })
}

fn add_block(store: &Store, commitment: &mut Commitment, number: u64) {
    let spec = genesis().spec();
    let snapshot = store.snapshot().expect("open");
    let parent = snapshot.head().expect("sound").expect("a genesis");
    let attributes = BlockAttributes {
        timestamp: parent.timestamp + 2,
        gas_limit: parent.gas_limit,
        ..BlockAttributes::default()
    };
    let mut builder =
        BlockBuilder::new(&spec, &parent, attributes, &snapshot).expect("a block can be begun");
    let contract = fixture::signer(0).address().create(0);
    let (to, input) = match number {
        1 => (TxKind::Create, fixture::deploying(&fixture::register())),
        _ => (TxKind::Call(contract), fixture::words(&[number, number * 7])),
    };
    let added = builder.add(signed(number - 1, to, input)).expect("sound");
    added.expect("the transaction is good");
    let (executed, advance) = builder.seal(commitment, &snapshot).expect("sound");
    store.commit(&executed.block, &executed.receipts, &executed.diff).expect("room");
    commitment.adopt(advance);
}

fn signed(nonce: u64, to: TxKind, input: Bytes) -> Transaction {
    let tx = TxEip1559 {
        chain_id: fixture::genesis().chain_id,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 3,
        to,
        input,
        ..TxEip1559::default()
    };
    let signer = fixture::signer(0);
    let signature = signer.sign_hash_sync(&tx.signature_hash()).expect("a key signs");
    Transaction::new_unchecked(TxEnvelope::Eip1559(tx.into_signed(signature)), signer.address())
}

/// Instructions that are used up from the front; zeros at the end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => u64::MAX - u64::from(self.byte()),
            small => u64::from(small),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }

    /// Another value in the place of one; `None` takes it away.
    fn changed(&mut self, value: &[u8]) -> Option<Vec<u8>> {
        let mut value = value.to_vec();
        let at = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        let at = at % value.len().max(1);
        match self.byte() % 6 {
            0 => return None,
            1 => value.truncate(at),
            2 => value = self.bytes(),
            3 => {
                let more = self.bytes();
                value.splice(at.min(value.len())..at.min(value.len()), more);
            }
            4 if !value.is_empty() => value[at] = self.byte(),
            _ if !value.is_empty() => value[at] ^= 1 << (self.byte() % 8),
            _ => value.push(self.byte()),
        }
        Some(value)
    }
}

/// Damages one record of a table whose values are bytes. The key may become another.
macro_rules! spoil {
    ($transaction:expr, $script:expr, $name:literal, $key:ty, $own:expr, $other:expr, $borrowed:expr) => {{
        let definition = TableDefinition::<$key, &[u8]>::new($name);
        let mut table = $transaction.open_table(definition).expect("a table");
        let nth = u64::from($script.byte()) % table.len().expect("sound").max(1);
        let picked = table.iter().expect("sound").nth(place(nth)).map(|entry| {
            let (key, value) = entry.expect("sound");
            (($own)(key.value()), value.value().to_vec())
        });
        if let Some((mut key, value)) = picked {
            let changed = $script.changed(&value);
            if $script.byte() % 4 == 0 {
                ($other)(&mut key, $script);
            }
            match changed {
                Some(value) => drop(table.insert($borrowed(&key), value.as_slice()).expect("room")),
                None => drop(table.remove($borrowed(&key)).expect("room")),
            }
        }
    }};
}

fn spoil(disk: &Disk, script: &mut Script<'_>) {
    let database = Database::builder().create_with_backend(disk.clone()).expect("sound");
    let transaction = database.begin_write().expect("open");
    while !script.0.is_empty() {
        let (t, s) = (&transaction, &mut *script);
        let number = |number: u64| number;
        let other_number = |key: &mut u64, s: &mut Script<'_>| *key = s.number();
        let list = <[u8]>::to_vec;
        let other_list = |key: &mut Vec<u8>, s: &mut Script<'_>| *key = s.bytes();
        fn array<const N: usize>(key: &[u8; N]) -> [u8; N] {
            *key
        }
        fn array_of<const N: usize>(key: &[u8; N]) -> &[u8; N] {
            key
        }
        fn other_array<const N: usize>(key: &mut [u8; N], s: &mut Script<'_>) {
            key[usize::from(s.byte()) % N] = s.byte();
        }
        match s.byte() % 16 {
            0 => spoil!(t, s, "headers", u64, number, other_number, u64::clone),
            1 => spoil!(t, s, "bodies", u64, number, other_number, u64::clone),
            2 => spoil!(t, s, "receipts", u64, number, other_number, u64::clone),
            3 => spoil!(t, s, "changed", u64, number, other_number, u64::clone),
            4 => spoil!(t, s, "log_tail", u64, number, other_number, u64::clone),
            5 => spoil!(t, s, "log_sections", u64, number, other_number, u64::clone),
            6 => spoil!(t, s, "log_blocks", &[u8; 9], array::<9>, other_array::<9>, array_of::<9>),
            7 => {
                spoil!(t, s, "accounts", &[u8; 32], array::<32>, other_array::<32>, array_of::<32>)
            }
            8 => spoil!(t, s, "codes", &[u8; 32], array::<32>, other_array::<32>, array_of::<32>),
            9 => spoil!(t, s, "storage", &[u8; 64], array::<64>, other_array::<64>, array_of::<64>),
            10 => spoil!(
                t,
                s,
                "old_accounts",
                &[u8; 40],
                array::<40>,
                other_array::<40>,
                array_of::<40>
            ),
            11 => spoil!(
                t,
                s,
                "old_storage",
                &[u8; 72],
                array::<72>,
                other_array::<72>,
                array_of::<72>
            ),
            12 => spoil!(t, s, "account_nodes", &[u8], list, other_list, Vec::as_slice),
            13 => spoil!(t, s, "storage_nodes", &[u8], list, other_list, Vec::as_slice),
            14 => spoil_log_index(t, s),
            _ => spoil_places(t, s),
        }
    }
    transaction.commit().expect("room");
}

/// Puts in a section of the log index, which otherwise comes only after thousands of blocks.
fn spoil_log_index(transaction: &WriteTransaction, script: &mut Script<'_>) {
    let sections = TableDefinition::<u64, &[u8]>::new("log_sections");
    let mut sections = transaction.open_table(sections).expect("a table");
    let count = [script.byte(), script.byte()];
    let record = [&count[..], &[script.byte(); 256]].concat();
    let first = script.number();
    drop(sections.insert(first, record.as_slice()).expect("room"));
    let blocks = TableDefinition::<&[u8; 9], &[u8]>::new("log_blocks");
    let mut blocks = transaction.open_table(blocks).expect("a table");
    let mut at = [script.byte(); 9];
    at[1..].copy_from_slice(&first.to_be_bytes());
    drop(blocks.insert(&at, script.bytes().as_slice()).expect("room"));
}

/// Lets indices and facts point elsewhere.
fn spoil_places(transaction: &WriteTransaction, script: &mut Script<'_>) {
    let meta = TableDefinition::<&str, u64>::new("meta");
    let mut meta = transaction.open_table(meta).expect("a table");
    drop(meta.insert("trie", script.number()).expect("room"));
    let places = TableDefinition::<&[u8; 32], (u64, u32)>::new("transactions");
    let mut places = transaction.open_table(places).expect("a table");
    let first = places.first().expect("sound").map(|(hash, _)| *hash.value());
    if let Some(hash) = first {
        let place = (script.number(), u32::from(script.byte()));
        drop(places.insert(&hash, place).expect("room"));
    }
    let numbers = TableDefinition::<&[u8; 32], u64>::new("numbers");
    let mut numbers = transaction.open_table(numbers).expect("a table");
    let first = numbers.first().expect("sound").map(|(hash, _)| *hash.value());
    if let Some(hash) = first {
        drop(numbers.insert(&hash, script.number()).expect("room"));
    }
}

/// Reads and checks everything in a database whose records were damaged.
pub fn database(data: &[u8]) {
    if data.len() > 4096 {
        return;
    }
    let disk = Disk::default();
    disk.with(|bytes| bytes.extend_from_slice(sound()));
    spoil(&disk, &mut Script(data));
    let Ok(store) = Store::on_backend(disk.clone(), &options()) else { return };
    let snapshot = store.snapshot().expect("the tables are there");
    read(&snapshot);
    drop(snapshot);
    if let Ok(mut commitment) = store.commitment() {
        let _ = store.save_tries(&mut commitment);
    }
    let _ = store.prune_history(64);
    let _ = store.prune_bodies(64);
    let check = |level, repair| store.fsck(Options { level, repair }, &mut |_| {});
    let _ = check(Level::Quick, false);
    let Ok(before) = check(Level::Full, false) else { return };
    let Ok(repaired) = check(Level::Full, true) else { return };
    assert_eq!(before.findings, repaired.findings, "the same check found something else");
    let _ = check(Level::Full, false);
}

fn read(snapshot: &Snapshot) {
    let contract = fixture::signer(0).address().create(0);
    let _ = snapshot.head();
    let _ = snapshot.oldest_state();
    for number in (0..=BLOCKS + 1).chain([u64::MAX]) {
        let _ = snapshot.transactions(number);
        let _ = snapshot.receipts(number);
        let _ = (snapshot.transaction_at(number, 0), snapshot.receipt_at(number, 0));
        let _ = snapshot.receipts_with(number, |_, topics| !topics.is_empty());
        if let Ok(Some(hash)) = snapshot.hash_of(number) {
            let _ = snapshot.number_of(&hash);
        }
        if let Ok(state) = snapshot.state_at(number) {
            let _ = state.storage(&contract, &U256::from(number));
            let _ = state.storage_entries(&contract);
            let account = state.account(&contract);
            if let Ok(Some(account)) = account {
                let _ = state.code(&account.code_hash);
            }
        }
    }
    let _ = snapshot.place_of(&B256::ZERO);
    let by_address = vec![LogKey::address(&contract)];
    for conditions in [vec![], vec![by_address]] {
        let mut search = snapshot.find_logs(0..=u64::MAX, conditions);
        let mut steps = 0;
        while let Ok(Some(_)) = search.step() {
            steps += 1;
            assert!(steps < 10_000, "a search goes on for ever at {}", search.reached());
        }
    }
}
