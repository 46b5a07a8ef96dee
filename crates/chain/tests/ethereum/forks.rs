//! A chain of our own that goes through every fork, a few blocks each.

use alloy::{
    consensus::{
        Header, SignableTransaction as _, TxEip1559, TxEip2930, TxEnvelope, TxLegacy,
        transaction::Recovered,
    },
    eips::eip4895::Withdrawal,
    network::TxSignerSync as _,
    primitives::{Address, B256, Bytes, TxKind, U256, bytes},
    signers::local::PrivateKeySigner,
};
use tilth_chain::{
    Block, ChainSpec, Forks, Genesis, GenesisAccount, GenesisHeader,
    block::Transaction,
    execution::{BlockAttributes, BlockBuilder, ProofOfWork, next_difficulty},
    spec::{BlobCounts, BlobSchedule},
    state::{Commitment, Layer, Nothing, StateCommitment as _},
};

/// Of the blocks before London; from then on it is twice as much.
const GAS_LIMIT: u64 = 30_000_000;

/// Seconds between two blocks: the difficulty stays nearly the same.
const INTERVAL: u64 = 10;

/// The first fork that comes by time, in seconds; the merge comes a little before.
const SHANGHAI: u64 = 1000 + 20 * INTERVAL;

/// The chain.
pub struct ForkChain {
    pub genesis: Genesis,
    pub blocks: Vec<Block>,
    /// A block beside the one with the number 3, with the same parent.
    pub sibling: Header,
    pub signer: PrivateKeySigner,
}

fn genesis(signer: &PrivateKeySigner) -> Genesis {
    let forks = Forks {
        homestead: Some(2),
        tangerine: Some(3),
        eip155: Some(4),
        spurious_dragon: Some(4),
        byzantium: Some(5),
        constantinople: Some(7),
        petersburg: Some(7),
        istanbul: Some(9),
        muir_glacier: Some(10),
        berlin: Some(11),
        london: Some(13),
        arrow_glacier: Some(14),
        gray_glacier: Some(15),
        // Reached by block 16 or 17; every block weighs about 131,072.
        terminal_total_difficulty: Some(U256::from(17 * 131_072)),
        shanghai: Some(SHANGHAI),
        cancun: Some(SHANGHAI + 2 * INTERVAL),
        prague: Some(SHANGHAI + 4 * INTERVAL),
        osaka: Some(SHANGHAI + 6 * INTERVAL),
        blobs: BlobSchedule {
            cancun: Some(BlobCounts::CANCUN),
            prague: Some(BlobCounts::PRAGUE),
            osaka: Some(BlobCounts::PRAGUE),
            ..BlobSchedule::default()
        },
        ..Forks::none()
    };
    let rich = GenesisAccount { balance: U256::MAX >> 1, ..GenesisAccount::default() };
    // Stores the number of the block under it, and logs it.
    let code = bytes!("43435543600052602060006000a1");
    let recorder = GenesisAccount { nonce: 1, code, ..GenesisAccount::default() };
    let mut accounts = Genesis::default().accounts;
    accounts.extend([(signer.address(), rich), (RECORDER, recorder)]);
    Genesis {
        chain_id: 1,
        forks,
        timestamp: 1000,
        gas_limit: GAS_LIMIT,
        accounts,
        header: GenesisHeader { difficulty: U256::from(131_072), ..GenesisHeader::default() },
        ..Genesis::default()
    }
}

/// A contract that writes.
pub const RECORDER: Address = Address::repeat_byte(0xc0);

impl ForkChain {
    pub fn build() -> Self {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let genesis = genesis(&signer);
        let spec = genesis.spec();
        let mut blocks = vec![genesis.execute().unwrap().block];
        let mut state = Layer::new(Nothing);
        state.absorb(&blocks[0].header, &genesis.execute().unwrap().diff);
        let mut commitment = Commitment::load(&state).unwrap();
        let mut total = blocks[0].header.difficulty;
        let (mut sibling, mut nonce) = (Header::default(), 0);
        while blocks.last().unwrap().header.timestamp < SHANGHAI + 7 * INTERVAL {
            let parent = blocks.last().unwrap().header.clone();
            let number = parent.number + 1;
            let merged = spec.forks.terminal_total_difficulty.is_some_and(|end| total >= end);
            let ommers = if number == 5 { vec![sibling.clone()] } else { Vec::new() };
            let attributes = attributes(&spec, &parent, merged, ommers);
            let mut builder =
                BlockBuilder::new(&spec, &parent, attributes.clone(), &state).unwrap();
            for transaction in transactions(&spec, &signer, number, &mut nonce) {
                builder.add(transaction).unwrap().unwrap();
                builder.record_state_root(&mut commitment, &state).unwrap();
            }
            let (executed, advance) = builder.seal(&mut commitment, &state).unwrap();
            if number == 3 {
                sibling = Header {
                    extra_data: Bytes::from_static(b"beside"),
                    ..executed.block.header.inner().clone()
                };
            }
            commitment.adopt(advance);
            state.absorb(&executed.block.header, &executed.diff);
            total += executed.block.header.difficulty;
            blocks.push(executed.block);
        }
        blocks.remove(0);
        Self { genesis, blocks, sibling, signer }
    }
}

fn attributes(
    spec: &ChainSpec,
    parent: &Header,
    merged: bool,
    ommers: Vec<Header>,
) -> BlockAttributes {
    let timestamp = parent.timestamp + INTERVAL;
    let london = spec.has_base_fee(parent.number + 1);
    let withdrawal = Withdrawal { address: RECORDER, amount: 9, ..Withdrawal::default() };
    BlockAttributes {
        timestamp,
        beneficiary: Address::repeat_byte(0xfe),
        prev_randao: B256::repeat_byte(5),
        gas_limit: if london { 2 * GAS_LIMIT } else { GAS_LIMIT },
        withdrawals: vec![withdrawal].into(),
        parent_beacon_block_root: B256::repeat_byte(6),
        proof_of_work: (!merged).then(|| ProofOfWork {
            difficulty: next_difficulty(spec, parent, timestamp),
            ommers,
            ..ProofOfWork::default()
        }),
        ..BlockAttributes::default()
    }
}

/// Two transactions of every type that the block's fork knows, but for blobs and delegations.
fn transactions(
    spec: &ChainSpec,
    signer: &PrivateKeySigner,
    number: u64,
    nonce: &mut u64,
) -> Vec<Transaction> {
    let reached = |fork: Option<u64>| fork.is_some_and(|fork| fork <= number);
    let kinds = 1 + u8::from(reached(spec.forks.berlin)) + u8::from(reached(spec.forks.london));
    let mut all = Vec::new();
    for kind in (0..kinds).flat_map(|kind| [kind, kind]) {
        let chain_id = spec.has_replay_protection(number).then_some(1);
        all.push(transaction(signer, chain_id, kind, *nonce));
        *nonce += 1;
    }
    all
}

/// A signed call of the recorder. Only the first kind can do without a chain id.
pub fn transaction(
    signer: &PrivateKeySigner,
    chain_id: Option<u64>,
    kind: u8,
    nonce: u64,
) -> Transaction {
    let (gas_limit, price, to) = (100_000, 2_000_000_000, TxKind::Call(RECORDER));
    let envelope: TxEnvelope = match kind {
        0 => {
            let mut transaction =
                TxLegacy { chain_id, nonce, gas_price: price, gas_limit, to, ..Default::default() };
            let signature = signer.sign_transaction_sync(&mut transaction).unwrap();
            transaction.into_signed(signature).into()
        }
        1 => {
            let mut transaction = TxEip2930 {
                chain_id: chain_id.unwrap_or_default(),
                nonce,
                gas_price: price,
                gas_limit,
                to,
                ..Default::default()
            };
            let signature = signer.sign_transaction_sync(&mut transaction).unwrap();
            transaction.into_signed(signature).into()
        }
        _ => {
            let mut transaction = TxEip1559 {
                chain_id: chain_id.unwrap_or_default(),
                nonce,
                gas_limit,
                max_fee_per_gas: price,
                max_priority_fee_per_gas: 1,
                to,
                ..Default::default()
            };
            let signature = signer.sign_transaction_sync(&mut transaction).unwrap();
            transaction.into_signed(signature).into()
        }
    };
    Recovered::new_unchecked(envelope, signer.address())
}
