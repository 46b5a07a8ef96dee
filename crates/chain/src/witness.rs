//! Execution witnesses: what of its parent's state is needed to execute a block and to compute the
//! root after it, and nothing more. Whoever has it and the block needs no database.
//!
//! The nodes are those that prove what the block reads or changes. Where a deletion leaves a branch
//! with one child, that child moves up and is needed, too, though nothing has asked for it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    nodes::{LeafNode, TrieNode},
};
use revm::bytecode::Bytecode;

use crate::{
    block::{Block, ChainSpec, SealedHeader},
    execution::{BlockAttributes, BlockBuilder, Executed, ExecutionError},
    node::Head,
    state::{AccountState, SlotDiff, StateCommitment as _, StateError, StateReader, TrieView},
    trie::Trie,
};

/// Keys that may have changed between the parent and the head; some microseconds of work each.
const CHANGES_MAX: usize = 100_000;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// The number of the first block whose header is needed, for its hash: the parent's, or that of an
    /// earlier one. All from there up to the parent belong to the witness.
    pub(crate) first_header: u64,
    /// Code that runs or is looked at.
    pub(crate) codes: BTreeSet<Bytes>,
    /// Nodes of the account trie and of storage tries, RLP.
    pub(crate) nodes: BTreeSet<Bytes>,
}

/// Executes a block of the chain and records what that needs. `parent` is its parent, `state` reads
/// the state after that.
///
/// # Errors
/// When that state or its tries can no longer be had, or the reader's time is over.
pub(crate) fn witness<R: StateReader>(
    spec: &ChainSpec,
    head: &Head,
    parent: &SealedHeader,
    block: &Block,
    state: R,
) -> Result<Witness, ExecutionError> {
    let (mut commitment, _) = head.tries_after(parent.number, CHANGES_MAX)?;
    let before = commitment.view().clone();
    let recorder = Recorder { reader: state, seen: RefCell::default() };
    let attributes = BlockAttributes::of_block(block);
    let mut builder = BlockBuilder::new(spec, parent, attributes, &recorder)?;
    for (index, transaction) in block.transactions.iter().enumerate() {
        builder
            .add(transaction.clone())?
            .map_err(|reason| ExecutionError::Transaction { index, reason })?;
    }
    let (executed, advance) = builder.seal(&mut commitment, &head.snapshot)?;
    if executed.block.header.state_root != block.header.state_root {
        return Err(StateError::Damaged { what: "block" }.into());
    }
    commitment.adopt(advance);
    let Recorder { reader, seen } = recorder;
    let seen = seen.into_inner();
    let mut proofs =
        Proofs { head, before, after: commitment.view().clone(), nodes: BTreeSet::new() };
    proofs.storages(&reader, &seen.slots, &executed)?;
    proofs.accounts(&executed)?;
    let first_header = seen.first_hash.map_or(parent.number, |first| first.min(parent.number));
    Ok(Witness { first_header, codes: seen.codes, nodes: proofs.nodes })
}

/// What was read of a state.
#[derive(Debug, Default)]
struct Seen {
    /// Accounts, and of each the slots by their hashes.
    slots: BTreeMap<Address, BTreeSet<B256>>,
    codes: BTreeSet<Bytes>,
    /// The earliest block whose hash was asked for.
    first_hash: Option<u64>,
}

/// Writes down what passes through.
struct Recorder<R> {
    reader: R,
    seen: RefCell<Seen>,
}

impl<R: StateReader> StateReader for Recorder<R> {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        self.seen.borrow_mut().slots.entry(*address).or_default();
        self.reader.account(address)
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let key = keccak256(slot.to_be_bytes::<32>());
        self.seen.borrow_mut().slots.entry(*address).or_default().insert(key);
        self.reader.storage(address, slot)
    }

    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        let code = self.reader.code(hash)?;
        let bytes = code.original_bytes();
        if !bytes.is_empty() {
            self.seen.borrow_mut().codes.insert(bytes);
        }
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        let first = &mut self.seen.borrow_mut().first_hash;
        *first = Some(first.map_or(number, |first| first.min(number)));
        self.reader.block_hash(number)
    }

    // Asked for to take away what an account has that is destroyed: the tries need none of it.
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        self.reader.storage_entries(address)
    }
}

/// Collects nodes of the tries before a block.
struct Proofs<'a> {
    head: &'a Head,
    before: TrieView,
    after: TrieView,
    nodes: BTreeSet<Bytes>,
}

impl Proofs<'_> {
    /// What proves the accounts and slots that were read, and what deletions of slots need.
    fn storages(
        &mut self,
        state: &impl StateReader,
        seen: &BTreeMap<Address, BTreeSet<B256>>,
        executed: &Executed,
    ) -> Result<(), StateError> {
        for (address, slots) in seen {
            let key = keccak256(address);
            self.nodes.extend(self.before.account_proof(&key, &self.head.snapshot)?);
            let account = state.account(address)?.unwrap_or_default();
            if slots.is_empty() || account.storage_root == EMPTY_ROOT_HASH {
                continue;
            }
            let trie = self.before.storage(&key, &account.storage_root);
            let prove = |trie: &Trie, slots: &[B256]| {
                TrieView::storage_proofs(trie, &key, slots, &[], &self.head.snapshot)
            };
            let slots: Vec<B256> = slots.iter().copied().collect();
            let mut proofs = prove(&trie, &slots)?;
            let changed = executed.diff.accounts.get(&key);
            if let Some((changed, after)) = changed.and_then(|diff| Some((diff, diff.after?))) {
                let is_deleted = |(_, slot): &(&B256, &SlotDiff)| slot.after.is_zero();
                let deleted: Vec<B256> =
                    changed.slots.iter().filter(is_deleted).map(|(slot, _)| *slot).collect();
                let absences = prove(&self.after.storage(&key, &after.storage_root), &deleted)?;
                let moved: Vec<B256> =
                    deleted.iter().zip(&absences).filter_map(|(k, p)| moved_up(k, p)).collect();
                proofs.extend(prove(&trie, &moved)?);
            }
            self.nodes.extend(proofs.into_iter().flatten());
        }
        Ok(())
    }

    /// What deletions of accounts need, and the root, whether or not anything was read.
    fn accounts(&mut self, executed: &Executed) -> Result<(), StateError> {
        let source = &self.head.snapshot;
        for (key, diff) in &executed.diff.accounts {
            if diff.after.is_some() {
                continue;
            }
            let absence = self.after.account_proof(key, source)?;
            if let Some(moved) = moved_up(key, &absence) {
                self.nodes.extend(self.before.account_proof(&moved, source)?);
            }
        }
        let root = self.before.account_proof(&B256::ZERO, source)?.into_iter().next();
        self.nodes.extend(root);
        Ok(())
    }
}

/// A key below the node that stands where the way to `key` ends, if that node is a leaf or an
/// extension: after a deletion it may be what has moved up. `proof` proves that there is no `key`.
fn moved_up(key: &B256, proof: &[Bytes]) -> Option<B256> {
    let mut depth = 0;
    let key = Nibbles::unpack(key);
    let (last, above) = proof.split_last()?;
    for rlp in above {
        depth += match node(rlp)? {
            TrieNode::Extension(extension) => extension.key.len(),
            TrieNode::Branch(_) => 1,
            TrieNode::Leaf(_) | TrieNode::EmptyRoot => return None,
        };
    }
    let path = match node(last)? {
        TrieNode::Leaf(LeafNode { key, .. }) => key,
        TrieNode::Extension(extension) => extension.key,
        TrieNode::Branch(_) | TrieNode::EmptyRoot => return None,
    };
    let mut below = key.slice(..depth).join(&path).to_vec();
    below.resize(64, 0);
    Some(B256::from_slice(&Nibbles::from_nibbles(&below).pack()))
}

fn node(rlp: &[u8]) -> Option<TrieNode> {
    alloy_rlp::decode_exact(rlp).ok()
}

#[cfg(test)]
mod tests;
