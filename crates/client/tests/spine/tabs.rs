//! Settling tabs: once, whoever sends how often, to whoever a node key worked for.

use alloy::primitives::{Address, B256};
use tilth_client::{
    MoneyError, earnings, money,
    tabs::{self, Line, Settlement, Statement},
};
use tilth_contracts::Registry;
use tilth_protocol::{Amount, amount::GRAIN};

use crate::world::{FakeProvider, Manner, World};

const BOOK: B256 = B256::repeat_byte(7);

/// What is stated, by provider.
fn statement(totals: &[(u32, u128)]) -> Statement {
    let line = |(provider, total): &(u32, u128)| Line {
        provider: *provider,
        total: Amount(*total),
        settled: Amount::ZERO,
        answers: 3,
        receipts: B256::repeat_byte(9),
    };
    Statement { book: BOOK, lines: totals.iter().map(line).collect() }
}

#[tokio::test]
async fn totals_are_paid_once_however_often_they_are_stated() {
    let world = World::start().await;
    let (link, payer) = (world.link(), world.account(1));
    money::deposit(&payer, Amount(GRAIN), true).await.unwrap();
    let first = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let second = FakeProvider::enroll(&world, 3, Manner::Honest).await;
    let free = async |account: Address| money::balances(&link, account).await.unwrap().free.0;
    let (had, one, other) = (
        free(payer.address()).await,
        free(first.owner.address()).await,
        free(second.owner.address()).await,
    );
    let number = async |node| tabs::provider_of(&link, 0, node).await.unwrap();
    let numbers = [first.node.address(), second.node.address()];
    let numbers = [number(numbers[0]).await.unwrap(), number(numbers[1]).await.unwrap()];

    let stated = statement(&[(numbers[0], 10_000), (numbers[1], 99)]);
    let done = tabs::settle(&payer, &stated, Amount(100)).await.unwrap();
    assert_eq!((done.paid, done.fees, done.tabs), (Amount(9_900), Amount(100), 1), "dust waits");
    let within = async |most| tabs::settle_within(&payer, &stated, Amount::ZERO, Some(most)).await;
    let refused = within(Amount(98)).await.unwrap_err();
    let MoneyError::TooMuch { due, most } = refused else { panic!("{refused}") };
    assert_eq!((due, most), (Amount(99), Amount(98)));
    let done = within(Amount(99)).await.unwrap();
    assert_eq!((done.paid, done.fees, done.tabs), (Amount(99), Amount::ZERO, 1));
    let again = tabs::settle(&payer, &stated, Amount::ZERO).await.unwrap();
    assert_eq!(again, Settlement::default());
    let known = tabs::settled(&link, payer.address(), BOOK, &numbers).await.unwrap();
    assert_eq!(known, [Amount(10_000), Amount(99)]);

    // Two programs with the same key and the same statement.
    let (twin, stated) = (world.account(1), statement(&[(numbers[0], 30_000), (numbers[1], 99)]));
    let (left, right) = tokio::join!(
        tabs::settle(&payer, &stated, Amount::ZERO),
        tabs::settle(&twin, &stated, Amount::ZERO)
    );
    let (left, right) = (left.unwrap(), right.unwrap());
    // Whoever is later finds nothing due, or pays nothing; with the same nonce both sent the same transaction.
    let both_sent_it = !left.transactions.is_empty() && left.transactions == right.transactions;
    let paid = if both_sent_it { left.paid.0 } else { left.paid.0 + right.paid.0 };
    assert_eq!(paid, 19_800, "{left:?} {right:?}");
    assert_eq!(free(payer.address()).await, had - 30_099);
    assert_eq!(free(first.owner.address()).await, one + 29_700);
    assert_eq!(free(second.owner.address()).await, other + 99);

    // Less than there is: nothing of it is paid.
    let too_much = statement(&[(numbers[0], 30_001), (numbers[1], 2 * GRAIN)]);
    let refused = tabs::settle(&payer, &too_much, Amount::ZERO).await.unwrap_err();
    assert!(matches!(refused, MoneyError::TooLittle { .. }), "{refused}");
    assert_eq!(free(payer.address()).await, had - 30_099);

    let entries = earnings::of(&link, 0, first.owner.address()).await.unwrap();
    let sums = earnings::sums(&entries, |_| String::new()).unwrap()[0].sums;
    assert_eq!((sums.paid, sums.fees, sums.ranges), (Amount(29_700), Amount(300), 0));
}

#[tokio::test]
async fn a_node_key_leads_to_its_provider_even_when_another_one_works_for_it() {
    let world = World::start().await;
    let link = world.link();
    let provider = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let (old, new) = (provider.node.address(), world.account(5));
    let number = tabs::provider_of(&link, 0, old).await.unwrap();
    assert_eq!(number, Some(1));
    assert_eq!(tabs::provider_of(&link, 0, new.address()).await.unwrap(), None);
    for node in [&new, &world.account(6)] {
        let consent = node.agree_to_work_for(provider.owner.address()).await.unwrap();
        let call = Registry::setNodeCall { node: node.address(), consent };
        provider.owner.execute(link.addresses().registry, call).await.unwrap();
    }
    for node in [old, new.address(), world.account(6).address()] {
        assert_eq!(tabs::provider_of(&link, 0, node).await.unwrap(), number, "{node}");
    }
    assert_eq!(tabs::provider_of(&link, 0, Address::repeat_byte(0x55)).await.unwrap(), None);
}
