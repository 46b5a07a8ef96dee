//! What all parties see of kept ranges and of inputs, and what anybody may do about them.

use alloy_primitives::{Address, B256, U256};
use tilth_client::{
    audit::Millis,
    holding::{Effect, Part, Party, SpotView, View},
};
use tilth_contracts::{
    Audits, HoldAsk, HoldState, Holders, JobBook, JobState, Keep, RangeState, SoloRandomness, Spot,
    SpotState, Spots,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::SPOT_TIME_S;

use super::scene::{Actor, Scene, What};
use crate::farm::FarmError;

/// What holders are asked for, but for the ask; times by the chain's clock.
struct Subject {
    range: RangeState,
    part: Part,
    provider: Address,
    window_end: Millis,
}

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
        let Subject { range, part, provider, window_end } = self.subject(id)?;
        // Nobody wants to know it at another time.
        let is_unasked = matches!(state, HoldState::None | HoldState::Again);
        let is_late = next >= window_end;
        let may_pay = id.is_inputs() || is_unasked && is_late && self.lets_pay(id)?;
        let spot = if state == HoldState::Held { Some(self.spot(id)?) } else { None };
        let looks = spot.as_ref().filter(|spot| spot.state == u8::from(SpotState::Asked));
        let round = looks.map_or(ask.round, |spot| spot.round);
        // As the real ones, nobody goes by a value that could be taken back.
        let is_final = self.farm.block > round.saturating_add(self.reach);
        // Before it is noted, by the draw or by the first who looks, it can come and go with the blocks.
        let (beacon, lapses) = match (state, looks) {
            (HoldState::None, _) | (HoldState::Held, None) => (B256::ZERO, 0),
            _ if !is_final => (B256::ZERO, 0),
            (_, Some(spot)) => self.beacon(round, spot.votes != 0)?,
            _ => self.beacon(round, state != HoldState::Asked)?,
        };
        let named = match (party, state) {
            (Party::Auditor(_), HoldState::Open | HoldState::Held) => self.named(id, ask.round)?,
            _ => Vec::new(),
        };
        let draws = match party {
            Party::Auditor(us) => draws_of(&named, us),
            Party::Client | Party::Provider(_) => 0,
        };
        let us = if beacon.is_zero() { None } else { Some(party) };
        let spot = spot.map(|spot| self.spot_view(id, us, &spot)).transpose()?;
        let deposit = keep.deposit.to::<u128>();
        let (max_mib, cost) = if id.is_inputs() { (u32::MAX, 0) } else { (keep.maxMib, cost) };
        let rest = cost.saturating_mul(self.out(id, party)?.into());
        Ok(View {
            range,
            part,
            provider,
            window_end,
            may_pay,
            state,
            round,
            from: ask.from.to::<u64>().saturating_mul(1_000),
            until: ask.until.to::<u64>().saturating_mul(1_000),
            mib: ask.mib,
            max_mib,
            bits: ask.bits,
            draws,
            named: std::array::from_fn(|draw| named.get(draw).copied().unwrap_or(0)),
            spot: spot.unwrap_or_default(),
            asked: ask.asked,
            deposit,
            free: deposit.saturating_sub(keep.reserved.to::<u128>()),
            cost,
            rest,
            beacon: (!beacon.is_zero()).then_some(beacon),
            lapses,
            block: self.farm.block,
            now,
            next,
        })
    }

    /// Of inputs: how their job stands, as if they were a range of it.
    fn subject(&mut self, id: RangeId) -> Result<Subject, FarmError> {
        let (mut range, mut provider, mut window_end) = (RangeState::None, Address::ZERO, 0);
        let mut part = Part::default();
        if id.is_inputs() {
            range = match self.job_state(id.job)? {
                JobState::None => RangeState::None,
                JobState::Open | JobState::Draining => RangeState::Submitted,
                JobState::Cancelling => RangeState::Settled,
                JobState::Done | JobState::Cancelled => RangeState::Rejected,
            };
            let facts = self.public.jobs.get(&id.job);
            part.root = facts.map_or(B256::ZERO, |facts| facts.terms.specHash);
        } else if let Some(facts) = self.public.ranges.get(&id) {
            part = Part { from: facts.from, count: facts.count, root: facts.root };
            (range, provider) = (facts.state, facts.provider);
            let window = self.public.jobs.get(&id.job).map_or(0, |job| job.terms.window);
            window_end = facts.at.saturating_add(window.into()).saturating_mul(1_000);
        }
        Ok(Subject { range, part, provider, window_end })
    }

    fn job_state(&mut self, job: JobId) -> Result<JobState, FarmError> {
        Ok(self.standing(job)?.0)
    }

    /// For how many ranges a deposit must reach, as its client sees it: of a range for 1 at least. Nobody else wants to
    /// know it.
    fn out(&mut self, id: RangeId, party: Party) -> Result<u32, FarmError> {
        if party != Party::Client || id.is_inputs() {
            return Ok(0);
        }
        let (state, due) = self.standing(id.job)?;
        Ok(if state == JobState::Open { due.max(1) } else { 1 })
    }

    /// Where a job stands, and how many of its ranges are out, with the next one as long as it has one to give out.
    fn standing(&mut self, job: JobId) -> Result<(JobState, u32), FarmError> {
        if let Some((_, known)) = self.states.get(&job).filter(|(seen, _)| *seen == self.version) {
            return Ok(*known);
        }
        let book = self.farm.addresses().job_book;
        let shown = self.farm.read(book, &JobBook::jobCall { jobId: job.0 })?;
        let state = JobState::try_from(shown.state).unwrap_or(JobState::None);
        let gives = shown.unclaimed != 0 && self.farm.now <= shown.terms.deadline.to::<u64>();
        let known = (state, shown.outstanding.saturating_add(u32::from(gives)));
        self.states.insert(job, (self.version, known));
        Ok(known)
    }

    /// How looking at who holds something stands.
    fn spot(&mut self, id: RangeId) -> Result<Spot, FarmError> {
        if let Some((_, spot)) = self.spots.get(&id).filter(|(seen, _)| *seen == self.version) {
            return Ok(spot.clone());
        }
        let spots = self.farm.addresses().spots;
        let call = Spots::spotOfCall { jobId: id.job.0, seq: id.seq };
        let spot = self.farm.read(spots, &call)?;
        self.spots.insert(id, (self.version, spot.clone()));
        Ok(spot)
    }

    /// The same as a party sees it. `us`: none while nobody knows who is drawn.
    fn spot_view(
        &mut self,
        id: RangeId,
        us: Option<Party>,
        spot: &Spot,
    ) -> Result<SpotView, FarmError> {
        let state = SpotState::try_from(spot.state).unwrap_or(SpotState::None);
        if state == SpotState::None {
            return Ok(SpotView::default());
        }
        let end = spot.asOf.to::<u64>().saturating_add(SPOT_TIME_S).saturating_mul(1_000);
        let draws = match (us, state) {
            (Some(Party::Auditor(us)), SpotState::Asked) => {
                draws_of(&self.spotters(id, spot.round)?, us)
            }
            _ => 0,
        };
        let draws = u8::try_from(draws).unwrap_or(u8::MAX);
        Ok(SpotView { state, end, bits: spot.bits, draws })
    }

    /// Whom the draws of those who look name; nobody before the beacon of this round is known.
    fn spotters(&mut self, id: RangeId, round: u64) -> Result<Vec<u32>, FarmError> {
        let known = self.spotters.get(&id).filter(|(of, named)| *of == round && !named.is_empty());
        if let Some((_, named)) = known {
            return Ok(named.clone());
        }
        let spots = self.farm.addresses().spots;
        let call = Spots::spottersCall { jobId: id.job.0, seq: id.seq };
        let named = self.farm.read(spots, &call)?;
        self.spotters.insert(id, (round, named.clone()));
        Ok(named)
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
            Effect::Check { .. } => {
                let call = Spots::checkCall { jobId: job_id, seq };
                self.send(by, from, at.spots, &call, what);
            }
            Effect::Spot { draw, seen, .. } => {
                let call = Spots::spotCall { jobId: job_id, seq, draw: *draw, seen: *seen };
                self.send(by, from, at.spots, &call, what);
            }
            Effect::Conclude { .. } => {
                let call = Spots::concludeCall { jobId: job_id, seq };
                self.send(by, from, at.spots, &call, what);
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
