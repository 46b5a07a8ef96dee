//! Filters that clients install and poll. They live in memory and are forgotten when not asked.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, FilterChanges, Log as RpcLog};

use super::{Arguments, Rpc, error::RpcError, logs};

/// A filter not asked for this long is forgotten (geth's).
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// The installed filters.
#[derive(Debug)]
pub(super) struct Filters {
    max: usize,
    installed: HashMap<U256, Installed>,
    /// Identifiers are unguessable, so that one client cannot take another's changes.
    next: B256,
}

#[derive(Clone, Debug)]
struct Installed {
    kind: FilterKind,
    asked: Instant,
}

#[derive(Clone, Debug)]
enum FilterKind {
    /// New blocks, from this number on.
    Blocks { next: u64 },
    /// New logs, from this block on.
    Logs { filter: Box<Filter>, next: u64 },
    /// New transactions in the pool, after this many admissions.
    Pending { position: u64 },
}

impl Filters {
    pub(super) fn new(max: usize) -> Self {
        use std::hash::{BuildHasher, RandomState};
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&RandomState::new().hash_one(0_u8).to_be_bytes());
        }
        Self { max, installed: HashMap::new(), next: seed.into() }
    }

    fn install(&mut self, kind: FilterKind, now: Instant) -> Result<U256, RpcError> {
        self.installed.retain(|_, filter| now.duration_since(filter.asked) < FORGOTTEN_AFTER);
        if self.installed.len() >= self.max {
            return Err(RpcError::limit("too many filters"));
        }
        self.next = alloy_primitives::keccak256(self.next);
        let id = U256::from_be_slice(&alloy_primitives::keccak256(self.next)[..16]);
        self.installed.insert(id, Installed { kind, asked: now });
        Ok(id)
    }
}

fn locked(rpc: &Rpc) -> MutexGuard<'_, Filters> {
    rpc.filters.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install(rpc: &Rpc, kind: FilterKind) -> Result<U256, RpcError> {
    locked(rpc).install(kind, Instant::now())
}

pub(super) fn new_filter(rpc: &Rpc, mut args: Arguments<'_>) -> Result<U256, RpcError> {
    let filter: Box<Filter> = Box::new(args.required()?);
    let next = rpc.head().header.number + 1;
    install(rpc, FilterKind::Logs { filter, next })
}

pub(super) fn new_block_filter(rpc: &Rpc, _: Arguments<'_>) -> Result<U256, RpcError> {
    let next = rpc.head().header.number + 1;
    install(rpc, FilterKind::Blocks { next })
}

pub(super) fn new_pending_filter(rpc: &Rpc, _: Arguments<'_>) -> Result<U256, RpcError> {
    let position = rpc.node.pool().arrivals();
    install(rpc, FilterKind::Pending { position })
}

pub(super) fn uninstall(rpc: &Rpc, mut args: Arguments<'_>) -> Result<bool, RpcError> {
    let id: U256 = args.required()?;
    Ok(locked(rpc).installed.remove(&id).is_some())
}

/// What is new since the last time, or since the filter was installed.
pub(super) fn changes(rpc: &Rpc, mut args: Arguments<'_>) -> Result<FilterChanges, RpcError> {
    let id: U256 = args.required()?;
    let head = rpc.head();
    let last = head.header.number;
    let arrivals = rpc.node.pool().arrivals();
    match advance(rpc, id, last, arrivals)? {
        FilterKind::Blocks { next } => {
            let mut hashes = Vec::new();
            for number in next..=last {
                hashes.extend(head.snapshot.hash_of(number)?);
            }
            Ok(FilterChanges::Hashes(hashes))
        }
        FilterKind::Logs { filter, next } => {
            let range = next..=wanted_end(&filter).unwrap_or(last).min(last);
            Ok(FilterChanges::Logs(logs::scan(rpc, &head, &filter, range)?))
        }
        FilterKind::Pending { position } => {
            Ok(FilterChanges::Hashes(rpc.node.pool().admitted(position, arrivals)))
        }
    }
}

/// All logs a log filter matches, new or not.
pub(super) fn all_logs(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Vec<RpcLog>, RpcError> {
    let id: U256 = args.required()?;
    let found = locked(rpc).installed.get(&id).cloned();
    match found.map(|filter| filter.kind) {
        Some(FilterKind::Logs { filter, .. }) => logs::query(rpc, &rpc.head(), &filter),
        Some(FilterKind::Blocks { .. } | FilterKind::Pending { .. }) | None => Err(not_found()),
    }
}

/// Moves a filter up to now and returns where it stood.
fn advance(rpc: &Rpc, id: U256, last: u64, arrivals: u64) -> Result<FilterKind, RpcError> {
    let mut filters = locked(rpc);
    let filter = filters.installed.get_mut(&id).ok_or_else(not_found)?;
    filter.asked = Instant::now();
    let before = filter.kind.clone();
    match &mut filter.kind {
        FilterKind::Blocks { next } | FilterKind::Logs { next, .. } => {
            *next = (last + 1).max(*next)
        }
        FilterKind::Pending { position } => *position = arrivals.max(*position),
    }
    Ok(before)
}

fn wanted_end(filter: &Filter) -> Option<u64> {
    match filter.block_option {
        FilterBlockOption::Range { to_block, .. } => to_block?.as_number(),
        FilterBlockOption::AtBlockHash(_) => None,
    }
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}
