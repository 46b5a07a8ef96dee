//! The difficulty of proof of work blocks.

use std::collections::BTreeMap;

use alloy::{
    consensus::{EMPTY_OMMER_ROOT_HASH, Header},
    primitives::{B256, U256},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tilth_chain::{ChainSpec, execution::next_difficulty};

use crate::{rules, source::TestFile, tally::Tally, world::Quantity};

/// No parent of a real chain is easier; the tests have some that are.
const MINIMUM: u64 = 131_072;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    parent_timestamp: Quantity,
    parent_difficulty: Quantity,
    /// Whether there are any, as a number or as their hash.
    #[serde(default)]
    parent_uncles: Quantity,
    current_timestamp: Quantity,
    current_block_number: Quantity,
    current_difficulty: Quantity,
}

/// Runs a file with tests by fork.
pub fn run(file: &TestFile, tally: &mut Tally) {
    let tests: BTreeMap<String, BTreeMap<&str, &RawValue>> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no difficulty test: {error}", file.path));
    for by_fork in tests.into_values() {
        for (fork, steps) in by_fork.into_iter().filter(|(key, _)| *key != "_info") {
            run_steps(&file.path, fork, steps.get(), tally);
        }
    }
}

/// Runs a file that is named after its fork or chain, if it is one of difficulties.
pub fn run_named(file: &TestFile, tally: &mut Tally) {
    let name = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
    match name.strip_prefix("difficulty") {
        Some("") => run_steps(&file.path, "MainNetwork", &file.json, tally),
        Some(chain) => {
            let chain = chain.split('_').next().unwrap_or(chain);
            run_steps(&file.path, chain, &file.json, tally);
        }
        None => {}
    }
}

fn run_steps(path: &str, chain: &str, json: &str, tally: &mut Tally) {
    let spec = rules::chain(chain).unwrap_or_else(|| panic!("{path}: no chain {chain}"));
    let steps: BTreeMap<String, Step> = serde_json::from_str(json)
        .unwrap_or_else(|error| panic!("{path} {chain} is no difficulty test: {error}"));
    for (name, step) in steps {
        if step.parent_difficulty.0 < U256::from(MINIMUM) {
            tally.leave_out("the parent is easier than any block may be", 1);
        } else {
            tally.case(&format!("{path} {name} {chain}"), || step.check(&spec));
        }
    }
}

impl Step {
    fn check(&self, spec: &ChainSpec) -> Result<(), String> {
        let uncles = self.parent_uncles.0;
        let none = uncles.is_zero() || B256::from(uncles) == EMPTY_OMMER_ROOT_HASH;
        let parent = Header {
            number: self.current_block_number.small().checked_sub(1).ok_or("block 0")?,
            timestamp: self.parent_timestamp.small(),
            difficulty: self.parent_difficulty.0,
            ommers_hash: if none { EMPTY_OMMER_ROOT_HASH } else { B256::repeat_byte(1) },
            ..Header::default()
        };
        let difficulty = next_difficulty(spec, &parent, self.current_timestamp.small());
        let wanted = self.current_difficulty.0;
        if difficulty == wanted { Ok(()) } else { Err(format!("{difficulty}, not {wanted}")) }
    }
}
