//! Of which pieces a content consists: what is drawn when it is looked whether holders serve it. It is learned from any of
//! them, and believed because of its hash.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tilth_blobs::BlobsError;
use tilth_protocol::{
    Contact, ContentHash, ContentRef, JobSpec, RangeManifest, spec::MAX_SPEC_BYTES,
};
use tilth_verification::holding::PIECE_BYTES;
use tracing::debug;

use super::{
    answers::{BUSY_TURNS, Heard, busy_again, in_turn, is_busy},
    content::HoldError,
    holder::Holder,
    spots::Question,
};
use crate::published::content_of;

// What is drawn is what can be asked for.
const _: () = assert!(PIECE_BYTES == tilth_blobs::PIECE_BYTES);

/// Time for a list, from one holder, besides that for its bytes.
const LIST_TIME: Duration = Duration::from_secs(30);
/// Bytes a second of a list at least, where there is time enough.
const LIST_PACE: u64 = 16 << 10;
/// Bytes of a hash.
const HASH: u64 = 32;

/// A content in pieces: all its blobs in their order, each cut anew.
#[derive(Debug)]
pub(super) struct Pieces {
    blobs: Vec<ContentRef>,
    count: u64,
}

impl Pieces {
    pub(super) fn of(blobs: Vec<ContentRef>) -> Self {
        let counts = blobs.iter().map(|blob| blob.size.div_ceil(PIECE_BYTES));
        let count = counts.fold(0, u64::saturating_add);
        Self { blobs, count }
    }

    /// How many pieces that are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Which piece of which blob the piece with this number is.
    pub(super) fn at(&self, number: u64) -> Option<(ContentRef, u64)> {
        let mut left = number;
        for blob in &self.blobs {
            let pieces = blob.size.div_ceil(PIECE_BYTES);
            match left.checked_sub(pieces) {
                None => return Some((*blob, left)),
                Some(after) => left = after,
            }
        }
        None
    }
}

/// Time for a list of that many bytes at most, from one holder: half of what is left, so that others can be asked, too.
fn list_time(max: u64, left: Duration) -> Duration {
    let time = LIST_TIME.saturating_add(Duration::from_secs(max / LIST_PACE));
    time.min(left / 2)
}

/// Whom to ask for a list, until when, and what was heard of them.
struct Sources<'a> {
    places: Vec<(u32, &'a Contact)>,
    end: Instant,
    heard: &'a mut Heard,
}

impl Holder {
    /// Learns of what the content consists, from any of the holders. `None`: none of them has served that, so none holds
    /// the whole, unless `heard` says that it is unclear. Nothing of it is stored: what is fetched to look at others is
    /// nothing that we hold.
    pub(super) async fn learn(
        &self,
        question: &Question,
        places: &BTreeMap<u32, Contact>,
        end: Instant,
        heard: &mut Heard,
    ) -> Result<Option<Pieces>, HoldError> {
        let turn = tokio::time::timeout_at(end.into(), self.reading.acquire()).await;
        let Ok(Ok(_reading)) = turn else {
            heard.unclear = true;
            return Ok(None);
        };
        let mut sources = Sources { places: in_turn(places, self.number), end, heard };
        let blobs = if question.range.is_inputs() {
            self.inputs_of(question, &mut sources).await?
        } else {
            self.results_of(question, &mut sources).await?
        };
        Ok(blobs.map(Pieces::of))
    }

    /// All blobs of a job's inputs: its spec, and what that names.
    async fn inputs_of(
        &self,
        question: &Question,
        sources: &mut Sources<'_>,
    ) -> Result<Option<Vec<ContentRef>>, HoldError> {
        let hash = ContentHash(question.part.root.0);
        let Some(bytes) = self.list(hash, MAX_SPEC_BYTES as u64, sources).await? else {
            return Ok(None);
        };
        let spec = JobSpec::from_bytes(&bytes)?;
        let size = bytes.len() as u64;
        Ok(Some(std::iter::once(ContentRef { hash, size }).chain(spec.blobs()).collect()))
    }

    /// All blobs of what a range has made: the list of them, its manifest, and its outputs.
    async fn results_of(
        &self,
        question: &Question,
        sources: &mut Sources<'_>,
    ) -> Result<Option<Vec<ContentRef>>, HoldError> {
        self.record_of(question.range, question.part).await?;
        let hash = content_of(&self.shop.chain, question.range).await?.ok_or(HoldError::Other)?;
        // One for preparing, where the job does that; and the manifest.
        let leaves = question.part.count.saturating_add(1);
        let max = u64::from(leaves).saturating_add(1).saturating_mul(HASH);
        let Some(bytes) = self.list(hash, max, sources).await? else { return Ok(None) };
        let list = ContentRef { hash, size: bytes.len() as u64 };
        let hash = ContentHash(*bytes.first_chunk().ok_or(HoldError::Other)?);
        let max = RangeManifest::max_bytes(leaves) as u64;
        let Some(bytes) = self.list(hash, max, sources).await? else { return Ok(None) };
        let manifest = ContentRef { hash, size: bytes.len() as u64 };
        let made = RangeManifest::from_bytes(&bytes, leaves).map_err(|_| HoldError::Other)?;
        let outputs = made.leaves.iter().filter_map(|leaf| {
            let hash = leaf.blob()?;
            Some(ContentRef { hash, size: leaf.size })
        });
        Ok(Some([list, manifest].into_iter().chain(outputs).collect()))
    }

    /// One of the blobs that say what others there are: from here, or else from the first holder that serves it.
    async fn list(
        &self,
        hash: ContentHash,
        max: u64,
        sources: &mut Sources<'_>,
    ) -> Result<Option<Vec<u8>>, HoldError> {
        let blobs = &self.shop.blobs;
        match blobs.read(hash, max).await {
            Ok(bytes) => return Ok(Some(bytes.into())),
            Err(BlobsError::NotHere { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut left = sources.places.clone();
        for turn in 0..=BUSY_TURNS {
            if turn > 0 {
                let again = busy_again(self.link().is_local(), self.number);
                let until = sources.end.saturating_duration_since(Instant::now());
                tokio::time::sleep(again.min(until)).await;
            }
            let mut busy = Vec::new();
            for (number, place) in left {
                let now = Instant::now();
                let time = list_time(max, sources.end.saturating_duration_since(now));
                let got = Box::pin(blobs.peek(hash, max, place, now + time)).await;
                sources.heard.list(&got);
                if is_busy(&got) {
                    busy.push((number, place));
                }
                match got {
                    Ok(bytes) => return Ok(Some(bytes.into())),
                    Err(error) => {
                        debug!(number, %error, "a holder has not served a list");
                    }
                }
            }
            if busy.is_empty() || Instant::now() >= sources.end {
                break;
            }
            left = busy;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(number: u8, size: u64) -> ContentRef {
        ContentRef { hash: ContentHash([number; 32]), size }
    }

    #[test]
    fn there_is_time_for_the_longest_list_and_for_asking_others() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(list_time(64, hour), LIST_TIME);
        assert!(list_time(5 << 20, hour) > Duration::from_secs(320));
        assert_eq!(list_time(88 << 20, hour), hour / 2);
        assert_eq!(list_time(64, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn every_byte_of_a_content_is_in_one_piece() {
        let whole = PIECE_BYTES;
        let blobs = vec![blob(1, 64), blob(2, 2 * whole + 1), blob(3, 0), blob(2, whole)];
        let pieces = Pieces::of(blobs.clone());
        let found: Vec<_> = (0..pieces.count).map(|number| pieces.at(number).unwrap()).collect();
        let due = [(blobs[0], 0), (blobs[1], 0), (blobs[1], 1), (blobs[1], 2), (blobs[3], 0)];
        assert_eq!(found, due);
        assert_eq!((pieces.at(5), pieces.at(u64::MAX)), (None, None));
        assert_eq!(Pieces::of(vec![blob(1, 0)]).count, 0);
    }
}
