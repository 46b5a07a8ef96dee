//! Watches over asks for holders, of ranges and of inputs: who may sign that it holds something, what that is paid,
//! when asks end, and how often something is held that nobody could fetch.

use alloy_primitives::Address;
use tilth_contracts::{HoldState, Holders};
use tilth_protocol::RangeId;
use tilth_verification::{
    arithmetic::ONE,
    draw::Purpose,
    holding::{ASKS, HOLDERS, INPUTS_AFTER_S, MOST_HELD, is_majority},
};

use super::{
    counts::Counts,
    deposits::Deposit,
    keeps::Keeps,
    kept::{Holder, LATE, Seen},
    public::range,
    sample::held,
    scene::Scene,
};

/// Largest inputs of a job that may be asked for, MiB: `Parameters.MOST_INPUTS_MIB`.
const MOST_INPUTS_MIB: u32 = 64 << 10;

/// When the job of these inputs ends, by its deadline; Unix seconds.
fn deadline(id: RangeId, scene: &Scene) -> u64 {
    scene.public.jobs.get(&id.job).map_or(0, |facts| facts.terms.deadline.to::<u64>())
}

/// An ask has come to this.
fn count(id: RangeId, state: HoldState, counts: &mut Counts) {
    let asks = if id.is_inputs() { &mut counts.inputs } else { &mut counts.holds };
    asks[usize::from(u8::from(state))] += 1;
}

impl Keeps {
    pub(super) fn ask(&mut self, e: &Holders::HoldAsked, time: u64, scene: &Scene) {
        let id = range(e.jobId, e.seq);
        self.pass(time);
        let (line, over_at) = (self.before.clone(), self.over.get(&id.job).copied());
        let deposit = self.deposits.entry(id.job).or_default();
        if id.is_inputs() {
            // There is no submission to go by, and their job may have been over before anybody asked.
            let seen = self.ranges.entry(id).or_insert_with(|| Seen::new(Vec::new(), 0));
            (seen.line, seen.over_at) = (line, over_at);
        }
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is asked for and was never handed in"));
        };
        let is_first = seen.state == HoldState::None;
        if is_first {
            let left = deadline(id, scene).saturating_sub(time);
            seen.fee =
                if id.is_inputs() { deposit.inputs_fee(e.mib, left) } else { deposit.fee(e.mib) };
        }
        let cost = Deposit::cost(seen.fee);
        let may = match seen.state {
            HoldState::None if id.is_inputs() => deposit.free() >= cost,
            HoldState::None => !deposit.is_waived(),
            HoldState::Again => {
                let is_smaller = e.mib < seen.mib && !id.is_inputs();
                seen.asked < ASKS && (e.mib == seen.mib || is_smaller)
            }
            _ => false,
        };
        if is_first {
            deposit.reserved += cost;
        } else if e.mib < seen.mib && !id.is_inputs() {
            // The votes that are still to come cost less.
            let fee = deposit.fee(e.mib);
            let left = (HOLDERS + MOST_HELD).saturating_sub(seen.votes()) as u128;
            deposit.reserved -= (left * seen.fee.saturating_sub(fee)).min(deposit.reserved);
            seen.fee = fee;
        }
        let reserved = e.reserved.to::<u128>();
        let is_due = seen.over_at.is_none() && time >= seen.window_end;
        let provider = scene.public.ranges.get(&id).map_or(Address::ZERO, |facts| facts.provider);
        let most = deposit.prices.map_or(0, |prices| prices.max_mib);
        let most = if id.is_inputs() { MOST_INPUTS_MIB } else { most };
        let is_ours = e.provider == provider && (1..=most).contains(&e.mib);
        // Else whoever asks could choose among its holders.
        let is_unknown = e.round > self.block;
        let is_counted = reserved == deposit.reserved && e.asked == seen.asked + 1;
        if !may || !is_due || !is_ours || !is_unknown || !is_counted {
            let text = format!("{e:?} at {time}, after {seen:?}, out of {deposit:?}");
            self.faults.push(text);
        }
        seen.spent = seen.votes();
        (seen.state, seen.asked, seen.asked_at) = (HoldState::Asked, e.asked, time);
        (seen.round, seen.mib, seen.from, seen.bits) = (e.round, e.mib, 0, 0);
    }

    /// Whom the draws of a content's ask name; nobody, if the beacon is not known.
    fn named(&self, id: RangeId, scene: &Scene) -> Vec<u32> {
        let Some(seen) = self.ranges.get(&id) else { return Vec::new() };
        self.drawn(id, (seen.round, seen.line.as_slice()), (Purpose::Holder, HOLDERS), scene)
    }

    /// The chance that enough of a content's draws sign, billionths.
    fn chance(&self, id: RangeId, scene: &Scene) -> u32 {
        let Some(seen) = self.ranges.get(&id) else { return 0 };
        let (out, service) = (Self::out(id, scene), scene.service(id));
        let stake = |all: bool| -> u128 {
            let people = self.people.iter().zip(&seen.line);
            let counted = people
                .filter(|(one, _)| !out.contains(&Some(one.who)) && (all || one.signs(service)));
            counted.map(|(_, stake)| *stake).sum()
        };
        let share = stake(false) * u128::from(ONE.0) / stake(true).max(1);
        held(u32::try_from(share).unwrap_or(ONE.0))
    }

    pub(super) fn draw(&mut self, id: RangeId, time: u64, scene: &Scene) {
        let (named, chance) = (self.named(id, scene), self.chance(id, scene));
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} has holders and was never handed in"));
        };
        let is_asked = seen.state == HoldState::Asked && time <= seen.asked_at + LATE;
        if !is_asked || named.is_empty() {
            self.faults.push(format!("holders of {id} are drawn at {time}, after {seen:?}"));
        }
        (seen.state, seen.from) = (HoldState::Open, time);
        (seen.named, seen.chance) = (named, chance);
    }

    pub(super) fn sign(&mut self, e: &Holders::Held, time: u64, scene: &Scene) {
        let id = range(e.jobId, e.seq);
        let service = scene.service(id);
        // Nobody unstakes in a world: without stake is who has lost it.
        let signs = |one: &Holder| one.signs(service) && one.stake != 0;
        let is_kept = self.holder(e.number).is_some_and(signs);
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is signed for and was never handed in"));
        };
        let (place, fee) = (usize::from(e.draw), e.fee.to::<u128>());
        let bit = 1_u16.checked_shl(e.draw.into()).unwrap_or(0);
        let is_open = seen.state == HoldState::Open && seen.over_at.is_none();
        let may = is_open && place < seen.open(time) && seen.bits & bit == 0;
        let is_named = seen.named.get(place) == Some(&e.number);
        if !may || !is_named || !is_kept || fee != seen.fee {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}, out of {deposit:?}"));
        }
        seen.bits |= bit;
        deposit.pay(fee);
        self.earn(id.job, e.number, fee, scene);
    }

    pub(super) fn hold(
        &mut self,
        e: &Holders::RangeHeld,
        time: u64,
        scene: &Scene,
        counts: &mut Counts,
    ) {
        let id = range(e.jobId, e.seq);
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is held and was never handed in"));
        };
        let kept = deposit.prices.map_or(0, |prices| prices.keep_seconds);
        let until = if id.is_inputs() {
            // Until the longest case about a range that is claimed at the deadline is over.
            deadline(id, scene).max(time) + u64::from(INPUTS_AFTER_S)
        } else {
            time + u64::from(kept)
        };
        let is_enough = is_majority(seen.votes(), seen.open(time)) && e.bits == seen.bits;
        let is_right = e.until.to::<u64>() == until;
        if seen.state != HoldState::Open || !is_enough || !is_right {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}"));
        }
        deposit.release(seen.fee, seen.spent + seen.votes(), seen.votes());
        (seen.state, seen.until) = (HoldState::Held, until);
        count(id, HoldState::Held, counts);
        counts.held.add(seen.chance, true);
    }

    pub(super) fn fail(
        &mut self,
        e: &Holders::HoldFailed,
        time: u64,
        scene: &Scene,
        counts: &mut Counts,
    ) {
        let id = range(e.jobId, e.seq);
        let is_due = self.losses.are_due(id, e.cut, scene);
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is not held and was never handed in"));
        };
        let state = HoldState::try_from(e.state).unwrap_or(HoldState::None);
        // A range that is lost was rejected just before.
        let is_over = seen.over_at.is_some() && (id.is_inputs() || state == HoldState::Again);
        let has_failed = !is_over && seen.has_run_out(time);
        let is_right = match state {
            HoldState::Again => seen.asked < ASKS && has_failed && e.cut == 0,
            HoldState::Lost => seen.asked == ASKS && has_failed && is_due,
            HoldState::Dropped => {
                let over_at = seen.over_at.filter(|_| seen.state.is_open());
                // Who gives up its inputs when others have come twice pays as if they were lost.
                let is_fined = id.is_inputs() && seen.asked == ASKS;
                let is_cut = if is_fined { is_due } else { e.cut == 0 };
                over_at.is_some_and(|at| time <= at + LATE) && is_cut
            }
            _ => false,
        };
        if !is_right {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}"));
        }
        if state != HoldState::Dropped && seen.state == HoldState::Open {
            counts.held.add(seen.chance, false);
            if seen.chance == ONE.0 {
                self.faults.push(format!("{id} is not held, and all could sign: {seen:?}"));
            }
        }
        if state != HoldState::Again {
            deposit.release(seen.fee, seen.spent + seen.votes(), 0);
        }
        if id.is_inputs() {
            deposit.burned += e.cut;
        }
        seen.state = state;
        count(id, state, counts);
    }
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;
