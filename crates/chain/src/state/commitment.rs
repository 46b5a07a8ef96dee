//! From a block's changes to its state root.
//!
//! Tries are loaded node by node as changes lead into them and kept in memory up to a bound. The
//! upper nodes are stored now and then ([`Commitment::save`]); the lower ones are rebuilt from the
//! flat state. Everything here can be made anew from the stored state.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use alloy_primitives::{B256, U256};
use alloy_trie::EMPTY_ROOT_HASH;

use super::{
    AccountState, StateDiff, StateError, TrieView,
    source::{AccountNodes, StorageNodes, TrieSource},
};
use crate::trie::{Change, Loader, NodeStore, PARALLEL_MIN, Trie};

/// Nodes and entries held in memory over all tries after which those not used for longest are dropped. 100 to
/// 200 bytes each: 200 MB.
const NODES_MAX: usize = 1_000_000;

/// Threads a large block's tries are hashed on, at the most.
const THREADS_MAX: usize = 8;

/// Computes state roots. The one implementation is [`Commitment`]; another scheme would stand here.
pub trait StateCommitment {
    /// What [`Self::adopt`] needs to follow.
    type Advance;

    /// The root after `diff`, whose storage roots it fills in. `self` stays where it is, so several
    /// children of one block can be computed; `source` reads the state `self` stands at.
    fn advance(
        &mut self,
        diff: &mut StateDiff,
        source: &impl TrieSource,
    ) -> Result<(B256, Self::Advance), StateError>;

    /// Moves to the state an advance led to.
    fn adopt(&mut self, advance: Self::Advance);
}

/// The Merkle-Patricia tries of one block's state.
#[derive(Clone, Debug)]
pub struct Commitment {
    view: TrieView,
    storages: HashMap<B256, LoadedStorage>,
    /// Accounts whose storage tries changed, or that were deleted, since the tries were saved.
    unsaved: HashSet<B256>,
    /// Keys changed since the tries were saved.
    unsaved_keys: usize,
    /// Of the storage tries in memory.
    storage_nodes: usize,
    /// Grows with every step; stamps nodes with when they were used.
    epoch: u32,
    nodes_max: usize,
    threads: usize,
}

#[derive(Clone, Debug)]
struct LoadedStorage {
    trie: Trie,
    used: u32,
}

/// A computed step; cheap to keep or drop.
#[derive(Clone, Debug)]
pub struct Advance {
    accounts: Trie,
    /// Changed storage tries by account; `None` for a deleted account.
    storages: Vec<(B256, Option<Trie>)>,
    keys: usize,
}

impl Advance {
    /// The account trie after the step.
    pub fn accounts(&self) -> &Trie {
        &self.accounts
    }
}

/// What changed between two blocks: hashed addresses and, for each, hashed slots; both ascending.
pub type ChangedKeys = BTreeMap<B256, Vec<B256>>;

impl Default for Commitment {
    fn default() -> Self {
        Self::at(Trie::default())
    }
}

/// The tries' records, to be brought up to date.
pub trait CommitmentStore {
    /// The records of the account trie (`None`) or of an account's storage trie.
    fn records(&mut self, owner: Option<&B256>) -> Result<Box<dyn NodeStore + '_>, StateError>;
}

impl Commitment {
    fn at(accounts: Trie) -> Self {
        Self {
            view: TrieView::new(accounts),
            storages: HashMap::new(),
            unsaved: HashSet::new(),
            unsaved_keys: 0,
            storage_nodes: 0,
            epoch: 1,
            nodes_max: NODES_MAX,
            threads: processors(),
        }
    }

    /// Builds the account trie from the stored state, in memory as a whole.
    pub fn load(source: &impl TrieSource) -> Result<Self, StateError> {
        let leaves = source.account_leaves()?;
        let accounts = Trie::from_sorted(leaves.iter().map(|(key, rlp)| (*key, rlp.as_slice())));
        Ok(Self::at(accounts))
    }

    /// Tries of which nothing is in memory yet, at the state with this root, which `source` must
    /// hold by the time anything is changed.
    pub fn stored(root: &B256) -> Self {
        Self::at(Trie::stored(root))
    }

    /// The tries of `view`, to be led elsewhere than the chain goes. Subtries that are not in memory
    /// are those of the source's state until they are changed, so the source may go on reading the
    /// state of `view` however far this is led.
    pub fn of(view: TrieView) -> Self {
        let epoch = view.epoch().saturating_add(1);
        Self { view, epoch, ..Self::default() }.with_threads(1)
    }

    /// Moves from the state with the root `saved`, at which the source's records stand, to the one
    /// of the source's entries. `changed` has all keys that differ between the two. The caller
    /// compares the root.
    pub fn catch_up(
        saved: &B256,
        changed: &ChangedKeys,
        saved_storage_root: impl Fn(&B256) -> Result<B256, StateError>,
        source: &impl TrieSource,
    ) -> Result<Self, StateError> {
        let mut this = Self::stored(saved);
        let mut changes: Vec<Change> = Vec::with_capacity(changed.len());
        let mut tries = HashMap::new();
        for (key, slots) in changed {
            let after = source.account_leaf(key)?;
            if !slots.is_empty() || after.is_none() {
                let nodes = StorageNodes { source, account: *key };
                let before = saved_storage_root(key)?;
                if let Some(rlp) = &after {
                    let mut leaves = Vec::with_capacity(slots.len());
                    for slot in slots {
                        leaves.push((*slot, leaf(source.storage_leaf(key, slot)?)));
                    }
                    let loader = this.loader(&nodes).with_entries_ahead();
                    let trie = Trie::stored(&before).updated(&leaves, &loader)?;
                    if trie.root() != super::decode_account(rlp)?.storage_root {
                        return Err(StateError::Damaged { what: "storage trie" });
                    }
                    this.hold(*key, trie.clone());
                    tries.insert(*key, trie);
                }
                this.unsaved.insert(*key);
            }
            this.unsaved_keys += 1 + slots.len();
            changes.push((*key, after));
        }
        let nodes = AccountNodes { source };
        let loader = this.loader(&nodes).with_entries_ahead();
        let accounts = this.accounts().updated(&changes, &loader)?;
        this.view.advance(accounts, tries, this.epoch);
        Ok(this)
    }

    /// Bounds the nodes and entries held in memory, 100 to 200 bytes each. Exceeded between two saves only.
    #[must_use]
    pub fn with_nodes_max(self, nodes_max: usize) -> Self {
        Self { nodes_max, ..self }
    }

    /// Sets how many threads a large block's tries are hashed on. Roots do not depend on it.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// Hashes a large block's tries on all processors.
    #[must_use]
    pub(crate) fn on_all_processors(self) -> Self {
        self.with_threads(processors())
    }

    /// The account trie.
    pub fn accounts(&self) -> &Trie {
        self.view.accounts()
    }

    /// The tries for readers.
    pub fn view(&self) -> &TrieView {
        &self.view
    }

    /// Nodes in memory.
    pub fn resident(&self) -> usize {
        self.accounts().resident() + self.storage_nodes
    }

    /// Keys changed since the tries were saved.
    pub fn unsaved_keys(&self) -> usize {
        self.unsaved_keys
    }

    /// Whether more nodes are in memory than asked for; saving drops them.
    pub fn is_over_bound(&self) -> bool {
        self.resident() > self.nodes_max
    }

    /// Brings the records in `store` up to the state `self` stands at, which `source` reads.
    pub fn save(
        &self,
        source: &impl TrieSource,
        store: &mut impl CommitmentStore,
    ) -> Result<(), StateError> {
        let nodes = AccountNodes { source };
        self.accounts().save(&self.loader(&nodes), &mut *store.records(None)?)?;
        for account in &self.unsaved {
            let nodes = StorageNodes { source, account: *account };
            let deleted = Trie::default();
            let trie = self.storages.get(account).map_or(&deleted, |loaded| &loaded.trie);
            trie.save(&self.loader(&nodes), &mut *store.records(Some(account))?)?;
        }
        Ok(())
    }

    /// To be called once what [`Self::save`] wrote is on disk: forgets what was unsaved, and drops
    /// nodes that were not used lately if there are too many.
    pub fn saved(&mut self) {
        self.unsaved.clear();
        self.unsaved_keys = 0;
        // Half of the time since the start or the last eviction goes, then a quarter more, ...
        let mut spared = self.epoch / 2;
        let accounts = self.accounts().clone();
        self.view.saved(accounts);
        while self.is_over_bound() {
            let cutoff = self.epoch.saturating_add(1).saturating_sub(spared);
            self.storages.retain(|_, loaded| loaded.used >= cutoff);
            for loaded in self.storages.values_mut() {
                loaded.trie = loaded.trie.evicted(cutoff);
            }
            self.storage_nodes = self.storages.values().map(|l| l.trie.resident()).sum();
            let accounts = self.accounts().evicted(cutoff);
            self.view.saved(accounts);
            if spared == 0 {
                break;
            }
            spared /= 2;
        }
    }

    fn loader<'a>(&self, nodes: &'a dyn crate::trie::NodeSource) -> Loader<'a> {
        Loader::new(nodes).at_epoch(self.epoch).on_threads(self.threads)
    }

    fn hold(&mut self, account: B256, trie: Trie) {
        self.storage_nodes += trie.resident();
        let used = self.epoch;
        if let Some(before) = self.storages.insert(account, LoadedStorage { trie, used }) {
            self.storage_nodes -= before.trie.resident();
        }
    }

    /// The storage tries after a block, each with its root, in the order of `steps`.
    fn advance_storages(
        &self,
        steps: &[StorageStep],
        source: &impl TrieSource,
    ) -> Result<Vec<Trie>, StateError> {
        let advance = |step: &StorageStep, threads: usize| {
            let nodes = StorageNodes { source, account: step.account };
            let loader = self.loader(&nodes).on_threads(threads);
            let trie = step.before.updated(&step.changes, &loader)?;
            trie.root();
            Ok(trie)
        };
        let is_large = |step: &StorageStep| step.changes.len() >= PARALLEL_MIN;
        let small: usize =
            steps.iter().filter(|step| !is_large(step)).map(|step| step.changes.len()).sum();
        if self.threads < 2 || small < PARALLEL_MIN {
            return steps.iter().map(|step| advance(step, self.threads)).collect();
        }
        // Many small tries: each thread takes the next one until there is none left.
        let next = AtomicUsize::new(0);
        let work = || {
            let mut made = Vec::new();
            while let Some((index, step)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                steps.get(index).map(|step| (index, step))
            } {
                if !is_large(step) {
                    made.push((index, advance(step, 1)?));
                }
            }
            Ok::<_, StateError>(made)
        };
        let mut tries = vec![None; steps.len()];
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(work)).collect();
            let mut made = work()?;
            for thread in others {
                made.extend(thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p))?);
            }
            for (index, trie) in made {
                tries[index] = Some(trie);
            }
            Ok::<_, StateError>(())
        })?;
        tries
            .into_iter()
            .zip(steps)
            .map(|(trie, step)| trie.map_or_else(|| advance(step, self.threads), Ok))
            .collect()
    }
}

/// What happens to one storage trie in a block.
struct StorageStep {
    account: B256,
    before: Trie,
    changes: Vec<Change>,
}

impl StateCommitment for Commitment {
    type Advance = Advance;

    fn advance(
        &mut self,
        diff: &mut StateDiff,
        source: &impl TrieSource,
    ) -> Result<(B256, Advance), StateError> {
        let mut steps = Vec::new();
        let mut keys = diff.accounts.len();
        for (key, account) in &diff.accounts {
            if account.after.is_some() && !account.slots.is_empty() {
                let root = account.before.map_or(EMPTY_ROOT_HASH, |a| a.storage_root);
                let before = match self.storages.get(key) {
                    _ if root == EMPTY_ROOT_HASH => Trie::default(),
                    Some(loaded) => loaded.trie.clone(),
                    None => self.view.storage(key, &root),
                };
                let changes: Vec<Change> =
                    account.slots.iter().map(|(slot, d)| (*slot, leaf(d.after))).collect();
                keys += changes.len();
                steps.push(StorageStep { account: *key, before, changes });
            }
        }
        let made = self.advance_storages(&steps, source)?;
        let mut storages: Vec<(B256, Option<Trie>)> = Vec::with_capacity(made.len());
        for (step, trie) in steps.into_iter().zip(made) {
            if let Some(after) =
                diff.accounts.get_mut(&step.account).and_then(|account| account.after.as_mut())
            {
                after.storage_root = trie.root();
            }
            storages.push((step.account, Some(trie)));
        }
        let mut changes: Vec<Change> = Vec::with_capacity(diff.accounts.len());
        for (key, account) in &diff.accounts {
            if account.after.is_none() && account.before.is_some() {
                storages.push((*key, None));
            }
            changes.push((*key, account.after.as_ref().map(alloy_rlp::encode)));
        }
        let nodes = AccountNodes { source };
        let accounts = self.accounts().updated(&changes, &self.loader(&nodes))?;
        Ok((accounts.root(), Advance { accounts, storages, keys }))
    }

    fn adopt(&mut self, advance: Advance) {
        self.unsaved_keys += advance.keys;
        let changed = advance.storages.iter();
        let changed = changed.filter_map(|(key, trie)| Some((*key, trie.clone()?))).collect();
        self.view.advance(advance.accounts, changed, self.epoch);
        for (key, storage) in advance.storages {
            self.unsaved.insert(key);
            match storage {
                Some(trie) => self.hold(key, trie),
                None => {
                    if let Some(loaded) = self.storages.remove(&key) {
                        self.storage_nodes -= loaded.trie.resident();
                    }
                }
            }
        }
        self.epoch = self.epoch.saturating_add(1);
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

fn leaf(value: U256) -> Option<Vec<u8>> {
    (!value.is_zero()).then(|| alloy_rlp::encode(value))
}

/// The account in a leaf of the account trie.
pub(crate) fn decode_account(rlp: &[u8]) -> Result<AccountState, StateError> {
    alloy_rlp::decode_exact(rlp).map_err(|_| StateError::Damaged { what: "account" })
}
