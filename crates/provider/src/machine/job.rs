//! One job as this provider sees it: its terms, what is still to be had, and how far we are with it.

use std::collections::{BTreeMap, BTreeSet};

use tilth_protocol::Price;

use super::{
    effect::Unfit,
    event::{Claim, Millis, Pace, Terms},
    line::Line,
    rules::Rules,
};

/// How far we are with a job's program and inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing fetched; not before the given time.
    Seen { not_before: Millis },
    /// On its way.
    Fetching,
    /// Compiled; tasks can be run.
    Ready,
}

/// Why we are not asking for ranges of a job for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// Until a time.
    Until(Millis),
    /// Until its inputs may be held, which is looked at then.
    Inputs(Millis),
    /// Until tasks come back.
    Work,
    /// Until escrow comes back or is added.
    Funds,
    /// Until some work of ours, in any job, is settled, or a time: there may be room for another reason.
    Settlement(Millis),
}

/// A range that has been given out and not been submitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub from: u32,
    pub count: u32,
    pub at: Millis,
    pub mine: bool,
}

/// Most open ranges of others that are remembered per job, to expire them when they are late.
const MAX_OPEN: usize = 16_384;

#[derive(Debug)]
pub(super) struct Job {
    pub terms: Terms,
    pub phase: Phase,
    pub fetch_failures: u32,
    pub unfit: Option<Unfit>,
    pub closed: bool,
    /// Drained by failures that an audit may still take back.
    pub halted: bool,
    pub sleep: Option<Sleep>,
    /// Times in a row that the chain could not be asked for a range, for the length of the next sleep.
    pub refusals: u32,
    /// Trial tasks in a row that failed, for the same.
    pub trials_failed: u32,
    pub asks: u32,
    pub calibrating: bool,
    pub speed: Option<Speed>,
    /// Ranges in a row that were given back because they killed the worker.
    pub strikes: u32,
    /// Ranges that we released, of which the contract forgives a few.
    pub releases: u32,
    pub settling: bool,
    pub settle_not_before: Millis,
    pub settle_failures: u32,
    pub expiring: bool,
    pub expire_not_before: Millis,
    pub expire_failures: u32,
    pub open: BTreeMap<u32, Open>,
    /// Of an audited job, what was delivered and may come back: first task and number.
    delivered: BTreeMap<u32, (u32, u32)>,
    /// Tasks in ranges that are claimed, submitted or settled.
    taken: u32,
    next: u32,
    requeued: BTreeMap<u32, u32>,
    /// Ranges of ours that were given or taken back. Few: the contract makes each cost something.
    ended: BTreeSet<u32>,
    /// Where we wait to be drawn as mates.
    pub line: Line,
}

/// What we know about our speed on a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    pub task_micros: u64,
    /// Base units earned per second of one slot; on the clock, at the cap.
    pub value: u128,
    pub load_micros: u64,
}

impl Job {
    pub(super) fn new(terms: Terms, rules: &Rules) -> Self {
        Self {
            terms,
            phase: Phase::Seen { not_before: 0 },
            fetch_failures: 0,
            unfit: rules.unfit(&terms),
            closed: false,
            halted: false,
            sleep: None,
            refusals: 0,
            trials_failed: 0,
            asks: 0,
            calibrating: false,
            speed: None,
            strikes: 0,
            releases: 0,
            settling: false,
            settle_not_before: 0,
            settle_failures: 0,
            expiring: false,
            expire_not_before: 0,
            expire_failures: 0,
            open: BTreeMap::new(),
            delivered: BTreeMap::new(),
            taken: 0,
            next: 0,
            requeued: BTreeMap::new(),
            ended: BTreeSet::new(),
            line: Line::default(),
        }
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.phase == Phase::Fetching
    }

    /// Remembers that a range is not ours any more.
    pub(super) fn end(&mut self, seq: u32) {
        self.ended.insert(seq);
    }

    /// Whether a range was ours and is not any more.
    pub(super) fn is_over(&self, seq: u32) -> bool {
        self.ended.contains(&seq)
    }

    /// Books a range as given out. Repeating it changes nothing.
    pub(super) fn book_claim(&mut self, claim: &Claim, mine: bool) {
        if self.open.contains_key(&claim.range.seq) {
            return;
        }
        if !mine && self.open.len() >= MAX_OPEN {
            self.open.retain(|_, open| open.mine);
        }
        let Claim { from, count, at, .. } = *claim;
        self.open.insert(claim.range.seq, Open { from, count, at, mine });
        self.taken = self.taken.saturating_add(count).min(self.terms.task_count);
        self.next = self.next.max(from.saturating_add(count));
        if let Some(piece) = self.requeued.remove(&from)
            && let Some(rest) = piece.checked_sub(count)
            && rest > 0
        {
            self.requeued.insert(from.saturating_add(count), rest);
        }
    }

    /// Books a range as delivered.
    pub(super) fn book_submission(&mut self, seq: u32) {
        let open = self.open.remove(&seq);
        if let Some(open) = open.filter(|_| self.terms.audited && self.delivered.len() < MAX_OPEN) {
            self.delivered.insert(seq, (open.from, open.count));
        }
    }

    /// Books a range as paid: its tasks do not come back.
    pub(super) fn book_settlement(&mut self, seq: u32) {
        self.delivered.remove(&seq);
    }

    /// Books a delivered range's tasks as to be had again.
    pub(super) fn book_rejection(&mut self, seq: u32) {
        if let Some((from, count)) = self.delivered.remove(&seq) {
            self.taken = self.taken.saturating_sub(count);
            self.requeued.insert(from, count);
        }
    }

    /// Books a range's tasks as to be had again.
    pub(super) fn book_return(&mut self, seq: u32) {
        if let Some(open) = self.open.remove(&seq) {
            self.taken = self.taken.saturating_sub(open.count);
            self.requeued.insert(open.from, open.count);
        }
    }

    /// Tasks that nobody holds, as far as the logs say.
    pub(super) fn remaining(&self) -> u32 {
        self.terms.task_count.saturating_sub(self.taken)
    }

    /// The task that is likely to be given out next, if any is left.
    pub(super) fn next_index(&self) -> Option<u32> {
        if self.remaining() == 0 {
            return None;
        }
        let requeued = self.requeued.last_key_value().map(|(from, _)| *from);
        requeued.or(Some(self.next)).map(|index| index.min(self.terms.task_count.saturating_sub(1)))
    }

    /// Books that nothing is given out any more; for good, unless an audit can take back why.
    pub(super) fn stop(&mut self) {
        if self.terms.audited {
            self.halted = true;
        } else {
            self.closed = true;
        }
    }

    /// Whether work on this job could be asked for, now or after a sleep.
    pub(super) fn is_open(&self, now: Millis) -> bool {
        !self.closed && !self.halted && self.unfit.is_none() && now < self.terms.deadline
    }

    /// What a unit pays now, as far as the logs say.
    pub(super) fn price(&self, now: Millis) -> Price {
        let Some((clock, start)) = self.terms.clock else { return self.terms.price };
        let elapsed = now.saturating_sub(start) / 1_000;
        clock.price(clock.level(elapsed, self.taken, self.terms.task_count))
    }

    /// When a unit pays at least `floor` if nobody claims before; 0 with a posted price.
    pub(super) fn pays_from(&self, floor: Price) -> Millis {
        let Some((clock, start)) = self.terms.clock else { return 0 };
        let Some(level) = clock.level_for(floor) else { return Millis::MAX };
        let second = clock.second_of(level, self.taken, self.terms.task_count);
        start.saturating_add(second.saturating_mul(1_000))
    }

    /// The least price of a unit that this provider takes: its floor, or what the work costs it, which is
    /// known once the job was calibrated. Rounded up.
    pub(super) fn floor(&self, rules: &Rules) -> Price {
        let Some(speed) = self.speed else { return rules.price_floor };
        let (cost, cap) = (rules.slot_cost_per_hour, self.terms.price.0);
        // Units per hour are the hour's earnings at the cap, by the cap.
        let hour = speed.value.saturating_mul(3_600).max(1);
        let exact = cost.checked_mul(cap).map(|product| product.div_ceil(hour));
        let unit = exact.unwrap_or_else(|| cost.div_ceil(hour).saturating_mul(cap));
        Price(unit).max(rules.price_floor)
    }

    /// Base units that a second of one slot earns at the price of now, once that is known.
    pub(super) fn worth(&self, now: Millis) -> Option<u128> {
        let (value, cap) = (self.speed?.value, self.terms.price.0.max(1));
        if self.terms.clock.is_none() {
            return Some(value);
        }
        // The value was reckoned at the cap.
        let price = self.price(now).0;
        let exact = value.checked_mul(price).map(|product| product / cap);
        Some(exact.unwrap_or_else(|| (value / cap).saturating_mul(price)))
    }

    /// When it can be forgotten if we have nothing to do with it any more.
    pub(super) fn ends(&self) -> Millis {
        if self.closed || self.unfit.is_some() { 0 } else { self.terms.deadline }
    }

    /// Learns from a measurement; the past keeps three quarters of the weight.
    pub(super) fn learn(&mut self, pace: Pace) {
        let tasks = u64::from(pace.tasks.max(1));
        let micros = (pace.micros / tasks).max(1);
        let value = value_per_second(self.terms.price, pace.units, pace.micros.max(1));
        self.speed = Some(match self.speed {
            None => Speed { task_micros: micros, value, load_micros: pace.load_micros },
            Some(old) => Speed {
                task_micros: blend(u128::from(old.task_micros), u128::from(micros))
                    .try_into()
                    .unwrap_or(u64::MAX),
                value: blend(old.value, value),
                load_micros: old.load_micros.max(pace.load_micros),
            },
        });
    }
}

fn blend(old: u128, new: u128) -> u128 {
    (old / 4).saturating_mul(3).saturating_add(new / 4).max(1)
}

fn value_per_second(price: Price, units: u64, micros: u64) -> u128 {
    let value = price.0.saturating_mul(u128::from(units));
    // Prices above 2^96 do not exist, so only absurd unit counts saturate.
    value.saturating_mul(1_000_000) / u128::from(micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tilth_protocol::{Clock, JobId, RangeId};

    use super::*;
    use crate::machine::sample;

    fn claim(seq: u32, from: u32, count: u32) -> Claim {
        Claim { range: RangeId { job: JobId(1), seq }, from, count, at: 0 }
    }

    #[test]
    fn a_returned_piece_is_offered_before_fresh_tasks_and_its_rest_stays() {
        let mut job = Job::new(sample::terms(100), &sample::rules(1));
        assert_eq!(job.next_index(), Some(0));
        job.book_claim(&claim(0, 0, 10), false);
        job.book_claim(&claim(1, 10, 10), true);
        assert_eq!((job.remaining(), job.next_index()), (80, Some(20)));
        job.book_return(0);
        assert_eq!((job.remaining(), job.next_index()), (90, Some(0)));
        job.book_claim(&claim(2, 0, 4), false);
        assert_eq!((job.remaining(), job.next_index()), (86, Some(4)));
        job.book_claim(&claim(2, 0, 4), false);
        assert_eq!(job.remaining(), 86, "a repeated log is booked once");
    }

    #[test]
    fn on_the_clock_pay_and_worth_follow_the_schedule() {
        let clock = Clock { floor: Price(100), cap: Price(1_000), finish_s: 8_000 };
        let terms =
            Terms { price: clock.cap, clock: Some((clock, sample::START)), ..sample::terms(1_000) };
        let mut job = Job::new(terms, &sample::rules(1));
        job.learn(Pace { tasks: 10, units: 1_000, micros: 1_000_000, load_micros: 0 });
        let at = |seconds: u64| sample::START + seconds * 1_000;
        assert_eq!((job.price(at(0)), job.worth(at(0))), (Price(100), Some(100_000)));
        assert_eq!((job.price(at(1_000)), job.worth(at(1_000))), (Price(1_000), Some(1_000_000)));
        let when = job.pays_from(Price(300));
        assert!(job.price(when) >= Price(300) && job.price(when - 1_000) < Price(300));
        job.book_claim(&claim(0, 0, 100), false);
        assert_eq!(job.price(at(700)), Price(100), "what others claim lowers it");
        assert_eq!(job.pays_from(Price(300)), when + 700_000);
        assert_eq!(job.pays_from(Price(1_001)), Millis::MAX);
    }

    #[test]
    fn work_must_pay_for_its_electricity() {
        let mut job = Job::new(sample::terms(100), &sample::rules(1));
        // 0.3 kW for 0.25 of a coin per kWh; an hour is 3,600,000 units at this pace.
        let rules = Rules { slot_cost_per_hour: 75_000_000, ..sample::rules(1) };
        assert_eq!(job.floor(&rules), Price(10), "not known before the calibration");
        job.learn(Pace { tasks: 1, units: 1_000, micros: 1_000_000, load_micros: 0 });
        assert_eq!(job.floor(&rules), Price(21), "75 of 3.6, rounded up");
        assert_eq!(job.floor(&sample::rules(1)), Price(10), "who pays nothing asks for the floor");
        let dear = Rules { slot_cost_per_hour: u128::MAX, ..sample::rules(1) };
        assert!(job.floor(&dear) > Price(tilth_protocol::amount::MAX_PRICE));
    }

    #[test]
    fn speed_follows_measurements_slowly() {
        let mut job = Job::new(sample::terms(100), &sample::rules(1));
        let pace = |micros| Pace { tasks: 10, units: 1_000, micros, load_micros: 5 };
        job.learn(pace(10_000));
        let first = job.speed.unwrap();
        assert_eq!(first.task_micros, 1_000);
        job.learn(pace(20_000));
        let second = job.speed.unwrap();
        assert_eq!(second.task_micros, 1_250);
        assert!(second.value < first.value);
    }

    proptest! {
        #[test]
        fn at_the_floor_an_hour_earns_what_it_costs(
            cost in 0_u128..1 << 90,
            price in 1_u128..1 << 60,
            units in 1_u64..1 << 40,
            micros in 1_u64..1 << 40,
        ) {
            let mut job =
                Job::new(Terms { price: Price(price), ..sample::terms(1) }, &sample::rules(1));
            let rules = Rules { slot_cost_per_hour: cost, price_floor: Price(0), ..sample::rules(1) };
            job.learn(Pace { tasks: 1, units, micros, load_micros: 0 });
            // Times micros, so that nothing is rounded on this side.
            let earned = job.floor(&rules).0.saturating_mul(u128::from(units)).saturating_mul(3_600_000_000);
            prop_assert!(earned >= cost.saturating_mul(u128::from(micros)).min(u128::MAX / 2));
        }

        #[test]
        fn remaining_is_what_is_neither_open_nor_submitted(
            moves in proptest::collection::vec((0_u32..20, 0_u8..3), 0..60)
        ) {
            let mut job = Job::new(sample::terms(20 * 5), &sample::rules(1));
            let mut state = [0_u8; 20];
            for (seq, what) in moves {
                let slot = &mut state[seq as usize];
                match (what, *slot) {
                    (0, 0) => { job.book_claim(&claim(seq, seq * 5, 5), false); *slot = 1; }
                    (1, 1) => { job.book_return(seq); *slot = 0; }
                    (2, 1) => { job.book_submission(seq); *slot = 2; }
                    _ => {}
                }
            }
            let taken: u32 = state.iter().map(|state| u32::from(*state > 0)).sum();
            prop_assert_eq!(job.remaining(), 100 - taken * 5);
        }
    }
}
