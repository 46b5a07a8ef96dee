//! Everything the chain keeps, in one redb database with one crash-atomic transaction per block.
//!
//! What is written for a block appears as a whole or not at all, whenever the process dies: header,
//! transactions, receipts, indices, the changed state, and for each changed value the one from
//! before, from which old states are read ([`HistoricState`]). Readers work on snapshots and never
//! wait for the writer. Upper nodes of the tries are stored now and then; the state alone is the truth.

mod bodies;
mod forks;
pub(crate) mod history;
mod install;
mod snapshot;
pub(crate) mod tables;
mod tries;
mod verify;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use alloy_primitives::{B256, U256, map::B256Map};
use redb::{Database, ReadableDatabase, ReadableTable, backends::InMemoryBackend};
use revm::bytecode::Bytecode;

pub use crate::log_index::{LogKey, LogSearch};
pub use history::HistoricState;
pub use snapshot::Snapshot;
pub use verify::verify_block;

use crate::{
    block::{Block, ExecutedReceipt, SealedHeader, encode_body},
    log_index,
    state::{StateDiff, StateError},
};
use tables::*;

/// Version of the layout below; a database of another version is refused.
const LAYOUT: u64 = 2;

/// File size in bytes above which commits do the extra work (6 ms instead of 3 ms for a small
/// block on the machine of 2026-11-22) that makes opening after a crash instant. Below it, redb's
/// walk through the whole file takes some 100 ms at the most.
const QUICK_REPAIR_BYTES: u64 = 128 << 20;

/// How often, in blocks, the size is looked at.
const SIZE_CHECK_BLOCKS: u64 = 64;

/// Blocks whose earlier values or bodies one commit drops at the most, so that lowering the retention
/// does not hold up the chain.
const PRUNE_BLOCKS_MAX: usize = 8;

/// Analysed code kept in memory.
const CODES_MAX: usize = 512;

/// The chain's database.
#[derive(Debug)]
pub struct Store {
    /// `None` after a failed [`Store::reopen`].
    database: RwLock<Option<Database>>,
    place: Place,
    cache_bytes: usize,
    codes: CodeCache,
    history_blocks: u64,
    body_blocks: u64,
    tries_unsaved_max: usize,
    tries_nodes_max: usize,
    /// Whether commits save what a quick opening after a crash needs.
    quick_repair: AtomicBool,
    /// The block at which the stored tries stand.
    saved_at: AtomicU64,
}

/// Analysed code by hash, shared by all readers.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeCache(Arc<Mutex<B256Map<Bytecode>>>);

/// How the database is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes of pages cached in memory.
    pub cache_bytes: usize,
    /// Blocks behind the head whose state stays readable; 0 is the head alone, `u64::MAX` all.
    pub history_blocks: u64,
    /// Blocks behind the head whose transactions, receipts and logs are kept, at least 128;
    /// `u64::MAX` for all.
    pub body_blocks: u64,
    /// Changed keys after which the tries' stored nodes are brought up to date: opening after a
    /// crash applies about so many, some 10 us each.
    pub tries_unsaved_max: usize,
    /// Trie nodes and entries kept in memory, 100 to 200 bytes each.
    pub tries_nodes_max: usize,
}

/// For fuzzing, see [`crate::hostile`]: reads bytes as each kind of record that is not RLP of its own.
pub(crate) fn every_record(bytes: &[u8]) {
    let _ = history::parse_changed(bytes);
    let _ = value_from(bytes);
    let _ = snapshot::decode_header(bytes);
    log_index::every_record(bytes);
}

/// Opens a database on a storage of its own.
type Opener = dyn Fn(&redb::Builder) -> Result<Database, redb::DatabaseError> + Send + Sync;

/// Where a database is.
enum Place {
    Memory,
    File(PathBuf),
    Backend(Box<Opener>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory => f.write_str("Memory"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Backend(_) => f.write_str("Backend"),
        }
    }
}

impl Place {
    fn open(&self, cache_bytes: usize) -> Result<Database, StateError> {
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        match self {
            Self::Memory => builder.create_with_backend(InMemoryBackend::new()),
            Self::File(path) => {
                if !path.exists() {
                    create(&builder, path)?;
                }
                builder.create(path)
            }
            Self::Backend(open) => open(&builder),
        }
        .map_err(StateError::database)
    }
}

/// Makes an empty database under another name first: one that was not finished when the process
/// died would never open.
fn create(builder: &redb::Builder, path: &Path) -> Result<(), StateError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = PathBuf::from(name);
    let io = |error: std::io::Error| StateError::database(redb::Error::Io(error));
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    if let Err(error) = builder.create(&unfinished) {
        // Of no use to anybody; that it cannot be removed either is not worth an error more.
        let _ = std::fs::remove_file(&unfinished);
        return Err(StateError::database(error));
    }
    std::fs::rename(&unfinished, path).map_err(io)?;
    // The name is on disk only once the folder is.
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
        }
        _ => Ok(()),
    }
}

fn closed() -> StateError {
    StateError::database(redb::Error::DatabaseClosed)
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::from(&crate::Limits::default())
    }
}

impl From<&crate::Limits> for StoreOptions {
    fn from(limits: &crate::Limits) -> Self {
        Self {
            cache_bytes: limits.database_cache_bytes,
            history_blocks: limits.history_blocks,
            body_blocks: limits.body_blocks,
            tries_unsaved_max: limits.trie_unsaved_max,
            tries_nodes_max: limits.trie_nodes_max,
        }
    }
}

impl Store {
    /// Opens or creates the database file.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StateError> {
        Self::at(Place::File(path.to_owned()), options)
    }

    fn check_size(&self) {
        let Place::File(file) = &self.place else { return };
        let large = std::fs::metadata(file).is_ok_and(|file| file.len() > QUICK_REPAIR_BYTES);
        self.quick_repair.store(large, Ordering::Relaxed);
    }

    /// A database in memory.
    pub fn in_memory(options: &StoreOptions) -> Result<Self, StateError> {
        Self::at(Place::Memory, options)
    }

    /// A database on storage of any kind; clones of `backend` stand for the same storage.
    pub fn on_backend(
        backend: impl redb::StorageBackend + Clone,
        options: &StoreOptions,
    ) -> Result<Self, StateError> {
        let place =
            Place::Backend(Box::new(move |builder| builder.create_with_backend(backend.clone())));
        Self::at(place, options)
    }

    fn at(place: Place, options: &StoreOptions) -> Result<Self, StateError> {
        let database = place.open(options.cache_bytes)?;
        let store = Self {
            database: RwLock::new(Some(database)),
            place,
            cache_bytes: options.cache_bytes,
            codes: CodeCache::default(),
            history_blocks: options.history_blocks,
            body_blocks: options.body_blocks,
            tries_unsaved_max: options.tries_unsaved_max,
            tries_nodes_max: options.tries_nodes_max,
            quick_repair: AtomicBool::new(false),
            saved_at: AtomicU64::new(0),
        };
        store.check_size();
        store.check_layout()?;
        store.saved_at.store(store.tries_saved_at()?.unwrap_or_default(), Ordering::Relaxed);
        Ok(store)
    }

    /// Closes the database and opens it again: after an error of the disk it refuses all work until
    /// then. Snapshots taken before fail from now on. If it cannot be opened, everything fails until
    /// the next attempt succeeds.
    pub fn reopen(&self) -> Result<(), StateError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old one holds the file's lock.
        drop(database.take());
        *database = Some(self.place.open(self.cache_bytes)?);
        drop(database);
        self.check_layout()?;
        self.saved_at.store(self.tries_saved_at()?.unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }

    fn check_layout(&self) -> Result<(), StateError> {
        let transaction = self.begin_write()?;
        {
            let mut meta = transaction.open_table(META).map_err(StateError::database)?;
            let found = meta.get("layout").map_err(StateError::database)?.map(|v| v.value());
            match found {
                // Tables that came later are made in a database that lacks them.
                Some(LAYOUT) if self.snapshot().is_ok() => return Ok(()),
                Some(LAYOUT) => {}
                Some(_) => return Err(StateError::Damaged { what: "layout version" }),
                None => {
                    meta.insert("layout", LAYOUT).map_err(StateError::database)?;
                }
            }
        }
        create_all(&transaction).map_err(|e| StateError::Database(Box::new(e)))?;
        transaction.commit().map_err(StateError::database)
    }

    pub(crate) fn begin_write(&self) -> Result<redb::WriteTransaction, StateError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(closed)?;
        database.begin_write().map_err(StateError::database)
    }

    pub(crate) fn begin_read(&self) -> Result<redb::ReadTransaction, StateError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(closed)?;
        database.begin_read().map_err(StateError::database)
    }

    /// The id of the stored chain; an empty database becomes the home of chain `wanted`.
    pub fn chain_id(&self, wanted: u64) -> Result<u64, StateError> {
        let transaction = self.begin_write()?;
        {
            let mut meta = transaction.open_table(META).map_err(StateError::database)?;
            let found = meta.get("chain").map_err(StateError::database)?.map(|v| v.value());
            if let Some(found) = found {
                return Ok(found);
            }
            meta.insert("chain", wanted).map_err(StateError::database)?;
        }
        transaction.commit().map_err(StateError::database)?;
        Ok(wanted)
    }

    /// The number of the last block, or `None` in an empty database.
    pub fn head(&self) -> Result<Option<u64>, StateError> {
        let transaction = self.begin_read()?;
        let headers = transaction.open_table(HEADERS).map_err(StateError::database)?;
        let last = headers.last().map_err(StateError::database)?;
        Ok(last.map(|(number, _)| number.value()))
    }

    /// A consistent view of everything as of now. Pages it sees are kept while it lives, so do not
    /// hold one for longer than a request or a block.
    pub fn snapshot(&self) -> Result<Snapshot, StateError> {
        let transaction = self.begin_read()?;
        Snapshot::new(&transaction, self.codes.clone(), self.history_blocks)
            .map_err(|e| StateError::Database(Box::new(e)))
    }

    /// Writes a block and its effects, all or nothing. Writing a block that is already there is a
    /// no-op; any other block than the head's child is refused.
    ///
    /// # Errors
    /// `StateError::Damaged` when the block is neither known nor the next one.
    pub fn commit(
        &self,
        block: &Block,
        receipts: &[ExecutedReceipt],
        diff: &StateDiff,
    ) -> Result<(), StateError> {
        let number = block.header.number;
        match self.head()? {
            Some(head) if number <= head => {
                let known = self.snapshot()?.hash_of(number)?;
                return if known == Some(block.header.hash()) {
                    Ok(())
                } else {
                    Err(StateError::Damaged { what: "sequence of blocks" })
                };
            }
            Some(head) if number != head + 1 => {
                return Err(StateError::Damaged { what: "sequence of blocks" });
            }
            _ => {}
        }
        let transaction = self.begin_write()?;
        self.write(transaction, block, receipts, diff)
            .map_err(|e| StateError::Database(Box::new(e)))
    }

    /// The last block whose earlier values are needed neither for the states to be kept behind
    /// `head` nor for bringing the stored tries up to date.
    fn expired(&self, head: u64) -> Option<u64> {
        let unkept = head.checked_sub(self.history_blocks.checked_add(1)?)?;
        Some(unkept.min(self.saved_at.load(Ordering::Relaxed)))
    }

    /// The first block that stays whole when `head` is the last one.
    fn first_kept_body(&self, head: u64) -> u64 {
        head.saturating_sub(self.body_blocks.max(bodies::BODIES_MIN))
    }

    /// Drops earlier values beyond the retention, from at most `blocks_max` blocks, and returns from
    /// how many; none means that was all. A chain in use prunes itself; this is for one whose
    /// retention was lowered.
    pub fn prune_history(&self, blocks_max: usize) -> Result<usize, StateError> {
        let head = self.head()?.unwrap_or_default();
        let Some(last) = self.expired(head) else { return Ok(0) };
        self.pruning(|transaction| history::prune(transaction, last, blocks_max))
    }

    /// Drops transactions, receipts and logs beyond the retention, as [`Self::prune_history`].
    pub fn prune_bodies(&self, blocks_max: usize) -> Result<usize, StateError> {
        let keep = self.first_kept_body(self.head()?.unwrap_or_default());
        self.pruning(|transaction| bodies::prune(transaction, keep, blocks_max))
    }

    fn pruning(
        &self,
        prune: impl FnOnce(&redb::WriteTransaction) -> Result<usize, redb::Error>,
    ) -> Result<usize, StateError> {
        let transaction = self.begin_write()?;
        let pruned = prune(&transaction).map_err(|error| StateError::Database(Box::new(error)))?;
        transaction.commit().map_err(StateError::database)?;
        Ok(pruned)
    }

    /// Gives space that is no longer used back to the file system. Needs the database for itself
    /// and may take long; returns whether anything moved.
    pub fn compact(&mut self) -> Result<bool, StateError> {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        database.as_mut().ok_or_else(closed)?.compact().map_err(StateError::database)
    }

    fn write(
        &self,
        mut transaction: redb::WriteTransaction,
        block: &Block,
        receipts: &[ExecutedReceipt],
        diff: &StateDiff,
    ) -> Result<(), redb::Error> {
        let number = block.header.number;
        if number.is_multiple_of(SIZE_CHECK_BLOCKS) {
            self.check_size();
        }
        transaction.set_quick_repair(self.quick_repair.load(Ordering::Relaxed));
        write_block(&transaction, block, receipts)?;
        write_state(&transaction, number, diff)?;
        if let Some(last) = self.expired(number) {
            history::prune(&transaction, last, PRUNE_BLOCKS_MAX)?;
        }
        bodies::prune(&transaction, self.first_kept_body(number), PRUNE_BLOCKS_MAX)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Writes a block with its indices.
fn write_block(
    transaction: &redb::WriteTransaction,
    block: &Block,
    receipts: &[ExecutedReceipt],
) -> Result<(), redb::Error> {
    let number = block.header.number;
    let header = alloy_rlp::encode(block.header.inner());
    transaction.open_table(HEADERS)?.insert(number, header.as_slice())?;
    let body = encode_body(block);
    transaction.open_table(BODIES)?.insert(number, body.as_slice())?;
    let receipts_rlp = alloy_rlp::encode(receipts.to_vec());
    transaction.open_table(RECEIPTS)?.insert(number, receipts_rlp.as_slice())?;
    let hashes = block.transactions.iter().map(|tx| tx.inner().tx_hash());
    index_block(transaction, &block.header, hashes, receipts)
}

/// Writes what can be made anew from a block's header alone.
pub(crate) fn index_header(
    transaction: &redb::WriteTransaction,
    header: &SealedHeader,
) -> Result<(), redb::Error> {
    transaction.open_table(NUMBERS)?.insert(&header.hash().0, header.number)?;
    Ok(())
}

/// Writes what can be made anew from a block's header, transactions and receipts.
pub(crate) fn index_block<'a>(
    transaction: &redb::WriteTransaction,
    header: &SealedHeader,
    hashes: impl Iterator<Item = &'a B256>,
    receipts: &[ExecutedReceipt],
) -> Result<(), redb::Error> {
    let number = header.number;
    index_header(transaction, header)?;
    log_index::append(transaction, number, receipts)?;
    let mut places = transaction.open_table(TRANSACTIONS)?;
    for (index, hash) in (0u32..).zip(hashes) {
        places.insert(&hash.0, (number, index))?;
    }
    Ok(())
}

fn write_state(
    transaction: &redb::WriteTransaction,
    number: u64,
    diff: &StateDiff,
) -> Result<(), redb::Error> {
    let mut accounts = transaction.open_table(ACCOUNTS)?;
    let mut storage = transaction.open_table(STORAGE)?;
    let mut old_accounts = transaction.open_table(OLD_ACCOUNTS)?;
    let mut old_storage = transaction.open_table(OLD_STORAGE)?;
    let mut changed = Vec::new();
    for (account, change) in &diff.accounts {
        let before = change.before.map(alloy_rlp::encode).unwrap_or_default();
        old_accounts.insert(&old_account_key(account, number), before.as_slice())?;
        changed.extend_from_slice(account.as_slice());
        let slot_count = change.slots.len() as u64;
        changed.extend_from_slice(&slot_count.to_be_bytes());
        match &change.after {
            Some(after) => {
                accounts.insert(&account.0, alloy_rlp::encode(after).as_slice())?;
            }
            None => {
                accounts.remove(&account.0)?;
            }
        }
        for (slot, value) in &change.slots {
            let key = storage_key(account, slot);
            changed.extend_from_slice(slot.as_slice());
            let before = value.before.to_be_bytes_trimmed_vec();
            old_storage.insert(&old_storage_key(&key, number), before.as_slice())?;
            if value.after.is_zero() {
                storage.remove(&key)?;
            } else {
                storage.insert(&key, value.after.to_be_bytes_trimmed_vec().as_slice())?;
            }
        }
    }
    transaction.open_table(CHANGED)?.insert(number, changed.as_slice())?;
    let mut codes = transaction.open_table(CODES)?;
    for (hash, code) in &diff.codes {
        codes.insert(&hash.0, code.as_ref())?;
    }
    Ok(())
}

impl CodeCache {
    fn get(&self, hash: &B256) -> Option<Bytecode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    fn put(&self, hash: B256, code: Bytecode) {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= CODES_MAX {
            // Rare, and any choice is right: the next read analyses the code again.
            codes.clear();
        }
        codes.insert(hash, code);
    }
}

pub(crate) fn value_from(bytes: &[u8]) -> Result<U256, StateError> {
    U256::try_from_be_slice(bytes).ok_or(StateError::Damaged { what: "storage" })
}
