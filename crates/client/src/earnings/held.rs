//! What an auditor has earned for ranges that it holds for their clients.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use tilth_contracts::{Auditors, Holders};
use tilth_protocol::{Amount, ContentHash, JobId, RangeId};

use super::{Entry, Source};
use crate::{ChainError, Link};

/// What the chain says about the signatures of an owner's auditor; nothing if it has none.
pub(super) async fn signed(
    link: &Link,
    first_block: u64,
    owner: Address,
) -> Result<Vec<Log>, ChainError> {
    let number = link.read(link.addresses().auditors, Auditors::numberOfCall { owner }).await?;
    if number == 0 {
        return Ok(Vec::new());
    }
    let filter = Filter::new()
        .address(link.addresses().holders)
        .event_signature(Holders::Held::SIGNATURE_HASH)
        .topic3(B256::from(U256::from(number)));
    link.scan(&filter, first_block).await
}

/// The fees that were paid with them.
pub(super) fn held(
    logs: &[Log],
    programs: &BTreeMap<u64, ContentHash>,
    time: impl Fn(&Log) -> u64,
) -> Vec<Entry> {
    let entry = |log: &Log| {
        let event = Holders::Held::decode_log(&log.inner).ok()?;
        Some(Entry {
            at: time(log),
            block: log.block_number.unwrap_or(0),
            source: Source::Held(RangeId { job: JobId(event.jobId), seq: event.seq }),
            program: programs.get(&event.jobId).copied(),
            tasks: 0,
            units: 0,
            paid: Amount(event.fee.to::<u128>()),
            fee: Amount::ZERO,
            lost: Amount::ZERO,
        })
    };
    logs.iter().filter_map(entry).collect()
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
}
