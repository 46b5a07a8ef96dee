//! Transactions, balances and events.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolEvent,
};
use tilth_client::{Account, ChainError, Follow, Link, MoneyError, News, Scope, money};
use tilth_contracts::{Addresses, Ledger};
use tilth_protocol::{Amount, amount::GRAIN};

use crate::world::{PATIENCE, World};

#[tokio::test]
async fn money_goes_in_and_out() {
    let world = World::start().await;
    let account = world.account(1);
    let link = world.link();
    assert_eq!(link.check().await.unwrap(), 7357);
    money::deposit(&account, Amount(30 * GRAIN), true).await.unwrap();
    let have = money::balances(&link, account.address()).await.unwrap();
    assert_eq!((have.free, have.locked), (Amount(30 * GRAIN), Amount::ZERO));
    assert!(have.native < Amount(970 * GRAIN) && have.native > Amount(969 * GRAIN));
    money::withdraw(&account, Amount(10 * GRAIN), true).await.unwrap();
    let have = money::balances(&link, account.address()).await.unwrap();
    assert_eq!((have.free, have.token), (Amount(20 * GRAIN), Amount::ZERO));
    assert!(have.native > Amount(979 * GRAIN));
    let other = world.account(2).address();
    let before = link.balance(other).await.unwrap();
    money::send(&account, other, Amount(GRAIN)).await.unwrap();
    assert_eq!(link.balance(other).await.unwrap() - before, U256::from(GRAIN));

    let error = money::withdraw(&account, Amount(21 * GRAIN), true).await.unwrap_err();
    assert!(matches!(error, MoneyError::TooLittle { .. }), "{error}");
    let error = money::deposit(&account, Amount(100_000 * GRAIN), true).await.unwrap_err();
    assert_eq!(error.problem().what, "the balance is too small");
}

#[tokio::test]
async fn a_token_that_does_not_wrap_the_coin_is_approved_and_deposited() {
    let world = World::start().await;
    let account = world.account(1);
    let addresses = *account.link().addresses();
    let input = alloy::sol_types::SolCall::abi_encode(&tilth_contracts::WGrain::depositCall {});
    account.send(addresses.token, input.into(), U256::from(5 * GRAIN)).await.unwrap();
    money::deposit(&account, Amount(3 * GRAIN), false).await.unwrap();
    money::withdraw(&account, Amount(GRAIN), false).await.unwrap();
    let have = money::balances(account.link(), account.address()).await.unwrap();
    assert_eq!((have.free, have.token), (Amount(2 * GRAIN), Amount(3 * GRAIN)));
    let error = money::deposit(&account, Amount(4 * GRAIN), false).await.unwrap_err();
    assert!(matches!(error, MoneyError::TooLittle { .. }), "{error}");
}

#[tokio::test]
async fn many_transactions_at_once_all_happen_exactly_once() {
    let world = World::start().await;
    // Two programs with the same key, each sending many at a time.
    let programs = [world.account(1), world.account(1)];
    let to = Address::repeat_byte(0x77);
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..40_u64 {
        let account = programs[(number % 2) as usize].clone();
        sending.spawn(
            async move { account.send(to, Bytes::new(), U256::from(1_u64 << number)).await },
        );
    }
    let mut hashes = BTreeSet::new();
    while let Some(sent) = sending.join_next().await {
        let receipt = sent.unwrap().unwrap();
        assert!(hashes.insert(receipt.transaction_hash));
    }
    assert_eq!(world.link().balance(to).await.unwrap(), U256::from((1_u64 << 40) - 1));
    assert_eq!(programs[0].next_nonce().await.unwrap(), 40);
}

#[tokio::test]
async fn refusals_cost_nothing_and_have_a_reason() {
    let world = World::start().await;
    let account = world.account(1);
    let addresses = *account.link().addresses();
    let call = Ledger::withdrawCall { amount: 5 };
    let error = account.execute(addresses.ledger, call).await.unwrap_err();
    assert!(matches!(error, ChainError::Reverted { .. }), "{error}");
    assert!(!error.problem().advice.is_empty());
    assert_eq!(account.next_nonce().await.unwrap(), 0);
    let broke = world.account(99);
    let error = broke.send(Address::ZERO, Bytes::new(), U256::from(1)).await.unwrap_err();
    assert!(matches!(error, ChainError::NoGas { .. }), "{error}");

    let elsewhere = Addresses { ledger: Address::repeat_byte(9), ..Addresses::predeployed() };
    let error = Link::open(&world.url, elsewhere).unwrap().check().await.unwrap_err();
    assert_eq!(error.problem().what, "tilth is not on this chain");
}

/// Creates a contract that uses up all gas of whoever calls it in block `until` or before. Simulations, which pay no price
/// for gas, succeed.
async fn create_trap(account: &Account, until: u32) -> Address {
    let mut code = alloy::primitives::hex!("3a1560105763").to_vec();
    code.extend(until.to_be_bytes());
    // NUMBER > until, or GASPRICE = 0: jump over INVALID.
    code.extend(alloy::primitives::hex!("4311601057fe5b00"));
    assert_eq!(code.len(), 0x12);
    let mut init = alloy::primitives::hex!("60128060095f395ff3").to_vec();
    init.extend(code);
    account.create(init.into()).await.unwrap().contract_address.unwrap()
}

#[tokio::test]
async fn a_transaction_that_ran_out_of_gas_is_simulated_and_sent_anew() {
    let world = World::start().await;
    let account = world.account(1);
    let height = u32::try_from(world.link().block_number().await.unwrap()).unwrap();
    let trap = create_trap(&account, height + 3).await;
    let receipt = account.send(trap, Bytes::new(), U256::ZERO).await.unwrap();
    assert!(receipt.status());
    // The creation, two that ran out, and the one that did not.
    assert_eq!(account.next_nonce().await.unwrap(), 4);

    let trap = create_trap(&account, u32::MAX).await;
    let error = account.send(trap, Bytes::new(), U256::ZERO).await.unwrap_err();
    assert_eq!(error.problem().what, "a transaction failed");
    assert!(account.next_nonce().await.unwrap() > 6, "it is not tried just once, and not for ever");
}

/// Reads news until so many deposits were seen; returns their amounts in order.
async fn deposits(follow: &mut tilth_client::Following, count: usize) -> (Vec<u128>, bool) {
    let (mut seen, mut was_away) = (Vec::new(), false);
    let reading = async {
        while seen.len() < count {
            match follow.next().await.unwrap() {
                News::Logs { logs, .. } => seen.extend(
                    logs.iter()
                        .map(|log| Ledger::Deposited::decode_log(&log.inner).unwrap().amount),
                ),
                News::Away { .. } => was_away = true,
                News::Back { .. } => assert!(was_away),
                News::Rewound { expected, found } => panic!("{expected} {found}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    (seen, was_away)
}

#[tokio::test]
async fn every_event_comes_once_and_in_order_through_a_restart() {
    let mut world = World::start().await;
    let account = world.account(1);
    let ledger = account.link().addresses().ledger;
    let mut follow = Follow::new(account.link(), Scope::contracts([ledger], 0)).spawn();
    for amount in 1..=5 {
        money::deposit(&account, Amount(amount), true).await.unwrap();
    }
    assert_eq!(deposits(&mut follow, 5).await.0, [1, 2, 3, 4, 5]);
    world.stop_chain().await;
    let away = async {
        loop {
            if let News::Away { detail } = follow.next().await.unwrap() {
                return detail;
            }
        }
    };
    let detail = tokio::time::timeout(PATIENCE, away).await.unwrap();
    assert!(detail.contains("no answer"), "{detail}");
    world.start_chain().await;
    for amount in 6..=8 {
        money::deposit(&account, Amount(amount), true).await.unwrap();
    }
    assert!(matches!(follow.next().await, Some(News::Back { .. })));
    assert_eq!(deposits(&mut follow, 3).await.0, [6, 7, 8]);
    let from_the_start = Scope::contracts([ledger], 0);
    let mut again = Follow::new(account.link(), from_the_start).spawn();
    assert_eq!(deposits(&mut again, 8).await.0, [1, 2, 3, 4, 5, 6, 7, 8]);
    // A job's own events only.
    let scope =
        Scope::contracts([account.link().addresses().job_book], 0).job(tilth_protocol::JobId(1));
    let mut quiet = Follow::new(account.link(), scope);
    let News::Logs { logs, at_head, .. } = quiet.next().await else { panic!("no head") };
    assert!(logs.is_empty() && at_head);
}

#[tokio::test]
async fn another_chain_in_the_same_place_is_noticed() {
    let mut world = World::start().await;
    let account = world.account(1);
    let ledger = account.link().addresses().ledger;
    for amount in 1..=3 {
        money::deposit(&account, Amount(amount), true).await.unwrap();
    }
    let mut follow = Follow::new(account.link(), Scope::contracts([ledger], 0)).spawn();
    assert_eq!(deposits(&mut follow, 3).await.0, [1, 2, 3]);
    world.stop_chain().await;
    std::fs::remove_dir_all(world.config.dir.as_ref().unwrap()).unwrap();
    world.start_chain().await;
    let rewound = async {
        loop {
            if let News::Rewound { expected, found } = follow.next().await.unwrap() {
                return (expected, found);
            }
        }
    };
    let (expected, found) = tokio::time::timeout(PATIENCE, rewound).await.unwrap();
    assert!(found < expected);
    assert!(follow.next().await.is_none());
}

#[tokio::test]
async fn nothing_is_signed_for_another_chain_than_the_networks() {
    let world = World::start().await;
    let mut network = tilth_client::Network {
        rpc_url: world.url.clone(),
        chain_id: 1,
        contracts: Addresses::predeployed().into(),
        first_block: 0,
        wraps_native: true,
        confirmations: 0,
    };
    let account = |network: &tilth_client::Network| {
        let signer = alloy::signers::local::PrivateKeySigner::from_bytes(&[1; 32].into()).unwrap();
        tilth_client::Account::new(Link::to(network).unwrap(), signer)
    };
    let account_elsewhere = account(&network);
    let sent = account_elsewhere.send(Address::ZERO, Bytes::new(), U256::ONE).await;
    let error = sent.unwrap_err();
    assert!(matches!(error, ChainError::OtherChain { expected: 1, found: 7357, .. }), "{error}");
    assert_eq!(world.account(1).next_nonce().await.unwrap(), 0);
    network.chain_id = 7357;
    account(&network).send(Address::ZERO, Bytes::new(), U256::ONE).await.unwrap();
}

#[tokio::test]
async fn what_is_done_and_believed_lies_as_deep_as_the_network_says() {
    let world = World::start().await;
    let network = tilth_client::Network {
        rpc_url: world.url.clone(),
        chain_id: 7357,
        contracts: Addresses::predeployed().into(),
        first_block: 0,
        wraps_native: true,
        confirmations: 3,
    };
    let link = Link::to(&network).unwrap();
    let signer = alloy::signers::local::PrivateKeySigner::from_bytes(&[1; 32].into()).unwrap();
    let account = Account::new(link.clone(), signer);
    let (owner, ledger) = (account.address(), link.addresses().ledger);
    let mut depositing =
        tokio::spawn(async move { money::deposit(&account, Amount(5), true).await });
    // This chain makes blocks for transactions only, so none comes on top by itself.
    let deadline = Instant::now() + PATIENCE;
    while link.read(ledger, Ledger::accountCall { owner }).await.unwrap().free == 0 {
        assert!(Instant::now() < deadline);
        let early = tokio::time::timeout(Duration::from_millis(20), &mut depositing).await;
        assert!(early.is_err(), "{early:?}");
    }
    let block = link.block_number().await.unwrap();
    let follow = || Follow::new(&link, Scope::contracts([ledger], 0));
    let free = || Ledger::accountCall { owner };
    for on_top in 0..3 {
        let believed = link.confirmed().await.unwrap().read(ledger, free()).await.unwrap().free;
        assert_eq!(believed, 0, "{on_top} blocks on top");
        let News::Logs { logs, to, .. } = follow().next().await else { panic!("no head") };
        assert!(logs.is_empty() && to < block, "{on_top} blocks on top: {logs:?}");
        world.advance(1).await;
    }
    assert_eq!(link.confirmed().await.unwrap().read(ledger, free()).await.unwrap().free, 5);
    assert_eq!(deposits(&mut follow().spawn(), 1).await.0, [5]);
    tokio::time::timeout(PATIENCE, depositing).await.unwrap().unwrap().unwrap();
}
