//! Removing what is left of jobs, but nothing that the chain may still ask for.

use std::{path::Path, time::Duration};

use alloy_primitives::Address;
use tilth_blobs::Tag;
use tilth_client::ChainError;
use tilth_contracts::{JobBook, Range, RangeState, ReplicaState, Replicas};
use tilth_protocol::{JobId, RangeId};
use tracing::{debug, error, info, warn};

use crate::{folder::remove, guards, shop::Shop};

/// For so long it is not believed that the chain knows nothing of a range: no node is late for longer.
const LATE_MOST: Duration = Duration::from_secs(86_400);

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
        let said = match what_is_said(shop, range).await {
            Ok(said) => said,
            Err(error) => {
                return warn!(%range, %error, "whether an old range can go is not known; it stays");
            }
        };
        if may_go(said, age(&shop.folder.journal(range))) {
            continue;
        }
        if said == Said::Nothing {
            return info!(
                %range,
                "a range of an earlier life stays a day: a node that is late would not know of it"
            );
        }
        return error!(
            %range,
            detail = "its journal is here and the chain has it as ours, but its job was not in what was read",
            advice = "keep the folder; if this comes again, remove bookmark.json there and start anew",
            "a range of ours is not followed"
        );
    }
    debug!(%job, "removing what is left of a job");
    clear(shop, job).await;
}

/// What the chain says of a range whose journal is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// We answer for it.
    Ours,
    /// It is over.
    Over,
    /// Nothing that has to do with us. So says a node that is late of what we have just handed in or committed to.
    Nothing,
}

/// Whether a journal can go that was written last so long ago.
fn may_go(said: Said, age: Option<Duration>) -> bool {
    match said {
        Said::Ours => false,
        Said::Over => true,
        Said::Nothing => age.is_some_and(|age| age >= LATE_MOST),
    }
}

/// How long ago a file was written last; `None` if that is not known, or is still to come.
fn age(path: &Path) -> Option<Duration> {
    path.metadata().ok()?.modified().ok()?.elapsed().ok()
}

async fn what_is_said(shop: &Shop, range: RangeId) -> Result<Said, ChainError> {
    let link = &shop.chain.link;
    let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
    let now = link.read(link.addresses().job_book, call).await?;
    let said = of_range(&now, shop.chain.owner.address());
    if said != Said::Nothing {
        return Ok(said);
    }
    // A mate must show what it has committed to.
    let call = Replicas::pairCall { jobId: range.job.0, seq: range.seq };
    let pair = link.read(link.addresses().replicas, call).await?;
    if !shop.is_number(pair.mate) {
        return Ok(Said::Nothing);
    }
    Ok(match ReplicaState::try_from(pair.state) {
        Ok(ReplicaState::None) => Said::Nothing,
        Ok(ReplicaState::Closed) => Said::Over,
        _ => Said::Ours,
    })
}

/// What a range's own record says.
fn of_range(range: &Range, owner: Address) -> Said {
    match RangeState::try_from(range.state) {
        Ok(
            RangeState::Settled | RangeState::Released | RangeState::Expired | RangeState::Rejected,
        ) => Said::Over,
        Ok(RangeState::Claimed | RangeState::Submitted) | Err(_) if range.provider == owner => {
            Said::Ours
        }
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{
        B256,
        aliases::{U40, U96},
    };

    use super::*;

    fn range(state: u8, provider: Address) -> Range {
        Range {
            provider,
            state,
            from: 0,
            count: 1,
            units: 0,
            failures: 0,
            at: U40::from(5),
            price: U96::ZERO,
            root: B256::ZERO,
        }
    }

    #[test]
    fn a_node_that_is_late_does_not_make_us_remove_what_proves_a_range() {
        let (owner, other) = (Address::repeat_byte(7), Address::repeat_byte(8));
        let said = |state: RangeState, provider| of_range(&range(state.into(), provider), owner);
        assert_eq!(said(RangeState::None, Address::ZERO), Said::Nothing, "not claimed yet");
        assert_eq!(said(RangeState::Submitted, other), Said::Nothing, "we are not drawn yet");
        for state in [RangeState::Claimed, RangeState::Submitted] {
            assert_eq!(said(state, owner), Said::Ours);
        }
        assert_eq!(of_range(&range(99, owner), owner), Said::Ours, "whatever that is");
        for state in
            [RangeState::Settled, RangeState::Released, RangeState::Expired, RangeState::Rejected]
        {
            assert_eq!(said(state, owner), Said::Over);
        }
        let long = Some(LATE_MOST);
        assert!(!may_go(Said::Ours, long) && may_go(Said::Over, Some(Duration::ZERO)));
        assert!(!may_go(Said::Nothing, Some(LATE_MOST - Duration::from_secs(1))));
        assert!(may_go(Said::Nothing, long) && !may_go(Said::Nothing, None));
    }

    #[test]
    fn the_age_of_a_journal_is_that_of_its_last_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.journal");
        assert_eq!(age(&path), None);
        let file = std::fs::File::create(&path).unwrap();
        let before = std::time::SystemTime::now() - 2 * LATE_MOST;
        file.set_modified(before).unwrap();
        assert!(may_go(Said::Nothing, age(&path)));
        file.set_modified(before + 4 * LATE_MOST).unwrap();
        assert_eq!(age(&path), None, "a clock that was wrong");
    }
}
