use tilth_protocol::{
    ContentHash,
    infer::{End, Parameters, Prices, Receipt},
};

use super::*;

fn receipt(charge: u128, node: u8) -> SignedReceipt {
    receipt_of(charge, Address::repeat_byte(node))
}

fn receipt_of(charge: u128, node: Address) -> SignedReceipt {
    let receipt = Receipt {
        chain_id: 1,
        node: node.into(),
        caller: [0; 32],
        nonce: [0; 32],
        model: ContentHash::default(),
        prompt: [0; 32],
        parameters: Parameters::default(),
        output: [0; 32],
        prompt_tokens: 3,
        output_tokens: 4,
        end: End::Stop,
        prices: Prices::default(),
        charge: Amount(charge),
    };
    SignedReceipt { receipt, signature: [0; 65] }
}

/// A disk that loses what was not synced.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Sectors>>);

#[derive(Clone, Debug, Default)]
struct Sectors {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// Nothing more can be written.
    full: bool,
}

impl Disk {
    fn sectors(&self) -> MutexGuard<'_, Sectors> {
        self.0.lock().unwrap()
    }

    fn books(&self) -> Books {
        let database = redb::Database::builder().create_with_backend(self.clone()).unwrap();
        Books::on(Store::on(database).unwrap()).unwrap()
    }

    /// Makes it a disk with books as they were before there were tabs.
    fn forget_tabs(&self) {
        let database = redb::Database::builder().create_with_backend(self.clone()).unwrap();
        let writing = database.begin_write().unwrap();
        for handle in writing.list_tables().unwrap().collect::<Vec<_>>() {
            let kept = ["keys", "receipts"].contains(&redb::TableHandle::name(&handle));
            if !kept {
                writing.delete_table(handle).unwrap();
            }
        }
        let owed = redb::TableDefinition::<&[u8; 20], (u64, u128)>::new("owed");
        writing.open_table(owed).unwrap().insert(&[1_u8; 20], (1_u64, 5_u128)).unwrap();
        writing.commit().unwrap();
    }

    /// The names of the tables on it.
    fn tables(&self) -> Vec<String> {
        let database = redb::Database::builder().create_with_backend(self.clone()).unwrap();
        let writing = database.begin_write().unwrap();
        let tables = writing.list_tables().unwrap();
        let names = tables.map(|table| redb::TableHandle::name(&table).to_owned()).collect();
        writing.abort().unwrap();
        names
    }

    /// What is found after the power was cut.
    fn after_a_cut(&self) -> Self {
        let synced = self.sectors().synced.clone();
        Self(Arc::new(Mutex::new(Sectors { written: synced.clone(), synced, full: false })))
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.sectors().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.sectors().written[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> std::io::Result<()> {
        self.sectors().written.resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let mut sectors = self.sectors();
        if sectors.full {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        sectors.synced = sectors.written.clone();
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        self.sectors().written[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[tokio::test]
async fn what_is_settled_survives_a_kill_and_what_was_held_is_free_again() {
    let disk = Disk::default();
    let books = disk.books();
    let (id, secret) = books.create("mine", None, Amount(100)).await.unwrap();
    assert_eq!(key_id(&secret), id);
    let (first, second) =
        (books.hold(&id, Amount(60)).unwrap(), books.hold(&id, Amount(40)).unwrap());
    assert!(matches!(books.hold(&id, Amount(1)), Err(Denied::Short(_))));
    books.settle(vec![(first, receipt(50, 1))]).await.unwrap();
    assert!(books.hold(&id, Amount(10)).is_ok(), "the rest is free again");

    let after = disk.after_a_cut().books();
    let (known, record) = after.keys().remove(0);
    assert_eq!((known, record.name.as_str(), record.answers), (id, "mine", 1));
    assert_eq!((record.budget.spent, record.budget.held), (Amount(50), Amount(0)));
    let owed = after.owed().unwrap();
    assert_eq!((owed.len(), &owed[0].nodes[..]), (1, &[Address::repeat_byte(1)][..]));
    assert_eq!((owed[0].payer, owed[0].answers, owed[0].due()), (None, 1, Amount(50)));
    assert_eq!(after.book().unwrap(), books.book().unwrap(), "the same books");
    assert_eq!(after.receipts(0, 9).unwrap(), [(0, id, receipt(50, 1))]);
    drop(second);
    assert_eq!(books.keys()[0].1.budget.left(), Amount(50));
}

#[tokio::test]
async fn many_at_once_lose_nothing() {
    let disk = Disk::default();
    let books = disk.books();
    let (id, _) = books.create("busy", None, Amount(u128::MAX)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60_u8 {
        let books = books.clone();
        tasks.spawn(async move {
            let hold = books.hold(&id, Amount(1000)).unwrap();
            let receipt = receipt(number.into(), number % 3);
            books.settle(vec![(hold, receipt)]).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let sum = (0..60_u128).sum();
    let after = disk.after_a_cut().books();
    assert_eq!(after.keys()[0].1.budget.spent, Amount(sum));
    assert_eq!(after.receipts(0, 100).unwrap().len(), 60);
    let owed: u128 = after.owed().unwrap().iter().map(|owed| owed.due().0).sum();
    assert_eq!(owed, sum);
}

#[tokio::test]
async fn keys_are_bounded_and_charges_beyond_what_was_held_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let books = Books::open(&folder.path().join("books")).unwrap();
    assert_eq!(books.create("", None, Amount(1)).await, Err(BooksError::Name));
    assert_eq!(books.create("a\u{1b}[31m", None, Amount(1)).await, Err(BooksError::Name));
    assert!(matches!(books.hold(&[7; 32], Amount(0)), Err(Denied::Unknown)));
    let (id, _) = books.create("small", None, Amount(5)).await.unwrap();
    let hold = books.hold(&id, Amount(5)).unwrap();
    let settled = books.settle(vec![(hold, receipt(6, 1))]).await;
    assert!(matches!(settled, Err(BooksError::Beyond(_))));
    assert_eq!(books.keys()[0].1.budget.left(), Amount(5));
    books.set_budget(&id, Amount(0)).await.unwrap();
    assert!(matches!(books.hold(&id, Amount(1)), Err(Denied::Short(_))));
    assert!(Books::open(&folder.path().join("books")).is_err(), "one at a time");
}

#[tokio::test]
async fn answers_to_one_question_are_charged_together_or_not_at_all() {
    let disk = Disk::default();
    let books = disk.books();
    let (id, _) = books.create("many", None, Amount(100)).await.unwrap();
    let hold = || books.hold(&id, Amount(10)).unwrap();
    let bad = vec![(hold(), receipt(9, 1)), (hold(), receipt(11, 1)), (hold(), receipt(1, 1))];
    assert!(matches!(books.settle(bad).await, Err(BooksError::Beyond(_))));
    let budget = books.keys()[0].1.budget;
    assert_eq!((budget.spent, budget.held), (Amount(0), Amount(0)));
    let good = vec![(hold(), receipt(9, 1)), (hold(), receipt(10, 2)), (hold(), receipt(1, 1))];
    books.settle(good).await.unwrap();
    let after = disk.after_a_cut().books();
    assert_eq!(after.keys()[0].1.budget.spent, Amount(20));
    let numbers: Vec<_> = after.receipts(0, 9).unwrap().iter().map(|one| one.0).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[tokio::test]
async fn keys_without_money_and_keys_with_too_many_questions_are_not_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let books = Books::open(&folder.path().join("books")).unwrap();
    let (id, _) = books.create("some", None, Amount(5)).await.unwrap();
    let (poor, _) = books.create("poor", None, Amount(0)).await.unwrap();
    assert!(matches!(books.visit(&poor, 9), Err(Denied::Short(_))));
    assert!(matches!(books.visit(&[7; 32], 9), Err(Denied::Unknown)));
    let inside = [books.visit(&id, 2).unwrap(), books.visit(&id, 2).unwrap()];
    assert!(matches!(books.visit(&id, 2), Err(Denied::TooMany)));
    drop(inside);
    let all = books.hold(&id, Amount(5)).unwrap();
    assert!(matches!(books.visit(&id, 2), Err(Denied::Short(_))));
    drop(all);
    assert!(books.visit(&id, 2).is_ok());
}

#[tokio::test]
async fn a_budget_that_is_not_on_disk_is_not_spent() {
    let disk = Disk::default();
    let books = disk.books();
    let (id, _) = books.create("some", None, Amount(5)).await.unwrap();
    books.set_budget(&id, Amount(9)).await.unwrap();
    assert_eq!(books.keys()[0].1.budget.budget, Amount(9));
    assert_eq!(disk.after_a_cut().books().keys()[0].1.budget.budget, Amount(9));
    disk.sectors().full = true;
    books.set_budget(&id, Amount(100)).await.unwrap_err();
    assert_eq!(books.keys()[0].1.budget.budget, Amount(9), "more is promised by the disk alone");
    books.set_budget(&id, Amount(2)).await.unwrap_err();
    assert_eq!(books.keys()[0].1.budget.budget, Amount(2), "less counts at once");
    assert!(matches!(books.hold(&id, Amount(1)), Err(Denied::Broken)));
    assert!(matches!(books.visit(&id, 1), Err(Denied::Broken)));
}

#[tokio::test]
async fn a_budget_that_was_lowered_is_not_raised_by_what_was_asked_for_before() {
    let id = [1; 32];
    let written = |asked: [u128; 2]| {
        let record = KeyRecord { budget: Budget::new(Amount(50)), ..KeyRecord::default() };
        let mut live = Live::new(record);
        live.coming = asked.map(Amount).into();
        live.record.budget.budget = Amount(asked[0].min(asked[1]).min(50));
        let mut state = State { keys: HashMap::from([(id, live)]), ..State::default() };
        // One transaction after the other.
        asked.map(|budget| {
            state.raise(&[&Change::Budget(id, Amount(budget))]);
            state.keys[&id].record.budget.budget.0
        })
    };
    assert_eq!(written([100, 2]), [2, 2]);
    assert_eq!(written([2, 100]), [2, 100]);
    let disk = Disk::default();
    let books = disk.books();
    let (id, _) = books.create("some", None, Amount(5)).await.unwrap();
    let set = |budget| books.set_budget(&id, Amount(budget));
    let (more, less, last) = tokio::join!(set(100), set(2), set(7));
    more.and(less).and(last).unwrap();
    assert_eq!(books.keys()[0].1.budget.budget, Amount(7));
    assert_eq!(disk.after_a_cut().books().keys()[0].1.budget.budget, Amount(7));
}

#[tokio::test]
async fn removed_keys_are_gone_and_what_was_charged_to_them_is_not() {
    let disk = Disk::default();
    let books = disk.books();
    let (id, _) = books.create("old", None, Amount(9)).await.unwrap();
    let hold = books.hold(&id, Amount(9)).unwrap();
    assert_eq!(books.remove(&id).await, Err(BooksError::InUse));
    books.settle(vec![(hold, receipt(7, 1))]).await.unwrap();
    let visit = books.visit(&id, 1).unwrap();
    assert_eq!(books.remove(&id).await, Err(BooksError::InUse));
    drop(visit);
    books.remove(&id).await.unwrap();
    assert_eq!(books.remove(&id).await, Err(BooksError::Unknown));
    assert!(!books.knows(&id) && matches!(books.hold(&id, Amount(0)), Err(Denied::Unknown)));
    let after = disk.after_a_cut().books();
    assert_eq!((after.keys().len(), after.owed().unwrap()[0].due()), (0, Amount(7)));
    assert_eq!(after.receipts(0, 9).unwrap(), [(0, id, receipt(7, 1))]);
}

#[tokio::test]
async fn there_are_so_many_keys_and_answers_of_one_and_no_more() {
    let disk = Disk::default();
    let books = disk.books();
    let (id, _) = books.create("busy", None, Amount(1000)).await.unwrap();
    let mut held: Vec<_> = (0..MAX_HOLDS).map(|_| books.hold(&id, Amount(1)).unwrap()).collect();
    assert!(matches!(books.hold(&id, Amount(1)), Err(Denied::TooMany)));
    held.pop();
    assert!(books.hold(&id, Amount(1)).is_ok());
    {
        let mut state = books.state();
        let live = state.keys[&id].clone();
        for number in 1..MAX_KEYS as u64 {
            let mut other = [0; 32];
            other[..8].copy_from_slice(&number.to_le_bytes());
            state.keys.insert(other, live.clone());
        }
        assert_eq!(state.keys.len(), MAX_KEYS);
    }
    assert_eq!(books.create("one more", None, Amount(1)).await, Err(BooksError::Full));
    for place in 1..=2 {
        let mut other = [0; 32];
        other[0] = place;
        books.state().keys.remove(&other);
    }
    // All of them look before any of them is on disk.
    let mut creating = tokio::task::JoinSet::new();
    for number in 0..16 {
        let books = books.clone();
        creating.spawn(async move { books.create(&format!("{number}"), None, Amount(1)).await });
    }
    let made = creating.join_all().await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 2);
    assert_eq!(books.state().keys.len(), MAX_KEYS);
    assert_eq!(disk.after_a_cut().books().keys().len(), 3, "no more are on disk");
}

#[tokio::test]
async fn a_key_for_which_nobody_waits_any_more_is_there_all_the_same() {
    let books = Disk::default().books();
    tokio::select! {
        biased;
        // Looked at once, it is on its way.
        made = books.create("first", None, Amount(1)) => drop(made),
        () = std::future::ready(()) => {}
    }
    books.create("second", None, Amount(1)).await.unwrap();
    assert_eq!(books.keys().len(), 2);
}

/// Charges an answer to a key.
pub(crate) async fn charge(books: &Books, id: &KeyId, amount: u128, node: u8) {
    let hold = books.hold(id, Amount(amount)).unwrap();
    books.settle(vec![(hold, receipt(amount, node))]).await.unwrap();
}

/// Charges a key one unit for an answer of each of these nodes.
pub(crate) async fn charge_all(
    books: &Books,
    id: &KeyId,
    nodes: impl IntoIterator<Item = Address>,
) {
    let mut nodes = nodes.into_iter().peekable();
    while nodes.peek().is_some() {
        let some = nodes.by_ref().take(MAX_HOLDS as usize);
        let one = |node| (books.hold(id, Amount(1)).unwrap(), receipt_of(1, node));
        books.settle(some.map(one).collect()).await.unwrap();
    }
}

/// What the books write for no owner is nobody's account.
#[tokio::test]
async fn nobody_has_a_key_for_which_the_operator_would_pay_unasked() {
    let books = Disk::default().books();
    let made = books.create("zeros", Some(Address::ZERO), Amount(9)).await;
    assert_eq!(made, Err(BooksError::Owner));
    assert!(books.keys().is_empty());
}

#[tokio::test]
async fn what_is_owed_is_kept_by_owner_and_what_was_settled_by_payer() {
    let disk = Disk::default();
    let books = disk.books();
    let (own, other) = (Address::repeat_byte(0xa), Address::repeat_byte(0xb));
    let (free, _) = books.create("free", None, Amount(1_000)).await.unwrap();
    let (mine, _) = books.create("mine", Some(own), Amount(1_000)).await.unwrap();
    charge(&books, &free, 5, 1).await;
    charge(&books, &mine, 7, 1).await;
    charge(&books, &mine, 11, 2).await;
    books.remove(&mine).await.unwrap();
    let node = Address::repeat_byte;
    books.see(vec![(node(1), 4), (node(2), 4)], vec![(own, 4, Amount(10))]).await.unwrap();

    // As it is found after a cut at this moment.
    let after = disk.after_a_cut().books();
    let owed = after.owed().unwrap();
    assert_eq!(owed.len(), 2, "{owed:?}");
    assert_eq!((owed[0].payer, owed[0].due()), (None, Amount(5)));
    assert_eq!((owed[1].payer, owed[1].provider), (Some(own), Some(4)));
    assert_eq!((owed[1].total, owed[1].due()), (Amount(18), Amount(8)));
    assert_eq!(owed[1].nodes, [node(1), node(2)]);

    // Who pays for keys without an owner is chosen once, whatever happens afterwards.
    after.adopt(other).await.unwrap();
    assert_eq!(after.adopt(own).await, Err(BooksError::Operator(other)));
    after.adopt(other).await.unwrap();
    assert_eq!(after.owed().unwrap()[1].payer, Some(other));
    assert!(books.hold(&free, Amount(1)).is_ok(), "a refusal breaks nothing");
}

#[tokio::test]
async fn books_from_before_there_were_tabs_get_them_out_of_their_receipts() {
    let disk = Disk::default();
    let books = disk.books();
    let own = Address::repeat_byte(0xa);
    let (mine, _) = books.create("mine", Some(own), Amount(1_000)).await.unwrap();
    let (gone, _) = books.create("gone", Some(own), Amount(1_000)).await.unwrap();
    for (id, amount, node) in [(&mine, 5, 1), (&gone, 7, 1), (&mine, 11, 1), (&mine, 13, 2)] {
        charge(&books, id, amount, node).await;
    }
    let kept: Vec<_> = books.tabs().unwrap();
    books.remove(&gone).await.unwrap();
    drop(books);

    let old = disk.after_a_cut();
    old.forget_tabs();
    let owed = "owed".to_owned();
    assert!(old.tables().contains(&owed));
    let first = old.books();
    assert!(!old.after_a_cut().tables().contains(&owed), "what nobody reads is gone");
    let tabs = first.tabs().unwrap();
    let amounts: Vec<_> = tabs.iter().map(|tab| (tab.owner, tab.node, tab.sum.amount)).collect();
    let node = Address::repeat_byte;
    assert_eq!(
        amounts,
        [
            (None, node(1), Amount(7)),
            (Some(own), node(1), Amount(16)),
            (Some(own), node(2), Amount(13)),
        ]
    );
    assert_eq!(tabs[2], kept[1], "with the same hash of the same receipts");
    let name = first.book().unwrap();
    let second = old.after_a_cut().books();
    assert_eq!((second.tabs().unwrap(), second.book().unwrap()), (tabs, name), "and only once");
}

#[tokio::test]
async fn keys_that_nobody_covers_are_refused_until_somebody_does() {
    let folder = tempfile::tempdir().unwrap();
    let books = Books::open(&folder.path().join("books")).unwrap();
    let own = Address::repeat_byte(0xa);
    let (free, _) = books.create("free", None, Amount(9)).await.unwrap();
    let (mine, _) = books.create("mine", Some(own), Amount(9)).await.unwrap();
    assert_eq!(books.owners(), BTreeSet::from([None, Some(own)]));
    let under_way = books.hold(&mine, Amount(5)).unwrap();
    books.refuse(BTreeSet::from([Some(own)]));
    assert!(matches!(books.visit(&mine, 9), Err(Denied::Uncovered)));
    assert!(books.visit(&free, 9).is_ok());
    books.settle(vec![(under_way, receipt(5, 1))]).await.unwrap();
    books.refuse(BTreeSet::from([None]));
    assert!(matches!(books.visit(&free, 9), Err(Denied::Uncovered)));
    assert!(books.visit(&mine, 9).is_ok());
}
