use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    primitives::{Address, Bytes, U256},
    signers::local::PrivateKeySigner,
};

use super::*;
use crate::{Link, account::sent::Pace, test_chain::TestChain};

/// An account as after a start: it knows of nothing that was sent before.
fn new_life(link: &Link) -> Account {
    let signer = PrivateKeySigner::from_bytes(&[7; 32].into()).unwrap();
    let short = Duration::from_millis(20);
    let pace = Pace { again: short, raise: short };
    Account { pace, ..Account::new(link.clone(), signer) }
}

/// Hands in one for which nobody waits: gas costs more from then on, so no block takes it.
async fn leave_one(link: &Link) {
    let life = new_life(link);
    let order = life.order(TxKind::Call(Address::ZERO), Bytes::new(), U256::ZERO).await.unwrap();
    drop(life.hand_in(&order).await.unwrap());
}

#[tokio::test]
async fn a_fee_follows_a_spike() {
    let chain = Arc::new(Mutex::new(TestChain::with_spike(1, true)));
    let account = new_life(&TestChain::link(&chain, 0).await);
    let receipt = account.send(Address::ZERO, Bytes::new(), U256::ZERO).await.unwrap();
    assert!(receipt.status());
    let chain = chain.lock().unwrap();
    assert_eq!(chain.successes(), 1);
    assert!(chain.replaced >= 1);
}

/// It is never raised: its nonce comes first, and who waits for what comes after it would wait for ever.
#[tokio::test]
async fn what_an_earlier_life_has_left_is_overtaken() {
    let chain = Arc::new(Mutex::new(TestChain::with_spike(2, true)));
    let link = TestChain::link(&chain, 0).await;
    leave_one(&link).await;
    let account = new_life(&link);
    let receipt = account.send(Address::ZERO, Bytes::new(), U256::ZERO).await.unwrap();
    assert!(receipt.status());
    assert_eq!(account.flying.missing(0, 2), [0, 1], "nothing is waited for any more");
    let chain = chain.lock().unwrap();
    assert_eq!(chain.block_of(receipt.transaction_hash).map(|(_, hash)| hash), receipt.block_hash);
    assert!(chain.replaced >= 1);
    assert_eq!(chain.successes(), 2, "ours, and one that does nothing");
}

/// Some nodes do not count what no block would take now: the nonce that they name is that of the other one.
#[tokio::test]
async fn what_is_not_counted_is_outbid() {
    let chain = Arc::new(Mutex::new(TestChain::with_spike(3, false)));
    let link = TestChain::link(&chain, 0).await;
    leave_one(&link).await;
    let receipt = new_life(&link).send(Address::ZERO, Bytes::new(), U256::ZERO).await.unwrap();
    assert!(receipt.status());
    let chain = chain.lock().unwrap();
    assert_eq!(chain.successes(), 1);
    assert!(chain.replaced >= 1);
}

#[test]
fn what_is_waited_for_twice_is_waited_for_until_both_are_over() {
    let flying = Flying::default();
    let (first, second, other) = (flying.begin(4), flying.begin(4), flying.begin(6));
    assert_eq!(flying.missing(3, 8), [3, 5, 7]);
    drop(first);
    assert_eq!(flying.missing(3, 8), [3, 5, 7]);
    drop((second, other));
    assert_eq!(flying.missing(3, 8), [3, 4, 5, 6, 7]);
    assert_eq!(flying.missing(8, 8), [0; 0]);
    assert_eq!(flying.missing(0, u64::MAX).len(), 16);
}
