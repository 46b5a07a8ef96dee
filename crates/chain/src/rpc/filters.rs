//! Filters that clients install and poll. They live in memory and are forgotten when not asked.
//!
//! A filter is only what it looks for and how far its owner has been told; what is new is read from
//! the chain when it is asked for.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{B256, hex, keccak256};
use alloy_rpc_types_eth::Log as RpcLog;
use serde::Serialize;

use super::{Arguments, Rpc, convert::Waiting, criteria::Criteria, error::RpcError, logs, pending};
use crate::node::Head;

/// Makes unguessable identifiers, so that one client cannot take another's changes.
#[derive(Debug)]
pub(super) struct Identifiers(Mutex<B256>);

impl Identifiers {
    pub(super) fn new() -> Self {
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&RandomState::new().hash_one(0_u8).to_be_bytes());
        }
        Self(Mutex::new(seed.into()))
    }

    /// 16 random bytes in hex without leading zeros, as geth's.
    pub(super) fn next(&self) -> String {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = keccak256(*state);
        let digits = hex::encode(&keccak256(*state)[..16]);
        let digits = digits.trim_start_matches('0');
        format!("0x{}", if digits.is_empty() { "0" } else { digits })
    }
}

/// The installed filters.
#[derive(Debug)]
pub(super) struct Filters {
    max: usize,
    idle_max: Duration,
    installed: HashMap<String, Installed>,
    identifiers: Identifiers,
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
    Logs { criteria: Box<Criteria>, next: u64 },
    /// New transactions in the pool, after this many admissions.
    Pending { full: bool, position: u64 },
}

impl Filters {
    pub(super) fn new(max: usize, idle_max: Duration) -> Self {
        Self { max, idle_max, installed: HashMap::new(), identifiers: Identifiers::new() }
    }

    fn install(&mut self, kind: FilterKind, now: Instant) -> Result<String, RpcError> {
        self.forget(now);
        if self.installed.len() >= self.max {
            return Err(RpcError::limit("too many filters"));
        }
        let id = self.identifiers.next();
        self.installed.insert(id.clone(), Installed { kind, asked: now });
        Ok(id)
    }

    /// Drops what nobody has asked for.
    fn forget(&mut self, now: Instant) {
        let idle_max = self.idle_max;
        self.installed.retain(|_, filter| now.duration_since(filter.asked) < idle_max);
    }

    fn get(&mut self, id: &str, now: Instant) -> Result<&mut Installed, RpcError> {
        self.forget(now);
        self.installed.get_mut(id).ok_or_else(not_found)
    }
}

fn locked(rpc: &Rpc) -> MutexGuard<'_, Filters> {
    rpc.filters.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install(rpc: &Rpc, kind: FilterKind) -> Result<String, RpcError> {
    locked(rpc).install(kind, Instant::now())
}

pub(super) fn new_filter(rpc: &Rpc, mut args: Arguments<'_>) -> Result<String, RpcError> {
    let criteria = Box::new(Criteria::argument(&mut args, 0)?);
    criteria.check_future()?;
    let next = rpc.head().header.number + 1;
    install(rpc, FilterKind::Logs { criteria, next })
}

pub(super) fn new_block_filter(rpc: &Rpc, _: Arguments<'_>) -> Result<String, RpcError> {
    let next = rpc.head().header.number + 1;
    install(rpc, FilterKind::Blocks { next })
}

pub(super) fn new_pending_filter(rpc: &Rpc, mut args: Arguments<'_>) -> Result<String, RpcError> {
    let full = args.optional()?.unwrap_or(false);
    let position = rpc.node.pool().arrivals();
    install(rpc, FilterKind::Pending { full, position })
}

pub(super) fn uninstall(rpc: &Rpc, mut args: Arguments<'_>) -> Result<bool, RpcError> {
    let id: String = args.required()?;
    Ok(locked(rpc).installed.remove(&id).is_some())
}

/// What a filter has found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Changes {
    Hashes(Vec<B256>),
    Logs(Vec<RpcLog>),
    Transactions(Vec<Waiting>),
}

/// What is new since the last time, or since the filter was installed.
pub(super) fn changes(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Changes, RpcError> {
    let id: String = args.required()?;
    let head = rpc.head();
    let arrivals = rpc.node.pool().arrivals();
    let before = advance(rpc, &id, head.header.number, arrivals)?;
    let (found, rest) = match collect(rpc, &head, &before, arrivals) {
        Ok((found, None)) => return Ok(found),
        Ok((found, Some(next))) => (Ok(found), with_next(before, next)),
        Err(error) => (Err(error), before),
    };
    // What has not been told is still new.
    if let Some(filter) = locked(rpc).installed.get_mut(&id) {
        filter.kind = rest;
    }
    found
}

fn with_next(kind: FilterKind, next: u64) -> FilterKind {
    match kind {
        FilterKind::Blocks { .. } => FilterKind::Blocks { next },
        FilterKind::Logs { criteria, .. } => FilterKind::Logs { criteria, next },
        FilterKind::Pending { full, .. } => FilterKind::Pending { full, position: next },
    }
}

/// What a filter has to tell, and where to go on if that is not all.
fn collect(
    rpc: &Rpc,
    head: &Head,
    filter: &FilterKind,
    arrivals: u64,
) -> Result<(Changes, Option<u64>), RpcError> {
    let last = head.header.number;
    match filter {
        FilterKind::Blocks { next } => {
            let mut hashes = Vec::new();
            for number in *next..=last {
                hashes.extend(head.snapshot.hash_of(number)?);
            }
            Ok((Changes::Hashes(hashes), None))
        }
        FilterKind::Logs { criteria, next } => {
            let (from, to) = criteria.numbers();
            let range = from.unwrap_or(0).max(*next)..=to.unwrap_or(last).min(last);
            let (logs, stop) = logs::collect(rpc, head, criteria, range)?;
            if logs.is_empty()
                && let Some(stop) = stop
            {
                return Err(RpcError::limit(stop.reason));
            }
            // More than one answer may hold is told next time.
            Ok((Changes::Logs(logs), stop.map(|stop| stop.next)))
        }
        FilterKind::Pending { full, position } => {
            let hashes = rpc.node.pool().admitted(*position, arrivals);
            if !full {
                return Ok((Changes::Hashes(hashes), None));
            }
            let seen = hashes.iter().filter_map(|hash| pending::seen(&rpc.node, hash).transpose());
            let seen = seen.collect::<Result<_, _>>()?;
            Ok((Changes::Transactions(seen), None))
        }
    }
}

/// All logs a log filter matches, new or not.
pub(super) fn all_logs(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Vec<RpcLog>, RpcError> {
    let id: String = args.required()?;
    let found = locked(rpc).get(&id, Instant::now()).cloned();
    match found?.kind {
        FilterKind::Logs { criteria, .. } => logs::query(rpc, &rpc.head(), &criteria),
        FilterKind::Blocks { .. } | FilterKind::Pending { .. } => Err(not_found()),
    }
}

/// Moves a filter up to now and returns where it stood.
fn advance(rpc: &Rpc, id: &str, last: u64, arrivals: u64) -> Result<FilterKind, RpcError> {
    let now = Instant::now();
    let mut filters = locked(rpc);
    let filter = filters.get(id, now)?;
    filter.asked = now;
    let before = filter.kind.clone();
    match &mut filter.kind {
        FilterKind::Blocks { next } | FilterKind::Logs { next, .. } => {
            *next = (last + 1).max(*next);
        }
        FilterKind::Pending { position, .. } => *position = arrivals.max(*position),
    }
    Ok(before)
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}
