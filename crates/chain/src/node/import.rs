//! Blocks that others made.

use std::{sync::PoisonError, time::Instant};

use alloy_primitives::U256;

use super::{Head, Node, NodeError};
use crate::{
    block::{Block, Body, ExecutedReceipt, SealedHeader},
    execution::{
        Ancestor, ExecutionError, OMMER_DEPTH, check_merge, check_ommers, counts_difficulty,
        execute,
    },
    metrics::lap,
    state::{Commitment, StateError},
    store::Snapshot,
};

impl Head {
    /// A stored block, whole.
    pub(crate) fn block(&self, number: u64) -> Result<Option<Block>, StateError> {
        self.snapshot.header(number)?.map(|header| self.with_body(header)).transpose()
    }

    /// The block that a stored header belongs to.
    pub(crate) fn with_body(&self, header: SealedHeader) -> Result<Block, StateError> {
        let body = self.snapshot.body(header.number)?;
        let Body { transactions, ommers, withdrawals } =
            body.ok_or(StateError::Damaged { what: "body" })?;
        Ok(Block { header, transactions, ommers, withdrawals })
    }

    /// Checks that a block whose number is not above the head's is one of the chain.
    ///
    /// # Errors
    /// [`NodeError::OtherFinal`] when the chain has another one of its number; [`NodeError::BeforeHeld`]
    /// when the chain began at a snapshot of a later block, so that nobody can say.
    pub(crate) fn check_known(&self, header: &SealedHeader) -> Result<(), NodeError> {
        let number = header.number;
        match self.snapshot.hash_of(number)? {
            Some(known) if known == header.hash() => Ok(()),
            Some(_) => Err(NodeError::OtherFinal { number }),
            None => match self.snapshot.first_block()? {
                first if number < first => Err(NodeError::BeforeHeld { number, first }),
                _ => Err(StateError::Damaged { what: "header" }.into()),
            },
        }
    }

    /// The last block and those before it, as far as the judgement of ommers needs them.
    fn ancestors(&self) -> Result<Vec<Ancestor>, StateError> {
        let mut ancestors = Vec::with_capacity(OMMER_DEPTH);
        for number in (0..=self.header.number).rev().take(OMMER_DEPTH) {
            if let Some(block) = self.block(number)? {
                ancestors.push(Ancestor { header: block.header, ommers: block.ommers });
            }
        }
        Ok(ancestors)
    }
}

impl Node {
    /// Executes, verifies, stores and publishes the head's child. Blocks its thread.
    pub(crate) fn import(&self, block: &Block) -> Result<(), NodeError> {
        let mut commitment = self.commitment.lock().unwrap_or_else(PoisonError::into_inner);
        let imported =
            self.recover(&mut commitment).and_then(|()| self.import_next(&mut commitment, block));
        self.note_written(&imported);
        imported
    }

    /// The same for whoever holds the lock, has looked after the disk, and notes its failure.
    pub(super) fn import_next(
        &self,
        commitment: &mut Commitment,
        block: &Block,
    ) -> Result<(), NodeError> {
        let parent = self.head();
        let number = block.header.number;
        let invalid = |reason| ExecutionError::Invalid { number, reason };
        if !block.ommers.is_empty() {
            check_ommers(&self.spec, block, &parent.ancestors()?).map_err(invalid)?;
        }
        let total = self.check_merge(&parent, block)?;
        let start = Instant::now();
        let (executed, advance) = execute(
            &self.spec,
            &parent.header,
            block,
            &parent.snapshot,
            commitment,
            &parent.snapshot,
        )?;
        lap(&self.meters.verify, start);
        self.publish(commitment, &executed, advance)?;
        *self.total_difficulty.lock().unwrap_or_else(PoisonError::into_inner) =
            total.map(|total| (executed.block.header.hash(), total));
        Ok(())
    }

    /// Checks that proof of work ends exactly where the total difficulty says; returns the total of
    /// the block if it still counts.
    fn check_merge(&self, parent: &Head, block: &Block) -> Result<Option<U256>, NodeError> {
        if !counts_difficulty(&self.spec, &parent.header) {
            return Ok(None);
        }
        let total = self.total_difficulty_of(parent)?;
        let number = block.header.number;
        check_merge(&self.spec, &parent.header, total, &block.header)
            .map_err(|reason| ExecutionError::Invalid { number, reason })?;
        Ok(Some(total.saturating_add(block.header.difficulty)))
    }

    /// Difficulty of all blocks up to the head: remembered from the last import, or added up.
    fn total_difficulty_of(&self, head: &Head) -> Result<U256, StateError> {
        let known = *self.total_difficulty.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((hash, total)) = known
            && hash == head.header.hash()
        {
            return Ok(total);
        }
        let before = difficulty_before(&head.snapshot, head.header.number)?;
        Ok(before.saturating_add(head.header.difficulty))
    }

    /// Checks that the stored receipts of a block are those that executing it gives.
    pub(crate) fn check_receipts(
        &self,
        number: u64,
        receipts: &[ExecutedReceipt],
    ) -> Result<(), NodeError> {
        let stored = self.head().snapshot.receipts(number)?;
        if stored.as_deref() == Some(receipts) {
            Ok(())
        } else {
            Err(StateError::Damaged { what: "receipts" }.into())
        }
    }
}

/// Difficulty of all blocks before one, added up.
pub(super) fn difficulty_before(snapshot: &Snapshot, number: u64) -> Result<U256, StateError> {
    (0..number).try_fold(U256::ZERO, |total, number| {
        let header = snapshot.header(number)?;
        let difficulty = header.map(|header| header.difficulty).unwrap_or_default();
        Ok(total.saturating_add(difficulty))
    })
}
