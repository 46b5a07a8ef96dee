//! What an auditor does that is drawn to hold what a range has made: fetch it from its provider, check it as its client
//! would, keep it and serve it. In the same way it holds the inputs of a job, which it fetches from their client. What is signed for lies on disk, and is noted there, before that.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use alloy_primitives::U256;
use tilth_client::{
    ChainError, CollectError, Contacts, Link, Shelf,
    audit::Millis,
    collect_on,
    holding::{Effect, Hand, Part, Standing, least_fee, prices_of},
};
use tilth_contracts::{Holders, JobBook};
use tilth_protocol::{
    Contact, ContentHash, JobId, JobSpec, RangeId, SpecError, spec::MAX_SPEC_BYTES,
};
use tilth_service::Spawner;
use tilth_verification::{
    RangeClaim,
    holding::{bytes_of, inputs_mib, mib_of},
};
use tokio::sync::Semaphore;
use tracing::{debug, error, info, warn};

use super::{
    examine::{ExamineError, opening_of},
    holds::{Holds, tag},
};
use crate::{
    chain::Chain,
    fetch::{FetchError, checks::agree},
    role::spawn,
    shop::Shop,
};

/// Ranges fetched at the same time: audits have the same line.
const AT_ONCE: usize = 4;
/// Time for a spec: who does not serve that does not serve the rest.
const SPEC_TIME: Duration = Duration::from_secs(20);
/// Time for one attempt in any case, and for each MiB besides: who does not answer must not take the place of others for
/// long. It is tried again as long as the ask is open.
const LEAST_TIME: Duration = Duration::from_secs(60);
const MIB_TIME: Duration = Duration::from_secs(4);
/// How often it is tried to say where what is held is found.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(60);

/// Why a range is not held.
#[derive(Debug, thiserror::Error)]
enum HoldError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("its job cannot be had: {0}")]
    Job(#[from] ExamineError),
    #[error("its job cannot be had: {0}")]
    Fetch(#[from] FetchError),
    #[error("its job's spec: {0}")]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Content(#[from] CollectError),
    #[error("the chain has another range there")]
    Other,
    #[error("its job pays less for fetching and keeping than others take")]
    Cheap,
    #[error("the inputs are larger than was asked for")]
    Large,
    #[error("{0} MiB are more than what is left of hold-bytes")]
    Full(u32),
    #[error("noting that it is here: {0}")]
    Note(#[from] std::io::Error),
}

impl From<tilth_blobs::BlobsError> for HoldError {
    fn from(error: tilth_blobs::BlobsError) -> Self {
        Self::Content(CollectError::Missing(error))
    }
}

/// Holds what others have made.
#[derive(Debug)]
pub(super) struct Holder {
    shop: Arc<Shop>,
    contacts: Contacts,
    first_block: u64,
    holds: Arc<Holds>,
    places: Semaphore,
    /// The range of which was last said why it is not held, so that it is not said all the time.
    told: Mutex<Option<RangeId>>,
    /// What goes on beside the ranges ends with the auditor.
    tasks: Spawner,
}

impl Holder {
    pub(super) fn new(
        shop: Arc<Shop>,
        contacts: Contacts,
        first_block: u64,
        holds: Holds,
        tasks: Spawner,
    ) -> Self {
        let (holds, places) = (Arc::new(holds), Semaphore::new(AT_ONCE));
        Self { shop, contacts, first_block, holds, places, told: Mutex::default(), tasks }
    }

    pub(super) fn next_block(&self) -> u64 {
        self.holds.next_block()
    }

    fn link(&self) -> &Link {
        &self.shop.chain.link
    }

    /// Says on the chain where what is held is found, if that is news: until it is said.
    pub(super) fn announce(&self, number: u32) {
        let contact = self.shop.blobs.contact().to_bytes();
        if self.holds.is_announced(&contact) {
            return;
        }
        let (chain, holds) = (self.shop.chain.clone(), Arc::clone(&self.holds));
        spawn(&self.tasks, "where it is found", async move {
            while let Err(error) = announce(&chain, number, &contact).await {
                warn!(%error, "clients cannot be told where to find what is held");
                chain.mend(&error).await;
                tokio::time::sleep(ANNOUNCE_AGAIN).await;
            }
            if let Err(error) = holds.announced(contact) {
                warn!(%error, "that it was announced cannot be noted; the next start does it again");
            }
        });
    }

    async fn hold(
        &self,
        range: RangeId,
        part: Part,
        mib: u32,
        deadline: Instant,
    ) -> Result<(), HoldError> {
        self.look_at_prices(range.job).await?;
        if !self.holds.admit(range, mib) {
            return Err(HoldError::Full(mib));
        }
        let had = Box::pin(self.fetch_all(range, part, mib, deadline)).await;
        if had.is_err() {
            self.holds.left(range);
        }
        // What is here, not what was asked for: else small ranges that are said to be large would fill the disk.
        let had = had?;
        // Noted before it is signed for: what is noted is never unpinned before its time.
        Ok(self.holds.came(range, had)?)
    }

    async fn look_at_prices(&self, job: JobId) -> Result<(), HoldError> {
        let prices = prices_of(self.link(), job).await?.ok_or(HoldError::Cheap)?;
        let least = least_fee(self.link()).await?;
        if prices.are_fair(least) { Ok(()) } else { Err(HoldError::Cheap) }
    }

    /// Fetches, checks and pins what a range has made, or the inputs of a job; its size, MiB.
    async fn fetch_all(
        &self,
        range: RangeId,
        part: Part,
        mib: u32,
        deadline: Instant,
    ) -> Result<u32, HoldError> {
        let had = if range.is_inputs() {
            Box::pin(self.fetch_inputs(range, part, mib, deadline)).await?
        } else {
            Box::pin(self.fetch_range(range, part, mib, deadline)).await?
        };
        self.shop.blobs.sync().await?;
        Ok(had)
    }

    /// Fetches the spec of a job, and all that it names, from the job's client; its size, MiB.
    async fn fetch_inputs(
        &self,
        inputs: RangeId,
        part: Part,
        mib: u32,
        deadline: Instant,
    ) -> Result<u32, HoldError> {
        let opening = opening_of(self.link(), self.first_block, inputs.job).await?;
        if opening.spec.0 != part.root.0 {
            return Err(HoldError::Other);
        }
        let spec = self.spec_of(inputs, &[]).await?;
        // Nobody is paid for more than was asked for.
        let Some(had) = inputs_mib(&spec).filter(|had| *had <= mib) else {
            return Err(HoldError::Large);
        };
        let tag = tag(inputs)?;
        let holders: Vec<_> = Contact::from_bytes(&opening.contact).into_iter().collect();
        for blob in spec.blobs() {
            self.shop.blobs.get(blob, &holders, &tag, deadline).await?;
        }
        Ok(had)
    }

    /// Fetches, checks and pins what a range has made; its size, MiB.
    async fn fetch_range(
        &self,
        range: RangeId,
        part: Part,
        mib: u32,
        deadline: Instant,
    ) -> Result<u32, HoldError> {
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        let record = self.link().read(self.link().addresses().job_book, call).await?;
        if (record.from, record.count, record.root) != (part.from, part.count, part.root) {
            return Err(HoldError::Other);
        }
        let claim = RangeClaim {
            range,
            from: record.from,
            count: record.count,
            root: record.root,
            units: record.units,
            failures: record.failures,
        };
        let content = self.content_of(range).await?.ok_or(HoldError::Other)?;
        let known = self.contacts.of(record.provider, false).await?;
        let tag = tag(range)?;
        let most_bytes = u64::from(mib) << 20;
        let shelf = Shelf { tag: &tag, most_bytes };
        let spec = self.spec_of(range, &known).await?;
        let blobs = &self.shop.blobs;
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let first = Box::pin(collect_on(shelf, blobs, &spec, &claim, content, &known, half)).await;
        let leaves = match first {
            Err(CollectError::Missing(error)) => {
                debug!(%range, %error, "asking where the provider is now");
                let fresh = self.contacts.of(record.provider, true).await?;
                Box::pin(collect_on(shelf, blobs, &spec, &claim, content, &fresh, deadline)).await?
            }
            done => done?,
        };
        Ok(mib_of(bytes_of(&leaves)).map_or(mib, |had| had.min(mib)))
    }

    /// Under which hash the content of a range was handed in, the last time.
    async fn content_of(&self, range: RangeId) -> Result<Option<ContentHash>, ChainError> {
        let filter = Filter::new()
            .address(self.link().addresses().job_book)
            .event_signature(JobBook::RangeSubmitted::SIGNATURE_HASH)
            .topic1(U256::from(range.job.0))
            .topic2(U256::from(range.seq));
        let logs = self.link().scan(&filter, self.first_block).await?;
        let submitted = |log: &alloy::rpc::types::Log| {
            let event = JobBook::RangeSubmitted::decode_log(&log.inner).ok()?;
            Some(ContentHash(event.contentHash.0))
        };
        Ok(logs.iter().rev().find_map(submitted))
    }

    /// The spec of a range's job, from its client or from whoever has worked on it. Kept with the range: without it nothing
    /// can be made of what is held.
    async fn spec_of(&self, range: RangeId, known: &[Contact]) -> Result<JobSpec, HoldError> {
        let opening = opening_of(self.link(), self.first_block, range.job).await?;
        let mut holders = known.to_vec();
        holders.extend(Contact::from_bytes(&opening.contact));
        let (tag, deadline) = (tag(range)?, Instant::now() + SPEC_TIME);
        let max = MAX_SPEC_BYTES as u64;
        let blobs = &self.shop.blobs;
        blobs.get_up_to(opening.spec, max, &holders, &tag, deadline).await?;
        let spec = JobSpec::from_bytes(&blobs.read(opening.spec, max).await?)?;
        agree(&spec, &opening)?;
        Ok(spec)
    }

    /// Tells people why a range is not held, once for each.
    fn tell(&self, range: RangeId, error: &HoldError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.replace(range) == Some(range) {
            debug!(%range, %error, "what we were drawn to hold is not held");
        } else if let HoldError::Note(_) = error {
            error!(
                %range,
                detail = %error,
                advice = "make room on the disk and check who may write to the auditor's folder: it is tried again",
                "what we were drawn to hold is not held"
            );
        } else {
            warn!(%range, %error, "what we were drawn to hold is not held");
        }
    }

    /// Removes what is here of a range, of one that could not be had whole, too, and the note of it.
    fn drop_range(&self, range: RangeId) {
        if !self.holds.has(range) {
            return;
        }
        let (shop, holds) = (Arc::clone(&self.shop), Arc::clone(&self.holds));
        spawn(&self.tasks, format!("drop {range}"), async move {
            let Ok(tag) = tag(range) else { return };
            match shop.blobs.unpin(&tag).await {
                Ok(()) => holds.forget(range),
                // The note stays as the reminder; the next start tries again.
                Err(error) => warn!(%range, %error, "what was held cannot be unpinned"),
            }
        });
    }
}

async fn announce(chain: &Chain, number: u32, contact: &[u8]) -> Result<(), ChainError> {
    let call = Holders::announceCall { number, contact: contact.to_vec().into() };
    chain.node.execute(chain.link.addresses().holders, call).await?;
    info!(number, "told clients where to find what is held");
    Ok(())
}

impl Hand for Holder {
    async fn size(&self, _: RangeId, _: Part) -> Option<u32> {
        // The machine asks an auditor for nothing of its own.
        None
    }

    async fn fetch(&self, range: RangeId, part: Part, mib: u32, left: Millis) -> bool {
        let time = LEAST_TIME.saturating_add(MIB_TIME.saturating_mul(mib));
        let waited = tokio::time::timeout(Duration::from_millis(left), self.places.acquire());
        let Ok(Ok(_place)) = waited.await else { return false };
        let deadline = Instant::now() + time.min(Duration::from_millis(left));
        let held = Box::pin(self.hold(range, part, mib, deadline)).await;
        let Err(error) = held else {
            info!(%range, mib, "what we were drawn to hold is here, and is what it must be");
            return true;
        };
        self.tell(range, &error);
        if let HoldError::Chain(error) = &error {
            self.failed(error).await;
        }
        false
    }

    fn note(&self, effect: &Effect) {
        match effect {
            Effect::Show { range, standing: Standing::Over(state) } => {
                info!(%range, %state, "what we were drawn to hold");
            }
            Effect::Keep { range, until } => self.holds.keep(*range, *until),
            Effect::Forget { range } => self.drop_range(*range),
            _ => {}
        }
    }

    async fn failed(&self, error: &ChainError) {
        self.shop.chain.mend(error).await;
    }

    /// What an earlier life has left of ranges that nobody need hold any more goes.
    fn caught_up(&self, cases: Vec<RangeId>) {
        let others = self.holds.all().into_iter().filter(|range| !cases.contains(range));
        others.for_each(|range| self.drop_range(range));
    }

    fn read_up_to(&self, block: u64) {
        self.holds.read_up_to(block);
    }
}
