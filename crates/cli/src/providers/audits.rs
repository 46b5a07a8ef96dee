//! What audits and replicas have found about providers, from the events that prove it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use alloy::{
    primitives::B256,
    rpc::types::{Filter, Log},
    sol_types::SolEvent as _,
};
use serde_json::{Value, json};
use tilth_client::replicas;
use tilth_contracts::{AuditOutcome, Audits, Registry};
use tilth_protocol::{Amount, Problem};
use tilth_verification::walk::DISPUTED_RATE;

use super::{
    cuts::{self, Cut},
    percent,
};
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
    /// What its stake was cut by, base units.
    pub slashed: u128,
}

/// How a provider stands with the auditors, as the contract has it now: not all that ends a record is said by an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How often it is audited, billionths.
    pub rate: u64,
    /// Value of its upheld audits since it was last found to be wrong or silent, base units.
    pub record: u128,
}

/// Reads that of the provider with this number.
///
/// # Errors
/// Those of the chain.
pub async fn standing(place: &Place, provider: u32) -> Result<Standing, Problem> {
    let audits = place.network.contracts.audits;
    let rate = place.link.read(audits, Audits::rateOfCall { provider }).await;
    let rate = rate.map_err(|error| error.problem())?.saturating_to::<u64>();
    let record = place.link.read(audits, Audits::recordCall { provider }).await;
    Ok(Standing { rate, record: record.map_err(|error| error.problem())? })
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
    for event in slashed(place).await? {
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
    let standing = standing(place, known.number).await?;
    let mut over = closed(place).await?;
    over.retain(|closed| closed.event.provider == known.number);
    let mut entries: Vec<_> = over.iter().map(audit).collect();
    let over = over.into_iter().map(|closed| closed.log).collect();
    let cuts = cuts::of(place, (known.owner, known.number), over).await?;
    entries.extend(cuts.iter().map(cut));
    let told = replicas::of_provider(&told(place).await?, known.number);
    let replicas: Vec<_> = told.iter().map(replica).collect();
    entries.sort_by_key(|entry| entry.block);
    if common.json {
        let all = |entries: &[Entry]| entries.iter().map(Entry::json).collect::<Vec<_>>();
        let (audits, replicas) = (all(&entries), all(&replicas));
        print_json(&json!({
            "number": known.number, "owner": known.owner,
            "record": Amount(standing.record), "audit-rate-billionths": standing.rate,
            "audits": audits, "replicas": replicas,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("provider {} ({})", known.number, known.owner);
    println!("{}", record(standing));
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

/// What its record is, and how often that has it audited.
fn record(standing: Standing) -> String {
    let Standing { rate, record } = standing;
    let rate = percent(rate);
    format!("record {:.4} GRAIN of upheld audits; {rate} of its ranges are audited", Amount(record))
}

/// The end of an audit.
fn audit(closed: &Closed) -> Entry {
    let Closed { event, log, .. } = closed;
    entry(closed.words(), Some(event.jobId), Some(event.seq), None, log)
}

/// A cut of the stake, with the range that it was for where the chain says which.
fn cut(cut: &Cut) -> Entry {
    let range = cut.cause.map(|cause| cause.range);
    let (job, range) = (range.map(|range| range.job.0), range.map(|range| range.seq));
    entry(cut.words(), job, range, Some(cut.amount), &cut.log)
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

/// What cut a stake for a replica is said twice: here, and with the cuts of stakes.
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

/// Cuts of all stakes, oldest first.
async fn slashed(place: &Place) -> Result<Vec<Registry::StakeSlashed>, Problem> {
    let filter = Filter::new()
        .address(place.network.contracts.registry)
        .event_signature(Registry::StakeSlashed::SIGNATURE_HASH);
    let logs = place.link.scan(&filter, place.network.first_block).await;
    let logs = logs.map_err(|error| error.problem())?;
    let read = |log: &Log| Some(Registry::StakeSlashed::decode_log(&log.inner).ok()?.data);
    Ok(logs.iter().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use alloy::{primitives::Address, sol_types::SolEvent};
    use tilth_client::replicas::What;
    use tilth_protocol::{JobId, RangeId};

    use super::cuts::Cause;

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
    fn a_record_is_said_with_what_it_does() {
        let standing = Standing { rate: 512_000_000, record: 1_234_500_000_000_000_000 };
        let said = "record 1.2345 GRAIN of upheld audits; 51.2 % of its ranges are audited";
        assert_eq!(record(standing), said);
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
        let cause = Some(Cause { why: "late as a mate", range });
        let cut = cut(&Cut { cause, amount: 70, log });
        assert_eq!((cut.job, cut.range), (Some(7), Some(2)), "the cut itself names neither");
        let all = together(vec![cut], replicas);
        let seen: Vec<_> = all.iter().map(|entry| (entry.what.as_str(), entry.amount)).collect();
        let expected = [
            ("drawn as mate", None),
            ("stake cut: late as a mate", Some(70)),
            ("mate was late", None),
        ];
        assert_eq!(seen, expected);
        assert!(all[1..].iter().all(|entry| entry.transaction == transaction));
    }
}
