//! Public chains, from their genesis files and RLP blocks, through every fork.

use std::{fs, path::PathBuf};

use alloy::primitives::{B256, b256};
use tilth_chain::{Config, Genesis, Production, StoredChain, transfer::Progress};

use crate::long_chain;

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// Imports a chain, and shows that it exports as it came, replays, and is skipped the second time.
fn there_and_back(genesis: &[u8], rlp: &[u8], head: u64, hash: B256) -> StoredChain {
    let config = Config::in_memory(Genesis::from_json(genesis).unwrap());
    let chain = StoredChain::open(Config { production: Production::Manual, ..config }).unwrap();
    let imported: Progress = chain.import(rlp, |_| ()).unwrap();
    assert_eq!((chain.head().number, chain.head().hash()), (head, hash));
    assert_eq!((imported.blocks, imported.skipped), (head, 0));
    let mut exported = Vec::new();
    chain.export(1..=head, &mut exported, |_| ()).unwrap();
    assert!(exported == rlp, "the export differs from the file");
    let replayed = chain.replay(|_| ()).unwrap();
    assert_eq!(replayed, imported);
    let again = chain.import(rlp, |_| ()).unwrap();
    assert_eq!((again.blocks, again.skipped), (0, head));
    chain
}

#[test]
fn execution_apis_chain() {
    let hash = b256!("0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7");
    let file = |name: &str| fs::read(fixture("execution-apis").join(name)).unwrap();
    there_and_back(&file("genesis.json"), &file("chain.rlp"), 54, hash);
}

/// That its head is right, and not only the same each time, another implementation says: `tests/clients`.
#[test]
fn long_chain_through_every_fork() {
    let made = long_chain::make();
    let chain =
        there_and_back(made.genesis.as_bytes(), &made.rlp, long_chain::BLOCKS, made.head.hash());
    assert_eq!(chain.head(), made.head);
    assert!(made.rlp == long_chain::make().rlp, "another chain the second time");
}
