//! Ethereum's public tests (github.com/ethereum/tests), and tests of the same kinds that are part of
//! this repository, through the executor and the importer of this node.
//!
//! The public ones are not part of this repository: they run with `cargo xtask ethereum-tests DIR`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod chains;
mod difficulty;
mod first;
mod forks;
mod invalid;
mod known;
mod public;
mod rlp;
mod rules;
mod source;
mod states;
mod tally;
mod transactions;
mod tries;
mod world;

use std::path::Path;

use tally::Tally;

/// Cases in the packs of random tests.
const RANDOM: u64 = 6761;

#[test]
fn random_states() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut tally = Tally::new("random state tests", &[]);
    source::visit(&fixtures, "execution-specs", &mut |file| states::run(file, &mut tally));
    tally.finish(RANDOM);
}

#[test]
fn invalid_blocks() {
    let chain = forks::ForkChain::build();
    let refused = invalid::run(&chain);
    println!("{} blocks of all forks taken, {refused} spoiled ones refused", chain.blocks.len());
    assert_eq!((chain.blocks.len(), refused), (27, 1429));
}
