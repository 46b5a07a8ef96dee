//! Public chains, from their genesis files and RLP blocks, through every fork.

use std::{fs, path::PathBuf};

use alloy::primitives::{B256, b256};
use tilth_chain::{Config, Genesis, Production, StoredChain, transfer::Progress};

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

fn config(chain: &str) -> Config {
    let json = fs::read(fixture(chain).join("genesis.json")).unwrap();
    let config = Config::in_memory(Genesis::from_json(&json).unwrap());
    Config { production: Production::Manual, ..config }
}

fn blocks(chain: &str) -> Vec<u8> {
    fs::read(fixture(chain).join("chain.rlp")).unwrap()
}

/// Imports a chain, and shows that it exports as it came, replays, and is skipped the second time.
fn there_and_back(name: &str, head: u64, hash: B256) -> Progress {
    let (config, rlp) = (config(name), blocks(name));
    let chain = StoredChain::open(config.clone()).unwrap();
    let imported = chain.import(rlp.as_slice(), |_| ()).unwrap();
    assert_eq!((chain.head().number, chain.head().hash()), (head, hash));
    assert_eq!((imported.blocks, imported.skipped), (head, 0));
    let mut exported = Vec::new();
    chain.export(1..=head, &mut exported, |_| ()).unwrap();
    assert!(exported == rlp, "the export differs from the file");
    let replayed = chain.replay(|_| ()).unwrap();
    assert_eq!(replayed, imported);
    let again = chain.import(rlp.as_slice(), |_| ()).unwrap();
    assert_eq!((again.blocks, again.skipped), (0, head));
    imported
}

#[test]
fn execution_apis_chain() {
    let hash = b256!("0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7");
    let done = there_and_back("execution-apis", 54, hash);
    println!("{done:?}");
}
