//! What all parties see of kept ranges, what anybody may do about them, and who gets what they have made.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use tilth_client::{
    audit::Millis,
    holding::{Effect, Part, Party, View},
};
use tilth_contracts::{Audits, HoldAsk, HoldState, Holders, Keep, RangeState, SoloRandomness};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::{FIRST_HOLDERS, is_majority};

use super::{
    mind::Service,
    scene::{Actor, Scene, What},
};
use crate::farm::FarmError;

impl Scene {
    /// An ask as the chain shows it now; what cannot have changed is not asked again. `local`: what the asking party's
    /// clock says.
    ///
    /// # Errors
    /// Those of [`Farm::read`](crate::Farm::read).
    pub fn look_at_ask(
        &mut self,
        id: RangeId,
        party: Party,
        local: Millis,
    ) -> Result<View, FarmError> {
        let now = self.farm.now.saturating_mul(1_000);
        let next = now.max(local);
        let ask = self.ask(id)?;
        let (keep, cost) = self.keep(id.job)?;
        let state = HoldState::try_from(ask.state).unwrap_or(HoldState::None);
        let (mut range, mut provider, mut window_end) = (RangeState::None, Address::ZERO, 0);
        let mut part = Part::default();
        if let Some(facts) = self.public.ranges.get(&id) {
            part = Part { from: facts.from, count: facts.count, root: facts.root };
            (range, provider) = (facts.state, facts.provider);
            let window = self.public.jobs.get(&id.job).map_or(0, |job| job.terms.window);
            window_end = facts.at.saturating_add(window.into()).saturating_mul(1_000);
        }
        // Nobody wants to know it at another time.
        let is_unasked = matches!(state, HoldState::None | HoldState::Again);
        let may_pay = is_unasked && next >= window_end && self.lets_pay(id)?;
        let (beacon, lapses) = match state {
            HoldState::None => (B256::ZERO, 0),
            // Before the draw, which notes it, a value can come and go with the blocks.
            _ => self.beacon(ask.round, state != HoldState::Asked)?,
        };
        let draws = match (party, state) {
            (Party::Auditor(us), HoldState::Open | HoldState::Held) => {
                draws_of(&self.named(id, ask.round)?, us)
            }
            _ => 0,
        };
        let deposit = keep.deposit.to::<u128>();
        Ok(View {
            range,
            part,
            provider,
            window_end,
            may_pay,
            state,
            round: ask.round,
            from: ask.from.to::<u64>().saturating_mul(1_000),
            until: ask.until.to::<u64>().saturating_mul(1_000),
            mib: ask.mib,
            max_mib: keep.maxMib,
            bits: ask.bits,
            draws,
            asked: ask.asked,
            deposit,
            free: deposit.saturating_sub(keep.reserved.to::<u128>()),
            cost,
            beacon: (!beacon.is_zero()).then_some(beacon),
            lapses,
            block: self.farm.block,
            now,
            next,
        })
    }

    pub(super) fn ask(&mut self, id: RangeId) -> Result<HoldAsk, FarmError> {
        if let Some((_, ask)) = self.asks.get(&id).filter(|(seen, _)| *seen == self.version) {
            return Ok(ask.clone());
        }
        let holders = self.farm.addresses().holders;
        let call = Holders::askedCall { jobId: id.job.0, seq: id.seq };
        let ask = self.farm.read(holders, &call)?;
        self.asks.insert(id, (self.version, ask.clone()));
        Ok(ask)
    }

    /// A job's deposit, and what of it must be free for an ask of the largest size.
    fn keep(&mut self, job: JobId) -> Result<(Keep, u128), FarmError> {
        let known = self.keeps.get(&job).filter(|(seen, ..)| *seen == self.version);
        if let Some((_, keep, cost)) = known {
            return Ok((keep.clone(), *cost));
        }
        let holders = self.farm.addresses().holders;
        let keep = self.farm.read(holders, &Holders::keptCall { jobId: job.0 })?;
        let call = Holders::costForCall { jobId: job.0, mib: keep.maxMib };
        let cost = u128::try_from(self.farm.read(holders, &call)?).unwrap_or(u128::MAX);
        self.keeps.insert(job, (self.version, keep.clone(), cost));
        Ok((keep, cost))
    }

    /// Whether its audit lets a range be paid; what it is worth makes no difference.
    fn lets_pay(&mut self, id: RangeId) -> Result<bool, FarmError> {
        let audits = self.farm.addresses().audits;
        let call = Audits::billCall { jobId: id.job.0, seq: id.seq, value: U256::ZERO };
        Ok(self.farm.read(audits, &call)?.mayPay)
    }

    /// Whom the draws of an ask with this round name, once that is known for good.
    pub(super) fn named(&mut self, id: RangeId, round: u64) -> Result<Vec<u32>, FarmError> {
        if let Some((_, named)) = self.named.get(&id).filter(|(of, _)| *of == round) {
            return Ok(named.clone());
        }
        let holders = self.farm.addresses().holders;
        let call = Holders::namedCall { jobId: id.job.0, seq: id.seq };
        let named = self.farm.read(holders, &call)?;
        self.named.insert(id, (round, named.clone()));
        Ok(named)
    }

    /// Sends what several may do about an ask, if the effect is that.
    pub fn send_about_ask(&mut self, by: Actor, from: Address, effect: &Effect) {
        let at = *self.farm.addresses();
        let Some(id) = effect.range() else { return };
        let (job_id, seq, what) = (id.job.0, id.seq, What::Hold(id));
        match effect {
            Effect::Poke { round, .. } => {
                let call = SoloRandomness::noteCall { round: *round };
                self.send(by, from, at.randomness, &call, what);
            }
            Effect::Ask { mib, .. } => {
                let call = Holders::askCall { jobId: job_id, seq, mib: *mib };
                self.send(by, from, at.holders, &call, what);
            }
            Effect::Draw { .. } => {
                let call = Holders::drawCall { jobId: job_id, seq };
                self.send(by, from, at.holders, &call, what);
            }
            Effect::Fail { .. } => {
                let call = Holders::failCall { jobId: job_id, seq };
                self.send(by, from, at.holders, &call, what);
            }
            _ => {}
        }
    }
}

/// The draws that name an auditor.
fn draws_of(named: &[u32], us: u32) -> u16 {
    let ours = (0_u32..16).zip(named).filter(|(_, number)| **number == us);
    ours.fold(0, |draws, (draw, _)| draws | 1_u16 << draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_draws_are_those_that_name_us() {
        assert_eq!((draws_of(&[3, 1, 3], 3), draws_of(&[3, 1, 3], 2)), (0b101, 0));
    }
}
