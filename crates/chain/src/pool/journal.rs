//! Transactions that wait, on disk, so that a restart does not lose them.
//!
//! A file of records: length, check, encoded transaction. What was appended survives the death of
//! the process; the death of the machine may take the last moments (nothing is synced per
//! transaction). A torn tail is cut off at the next start. The file is rewritten with what the pool
//! still holds at the start, when it has doubled (and has 4 MiB) or is full, when the disk takes
//! records again after it did not take one, after transactions of abandoned blocks came back, and
//! when the node stops. That costs as much as the pool is large, so where it keeps failing it is
//! tried again ever more seldom: after twice as many bytes of transactions each time, up to 4 MiB.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use alloy_primitives::keccak256;

/// First bytes of the file.
const MAGIC: &[u8; 8] = b"tilthtx1";

/// Size below which the file is not rewritten while the node runs, and bytes of transactions after
/// which a rewrite is tried again at the latest.
const REWRITE_BYTES_MIN: u64 = 4 << 20;

/// See the module's description.
#[derive(Debug)]
pub struct PoolJournal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Size at which the file is rewritten.
    rewrite_at: u64,
    bytes_max: u64,
    /// Something did not fit.
    is_full: bool,
    /// What came after would not be found: a record is there in part, or the open file is not the
    /// journal any more.
    is_broken: bool,
    /// The disk did not take a record.
    is_short: bool,
    /// Bytes that were to be added since a rewrite failed, and those to wait for before the next one.
    asked: u64,
    patience: u64,
}

impl PoolJournal {
    /// Opens or creates the file and reads what is in it: encoded transactions of at most
    /// `transaction_bytes_max` bytes each, of at most `bytes_max` bytes together. Damaged records and
    /// all after them are ignored; call [`PoolJournal::rewrite`] to be rid of them.
    ///
    /// # Errors
    /// The file cannot be read or created.
    pub fn open(
        path: PathBuf,
        bytes_max: u64,
        transaction_bytes_max: usize,
    ) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let found = match File::open(&path) {
            Ok(file) => read_records(file.take(bytes_max), transaction_bytes_max)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut journal = Self {
            path,
            bytes: file.metadata()?.len(),
            file,
            rewrite_at: 0,
            bytes_max,
            is_full: false,
            is_broken: false,
            is_short: false,
            asked: 0,
            patience: 0,
        };
        if journal.bytes == 0 {
            journal.file.write_all(MAGIC)?;
            journal.bytes = MAGIC.len() as u64;
        }
        journal.rewrite_at = journal.next_rewrite();
        Ok((journal, found))
    }

    fn next_rewrite(&self) -> u64 {
        self.bytes.saturating_mul(2).max(REWRITE_BYTES_MIN).min(self.bytes_max)
    }

    /// Adds an encoded transaction. A file at its bound takes nothing more.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn append(&mut self, encoded: &[u8]) -> io::Result<()> {
        let record = record(encoded)?;
        self.asked = self.asked.saturating_add(record.len() as u64);
        if self.bytes + record.len() as u64 > self.bytes_max {
            self.is_full = true;
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "the journal is at its bound",
            ));
        }
        if self.is_broken {
            return Err(io::Error::other("the journal has to be written anew first"));
        }
        if let Err(error) = self.file.write_all(&record) {
            self.take_back();
            return Err(error);
        }
        self.bytes += record.len() as u64;
        // The disk takes something again: time to write what it did not.
        self.is_full |= std::mem::take(&mut self.is_short);
        Ok(())
    }

    /// Cuts off what was written of a record that the disk did not take whole, and remembers that it
    /// is missing.
    fn take_back(&mut self) {
        self.is_short = true;
        self.is_broken = self.file.set_len(self.bytes).is_err();
    }

    /// Whether it is time for [`PoolJournal::rewrite`].
    pub fn is_grown(&self) -> bool {
        let is_due = self.is_full || self.is_broken || self.bytes >= self.rewrite_at;
        is_due && self.asked >= self.patience
    }

    /// Replaces the content, atomically and synced. What does not fit into the bound is left out.
    ///
    /// # Errors
    /// The disk did not take it; the old content is still there, or the new one but perhaps not durably.
    pub fn rewrite(&mut self, contents: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
        let done = self.replace(contents);
        self.asked = 0;
        self.patience = match done {
            Ok(()) => 0,
            Err(_) => self.patience.saturating_mul(2).clamp(1, REWRITE_BYTES_MIN),
        };
        done
    }

    fn replace(&mut self, contents: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let written = write_new(&fresh, contents, self.bytes_max).and_then(|bytes| {
            std::fs::rename(&fresh, &self.path)?;
            Ok(bytes)
        });
        let bytes = match written {
            Ok(bytes) => bytes,
            Err(error) => {
                // Of no use to anybody, and on a full disk in the way.
                let _ = std::fs::remove_file(&fresh);
                return Err(error);
            }
        };
        self.is_broken = true;
        sync_folder(&self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = bytes;
        (self.is_full, self.is_broken, self.is_short) = (false, false, false);
        self.rewrite_at = self.next_rewrite();
        Ok(())
    }
}

/// Writes a synced file of so many bytes at the most, and returns how many it has.
fn write_new(
    path: &Path,
    contents: impl IntoIterator<Item = Vec<u8>>,
    bytes_max: u64,
) -> io::Result<u64> {
    let mut writer = BufWriter::new(File::create(path)?);
    writer.write_all(MAGIC)?;
    let mut bytes = MAGIC.len() as u64;
    for encoded in contents {
        let record = record(&encoded)?;
        if bytes + record.len() as u64 <= bytes_max {
            writer.write_all(&record)?;
            bytes += record.len() as u64;
        }
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(bytes)
}

/// Makes a rename durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn record(encoded: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(encoded.len()).map_err(io::Error::other)?;
    let mut record = Vec::with_capacity(encoded.len() + 8);
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&check(encoded));
    record.extend_from_slice(encoded);
    Ok(record)
}

fn check(encoded: &[u8]) -> [u8; 4] {
    let hash = keccak256(encoded);
    [hash[0], hash[1], hash[2], hash[3]]
}

fn read_records(file: impl Read, transaction_bytes_max: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut reader = BufReader::new(file);
    let mut found = Vec::new();
    let mut magic = [0; MAGIC.len()];
    if !fill(&mut reader, &mut magic)? || magic != *MAGIC {
        return Ok(found);
    }
    let (mut length, mut expected) = ([0; 4], [0; 4]);
    while fill(&mut reader, &mut length)? && fill(&mut reader, &mut expected)? {
        let length = u32::from_le_bytes(length) as usize;
        if length > transaction_bytes_max {
            break;
        }
        let mut encoded = vec![0; length];
        if !fill(&mut reader, &mut encoded)? || check(&encoded) != expected {
            break;
        }
        found.push(encoded);
    }
    Ok(found)
}

/// Reads as many bytes as `into` holds; `false` if there are not so many.
fn fill(reader: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 1 << 20;

    fn transactions(count: u8) -> Vec<Vec<u8>> {
        (0..count).map(|number| vec![number; 10 + usize::from(number)]).collect()
    }

    #[test]
    fn what_was_appended_is_found_up_to_the_first_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.journal");
        let all = transactions(20);
        let (mut journal, found) = PoolJournal::open(path.clone(), MAX, 1000).unwrap();
        assert!(found.is_empty());
        all.iter().for_each(|encoded| journal.append(encoded).unwrap());
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(PoolJournal::open(path.clone(), MAX, 1000).unwrap().1, all);
        // Cut anywhere: only whole records count, and never a wrong one.
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut journal, found) = PoolJournal::open(path.clone(), MAX, 1000).unwrap();
            assert_eq!(found, all[..found.len()]);
            assert!(length < whole.len() - 37 || found.len() >= 18, "{length}");
            // After the damage is cut off, the file grows as before.
            journal.rewrite(found.clone()).unwrap();
            journal.append(b"next").unwrap();
            let again = PoolJournal::open(path.clone(), MAX, 1000).unwrap().1;
            assert_eq!(again.len(), found.len() + 1);
        }
        // A flipped byte hides what comes after it, and nothing before.
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let found = PoolJournal::open(path.clone(), MAX, 1000).unwrap().1;
        assert!(!found.is_empty() && found.len() < all.len());
        assert_eq!(found, all[..found.len()]);
        // Records above the bound are not read into memory.
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(PoolJournal::open(path, MAX, 15).unwrap().1.len(), 6);
    }

    #[test]
    fn file_is_rewritten_when_it_has_doubled_and_is_not_small() {
        const MIB: usize = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.journal");
        let (mut journal, _) = PoolJournal::open(path.clone(), 100 << 20, MIB).unwrap();
        let piece = vec![7; MIB];
        let grown_after = |journal: &mut PoolJournal| {
            (1..).find(|_| {
                journal.append(&piece).unwrap();
                journal.is_grown()
            })
        };
        assert_eq!(grown_after(&mut journal), Some(4));
        journal.rewrite(vec![piece.clone(); 3]).unwrap();
        assert!(!journal.is_grown());
        // What stands before the records counts twice, so three more are not quite enough.
        assert_eq!(grown_after(&mut journal), Some(4));
        journal.rewrite(Vec::new()).unwrap();
        assert_eq!(grown_after(&mut journal), Some(4));
        // After a restart it counts from what is there.
        drop(journal);
        let (mut journal, found) = PoolJournal::open(path, 100 << 20, MIB).unwrap();
        assert_eq!(found.len(), 4);
        assert!(!journal.is_grown());
        assert_eq!(grown_after(&mut journal), Some(5));
    }

    #[test]
    fn what_is_no_journal_is_not_read_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.journal");
        let (mut journal, _) = PoolJournal::open(path.clone(), MAX, 1000).unwrap();
        journal.append(b"one").unwrap();
        drop(journal);
        let mut other = std::fs::read(&path).unwrap();
        assert_eq!(&other[..8], b"tilthtx1");
        other[7] += 1;
        std::fs::write(&path, &other).unwrap();
        let (mut journal, found) = PoolJournal::open(path.clone(), MAX, 1000).unwrap();
        assert!(found.is_empty());
        // Nor are records put behind what is none.
        journal.rewrite(Vec::new()).unwrap();
        journal.append(b"two").unwrap();
        assert_eq!(PoolJournal::open(path, MAX, 1000).unwrap().1, [b"two"]);
    }

    #[test]
    fn file_stays_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.journal");
        let (mut journal, _) = PoolJournal::open(path.clone(), 300, 1000).unwrap();
        let taken = (0..20).take_while(|_| journal.append(&[7; 40]).is_ok()).count();
        assert_eq!(taken, 6);
        assert!(journal.is_grown());
        assert!(std::fs::metadata(&path).unwrap().len() <= 300);
        journal.rewrite(vec![vec![1; 40]; 50]).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= 300);
        journal.rewrite(vec![vec![1; 40]]).unwrap();
        journal.append(&[2; 40]).unwrap();
        assert_eq!(PoolJournal::open(path, 300, 1000).unwrap().1, [[1; 40], [2; 40]]);
    }

    #[test]
    fn what_a_full_disk_took_in_part_hides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.journal");
        let (mut journal, _) = PoolJournal::open(path.clone(), MAX, 1000).unwrap();
        journal.append(b"one").unwrap();
        let half = &record(b"two").unwrap()[..9];
        journal.file.write_all(half).unwrap();
        journal.take_back();
        assert!(!journal.is_grown());
        journal.append(b"three").unwrap();
        let found = || PoolJournal::open(path.clone(), MAX, 1000).unwrap().1;
        assert_eq!(found(), [b"one".to_vec(), b"three".to_vec()]);
        // There is room again: what is missing need not wait until the file has doubled.
        assert!(journal.is_grown());
        let all = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
        journal.rewrite(all.clone()).unwrap();
        assert!(!journal.is_grown());
        journal.append(b"four").unwrap();
        assert!(!journal.is_grown());
        assert_eq!(found()[..3], all);
    }

    #[test]
    fn a_rewrite_that_keeps_failing_is_tried_again_ever_more_seldom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.journal");
        let (mut journal, _) = PoolJournal::open(path.clone(), MAX, 1000).unwrap();
        // A folder is where the new file would be.
        let fresh = path.with_extension("new");
        std::fs::create_dir(&fresh).unwrap();
        journal.is_full = true;
        let mut tries = Vec::new();
        for count in 0..2_000 {
            journal.append(&[7; 100]).unwrap();
            if journal.is_grown() {
                tries.push(count);
                journal.rewrite([b"one".to_vec()]).unwrap_err();
            }
        }
        assert_eq!(tries[..3], [0, 1, 2], "a fault that is soon over costs nothing");
        assert!(tries.len() < 30, "{tries:?}");
        // It is never given up: here after 128 KiB.
        std::fs::remove_dir(&fresh).unwrap();
        let more = (0..1_300).take_while(|_| {
            journal.append(&[7; 100]).unwrap();
            !journal.is_grown()
        });
        assert!(more.count() < 1_300);
        journal.rewrite([b"one".to_vec()]).unwrap();
        assert_eq!(PoolJournal::open(path, MAX, 1000).unwrap().1, [b"one".to_vec()]);
        // The next fault begins anew.
        std::fs::create_dir(&fresh).unwrap();
        journal.is_full = true;
        assert!(journal.is_grown());
        journal.rewrite([b"two".to_vec()]).unwrap_err();
        journal.append(b"three").unwrap();
        assert!(journal.is_grown());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_of_and_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.journal");
        let is_full = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        };
        let found = || PoolJournal::open(path.clone(), MAX, 1000).unwrap().1;
        let (mut journal, _) = PoolJournal::open(path.clone(), MAX, 1000).unwrap();
        journal.append(b"one").unwrap();
        // No room for a new file: the old one stays, and nothing of the new one.
        let fresh = path.with_extension("new");
        std::os::unix::fs::symlink("/dev/full", &fresh).unwrap();
        is_full(journal.rewrite([b"two".to_vec()]));
        assert!(fresh.symlink_metadata().is_err());
        journal.append(b"three").unwrap();
        assert_eq!(found(), [b"one".to_vec(), b"three".to_vec()]);
        // No room in the old one: it is written anew as soon as that can be.
        journal.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        is_full(journal.append(b"four"));
        assert!(journal.is_grown());
        assert!(journal.append(b"five").is_err());
        journal.rewrite([b"four".to_vec(), b"five".to_vec()]).unwrap();
        assert!(!journal.is_grown());
        journal.append(b"six").unwrap();
        assert_eq!(found(), [b"four".to_vec(), b"five".to_vec(), b"six".to_vec()]);
    }
}
