//! The chain as it runs: the head everybody reads, the pool, and the one place where blocks are
//! made and stored.
//!
//! Order of a new block: executed, written to disk as a whole, then shown to readers, then taken
//! out of the pool. So nothing is ever shown that a crash could take back.

mod advice;
mod arrivals;
mod below;
mod branches;
mod earlier;
mod import;
mod pending;
mod submission;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::Instant,
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{
    Address, B256, Bytes, U256,
    map::{AddressSet, B256Set},
};
use tokio::sync::watch;

pub(crate) use arrivals::Arrivals;
use branches::Branches;
use import::difficulty_before;
pub(crate) use pending::PendingBlock;
use recovery::Disk;

use crate::{
    block::{ChainSpec, SealedHeader, chained_randomness, secret_randomness},
    clock::Clock,
    config::Limits,
    execution::{BlockAttributes, BlockBuilder, Executed, ExecutionError, Rejected},
    genesis::{Genesis, GenesisError},
    metrics::{Meters, lap},
    pool::{Pool, PoolJournal},
    spec::{Forks, ScheduleError},
    state::{Advance, Commitment, StateCommitment, StateError, StateReader, TrieView},
    store::{Snapshot, Store},
};

pub(crate) use submission::SubmitError;

/// The least gas a transaction can use: bounds how many candidates a block can hold.
const TRANSACTION_GAS_MIN: u64 = 21_000;

/// Candidates in a row that may not fit before a block is closed.
const MISFITS_MAX: usize = 64;

/// The last block and its state.
#[derive(Debug)]
pub struct Head {
    /// Header and hash.
    pub header: SealedHeader,
    /// The chain and the state as of this block.
    pub snapshot: Snapshot,
    /// The tries of this block.
    pub tries: TrieView,
}

/// Why the node could not be opened or could not make a block.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Nothing to make a secret of.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(getrandom::Error),
    /// The state or its database failed.
    #[error("the chain's database failed")]
    State(#[from] StateError),
    /// A block could not be executed; that the state could not be read is [`Self::State`].
    #[error("the block could not be executed")]
    Execution(#[source] ExecutionError),
    /// The genesis is not possible.
    #[error("the genesis could not be made")]
    Genesis(#[from] GenesisError),
    /// The database belongs to another chain.
    #[error("the database holds the chain with genesis {found}, the configuration makes {wanted}")]
    OtherGenesis {
        /// Hash of the stored block 0.
        found: B256,
        /// Hash of the configured one.
        wanted: B256,
    },
    /// The database belongs to a chain with another id.
    #[error("the database holds chain {found}, the configuration asks for chain {wanted}")]
    OtherChain {
        /// Stored id.
        found: u64,
        /// Configured id.
        wanted: u64,
    },
    /// The configured forks are others than those the chain has gone through.
    #[error("the genesis has another schedule of forks than the chain that is there")]
    OtherForks(#[source] ScheduleError),
    /// The parent that a block stands on is neither the last block nor held.
    #[error("the parent {0} is neither the last block nor held")]
    UnknownParent(B256),
    /// The chain has another block of this number, which is that of the block or of its parent.
    #[error("the chain has another block {number}")]
    OtherFinal {
        /// Number of the block.
        number: u64,
    },
    /// A block from before the snapshot that the chain came from: nobody here can say whether it is the
    /// chain's.
    #[error("block {number} is older than what this node holds, which goes on with block {first}")]
    BeforeHeld {
        /// Number of the block.
        number: u64,
        /// The first block after block 0 that is held.
        first: u64,
    },
    /// A block that is final and does not follow the last one.
    #[error("block {number} does not follow block {head}, the last one")]
    NotNext {
        /// Number of the block.
        number: u64,
        /// The last block.
        head: u64,
    },
    /// Too many blocks in a row without one that is final.
    #[error("{max} blocks in a row wait to become final")]
    TooManyHeld {
        /// How many are held at the most.
        max: usize,
    },
    /// The stored state does not give the root in the last header.
    #[error("the stored state of block {number} has root {found}, its header says {wanted}")]
    WrongState {
        /// The last block.
        number: u64,
        /// Root of what is stored.
        found: B256,
        /// Root in the header.
        wanted: B256,
    },
}

impl From<ExecutionError> for NodeError {
    /// Tells what says nothing about the block from what does.
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::State(error) => Self::State(error),
            error => Self::Execution(error),
        }
    }
}

/// See the module's description.
pub(crate) struct Node {
    pub(crate) spec: ChainSpec,
    pub(crate) genesis: Genesis,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    beneficiary: Address,
    /// Known to nobody else and to no other run: what makes the next block's randomness unknown until it is there.
    secret: B256,
    store: Store,
    /// Hash of a block and the difficulty up to it, while blocks before the merge are imported.
    total_difficulty: Mutex<Option<(B256, U256)>>,
    /// Held while a block is made; the tries stand at the head.
    commitment: Mutex<Commitment>,
    pool: Mutex<Pool>,
    head: RwLock<Arc<Head>>,
    heads: watch::Sender<u64>,
    /// Signalled when the pool has something new.
    pub(crate) arrivals: Arrivals,
    fault: Mutex<Option<String>>,
    /// The last pending block that was asked for.
    pending: Mutex<Option<Arc<PendingBlock>>>,
    /// Blocks that are not final yet.
    branches: Mutex<Branches>,
    disk: Mutex<Disk>,
    pub(crate) meters: Meters,
    /// The pool's time starts here.
    opened: Instant,
    /// Set once if what waits is to outlive the process.
    journal: OnceLock<Mutex<PoolJournal>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the chain in `store`, writing the genesis if it is empty.
    pub(crate) fn open(
        store: Store,
        genesis: &Genesis,
        limits: Limits,
        clock: Clock,
        beneficiary: Address,
    ) -> Result<Self, NodeError> {
        let (found, wanted) = (store.chain_id(genesis.chain_id)?, genesis.chain_id);
        if found != wanted {
            return Err(NodeError::OtherChain { found, wanted });
        }
        let first = genesis.execute()?;
        if store.head()?.is_none() {
            // First, so that there never are blocks without the rules they were made by.
            store.set_forks(&genesis.forks)?;
            store.commit(&first.block, &first.receipts, &first.diff)?;
        }
        let snapshot = store.snapshot()?;
        let (found, wanted) = (snapshot.block_hash(0)?, first.block.header.hash());
        if found != wanted {
            return Err(NodeError::OtherGenesis { found, wanted });
        }
        let header = snapshot.head()?.ok_or(StateError::Damaged { what: "header" })?;
        adopt_forks(&store, &snapshot, &genesis.forks, &header)?;
        let mut commitment = store.commitment()?;
        let root = commitment.accounts().root();
        if root != header.state_root {
            let (number, wanted) = (header.number, header.state_root);
            return Err(NodeError::WrongState { number, found: root, wanted });
        }
        store.save_tries_if_due(&mut commitment)?;
        let mut secret = B256::ZERO;
        getrandom::fill(secret.as_mut_slice()).map_err(NodeError::NoRandomness)?;
        let (heads, _) = watch::channel(header.number);
        let snapshot = store.snapshot()?;
        let head = Head { header, snapshot, tries: commitment.view().clone() };
        Ok(Self {
            spec: genesis.spec(),
            genesis: genesis.clone(),
            clock,
            pool: Mutex::new(Pool::new(limits.pool.clone())),
            limits,
            beneficiary,
            secret,
            store,
            total_difficulty: Mutex::new(None),
            commitment: Mutex::new(commitment),
            head: RwLock::new(Arc::new(head)),
            heads,
            arrivals: Arrivals::default(),
            fault: Mutex::new(None),
            pending: Mutex::new(None),
            branches: Mutex::default(),
            disk: Mutex::default(),
            meters: Meters::default(),
            opened: Instant::now(),
            journal: OnceLock::new(),
        })
    }

    /// The last block.
    pub(crate) fn head(&self) -> Arc<Head> {
        Arc::clone(&self.head.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Numbers of new heads.
    pub(crate) fn heads(&self) -> watch::Receiver<u64> {
        self.heads.subscribe()
    }

    /// The pool. Hold it briefly: admission waits for it.
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next block would be built with now. The randomness is the one that is shown: a block has another, which
    /// nobody knows before it is there.
    pub(crate) fn next_attributes(&self, parent: &SealedHeader) -> BlockAttributes {
        BlockAttributes {
            timestamp: self.clock.now().max(self.earliest_timestamp(parent)),
            beneficiary: self.beneficiary,
            prev_randao: chained_randomness(parent),
            gas_limit: parent.gas_limit,
            extra_data: Bytes::from_static(b"tilth"),
            ..BlockAttributes::default()
        }
    }

    fn earliest_timestamp(&self, parent: &SealedHeader) -> u64 {
        parent.timestamp.saturating_add(u64::from(self.spec.forks.later_than_parent))
    }

    /// Why blocks cannot be made at the moment, if they cannot.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether transactions wait that a block could take now.
    pub(crate) fn has_work(&self) -> bool {
        let base_fee = self.spec.next_base_fee(&self.head().header);
        self.pool().has_executable(base_fee)
    }

    /// Makes, stores and publishes the next block from what the pool holds. Without transactions
    /// it makes an empty block only if `empty` says so. Blocks its thread.
    pub(crate) fn produce(&self, empty: bool) -> Result<Option<Arc<Head>>, NodeError> {
        let mut commitment = self.commitment.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.try_produce(&mut commitment, empty);
        self.note_made(&made);
        made
    }

    /// Shows why no block can be made, or that one was.
    fn note_fault<T>(&self, made: &Result<T, NodeError>) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        *fault = made.as_ref().err().map(chain_of_causes);
        if fault.is_some() {
            self.meters.failed.increment();
        }
    }

    fn try_produce(
        &self,
        commitment: &mut Commitment,
        empty: bool,
    ) -> Result<Option<Arc<Head>>, NodeError> {
        self.recover(commitment)?;
        let start = Instant::now();
        let parent = self.head();
        let prev_randao = secret_randomness(&self.secret, &parent.header);
        let attributes = BlockAttributes { prev_randao, ..self.next_attributes(&parent.header) };
        let mut builder =
            BlockBuilder::new(&self.spec, &parent.header, attributes, &parent.snapshot)?;
        let invalid = self.fill(&mut builder, &B256Set::default(), &mut || true)?;
        self.drop_invalid(invalid);
        if builder.is_empty() && !empty {
            return Ok(None);
        }
        let executing = lap(&self.meters.execute, start);
        let (executed, advance) = builder.seal(commitment, &parent.snapshot)?;
        lap(&self.meters.root, executing);
        self.publish(commitment, &executed, advance).map(Some)
    }

    /// Adds transactions from the pool until the block is full or `go_on` says no, without those that
    /// have `passed` in blocks the pool has not heard of. Returns those that are not valid.
    fn fill<R: StateReader>(
        &self,
        builder: &mut BlockBuilder<'_, R>,
        passed: &B256Set,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<(Address, u64)>, NodeError> {
        let count = usize::try_from(builder.gas_left() / TRANSACTION_GAS_MIN).unwrap_or(usize::MAX);
        let count = count.saturating_add(passed.len());
        let candidates = self.pool().best(builder.base_fee(), count);
        let mut skipped = AddressSet::default();
        let mut invalid = Vec::new();
        let mut misfits = 0;
        for pooled in candidates {
            let sender = pooled.transaction.signer();
            let is_full = builder.gas_left() < TRANSACTION_GAS_MIN || misfits >= MISFITS_MAX;
            if is_full || !go_on() {
                break;
            }
            let hash = pooled.transaction.inner().tx_hash();
            if skipped.contains(&sender) || passed.contains(hash) {
                continue;
            }
            match builder.add(pooled.transaction.clone())? {
                Ok(()) => misfits = 0,
                Err(
                    Rejected::NoRoom { .. }
                    | Rejected::NoBlobRoom { .. }
                    | Rejected::NoByteRoom { .. },
                ) => {
                    misfits += 1;
                    skipped.insert(sender);
                }
                Err(Rejected::Invalid(reason)) => {
                    tracing::debug!(%hash, %reason, "transaction cannot go into a block");
                    invalid.push((sender, pooled.transaction.nonce()));
                    skipped.insert(sender);
                }
            }
        }
        Ok(invalid)
    }

    fn drop_invalid(&self, invalid: Vec<(Address, u64)>) {
        let mut pool = self.pool();
        for (sender, nonce) in invalid {
            pool.remove(sender, nonce);
        }
    }

    /// Writes a block, whoever made it, and shows it. That it failed has to be noted before another gets
    /// at the commitment, which may stand ahead of the head then.
    fn publish(
        &self,
        commitment: &mut Commitment,
        executed: &Executed,
        advance: Advance,
    ) -> Result<Arc<Head>, NodeError> {
        let start = Instant::now();
        self.store.commit(&executed.block, &executed.receipts, &executed.diff)?;
        commitment.adopt(advance);
        if let Err(error) = self.store.save_tries_if_due(commitment) {
            // The block is stored all the same, and the tries are saved with a later one.
            tracing::warn!(cause = chain_of_causes(&error), "the tries could not be saved");
        }
        let head = Arc::new(Head {
            header: executed.block.header.clone(),
            snapshot: self.store.snapshot()?,
            tries: commitment.view().clone(),
        });
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&head);
        let changed = executed.diff.accounts.values();
        let refreshed =
            self.refresh_pool(&head, changed.map(|account| (account.address, account.after)));
        // Afterwards: what is built on a held block leaves out that one's transactions.
        self.rebase_branches(&head, commitment.unsaved_keys() == 0);
        lap(&self.meters.commit, start);
        self.meters.block(executed.block.transactions.len(), head.header.gas_used);
        self.heads.send_replace(head.header.number);
        refreshed?;
        tracing::debug!(
            number = head.header.number,
            transactions = executed.block.transactions.len(),
            gas = head.header.gas_used,
            "block"
        );
        Ok(head)
    }
}

/// Stores the schedule of forks if it may take the place of the one that is stored.
fn adopt_forks(
    store: &Store,
    snapshot: &Snapshot,
    wanted: &Forks,
    head: &SealedHeader,
) -> Result<(), NodeError> {
    match store.forks()? {
        Some(stored) if stored == *wanted => return Ok(()),
        Some(stored) => {
            let counts = stored.terminal_total_difficulty != wanted.terminal_total_difficulty;
            let before =
                if counts { difficulty_before(snapshot, head.number)? } else { U256::ZERO };
            stored.check_change(wanted, head, before).map_err(NodeError::OtherForks)?;
        }
        // Made by a snapshot, or by a version that stored none.
        None => {}
    }
    Ok(store.set_forks(wanted)?)
}

/// An error with its causes in one line.
pub(crate) fn chain_of_causes(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        text.push_str(": ");
        text.push_str(&below.to_string());
        cause = below.source();
    }
    text
}

#[cfg(test)]
mod branch_tests;
#[cfg(test)]
mod power_tests;
mod proof;
mod recovery;
#[cfg(test)]
mod submission_tests;
#[cfg(test)]
mod tests;
