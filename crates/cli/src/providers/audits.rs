//! What audits and replicas have found about providers, from the events that prove it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use alloy::{
    primitives::{Address, B256},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use serde_json::{Value, json};
use tilth_client::replicas;
use tilth_contracts::{AuditOutcome, Audits, Registry};
use tilth_protocol::{Amount, Problem};
use tilth_verification::walk::DISPUTED_RATE;

use crate::{
    Ended,
    args::Common,
    place::Place,
    print_json,
    table::{Align, Table},
};

/// Audits of one provider in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub upheld: u32,
    pub overturned: u32,
    pub undecided: u32,
    /// Value of upheld audits since it was last overturned, base units.
    pub record: u128,
    /// What its stake was cut by, base units.
    pub slashed: u128,
}

/// One thing that happened.
struct Entry {
    what: String,
    job: Option<u64>,
    range: Option<u32>,
    amount: Option<u128>,
    block: u64,
    transaction: B256,
}

/// All closed audits and punishments, by the provider's number.
///
/// # Errors
/// Those of the chain.
pub async fn found(place: &Place) -> Result<BTreeMap<u32, Found>, Problem> {
    let mut all: BTreeMap<u32, Found> = BTreeMap::new();
    for Closed { event, of_leaf, .. } in closed(place).await? {
        let found = all.entry(event.provider).or_default();
        found.record = event.record;
        // The range's own audit follows, and is the one that counts.
        if of_leaf && event.outcome == u8::from(AuditOutcome::Upheld) {
            continue;
        }
        let count = match AuditOutcome::try_from(event.outcome) {
            Ok(AuditOutcome::Upheld) => &mut found.upheld,
            Ok(AuditOutcome::Overturned) => &mut found.overturned,
            Ok(AuditOutcome::Undecided) => &mut found.undecided,
            Ok(AuditOutcome::Open | AuditOutcome::Unaudited) | Err(_) => continue,
        };
        *count = count.saturating_add(1);
    }
    for (event, _) in slashed(place, None).await? {
        let registry = place.network.contracts.registry;
        let call = Registry::providerCall { owner: event.owner };
        let known = place.link.read(registry, call).await.map_err(|error| error.problem())?;
        let found = all.entry(known.number).or_default();
        let cut = event.toBeneficiary.saturating_add(event.burned);
        found.slashed = found.slashed.saturating_add(cut);
    }
    Ok(all)
}

/// What came of all replicas, by the provider's number.
///
/// # Errors
/// Those of the chain.
pub async fn mated(place: &Place) -> Result<BTreeMap<u32, replicas::Record>, Problem> {
    Ok(replicas::records(&told(place).await?))
}

async fn told(place: &Place) -> Result<Vec<replicas::Entry>, Problem> {
    let told = replicas::read(&place.link, place.network.first_block, None).await;
    told.map_err(|error| error.problem())
}

/// `tilth providers WHICH`: its audits, replicas and punishments, each with the transaction that proves it.
pub async fn show(common: &Common, place: &Place, which: &str) -> Ended {
    let registry = place.network.contracts.registry;
    let known = match which.parse::<u32>() {
        Ok(number) => place.link.read(registry, Registry::providerByNumberCall { number }).await,
        Err(_) => {
            let owner = place.address(which)?;
            place.link.read(registry, Registry::providerCall { owner }).await
        }
    };
    let known = known.map_err(|error| error.problem())?;
    if known.number == 0 {
        return Err(Problem::new(
            "there is no such provider",
            format!("{which:.60?}"),
            "`tilth providers` lists them",
        ));
    }
    let mut entries = Vec::new();
    for closed in closed(place).await? {
        let Closed { event, log, .. } = &closed;
        if event.provider == known.number {
            let (job, range) = (Some(event.jobId), Some(event.seq));
            entries.push(entry(closed.words(), job, range, None, log));
        }
    }
    for (event, log) in slashed(place, Some(known.owner)).await? {
        let cut = event.toBeneficiary.saturating_add(event.burned);
        entries.push(entry("stake cut".to_owned(), None, None, Some(cut), &log));
    }
    let told = replicas::of_provider(&told(place).await?, known.number);
    let replicas: Vec<_> = told.iter().map(replica).collect();
    entries.sort_by_key(|entry| entry.block);
    if common.json {
        let all = |entries: &[Entry]| entries.iter().map(Entry::json).collect::<Vec<_>>();
        let (audits, replicas) = (all(&entries), all(&replicas));
        print_json(&json!({
            "number": known.number, "owner": known.owner, "audits": audits, "replicas": replicas,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("provider {} ({})", known.number, known.owner);
    print!("{}", table(&together(entries, replicas)).render());
    Ok(ExitCode::SUCCESS)
}

impl Entry {
    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "job": self.job,
            "range": self.range,
            "amount": self.amount.map(Amount),
            "block": self.block,
            "transaction": self.transaction,
        })
    }
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new(&[
        ("block", Align::Right),
        ("job", Align::Right),
        ("range", Align::Right),
        ("what", Align::Left),
        ("GRAIN", Align::Right),
        ("transaction", Align::Left),
    ]);
    let number = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
    for entry in entries {
        table.row([
            entry.block.to_string(),
            number(entry.job),
            number(entry.range.map(u64::from)),
            entry.what.clone(),
            entry.amount.map_or_else(String::new, |amount| format!("{:.4}", Amount(amount))),
            entry.transaction.to_string(),
        ]);
    }
    table
}

fn entry(
    what: String,
    job: Option<u64>,
    range: Option<u32>,
    amount: Option<u128>,
    log: &Log,
) -> Entry {
    let block = log.block_number.unwrap_or_default();
    let transaction = log.transaction_hash.unwrap_or_default();
    Entry { what, job, range, amount, block, transaction }
}

/// All in one list, oldest first. What a replica has cut is among the cuts of the stake already, by the same transaction.
fn together(mut entries: Vec<Entry>, replicas: Vec<Entry>) -> Vec<Entry> {
    entries.extend(replicas.into_iter().map(|entry| Entry { amount: None, ..entry }));
    entries.sort_by_key(|entry| entry.block);
    entries
}

/// What cut a stake for a replica is said twice: here, and with the cuts of stakes, which have no range.
fn replica(told: &replicas::Entry) -> Entry {
    let replicas::Entry { range, what, block, transaction } = *told;
    Entry {
        what: what.words(),
        job: Some(range.job.0),
        range: Some(range.seq),
        amount: what.cut().map(|cut| cut.0),
        block,
        transaction,
    }
}

/// A case that is over.
struct Closed {
    event: Audits::AuditClosed,
    /// Whether it was about one leaf, in which a mate differed.
    of_leaf: bool,
    log: Log,
}

impl Closed {
    fn words(&self) -> String {
        let outcome = AuditOutcome::try_from(self.event.outcome)
            .map_or_else(|error| error.to_string(), |outcome| outcome.to_string());
        if self.of_leaf { format!("{outcome}, in a disputed leaf") } else { outcome }
    }
}

async fn closed(place: &Place) -> Result<Vec<Closed>, Problem> {
    let kinds = vec![Audits::AuditDue::SIGNATURE_HASH, Audits::AuditClosed::SIGNATURE_HASH];
    let filter = Filter::new().address(place.network.contracts.audits).event_signature(kinds);
    let logs = place.link.scan(&filter, place.network.first_block).await;
    Ok(cases(logs.map_err(|error| error.problem())?))
}

/// The cases that are over, from the logs of their beginnings and ends, oldest first. A range can have two, the first of them
/// about a leaf: what begins last is what ends next.
fn cases(logs: Vec<Log>) -> Vec<Closed> {
    let mut disputed: BTreeSet<(u64, u32)> = BTreeSet::new();
    let mut over = Vec::new();
    for log in logs {
        if let Ok(due) = Audits::AuditDue::decode_log(&log.inner) {
            let range = (due.jobId, due.seq);
            if due.rate == DISPUTED_RATE {
                disputed.insert(range);
            } else {
                disputed.remove(&range);
            }
        } else if let Ok(closed) = Audits::AuditClosed::decode_log(&log.inner) {
            let event = closed.data;
            let of_leaf = disputed.contains(&(event.jobId, event.seq));
            over.push(Closed { event, of_leaf, log });
        }
    }
    over
}

/// Cuts of stakes, of one owner or of all, oldest first.
///
/// # Errors
/// Those of the chain.
pub async fn slashed(
    place: &Place,
    owner: Option<Address>,
) -> Result<Vec<(Registry::StakeSlashed, Log)>, Problem> {
    let mut filter = Filter::new()
        .address(place.network.contracts.registry)
        .event_signature(Registry::StakeSlashed::SIGNATURE_HASH);
    if let Some(owner) = owner {
        filter = filter.topic1(owner.into_word());
    }
    events(place, filter).await
}

async fn events<E: SolEvent>(place: &Place, filter: Filter) -> Result<Vec<(E, Log)>, Problem> {
    let logs = place.link.scan(&filter, place.network.first_block).await;
    let logs = logs.map_err(|error| error.problem())?;
    let read = |log: Log| Some((E::decode_log(&log.inner).ok()?.data, log));
    Ok(logs.into_iter().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use tilth_client::replicas::What;
    use tilth_protocol::{JobId, RangeId};

    use super::*;

    fn log<E: SolEvent>(event: &E) -> Log {
        let inner =
            alloy::primitives::Log { address: Address::ZERO, data: event.encode_log_data() };
        Log { inner, ..Log::default() }
    }

    #[test]
    fn a_disputed_leaf_and_the_audit_that_follows_it_are_told_apart() {
        let due = |seq, rate| log(&Audits::AuditDue { jobId: 7, seq, round: 1, provider: 5, rate });
        let over = |seq, outcome: AuditOutcome| {
            let (answer, outcome) = (B256::ZERO, outcome.into());
            let (provider, record) = (5, 0);
            log(&Audits::AuditClosed { jobId: 7, seq, outcome, answer, provider, record })
        };
        let (upheld, overturned) = (AuditOutcome::Upheld, AuditOutcome::Overturned);
        let told: Vec<_> = cases(vec![
            due(0, DISPUTED_RATE),
            due(1, 9),
            over(0, upheld),
            due(0, 9),
            over(1, upheld),
            over(0, overturned),
        ])
        .iter()
        .map(|closed| (closed.event.seq, closed.words()))
        .collect();
        let expected = [(0, "upheld, in a disputed leaf"), (1, "upheld"), (0, "overturned")];
        assert_eq!(told, expected.map(|(seq, words)| (seq, words.to_owned())));
    }

    #[test]
    fn a_cut_for_a_replica_is_in_the_sums_once() {
        let range = RangeId { job: JobId(7), seq: 2 };
        let transaction = B256::repeat_byte(5);
        let told = |what, block| replicas::Entry { range, what, block, transaction };
        let lost = What::MateLost { mate: 3, silent: false, wrong: false, cut: Amount(70) };
        let replicas: Vec<_> =
            [told(What::Drawn { mate: 3 }, 8), told(lost, 9)].iter().map(replica).collect();
        assert_eq!(replicas[1].amount, Some(70), "for programs, which have them apart");
        let (block_number, transaction_hash) = (Some(9), Some(transaction));
        let log = Log { block_number, transaction_hash, ..Log::default() };
        let cut = entry("stake cut".to_owned(), None, None, Some(70), &log);
        let all = together(vec![cut], replicas);
        let seen: Vec<_> = all.iter().map(|entry| (entry.what.as_str(), entry.amount)).collect();
        let expected = [("drawn as mate", None), ("stake cut", Some(70)), ("mate was late", None)];
        assert_eq!(seen, expected);
        assert!(all[1..].iter().all(|entry| entry.transaction == transaction));
    }
}
