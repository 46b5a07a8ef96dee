//! The provider's part in kept ranges: it says how large what it has made is when it asks for holders, and goes on
//! serving it. Everything else about them is anybody's, or the holders' (`auditor::holder`).
//!
//! The size is that of the range's journal, which stays until the range is paid or rejected: what holders may fetch at most
//! they are told before they fetch anything. If the journal is lost it is that of what was published, as long as all
//! of that is in the content store: of what is not nobody could fetch anything, and asks that nobody can meet cost
//! twice what the range was charged for audits and a tenth of its value.

use std::sync::Arc;

use tilth_client::{
    ChainError,
    audit::Millis,
    holding::{Effect, Hand, Part, Standing},
};
use tilth_contracts::HoldState;
use tilth_protocol::{Leaf, RangeId};
use tilth_verification::{
    MerkleSum,
    holding::{bytes_of, mib_of},
};
use tracing::{error, info, warn};

use crate::{
    journal::{Extent, Journal, JournalError},
    published::{self, PublishedError},
    shop::Shop,
};

/// Why a range's size is not known.
#[derive(Debug, thiserror::Error)]
enum SizeError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("its journal is gone or incomplete")]
    Lost,
    #[error("its journal is of another range than the chain has there")]
    Other,
    #[error("it is larger than anybody can be asked to hold")]
    Huge,
    #[error("reading its journal was interrupted")]
    Interrupted,
    #[error(transparent)]
    Published(#[from] PublishedError),
}

/// Asks for holders of this provider's ranges.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) shop: Arc<Shop>,
}

impl Asker {
    async fn size_by_journal(&self, range: RangeId, part: Part) -> Result<u32, SizeError> {
        let path = self.shop.folder.journal(range);
        let read = tokio::task::spawn_blocking(move || {
            let journal = Journal::read(&path)?.ok_or(SizeError::Lost)?;
            let Extent { range: of, from, count, .. } = *journal.extent();
            if (of, from, count) != (range, part.from, part.count) {
                return Err(SizeError::Other);
            }
            size_of(range, part, &journal.complete().ok_or(SizeError::Lost)?)
        });
        read.await.unwrap_or(Err(SizeError::Interrupted))
    }

    async fn size_by_content(&self, range: RangeId, part: Part) -> Result<u32, SizeError> {
        let leaves = published::leaves(&self.shop, range, part).await?;
        published::look_for_outputs(&self.shop.blobs, &leaves).await?;
        mib_of(bytes_of(&leaves)).ok_or(SizeError::Huge)
    }
}

impl Hand for Asker {
    async fn size(&self, range: RangeId, part: Part) -> Option<u32> {
        let journal = match self.size_by_journal(range, part).await {
            Ok(mib) => return Some(mib),
            Err(error) => error,
        };
        match Box::pin(self.size_by_content(range, part)).await {
            Ok(mib) => {
                warn!(
                    %range,
                    detail = %journal,
                    advice = "nothing is to be done for this range; check the disk, and put the provider's folder back from a copy if more is lost",
                    "the size of a range is that of what was published, for its journal does not say it"
                );
                Some(mib)
            }
            Err(content) => {
                error!(
                    %range,
                    detail = %journal,
                    %content,
                    advice = "put the provider's folder back from a copy, or start the provider in the folder in which it has worked; until then only the client can have the range paid",
                    "holders cannot be asked for, because the size of a range is not known"
                );
                None
            }
        }
    }

    async fn fetch(&self, _: RangeId, _: Part, _: u32, _: Millis) -> bool {
        // The machine asks a provider for nothing of others.
        false
    }

    fn note(&self, effect: &Effect) {
        let Effect::Show { range, standing } = effect else { return };
        match standing {
            Standing::Open(HoldState::Again) => warn!(
                %range,
                detail = "they are asked once more; if it fails again it is not paid, and costs twice what it was charged for audits and a tenth of its value",
                advice = "stay up, and see whether others can reach this provider's address, and how fast its line is",
                "too few auditors could fetch a range of ours in time"
            ),
            Standing::Over(HoldState::Lost) => error!(
                %range,
                detail = "in two asks too few auditors have fetched it from here",
                advice = "see whether others can reach this provider's address, and how fast its line is",
                "a range was not held by anybody and is not paid; it costs twice what it was charged for audits and a tenth of its value"
            ),
            standing => info!(%range, ?standing, "a kept range of ours"),
        }
    }

    async fn failed(&self, error: &ChainError) {
        self.shop.chain.mend(error).await;
    }

    fn caught_up(&self, _: Vec<RangeId>) {}

    /// The agent's own bookmark is at its oldest open job, and no ask is older than its job.
    fn read_up_to(&self, _: u64) {}
}

/// Size of what leaves stand for, MiB, if they are those that were submitted.
fn size_of(range: RangeId, part: Part, leaves: &[Leaf]) -> Result<u32, SizeError> {
    let tree = MerkleSum::build(range.job, leaves).map_err(|_| SizeError::Lost)?;
    if tree.root().hash != part.root {
        return Err(SizeError::Other);
    }
    mib_of(bytes_of(leaves)).ok_or(SizeError::Huge)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use tilth_protocol::{JobId, Status};

    use super::*;

    const RANGE: RangeId = RangeId { job: JobId(3), seq: 1 };

    #[test]
    fn the_size_is_that_of_what_was_submitted() {
        let large = vec![7; (1 << 20) + 1];
        let leaves = [Leaf::finished(8, &large, 9), Leaf::failed(9, Status::Trap, 10)];
        let root = MerkleSum::build(RANGE.job, &leaves).unwrap().root().hash;
        let part = Part { from: 8, count: 2, root };
        assert_eq!(size_of(RANGE, part, &leaves).unwrap(), 2);
        let other = Part { root: B256::ZERO, ..part };
        assert!(matches!(size_of(RANGE, other, &leaves), Err(SizeError::Other)));
        assert!(matches!(size_of(RANGE, part, &[]), Err(SizeError::Lost)));
    }
}
