//! What was published of a range of ours, for when its journal is lost: its manifest lies in the content store, and
//! has all its leaves. The hash under which it is found, and the root by which it is believed, were handed in.

use alloy::{
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use alloy_primitives::U256;
use tilth_blobs::{Blobs, BlobsError};
use tilth_client::{ChainError, holding::Part};
use tilth_contracts::JobBook;
use tilth_protocol::{ContentHash, Leaf, RangeId, RangeManifest, TaskIndex};
use tilth_verification::MerkleSum;

use crate::{chain::Chain, shop::Shop};

/// Why what was published of a range does not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishedError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the chain does not say that it was handed in")]
    Unheard,
    #[error(transparent)]
    Content(#[from] BlobsError),
    #[error("the content is not what was handed in")]
    Other,
    #[error("the output of task {0} is not here")]
    Missing(TaskIndex),
    #[error("reading it was interrupted")]
    Interrupted,
}

/// The leaves of a range as they were handed in, in the order of its tree. Reads the chain from its beginning.
pub(crate) async fn leaves(
    shop: &Shop,
    range: RangeId,
    part: Part,
) -> Result<Vec<Leaf>, PublishedError> {
    if part.root.is_zero() {
        // Nothing was handed in, as far as the chain has said.
        return Err(PublishedError::Unheard);
    }
    let content = content_of(&shop.chain, range).await?;
    read(&shop.blobs, content.ok_or(PublishedError::Unheard)?, range, part).await
}

/// Whether others can fetch all outputs of these leaves from here.
pub(crate) async fn look_for_outputs(blobs: &Blobs, leaves: &[Leaf]) -> Result<(), PublishedError> {
    for leaf in leaves {
        let Some(hash) = leaf.blob() else { continue };
        if blobs.size(hash).await? != Some(leaf.size) {
            return Err(PublishedError::Missing(leaf.index));
        }
    }
    Ok(())
}

/// Under which hash the content of a range was handed in, the last time.
pub(crate) async fn content_of(
    chain: &Chain,
    range: RangeId,
) -> Result<Option<ContentHash>, ChainError> {
    let filter = Filter::new()
        .address(chain.link.addresses().job_book)
        .event_signature(JobBook::RangeSubmitted::SIGNATURE_HASH)
        .topic1(U256::from(range.job.0))
        .topic2(U256::from(range.seq));
    let logs = chain.link.scan(&filter, chain.first_block).await?;
    Ok(content_in(&logs))
}

/// What the latest hand-in of a range says. Its root is not looked at: that of a range with a replica is the seal, which
/// nothing that is here has as its root. That it is the content that was handed in is seen by its leaves.
fn content_in(logs: &[Log]) -> Option<ContentHash> {
    logs.iter().rev().find_map(|log| {
        let event = JobBook::RangeSubmitted::decode_log(&log.inner).ok()?.data;
        Some(ContentHash(event.contentHash.0))
    })
}

/// The leaves of a range whose content is in the store.
async fn read(
    blobs: &Blobs,
    content: ContentHash,
    range: RangeId,
    part: Part,
) -> Result<Vec<Leaf>, PublishedError> {
    // One more for the prepare phase, which not every job has; that none is missing, the root says.
    let most = part.count.saturating_add(1);
    let parts = blobs.read_sequence(content, most.saturating_add(1)).await?;
    let first = *parts.first().ok_or(PublishedError::Other)?;
    let bytes = blobs.read(first, RangeManifest::max_bytes(most) as u64).await?;
    let checked = tokio::task::spawn_blocking(move || check(&bytes, parts.get(1..)?, range, part));
    checked.await.map_err(|_| PublishedError::Interrupted)?.ok_or(PublishedError::Other)
}

/// The leaves of a manifest, if it is the one that was handed in with these outputs: a manifest that a client would not
/// take is no use to holders either.
fn check(bytes: &[u8], outputs: &[ContentHash], range: RangeId, part: Part) -> Option<Vec<Leaf>> {
    let manifest = RangeManifest::from_bytes(bytes, part.count.saturating_add(1)).ok()?;
    let root = MerkleSum::build(range.job, &manifest.leaves).ok()?.root().hash;
    let is_it = (manifest.range, manifest.from, root) == (range, part.from, part.root);
    let has_outputs = manifest.blobs().eq(outputs.iter().copied());
    (is_it && has_outputs).then_some(manifest.leaves)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, aliases::U40};
    use tilth_blobs::Tag;
    use tilth_protocol::{JobId, Status};

    use super::*;

    const RANGE: RangeId = RangeId { job: JobId(3), seq: 1 };

    fn handed_in(root: B256, content: ContentHash) -> Log {
        let event = JobBook::RangeSubmitted {
            jobId: RANGE.job.0,
            seq: RANGE.seq,
            provider: Address::repeat_byte(1),
            root,
            units: 4,
            failures: 1,
            contentHash: content.0.into(),
            escrow: 1,
            at: U40::from(9),
        };
        let data = event.encode_log_data();
        let inner = alloy_primitives::Log { address: Address::repeat_byte(2), data };
        Log { inner, ..Log::default() }
    }

    #[tokio::test]
    async fn what_was_published_is_read_from_the_store_and_what_is_missing_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let bind = "127.0.0.1:0".parse().unwrap();
        let blobs = Blobs::spawn(tilth_blobs::Config::new(dir.path(), [7; 32], bind)).await;
        let blobs = blobs.unwrap();
        let outputs = [vec![1; 90], vec![4; 50]];
        let made = [
            Leaf::finished(8, &outputs[0], 9),
            Leaf::failed(9, Status::Trap, 10),
            Leaf::finished(10, &[2; 20], 3),
            Leaf::finished(11, &outputs[1], 1),
        ];
        let root = MerkleSum::build(RANGE.job, &made).unwrap().root().hash;
        let part = Part { from: 8, count: 4, root };
        let manifest =
            RangeManifest { range: RANGE, from: 8, salt: [6; 32], leaves: made.to_vec() };
        let tag = Tag::range(RANGE.job, RANGE.seq);
        let first = blobs.put(manifest.to_bytes(), &tag).await.unwrap().hash;
        let parts: Vec<_> = [first].into_iter().chain(manifest.blobs()).collect();
        let content = blobs.put_sequence(&parts, &tag).await.unwrap();
        blobs.put(outputs[0].clone(), &tag).await.unwrap();

        assert_eq!(read(&blobs, content, RANGE, part).await.unwrap(), made);
        // With a replica the root that was said when it was handed in is the seal.
        let seal = B256::repeat_byte(7);
        let logs = [handed_in(root, ContentHash([9; 32])), handed_in(seal, content)];
        assert_eq!((content_in(&logs), content_in(&[])), (Some(content), None));
        let missing = look_for_outputs(&blobs, &made).await;
        assert!(matches!(missing, Err(PublishedError::Missing(11))), "{missing:?}");
        blobs.put(outputs[1].clone(), &tag).await.unwrap();
        look_for_outputs(&blobs, &made).await.unwrap();

        for (range, part) in [
            (RangeId { seq: 2, ..RANGE }, part),
            (RANGE, Part { from: 7, ..part }),
            (RANGE, Part { root: B256::ZERO, ..part }),
        ] {
            let other = read(&blobs, content, range, part).await;
            assert!(matches!(other, Err(PublishedError::Other)), "{range} {part:?}: {other:?}");
        }
        let fewer = blobs.put_sequence(&parts[..2], &tag).await.unwrap();
        let other = read(&blobs, fewer, RANGE, part).await;
        assert!(matches!(other, Err(PublishedError::Other)), "without an output: {other:?}");
        let lost = read(&blobs, ContentHash([9; 32]), RANGE, part).await;
        let is_lost = matches!(lost, Err(PublishedError::Content(BlobsError::NotHere { .. })));
        assert!(is_lost, "{lost:?}");
    }
}
