//! What is sent to the contracts about kept ranges.

use alloy::{
    primitives::{U256, aliases::U96},
    rpc::types::Filter,
    sol_types::{SolCall, SolEvent, SolInterface},
};
use tilth_contracts::{
    HoldPrices, HoldState, Holders, Holders::HoldersErrors, SoloRandomness, Spot, SpotState, Spots,
};
use tilth_protocol::RangeId;
use tracing::{debug, info};

use super::{
    filling::{Lack, lack},
    hand::Post,
    view::look,
    words::{Effect, Part},
};
use crate::{ChainError, Link};

impl Post {
    /// Sends what an effect asks for.
    pub(super) async fn send(&self, range: RangeId, effect: &Effect) -> Result<(), ChainError> {
        let (account, at) = (&self.account, *self.account.link().addresses());
        let (job, seq) = (range.job.0, range.seq);
        match effect {
            Effect::Poke { round, once, .. } => self.note(*round, *once).await,
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
            Effect::Check { .. } => self.check(range).await,
            Effect::Spot { draw, seen, .. } => self.spot(range, *draw, *seen).await,
            Effect::Conclude { .. } => self.conclude(range).await,
            Effect::Fund { due, .. } => self.fund(range, *due).await,
            // They are carried out elsewhere.
            Effect::Look { .. }
            | Effect::Size { .. }
            | Effect::Fetch { .. }
            | Effect::Inspect { .. }
            | Effect::Close
            | Effect::Show { .. }
            | Effect::Keep { .. }
            | Effect::Forget { .. } => Ok(()),
        }
    }

    /// Has a beacon's round noted. `once`: that somebody else has counts as done.
    async fn note(&self, round: u64, once: bool) -> Result<(), ChainError> {
        let link = self.account.link();
        if once && is_noted(link, round).await {
            return Ok(());
        }
        let call = SoloRandomness::noteCall { round };
        self.account.execute(link.addresses().randomness, call).await.map(drop)
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

    /// Calls for those who look; that somebody else has counts as done.
    async fn check(&self, range: RangeId) -> Result<(), ChainError> {
        let is_called = |spot: &Spot| spot.state != u8::from(SpotState::None);
        if is_called(&self.spot_of(range).await?) {
            return Ok(());
        }
        let call = Spots::checkCall { jobId: range.job.0, seq: range.seq };
        match self.attempt(range, call).await? {
            None => info!(%range, "called for who looks whether a range is still held"),
            Some((_, spot)) if is_called(&spot) => {}
            Some((error, _)) => return Err(error),
        }
        Ok(())
    }

    /// Says who has served a range.
    async fn spot(&self, range: RangeId, draw: u8, seen: u16) -> Result<(), ChainError> {
        // Where nobody is called for any more it was decided on before a reorganisation.
        if !is_waiting(&self.spot_of(range).await?, draw) {
            return Ok(());
        }
        let call = Spots::spotCall { jobId: range.job.0, seq: range.seq, draw, seen };
        match self.attempt(range, call).await? {
            None => {
                info!(%range, draw, seen = %format_args!("{seen:015b}"), "said who serves a range")
            }
            // It was in a block already.
            Some((_, spot)) if !is_waiting(&spot, draw) => {}
            Some((error, _)) => return Err(error),
        }
        Ok(())
    }

    /// Ends the look at who serves a range; that somebody else has counts as done.
    async fn conclude(&self, range: RangeId) -> Result<(), ChainError> {
        let is_over = |spot: &Spot| spot.state == u8::from(SpotState::Over);
        if is_over(&self.spot_of(range).await?) {
            return Ok(());
        }
        let call = Spots::concludeCall { jobId: range.job.0, seq: range.seq };
        match self.attempt(range, call).await? {
            None => info!(%range, "ended the look at who serves a range"),
            Some((_, spot)) if is_over(&spot) => {}
            Some((error, _)) => return Err(error),
        }
        Ok(())
    }

    async fn spot_of(&self, range: RangeId) -> Result<Spot, ChainError> {
        let link = self.account.link();
        let call = Spots::spotOfCall { jobId: range.job.0, seq: range.seq };
        link.read(link.addresses().spots, call).await
    }

    /// Sends what several may do, or what may be too late. `Some`: it was refused, and how things stood after that.
    async fn attempt<C: SolCall>(
        &self,
        range: RangeId,
        call: C,
    ) -> Result<Option<(ChainError, Spot)>, ChainError> {
        let spots = self.account.link().addresses().spots;
        match self.account.execute(spots, call).await {
            Ok(_) => Ok(None),
            Err(error) if error.revert_data().is_some() => {
                let spot = self.spot_of(range).await?;
                Ok(Some((error, spot)))
            }
            Err(error) => Err(error),
        }
    }

    /// Adds to the deposit what it lacks when it is our turn: what else fills it up may have been quicker, and that counts
    /// as done. So does that it may not grow so much any more: the look that follows shows how it stands.
    async fn fund(&self, range: RangeId, due: u128) -> Result<(), ChainError> {
        let (link, job) = (self.account.link(), range.job.0);
        let holders = link.addresses().holders;
        let _turn = self.account.turn(range.job).await;
        let keep = link.read(holders, Holders::keptCall { jobId: job }).await?;
        let kept = (keep.deposit.to::<u128>(), keep.reserved.to::<u128>());
        let Lack::Within(amount) = lack(due, kept, self.most) else { return Ok(()) };
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
            Ok(_) => {}
            Err(error) if is_nothing_free(&error) => {}
            Err(error) => return Err(error),
        }
        let kept = Holders::keptCall { jobId: job.0 };
        let stays = self.account.link().read(holders, kept).await;
        if stays.is_ok_and(|keep| !keep.reserved.is_zero()) {
            info!(
                %job,
                "what those who hold its ranges can still earn stays locked; what is left of it comes back when the job is fetched again after their time"
            );
        }
        Ok(())
    }
}

/// Whether somebody has had a beacon's round noted; whoever has sees to it that it stays in a block. Its value does not
/// tell, for it is there before, but not for long. Where that cannot be read it is noted once more, which costs little.
async fn is_noted(link: &Link, round: u64) -> bool {
    let filter = Filter::new()
        .address(link.addresses().randomness)
        .event_signature(SoloRandomness::Noted::SIGNATURE_HASH)
        .topic1(U256::from(round));
    // No round has a value before its block.
    match link.scan(&filter, round).await {
        Ok(logs) => !logs.is_empty(),
        Err(error) => {
            debug!(round, %error, "whether a beacon is noted is not known");
            false
        }
    }
}

/// Whether a draw of those who look has still to say what it has seen.
fn is_waiting(spot: &Spot, draw: u8) -> bool {
    let said = spot.bits.checked_shr(draw.into()).is_some_and(|bits| bits & 1 == 1);
    spot.state == u8::from(SpotState::Asked) && !said
}

fn is_nothing_free(error: &ChainError) -> bool {
    let said = error.revert_data().map(|data| HoldersErrors::abi_decode(data));
    matches!(said, Some(Ok(HoldersErrors::NothingFree(_))))
}

#[cfg(test)]
#[path = "moves_tests.rs"]
pub(super) mod tests;
