//! The database under the books.

use std::path::Path;

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use borsh::{BorshDeserialize, BorshSerialize};
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction,
};
use tilth_protocol::{
    Amount, decode, encode,
    infer::{Receipt, SignedReceipt, receipt::MAX_RECEIPT_BYTES},
};

use super::KeyId;
use crate::{
    budget::{Beyond, Budget},
    tab::{Known, Sum, Tab},
};

/// By the hash of the secret.
const KEYS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("keys");
/// By number: whose, and the signed receipt.
const RECEIPTS: TableDefinition<'_, u64, (&[u8; 32], &[u8])> = TableDefinition::new("receipts");
/// The keys' owner (zeros without one) and the provider's node account.
type TabKey<'a> = (&'a [u8; 20], &'a [u8; 20]);
/// Receipts, their sum, and their hash.
type TabSum<'a> = (u64, u128, &'a [u8; 32]);
const TABS: TableDefinition<'_, TabKey<'_>, TabSum<'_>> = TableDefinition::new("tabs");
/// What was owed to nodes before there were tabs. Nobody reads it; it would only be out of date.
const OWED: TableDefinition<'_, &[u8; 20], (u64, u128)> = TableDefinition::new("owed");
/// By node account: the number of the provider that it works, or worked, for.
const NUMBERS: TableDefinition<'_, &[u8; 20], u32> = TableDefinition::new("numbers");
/// By payer and provider: what the chain has settled.
const SETTLED: TableDefinition<'_, (&[u8; 20], u32), u128> = TableDefinition::new("settled");
/// What the books are called on the chain, and who pays for keys without an owner.
const SELF: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("self");
const BOOK: &str = "book";
const OPERATOR: &str = "operator";
/// Most bytes of a key's record.
const MAX_KEY_BYTES: usize = 512;

/// What is remembered of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyRecord {
    /// For people.
    pub name: String,
    /// The account that pays in the end.
    pub owner: Option<[u8; 20]>,
    /// What may be, and was, spent.
    pub budget: Budget,
    /// Answers that ended.
    pub answers: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Their own tokens.
    pub output_tokens: u64,
}

impl KeyRecord {
    /// Counts an answer.
    pub(super) fn count(&mut self, receipt: &Receipt) {
        self.answers = self.answers.saturating_add(1);
        self.prompt_tokens = self.prompt_tokens.saturating_add(receipt.prompt_tokens.into());
        self.output_tokens = self.output_tokens.saturating_add(receipt.output_tokens.into());
    }
}

/// Why the books cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BooksError {
    /// The database.
    #[error("the books: {0}")]
    Database(String),
    /// What is in it is not what we write.
    #[error("the books are damaged: {0}")]
    Damaged(String),
    /// The thread that writes.
    #[error("the books have no thread: {0}")]
    Thread(String),
    /// The books are closed.
    #[error("the books are closed")]
    Stopped,
    /// There is no such key.
    #[error("there is no such key")]
    Unknown,
    /// The name is empty, too long or has control characters.
    #[error("a key's name has 1 to 128 bytes and no control characters")]
    Name,
    /// The account of zeros, which pays for nothing.
    #[error("nobody has the account of zeros, so it cannot own a key")]
    Owner,
    /// There are as many keys as there may be.
    #[error("there are too many keys")]
    Full,
    /// The key cannot be removed while something is under way for it.
    #[error("the key has questions or answers under way")]
    InUse,
    /// A charge beyond what was held.
    #[error(transparent)]
    Beyond(#[from] Beyond),
    /// Somebody else pays for keys without an owner.
    #[error("{0} pays for keys without an owner, for good")]
    Operator(Address),
}

impl BooksError {
    /// What its operator does about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Database(_) => {
                "see that no other gateway works in the folder, and that its disk has room"
            }
            Self::Damaged(_) => {
                "keep books.redb: it says what is owed; go on with an earlier copy, or in a new folder"
            }
            Self::Thread(_) => "let this user have more threads (ulimit -u)",
            Self::Stopped => "start the gateway again",
            Self::Unknown => "see `tilth gateway key ls`",
            Self::Name => "choose another name",
            Self::Owner => "name the account that pays, or none: then the operator does",
            Self::Full => "remove keys that nobody uses: `tilth gateway key rm ID`",
            Self::InUse => "set its budget to 0, and remove it when its answers have ended",
            Self::Beyond(_) => "report this as a bug",
            Self::Operator(_) => {
                "settle from that account; what it has paid already would be due again from another one"
            }
        }
    }
}

fn broken(error: impl Into<redb::Error>) -> BooksError {
    BooksError::Database(error.into().to_string())
}

fn damaged(what: impl ToString) -> BooksError {
    BooksError::Damaged(what.to_string())
}

/// Something to write down.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Key(KeyId, Box<KeyRecord>),
    Budget(KeyId, Amount),
    Removed(KeyId),
    Settled(Vec<(KeyId, SignedReceipt)>),
    /// Who pays for keys without an owner, if nobody does yet.
    Operator(Address),
    /// What the chain says: numbers of nodes, and what payers have settled with providers.
    Seen(Vec<(Address, u32)>, Vec<(Address, u32, Amount)>),
}

#[derive(Debug)]
pub(super) struct Store(Database);

fn record(bytes: &[u8]) -> Result<KeyRecord, BooksError> {
    decode(bytes, MAX_KEY_BYTES).map_err(damaged)
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, BooksError> {
        Self::on(Database::create(path).map_err(broken)?)
    }

    /// With the tables that it has to have.
    pub(super) fn on(database: Database) -> Result<Self, BooksError> {
        let writing = database.begin_write().map_err(broken)?;
        writing.open_table(KEYS).map_err(broken)?;
        writing.open_table(RECEIPTS).map_err(broken)?;
        begin(&writing)?;
        writing.commit().map_err(broken)?;
        Ok(Self(database))
    }

    pub(super) fn keys(&self) -> Result<Vec<(KeyId, KeyRecord)>, BooksError> {
        let table = self.0.begin_read().map_err(broken)?.open_table(KEYS).map_err(broken)?;
        let mut keys = Vec::new();
        for row in table.iter().map_err(broken)? {
            let (id, bytes) = row.map_err(broken)?;
            keys.push((*id.value(), record(bytes.value())?));
        }
        Ok(keys)
    }

    /// What they are called on the chain.
    pub(super) fn book(&self) -> Result<[u8; 32], BooksError> {
        let table = self.0.begin_read().map_err(broken)?.open_table(SELF).map_err(broken)?;
        let book = table.get(BOOK).map_err(broken)?;
        let book = book.and_then(|book| book.value().try_into().ok());
        book.ok_or_else(|| damaged("they have no name"))
    }

    pub(super) fn tabs(&self) -> Result<Vec<Tab>, BooksError> {
        let table = self.0.begin_read().map_err(broken)?.open_table(TABS).map_err(broken)?;
        let mut tabs = Vec::new();
        for row in table.iter().map_err(broken)? {
            let (key, sum) = row.map_err(broken)?;
            let (owner, node) = key.value();
            let owner = Some(Address::from(*owner)).filter(|owner| *owner != Address::ZERO);
            tabs.push(Tab { owner, node: Address::from(*node), sum: summed(sum.value()) });
        }
        Ok(tabs)
    }

    pub(super) fn known(&self) -> Result<Known, BooksError> {
        let reading = self.0.begin_read().map_err(broken)?;
        let mut known = Known::default();
        for row in reading.open_table(NUMBERS).map_err(broken)?.iter().map_err(broken)? {
            let (node, number) = row.map_err(broken)?;
            known.numbers.insert(Address::from(*node.value()), number.value());
        }
        for row in reading.open_table(SETTLED).map_err(broken)?.iter().map_err(broken)? {
            let (key, total) = row.map_err(broken)?;
            let (payer, provider) = key.value();
            known.settled.insert((Address::from(*payer), provider), Amount(total.value()));
        }
        let table = reading.open_table(SELF).map_err(broken)?;
        if let Some(operator) = table.get(OPERATOR).map_err(broken)? {
            let operator: [u8; 20] =
                operator.value().try_into().map_err(|_| damaged("no operator"))?;
            known.operator = Some(operator.into());
        }
        Ok(known)
    }

    pub(super) fn receipts(
        &self,
        from: u64,
        most: usize,
    ) -> Result<Vec<(u64, KeyId, SignedReceipt)>, BooksError> {
        let table = self.0.begin_read().map_err(broken)?.open_table(RECEIPTS).map_err(broken)?;
        let mut found = Vec::new();
        for row in table.range(from..).map_err(broken)?.take(most) {
            let (number, value) = row.map_err(broken)?;
            let (key, bytes) = value.value();
            let receipt = decode(bytes, MAX_RECEIPT_BYTES).map_err(damaged)?;
            found.push((number.value(), *key, receipt));
        }
        Ok(found)
    }

    /// Writes all changes, or none; they are on disk afterwards.
    pub(super) fn apply(&self, changes: &[&Change]) -> Result<(), BooksError> {
        let writing = self.0.begin_write().map_err(broken)?;
        {
            let mut keys = writing.open_table(KEYS).map_err(broken)?;
            let mut receipts = writing.open_table(RECEIPTS).map_err(broken)?;
            let mut tabs = writing.open_table(TABS).map_err(broken)?;
            for change in changes {
                match change {
                    Change::Key(id, record) => {
                        keys.insert(id, encode(record.as_ref()).as_slice()).map_err(broken)?;
                    }
                    Change::Budget(id, budget) => {
                        // It may have been removed meanwhile.
                        let Some(mut known) = find(&keys, id)? else { continue };
                        known.budget.budget = *budget;
                        keys.insert(id, encode(&known).as_slice()).map_err(broken)?;
                    }
                    // What it has spent stays in the receipts and in what is owed.
                    Change::Removed(id) => {
                        keys.remove(id).map_err(broken)?;
                    }
                    Change::Settled(all) => {
                        for (id, signed) in all {
                            let mut known = read(&keys, id)?;
                            let charge = signed.receipt.charge;
                            let spent = known.budget.spent.checked_add(charge);
                            known.budget.spent = spent.ok_or_else(|| damaged("a sum overflows"))?;
                            known.count(&signed.receipt);
                            keys.insert(id, encode(&known).as_slice()).map_err(broken)?;
                            put(&mut receipts, id, signed)?;
                            charge_to(&mut tabs, known.owner, signed)?;
                        }
                    }
                    Change::Operator(operator) => {
                        let mut own = writing.open_table(SELF).map_err(broken)?;
                        // Whoever was faster is asked for by whoever wanted to be it.
                        if own.get(OPERATOR).map_err(broken)?.is_none() {
                            own.insert(OPERATOR, operator.as_slice()).map_err(broken)?;
                        }
                    }
                    Change::Seen(numbers, settled) => see(&writing, numbers, settled)?,
                }
            }
        }
        writing.commit().map_err(broken)
    }
}

fn find(
    keys: &redb::Table<'_, &[u8; 32], &[u8]>,
    id: &KeyId,
) -> Result<Option<KeyRecord>, BooksError> {
    keys.get(id).map_err(broken)?.map(|found| record(found.value())).transpose()
}

fn read(keys: &redb::Table<'_, &[u8; 32], &[u8]>, id: &KeyId) -> Result<KeyRecord, BooksError> {
    find(keys, id)?.ok_or(BooksError::Unknown)
}

/// Puts a receipt after all others.
fn put(
    receipts: &mut redb::Table<'_, u64, (&[u8; 32], &[u8])>,
    id: &KeyId,
    signed: &SignedReceipt,
) -> Result<(), BooksError> {
    let last = receipts.last().map_err(broken)?.map(|(last, _)| last.value());
    let number = last.map_or(0, |last| last.saturating_add(1));
    let bytes = encode(signed);
    receipts.insert(number, (id, bytes.as_slice())).map_err(broken)?;
    Ok(())
}

/// What a tab's row says.
fn summed((answers, amount, receipts): (u64, u128, &[u8; 32])) -> Sum {
    Sum { answers, amount: Amount(amount), receipts: *receipts }
}

type Tabs<'a> = Table<'a, (&'static [u8; 20], &'static [u8; 20]), (u64, u128, &'static [u8; 32])>;

/// Adds a receipt to its tab.
fn charge_to(
    tabs: &mut Tabs<'_>,
    owner: Option<[u8; 20]>,
    signed: &SignedReceipt,
) -> Result<(), BooksError> {
    let (owner, node) = (owner.unwrap_or_default(), signed.receipt.node);
    let before = tabs.get((&owner, &node)).map_err(broken)?.map(|found| summed(found.value()));
    let sum = before.unwrap_or_default().with(signed.receipt.charge, &encode(signed));
    let sum = sum.ok_or_else(|| damaged("a sum overflows"))?;
    tabs.insert((&owner, &node), (sum.answers, sum.amount.0, &sum.receipts)).map_err(broken)?;
    Ok(())
}

/// Writes down what the chain says.
fn see(
    writing: &WriteTransaction,
    numbers: &[(Address, u32)],
    settled: &[(Address, u32, Amount)],
) -> Result<(), BooksError> {
    let mut table = writing.open_table(NUMBERS).map_err(broken)?;
    for (node, number) in numbers {
        table.insert(&node.0.0, *number).map_err(broken)?;
    }
    let mut table = writing.open_table(SETTLED).map_err(broken)?;
    for (payer, provider, total) in settled {
        table.insert((&payer.0.0, *provider), total.0).map_err(broken)?;
    }
    Ok(())
}

/// Opens the tables about tabs. Books that have none get a name of their own, and tabs out of all receipts: those of
/// keys that are gone have no owner any more.
fn begin(writing: &WriteTransaction) -> Result<(), BooksError> {
    writing.delete_table(OWED).map_err(broken)?;
    writing.open_table(NUMBERS).map_err(broken)?;
    writing.open_table(SETTLED).map_err(broken)?;
    let mut tabs = writing.open_table(TABS).map_err(broken)?;
    let mut own = writing.open_table(SELF).map_err(broken)?;
    if own.get(BOOK).map_err(broken)?.is_some() {
        return Ok(());
    }
    let name = PrivateKeySigner::random().to_bytes();
    own.insert(BOOK, name.as_slice()).map_err(broken)?;
    let keys = writing.open_table(KEYS).map_err(broken)?;
    let receipts = writing.open_table(RECEIPTS).map_err(broken)?;
    for row in receipts.iter().map_err(broken)? {
        let (_, value) = row.map_err(broken)?;
        let (id, bytes) = value.value();
        let signed: SignedReceipt = decode(bytes, MAX_RECEIPT_BYTES).map_err(damaged)?;
        let owner = find(&keys, id)?.and_then(|key| key.owner);
        charge_to(&mut tabs, owner, &signed)?;
    }
    Ok(())
}
