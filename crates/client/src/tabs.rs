//! Settling what is owed to providers for single answers: tabs, by their running totals.
//!
//! A [`Statement`] says what one payer owes each provider by one book since it began. The contract pays what that is
//! above what it has seen before, so whoever does not know whether a settlement happened just settles again.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use serde::{Deserialize, Serialize};
use tilth_contracts::{Registry, TabLine, Tabs};
use tilth_protocol::Amount;
use tilth_service::Doing;

use crate::{Account, ChainError, Link, MoneyError, money};

/// Lines of a batch, `MAX_LINES` of the contract.
pub const MAX_LINES: usize = 100;

/// One tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// The provider's number in the Registry.
    pub provider: u32,
    /// All that was owed since the tab began, settled or not.
    pub total: Amount,
    /// What of it the chain is known to have settled. It may be more than the total: then these books are an earlier
    /// copy.
    pub settled: Amount,
    /// Receipts in the total.
    pub answers: u64,
    /// What the books hash them to.
    pub receipts: B256,
}

impl Line {
    /// What is not settled yet.
    pub fn due(&self) -> Amount {
        self.total.checked_sub(self.settled).unwrap_or(Amount::ZERO)
    }
}

/// What one payer owes by one book.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Statement {
    /// The book.
    pub book: B256,
    /// Its tabs, one per provider.
    pub lines: Vec<Line>,
}

/// What a settlement did. Programs with the same key that send the same transaction at the same time each report it; it
/// happens once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settlement {
    /// What came to providers.
    pub paid: Amount,
    /// What the protocol kept.
    pub fees: Amount,
    /// Tabs that were settled.
    pub tabs: usize,
    /// Transactions.
    pub transactions: Vec<B256>,
}

impl Statement {
    /// What is due in all; `None` if the sum does not fit.
    pub fn due(&self) -> Option<Amount> {
        self.lines.iter().try_fold(Amount::ZERO, |sum, line| sum.checked_add(line.due()))
    }

    /// The same with what the chain has settled, without the tabs of which less is due than `least`, and at least
    /// without those of which nothing is.
    fn open(&self, settled: &[Amount], least: Amount) -> Self {
        let lines = self.lines.iter().zip(settled);
        let lines = lines.map(|(line, settled)| Line { settled: *settled, ..*line });
        let least = least.max(Amount(1));
        Self { book: self.book, lines: lines.filter(|line| line.due() >= least).collect() }
    }

    /// What is sent, in as few transactions as the contract allows.
    fn calls(&self) -> impl Iterator<Item = Tabs::settleCall> {
        let line = |line: &Line| TabLine {
            provider: line.provider,
            total: line.total.0,
            answers: line.answers,
            receipts: line.receipts,
        };
        self.lines.chunks(MAX_LINES).map(move |lines| Tabs::settleCall {
            book: self.book,
            lines: lines.iter().map(line).collect(),
        })
    }
}

/// What the chain has settled of a payer's tabs, in the providers' order.
///
/// # Errors
/// Those of [`Link`].
pub fn settled<'a>(
    link: &'a Link,
    payer: Address,
    book: B256,
    providers: &'a [u32],
) -> Doing<'a, Result<Vec<Amount>, ChainError>> {
    Box::pin(async move {
        let mut all = Vec::with_capacity(providers.len());
        for some in providers.chunks(MAX_LINES) {
            let call = Tabs::settledOfCall { payer, book, providers: some.to_vec() };
            let totals = link.read(link.addresses().tabs, call).await?;
            if totals.len() != some.len() {
                let detail = format!("{} totals of {} tabs", totals.len(), some.len());
                return Err(ChainError::BadAnswer { action: "reading tabs", detail });
            }
            all.extend(totals.into_iter().map(Amount));
        }
        Ok(all)
    })
}

/// Settles what is due, one transaction per [`MAX_LINES`] tabs, from the account's free balance in the Ledger. What
/// the chain has settled already is asked for first. Tabs of which less than `least` is due wait.
///
/// # Errors
/// [`MoneyError::TooLittle`] when the balance does not cover all of it: then nothing is paid. Those of
/// [`Account::send`]: then some batches may have been paid, and doing it again pays the others.
pub fn settle<'a>(
    account: &'a Account,
    statement: &'a Statement,
    least: Amount,
) -> Doing<'a, Result<Settlement, MoneyError>> {
    Box::pin(async move { settle_within(account, statement, least, None).await })
}

/// As [`settle`], if no more than `most` is due in all: a statement is what somebody else's books say.
///
/// # Errors
/// Those of [`settle`], and [`MoneyError::TooMuch`]: then nothing is paid.
pub fn settle_within<'a>(
    account: &'a Account,
    statement: &'a Statement,
    least: Amount,
    most: Option<Amount>,
) -> Doing<'a, Result<Settlement, MoneyError>> {
    Box::pin(async move {
        let (link, payer) = (account.link(), account.address());
        let providers: Vec<u32> = statement.lines.iter().map(|line| line.provider).collect();
        let known = settled(link, payer, statement.book, &providers).await?;
        let open = statement.open(&known, least);
        let too_much = ChainError::BadAnswer {
            action: "adding up tabs",
            detail: "they are more than any amount can be".to_owned(),
        };
        let needed = open.due().ok_or(too_much)?;
        let mut done = Settlement::default();
        if needed == Amount::ZERO {
            return Ok(done);
        }
        if let Some(most) = most.filter(|most| needed > *most) {
            return Err(MoneyError::TooMuch { due: needed, most });
        }
        let available = money::balances(link, payer).await?.free;
        if available < needed {
            return Err(MoneyError::TooLittle { needed, available, place: "free in the Ledger" });
        }
        let tabs = link.addresses().tabs;
        for call in open.calls() {
            let receipt = account.execute(tabs, call).await?;
            for log in receipt.inner.logs().iter().filter(|log| log.address() == tabs) {
                let Ok(event) = Tabs::TabSettled::decode_log(&log.inner) else { continue };
                done.paid = Amount(done.paid.0.saturating_add(event.paid));
                done.fees = Amount(done.fees.0.saturating_add(event.fee));
                done.tabs = done.tabs.saturating_add(1);
            }
            done.transactions.push(receipt.transaction_hash);
        }
        Ok(done)
    })
}

/// The number of the provider that a node key works for, or worked for before its owner took another one: receipts are
/// signed with the key of their time. `None`: nobody ever registered it.
///
/// # Errors
/// Those of [`Link`].
pub fn provider_of(
    link: &Link,
    first_block: u64,
    node: Address,
) -> Doing<'_, Result<Option<u32>, ChainError>> {
    Box::pin(async move {
        let registry = link.addresses().registry;
        let mut owner = link.read(registry, Registry::nodeOwnerCall { node }).await?;
        if owner == Address::ZERO {
            let filter = Filter::new().address(registry);
            let changed = filter.clone().event_signature(Registry::NodeChanged::SIGNATURE_HASH);
            let changed = link.scan(&changed.topic2(node.into_word()), first_block).await?;
            let begun = filter.event_signature(Registry::ProviderRegistered::SIGNATURE_HASH);
            let begun = link.scan(&begun.topic3(node.into_word()), first_block).await?;
            // The latest who took it. A key changes hands at most by its own consent.
            let mut taken = BTreeMap::new();
            for log in changed.iter().chain(&begun) {
                if let Some(word) = log.topics().get(1) {
                    taken.insert((log.block_number, log.log_index), Address::from_word(*word));
                }
            }
            match taken.pop_last() {
                Some((_, last)) => owner = last,
                None => return Ok(None),
            }
        }
        let number = link.read(registry, Registry::providerCall { owner }).await?.number;
        Ok((number != 0).then_some(number))
    })
}

/// Whether the provider with this number has this node, or had it before its owner took another one.
///
/// # Errors
/// Those of [`Link`].
pub async fn had_node(
    link: &Link,
    first_block: u64,
    number: u32,
    node: Address,
) -> Result<bool, ChainError> {
    let filter = Filter::new().address(link.addresses().registry);
    let begun = filter.clone().event_signature(Registry::ProviderRegistered::SIGNATURE_HASH);
    for log in link.scan(&begun.topic2(U256::from(number)), first_block).await? {
        let [_, owner, _, first] = log.topics() else { continue };
        if Address::from_word(*first) == node {
            return Ok(true);
        }
        let changed = filter.clone().event_signature(Registry::NodeChanged::SIGNATURE_HASH);
        let changed = changed.topic1(*owner).topic2(node.into_word());
        if !link.scan(&changed, first_block).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(provider: u32, total: u128, settled: u128) -> Line {
        Line {
            provider,
            total: Amount(total),
            settled: Amount(settled),
            answers: 1,
            receipts: B256::repeat_byte(9),
        }
    }

    #[test]
    fn what_the_chain_has_settled_and_dust_are_left_out() {
        let book = B256::repeat_byte(7);
        let lines = vec![line(1, 100, 0), line(2, 50, 0), line(3, 10, 0), line(4, 10, 0)];
        let statement = Statement { book, lines };
        assert_eq!(statement.due(), Some(Amount(170)));
        // The books knew of none of it; the chain has the last word, also of what the books have lost.
        let chain = [Amount(40), Amount(50), Amount(0), Amount(99)];
        let open = statement.open(&chain, Amount(0));
        assert_eq!(open.lines, [line(1, 100, 40), line(3, 10, 0)]);
        assert_eq!(open.due(), Some(Amount(70)));
        assert_eq!(statement.open(&chain, Amount(11)).lines, [line(1, 100, 40)]);
        let huge = Statement { book, lines: vec![line(1, u128::MAX, 0), line(2, 1, 0)] };
        assert_eq!(huge.due(), None);
    }

    #[test]
    fn batches_state_totals_and_are_as_large_as_the_contract_allows() {
        let lines = (1..=250).map(|number| line(number, 1_000, 7)).collect();
        let statement = Statement { book: B256::repeat_byte(7), lines };
        let calls: Vec<_> = statement.calls().collect();
        assert_eq!(calls.iter().map(|call| call.lines.len()).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(calls[2].book, statement.book);
        assert_eq!((calls[2].lines[49].provider, calls[2].lines[49].total), (250, 1_000));
        let source = include_str!("../../../contracts/src/libraries/Parameters.sol");
        assert!(source.contains(&format!("MAX_TAB_LINES = {MAX_LINES};")));
    }
}
