use std::sync::{Arc, Mutex};

use alloy::signers::local::PrivateKeySigner;
use tilth_contracts::JobBook;

use super::*;
use crate::test_chain::TestChain;

/// It would take the place of what is waited for, or never happen.
#[tokio::test]
async fn what_is_signed_has_no_nonce_that_is_waited_for() {
    let chain = Arc::new(Mutex::new(TestChain::new(0, 0)));
    let link = TestChain::link(&chain, 0).await;
    let signer = PrivateKeySigner::from_bytes(&[7; 32].into()).unwrap();
    let account = Account::new(link, signer);
    let nonce = async || {
        let signed = account.sign_call(Address::ZERO, JobBook::jobCountCall {}).await;
        signed.unwrap().nonce
    };
    assert_eq!(nonce().await, 0, "nothing was ever sent");
    // The node counts none of them, as one does that is behind.
    let waits = [0, 1, 3].map(|nonce| account.flying.begin(nonce));
    assert_eq!(nonce().await, 2);
    drop(waits);
    assert_eq!(nonce().await, 0);
}
