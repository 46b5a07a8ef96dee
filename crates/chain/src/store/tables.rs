//! The tables. Integers in keys are big-endian, so that ranges run in their order.

use alloy_primitives::B256;
use redb::{TableDefinition, WriteTransaction};

use crate::trie::Prefix;

/// Facts about the database itself.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Texts about the chain, JSON. Made when it is first written.
pub(crate) const TEXTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("texts");
/// Block number to header, RLP.
pub(crate) const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
/// Block hash to number.
pub(crate) const NUMBERS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("numbers");
/// Block number to transactions with senders.
pub(crate) const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
/// Block number to receipts.
pub(crate) const RECEIPTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("receipts");
/// Transaction hash to block number and position.
pub(crate) const TRANSACTIONS: TableDefinition<'_, &[u8; 32], (u64, u32)> =
    TableDefinition::new("transactions");
/// Hashed address to account, RLP: the state after the last block.
pub(crate) const ACCOUNTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("accounts");
/// Hashed address and hashed slot to value, big-endian without leading zeros.
pub(crate) const STORAGE: TableDefinition<'_, &[u8; 64], &[u8]> = TableDefinition::new("storage");
/// Code hash to code.
pub(crate) const CODES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("codes");
/// Hashed address and block to the account before that block; empty if it did not exist.
pub(crate) const OLD_ACCOUNTS: TableDefinition<'_, &[u8; 40], &[u8]> =
    TableDefinition::new("old_accounts");
/// Storage key and block to the value before that block.
pub(crate) const OLD_STORAGE: TableDefinition<'_, &[u8; 72], &[u8]> =
    TableDefinition::new("old_storage");
/// Block to what it changed: (hashed address, count of slots as u64, hashed slots) and so on.
pub(crate) const CHANGED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changed");
/// Position in the account trie, one byte per nibble, to the record of the node there.
pub(crate) const ACCOUNT_NODES: TableDefinition<'_, &[u8], &[u8]> =
    TableDefinition::new("account_nodes");
/// Hashed address and position in its storage trie to the record of the node there.
pub(crate) const STORAGE_NODES: TableDefinition<'_, &[u8], &[u8]> =
    TableDefinition::new("storage_nodes");

/// Creates the tables, so that readers find them in an empty database.
pub(crate) fn create_all(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(HEADERS)?;
    transaction.open_table(NUMBERS)?;
    transaction.open_table(BODIES)?;
    transaction.open_table(RECEIPTS)?;
    crate::log_index::create(transaction)?;
    transaction.open_table(TRANSACTIONS)?;
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(STORAGE)?;
    transaction.open_table(CODES)?;
    transaction.open_table(OLD_ACCOUNTS)?;
    transaction.open_table(OLD_STORAGE)?;
    transaction.open_table(CHANGED)?;
    transaction.open_table(ACCOUNT_NODES)?;
    transaction.open_table(STORAGE_NODES)?;
    Ok(())
}

pub(crate) fn storage_key(account: &B256, slot: &B256) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(account.as_slice());
    key[32..].copy_from_slice(slot.as_slice());
    key
}

pub(crate) fn old_account_key(account: &B256, block: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(account.as_slice());
    key[32..].copy_from_slice(&block.to_be_bytes());
    key
}

pub(crate) fn old_storage_key(key: &[u8; 64], block: u64) -> [u8; 72] {
    let mut old = [0; 72];
    old[..64].copy_from_slice(key);
    old[64..].copy_from_slice(&block.to_be_bytes());
    old
}

/// Where the record of a trie's node is kept: behind the owner if it is a storage trie's.
pub(crate) fn node_key(owner: Option<&B256>, at: &Prefix) -> Vec<u8> {
    let owner = owner.map_or(&[][..], |owner| owner.as_slice());
    [owner, &at.nibbles()].concat()
}
