//! A look at the logs in stored receipts without decoding them.

use alloy_primitives::{Address, B256};

use super::{list_payload, skip_item};

/// Which receipts of a stored list have a log that `wanted` accepts by address and topics, in order.
/// `None` if the bytes are not such a list.
pub(crate) fn receipts_with(
    stored: &[u8],
    mut wanted: impl FnMut(&Address, &[B256]) -> bool,
) -> Option<Vec<usize>> {
    let mut receipts = list_payload(stored)?;
    let mut found = Vec::new();
    let mut index = 0;
    while !receipts.is_empty() {
        let receipt = receipts;
        skip_item(&mut receipts)?;
        let mut logs = first_list(list_payload(receipt)?)?;
        logs = list_payload(logs)?;
        while !logs.is_empty() {
            let log = logs;
            skip_item(&mut logs)?;
            let mut fields = list_payload(log)?;
            // An address and a topic have one byte of head each.
            let address: &[u8; 20] = fields.get(1..21)?.try_into().ok()?;
            skip_item(&mut fields)?;
            let mut items = list_payload(fields)?;
            let mut topics = [B256::ZERO; TOPICS_MAX];
            let mut count = 0;
            while let Some(item) = items.get(..33) {
                *topics.get_mut(count)? = B256::from_slice(&item[1..]);
                items = &items[33..];
                count += 1;
            }
            if wanted(&Address::from(*address), &topics[..count]) {
                found.push(index);
                break;
            }
        }
        index += 1;
    }
    Some(found)
}

/// Topics a log can have.
const TOPICS_MAX: usize = 4;

/// The first of some items that is a list: of a receipt the logs.
fn first_list(mut items: &[u8]) -> Option<&[u8]> {
    while *items.first()? < 0xc0 {
        skip_item(&mut items)?;
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use alloy_consensus::TxType;
    use alloy_primitives::{Bytes, Log};

    use super::*;
    use crate::block::ExecutedReceipt;

    #[test]
    fn sees_what_decoding_gives() {
        let log = |seed: u8, topics: u8| {
            let topics = (0..topics).map(|topic| B256::repeat_byte(seed ^ topic)).collect();
            let data = Bytes::from(vec![seed; usize::from(seed) * 3]);
            Log::new_unchecked(Address::repeat_byte(seed), topics, data)
        };
        let mut receipts: Vec<ExecutedReceipt> = Vec::new();
        for number in 0..40_u8 {
            let logs = (0..number % 4).map(|index| log(number * 4 + index, (number + index) % 5));
            let receipt = ExecutedReceipt::after(
                receipts.last(),
                TxType::Eip1559,
                true,
                21_000 + u64::from(number),
                logs.collect(),
            );
            receipts.push(receipt);
        }
        let stored = alloy_rlp::encode(&receipts);
        let mut seen = Vec::new();
        let all = receipts_with(&stored, |address, topics| {
            seen.push((*address, topics.to_vec()));
            false
        });
        assert_eq!(all, Some(vec![]));
        let logs = receipts.iter().flat_map(|receipt| &receipt.logs);
        let expected: Vec<_> = logs.map(|log| (log.address, log.topics().to_vec())).collect();
        assert_eq!(seen, expected);
        let odd = receipts_with(&stored, |address, _| address[0] % 2 == 1).unwrap();
        let has_odd =
            |receipt: &ExecutedReceipt| receipt.logs.iter().any(|log| log.address[0] % 2 == 1);
        let expected: Vec<usize> =
            (0..receipts.len()).filter(|index| has_odd(&receipts[*index])).collect();
        assert_eq!(odd, expected);
        for cut in 0..stored.len() {
            assert_eq!(receipts_with(&stored[..cut], |_, _| true), None);
        }
    }
}
