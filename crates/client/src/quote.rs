//! What a job is likely to cost and when it is likely to end, from work that was settled lately.
//!
//! The contracts keep no statistics: every settled range is in the events already, and reading them
//! costs nobody gas. Work of the same program is preferred (`JobOpened` is indexed by it), because a
//! unit of one program is not a unit of another; without any, the latest jobs of the chain stand in.
//!
//! What was paid is a fact, but anybody can pay himself, for the fee: a quote is advice, and nothing
//! in the protocol follows it.

use std::collections::BTreeMap;

use alloy::{
    primitives::U256,
    rpc::types::{Filter, Log},
    sol_types::{SolEvent, SolEventInterface},
};
use serde::{Serialize, Serializer};
use tilth_contracts::{JobBook, JobBook::JobBookEvents};
use tilth_protocol::{Amount, Clock, ContentHash, Price, Units, clock::TOP};
use tilth_service::Doing;

use crate::{ChainError, Jobs, Link, job_file::PreparedJob};

/// Most jobs that are looked at, newest first.
const MAX_JOBS: usize = 16;
/// Settled ranges after which no further job is looked at.
const ENOUGH_RANGES: usize = 2_000;

/// One settled range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Paid per unit.
    pub price: Price,
    /// Its units.
    pub units: u64,
    /// Its tasks.
    pub tasks: u32,
    /// From its claim to its submission, seconds.
    pub seconds: u64,
    /// When it was submitted, Unix seconds.
    pub at: u64,
}

/// What was paid and done lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Going {
    /// Whether all of it is work of the program that was asked about.
    pub same_program: bool,
    /// Jobs it comes from.
    pub jobs: usize,
    /// Settled ranges it comes from.
    pub ranges: usize,
    /// Their tasks.
    pub tasks: u64,
    /// Their units.
    pub units: u64,
    /// A quarter of the units cost at most this.
    pub low: Price,
    /// Half of the units cost at most this.
    pub median: Price,
    /// Three quarters of the units cost at most this.
    pub high: Price,
    /// Units of one slot in a second, half of the ranges being faster; at least 1.
    pub slot_rate: u64,
    /// When the oldest of the ranges was submitted, Unix seconds.
    pub oldest_at: u64,
    /// When the newest was.
    pub newest_at: u64,
}

/// What is expected of one way to find the price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// Per unit; `None` when nothing is known, or when less is offered than was paid lately.
    pub price: Option<Price>,
    /// The clock, if it is one.
    #[serde(serialize_with = "terms_of", skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// What the job is likely to cost, to all providers of its ranges, with the protocol fee, which they bear.
    pub cost: Option<Amount>,
    /// The most it can cost unless it is topped up ([`Jobs::usual_funds`]): all tasks at their caps and a prepare phase
    /// for as many ranges as are likely, at the highest price. More ranges than that find the escrow empty.
    pub most_cost: Option<Amount>,
    /// Seconds from opening to the last submission.
    pub finish_s: Option<u64>,
}

/// A clock as programs read it; prices in base units per unit.
fn terms_of<S: Serializer>(clock: &Option<Clock>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Terms {
        floor: Price,
        cap: Price,
        finish_s: u32,
    }
    let terms = clock.map(|Clock { floor, cap, finish_s }| Terms { floor, cap, finish_s });
    terms.serialize(serializer)
}

/// Both ways to find the price of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quote {
    /// Where the figures come from; `None`: nothing was settled on this chain yet.
    pub going: Option<Going>,
    /// Whether the job file asks for the clock.
    pub asks_for_clock: bool,
    /// Units that the tasks are expected to need, done once.
    pub units: Units,
    /// Providers of each range, all of whom the costs are for: 1 or 2.
    pub replicas: u8,
    /// One price: the job file's, or what half of the units cost lately.
    pub posted: Option<Estimate>,
    /// The job file's clock, or one around what was paid lately.
    pub clock: Option<Estimate>,
}

impl Going {
    /// Sums up; `None` without units.
    pub fn of(mut samples: Vec<Sample>, jobs: usize, same_program: bool) -> Option<Self> {
        samples.retain(|sample| sample.units > 0);
        let units = samples.iter().fold(0_u64, |sum, sample| sum.saturating_add(sample.units));
        samples.sort_unstable_by_key(|sample| sample.price);
        let share = |quarters: u64| {
            let mut left = u128::from(units) * u128::from(quarters) / 4;
            let found = samples.iter().find(|sample| {
                let reached = u128::from(sample.units) >= left;
                left = left.saturating_sub(u128::from(sample.units));
                reached
            });
            found.map(|sample| sample.price)
        };
        let mut rates: Vec<u64> =
            samples.iter().map(|sample| sample.units / sample.seconds.max(1)).collect();
        rates.sort_unstable();
        Some(Self {
            same_program,
            jobs,
            ranges: samples.len(),
            tasks: samples.iter().map(|sample| u64::from(sample.tasks)).sum(),
            units,
            low: share(1)?,
            median: share(2)?,
            high: share(3)?,
            slot_rate: rates.get(rates.len() / 2).copied()?.max(1),
            oldest_at: samples.iter().map(|sample| sample.at).min()?,
            newest_at: samples.iter().map(|sample| sample.at).max()?,
        })
    }
}

impl Quote {
    /// Puts a job beside what is going on.
    pub fn of(job: &PreparedJob, going: Option<Going>) -> Self {
        let cap_units = job.spec.limits.unit_cap.saturating_mul(u64::from(job.spec.task_count));
        let units = match &going {
            // What a task needs is known of this program only; of others nothing but the cap.
            Some(going) if going.same_program => {
                let each = going.units.div_ceil(going.tasks.max(1));
                each.saturating_mul(u64::from(job.spec.task_count)).min(cap_units)
            }
            _ => cap_units,
        };
        // What all slots need together for it, at the pace of lately.
        let work_s = going.as_ref().map(|going| {
            let rate = going.slot_rate.saturating_mul(u64::from(job.offer.parallelism.max(1)));
            units.div_ceil(rate.max(1))
        });
        let case = Case { job, going: going.as_ref(), units: Units(units), work_s };
        let (posted, clock) = (case.posted(), case.clock());
        let asks_for_clock = job.offer.clock.is_some();
        let replicas = job.offer.replicas;
        Self { going, asks_for_clock, units: Units(units), replicas, posted, clock }
    }
}

/// A job and what is known about its market.
struct Case<'a> {
    job: &'a PreparedJob,
    going: Option<&'a Going>,
    units: Units,
    work_s: Option<u64>,
}

impl Case<'_> {
    /// What the expected units cost, to all providers of their ranges.
    fn cost(&self, price: Price) -> Option<Amount> {
        self.job.offer.for_all(self.units.cost(price)?)
    }

    fn most_cost(&self, price: Price) -> Option<Amount> {
        let mut job = self.job.clone();
        job.offer.price = price;
        Jobs::usual_funds(&job)
    }

    fn posted(&self) -> Option<Estimate> {
        let own = self.job.offer.clock.is_none().then_some(self.job.offer.price);
        let price = own.or(self.going.map(|going| going.median))?;
        // Below what the cheapest quarter was paid nobody may come.
        let taken = self.going.is_some_and(|going| price >= going.low);
        Some(Estimate {
            price: Some(price),
            clock: None,
            cost: self.cost(price),
            most_cost: self.most_cost(price),
            finish_s: self.work_s.filter(|_| taken),
        })
    }

    fn clock(&self) -> Option<Estimate> {
        let clock = self.job.offer.clock.or_else(|| self.suggested())?;
        // Where supply meets the schedule, if it is as it was lately.
        let price = self.going.map(|going| going.median.max(clock.floor));
        let price = price.filter(|price| *price <= clock.cap);
        let given_out = price.and_then(|price| clock.level_for(price)).map(|level| {
            let slack = u64::from(clock.slack_s());
            u64::from(clock.finish_s) - slack + slack * u64::from(level) / u64::from(TOP)
        });
        // The last range is given out then and takes its time; too few slots take longer.
        let finish_s = given_out.map(|given_out| {
            let last = given_out.saturating_add(u64::from(self.job.offer.target_s));
            last.max(self.work_s.unwrap_or(0))
        });
        Some(Estimate {
            price,
            clock: Some(clock),
            cost: price.and_then(|price| self.cost(price)),
            most_cost: self.most_cost(clock.cap),
            finish_s,
        })
    }

    /// A clock around what was paid lately, with a quarter more time than the work should need.
    fn suggested(&self) -> Option<Clock> {
        let going = self.going?;
        let finish = self.work_s?.saturating_add(self.work_s? / 4);
        let finish = finish.clamp(60, u64::from(self.job.offer.deadline_s).max(60));
        Some(Clock {
            floor: Price((going.low.0 / 2).max(1)),
            cap: Price(going.high.0.saturating_mul(2)),
            finish_s: u32::try_from(finish).unwrap_or(u32::MAX),
        })
    }
}

/// Reads what was paid lately: for the same program if there was any work of it, else for any.
/// `None`: nothing was settled yet. `first_block`: the first block with events of the contracts.
///
/// # Errors
/// Those of [`Link`].
pub fn going(
    link: &Link,
    first_block: u64,
    program: ContentHash,
) -> Doing<'_, Result<Option<Going>, ChainError>> {
    Box::pin(async move {
        let opened = Filter::new()
            .address(link.addresses().job_book)
            .event_signature(JobBook::JobOpened::SIGNATURE_HASH);
        let of_program = opened.topic3(alloy::primitives::B256::from(program.0));
        let logs = link.scan(&of_program, first_block).await?;
        let jobs = logs.iter().filter_map(|log| JobBook::JobOpened::decode_log(&log.inner).ok());
        let jobs: Vec<u64> = jobs.map(|log| log.jobId).collect();
        if let Some(going) = of_jobs(link, first_block, &jobs, true).await? {
            return Ok(Some(going));
        }
        let count = link.read(link.addresses().job_book, JobBook::jobCountCall {}).await?;
        let newest = count.saturating_sub(MAX_JOBS as u64)..count;
        let jobs: Vec<u64> = newest.map(|number| number.saturating_add(1)).collect();
        of_jobs(link, first_block, &jobs, false).await
    })
}

/// `jobs`: oldest first.
async fn of_jobs(
    link: &Link,
    first_block: u64,
    jobs: &[u64],
    same_program: bool,
) -> Result<Option<Going>, ChainError> {
    let mut samples = Vec::new();
    let mut used = 0;
    for job in jobs.iter().rev().take(MAX_JOBS) {
        let events = Filter::new().address(link.addresses().job_book).topic1(U256::from(*job));
        let found = settled(&link.scan(&events, first_block).await?);
        used += usize::from(!found.is_empty());
        samples.extend(found);
        if samples.len() >= ENOUGH_RANGES {
            break;
        }
    }
    Ok(Going::of(samples, used, same_program))
}

/// The settled ranges among the events of one job.
pub(crate) fn settled(logs: &[Log]) -> Vec<Sample> {
    let mut open = BTreeMap::new();
    let mut samples = Vec::new();
    for log in logs {
        match JobBookEvents::decode_log(&log.inner).map(|log| log.data) {
            Ok(JobBookEvents::RangeClaimed(e)) => {
                let (price, at) = (Price(e.price.to::<u128>()), e.at.to::<u64>());
                let sample = Sample { price, units: 0, tasks: e.count, seconds: 0, at };
                open.insert(e.seq, sample);
            }
            Ok(JobBookEvents::RangeSubmitted(e)) => {
                if let Some(sample) = open.get_mut(&e.seq) {
                    let at = e.at.to::<u64>();
                    (sample.units, sample.seconds) = (e.units, at.saturating_sub(sample.at));
                    sample.at = at;
                }
            }
            Ok(JobBookEvents::RangeSettled(e)) => samples.extend(open.remove(&e.seq)),
            _ => {}
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{ContentRef, JobSpec, Limits, Output, Workload};

    use super::*;
    use crate::job_file::Offer;

    fn sample(price: u128, units: u64, tasks: u32, seconds: u64) -> Sample {
        Sample { price: Price(price), units, tasks, seconds, at: 1_000 + seconds }
    }

    fn job(clock: Option<Clock>) -> PreparedJob {
        let limits =
            Limits { unit_cap: 100, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 64 };
        PreparedJob {
            spec: JobSpec {
                name: "test".into(),
                workload: Workload::Wasm,
                program: ContentRef::of(b"program"),
                inputs: Vec::new(),
                task_count: 1_000,
                limits,
                output: Output::Files,
            },
            offer: Offer {
                price: clock.map_or(Price(50), |clock| clock.cap),
                clock,
                window_s: None,
                range_timeout_s: 60,
                target_s: 10,
                deadline_s: 86_400,
                parallelism: 4,
                first_range: 1,
                max_failures: 0,
                audited: false,
                replicas: 1,
                keep_s: None,
                required_class: 0,
                min_vram_mib: 0,
            },
            files: Vec::new(),
        }
    }

    fn market(same_program: bool) -> Going {
        // 100 units a second and slot, 50 units a task; prices 10, 20 and 40.
        let samples = vec![
            sample(40, 1_000, 20, 10),
            sample(10, 2_000, 40, 20),
            sample(20, 1_000, 20, 10),
            sample(99, 0, 3, 1),
        ];
        Going::of(samples, 2, same_program).unwrap()
    }

    #[test]
    fn prices_are_weighted_by_units() {
        let going = market(true);
        assert_eq!((going.low, going.median, going.high), (Price(10), Price(10), Price(20)));
        assert_eq!((going.ranges, going.tasks, going.units), (3, 80, 4_000));
        assert_eq!((going.slot_rate, going.oldest_at, going.newest_at), (100, 1_010, 1_020));
        assert_eq!(Going::of(vec![sample(1, 0, 1, 1)], 1, true), None);
    }

    #[test]
    fn posted_jobs_are_reckoned_by_their_price_and_the_pace_of_lately() {
        let quote = Quote::of(&job(None), Some(market(true)));
        assert_eq!(quote.units, Units(50_000), "half of the cap, as lately");
        let posted = quote.posted.unwrap();
        assert_eq!((posted.price, posted.cost), (Some(Price(50)), Some(Amount(2_500_000))));
        assert_eq!((posted.most_cost, posted.finish_s), (Some(Amount(5_000_000)), Some(125)));
        let clock = quote.clock.unwrap().clock.unwrap();
        assert_eq!(clock, Clock { floor: Price(5), cap: Price(40), finish_s: 156 });
        let other = Quote::of(&job(None), Some(market(false)));
        assert_eq!(other.units, Units(100_000), "another program says nothing about tasks");
        let mut cheap = job(None);
        cheap.offer.price = Price(9);
        assert_eq!(Quote::of(&cheap, Some(market(true))).posted.unwrap().finish_s, None);
    }

    #[test]
    fn at_most_is_what_is_locked_with_the_prepare_phases_of_many_ranges() {
        let mut prepared = job(None);
        prepared.spec.limits.prepare_cap = 70;
        // A thousand tasks of 100 units, and 4 x 8 + 16 ranges that begin with 70.
        let most = Amount((100_000 + 48 * 70) * 50);
        let posted = Quote::of(&prepared, None).posted.unwrap();
        assert_eq!((posted.most_cost, Jobs::usual_funds(&prepared)), (Some(most), Some(most)));
        // There are no more ranges than tasks.
        prepared.spec.task_count = 5;
        let posted = Quote::of(&prepared, None).posted.unwrap();
        assert_eq!(posted.most_cost, Some(Amount((500 + 5 * 70) * 50)));
        prepared.offer.clock = Some(Clock { floor: Price(5), cap: Price(60), finish_s: 100 });
        let clock = Quote::of(&prepared, None).clock.unwrap();
        assert_eq!(clock.most_cost, Some(Amount((500 + 5 * 70) * 60)), "at its cap");
    }

    #[test]
    fn both_providers_of_a_range_are_reckoned_with() {
        let mut both = job(None);
        (both.offer.audited, both.offer.replicas) = (true, 2);
        let quotes = [job(None), both].map(|job| Quote::of(&job, Some(market(true))));
        assert_eq!(quotes.each_ref().map(|quote| quote.replicas), [1, 2]);
        let [one, both] = quotes.map(|quote| [quote.posted.unwrap(), quote.clock.unwrap()]);
        for (one, both) in one.iter().zip(&both) {
            assert_eq!(both.cost.unwrap().0, 2 * one.cost.unwrap().0);
            assert_eq!(both.most_cost.unwrap().0, 2 * one.most_cost.unwrap().0);
            assert_eq!((both.price, both.finish_s), (one.price, one.finish_s), "at the same price");
        }
    }

    #[test]
    fn on_the_clock_the_price_settles_where_it_was_lately() {
        let clock = Clock { floor: Price(5), cap: Price(25), finish_s: 8_000 };
        let quote = Quote::of(&job(Some(clock)), Some(market(true)));
        let estimate = quote.clock.unwrap();
        assert_eq!((estimate.price, estimate.cost), (Some(Price(10)), Some(Amount(500_000))));
        assert_eq!(estimate.most_cost, Some(Amount(2_500_000)));
        // A quarter of the way from floor to cap is half of the slack.
        assert_eq!(estimate.finish_s, Some(7_000 + 500 + 10));
        assert_eq!(quote.posted.unwrap().price, Some(Price(10)), "what half of it cost lately");
        let low = Clock { floor: Price(1), cap: Price(9), finish_s: 8_000 };
        let estimate = Quote::of(&job(Some(low)), Some(market(true))).clock.unwrap();
        assert_eq!((estimate.price, estimate.finish_s), (None, None), "paid more lately");
    }

    #[test]
    fn without_history_only_what_is_certain_is_said() {
        let quote = Quote::of(&job(None), None);
        let posted = quote.posted.unwrap();
        assert_eq!((posted.cost, posted.finish_s), (Some(Amount(5_000_000)), None));
        assert!(quote.clock.is_none() && quote.going.is_none());
    }
}
