//! Snapshots, and checks of a database at rest.

use std::path::{Path, PathBuf};

use alloy::{
    network::TransactionBuilder, primitives::B256, providers::Provider,
    rpc::types::TransactionRequest,
};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use tilth_chain::{
    Chain, Clock, Config, Production,
    fsck::{Level, Options, Place, Report, fsck},
    snapshot::{ExportOptions, ImportOptions, SnapshotError, export, import},
};

use crate::fixture::{client, config, deploying, register, signer, start, words};

fn on_disk(dir: &Path) -> Config {
    Config { dir: Some(dir.to_owned()), production: Production::Manual, ..config() }
}

/// A chain with a contract that has some hundred slots; returns its folder's last block.
async fn grow(dir: &Path, blocks: u64) -> Chain {
    let chain = start(on_disk(dir)).await;
    let provider = client(&chain);
    let deploy = TransactionRequest::default()
        .with_deploy_code(deploying(&register()))
        .with_gas_limit(500_000)
        .with_nonce(0);
    let _ = provider.send_transaction(deploy).await.unwrap();
    chain.mine().await.unwrap();
    let contract = signer(0).address().create(0);
    let mut nonce = 1;
    while chain.head().number < blocks {
        for _ in 0..12 {
            let value = if nonce % 11 == 0 { 0 } else { nonce };
            let store = TransactionRequest::default()
                .with_to(contract)
                .with_input(words(&[nonce * 31 % 400, value]))
                .with_gas_limit(100_000)
                .with_nonce(nonce);
            let _ = provider.send_transaction(store).await.unwrap();
            nonce += 1;
        }
        chain.mine().await.unwrap();
    }
    chain
}

fn check(dir: &Path, level: Level) -> Report {
    fsck(dir, Options { level, repair: false }, &mut |_| {}).unwrap()
}

#[tokio::test]
async fn a_chain_goes_on_from_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let chain = grow(&old, 40).await;
    let head = chain.head();
    let contract = signer(0).address().create(0);
    chain.shutdown().await;

    let file = dir.path().join("state.snapshot");
    let mut reports = 0;
    let written =
        export(&old, &file, &ExportOptions { blocks: 15 }, &mut |_| reports += 1).unwrap();
    assert!(reports > 0);
    assert_eq!((written.head_number, written.head_hash), (40, head.hash()));
    assert_eq!(written.blocks, 16);
    assert!(written.slots > 200, "{written:?}");

    let trusted = ImportOptions { head: Some(head.hash()), genesis: None };
    assert_eq!(import(&file, &new, &trusted, &mut |_| {}).unwrap(), written);
    let report = check(&new, Level::Full);
    assert_eq!(report.findings, Vec::new());
    assert_eq!((report.blocks, report.slots), (16, written.slots));
    // A second time there is a chain already.
    let again = import(&file, &new, &trusted, &mut |_| {});
    assert!(matches!(again, Err(SnapshotError::Exists { .. })));

    // One clock for both: their next blocks are to be the same.
    let clock = Clock::manual(head.timestamp + 1);
    let with_clock = |dir: &Path| Config { clock: clock.clone(), ..on_disk(dir) };
    let (old, new) = (start(with_clock(&old)).await, start(with_clock(&new)).await);
    assert_eq!(new.head().hash(), head.hash());
    let (before, after) = (client(&old), client(&new));
    let keys: Vec<B256> =
        (0..400_u64).map(|slot| B256::from(alloy::primitives::U256::from(slot))).collect();
    let proofs = (
        before.get_proof(contract, keys.clone()).await.unwrap(),
        after.get_proof(contract, keys).await.unwrap(),
    );
    assert_eq!(proofs.0, proofs.1);
    let block = after.get_block_by_number(38.into()).full().await.unwrap();
    assert_eq!(block, before.get_block_by_number(38.into()).full().await.unwrap());
    let dropped = after.get_block_by_number(20.into()).await.unwrap_err();
    assert_eq!(dropped.as_error_resp().map(|error| error.code), Some(4444), "{dropped}");
    // Both make the same next block.
    let store = TransactionRequest::default()
        .with_to(contract)
        .with_input(words(&[7, 7]))
        .with_gas_limit(100_000);
    let _ = before.send_transaction(store.clone()).await.unwrap();
    let _ = after.send_transaction(store).await.unwrap();
    assert_eq!(old.mine().await.unwrap().state_root, new.mine().await.unwrap().state_root);
    old.shutdown().await;
    new.shutdown().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_export_to_a_full_disk_is_told_of_and_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    grow(&old, 4).await.shutdown().await;
    let file = dir.path().join("state.snapshot");
    let partial = dir.path().join("state.snapshot.partial");
    std::fs::write(&file, b"an earlier one").unwrap();
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    let options = ExportOptions::default();
    let error = export(&old, &file, &options, &mut |_| {}).unwrap_err();
    let SnapshotError::File { path, source } = &error else { panic!("{error}") };
    assert_eq!((path, source.kind()), (&file, std::io::ErrorKind::StorageFull));
    assert!(!error.problem().advice.is_empty());
    assert_eq!(std::fs::read(&file).unwrap(), b"an earlier one");
    assert!(partial.symlink_metadata().is_err(), "something is left behind");
    // There is room again.
    let written = export(&old, &file, &options, &mut |_| {}).unwrap();
    let taken = import(&file, &new, &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((taken.head_number, taken), (4, written));
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let chain = grow(&dir.path().join("old"), 4).await;
    chain.shutdown().await;
    let file = dir.path().join("right");
    let options = ExportOptions::default();
    export(&dir.path().join("old"), &file, &options, &mut |_| {}).unwrap();
    let right = std::fs::read(&file).unwrap();
    let (wrong, target) = (dir.path().join("wrong"), dir.path().join("new"));
    let refused = |content: &[u8]| {
        std::fs::write(&wrong, content).unwrap();
        let result = import(&wrong, &target, &ImportOptions::default(), &mut |_| {});
        let error = result.expect_err("a damaged file is taken");
        assert!(matches!(error, SnapshotError::Invalid { .. }), "{error}");
        assert!(!error.problem().advice.is_empty());
        let left = std::fs::read_dir(&target).map_or(0, Iterator::count);
        assert_eq!(left, 0, "something is left behind");
    };
    // One wrong bit anywhere, a file cut short anywhere, and something after the end.
    for at in (0..right.len()).step_by(right.len() / 60) {
        let mut damaged = right.clone();
        damaged[at] ^= 0x10;
        refused(&damaged);
        refused(&right[..at]);
    }
    refused(&[&right[..], &[0]].concat());
    // A length that promises what is not there costs no memory.
    let mut long = right.clone();
    long[17..21].copy_from_slice(&(500_u32 << 20).to_be_bytes());
    refused(&long);

    let other = ImportOptions { head: Some(B256::repeat_byte(7)), genesis: None };
    let error = import(&file, &target, &other, &mut |_| {}).unwrap_err();
    assert!(matches!(error, SnapshotError::OtherHead { .. }), "{error}");
    let other = ImportOptions { head: None, genesis: Some(B256::repeat_byte(7)) };
    let error = import(&file, &target, &other, &mut |_| {}).unwrap_err();
    assert!(matches!(error, SnapshotError::OtherGenesis { .. }), "{error}");
    // What an import that was killed left behind does not matter.
    std::fs::write(target.join("chain.redb.import"), b"half").unwrap();
    import(&file, &target, &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(check(&target, Level::Full).findings, Vec::new());
}

const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
const RECEIPTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("receipts");
const TRANSACTIONS: TableDefinition<'_, &[u8; 32], (u64, u32)> =
    TableDefinition::new("transactions");
const LOG_TAIL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log_tail");
const ACCOUNTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("accounts");
const STORAGE: TableDefinition<'_, &[u8; 64], &[u8]> = TableDefinition::new("storage");
const CODES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("codes");
const OLD_STORAGE: TableDefinition<'_, &[u8; 72], &[u8]> = TableDefinition::new("old_storage");
const OLD_ACCOUNTS: TableDefinition<'_, &[u8; 40], &[u8]> = TableDefinition::new("old_accounts");
const STORAGE_NODES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("storage_nodes");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Flips the last bit of a table's value in the middle, or removes the entry.
macro_rules! damage {
    ($transaction:expr, $table:expr, remove) => {{
        let mut table = $transaction.open_table($table).unwrap();
        let middle = table.len_of() / 2;
        let key = table.iter().unwrap().nth(middle).unwrap().unwrap().0.value().to_owned();
        assert!(table.remove(key.borrowed()).unwrap().is_some());
    }};
    ($transaction:expr, $table:expr, flip) => {{
        let mut table = $transaction.open_table($table).unwrap();
        let middle = table.len_of() / 2;
        let (key, mut value) = {
            let entry = table.iter().unwrap().nth(middle).unwrap().unwrap();
            (entry.0.value().to_owned(), entry.1.value().to_vec())
        };
        *value.last_mut().unwrap() ^= 1;
        table.insert(key.borrowed(), value.as_slice()).unwrap();
    }};
}

/// A key as the table wants it.
trait Borrowed<'a> {
    type As;
    fn borrowed(&'a self) -> Self::As;
}

impl Borrowed<'_> for u64 {
    type As = u64;
    fn borrowed(&self) -> u64 {
        *self
    }
}

impl<'a> Borrowed<'a> for Vec<u8> {
    type As = &'a [u8];
    fn borrowed(&'a self) -> &'a [u8] {
        self
    }
}

impl<'a, const N: usize> Borrowed<'a> for [u8; N] {
    type As = &'a [u8; N];
    fn borrowed(&'a self) -> &'a [u8; N] {
        self
    }
}

trait LenOf {
    fn len_of(&self) -> usize;
}

impl<K: redb::Key + 'static, V: redb::Value + 'static> LenOf for redb::Table<'_, K, V> {
    fn len_of(&self) -> usize {
        usize::try_from(redb::ReadableTableMetadata::len(self).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn every_kind_of_damage_is_found_and_what_can_be_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    let chain = grow(&sound, 30).await;
    chain.shutdown().await;
    let report = check(&sound, Level::Full);
    assert_eq!(report.findings, Vec::new());
    assert_eq!((report.blocks, report.history_blocks), (31, 31));
    assert_eq!(check(&sound, Level::Quick).findings, Vec::new());

    type Damage = fn(&redb::WriteTransaction);
    type Case = (&'static str, Damage, fn(Place) -> bool);
    let cases: Vec<Case> = vec![
        ("header", |t| damage!(t, HEADERS, flip), |p| matches!(p, Place::Block(15 | 16))),
        ("receipts", |t| damage!(t, RECEIPTS, flip), |p| p == Place::Block(15)),
        ("lost receipts", |t| damage!(t, RECEIPTS, remove), |p| p == Place::Block(15)),
        ("transaction index", |t| damage!(t, TRANSACTIONS, remove), |p| p == Place::Index),
        ("log index", |t| damage!(t, LOG_TAIL, remove), |p| p == Place::Index),
        ("account", |t| damage!(t, ACCOUNTS, flip), |p| p == Place::State),
        ("lost account", |t| damage!(t, ACCOUNTS, remove), |p| p == Place::State),
        ("slot", |t| damage!(t, STORAGE, flip), |p| p == Place::State),
        ("lost slot", |t| damage!(t, STORAGE, remove), |p| p == Place::State),
        ("code", |t| damage!(t, CODES, flip), |p| p == Place::State),
        ("lost code", |t| damage!(t, CODES, remove), |p| p == Place::State),
        ("old slot", |t| damage!(t, OLD_STORAGE, remove), |p| matches!(p, Place::History(_))),
        ("old account", |t| damage!(t, OLD_ACCOUNTS, flip), |p| matches!(p, Place::History(_))),
        ("trie node", |t| damage!(t, STORAGE_NODES, flip), |p| p == Place::Tries),
        ("lost trie node", |t| damage!(t, STORAGE_NODES, remove), |p| p == Place::Tries),
    ];
    for (name, damage, expected) in cases {
        let copy: PathBuf = dir.path().join(name);
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(sound.join("chain.redb"), copy.join("chain.redb")).unwrap();
        let database = redb::Database::open(copy.join("chain.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        damage(&transaction);
        transaction.commit().unwrap();
        drop(database);
        let report = check(&copy, Level::Full);
        assert!(!report.is_sound(), "{name} is not found");
        assert!(report.findings.iter().any(|f| expected(f.place)), "{name}: {report:?}");
        let problem = report.findings[0].problem();
        assert!(!problem.advice.is_empty() && !problem.what.is_empty());
        if report.findings.iter().all(|finding| finding.is_repairable()) {
            let options = Options { level: Level::Full, repair: true };
            let repaired = fsck(&copy, options, &mut |_| {}).unwrap();
            assert!(repaired.repaired && repaired.is_sound(), "{name}: {repaired:?}");
            assert_eq!(check(&copy, Level::Full).findings, Vec::new(), "{name}");
        }
    }
}

/// Until 2026-11-29 records stood for smaller subtrees, under another name in the facts about the database.
#[tokio::test]
async fn a_folder_with_the_records_of_an_older_version_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path(), 20).await.shutdown().await;
    {
        let database = redb::Database::open(dir.path().join("chain.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            let saved = meta.remove("tries").unwrap().unwrap().value();
            meta.insert("trie", saved).unwrap();
            let mut nodes = transaction.open_table(STORAGE_NODES).unwrap();
            // One that today's version would not have: it must go.
            nodes.insert([7; 33].as_slice(), [0; 9].as_slice()).unwrap();
        }
        transaction.commit().unwrap();
    }
    let chain = start(on_disk(dir.path())).await;
    let provider = client(&chain);
    let nonce = provider.get_transaction_count(signer(0).address()).await.unwrap();
    let store = TransactionRequest::default()
        .with_to(signer(0).address().create(0))
        .with_input(words(&[7, 7]))
        .with_gas_limit(100_000)
        .with_nonce(nonce);
    let _ = provider.send_transaction(store).await.unwrap();
    chain.mine().await.unwrap();
    chain.shutdown().await;
    assert_eq!(check(dir.path(), Level::Full).findings, Vec::new());
    let database = redb::Database::open(dir.path().join("chain.redb")).unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    let names: Vec<String> =
        meta.iter().unwrap().map(|entry| entry.unwrap().0.value().to_owned()).collect();
    assert!(
        names.contains(&"tries".to_owned()) && !names.contains(&"trie".to_owned()),
        "{names:?}"
    );
}
