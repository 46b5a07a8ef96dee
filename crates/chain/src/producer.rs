//! The interface of those who agree on blocks among several nodes. Solo production is the case in
//! which each block is final as soon as it is made.
//!
//! Blocks may be built and verified on blocks that are not final; each is executed once, and what it
//! left behind is kept by its hash until it becomes final or cannot any more. Execution takes the
//! time from the block and never from this machine, so every node comes to the same result. What is
//! not final lives in memory: after a restart, blocks are handed in again. So they are after the disk
//! has failed: each of these methods then begins by opening the database again.

use std::sync::Arc;

use alloy_primitives::B256;

use crate::{
    Chain, ChainError, ChainSpec,
    block::Block,
    execution::BlockAttributes,
    node::{Node, NodeError},
};

impl Chain {
    /// The rules of the chain's blocks.
    pub fn spec(&self) -> &ChainSpec {
        &self.node.spec
    }

    /// Builds a child of the block with hash `parent`, which is the last one or was proposed or
    /// verified, from what waits in the pool and is not in its ancestors. Leaving out a block that was
    /// proposed costs nothing; its transactions still wait.
    ///
    /// # Errors
    /// [`NodeError::UnknownParent`] when the parent is not known here; when the attributes break a rule
    /// of headers, or ask for proof of work; [`NodeError::TooManyHeld`] when nothing becomes final.
    pub async fn propose(
        &self,
        parent: B256,
        attributes: BlockAttributes,
    ) -> Result<Block, ChainError> {
        self.working(move |node| Ok(node.propose(&parent, attributes)?.block.clone())).await
    }

    /// Executes a block on its parent, which is the last one or was proposed or verified, and
    /// compares all that its header says. A block whose hash is known already is not looked at again.
    /// The hash and the senders of its transactions are believed: take what comes from others with
    /// [`Block::from_rlp`]. How far ahead of the time a block may be is the caller's to judge.
    ///
    /// # Errors
    /// [`NodeError::Execution`] when the block is not valid and never will be;
    /// [`NodeError::UnknownParent`] when its parent has to come first; [`NodeError::OtherFinal`] when
    /// another block of its number, or in its parent's place, is final; [`NodeError::BeforeHeld`],
    /// [`NodeError::State`] and [`NodeError::TooManyHeld`] say nothing about the block.
    pub async fn verify(&self, block: Block) -> Result<(), ChainError> {
        self.working(move |node| node.verify(&block)).await
    }

    /// Makes a block final: it is written to disk, then shown. Blocks come in order; to give one
    /// again does nothing. One that was not verified before is executed and compared now.
    ///
    /// # Errors
    /// [`NodeError::NotNext`] when blocks between the last one and it are missing; [`NodeError::OtherFinal`]
    /// when the chain has another block of its number, or in its parent's place;
    /// [`NodeError::BeforeHeld`] when it is older than what this node holds. When it is not valid, or
    /// cannot be written; it can be given again then.
    pub async fn finalise(&self, block: Block) -> Result<(), ChainError> {
        self.working(move |node| node.finalise(&block)).await
    }

    /// Does what may take its time on a thread of its own.
    async fn working<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Node) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, ChainError> {
        let node = Arc::clone(&self.node);
        let done = tokio::task::spawn_blocking(move || work(&node)).await;
        Ok(done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?)
    }
}
