//! What an auditor holds for others, on disk before it signs for it; how far the chain has been read for that; and where
//! others were told to find it.
//!
//! ```text
//! holds.json   which contract, next block to read, what was announced, and every range that is here
//! ```
//!
//! The content itself is pinned under `hold/JOB/SEQ`. What is pinned and not noted here was never signed for.
//!
//! # Restarts
//! A range can be kept for a year. The ranges that are noted here are taken up from the note ([`Holds::noted`]); logs
//! are read only from the next block on, below which nothing was said first of any other range that is still followed.
//! The two are one file, which is written whole: no block is noted without the ranges that are taken up instead of its
//! logs. Blocks are read when they have as many on top as the network says, so none below the next one is taken back.
//! Without the file, or if it says nothing that can be read, all is read from the contracts' first block, as by a new
//! auditor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use tilth_blobs::{BlobsError, Tag};
use tilth_protocol::{JobId, RangeId};
use tilth_service::files::write_whole;
use tracing::warn;

use super::content::HoldError;
use crate::{ProviderError, folder::read_json};

/// Where it is in an auditor's folder.
const FILE: &str = "holds.json";
/// Largest file that is read here: some hundred thousand ranges.
const MAX_BYTES: u64 = 32 << 20;
/// Blocks after which the bookmark is written again: reading so many twice costs nothing.
const STRIDE: u64 = 200;
const MIB: u64 = 1 << 20;

/// Which contract the folder belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Shelf {
    pub(super) chain_id: u64,
    pub(super) holders: Address,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Page {
    shelf: Shelf,
    next_block: u64,
    #[serde(default)]
    announced: Vec<u8>,
    held: Vec<Held>,
}

/// A range that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Held {
    job: JobId,
    seq: u32,
    mib: u32,
    /// Up to when it is kept, by the chain's clock, milliseconds; 0: nothing is signed yet, or it is not enough yet.
    #[serde(default)]
    until: u64,
}

/// A range whose results an auditor has for their client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldRange {
    /// The range.
    pub range: RangeId,
    /// Its size, MiB.
    pub mib: u32,
    /// Up to when it is kept at the latest, by the chain's clock, seconds since 1970: it goes when others have looked
    /// whether it is served. `None`: not enough have signed for it yet.
    pub until: Option<u64>,
}

/// What an auditor holds, as its folder says it; nothing where there is no folder. The auditor may be running.
///
/// # Errors
/// [`ProviderError::Folder`]: it cannot be read.
pub fn held(dir: &Path) -> Result<Vec<HeldRange>, ProviderError> {
    let path = dir.join(FILE);
    let page = match read_json::<Page>(&path, MAX_BYTES) {
        Ok(page) => page,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ProviderError::Folder { action: "cannot read", path, source }),
    };
    let shown = |held: &Held| HeldRange {
        range: RangeId { job: held.job, seq: held.seq },
        mib: held.mib,
        until: (held.until > 0).then_some(held.until / 1_000),
    };
    Ok(page.held.iter().map(shown).collect())
}

/// An auditor's memory of what it holds.
#[derive(Debug)]
pub(super) struct Holds {
    path: PathBuf,
    /// Most bytes that are held.
    most: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    shelf: Shelf,
    next_block: u64,
    announced: Vec<u8>,
    held: BTreeMap<RangeId, Held>,
    /// What is being fetched, MiB.
    coming: BTreeMap<RangeId, u32>,
    /// Of what something may be here that is not held: it was tried, and what came of it stays pinned until it is forgotten.
    tried: BTreeSet<RangeId>,
    /// What of what is held is being unpinned.
    going: BTreeSet<RangeId>,
}

impl Inner {
    fn page(&self) -> Page {
        Page {
            shelf: self.shelf,
            next_block: self.next_block,
            announced: self.announced.clone(),
            held: self.held.values().copied().collect(),
        }
    }

    /// Bytes of everything of a kind but one range.
    fn taken_besides(&self, range: RangeId, kind: impl Fn(&RangeId) -> bool) -> u64 {
        let held = self.held.iter().map(|(of, held)| (*of, held.mib));
        let coming = self.coming.iter().map(|(of, mib)| (*of, *mib));
        let others = held.chain(coming).filter(|(of, _)| *of != range && kind(of));
        others.map(|(_, mib)| u64::from(mib).saturating_mul(MIB)).fold(0, u64::saturating_add)
    }
}

/// Under which name the content of a range is pinned.
pub(super) fn tag(range: RangeId) -> Result<Tag, BlobsError> {
    Tag::new(format!("hold/{}/{}", range.job, range.seq))
}

impl Holds {
    /// Opens the memory in a folder, or begins it at `first_block`; at most `most` bytes are held.
    pub(super) fn open(
        root: &Path,
        shelf: Shelf,
        first_block: u64,
        most: u64,
    ) -> Result<Self, ProviderError> {
        let path = root.join(FILE);
        let new =
            || Page { shelf, next_block: first_block, announced: Vec::new(), held: Vec::new() };
        let page = match read_json::<Page>(&path, MAX_BYTES) {
            Ok(page) => page,
            Err(error) if error.kind() == io::ErrorKind::NotFound => new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                warn!(path = %path.display(), %error, "reading from the chain what is held");
                new()
            }
            Err(source) => {
                return Err(ProviderError::Folder { action: "cannot read", path, source });
            }
        };
        if page.shelf != shelf {
            let (theirs, ours) = (page.shelf.chain_id, shelf.chain_id);
            return Err(ProviderError::OtherNetwork { path: root.to_owned(), theirs, ours });
        }
        let held = page.held.into_iter().map(|held| {
            let range = RangeId { job: held.job, seq: held.seq };
            (range, held)
        });
        let inner = Inner {
            shelf,
            next_block: page.next_block,
            announced: page.announced,
            held: held.collect(),
            coming: BTreeMap::new(),
            tried: BTreeSet::new(),
            going: BTreeSet::new(),
        };
        let holds = Self { path, most, inner: Mutex::new(inner) };
        let saved = holds.save(&holds.lock());
        saved.map_err(|source| {
            let path = holds.path.clone();
            ProviderError::Folder { action: "cannot write", path, source }
        })?;
        Ok(holds)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is one insertion, removal or number.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, inner: &Inner) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&inner.page()).map_err(io::Error::other)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(io::Error::other("more ranges are held than can be noted"));
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_whole(&self.path, &text)
    }

    /// Where to begin to read.
    pub(super) fn next_block(&self) -> u64 {
        self.lock().next_block
    }

    /// Everything below this block has been read, and nothing that is followed is older, but for what is noted
    /// ([`Holds::noted`]).
    pub(super) fn read_up_to(&self, block: u64) {
        let mut inner = self.lock();
        if block < inner.next_block.saturating_add(STRIDE) {
            return;
        }
        inner.next_block = block;
        if let Err(error) = self.save(&inner) {
            warn!(%error, "the bookmark cannot be written; the next start reads more of the chain");
        }
    }

    /// Whether others were told that what is held is found there.
    pub(super) fn is_announced(&self, contact: &[u8]) -> bool {
        self.lock().announced == contact
    }

    /// They were told.
    pub(super) fn announced(&self, contact: Vec<u8>) -> io::Result<()> {
        let mut inner = self.lock();
        inner.announced = contact;
        self.save(&inner)
    }

    /// Sets disk aside for a range of this size, until [`Holds::came`] or [`Holds::left`].
    /// Inputs of jobs get the half of it at most: whoever asks for these has little to lose, and the place of ranges, whose
    /// providers have, is not theirs.
    ///
    /// # Errors
    /// [`HoldError::Full`]: there is not so much left. [`HoldError::Going`]: what is here of it is being unpinned, and would
    /// take what is fetched meanwhile along. It is tried again in either case.
    pub(super) fn admit(&self, range: RangeId, mib: u32) -> Result<(), HoldError> {
        let mut inner = self.lock();
        if inner.going.contains(&range) {
            return Err(HoldError::Going);
        }
        let with = |others: u64| u64::from(mib).saturating_mul(MIB).saturating_add(others);
        let inputs = inner.taken_besides(range, |of| of.is_inputs());
        let fits = with(inner.taken_besides(range, |_| true)) <= self.most
            && (!range.is_inputs() || with(inputs) <= self.most / 2);
        if !fits {
            return Err(HoldError::Full(mib));
        }
        inner.coming.insert(range, mib);
        inner.tried.insert(range);
        Ok(())
    }

    /// The range is here for good.
    ///
    /// # Errors
    /// [`HoldError::Going`]: it has been let go meanwhile. [`HoldError::Note`]: that cannot be noted.
    pub(super) fn came(&self, range: RangeId, mib: u32) -> Result<(), HoldError> {
        let mut inner = self.lock();
        inner.coming.remove(&range);
        if inner.going.contains(&range) {
            return Err(HoldError::Going);
        }
        let RangeId { job, seq } = range;
        let until = inner.held.get(&range).map_or(0, |held| held.until);
        inner.held.insert(range, Held { job, seq, mib, until });
        Ok(self.save(&inner)?)
    }

    /// The range could not be had.
    pub(super) fn left(&self, range: RangeId) {
        self.lock().coming.remove(&range);
    }

    /// Enough have signed: it is kept until then.
    pub(super) fn keep(&self, range: RangeId, until: u64) {
        let mut inner = self.lock();
        let Some(held) = inner.held.get_mut(&range) else { return };
        if held.until == until {
            return;
        }
        held.until = until;
        if let Err(error) = self.save(&inner) {
            // The chain says it again at the next start.
            warn!(%range, %error, "until when a range is kept cannot be noted");
        }
    }

    /// Whether anything of a range may be here, or is coming.
    pub(super) fn has(&self, range: RangeId) -> bool {
        let inner = self.lock();
        inner.held.contains_key(&range) || inner.tried.contains(&range)
    }

    /// The range need not be held any more; [`Holds::forget`] when its content is unpinned. If that does not come to
    /// pass in this life, the next one takes it up again, and has it let go.
    pub(super) fn let_go(&self, range: RangeId) {
        self.lock().going.insert(range);
    }

    /// It could not be unpinned, and stays.
    pub(super) fn stays(&self, range: RangeId) {
        self.lock().going.remove(&range);
    }

    /// The range need not be held any more; its content is unpinned already.
    pub(super) fn forget(&self, range: RangeId) {
        let mut inner = self.lock();
        let known = inner.held.remove(&range).is_some();
        inner.coming.remove(&range);
        inner.tried.remove(&range);
        inner.going.remove(&range);
        if known && let Err(error) = self.save(&inner) {
            warn!(%range, %error, "that a range is not held any more cannot be noted");
        }
    }

    /// All ranges that the next life takes up from the note, if a later block is noted with it. What is being unpinned
    /// is none: it may be gone by then.
    pub(super) fn noted(&self) -> BTreeSet<RangeId> {
        let inner = self.lock();
        inner.held.keys().filter(|range| !inner.going.contains(range)).copied().collect()
    }

    /// All ranges that are here.
    pub(super) fn all(&self) -> Vec<RangeId> {
        self.lock().held.keys().copied().collect()
    }
}

#[cfg(test)]
#[path = "holds_tests.rs"]
mod tests;
