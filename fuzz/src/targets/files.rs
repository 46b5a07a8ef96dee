//! Files the node reads: snapshots and the pool's journal.
//!
//! Both have checksums, which random bytes never have right. So each input is also read with the
//! checksums put right, for only then its content is looked at.

use alloy::primitives::keccak256;
use tilth_chain::{
    pool::PoolJournal,
    snapshot::{self as chain_snapshot, ImportOptions},
};

/// A snapshot file: it becomes a chain or it is refused, and then nothing is left of it.
pub fn snapshot(data: &[u8]) {
    imported(data);
    let fixed = with_checksums(data);
    if fixed != data {
        imported(&fixed);
    }
}

fn imported(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("file");
    std::fs::write(&file, data).expect("a temporary file");
    let chain = dir.path().join("chain");
    let options = ImportOptions::default();
    let imported = chain_snapshot::import(&file, &chain, &options, &mut |_| {});
    assert_eq!(imported.is_ok(), chain.join("chain.redb").exists());
    let left = std::fs::read_dir(&chain).map_or(0, |entries| entries.count());
    assert!(imported.is_ok() || left == 0, "files are left: {imported:?}");
}

/// The same chunks, each with the right checksum.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    const HEAD: usize = 37;
    let mut fixed = data.to_vec();
    let (mut at, mut position) = (16, 0_u64);
    while let Some(&[kind, a, b, c, d]) = data.get(at..at + 5) {
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let start = at + HEAD;
        let Some(content) = start.checked_add(length).and_then(|end| data.get(start..end)) else {
            break;
        };
        let checksum = keccak256([&[kind], &position.to_be_bytes()[..], content].concat());
        fixed[at + 5..start].copy_from_slice(checksum.as_slice());
        at = start + length;
        position += 1;
    }
    fixed
}

/// The pool's journal: damaged records are dropped, what is read is within the bounds.
pub fn journal(data: &[u8]) {
    let (fixed, records) = with_checks(data);
    for bytes in [data, &fixed] {
        const TRANSACTION_MAX: usize = 4096;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("journal");
        std::fs::write(&path, bytes).expect("a temporary file");
        let (mut journal, found) =
            PoolJournal::open(path.clone(), 1 << 20, TRANSACTION_MAX).expect("a readable file");
        assert!(found.iter().all(|transaction| transaction.len() <= TRANSACTION_MAX));
        assert!(found.iter().map(Vec::len).sum::<usize>() <= data.len());
        if bytes == fixed {
            assert_eq!(found, records, "a sound record was dropped, or a wrong one taken");
        }
        // Written anew it holds the same, whatever stood there.
        journal.rewrite(found.clone()).expect("a writable file");
        journal.append(b"one more").expect("there is room");
        let again = PoolJournal::open(path, 1 << 20, TRANSACTION_MAX).expect("a readable file").1;
        assert_eq!(again.split_last(), Some((&b"one more".to_vec(), &found[..])));
    }
}

/// The same records, each with the right check, and those that must then be found.
fn with_checks(data: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut fixed = b"tilthtx1".to_vec();
    let mut records = Vec::new();
    let mut rest = data.get(8..).unwrap_or_default();
    while let Some((&[a, b, _, _, ..], after)) = rest.split_first_chunk::<8>() {
        let length = usize::from(u16::from_le_bytes([a, b])) % 4096;
        let Some((content, after)) = after.split_at_checked(length) else { break };
        fixed.extend_from_slice(&[a, b & 0x0f, 0, 0]);
        fixed.extend_from_slice(&keccak256(content)[..4]);
        fixed.extend_from_slice(content);
        records.push(content.to_vec());
        rest = after;
    }
    (fixed, records)
}
