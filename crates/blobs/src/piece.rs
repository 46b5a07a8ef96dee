//! What one holder serves, to look at: one piece of a blob, or a small blob. Nothing is stored.

use std::time::{Duration, Instant};

use bao_tree::io::BaoContentItem;
use bytes::Bytes;
use iroh::endpoint::{Connection, ConnectionError, VarInt};
use iroh_blobs::{
    Hash,
    get::fsm::{self, BlobContentNext, ConnectedNext},
    protocol::{ChunkRanges, ChunkRangesExt, GetRequest},
};
use tilth_protocol::{Contact, ContentHash, ContentRef};
use tracing::warn;

use crate::{
    Answer, Blobs, BlobsError, Doing,
    door::BUSY,
    local::{iroh_hash, named},
    pace::Pace,
    transfer::{Allowed, TransferError, decode_error, header_error},
};

/// Bytes of a piece; the last one of a blob may be shorter. It is what is checked against a blob's hash by itself, so
/// nothing but a piece and its proof is sent.
pub const PIECE_BYTES: u64 = 16 << 10;

impl Blobs {
    /// Fetches one piece of a blob from one holder, and checks it against the blob's hash. It is not stored, and nothing
    /// that is here already is looked at.
    ///
    /// `piece`: 0 up to, and without, `blob.size` in pieces of [`PIECE_BYTES`], rounded up. At most a piece and its proof
    /// (64 bytes for each doubling of the blob's pieces) are read. One attempt, which ends at `deadline`; a holder that
    /// has sent wrong bytes before is asked, too.
    ///
    /// # Errors
    /// [`BlobsError::NotServed`]: there is no such piece, or the holder was not reached, is busy, too slow, does not have
    /// it or sent something else; [`BlobsError::TooLarge`]: it says that the blob has another size.
    pub fn get_piece<'a>(
        &'a self,
        blob: ContentRef,
        piece: u64,
        holder: &'a Contact,
        deadline: Instant,
    ) -> Doing<'a, Result<Bytes, BlobsError>> {
        Box::pin(async move {
            let Some(length) = length(blob, piece) else {
                let detail = format!("there is no piece {piece} of it");
                return Err(not_served(blob.hash, Answer::Other, detail));
            };
            let (hash, allowed) = (blob.hash, Allowed::Exactly(blob.size));
            let bytes = self.look_at(hash, range(piece), allowed, holder, deadline).await?;
            let is_whole = bytes.len() as u64 == length;
            if is_whole {
                Ok(bytes)
            } else {
                Err(not_served(hash, Answer::Other, NOT_THERE.into()))
            }
        })
    }

    /// Fetches a whole blob from one holder into memory, and checks it against its hash. It is not stored, and nothing
    /// that is here already is looked at. One attempt, which ends at `deadline`.
    ///
    /// `max_bytes`: the largest blob that is taken.
    ///
    /// # Errors
    /// [`BlobsError::NotServed`]: the holder was not reached, is busy, too slow, does not have it or sent something else;
    /// [`BlobsError::TooLarge`]: it says that the blob is larger.
    pub fn peek<'a>(
        &'a self,
        hash: ContentHash,
        max_bytes: u64,
        holder: &'a Contact,
        deadline: Instant,
    ) -> Doing<'a, Result<Bytes, BlobsError>> {
        Box::pin(async move {
            let allowed = Allowed::UpTo(max_bytes);
            self.look_at(hash, ChunkRanges::all(), allowed, holder, deadline).await
        })
    }

    async fn look_at(
        &self,
        hash: ContentHash,
        ranges: ChunkRanges,
        allowed: Allowed,
        holder: &Contact,
        deadline: Instant,
    ) -> Result<Bytes, BlobsError> {
        let connecting = Box::pin(self.dialer().connect(holder));
        let connection = match tokio::time::timeout_at(deadline.into(), connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(text)) => return Err(not_served(hash, Answer::None, text)),
            Err(_) => return Err(not_served(hash, Answer::None, TOO_LATE.to_owned())),
        };
        let (pace, stall) = (self.download(), self.limits().stall);
        let received = Box::pin(receive(connection.clone(), hash, ranges, allowed, (pace, stall)));
        let got = tokio::time::timeout_at(deadline.into(), received).await;
        let is_busy = is_busy(&connection);
        // Whoever looks at many is not to stand in the place of others for longer than it asks.
        drop(connection);
        self.dialer().leave(&holder.endpoint);
        match got {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(TransferError::Missing)) => {
                Err(not_served(hash, Answer::Other, NOT_THERE.to_owned()))
            }
            Ok(Err(TransferError::Lied(text))) => {
                warn!(%hash, "a holder that was looked at sent wrong bytes: {text}");
                self.liars().remember(holder.endpoint, Instant::now());
                Err(not_served(hash, Answer::Other, format!("wrong bytes: {text}")))
            }
            Ok(Err(TransferError::Broken(text))) => {
                let answer = if is_busy { Answer::Busy } else { Answer::Broken };
                Err(not_served(hash, answer, text))
            }
            Ok(Err(TransferError::Unfit(error) | TransferError::Local(error))) => Err(error),
            Err(_) => Err(not_served(hash, Answer::Broken, TOO_LATE.to_owned())),
        }
    }

    /// Whether a piece of a blob is here and is what its hash says: it is read. The whole blob must be here.
    ///
    /// # Errors
    /// Failures of the store. A piece that cannot be read, or is not what it was, is none: it is not here.
    pub fn has_piece(&self, blob: ContentRef, piece: u64) -> Doing<'_, Result<bool, BlobsError>> {
        Box::pin(async move {
            let Some(length) = length(blob, piece) else { return Ok(false) };
            if self.size(blob.hash).await? != Some(blob.size) {
                return Ok(false);
            }
            let read = self.store().export_bao(iroh_hash(blob.hash), range(piece));
            match read.data_to_bytes().await {
                Ok(bytes) => Ok(bytes.len() as u64 == length),
                Err(error) => {
                    warn!(hash = %blob.hash, piece, %error, "content in the store cannot be read");
                    Ok(false)
                }
            }
        })
    }
}

/// How it is called when a holder has nothing to send.
const NOT_THERE: &str = "the holder does not have it";

/// How it is called when time is up.
const TOO_LATE: &str = "it did not come in time";

fn not_served(hash: ContentHash, answer: Answer, detail: String) -> BlobsError {
    BlobsError::NotServed { hash, answer, detail }
}

/// Whether the other side has closed a connection because it has no place for it.
fn is_busy(connection: &Connection) -> bool {
    matches!(
        connection.close_reason(),
        Some(ConnectionError::ApplicationClosed(closed)) if closed.error_code == VarInt::from(BUSY)
    )
}

/// Bytes of a piece of a blob; `None`: it has no such piece.
fn length(blob: ContentRef, piece: u64) -> Option<u64> {
    let from = piece.checked_mul(PIECE_BYTES)?;
    let left = blob.size.checked_sub(from).filter(|left| *left > 0)?;
    Some(left.min(PIECE_BYTES))
}

/// What of a blob a piece is. Where the blob ends before it does, it ends there.
fn range(piece: u64) -> ChunkRanges {
    let from = piece.saturating_mul(PIECE_BYTES);
    ChunkRanges::bytes(from..from.saturating_add(PIECE_BYTES))
}

/// Does something that is not to stand still for longer than that.
async fn in_time<T>(stall: Duration, work: impl Future<Output = T>) -> Result<T, TransferError> {
    let done = tokio::time::timeout(stall, work).await;
    done.map_err(|_| TransferError::Broken(format!("nothing came for {stall:?}")))
}

/// Asks for a part of a blob and receives it. The announced size bounds what can be sent before anything of it is read.
async fn receive(
    connection: Connection,
    want: ContentHash,
    ranges: ChunkRanges,
    allowed: Allowed,
    (pace, stall): (&Pace, Duration),
) -> Result<Bytes, TransferError> {
    let hash = iroh_hash(want);
    let request = GetRequest::blob_ranges(hash, ranges);
    let start = fsm::start(connection, request, Default::default());
    let connected = in_time(stall, start.next()).await?;
    let connected = connected.map_err(|error| TransferError::Broken(error.to_string()))?;
    let next = in_time(stall, connected.next()).await?;
    let next = next.map_err(|error| TransferError::Broken(error.to_string()))?;
    let ConnectedNext::StartRoot(start) = next else { return Err(TransferError::Missing) };
    let (mut content, size) = in_time(stall, start.next().next()).await?.map_err(header_error)?;
    if !allowed.admits(size) {
        let (content, max) = (named(want), allowed.max());
        return Err(TransferError::Unfit(BlobsError::TooLarge { content, size, max }));
    }
    if size == 0 && hash != Hash::EMPTY {
        return Err(TransferError::Lied("announced no bytes".to_owned()));
    }
    let mut bytes = Vec::new();
    loop {
        match in_time(stall, content.next()).await? {
            BlobContentNext::More((next, item)) => {
                if let BaoContentItem::Leaf(leaf) = item.map_err(decode_error)? {
                    pace.take(leaf.data.len() as u64).await;
                    bytes.extend_from_slice(&leaf.data);
                }
                content = next;
            }
            BlobContentNext::Done(_) => return Ok(bytes.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_their_blob_does() {
        let lengths = |size: u64| {
            let blob = ContentRef { hash: ContentHash([1; 32]), size };
            [0, 1, 2, u64::MAX].map(|piece| length(blob, piece))
        };
        assert_eq!(lengths(0), [None; 4]);
        assert_eq!(lengths(1), [Some(1), None, None, None]);
        assert_eq!(lengths(PIECE_BYTES), [Some(PIECE_BYTES), None, None, None]);
        assert_eq!(lengths(PIECE_BYTES + 7), [Some(PIECE_BYTES), Some(7), None, None]);
        let whole = Some(PIECE_BYTES);
        assert_eq!(lengths(u64::MAX), [whole, whole, whole, None]);
    }
}
