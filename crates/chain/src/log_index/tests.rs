use std::ops::RangeInclusive;

use alloy_consensus::TxType;
use alloy_primitives::Log;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    block::Block,
    state::StateDiff,
    store::{Store, StoreOptions},
};

fn store() -> Store {
    Store::in_memory(&StoreOptions { history_blocks: 10, ..StoreOptions::default() }).unwrap()
}

fn log(address: u8, topics: &[u8]) -> Log {
    let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
    Log::new_unchecked(Address::repeat_byte(address), topics, Default::default())
}

fn receipts(logs: Vec<Log>) -> Vec<ExecutedReceipt> {
    vec![ExecutedReceipt::after(None, TxType::Eip1559, true, 1, logs)]
}

fn append_all(store: &Store, blocks: impl IntoIterator<Item = (u64, Vec<Log>)>) {
    let transaction = store.begin_write().unwrap();
    for (number, logs) in blocks {
        append(&transaction, number, &receipts(logs)).unwrap();
    }
    transaction.commit().unwrap();
}

fn found(store: &Store, range: RangeInclusive<u64>, conditions: &[Vec<LogKey>]) -> Vec<u64> {
    let snapshot = store.snapshot().unwrap();
    let mut search = snapshot.find_logs(range, conditions.to_vec());
    let mut found = Vec::new();
    while let Some(blocks) = search.step().unwrap() {
        found.extend(blocks);
    }
    found
}

fn address(byte: u8) -> LogKey {
    LogKey::address(&Address::repeat_byte(byte))
}

fn topic(position: usize, byte: u8) -> LogKey {
    LogKey::topic(position, &B256::repeat_byte(byte))
}

fn section_count(store: &Store) -> usize {
    use redb::ReadableTableMetadata;
    usize::try_from(store.snapshot().unwrap().log_sections.len().unwrap()).unwrap()
}

#[test]
fn rare_logs_are_found_across_sections_and_the_tail() {
    let store = store();
    let last = 3 * SECTION_BLOCKS + 100;
    // A common log in every third block, a rare one in some, at and around sections' edges.
    let rare = [0, 5, 2047, 2048, 4095, 4096, 6143, 6144, 6200, last];
    append_all(
        &store,
        (0..=last).map(|number| {
            let mut logs = vec![log(1, &[2, 3]); usize::from(number % 3 == 0)];
            logs.extend(rare.contains(&number).then(|| log(9, &[2, 4])));
            (number, logs)
        }),
    );
    assert_eq!(section_count(&store), 3);
    assert_eq!(found(&store, 0..=last, &[vec![address(9)]]), rare);
    assert_eq!(found(&store, 0..=last, &[vec![topic(1, 4)]]), rare);
    assert_eq!(found(&store, 6..=6144, &[vec![address(9)]]), rare[2..8]);
    assert_eq!(found(&store, 2047..=2047, &[vec![address(9)]]), [2047]);
    assert_eq!(found(&store, 6..=2046, &[vec![address(9)]]), [] as [u64; 0]);
    assert_eq!(found(&store, 0..=last, &[vec![topic(0, 4)]]), [] as [u64; 0]);
    let both = found(&store, 0..=last, &[vec![address(1)], vec![topic(1, 4), topic(1, 7)]]);
    assert_eq!(both, rare.into_iter().filter(|number| number % 3 == 0).collect::<Vec<_>>());
    let either = found(&store, 0..=20, &[vec![address(1), address(9)]]);
    assert_eq!(either, [0, 3, 5, 6, 9, 12, 15, 18]);
    assert_eq!(found(&store, 0..=8, &[]), [0, 3, 5, 6]);
    #[expect(clippy::reversed_empty_ranges, reason = "nothing is in an empty range")]
    let nothing = 5..=4;
    assert_eq!(found(&store, nothing, &[]), [] as [u64; 0]);
    assert_eq!(found(&store, last + 1..=u64::MAX, &[]), [] as [u64; 0]);
    assert_eq!(found(&store, 0..=u64::MAX, &[vec![address(9)]]), rare);
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.has_indexed(2048, &receipts(vec![log(9, &[2, 4])])).unwrap());
    assert!(!snapshot.has_indexed(2048, &receipts(vec![log(8, &[])])).unwrap());
    assert!(!snapshot.has_indexed(last + 1, &receipts(vec![log(9, &[])])).unwrap());
}

#[test]
fn blocks_full_of_logs_make_shorter_sections() {
    let store = store();
    let many = |number: u64| {
        let log = |index: u64| {
            let topic = B256::from(alloy_primitives::U256::from(number * 10_000 + index));
            Log::new_unchecked(Address::repeat_byte(1), vec![topic], Default::default())
        };
        (number, (0..10_000).map(log).collect::<Vec<_>>())
    };
    append_all(&store, (0..20).map(many));
    assert_eq!(section_count(&store), 2);
    for number in 0..20_u64 {
        let topic = B256::from(alloy_primitives::U256::from(number * 10_000 + 77));
        let blocks = found(&store, 0..=19, &[vec![LogKey::topic(0, &topic)]]);
        assert!(blocks.contains(&number) && blocks.len() < 4, "{number}: {blocks:?}");
    }
    assert_eq!(found(&store, 0..=19, &[vec![address(1)]]).len(), 20);
}

#[test]
fn a_chain_that_begins_at_a_snapshot_is_indexed_from_there() {
    let store = store();
    append_all(&store, [(0, vec![log(1, &[])])]);
    append_all(&store, (1_000_000..1_000_010).map(|number| (number, vec![log(2, &[])])));
    // A block that is there already changes nothing.
    append_all(&store, [(0, vec![log(5, &[])])]);
    assert_eq!(found(&store, 0..=2_000_000, &[vec![address(1)]]), [0]);
    assert_eq!(found(&store, 0..=2_000_000, &[vec![address(2)]]).len(), 10);
    assert_eq!(found(&store, 0..=2_000_000, &[vec![address(5)]]), [] as [u64; 0]);
}

#[test]
fn committed_blocks_are_indexed() {
    let store = store();
    let block = |number| {
        let header = alloy_consensus::Header { number, ..Default::default() };
        Block::new(alloy_consensus::Sealed::new(header), Vec::new())
    };
    for number in 0..5 {
        let logs = receipts(vec![log(u8::try_from(number).unwrap(), &[])]);
        store.commit(&block(number), &logs, &StateDiff::default()).unwrap();
    }
    assert_eq!(found(&store, 0..=4, &[vec![address(3)]]), [3]);
}

#[test]
fn damaged_records_are_refused_and_not_believed() {
    let entries: Vec<u64> = (0..500).map(|n| (7 << 56) | (n % 50) << 32 | n).collect();
    let mut entries = entries;
    entries.sort_unstable();
    let record = encode_bucket(&entries);
    for cut in 0..record.len() {
        let mut set = [0; WORDS];
        let _ = read_bucket(&record[..cut], &[49], &mut set);
    }
    for index in 0..record.len() {
        let mut changed = record.clone();
        changed[index] ^= 0xff;
        let mut set = [0; WORDS];
        let _ = read_bucket(&changed, &[1, 20, 49], &mut set);
    }
    assert!(Section::decode(0, &[0; 257]).is_none());
    assert!(Section::decode(0, &[0xff; 258]).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Every block that has the logs is found, and nearly nothing else is.
    #[test]
    fn what_is_there_is_found(
        blocks in vec(vec((0..6_u8, vec(0..5_u8, 0..3)), 0..3), 1..60),
        gaps in vec(1..150_u64, 60),
        (from, length) in (0..3000_u64, 0..9000_u64),
        addresses in vec(0..6_u8, 0..3),
        topics in vec(vec(0..5_u8, 0..3), 0..3),
    ) {
        let store = store();
        let mut chain = Vec::new();
        let mut next = 0;
        for (logs, gap) in blocks.iter().zip(gaps) {
            chain.extend((next..next + gap - 1).map(|number| (number, Vec::new())));
            let logs = logs.iter().map(|(address, topics)| log(*address, topics)).collect();
            chain.push((next + gap - 1, logs));
            next += gap;
        }
        append_all(&store, chain.iter().cloned());
        let mut conditions = Vec::new();
        if !addresses.is_empty() {
            conditions.push(addresses.iter().map(|byte| address(*byte)).collect());
        }
        for (position, bytes) in topics.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
            conditions.push(bytes.iter().map(|byte| topic(position, *byte)).collect());
        }
        let expected: Vec<u64> = chain
            .iter()
            .filter(|(number, logs)| {
                let has_address = addresses.is_empty()
                    || logs.iter().any(|log| addresses.contains(&log.address[0]));
                let has_topics = topics.iter().enumerate().all(|(position, bytes)| {
                    let at = |log: &Log| log.topics().get(position).is_some_and(|t| bytes.contains(&t[0]));
                    bytes.is_empty() || logs.iter().any(at)
                });
                !logs.is_empty() && has_address && has_topics
                    && (from..=from + length).contains(number)
            })
            .map(|(number, _)| *number)
            .collect();
        prop_assert_eq!(found(&store, from..=from + length, &conditions), expected);
    }
}
