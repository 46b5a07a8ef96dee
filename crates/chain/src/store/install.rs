//! Writing a chain's parts from a snapshot, and reading them for one.

use alloy_primitives::B256;
use alloy_trie::KECCAK_EMPTY;
use redb::{Durability, ReadableTable, TableDefinition};

use super::{Snapshot, Store, tables::*, write_block};
use crate::{
    block::{Block, ExecutedReceipt},
    state::{StateError, decode_account},
};

/// A walk's visitor: key and value.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StateError>;

impl Store {
    /// The id of the stored chain, if there is one.
    pub fn known_chain_id(&self) -> Result<Option<u64>, StateError> {
        let transaction = self.begin_read()?;
        let meta = transaction.open_table(META).map_err(StateError::database)?;
        Ok(meta.get("chain").map_err(StateError::database)?.map(|id| id.value()))
    }

    /// Writes a block without its effects on the state.
    pub(crate) fn install_block(
        &self,
        block: &Block,
        receipts: &[ExecutedReceipt],
    ) -> Result<(), StateError> {
        let transaction = self.begin_installing()?;
        write_block(&transaction, block, receipts)
            .map_err(|error| StateError::Database(Box::new(error)))?;
        transaction.commit().map_err(StateError::database)
    }

    pub(crate) fn install_accounts<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<u64, StateError> {
        self.install(ACCOUNTS, entries)
    }

    pub(crate) fn install_slots<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<u64, StateError> {
        self.install(STORAGE, entries)
    }

    pub(crate) fn install_codes<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<u64, StateError> {
        self.install(CODES, entries)
    }

    fn install<'a, const N: usize>(
        &self,
        table: TableDefinition<'_, &'static [u8; N], &'static [u8]>,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<u64, StateError> {
        let transaction = self.begin_installing()?;
        let mut count = 0;
        {
            let mut table = transaction.open_table(table).map_err(StateError::database)?;
            for (key, value) in entries {
                let key: &[u8; N] =
                    key.try_into().map_err(|_| StateError::Damaged { what: "key" })?;
                table.insert(key, value).map_err(StateError::database)?;
                count += 1;
            }
        }
        transaction.commit().map_err(StateError::database)?;
        Ok(count)
    }

    /// A transaction whose commit need not survive a crash: the whole import starts over then, and
    /// its last commit, that of the tries, makes everything before durable.
    fn begin_installing(&self) -> Result<redb::WriteTransaction, StateError> {
        let mut transaction = self.begin_write()?;
        transaction
            .set_durability(Durability::None)
            .map_err(|error| StateError::database(redb::Error::from(error)))?;
        Ok(transaction)
    }

    /// Whether some account names code that is not there, and in which way.
    pub(crate) fn missing_code(&self) -> Result<Option<&'static str>, StateError> {
        let snapshot = self.snapshot()?;
        let mut missing = None;
        snapshot.each_account(|_, rlp| {
            let account = decode_account(rlp)?;
            if account.code_hash != KECCAK_EMPTY && !snapshot.has_code(&account.code_hash)? {
                missing = Some("the code of an account is missing");
            }
            Ok(())
        })?;
        Ok(missing)
    }
}

impl Snapshot {
    /// Number of the first block after block 0 that is there; 1 unless the chain came from a
    /// snapshot, 0 if there is none.
    pub fn first_block(&self) -> Result<u64, StateError> {
        let mut blocks = self.headers.range(1..).map_err(StateError::database)?;
        let first = blocks.next().transpose().map_err(StateError::database)?;
        Ok(first.map_or(0, |(number, _)| number.value()))
    }

    /// Header, transactions and receipts of a block as they are stored.
    pub(crate) fn stored_block(&self, number: u64) -> Result<[Vec<u8>; 3], StateError> {
        let read = |table: &redb::ReadOnlyTable<u64, &'static [u8]>, what| {
            let found = table.get(number).map_err(StateError::database)?;
            Ok::<_, StateError>(found.ok_or(StateError::Damaged { what })?.value().to_vec())
        };
        Ok([
            read(&self.headers, "header")?,
            read(&self.bodies, "body")?,
            read(&self.receipts, "receipts")?,
        ])
    }

    /// Every storage slot by hashed address and slot, ascending, as it is stored.
    pub(crate) fn each_stored_slot(&self, visit: Visit<'_>) -> Result<(), StateError> {
        for entry in self.storage.iter().map_err(StateError::database)? {
            let (key, value) = entry.map_err(StateError::database)?;
            visit(key.value(), value.value())?;
        }
        Ok(())
    }

    /// Every piece of code by its hash, ascending.
    pub(crate) fn each_code(&self, visit: Visit<'_>) -> Result<(), StateError> {
        for entry in self.stored_codes.iter().map_err(StateError::database)? {
            let (key, value) = entry.map_err(StateError::database)?;
            visit(key.value(), value.value())?;
        }
        Ok(())
    }

    pub(crate) fn has_code(&self, hash: &B256) -> Result<bool, StateError> {
        Ok(self.stored_codes.get(&hash.0).map_err(StateError::database)?.is_some())
    }
}
