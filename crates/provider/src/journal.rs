//! The leaves of a range, appended to a file as they are found, so that a killed agent goes on where
//! it was.
//!
//! # Format
//! A header that says which range this is, then records of one size:
//!
//! ```text
//! header = "tilthjn" 1 | job u64 | seq u32 | from u32 | count u32 | has prepare leaf u8 | sum 4
//! record = leaf, 53 bytes of borsh | sum 4
//! ```
//!
//! A sum is the beginning of the BLAKE3 hash of the header, or of range and leaf. Records come in any
//! order; of two for the same task the later holds.
//!
//! # What an unclean stop loses
//! A killed process loses what it had not appended: the task in flight. A crash of the machine may also
//! lose the tail that was not written back, or tear it; everything from the first bad record on is cut
//! off at the next opening. A journal with a bad header, or of another range, is begun anew.
//!
//! A leaf is appended after its output is in the content store, but the store may forget what was put
//! shortly before a crash, so whoever opens a journal checks the outputs and [`Journal::forget`]s the
//! leaves of those that are gone.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tilth_protocol::{
    JobId, Leaf, PREPARE_INDEX, RangeId, decode, encode,
    leaf::{LEAF_BYTES, MAX_RANGE_TASKS},
};

const MAGIC: [u8; 8] = *b"tilthjn\x01";
const SUM: usize = 4;
const HEADER: usize = 8 + 8 + 4 + 4 + 4 + 1 + SUM;
const RECORD: usize = LEAF_BYTES + SUM;
/// A rerun of forgotten leaves appends them again; a file longer than this many times its range is
/// not one of ours.
const MAX_REPEATS: u64 = 8;

/// A journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} the journal {}", path.display())]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl JournalError {
    /// Whether the disk has no room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Which leaves a journal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The range.
    pub range: RangeId,
    /// First task.
    pub from: u32,
    /// Number of tasks, 1 to [`MAX_RANGE_TASKS`].
    pub count: u32,
    /// Whether there is a leaf for the prepare phase.
    pub prepare: bool,
}

/// An open journal: its leaves in memory, its file at the end.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    extent: Extent,
    prepare: Option<Leaf>,
    leaves: Vec<Option<Leaf>>,
    done: u32,
}

impl Journal {
    /// Opens a range's journal, or begins it.
    ///
    /// # Errors
    /// The file cannot be read or written; an extent above the protocol's bounds.
    pub fn open(path: &Path, extent: Extent) -> Result<Self, JournalError> {
        let fail = |action| move |source| JournalError { action, path: path.to_owned(), source };
        if !extent.is_possible() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the range is out of bounds");
            return Err(fail("opening")(source));
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(fail("opening"))?;
        let leaves = vec![None; extent.count as usize];
        let mut journal =
            Self { path: path.to_owned(), file, extent, prepare: None, leaves, done: 0 };
        let good = journal.read_back().map_err(fail("reading"))?;
        journal.begin_at(good).map_err(fail("mending"))?;
        Ok(journal)
    }

    /// Reads a journal as it is and leaves the file alone: which range it says it is of, and what it holds. `None`: there
    /// is no journal at this place, or its first bytes are not those of one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, JournalError> {
        let fail = |action| move |source| JournalError { action, path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("opening")(error)),
        };
        let mut first = [0; HEADER];
        match (&file).read_exact(&mut first) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(fail("reading")(error)),
        }
        let Some(extent) = read_header(&first) else { return Ok(None) };
        (&file).seek(SeekFrom::Start(0)).map_err(fail("reading"))?;
        let leaves = vec![None; extent.count as usize];
        // Opened for reading only, so nothing that is done with it can change the file.
        let mut journal =
            Self { path: path.to_owned(), file, extent, prepare: None, leaves, done: 0 };
        journal.read_back().map_err(fail("reading"))?;
        Ok(Some(journal))
    }

    /// Takes in all good records; says how many bytes of the file are good.
    fn read_back(&mut self) -> io::Result<u64> {
        let leaves = u64::from(self.extent.count).saturating_add(1);
        let most = leaves.saturating_mul(MAX_REPEATS * RECORD as u64).saturating_add(HEADER as u64);
        if self.file.metadata()?.len() > most {
            return Ok(0);
        }
        let mut bytes = Vec::new();
        (&self.file).take(most).read_to_end(&mut bytes)?;
        if bytes.get(..HEADER) != Some(&header(&self.extent)) {
            return Ok(0);
        }
        let mut good = HEADER;
        for record in bytes[HEADER..].chunks_exact(RECORD) {
            let Some(leaf) = read_record(&self.extent, record) else { break };
            if !self.note(leaf) {
                break;
            }
            good = good.saturating_add(RECORD);
        }
        Ok(good as u64)
    }

    /// Cuts off what is not good and stands at the end.
    fn begin_at(&mut self, good: u64) -> io::Result<()> {
        self.file.set_len(good)?;
        self.file.seek(SeekFrom::Start(good))?;
        if good == 0 {
            self.file.write_all(&header(&self.extent))?;
        }
        Ok(())
    }

    /// Appends leaves with one write. If it fails, none of them count.
    ///
    /// # Errors
    /// The file cannot be written; a leaf that does not belong to the range.
    pub fn append(&mut self, leaves: &[Leaf]) -> Result<(), JournalError> {
        let fail = |source| JournalError { action: "writing", path: self.path.clone(), source };
        if !leaves.iter().all(|leaf| self.extent.holds(leaf.index)) {
            return Err(fail(io::Error::other("a leaf of another range")));
        }
        let mut bytes = Vec::with_capacity(leaves.len().saturating_mul(RECORD));
        for leaf in leaves {
            write_record(&self.extent, leaf, &mut bytes);
        }
        if let Err(error) = self.file.write_all(&bytes) {
            // A half-written record would hide those after it.
            let written = HEADER as u64;
            let failure = fail(error);
            let mended = self.file.stream_position().and_then(|end| {
                let torn = end.saturating_sub(written) % RECORD as u64;
                let good = end.saturating_sub(torn);
                self.file.set_len(good)?;
                self.file.seek(SeekFrom::Start(good))
            });
            if let Err(error) = mended {
                tracing::warn!(path = %self.path.display(), %error, "a journal is torn");
            }
            return Err(failure);
        }
        for leaf in leaves {
            self.note(*leaf);
        }
        Ok(())
    }

    /// Makes what was appended survive a crash of the machine.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self) -> Result<(), JournalError> {
        let path = self.path.clone();
        self.file.sync_data().map_err(|source| JournalError { action: "syncing", path, source })
    }

    /// Which range it is.
    pub fn extent(&self) -> &Extent {
        &self.extent
    }

    /// Number of tasks whose leaf is here.
    pub fn done(&self) -> u32 {
        self.done
    }

    /// The leaf of the prepare phase, if it is here.
    pub fn prepare(&self) -> Option<&Leaf> {
        self.prepare.as_ref()
    }

    /// All task leaves that are here.
    pub fn leaves(&self) -> impl Iterator<Item = &Leaf> + '_ {
        self.leaves.iter().flatten()
    }

    /// Takes a leaf out, to be found again. The file keeps it until then.
    pub fn forget(&mut self, index: u32) {
        let slot = self.extent.place(index).and_then(|place| self.leaves.get_mut(place));
        if slot.and_then(Option::take).is_some() {
            self.done = self.done.saturating_sub(1);
        }
    }

    /// Runs of tasks whose leaves are missing, as (first, count).
    pub fn missing(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let indices = self.extent.from..self.extent.from.saturating_add(self.extent.count);
        for (index, leaf) in indices.zip(&self.leaves) {
            if leaf.is_some() {
                continue;
            }
            match runs.last_mut() {
                Some((from, count)) if from.saturating_add(*count) == index => *count += 1,
                _ => runs.push((index, 1)),
            }
        }
        runs
    }

    /// All leaves of a complete range in the order of its tree: the prepare leaf, if there is one,
    /// then the tasks. `None` while something is missing.
    pub fn complete(&self) -> Option<Vec<Leaf>> {
        let tasks: Option<Vec<_>> = self.leaves.iter().copied().collect();
        let mut leaves = Vec::with_capacity(self.leaves.len().saturating_add(1));
        if self.extent.prepare {
            leaves.push(self.prepare?);
        }
        leaves.extend(tasks?);
        Some(leaves)
    }

    /// Remembers a leaf. False if it does not belong here.
    fn note(&mut self, leaf: Leaf) -> bool {
        if !self.extent.holds(leaf.index) {
            return false;
        }
        if leaf.index == PREPARE_INDEX {
            self.prepare = Some(leaf);
            return true;
        }
        let Some(slot) = self.extent.place(leaf.index).and_then(|place| self.leaves.get_mut(place))
        else {
            return false;
        };
        if slot.replace(leaf).is_none() {
            self.done = self.done.saturating_add(1);
        }
        true
    }
}

impl Extent {
    /// Whether it is within the protocol's bounds.
    fn is_possible(&self) -> bool {
        (1..=MAX_RANGE_TASKS).contains(&self.count) && self.from.checked_add(self.count).is_some()
    }

    /// Whether a leaf with this index belongs to the range.
    fn holds(&self, index: u32) -> bool {
        if index == PREPARE_INDEX { self.prepare } else { self.place(index).is_some() }
    }

    /// Where a task's leaf lies among the range's.
    fn place(&self, index: u32) -> Option<usize> {
        let place = index.checked_sub(self.from).filter(|place| *place < self.count)?;
        usize::try_from(place).ok()
    }
}

fn header(extent: &Extent) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&extent.range.job.0.to_le_bytes());
    bytes[16..20].copy_from_slice(&extent.range.seq.to_le_bytes());
    bytes[20..24].copy_from_slice(&extent.from.to_le_bytes());
    bytes[24..28].copy_from_slice(&extent.count.to_le_bytes());
    bytes[28] = u8::from(extent.prepare);
    let sum = sum(&[&bytes[..HEADER - SUM]]);
    bytes[HEADER - SUM..].copy_from_slice(&sum);
    bytes
}

/// The extent that a header names; `None` if it is no header of ours.
fn read_header(bytes: &[u8; HEADER]) -> Option<Extent> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let job = JobId(u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?));
    let extent = Extent {
        range: RangeId { job, seq: word(16)? },
        from: word(20)?,
        count: word(24)?,
        prepare: bytes.get(28) == Some(&1),
    };
    (extent.is_possible() && header(&extent) == *bytes).then_some(extent)
}

fn sum(parts: &[&[u8]]) -> [u8; SUM] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; SUM];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..SUM]);
    sum
}

fn record_sum(extent: &Extent, leaf: &[u8]) -> [u8; SUM] {
    sum(&[&extent.range.job.0.to_le_bytes(), &extent.range.seq.to_le_bytes(), leaf])
}

fn write_record(extent: &Extent, leaf: &Leaf, out: &mut Vec<u8>) {
    let bytes = encode(leaf);
    out.extend_from_slice(&bytes);
    out.extend_from_slice(&record_sum(extent, &bytes));
}

fn read_record(extent: &Extent, record: &[u8]) -> Option<Leaf> {
    let (leaf, sum) = record.split_at_checked(LEAF_BYTES)?;
    if record_sum(extent, leaf) != sum {
        return None;
    }
    decode::<Leaf>(leaf, LEAF_BYTES).ok().filter(Leaf::is_well_formed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use tilth_protocol::Status;

    use super::*;

    fn extent(count: u32) -> Extent {
        Extent { range: RangeId { job: JobId(3), seq: 4 }, from: 10, count, prepare: true }
    }

    fn leaf(index: u32) -> Leaf {
        match index % 3 {
            0 => Leaf::failed(index, Status::Trap, 9),
            1 => Leaf::finished(index, &index.to_le_bytes(), 2),
            _ => Leaf::finished(index, &[index.to_le_bytes()[0]; 80], 5),
        }
    }

    fn prepare() -> Leaf {
        Leaf::finished(PREPARE_INDEX, &[], 7)
    }

    #[test]
    fn leaves_are_there_after_reopening_and_missing_runs_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("4.journal");
        let mut journal = Journal::open(&path, extent(8)).unwrap();
        assert_eq!(journal.missing(), [(10, 8)]);
        journal.append(&[prepare(), leaf(10), leaf(11)]).unwrap();
        journal.append(&[leaf(14)]).unwrap();
        drop(journal);
        let mut journal = Journal::open(&path, extent(8)).unwrap();
        assert_eq!((journal.done(), journal.prepare()), (3, Some(&prepare())));
        assert_eq!(journal.missing(), [(12, 2), (15, 3)]);
        assert_eq!(journal.complete(), None);
        journal.forget(11);
        assert_eq!(journal.missing(), [(11, 3), (15, 3)]);
        journal.append(&[11, 12, 13, 15, 16, 17].map(leaf)).unwrap();
        let all: Vec<_> = [prepare()].into_iter().chain((10..18).map(leaf)).collect();
        assert_eq!(journal.complete(), Some(all.clone()));
        drop(journal);
        assert_eq!(Journal::open(&path, extent(8)).unwrap().complete(), Some(all));
    }

    #[test]
    fn leaves_of_other_tasks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::open(&path, extent(8)).unwrap();
        for index in [9, 18, u32::MAX - 1] {
            assert!(journal.append(&[leaf(10), leaf(index)]).is_err());
        }
        assert_eq!(journal.done(), 0);
        let without = Extent { prepare: false, ..extent(8) };
        assert!(Journal::open(&path, without).unwrap().append(&[prepare()]).is_err());
        assert!(Journal::open(&path, Extent { count: 0, ..without }).is_err());
        assert!(Journal::open(&path, Extent { count: MAX_RANGE_TASKS + 1, ..without }).is_err());
        assert!(Journal::open(&path, Extent { from: u32::MAX - 3, ..without }).is_err());
    }

    #[test]
    fn reading_a_journal_never_changes_it_whatever_it_is_expected_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        assert!(Journal::read(&path).unwrap().is_none() && !path.exists());
        let mut journal = Journal::open(&path, extent(3)).unwrap();
        let all: Vec<_> = [prepare()].into_iter().chain((10..13).map(leaf)).collect();
        journal.append(&all).unwrap();
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        let read = Journal::read(&path).unwrap().unwrap();
        assert_eq!((*read.extent(), read.complete()), (extent(3), Some(all)));
        // Torn, then no journal at all any more: what is left is not touched.
        bytes.truncate(bytes.len() - 1);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Journal::read(&path).unwrap().unwrap().complete(), None);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        bytes[9] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(Journal::read(&path).unwrap().is_none());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn journal_of_another_range_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        Journal::open(&path, extent(8)).unwrap().append(&[leaf(10)]).unwrap();
        let other = Extent { range: RangeId { job: JobId(5), seq: 4 }, ..extent(8) };
        assert_eq!(Journal::open(&path, other).unwrap().done(), 0);
        assert_eq!(Journal::open(&path, extent(8)).unwrap().done(), 0);
    }

    proptest! {
        #[test]
        fn whatever_is_cut_or_flipped_what_is_read_was_written(
            cut in 0_usize..800,
            flip in proptest::option::of((0_usize..800, 1_u8..)),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("j");
            let written: Vec<_> = (10..20).map(leaf).collect();
            Journal::open(&path, extent(12)).unwrap().append(&written).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(cut);
            if let Some((at, mask)) = flip
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte ^= mask;
            }
            fs::write(&path, &bytes).unwrap();
            let mut journal = Journal::open(&path, extent(12)).unwrap();
            let read: Vec<_> = journal.leaves().copied().collect();
            prop_assert_eq!(&read[..], &written[..read.len()]);
            let untouched = flip.map_or(cut, |(at, _)| at.min(cut)).saturating_sub(HEADER) / RECORD;
            prop_assert!(read.len() >= untouched.min(10) || cut < HEADER);
            // It can be gone on with from there.
            let rest: Vec<_> = (10 + u32::try_from(read.len()).unwrap()..22).map(leaf).collect();
            journal.append(&rest).unwrap();
            journal.append(&[prepare()]).unwrap();
            drop(journal);
            let reopened = Journal::open(&path, extent(12)).unwrap();
            prop_assert_eq!(reopened.missing(), []);
            prop_assert!(reopened.complete().is_some());
        }

        #[test]
        fn any_file_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("j");
            fs::write(&path, &bytes).unwrap();
            prop_assert!(Journal::read(&path).unwrap().is_none());
            prop_assert_eq!(Journal::open(&path, extent(8)).unwrap().done(), 0);
        }
    }
}
