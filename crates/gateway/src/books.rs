//! Keys, budgets and receipts, on disk.
//!
//! Budgets live in memory and change at once; every receipt and every change of a key is in the database, synced,
//! before anybody is told that it is done. One thread writes, all that waits in one transaction. A gateway that is
//! killed forgets what was held for questions under way: their answers did not end, so nothing is owed for them.

mod places;
mod store;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use alloy::{
    primitives::{Address, B256, hex},
    signers::local::PrivateKeySigner,
};
use tilth_protocol::{Amount, infer::SignedReceipt, spec::MAX_NAME_BYTES};
use tokio::sync::oneshot;
use tracing::error;

use crate::{
    budget::{Budget, Short},
    tab::{self, Known, Owed, Tab},
};
pub use places::{Hold, Visit};
pub use store::{BooksError, KeyRecord};
use store::{Change, Store};

/// How keys begin, so that people and scanners know them.
const PREFIX: &str = "sk-tilth-";
/// Most keys. All of them are shown at once, each in at most 1.6 KiB: see [`crate::operator`].
pub(crate) const MAX_KEYS: usize = 10_000;
/// Most answers of one key at the same time.
const MAX_HOLDS: u32 = 64;

/// A key's name in the books: the hash of its secret.
pub type KeyId = [u8; 32];

/// A key as it is now.
#[derive(Clone, Debug)]
struct Live {
    record: KeyRecord,
    /// Answers under way.
    holds: u32,
    /// Questions that are read or answered.
    visits: u32,
    /// Budgets on their way to the disk, in their order.
    coming: VecDeque<Amount>,
}

impl Live {
    fn new(record: KeyRecord) -> Self {
        Self { record, holds: 0, visits: 0, coming: VecDeque::new() }
    }
}

/// Why a key may not ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such key.
    #[error("the key is not known")]
    Unknown,
    /// Its budget does not reach.
    #[error("the key's budget does not reach: {0}")]
    Short(#[from] Short),
    /// It has too many answers under way.
    #[error("the key has as many questions and answers under way as it may")]
    TooMany,
    /// Who pays for it has no more than is owed already.
    #[error("the account that pays for the key has no more free in the Ledger than it owes")]
    Uncovered,
    /// The books cannot be written.
    #[error("the books cannot be written")]
    Broken,
}

type Done = oneshot::Sender<Result<(), BooksError>>;
type Told = oneshot::Receiver<Result<(), BooksError>>;

/// Waits until a change is on disk.
async fn written(told: Told) -> Result<(), BooksError> {
    told.await.map_err(|_| BooksError::Stopped)?
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<KeyId, Live>,
    /// Keys on their way to the disk. They have their places already.
    coming: usize,
    /// Owners whose keys are refused; `None`: keys without one.
    uncovered: BTreeSet<Option<Address>>,
    broken: bool,
}

impl State {
    /// Takes keys and budgets over that are on disk. Of budgets that come after them the least counts already.
    fn raise(&mut self, written: &[&Change]) {
        for change in written {
            match change {
                Change::Key(id, record) => {
                    self.keys.insert(*id, Live::new((**record).clone()));
                }
                Change::Budget(id, budget) => {
                    let Some(live) = self.keys.get_mut(id) else { continue };
                    live.coming.pop_front();
                    live.record.budget.budget = live.coming.iter().copied().fold(*budget, Ord::min);
                }
                Change::Removed(_)
                | Change::Settled(_)
                | Change::Operator(_)
                | Change::Seen(..) => {}
            }
        }
    }
}

/// The books. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Books {
    state: Arc<Mutex<State>>,
    changes: mpsc::Sender<(Change, Done)>,
    store: Arc<Store>,
}

/// The key that a secret is for.
pub fn key_id(secret: &str) -> KeyId {
    blake3::derive_key("tilth 2026-11 api key v1", secret.as_bytes())
}

impl Books {
    /// Opens the books, or begins them.
    ///
    /// # Errors
    /// The file cannot be used, or is in use.
    pub fn open(path: &Path) -> Result<Self, BooksError> {
        Self::on(Store::open(path)?)
    }

    fn on(store: Store) -> Result<Self, BooksError> {
        let store = Arc::new(store);
        let keys = store.keys()?.into_iter();
        let keys = keys.map(|(id, record)| (id, Live::new(record))).collect();
        let state = Arc::new(Mutex::new(State { keys, ..State::default() }));
        let (changes, inbox) = mpsc::channel::<(Change, Done)>();
        let (writing, watched) = (Arc::clone(&store), Arc::clone(&state));
        thread::Builder::new()
            .name("books".into())
            .spawn(move || write(&writing, &watched, &inbox))
            .map_err(|source| BooksError::Thread(source.to_string()))?;
        Ok(Self { state, changes, store })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a change to the writer. Whoever changes what is in memory does this before he lets go of it, so that the disk
    /// has the same order.
    fn queue(&self, change: Change) -> Result<Told, BooksError> {
        let (done, told) = oneshot::channel();
        self.changes.send((change, done)).map_err(|_| BooksError::Stopped)?;
        Ok(told)
    }

    /// Makes a key. Its secret is nowhere else afterwards.
    ///
    /// # Errors
    /// [`BooksError`].
    pub async fn create(
        &self,
        name: &str,
        owner: Option<Address>,
        budget: Amount,
    ) -> Result<(KeyId, String), BooksError> {
        let plain = name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
        if name.is_empty() || !plain {
            return Err(BooksError::Name);
        }
        // As a tab's owner it would stand for none, and the operator would pay.
        if owner == Some(Address::ZERO) {
            return Err(BooksError::Owner);
        }
        let secret = format!("{PREFIX}{}", hex::encode(PrivateKeySigner::random().to_bytes()));
        let id = key_id(&secret);
        let record = KeyRecord {
            name: name.to_owned(),
            owner: owner.map(|owner| owner.into()),
            budget: Budget::new(budget),
            ..KeyRecord::default()
        };
        let told = {
            let mut state = self.state();
            if state.keys.len().saturating_add(state.coming) >= MAX_KEYS {
                return Err(BooksError::Full);
            }
            let told = self.queue(Change::Key(id, Box::new(record)))?;
            state.coming += 1;
            told
        };
        // The rest is the writer's: the key is there when it is on disk, whether or not anybody still waits for it.
        written(told).await?;
        Ok((id, secret))
    }

    /// Sets what a key may spend in all; 0 stops it. Less counts at once, more when it is on disk.
    ///
    /// # Errors
    /// There is no such key, or the books cannot be written.
    pub async fn set_budget(&self, id: &KeyId, budget: Amount) -> Result<(), BooksError> {
        let told = {
            let mut state = self.state();
            let live = state.keys.get_mut(id).ok_or(BooksError::Unknown)?;
            let told = self.queue(Change::Budget(*id, budget))?;
            live.coming.push_back(budget);
            let known = &mut live.record.budget.budget;
            *known = budget.min(*known);
            told
        };
        // The rest is the writer's, which does it in the order of the disk.
        written(told).await
    }

    /// Removes a key. What was charged to it stays in the receipts and in what is owed.
    ///
    /// # Errors
    /// There is no such key, something is under way for it, or the books cannot be written.
    pub async fn remove(&self, id: &KeyId) -> Result<(), BooksError> {
        let told = {
            let mut state = self.state();
            let live = state.keys.get(id).ok_or(BooksError::Unknown)?;
            if live.holds > 0 || live.visits > 0 {
                return Err(BooksError::InUse);
            }
            state.keys.remove(id);
            self.queue(Change::Removed(*id))?
        };
        written(told).await
    }

    /// All keys.
    pub fn keys(&self) -> Vec<(KeyId, KeyRecord)> {
        let state = self.state();
        let mut keys: Vec<_> =
            state.keys.iter().map(|(id, live)| (*id, live.record.clone())).collect();
        keys.sort_by(|a, b| a.1.name.cmp(&b.1.name).then(a.0.cmp(&b.0)));
        keys
    }

    /// Whether there is a key with this secret.
    pub fn knows(&self, id: &KeyId) -> bool {
        self.state().keys.contains_key(id)
    }

    /// Lets a question of a key in, before anything of it is read: of one that may spend something, and has fewer than
    /// `most` of them.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn visit(&self, id: &KeyId, most: u32) -> Result<Visit, Denied> {
        let mut state = self.state();
        if state.broken {
            return Err(Denied::Broken);
        }
        let owner = state.keys.get(id).ok_or(Denied::Unknown)?.record.owner.map(Address::from);
        if state.uncovered.contains(&owner) {
            return Err(Denied::Uncovered);
        }
        let live = state.keys.get_mut(id).ok_or(Denied::Unknown)?;
        if live.record.budget.left() == Amount(0) {
            return Err(Denied::Short(Short { asked: 1, left: 0 }));
        }
        if live.visits >= most {
            return Err(Denied::TooMany);
        }
        live.visits += 1;
        drop(state);
        Ok(Visit { books: self.clone(), id: *id })
    }

    /// Charges what the receipts of answers say, of all of them or of none. Returns when it is on disk.
    ///
    /// # Errors
    /// One charges more than was held, or the books cannot be written. What was held is free again.
    pub async fn settle(&self, ended: Vec<(Hold, SignedReceipt)>) -> Result<(), BooksError> {
        written(self.charge(ended)?).await
    }

    /// Charges in memory, and hands it to the writer.
    fn charge(&self, mut ended: Vec<(Hold, SignedReceipt)>) -> Result<Told, BooksError> {
        let mut state = self.state();
        let mut changed: HashMap<KeyId, Live> = HashMap::new();
        for (hold, signed) in &ended {
            let mut live = match changed.get(&hold.id) {
                Some(known) => known.clone(),
                None => state.keys.get(&hold.id).ok_or(BooksError::Unknown)?.clone(),
            };
            live.record.budget.settle(hold.amount, signed.receipt.charge)?;
            live.record.count(&signed.receipt);
            live.holds = live.holds.saturating_sub(1);
            changed.insert(hold.id, live);
        }
        state.keys.extend(changed);
        for (hold, _) in &mut ended {
            hold.open = false;
        }
        let settled = ended.into_iter().map(|(hold, signed)| (hold.id, signed)).collect();
        self.queue(Change::Settled(settled))
    }

    /// Holds an amount for an answer.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn hold(&self, id: &KeyId, amount: Amount) -> Result<Hold, Denied> {
        let mut state = self.state();
        if state.broken {
            return Err(Denied::Broken);
        }
        let live = state.keys.get_mut(id).ok_or(Denied::Unknown)?;
        if live.holds >= MAX_HOLDS {
            return Err(Denied::TooMany);
        }
        live.record.budget.hold(amount)?;
        live.holds += 1;
        drop(state);
        Ok(Hold { books: self.clone(), id: *id, amount, open: true })
    }

    /// Who owns keys; `None`: nobody owns some.
    pub fn owners(&self) -> BTreeSet<Option<Address>> {
        let state = self.state();
        state.keys.values().map(|live| live.record.owner.map(Address::from)).collect()
    }

    /// Lets no question in of keys with these owners, until it is said anew. Answers under way go on.
    pub fn refuse(&self, uncovered: BTreeSet<Option<Address>>) {
        self.state().uncovered = uncovered;
    }

    /// What these books are called on the chain, where one account may have several.
    ///
    /// # Errors
    /// The books cannot be read.
    pub fn book(&self) -> Result<B256, BooksError> {
        self.store.book().map(B256::from)
    }

    /// What was charged for the answers of each node, by the owner of the keys.
    ///
    /// # Errors
    /// The books cannot be read.
    pub fn tabs(&self) -> Result<Vec<Tab>, BooksError> {
        self.store.tabs()
    }

    /// What the chain was seen to say, and who pays for keys without an owner.
    ///
    /// # Errors
    /// The books cannot be read.
    pub fn known(&self) -> Result<Known, BooksError> {
        self.store.known()
    }

    /// What is owed by whom to whom, and what of it is settled as far as is known.
    ///
    /// # Errors
    /// The books cannot be read.
    pub fn owed(&self) -> Result<Vec<Owed>, BooksError> {
        let owed = tab::owed(&self.tabs()?, &self.known()?);
        owed.ok_or_else(|| BooksError::Damaged("a sum overflows".to_owned()))
    }

    /// Has an account pay for keys without an owner, from now on and for good.
    ///
    /// # Errors
    /// Another one does, or the books cannot be written.
    pub async fn adopt(&self, operator: Address) -> Result<(), BooksError> {
        written(self.queue(Change::Operator(operator))?).await?;
        match self.known()?.operator {
            Some(other) if other != operator => Err(BooksError::Operator(other)),
            _ => Ok(()),
        }
    }

    /// Writes down what the chain says: providers' numbers by node, and what payers have settled by provider.
    ///
    /// # Errors
    /// The books cannot be written.
    pub async fn see(
        &self,
        numbers: Vec<(Address, u32)>,
        settled: Vec<(Address, u32, Amount)>,
    ) -> Result<(), BooksError> {
        if numbers.is_empty() && settled.is_empty() {
            return Ok(());
        }
        written(self.queue(Change::Seen(numbers, settled))?).await
    }

    /// The receipts from a number on, at most `most`.
    ///
    /// # Errors
    /// The books cannot be read.
    pub fn receipts(
        &self,
        from: u64,
        most: usize,
    ) -> Result<Vec<(u64, KeyId, SignedReceipt)>, BooksError> {
        self.store.receipts(from, most)
    }
}

/// Writes until nobody is left who could change anything.
fn write(store: &Store, state: &Mutex<State>, inbox: &mpsc::Receiver<(Change, Done)>) {
    while let Ok(first) = inbox.recv() {
        let mut waiting = vec![first];
        waiting.extend(inbox.try_iter());
        let changes: Vec<&Change> = waiting.iter().map(|(change, _)| change).collect();
        let written = store.apply(&changes);
        let keys = changes.iter().filter(|change| matches!(change, Change::Key(..))).count();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.coming = state.coming.saturating_sub(keys);
        match &written {
            Ok(()) => state.raise(&changes),
            Err(error) => {
                // What is in memory is more than what is on disk: nobody may spend on.
                error!(%error, "the books cannot be written");
                state.broken = true;
            }
        }
        drop(state);
        for (_, done) in waiting {
            // Who asked may be gone.
            let _ = done.send(written.clone());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
