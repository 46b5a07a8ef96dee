//! The block that simulated ones stand on: its state as a layer over the stored one, and its tries.

use super::SimulateError;
use crate::{
    block::SealedHeader,
    node::{Head, PendingBlock},
    state::{Commitment, Layer, StateCommitment as _},
    store::Snapshot,
};

/// Keys that may have changed since an earlier block; some microseconds of work each.
const CHANGES_MAX: usize = 100_000;

/// The last simulated block, or the real one below.
pub(super) struct Base<'a> {
    pub(super) header: SealedHeader,
    pub(super) state: Layer<&'a Snapshot>,
    pub(super) commitment: Commitment,
    /// Where the tries find what none of the blocks changed.
    pub(super) stored: &'a Snapshot,
}

impl<'a> Base<'a> {
    /// The state after block `number` of the chain as of `head`.
    ///
    /// An earlier state is reached backwards: what was changed since is put back as if by a block.
    pub(super) fn at(head: &'a Head, number: u64) -> Result<Self, SimulateError> {
        let state = Layer::new(&head.snapshot);
        let commitment = Commitment::of(head.tries.clone());
        let header = head.header.clone();
        let mut base = Self { header, state, commitment, stored: &head.snapshot };
        if number < head.header.number {
            base.go_back(head, number)?;
        }
        Ok(base)
    }

    /// The state after the pending block.
    pub(super) fn pending(pending: &'a PendingBlock) -> Result<Self, SimulateError> {
        let parent = pending.parent();
        let mut base = Self::at(parent, parent.header.number)?;
        let mut diff = pending.executed.diff.clone();
        let (_, advance) = base.commitment.advance(&mut diff, base.stored)?;
        base.commitment.adopt(advance);
        base.header = pending.executed.block.header.clone();
        base.state.absorb(&base.header, &diff);
        Ok(base)
    }

    fn go_back(&mut self, head: &'a Head, number: u64) -> Result<(), SimulateError> {
        let missing = || SimulateError::plain("header not found");
        let header = head.snapshot.header(number)?.ok_or_else(missing)?;
        let (commitment, back) = head.tries_after(number, CHANGES_MAX)?;
        self.commitment = commitment;
        self.state.absorb(&header, &back);
        self.header = header;
        Ok(())
    }
}
