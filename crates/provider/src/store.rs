//! From the leaves of a complete range to what goes on chain: the manifest, the content sequence that
//! the client fetches, the Merkle-sum root.

use tilth_blobs::{BlobsError, Tag};
use tilth_protocol::{Contact, ContentHash, Leaf, Limits, RangeManifest};
use tilth_verification::{MerkleSum, RangeClaim, RangeError, check_manifest};
use tracing::debug;

use crate::{
    ProviderError,
    guards::{self, Results},
    journal::{Extent, Journal, JournalError},
    machine::Commitment,
    shop::Shop,
};

/// Why a range is not ready to be submitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing is known about its job (any more).
    #[error("its job is not ready")]
    NotReady,
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Leaves are missing.
    #[error("leaves are missing")]
    Incomplete,
    /// The leaves break the rules that the client will check.
    #[error("the leaves are not acceptable: {0}")]
    Leaves(#[from] RangeError),
    /// The content cannot be stored.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// What makes its content's hash one that nobody guesses cannot be read.
    #[error("{0}")]
    Salt(Box<ProviderError>),
    /// It cannot be noted for whom it is.
    #[error("noting for whom it is: {0}")]
    Guard(#[from] std::io::Error),
    /// The work was interrupted.
    #[error("hashing was interrupted")]
    Interrupted,
}

impl StoreError {
    /// Whether the range must be run again, and not only stored again.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Incomplete | Self::Leaves(_))
    }
}

/// Commits to a complete range and makes its content durable.
pub(crate) async fn store(shop: &Shop, extent: Extent) -> Result<Commitment, StoreError> {
    let ready = shop.ready(extent.range.job).ok_or(StoreError::NotReady)?;
    let extent = ready.extent(extent.range, extent.from, extent.count);
    let path = shop.folder.journal(extent.range);
    let limits = ready.spec.limits;
    let salt = shop.folder.manifest_salt(extent.range);
    let salt = salt.map_err(|error| StoreError::Salt(Box::new(error)))?;
    let hashed = tokio::task::spawn_blocking(move || {
        let journal = Journal::open(&path, extent)?;
        journal.sync()?;
        let leaves = journal.complete().ok_or(StoreError::Incomplete)?;
        commit(&extent, salt, leaves, &limits)
    });
    let committed = hashed.await.map_err(|_| StoreError::Interrupted)??;
    let results = Results::new(&committed.manifest, committed.blobs);
    // Auditors look where their clients do: what they are to find themselves is nobody else's until the leaves are open.
    // Nobody is drawn before the range is submitted.
    let opening = shop.opening(extent.range.job).ok_or(StoreError::NotReady)?;
    if opening.audited {
        let client = Contact::from_bytes(&opening.contact).ok().map(|client| client.endpoint);
        guards::keep(shop, extent.range, client, &results)?;
    }
    let tag = Tag::range(extent.range.job, extent.range.seq);
    shop.blobs.put(committed.manifest, &tag).await?;
    let parts = results.parts();
    let content = shop.blobs.put_sequence(&parts, &tag).await?;
    // What is submitted must be servable, whatever happens to this machine.
    shop.blobs.sync().await?;
    debug!(range = %extent.range, outputs = parts.len() - 1, "a range is stored");
    Ok(Commitment { content, ..committed.commitment })
}

/// What the leaves come to.
#[derive(Debug)]
struct Committed {
    /// Without the content's hash.
    commitment: Commitment,
    manifest: Vec<u8>,
    blobs: Vec<ContentHash>,
}

/// Hashes leaves and checks them as the client will. Pure; takes a microsecond per leaf.
fn commit(
    extent: &Extent,
    salt: [u8; 32],
    leaves: Vec<Leaf>,
    limits: &Limits,
) -> Result<Committed, StoreError> {
    let manifest = RangeManifest { range: extent.range, from: extent.from, salt, leaves };
    let tree = MerkleSum::build(extent.range.job, &manifest.leaves).map_err(RangeError::Tree)?;
    let root = tree.root();
    drop(tree);
    let (units, failures) = (root.tally.units, root.tally.failures);
    let claim = RangeClaim {
        range: extent.range,
        from: extent.from,
        count: extent.count,
        root: root.hash,
        units,
        failures,
    };
    check_manifest(&manifest, &claim, limits)?;
    let content = ContentHash::default();
    let commitment = Commitment { root: root.hash, units, failures, content };
    let blobs = manifest.blobs().collect();
    Ok(Committed { commitment, manifest: manifest.to_bytes(), blobs })
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{JobId, RangeId, Status};

    use super::*;
    use crate::shop::prepare_leaf;

    const LIMITS: Limits =
        Limits { unit_cap: 10, prepare_cap: 20, memory_bytes: 1 << 20, output_bytes: 100 };

    const SALT: [u8; 32] = [6; 32];

    fn extent() -> Extent {
        let range = RangeId { job: JobId(3), seq: 1 };
        Extent { range, from: 8, count: 3, prepare: true }
    }

    #[test]
    fn leaves_become_a_commitment_that_the_client_accepts() {
        let leaves = vec![
            prepare_leaf(Status::Ok, 15),
            Leaf::finished(8, &[1; 90], 9),
            Leaf::failed(9, Status::Trap, 10),
            Leaf::finished(10, &[1], 1),
        ];
        let committed = commit(&extent(), SALT, leaves.clone(), &LIMITS).unwrap();
        assert_eq!((committed.commitment.units, committed.commitment.failures), (35, 1));
        assert_eq!(committed.blobs, [ContentHash::of(&[1; 90])]);
        let manifest = RangeManifest::from_bytes(&committed.manifest, 4).unwrap();
        assert_eq!((manifest.leaves, manifest.salt), (leaves, SALT));
    }

    #[test]
    fn a_failed_prepare_phase_is_acceptable_with_free_failed_tasks() {
        let mut leaves = vec![prepare_leaf(Status::OutOfFuel, 20)];
        leaves.extend((8..11).map(|index| Leaf::failed(index, Status::OutOfFuel, 0)));
        let committed = commit(&extent(), SALT, leaves, &LIMITS).unwrap();
        assert_eq!((committed.commitment.units, committed.commitment.failures), (20, 4));
    }

    #[test]
    fn leaves_that_the_client_would_refuse_are_lost() {
        let leaves = vec![
            prepare_leaf(Status::Ok, 15),
            Leaf::finished(8, &[1; 90], 11),
            Leaf::failed(9, Status::Trap, 10),
            Leaf::finished(10, &[1], 1),
        ];
        assert!(commit(&extent(), SALT, leaves.clone(), &LIMITS).unwrap_err().is_lost());
        assert!(commit(&extent(), SALT, leaves[..2].to_vec(), &LIMITS).unwrap_err().is_lost());
        assert!(commit(&extent(), SALT, Vec::new(), &LIMITS).unwrap_err().is_lost());
    }
}
