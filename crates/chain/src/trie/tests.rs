use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, proof::verify_proof};
use proptest::{collection::vec, prelude::*};

use super::*;

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

fn batches() -> impl Strategy<Value = Vec<BTreeMap<B256, Option<Vec<u8>>>>> {
    vec(proptest::collection::btree_map(key(), value(), 0..24), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

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
            trie = trie.updated(&changes);
            let keys: Vec<B256> = changes.iter().map(|(key, _)| *key).collect();
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
                prop_assert_eq!(trie.get(&key), entries.get(&key).map(Vec::as_slice));
                if root != EMPTY_ROOT_HASH {
                    let expected = entries.get(&key).cloned();
                    let proof = trie.proof(&key);
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

#[test]
fn one_entry_added_and_removed_leaves_the_empty_root() {
    let key = keccak256("hay");
    let trie = Trie::default().updated(&[(key, Some(vec![1; 40]))]);
    assert_ne!(trie.root(), EMPTY_ROOT_HASH);
    assert_eq!(trie.updated(&[(key, None)]).root(), EMPTY_ROOT_HASH);
    assert_eq!(trie.updated(&[(B256::ZERO, None)]).root(), trie.root());
}

/// Prints the cost per changed key; `cargo test --release -- --ignored --nocapture trie_cost`.
#[test]
#[ignore = "a measurement: cargo test --release -p tilth-chain -- --ignored --nocapture trie_cost"]
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
                trie = trie.updated(&changes.into_iter().collect::<Vec<_>>());
                let _ = U256::from_be_bytes(trie.root().0);
            }
            let per_key = start.elapsed() / u32::try_from(rounds * changed).unwrap();
            println!("{size}: {changed} keys per batch, {per_key:?} per key");
        }
    }
}
