//! Results of audited ranges are served to their client alone until the drawn leaves are open: an auditor that could
//! fetch them would have something to copy. Kept on disk, so that a restart does not show them either.
//!
//! What is noted names the endpoint, manifest and content; outputs are read from the range's journal. If the note cannot
//! be read, the journal says what results there are, and they are nobody's.

use std::{collections::BTreeSet, io};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tilth_blobs::{Kept, Tag};
use tilth_protocol::{ContentHash, JobId, RangeId, RangeManifest};
use tilth_service::files::write_whole;
use tracing::{error, warn};

use crate::{
    ProviderError,
    folder::{Folder, read_json, remove},
    journal::Journal,
    shop::Shop,
};

/// Largest file that is read here, and so the largest that is written.
const MAX_BYTES: u64 = 16 << 20;
/// Most outputs of a range that are spared for other jobs: more than the jobs that are ready have files. The rest is kept, for
/// a note that the next life could not read would keep everything from everybody.
const MAX_INPUTS: usize = 200_000;

/// What of a range is for whom.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Guard {
    /// The client's endpoint; none if its contact could not be read.
    only: Option<B256>,
    /// Manifest and content.
    hashes: Vec<B256>,
    /// Outputs that are files of jobs here as well, which those jobs' auditors need.
    #[serde(default)]
    inputs: Vec<B256>,
}

impl Guard {
    fn new(only: Option<[u8; 32]>, results: &Results, files: &BTreeSet<ContentHash>) -> Self {
        let heads = results.heads().into_iter().filter(|head| !files.contains(head));
        let outputs: BTreeSet<_> = results.outputs.iter().collect();
        let inputs = outputs.into_iter().filter(|output| files.contains(*output));
        Self {
            only: only.map(B256::from),
            hashes: heads.map(|hash| B256::from(hash.0)).collect(),
            inputs: inputs.take(MAX_INPUTS).map(|hash| B256::from(hash.0)).collect(),
        }
    }

    /// As it is noted: never more than is read.
    fn to_text(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        if text.len() as u64 > MAX_BYTES {
            let bytes = text.len();
            return Err(io::Error::other(format!(
                "a note of {bytes} bytes could not be read again"
            )));
        }
        Ok(text)
    }

    fn kept(self, range: RangeId, outputs: Vec<ContentHash>) -> Kept {
        let inputs: BTreeSet<_> = self.inputs.into_iter().collect();
        let outputs = outputs.into_iter().filter(|output| !inputs.contains(&B256::from(output.0)));
        let hashes = self.hashes.into_iter().map(|hash| ContentHash(hash.0)).chain(outputs);
        Kept { tag: tag(range), hashes: hashes.collect(), only: self.only.map(|only| only.0) }
    }
}

/// The results of a range as content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Results {
    manifest: ContentHash,
    outputs: Vec<ContentHash>,
}

impl Results {
    /// By an encoded manifest and the outputs that it names.
    pub(crate) fn new(manifest: &[u8], outputs: Vec<ContentHash>) -> Self {
        Self { manifest: ContentHash::of(manifest), outputs }
    }

    /// What a journal comes to; `None` if there is none, or none of this range, or not all of it.
    fn of_journal(folder: &Folder, range: RangeId, salt: [u8; 32]) -> Option<Self> {
        let journal = Journal::read(&folder.journal(range)).ok().flatten()?;
        let extent = *journal.extent();
        let leaves = journal.complete().filter(|_| extent.range == range)?;
        let manifest = RangeManifest { range, from: extent.from, salt, leaves };
        Some(Self::new(&manifest.to_bytes(), manifest.blobs().collect()))
    }

    /// What the content sequence lists.
    pub(crate) fn parts(&self) -> Vec<ContentHash> {
        [self.manifest].into_iter().chain(self.outputs.iter().copied()).collect()
    }

    /// Manifest and content sequence.
    fn heads(&self) -> [ContentHash; 2] {
        let list: Vec<u8> = self.parts().into_iter().flat_map(|part| part.0).collect();
        [self.manifest, ContentHash::of(&list)]
    }
}

fn tag(range: RangeId) -> Tag {
    Tag::range(range.job, range.seq)
}

/// Keeps the results of a range for one endpoint, or for nobody, except what files of jobs that are ready here are as well:
/// else whoever has a job of its own put out such a file would keep it from another job's auditors.
pub(crate) fn keep(
    shop: &Shop,
    range: RangeId,
    only: Option<[u8; 32]>,
    results: &Results,
) -> io::Result<()> {
    let guard = Guard::new(only, results, &shop.files());
    write_whole(&shop.folder.guard(range), &guard.to_text()?)?;
    shop.blobs.keep(guard.kept(range, results.outputs.clone()));
    Ok(())
}

/// What an earlier life has kept, for whom.
///
/// # Errors
/// What there is cannot be listed, or it is not known what is to be kept: nothing is served then.
pub(crate) fn kept(folder: &Folder) -> Result<Vec<Kept>, ProviderError> {
    let ranges = folder.guarded().map_err(|source| {
        let path = folder.root().join("jobs");
        ProviderError::Folder { action: "cannot list", path, source }
    })?;
    ranges.into_iter().map(|range| kept_of(folder, range)).collect()
}

fn kept_of(folder: &Folder, range: RangeId) -> Result<Kept, ProviderError> {
    let path = folder.guard(range);
    let salt = folder.manifest_salt(range)?;
    let results = Results::of_journal(folder, range, salt);
    match (read_json::<Guard>(&path, MAX_BYTES), results) {
        (Ok(guard), Some(results)) => Ok(guard.kept(range, results.outputs)),
        (Ok(guard), None) => {
            warn!(
                %range,
                detail = "its journal is gone or incomplete, so its outputs by themselves are everybody's",
                advice = "see what is said of the range's audit; put the journal back if there is a copy of the folder",
                "of an audited range only manifest and content are kept for its client"
            );
            Ok(guard.kept(range, Vec::new()))
        }
        (Err(error), Some(results)) => {
            error!(
                %range, %error, path = %path.display(),
                advice = "nothing is to be done for the range: its client gets its results when the drawn leaves are open; check the disk",
                "for whom an audited range's results are cannot be read, so nobody gets them now"
            );
            let mut hashes = results.heads().to_vec();
            hashes.extend(results.outputs);
            Ok(Kept { tag: tag(range), hashes, only: None })
        }
        (Err(error), None) => {
            let detail = format!("range {range}: {}: {error}", path.display());
            Err(ProviderError::Guard { detail })
        }
    }
}

/// Serves a range's results to everybody.
pub(crate) fn lift(shop: &Shop, range: RangeId) {
    shop.blobs.release(&tag(range));
    if let Err(error) = remove(&shop.folder.guard(range)) {
        warn!(%range, %error, "results that are everybody's are kept again after the next start");
    }
}

/// Serves everybody what is still here of a job that is forgotten: when its folder is gone nobody would know what is kept.
pub(crate) fn lift_all(shop: &Shop, job: JobId) {
    match shop.folder.guarded_of(job) {
        Ok(ranges) => ranges.into_iter().for_each(|range| lift(shop, range)),
        Err(error) => {
            warn!(%job, %error, "what is kept of an old job cannot be listed; it is kept until the next start");
        }
    }
}

/// Whose results are kept for their client, except these.
pub(crate) fn others(shop: &Shop, open: &[RangeId]) -> Vec<RangeId> {
    let mut ranges = shop.folder.guarded().unwrap_or_else(|error| {
        warn!(%error, "old jobs' folders cannot be listed; what was kept there is kept until the next start");
        Vec::new()
    });
    ranges.retain(|range| !open.contains(range));
    ranges
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use tilth_protocol::Leaf;

    use super::*;
    use crate::journal::Extent;

    const RANGE: RangeId = RangeId { job: JobId(4), seq: 9 };
    const CLIENT: [u8; 32] = [3; 32];

    /// A folder with the journal of a range: one small output and two larger ones.
    fn folder(dir: &Path) -> (Folder, Results) {
        let folder = Folder::open(dir).unwrap();
        fs::create_dir_all(folder.job(RANGE.job).join("ranges")).unwrap();
        let leaves: [&[u8]; 3] = [&[1; 90], &[2; 20], &[4; 50]];
        let leaves: Vec<_> =
            (8..).zip(leaves).map(|(index, output)| Leaf::finished(index, output, 1)).collect();
        let extent = Extent { range: RANGE, from: 8, count: 3, prepare: false };
        let mut journal = Journal::open(&folder.journal(RANGE), extent).unwrap();
        journal.append(&leaves).unwrap();
        let salt = folder.manifest_salt(RANGE).unwrap();
        let manifest = RangeManifest { range: RANGE, from: 8, salt, leaves };
        let outputs = vec![ContentHash::of(&[1; 90]), ContentHash::of(&[4; 50])];
        (folder, Results::new(&manifest.to_bytes(), outputs))
    }

    fn note(folder: &Folder, results: &Results, files: &[ContentHash]) {
        let guard = Guard::new(Some(CLIENT), results, &files.iter().copied().collect());
        write_whole(&folder.guard(RANGE), &guard.to_text().unwrap()).unwrap();
    }

    #[test]
    fn what_was_kept_is_kept_in_the_next_life_outputs_and_all() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, results) = folder(dir.path());
        note(&folder, &results, &results.outputs[1..]);
        assert_eq!(folder.journals(RANGE.job).unwrap(), [RANGE]);
        // The last output is a file of a job, too, and auditors may have that.
        let hashes = [results.heads().as_slice(), &results.outputs[..1]].concat();
        let expected = Kept { tag: tag(RANGE), hashes, only: Some(CLIENT) };
        assert_eq!(kept(&folder).unwrap(), [expected]);
        // Without its journal the rest is kept.
        fs::remove_file(folder.journal(RANGE)).unwrap();
        assert_eq!(kept(&folder).unwrap()[0].hashes, results.heads());
    }

    #[test]
    fn what_cannot_be_read_is_nobodys_and_what_is_not_known_is_not_served() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, results) = folder(dir.path());
        for torn in [&b"{"[..], b"", &vec![b' '; 1 << 20]] {
            fs::write(folder.guard(RANGE), torn).unwrap();
            let hashes = [results.heads().as_slice(), &results.outputs].concat();
            let expected = Kept { tag: tag(RANGE), hashes, only: None };
            assert_eq!(kept(&folder).unwrap(), [expected]);
        }
        // A journal of another range says nothing about this one.
        let other = RangeId { seq: 8, ..RANGE };
        fs::rename(folder.guard(RANGE), folder.guard(other)).unwrap();
        fs::rename(folder.journal(RANGE), folder.journal(other)).unwrap();
        let error = kept(&folder).unwrap_err();
        let problem = error.problem();
        assert!(
            problem.detail.contains("8.guard") && problem.advice.contains("remove"),
            "{problem:?}"
        );
    }

    /// It goes on chain before the results are shown: who could make it from results that are easily guessed would know
    /// whether it has guessed right.
    #[test]
    fn the_hash_of_what_was_made_is_another_one_of_everybody_and_the_same_in_every_life() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let heads = |dir: &Path| {
            let (folder, results) = folder(dir);
            let salt = folder.manifest_salt(RANGE).unwrap();
            let again = Results::of_journal(&folder, RANGE, salt).unwrap();
            assert_eq!(again, results);
            results.heads()
        };
        let [ours, others] = [heads(first.path()), heads(second.path())];
        assert!(ours[0] != others[0] && ours[1] != others[1]);
        let next_life = Folder::open(first.path()).unwrap();
        let salt = next_life.manifest_salt(RANGE).unwrap();
        assert_eq!(Results::of_journal(&next_life, RANGE, salt).unwrap().heads(), ours);
    }

    #[test]
    fn a_note_is_never_longer_than_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note");
        let output = |number: u32| {
            let mut hash = [7; 32];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            ContentHash(hash)
        };
        let outputs: Vec<_> = (0..).map(output).take(MAX_INPUTS + 50_000).collect();
        let results = Results::new(b"manifest", outputs.clone());
        // All of them are files of jobs.
        let guard = Guard::new(Some(CLIENT), &results, &outputs.iter().copied().collect());
        fs::write(&path, guard.to_text().unwrap()).unwrap();
        let read: Guard = read_json(&path, MAX_BYTES).unwrap();
        assert_eq!(read, guard);
        assert_eq!(read.kept(RANGE, outputs).hashes.len(), 2 + 50_000);
    }
}
