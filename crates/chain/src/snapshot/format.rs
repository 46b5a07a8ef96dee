//! The file's form: a head and chunks with checksums.

use std::io::{self, Read, Write};

use alloy_primitives::{B256, Bytes, Keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// What a snapshot file begins with; the last byte is the version.
const MAGIC: [u8; 16] = *b"tilth snapshot\n\x01";

/// Bytes after which a chunk is closed.
pub(super) const CHUNK_TARGET: usize = 1 << 20;

/// Bytes a chunk may have: more than a full block with its receipts.
const CHUNK_MAX: u32 = 512 << 20;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Manifest = 1,
    Blocks = 2,
    Accounts = 3,
    Storage = 4,
    Code = 5,
    End = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Manifest, Self::Blocks, Self::Accounts, Self::Storage, Self::Code, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The first chunk.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Manifest {
    pub(super) chain_id: u64,
    pub(super) head_number: u64,
    pub(super) head_hash: B256,
    pub(super) genesis_hash: B256,
}

/// A block as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct StoredBlock {
    pub(super) header: Bytes,
    pub(super) body: Bytes,
    pub(super) receipts: Bytes,
}

/// One key of the state and what it has: an account's RLP, a slot's value, or code.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Entry {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// The last chunk: what came before it.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct End {
    pub(super) blocks: u64,
    pub(super) accounts: u64,
    pub(super) slots: u64,
    pub(super) codes: u64,
}

fn checksum(kind: u8, position: u64, content: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([kind]);
    hasher.update(position.to_be_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Writes chunks.
pub(super) struct Writer<W> {
    out: W,
    position: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        Ok(Self { out, position: 0 })
    }

    pub(super) fn chunk(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).ok().filter(|length| *length <= CHUNK_MAX);
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let checksum = checksum(kind as u8, self.position, content);
        self.out.write_all(&[kind as u8])?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(checksum.as_slice())?;
        self.out.write_all(content)?;
        self.position += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Why the next chunk could not be had.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    Invalid(&'static str),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Invalid("the file ends too early"),
            _ => Self::Io(error),
        }
    }
}

/// Reads chunks, trusting nothing. Memory grows with what the file really has, never with what it
/// claims.
pub(super) struct Reader<R> {
    input: R,
    position: u64,
    last: Option<Kind>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(mut input: R) -> Result<Self, ReadError> {
        let mut magic = [0; 16];
        input.read_exact(&mut magic)?;
        if magic[..15] != MAGIC[..15] {
            return Err(ReadError::Invalid("this is no snapshot file"));
        }
        if magic != MAGIC {
            return Err(ReadError::Invalid("the file is of another version"));
        }
        Ok(Self { input, position: 0, last: None })
    }

    /// Position of the chunk that comes next.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next chunk. Kinds never go back, the first is the manifest and nothing follows the end.
    pub(super) fn chunk(&mut self) -> Result<(Kind, Vec<u8>), ReadError> {
        let mut head = [0; 37];
        self.input.read_exact(&mut head)?;
        let kind = Kind::from_byte(head[0]).ok_or(ReadError::Invalid("unknown kind of chunk"))?;
        let is_in_order = match self.last {
            None => kind == Kind::Manifest,
            Some(last) => kind > last || (kind == last && kind != Kind::Manifest),
        };
        if !is_in_order {
            return Err(ReadError::Invalid("chunks are out of order"));
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        if length > CHUNK_MAX {
            return Err(ReadError::Invalid("the chunk is too large"));
        }
        let mut content = Vec::new();
        let read = (&mut self.input).take(length.into()).read_to_end(&mut content)?;
        if u64::try_from(read).ok() != Some(length.into()) {
            return Err(ReadError::Invalid("the file ends too early"));
        }
        if checksum(head[0], self.position, &content).as_slice() != &head[5..] {
            return Err(ReadError::Invalid("the checksum does not fit the content"));
        }
        if kind == Kind::End && self.input.read(&mut [0])? > 0 {
            return Err(ReadError::Invalid("something follows the end"));
        }
        self.position += 1;
        self.last = Some(kind);
        Ok((kind, content))
    }
}
