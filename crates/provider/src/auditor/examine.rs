//! Executing leaves of somebody else's range, from their numbers alone.

use std::{collections::BTreeMap, time::Duration};

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use alloy_primitives::{B256, U256};
use tilth_client::{ChainError, Contacts, Link};
use tilth_contracts::JobBook;
use tilth_protocol::{Contact, ContentHash, JobId, Leaf, RangeId, Status};
use tilth_verification::audit::answer;
use tracing::{debug, info};

use crate::{
    fetch::{FetchError, Whom, get_ready},
    hand::{Hand, HandError, Leash},
    news::{More, Opening, hear},
    shop::{Shop, prepare_leaf},
};

/// Silence of a worker longer than this is taken for its death, if the job's ranges may take less: a loaded machine can
/// stall that long.
const LEAST_SILENCE: Duration = Duration::from_secs(60);

/// Why drawn leaves were not executed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExamineError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("its job cannot be had: {0}")]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Hand(#[from] HandError),
    #[error("there is no such job on this chain")]
    NoJob,
    #[error("a position is outside the range")]
    Outside,
    #[error("the time for it is over")]
    Late,
}

/// Executes the leaves at some positions of a range whose job is ready; says what they come to.
pub(super) async fn examine(
    place: &Place<'_>,
    range: RangeId,
    positions: &[u32],
) -> Result<B256, ExamineError> {
    let leaves = execute(place, range, |_| positions.to_vec()).await?;
    Ok(answer(range.job, &leaves))
}

/// Where ranges are executed.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) contacts: &'a Contacts,
    /// The first block that can hold a job's opening.
    pub(crate) first_block: u64,
    /// Whether stake depends on what is found. Then nothing is executed that may come out otherwise on other machines.
    pub(crate) at_stake: bool,
}

impl Place<'_> {
    fn whom(&self, holders: Vec<Contact>) -> Whom {
        if self.at_stake { Whom::Auditor(holders) } else { Whom::Onlooker(holders) }
    }
}

/// Fetches, lays out and compiles what a range is of.
pub(crate) async fn make_ready(place: &Place<'_>, range: RangeId) -> Result<(), ExamineError> {
    let Place { shop, contacts, first_block, .. } = *place;
    let (link, book) = (&shop.chain.link, shop.chain.link.addresses().job_book);
    let claimed = link.read(book, claimed_call(range)).await?;
    let job = link.read(book, JobBook::jobCall { jobId: range.job.0 }).await?;
    let spec = ContentHash(job.terms.specHash.0);
    // After a reorganisation a job's number can be another job's.
    if shop.opening(range.job).is_none_or(|opening| opening.spec != spec) {
        shop.forget(range.job);
        learn(shop, first_block, range.job).await?;
    }
    // The provider has program and inputs, too, and has a reason to serve them.
    let known = contacts.of(claimed.provider, false).await?;
    match get_ready(shop, range.job, place.whom(known.clone())).await {
        Err(FetchError::Blobs(error)) => {
            // It may have moved; finding out reads the chain, which is not done without need.
            let fresh = contacts.of(claimed.provider, true).await?;
            if fresh == known {
                return Err(FetchError::Blobs(error).into());
            }
            Ok(get_ready(shop, range.job, place.whom(fresh)).await?)
        }
        done => Ok(done?),
    }
}

fn claimed_call(range: RangeId) -> JobBook::rangeCall {
    JobBook::rangeCall { jobId: range.job.0, seq: range.seq }
}

/// Executes leaves of a range, from the tasks' numbers alone; its job is ready. `wanted` chooses their positions when it is
/// told how many there are.
pub(crate) async fn execute(
    place: &Place<'_>,
    range: RangeId,
    wanted: impl FnOnce(u32) -> Vec<u32>,
) -> Result<Vec<Leaf>, ExamineError> {
    let shop = place.shop;
    let link = &shop.chain.link;
    let claimed = link.read(link.addresses().job_book, claimed_call(range)).await?;
    let ready = shop.ready(range.job).ok_or(ExamineError::NoJob)?;
    let prepare = u32::from(ready.has_prepare());
    let silence = Duration::from_millis(ready.range_timeout_ms).max(LEAST_SILENCE);
    let (mut hand, loaded) = Hand::load(shop, &ready, Leash::default()).await?;
    let mut found: BTreeMap<u32, Leaf> = BTreeMap::new();
    let positions = wanted(claimed.count.saturating_add(prepare));
    for position in &positions {
        if found.contains_key(position) {
            continue;
        }
        let Some(offset) = position.checked_sub(prepare) else {
            found.insert(*position, prepare_leaf(loaded.prepare, loaded.prepare_units));
            continue;
        };
        let index = claimed.from.checked_add(offset).filter(|_| offset < claimed.count);
        let index = index.ok_or(ExamineError::Outside)?;
        let leaf = if loaded.prepare == Status::Ok {
            debug!(%range, index, "executing a task");
            hand.order(index, 1).await?;
            let results = hand.results(&ready, index, 1, silence).await?;
            // The hand answers with at least one result, of this task.
            results.first().map(|result| result.leaf).ok_or(ExamineError::Outside)?
        } else {
            Leaf::failed(index, loaded.prepare, 0)
        };
        found.insert(*position, leaf);
    }
    info!(%range, leaves = found.len(), "executed leaves of a range");
    Ok(positions.iter().filter_map(|position| found.get(position).copied()).collect())
}

/// Notes a job's opening.
async fn learn(shop: &Shop, first_block: u64, job: JobId) -> Result<(), ExamineError> {
    let opening = opening_of(&shop.chain.link, first_block, job).await?;
    shop.opened(job, opening);
    Ok(())
}

/// Reads a job's opening from the chain.
pub(super) async fn opening_of(
    link: &Link,
    first_block: u64,
    job: JobId,
) -> Result<Opening, ExamineError> {
    let filter = Filter::new()
        .address(link.addresses().job_book)
        .event_signature(JobBook::JobOpened::SIGNATURE_HASH)
        .topic1(U256::from(job.0));
    let logs = link.scan(&filter, first_block).await?;
    let heard = logs.iter().find_map(hear).ok_or(ExamineError::NoJob)?;
    let More::Opened(opening) = heard.more else { return Err(ExamineError::NoJob) };
    Ok(opening)
}
