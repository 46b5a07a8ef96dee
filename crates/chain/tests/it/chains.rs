//! A chain of our own through every fork, out of a genesis file and RLP blocks, and back.

use tilth_chain::{Config, Genesis, Production, StoredChain, TransferError, transfer::Progress};

use crate::long_chain::{self, LongChain};

fn empty(made: &LongChain) -> StoredChain {
    let config = Config::in_memory(Genesis::from_json(made.genesis.as_bytes()).unwrap());
    StoredChain::open(Config { production: Production::Manual, ..config }).unwrap()
}

/// The chain exports as it came, replays, and is skipped the second time. That its head is right, and
/// not only the same each time, another implementation says: `tests/clients`.
#[test]
fn long_chain_goes_there_and_back() {
    let made = long_chain::make();
    let (head, rlp) = (long_chain::BLOCKS, made.rlp.as_slice());
    assert!(made.rlp == long_chain::make().rlp, "another chain the second time");
    let chain = empty(&made);
    let imported: Progress = chain.import(rlp, |_| ()).unwrap();
    assert_eq!(chain.head(), made.head);
    assert_eq!(made.head.hash(), long_chain::HEAD);
    assert_eq!(made.head.state_root, long_chain::STATE_ROOT);
    assert_eq!((imported.blocks, imported.skipped), (head, 0));
    let mut exported = Vec::new();
    chain.export(1..=head, &mut exported, |_| ()).unwrap();
    assert!(exported == rlp, "the export differs from the file");
    let replayed = chain.replay(|_| ()).unwrap();
    assert_eq!(replayed, imported);
    let again = chain.import(rlp, |_| ()).unwrap();
    assert_eq!((again.blocks, again.skipped), (0, head));
}

/// Wherever a byte is changed, the chain ends with the block it is in, if not before: what that block
/// may be just as well (its nonce) gives it another hash than the next one's parent has.
#[test]
fn long_chain_with_one_other_byte_is_refused() {
    let made = long_chain::make();
    // Where each block ends.
    let mut ends = Vec::new();
    let mut rest = made.rlp.as_slice();
    while !rest.is_empty() {
        alloy::rlp::Header::decode_bytes(&mut rest, true).unwrap();
        ends.push(made.rlp.len() - rest.len());
    }
    assert_eq!(ends.len() as u64, long_chain::BLOCKS);
    for step in 0..12 {
        let at = 1 + step * (made.rlp.len() - 2) / 11;
        let mut damaged = made.rlp.clone();
        damaged[at] ^= 1 << (step % 8);
        let before = ends.iter().filter(|end| **end <= at).count() as u64;
        let chain = empty(&made);
        let refused: Result<Progress, TransferError> = chain.import(damaged.as_slice(), |_| ());
        assert!(refused.is_err(), "byte {at} may be anything");
        assert!(chain.head().number - before <= 1, "byte {at}: {refused:?}");
    }
}
