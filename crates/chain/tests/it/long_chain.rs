//! A chain that is made here, block by block, the same in every run: through every fork, by number and by time, with
//! every kind of transaction, programs of random opcodes, ommers, withdrawals, requests.
//!
//! `chains.rs` imports it, and `tests/clients` has another implementation execute it and agree.

#[path = "long_chain_code.rs"]
mod code;

use alloy::{
    consensus::{
        Block as RlpBlock, BlockBody, EthereumTxEnvelope, Header, SignableTransaction, Signed,
        TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
    },
    eips::{
        eip2930::{AccessList, AccessListItem},
        eip4895::{Withdrawal, Withdrawals},
        eip7002, eip7251,
        eip7702::Authorization,
    },
    primitives::{Address, B256, Bytes, Signature, TxKind, U256, b256, keccak256},
    rlp::Encodable as _,
    signers::SignerSync as _,
};
use serde_json::{Value, json};
use tilth_chain::{
    Genesis, SealedHeader,
    block::Transaction,
    execution::{BlockAttributes, BlockBuilder, ProofOfWork, next_difficulty},
    state::{Commitment, StateCommitment as _},
    store::{Store, StoreOptions},
};

use self::code::Chance;
use crate::fixture::signer;

/// Number of the last block.
pub const BLOCKS: u64 = 420;
/// Its hash, which EthereumJS gives, too.
pub const HEAD: B256 = b256!("0x6f2c347e47880e843c560f72e4d4557a016e17e89ae2c5771eb5c61d2d5f9e70");
/// The state after it.
pub const STATE_ROOT: B256 =
    b256!("0x2aaa393b77783decb93fdfee344bb30f26e92e6f61dd2e3c5f5141566eb35479");

const CHAIN_ID: u64 = 7357;
const DAO: u64 = 20;
const SPURIOUS_DRAGON: u64 = 40;
const BERLIN: u64 = 130;
const LONDON: u64 = 150;
/// The first block of proof of stake.
const MERGE: u64 = 190;
const SHANGHAI: u64 = 215;
const CANCUN: u64 = 245;
const PRAGUE: u64 = 290;
const OSAKA: u64 = 340;

/// Accounts that send, and after them those that only delegate.
const SENDERS: u8 = 6;
const DELEGATORS: u8 = 3;

/// The chain as files.
pub struct LongChain {
    /// In geth's format.
    pub genesis: String,
    /// One block after another.
    pub rlp: Vec<u8>,
    /// The last block's.
    pub head: SealedHeader,
}

/// When a block is made, in seconds: every 9 to 17.
fn time(number: u64) -> u64 {
    1_000_000 + number * 13 + number * 7 % 5
}

fn genesis(terminal_total_difficulty: u64) -> Value {
    let mut alloc = serde_json::Map::new();
    for index in 0..SENDERS + DELEGATORS {
        let balance = "0x21e19e0c9bab2400000";
        alloc.insert(signer(index).address().to_string(), json!({ "balance": balance }));
    }
    // The contracts that blocks call from Cancun and Prague on.
    for (address, account) in Genesis::default().accounts {
        let account = json!({ "balance": "0x0", "nonce": "0x1", "code": account.code });
        alloc.insert(address.to_string(), account);
    }
    let blobs = |target: u64, max: u64, fraction: u64| json!({ "target": target, "max": max, "baseFeeUpdateFraction": fraction });
    json!({
        "config": {
            "chainId": CHAIN_ID,
            "homesteadBlock": 12, "daoForkBlock": DAO, "daoForkSupport": true, "eip150Block": 30,
            "eip155Block": SPURIOUS_DRAGON, "eip158Block": SPURIOUS_DRAGON, "byzantiumBlock": 55,
            "constantinopleBlock": 75, "petersburgBlock": 90, "istanbulBlock": 105,
            "muirGlacierBlock": 120, "berlinBlock": BERLIN, "londonBlock": LONDON,
            "arrowGlacierBlock": 165, "grayGlacierBlock": 175, "mergeNetsplitBlock": MERGE,
            "terminalTotalDifficulty": terminal_total_difficulty,
            "shanghaiTime": time(SHANGHAI), "cancunTime": time(CANCUN),
            "pragueTime": time(PRAGUE), "osakaTime": time(OSAKA),
            "bpo1Time": time(370), "bpo2Time": time(395),
            "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
            "ethash": {},
            "blobSchedule": {
                "cancun": blobs(3, 6, 3_338_477), "prague": blobs(6, 9, 5_007_716),
                "osaka": blobs(6, 9, 5_007_716), "bpo1": blobs(10, 15, 8_346_193),
                "bpo2": blobs(14, 21, 11_684_671),
            },
        },
        "nonce": "0x0", "timestamp": "0xf4240", "extraData": "0x74696c7468", "gasLimit": "0x1c9c380",
        "difficulty": "0x20000", "coinbase": Address::ZERO, "mixHash": B256::ZERO,
        "alloc": alloc,
    })
}

/// Makes the chain.
pub fn make() -> LongChain {
    let unmerged = genesis(u64::MAX >> 16).to_string();
    let first = Genesis::from_json(unmerged.as_bytes()).unwrap();
    let mut maker = Maker::new(&first);
    let mut total = first.header.difficulty;
    let mut rlp = Vec::new();
    for number in 1..=BLOCKS {
        let header = maker.block(number, &mut rlp);
        total += header.difficulty;
    }
    // Blocks do not depend on the total that ends proof of work; it is what they add up to.
    LongChain { genesis: genesis(total.to()).to_string(), rlp, head: maker.parent }
}

struct Maker {
    genesis: Genesis,
    store: Store,
    commitment: Commitment,
    parent: SealedHeader,
    nonces: [u64; (SENDERS + DELEGATORS) as usize],
    contracts: Vec<Address>,
    /// Blobs that still fit into the block.
    blobs_left: usize,
    chance: Chance,
}

impl Maker {
    fn new(genesis: &Genesis) -> Self {
        let store = Store::in_memory(&StoreOptions::default()).unwrap();
        let first = genesis.execute().unwrap();
        store.commit(&first.block, &first.receipts, &first.diff).unwrap();
        let commitment = Commitment::load(&store.snapshot().unwrap()).unwrap();
        Self {
            genesis: genesis.clone(),
            store,
            commitment,
            parent: first.block.header,
            nonces: [0; _],
            contracts: vec![
                eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
                eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            ],
            blobs_left: 0,
            chance: Chance(0x74_696c_7468),
        }
    }

    fn attributes(&mut self, number: u64) -> BlockAttributes {
        let spec = self.genesis.spec();
        let timestamp = time(number);
        let before = self.parent.gas_limit * if number == LONDON { 2 } else { 1 };
        let gas_limit = before + self.chance.below(2) * (before / 1025);
        let withdrawals = if number < SHANGHAI { 0 } else { self.chance.below(4) };
        let withdrawals: Vec<Withdrawal> = (0..withdrawals)
            .map(|index| Withdrawal {
                index: number * 16 + index,
                validator_index: index,
                address: self.chance.address(&self.contracts),
                amount: self.chance.below(3) * 1_000_000_000,
            })
            .collect();
        let proof_of_work = (number < MERGE).then(|| ProofOfWork {
            difficulty: next_difficulty(&spec, &self.parent, timestamp),
            nonce: self.chance.next().to_be_bytes().into(),
            ommers: self.ommers(number),
        });
        let mark = (DAO..DAO + 10).contains(&number);
        BlockAttributes {
            timestamp,
            beneficiary: Address::repeat_byte(self.chance.byte() % 16),
            prev_randao: keccak256(number.to_be_bytes()),
            gas_limit,
            extra_data: Bytes::from_static(if mark { b"dao-hard-fork" } else { b"tilth" }),
            withdrawals: Withdrawals::new(withdrawals),
            parent_beacon_block_root: keccak256(timestamp.to_be_bytes()),
            proof_of_work,
        }
    }

    /// Sometimes a block that could have stood in the parent's place.
    fn ommers(&self, number: u64) -> Vec<Header> {
        let sibling = |beneficiary: u8| Header {
            beneficiary: Address::repeat_byte(beneficiary),
            ..self.parent.inner().clone()
        };
        match number % 11 {
            3 if number > 3 => vec![sibling(0xc1)],
            7 => vec![sibling(0xc2), sibling(0xc3)],
            _ => Vec::new(),
        }
    }

    fn block(&mut self, number: u64, rlp: &mut Vec<u8>) -> SealedHeader {
        let spec = self.genesis.spec();
        let attributes = self.attributes(number);
        // What the smallest schedule allows.
        self.blobs_left = 6;
        let transactions: Vec<Plain> =
            (0..self.chance.below(7)).map(|_| self.transaction(number)).collect();
        let snapshot = self.store.snapshot().unwrap();
        let mut builder = BlockBuilder::new(&spec, &self.parent, attributes, &snapshot).unwrap();
        for transaction in &transactions {
            let sender =
                alloy::consensus::transaction::SignerRecoverable::recover_signer(transaction);
            let envelope = TxEnvelope::from(transaction.clone());
            let added = builder.add(Transaction::new_unchecked(envelope, sender.unwrap())).unwrap();
            added.unwrap_or_else(|why| panic!("block {number}: {why}"));
            builder.record_state_root(&mut self.commitment, &snapshot).unwrap();
        }
        let (executed, advance) = builder.seal(&mut self.commitment, &snapshot).unwrap();
        drop(snapshot);
        self.store.commit(&executed.block, &executed.receipts, &executed.diff).unwrap();
        self.commitment.adopt(advance);
        let block = executed.block;
        let body = BlockBody { transactions, ommers: block.ommers, withdrawals: block.withdrawals };
        RlpBlock { header: block.header.inner().clone(), body }.encode(rlp);
        self.parent = block.header.clone();
        block.header
    }

    fn transaction(&mut self, number: u64) -> Plain {
        let index = u8::try_from(self.chance.below(SENDERS.into())).unwrap();
        let nonce = self.nonces[usize::from(index)];
        self.nonces[usize::from(index)] += 1;
        let (to, value, input) = self.act(number, signer(index).address(), nonce);
        let plain = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 150_000 + self.chance.below(400_000),
            max_fee_per_gas: 40_000_000_000,
            max_priority_fee_per_gas: u128::from(self.chance.below(3)) * 1_000_000_000,
            to,
            value,
            access_list: self.access_list(),
            input,
        };
        let kinds = match number {
            n if n < SPURIOUS_DRAGON => 1,
            n if n < BERLIN => 2,
            n if n < LONDON => 3,
            n if n < CANCUN => 4,
            n if n < PRAGUE => 5,
            _ => 6,
        };
        match self.chance.below(kinds) {
            4 if self.blobs_left == 0 => sign(index, plain).into(),
            chosen => self.of_kind(chosen, index, plain),
        }
    }

    /// The same as another kind of transaction. What cannot create a contract stays what it is.
    fn of_kind(&mut self, kind: u64, index: u8, plain: TxEip1559) -> Plain {
        let TxEip1559 { chain_id, nonce, gas_limit, max_fee_per_gas, .. } = plain;
        let TxEip1559 { max_priority_fee_per_gas, to, value, access_list, input, .. } =
            plain.clone();
        let gas_price = max_fee_per_gas;
        match (kind, to) {
            (0 | 1, _) => {
                let chain_id = (kind == 1).then_some(chain_id);
                let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
                sign(index, tx).into()
            }
            (2, _) => {
                let tx = TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                };
                sign(index, tx).into()
            }
            (4, TxKind::Call(to)) => {
                let tx = TxEip4844 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    blob_versioned_hashes: self.blobs(),
                    max_fee_per_blob_gas: 1_000_000_000_000,
                    input,
                };
                sign(index, tx).into()
            }
            (5, TxKind::Call(to)) => {
                let tx = TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    authorization_list: vec![self.authorization(), self.authorization()],
                    input,
                };
                sign(index, tx).into()
            }
            _ => sign(index, plain).into(),
        }
    }

    /// What a transaction does.
    fn act(&mut self, number: u64, sender: Address, nonce: u64) -> (TxKind, U256, Bytes) {
        let value = U256::from(self.chance.below(3));
        match self.chance.below(8) {
            0 => (self.chance.address(&self.contracts).into(), value, Bytes::new()),
            1 | 2 => {
                self.contracts.push(sender.create(nonce));
                (
                    TxKind::Create,
                    value,
                    code::deploying(&code::program(&mut self.chance, &self.contracts)),
                )
            }
            3 => {
                let (address, input) = code::precompile(&mut self.chance);
                (address.into(), value, input)
            }
            4 if number >= PRAGUE => {
                // Requests to leave and to merge cost a fee, whose first step is one wei.
                let (contract, length) = match self.chance.below(2) {
                    0 => (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 56),
                    _ => (eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, 96),
                };
                (contract.into(), U256::from(10), self.chance.bytes(length).into())
            }
            _ => {
                let length = usize::from(self.chance.byte() % 100);
                let nth = self.chance.below(self.contracts.len() as u64);
                let contract = self.contracts[usize::try_from(nth).unwrap()];
                (contract.into(), value, self.chance.bytes(length).into())
            }
        }
    }

    fn access_list(&mut self) -> AccessList {
        let items = (0..self.chance.below(3)).map(|_| AccessListItem {
            address: self.chance.address(&self.contracts),
            storage_keys: vec![B256::with_last_byte(self.chance.byte() % 4)],
        });
        AccessList(items.collect())
    }

    fn blobs(&mut self) -> Vec<B256> {
        let count = usize::from(1 + self.chance.byte() % 4).min(self.blobs_left);
        self.blobs_left -= count;
        let hash = |_| {
            let mut hash = keccak256(self.chance.next().to_be_bytes());
            hash[0] = 1;
            hash
        };
        (0..count).map(hash).collect()
    }

    fn authorization(&mut self) -> alloy::eips::eip7702::SignedAuthorization {
        let index = SENDERS + self.chance.byte() % DELEGATORS;
        let nonce = &mut self.nonces[usize::from(index)];
        let is_right = self.chance.below(4) > 0;
        let authorization = Authorization {
            chain_id: U256::from(self.chance.below(2) * CHAIN_ID),
            address: self.chance.address(&self.contracts),
            nonce: *nonce + u64::from(!is_right),
        };
        *nonce += u64::from(is_right);
        let signature = signer(index).sign_hash_sync(&authorization.signature_hash()).unwrap();
        authorization.into_signed(signature)
    }
}

/// A transaction as it stands in a block: without blobs.
type Plain = EthereumTxEnvelope<TxEip4844>;

fn sign<T: SignableTransaction<Signature>>(index: u8, transaction: T) -> Signed<T> {
    let signature = signer(index).sign_hash_sync(&transaction.signature_hash()).unwrap();
    transaction.into_signed(signature)
}
