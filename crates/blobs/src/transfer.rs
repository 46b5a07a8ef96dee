//! One verified transfer from one holder.
//!
//! The holder announces a size before it sends. That size is judged before anything is stored, then
//! every 16 KiB group is checked against the hash before it is written. What was stored before a
//! transfer broke off is kept and not asked for again.

use std::{num::NonZeroU64, time::Duration};

use bao_tree::io::BaoContentItem;
use iroh::endpoint::{Connection, ReadError};
use iroh_blobs::{
    Hash,
    api::{Store, blobs::BlobStatus},
    get::fsm::{
        self, AtBlobHeader, AtBlobHeaderNextError, AtEndBlob, BlobContentNext, ConnectedNext,
        DecodeError, EndBlobNext,
    },
    protocol::{ChunkRanges, GetRequest},
};
use tilth_protocol::ContentHash;

use crate::{BlobsError, SequenceBounds, Tag, disk::Disk, guard::Guard, local::named, pace::Pace};

/// Why a transfer did not complete.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The holder does not have it, or not all of it.
    Missing,
    /// The holder's bytes do not match the hash.
    Lied(String),
    /// The holder announced a size that is not acceptable.
    Unfit(BlobsError),
    /// The connection broke or stood still.
    Broken(String),
    /// Our own disk or store.
    Local(BlobsError),
}

/// Which size a blob may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Exactly(u64),
    UpTo(u64),
}

impl Allowed {
    pub(crate) fn admits(self, size: u64) -> bool {
        match self {
            Self::Exactly(exact) => size == exact,
            Self::UpTo(max) => size <= max,
        }
    }

    pub(crate) fn max(self) -> u64 {
        match self {
            Self::Exactly(max) | Self::UpTo(max) => max,
        }
    }
}

/// What a transfer needs from this side.
pub(crate) struct Receiver<'a> {
    pub(crate) store: &'a Store,
    pub(crate) disk: &'a Disk,
    /// The cap on what is fetched.
    pub(crate) pace: &'a Pace,
    /// The longest time without a byte.
    pub(crate) stall: Duration,
    /// Parts of a sequence are kept from others as its name says, from before they come in.
    pub(crate) guard: &'a Guard,
    /// The name under which it is fetched.
    pub(crate) tag: &'a Tag,
}

impl Receiver<'_> {
    /// Fetches what is missing of one blob of known or bounded size.
    pub(crate) async fn blob(
        &self,
        connection: Connection,
        want: ContentHash,
        allowed: Allowed,
    ) -> Result<(), TransferError> {
        let hash = Hash::from_bytes(want.0);
        let missing = self.missing(hash).await?;
        let request = GetRequest::blob_ranges(hash, missing);
        let start = match self.open(connection, request).await? {
            ConnectedNext::StartRoot(start) => start,
            ConnectedNext::StartChild(_) | ConnectedNext::Closing(_) => return Ok(()),
        };
        let admit = |size| {
            if !allowed.admits(size) {
                let (content, max) = (named(want), allowed.max());
                return Err(TransferError::Unfit(BlobsError::TooLarge { content, size, max }));
            }
            self.disk.admit(size).map_err(TransferError::Local)
        };
        self.receive(start.next(), hash, admit).await?;
        Ok(())
    }

    /// Fetches what is missing of a sequence and its parts, in one request if all goes well.
    pub(crate) async fn sequence(
        &self,
        connection: Connection,
        sequence: ContentHash,
        bounds: SequenceBounds,
    ) -> Result<(), TransferError> {
        match self.sequence_at_once(connection.clone(), sequence, bounds).await {
            // A holder that finds no list of hashes, or not all parts, resets the stream, which can
            // also lose what it had sent. The list alone tells the two apart.
            Err(TransferError::Missing) => {
                self.list(connection, sequence, bounds).await?;
                Err(TransferError::Missing)
            }
            result => result,
        }
    }

    /// Fetches the list of a sequence without its parts.
    async fn list(
        &self,
        connection: Connection,
        sequence: ContentHash,
        bounds: SequenceBounds,
    ) -> Result<(), TransferError> {
        let root = Hash::from_bytes(sequence.0);
        let budget = Budget { hash: sequence, bounds, spent: 0 };
        let request = GetRequest::blob_ranges(root, self.missing(root).await?);
        let ConnectedNext::StartRoot(start) = self.open(connection, request).await? else {
            return Ok(());
        };
        self.receive(start.next(), root, |size| budget.admit_root(size)).await?;
        Ok(())
    }

    async fn sequence_at_once(
        &self,
        connection: Connection,
        sequence: ContentHash,
        bounds: SequenceBounds,
    ) -> Result<(), TransferError> {
        let root = Hash::from_bytes(sequence.0);
        let mut budget = Budget { hash: sequence, bounds, spent: 0 };
        let request = self.missing_of_sequence(root, &mut budget).await?;
        let (mut next, mut parts) = match self.open(connection, request).await? {
            ConnectedNext::StartRoot(start) => {
                let admit = |size| {
                    budget.admit_root(size)?;
                    self.disk.admit(size).map_err(TransferError::Local)
                };
                let end = self.receive(start.next(), root, admit).await?;
                (end.next(), None)
            }
            ConnectedNext::StartChild(start) => (EndBlobNext::MoreChildren(start), None),
            ConnectedNext::Closing(_) => return Ok(()),
        };
        loop {
            let start = match next {
                EndBlobNext::MoreChildren(start) => start,
                EndBlobNext::Closing(_) => break,
            };
            let parts = match &mut parts {
                Some(parts) => parts,
                none => none.insert(self.parts(root).await?),
            };
            let index =
                usize::try_from(start.offset()).ok().and_then(|offset| offset.checked_sub(1));
            let Some(part) = index.and_then(|index| parts.get(index).copied()) else { break };
            let admit = |size| {
                budget.admit_part(size)?;
                self.disk.admit(size).map_err(TransferError::Local)
            };
            next = self.receive(start.next(part), part, admit).await?.next();
        }
        Ok(())
    }

    /// Sends the request and waits for the beginning of the answer.
    async fn open(
        &self,
        connection: Connection,
        request: GetRequest,
    ) -> Result<ConnectedNext, TransferError> {
        let broken = |error: String| TransferError::Broken(error);
        let opening = async {
            let connected = fsm::start(connection, request, Default::default())
                .next()
                .await
                .map_err(|error| broken(error.to_string()))?;
            connected.next().await.map_err(|error| broken(error.to_string()))
        };
        self.in_time(opening).await?
    }

    /// Receives one blob: announced size, then verified content, into the store.
    async fn receive(
        &self,
        header: AtBlobHeader,
        hash: Hash,
        admit: impl FnOnce(u64) -> Result<(), TransferError>,
    ) -> Result<AtEndBlob, TransferError> {
        let (mut content, size) = self.in_time(header.next()).await?.map_err(header_error)?;
        admit(size)?;
        let Some(size) = NonZeroU64::new(size) else {
            if hash != Hash::EMPTY {
                return Err(TransferError::Lied("announced no bytes".to_owned()));
            }
            return self.in_time(content.drain()).await?.map_err(decode_error);
        };
        // 64 groups of 16 KiB: enough to keep the disk busy, bounded memory per transfer.
        let buffered = (size.get() / 16_384).saturating_add(2).min(64);
        let buffered = usize::try_from(buffered).unwrap_or(64);
        let import = self.store.import_bao(hash, size, buffered).await;
        let import = import.map_err(|error| self.local("opening content", error))?;
        let write = async {
            let end = loop {
                match self.in_time(content.next()).await? {
                    BlobContentNext::More((next, item)) => {
                        let item = item.map_err(decode_error)?;
                        if let BaoContentItem::Leaf(leaf) = &item {
                            // What is not read is not sent for long: the transport holds it back.
                            self.pace.take(leaf.data.len() as u64).await;
                        }
                        let sent = import.tx.send(item).await;
                        sent.map_err(|error| self.local("writing content", error))?;
                        content = next;
                    }
                    BlobContentNext::Done(end) => break end,
                }
            };
            drop(import.tx);
            Ok(end)
        };
        let complete = async {
            match import.rx.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(self.local("writing content", error)),
                Err(error) => Err(self.local("writing content", error)),
            }
        };
        let (end, ()) = tokio::try_join!(write, complete)?;
        Ok(end)
    }

    /// The chunk ranges of a blob that are not here.
    async fn missing(&self, hash: Hash) -> Result<ChunkRanges, TransferError> {
        let here = self.store.observe(hash).await;
        let here = here.map_err(|error| self.local("looking for content", error))?;
        Ok(ChunkRanges::all() - here.ranges)
    }

    /// The request for what is missing of a sequence; counts what is already here in the budget.
    async fn missing_of_sequence(
        &self,
        root: Hash,
        budget: &mut Budget,
    ) -> Result<GetRequest, TransferError> {
        let status = self.store.status(root).await;
        let BlobStatus::Complete { size } =
            status.map_err(|error| self.local("looking for content", error))?
        else {
            return Ok(GetRequest::all(root));
        };
        budget.admit_root(size)?;
        let mut request = GetRequest::builder();
        for (index, part) in (0_u64..).zip(self.parts(root).await?) {
            let status = self.store.status(part).await;
            match status.map_err(|error| self.local("looking for content", error))? {
                BlobStatus::Complete { size } => budget.admit_part(size)?,
                BlobStatus::Partial { .. } => {
                    request = request.child(index, self.missing(part).await?);
                }
                BlobStatus::NotFound => request = request.child(index, ChunkRanges::all()),
            }
        }
        Ok(request.build(root))
    }

    /// The hashes in a sequence that is here. If it is kept from others, so are they from now on.
    async fn parts(&self, root: Hash) -> Result<Vec<Hash>, TransferError> {
        let bytes = self.store.get_bytes(root).await;
        let bytes = bytes.map_err(|error| self.local("reading a sequence", error))?;
        let (parts, _) = bytes.as_chunks::<32>();
        self.guard.keep_also(self.tag, parts.iter().map(|part| ContentHash(*part)).collect());
        Ok(parts.iter().map(|part| Hash::from_bytes(*part)).collect())
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, TransferError> {
        tokio::time::timeout(self.stall, work)
            .await
            .map_err(|_| TransferError::Broken(format!("nothing came for {:?}", self.stall)))
    }

    fn local(&self, action: &'static str, error: impl std::fmt::Display) -> TransferError {
        TransferError::Local(self.disk.explain(action, error))
    }
}

/// What may still come in one sequence.
struct Budget {
    hash: ContentHash,
    bounds: SequenceBounds,
    spent: u64,
}

impl Budget {
    fn admit_root(&self, size: u64) -> Result<(), TransferError> {
        let max = u64::from(self.bounds.max_items).saturating_mul(32);
        if size > max || !size.is_multiple_of(32) {
            return Err(TransferError::Unfit(BlobsError::NotASequence {
                hash: self.hash,
                max_items: self.bounds.max_items,
            }));
        }
        Ok(())
    }

    fn admit_part(&mut self, size: u64) -> Result<(), TransferError> {
        self.spent = self.spent.saturating_add(size);
        if self.spent > self.bounds.max_total_bytes {
            return Err(TransferError::Unfit(BlobsError::TooLarge {
                content: named(self.hash),
                size: self.spent,
                max: self.bounds.max_total_bytes,
            }));
        }
        Ok(())
    }
}

/// Whether the holder gave up on the request, as opposed to the connection breaking.
fn is_reset(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<ReadError>());
    matches!(error, Some(ReadError::Reset(_)))
}

/// Why an answer does not begin.
pub(crate) fn header_error(error: AtBlobHeaderNextError) -> TransferError {
    match error {
        AtBlobHeaderNextError::NotFound { .. } => TransferError::Missing,
        // A holder resets the stream when it finds that it has nothing to send.
        AtBlobHeaderNextError::Read { source, .. } if is_reset(&source) => TransferError::Missing,
        error => TransferError::Broken(error.to_string()),
    }
}

/// Why an answer does not go on.
pub(crate) fn decode_error(error: DecodeError) -> TransferError {
    match error {
        DecodeError::ChunkNotFound { .. }
        | DecodeError::ParentNotFound { .. }
        | DecodeError::LeafNotFound { .. } => TransferError::Missing,
        DecodeError::ParentHashMismatch { .. } | DecodeError::LeafHashMismatch { .. } => {
            TransferError::Lied(error.to_string())
        }
        DecodeError::Read { source, .. } if is_reset(&source) => TransferError::Missing,
        error => TransferError::Broken(error.to_string()),
    }
}
