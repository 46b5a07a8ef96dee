use std::collections::BTreeMap;

use alloy_consensus::{Signed, TxEip1559, TxEnvelope};
use alloy_primitives::{Signature, TxKind, address};
use proptest::{collection::vec, prelude::*};

use super::*;

fn transaction(sender: u8, nonce: u64, fee: u128, tip: u128, value: u64) -> Transaction {
    let tx = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(address!("00000000000000000000000000000000000000aa")),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    // The sender goes into the signature, so that equal payloads of two senders differ in hash.
    let signature = Signature::new(U256::from(sender) + U256::ONE, U256::ONE, false);
    let envelope = TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature));
    Transaction::new_unchecked(envelope, Address::repeat_byte(sender))
}

fn sender(nonce: u64) -> Sender {
    Sender { nonce, balance: U256::MAX, is_contract: false }
}

fn order(pool: &Pool, base_fee: u64) -> Vec<(u8, u64)> {
    let best = pool.best(base_fee, usize::MAX);
    best.iter().map(|p| (p.transaction.signer()[0], p.transaction.nonce())).collect()
}

#[test]
fn blocks_take_the_best_tip_first_and_each_sender_in_order() {
    let mut pool = Pool::new(PoolLimits::default());
    for (who, nonce, tip) in [(1, 0, 5), (1, 1, 90), (2, 0, 7), (3, 0, 7), (3, 2, 99)] {
        pool.insert(transaction(who, nonce, 1_000, tip, 0), sender(0)).unwrap();
    }
    assert_eq!(order(&pool, 10), [(2, 0), (3, 0), (1, 0), (1, 1)]);
    assert_eq!(pool.counts(), (4, 1));
    assert_eq!(pool.pending_nonce(&Address::repeat_byte(3)), Some(1));
    assert!(pool.has_executable(1_000));
    assert!(!pool.has_executable(1_001));
    assert!(order(&pool, 1_001).is_empty());
}

#[test]
fn a_full_pool_prefers_those_who_offer_more() {
    let limits = PoolLimits { transactions_max: 3, ..PoolLimits::default() };
    let mut pool = Pool::new(limits);
    for (who, nonce, tip) in [(1, 0, 50), (1, 1, 5), (2, 0, 20)] {
        pool.insert(transaction(who, nonce, 1_000, tip, 0), sender(0)).unwrap();
    }
    let poor = pool.insert(transaction(3, 0, 1_000, 5, 0), sender(0));
    assert_eq!(poor, Err(PoolError::Full));
    pool.insert(transaction(3, 0, 1_000, 6, 0), sender(0)).unwrap();
    assert_eq!(order(&pool, 1), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn a_sender_cannot_promise_the_same_coins_twice() {
    let mut pool = Pool::new(PoolLimits::default());
    let rich = Sender { balance: U256::from(2 * 21_000 * 1_000 + 500), ..sender(0) };
    pool.insert(transaction(1, 0, 1_000, 1, 400), rich).unwrap();
    let more = pool.insert(transaction(1, 1, 1_000, 1, 101), rich);
    assert!(matches!(more, Err(PoolError::Overspent { .. })), "{more:?}");
    pool.insert(transaction(1, 1, 1_000, 1, 100), rich).unwrap();
    let again = pool.insert(transaction(1, 1, 1_000, 1, 100), rich);
    assert_eq!(again, Err(PoolError::AlreadyKnown));
}

#[derive(Clone, Debug)]
enum Step {
    Insert { who: u8, nonce: u64, fee: u128, tip: u128 },
    Remove { who: u8, nonce: u64 },
    Refresh { who: u8, nonce: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..4, 0_u64..8, 10_u128..40, 0_u128..40)
            .prop_map(|(who, nonce, fee, tip)| Step::Insert { who, nonce, fee, tip: tip.min(fee) }),
        1 => (0_u8..4, 0_u64..8).prop_map(|(who, nonce)| Step::Remove { who, nonce }),
        2 => (0_u8..4, 0_u64..8).prop_map(|(who, nonce)| Step::Refresh { who, nonce }),
    ]
}

/// The pool as one would write it if speed did not matter.
#[derive(Default)]
struct Model {
    nonces: BTreeMap<u8, u64>,
    transactions: BTreeMap<(u8, u64), (u128, u128)>,
}

impl Model {
    fn executable(&self, who: u8) -> Vec<u64> {
        let first = self.nonces.get(&who).copied().unwrap_or_default();
        (first..).take_while(|nonce| self.transactions.contains_key(&(who, *nonce))).collect()
    }
}

proptest! {
    #[test]
    fn pool_agrees_with_a_simple_model(steps in vec(step(), 1..120), base_fee in 0_u64..45) {
        let mut pool = Pool::new(PoolLimits::default());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert { who, nonce, fee, tip } => {
                    let state = model.nonces.get(&who).copied().unwrap_or_default();
                    if nonce < state {
                        continue;
                    }
                    let taken = pool.insert(transaction(who, nonce, fee, tip, 0), sender(state));
                    let old = model.transactions.get(&(who, nonce)).copied();
                    let outbids = old.is_none_or(|(old_fee, old_tip)| {
                        fee > old_fee && fee * 100 >= old_fee * 110 && tip * 100 >= old_tip * 110
                    });
                    prop_assert_eq!(taken.is_ok(), outbids, "{:?} {:?}", taken, old);
                    if outbids {
                        model.transactions.insert((who, nonce), (fee, tip));
                    }
                }
                Step::Remove { who, nonce } => {
                    pool.remove(Address::repeat_byte(who), nonce);
                    model.transactions.remove(&(who, nonce));
                }
                Step::Refresh { who, nonce } => {
                    let state = model.nonces.entry(who).or_default();
                    *state = nonce.max(*state);
                    let state = *state;
                    pool.refresh(Address::repeat_byte(who), state);
                    model.transactions.retain(|(w, n), _| *w != who || *n >= state);
                }
            }
            prop_assert_eq!(pool.len(), model.transactions.len());
            check_against(&pool, &model, base_fee)?;
        }
    }
}

fn check_against(pool: &Pool, model: &Model, base_fee: u64) -> Result<(), TestCaseError> {
    let executable: usize = (0..4).map(|who| model.executable(who).len()).sum();
    prop_assert_eq!(pool.counts(), (executable, model.transactions.len() - executable));
    let chosen = order(pool, base_fee);
    for who in 0..4 {
        let affordable = |nonce: &u64| model.transactions[&(who, *nonce)].0 >= base_fee.into();
        let expected: Vec<u64> = model.executable(who).into_iter().take_while(affordable).collect();
        let of_sender: Vec<u64> =
            chosen.iter().filter(|(w, _)| *w == who).map(|(_, nonce)| *nonce).collect();
        prop_assert_eq!(of_sender, expected);
        let next = model.executable(who).last().map(|last| last + 1);
        prop_assert_eq!(pool.pending_nonce(&Address::repeat_byte(who)), next);
    }
    prop_assert_eq!(pool.has_executable(base_fee), !chosen.is_empty());
    // Every index names exactly what is there.
    prop_assert_eq!(pool.tails.len(), pool.queues.len());
    let bytes: usize = pool.contents().map(|(_, _, pooled, _)| pooled.bytes).sum();
    prop_assert_eq!(pool.bytes, bytes);
    for queue in pool.queues.values() {
        let cost = queue.transactions.values().fold(U256::ZERO, |sum, p| sum + p.cost);
        prop_assert_eq!(queue.cost, cost);
    }
    Ok(())
}
