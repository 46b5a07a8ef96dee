use std::{collections::BTreeMap, sync::Mutex};

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, proof::verify_proof};
use proptest::{collection::vec, prelude::*};

use super::*;

/// A trie wholly in memory, and its next version.
fn updated(trie: &Trie, changes: &[Change]) -> Trie {
    trie.updated(changes, &Loader::new(&NoSource)).unwrap()
}

/// What a database keeps: entries and records.
#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<B256, Vec<u8>>,
    records: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl NodeSource for Kept {
    fn record(&self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.records.lock().unwrap().get(&at.nibbles()).cloned())
    }
    fn entries(&self, at: &Prefix) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        let below = self.entries.range(at.first()..=at.last());
        Ok(below.map(|(key, value)| (*key, value.clone())).collect())
    }
}

/// The records alone, being written.
struct Records<'a>(&'a Kept);

impl NodeStore for Records<'_> {
    fn get(&mut self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        self.0.record(at)
    }
    fn put(&mut self, at: &Prefix, record: &[u8]) -> Result<(), StateError> {
        self.0.records.lock().unwrap().insert(at.nibbles(), record.to_vec());
        Ok(())
    }
    fn remove_below(&mut self, at: &Prefix) -> Result<(), StateError> {
        let path = at.nibbles();
        self.0.records.lock().unwrap().retain(|key, _| !key.starts_with(&path));
        Ok(())
    }
}

impl Kept {
    fn apply(&mut self, changes: &[Change]) {
        for (key, value) in changes {
            match value {
                Some(value) => self.entries.insert(*key, value.clone()),
                None => self.entries.remove(key),
            };
        }
    }

    fn save(&self, trie: &Trie) {
        trie.save(&Loader::new(self), &mut Records(self)).unwrap();
    }

    /// What saving the trie over nothing gives.
    fn fresh_records(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let fresh = Kept { entries: self.entries.clone(), ..Kept::default() };
        let entries = fresh.entries.iter().map(|(key, value)| (*key, value.as_slice()));
        fresh.save(&Trie::from_sorted(entries));
        fresh.records.into_inner().unwrap()
    }
}

/// The root by alloy-trie's hash builder, from nothing.
fn reference_root(entries: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in entries {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// Keys that collide in long prefixes, so that extensions form, split and merge.
fn crowded_key() -> impl Strategy<Value = B256> {
    let nibble = prop_oneof![4 => 0_u8..2, 1 => 0_u8..16];
    (vec(nibble, 6), prop_oneof![Just(0_u8), Just(1), any::<u8>()], any::<bool>()).prop_map(
        |(nibbles, last, deep)| {
            let mut key = B256::ZERO;
            let at = if deep { 29 } else { 0 };
            for (index, pair) in nibbles.chunks(2).enumerate() {
                key[at + index] = pair[0] << 4 | pair[1];
            }
            if !deep {
                key[31] = last;
            }
            key
        },
    )
}

fn key() -> impl Strategy<Value = B256> {
    prop_oneof![3 => crowded_key(), 1 => any::<[u8; 32]>().prop_map(B256::from)]
}

/// Values short enough to be embedded in their parents, and long ones.
fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(None),
        2 => vec(1_u8..=255, 1..3).prop_map(Some),
        2 => vec(any::<u8>(), 1..120).prop_map(Some),
    ]
}

/// Small batches, which change bundles, and some that are larger than a bundle.
fn batches() -> impl Strategy<Value = Vec<BTreeMap<B256, Option<Vec<u8>>>>> {
    let batch = |sizes| proptest::collection::btree_map(key(), value(), sizes);
    vec(
        prop_oneof![3 => batch(0..24), 1 => batch(bundle::BUNDLE_MAX..3 * bundle::BUNDLE_MAX)],
        1..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_the_reference_root_and_sound_proofs(history in batches()) {
        let mut entries = BTreeMap::new();
        let mut trie = Trie::default();
        let mut versions = Vec::new();
        for batch in history {
            let changes: Vec<Change> = batch.into_iter().collect();
            // Half of the versions are hashed between batches, half are not.
            if entries.len() % 2 == 0 {
                trie.root();
            }
            trie = updated(&trie, &changes);
            let keys = changes.iter().map(|(key, _)| *key);
            let keys: Vec<B256> = keys.step_by(changes.len() / 24 + 1).collect();
            for (key, value) in changes {
                match value {
                    Some(value) => entries.insert(key, value),
                    None => entries.remove(&key),
                };
            }
            let root = reference_root(&entries);
            prop_assert_eq!(trie.root(), root);
            prop_assert_eq!(trie.is_empty(), entries.is_empty());
            for key in keys {
                prop_assert_eq!(trie.get(&key, &Loader::new(&NoSource)).unwrap(), entries.get(&key).cloned());
                if root != EMPTY_ROOT_HASH {
                    let expected = entries.get(&key).cloned();
                    let proof = trie.proof(&key, &Loader::new(&NoSource)).unwrap();
                    verify_proof(root, Nibbles::unpack(key), expected, &proof).unwrap();
                }
            }
            versions.push((trie.clone(), root));
        }
        // Later versions did not disturb earlier ones.
        for (version, root) in versions {
            prop_assert_eq!(version.root(), root);
        }
        let sorted = Trie::from_sorted(entries.iter().map(|(key, value)| (*key, value.as_slice())));
        prop_assert_eq!(sorted.root(), trie.root());
    }
}

/// Keys of which many share their first nibbles, so that subtrees are large and small, deep and
/// shallow, and extensions stand above stored branches.
fn clustered_key() -> impl Strategy<Value = B256> {
    (0_u8..3, any::<u8>(), 0_usize..3, any::<u8>()).prop_map(|(cluster, low, depth, tail)| {
        let mut key = B256::repeat_byte(cluster * 0x11);
        key[depth] = low;
        key[depth + 1] = tail;
        key
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// A block.
    Change(BTreeMap<B256, Option<Vec<u8>>>),
    /// Everything in this range of first bytes goes.
    Clear(u8, u8),
    /// Records catch up.
    Save,
    /// Records catch up, and nodes older than so many steps go.
    Evict(u32),
    /// All but the root's hash goes, after records caught up.
    Forget,
    /// The process dies: the trie is found again from the records and what changed since.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        1 => Just(None),
        3 => vec(1_u8..=255, 1..3).prop_map(Some),
        3 => vec(any::<u8>(), 30..80).prop_map(Some),
    ];
    let value = value.boxed();
    let key = prop_oneof![4 => clustered_key(), 1 => any::<[u8; 32]>().prop_map(B256::from)];
    let key = key.boxed();
    let changes = |sizes| proptest::collection::btree_map(key.clone(), value.clone(), sizes);
    let step = prop_oneof![
        3 => changes(1..12).prop_map(Step::Change),
        3 => changes(12..160).prop_map(Step::Change),
        1 => (any::<u8>(), 0_u8..0x40).prop_map(|(from, span)| {
            Step::Clear(from, from.saturating_add(span))
        }),
        1 => Just(Step::Save),
        1 => (0_u32..4).prop_map(Step::Evict),
        1 => Just(Step::Forget),
        2 => Just(Step::Crash),
    ];
    // Most begin with what is more than a bundle, and more than one level of records.
    let first = prop_oneof![1 => changes(1..2), 2 => changes(300..1200)].prop_map(Step::Change);
    (first, vec(step, 1..16)).prop_map(|(first, rest)| [vec![first], rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn what_is_loaded_dropped_and_found_again_is_the_same_trie(
        steps in steps(),
        threads in 1_usize..4,
    ) {
        let mut kept = Kept::default();
        let mut trie = Trie::default();
        let mut saved = Trie::default().root();
        let mut unsaved: BTreeMap<B256, Option<Vec<u8>>> = BTreeMap::new();
        for (epoch, step) in (1_u32..).zip(steps) {
            let changes: Vec<Change> = match &step {
                Step::Change(changes) => changes.clone().into_iter().collect(),
                Step::Clear(first, last) => {
                    let keys = kept.entries.keys();
                    let gone = keys.filter(|key| (first..=last).contains(&&key[0]));
                    gone.map(|key| (*key, None)).collect()
                }
                _ => Vec::new(),
            };
            let loader = Loader::new(&kept).at_epoch(epoch).on_threads(threads);
            trie = trie.updated(&changes, &loader).unwrap();
            kept.apply(&changes);
            unsaved.extend(changes);
            let root = reference_root(&kept.entries);
            prop_assert_eq!(trie.root(), root);
            if let Step::Save | Step::Evict(_) | Step::Forget = step {
                kept.save(&trie);
                // No record is missing, wrong or left behind.
                prop_assert_eq!(&*kept.records.lock().unwrap(), &kept.fresh_records());
                (saved, unsaved) = (root, BTreeMap::new());
            }
            match step {
                Step::Evict(age) => trie = trie.evicted(epoch.saturating_sub(age)),
                Step::Forget => trie = Trie::stored(&root),
                Step::Crash => {
                    let changes: Vec<Change> = std::mem::take(&mut unsaved).into_iter().collect();
                    let loader = Loader::new(&kept).at_epoch(epoch).with_entries_ahead();
                    trie = Trie::stored(&saved).updated(&changes, &loader).unwrap();
                    unsaved = changes.into_iter().collect();
                }
                _ => {}
            }
            prop_assert_eq!(trie.root(), root);
            // Reading loads without keeping, and proves what is there and what is not.
            let resident = trie.resident();
            for key in unsaved.keys().chain(kept.entries.keys()).step_by(7) {
                let loader = Loader::new(&kept);
                let expected = kept.entries.get(key).cloned();
                prop_assert_eq!(&trie.get(key, &loader).unwrap(), &expected);
                if root != EMPTY_ROOT_HASH {
                    let proof = trie.proof(key, &loader).unwrap();
                    verify_proof(root, Nibbles::unpack(key), expected, &proof).unwrap();
                }
            }
            prop_assert_eq!(trie.resident(), resident);
        }
    }

    #[test]
    fn a_hostile_record_is_refused_and_never_believed(
        mut record in vec(any::<u8>(), 0..600),
        shape in 0_u8..3,
    ) {
        let mut kept = Kept::default();
        let changes: Vec<Change> =
            (0..300_u64).map(|i| (keccak256(i.to_be_bytes()), Some(vec![7; 40]))).collect();
        let changes: BTreeMap<_, _> = changes.into_iter().collect();
        let changes: Vec<Change> = changes.into_iter().collect();
        kept.apply(&changes);
        let trie = updated(&Trie::default(), &changes);
        kept.save(&trie);
        let right = kept.record(&Prefix::ROOT).unwrap().unwrap();
        prop_assert!(load::decode(&right, &Prefix::ROOT, 0).is_some());
        prop_assert!(load::decode(&[&right[..], &[0]].concat(), &Prefix::ROOT, 0).is_none());
        if shape == 1 {
            // Almost right: one byte differs.
            let at = record.len() % right.len();
            record = right.clone();
            record[at] ^= 1;
        } else if shape == 2 {
            record = right[..record.len() % right.len()].to_vec();
        }
        kept.records.lock().unwrap().insert(Vec::new(), record.clone());
        let stored = Trie::stored(&trie.root());
        match stored.get(&changes[3].0, &Loader::new(&kept)) {
            Ok(value) => prop_assert_eq!(value, changes[3].1.clone()),
            Err(StateError::Damaged { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn entries_that_do_not_give_the_hash_are_refused() {
    let mut kept = Kept::default();
    let changes =
        vec![(B256::repeat_byte(1), Some(vec![1; 40])), (B256::repeat_byte(2), Some(vec![2; 40]))];
    kept.apply(&changes);
    let root = updated(&Trie::default(), &changes).root();
    kept.apply(&[(B256::repeat_byte(2), Some(vec![3; 40]))]);
    let found = Trie::stored(&root).get(&B256::repeat_byte(1), &Loader::new(&kept));
    assert!(matches!(found, Err(StateError::Damaged { .. })));
}

/// Records and entries that fit one another, but stand at an earlier state than the trie.
#[test]
fn what_was_right_once_is_refused() {
    let mut kept = Kept::default();
    let changes = |value: u8| -> Vec<Change> {
        let keys = (0..400_u64).map(|i| keccak256(i.to_be_bytes()));
        let changes: BTreeMap<_, _> = keys.map(|key| (key, Some(vec![value; 40]))).collect();
        changes.into_iter().collect()
    };
    let before = updated(&Trie::default(), &changes(1));
    kept.apply(&changes(1));
    kept.save(&before);
    let key = changes(1)[9].0;
    let loader = Loader::new(&kept);
    assert_eq!(Trie::stored(&before.root()).get(&key, &loader).unwrap(), Some(vec![1; 40]));
    let root = updated(&before, &changes(2)).root();
    let found = Trie::stored(&root).get(&key, &loader);
    assert!(matches!(found, Err(StateError::Damaged { .. })), "{found:?}");
}

#[test]
fn every_number_of_threads_gives_the_same_root() {
    let change = |i: u64| (keccak256(i.to_be_bytes()), Some(i.to_be_bytes().to_vec()));
    let sorted = |range: std::ops::Range<u64>| {
        range.map(change).collect::<BTreeMap<_, _>>().into_iter().collect::<Vec<Change>>()
    };
    let base = updated(&Trie::default(), &sorted(0..5_000));
    let next: Vec<Change> = sorted(3_000..9_000);
    let roots = [1, 2, 3, 16, 33].map(|threads| {
        let loader = Loader::new(&NoSource).on_threads(threads);
        let trie = base.updated(&next, &loader).unwrap();
        let half: Vec<Change> = next.iter().step_by(2).map(|(key, _)| (*key, None)).collect();
        (trie.root(), trie.updated(&half, &loader).unwrap().root())
    });
    assert!(roots.iter().all(|root| *root == roots[0]));
}

#[test]
fn one_entry_added_and_removed_leaves_the_empty_root() {
    let key = keccak256("hay");
    let trie = updated(&Trie::default(), &[(key, Some(vec![1; 40]))]);
    assert_ne!(trie.root(), EMPTY_ROOT_HASH);
    assert_eq!(updated(&trie, &[(key, None)]).root(), EMPTY_ROOT_HASH);
    assert_eq!(updated(&trie, &[(B256::ZERO, None)]).root(), trie.root());
}

/// Extensions above bundles and above branches, at every length, are split where a key leaves them and whole again
/// when it goes; and they alone prove that a key beside them is not there.
#[test]
fn extensions_split_anywhere_and_close_again() {
    const SHARED: u8 = 0x5a;
    let crowd = [3_u8, u8::try_from(bundle::BUNDLE_MAX).unwrap(), u8::MAX];
    for (crowd, bytes) in crowd.into_iter().flat_map(|crowd| [(crowd, 1), (crowd, 4)]) {
        let key = |i: u8| {
            let mut key = B256::repeat_byte(SHARED);
            key[bytes..].fill(0x11);
            key[bytes] = i;
            key
        };
        let mut entries: BTreeMap<_, _> = (0..crowd).map(|i| (key(i), vec![i; 40])).collect();
        let crowded = entries.iter().map(|(key, value)| (*key, value.as_slice()));
        let trie = Trie::from_sorted(crowded);
        let root = reference_root(&entries);
        assert_eq!(trie.root(), root);
        for at in 0..2 * bytes {
            let mut beside = key(0);
            beside[at / 2] ^= if at % 2 == 0 { 0x10 } else { 0x01 };
            let proof = trie.proof(&beside, &Loader::new(&NoSource)).unwrap();
            assert_eq!(proof.len(), 1, "the extension says it all");
            verify_proof(root, Nibbles::unpack(beside), None, &proof).unwrap();
            let split = updated(&trie, &[(beside, Some(vec![7; 40]))]);
            entries.insert(beside, vec![7; 40]);
            // The records follow, up and down the path.
            let mut kept = Kept { entries: entries.clone(), ..Kept::default() };
            kept.save(&trie);
            kept.save(&split);
            assert_eq!(*kept.records.lock().unwrap(), kept.fresh_records());
            kept.entries.remove(&beside);
            kept.save(&trie);
            assert_eq!(*kept.records.lock().unwrap(), kept.fresh_records());
            assert_eq!(split.root(), reference_root(&entries), "{crowd} keys, split at {at}");
            entries.remove(&beside);
            assert_eq!(updated(&split, &[(beside, None)]).root(), root);
        }
    }
}

/// A subtree has records from one entry more than a bundle's on, and none when it is smaller again.
#[test]
fn records_come_and_go_with_the_size() {
    let key = |first: u8, i: u64| {
        let mut key = keccak256(i.to_be_bytes());
        key[0] = first;
        key
    };
    let bound = bundle::BUNDLE_MAX as u64;
    let beside = (0..2 * bound).map(|i| (key(0x20, i), vec![1; 40]));
    let below = (0..bound - 2).map(|i| (key(0x10, i), vec![1; 40]));
    let mut kept = Kept { entries: beside.chain(below).collect(), ..Kept::default() };
    let entries = kept.entries.iter().map(|(key, value)| (*key, value.as_slice()));
    let mut trie = Trie::from_sorted(entries);
    kept.save(&trie);
    let growing = (bound - 2..bound + 3).map(|i| (key(0x10, i), Some(vec![1; 40])));
    let shrinking = (0..6).map(|i| (key(0x10, i), None));
    let mut counts = Vec::new();
    for change in growing.chain(shrinking) {
        trie = trie.updated(std::slice::from_ref(&change), &Loader::new(&kept)).unwrap();
        kept.apply(&[change]);
        kept.save(&trie);
        assert_eq!(*kept.records.lock().unwrap(), kept.fresh_records());
        assert_eq!(trie.root(), reference_root(&kept.entries));
        counts.push(kept.records.lock().unwrap().len());
        trie = Trie::stored(&trie.root());
    }
    // The root's, that of the larger subtree, and that of the other while it is large.
    assert_eq!(counts, [2, 2, 3, 3, 3, 3, 3, 2, 2, 2, 2]);
}

/// Values of one length replace one another, entries come and go, group by group: what is shared between versions
/// stays what it was.
#[test]
fn versions_of_a_bundle_share_what_did_not_change() {
    let key = |i: u64| keccak256(i.to_be_bytes());
    let mut entries: BTreeMap<B256, Vec<u8>> = (0..100).map(|i| (key(i), vec![1; 40])).collect();
    let mut trie = Trie::from_sorted(entries.iter().map(|(key, value)| (*key, value.as_slice())));
    let mut versions = vec![(trie.clone(), reference_root(&entries))];
    for round in 0..200_u64 {
        let number = round * 31 % 128;
        let value = match round % 11 {
            0 => None,
            short if short < 3 => Some(vec![9; 2]),
            _ => Some(round.to_be_bytes().repeat(5)),
        };
        trie = updated(&trie, &[(key(number), value.clone())]);
        match value {
            Some(value) => entries.insert(key(number), value),
            None => entries.remove(&key(number)),
        };
        // Some are hashed only later.
        if round % 3 > 0 {
            assert_eq!(trie.root(), reference_root(&entries), "{round}");
        }
        versions.push((trie.clone(), reference_root(&entries)));
        assert!(entries.len() <= bundle::BUNDLE_MAX, "it stays one bundle");
    }
    for (round, (version, root)) in versions.iter().enumerate() {
        assert_eq!(version.root(), *root, "{round}");
    }
}

/// Prints the cost per changed key; `cargo test --release -- --ignored --nocapture trie_cost`.
#[test]
#[ignore = "a measurement: cargo test --release -p tilth-chain --lib -- --ignored --nocapture trie_cost"]
fn trie_cost() {
    let account = |seed: u64| (keccak256(seed.to_be_bytes()), vec![7_u8; 76]);
    for size in [20_000_u64, 300_000] {
        let mut entries: Vec<_> = (0..size).map(account).collect();
        entries.sort();
        let start = std::time::Instant::now();
        let mut trie =
            Trie::from_sorted(entries.iter().map(|(key, value)| (*key, value.as_slice())));
        trie.root();
        println!("{size}: built in {:?}", start.elapsed());
        for changed in [300_u64, 3_000, 12_000] {
            let rounds = 10;
            let start = std::time::Instant::now();
            for round in 0..rounds {
                let pick = |i: u64| (round * 7_919_317 + i * 104_729) % size;
                let mut changes: BTreeMap<B256, Option<Vec<u8>>> = BTreeMap::new();
                for i in 0..changed {
                    let mut value = account(0).1;
                    value[..8].copy_from_slice(&(round * changed + i).to_be_bytes());
                    changes.insert(account(pick(i)).0, Some(value));
                }
                trie = updated(&trie, &changes.into_iter().collect::<Vec<_>>());
                let _ = U256::from_be_bytes(trie.root().0);
            }
            let per_key = start.elapsed() / u32::try_from(rounds * changed).unwrap();
            println!("{size}: {changed} keys per batch, {per_key:?} per key");
        }
    }
}
