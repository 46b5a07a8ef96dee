//! What a party does with its hands about kept ranges: fetches, keeps, deletes, looks at others, and moves its money.

use alloy_primitives::aliases::U96;
use tilth_client::{
    audit::Millis,
    holding::{Event, Part, Party},
};
use tilth_contracts::{HoldPrices, HoldState, Holders};
use tilth_protocol::RangeId;

use super::{
    holding::{FETCH_FAILS, Holding},
    mind::{Conduct, Sight},
    scene::{Scene, What},
    workload,
};
use crate::farm::FarmError;

/// Milliseconds to fetch a MiB.
const MIB_TIME: Millis = 1_000;
/// Milliseconds to fetch a piece of what somebody holds.
const PIECE_TIME: Millis = 1_000;

impl Holding {
    /// As a holder: what it asks for is there after a while, or an attempt fails.
    pub(super) fn fetch(
        &mut self,
        range: RangeId,
        (part, mib): (Part, u32),
        scene: &mut Scene,
    ) -> Result<Option<Event>, FarmError> {
        let Party::Auditor(us) = self.rules.party else { return Ok(None) };
        if self.conduct == Conduct::Lies {
            return Ok(Some(Event::Fetched { range, part }));
        }
        let is_no_larger = workload::mib(part.count) <= mib;
        let ended = if is_no_larger && scene.serves_holder(range, us)? {
            scene.stored.insert((range, us));
            (scene.now + MIB_TIME * u64::from(mib), Event::Fetched { range, part })
        } else {
            (scene.now + FETCH_FAILS, Event::Ended { range, done: false })
        };
        self.later.push(ended);
        Ok(None)
    }

    /// As the real one, it looks once more before.
    pub(super) fn sign(
        &self,
        range: RangeId,
        (part, draw): (Part, u8),
        scene: &mut Scene,
    ) -> Result<Option<Event>, FarmError> {
        let local = self.local(scene.now);
        let seen = scene.look_at_ask(range, self.rules.party, local)?;
        if seen.state != HoldState::Open || seen.part != part {
            return Ok(Some(Event::Ended { range, done: true }));
        }
        let call = Holders::holdCall { jobId: range.job.0, seq: range.seq, draw_: draw };
        let holders = scene.farm.addresses().holders;
        scene.send(self.me, self.who, holders, &call, What::Hold(range));
        if self.conduct == Conduct::Deletes {
            self.delete(range, scene);
        }
        Ok(None)
    }

    pub(super) fn delete(&self, range: RangeId, scene: &mut Scene) {
        if let Party::Auditor(us) = self.rules.party {
            scene.stored.remove(&(range, us));
        }
    }

    /// As one who looks whether these draws of holders serve: says so after the time that it takes. Who does not come
    /// keeps still, and its machine waits for an end that does not come.
    pub(super) fn inspect(
        &mut self,
        range: RangeId,
        draw: u8,
        holders: &[(u8, u32)],
        scene: &Scene,
    ) {
        if self.sight == Sight::Absent {
            return;
        }
        let says = |number: u32| match self.sight {
            Sight::Looks => scene.stored.contains(&(range, number)),
            Sight::Vouches => true,
            Sight::Denies | Sight::Absent => false,
        };
        let served = holders.iter().filter(|(_, number)| says(*number));
        let bit = |of: &u8| 1_u16.checked_shl(u32::from(*of)).unwrap_or(0);
        let seen = served.fold(0_u16, |bits, (of, _)| bits | bit(of));
        let ends = scene.now + PIECE_TIME * holders.len() as u64;
        self.later.push((ends, Event::Inspected { range, draw, seen }));
    }

    /// As a client: what is missing now for so much to be free, within what it has set; the prices of a job stay what they are.
    pub(super) fn fund(
        &self,
        range: RangeId,
        due: u128,
        scene: &mut Scene,
    ) -> Result<Option<Event>, FarmError> {
        let (holders, job) = (scene.farm.addresses().holders, range.job.0);
        let keep = scene.farm.read(holders, &Holders::keptCall { jobId: job })?;
        let (deposit, reserved) = (keep.deposit.to::<u128>(), keep.reserved.to::<u128>());
        let amount = due.saturating_sub(deposit.saturating_sub(reserved));
        let fits = deposit.checked_add(amount).is_some_and(|after| after <= self.rules.most);
        if amount == 0 || !fits {
            return Ok(Some(Event::Ended { range, done: true }));
        }
        let prices = HoldPrices {
            maxMib: keep.maxMib,
            perMib: keep.perMib,
            perMibDay: keep.perMibDay,
            keepSeconds: keep.keepSeconds,
        };
        let amount = U96::saturating_from(amount);
        let call = Holders::fundCall { jobId: job, prices, amount };
        scene.send(self.me, self.who, holders, &call, What::Hold(range));
        Ok(None)
    }

    pub(super) fn close(&self, scene: &mut Scene) {
        let mut jobs = scene.public.jobs.iter();
        let found = jobs.find(|(_, facts)| facts.client == self.who && facts.terms.kept);
        let Some(job) = found.map(|(job, _)| *job) else { return };
        let holders = scene.farm.addresses().holders;
        let call = Holders::closeCall { jobId: job.0 };
        scene.send(self.me, self.who, holders, &call, What::Close(job));
    }
}
