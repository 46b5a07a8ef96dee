//! What is sent to the contracts about kept ranges.

use alloy::{primitives::aliases::U96, sol_types::SolInterface};
use tilth_contracts::{HoldPrices, HoldState, Holders, Holders::HoldersErrors, SoloRandomness};
use tilth_protocol::RangeId;
use tracing::info;

use super::{
    keeper::Post,
    view::look,
    words::{Effect, Part},
};
use crate::ChainError;

impl Post {
    /// Sends what an effect asks for.
    pub(super) async fn send(&self, range: RangeId, effect: &Effect) -> Result<(), ChainError> {
        let (account, at) = (&self.account, *self.account.link().addresses());
        let (job, seq) = (range.job.0, range.seq);
        match effect {
            Effect::Poke { round, .. } => {
                let call = SoloRandomness::noteCall { round: *round };
                account.execute(at.randomness, call).await.map(drop)
            }
            Effect::Ask { mib, .. } => {
                info!(%range, mib, "asking for holders");
                let call = Holders::askCall { jobId: job, seq, mib: *mib };
                account.execute(at.holders, call).await.map(drop)
            }
            Effect::Draw { .. } => {
                let call = Holders::drawCall { jobId: job, seq };
                account.execute(at.holders, call).await.map(drop)
            }
            Effect::Fail { .. } => {
                let call = Holders::failCall { jobId: job, seq };
                account.execute(at.holders, call).await.map(drop)
            }
            Effect::Sign { part, draw, .. } => self.sign(range, *part, *draw).await,
            Effect::Fund { amount, .. } => self.fund(range, *amount).await,
            // They are carried out elsewhere.
            Effect::Look { .. }
            | Effect::Size { .. }
            | Effect::Fetch { .. }
            | Effect::Close
            | Effect::Show { .. }
            | Effect::Keep { .. }
            | Effect::Forget { .. } => Ok(()),
        }
    }

    async fn sign(&self, range: RangeId, part: Part, draw: u8) -> Result<(), ChainError> {
        // Of another range than the one that was fetched nothing is here.
        let seen = Box::pin(look(self.account.link(), range, self.party)).await?;
        if seen.state != HoldState::Open || seen.part != part {
            return Ok(());
        }
        let call = Holders::holdCall { jobId: range.job.0, seq: range.seq, draw_: draw };
        self.account.execute(self.account.link().addresses().holders, call).await?;
        info!(%range, draw, "signed that a range is held");
        Ok(())
    }

    async fn fund(&self, range: RangeId, amount: u128) -> Result<(), ChainError> {
        let (link, job) = (self.account.link(), range.job.0);
        let holders = link.addresses().holders;
        let keep = link.read(holders, Holders::keptCall { jobId: job }).await?;
        // The prices of a job stay what they are.
        let prices = HoldPrices {
            maxMib: keep.maxMib,
            perMib: keep.perMib,
            perMibDay: keep.perMibDay,
            keepSeconds: keep.keepSeconds,
        };
        let amount = U96::saturating_from(amount);
        info!(%range, "adding to the deposit of a job, which would not pay for holders of a range");
        let call = Holders::fundCall { jobId: job, prices, amount };
        self.account.execute(holders, call).await.map(drop)
    }

    /// Takes back what of the deposit is free; that nothing is counts as done.
    pub(super) async fn close(&self) -> Result<(), ChainError> {
        let Some(job) = self.job else { return Ok(()) };
        let holders = self.account.link().addresses().holders;
        let call = Holders::closeCall { jobId: job.0 };
        match self.account.execute(holders, call).await {
            Ok(_) => Ok(()),
            Err(error) if is_nothing_free(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn is_nothing_free(error: &ChainError) -> bool {
    let said = error.revert_data().map(|data| HoldersErrors::abi_decode(data));
    matches!(said, Some(Ok(HoldersErrors::NothingFree(_))))
}
