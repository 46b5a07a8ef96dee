//! The power goes at every single operation of the disk, and what was shown is there afterwards.

use std::{
    io,
    sync::{Arc, Mutex},
};

use redb::StorageBackend;

use super::tests::{open_on, transfer};
use crate::{
    fsck::{Level, Options},
    store::{Store, StoreOptions},
};

/// Bytes a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// A disk that keeps written data for itself until it is told to sync, and that fails for good at
/// a chosen operation.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    durable: Vec<u8>,
    /// As a running program sees it.
    seen: Vec<u8>,
    unsynced: Vec<Effect>,
    operations: u64,
    /// The operation at which the power goes.
    last: u64,
}

#[derive(Debug)]
enum Effect {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Effect {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write(at, data) => {
                let end = at + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl Disk {
    fn new(content: Vec<u8>, last: u64) -> Self {
        let (durable, seen) = (content.clone(), content);
        let platter = Platter { durable, seen, unsynced: Vec::new(), operations: 0, last };
        Self(Arc::new(Mutex::new(platter)))
    }

    fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// What is on the disk after the power came back: what was synced, and of the rest, sector by
    /// sector, what chance (0 to 100 percent) has written.
    fn after_power_loss(&self, percent: u64, seed: u64) -> Vec<u8> {
        let platter = self.0.lock().unwrap();
        let mut content = platter.durable.clone();
        let mut chance = seed | 1;
        let mut happens = || {
            // xorshift64
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % 100 < percent
        };
        for effect in &platter.unsynced {
            match effect {
                Effect::Length(_) => {
                    if happens() {
                        effect.apply(&mut content);
                    }
                }
                Effect::Write(at, data) => {
                    for (index, sector) in data.chunks(SECTOR).enumerate() {
                        if happens() {
                            let at = at + index * SECTOR;
                            Effect::Write(at, sector.to_vec()).apply(&mut content);
                        }
                    }
                }
            }
        }
        content
    }
}

impl Platter {
    fn operate(&mut self) -> Result<(), io::Error> {
        self.operations += 1;
        if self.operations < self.last {
            return Ok(());
        }
        Err(io::Error::other("the power is gone"))
    }

    fn take(&mut self, effect: Effect) -> Result<(), io::Error> {
        let result = self.operate();
        if result.is_ok() {
            effect.apply(&mut self.seen);
            self.unsynced.push(effect);
        } else if self.operations == self.last {
            // It may still have been on its way.
            self.unsynced.push(effect);
        }
        result
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        let platter = self.0.lock().unwrap();
        Ok(platter.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let platter = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let found = platter.seen.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.lock().unwrap().take(Effect::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.operate()?;
        platter.unsynced.clear();
        platter.durable = platter.seen.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let at = usize::try_from(offset).unwrap();
        self.0.lock().unwrap().take(Effect::Write(at, data.to_vec()))
    }
}

/// Blocks of the work.
const BLOCKS: u64 = 8;

fn store(disk: &Disk) -> Option<Store> {
    // Tries are saved and dropped from memory after about every second block.
    let options = StoreOptions {
        cache_bytes: 1 << 20,
        history_blocks: 3,
        body_blocks: u64::MAX,
        tries_unsaved_max: 5,
        tries_nodes_max: 2,
    };
    Store::on_backend(disk.clone(), &options).ok()
}

/// Mines up to block [`BLOCKS`] and returns the number of the last block that was shown, if the
/// database could be made at all.
fn work(disk: &Disk) -> Option<Option<u64>> {
    store(disk).map(mine)
}

fn mine(store: Store) -> Option<u64> {
    let node = open_on(store)?;
    let mut shown = node.head().header.number;
    for number in shown + 1..=BLOCKS {
        node.submit(&transfer(number - 1)).unwrap();
        match node.produce(false) {
            Ok(Some(head)) => shown = head.header.number,
            _ => return Some(shown),
        }
    }
    Some(shown)
}

fn check(disk: &Disk, shown: Option<Option<u64>>, what: &str) {
    // A database that was never finished is no database; in a folder it has another name until it
    // is, so the next start makes a new one.
    let Some(shown) = shown else { return };
    let Some(store) = store(disk) else { panic!("the database does not open: {what}") };
    let found = store.head().unwrap();
    if let Some(shown) = shown {
        let found = found.unwrap_or_else(|| panic!("no block is left: {what}"));
        assert!((shown..=shown + 1).contains(&found), "{found} after {shown}: {what}");
    }
    if found.is_some() {
        let report =
            store.fsck(Options { level: Level::Full, repair: false }, &mut |_| {}).unwrap();
        assert_eq!(report.findings, Vec::new(), "{what}");
    }
}

#[test]
fn power_loss_at_every_operation_takes_nothing_back() {
    let whole = Disk::new(Vec::new(), u64::MAX);
    assert_eq!(work(&whole), Some(Some(BLOCKS)));
    check(&whole, Some(Some(BLOCKS)), "without any failure");
    let total = whole.operations();
    assert!(total > 100, "the work is too small to say anything: {total} operations");
    let mut unmade = 0;
    for last in 1..=total {
        let disk = Disk::new(Vec::new(), last);
        let shown = work(&disk);
        unmade += u64::from(shown.is_none());
        // Nothing, everything and something of what was not synced got through.
        let percent = [0, 100, 50, 90, 10][usize::try_from(last % 5).unwrap()];
        let what = format!("operation {last} of {total}, {percent} % written");
        let after = Disk::new(disk.after_power_loss(percent, last), u64::MAX);
        check(&after, shown, &what);
        // The chain goes on.
        if last % 7 == 0 && shown.is_some() {
            assert_eq!(work(&after), Some(Some(BLOCKS)), "{what}");
            check(&after, Some(Some(BLOCKS)), &what);
        }
    }
    assert!(unmade < total / 4, "{unmade} of {total} runs never came as far as a block");
}
