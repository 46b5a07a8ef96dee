//! What was cut from a provider's stake beyond the bonds of single ranges: results that an audit overturned, silence in an
//! audit, and ranges that it owed as a mate.

use std::collections::{BTreeMap, HashMap};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::{SolEvent, SolEventInterface},
};
use tilth_client::earnings::Entry;
use tilth_contracts::{JobBook, JobBook::JobBookEvents, Registry, Replicas};
use tilth_protocol::{Amount, JobId, Problem, RangeId};

use crate::{place::Place, providers::audits::slashed};

/// Of a cut that no range explains. Jobs are counted from 1.
pub(super) const NO_RANGE: RangeId = RangeId { job: JobId(0), seq: 0 };

/// A cut of the stake: the range that was rejected before it in the same transaction, or is said after it to have lost its
/// mate, how much, and where.
struct Cut<'a> {
    range: RangeId,
    amount: u128,
    log: &'a Log,
}

/// Adds the cuts to a provider's entries, in the order of the chain.
///
/// # Errors
/// Those of the chain.
pub async fn add(place: &Place, owner: Address, entries: &mut Vec<Entry>) -> Result<(), Problem> {
    let mut logs: Vec<Log> =
        slashed(place, Some(owner)).await?.into_iter().map(|(_, log)| log).collect();
    if logs.is_empty() {
        return Ok(());
    }
    let told = |error: tilth_client::ChainError| error.problem();
    let explaining = [
        JobBook::RangeReleased::SIGNATURE_HASH,
        JobBook::RangeExpired::SIGNATURE_HASH,
        JobBook::RangeRejected::SIGNATURE_HASH,
    ];
    let filter = Filter::new()
        .address(place.network.contracts.job_book)
        .event_signature(explaining.to_vec())
        .topic3(owner.into_word());
    let ranges = place.link.scan(&filter, place.network.first_block).await.map_err(told)?;
    logs.extend(ranges);
    logs.extend(lost_as_mate(place, owner).await?);
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    let programs: BTreeMap<_, _> =
        entries.iter().filter_map(|entry| Some((entry.range?.job, entry.program))).collect();
    let mut times = HashMap::new();
    for Cut { range, amount, log } in cuts(&logs) {
        let block = log.block_number.unwrap_or_default();
        let at = match log.block_timestamp.or_else(|| times.get(&block).copied()) {
            Some(at) => at,
            // Not every node says the time with the log.
            None => place.link.time_of(block).await.map_err(told)?,
        };
        times.insert(block, at);
        entries.push(Entry {
            at,
            block,
            range: Some(range),
            program: programs.get(&range.job).copied().flatten(),
            tasks: 0,
            units: 0,
            paid: Amount::ZERO,
            fee: Amount::ZERO,
            lost: Amount(amount),
        });
    }
    entries.sort_by_key(|entry| entry.block);
    Ok(())
}

/// What the chain says about the ranges that a provider owed as a mate.
async fn lost_as_mate(place: &Place, owner: Address) -> Result<Vec<Log>, Problem> {
    let told = |error: tilth_client::ChainError| error.problem();
    let call = Registry::providerCall { owner };
    let known = place.link.read(place.network.contracts.registry, call).await.map_err(told)?;
    let filter = Filter::new()
        .address(place.network.contracts.replicas)
        .event_signature(Replicas::MateLost::SIGNATURE_HASH)
        .topic3(B256::from(U256::from(known.number)));
    place.link.scan(&filter, place.network.first_block).await.map_err(told)
}

/// The cuts in logs of one provider, which are in the order of the chain, without those that are the bond of a range: the
/// range's own event, which follows the cut, says that.
fn cuts(logs: &[Log]) -> Vec<Cut<'_>> {
    let mut cuts: Vec<Cut<'_>> = Vec::new();
    let mut rejected: Option<(&Log, RangeId)> = None;
    for log in logs {
        let together = |other: &Log| {
            (other.block_number, other.transaction_hash) == (log.block_number, log.transaction_hash)
        };
        if let Ok(event) = Registry::StakeSlashed::decode_log(&log.inner) {
            let range = rejected.filter(|&(other, _)| together(other)).map(|(_, range)| range);
            let amount = event.toBeneficiary.saturating_add(event.burned);
            cuts.push(Cut { range: range.unwrap_or(NO_RANGE), amount, log });
            continue;
        }
        if let Ok(lost) = Replicas::MateLost::decode_log(&log.inner) {
            let unexplained = |cut: &&mut Cut<'_>| {
                cut.range == NO_RANGE && cut.amount == lost.cut && together(cut.log)
            };
            if let Some(cut) = cuts.iter_mut().rev().find(unexplained) {
                cut.range = RangeId { job: JobId(lost.jobId), seq: lost.seq };
            }
            continue;
        }
        let bond = match JobBookEvents::decode_log(&log.inner).map(|event| event.data) {
            Ok(JobBookEvents::RangeRejected(e)) => {
                rejected = Some((log, RangeId { job: JobId(e.jobId), seq: e.seq }));
                continue;
            }
            Ok(JobBookEvents::RangeReleased(e)) => e.bond,
            Ok(JobBookEvents::RangeExpired(e)) => e.bond,
            _ => continue,
        };
        // Earnings have the bond already.
        let same = |cut: &Cut<'_>| bond > 0 && cut.amount == bond && together(cut.log);
        if let Some(place) = cuts.iter().rposition(same) {
            cuts.remove(place);
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Log as Plain};

    use super::*;

    fn log<E: SolEvent>(event: &E, transaction: u8) -> Log {
        let inner = Plain { address: Address::ZERO, data: event.encode_log_data() };
        let transaction_hash = Some(B256::repeat_byte(transaction));
        let block_number = Some(u64::from(transaction));
        Log { inner, block_number, transaction_hash, ..Log::default() }
    }

    fn slash(cut: u128) -> Registry::StakeSlashed {
        Registry::StakeSlashed {
            owner: Address::ZERO,
            beneficiary: Address::ZERO,
            toBeneficiary: cut / 2,
            burned: cut - cut / 2,
            stake: 0,
            unbonding: 0,
        }
    }

    #[test]
    fn a_cut_counts_once_and_with_the_range_that_was_overturned() {
        let provider = Address::ZERO;
        let late = |seq, bond| JobBook::RangeExpired { jobId: 7, seq, provider, bond, escrow: 0 };
        let back =
            JobBook::RangeReleased { jobId: 7, seq: 3, provider, releases: 4, bond: 11, escrow: 0 };
        let free = JobBook::RangeReleased { bond: 0, ..back.clone() };
        let rejected = JobBook::RangeRejected { jobId: 8, seq: 2, provider, escrow: 0 };
        let logs = [
            // Two late ranges at once, and one that was given back: their bonds.
            log(&slash(5), 1),
            log(&late(0, 5), 1),
            log(&slash(5), 1),
            log(&late(1, 5), 1),
            log(&slash(11), 2),
            log(&back, 2),
            log(&free, 3),
            // An audit: the fees of its auditors, then the whole stake.
            log(&rejected, 4),
            log(&slash(1_001), 4),
            log(&slash(40_000), 4),
            // Another verdict, about a range that was not there any more; and a stake that had nothing left for a bond.
            log(&slash(5), 5),
            log(&late(4, 0), 6),
        ];
        let found: Vec<_> = cuts(&logs)
            .iter()
            .map(|cut| (cut.range, cut.amount, cut.log.block_number.unwrap()))
            .collect();
        let range = RangeId { job: JobId(8), seq: 2 };
        assert_eq!(found, [(range, 1_001, 4), (range, 40_000, 4), (NO_RANGE, 5, 5)]);
    }

    #[test]
    fn a_cut_for_a_range_of_which_one_was_the_mate_has_that_range() {
        let lost = |seq, cut| Replicas::MateLost { jobId: 8, seq, number: 3, why: 0, cut };
        let logs = [
            log(&slash(70), 1),
            log(&lost(2, 70), 1),
            // Two of them at once.
            log(&slash(5), 2),
            log(&lost(3, 5), 2),
            log(&slash(5), 2),
            log(&lost(4, 5), 2),
            // Nothing was left to be cut; and a cut that has another reason.
            log(&lost(5, 0), 3),
            log(&slash(9), 4),
        ];
        let found: Vec<_> = cuts(&logs).iter().map(|cut| (cut.range, cut.amount)).collect();
        let range = |seq| RangeId { job: JobId(8), seq };
        assert_eq!(found, [(range(2), 70), (range(3), 5), (range(4), 5), (NO_RANGE, 9)]);
    }
}
