//! Whole chains in and out: files of RLP blocks as `geth export` writes and `geth import` reads
//! them, and the replay of a stored chain from its genesis.
//!
//! Nothing is taken on trust: every imported block is executed under the rules of its fork and
//! every root in its header is compared. What the chain already holds is skipped, so an import that
//! was interrupted goes on where it stopped when it is started again.

mod file;
mod replay;

use std::{
    io::{Read, Write},
    ops::RangeInclusive,
    sync::Arc,
};

use crate::{
    ChainError, Config,
    block::{Block, SealedHeader},
    node::{Node, NodeError},
    open,
};

pub use file::{BLOCK_BYTES_MAX, BlockFile, DecodeError, FileError};
pub(crate) use file::{decode, encode};

/// What an import, export or replay has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of the last block that was looked at.
    pub number: u64,
    /// Blocks imported, exported or executed.
    pub blocks: u64,
    /// Blocks of an import that the chain held before.
    pub skipped: u64,
    /// Transactions in `blocks`.
    pub transactions: u64,
    /// Gas used by `blocks`.
    pub gas: u64,
}

impl Progress {
    fn count(&mut self, block: &Block) {
        self.number = block.header.number;
        self.blocks += 1;
        self.transactions += block.transactions.len() as u64;
        self.gas = self.gas.saturating_add(block.header.gas_used);
    }
}

/// Why an import, export or replay stopped. What was imported before stays.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file.
    #[error("the file of blocks cannot be read")]
    File(#[from] FileError),
    /// The file could not be written.
    #[error("the file of blocks cannot be written")]
    Write(#[source] std::io::Error),
    /// A block whose number the chain holds with another hash.
    #[error("block {number} of the file is not the one of this chain")]
    OtherChain {
        /// Block number.
        number: u64,
    },
    /// Blocks are missing between the chain's head and the file's next block.
    #[error("the file goes on with block {number}, the chain ends at {head}")]
    Gap {
        /// The file's.
        number: u64,
        /// The chain's.
        head: u64,
    },
    /// A block is not valid, or could not be stored.
    #[error("block {number} was not taken")]
    Block {
        /// Block number.
        number: u64,
        /// Why.
        #[source]
        reason: NodeError,
    },
    /// A range that the chain does not have.
    #[error("the chain has no block {number}; its last one is {head}")]
    NoBlock {
        /// The block asked for.
        number: u64,
        /// The last one.
        head: u64,
    },
    /// A block whose transactions were dropped, or that was not in the snapshot the chain came from.
    #[error("the chain does not hold block {number} any more; it holds those from {first} on")]
    Dropped {
        /// The block asked for.
        number: u64,
        /// The first one that is whole.
        first: u64,
    },
    /// The chain itself failed.
    #[error("the chain could not be read")]
    Chain(#[from] NodeError),
}

/// A chain that is opened without being served or mined: for tools that work on its files.
#[derive(Debug)]
pub struct StoredChain {
    node: Arc<Node>,
}

impl StoredChain {
    /// Opens or creates the chain of a configuration; its RPC address and production are ignored.
    /// Blocks its thread.
    ///
    /// # Errors
    /// As [`crate::spawn`], but for the RPC port.
    pub fn open(config: Config) -> Result<Self, ChainError> {
        Ok(Self { node: Arc::new(open(config)?) })
    }

    /// The last block.
    pub fn head(&self) -> SealedHeader {
        self.node.head().header.clone()
    }

    /// Takes the blocks of a file in geth's format, as [`crate::Chain::import`].
    ///
    /// # Errors
    /// At the first block that cannot be read or is not valid; those before it stay.
    pub fn import(
        &self,
        reader: impl Read,
        progress: impl FnMut(&Progress),
    ) -> Result<Progress, TransferError> {
        import(&self.node, reader, progress)
    }

    /// Writes blocks in geth's format.
    ///
    /// # Errors
    /// When the chain does not have all of the blocks, or the writer fails.
    pub fn export(
        &self,
        range: RangeInclusive<u64>,
        writer: impl Write,
        progress: impl FnMut(&Progress),
    ) -> Result<Progress, TransferError> {
        export(&self.node, range, writer, progress)
    }

    /// Executes the whole chain again from its genesis in memory, and compares every root.
    ///
    /// # Errors
    /// At the first block that does not give what its header says.
    pub fn replay(&self, progress: impl FnMut(&Progress)) -> Result<Progress, TransferError> {
        replay::replay(&self.node, progress)
    }
}

pub(crate) fn import(
    node: &Node,
    reader: impl Read,
    mut progress: impl FnMut(&Progress),
) -> Result<Progress, TransferError> {
    let mut done = Progress::default();
    for block in BlockFile::new(reader, node.spec.clone()) {
        let block = block?;
        let number = block.header.number;
        let head = node.head();
        if number <= head.header.number {
            head.check_known(&block.header).map_err(|error| match error {
                NodeError::OtherFinal { number } => TransferError::OtherChain { number },
                NodeError::BeforeHeld { number, first } => TransferError::Dropped { number, first },
                error => error.into(),
            })?;
            done.skipped += 1;
            done.number = number;
        } else if number != head.header.number + 1 {
            return Err(TransferError::Gap { number, head: head.header.number });
        } else {
            drop(head);
            node.import(&block).map_err(|reason| TransferError::Block { number, reason })?;
            done.count(&block);
        }
        progress(&done);
    }
    Ok(done)
}

pub(crate) fn export(
    node: &Node,
    range: RangeInclusive<u64>,
    mut writer: impl Write,
    mut progress: impl FnMut(&Progress),
) -> Result<Progress, TransferError> {
    check_whole(node, *range.start())?;
    let mut done = Progress::default();
    for number in range {
        // A snapshot per block: one for the whole export would keep all pages of that time.
        let head = node.head();
        let no_block = TransferError::NoBlock { number, head: head.header.number };
        if number > head.header.number {
            return Err(no_block);
        }
        let block = head.block(number).map_err(NodeError::from)?.ok_or(no_block)?;
        writer.write_all(&encode(&block)).map_err(TransferError::Write)?;
        done.count(&block);
        progress(&done);
    }
    writer.flush().map_err(TransferError::Write)?;
    Ok(done)
}

/// Refuses blocks that are no longer there, before anything is done with those that are.
fn check_whole(node: &Node, number: u64) -> Result<(), TransferError> {
    let head = node.head();
    let first = head.snapshot.first_body().map_err(NodeError::from)?;
    // Block 0 is always there, but what follows it is asked for with it.
    let number = number.max(1);
    if number < first && number <= head.header.number {
        return Err(TransferError::Dropped { number, first });
    }
    Ok(())
}
