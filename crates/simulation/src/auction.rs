//! One job and its bidders, second by second, on the real contracts.
//!
//! A second is a block. In it everybody acts once, in an order drawn anew: whoever is done hands in,
//! whoever is free and likes the price in force claims. The price is reckoned here from what was
//! unclaimed when the second began, and compared with what the contract pays.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, address, aliases::U96};
use alloy_sol_types::{SolEvent, SolInterface};
use tilth_contracts::{JobBook, JobBook::JobBookErrors, Refusal, Terms};
use tilth_protocol::{Clock, Price};

use crate::{
    bidders::{Bidder, Crowd, draw},
    farm::{Farm, FarmError, START},
    random::Random,
};

const CLIENT: Address = address!("0x00000000000000000000000000000000000c0000");
/// Units of every task, and its cap.
pub const UNITS_PER_TASK: u64 = 100;
/// Seconds that a range should take.
const TARGET_S: u16 = 60;
/// Ranges that the client acknowledges in one transaction.
const BATCH: usize = 200;
/// The client gives up after so many times the finish time.
const PATIENCE: u64 = 2;

/// How the price is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One price per unit, base units.
    Posted(u128),
    /// The clock; its finish is the auction's.
    Clock {
        /// Base units per unit.
        floor: u128,
        /// Base units per unit.
        cap: u128,
    },
}

/// A job to be auctioned.
#[derive(Clone, Debug)]
pub struct Auction {
    /// Decides machines, manners and the order in every block.
    pub seed: u64,
    /// Providers, with one slot each.
    pub bidders: u64,
    /// Tasks, each of [`UNITS_PER_TASK`] units.
    pub tasks: u32,
    /// Seconds until the client wants it done.
    pub finish_s: u32,
    /// Tasks in a thousand seconds of the slowest machine; the fastest is ten times as fast.
    pub slowest: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Paid by the client, with the fee; base units.
    pub paid: u128,
    /// Tasks that were done, of the job's.
    pub done: u32,
    /// Tasks that were done by the finish time.
    pub in_time: u32,
    /// Seconds from opening to the last submission.
    pub ended_s: u64,
    /// Ranges that were claimed.
    pub ranges: u32,
    /// The lowest price of a range.
    pub lowest: u128,
    /// The highest.
    pub highest: u128,
    /// Gas of the job: all calls from opening to finish.
    pub gas: u64,
}

impl Outcome {
    /// Paid per unit, on average.
    pub fn price(&self) -> u128 {
        self.paid / (u128::from(self.done) * u128::from(UNITS_PER_TASK)).max(1)
    }
}

/// A range in work.
#[derive(Clone, Copy, Debug)]
struct Held {
    seq: u32,
    count: u32,
    until: u64,
}

impl Auction {
    /// The machines, with the manners of a crowd.
    pub fn draw(&self, crowd: &Crowd) -> Vec<Bidder> {
        draw(self.seed, self.bidders, self.slowest, crowd)
    }

    /// Holds it.
    ///
    /// # Errors
    /// [`FarmError`]: the contracts did what they should not.
    pub fn hold(&self, rule: Rule, crowd: &Crowd) -> Result<Outcome, FarmError> {
        let cap = match rule {
            Rule::Posted(price) => price,
            Rule::Clock { cap, .. } => cap,
        };
        let value = u128::from(self.tasks) * u128::from(UNITS_PER_TASK) * cap;
        let mut farm = Farm::new()?;
        // Stake bounds nobody here; what it does is tested elsewhere.
        let bidders = self.draw(crowd);
        for bidder in &bidders {
            farm.register(bidder.account, 1, value)?;
        }
        farm.fund(CLIENT, value)?;
        let book = farm.addresses().job_book;
        let before = farm.gas;
        let open = JobBook::openCall { terms: self.terms(rule, cap), funds: value };
        let job = farm.send(CLIENT, book, &open)?.0;
        let hall = Hall {
            farm,
            job,
            book,
            clock: self.clock(rule),
            cap,
            tasks: self.tasks,
            unclaimed: self.tasks,
            held: vec![None; bidders.len()],
            unpaid: BTreeMap::new(),
            outcome: Outcome { lowest: u128::MAX, ..Outcome::default() },
        };
        self.run(hall, &bidders, value, before)
    }

    fn clock(&self, rule: Rule) -> Option<Clock> {
        let Rule::Clock { floor, cap } = rule else { return None };
        Some(Clock { floor: Price(floor), cap: Price(cap), finish_s: self.finish_s })
    }

    fn terms(&self, rule: Rule, cap: u128) -> Terms {
        let clock = self.clock(rule);
        Terms {
            specHash: B256::repeat_byte(1),
            taskCount: self.tasks,
            unitCap: UNITS_PER_TASK,
            prepareCap: 0,
            price: U96::saturating_from(cap),
            floorPrice: U96::saturating_from(clock.map_or(0, |clock| clock.floor.0)),
            finishSeconds: clock.map_or(0, |clock| clock.finish_s),
            window: 3_600,
            rangeTimeout: 3_600,
            targetSeconds: TARGET_S,
            parallelism: u16::try_from(self.bidders).unwrap_or(u16::MAX),
            firstRange: 1,
            deadline: U256::from(START + 100 * u64::from(self.finish_s)).to(),
            maxFailures: 0,
            requiredClass: 0,
            minVramMib: 0,
            afterJob: 0,
            audited: false,
            replicas: 0,
            kept: false,
            callback: Address::ZERO,
            program: B256::repeat_byte(2),
            contact: Bytes::new(),
        }
    }

    fn run(
        &self,
        mut hall: Hall,
        bidders: &[Bidder],
        value: u128,
        gas_before: u64,
    ) -> Result<Outcome, FarmError> {
        let mut order: Vec<usize> = (0..bidders.len()).collect();
        let mut random = Random::new(self.seed ^ 0x0b1d);
        let last = PATIENCE * u64::from(self.finish_s);
        for second in 0..=last {
            hall.farm.now = START + second;
            let price = hall.price(second);
            let unclaimed = hall.unclaimed;
            random.shuffle(&mut order);
            for number in &order {
                let bidder = &bidders[*number];
                hall.hand_in(*number, bidder, second)?;
                let reserve = bidder.reserve(unclaimed, self.tasks);
                if hall.held[*number].is_none() && hall.unclaimed > 0 && reserve <= price {
                    hall.claim(*number, bidder, reserve, price, second)?;
                }
            }
            if second == u64::from(self.finish_s) {
                hall.outcome.in_time = hall.outcome.done;
            }
            if hall.unclaimed == 0 && hall.held.iter().all(Option::is_none) {
                break;
            }
        }
        if hall.outcome.ended_s <= u64::from(self.finish_s) {
            hall.outcome.in_time = hall.outcome.done;
        }
        hall.close(bidders, value, gas_before)
    }
}

/// A job while it is auctioned.
struct Hall {
    farm: Farm,
    job: u64,
    book: Address,
    clock: Option<Clock>,
    cap: u128,
    tasks: u32,
    unclaimed: u32,
    held: Vec<Option<Held>>,
    /// Submitted ranges by provider, so that a batch pays few providers.
    unpaid: BTreeMap<usize, Vec<u32>>,
    outcome: Outcome,
}

impl Hall {
    fn price(&self, second: u64) -> u128 {
        let taken = self.tasks - self.unclaimed;
        self.clock.map_or(self.cap, |clock| clock.price(clock.level(second, taken, self.tasks)).0)
    }

    fn claim(
        &mut self,
        number: usize,
        bidder: &Bidder,
        reserve: u128,
        price: u128,
        second: u64,
    ) -> Result<(), FarmError> {
        let call = JobBook::claimCall {
            jobId: self.job,
            want: u32::MAX,
            minPrice: U96::saturating_from(reserve),
        };
        let (given, logs) = match self.farm.send(bidder.account, self.book, &call) {
            Err(FarmError::Refused { data, .. }) if is_passing(&data) => return Ok(()),
            other => other?,
        };
        let claimed = logs.iter().find_map(|log| JobBook::RangeClaimed::decode_log(log).ok());
        let contract = claimed.map_or(0, |log| log.price.to::<u128>());
        if contract != price {
            return Err(FarmError::ClocksDiffer { contract, clock: price });
        }
        self.outcome.ranges += 1;
        self.outcome.lowest = self.outcome.lowest.min(price);
        self.outcome.highest = self.outcome.highest.max(price);
        self.unclaimed -= given.count;
        let until = second + bidder.seconds(given.count);
        self.held[number] = Some(Held { seq: given.seq, count: given.count, until });
        Ok(())
    }

    fn hand_in(&mut self, number: usize, bidder: &Bidder, second: u64) -> Result<(), FarmError> {
        let Some(held) = self.held[number].filter(|held| held.until <= second) else {
            return Ok(());
        };
        let call = JobBook::submitCall {
            jobId: self.job,
            seq: held.seq,
            root: B256::repeat_byte(3),
            units: u64::from(held.count) * UNITS_PER_TASK,
            failures: 0,
            contentHash: B256::ZERO,
        };
        self.farm.send(bidder.account, self.book, &call)?;
        self.held[number] = None;
        self.unpaid.entry(number).or_default().push(held.seq);
        self.outcome.done += held.count;
        self.outcome.ended_s = second;
        Ok(())
    }

    /// Waits for what is still in work, pays for everything and ends the job.
    fn close(
        mut self,
        bidders: &[Bidder],
        value: u128,
        gas_before: u64,
    ) -> Result<Outcome, FarmError> {
        if self.unclaimed > 0 {
            self.farm.send(CLIENT, self.book, &JobBook::cancelCall { jobId: self.job })?;
        }
        let last = self.held.iter().flatten().map(|held| held.until).max().unwrap_or(0);
        self.farm.now = self.farm.now.max(START + last);
        for (number, bidder) in bidders.iter().enumerate() {
            self.hand_in(number, bidder, last)?;
        }
        let seqs: Vec<u32> = std::mem::take(&mut self.unpaid).into_values().flatten().collect();
        for batch in seqs.chunks(BATCH) {
            let call = JobBook::acknowledgeCall { jobId: self.job, seqs: batch.to_vec() };
            self.farm.send(CLIENT, self.book, &call)?;
        }
        self.farm.send(CLIENT, self.book, &JobBook::finishCall { jobId: self.job })?;
        self.outcome.gas = self.farm.gas - gas_before;
        self.outcome.paid = value.saturating_sub(self.farm.money(CLIENT)?);
        Ok(self.outcome)
    }
}

/// Whether a refused claim may be tried again in the next block. Nothing else may be refused here.
fn is_passing(data: &[u8]) -> bool {
    match JobBookErrors::abi_decode(data) {
        Ok(JobBookErrors::ClaimRefused(refused)) => {
            Refusal::try_from(refused.why).is_ok_and(Refusal::may_pass)
        }
        _ => false,
    }
}
