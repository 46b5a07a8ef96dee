//! Blocks that are executed and not final: what agreement among several nodes works on.
//!
//! A block is executed once, on the state after its parent, be that final or not; what it left
//! behind is kept under its hash. When it becomes final, that is written down, and the blocks above
//! it stand on the new head from then on; what else was held is forgotten. All of this can be made
//! anew from the blocks themselves, so a restart loses nothing.
//!
//! Executing takes none of the locks under which a final block is written: the next block can be
//! built meanwhile. Nothing here reads a clock, but to measure how long it took.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Instant,
};

use alloy_primitives::{
    B256,
    map::{B256Map, B256Set},
};

use super::{Head, Node, NodeError, below::Below, chain_of_causes, pending::HeadState};
use crate::{
    block::{Block, SealedHeader},
    execution::{
        BlockAttributes, BlockBuilder, Executed, ExecutionError, check_header, counts_difficulty,
        execute,
    },
    metrics::lap,
    state::{Advance, Commitment, Layer, StateCommitment as _, StateError, TrieView},
};

/// Blocks held at the same time, some MB each at the most. Agreement runs a few blocks ahead of finality.
pub(super) const HELD_MAX: usize = 64;

/// Blocks by hash.
type Held = B256Map<Arc<Branch>>;

/// The blocks that are held.
#[derive(Debug, Default)]
pub(super) struct Branches {
    held: Held,
}

/// A block that is executed and not final.
#[derive(Debug)]
pub(super) struct Branch {
    executed: Arc<Executed>,
    /// From its parent's tries to its own.
    advance: Advance,
    /// The state after it.
    state: Arc<Layer<Below>>,
    /// The tries after it.
    tries: TrieView,
}

/// What a block stands on.
struct Base {
    header: SealedHeader,
    state: Below,
    tries: TrieView,
}

impl Branches {
    /// Number of blocks.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Besides these blocks those others that stand on the head or on one of these, moved there. With
    /// `anew` their tries are led on again, see [`Branch::moved`].
    pub(super) fn with<'a>(
        mut self,
        head: &Arc<Head>,
        others: impl Iterator<Item = &'a Arc<Branch>>,
        anew: bool,
    ) -> Self {
        let mut others: Vec<_> = others.collect();
        others.sort_unstable_by_key(|branch| branch.header().number);
        for branch in others {
            let header = branch.header();
            let base = if header.parent_hash == head.header.hash() {
                Base::head(Arc::clone(head))
            } else if let Some(parent) = self.held.get(&header.parent_hash) {
                Base::branch(parent)
            } else {
                continue;
            };
            match branch.moved(base, anew) {
                Ok(moved) => {
                    self.held.insert(header.hash(), Arc::new(moved));
                }
                Err(error) => {
                    let (number, cause) = (header.number, chain_of_causes(&error));
                    tracing::warn!(number, cause, "a block that is not final is no longer held");
                }
            }
        }
        self
    }

    /// Lets go of what does not stand on this block, and of the block itself.
    fn keep_above(&mut self, head: &B256) {
        let headers = self.held.values().map(|branch| branch.header());
        let mut links: Vec<_> =
            headers.map(|header| (header.number, header.hash(), header.parent_hash)).collect();
        links.sort_unstable();
        let mut above = B256Set::default();
        for (_, hash, parent) in links {
            if parent == *head || above.contains(&parent) {
                above.insert(hash);
            }
        }
        self.held.retain(|hash, _| above.contains(hash));
    }

    /// Transactions of a held block and of those below it.
    fn transactions_up_to(&self, hash: &B256) -> B256Set {
        let mut passed = B256Set::default();
        let mut next = *hash;
        while let Some(branch) = self.held.get(&next) {
            let transactions = branch.executed.block.transactions.iter();
            passed.extend(transactions.map(|transaction| *transaction.inner().tx_hash()));
            next = branch.header().parent_hash;
        }
        passed
    }

    /// Makes room for a child of `parent`: the oldest block goes that nothing stands on.
    fn make_room(&mut self, parent: &B256) -> Result<(), NodeError> {
        if self.held.len() < HELD_MAX {
            return Ok(());
        }
        let oldest = self.oldest_leaf(parent).ok_or(NodeError::TooManyHeld { max: HELD_MAX })?;
        self.held.remove(&oldest);
        Ok(())
    }

    /// Whether [`Self::make_room`] would succeed now: known before a child is executed, which costs
    /// far more.
    fn has_room(&self, parent: &B256) -> bool {
        self.held.len() < HELD_MAX || self.oldest_leaf(parent).is_some()
    }

    /// The oldest block besides `parent` that nothing stands on.
    fn oldest_leaf(&self, parent: &B256) -> Option<B256> {
        let parents: B256Set = self.held.values().map(|held| held.header().parent_hash).collect();
        let leaves =
            self.held.iter().filter(|(hash, _)| *hash != parent && !parents.contains(*hash));
        leaves.min_by_key(|(_, held)| held.header().number).map(|(hash, _)| *hash)
    }
}

impl Branch {
    fn header(&self) -> &SealedHeader {
        &self.executed.block.header
    }

    /// The same block, its parent's state found in another way. With `anew` its tries are led on
    /// from the parent's again, which lets go of nodes that have been dropped there.
    fn moved(&self, base: Base, anew: bool) -> Result<Self, StateError> {
        let (advance, tries) = if anew {
            let mut commitment = Commitment::of(base.tries).on_all_processors();
            let mut diff = self.executed.diff.clone();
            let (root, advance) = commitment.advance(&mut diff, &base.state)?;
            if root != self.header().state_root {
                return Err(StateError::Damaged { what: "trie" });
            }
            commitment.adopt(advance.clone());
            (advance, commitment.view().clone())
        } else {
            (self.advance.clone(), self.tries.clone())
        };
        let mut state = Layer::new(base.state);
        state.absorb(self.header(), &self.executed.diff);
        Ok(Self { executed: Arc::clone(&self.executed), advance, state: Arc::new(state), tries })
    }
}

impl Base {
    fn head(head: Arc<Head>) -> Self {
        let (header, tries) = (head.header.clone(), head.tries.clone());
        Self { header, state: Below::Head(HeadState(head)), tries }
    }

    fn branch(branch: &Branch) -> Self {
        Self {
            header: branch.header().clone(),
            state: Below::Block(Arc::clone(&branch.state)),
            tries: branch.tries.clone(),
        }
    }
}

impl Node {
    pub(super) fn branches(&self) -> MutexGuard<'_, Branches> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds a child of a block from what waits, and holds it. Blocks its thread.
    pub(crate) fn propose(
        &self,
        parent: &B256,
        attributes: BlockAttributes,
    ) -> Result<Arc<Executed>, NodeError> {
        let opening = self.opened_disk()?;
        let proposed = self.try_propose(parent, attributes);
        self.note_failure_since(opening, &proposed);
        proposed
    }

    fn try_propose(
        &self,
        parent: &B256,
        attributes: BlockAttributes,
    ) -> Result<Arc<Executed>, NodeError> {
        let (base, has_room, passed) = {
            let branches = self.branches();
            let base = self.base(&branches, parent);
            (base, branches.has_room(parent), branches.transactions_up_to(parent))
        };
        let base = base.ok_or(NodeError::UnknownParent(*parent))?;
        self.check_stake(&base.header, attributes.proof_of_work.is_some())?;
        if !has_room {
            return Err(NodeError::TooManyHeld { max: HELD_MAX });
        }
        let start = Instant::now();
        let mut builder = BlockBuilder::new(&self.spec, &base.header, attributes, &base.state)?;
        // What is not valid on this branch may be on another one.
        self.fill(&mut builder, &passed, &mut || true)?;
        let executing = lap(&self.meters.execute, start);
        let mut commitment = Commitment::of(base.tries.clone()).on_all_processors();
        let (executed, advance) = builder.seal(&mut commitment, &base.state)?;
        lap(&self.meters.root, executing);
        let header = &executed.block.header;
        check_header(&self.spec, &base.header, header)
            .map_err(|reason| ExecutionError::Invalid { number: header.number, reason })?;
        self.hold(commitment, executed, advance)
    }

    /// Executes a block, compares everything its header says, and holds it. A block that is held or
    /// final already is only found. Blocks its thread.
    pub(crate) fn verify(&self, block: &Block) -> Result<(), NodeError> {
        let opening = self.opened_disk()?;
        let verified = self.try_verify(block);
        self.note_failure_since(opening, &verified);
        verified
    }

    fn try_verify(&self, block: &Block) -> Result<(), NodeError> {
        let (hash, parent) = (block.header.hash(), block.header.parent_hash);
        let (is_held, base, has_room) = {
            let branches = self.branches();
            let is_held = branches.held.contains_key(&hash);
            (is_held, self.base(&branches, &parent), branches.has_room(&parent))
        };
        // A block that lies about its number is not valid, whatever is final.
        let next = base.as_ref().and_then(|base| base.header.number.checked_add(1));
        let lies = next.is_some_and(|next| next != block.header.number);
        // Looked at after the parent, which is no base any more once the block is final.
        if !lies && (self.is_final(block)? || is_held) {
            return Ok(());
        }
        let base = base.ok_or(NodeError::UnknownParent(parent))?;
        self.check_stake(&base.header, !block.header.difficulty.is_zero())?;
        if !has_room {
            return Err(NodeError::TooManyHeld { max: HELD_MAX });
        }
        let start = Instant::now();
        let mut commitment = Commitment::of(base.tries.clone()).on_all_processors();
        let (executed, advance) =
            execute(&self.spec, &base.header, block, &base.state, &mut commitment, &base.state)?;
        lap(&self.meters.verify, start);
        self.hold(commitment, executed, advance).map(|_| ())
    }

    /// Writes the head's child down and shows it: with what its execution left behind if it is held,
    /// else by executing it. A block of the chain is only found. Blocks its thread.
    pub(crate) fn finalise(&self, block: &Block) -> Result<(), NodeError> {
        let mut commitment = self.commitment.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.try_finalise(&mut commitment, block);
        self.note_written(&made);
        made
    }

    fn try_finalise(&self, commitment: &mut Commitment, block: &Block) -> Result<(), NodeError> {
        self.recover(commitment)?;
        if self.is_final(block)? {
            return Ok(());
        }
        let parent = self.head();
        if block.header.parent_hash != parent.header.hash() {
            let (number, head) = (block.header.number, parent.header.number);
            return Err(NodeError::NotNext { number, head });
        }
        let held = self.branches().held.get(&block.header.hash()).cloned();
        match held {
            Some(branch) => {
                let advance = branch.advance.clone();
                self.publish(commitment, &branch.executed, advance).map(|_| ())
            }
            None => self.import_next(commitment, block),
        }
    }

    /// Forgets a block, as [`Branches::make_room`] does.
    #[cfg(test)]
    pub(super) fn let_go(&self, hash: &B256) {
        self.branches().held.remove(hash);
    }

    /// Forgets all that is held; whoever needs a block hands it in again.
    pub(super) fn forget_branches(&self) {
        self.branches().held.clear();
    }

    /// Lets what stands on the new head stand on it alone, and forgets the rest. `saved` says that
    /// the tries' records were just brought up to date.
    pub(super) fn rebase_branches(&self, head: &Arc<Head>, saved: bool) {
        let before = {
            let mut branches = self.branches();
            // At once: what has lost is no base, answers nobody and takes nobody's room.
            branches.keep_above(&head.header.hash());
            branches.held.clone()
        };
        // Without the lock: it may be a lot of hashing, and others look for what they stand on.
        let moved = Branches::default().with(head, before.values(), saved);
        self.adopt_branches(head, &before, moved);
    }

    /// The blocks that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> Held {
        self.branches().held.clone()
    }

    /// Holds what was made of the blocks `before`, but those that were let go meanwhile, and what came
    /// in meanwhile and stands on the new head.
    pub(super) fn adopt_branches(&self, head: &Arc<Head>, before: &Held, mut moved: Branches) {
        let mut branches = self.branches();
        moved.held.retain(|hash, _| branches.held.contains_key(hash));
        let late = branches.held.iter().filter(|(hash, _)| !before.contains_key(*hash));
        // They stand on the blocks as they were.
        let moved = moved.with(head, late.map(|(_, branch)| branch), false);
        *branches = moved;
    }

    /// What a child of this block stands on, if it is the head or held.
    fn base(&self, branches: &Branches, parent: &B256) -> Option<Base> {
        // In this order: a block is the head before it stops being held.
        if let Some(branch) = branches.held.get(parent) {
            return Some(Base::branch(branch));
        }
        let head = self.head();
        (head.header.hash() == *parent).then(|| Base::head(head))
    }

    /// Checks that a child of `parent` is proof of stake: before that there is no agreement on blocks.
    fn check_stake(&self, parent: &SealedHeader, is_work: bool) -> Result<(), ExecutionError> {
        if is_work || counts_difficulty(&self.spec, parent) {
            let number = parent.number.saturating_add(1);
            return Err(ExecutionError::ProofOfWork { number });
        }
        Ok(())
    }

    /// Whether it is a block of the chain, or may become one.
    ///
    /// # Errors
    /// When the chain has another one of its number, or another last one than its parent; when the chain
    /// began at a snapshot of a later block.
    fn is_final(&self, block: &Block) -> Result<bool, NodeError> {
        let (head, number) = (self.head(), block.header.number);
        let last = head.header.number;
        if number > last {
            // Its parent has the number of the last block, whatever else it is.
            let is_astray = number - last == 1 && block.header.parent_hash != head.header.hash();
            return if is_astray { Err(NodeError::OtherFinal { number: last }) } else { Ok(false) };
        }
        head.check_known(&block.header).map(|()| true)
    }

    /// Keeps what executing a block gave, unless the chain has gone on without its parent meanwhile.
    /// `commitment` stands before it.
    fn hold(
        &self,
        mut commitment: Commitment,
        executed: Executed,
        advance: Advance,
    ) -> Result<Arc<Executed>, NodeError> {
        commitment.adopt(advance.clone());
        let (executed, tries) = (Arc::new(executed), commitment.view().clone());
        let header = &executed.block.header;
        let mut branches = self.branches();
        // Its parent is looked for again: what it was executed on may be the state of an old head by
        // now, or of a database that was closed.
        if !branches.held.contains_key(&header.hash())
            && let Some(base) = self.base(&branches, &header.parent_hash)
        {
            branches.make_room(&header.parent_hash)?;
            let mut state = Layer::new(base.state);
            state.absorb(header, &executed.diff);
            let (executed, state) = (Arc::clone(&executed), Arc::new(state));
            let branch = Branch { executed, advance, state, tries };
            branches.held.insert(header.hash(), Arc::new(branch));
        }
        Ok(executed)
    }
}
