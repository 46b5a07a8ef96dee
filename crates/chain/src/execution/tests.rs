//! Unfinalised children of one block, and the difficulty formula.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header, Sealable, Signed, TxEnvelope, TxLegacy, transaction::Recovered,
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};

use super::{BlockAttributes, BlockBuilder, Executed, ProofOfWork, execute, next_difficulty};
use crate::{
    Genesis, GenesisAccount, GenesisHeader,
    block::SealedHeader,
    spec::{ChainSpec, Forks},
    state::{Commitment, Layer, Nothing, StateCommitment, StateReader, TrieSource},
    store::{Store, StoreOptions},
};

/// An empty block but for what its system calls write and a withdrawal to `paid`.
fn child<S: StateReader + TrieSource>(
    spec: &ChainSpec,
    parent: &SealedHeader,
    paid: Address,
    state: &S,
    commitment: &mut Commitment,
) -> (Executed, <Commitment as StateCommitment>::Advance) {
    let withdrawal =
        alloy_eips::eip4895::Withdrawal { address: paid, amount: 7, ..Default::default() };
    let attributes = BlockAttributes {
        timestamp: parent.timestamp + 1,
        gas_limit: parent.gas_limit,
        prev_randao: B256::repeat_byte(3),
        withdrawals: vec![withdrawal].into(),
        ..BlockAttributes::default()
    };
    BlockBuilder::new(spec, parent, attributes, state).unwrap().seal(commitment, state).unwrap()
}

#[test]
fn two_children_compete_and_one_is_committed_once() {
    let genesis = Genesis { timestamp: 1000, ..Genesis::default() };
    let spec = genesis.spec();
    let options = StoreOptions { history_blocks: 10, ..StoreOptions::default() };
    let store = Store::in_memory(&options).unwrap();
    let first = genesis.execute().unwrap();
    store.commit(&first.block, &first.receipts, &first.diff).unwrap();
    let snapshot = store.snapshot().unwrap();
    let mut commitment = Commitment::load(&snapshot).unwrap();
    let parent = first.block.header;
    let (alice, bob) = (Address::repeat_byte(0xa), Address::repeat_byte(0xb));

    // Two children of one block, and a grandchild on the second of them, before anything is final.
    let (left, left_step) = child(&spec, &parent, alice, &snapshot, &mut commitment);
    let (right, right_step) = child(&spec, &parent, bob, &snapshot, &mut commitment);
    assert_ne!(left.block.header.hash(), right.block.header.hash());
    let mut above = Layer::new(&snapshot);
    above.absorb(&right.block.header, &right.diff);
    assert!(above.account(&alice).unwrap().is_none());
    assert_eq!(above.account(&bob).unwrap().unwrap().balance, U256::from(7_000_000_000_u64));
    assert_eq!(above.block_hash(1).unwrap(), right.block.header.hash());
    let mut right_commitment = commitment.clone();
    right_commitment.adopt(right_step);
    let parent_right = right.block.header.clone();
    let (grandchild, _) = child(&spec, &parent_right, bob, &above, &mut right_commitment);
    let again =
        execute(&spec, &parent_right, &grandchild.block, &above, &mut right_commitment, &above);
    assert_eq!(again.unwrap().0.diff, grandchild.diff);

    // Finality chooses the left one; committing it twice is the same as once, and the right one no
    // longer fits.
    for _ in 0..2 {
        store.commit(&left.block, &left.receipts, &left.diff).unwrap();
        assert_eq!(store.head().unwrap(), Some(1));
    }
    assert!(store.commit(&right.block, &right.receipts, &right.diff).is_err());
    commitment.adopt(left_step);
    let final_state = store.snapshot().unwrap();
    assert_eq!(commitment.accounts().root(), left.block.header.state_root);
    assert!(final_state.account(&bob).unwrap().is_none());
    // The old view and what is built on it still stand.
    assert_eq!(above.account(&bob).unwrap().unwrap().balance, U256::from(7_000_000_000_u64));
}

#[test]
fn difficulty_follows_each_forks_formula() {
    let parent = |difficulty: u64, number: u64| -> SealedHeader {
        Header {
            difficulty: U256::from(difficulty),
            number,
            timestamp: 100,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            ..Header::default()
        }
        .seal_slow()
    };
    let at = |forks: Forks, difficulty, number, timestamp| {
        let spec = ChainSpec { chain_id: 1, forks };
        next_difficulty(&spec, &parent(difficulty, number), timestamp).to::<u64>()
    };
    let homestead = || Forks { homestead: Some(0), ..Forks::none() };
    let byzantium = || Forks { byzantium: Some(0), ..homestead() };
    // One step is 2048: up if fast, down if slow, never below the minimum.
    assert_eq!(at(Forks::none(), 1 << 22, 1, 112), (1 << 22) + 2048);
    assert_eq!(at(Forks::none(), 1 << 22, 1, 113), (1 << 22) - 2048);
    assert_eq!(at(homestead(), 1 << 22, 1, 109), (1 << 22) + 2048);
    assert_eq!(at(homestead(), 1 << 22, 1, 119), 1 << 22);
    assert_eq!(at(homestead(), 1 << 22, 1, 100_000), (1 << 22) - 99 * 2048);
    assert_eq!(at(byzantium(), 1 << 22, 1, 108), (1 << 22) + 2048);
    assert_eq!(at(byzantium(), 1 << 22, 1, 109), 1 << 22);
    assert_eq!(at(byzantium(), 131_072, 1, 1_000), 131_072);
    // The bomb: two to the power of the period less two, three million blocks later in Byzantium.
    assert_eq!(at(homestead(), 1 << 22, 999_999, 119), (1 << 22) + (1 << 8));
    assert_eq!(at(byzantium(), 1 << 22, 999_999, 109), 1 << 22);
    assert_eq!(at(byzantium(), 1 << 22, 3_999_999, 109), (1 << 22) + (1 << 8));
}

/// Gas that a call of a contract with `code` uses; its slot 0 holds `original`.
fn store_gas(forks: Forks, code: &[u8], original: u64) -> u64 {
    let (sender, contract) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let rich = GenesisAccount { balance: U256::from(1_u64 << 62), ..GenesisAccount::default() };
    let storage = (original > 0).then(|| (U256::ZERO, U256::from(original)));
    let code = Bytes::copy_from_slice(code);
    let called = GenesisAccount {
        code,
        storage: storage.into_iter().collect(),
        ..GenesisAccount::default()
    };
    let accounts = [(sender, rich), (contract, called)].into();
    let header = GenesisHeader { difficulty: U256::from(131_072), ..GenesisHeader::default() };
    let genesis = Genesis { accounts, header, forks, ..Genesis::default() };
    let (spec, made) = (genesis.spec(), genesis.execute().unwrap());
    let mut state = Layer::new(Nothing);
    state.absorb(&made.block.header, &made.diff);
    let attributes = BlockAttributes {
        timestamp: 20,
        gas_limit: genesis.gas_limit,
        proof_of_work: Some(ProofOfWork::default()),
        ..BlockAttributes::default()
    };
    let mut builder = BlockBuilder::new(&spec, &made.block.header, attributes, &state).unwrap();
    let call = TxLegacy { gas_limit: 200_000, to: TxKind::Call(contract), ..TxLegacy::default() };
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    let call = TxEnvelope::Legacy(Signed::new_unhashed(call, signature));
    builder.add(Recovered::new_unchecked(call, sender)).unwrap().unwrap();
    builder.receipts()[0].gas_used
}

#[test]
fn constantinople_meters_net_gas_until_petersburg() {
    let zero = Some(0);
    let constantinople = Forks {
        homestead: zero,
        tangerine: zero,
        eip155: zero,
        spurious_dragon: zero,
        byzantium: zero,
        constantinople: zero,
        ..Forks::none()
    };
    let petersburg = Forks { petersburg: zero, ..constantinople.clone() };
    // Two stores in slot 0. Gas and refund of Constantinople are from the table in EIP-1283, those of
    // Petersburg from the rules of Frontier: 20,000 for what was zero before and is not then, 5,000
    // for all else, 15,000 back for what becomes zero.
    for (original, first, second, net, gross) in [
        (0, 0, 0, (412, 0), (10_012, 0)),
        (0, 0, 1, (20_212, 0), (25_012, 0)),
        (0, 1, 0, (20_212, 19_800), (25_012, 15_000)),
        (0, 1, 2, (20_212, 0), (25_012, 0)),
        (0, 1, 1, (20_212, 0), (25_012, 0)),
        (1, 0, 0, (5_212, 15_000), (10_012, 15_000)),
        (1, 0, 1, (5_212, 4_800), (25_012, 15_000)),
        (1, 0, 2, (5_212, 0), (25_012, 15_000)),
        (1, 2, 0, (5_212, 15_000), (10_012, 15_000)),
        (1, 2, 3, (5_212, 0), (10_012, 0)),
        (1, 2, 1, (5_212, 4_800), (10_012, 0)),
        (1, 1, 1, (412, 0), (10_012, 0)),
    ] {
        let code = [0x60, first, 0x60, 0, 0x55, 0x60, second, 0x60, 0, 0x55];
        for (forks, (gas, refund)) in [(&constantinople, net), (&petersburg, gross)] {
            // At most half of all gas comes back.
            let wanted = gas + 21_000 - u64::min(refund, (gas + 21_000) / 2);
            let used = store_gas(forks.clone(), &code, original);
            assert_eq!(used, wanted, "{original} {first} {second} {:?}", forks.petersburg);
        }
    }
}

/// Whether a call of an account whose code is a delegation to a contract that stops succeeds, in a block
/// with this timestamp.
fn delegated_call(forks: &Forks, timestamp: u64) -> bool {
    let [sender, account, contract] = [1, 2, 3].map(Address::repeat_byte);
    let delegation = [&[0xef, 0x01, 0x00][..], contract.as_slice()].concat();
    let with_code = |code: Vec<u8>| GenesisAccount { code: code.into(), ..Default::default() };
    let rich = GenesisAccount { balance: U256::from(1_u64 << 62), ..GenesisAccount::default() };
    let mut accounts = Genesis::default().accounts;
    accounts.insert(sender, rich);
    accounts.insert(account, with_code(delegation));
    accounts.insert(contract, with_code(vec![0x00]));
    let genesis = Genesis { accounts, forks: forks.clone(), base_fee: 7, ..Genesis::default() };
    let (spec, made) = (genesis.spec(), genesis.execute().unwrap());
    let mut state = Layer::new(Nothing);
    state.absorb(&made.block.header, &made.diff);
    let attributes =
        BlockAttributes { timestamp, gas_limit: genesis.gas_limit, ..BlockAttributes::default() };
    let mut builder = BlockBuilder::new(&spec, &made.block.header, attributes, &state).unwrap();
    let call = TxLegacy {
        gas_limit: 200_000,
        gas_price: 1000,
        to: TxKind::Call(account),
        ..TxLegacy::default()
    };
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    let call = TxEnvelope::Legacy(Signed::new_unhashed(call, signature));
    builder.add(Recovered::new_unchecked(call, sender)).unwrap().unwrap();
    builder.receipts()[0].success()
}

#[test]
fn a_delegation_in_genesis_counts_from_prague_on() {
    let forks = Forks { prague: Some(100), osaka: None, ..Forks::all() };
    assert!(!delegated_call(&forks, 99));
    assert!(delegated_call(&forks, 100));
}
