//! How a node is set up.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alloy_primitives::Address;

use crate::{clock::Clock, genesis::Genesis, pool::PoolLimits};

/// Everything [`crate::spawn`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the database; `None` keeps the chain in memory.
    pub dir: Option<PathBuf>,
    /// Where JSON-RPC is served over HTTP; port 0 takes a free one.
    pub rpc: SocketAddr,
    /// The first block. Must be the same at every start on the same folder.
    pub genesis: Genesis,
    /// When blocks are made.
    pub production: Production,
    /// Who receives the priority fees.
    pub beneficiary: Address,
    /// Where block timestamps come from.
    pub clock: Clock,
    /// Bounds on everything that others can send.
    pub limits: Limits,
}

impl Config {
    /// A chain in memory, mined instantly, RPC on a free loopback port.
    pub fn in_memory(genesis: Genesis) -> Self {
        Self {
            dir: None,
            rpc: SocketAddr::from(([127, 0, 0, 1], 0)),
            genesis,
            production: Production::Instant,
            beneficiary: Address::ZERO,
            clock: Clock::system(),
            limits: Limits::default(),
        }
    }
}

/// When a solo node makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Production {
    /// As soon as transactions wait, all of them together; never an empty block.
    Instant,
    /// One block per interval, also when there is nothing to put in.
    Interval(Duration),
    /// Only by [`crate::Chain::mine`].
    Manual,
}

/// Bounds of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the transaction pool.
    pub pool: PoolLimits,
    /// Largest encoded transaction, in bytes.
    pub transaction_bytes_max: usize,
    /// Smallest tip a transaction must offer, in wei per gas.
    pub tip_min: u128,
    /// Whether transactions without replay protection (EIP-155) are taken.
    pub allow_unprotected: bool,
    /// Blocks behind the head whose state can still be read.
    pub history_blocks: u64,
    /// Bytes of database pages cached in memory.
    pub database_cache_bytes: usize,
    /// Gas one `eth_call` or `eth_estimateGas` may use.
    pub call_gas_max: u64,
    /// How long one request may execute messages, waiting for its turn included; zero is no limit.
    pub call_time_max: Duration,
    /// Requests of the expensive kind (calls, log queries) that run at the same time.
    pub heavy_requests_max: usize,
    /// Blocks one log query may span.
    pub logs_blocks_max: u64,
    /// Logs one query may return.
    pub logs_results_max: usize,
    /// Filters installed at the same time.
    pub filters_max: usize,
    /// HTTP connections at the same time.
    pub connections_max: u32,
    /// Requests in one batch.
    pub batch_max: u32,
    /// Bytes of one request body.
    pub request_bytes_max: u32,
    /// Bytes of one response body.
    pub response_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pool: PoolLimits::default(),
            transaction_bytes_max: 128 << 10,
            tip_min: 0,
            allow_unprotected: false,
            history_blocks: 100_000,
            database_cache_bytes: 32 << 20,
            call_gas_max: 50_000_000,
            call_time_max: Duration::from_secs(5),
            heavy_requests_max: 16,
            logs_blocks_max: 1_000_000,
            logs_results_max: 20_000,
            filters_max: 1024,
            connections_max: 512,
            batch_max: 1000,
            request_bytes_max: 16 << 20,
            response_bytes_max: 64 << 20,
        }
    }
}
