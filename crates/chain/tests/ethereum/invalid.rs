//! Invalid blocks at the importer: every block of a chain through all forks, spoiled in every way
//! that we can think of. Hashes are right: a spoiled header is a header of another block.

use alloy::{
    consensus::{
        Block as PlainBlock, BlockBody, EMPTY_OMMER_ROOT_HASH, Header, SignableTransaction as _,
        Transaction as _, TxEnvelope, proofs,
    },
    eips::{eip2718::Encodable2718 as _, eip4895::Withdrawals},
    primitives::{Address, B64, B256, Bloom, Bytes, Signature, U256, hex},
    rlp::{Encodable as _, Header as RlpHeader},
};
use tilth_chain::{Block, Config, Production, StoredChain};

use crate::forks::{ForkChain, transaction};

type Plain = PlainBlock<TxEnvelope, Header>;

/// A way to spoil a block, and whether it was possible with this one.
type Spoil = fn(&mut Plain, &ForkChain) -> bool;

fn plain(block: &Block) -> Plain {
    PlainBlock {
        header: block.header.inner().clone(),
        body: BlockBody {
            transactions: block.transactions.iter().map(|tx| tx.inner().clone()).collect(),
            ommers: block.ommers.clone(),
            withdrawals: block.withdrawals.clone(),
        },
    }
}

fn rlp(block: &Plain) -> Vec<u8> {
    let mut rlp = Vec::new();
    block.encode(&mut rlp);
    rlp
}

/// Makes the header commit to the body as it is now.
fn commit(block: &mut Plain) -> bool {
    block.header.transactions_root =
        proofs::ordered_trie_root_with_encoder(&block.body.transactions, |transaction, out| {
            transaction.encode_2718(out)
        });
    block.header.ommers_hash = if block.body.ommers.is_empty() {
        EMPTY_OMMER_ROOT_HASH
    } else {
        proofs::calculate_ommers_root(&block.body.ommers)
    };
    let withdrawals = block.body.withdrawals.as_ref();
    block.header.withdrawals_root =
        withdrawals.map(|withdrawals| proofs::calculate_withdrawals_root(withdrawals));
    true
}

/// Puts one more transaction of a kind behind the others, so many nonces too late.
fn append(block: &mut Plain, chain: &ForkChain, kind: u8, late: u64, id: Option<u64>) -> bool {
    let nonce = block.body.transactions.last().map_or(0, |last| last.nonce() + 1) + late;
    block.body.transactions.push(transaction(&chain.signer, id, kind, nonce).into_inner());
    commit(block)
}

/// Replaces the last signature by the other one of the same sender. Frontier takes both.
fn malleate(block: &mut Plain) -> bool {
    let last = block.body.transactions.last();
    let Some(TxEnvelope::Legacy(signed)) = last.filter(|_| block.header.number > 1) else {
        return false;
    };
    let (signature, order) = (signed.signature(), U256::from_be_bytes(ORDER));
    let other = Signature::new(signature.r(), order - signature.s(), !signature.v());
    let transaction = signed.tx().clone().into_signed(other);
    block.body.transactions.pop();
    block.body.transactions.push(transaction.into());
    commit(block)
}

/// Order of the group of secp256k1 (SEC 2, 2.4.1).
const ORDER: [u8; 32] = hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

/// Changes an optional field of the header: wrong if it is there, there if it must not be.
fn flip<T>(field: &mut Option<T>, early: T, change: impl FnOnce(&mut T)) -> bool {
    match field {
        Some(value) => change(value),
        None => *field = Some(early),
    }
    true
}

/// Takes an optional field of the header away, if it is there.
fn drop_field<T>(field: &mut Option<T>) -> bool {
    field.take().is_some()
}

const HEADER: [(&str, Spoil); 31] = [
    ("parent", |b, _| {
        b.header.parent_hash = B256::repeat_byte(1);
        true
    }),
    ("hash of ommers", |b, _| {
        b.header.ommers_hash = B256::repeat_byte(1);
        true
    }),
    ("beneficiary", |b, _| {
        b.header.beneficiary = Address::repeat_byte(1);
        true
    }),
    ("state root", |b, _| {
        b.header.state_root = B256::repeat_byte(1);
        true
    }),
    ("root of transactions", |b, _| {
        b.header.transactions_root = B256::repeat_byte(1);
        true
    }),
    ("root of receipts", |b, _| {
        b.header.receipts_root = B256::repeat_byte(1);
        true
    }),
    ("bloom", |b, _| {
        b.header.logs_bloom = Bloom::repeat_byte(1);
        true
    }),
    ("more difficulty", |b, _| {
        b.header.difficulty += U256::ONE;
        true
    }),
    ("no difficulty", |b, _| !std::mem::take(&mut b.header.difficulty).is_zero()),
    ("next number", |b, _| {
        b.header.number += 1;
        true
    }),
    ("parent's number", |b, _| {
        b.header.number -= 1;
        true
    }),
    ("gas limit too high", |b, _| {
        b.header.gas_limit = b.header.gas_limit * 5 / 2;
        true
    }),
    ("gas limit too low", |b, _| {
        b.header.gas_limit /= 2;
        true
    }),
    ("no gas limit", |b, _| {
        b.header.gas_limit = 0;
        true
    }),
    ("more gas used", |b, _| {
        b.header.gas_used += 1;
        true
    }),
    ("less gas used", |b, _| {
        b.header.gas_used -= 1;
        true
    }),
    ("gas used above the limit", |b, _| {
        b.header.gas_used = b.header.gas_limit + 1;
        true
    }),
    ("parent's time", |b, _| {
        b.header.timestamp -= 10;
        true
    }),
    ("before the parent", |b, _| {
        b.header.timestamp -= 11;
        true
    }),
    ("long ago", |b, _| {
        b.header.timestamp = 0;
        true
    }),
    ("much extra data", |b, _| {
        b.header.extra_data = Bytes::from(vec![0; 33]);
        true
    }),
    ("nonce of proof of stake", |b, _| {
        b.header.nonce = B64::repeat_byte(1);
        b.header.difficulty.is_zero()
    }),
    ("base fee", |b, _| flip(&mut b.header.base_fee_per_gas, 1, |fee| *fee += 1)),
    ("base fee missing", |b, _| drop_field(&mut b.header.base_fee_per_gas)),
    ("root of withdrawals", |b, _| {
        flip(&mut b.header.withdrawals_root, B256::ZERO, |root| *root = B256::ZERO)
    }),
    ("blob gas", |b, _| flip(&mut b.header.blob_gas_used, 0, |gas| *gas += 1 << 17)),
    ("half a blob", |b, _| flip(&mut b.header.blob_gas_used, 0, |gas| *gas += 1 << 16)),
    ("excess of blob gas", |b, _| flip(&mut b.header.excess_blob_gas, 0, |gas| *gas += 1)),
    ("excess of blob gas missing", |b, _| drop_field(&mut b.header.excess_blob_gas)),
    ("beacon root", |b, _| {
        flip(&mut b.header.parent_beacon_block_root, B256::ZERO, |root| *root = B256::ZERO)
    }),
    ("hash of requests", |b, _| {
        flip(&mut b.header.requests_hash, B256::ZERO, |hash| *hash = B256::ZERO)
    }),
];

const BODY: [(&str, Spoil); 21] = [
    ("a transaction less", |b, _| b.body.transactions.pop().is_some()),
    ("a transaction less, committed", |b, _| b.body.transactions.pop().is_some() && commit(b)),
    ("a transaction twice", |b, _| {
        b.body.transactions.push(b.body.transactions[0].clone());
        commit(b)
    }),
    ("transactions the other way round", |b, _| {
        b.body.transactions.reverse();
        commit(b)
    }),
    ("one transaction more", |b, c| append(b, c, 0, 0, None)),
    ("one of this chain alone", |b, c| append(b, c, 0, 0, Some(1))),
    ("one of another chain", |b, c| append(b, c, 0, 0, Some(2))),
    ("a nonce left out", |b, c| append(b, c, 0, 1, None)),
    ("an access list", |b, c| append(b, c, 1, 0, Some(1))),
    ("a priority fee", |b, c| append(b, c, 2, 0, Some(1))),
    ("a signature that the other side of the curve gives", |b, _| malleate(b)),
    ("an ommer without its hash", |b, c| {
        b.body.ommers.push(c.sibling.clone());
        true
    }),
    ("an ommer too late", |b, c| {
        b.body.ommers.push(c.sibling.clone());
        commit(b)
    }),
    ("an ommer that is an ancestor", |b, c| {
        let Some(number) = b.header.number.checked_sub(2) else { return false };
        let Some(block) = c.blocks.iter().find(|block| block.header.number == number) else {
            return false;
        };
        b.body.ommers = vec![block.header.inner().clone()];
        commit(b)
    }),
    ("an ommer that is no block", |b, c| {
        b.body.ommers = vec![Header { difficulty: U256::ONE, ..c.sibling.clone() }];
        commit(b)
    }),
    ("an ommer that is proof of stake", |b, c| {
        b.body.ommers = vec![Header { difficulty: U256::ZERO, ..c.sibling.clone() }];
        commit(b)
    }),
    ("three ommers", |b, c| {
        let ommer = |n: u8| Header { extra_data: Bytes::from(vec![n]), ..c.sibling.clone() };
        b.body.ommers = vec![ommer(1), ommer(2), ommer(3)];
        commit(b)
    }),
    ("a withdrawal more", |b, _| match &mut b.body.withdrawals {
        Some(withdrawals) => {
            withdrawals.push(Default::default());
            true
        }
        early => {
            *early = Some(Withdrawals::default());
            true
        }
    }),
    ("a withdrawal more, committed", |b, _| {
        let Some(withdrawals) = &mut b.body.withdrawals else { return false };
        let mut another = withdrawals[0];
        another.amount += 1;
        withdrawals.push(another);
        commit(b)
    }),
    ("withdrawals missing", |b, _| b.body.withdrawals.take().is_some()),
    ("withdrawals missing, committed", |b, _| b.body.withdrawals.take().is_some() && commit(b)),
];

/// A way to spoil a block's bytes.
type SpoilBytes = fn(&mut Vec<u8>);

const BYTES: [(&str, SpoilBytes); 6] = [
    ("a byte less", |rlp| rlp.truncate(rlp.len() - 1)),
    ("a length of one more", |rlp| rlp[2] = rlp[2].wrapping_add(1)),
    ("half of it", |rlp| rlp.truncate(rlp.len() / 2)),
    ("the length alone", |rlp| rlp.truncate(3)),
    ("no list", |rlp| rlp[0] = 0x80),
    ("another list behind the last", |rlp| {
        let mut content = rlp[3..].to_vec();
        content.extend([0xc0, 0xc0]);
        rlp.clear();
        RlpHeader { list: true, payload_length: content.len() }.encode(rlp);
        rlp.extend(content);
    }),
];

/// Feeds every block in all spoiled forms, and then as it is. Returns how many were refused.
pub fn run(chain: &ForkChain) -> u64 {
    let importer = StoredChain::open(Config {
        production: Production::Manual,
        ..Config::in_memory(chain.genesis.clone())
    });
    let importer = importer.unwrap();
    let mut refused = 0;
    let mut refuse = |number: u64, how: &str, spoiled: &[u8]| {
        let before = importer.head();
        let outcome = importer.import(spoiled, |_| ());
        assert!(outcome.is_err(), "block {number} was taken with {how}: {outcome:?}");
        assert_eq!(importer.head(), before, "block {number} with {how} moved the head");
        refused += 1;
    };
    for block in &chain.blocks {
        let number = block.header.number;
        let good = rlp(&plain(block));
        for (how, spoil) in HEADER.iter().chain(&BODY) {
            let mut spoiled = plain(block);
            if spoil(&mut spoiled, chain) {
                refuse(number, how, &rlp(&spoiled));
            }
        }
        for (how, spoil) in BYTES {
            let mut spoiled = good.clone();
            spoil(&mut spoiled);
            refuse(number, how, &spoiled);
        }
        let taken = importer.import(good.as_slice(), |_| ());
        let taken = taken.unwrap_or_else(|error| panic!("block {number} was refused: {error:?}"));
        assert_eq!((taken.blocks, importer.head()), (1, block.header.clone()));
    }
    refused
}
