//! The pending block: what the next block would be if it were made now.
//!
//! Built on demand from the pool on top of the head, as a producer would, and kept as long as
//! neither changes; nothing of it is stored. It works on the head's snapshot and tries and takes
//! none of the producer's locks, so blocks are made meanwhile as ever.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256, map::B256Set};
use revm::bytecode::Bytecode;

use super::{Head, Node, NodeError};
use crate::{
    execution::{BlockAttributes, BlockBuilder, Executed},
    message::{Caller, Turns, Watch, on_behalf_of},
    state::{
        AccountState, Commitment, Layer, StateCommitment as _, StateError, StateReader, TrieSource,
        TrieView,
    },
    trie::Prefix,
};

/// How long transactions are added to a pending block.
const FILLING: Duration = Duration::from_secs(1);

/// See the module's description.
#[derive(Debug)]
pub(crate) struct PendingBlock {
    /// The block and its receipts. Its hash is that of no block: the real one comes later and
    /// perhaps with other transactions.
    pub(crate) executed: Executed,
    /// The state after it.
    pub(crate) state: Layer<HeadState>,
    /// The tries after it.
    pub(crate) tries: TrieView,
    parent: Arc<Head>,
    key: Key,
}

/// What a pending block depends on.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    head: B256,
    attributes: BlockAttributes,
    arrivals: u64,
    waiting: usize,
}

/// The state after a block, held with the block.
#[derive(Clone, Debug)]
pub(crate) struct HeadState(pub(super) Arc<Head>);

impl StateReader for HeadState {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        self.0.snapshot.account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.0.snapshot.storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        self.0.snapshot.code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.0.snapshot.block_hash(number)
    }
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        self.0.snapshot.storage_entries(address)
    }
}

impl TrieSource for HeadState {
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        self.0.snapshot.account_leaves()
    }
    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError> {
        self.0.snapshot.storage_leaves(account)
    }
    fn accounts_between(
        &self,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        self.0.snapshot.accounts_between(first, last)
    }
    fn storage_between(
        &self,
        account: &B256,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        self.0.snapshot.storage_between(account, first, last)
    }
    fn node_record(
        &self,
        owner: Option<&B256>,
        at: &Prefix,
    ) -> Result<Option<Vec<u8>>, StateError> {
        self.0.snapshot.node_record(owner, at)
    }
}

impl PendingBlock {
    /// The block it stands on.
    pub(crate) fn parent(&self) -> &Arc<Head> {
        &self.parent
    }
}

impl Node {
    /// The pending block; blocks its thread while it is built. It is built within a turn of
    /// `turns`, so whoever asks must not hold one.
    pub(crate) fn pending(&self, turns: &Arc<Turns>) -> Result<Arc<PendingBlock>, NodeError> {
        let mut kept = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.head();
        let (arrivals, waiting) = {
            let pool = self.pool();
            (pool.arrivals(), pool.len())
        };
        let attributes = self.next_attributes(&head.header);
        let key = Key { head: head.header.hash(), attributes, arrivals, waiting };
        if let Some(kept) = &*kept
            && kept.key == key
        {
            return Ok(Arc::clone(kept));
        }
        let made = Arc::new(self.build_pending(&head, key, turns)?);
        *kept = Some(Arc::clone(&made));
        Ok(made)
    }

    fn build_pending(
        &self,
        head: &Arc<Head>,
        key: Key,
        turns: &Arc<Turns>,
    ) -> Result<PendingBlock, NodeError> {
        // For all that ask, who wait for it meanwhile: not within the share of the first of them.
        let watch = on_behalf_of(Caller::NODE, || Watch::start(turns, Duration::ZERO));
        let until = Instant::now() + FILLING;
        let attributes = key.attributes.clone();
        let mut builder = BlockBuilder::new(&self.spec, &head.header, attributes, &head.snapshot)?;
        let mut go_on = || watch.look().is_ok() && Instant::now() < until;
        self.fill(&mut builder, &B256Set::default(), &mut go_on)?;
        let mut commitment = Commitment::of(head.tries.clone());
        let (executed, advance) = builder.seal(&mut commitment, &head.snapshot)?;
        commitment.adopt(advance);
        let tries = commitment.view().clone();
        let mut state = Layer::new(HeadState(Arc::clone(head)));
        state.absorb(&executed.block.header, &executed.diff);
        Ok(PendingBlock { executed, state, tries, parent: Arc::clone(head), key })
    }
}
