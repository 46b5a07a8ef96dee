//! What was committed to, on disk before it is sent: without it nothing can be revealed. And how far the chain
//! has been read.
//!
//! ```text
//! audits.json                  which contract, next block to read
//! seals/JOB-SEQ-QUESTION.json  seat, what was asked, answer and salt
//! ```
//!
//! A case can be asked about anew when a chain is reorganised; what was sealed before stays then, for nobody knows which
//! of both will count.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tilth_client::audit::{Question, Sealed};
use tilth_protocol::{ContentHash, JobId, RangeId};
use tilth_service::files::write_whole;
use tilth_verification::audit::SAMPLES;
use tracing::{error, warn};

use crate::{
    ProviderError,
    folder::{read_json, remove},
};

/// Largest file that is read here.
const MAX_BYTES: u64 = 4_096;
/// Blocks after which the bookmark is written again: reading so many twice costs nothing.
const STRIDE: u64 = 200;

/// Which contract the folder belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Place {
    pub(super) chain_id: u64,
    pub(super) audits: Address,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Page {
    place: Place,
    next_block: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Slip {
    seat: u8,
    beacon: B256,
    positions: [u32; SAMPLES as usize],
    answer: B256,
    salt: B256,
}

impl Slip {
    fn sealed(self) -> Sealed {
        let Self { beacon, positions, answer, salt, .. } = self;
        Sealed { question: Question { beacon, positions }, answer, salt }
    }
}

/// An auditor's memory.
#[derive(Debug)]
pub(super) struct Seals {
    root: PathBuf,
    page: Mutex<Page>,
}

impl Seals {
    /// Opens the memory in a folder, or begins it at `first_block`.
    pub(super) fn open(root: &Path, place: Place, first_block: u64) -> Result<Self, ProviderError> {
        let path = root.join("audits.json");
        let page = match read_json::<Page>(&path, MAX_BYTES) {
            Ok(page) => page,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Page { place, next_block: first_block }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                warn!(path = %path.display(), %error, "reading the chain from its beginning");
                Page { place, next_block: first_block }
            }
            Err(source) => {
                return Err(ProviderError::Folder { action: "cannot read", path, source });
            }
        };
        if page.place != place {
            let (theirs, ours) = (page.place.chain_id, place.chain_id);
            return Err(ProviderError::OtherNetwork { path: root.to_owned(), theirs, ours });
        }
        let seals = Self { root: root.to_owned(), page: Mutex::new(page) };
        let fail = |source| ProviderError::Folder { action: "cannot write", path, source };
        fs::create_dir_all(seals.folder()).and_then(|()| seals.save(&page)).map_err(fail)?;
        Ok(seals)
    }

    fn folder(&self) -> PathBuf {
        self.root.join("seals")
    }

    fn path(&self, range: RangeId, question: &Question) -> PathBuf {
        let mut text = question.beacon.to_vec();
        question.positions.iter().for_each(|place| text.extend_from_slice(&place.to_be_bytes()));
        let print = ContentHash::of(&text).short();
        self.folder().join(format!("{}-{}-{print}.json", range.job, range.seq))
    }

    fn save(&self, page: &Page) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(page).map_err(io::Error::other)?;
        write_whole(&self.root.join("audits.json"), &text)
    }

    /// Where to begin to read.
    pub(super) fn next_block(&self) -> u64 {
        self.page.lock().unwrap_or_else(PoisonError::into_inner).next_block
    }

    /// Everything below this block has been read, and no open case is older.
    pub(super) fn read_up_to(&self, block: u64) {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if block < page.next_block.saturating_add(STRIDE) {
            return;
        }
        page.next_block = block;
        if let Err(error) = self.save(&page) {
            warn!(%error, "the bookmark cannot be written; the next start reads more of the chain");
        }
    }

    /// Chooses a salt and writes it with the answer. One that is there already stays: a question gets one seal.
    pub(super) fn seal(
        &self,
        range: RangeId,
        seat: u8,
        question: Question,
        answer: B256,
    ) -> io::Result<Sealed> {
        if let Some(sealed) = self.recall(range, &question)? {
            return Ok(sealed);
        }
        let salt = PrivateKeySigner::random().to_bytes();
        let Question { beacon, positions } = question;
        let slip = Slip { seat, beacon, positions, answer, salt };
        let text = serde_json::to_vec(&slip).map_err(io::Error::other)?;
        write_whole(&self.path(range, &question), &text)?;
        Ok(slip.sealed())
    }

    /// What was sealed as the answer to a question.
    pub(super) fn recall(&self, range: RangeId, question: &Question) -> io::Result<Option<Sealed>> {
        match read_json::<Slip>(&self.path(range, question), MAX_BYTES) {
            Ok(slip) => Ok(Some(slip.sealed()).filter(|sealed| sealed.question == *question)),
            // Half a seal was never sent.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// All seals of open cases, each with our seat.
    pub(super) fn all(&self) -> Result<Vec<(RangeId, u8, Sealed)>, ProviderError> {
        let path = self.folder();
        let mut all = Vec::new();
        let files = self.files(report);
        for (range, path) in
            files.map_err(|source| ProviderError::Folder { action: "cannot read", path, source })?
        {
            match read_json::<Slip>(&path, MAX_BYTES) {
                Ok(slip) => all.push((range, slip.seat, slip.sealed())),
                Err(error) => error!(
                    %range,
                    detail = %format!("{}: {error}", path.display()),
                    advice = "put the file back if there is a copy of the folder: without it nothing can be revealed, which costs half of the stake",
                    "what was committed to cannot be read"
                ),
            }
        }
        Ok(all)
    }

    /// All files with the ranges that they are of; those of which nobody knows that are told to `strange`.
    fn files(&self, strange: fn(&Path)) -> io::Result<Vec<(RangeId, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            match entry.file_name().to_str().and_then(range_of) {
                Some(range) => files.push((range, entry.path())),
                None => strange(&entry.path()),
            }
        }
        Ok(files)
    }

    /// A case is over for good.
    pub(super) fn forget(&self, range: RangeId) {
        let removed = self.files(|_| {}).and_then(|files| {
            let mut of_range = files.iter().filter(|(of, _)| *of == range);
            of_range.try_for_each(|(_, path)| remove(path))
        });
        if let Err(error) = removed {
            warn!(%range, %error, "a seal cannot be removed");
        }
    }
}

/// Says that a file is no seal.
fn report(path: &Path) {
    // Half a seal was never sent.
    if path.extension().is_none_or(|ending| ending != "partial") {
        error!(
            detail = %path.display(),
            advice = "give it back its name if it was renamed, or move it elsewhere: what was committed to and is not found costs stake",
            "a file among the seals is none by its name"
        );
    }
}

fn range_of(name: &str) -> Option<RangeId> {
    let mut parts = name.strip_suffix(".json")?.split('-');
    let range =
        RangeId { job: JobId(parts.next()?.parse().ok()?), seq: parts.next()?.parse().ok()? };
    (parts.next().is_some() && parts.next().is_none()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_one_seal_in_all_lives_and_another_question_another() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { chain_id: 7, audits: Address::repeat_byte(1) };
        let range = RangeId { job: JobId(4), seq: 9 };
        let asked = |beacon| Question { beacon: B256::repeat_byte(beacon), positions: [3; 8] };
        let open = || Seals::open(dir.path(), place, 3).unwrap();
        let first = open().seal(range, 2, asked(1), B256::repeat_byte(1)).unwrap();
        let again = open();
        assert_eq!(again.all().unwrap(), [(range, 2, first)]);
        assert_eq!(again.seal(range, 2, asked(1), B256::repeat_byte(2)).unwrap(), first);
        let next = RangeId { seq: 8, ..range };
        let other = again.seal(next, 2, asked(1), B256::repeat_byte(1)).unwrap();
        assert_ne!(other.salt, first.salt);
        // The chain was reorganised: both stay, for either may count in the end.
        let anew = again.seal(range, 0, asked(5), B256::repeat_byte(6)).unwrap();
        assert_eq!(again.recall(range, &asked(1)).unwrap(), Some(first));
        assert_eq!(again.recall(range, &asked(5)).unwrap(), Some(anew));
        assert_eq!(again.recall(range, &asked(6)).unwrap(), None);
        again.forget(range);
        again.forget(range);
        assert_eq!(open().all().unwrap(), [(next, 2, other)]);
        fs::write(again.path(range, &asked(1)), "{").unwrap();
        assert_eq!(open().all().unwrap().len(), 1, "a torn one was never sent");
        assert!(again.seal(range, 2, asked(1), B256::repeat_byte(5)).is_ok());
    }

    #[test]
    fn the_bookmark_moves_in_strides_and_a_folder_of_another_chain_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { chain_id: 7, audits: Address::repeat_byte(1) };
        let seals = Seals::open(dir.path(), place, 3).unwrap();
        seals.read_up_to(50);
        assert_eq!(seals.next_block(), 3);
        seals.read_up_to(500);
        assert_eq!(Seals::open(dir.path(), place, 3).unwrap().next_block(), 500);
        let other = Seals::open(dir.path(), Place { chain_id: 8, ..place }, 3);
        assert!(matches!(other, Err(ProviderError::OtherNetwork { theirs: 7, ours: 8, .. })));
    }
}
