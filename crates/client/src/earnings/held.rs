//! What an auditor has earned for what it holds for others, and for looking whether others do.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::{SolEvent, SolEventInterface},
};
use tilth_contracts::{Auditors, Holders, Holders::HoldersEvents, Spots, Spots::SpotsEvents};
use tilth_protocol::{Amount, ContentHash, JobId, RangeId};

use super::{Entry, MAX_TOPICS, Source, jobs_of};
use crate::{ChainError, Link};

/// What the chain says about the signatures of an owner's auditor, about what became of what it has signed for, and of where
/// it has looked, in the chain's order; nothing if it has none.
pub(super) async fn signed(
    link: &Link,
    first_block: u64,
    owner: Address,
) -> Result<Vec<Log>, ChainError> {
    let number = link.read(link.addresses().auditors, Auditors::numberOfCall { owner }).await?;
    if number == 0 {
        return Ok(Vec::new());
    }
    let filter = Filter::new().address(vec![link.addresses().holders, link.addresses().spots]);
    let own = [Holders::Held::SIGNATURE_HASH, Spots::Spotted::SIGNATURE_HASH];
    let own = filter.clone().event_signature(own.to_vec()).topic3(B256::from(U256::from(number)));
    let mut logs = link.scan(&own, first_block).await?;
    let jobs = jobs_of(logs.iter().filter(|log| is_signature(log)));
    let others = [Holders::HoldAsked::SIGNATURE_HASH, Spots::SpotOver::SIGNATURE_HASH];
    let others = filter.event_signature(others.to_vec());
    for jobs in jobs.chunks(MAX_TOPICS) {
        logs.extend(link.scan(&others.clone().topic1(jobs.to_vec()), first_block).await?);
    }
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    Ok(logs)
}

fn is_signature(log: &Log) -> bool {
    log.topic0() == Some(&Holders::Held::SIGNATURE_HASH)
}

/// The fees that were paid with them: when it was signed, when it was seen to be served, and for looking.
pub(super) fn held(
    logs: &[Log],
    programs: &BTreeMap<u64, ContentHash>,
    time: impl Fn(&Log) -> u64,
) -> Vec<Entry> {
    let at = |job: u64, seq: u32| RangeId { job: JobId(job), seq };
    // Draws for which it has signed in the latest ask.
    let mut draws: BTreeMap<RangeId, u16> = BTreeMap::new();
    let mut all = Vec::new();
    for log in logs {
        let Some(said) = Said::of(log) else { continue };
        let (source, paid) = match said {
            Said::Holders(HoldersEvents::HoldAsked(e)) => {
                // Whoever has signed before has got what it gets.
                draws.remove(&at(e.jobId, e.seq));
                continue;
            }
            Said::Holders(HoldersEvents::Held(e)) => {
                let range = at(e.jobId, e.seq);
                *draws.entry(range).or_default() |= bit(e.draw);
                (Source::Held(range), e.fee.to::<u128>())
            }
            Said::Spots(SpotsEvents::Spotted(e)) => {
                (Source::Looked(at(e.jobId, e.seq)), e.fee.to::<u128>())
            }
            Said::Spots(SpotsEvents::SpotOver(e)) => {
                let range = at(e.jobId, e.seq);
                let served = draws.remove(&range).unwrap_or(0) & e.served;
                if served == 0 {
                    continue;
                }
                // 96 bits, 15 times at most.
                let fee = e.fee.to::<u128>().saturating_mul(served.count_ones().into());
                (Source::Served(range), fee)
            }
            _ => continue,
        };
        all.push(Entry {
            at: time(log),
            block: log.block_number.unwrap_or(0),
            source,
            program: source.range().and_then(|range| programs.get(&range.job.0).copied()),
            tasks: 0,
            units: 0,
            paid: Amount(paid),
            fee: Amount::ZERO,
            lost: Amount::ZERO,
        });
    }
    all
}

/// What one of the two contracts says.
enum Said {
    Holders(HoldersEvents),
    Spots(SpotsEvents),
}

impl Said {
    /// No event of the one has the signature of one of the other.
    fn of(log: &Log) -> Option<Self> {
        let by_holders =
            HoldersEvents::decode_log(&log.inner).ok().map(|said| Self::Holders(said.data));
        by_holders.or_else(|| Some(Self::Spots(SpotsEvents::decode_log(&log.inner).ok()?.data)))
    }
}

fn bit(draw: u8) -> u16 {
    1_u16.checked_shl(draw.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Log as Plain, aliases::U96};

    use super::*;
    use crate::earnings::sums;

    #[test]
    fn what_is_held_earns_its_fee_and_is_no_range_of_the_holders_own() {
        let signature =
            |draw| Holders::Held { jobId: 7, seq: 3, number: 4, draw, fee: U96::from(60) };
        let logs = [signature(1), signature(9)].map(|event| {
            let inner = Plain { address: Address::ZERO, data: event.encode_log_data() };
            Log { inner, block_number: Some(5), ..Log::default() }
        });
        // The topic by which an auditor's own are found.
        assert_eq!(logs[0].topics()[3], B256::from(U256::from(4)));
        let programs = BTreeMap::from([(7, ContentHash([9; 32]))]);
        let read = held(&logs, &programs, |_| 300);
        let Entry { at, block, source, program, paid, .. } = read[0].clone();
        assert_eq!((at, block, paid), (300, 5, Amount(60)));
        assert_eq!(source, Source::Held(RangeId { job: JobId(7), seq: 3 }));
        assert_eq!(program, Some(ContentHash([9; 32])));
        let all = sums(&read, |_| String::new()).unwrap()[0].sums;
        assert_eq!((all.ranges, all.paid, all.gross), (0, Amount(120), Amount(120)));
        assert_eq!((all.tasks, all.fees, all.net()), (0, Amount::ZERO, ("", Amount(120))));
    }

    fn log(event: &impl SolEvent) -> Log {
        let inner = Plain { address: Address::ZERO, data: event.encode_log_data() };
        Log { inner, block_number: Some(5), ..Log::default() }
    }

    #[test]
    fn second_halves_are_of_the_draws_that_were_seen_to_serve_in_the_latest_ask() {
        let fee = U96::from(60);
        let signed = |seq, draw| log(&Holders::Held { jobId: 7, seq, number: 4, draw, fee });
        let asked = |asked| {
            let (round, mib, reserved) = (1, 1, U96::from(0));
            let provider = Address::ZERO;
            log(&Holders::HoldAsked { jobId: 7, seq: 3, provider, round, mib, asked, reserved })
        };
        let over = |seq, served| log(&Spots::SpotOver { jobId: 7, seq, served, fee });
        let looked =
            Spots::Spotted { jobId: 8, seq: 1, number: 4, draw: 2, seen: 1, fee: U96::from(5) };
        // What others have signed for, or nobody has served, is not paid to us.
        let logs = [
            asked(1),
            signed(3, 1),
            asked(2),
            signed(3, 2),
            signed(3, 9),
            signed(3, 14),
            signed(4, 0),
            log(&looked),
            over(4, 0b10),
            over(5, 0b11),
            over(3, 0b10_0000_0111),
        ];
        let read = held(&logs, &BTreeMap::from([(7, ContentHash([9; 32]))]), |_| 300);
        let of = |seq| RangeId { job: JobId(7), seq };
        let paid = |wanted: Source| {
            let of_it = read.iter().filter(|entry| entry.source == wanted);
            of_it.map(|entry| entry.paid.0).collect::<Vec<_>>()
        };
        assert_eq!(paid(Source::Held(of(3))), [60; 4]);
        assert_eq!(paid(Source::Held(of(4))), [60]);
        assert_eq!(paid(Source::Served(of(3))), [120]);
        assert_eq!(paid(Source::Looked(RangeId { job: JobId(8), seq: 1 })), [5]);
        assert_eq!(read.len(), 7);
        let served = read.last().unwrap();
        assert_eq!((served.program, served.units), (Some(ContentHash([9; 32])), 0));
    }
}
