//! The trie with hashed keys.

use std::collections::BTreeMap;

use alloy::primitives::{B256, hex, keccak256};
use serde::Deserialize;
use tilth_chain::trie::{Change, Loader, NoSource, Trie};

use crate::{source::TestFile, tally::Tally};

/// Changes in their order, or entries whose order must not matter.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Changes(Vec<(String, Option<String>)>),
    Entries(BTreeMap<String, String>),
}

#[derive(Deserialize)]
struct TrieTest {
    #[serde(rename = "in")]
    input: Input,
    root: B256,
}

/// Runs all tests of a file.
pub fn run(file: &TestFile, tally: &mut Tally) {
    let tests: BTreeMap<String, TrieTest> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no trie test: {error}", file.path));
    for (name, test) in tests {
        tally.case(&format!("{} {name}", file.path), || check(&test));
    }
}

fn check(test: &TrieTest) -> Result<(), String> {
    let changes: Vec<Change> = match &test.input {
        Input::Changes(changes) => {
            changes.iter().map(|(key, value)| change(key, value.as_deref())).collect()
        }
        Input::Entries(entries) => {
            entries.iter().map(|(key, value)| change(key, Some(value))).collect()
        }
    };
    let loader = Loader::new(&NoSource);
    // One after another, then all together.
    let mut trie = Trie::default();
    let mut last = BTreeMap::new();
    for (key, value) in changes {
        trie = trie.updated(&[(key, value.clone())], &loader).map_err(|e| e.to_string())?;
        last.insert(key, value);
    }
    let entries = last.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    let at_once = Trie::from_sorted(entries);
    let batch: Vec<Change> = last.clone().into_iter().collect();
    let in_a_batch = Trie::default().updated(&batch, &loader).map_err(|e| e.to_string())?;
    for (how, trie) in [("one by one", trie), ("at once", at_once), ("in a batch", in_a_batch)] {
        if trie.root() != test.root {
            return Err(format!("{how} the root is {}, not {}", trie.root(), test.root));
        }
        for (key, value) in &last {
            let found = trie.get(key, &loader).map_err(|e| e.to_string())?;
            if found != *value {
                return Err(format!("{how} there is {found:?} under {key}"));
            }
        }
    }
    Ok(())
}

fn change(key: &str, value: Option<&str>) -> Change {
    (keccak256(bytes(key)), value.map(bytes))
}

/// Text, or bytes if it begins as hexadecimal digits do.
fn bytes(text: &str) -> Vec<u8> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).unwrap(),
        None => text.as_bytes().to_vec(),
    }
}
