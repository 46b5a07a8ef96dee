//! Accounts of a state in the order of their hashed addresses, a page at a time.
//!
//! The form is geth's for a state whose addresses are not kept: an account is named by its hash. Its
//! storage is to be had from `debug_storageRangeAt`.

use std::collections::BTreeMap;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes, hex};
use serde::Serialize;

use super::{Arguments, Rpc, error::RpcError};
use crate::state::StateReader;

/// Accounts on one page (geth's).
const ACCOUNTS_MAX: usize = 256;

#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// The state root, without prefix.
    root: String,
    accounts: BTreeMap<String, Account>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<B256>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    /// In wei, decimal.
    balance: String,
    nonce: u64,
    root: B256,
    code_hash: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    /// The hashed address.
    key: B256,
}

/// `debug_accountRange`.
pub(super) fn range(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Page, RpcError> {
    let (block, start): (BlockId, Bytes) = (args.take()?, args.take()?);
    let count: i64 = args.required()?;
    let (no_code, _no_storage, incomplete): (bool, bool, bool) =
        (args.take()?, args.take()?, args.take()?);
    let count = usize::try_from(count).ok().filter(|count| (1..=ACCOUNTS_MAX).contains(count));
    // As a hash: of more than 32 bytes the last ones, fewer stand at its end.
    let mut first = B256::ZERO;
    let used = &start[start.len().saturating_sub(32)..];
    first[32 - used.len()..].copy_from_slice(used);
    page(rpc, block, first, count.unwrap_or(ACCOUNTS_MAX), !no_code, incomplete)
}

/// `debug_dumpBlock`: the first page.
pub(super) fn dump(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Page, RpcError> {
    let number: BlockNumberOrTag = args.take()?;
    page(rpc, number.into(), B256::ZERO, ACCOUNTS_MAX, true, true)
}

fn page(
    rpc: &Rpc,
    block: BlockId,
    first: B256,
    count: usize,
    with_code: bool,
    incomplete: bool,
) -> Result<Page, RpcError> {
    let head = rpc.head();
    // The state of the pending block is listed without what the block changes.
    let number = head.number_of(Some(block))?.ok_or_else(|| {
        RpcError::server(match block {
            BlockId::Hash(hash) => format!("block {} not found", hash.block_hash),
            BlockId::Number(number) => {
                format!("block #{} not found", number.as_number().unwrap_or_default())
            }
        })
    })?;
    let header = head.header_of(number)?.ok_or_else(RpcError::header_not_found)?;
    let state = head.snapshot.state_at(number)?;
    let root = hex::encode(header.state_root);
    if !incomplete {
        // No account's address is known.
        return Ok(Page { root, accounts: BTreeMap::new(), next: None });
    }
    let (found, next) = state.accounts_from(&first, count)?;
    let mut accounts = BTreeMap::new();
    for (key, account) in found {
        let code =
            if with_code { Some(state.code(&account.code_hash)?.original_bytes()) } else { None };
        let shown = Account {
            balance: account.balance.to_string(),
            nonce: account.nonce,
            root: account.storage_root,
            code_hash: account.code_hash,
            code: code.filter(|code| !code.is_empty()),
            key,
        };
        accounts.insert(format!("pre({key})"), shown);
    }
    Ok(Page { root, accounts, next })
}
