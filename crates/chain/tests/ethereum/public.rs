//! The public tests, from a checkout.

use crate::{
    chains, difficulty, first, known, rlp,
    source::{self, TestFile},
    states,
    tally::{Known, Tally},
    transactions, tries,
};

/// Runs the files of some folders, and wants at least so many cases to pass.
fn run(
    kind: &'static str,
    folders: &[&str],
    known: &'static [Known],
    floor: u64,
    mut each: impl FnMut(&TestFile, &mut Tally),
) {
    let root = source::checkout();
    let mut tally = Tally::new(kind, known);
    for folder in folders {
        source::visit(&root, folder, &mut |file| each(file, &mut tally));
    }
    tally.finish(floor);
}

fn run_chains(kind: &'static str, folders: &[&str], known: &'static [Known], floor: u64) {
    let mut fed = chains::Fed::default();
    run(kind, folders, known, floor, |file, tally| chains::run(file, tally, &mut fed));
    println!("{kind}: the importer took {} blocks and refused {}", fed.taken, fed.refused);
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn general_states() {
    let folders = ["GeneralStateTests", "EIPTests/StateTests"];
    run("GeneralStateTests", &folders, known::STATES, 21_445, |file, tally| {
        let left_out = known::LEFT_OUT.iter().find(|(path, _)| file.path.starts_with(path));
        match left_out {
            Some((_, reason)) => states::leave_out(file, reason, tally),
            None => states::run(file, tally),
        }
    });
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn legacy_constantinople_states() {
    let (kind, known) = ("legacy state tests to Constantinople", known::LEGACY_CONSTANTINOPLE);
    run(kind, &["LegacyTests/Constantinople/GeneralStateTests"], known, 31_275, states::run);
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn legacy_cancun_states() {
    let (kind, known) = ("legacy state tests to Cancun", known::LEGACY_CANCUN);
    run(kind, &["LegacyTests/Cancun/GeneralStateTests"], known, 101_071, states::run);
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn blockchains() {
    let folders = [
        "BlockchainTests/ValidBlocks",
        "BlockchainTests/InvalidBlocks",
        "BlockchainTests/TransitionTests",
    ];
    run_chains("BlockchainTests", &folders, &[], 594);
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn legacy_blockchains() {
    let folders = [
        "LegacyTests/Cancun/BlockchainTests/ValidBlocks",
        "LegacyTests/Cancun/BlockchainTests/InvalidBlocks",
        "LegacyTests/Cancun/BlockchainTests/TransitionTests",
        "LegacyTests/Constantinople/BlockchainTests/ValidBlocks",
        "LegacyTests/Constantinople/BlockchainTests/InvalidBlocks",
    ];
    run_chains("legacy BlockchainTests", &folders, &[], 4_570);
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn transactions() {
    let kind = "TransactionTests";
    run(kind, &["TransactionTests"], known::TRANSACTIONS, 2_638, transactions::run);
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn difficulties() {
    let folders = ["DifficultyTests", "BasicTests", "LegacyTests/BasicTests"];
    run("DifficultyTests", &folders, &[], 36_510, |file, tally| {
        if file.path.starts_with("DifficultyTests") {
            difficulty::run(file, tally);
        } else {
            difficulty::run_named(file, tally);
        }
    });
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn tries() {
    run("TrieTests", &["TrieTests"], &[], 13, |file, tally| {
        if file.path.to_lowercase().contains("secure") {
            tries::run(file, tally);
        } else {
            tally.leave_out("files with keys that are not hashed: there is no such trie here", 1);
        }
    });
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn encodings() {
    run("RLPTests", &["RLPTests"], &[], 55, rlp::run);
}

#[test]
#[ignore = "the files are not part of this repository: cargo xtask ethereum-tests DIR"]
fn first_blocks() {
    run("GenesisTests", &["GenesisTests"], &[], 3, first::run);
}
