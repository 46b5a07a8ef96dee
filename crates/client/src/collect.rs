//! One range's results: fetched, recomputed, and only then believed.

use std::time::Instant;

use tilth_blobs::{Blobs, BlobsError, SequenceBounds, Tag};
use tilth_protocol::{Contact, ContentHash, JobSpec, Leaf, RangeManifest};
use tilth_service::Doing;
use tilth_verification::{RangeClaim, check_manifest};

/// Why a range's results are not here.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// They are not what the provider submitted: its fault, and never acknowledged.
    #[error("{0}")]
    Wrong(String),
    /// They could not be had now.
    #[error(transparent)]
    Missing(BlobsError),
}

impl From<BlobsError> for CollectError {
    fn from(error: BlobsError) -> Self {
        match error {
            BlobsError::TooLarge { .. } | BlobsError::NotASequence { .. } => {
                Self::Wrong(error.to_string())
            }
            error => Self::Missing(error),
        }
    }
}

/// Number of leaves of a range.
fn leaf_count(spec: &JobSpec, claim: &RangeClaim) -> u32 {
    claim.count.saturating_add(u32::from(spec.limits.prepare_cap > 0))
}

/// Where a range's content is put, and how much of it is taken.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    /// What pins it.
    pub tag: &'a Tag,
    /// Most bytes of its manifest and outputs; what is larger is wrong.
    pub most_bytes: u64,
}

/// As [`collect_on`], as a client or whoever else wants to see what a range has made.
///
/// # Errors
/// [`CollectError::Wrong`] or [`CollectError::Missing`].
pub fn collect<'a>(
    blobs: &'a Blobs,
    spec: &'a JobSpec,
    claim: &'a RangeClaim,
    content: ContentHash,
    holders: &'a [Contact],
    deadline: Instant,
) -> Doing<'a, Result<Vec<Leaf>, CollectError>> {
    Box::pin(async move {
        let tag = &Tag::range(claim.range.job, claim.range.seq);
        let shelf = Shelf { tag, most_bytes: u64::MAX };
        Box::pin(collect_on(shelf, blobs, spec, claim, content, holders, deadline)).await
    })
}

/// Fetches a submitted range's content and checks it: bounds, manifest against root, sums, indices,
/// caps and sizes, and every output blob against its leaf. What is here already is not fetched again.
///
/// # Errors
/// [`CollectError::Wrong`] or [`CollectError::Missing`].
pub fn collect_on<'a>(
    shelf: Shelf<'a>,
    blobs: &'a Blobs,
    spec: &'a JobSpec,
    claim: &'a RangeClaim,
    content: ContentHash,
    holders: &'a [Contact],
    deadline: Instant,
) -> Doing<'a, Result<Vec<Leaf>, CollectError>> {
    Box::pin(async move {
        let leaves = leaf_count(spec, claim);
        let manifest_bytes = RangeManifest::max_bytes(leaves) as u64;
        let bounds = SequenceBounds {
            max_total_bytes: u64::from(claim.count)
                .saturating_mul(spec.limits.output_bytes)
                .saturating_add(manifest_bytes)
                .min(shelf.most_bytes),
            max_items: leaves.saturating_add(1),
        };
        blobs.get_sequence(content, bounds, holders, shelf.tag, deadline).await?;
        let manifest = read(blobs, spec, claim, content).await?;
        for leaf in &manifest.leaves {
            let Some(hash) = leaf.blob() else { continue };
            let size = blobs.size(hash).await?.ok_or(BlobsError::NotHere { hash })?;
            if size != leaf.size {
                let (index, claimed) = (leaf.index, leaf.size);
                let detail =
                    format!("the output of task {index} has {size} bytes, {claimed} are claimed");
                return Err(CollectError::Wrong(detail));
            }
        }
        Ok(manifest.leaves)
    })
}

/// Reads the manifest of a range whose content is here, checked against the chain's record.
///
/// # Errors
/// As [`collect`].
pub fn read<'a>(
    blobs: &'a Blobs,
    spec: &'a JobSpec,
    claim: &'a RangeClaim,
    content: ContentHash,
) -> Doing<'a, Result<RangeManifest, CollectError>> {
    Box::pin(async move {
        let leaves = leaf_count(spec, claim);
        let parts = blobs.read_sequence(content, leaves.saturating_add(1)).await?;
        let Some((first, outputs)) = parts.split_first() else {
            return Err(CollectError::Wrong("the content is empty".to_owned()));
        };
        let bytes = blobs.read(*first, RangeManifest::max_bytes(leaves) as u64).await?;
        let wrong = |detail: String| CollectError::Wrong(detail);
        let manifest =
            RangeManifest::from_bytes(&bytes, leaves).map_err(|error| wrong(error.to_string()))?;
        check_manifest(&manifest, claim, &spec.limits).map_err(|error| wrong(error.to_string()))?;
        if !manifest.blobs().eq(outputs.iter().copied()) {
            return Err(wrong("the published outputs are not those of the leaves".to_owned()));
        }
        Ok(manifest)
    })
}
