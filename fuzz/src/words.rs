//! What is fuzzed of the words and the rules: messages of workers, specs, contacts, manifests, openings. Like
//! `targets`, plain functions of bytes; `tests/fuzz.rs` of `tilth-verification` runs them in every test run.

use tilth_protocol::{
    Contact, JobId, JobSpec, Leaf, Limits, RangeManifest, Status, Tally,
    worker::{FromWorker, ToWorker, read_frame, write_frame},
};
use tilth_verification::{
    merkle_sum::{MerkleSum, Opening, Root},
    range::{RangeClaim, check_manifest},
};

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] =
    &[("worker", worker), ("spec", spec), ("manifest", manifest), ("opening", opening)];

/// Frames between agent and worker, in either direction: what is read is written as the same bytes.
pub fn worker(data: &[u8]) {
    /// Reads to the end or the first frame that is refused.
    macro_rules! all {
        ($message:ty) => {
            let mut rest = data;
            loop {
                let before = rest;
                let Ok(Some(message)) = read_frame::<$message>(&mut rest) else { break };
                let mut again = Vec::new();
                write_frame(&mut again, &message).expect("it came in a frame");
                assert_eq!(again, before[..before.len() - rest.len()], "another encoding");
            }
        };
    }
    all!(FromWorker);
    all!(ToWorker);
}

/// Job specs and contacts, which the chain names by hash or holds: one value has one encoding.
pub fn spec(data: &[u8]) {
    if let Ok(spec) = JobSpec::from_bytes(data) {
        assert_eq!(spec.to_bytes(), data, "another encoding of the same spec");
        spec.check().expect("it was checked");
    }
    if let Ok(contact) = Contact::from_bytes(data) {
        assert_eq!(contact.to_bytes(), data, "another encoding of the same contact");
    }
}

const LIMITS: Limits =
    Limits { unit_cap: 10, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 40 };

/// A range's manifest against a claim that fits it, and against limits with and without a prepare
/// phase. Each leaf of an accepted one can be opened.
pub fn manifest(data: &[u8]) {
    const LEAVES_MAX: u32 = 300;
    let Ok(manifest) = RangeManifest::from_bytes(data, LEAVES_MAX) else { return };
    assert_eq!(manifest.to_bytes(), data, "another encoding of the same manifest");
    let job = manifest.range.job;
    let Ok(tree) = MerkleSum::build(job, &manifest.leaves) else { return };
    let root = tree.root();
    for prepare_cap in [0, 20] {
        let leaves = u32::try_from(manifest.leaves.len()).expect("bounded");
        let claim = RangeClaim {
            range: manifest.range,
            from: manifest.from,
            count: leaves.saturating_sub(u32::from(prepare_cap > 0)),
            root: root.hash,
            units: root.tally.units,
            failures: root.tally.failures,
        };
        if check_manifest(&manifest, &claim, &Limits { prepare_cap, ..LIMITS }).is_err() {
            continue;
        }
        for (position, leaf) in (0..).zip(&manifest.leaves) {
            let opening = tree.open(position).expect("a leaf of the tree");
            assert!(opening.proves(job, leaf, &root));
        }
        let other = RangeClaim { units: claim.units ^ 1, ..claim };
        assert!(check_manifest(&manifest, &other, &LIMITS).is_err(), "other units were accepted");
    }
}

/// An opening as somebody else sent it proves a leaf only where that leaf is.
pub fn opening(data: &[u8]) {
    const JOB: JobId = JobId(7);
    let mut rest = data;
    let mut byte = move || {
        let (first, after) = rest.split_first().unwrap_or((&0, &[]));
        rest = after;
        *first
    };
    let count = u32::from(byte()) % 40 + 1;
    let leaf = |index: u32| match index % 5 {
        4 => Leaf::failed(index, Status::Trap, 10),
        _ => Leaf::finished(index, &index.to_le_bytes(), u64::from(index) + 1),
    };
    let leaves: Vec<Leaf> = (0..count).map(leaf).collect();
    let tree = MerkleSum::build(JOB, &leaves).expect("some leaves, few units");
    let root = tree.root();
    let (position, other) = (u32::from(byte()) % count, u32::from(byte()) % count);
    let honest = tree.open(position).expect("a leaf of the tree");
    assert!(honest.proves(JOB, &leaves[position as usize], &root));
    // Changed at some places.
    let mut forged: Opening = tree.open(other).expect("a leaf of the tree");
    let mut claimed = leaves[position as usize];
    let mut wanted: Root = root;
    for _ in 0..byte() % 4 {
        let nth = usize::from(byte()) % forged.siblings.len().max(1);
        match byte() % 9 {
            0 => forged.position = u32::from(byte()) | u32::from(byte()) << 24,
            1 => forged.leaves = u32::from(byte()) | u32::from(byte()) << 24,
            2 => forged.siblings.truncate(nth),
            3 => forged.siblings.push((root.hash, Tally { units: byte().into(), failures: 0 })),
            4 if !forged.siblings.is_empty() => forged.siblings.swap(0, nth),
            5 if !forged.siblings.is_empty() => {
                let units = &mut forged.siblings[nth].1.units;
                *units = if byte() % 2 == 0 { u64::MAX } else { *units ^ u64::from(byte()) };
            }
            6 => claimed.units = if byte() % 2 == 0 { u64::MAX } else { byte().into() },
            7 => claimed.index = byte().into(),
            _ => wanted.tally.units = wanted.tally.units.wrapping_add(byte().into()),
        }
    }
    if forged.proves(JOB, &claimed, &wanted) {
        assert_eq!(wanted, root, "another sum was proven");
        // How many leaves there are is not for the opening to say: the chain knows.
        let is_there = match forged.leaves == count {
            true => leaves.get(forged.position as usize) == Some(&claimed),
            false => leaves.contains(&claimed),
        };
        assert!(is_there, "a false leaf was proven: {claimed:?} by {forged:?}");
    }
}
