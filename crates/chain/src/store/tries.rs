//! The tries' records: saving them now and then, and finding back to the last block's tries when
//! the database is opened.
//!
//! Records stand at the block that `meta.tries` names, which may lie behind the head. The keys
//! changed since are known, so opening applies only those; the root must then be the header's.
//! Whatever is wrong or missing here is made anew from the flat state, which alone is the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::atomic::Ordering,
};

use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;
use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::{Snapshot, Store, history, tables::*};
use crate::{
    state::{
        AccountNodes, ChangedKeys, Commitment, CommitmentStore, StateError, StorageNodes,
        TrieSource, decode_account,
    },
    trie::{Change, Loader, NodeSource, NodeStore, Prefix, Trie},
};

/// Name of the block at which the records stand, among the facts about the database. As `trie` it stood for
/// records of smaller subtrees than are kept today: such are made anew.
const SAVED: &str = "tries";

/// Blocks after which the tries are saved even if little has changed.
const SAVE_BLOCKS: u64 = 1024;

/// Entries put into a trie at once while it is made anew.
const REBUILD_BATCH: usize = 16_384;

impl Store {
    /// The tries at the last block. Loads only what has changed since they were last saved.
    ///
    /// The caller compares the root with the header's; a difference means the state is damaged.
    pub fn commitment(&self) -> Result<Commitment, StateError> {
        let snapshot = self.snapshot()?;
        match self.catch_up(&snapshot) {
            Ok(Some(commitment)) => return Ok(commitment),
            Ok(None) => {
                tracing::info!(
                    "there are no stored tries to go on from, or of an older version: they are made anew"
                );
            }
            Err(error @ StateError::Damaged { .. }) => {
                tracing::warn!(%error, "the stored tries do not fit; they are made anew");
            }
            Err(error) => return Err(error),
        }
        self.rebuild_tries()
    }

    pub(crate) fn catch_up(&self, snapshot: &Snapshot) -> Result<Option<Commitment>, StateError> {
        let head = snapshot.head()?.ok_or(StateError::Damaged { what: "header" })?;
        let Some(saved) = self.tries_saved_at()? else { return Ok(None) };
        let Some(from) = snapshot.header(saved)? else { return Ok(None) };
        let Some(changed) = snapshot.changed_keys(saved + 1..=head.number, usize::MAX)? else {
            return Ok(None);
        };
        let before = snapshot.kept_state_at(saved);
        let storage_root = |account: &B256| {
            let account = before.account_by_key(account)?.unwrap_or_default();
            Ok(account.storage_root)
        };
        let commitment = Commitment::catch_up(&from.state_root, &changed, storage_root, snapshot)?;
        if commitment.accounts().root() != head.state_root {
            return Err(StateError::Damaged { what: "trie" });
        }
        self.saved_at.store(saved, Ordering::Relaxed);
        Ok(Some(commitment.with_nodes_max(self.tries_nodes_max)))
    }

    /// The block at which the stored tries stand.
    pub fn tries_saved_at(&self) -> Result<Option<u64>, StateError> {
        let transaction = self.begin_read()?;
        let meta = transaction.open_table(META).map_err(StateError::database)?;
        Ok(meta.get(SAVED).map_err(StateError::database)?.map(|block| block.value()))
    }

    /// Saves the tries if much has changed or too much is in memory. `commitment` stands at the
    /// last block. Take a new snapshot afterwards: nodes may have been dropped from memory that
    /// only the new one can load.
    pub fn save_tries_if_due(&self, commitment: &mut Commitment) -> Result<(), StateError> {
        let head = self.head()?.unwrap_or_default();
        let saved = self.saved_at.load(Ordering::Relaxed);
        let is_due = commitment.unsaved_keys() >= self.tries_unsaved_max
            || head.saturating_sub(saved) >= SAVE_BLOCKS
            || commitment.is_over_bound();
        if is_due { self.save_tries(commitment) } else { Ok(()) }
    }

    /// Saves the tries, so that the next opening has nothing to do. `commitment` stands at the last
    /// block. Take a new snapshot afterwards, as with [`Self::save_tries_if_due`].
    pub fn save_tries(&self, commitment: &mut Commitment) -> Result<(), StateError> {
        let snapshot = self.snapshot()?;
        let head = snapshot.head()?.ok_or(StateError::Damaged { what: "header" })?;
        if commitment.accounts().root() != head.state_root {
            return Err(StateError::Damaged { what: "trie" });
        }
        let transaction = self.begin_write()?;
        commitment.save(&snapshot, &mut Records::open(&transaction)?)?;
        self.finish_saving(transaction, head.number)?;
        commitment.saved();
        Ok(())
    }

    fn finish_saving(&self, transaction: WriteTransaction, head: u64) -> Result<(), StateError> {
        {
            let mut meta = transaction.open_table(META).map_err(StateError::database)?;
            // An older version must not take these records for its own.
            meta.remove("trie").map_err(StateError::database)?;
            meta.insert(SAVED, head).map_err(StateError::database)?;
        }
        transaction.commit().map_err(StateError::database)?;
        self.saved_at.store(head, Ordering::Relaxed);
        Ok(())
    }

    /// Makes all tries and their records anew from the flat state, in bounded memory. If the root
    /// is not the last header's, nothing is written and the caller sees the wrong root.
    pub fn rebuild_tries(&self) -> Result<Commitment, StateError> {
        let snapshot = self.snapshot()?;
        let head = snapshot.head()?.ok_or(StateError::Damaged { what: "header" })?;
        let nodes = AccountNodes { source: &snapshot };
        let mut accounts = Rebuild::new(&nodes);
        let mut with_storage = 0;
        snapshot.each_account(|key, rlp| {
            with_storage += u64::from(decode_account(rlp)?.storage_root != EMPTY_ROOT_HASH);
            accounts.push(key, rlp.to_vec())
        })?;
        let trie = accounts.finish()?;
        let root = trie.root();
        if root != head.state_root {
            return Ok(Commitment::stored(&root));
        }
        let transaction = self.begin_write()?;
        {
            let mut records = Records::open(&transaction)?;
            records.accounts.retain(|_, _| false).map_err(StateError::database)?;
            records.storages.retain(|_, _| false).map_err(StateError::database)?;
            trie.save(&Loader::new(&nodes), &mut *records.records(None)?)?;
            if rebuild_storages(&snapshot, &mut records)? != with_storage {
                return Err(StateError::Damaged { what: "storage" });
            }
        }
        self.finish_saving(transaction, head.number)?;
        Ok(Commitment::stored(&root).with_nodes_max(self.tries_nodes_max))
    }

    /// How many records are wrong, missing or too many, found by making all of them anew in
    /// memory. The records stand at the head.
    pub(crate) fn wrong_records(&self) -> Result<u64, StateError> {
        let snapshot = self.snapshot()?;
        let nodes = AccountNodes { source: &snapshot };
        let mut accounts = Rebuild::new(&nodes);
        snapshot.each_account(|key, rlp| accounts.push(key, rlp.to_vec()))?;
        let mut found = Compare { table: &snapshot.account_nodes, owner: None, seen: 0, wrong: 0 };
        accounts.finish()?.save(&Loader::new(&nodes), &mut found)?;
        let mut wrong = found.finish()?;
        let mut seen = 0;
        let mut owner = snapshot.next_storage_owner(None)?;
        while let Some(account) = owner {
            let nodes = StorageNodes { source: &snapshot, account };
            let mut storage = Rebuild::new(&nodes);
            snapshot
                .each_slot(&account, |slot, value| storage.push(slot, alloy_rlp::encode(value)))?;
            let (table, owner_of) = (&snapshot.storage_nodes, Some(account));
            let mut found = Compare { table, owner: owner_of, seen: 0, wrong: 0 };
            storage.finish()?.save(&Loader::new(&nodes), &mut found)?;
            (seen, wrong) = (seen + found.seen, wrong + found.wrong);
            owner = snapshot.next_storage_owner(Some(&account))?;
        }
        let table = &snapshot.storage_nodes;
        wrong += Compare { table, owner: None, seen, wrong: 0 }.finish()?;
        Ok(wrong)
    }
}

/// Makes the records of all storage tries and returns how many accounts have storage.
fn rebuild_storages(snapshot: &Snapshot, records: &mut Records<'_>) -> Result<u64, StateError> {
    let mut count = 0;
    let mut owner = snapshot.next_storage_owner(None)?;
    while let Some(account) = owner {
        let nodes = StorageNodes { source: snapshot, account };
        let mut storage = Rebuild::new(&nodes);
        snapshot.each_slot(&account, |slot, value| storage.push(slot, alloy_rlp::encode(value)))?;
        let trie = storage.finish()?;
        let rlp = snapshot.account_leaf(&account)?;
        let wanted = rlp.map(|rlp| decode_account(&rlp)).transpose()?;
        if wanted.is_none_or(|wanted| wanted.storage_root != trie.root()) {
            return Err(StateError::Damaged { what: "storage" });
        }
        trie.save(&Loader::new(&nodes), &mut *records.records(Some(&account))?)?;
        owner = snapshot.next_storage_owner(Some(&account))?;
        count += 1;
    }
    Ok(count)
}

/// A trie made from entries in order, holding no more than its upper nodes.
struct Rebuild<'a> {
    trie: Trie,
    pending: Vec<Change>,
    nodes: FlatOnly<'a>,
}

/// The entries of a source without its records, which may be wrong.
struct FlatOnly<'a>(&'a dyn NodeSource);

impl NodeSource for FlatOnly<'_> {
    fn record(&self, _: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }
    fn entries(&self, at: &Prefix) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        self.0.entries(at)
    }
}

impl<'a> Rebuild<'a> {
    fn new(nodes: &'a dyn NodeSource) -> Self {
        Self { trie: Trie::default(), pending: Vec::new(), nodes: FlatOnly(nodes) }
    }

    fn push(&mut self, key: B256, value: Vec<u8>) -> Result<(), StateError> {
        self.pending.push((key, Some(value)));
        if self.pending.len() >= REBUILD_BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StateError> {
        // A subtree dropped after one batch and loaded for the next has the next one's entries
        // already: that is what entries ahead means.
        let loader = Loader::new(&self.nodes).with_entries_ahead();
        let trie = self.trie.updated(&self.pending, &loader)?;
        self.trie = trie.without_small_subtrees();
        self.pending.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Trie, StateError> {
        self.flush()?;
        Ok(self.trie)
    }
}

/// Compares records that ought to be there with those that are.
struct Compare<'a> {
    table: &'a ReadOnlyTable<&'static [u8], &'static [u8]>,
    owner: Option<B256>,
    /// Records that are there, right or wrong.
    seen: u64,
    /// Records that are wrong or missing.
    wrong: u64,
}

impl Compare<'_> {
    /// Wrong and missing records, and those that ought not to be there.
    fn finish(self) -> Result<u64, StateError> {
        let stored = self.table.len().map_err(StateError::database)?;
        Ok(self.wrong + stored.saturating_sub(self.seen))
    }
}

impl NodeStore for Compare<'_> {
    fn get(&mut self, _: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }

    fn put(&mut self, at: &Prefix, record: &[u8]) -> Result<(), StateError> {
        let key = node_key(self.owner.as_ref(), at);
        let stored = self.table.get(key.as_slice()).map_err(StateError::database)?;
        self.seen += u64::from(stored.is_some());
        self.wrong += u64::from(stored.is_none_or(|stored| stored.value() != record));
        Ok(())
    }

    fn remove_below(&mut self, _: &Prefix) -> Result<(), StateError> {
        Ok(())
    }
}

/// The tables of records, being written.
pub(super) struct Records<'t> {
    accounts: Table<'t, &'static [u8], &'static [u8]>,
    storages: Table<'t, &'static [u8], &'static [u8]>,
}

impl<'t> Records<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StateError> {
        Ok(Self {
            accounts: transaction.open_table(ACCOUNT_NODES).map_err(StateError::database)?,
            storages: transaction.open_table(STORAGE_NODES).map_err(StateError::database)?,
        })
    }
}

impl CommitmentStore for Records<'_> {
    fn records(&mut self, owner: Option<&B256>) -> Result<Box<dyn NodeStore + '_>, StateError> {
        // The lifetime of a table's transaction is invariant, so each kind is borrowed by itself.
        Ok(match owner {
            None => Box::new(Part { table: &mut self.accounts, owner: None }),
            Some(owner) => Box::new(Part { table: &mut self.storages, owner: Some(*owner) }),
        })
    }
}

struct Part<'a, 't> {
    table: &'a mut Table<'t, &'static [u8], &'static [u8]>,
    owner: Option<B256>,
}

impl NodeStore for Part<'_, '_> {
    fn get(&mut self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        let key = node_key(self.owner.as_ref(), at);
        let found = self.table.get(key.as_slice()).map_err(StateError::database)?;
        Ok(found.map(|record| record.value().to_vec()))
    }

    fn put(&mut self, at: &Prefix, record: &[u8]) -> Result<(), StateError> {
        let key = node_key(self.owner.as_ref(), at);
        self.table.insert(key.as_slice(), record).map_err(StateError::database)?;
        Ok(())
    }

    fn remove_below(&mut self, at: &Prefix) -> Result<(), StateError> {
        let first = node_key(self.owner.as_ref(), at);
        // Nibbles are below 16, so this is behind everything that begins like `first`.
        let mut last = first.clone();
        last.push(0xff);
        self.table
            .retain_in::<&[u8], _>(first.as_slice()..last.as_slice(), |_, _| false)
            .map_err(StateError::database)
    }
}

impl Snapshot {
    /// The keys changed in these blocks, or `None` if that is no longer known or more than `max`
    /// were changed, counting a key once for every block.
    pub(crate) fn changed_keys(
        &self,
        blocks: RangeInclusive<u64>,
        max: usize,
    ) -> Result<Option<ChangedKeys>, StateError> {
        let mut changed: BTreeMap<B256, BTreeSet<B256>> = BTreeMap::new();
        let mut count = 0;
        for block in blocks {
            if count > max {
                return Ok(None);
            }
            let Some(keys) = self.changed.get(block).map_err(StateError::database)? else {
                return Ok(None);
            };
            for (account, slots) in history::parse_changed(keys.value())? {
                count += 1 + slots.len();
                changed.entry(account).or_default().extend(slots);
            }
        }
        let in_order = |(account, slots): (B256, BTreeSet<B256>)| {
            (account, slots.into_iter().collect::<Vec<_>>())
        };
        Ok(Some(changed.into_iter().map(in_order).collect()))
    }
}
