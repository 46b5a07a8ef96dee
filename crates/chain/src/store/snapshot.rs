//! A consistent, read-only view of the database.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::KECCAK_EMPTY;
use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTable, Value};
use revm::bytecode::Bytecode;

use super::{CodeCache, bodies::FIRST_BODY, tables::*, value_from};
use crate::{
    block::{
        Body, ExecutedReceipt, SealedHeader, Transaction, TransactionPlace, decode_body,
        decode_body_at, decode_receipt_at, receipts_with,
    },
    log_index::{LOG_BLOCKS, LOG_SECTIONS, LOG_TAIL},
    state::{AccountState, StateError, StateReader, TrieSource, analysed, decode_account},
    trie::Prefix,
};

/// The chain and the state after its last block, as of one moment. Cheap to make, safe to share.
pub struct Snapshot {
    pub(crate) headers: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) numbers: ReadOnlyTable<&'static [u8; 32], u64>,
    pub(crate) bodies: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) receipts: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) log_tail: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) log_sections: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) log_blocks: ReadOnlyTable<&'static [u8; 9], &'static [u8]>,
    pub(crate) transactions: ReadOnlyTable<&'static [u8; 32], (u64, u32)>,
    pub(crate) accounts: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub(crate) storage: ReadOnlyTable<&'static [u8; 64], &'static [u8]>,
    pub(crate) stored_codes: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub(crate) old_accounts: ReadOnlyTable<&'static [u8; 40], &'static [u8]>,
    pub(crate) old_storage: ReadOnlyTable<&'static [u8; 72], &'static [u8]>,
    pub(crate) changed: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) account_nodes: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(crate) storage_nodes: ReadOnlyTable<&'static [u8], &'static [u8]>,
    codes: CodeCache,
    /// Blocks behind the last one whose state may be asked for.
    history_blocks: u64,
    /// The first block with transactions and receipts, 0 if none were dropped.
    pub(super) bodies_from: u64,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) fn new(
        transaction: &ReadTransaction,
        codes: CodeCache,
        history_blocks: u64,
    ) -> Result<Self, redb::Error> {
        let bodies_from = transaction.open_table(META)?.get(FIRST_BODY)?.map(|first| first.value());
        Ok(Self {
            headers: transaction.open_table(HEADERS)?,
            numbers: transaction.open_table(NUMBERS)?,
            bodies: transaction.open_table(BODIES)?,
            receipts: transaction.open_table(RECEIPTS)?,
            log_tail: transaction.open_table(LOG_TAIL)?,
            log_sections: transaction.open_table(LOG_SECTIONS)?,
            log_blocks: transaction.open_table(LOG_BLOCKS)?,
            transactions: transaction.open_table(TRANSACTIONS)?,
            accounts: transaction.open_table(ACCOUNTS)?,
            storage: transaction.open_table(STORAGE)?,
            stored_codes: transaction.open_table(CODES)?,
            old_accounts: transaction.open_table(OLD_ACCOUNTS)?,
            old_storage: transaction.open_table(OLD_STORAGE)?,
            changed: transaction.open_table(CHANGED)?,
            account_nodes: transaction.open_table(ACCOUNT_NODES)?,
            storage_nodes: transaction.open_table(STORAGE_NODES)?,
            codes,
            history_blocks,
            bodies_from: bodies_from.unwrap_or_default(),
        })
    }

    /// The last block's header.
    pub fn head(&self) -> Result<Option<SealedHeader>, StateError> {
        let last = self.headers.last().map_err(StateError::database)?;
        last.map(|(_, header)| decode_header(header.value())).transpose()
    }

    /// The oldest block whose state can be read.
    pub fn oldest_state(&self) -> Result<u64, StateError> {
        let last = self.headers.last().map_err(StateError::database)?;
        let head = last.map_or(0, |(number, _)| number.value());
        let first = self.changed.first().map_err(StateError::database)?;
        // With the changes of block k and all later ones the state after k - 1 can be read.
        let kept = first.map_or(head, |(block, _)| block.value().saturating_sub(1));
        Ok(kept.max(head.saturating_sub(self.history_blocks)))
    }

    /// A header by number.
    pub fn header(&self, number: u64) -> Result<Option<SealedHeader>, StateError> {
        read(&self.headers, number)?.map(|header| decode_header(header.value())).transpose()
    }

    /// Hash of the block with this number.
    pub fn hash_of(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok(self.header(number)?.map(|header| header.hash()))
    }

    /// Number of the block with this hash.
    pub fn number_of(&self, hash: &B256) -> Result<Option<u64>, StateError> {
        Ok(read(&self.numbers, &hash.0)?.map(|number| number.value()))
    }

    /// The transactions of a block.
    pub fn transactions(&self, number: u64) -> Result<Option<Vec<Transaction>>, StateError> {
        Ok(self.body(number)?.map(|body| body.transactions))
    }

    /// What a block carries besides its header.
    pub fn body(&self, number: u64) -> Result<Option<Body>, StateError> {
        let Some(body) = read(&self.bodies, number)? else { return self.dropped(number) };
        decode_body(body.value()).map(Some).ok_or(StateError::Damaged { what: "body" })
    }

    /// One transaction of a block.
    pub fn transaction_at(
        &self,
        number: u64,
        index: usize,
    ) -> Result<Option<Transaction>, StateError> {
        let Some(body) = read(&self.bodies, number)? else { return self.dropped(number) };
        Ok(decode_body_at(body.value(), index))
    }

    /// One receipt of a block.
    pub fn receipt_at(
        &self,
        number: u64,
        index: usize,
    ) -> Result<Option<ExecutedReceipt>, StateError> {
        let Some(receipts) = read(&self.receipts, number)? else { return self.dropped(number) };
        Ok(decode_receipt_at(receipts.value(), index))
    }

    /// The receipts of a block, in the order of its transactions.
    pub fn receipts(&self, number: u64) -> Result<Option<Vec<ExecutedReceipt>>, StateError> {
        let damaged = |_| StateError::Damaged { what: "receipts" };
        let Some(receipts) = read(&self.receipts, number)? else { return self.dropped(number) };
        alloy_rlp::decode_exact(receipts.value()).map(Some).map_err(damaged)
    }

    /// Where a transaction was mined.
    pub fn place_of(&self, hash: &B256) -> Result<Option<TransactionPlace>, StateError> {
        Ok(read(&self.transactions, &hash.0)?.map(|place| {
            let (block, index) = place.value();
            TransactionPlace { block, index }
        }))
    }

    /// Which receipts of a block have a log that `wanted` accepts by its address and topics.
    pub fn receipts_with(
        &self,
        number: u64,
        wanted: impl FnMut(&Address, &[B256]) -> bool,
    ) -> Result<Vec<usize>, StateError> {
        let Some(stored) = read(&self.receipts, number)? else {
            return Ok(self.dropped(number)?.unwrap_or_default());
        };
        receipts_with(stored.value(), wanted).ok_or(StateError::Damaged { what: "receipts" })
    }

    /// Calls `visit` with every account by hashed address, ascending, as RLP.
    pub fn each_account(
        &self,
        mut visit: impl FnMut(B256, &[u8]) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        for entry in self.accounts.iter().map_err(StateError::database)? {
            let (key, rlp) = entry.map_err(StateError::database)?;
            visit(B256::from(key.value()), rlp.value())?;
        }
        Ok(())
    }

    /// Calls `visit` with every storage slot of an account by hashed slot, ascending.
    pub fn each_slot(
        &self,
        account: &B256,
        mut visit: impl FnMut(B256, U256) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let first = storage_key(account, &B256::ZERO);
        let last = storage_key(account, &B256::repeat_byte(0xff));
        let entries = self.storage.range::<&[u8; 64]>(&first..=&last);
        for entry in entries.map_err(StateError::database)? {
            let (key, value) = entry.map_err(StateError::database)?;
            visit(B256::from_slice(&key.value()[32..]), value_from(value.value())?)?;
        }
        Ok(())
    }

    /// The first account with storage after `account` in the order of hashed addresses.
    pub fn next_storage_owner(&self, account: Option<&B256>) -> Result<Option<B256>, StateError> {
        let after = match account {
            None => [0; 64],
            Some(account) => storage_key(account, &B256::repeat_byte(0xff)),
        };
        let end = [0xff; 64];
        let mut entries =
            self.storage.range::<&[u8; 64]>(&after..=&end).map_err(StateError::database)?;
        for entry in &mut entries {
            let (key, _) = entry.map_err(StateError::database)?;
            let owner = B256::from_slice(&key.value()[..32]);
            if Some(&owner) != account {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    pub(crate) fn account_by_key(&self, key: &B256) -> Result<Option<AccountState>, StateError> {
        read(&self.accounts, &key.0)?.map(|rlp| decode_account(rlp.value())).transpose()
    }

    pub(crate) fn storage_by_key(&self, key: &[u8; 64]) -> Result<U256, StateError> {
        read(&self.storage, key)?.map_or(Ok(U256::ZERO), |value| value_from(value.value()))
    }
}

impl StateReader for Snapshot {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        self.account_by_key(&keccak256(address))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let slot = keccak256(slot.to_be_bytes::<32>());
        self.storage_by_key(&storage_key(&keccak256(address), &slot))
    }

    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        if *hash == KECCAK_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.codes.get(hash) {
            return Ok(code);
        }
        let stored = read(&self.stored_codes, &hash.0)?.ok_or(StateError::MissingCode(*hash))?;
        let code = analysed(Bytes::copy_from_slice(stored.value()));
        self.codes.put(*hash, code.clone());
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.hash_of(number)?.unwrap_or_default())
    }

    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        self.storage_leaves(&keccak256(address))
    }
}

impl TrieSource for Snapshot {
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        self.accounts_between(&B256::ZERO, &B256::repeat_byte(0xff))
    }

    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError> {
        self.storage_between(account, &B256::ZERO, &B256::repeat_byte(0xff))
    }

    fn accounts_between(
        &self,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        let entries = self.accounts.range::<&[u8; 32]>(&first.0..=&last.0);
        let mut leaves = Vec::new();
        for entry in entries.map_err(StateError::database)? {
            let (key, rlp) = entry.map_err(StateError::database)?;
            leaves.push((B256::from(key.value()), rlp.value().to_vec()));
        }
        Ok(leaves)
    }

    fn storage_between(
        &self,
        account: &B256,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        let (first, last) = (storage_key(account, first), storage_key(account, last));
        let entries = self.storage.range::<&[u8; 64]>(&first..=&last);
        let mut leaves = Vec::new();
        for entry in entries.map_err(StateError::database)? {
            let (key, value) = entry.map_err(StateError::database)?;
            leaves.push((B256::from_slice(&key.value()[32..]), value_from(value.value())?));
        }
        Ok(leaves)
    }

    fn account_leaf(&self, account: &B256) -> Result<Option<Vec<u8>>, StateError> {
        Ok(read(&self.accounts, &account.0)?.map(|rlp| rlp.value().to_vec()))
    }

    fn storage_leaf(&self, account: &B256, slot: &B256) -> Result<U256, StateError> {
        self.storage_by_key(&storage_key(account, slot))
    }

    fn node_record(
        &self,
        owner: Option<&B256>,
        at: &Prefix,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let table = if owner.is_some() { &self.storage_nodes } else { &self.account_nodes };
        let key = node_key(owner, at);
        Ok(read(table, key.as_slice())?.map(|record| record.value().to_vec()))
    }
}

fn read<'k, K: Key + 'static, V: Value + 'static>(
    table: &ReadOnlyTable<K, V>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
) -> Result<Option<redb::AccessGuard<'static, V>>, StateError> {
    table.get(key).map_err(StateError::database)
}

pub(super) fn decode_header(rlp: &[u8]) -> Result<SealedHeader, StateError> {
    let header: Header =
        alloy_rlp::decode_exact(rlp).map_err(|_| StateError::Damaged { what: "header" })?;
    // The stored bytes are the canonical encoding, so their hash is the block's.
    Ok(SealedHeader::new_unchecked(header, keccak256(rlp)))
}
