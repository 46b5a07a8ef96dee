//! Watches over those who look whether holders serve: who may look, what that is paid, what each says, and who has
//! its second half for it; and how often those have it who deserve it, and those who do not.

use tilth_contracts::{HoldState, Spots};
use tilth_protocol::RangeId;
use tilth_verification::{
    arithmetic::ONE,
    draw::Purpose,
    holding::{HOLDERS, SPOT_DUE_S, SPOT_TIME_S, SPOTTERS, is_majority, served},
};

use super::{
    cast::least_fee,
    counts::Counts,
    keeps::Keeps,
    kept::{Holder, Seen},
    public::range,
    sample::seen_chance,
    scene::Scene,
};

/// What was seen of a look at the holders of a content.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// When those who look were called for, by the chain's clock, seconds; 0: not.
    pub(super) called: u64,
    round: u64,
    /// Stakes of all auditors in the second before that.
    pub(super) line: Vec<u128>,
    /// Whom the draws name; empty before the first of them has said something.
    named: Vec<u32>,
    bits: u8,
    /// By how many each draw of holders was seen, 4 bits each.
    by: u64,
    pub(super) over: bool,
}

impl Look {
    fn votes(&self) -> usize {
        self.bits.count_ones() as usize
    }

    /// The last second in which they may say what they have seen.
    fn end(&self) -> u64 {
        self.called.saturating_sub(1) + SPOT_TIME_S
    }
}

/// The draws of holders that are in `bits`.
fn draws(bits: u16) -> impl Iterator<Item = usize> {
    (0..HOLDERS).filter(move |draw| bits >> draw & 1 == 1)
}

impl Keeps {
    /// Those who look are called for: when the time is over for which it is kept, or its job, and not much later.
    pub(super) fn call(&mut self, e: &Spots::SpotAsked, time: u64) {
        let id = range(e.jobId, e.seq);
        self.pass(time);
        let (line, is_unknown) = (self.before.clone(), e.round > self.block);
        let is_done = self.done.contains(&id.job);
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("holders of {id} are looked at that it has not"));
        };
        let is_over = time > seen.until || id.is_inputs() && is_done;
        let is_due = seen.state == HoldState::Held && is_over && time <= seen.until + SPOT_DUE_S;
        let is_new = seen.look.called == 0 && !seen.look.over && is_unknown;
        seen.look = Look { called: time, round: e.round, line, ..Look::default() };
        if !is_due || !is_new || e.until.to::<u64>() != seen.look.end() {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}"));
        }
    }

    /// Draws of a content's holders that have signed and still have it, by what their people are.
    fn serving(&self, seen: &Seen) -> u16 {
        let serves = |draw: &usize| {
            let number = seen.named.get(*draw);
            number.and_then(|number| self.holder(*number)).is_some_and(Holder::serves)
        };
        draws(seen.bits).filter(serves).fold(0, |bits, draw| bits | 1_u16 << draw)
    }

    /// One who was drawn says what it has seen.
    pub(super) fn spot(&mut self, e: &Spots::Spotted, time: u64, scene: &Scene) {
        let id = range(e.jobId, e.seq);
        let Some(seen) = self.ranges.get(&id) else {
            return self.faults.push(format!("holders of {id} are seen that it has not"));
        };
        let look = &seen.look;
        let named = if look.named.is_empty() {
            self.drawn(id, (look.round, look.line.as_slice()), (Purpose::Spot, SPOTTERS), scene)
        } else {
            look.named.clone()
        };
        let serving = self.serving(seen);
        // Of each draw that has signed it says what it is like to say, and without stake it has no vote.
        let says = |one: &Holder, draw: usize| {
            one.says(serving >> draw & 1 == 1) == Some(e.seen >> draw & 1 == 1)
        };
        let one = self.holder(e.number).filter(|one| one.stake != 0);
        let is_honest = one.is_some_and(|one| draws(seen.bits).all(|draw| says(one, draw)));
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else { return };
        let place = usize::from(e.draw);
        let bit = 1_u8.checked_shl(e.draw.into()).unwrap_or(0);
        let look = &mut seen.look;
        let may = look.called != 0 && !look.over && time <= look.end() && look.bits & bit == 0;
        let is_named = place < SPOTTERS && named.get(place) == Some(&e.number);
        let is_signed = e.seen & !seen.bits == 0;
        let is_fee = e.fee.to::<u128>() == least_fee();
        (look.named, look.bits) = (named, look.bits | bit);
        look.by += draws(e.seen).map(|draw| 1_u64 << (4 * draw)).sum::<u64>();
        deposit.pay(e.fee.to::<u128>());
        if !may || !is_named || !is_signed || !is_honest || !is_fee {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}, who serve: {serving:b}"));
        }
        self.earn(id.job, e.number, e.fee.to::<u128>(), scene);
    }

    /// The chance, billionths, that one is seen to serve who does, or who does not.
    fn chance_of(&self, id: RangeId, look: &Look, serves: bool, scene: &Scene) -> u32 {
        let out = Self::out(id, scene);
        let stake = |what: Option<bool>| -> u128 {
            let line = self.people.iter().zip(&look.line);
            let of = line.filter(|(one, _)| !out.contains(&Some(one.who)));
            of.filter(|(one, _)| what.is_none() || one.says(serves) == what)
                .map(|(_, stake)| *stake)
                .sum()
        };
        let share = |what: bool| {
            let share = stake(Some(what)) * u128::from(ONE.0) / stake(None).max(1);
            u32::try_from(share).unwrap_or(ONE.0)
        };
        seen_chance(share(true), share(false))
    }

    /// Whoever was seen has its second half: when the time of those who look is over, and not with the last vote.
    pub(super) fn conclude(
        &mut self,
        e: &Spots::SpotOver,
        time: u64,
        scene: &Scene,
        counts: &mut Counts,
    ) {
        let id = range(e.jobId, e.seq);
        let Some(held) = self.ranges.get(&id) else {
            return self.faults.push(format!("holders of {id} were looked at that it has not"));
        };
        let (look, serving) = (&held.look, self.serving(held));
        let (votes, was_called) = (look.votes(), look.called != 0);
        let chances = [true, false].map(|serves| self.chance_of(id, look, serves, scene));
        let end = if was_called { look.end() } else { held.until + SPOT_DUE_S };
        let may = held.state == HoldState::Held && !look.over;
        let is_time = time > end;
        let is_right = e.served == served(look.by, votes) && e.fee.to::<u128>() == held.fee;
        // Whoever has something coming to it calls for those who look.
        let is_called = was_called || serving == 0;
        // All of a kind are seen by the same ones.
        let of = [serving, held.bits & !serving];
        let is_even = of.iter().all(|all| [0, *all].contains(&(e.served & all)));
        let is_sure = e.served & serving == serving || chances[0] != ONE.0;
        if !may || !is_time || !is_right || !is_called || !is_even || !is_sure {
            let text = format!("{e:?} at {time}, after {held:?}, who serve: {serving:b}");
            self.faults.push(text);
        }
        counts.spots[usize::from(is_majority(votes, SPOTTERS))] += 1;
        let samples = [&mut counts.served, &mut counts.unserved];
        for ((sample, all), chance) in samples.into_iter().zip(of).zip(chances) {
            if was_called && all != 0 {
                sample.add(chance, e.served & all == all);
            }
        }
        let Some(held) = self.ranges.get_mut(&id) else { return };
        held.look.over = true;
        let (fee, halves) = (held.fee, (held.votes(), e.served.count_ones() as usize));
        // Who is not named has the number of nobody.
        let paid = draws(e.served).map(|draw| held.named.get(draw).copied().unwrap_or(0));
        let paid: Vec<u32> = paid.collect();
        self.deposits.entry(id.job).or_default().conclude(fee, halves, votes);
        for number in paid {
            self.earn(id.job, number, fee, scene);
        }
    }
}

#[cfg(test)]
#[path = "spots_tests.rs"]
mod tests;
