//! Whether a request is answered: only if nothing that would be sent is kept for somebody else, whatever way it is asked
//! for. Who is refused hears what it would hear if the content were not here.

use std::sync::Arc;

use iroh_blobs::{
    Hash,
    api::{Store, blobs::BlobStatus},
    protocol::{ChunkRangesSeq, GetManyRequest, GetRequest},
};
use tilth_protocol::leaf::MAX_RANGE_TASKS;
use tokio::sync::Semaphore;

use crate::{guard::Guard, holders::EndpointKey};

/// Most parts of a sequence that is served with its parts: the outputs of the longest range, and its manifest.
pub const MAX_PARTS: u64 = MAX_RANGE_TASKS as u64 + 1;
/// Bytes of a hash.
const HASH: u64 = 32;
/// Bytes of a list of hashes that are in memory at a time.
const WINDOW: u64 = 4_096 * HASH;
/// Lists that are read at the same time, for all who ask. Each who asks has one of them at most, so that who asks for many
/// long ones lets others in.
const READERS: usize = 4;

/// An endpoint that asks. All its connections share one of these.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) key: EndpointKey,
    /// Held while it has a list read.
    turn: Arc<Semaphore>,
}

impl Asker {
    pub(crate) fn new(key: EndpointKey) -> Self {
        Self { key, turn: Arc::new(Semaphore::new(1)) }
    }
}

/// Lets requests in.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    store: Store,
    guard: Guard,
    readers: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(store: Store, guard: Guard) -> Self {
        Self { store, guard, readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// Whether somebody may have a blob, or a sequence with parts of it.
    pub(crate) async fn admits(&self, asked: &GetRequest, who: &Asker) -> bool {
        // Asked for by its hash alone it may also be a plain blob, so only who wants parts has its list looked at.
        match wants_parts(&asked.ranges) {
            None => false,
            Some(_) if self.guard.is_open() => true,
            Some(_) if !self.guard.admits(&asked.hash, Some(&who.key)) => false,
            Some(false) => true,
            Some(true) => self.admits_parts(asked.hash, who).await,
        }
    }

    /// Whether somebody may have all of some blobs.
    pub(crate) fn admits_many(&self, asked: &GetManyRequest, who: &Asker) -> bool {
        self.guard.admits_all(asked.hashes.iter().copied(), Some(&who.key))
    }

    /// Whether somebody may have all that a sequence names. One that is not here completely has nothing to serve.
    async fn admits_parts(&self, sequence: Hash, who: &Asker) -> bool {
        // In this order: who waits for its own turn stands in nobody's way.
        let Ok(_turn) = who.turn.acquire().await else { return false };
        let Ok(_reader) = self.readers.acquire().await else { return false };
        let Ok(BlobStatus::Complete { size }) = self.store.status(sequence).await else {
            return false;
        };
        if !size.is_multiple_of(HASH) || size / HASH > MAX_PARTS {
            return false;
        }
        let mut from = 0;
        while from < size {
            let to = from.saturating_add(WINDOW).min(size);
            let read = self.store.export_ranges(sequence, from..to).concatenate().await;
            let Ok(bytes) = read else { return false };
            let (parts, rest) = bytes.as_chunks::<32>();
            let whole = rest.is_empty() && bytes.len() as u64 == to - from;
            let parts = parts.iter().map(|part| Hash::from_bytes(*part));
            if !whole || !self.guard.admits_all(parts, Some(&who.key)) {
                return false;
            }
            from = to;
        }
        true
    }
}

/// Whether a request wants parts of a sequence. `None`: it names places beyond all sequences, and whoever looks for them
/// one by one never ends.
pub(crate) fn wants_parts(ranges: &ChunkRangesSeq) -> Option<bool> {
    let mut ranges = ranges.iter_infinite();
    // The list itself.
    ranges.next();
    let mut wanted = false;
    for _ in 0..=MAX_PARTS {
        wanted |= ranges.next().is_some_and(|part| !part.is_empty());
        if ranges.is_at_end() {
            return Some(wanted);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        iter::{once, repeat_n},
        pin::pin,
        task::Poll,
        time::Duration,
    };

    use iroh_blobs::{protocol::ChunkRanges, store::mem::MemStore};
    use tilth_protocol::{ContentHash, JobId};

    use super::*;
    use crate::{Kept, Tag};

    /// A request that wants nothing but the part at a place, 0 being the list.
    fn place(place: usize) -> ChunkRangesSeq {
        let before = repeat_n(ChunkRanges::empty(), place);
        ChunkRangesSeq::from_ranges(before.chain(once(ChunkRanges::all())))
    }

    #[test]
    fn who_wants_parts_is_known_and_who_wants_none_that_can_be_is_refused() {
        for (ranges, wanted) in [
            (ChunkRangesSeq::root(), Some(false)),
            (ChunkRangesSeq::verified_size(), Some(false)),
            (ChunkRangesSeq::empty(), Some(false)),
            (ChunkRangesSeq::all(), Some(true)),
            (ChunkRangesSeq::verified_child_sizes(), Some(true)),
            (place(0), Some(false)),
            (place(1), Some(true)),
            (place(1_000), Some(true)),
            (place(2 * MAX_RANGE_TASKS as usize), None),
        ] {
            assert_eq!(wants_parts(&ranges), wanted);
        }
    }

    #[tokio::test]
    async fn who_asks_for_many_lists_lets_another_in() {
        let hashes = vec![ContentHash([9; 32])];
        let kept = Kept { tag: Tag::range(JobId(1), 0), hashes, only: None };
        let store = Store::from(MemStore::new());
        let list = store.add_bytes(vec![7; 64]).temp_tag().await.unwrap();
        let admission = Admission::new(store, Guard::new(vec![kept]));
        let request = GetRequest::all(list.hash());
        let (many, other) = (Asker::new([1; 32]), Asker::new([2; 32]));

        let held = admission.readers.acquire_many(4).await.unwrap();
        let mut first: Vec<_> =
            (0..20).map(|_| Box::pin(admission.admits(&request, &many))).collect();
        for asked in &mut first {
            let waits = poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_pending()));
            assert!(waits.await);
        }
        let mut last = pin!(admission.admits(&request, &other));
        let waits = poll_fn(|context| Poll::Ready(last.as_mut().poll(context).is_pending()));
        assert!(waits.await);
        // Those who came first go on with nothing, so that whatever they have they keep.
        drop(held);
        let let_in = tokio::time::timeout(Duration::from_secs(60), last).await;
        assert!(let_in.expect("it need not wait for all of them"));
        for asked in first {
            assert!(asked.await);
        }
    }
}
