//! What a client pays holders: prices, and the deposit that covers them.

use std::time::Duration;

use alloy::primitives::{U256, aliases::U96};
use serde::{Deserialize, Serialize};
use tilth_contracts::{HoldPrices, Holders};
use tilth_protocol::{Amount, JobId, JobSpec, Limits, Problem};
use tilth_verification::holding::{
    MAX_KEEP_S, MIN_KEEP_S, MOST_MIB, Prices, inputs_mib, largest_mib,
};

use crate::{ChainError, Link};

/// An audit's least fee is this part (1/x) of the deployment's small value (`MIN_FEE_PART`).
const MIN_FEE_PART: u64 = 10_000;
/// The contract keeps amounts in 96 bits, and the double must fit.
const MAX_AMOUNT: u128 = (1 << 95) - 1;

/// The least fee of an audit on this chain, base units.
///
/// # Errors
/// Those of [`Link::read`].
pub async fn least_fee(link: &Link) -> Result<u128, ChainError> {
    let small = link.read(link.addresses().holders, Holders::smallValueCall {}).await?;
    Ok(u128::try_from(small / U256::from(MIN_FEE_PART)).unwrap_or(u128::MAX))
}

/// What a job pays holders; `None`: its client has not said.
///
/// # Errors
/// Those of [`Link::read`].
pub async fn prices_of(link: &Link, job: JobId) -> Result<Option<Prices>, ChainError> {
    let keep = link.read(link.addresses().holders, Holders::keptCall { jobId: job.0 }).await?;
    let prices = Prices {
        max_mib: keep.maxMib,
        per_mib: keep.perMib.to::<u128>(),
        per_mib_day: keep.perMibDay.to::<u128>(),
        keep_seconds: keep.keepSeconds,
    };
    Ok((prices.max_mib != 0).then_some(prices))
}

/// What a client offers whoever holds the ranges of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deposit {
    /// For how long ranges are kept, seconds.
    pub keep_s: u32,
    /// Largest content of a range, MiB.
    pub max_mib: u32,
    /// For fetching a MiB.
    pub per_mib: Amount,
    /// For keeping a MiB for a day.
    pub per_mib_day: Amount,
    /// What is locked at first, and again when it does not reach: twice as much is locked at a time at most.
    pub amount: Amount,
}

impl Deposit {
    /// The usual prices, and a deposit for as many ranges as are likely, all of which may have to be held while the client is
    /// away: no more are given out than it covers.
    ///
    /// `least`: least fee of an audit, base units; `tasks` and `parallelism`: the job's.
    ///
    /// # Errors
    /// A time that nobody keeps anything for; ranges that are too large for that.
    pub fn usual(
        least: u128,
        keep: Duration,
        limits: &Limits,
        (tasks, parallelism): (u32, u16),
    ) -> Result<Self, Problem> {
        let largest = largest_mib(limits, tasks, parallelism);
        let max_mib = largest.filter(|mib| *mib <= MOST_MIB).ok_or_else(|| {
            Problem::new(
                "ranges of the job may become too large to be kept",
                format!(
                    "a task may write {} bytes, and a range is held up to {MOST_MIB} MiB",
                    limits.output_bytes
                ),
                "lower `output` under [limits], raise `parallelism`, so that ranges have fewer tasks, or leave out `keep`",
            )
        })?;
        let prices = Prices::usual(least, max_mib, keep_seconds(keep)?);
        let each = prices.cost(least, max_mib);
        let ranges = likely_ranges(tasks, parallelism);
        let amount = each.checked_mul(ranges.into()).filter(|all| *all <= MAX_AMOUNT);
        let amount = amount.ok_or_else(|| {
            Problem::new(
                "to have the job kept costs too much",
                format!("{each} base units a range of at most {max_mib} MiB"),
                "lower `output` under [limits], or raise `parallelism`, so that ranges are smaller",
            )
        })?;
        Ok(Self {
            keep_s: prices.keep_seconds,
            max_mib,
            per_mib: Amount(prices.per_mib),
            per_mib_day: Amount(prices.per_mib_day),
            amount: Amount(amount),
        })
    }

    /// With what it costs besides to have the job's inputs held.
    ///
    /// `least`: least fee of an audit, base units; `left`: seconds up to the job's deadline.
    ///
    /// # Errors
    /// Inputs that are too large for that.
    pub fn with_inputs(self, least: u128, spec: &JobSpec, left: u32) -> Result<Self, Problem> {
        let prices = Prices {
            max_mib: self.max_mib,
            per_mib: self.per_mib.0,
            per_mib_day: self.per_mib_day.0,
            keep_seconds: self.keep_s,
        };
        let mib = inputs_mib(spec).filter(|mib| *mib <= MOST_MIB);
        let cost = mib.map(|mib| prices.inputs_cost(least, mib, left));
        let amount = cost.and_then(|cost| self.amount.0.checked_add(cost));
        let amount = amount.filter(|all| *all <= MAX_AMOUNT).ok_or_else(|| {
            Problem::new(
                "the job's inputs are too large to be kept",
                format!("{} bytes; up to {MOST_MIB} MiB are held", spec.blob_bytes()),
                "make them smaller, or leave out `keep`",
            )
        })?;
        Ok(Self { amount: Amount(amount), ..self })
    }

    /// What may be locked at a time, base units.
    pub fn most(&self) -> u128 {
        self.amount.0.saturating_mul(2)
    }

    pub(super) fn prices(&self) -> HoldPrices {
        HoldPrices {
            maxMib: self.max_mib,
            perMib: U96::saturating_from(self.per_mib.0),
            perMibDay: U96::saturating_from(self.per_mib_day.0),
            keepSeconds: self.keep_s,
        }
    }

    /// What a client offers whose offer is not known here: the prices that the chain has, and as much as is usual for
    /// them, but for the job's inputs, which are paid for by then.
    ///
    /// `least`: least fee of an audit, base units; `tasks` and `parallelism`: the job's.
    pub fn by_chain(prices: &Prices, least: u128, (tasks, parallelism): (u32, u16)) -> Self {
        let ranges = u128::from(likely_ranges(tasks, parallelism));
        let amount = prices.cost(least, prices.max_mib).saturating_mul(ranges).min(MAX_AMOUNT);
        Self {
            keep_s: prices.keep_seconds,
            max_mib: prices.max_mib,
            per_mib: Amount(prices.per_mib),
            per_mib_day: Amount(prices.per_mib_day),
            amount: Amount(amount),
        }
    }
}

/// In how many ranges a job is likely to be done.
pub(crate) fn likely_ranges(tasks: u32, parallelism: u16) -> u32 {
    u32::from(parallelism).saturating_mul(8).saturating_add(16).min(tasks)
}

/// A time as it goes on chain.
///
/// # Errors
/// Outside what can be asked for.
pub fn keep_seconds(keep: Duration) -> Result<u32, Problem> {
    let seconds = u32::try_from(keep.as_secs()).unwrap_or(u32::MAX);
    if (MIN_KEEP_S..=MAX_KEEP_S).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Problem::new(
        "results cannot be kept for so long",
        format!("keep is {} s, it must be {MIN_KEEP_S} to {MAX_KEEP_S} s", keep.as_secs()),
        "write a time such as \"7d\"",
    ))
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{ContentHash, ContentRef, Output, Workload};

    use super::*;

    const LIMITS: Limits =
        Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 1 << 20 };
    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    const LEAST: u128 = 10_u128.pow(16);

    #[test]
    fn a_deposit_covers_all_ranges_that_are_likely() {
        let deposit = Deposit::usual(LEAST, WEEK, &LIMITS, (1_000, 50)).unwrap();
        assert_eq!((deposit.max_mib, deposit.keep_s), (11, 604_800));
        let prices = Prices::usual(LEAST, 11, 604_800);
        assert!(prices.are_fair(LEAST));
        assert_eq!(deposit.amount.0, 416 * prices.cost(LEAST, 11));
        let few = Deposit::usual(LEAST, WEEK, &LIMITS, (3, 50)).unwrap();
        assert_eq!(few.amount.0, 3 * prices.cost(LEAST, 2));
        assert_eq!(deposit.most(), 2 * deposit.amount.0);
        assert_eq!(deposit.prices().perMib.to::<u128>(), prices.per_mib);
    }

    #[test]
    fn a_deposit_covers_the_inputs_too() {
        let program = ContentRef { hash: ContentHash([1; 32]), size: 3 << 20 };
        let mut spec = JobSpec {
            name: "sums".into(),
            workload: Workload::Wasm,
            program,
            inputs: Vec::new(),
            task_count: 3,
            limits: LIMITS,
            output: Output::Values,
        };
        let deposit = Deposit::usual(LEAST, WEEK, &LIMITS, (3, 50)).unwrap();
        let all = deposit.with_inputs(LEAST, &spec, 86_400).unwrap();
        let prices = Prices::usual(LEAST, 2, 604_800);
        let cost = prices.inputs_cost(LEAST, 4, 86_400);
        assert_eq!(all, Deposit { amount: Amount(deposit.amount.0 + cost), ..deposit });
        // With what is counted for each of its files a little less than 4 GiB is the most.
        for size in [4 << 30, u64::MAX] {
            spec.program.size = size;
            let refused = deposit.with_inputs(LEAST, &spec, 86_400).unwrap_err();
            assert!(refused.what.contains("too large"), "{refused}");
        }
    }

    #[test]
    fn what_nobody_keeps_is_said_before_money_moves() {
        let refused = |keep: u64, limits: Limits| {
            let keep = Duration::from_secs(keep);
            Deposit::usual(LEAST, keep, &limits, (4, 1)).unwrap_err().to_string()
        };
        assert!(refused(3_599, LIMITS).contains("for so long"));
        assert!(refused(u64::MAX, LIMITS).contains("for so long"));
        let huge = Limits { output_bytes: u64::MAX, ..LIMITS };
        assert!(refused(86_400, huge).contains("too large"));
        let larger = |bytes: u64| Limits { output_bytes: bytes, ..LIMITS };
        assert!(refused(86_400, larger(3 << 30)).contains("too large"), "for those who hold");
        let dear = Deposit::usual(10_u128.pow(28), WEEK, &larger(1 << 30), (4, 1)).unwrap_err();
        assert!(dear.what.contains("costs too much"), "{dear}");
    }

    #[test]
    fn what_is_offered_is_the_same_by_the_chain_alone() {
        let deposit = Deposit::usual(LEAST, WEEK, &LIMITS, (1_000, 50)).unwrap();
        let prices = Prices::usual(LEAST, deposit.max_mib, deposit.keep_s);
        assert_eq!(Deposit::by_chain(&prices, LEAST, (1_000, 50)), deposit);
        let most = Deposit::by_chain(&prices, u128::MAX, (1_000, 50)).amount;
        assert_eq!(most, Amount(MAX_AMOUNT), "no more than the contract takes");
    }
}
