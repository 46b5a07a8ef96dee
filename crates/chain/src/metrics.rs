//! What a node measures about itself.
//!
//! One [`Meters`] per node. What makes, verifies and writes blocks records into it; what can be read when somebody asks
//! (head, pool, database) is not kept twice.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use tilth_service::metrics::{Counter, Gauge, Held, Histogram, Registry, SECONDS};

use crate::node::Node;

/// Upper bounds for the number of transactions in a block.
const TRANSACTIONS: &[f64] =
    &[0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0];

/// Methods that are not in the table are counted under this name.
const UNKNOWN: &str = "unknown";

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) registry: Registry,
    blocks: Counter,
    gas: Counter,
    transactions: Counter,
    per_block: Histogram,
    /// Choosing and executing a block's transactions.
    pub(crate) execute: Histogram,
    /// Computing its roots.
    pub(crate) root: Histogram,
    /// Executing a block that others made, and comparing what it says.
    pub(crate) verify: Histogram,
    /// Writing a block to disk and showing it.
    pub(crate) commit: Histogram,
    /// Blocks that could not be made or written.
    pub(crate) failed: Counter,
    /// Open WebSocket connections.
    pub(crate) connections: Gauge,
    /// Subscriptions on them.
    pub(crate) subscriptions: Gauge,
    methods: OnceLock<HashMap<&'static str, MethodMeters>>,
}

#[derive(Debug)]
struct MethodMeters {
    answered: Counter,
    refused: Counter,
    time: Histogram,
    under_way: Gauge,
}

impl Default for Meters {
    fn default() -> Self {
        let registry = Registry::new();
        let phase = |phase: &str| {
            let help = "Time of one block by phase.";
            registry.histogram("tilth_block_seconds", help, &[("phase", phase)], SECONDS)
        };
        let counter = |name, help| registry.counter(name, help, &[]);
        Self {
            blocks: counter("tilth_blocks_total", "Blocks this process has written."),
            gas: counter("tilth_gas_total", "Gas used in these blocks."),
            transactions: counter("tilth_transactions_total", "Transactions in these blocks."),
            per_block: registry.histogram(
                "tilth_block_transactions",
                "Transactions per block.",
                &[],
                TRANSACTIONS,
            ),
            execute: phase("execute"),
            root: phase("root"),
            verify: phase("verify"),
            commit: phase("commit"),
            failed: counter(
                "tilth_block_failures_total",
                "Blocks that could not be made or written.",
            ),
            connections: registry.gauge(
                "tilth_websocket_connections",
                "Open WebSocket connections.",
                &[],
            ),
            subscriptions: registry.gauge(
                "tilth_subscriptions",
                "Subscriptions on open WebSocket connections.",
                &[],
            ),
            methods: OnceLock::new(),
            registry,
        }
    }
}

impl Meters {
    /// A block, of this node or of others, was written.
    pub(crate) fn block(&self, transactions: usize, gas: u64) {
        self.blocks.increment();
        self.gas.add(gas);
        let transactions = u32::try_from(transactions).unwrap_or(u32::MAX);
        self.transactions.add(transactions.into());
        self.per_block.record_count(transactions);
    }

    /// Names the methods that are counted one by one. Has an effect once.
    pub(crate) fn name_methods(&self, names: impl Iterator<Item = &'static str>) {
        self.methods.get_or_init(|| {
            let of_method = |name| {
                let help = "JSON-RPC requests by method and outcome.";
                let requests = |outcome: &str| {
                    let labels = [("method", name), ("outcome", outcome)];
                    self.registry.counter("tilth_rpc_requests_total", help, &labels)
                };
                let time = self.registry.histogram(
                    "tilth_rpc_seconds",
                    "Time from a JSON-RPC request to its answer.",
                    &[("method", name)],
                    SECONDS,
                );
                let under_way = self.registry.gauge(
                    "tilth_rpc_under_way",
                    "JSON-RPC requests that are being answered.",
                    &[("method", name)],
                );
                let (answered, refused) = (requests("ok"), requests("error"));
                MethodMeters { answered, refused, time, under_way }
            };
            names.chain([UNKNOWN]).map(|name| (name, of_method(name))).collect()
        });
    }

    fn of_method(&self, method: &str) -> Option<&MethodMeters> {
        let methods = self.methods.get();
        methods.and_then(|methods| methods.get(method).or_else(|| methods.get(UNKNOWN)))
    }

    /// A request is being answered until what this gives is dropped.
    pub(crate) fn under_way(&self, method: &str) -> Option<Held> {
        self.of_method(method).map(|meters| meters.under_way.hold())
    }

    /// A request was answered.
    pub(crate) fn request(&self, method: &str, is_ok: bool, time: Duration) {
        if let Some(meters) = self.of_method(method) {
            if is_ok {
                meters.answered.increment()
            } else {
                meters.refused.increment()
            }
            meters.time.record(time);
        }
    }
}

/// Records the time since `start` and returns now, the start of what comes next.
pub(crate) fn lap(histogram: &Histogram, start: Instant) -> Instant {
    let now = Instant::now();
    histogram.record(now.duration_since(start));
    now
}

/// Adds what is read when somebody asks. `database` is the file, unless it is in memory.
pub(crate) fn register(node: &Arc<Node>, database: Option<PathBuf>) {
    let registry = node.meters.registry.clone();
    let read = |name, help, read: fn(&Node) -> f64| {
        let node = Arc::downgrade(node);
        registry.read_gauge(name, help, &[], move || with(&node, read));
    };
    read("tilth_head_number", "Number of the last block.", |node| {
        as_float(node.head().header.number)
    });
    read("tilth_head_timestamp_seconds", "Timestamp of the last block.", |node| {
        as_float(node.head().header.timestamp)
    });
    read("tilth_base_fee_wei", "Base fee of the next block, in wei per gas.", |node| {
        as_float(node.spec.next_base_fee(&node.head().header))
    });
    read("tilth_halted", "1 while blocks cannot be written, else 0.", |node| {
        f64::from(u8::from(node.fault().is_some()))
    });
    read("tilth_pool_bytes", "Bytes of the transactions that wait.", |node| {
        as_float(node.pool().bytes() as u64)
    });
    read("tilth_pool_slots", "Slots in use in the transaction pool.", |node| {
        as_float(node.pool().slots() as u64)
    });
    let waiting = |kind: &str, read: fn((usize, usize)) -> usize| {
        let (node, help) = (Arc::downgrade(node), "Transactions that wait for a block.");
        registry.read_gauge("tilth_pool_transactions", help, &[("kind", kind)], move || {
            with(&node, |node| as_float(read(node.pool().counts()) as u64))
        });
    };
    waiting("pending", |(executable, _)| executable);
    waiting("queued", |(_, queued)| queued);
    if let Some(path) = database {
        let help = "Size of the database file.";
        registry.read_gauge("tilth_database_bytes", help, &[], move || {
            as_float(std::fs::metadata(&path).map_or(0, |file| file.len()))
        });
    }
}

/// Reads from a node that may be gone.
fn with(node: &Weak<Node>, read: impl FnOnce(&Node) -> f64) -> f64 {
    node.upgrade().map_or(0.0, |node| read(&node))
}

/// Exact up to 2^53, which none of these numbers reaches.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn as_float(number: u64) -> f64 {
    number as f64
}
