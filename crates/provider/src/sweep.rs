//! Removing what is left of jobs, but nothing that the chain may still ask for.

use tilth_blobs::Tag;
use tilth_client::ChainError;
use tilth_contracts::{JobBook, Range, RangeState, ReplicaState, Replicas};
use tilth_protocol::{JobId, RangeId};
use tracing::{debug, error, warn};

use crate::{folder::remove, guards, shop::Shop};

/// Removes a job's files and pins.
pub(crate) async fn clear(shop: &Shop, job: JobId) {
    if let Err(error) = shop.blobs.unpin(&Tag::job(job)).await {
        // The folder stays as the reminder; the next start tries again.
        warn!(%job, %error, "a job's content cannot be unpinned");
        return;
    }
    guards::lift_all(shop, job);
    if let Err(error) = remove(&shop.folder.job(job)) {
        warn!(%job, %error, "a job's folder cannot be removed");
    }
}

/// Removes what an earlier life has left of a job that this one knows nothing of, unless a range of it is still ours to
/// answer for: its journal may be all that proves it.
pub(crate) async fn sweep(shop: &Shop, job: JobId) {
    let ranges = match shop.folder.journals(job) {
        Ok(ranges) => ranges,
        Err(error) => return warn!(%job, %error, "an old job's journals cannot be listed"),
    };
    for range in ranges {
        match may_be_asked_for(shop, range).await {
            Ok(false) => {}
            Ok(true) => {
                return error!(
                    %range,
                    detail = "its journal is here and the chain has it as ours, but its job was not in what was read",
                    advice = "keep the folder; if this comes again, remove bookmark.json there and start anew",
                    "a range of ours is not followed"
                );
            }
            Err(error) => {
                return warn!(%range, %error, "whether an old range can go is not known; it stays");
            }
        }
    }
    debug!(%job, "removing what is left of a job");
    clear(shop, job).await;
}

async fn may_be_asked_for(shop: &Shop, range: RangeId) -> Result<bool, ChainError> {
    let link = &shop.chain.link;
    let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
    let now = link.read(link.addresses().job_book, call).await?;
    if !is_open(&now) {
        return Ok(false);
    }
    if now.provider == shop.chain.owner.address() {
        return Ok(true);
    }
    // A mate must show what it has committed to.
    let call = Replicas::pairCall { jobId: range.job.0, seq: range.seq };
    let pair = link.read(link.addresses().replicas, call).await?;
    let closed =
        matches!(ReplicaState::try_from(pair.state), Ok(ReplicaState::None | ReplicaState::Closed));
    Ok(shop.is_number(pair.mate) && !closed)
}

fn is_open(range: &Range) -> bool {
    matches!(
        RangeState::try_from(range.state),
        Ok(RangeState::Claimed | RangeState::Submitted) | Err(_)
    )
}
