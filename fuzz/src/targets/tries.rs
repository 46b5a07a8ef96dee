//! Tries that are found again from records and entries which may be damaged.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use tilth_chain::{
    hostile,
    state::StateError,
    trie::{Change, Loader, NodeSource, NodeStore, Prefix, Trie},
};

/// What a database keeps of one trie.
#[derive(Clone, Default)]
struct Kept {
    entries: BTreeMap<B256, Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl NodeSource for Kept {
    fn record(&self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.records.get(&at.nibbles()).cloned())
    }
    fn entries(&self, at: &Prefix) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        let below = self.entries.range(at.first()..=at.last());
        Ok(below.map(|(key, value)| (*key, value.clone())).collect())
    }
}

impl NodeStore for Kept {
    fn get(&mut self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        self.record(at)
    }
    fn put(&mut self, at: &Prefix, record: &[u8]) -> Result<(), StateError> {
        self.records.insert(at.nibbles(), record.to_vec());
        Ok(())
    }
    fn remove_below(&mut self, at: &Prefix) -> Result<(), StateError> {
        let path = at.nibbles();
        self.records.retain(|key, _| !key.starts_with(&path));
        Ok(())
    }
}

/// Bytes that are used up from the front; zeros at the end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        let number = usize::from(self.next()) << 8 | usize::from(self.next());
        number % bound.max(1)
    }
}

/// A record written again is the same; and whatever is damaged in what a trie is found again from,
/// an answer is right or there is none.
pub fn trie(data: &[u8]) {
    record(data);
    let mut bytes = Bytes(data);
    let (keys, sound, root) = sound(&mut bytes);
    let mut changes = BTreeMap::new();
    for _ in 0..bytes.next() % 8 {
        let mut key = keys[bytes.below(keys.len())];
        key[31] ^= bytes.next() & 1;
        changes.insert(key, (bytes.next() & 3 > 0).then(|| vec![bytes.next() | 1; 40]));
    }
    let changes: Vec<Change> = changes.into_iter().collect();
    let wanted = Trie::stored(&root).updated(&changes, &Loader::new(&sound));
    let wanted = wanted.expect("nothing is damaged yet").root();
    let mut kept = sound.clone();
    while !bytes.0.is_empty() {
        damage(&mut kept, &mut bytes);
    }
    let found = Trie::stored(&root);
    for key in keys.iter().step_by(5) {
        right_or_refused(found.get(key, &Loader::new(&kept)), sound.entries.get(key).cloned());
        let _ = found.proof(key, &Loader::new(&kept));
    }
    for loader in [Loader::new(&kept), Loader::new(&kept).on_threads(2)] {
        let updated = found.updated(&changes, &loader);
        right_or_refused(updated.map(|next| next.root()), wanted);
    }
    // What comes of entries that may be ahead is compared with a header by the caller.
    let ahead = found.updated(&changes, &Loader::new(&kept).with_entries_ahead());
    if let Ok(ahead) = ahead
        && ahead.root() == wanted
    {
        let mut saved = kept.clone();
        let _ = ahead.save(&Loader::new(&kept), &mut saved);
    }
}

fn right_or_refused<T: PartialEq + std::fmt::Debug>(found: Result<T, StateError>, right: T) {
    match found {
        Ok(found) => assert_eq!(found, right, "something damaged was believed"),
        Err(StateError::Damaged { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

/// A record at some position, as bytes alone.
fn record(data: &[u8]) {
    let Some((depth, record)) = data.split_first() else { return };
    let at = Prefix::new(&B256::repeat_byte(0x5a), usize::from(*depth) % 65);
    if let Some(again) = hostile::trie_record_again(record, &at) {
        assert_eq!(again, record, "another encoding of the same record");
    }
}

/// Entries of a shape that the bytes choose, with the records of their trie.
fn sound(bytes: &mut Bytes<'_>) -> (Vec<B256>, Kept, B256) {
    let count = 34 + usize::from(bytes.next());
    let (spread, at, length) = (bytes.next(), usize::from(bytes.next()) % 30, bytes.next());
    let mut kept = Kept::default();
    let mut state = u32::from(bytes.next()) | 1;
    for _ in 0..count {
        // Keys differ in few nibbles, so that extensions and deep branches form.
        let mut key = B256::ZERO;
        for byte in &mut key[at..at + 2] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0] & (spread | 0x11);
        }
        key[31] = state.to_be_bytes()[1] & 7;
        kept.entries.insert(key, vec![key[31] | 1; 1 + usize::from(length) % 60]);
    }
    let trie = Trie::from_sorted(kept.entries.iter().map(|(key, value)| (*key, value.as_slice())));
    let before = kept.clone();
    trie.save(&Loader::new(&before), &mut kept).expect("nothing is damaged yet");
    (kept.entries.keys().copied().collect(), kept, trie.root())
}

fn damage(kept: &mut Kept, bytes: &mut Bytes<'_>) {
    let what = bytes.next();
    let nth = bytes.below(usize::MAX);
    if what & 0x40 > 0 {
        let Some(key) = kept.entries.keys().nth(nth % kept.entries.len().max(1)).copied() else {
            return;
        };
        match what % 3 {
            0 => drop(kept.entries.remove(&key)),
            1 => drop(kept.entries.insert(key, vec![bytes.next(); 3])),
            _ => drop(kept.entries.insert(B256::with_last_byte(bytes.next()), vec![1; 33])),
        }
        return;
    }
    let count = kept.records.len().max(1);
    let Some((at, mut record)) =
        kept.records.iter().nth(nth % count).map(|(at, record)| (at.clone(), record.clone()))
    else {
        return;
    };
    let place = bytes.below(record.len());
    match what % 5 {
        0 if !record.is_empty() => record[place] ^= 1 << (what >> 5),
        1 if !record.is_empty() => record[place] = bytes.next(),
        2 => record.truncate(place),
        3 => record.insert(place, bytes.next()),
        _ => {
            // A record of another place.
            let other = bytes.below(count);
            record = kept.records.values().nth(other).cloned().unwrap_or_default();
        }
    }
    kept.records.insert(at, record);
}
