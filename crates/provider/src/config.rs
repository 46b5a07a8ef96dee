//! What a provider is told at its start. Immutable afterwards.

use std::{fmt, net::SocketAddr, num::NonZeroU64, path::PathBuf, time::Duration};

use alloy::signers::local::PrivateKeySigner;
use tilth_blobs::Relays;
use tilth_client::Network;
use tilth_protocol::{Amount, Price, amount::GRAIN};
use tilth_sandbox::{CommandLine, GpuUse};

use crate::{idle::IdleRules, infer::Model};

/// Everything a [`Provider`](crate::Provider) needs.
#[derive(Clone)]
pub struct Config {
    /// Its folder: journals, content, compiled programs. Created if missing; one provider at a time.
    pub dir: PathBuf,
    /// The chain and its contracts.
    pub network: Network,
    /// Key of the account that owns the stake and is paid.
    pub owner: PrivateKeySigner,
    /// Key that claims and submits. Holds only a little native coin, for gas.
    pub node: PrivateKeySigner,
    /// What is offered.
    pub offer: Offer,
    /// What may be used.
    pub limits: Limits,
    /// Starts a worker (`tilth worker`).
    pub worker: CommandLine,
    /// Starts the sandbox's init (`tilth sandbox-init`).
    pub sandbox_init: CommandLine,
    /// Which GPU is offered. Class bits for what it is found to be are added to those of the offer.
    pub gpu: GpuUse,
    /// Where the data endpoint listens (UDP); port 0 takes a free one.
    pub bind: SocketAddr,
    /// Addresses to publish instead of the bound ones.
    pub advertise: Vec<SocketAddr>,
    /// How long results are served after they were paid.
    pub retention: Duration,
    /// What the owner has free in the Ledger moves to its wallet whenever it is so much, whatever it came in for; `None`
    /// leaves it there.
    pub withdraw_above: Option<Amount>,
    /// Native coin that the owner keeps on the node's key.
    pub gas: GasReserve,
    /// Whether the machine's classes are measured at the start and announced; without it none are, besides
    /// those of a GPU that is offered.
    pub measure: bool,
    /// The owner's own claims on the machine.
    pub comfort: Comfort,
}

/// What an owner keeps to himself: hours, quiet, bandwidth, disk. The default only keeps a
/// machine that runs on battery to itself.
#[derive(Clone, Debug, Default)]
pub struct Comfort {
    /// When the machine works for others.
    pub idle: IdleRules,
    /// What its work costs in electricity.
    pub power: Power,
    /// Relays over which it can be met.
    pub relays: Relays,
    /// Most bytes served per second.
    pub upload: Option<NonZeroU64>,
    /// Most bytes fetched per second.
    pub download: Option<NonZeroU64>,
    /// Most bytes of content kept on disk: programs, inputs, results.
    pub content_bytes: Option<u64>,
}

/// What a provider offers on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Ranges worked on at the same time, at least 1.
    pub slots: u16,
    /// Stake to have at least; missing stake is deposited and locked at the start.
    pub stake: Amount,
    /// Least price of a unit.
    pub price_floor: Price,
    /// Short region name, at most 8 ASCII characters.
    pub region: String,
    /// Language models that are sold by token.
    pub models: Vec<Model>,
}

/// What a provider may use of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one worker, in bytes. Jobs whose tasks and files need more are left alone.
    pub memory_per_slot: u64,
    /// Disk for programs and inputs of all jobs together, in bytes.
    pub disk: u64,
    /// An auditor's: disk for what it holds of others' results, in bytes. For what does not fit it does not sign.
    pub hold: u64,
    /// Memory for compiling a program, in bytes.
    pub compile_memory: u64,
    /// Longest time for compiling a program.
    pub compile_time: Duration,
}

/// When and with how much the node's key is refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasReserve {
    /// Refilled below this.
    pub least: Amount,
    /// Up to this.
    pub full: Amount,
}

/// Electricity: work that does not pay for it is left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Watts that the machine draws more while all its slots work.
    pub watts: u32,
    /// Price of a kilowatt-hour.
    pub per_kwh: Amount,
}

impl Power {
    /// Base units that an hour of one of so many slots costs, rounded up.
    pub fn slot_cost_per_hour(&self, slots: u16) -> u128 {
        let hour = u128::from(self.watts).saturating_mul(self.per_kwh.0);
        hour.div_ceil(u128::from(slots.max(1)) * 1_000)
    }
}

impl Default for Offer {
    /// One slot, 100 GRAIN at stake, any price.
    fn default() -> Self {
        Self {
            slots: 1,
            stake: Amount(100 * GRAIN),
            price_floor: Price(1),
            region: String::new(),
            models: Vec::new(),
        }
    }
}

impl Default for Limits {
    /// 2 GiB of memory per slot, 20 GiB of disk, as much for what is held for others, 2 GiB and two minutes for compiling.
    fn default() -> Self {
        Self {
            memory_per_slot: 2 << 30,
            disk: 20 << 30,
            hold: 20 << 30,
            compile_memory: 2 << 30,
            compile_time: Duration::from_secs(120),
        }
    }
}

impl Default for GasReserve {
    /// Refilled to 1 GRAIN below a fifth of it: thousands of ranges on a tilth chain.
    fn default() -> Self {
        Self { least: Amount(GRAIN / 5), full: Amount(GRAIN) }
    }
}

impl fmt::Debug for Config {
    /// Keys are shown as their addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("dir", &self.dir)
            .field("network", &self.network)
            .field("owner", &self.owner.address())
            .field("node", &self.node.address())
            .field("offer", &self.offer)
            .field("limits", &self.limits)
            .field("bind", &self.bind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_costs_its_share_of_the_electricity() {
        let power = Power { watts: 350, per_kwh: Amount(GRAIN / 4) };
        assert_eq!(power.slot_cost_per_hour(1), 87_500_000_000_000_000, "0.35 kWh for 0.25 each");
        assert_eq!(power.slot_cost_per_hour(3), 29_166_666_666_666_667);
        assert_eq!(Power::default().slot_cost_per_hour(4), 0);
        let dear = Power { watts: u32::MAX, per_kwh: Amount(u128::MAX) };
        assert!(dear.slot_cost_per_hour(0) > 1 << 100);
    }
}
