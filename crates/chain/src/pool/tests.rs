use alloy_consensus::{Header, Sealable, Signed, TxEip1559, TxEip7702, TxEnvelope};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Signature, TxKind, address};

use super::*;

/// What a transaction of these tests looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sketch {
    pub(super) who: u8,
    pub(super) nonce: u64,
    pub(super) fee: u128,
    pub(super) tip: u128,
    pub(super) value: u64,
    pub(super) gas: u64,
    pub(super) size: usize,
}

pub(super) const PLAIN: Sketch =
    Sketch { who: 1, nonce: 0, fee: 1000, tip: 1, value: 0, gas: 21_000, size: 0 };

pub(super) fn made(sketch: Sketch) -> Transaction {
    let tx = TxEip1559 {
        chain_id: 1,
        nonce: sketch.nonce,
        gas_limit: sketch.gas,
        max_fee_per_gas: sketch.fee,
        max_priority_fee_per_gas: sketch.tip,
        to: TxKind::Call(address!("00000000000000000000000000000000000000aa")),
        value: U256::from(sketch.value),
        input: vec![0; sketch.size].into(),
        ..TxEip1559::default()
    };
    // The sender goes into the signature, so that equal payloads of two senders differ in hash.
    let signature = Signature::new(U256::from(sketch.who) + U256::ONE, U256::ONE, false);
    let envelope = TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature));
    Transaction::new_unchecked(envelope, Address::repeat_byte(sketch.who))
}

pub(super) fn transaction(who: u8, nonce: u64, fee: u128, tip: u128) -> Transaction {
    made(Sketch { who, nonce, fee, tip, ..PLAIN })
}

pub(super) fn sender(nonce: u64) -> Sender {
    Sender { nonce, balance: U256::MAX, code: SenderCode::None }
}

pub(super) fn put(pool: &mut Pool, transaction: Transaction) -> Result<(), PoolError> {
    pool.insert(Prepared::new(transaction), sender(0), 0)
}

pub(super) fn order(pool: &mut Pool, base_fee: u64) -> Vec<(u8, u64)> {
    let best = pool.best(base_fee, usize::MAX);
    best.iter().map(|p| (p.transaction.signer()[0], p.transaction.nonce())).collect()
}

#[test]
fn blocks_take_the_best_payer_first_and_each_sender_in_order() {
    let mut pool = Pool::new(PoolLimits::default());
    for (who, nonce, tip) in [(1, 0, 5), (1, 1, 90), (2, 0, 7), (3, 0, 7), (3, 2, 99)] {
        put(&mut pool, transaction(who, nonce, 1_000, tip)).unwrap();
    }
    assert_eq!(order(&mut pool, 10), [(2, 0), (3, 0), (1, 0), (1, 1)]);
    assert_eq!(pool.best(10, 2).len(), 2);
    assert_eq!(pool.counts(), (4, 1));
    assert_eq!(pool.pending_nonce(&Address::repeat_byte(3)), Some(1));
    assert!(pool.has_executable(1_000));
    assert!(!pool.has_executable(1_001));
    assert!(order(&mut pool, 1_001).is_empty());
}

#[test]
fn order_follows_the_base_fee() {
    let mut pool = Pool::new(PoolLimits::default());
    // Above a base fee of 50 the fee cap of the first decides.
    put(&mut pool, transaction(1, 0, 100, 50)).unwrap();
    put(&mut pool, transaction(2, 0, 1_000, 20)).unwrap();
    assert_eq!(order(&mut pool, 7), [(1, 0), (2, 0)]);
    assert_eq!(order(&mut pool, 79), [(1, 0), (2, 0)]);
    // Equal at 80: the earlier one first.
    assert_eq!(order(&mut pool, 80), [(1, 0), (2, 0)]);
    assert_eq!(order(&mut pool, 81), [(2, 0), (1, 0)]);
    assert_eq!(order(&mut pool, 101), [(2, 0)]);
    assert_eq!(order(&mut pool, 7), [(1, 0), (2, 0)]);
}

#[test]
fn a_full_pool_drops_queued_ones_first_and_prefers_those_who_pay_more() {
    let limits = PoolLimits { slots_max: 3, ..PoolLimits::default() };
    let mut pool = Pool::new(limits);
    for (who, nonce, tip) in [(1, 0, 50), (1, 1, 5), (2, 4, 70)] {
        put(&mut pool, transaction(who, nonce, 1_000, tip)).unwrap();
    }
    // Queued ones must pay more than what they push out.
    let poor = put(&mut pool, transaction(3, 9, 1_000, 70));
    assert_eq!(poor, Err(PoolError::Underpriced));
    assert_eq!(poor.unwrap_err().to_string(), "transaction underpriced");
    put(&mut pool, transaction(3, 9, 1_000, 71)).unwrap();
    assert_eq!(pool.counts(), (2, 1));
    // Executable ones push out queued ones whatever these pay.
    put(&mut pool, transaction(4, 0, 1_000, 8)).unwrap();
    assert_eq!(pool.counts(), (3, 0));
    // With no queued one left a queued newcomer pushes out nothing, an executable one the worst.
    let future = put(&mut pool, transaction(3, 9, 1_000, 99));
    assert_eq!(future, Err(PoolError::FutureReplacesPending));
    let poor = put(&mut pool, transaction(3, 9, 1_000, 5));
    assert_eq!(poor, Err(PoolError::Underpriced));
    put(&mut pool, transaction(5, 0, 1_000, 6)).unwrap();
    assert_eq!(order(&mut pool, 1), [(1, 0), (4, 0), (5, 0)]);
    // The worst one is not pushed out by its own successor.
    assert_eq!(put(&mut pool, transaction(5, 1, 1_000, 90)), Err(PoolError::Full));
    // Large ones take several slots, and nothing is lost when there is not enough room.
    let large = made(Sketch { who: 6, tip: 20, size: 100_000, ..PLAIN });
    assert_eq!(put(&mut pool, large), Err(PoolError::Underpriced));
    assert_eq!(order(&mut pool, 1), [(1, 0), (4, 0), (5, 0)]);
    assert_eq!(pool.admitted(0, 99).len(), 4);
}

#[test]
fn limits_of_a_sender_are_said_as_geth_says_them() {
    let limits =
        PoolLimits { per_sender_max: 3, per_sender_queued_max: 1, ..PoolLimits::default() };
    let mut pool = Pool::new(limits);
    put(&mut pool, transaction(1, 0, 1_000, 1)).unwrap();
    put(&mut pool, transaction(1, 5, 1_000, 1)).unwrap();
    let gapped = put(&mut pool, transaction(1, 6, 1_000, 1)).unwrap_err();
    assert_eq!(gapped.to_string(), "account limit exceeded: pooled 2 txs");
    put(&mut pool, transaction(1, 1, 1_000, 1)).unwrap();
    let more = put(&mut pool, transaction(1, 2, 1_000, 1)).unwrap_err();
    assert_eq!(more.to_string(), "account limit exceeded: pooled 3 txs");
    // A replacement takes no room.
    put(&mut pool, transaction(1, 1, 1_100, 2)).unwrap();
}

#[test]
fn a_replacement_raises_both_fees_by_a_tenth() {
    let mut pool = Pool::new(PoolLimits::default());
    put(&mut pool, transaction(1, 0, 1_000, 100)).unwrap();
    for (fee, tip) in [(1_099, 110), (1_100, 109), (1_000, 200), (2_000, 100)] {
        let poor = put(&mut pool, transaction(1, 0, fee, tip)).unwrap_err();
        assert_eq!(poor.to_string(), "replacement transaction underpriced", "{fee} {tip}");
    }
    put(&mut pool, transaction(1, 0, 1_100, 110)).unwrap();
    // geth rounds the tenth down, and asks for more all the same.
    put(&mut pool, transaction(2, 0, 9, 9)).unwrap();
    assert!(put(&mut pool, transaction(2, 0, 9, 9)).is_err());
    put(&mut pool, transaction(2, 0, 10, 10)).unwrap();
    assert_eq!(pool.counts(), (2, 0));
    assert_eq!(pool.arrivals(), 4);
}

#[test]
fn a_sender_cannot_promise_the_same_coins_twice() {
    let mut pool = Pool::new(PoolLimits::default());
    let balance = U256::from(2 * 21_000 * 1_000 + 500);
    let account = Sender { balance, ..sender(0) };
    let mut put = |nonce, fee, value| {
        let sketch = Sketch { nonce, fee, tip: fee / 1000, value, ..PLAIN };
        pool.insert(Prepared::new(made(sketch)), account, 0).map_err(|error| error.to_string())
    };
    put(0, 1_000, 400).unwrap();
    let text = "insufficient funds for gas * price + value: balance 42000500, queued cost 21000400, \
                tx cost 21000101, overshot 1";
    assert_eq!(put(1, 1_000, 101), Err(text.to_owned()));
    put(1, 1_000, 100).unwrap();
    assert_eq!(put(1, 1_000, 100), Err("already known".to_owned()));
    let text = "insufficient funds for gas * price + value: balance 42000500, queued cost 42000500, \
                tx bumped 20999900, overshot 20999900";
    assert_eq!(put(1, 2_000, 0), Err(text.to_owned()));
    let text = "insufficient funds for gas * price + value: balance 42000500, tx cost 42000501, \
                overshot 1";
    assert_eq!(put(4, 2_000, 501), Err(text.to_owned()));
    // What is queued has to be affordable beside what is executable, but not beside other queued ones.
    pool.refresh(Address::repeat_byte(1), Sender { nonce: 1, ..account });
    let mut put = |nonce| {
        let account = Sender { nonce: 1, ..account };
        pool.insert(Prepared::new(made(Sketch { nonce, ..PLAIN })), account, 0)
    };
    put(3).unwrap();
    put(4).unwrap();
}

#[test]
fn demotion_and_promotion_follow_the_account() {
    let mut pool = Pool::new(PoolLimits::default());
    let who = Address::repeat_byte(1);
    for (nonce, value) in [(0, 0), (1, 0), (2, 5_000_000), (3, 0), (5, 0)] {
        put(&mut pool, made(Sketch { nonce, value, ..PLAIN })).unwrap();
    }
    assert_eq!(pool.counts(), (4, 1));
    assert_eq!(pool.arrivals(), 4);
    // A block mined the first, and money left by another way: the dear one goes, what is behind it
    // waits.
    let account = Sender { nonce: 1, balance: U256::from(22_000_000), code: SenderCode::None };
    pool.refresh(who, account);
    assert_eq!(pool.counts(), (1, 2));
    assert_eq!(pool.pending_nonce(&who), Some(2));
    // Filling the gap makes the one behind executable again.
    pool.insert(Prepared::new(made(Sketch { nonce: 2, fee: 1, tip: 1, ..PLAIN })), account, 0)
        .unwrap();
    assert_eq!(pool.counts(), (3, 1));
    // Gas limits above the next block's go, too.
    put(&mut pool, made(Sketch { who: 2, gas: 50_000, ..PLAIN })).unwrap();
    pool.follow(1, 50_000);
    assert_eq!(pool.len(), 5);
    pool.follow(1, 49_999);
    assert_eq!(pool.len(), 4);
    pool.follow(1, 20_000);
    assert!(pool.is_empty());
}

#[test]
fn queued_ones_expire_when_nothing_happens_to_their_sender() {
    let limits = PoolLimits { queued_lifetime_seconds: 100, ..PoolLimits::default() };
    let mut pool = Pool::new(limits);
    let put = |pool: &mut Pool, who, nonce, now| {
        pool.insert(Prepared::new(transaction(who, nonce, 1_000, 1)), sender(0), now).unwrap();
    };
    put(&mut pool, 1, 0, 0);
    put(&mut pool, 1, 2, 0);
    put(&mut pool, 2, 7, 0);
    put(&mut pool, 3, 7, 50);
    assert_eq!(pool.expire(100), 0);
    // A promotion of the same sender's gives what it has queued more time.
    put(&mut pool, 1, 1, 100);
    put(&mut pool, 1, 9, 100);
    assert_eq!(pool.expire(101), 1);
    assert_eq!(pool.expire(151), 1);
    assert_eq!(pool.counts(), (3, 1));
    assert_eq!(pool.expire(201), 1);
    assert_eq!(pool.counts(), (3, 0));
}

#[test]
fn delegated_accounts_have_one_transaction_in_flight() {
    let mut pool = Pool::new(PoolLimits::default());
    let delegated = Sender { code: SenderCode::Delegation, ..sender(0) };
    let put = |pool: &mut Pool, nonce, fee| {
        let prepared = Prepared::new(transaction(1, nonce, fee, fee / 10));
        pool.insert(prepared, delegated, 0).map_err(|error| error.to_string())
    };
    assert_eq!(put(&mut pool, 1, 100).unwrap_err(), "gapped-nonce tx from delegated accounts");
    put(&mut pool, 0, 100).unwrap();
    let text = "in-flight transaction limit reached for delegated accounts";
    assert_eq!(put(&mut pool, 1, 100).unwrap_err(), text);
    put(&mut pool, 0, 200).unwrap();
    let contract = Sender { code: SenderCode::Contract, ..sender(0) };
    let sent = pool.insert(Prepared::new(transaction(9, 0, 100, 1)), contract, 0);
    assert!(matches!(sent, Err(PoolError::SenderIsContract(_))));
}

#[test]
fn authorities_count_while_their_authorization_waits() {
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    let mut pool = Pool::new(PoolLimits::default());
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let authorization = Authorization { chain_id: U256::ONE, address: Address::ZERO, nonce: 0 };
    let signature = signer.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let set_code = |nonce| {
        let tx = TxEip7702 {
            chain_id: 1,
            nonce,
            max_fee_per_gas: 100,
            authorization_list: vec![authorization.clone().into_signed(signature); 3],
            ..TxEip7702::default()
        };
        let signed = Signed::new_unhashed(tx, Signature::new(U256::ONE, U256::ONE, false));
        let envelope = TxEnvelope::Eip7702(signed);
        Prepared::new(Transaction::new_unchecked(envelope, Address::repeat_byte(1)))
    };
    let from_authority = |nonce| {
        let plain = transaction(2, nonce, 100, 1).into_inner();
        Prepared::new(Transaction::new_unchecked(plain, signer.address()))
    };
    assert_eq!(set_code(0).authorities, [signer.address()]);
    pool.insert(set_code(0), sender(0), 0).unwrap();
    pool.insert(from_authority(0), sender(0), 0).unwrap();
    let second = pool.insert(from_authority(1), sender(0), 0);
    assert_eq!(second, Err(PoolError::DelegatedInFlight));
    // Once the authorization is gone, the account is like any other, until it has two waiting.
    pool.remove(Address::repeat_byte(1), 0);
    pool.insert(from_authority(1), sender(0), 0).unwrap();
    let reserved = pool.insert(set_code(0), sender(0), 0).unwrap_err();
    assert_eq!(reserved.to_string(), "authority already reserved");
}

pub(super) fn block(number: u64, transactions: Vec<Transaction>) -> Block {
    let header = Header { number, ..Header::default() }.seal_slow();
    Block::new(header, transactions)
}

#[test]
fn transactions_of_abandoned_blocks_come_back() {
    let rules = AdmissionRules {
        chain_id: 1,
        fork: revm::primitives::hardfork::SpecId::OSAKA,
        gas_limit: 30_000_000,
        bytes_max: 128 << 10,
        tip_min: 0,
        allow_unprotected: false,
    };
    let mut pool = Pool::new(PoolLimits::default());
    // Nonce 2 of the sender waited behind 0 and 1, which were mined on the abandoned branch.
    pool.insert(Prepared::new(transaction(1, 2, 1_000, 1)), sender(2), 0).unwrap();
    assert_eq!(pool.counts(), (1, 0));
    let abandoned = [
        block(5, vec![transaction(1, 0, 1_000, 1), transaction(2, 0, 1_000, 1)]),
        block(6, vec![transaction(1, 1, 1_000, 1), transaction(3, 4, 1_000, 1)]),
    ];
    // The other branch holds one of them and has moved another sender on.
    let adopted = [block(5, vec![transaction(2, 0, 1_000, 1)])];
    let account = |address: Address| -> Result<Sender, ()> {
        Ok(match address[0] {
            1 => sender(0),
            _ => sender(5),
        })
    };
    let back = pool.reinject(&abandoned, &adopted, &rules, 0, account).unwrap();
    assert_eq!(back, 2);
    assert_eq!(pool.counts(), (3, 0));
    assert_eq!(order(&mut pool, 1), [(1, 0), (1, 1), (1, 2)]);
    let deep = vec![abandoned[0].clone(); REINJECT_BLOCKS_MAX + 1];
    assert_eq!(pool.reinject(&deep, &[], &rules, 0, account), Ok(0));
}
