//! How far the chain has been read, and what was earned before that.
//!
//! A provider starts by replaying the logs since the oldest job that still concerns it. What jobs
//! before that brought is kept as a sum, so totals are exact without reading the chain from its
//! beginning.

use std::{collections::BTreeMap, fs, io, path::Path};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use tilth_protocol::{Amount, JobId};

use crate::{ProviderError, folder::read_json};

/// Largest file that is read: ten thousands of job numbers.
const MAX_BYTES: u64 = 1 << 20;

/// What work has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Totals {
    /// Ranges submitted.
    pub ranges: u64,
    /// Tasks in them.
    pub tasks: u64,
    /// Units in them.
    pub units: u64,
    /// Ranges settled.
    pub settled: u64,
    /// Paid for them, after fees; base units.
    pub earned: u128,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.ranges = self.ranges.saturating_add(other.ranges);
        self.tasks = self.tasks.saturating_add(other.tasks);
        self.units = self.units.saturating_add(other.units);
        self.settled = self.settled.saturating_add(other.settled);
        self.earned = self.earned.saturating_add(other.earned);
    }

    /// The money as an amount.
    pub fn earned(&self) -> Amount {
        Amount(self.earned)
    }
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Page {
    chain_id: u64,
    job_book: Address,
    /// First block to be replayed.
    next_block: u64,
    /// Totals of jobs that are over.
    over: Totals,
    /// Those of them that were opened in `next_block` or later, and so will be replayed, with that
    /// block.
    counted: BTreeMap<JobId, u64>,
    /// The contact published last, so that it is published again only when it changes.
    published: String,
}

/// The reading of the chain: jobs that concern us, with what each has brought.
#[derive(Debug)]
pub(crate) struct Bookmark {
    page: Page,
    live: BTreeMap<JobId, Live>,
    /// The next block to be read.
    next: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Live {
    opened: u64,
    totals: Totals,
    /// Left alone, but open for so long (Unix milliseconds): the next life may think otherwise.
    left_until: Option<u64>,
}

impl Bookmark {
    /// Reads the bookmark of a folder, or begins at `first_block`.
    pub(crate) fn open(
        path: &Path,
        chain_id: u64,
        job_book: Address,
        first_block: u64,
    ) -> Result<Self, ProviderError> {
        let fresh = Page {
            chain_id,
            job_book,
            next_block: first_block,
            over: Totals::default(),
            counted: BTreeMap::new(),
            published: String::new(),
        };
        let page = match read_json::<Page>(path, MAX_BYTES) {
            Ok(page) => page,
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                // Only sums for people are lost; what is owed is on chain.
                tracing::warn!(path = %path.display(), %error, "reading the chain from its beginning");
                fresh
            }
            Err(source) => {
                let path = path.to_owned();
                return Err(ProviderError::Folder { action: "cannot read", path, source });
            }
        };
        if (page.chain_id, page.job_book) != (chain_id, job_book) {
            let path = path.parent().unwrap_or(path).to_owned();
            return Err(ProviderError::OtherNetwork {
                path,
                theirs: page.chain_id,
                ours: chain_id,
            });
        }
        let next = page.next_block;
        Ok(Self { page, live: BTreeMap::new(), next })
    }

    /// Where to begin to read.
    pub(crate) fn next_block(&self) -> u64 {
        self.next
    }

    /// Everything below this block has been read.
    pub(crate) fn read_up_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Whether a job is over and counted, although its logs are read again.
    pub(crate) fn is_counted(&self, job: JobId) -> bool {
        self.page.counted.contains_key(&job)
    }

    pub(crate) fn opened(&mut self, job: JobId, block: u64) {
        self.live.entry(job).or_insert(Live { opened: block, ..Live::default() });
    }

    pub(crate) fn submitted(&mut self, job: JobId, tasks: u32, units: u64) {
        if let Some(live) = self.live.get_mut(&job) {
            let one = Totals { ranges: 1, tasks: tasks.into(), units, ..Totals::default() };
            live.totals.add(&one);
        }
    }

    pub(crate) fn settled(&mut self, job: JobId, paid: Amount) {
        if let Some(live) = self.live.get_mut(&job) {
            live.totals.add(&Totals { settled: 1, earned: paid.0, ..Totals::default() });
        }
    }

    /// A job concerns this life no more. Until the given time (Unix milliseconds; 0: never) it is
    /// still open, and the next life, with another configuration, is to see it again.
    pub(crate) fn leave(&mut self, job: JobId, until: u64) {
        match self.live.get_mut(&job) {
            Some(live) if until > 0 => live.left_until = Some(until),
            _ => self.over(job),
        }
    }

    /// A job is closed to all.
    pub(crate) fn closed(&mut self, job: JobId) {
        if self.live.get(&job).is_some_and(|live| live.left_until.is_some()) {
            self.over(job);
        }
    }

    fn over(&mut self, job: JobId) {
        if let Some(live) = self.live.remove(&job) {
            self.page.over.add(&live.totals);
            self.page.counted.insert(job, live.opened);
        }
    }

    /// What all jobs have brought.
    pub(crate) fn totals(&self) -> Totals {
        let mut sum = self.page.over;
        for live in self.live.values() {
            sum.add(&live.totals);
        }
        sum
    }

    /// The contact published last.
    pub(crate) fn published(&self) -> &str {
        &self.page.published
    }

    pub(crate) fn publish(&mut self, contact: String) {
        self.page.published = contact;
    }

    /// Writes the bookmark; a crash leaves the old one or the new one.
    pub(crate) fn save(&mut self, path: &Path, now: u64) -> io::Result<()> {
        let past = |live: &Live| live.left_until.is_some_and(|until| until <= now);
        let past: Vec<_> = self.live.iter().filter(|(_, l)| past(l)).map(|(job, _)| *job).collect();
        past.into_iter().for_each(|job| self.over(job));
        let oldest = self.live.values().map(|live| live.opened).min();
        self.page.next_block = oldest.map_or(self.next, |oldest| oldest.min(self.next));
        let next_block = self.page.next_block;
        self.page.counted.retain(|_, opened| *opened >= next_block);
        let text = serde_json::to_vec_pretty(&self.page).map_err(io::Error::other)?;
        let partial = path.with_extension("partial");
        fs::write(&partial, text)?;
        fs::rename(partial, path)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn open(path: &Path) -> Bookmark {
        Bookmark::open(path, 7, Address::ZERO, 5).unwrap()
    }

    #[test]
    fn a_folder_of_another_chain_is_refused_and_nonsense_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bookmark.json");
        open(&path).save(&path, 0).unwrap();
        let other = Bookmark::open(&path, 8, Address::ZERO, 5);
        assert!(matches!(other, Err(ProviderError::OtherNetwork { theirs: 7, ours: 8, .. })));
        fs::write(&path, "{").unwrap();
        assert_eq!(open(&path).next_block(), 5);
    }

    #[test]
    fn jobs_left_alone_are_seen_again_as_long_as_they_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bookmark.json");
        let mut bookmark = open(&path);
        for (job, block) in [(1, 10), (2, 20), (3, 30)] {
            bookmark.opened(JobId(job), block);
            bookmark.leave(JobId(job), 1_000 * job);
        }
        bookmark.read_up_to(50);
        for (now, next) in [(0, 10), (1_000, 20)] {
            bookmark.save(&path, now).unwrap();
            assert_eq!(open(&path).next_block(), next);
        }
        bookmark.closed(JobId(2));
        bookmark.closed(JobId(3));
        bookmark.save(&path, 0).unwrap();
        assert_eq!(open(&path).next_block(), 50);
    }

    /// More than 64 bits hold.
    const PAID: u128 = 1 << 90;

    /// One block's log.
    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Open,
        Submit(u8),
        Settle(u8),
        End(u8),
    }

    proptest! {
        /// However often a provider is started anew in between, totals are those of one reading.
        #[test]
        fn totals_do_not_depend_on_restarts(
            deeds in proptest::collection::vec(
                prop_oneof![
                    Just(Deed::Open),
                    (0_u8..6).prop_map(Deed::Submit),
                    (0_u8..6).prop_map(Deed::Settle),
                    (0_u8..6).prop_map(Deed::End),
                ],
                1..40,
            ),
            restarts in proptest::collection::btree_set(0_usize..40, 0..6),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("bookmark.json");
            let mut expected = Totals::default();
            let mut over = BTreeSet::new();
            let mut opened = 0_u64;
            let mut history = Vec::new();
            let mut bookmark = open(&path);
            let replay = |bookmark: &mut Bookmark, block: u64, deed: (Deed, JobId)| {
                let job = deed.1;
                if bookmark.is_counted(job) {
                    return;
                }
                match deed.0 {
                    Deed::Open => bookmark.opened(job, block),
                    Deed::Submit(_) => bookmark.submitted(job, 3, 10),
                    Deed::Settle(_) => bookmark.settled(job, Amount(PAID)),
                    Deed::End(_) => bookmark.leave(job, 0),
                }
                bookmark.read_up_to(block + 1);
            };
            for (n, deed) in deeds.into_iter().enumerate() {
                let job = match deed {
                    Deed::Open => { opened += 1; JobId(opened) }
                    Deed::Submit(job) | Deed::Settle(job) | Deed::End(job) => JobId(job.into()),
                };
                let known = job.0 >= 1 && job.0 <= opened && !over.contains(&job);
                if !known {
                    continue;
                }
                match deed {
                    Deed::Open => {}
                    Deed::Submit(_) => expected.add(&Totals { ranges: 1, tasks: 3, units: 10, ..Totals::default() }),
                    Deed::Settle(_) => expected.add(&Totals { settled: 1, earned: PAID, ..Totals::default() }),
                    Deed::End(_) => { over.insert(job); }
                }
                let block = 5 + n as u64;
                history.push((block, (deed, job)));
                replay(&mut bookmark, block, (deed, job));
                if matches!(deed, Deed::End(_)) {
                    bookmark.save(&path, 0).unwrap();
                }
                if restarts.contains(&n) {
                    bookmark = open(&path);
                    let from = bookmark.next_block();
                    for (block, deed) in history.iter().filter(|(block, _)| *block >= from) {
                        replay(&mut bookmark, *block, *deed);
                    }
                }
                prop_assert_eq!(bookmark.totals(), expected);
            }
        }
    }
}
