//! Who takes part in a world, and what must hold in it.

use alloy_primitives::{Address, B256, Bytes, U256, aliases::U96};
use tilth_contracts::{DeployParams, HoldPrices, Terms};
use tilth_protocol::amount::GRAIN;
use tilth_verification::{
    audit::MAX_RANGE_TIMEOUT_S,
    holding::{MIN_KEEP_S, Prices},
};

use super::{
    mind::{AuditorMind, ClientMind, Honest, Proposer, ProviderMind, Stranger},
    workload::{self, UNIT_CAP},
};
use crate::farm::TREASURY;

/// Base units per unit: a task's cap is worth one GRAIN.
pub const PRICE: u128 = GRAIN / 100;
/// What executing a unit costs whoever does it, base units: electricity and wear, a third of the price.
pub const COST: u128 = PRICE / 3;
/// The least fee of an audit is this part (1/x) of the small value: `Parameters.MIN_FEE_PART`.
pub(super) const MIN_FEE_PART: u128 = 10_000;
/// Seconds a job has.
pub const JOB_TIME: u64 = 86_400;

/// Whether somebody means well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Keeps to the rules, and must not be harmed.
    Honest,
    /// Does not.
    Foe,
}

/// A client, and what it orders.
pub struct ClientPlan {
    /// Whether it means well.
    pub side: Side,
    /// How it decides.
    pub mind: Box<dyn ClientMind>,
    /// Tasks of its job, each worth up to one GRAIN times `price`.
    pub tasks: u32,
    /// Price, in [`PRICE`]s.
    pub price: u128,
    /// Whether its ranges are audited; else it has none of what follows.
    pub audited: bool,
    /// Whether its ranges are done by two providers.
    pub replicated: bool,
    /// Whether its ranges are kept, and then for how many of them as large as can be its deposit reaches, beside its
    /// inputs; 0: it has none.
    pub keep: Option<u32>,
    /// Failed tasks after which the job stops; 0: none.
    pub max_failures: u32,
    /// Added to its clock, milliseconds.
    pub skew: i64,
}

/// A provider or an auditor.
pub struct Plan<M: ?Sized> {
    /// Whether it means well.
    pub side: Side,
    /// Base units.
    pub stake: u128,
    /// Ranges at a time; of no meaning for auditors.
    pub slots: u16,
    /// With which it waits in replicated jobs, base units; 0: it does not. Of no meaning for auditors.
    pub bond: u128,
    /// An auditor's: place of the provider whose account it has; none: one of its own.
    pub account_of: Option<usize>,
    /// Added to its clock, milliseconds.
    pub skew: i64,
    /// How it decides.
    pub mind: Box<M>,
}

/// What may happen to honest people in a world besides what may always happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Votes are for sale, so verdicts may be wrong: counted, and judged over all worlds.
    pub bought_votes: bool,
    /// Many answer without executing, so a case may find no lead, or the wrong one: counted, and judged over all worlds. Nobody's
    /// stake is lost unless a verdict was wrong.
    pub idle_votes: bool,
    /// Nobody serves inputs to auditors, who are absent then: an absence costs what one costs, and nothing more.
    pub absences: bool,
    /// Honest providers lose bonds of ranges that they did not hand in, and nothing more.
    pub bonds: bool,
    /// Jobs may end with tasks undone.
    pub undone: bool,
    /// Disputes may find nobody who draws them in time: then honest work is not paid, and nothing more.
    pub late_disputes: bool,
}

/// Everybody.
pub struct Cast {
    /// Clients.
    pub clients: Vec<ClientPlan>,
    /// Providers, in the order of their numbers.
    pub providers: Vec<Plan<dyn ProviderMind>>,
    /// Auditors, in the order of their numbers.
    pub auditors: Vec<Plan<dyn AuditorMind>>,
    /// Who makes blocks.
    pub proposer: Box<dyn Proposer>,
    /// Somebody else.
    pub stranger: Option<Box<dyn Stranger>>,
    /// For so many seconds from the first dispute on the machines of all who mean well are down; none: never.
    pub outage: Option<u64>,
    /// What may happen.
    pub allowed: Allowed,
}

impl Cast {
    /// Honest people: a client with a job of so many tasks, providers and auditors.
    pub fn honest(tasks: u32, providers: usize, auditors: usize) -> Self {
        let mut cast = Self {
            clients: Vec::new(),
            providers: Vec::new(),
            auditors: Vec::new(),
            proposer: Box::new(Honest),
            stranger: None,
            outage: None,
            allowed: Allowed::default(),
        };
        cast.client(Side::Honest, tasks, Honest);
        for _ in 0..providers {
            cast.provider(Side::Honest, 200, Honest);
        }
        for n in 0..auditors {
            cast.auditor(Side::Honest, 20 + 5 * (n as u128 % 3), Honest);
        }
        cast
    }

    /// Adds a client with a job of so many tasks.
    pub fn client(&mut self, side: Side, tasks: u32, mind: impl ClientMind + 'static) {
        self.clients.push(ClientPlan {
            side,
            mind: Box::new(mind),
            tasks,
            price: 1,
            audited: true,
            replicated: false,
            keep: None,
            max_failures: 0,
            skew: 0,
        });
    }

    /// Adds a provider with a stake in GRAIN.
    pub fn provider(&mut self, side: Side, stake: u128, mind: impl ProviderMind + 'static) {
        let (stake, mind) = (stake * GRAIN, Box::new(mind));
        let (account_of, skew) = (None, 0);
        self.providers.push(Plan { side, stake, slots: 1, bond: 0, account_of, skew, mind });
    }

    /// Adds a provider with a stake and a bond in GRAIN: it waits in replicated jobs.
    pub fn mate(&mut self, side: Side, stake: u128, bond: u128, mind: impl ProviderMind + 'static) {
        let (stake, bond, mind) = (stake * GRAIN, bond * GRAIN, Box::new(mind));
        let (account_of, skew) = (None, 0);
        self.providers.push(Plan { side, stake, slots: 1, bond, account_of, skew, mind });
    }

    /// Adds an auditor with a stake in GRAIN.
    pub fn auditor(&mut self, side: Side, stake: u128, mind: impl AuditorMind + 'static) {
        let (stake, mind) = (stake * GRAIN, Box::new(mind));
        let (account_of, skew) = (None, 0);
        self.auditors.push(Plan { side, stake, slots: 0, bond: 0, account_of, skew, mind });
    }
}

/// Least fee of an audit, base units.
pub fn least_fee() -> u128 {
    DeployParams::standard(TREASURY).small_value / MIN_FEE_PART
}

/// The usual prices, for the shortest time.
fn usual(plan: &ClientPlan) -> Prices {
    Prices::usual(least_fee(), workload::mib(plan.tasks), MIN_KEEP_S)
}

/// What a client pays whoever holds the ranges of its job.
pub(super) fn prices(plan: &ClientPlan) -> HoldPrices {
    let prices = usual(plan);
    HoldPrices {
        maxMib: prices.max_mib,
        perMib: U96::saturating_from(prices.per_mib),
        perMibDay: U96::saturating_from(prices.per_mib_day),
        keepSeconds: prices.keep_seconds,
    }
}

/// What it puts aside for that and for its inputs, base units; 0 if it has no deposit.
pub(super) fn deposit(plan: &ClientPlan) -> U96 {
    let Some(ranges) = plan.keep.filter(|ranges| *ranges != 0) else { return U96::ZERO };
    let prices = usual(plan);
    let each = prices.cost(least_fee(), prices.max_mib);
    let left = u32::try_from(JOB_TIME).unwrap_or(u32::MAX);
    let inputs = prices.inputs_cost(least_fee(), workload::mib(0), left);
    U96::saturating_from(each * u128::from(ranges) + inputs)
}

/// Terms of a client's job, opened at a time of the chain's clock.
pub fn terms(plan: &ClientPlan, now: u64) -> Terms {
    Terms {
        specHash: B256::repeat_byte(1),
        taskCount: plan.tasks,
        unitCap: UNIT_CAP,
        prepareCap: 0,
        price: U96::saturating_from(PRICE * plan.price),
        floorPrice: U96::ZERO,
        finishSeconds: 0,
        window: 600,
        rangeTimeout: MAX_RANGE_TIMEOUT_S,
        targetSeconds: 60,
        parallelism: 1,
        firstRange: plan.tasks.div_ceil(4),
        deadline: U256::from(now + JOB_TIME).to(),
        maxFailures: plan.max_failures,
        requiredClass: 0,
        minVramMib: 0,
        afterJob: 0,
        audited: plan.audited,
        replicas: if plan.replicated { 2 } else { 0 },
        kept: plan.keep.is_some(),
        callback: Address::ZERO,
        program: B256::repeat_byte(2),
        contact: Bytes::new(),
    }
}
