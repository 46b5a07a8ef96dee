use std::sync::{Arc, Mutex};

use alloy::{
    primitives::{Address, Bytes, U256},
    signers::local::PrivateKeySigner,
};
use tilth_contracts::JobBook;
use tokio::task::JoinSet;

use super::*;
use crate::{link::Fees, test_chain::TestChain};

async fn account(chain: &Arc<Mutex<TestChain>>, confirmations: u32) -> Account {
    let signer = PrivateKeySigner::from_bytes(&[7; 32].into()).unwrap();
    Account::new(TestChain::link(chain, confirmations).await, signer)
}

/// As whoever keeps on disk what it signs: another one is signed when this one can never happen, or has failed.
async fn sign_and_hand_in(account: &Account) -> TransactionReceipt {
    loop {
        let call = JobBook::jobCountCall {};
        let signed = account.sign_call(Address::ZERO, call).await.unwrap();
        match account.hand_in_signed(&signed).await {
            Ok(Some(receipt)) => return receipt,
            Ok(None) | Err(ChainError::Reverted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sends three on a chain that takes back what has less than `reach` blocks on top. Gives how many blocks with
/// something of ours it has taken back.
async fn live(seed: u64, reach: u32) -> usize {
    let chain = Arc::new(Mutex::new(TestChain::new(seed, usize::try_from(reach).unwrap())));
    let account = account(&chain, reach).await;
    let mut done = Vec::new();
    for _ in 0..2 {
        done.push(account.send(Address::ZERO, Bytes::new(), U256::ZERO).await.unwrap());
    }
    done.push(sign_and_hand_in(&account).await);
    let mut chain = chain.lock().unwrap();
    for _ in 0..200 {
        chain.step();
    }
    for receipt in &done {
        assert!(receipt.status());
        let place = receipt.block_number.zip(receipt.block_hash);
        let stands = chain.block_of(receipt.transaction_hash);
        assert_eq!(stands, place, "seed {seed}, reach {reach}");
    }
    assert_eq!(chain.successes(), done.len(), "seed {seed}, reach {reach}");
    chain.undone
}

/// Blocks are taken back with the transactions in them, of which some are forgotten; some fail in one block and not in
/// the one that takes its place; and another program uses a nonce, perhaps for a while only.
#[tokio::test]
async fn what_is_said_to_be_done_is_never_taken_back_and_happens_once() {
    let mut lives = JoinSet::new();
    for seed in 0..8 {
        for reach in [1, 2, 3, 5] {
            lives.spawn(live(seed, reach));
        }
    }
    let mut undone = 0;
    while let Some(taken_back) = lives.join_next().await {
        undone += taken_back.unwrap();
    }
    assert!(undone > 16, "there is something to mend: {undone}");
}

#[tokio::test]
async fn what_is_not_deep_enough_in_time_is_said_to_be_so() {
    let chain = Arc::new(Mutex::new(TestChain::new(0, 0)));
    assert_eq!(account(&chain, 0).await.patience(), PATIENCE);
    let account = account(&chain, 10).await;
    assert_eq!(account.patience(), PATIENCE + Duration::from_secs(300));
    let fees = Fees { max: 2, priority: 1 };
    let (raw, hashes, _flying) = (Vec::new(), Vec::new(), account.flying.begin(0));
    let sent = Sent { nonce: 0, fees, raw, hashes, _flying };
    let waited = account.patience();
    let error = account.not_done(&sent, true, waited);
    assert!(matches!(error, ChainError::NotConfirmed { confirmations: 10, .. }), "{error}");
    assert!(error.is_temporary() && error.problem().advice.contains("`confirmations`"), "{error}");
    let error = account.not_done(&sent, false, waited);
    assert!(matches!(error, ChainError::NotIncluded { .. }), "{error}");
}
