//! Files of blocks: one RLP list after another, without anything around them.

use std::io::{self, BufReader, Read};

use alloy_consensus::{
    EthereumTxEnvelope, Header, TxEip4844, TxEnvelope,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_rlp::Encodable;

use crate::{
    block::{Block, ChainSpec, SealedHeader, Transaction},
    execution::encoded_length,
};

/// Bytes one block of a file may have: geth's own blocks end at 8 MiB from Osaka on, and before
/// that the gas limit kept them below.
pub const BLOCK_BYTES_MAX: usize = 32 << 20;

/// Blocks with at least so many transactions have their senders recovered by several threads.
const PARALLEL_TRANSACTIONS: usize = 32;

/// Why a file of blocks could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading failed.
    #[error("reading failed after block {after:?}")]
    Read {
        /// The last block that was read.
        after: Option<u64>,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file ends within a block.
    #[error("the file ends within a block, after block {after:?}")]
    Truncated {
        /// The last block that was read.
        after: Option<u64>,
    },
    /// A block that is too large.
    #[error(
        "a block of {size} bytes follows block {after:?}; more than {BLOCK_BYTES_MAX} are not read"
    )]
    Oversized {
        /// Of the block.
        size: usize,
        /// The last block that was read.
        after: Option<u64>,
    },
    /// Bytes that are not a block.
    #[error("what follows block {after:?} is not a block: {reason}")]
    Malformed {
        /// The last block that was read.
        after: Option<u64>,
        /// What is wrong.
        reason: String,
    },
    /// A transaction whose signature gives no sender.
    #[error("transaction {index} of block {number} has an invalid signature")]
    Signature {
        /// Block number.
        number: u64,
        /// Position in the block.
        index: usize,
    },
}

/// Reads blocks one by one, never holding more than one. After an error there is nothing more.
#[derive(Debug)]
pub struct BlockFile<R> {
    reader: BufReader<R>,
    spec: ChainSpec,
    last: Option<u64>,
    ended: bool,
}

impl<R: Read> BlockFile<R> {
    /// Blocks of a chain with these rules; what a signature may be depends on the fork.
    pub fn new(reader: R, spec: ChainSpec) -> Self {
        Self { reader: BufReader::new(reader), spec, last: None, ended: false }
    }

    fn read(&mut self) -> Result<Option<Block>, FileError> {
        let Some(rlp) = self.read_item()? else { return Ok(None) };
        let block = decode(&rlp, &self.spec).map_err(|error| match error {
            DecodeError::Malformed(reason) => FileError::Malformed { after: self.last, reason },
            DecodeError::Signature { number, index } => FileError::Signature { number, index },
        })?;
        self.last = Some(block.header.number);
        Ok(Some(block))
    }

    /// The bytes of the next list, or nothing at the end of the file.
    fn read_item(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        let mut head = [0; 9];
        if self.fill(&mut head[..1])? == 0 {
            return Ok(None);
        }
        let size_bytes = match head[0] {
            0xc0..=0xf7 => 0,
            0xf8..=0xff => usize::from(head[0] - 0xf7),
            first => {
                let reason = format!("it begins with {first:#04x}, which is no list");
                return Err(FileError::Malformed { after: self.last, reason });
            }
        };
        if self.fill(&mut head[1..=size_bytes])? < size_bytes {
            return Err(FileError::Truncated { after: self.last });
        }
        let size = if size_bytes == 0 {
            usize::from(head[0] - 0xc0)
        } else {
            let mut bytes = [0; 8];
            bytes[8 - size_bytes..].copy_from_slice(&head[1..=size_bytes]);
            usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX)
        };
        if size > BLOCK_BYTES_MAX {
            return Err(FileError::Oversized { size, after: self.last });
        }
        let mut rlp = vec![0; 1 + size_bytes + size];
        rlp[..=size_bytes].copy_from_slice(&head[..=size_bytes]);
        if self.fill(&mut rlp[1 + size_bytes..])? < size {
            return Err(FileError::Truncated { after: self.last });
        }
        Ok(Some(rlp))
    }

    /// Reads until the buffer is full or the file ends; returns how much there was.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FileError::Read { after: self.last, source }),
            }
        }
        Ok(filled)
    }
}

impl<R: Read> Iterator for BlockFile<R> {
    type Item = Result<Block, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Why bytes are not a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They are not laid out as one.
    #[error("not a block: {0}")]
    Malformed(String),
    /// A signature without a sender.
    #[error("transaction {index} of block {number} has an invalid signature")]
    Signature {
        /// Block number.
        number: u64,
        /// Position in the block.
        index: usize,
    },
}

impl Block {
    /// Decodes a block as it travels and recovers the senders of its transactions; nothing is executed.
    ///
    /// # Errors
    /// Says why the bytes are no block, also when there are more than [`BLOCK_BYTES_MAX`].
    pub fn from_rlp(rlp: &[u8], spec: &ChainSpec) -> Result<Self, DecodeError> {
        if rlp.len() > BLOCK_BYTES_MAX {
            let reason = format!("{} bytes are more than {BLOCK_BYTES_MAX}", rlp.len());
            return Err(DecodeError::Malformed(reason));
        }
        decode(rlp, spec)
    }

    /// The block as it travels.
    pub fn to_rlp(&self) -> Vec<u8> {
        encode(self)
    }
}

/// Decodes a block as it travels and recovers the senders of its transactions.
pub(crate) fn decode(rlp: &[u8], spec: &ChainSpec) -> Result<Block, DecodeError> {
    // Blob transactions in a block come without their blobs; with them they do not decode.
    type Plain = alloy_consensus::Block<EthereumTxEnvelope<TxEip4844>, Header>;
    let mut rest = rlp;
    let malformed = |error: alloy_rlp::Error| DecodeError::Malformed(error.to_string());
    let sealed = Plain::decode_sealed(&mut rest).map_err(malformed)?;
    if !rest.is_empty() {
        return Err(DecodeError::Malformed(format!("{} bytes too many", rest.len())));
    }
    let (block, hash) = sealed.into_parts();
    let number = block.header.number;
    let body = block.body;
    let strict = spec.forks.homestead.is_some_and(|homestead| homestead <= number);
    let transactions = recover(body.transactions, strict)
        .map_err(|index| DecodeError::Signature { number, index })?;
    let block = Block {
        header: SealedHeader::new_unchecked(block.header, hash),
        transactions,
        ommers: body.ommers,
        withdrawals: body.withdrawals,
    };
    // The library takes a wrong length around a typed transaction. A block has one encoding.
    if encode(&block) != rlp {
        return Err(DecodeError::Malformed("it is not in its proper form".to_owned()));
    }
    Ok(block)
}

/// Finds the senders; fails with the position of a transaction that has none. From Homestead on
/// (`strict`) only the lower of the two possible signatures counts.
fn recover(
    transactions: Vec<EthereumTxEnvelope<TxEip4844>>,
    strict: bool,
) -> Result<Vec<Transaction>, usize> {
    let one = |(index, tx): (usize, EthereumTxEnvelope<TxEip4844>)| {
        let sender = if strict { tx.recover_signer() } else { tx.recover_signer_unchecked() };
        let sender = sender.map_err(|_| index)?;
        Ok(Recovered::new_unchecked(TxEnvelope::from(tx), sender))
    };
    let count = transactions.len();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut rest = transactions.into_iter().enumerate();
    if count < PARALLEL_TRANSACTIONS || threads == 1 {
        return rest.map(one).collect();
    }
    let share = count.div_ceil(threads);
    std::thread::scope(|scope| {
        let mut parts = Vec::with_capacity(threads);
        loop {
            let part: Vec<_> = rest.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            let work = move || part.into_iter().map(one).collect::<Result<Vec<_>, usize>>();
            parts.push(scope.spawn(work));
        }
        let mut all = Vec::with_capacity(count);
        for part in parts {
            let part = part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.extend(part?);
        }
        Ok(all)
    })
}

/// A block as it travels.
pub(crate) fn encode(block: &Block) -> Vec<u8> {
    let list = |payload_length| alloy_rlp::Header { list: true, payload_length };
    let mut rlp = Vec::with_capacity(encoded_length(block));
    let mut content = Vec::with_capacity(encoded_length(block));
    let mut transactions = Vec::new();
    for transaction in &block.transactions {
        transaction.inner().encode(&mut transactions);
    }
    block.header.inner().encode(&mut content);
    list(transactions.len()).encode(&mut content);
    content.extend_from_slice(&transactions);
    block.ommers.encode(&mut content);
    if let Some(withdrawals) = &block.withdrawals {
        withdrawals.encode(&mut content);
    }
    list(content.len()).encode(&mut rlp);
    rlp.extend_from_slice(&content);
    rlp
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::{Sealable as _, SignableTransaction as _, TxEip1559},
        eips::eip2718::Encodable2718 as _,
        signers::{SignerSync as _, local::PrivateKeySigner},
    };

    use super::*;

    #[test]
    fn a_block_has_one_encoding() {
        let signer = PrivateKeySigner::from_bytes(&[7; 32].into()).unwrap();
        let tx = TxEip1559 { chain_id: 1337, input: vec![9; 60].into(), ..TxEip1559::default() };
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        let envelope = TxEnvelope::from(tx.into_signed(signature));
        let length = envelope.encode_2718_len();
        let transaction = Recovered::new_unchecked(envelope, signer.address());
        let header = Header::default().seal_slow();
        let spec = crate::Genesis::default().spec();
        let rlp = encode(&Block::new(header, vec![transaction]));
        assert_eq!(encode(&decode(&rlp, &spec).unwrap()), rlp);
        // The length of the string that a typed transaction is in a block.
        let head = [0xb8, u8::try_from(length).unwrap(), 2];
        let at = rlp.windows(3).position(|bytes| bytes == head).unwrap() + 1;
        for wrong in [0, 1, rlp[at] - 1, rlp[at] + 1, 0xff] {
            let mut damaged = rlp.clone();
            damaged[at] = wrong;
            assert!(matches!(decode(&damaged, &spec), Err(DecodeError::Malformed(_))), "{wrong}");
        }
    }
}
