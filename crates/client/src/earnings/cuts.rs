//! What was cut from a provider's stake beyond the bonds of single ranges: results that an audit overturned, silence in an
//! audit, and ranges that it owed as a mate.

use alloy::{
    rpc::types::Log,
    sol_types::{SolEvent, SolEventInterface},
};
use tilth_contracts::{JobBook::JobBookEvents, Registry, Replicas};
use tilth_protocol::{JobId, RangeId};

use super::Source;

/// A cut of the stake: the range that was rejected before it in the same transaction, or is said after it to have lost its
/// mate, how much in base units, and where.
pub(super) struct Cut<'a> {
    pub(super) source: Source,
    pub(super) amount: u128,
    pub(super) log: &'a Log,
}

/// The cuts in logs of one provider, which are in the order of the chain, without those that are the bond of a range:
/// the range's own event, which follows the cut, says that.
pub(super) fn cuts<'a>(logs: &[&'a Log]) -> Vec<Cut<'a>> {
    let mut cuts: Vec<Cut<'a>> = Vec::new();
    let mut rejected: Option<(&Log, RangeId)> = None;
    for &log in logs {
        let together = |other: &Log| {
            (other.block_number, other.transaction_hash) == (log.block_number, log.transaction_hash)
        };
        if let Ok(event) = Registry::StakeSlashed::decode_log(&log.inner) {
            let range = rejected.filter(|&(other, _)| together(other)).map(|(_, range)| range);
            let amount = event.toBeneficiary.saturating_add(event.burned);
            cuts.push(Cut { source: range.map_or(Source::Unknown, Source::Range), amount, log });
            continue;
        }
        if let Ok(lost) = Replicas::MateLost::decode_log(&log.inner) {
            let unexplained = |cut: &&mut Cut<'a>| {
                cut.source == Source::Unknown && cut.amount == lost.cut && together(cut.log)
            };
            if let Some(cut) = cuts.iter_mut().rev().find(unexplained) {
                cut.source = Source::Range(RangeId { job: JobId(lost.jobId), seq: lost.seq });
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
        let same = |cut: &Cut<'a>| bond > 0 && cut.amount == bond && together(cut.log);
        if let Some(place) = cuts.iter().rposition(same) {
            cuts.remove(place);
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, Log as Plain};
    use tilth_contracts::JobBook;

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
        let found: Vec<_> = cuts(&logs.iter().collect::<Vec<_>>())
            .iter()
            .map(|cut| (cut.source, cut.amount, cut.log.block_number.unwrap()))
            .collect();
        let range = Source::Range(RangeId { job: JobId(8), seq: 2 });
        assert_eq!(found, [(range, 1_001, 4), (range, 40_000, 4), (Source::Unknown, 5, 5)]);
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
        let logs: Vec<_> = logs.iter().collect();
        let found: Vec<_> = cuts(&logs).iter().map(|cut| (cut.source, cut.amount)).collect();
        let range = |seq| Source::Range(RangeId { job: JobId(8), seq });
        assert_eq!(found, [(range(2), 70), (range(3), 5), (range(4), 5), (Source::Unknown, 9)]);
    }
}
