//! What an auditor does that is drawn to hold what a range has made: fetch it from its provider, check it as its client
//! would, keep it and serve it. In the same way it holds the inputs of a job, which it fetches from their client. What is
//! signed for lies on disk, and is noted there, before that.

use std::{
    collections::BTreeSet,
    mem::{Discriminant, discriminant},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use tilth_client::{
    ChainError, Contacts, Link,
    audit::Millis,
    holding::{Effect, Hand, Part, Standing, least_fee, prices_of},
};
use tilth_contracts::Holders;
use tilth_protocol::{JobId, RangeId};
use tilth_service::Spawner;
use tilth_verification::draw::Seed;
use tokio::sync::Semaphore;
use tracing::{debug, error, info, warn};

use super::{
    content::HoldError,
    holds::{Holds, tag},
    spots::{self, Question},
    turns::Turns,
};
use crate::{chain::Chain, role::spawn, shop::Shop};

/// Ranges fetched at the same time, each from somebody else: who is slow, or says that it has much, does not take the
/// turn of others.
const AT_ONCE: usize = 32;
/// Nothing here is of use for longer.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Time for one attempt in any case, and for each MiB besides: who does not answer must not take the place of others for
/// long. It is tried again as long as the ask is open.
const LEAST_TIME: Duration = Duration::from_secs(60);
const MIB_TIME: Duration = Duration::from_secs(4);
/// How often it is tried to say where what is held is found.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(60);

/// Holds what others have made.
#[derive(Debug)]
pub(super) struct Holder {
    /// Its number among the auditors.
    pub(super) number: u32,
    pub(super) shop: Arc<Shop>,
    pub(super) contacts: Contacts,
    pub(super) first_block: u64,
    holds: Arc<Holds>,
    /// Who may fetch now.
    turns: Turns,
    /// Places for those who ask holders for a piece, and for those who read what pieces there are.
    pub(super) asking: Arc<Semaphore>,
    pub(super) reading: Semaphore,
    /// The range of which was last said that it is not held, and why, so that it is not said all the time.
    told: Mutex<Option<(RangeId, Discriminant<HoldError>)>>,
    /// What goes on beside the ranges ends with the auditor.
    tasks: Spawner,
}

impl Holder {
    pub(super) fn new(
        number: u32,
        shop: Arc<Shop>,
        (contacts, first_block): (Contacts, u64),
        holds: Holds,
        tasks: Spawner,
    ) -> Self {
        let (holds, turns, told) = (Arc::new(holds), Turns::new(AT_ONCE), Mutex::default());
        let asking = Arc::new(Semaphore::new(spots::AT_ONCE));
        let reading = Semaphore::new(spots::READ_AT_ONCE);
        Self { number, shop, contacts, first_block, holds, turns, asking, reading, told, tasks }
    }

    pub(super) fn next_block(&self) -> u64 {
        self.holds.next_block()
    }

    pub(super) fn link(&self) -> &Link {
        &self.shop.chain.link
    }

    /// Says on the chain where what is held is found, if that is news: until it is said.
    pub(super) fn announce(&self) {
        let number = self.number;
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

    /// Fetches a range and keeps it, when it is its turn.
    async fn hold(
        &self,
        range: RangeId,
        part: Part,
        mib: u32,
        left: Millis,
    ) -> Result<(), HoldError> {
        let end = Instant::now() + Duration::from_millis(left).min(LONGEST);
        self.look_at_prices(range.job).await?;
        let source = self.source_of(range).await?;
        let waited = tokio::time::timeout_at(end.into(), self.turns.take(source)).await;
        let Ok(Some(_turn)) = waited else { return Err(HoldError::Late) };
        let time = LEAST_TIME.saturating_add(MIB_TIME.saturating_mul(mib));
        let deadline = end.min(Instant::now() + time.min(LONGEST));
        let inputs = if range.is_inputs() {
            Some(Box::pin(self.look_at_inputs(range, part, mib)).await?)
        } else {
            None
        };
        let size = inputs.as_ref().map_or(mib, |inputs| inputs.mib);
        self.holds.admit(range, size)?;
        let had = Box::pin(self.fetch_all(range, part, mib, inputs, deadline)).await;
        if had.is_err() {
            self.holds.left(range);
        }
        // What is here, not what was asked for: else small ranges that are said to be large would fill the disk.
        let had = had?;
        // Noted before it is signed for: what is noted is never unpinned before its time.
        self.holds.came(range, had)
    }

    async fn look_at_prices(&self, job: JobId) -> Result<(), HoldError> {
        let prices = prices_of(self.link(), job).await?.ok_or(HoldError::Cheap)?;
        let least = least_fee(self.link()).await?;
        if prices.are_fair(least) { Ok(()) } else { Err(HoldError::Cheap) }
    }

    /// Tells people why a range is not held, once for each reason in a row.
    fn tell(&self, range: RangeId, error: &HoldError) {
        let why = (range, discriminant(error));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.replace(why) == Some(why) {
            debug!(%range, %error, "what we were drawn to hold is not held");
            return;
        }
        match (error, error.advice()) {
            (HoldError::Going, Some(advice)) => {
                info!(%range, detail = %error, advice, "what we were drawn to hold is not held yet");
            }
            (_, Some(advice)) => {
                error!(%range, detail = %error, advice, "what we were drawn to hold is not held");
            }
            (_, None) => warn!(%range, %error, "what we were drawn to hold is not held"),
        }
    }

    /// Removes what is here of a range, of one that could not be had whole, too, and the note of it.
    fn drop_range(&self, range: RangeId) {
        if !self.holds.has(range) {
            return;
        }
        self.holds.let_go(range);
        let (shop, holds) = (Arc::clone(&self.shop), Arc::clone(&self.holds));
        spawn(&self.tasks, format!("drop {range}"), async move {
            let Ok(tag) = tag(range) else { return };
            match shop.blobs.unpin(&tag).await {
                Ok(()) => holds.forget(range),
                // The note stays as the reminder; the next start tries again.
                Err(error) => {
                    holds.stays(range);
                    warn!(%range, %error, "what was held cannot be unpinned");
                }
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
        let held = Box::pin(self.hold(range, part, mib, left)).await;
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

    async fn inspect(
        &self,
        range: RangeId,
        part: Part,
        draw: u8,
        seed: B256,
        holders: Vec<(u8, u32)>,
        left: Millis,
    ) -> Option<u16> {
        let question = Question { range, part, draw, seed: Seed(seed), holders };
        let time = Duration::from_millis(left).min(LONGEST);
        let error = match Box::pin(self.look_at(&question, time)).await {
            Ok(seen) => return seen,
            Err(error) => error,
        };
        warn!(%range, %error, "whether it is served by its holders cannot be found out now");
        if let HoldError::Chain(error) = &error {
            self.failed(error).await;
        }
        None
    }

    fn note(&self, effect: &Effect) {
        match effect {
            Effect::Show { range, standing: Standing::Over(state) } => {
                info!(%range, %state, "what we were drawn to hold");
            }
            Effect::Show { range, standing: Standing::Spot(state) } => {
                info!(%range, %state, "what we hold, when its time is over");
            }
            Effect::Keep { range, until } => self.holds.keep(*range, *until),
            Effect::Forget { range } => self.drop_range(*range),
            _ => {}
        }
    }

    async fn failed(&self, error: &ChainError) {
        self.shop.chain.mend(error).await;
    }

    fn noted(&self) -> BTreeSet<RangeId> {
        self.holds.noted()
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
