use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    primitives::{Address, Bytes, U256},
    signers::local::PrivateKeySigner,
};

use tokio::task::JoinSet;

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

/// They all look for what is in their way, and do not bid against each other.
#[tokio::test]
async fn all_that_wait_have_it_overtaken_once() {
    let chain = Arc::new(Mutex::new(TestChain::with_spike(4, true)));
    let link = TestChain::link(&chain, 0).await;
    leave_one(&link).await;
    let account = new_life(&link);
    let mut sends = JoinSet::new();
    for _ in 0..6 {
        let account = account.clone();
        sends.spawn(async move { account.send(Address::ZERO, Bytes::new(), U256::ZERO).await });
    }
    while let Some(sent) = sends.join_next().await {
        assert!(sent.unwrap().unwrap().status());
    }
    let chain = chain.lock().unwrap();
    assert_eq!(chain.successes(), 7);
    // Ten times what blocks ask for, twice 200 and 1, and a fifth.
    assert!(chain.dearest() <= 401 * 12 + 1, "more than enough: {}", chain.dearest());
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
    let _ours = [5, 6, 7, 9].map(|nonce| flying.begin(nonce));
    assert_eq!([4, 5, 7, 8, 9, 10].map(|nonce| flying.free_from(nonce)), [4, 8, 8, 8, 10, 10]);
}
