//! Tabs: what the owner of keys owes a provider, and what of it is settled. Pure.
//!
//! A tab's total only grows, and what is settled of it is what the chain says. So nobody needs to know whether a
//! transaction happened: whoever asks the chain and states the total again pays what is left, and twice nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use alloy::primitives::{Address, B256};
use tilth_client::tabs::{Line, Statement};
use tilth_protocol::Amount;

/// What the hash of a tab's receipts begins with.
const RECEIPTS: &str = "tilth 2026-11 receipts of a tab v1";
/// What the hash of a line's tabs begins with.
const LINE: &str = "tilth 2026-11 tabs of a line v1";

/// Sums of some receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many they are.
    pub answers: u64,
    /// What they charge, base units.
    pub amount: Amount,
    /// Their hash, in their order: of the hash before, and the signed receipt as it is encoded.
    pub receipts: [u8; 32],
}

impl Sum {
    /// The sum with one more; `None` if it does not fit.
    #[must_use]
    pub fn with(self, charge: Amount, encoded: &[u8]) -> Option<Self> {
        let mut hasher = blake3::Hasher::new_derive_key(RECEIPTS);
        hasher.update(&self.receipts).update(encoded);
        Some(Self {
            answers: self.answers.checked_add(1)?,
            amount: self.amount.checked_add(charge)?,
            receipts: *hasher.finalize().as_bytes(),
        })
    }
}

/// What was charged to keys of one owner for the answers of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tab {
    /// Whose keys; `None`: nobody's but the gateway's.
    pub owner: Option<Address>,
    /// The node account that signed the receipts.
    pub node: Address,
    /// The receipts.
    pub sum: Sum,
}

/// What is known of the chain, and who pays for keys without an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The numbers of the providers that nodes work, or worked, for.
    pub numbers: BTreeMap<Address, u32>,
    /// What is settled, by payer and provider.
    pub settled: BTreeMap<(Address, u32), Amount>,
    /// Who pays for keys without an owner. Chosen once: totals that were settled from one account would be due again
    /// from another one.
    pub operator: Option<Address>,
}

/// What is owed to a provider by one payer, over all of the provider's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Who pays; `None`: nobody yet, the keys have no owner.
    pub payer: Option<Address>,
    /// The provider's number; `None`: the chain knows none for this node.
    pub provider: Option<u32>,
    /// Its nodes, in their order.
    pub nodes: Vec<Address>,
    /// Answers.
    pub answers: u64,
    /// All that was charged for them.
    pub total: Amount,
    /// What of it is settled; more than the total in an earlier copy of the books.
    pub settled: Amount,
    /// The hash of the nodes' sums.
    pub receipts: B256,
}

impl Owed {
    /// What is left to be paid.
    pub fn due(&self) -> Amount {
        self.total.checked_sub(self.settled).unwrap_or(Amount::ZERO)
    }

    /// Which of them it is.
    pub fn group(&self) -> Group {
        let node = if self.provider.is_none() { self.nodes.first().copied() } else { None };
        Group { payer: self.payer, provider: self.provider, node }
    }
}

/// What tabs are put together by. As a text it is these three, with a point between each and a dash for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Who pays, as in [`Owed`].
    pub payer: Option<Address>,
    /// The provider, as in [`Owed`].
    pub provider: Option<u32>,
    /// The node, if there is no provider: nodes without a number are each their own.
    pub node: Option<Address>,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = |account: Option<Address>| match account {
            Some(account) => account.to_string(),
            None => "-".to_owned(),
        };
        let provider = self.provider.map_or_else(|| "-".to_owned(), |number| number.to_string());
        write!(f, "{}.{provider}.{}", account(self.payer), account(self.node))
    }
}

/// A text that names no [`Group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tab is named by payer, provider and node, with points between them and dashes for none")]
pub struct NoGroup;

impl FromStr for Group {
    type Err = NoGroup;

    fn from_str(text: &str) -> Result<Self, NoGroup> {
        fn part<T: FromStr>(text: &str) -> Result<Option<T>, NoGroup> {
            if text == "-" {
                return Ok(None);
            }
            text.parse().map(Some).map_err(|_| NoGroup)
        }
        match text.split('.').collect::<Vec<_>>()[..] {
            [payer, provider, node] => {
                Ok(Self { payer: part(payer)?, provider: part(provider)?, node: part(node)? })
            }
            _ => Err(NoGroup),
        }
    }
}

/// Of these, in their order, at most so many that come after this one, whether or not it is still among them.
pub fn page(owed: &[Owed], after: Option<Group>, most: usize) -> &[Owed] {
    let first = after.map_or(0, |after| owed.partition_point(|one| one.group() <= after));
    let rest = owed.get(first..).unwrap_or_default();
    rest.get(..most).unwrap_or(rest)
}

/// Puts the tabs together by payer and provider, in the order of their [`Group`]s. `None` if a sum does not fit.
pub fn owed(tabs: &[Tab], known: &Known) -> Option<Vec<Owed>> {
    let mut groups: BTreeMap<Group, Vec<&Tab>> = BTreeMap::new();
    for tab in tabs {
        let payer = tab.owner.or(known.operator);
        let number = known.numbers.get(&tab.node).copied();
        let node = number.is_none().then_some(tab.node);
        groups.entry(Group { payer, provider: number, node }).or_default().push(tab);
    }
    groups.into_iter().map(|(group, tabs)| added_up(group, tabs, known)).collect()
}

fn added_up(group: Group, mut tabs: Vec<&Tab>, known: &Known) -> Option<Owed> {
    let Group { payer, provider, .. } = group;
    // The operator may have keys in its own name as well: two tabs of one node.
    tabs.sort_by_key(|tab| (tab.node, tab.owner));
    let mut hasher = blake3::Hasher::new_derive_key(LINE);
    let (mut answers, mut total) = (0_u64, Amount::ZERO);
    for tab in &tabs {
        let Sum { answers: some, amount, receipts } = tab.sum;
        hasher.update(tab.node.as_slice());
        hasher.update(tab.owner.unwrap_or_default().as_slice());
        hasher.update(&some.to_be_bytes()).update(&amount.0.to_be_bytes()).update(&receipts);
        answers = answers.checked_add(some)?;
        total = total.checked_add(amount)?;
    }
    let mut nodes: Vec<_> = tabs.iter().map(|tab| tab.node).collect();
    nodes.dedup();
    let settled = payer.zip(provider).and_then(|tab| known.settled.get(&tab).copied());
    Some(Owed {
        payer,
        provider,
        nodes,
        answers,
        total,
        settled: settled.unwrap_or_default(),
        receipts: B256::from(*hasher.finalize().as_bytes()),
    })
}

/// Which of these owners have keys whose payer has no more free than is due from it. `None` stands for keys without an
/// owner: the operator pays for them, and as long as there is none, nobody refuses them. A payer of whom it is not
/// known what is free has enough.
pub fn uncovered(
    owners: BTreeSet<Option<Address>>,
    operator: Option<Address>,
    free: &BTreeMap<Address, Amount>,
    owed: &[Owed],
) -> BTreeSet<Option<Address>> {
    let due = due_by_payer(owed);
    let is_short = |owner: &Option<Address>| {
        let Some(payer) = owner.or(operator) else { return false };
        let due = due.get(&payer).copied().unwrap_or_default();
        free.get(&payer).is_some_and(|free| *free <= due)
    };
    owners.into_iter().filter(is_short).collect()
}

/// What is due from each payer. Sums that do not fit are the largest amount, which nobody has.
pub fn due_by_payer(owed: &[Owed]) -> BTreeMap<Address, Amount> {
    let mut due: BTreeMap<Address, Amount> = BTreeMap::new();
    for one in owed {
        let Some(payer) = one.payer else { continue };
        let sum = due.entry(payer).or_default();
        *sum = sum.checked_add(one.due()).unwrap_or(Amount(u128::MAX));
    }
    due
}

/// What a payer states to the chain: all of its tabs with providers that have a number.
pub fn statement(owed: &[Owed], payer: Address, book: B256) -> Statement {
    let own = owed.iter().filter(|owed| owed.payer == Some(payer));
    let line = |owed: &Owed| {
        Some(Line {
            provider: owed.provider?,
            total: owed.total,
            settled: owed.settled,
            answers: owed.answers,
            receipts: owed.receipts,
        })
    };
    Statement { book, lines: own.filter_map(line).collect() }
}

#[cfg(test)]
#[path = "tab_tests.rs"]
mod tests;
