//! Rules and constants at their bounds, and those that random histories do not come to.

use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy_consensus::{Signed, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::Signature;

use super::{
    tests::{PLAIN, Sketch, block, made, order, put, sender, transaction},
    *,
};

fn hash(transaction: &Transaction) -> B256 {
    *transaction.inner().tx_hash()
}

/// One with a single price.
fn legacy(who: u8, nonce: u64, gas_price: u128) -> Transaction {
    let tx = TxLegacy {
        chain_id: Some(1),
        nonce,
        gas_price,
        gas_limit: 21_000,
        to: Address::repeat_byte(0xaa).into(),
        ..TxLegacy::default()
    };
    let signature = Signature::new(U256::from(who) + U256::ONE, U256::ONE, false);
    let envelope = TxEnvelope::Legacy(Signed::new_unhashed(tx, signature));
    Transaction::new_unchecked(envelope, Address::repeat_byte(who))
}

#[test]
fn a_slot_is_begun_every_32_kib() {
    let sized = |who, bytes: usize| {
        let besides = Prepared::new(made(Sketch { size: 30_000, ..PLAIN })).bytes - 30_000;
        made(Sketch { who, size: bytes - besides, ..PLAIN })
    };
    let mut pool = Pool::new(PoolLimits { slots_max: 3, ..PoolLimits::default() });
    put(&mut pool, sized(1, 32_768)).unwrap();
    assert_eq!((pool.slots(), pool.bytes()), (1, 32_768));
    put(&mut pool, sized(2, 32_769)).unwrap();
    assert_eq!((pool.slots(), pool.bytes()), (3, 65_537));
    assert_eq!(put(&mut pool, transaction(3, 0, 1_000, 1)), Err(PoolError::Underpriced));
    pool.remove(Address::repeat_byte(2), 0);
    assert_eq!((pool.slots(), pool.bytes()), (1, 32_768));
    pool.remove(Address::repeat_byte(1), 0);
    assert_eq!((pool.slots(), pool.bytes()), (0, 0));
}

#[test]
fn so_many_arrivals_are_remembered_and_no_more() {
    let mut pool = Pool::new(PoolLimits::default());
    let count = RECENT_MAX as u64 + 3;
    let mut hashes = Vec::new();
    for nonce in 0..count {
        let transaction = transaction(1, nonce, 1_000, 1);
        hashes.push(hash(&transaction));
        put(&mut pool, transaction).unwrap();
    }
    assert_eq!(pool.arrivals(), count);
    assert_eq!(pool.admitted(0, count), hashes[3..]);
    assert_eq!(pool.admitted(count - 2, count - 1), hashes[hashes.len() - 2..hashes.len() - 1]);
    assert_eq!(pool.admitted(count, count + 9), [B256::ZERO; 0]);
    // A subscriber misses nothing of a batch, however large that may be.
    assert!(RECENT_MAX >= crate::Limits::default().batch_max as usize);
}

#[test]
fn a_transaction_is_announced_when_it_becomes_executable() {
    let mut pool = Pool::new(PoolLimits::default());
    let [first, second, better, best] = [(0, 10), (1, 10), (1, 20), (1, 30)]
        .map(|(nonce, tip)| transaction(1, nonce, tip * 100, tip));
    let announced = [&first, &better, &best].map(hash);
    // Neither while it waits for another one, nor when another takes its place meanwhile.
    put(&mut pool, second).unwrap();
    put(&mut pool, better).unwrap();
    assert_eq!(pool.arrivals(), 0);
    put(&mut pool, first).unwrap();
    assert_eq!(pool.admitted(0, 9), announced[..2]);
    put(&mut pool, best).unwrap();
    assert_eq!(pool.admitted(0, 9), announced);
    // A block that takes some makes no others executable.
    pool.refresh(Address::repeat_byte(1), sender(1));
    assert_eq!((pool.arrivals(), pool.counts()), (3, (1, 0)));
    // One that closes a gap does.
    let late = transaction(2, 5, 1_000, 1);
    let later = transaction(2, 6, 1_000, 1);
    let closed = [hash(&late), hash(&later)];
    put(&mut pool, late).unwrap();
    put(&mut pool, later).unwrap();
    assert_eq!((pool.arrivals(), pool.counts()), (3, (1, 2)));
    pool.refresh(Address::repeat_byte(2), sender(4));
    assert_eq!(pool.arrivals(), 3);
    pool.refresh(Address::repeat_byte(2), sender(5));
    assert_eq!((pool.arrivals(), pool.counts()), (5, (3, 0)));
    assert_eq!(pool.admitted(3, 9), closed);
    // And back again.
    pool.refresh(Address::repeat_byte(2), sender(4));
    assert_eq!((pool.arrivals(), pool.counts()), (5, (1, 2)));
}

#[test]
fn a_single_price_is_fee_and_tip() {
    let mut pool = Pool::new(PoolLimits::default());
    put(&mut pool, legacy(1, 0, 50)).unwrap();
    put(&mut pool, transaction(2, 0, 1_000, 39)).unwrap();
    assert_eq!(order(&mut pool, 10), [(1, 0), (2, 0)]);
    assert_eq!(order(&mut pool, 12), [(2, 0), (1, 0)]);
    assert_eq!(order(&mut pool, 50), [(2, 0), (1, 0)]);
    assert_eq!(order(&mut pool, 51), [(2, 0)]);
    // So both have to be outbid by what takes its place, and it has to outbid both.
    put(&mut pool, legacy(3, 0, 100)).unwrap();
    for (fee, tip) in [(1_000, 109), (109, 109)] {
        let poor = put(&mut pool, transaction(3, 0, fee, tip));
        assert_eq!(poor, Err(PoolError::ReplacementUnderpriced), "{fee} {tip}");
    }
    put(&mut pool, transaction(3, 0, 200, 110)).unwrap();
    assert_eq!(put(&mut pool, legacy(3, 0, 219)), Err(PoolError::ReplacementUnderpriced));
    put(&mut pool, legacy(3, 0, 220)).unwrap();
}

#[test]
fn how_much_more_a_replacement_offers_is_configured() {
    let with = |replacement_percent| PoolLimits { replacement_percent, ..PoolLimits::default() };
    let mut pool = Pool::new(with(50));
    put(&mut pool, transaction(1, 0, 1_000, 100)).unwrap();
    for (fee, tip) in [(1_499, 150), (1_500, 149)] {
        let poor = put(&mut pool, transaction(1, 0, fee, tip));
        assert_eq!(poor, Err(PoolError::ReplacementUnderpriced), "{fee} {tip}");
    }
    put(&mut pool, transaction(1, 0, 1_500, 150)).unwrap();
    let mut pool = Pool::new(with(0));
    put(&mut pool, transaction(1, 0, 1_000, 100)).unwrap();
    for (fee, tip) in [(1_000, 101), (1_001, 100)] {
        let poor = put(&mut pool, transaction(1, 0, fee, tip));
        assert_eq!(poor, Err(PoolError::ReplacementUnderpriced), "{fee} {tip}");
    }
    put(&mut pool, transaction(1, 0, 1_001, 101)).unwrap();
}

#[test]
fn an_account_that_is_newer_than_the_pool_is_followed_before_its_transaction_is_taken() {
    let mut pool = Pool::new(PoolLimits::default());
    for nonce in [0, 1] {
        put(&mut pool, transaction(1, nonce, 1_000, 1)).unwrap();
    }
    let next = Prepared::new(transaction(1, 2, 1_000, 1));
    pool.insert(next, sender(2), 0).unwrap();
    assert_eq!(order(&mut pool, 1), [(1, 2)]);
    let old = pool.insert(Prepared::new(transaction(1, 1, 1_000, 1)), sender(2), 0);
    assert_eq!(old, Err(PoolError::NonceTooLow { state: 2, nonce: 1 }));
}

/// Who authorizes.
fn authority() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
}

fn set_code(nonce: u64) -> Prepared {
    let authorization = Authorization { chain_id: U256::ONE, address: Address::ZERO, nonce: 0 };
    let signature = authority().sign_hash_sync(&authorization.signature_hash()).unwrap();
    let tx = TxEip7702 {
        chain_id: 1,
        nonce,
        max_fee_per_gas: 100,
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    let signed = Signed::new_unhashed(tx, Signature::new(U256::ONE, U256::ONE, false));
    let envelope = TxEnvelope::Eip7702(signed);
    Prepared::new(Transaction::new_unchecked(envelope, Address::repeat_byte(1)))
}

fn from_authority(nonce: u64) -> Prepared {
    let plain = transaction(2, nonce, 100, 1).into_inner();
    Prepared::new(Transaction::new_unchecked(plain, authority().address()))
}

#[test]
fn an_authorization_stands_beside_one_transaction_of_its_authority() {
    let mut pool = Pool::new(PoolLimits::default());
    pool.insert(from_authority(0), sender(0), 0).unwrap();
    for nonce in [0, 1] {
        pool.insert(set_code(nonce), sender(0), 0).unwrap();
    }
    // As long as one of them waits.
    let in_flight = pool.insert(from_authority(1), sender(0), 0);
    assert_eq!(in_flight, Err(PoolError::DelegatedInFlight));
    pool.remove(Address::repeat_byte(1), 1);
    let in_flight = pool.insert(from_authority(1), sender(0), 0);
    assert_eq!(in_flight, Err(PoolError::DelegatedInFlight));
    pool.remove(Address::repeat_byte(1), 0);
    pool.insert(from_authority(1), sender(0), 0).unwrap();
}

#[test]
fn what_is_queued_of_a_delegated_account_is_not_in_flight() {
    let mut pool = Pool::new(PoolLimits::default());
    put(&mut pool, transaction(1, 3, 1_000, 1)).unwrap();
    let delegated = Sender { code: SenderCode::Delegation, ..sender(0) };
    let mut put = |nonce| pool.insert(Prepared::new(transaction(1, nonce, 1_000, 1)), delegated, 0);
    assert_eq!(put(4), Err(PoolError::DelegatedGap));
    put(0).unwrap();
    assert_eq!(put(1), Err(PoolError::DelegatedInFlight));
    assert_eq!(pool.counts(), (1, 1));
}

fn rules() -> AdmissionRules {
    AdmissionRules {
        chain_id: 1,
        fork: revm::primitives::hardfork::SpecId::PRAGUE,
        gas_limit: 30_000_000,
        bytes_max: 128 << 10,
        tip_min: 0,
        allow_unprotected: false,
    }
}

#[test]
fn as_many_abandoned_blocks_come_back_as_promised() {
    let fresh = |_: Address| Ok::<_, ()>(sender(0));
    for (count, expected) in [(64, 1), (65, 0)] {
        let mut blocks = vec![block(1, Vec::new()); count - 1];
        blocks.push(block(2, vec![transaction(1, 0, 1_000, 1)]));
        let mut pool = Pool::new(PoolLimits::default());
        assert_eq!(pool.reinject(&blocks, &[], &rules(), 0, fresh), Ok(expected), "{count}");
        assert_eq!(pool.len(), expected);
    }
}

#[test]
fn abandoned_transactions_are_judged_anew_and_the_oldest_comes_first() {
    let gas = |who, gas| made(Sketch { who, gas, ..PLAIN });
    let abandoned = [
        block(5, vec![gas(1, 30_000_001), gas(2, 30_000_000), transaction(4, 0, 1_000, 1)]),
        block(6, vec![transaction(3, 0, 1_000, 1)]),
    ];
    let mut pool = Pool::new(PoolLimits::default());
    let fresh = |_: Address| Ok::<_, ()>(sender(0));
    assert_eq!(pool.reinject(&abandoned, &[], &rules(), 0, fresh), Ok(3));
    assert_eq!(order(&mut pool, 1), [(2, 0), (4, 0), (3, 0)]);
    // They are executable from now on, and somebody may want to hear of it.
    assert_eq!(pool.arrivals(), 3);
    let mut pool = Pool::new(PoolLimits::default());
    assert_eq!(pool.reinject(&abandoned, &[], &rules(), 0, |_| Err("no state")), Err("no state"));
}
