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
    /// Which web pages may use the RPC.
    pub access: Access,
}

/// Which web pages may use the RPC. Programs that are not browsers are not concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Origins of pages that may send requests (CORS and WebSocket): `scheme://host:port`, where
    /// scheme and port may be left out for any, or `*` for all pages.
    ///
    /// The default is pages served by this machine, so that an application under development can
    /// use the node, and no page from elsewhere can. Wallets in browser extensions are not pages.
    pub origins: Vec<String>,
    /// Host names under which the node may be asked, or `*` for any. Addresses are always allowed.
    /// Others are refused, since a page can point a name of its own to this machine.
    pub hosts: Vec<String>,
}

impl Default for Access {
    fn default() -> Self {
        let origins = ["localhost", "127.0.0.1", "[::1]"];
        Self { origins: origins.map(str::to_owned).to_vec(), hosts: vec!["localhost".to_owned()] }
    }
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
            access: Access::default(),
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

tilth_service::options! {
    /// Bounds of a node. Each is an option of a node's configuration file under its name.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Limits {
        /// Of the transaction pool.
        pub pool: PoolLimits = PoolLimits::default(),
        /// Largest encoded transaction, in bytes.
        pub transaction_bytes_max: usize = 128 << 10,
        /// Smallest tip a transaction must offer, in wei per gas.
        pub tip_min: u128 = 0,
        /// Whether transactions without replay protection (EIP-155) are taken.
        pub allow_unprotected: bool = false,
        /// Blocks behind the head whose state can still be read; 0 for none, `u64::MAX` for all.
        pub history_blocks: u64 = 100_000,
        /// Blocks behind the head whose transactions, receipts and logs can still be read, at least
        /// 128; `u64::MAX` for all. Headers are always kept.
        pub body_blocks: u64 = u64::MAX,
        /// Trie nodes and entries kept in memory, 100 to 200 bytes each.
        pub trie_nodes_max: usize = 1_000_000,
        /// Changed keys after which the stored trie nodes are brought up to date. Opening after a
        /// crash applies about so many, some 10 us each.
        pub trie_unsaved_max: usize = 30_000,
        /// Bytes of database pages cached in memory.
        pub database_cache_bytes: usize = 32 << 20,
        /// Gas one `eth_call` or `eth_estimateGas` may use; 0 is no limit.
        pub call_gas_max: u64 = 50_000_000,
        /// Highest fee of a transaction taken over JSON-RPC, gas limit times price, in wei: more is
        /// likely a mistake. 0 is no limit.
        pub transaction_fee_max: u128 = 1_000_000_000_000_000_000,
        /// How long one request may execute messages, waiting for its turn included; zero is no limit.
        pub call_time_max: Duration = Duration::from_secs(5),
        /// Requests of the expensive kind that run at the same time: so many that execute messages,
        /// and so many that read much (log queries, whole blocks). One address has at most three
        /// quarters of them and one connection half, so that others need not wait for it. 0 is twice
        /// as many as the machine has processors, at least 16 and at most 128.
        pub heavy_requests_max: usize = 0,
        /// Blocks one log query may span.
        pub logs_blocks_max: u64 = 1_000_000,
        /// Logs one query may return.
        pub logs_results_max: usize = 20_000,
        /// How long one log query may take.
        pub logs_time_max: Duration = Duration::from_secs(10),
        /// Filters installed at the same time.
        pub filters_max: usize = 1024,
        /// After this long a filter nobody asks is forgotten.
        pub filter_idle_max: Duration = Duration::from_secs(300),
        /// Connections at the same time, HTTP and WebSocket together.
        pub connections_max: u32 = 512,
        /// Requests of one WebSocket connection that are worked on at the same time; above it the
        /// connection is not read.
        pub requests_per_connection_max: usize = 64,
        /// Subscriptions of one WebSocket connection.
        pub subscriptions_per_connection_max: u32 = 1024,
        /// Bytes of notifications that may wait for one WebSocket connection; above it the connection is
        /// closed.
        pub subscription_bytes_max: usize = 32 << 20,
        /// How often a WebSocket peer is pinged; after twice as long without a sign of life the
        /// connection is closed.
        pub ping_every: Duration = Duration::from_secs(30),
        /// How long a request may take, from its last byte to its answer, and from its first byte to
        /// its last.
        pub request_time_max: Duration = Duration::from_secs(30),
        /// How long an HTTP connection may wait for its next request.
        pub idle_time_max: Duration = Duration::from_secs(120),
        /// How long a peer may take nothing of what is written to it.
        pub stall_time_max: Duration = Duration::from_secs(30),
        /// Requests in one batch.
        pub batch_max: u32 = 1000,
        /// Bytes of all answers to one batch; what comes after them is refused.
        pub batch_response_bytes_max: usize = 25_000_000,
        /// Bytes of one HTTP body or WebSocket message.
        pub request_bytes_max: u32 = 5 << 20,
        /// Bytes of one result.
        pub response_bytes_max: u32 = 64 << 20,
    }
}

impl Limits {
    /// [`Self::heavy_requests_max`] on this machine: with the default, half of them keep up to 64 processors busy.
    pub(crate) fn heavy_requests(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.heavy_requests_with(processors)
    }

    fn heavy_requests_with(&self, processors: usize) -> usize {
        match self.heavy_requests_max {
            0 => processors.saturating_mul(2).clamp(16, 128),
            wanted => wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_expensive_requests_can_use_the_whole_machine() {
        let with = |heavy_requests_max, processors| {
            Limits { heavy_requests_max, ..Limits::default() }.heavy_requests_with(processors)
        };
        let chosen = Limits::default().heavy_requests_max;
        for (processors, places) in [(1, 16), (8, 16), (9, 18), (32, 64), (512, 128)] {
            assert_eq!(with(chosen, processors), places);
        }
        assert_eq!((with(1, 32), with(300, 2)), (1, 300), "what is written holds");
    }
}
