//! Settling what the books owe: looks at what the chain has settled, states totals, and pays from time to time.
//!
//! Nothing is written down before a transaction is sent, and nothing needs to be: what the chain says is asked for
//! before every settlement, and a total that it has seen pays nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alloy::primitives::Address;
use tilth_client::{
    Account, ChainError, Link, MoneyError, money,
    tabs::{self, Settlement, Statement},
};
use tilth_protocol::{Amount, Problem, amount::GRAIN};
use tilth_service::{
    Registry,
    options::{OptionError, Row, Setting, TomlValue},
};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::{
    books::{Books, BooksError},
    measure::Measures,
    tab,
};

/// How long a chain that does not answer is asked: an operator may wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The chain is never asked more often than this.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// After so long what failed is tried again, for a reason that may be gone: not for want of money.
const AGAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether payers have what they owe.
const COVERED: Duration = Duration::from_secs(30);
/// Payers about whom the chain is asked at the same time.
const AT_ONCE: usize = 16;

/// An amount as an option: a text such as `"0.05"`, in GRAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain(pub Amount);

const GRAINS: &str = "an amount in GRAIN, such as \"0.05\"";

impl Setting for Grain {
    fn read(&mut self, key: &str, value: TomlValue) -> Result<(), OptionError> {
        // A flag or an environment variable has no quotes; numbers with a point are not exact.
        let text = match &value {
            TomlValue::String(text) => text.clone(),
            TomlValue::Integer(whole) => whole.to_string(),
            _ => String::new(),
        };
        let amount = text.parse().map_err(|_| OptionError::Value {
            key: key.to_owned(),
            found: value.to_string(),
            expected: GRAINS.to_owned(),
        })?;
        *self = Self(amount);
        Ok(())
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        rows.push(Row {
            key: key.to_owned(),
            doc: doc.to_owned(),
            value: Some(format!("\"{}\"", self.0)),
            kind: GRAINS,
            is_group: false,
        });
    }
}

/// Why nothing was settled, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The books.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The chain, or the payer's balance.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl From<ChainError> for SettleError {
    fn from(error: ChainError) -> Self {
        Self::Money(error.into())
    }
}

impl SettleError {
    /// The three-part form for people.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Books(error) => {
                Problem::new("the books cannot be settled", error.to_string(), error.advice())
            }
            Self::Money(error) => error.problem(),
        }
    }
}

/// The books and the chain on which they are settled.
#[derive(Clone, Debug)]
pub(crate) struct Settling {
    link: Link,
    first_block: u64,
    books: Books,
}

impl Settling {
    pub(crate) fn new(link: &Link, first_block: u64, books: Books) -> Self {
        Self { link: link.with_patience(PATIENCE), first_block, books }
    }

    /// Asks the chain about the books' tabs, and writes down what is new.
    pub(crate) async fn look(&self) -> Result<(), SettleError> {
        self.look_at(None).await
    }

    /// As [`Self::look`], about the tabs of one payer alone if there is one.
    async fn look_at(&self, only: Option<Address>) -> Result<(), SettleError> {
        let (tabs, known) = (self.books.tabs()?, self.books.known()?);
        let is_asked = |payer: Option<Address>| only.is_none_or(|only| payer == Some(only));
        let asked = tabs.iter().filter(|tab| is_asked(tab.owner.or(known.operator)));
        let strange = asked.map(|tab| tab.node).filter(|node| !known.numbers.contains_key(node));
        let (numbers, is_away) = self.numbers(strange.collect()).await;
        self.books.see(numbers, Vec::new()).await?;
        is_away?;
        let mut payers: BTreeMap<Address, Vec<u32>> = BTreeMap::new();
        for owed in self.books.owed()? {
            if let (Some(payer), Some(provider)) = (owed.payer, owed.provider)
                && is_asked(Some(payer))
            {
                payers.entry(payer).or_default().push(provider);
            }
        }
        let book = self.books.book()?;
        let mut seen = Vec::new();
        for (payer, providers) in payers {
            let totals = tabs::settled(&self.link, payer, book, &providers).await?;
            seen.extend(providers.into_iter().zip(totals).filter_map(|(provider, total)| {
                let before = known.settled.get(&(payer, provider)).copied().unwrap_or_default();
                (total != before).then_some((payer, provider, total))
            }));
        }
        self.books.see(Vec::new(), seen).await?;
        Ok(())
    }

    /// The numbers of these nodes' providers, as far as the chain says them: until it is away, which is told as well. One
    /// that it will not say keeps nobody else from being paid, or from being refused.
    async fn numbers(
        &self,
        nodes: BTreeSet<Address>,
    ) -> (Vec<(Address, u32)>, Result<(), ChainError>) {
        let mut numbers = Vec::new();
        for node in nodes {
            match tabs::provider_of(&self.link, self.first_block, node).await {
                Ok(Some(number)) => numbers.push((node, number)),
                Ok(None) => debug!(%node, "the chain knows no such node, so nobody can be paid"),
                Err(error) if error.is_temporary() => return (numbers, Err(error)),
                Err(error) => warn!(%node, %error, "the chain does not say whose node this is"),
            }
        }
        (numbers, Ok(()))
    }

    /// What an account owes. With `operator` it pays for keys without an owner as well, for good.
    pub(crate) async fn statement(
        &self,
        payer: Address,
        operator: bool,
    ) -> Result<Statement, SettleError> {
        if operator {
            self.books.adopt(payer).await?;
        }
        // With thousands of payers the others would keep this one waiting.
        self.look_at(Some(payer)).await?;
        Ok(tab::statement(&self.books.owed()?, payer, self.books.book()?))
    }

    /// Pays what the operator's account owes to providers to whom it is at least so much.
    async fn settle(&self, payer: &Account, least: Amount) -> Result<Settlement, SettleError> {
        let stated = self.statement(payer.address(), true).await?;
        for line in stated.lines.iter().filter(|line| line.settled > line.total) {
            warn!(
                provider = line.provider, settled = %line.settled, total = %line.total,
                "more is settled than these books know of: they are an earlier copy"
            );
        }
        let done = tabs::settle(payer, &stated, least).await?;
        // What others have settled, too. It is paid whether or not this can be seen.
        if let Err(error) = self.look().await {
            warn!(%error, "what is settled cannot be looked up");
        }
        Ok(done)
    }

    /// Settles from time to time. Whatever fails is tried again, and nothing of it is paid twice.
    pub(crate) async fn keep(
        self,
        payer: Account,
        every: Duration,
        least: Amount,
        measures: Measures,
    ) {
        loop {
            let settled = self.settle(&payer, least).await;
            let is_short =
                matches!(&settled, Err(SettleError::Money(MoneyError::TooLittle { .. })));
            measures.payer_short.set(is_short.into());
            let pause = if settled.is_err() && !is_short { every.min(AGAIN) } else { every };
            match settled {
                Ok(done) if done.tabs > 0 => {
                    measures.settled_tabs.add(u64::try_from(done.tabs).unwrap_or(u64::MAX));
                    info!(paid = %done.paid, fees = %done.fees, tabs = done.tabs, "settled");
                }
                Ok(_) => {}
                Err(error) => {
                    measures.settlement_failures.increment();
                    warn!("providers are not paid: {}", error.problem());
                }
            }
            tokio::time::sleep(pause.max(MIN_INTERVAL)).await;
        }
    }

    /// Has keys refused whose payers have no more than they owe; gives how many owners that are.
    async fn cover(&self) -> Result<usize, SettleError> {
        let operator = self.books.known()?.operator;
        let owners = self.books.owners();
        // Each once: the operator may have keys in its own name as well. Those that nobody pays for yet are its to stop.
        let payers = owners.iter().filter_map(|owner| owner.or(operator)).collect();
        // Balances come first: between the two questions what is owed may be paid out of them.
        let free = free(&self.link, payers).await?;
        self.look().await?;
        let uncovered = tab::uncovered(owners, operator, &free, &self.books.owed()?);
        let count = uncovered.len();
        self.books.refuse(uncovered);
        Ok(count)
    }

    /// Looks from time to time whether payers have what they owe. While the chain is away what was seen last holds.
    pub(crate) async fn keep_covered(self, measures: Measures) {
        loop {
            match self.cover().await {
                Ok(count) => measures.uncovered.set(u64::try_from(count).unwrap_or(u64::MAX)),
                Err(error) => warn!(%error, "balances of payers cannot be looked up"),
            }
            tokio::time::sleep(COVERED).await;
        }
    }

    /// Shows what is owed when it is looked at.
    pub(crate) fn watch(&self, registry: &Registry) {
        let books = self.books.clone();
        registry.read_gauge(
            "tilth_gateway_owed_grain",
            "What is owed to providers and was not seen to be settled, in GRAIN.",
            &[],
            move || {
                let owed = books.owed().unwrap_or_default();
                owed.iter().map(|owed| owed.due().0 as f64).sum::<f64>() / GRAIN as f64
            },
        );
    }
}

/// What these accounts have free in the Ledger.
async fn free(
    link: &Link,
    payers: BTreeSet<Address>,
) -> Result<BTreeMap<Address, Amount>, ChainError> {
    let (mut asking, mut free) = (JoinSet::new(), BTreeMap::new());
    let mut payers = payers.into_iter();
    loop {
        for payer in payers.by_ref().take(AT_ONCE.saturating_sub(asking.len())) {
            let link = link.clone();
            asking.spawn(async move { (payer, money::free(&link, payer).await) });
        }
        match asking.join_next().await {
            None => return Ok(free),
            Some(Ok((payer, found))) => {
                free.insert(payer, found?);
            }
            // A panic: whoever is not known has keys that are not refused.
            Some(Err(error)) => warn!(%error, "a payer's balance cannot be looked up"),
        }
    }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
pub(crate) mod tests;
