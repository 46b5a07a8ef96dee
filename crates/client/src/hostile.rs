//! Doors for fuzzing: readers of what contracts say, which on a stranger's node may be anything. What a reader refuses
//! is no fault; what makes it panic is.

use std::collections::BTreeSet;

use alloy::{
    primitives::{B256, Bytes},
    rpc::types::Log,
    sol_types::{Panic, Revert, SolError as _, SolEventInterface as _},
};
use tilth_contracts::{
    Audits::AuditsEvents,
    Holders::{HoldersErrors, HoldersEvents},
    JobBook::{JobBookErrors, JobBookEvents},
    Ledger::LedgerErrors,
    Registry::RegistryErrors,
    Replicas::{ReplicasErrors, ReplicasEvents},
    Spots::SpotsEvents,
    Tabs::{TabsErrors, TabsEvents},
    WGrain::WGrainErrors,
    Waiting::WaitingErrors,
};
use tilth_protocol::Problem;

use crate::{Chronicle, audit, holding, mates, quote, replicas, revert};

/// The first topics of all events that are followed here.
pub fn events() -> Vec<B256> {
    let all = [
        JobBookEvents::SELECTORS,
        HoldersEvents::SELECTORS,
        SpotsEvents::SELECTORS,
        ReplicasEvents::SELECTORS,
        AuditsEvents::SELECTORS,
        TabsEvents::SELECTORS,
    ];
    all.concat().into_iter().map(B256::from).collect()
}

/// Reads logs as everything does that follows contracts, and a job's history out of them. Gives the first topics of
/// those that are events.
pub fn logs(logs: &[Log]) -> BTreeSet<B256> {
    let mut read = BTreeSet::new();
    let mut history = Vec::new();
    for log in logs {
        let said = &log.inner;
        let _ = (holding::heard(said), audit::heard(said), mates::heard(said));
        let _ = replicas::entry(log);
        let job = JobBookEvents::decode_log(said);
        let is_event = [
            job.is_ok(),
            HoldersEvents::decode_log(said).is_ok(),
            SpotsEvents::decode_log(said).is_ok(),
            ReplicasEvents::decode_log(said).is_ok(),
            AuditsEvents::decode_log(said).is_ok(),
            TabsEvents::decode_log(said).is_ok(),
        ];
        if is_event.contains(&true) {
            read.extend(said.data.topics().first().copied());
        }
        history.extend(job.map(|event| event.data));
    }
    if let Some(mut job) = history.iter().find_map(Chronicle::begin) {
        // Once more from the beginning: so what came too early is about something, too.
        for event in history.iter().chain(&history) {
            let _ = job.apply(event);
        }
        let _ = (job.totals(), job.shown_state(), job.is_finishable(u64::MAX));
    }
    let _ = quote::settled(logs);
    read
}

/// What the refusals of all contracts that are called here begin with.
pub fn refusals() -> Vec<[u8; 4]> {
    let all = [
        JobBookErrors::SELECTORS,
        LedgerErrors::SELECTORS,
        RegistryErrors::SELECTORS,
        WaitingErrors::SELECTORS,
        ReplicasErrors::SELECTORS,
        HoldersErrors::SELECTORS,
        TabsErrors::SELECTORS,
        WGrainErrors::SELECTORS,
        &[Revert::SELECTOR, Panic::SELECTOR],
    ];
    all.concat()
}

/// A refusal as people are told of it.
pub fn explain(data: &[u8]) -> Problem {
    revert::explain("calling", &Bytes::copy_from_slice(data))
}
