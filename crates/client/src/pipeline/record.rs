//! A pipeline on disk: a folder with its record, a lock, and a mark when it is cancelled.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};
use tilth_protocol::{Amount, ContentHash, JobId, JobSpec, Problem};

use super::plan::Standing;
use crate::{
    Account, JobError,
    account::Signed,
    job_file::{FailedTasks, MAX_STAGES, Offer},
    jobs::write_whole,
};

/// Largest record that is read: eight specs at their largest, in hex.
const MAX_BYTES: u64 = 32 << 20;
/// Most pipelines of a folder.
const MAX_PIPELINES: u32 = 100_000;
/// The version of the record that is written and read.
const VERSION: u32 = 1;

/// Everything that a pipeline needs to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    pub(super) chain_id: u64,
    pub(super) job_book: Address,
    /// Who pays.
    pub(super) client: Address,
    pub(super) stages: Vec<StageRecord>,
}

/// One job of a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct StageRecord {
    /// The encoded spec in hex; without the results of the stage before until it is signed.
    spec: String,
    pub(super) offer: Offer,
    pub(super) failed_tasks: FailedTasks,
    pub(super) funds: Option<Amount>,
    pub(super) standing: Standing,
    pub(super) signed: Option<Intent>,
}

/// A signed opening.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Intent {
    pub(super) transaction: Signed,
    /// The encoded spec in hex, complete.
    spec: String,
    /// A block before the one that can hold it.
    pub(super) from_block: u64,
}

fn encoded(spec: &JobSpec) -> String {
    alloy::hex::encode(spec.to_bytes())
}

fn decoded(text: &str) -> Result<JobSpec, String> {
    let bytes = alloy::hex::decode(text).map_err(|error| error.to_string())?;
    JobSpec::from_bytes(&bytes).map_err(|error| error.to_string())
}

impl StageRecord {
    pub(super) fn new(
        spec: &JobSpec,
        offer: Offer,
        failed_tasks: FailedTasks,
        funds: Option<Amount>,
    ) -> Self {
        let (spec, standing) = (encoded(spec), Standing::Waiting);
        Self { spec, offer, failed_tasks, funds, standing, signed: None }
    }

    /// What is run, as the job file says it.
    pub(super) fn spec(&self) -> Result<JobSpec, String> {
        decoded(&self.spec)
    }
}

impl Intent {
    pub(super) fn new(transaction: Signed, spec: &JobSpec, from_block: u64) -> Self {
        Self { transaction, spec: encoded(spec), from_block }
    }

    /// What is run, with the results of the stage before.
    pub(super) fn spec(&self) -> Result<JobSpec, String> {
        decoded(&self.spec)
    }

    /// What the chain knows the spec by.
    pub(super) fn spec_hash(&self) -> Option<ContentHash> {
        Some(ContentHash::of(&alloy::hex::decode(&self.spec).ok()?))
    }
}

impl Record {
    pub(super) fn new(chain_id: u64, account: &Account, stages: Vec<StageRecord>) -> Self {
        let job_book = account.link().addresses().job_book;
        Self { version: VERSION, chain_id, job_book, client: account.address(), stages }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.stages.iter().filter_map(|stage| match stage.standing {
            Standing::Open { job } | Standing::Complete { job } => Some(job),
            Standing::Stopped { job, .. } => job,
            Standing::Waiting | Standing::Opening => None,
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("version {} instead of {VERSION}", self.version));
        }
        if self.stages.is_empty() || self.stages.len() > MAX_STAGES {
            return Err(format!("{} stages", self.stages.len()));
        }
        for stage in &self.stages {
            stage.spec()?;
            match (&stage.standing, &stage.signed) {
                (Standing::Opening, None) => return Err("an opening without a signature".into()),
                (_, Some(intent)) => drop(intent.spec()?),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// Reads and checks a record.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        record.check()?;
        Ok(record)
    }
}

/// A pipeline's folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) number: u32,
    pub(super) path: PathBuf,
}

impl Folder {
    /// Makes a fresh one below `dir`.
    pub(super) fn create(dir: &Path) -> Result<Self, JobError> {
        let failed = |source| JobError::Folder { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let last = Self::all(dir).map(|folder| folder.number).max().unwrap_or(0);
        for number in last.saturating_add(1)..=MAX_PIPELINES {
            let path = dir.join(number.to_string());
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { number, path }),
                // Another command was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::other("there are too many pipelines in it")))
    }

    /// All that are there, in no order.
    pub(super) fn all(dir: &Path) -> impl Iterator<Item = Self> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.take(MAX_PIPELINES as usize).filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some(Self { number, path: entry.path() })
        })
    }

    pub(super) fn at(dir: &Path, number: u32) -> Self {
        Self { number, path: dir.join(number.to_string()) }
    }

    fn record_path(&self) -> PathBuf {
        self.path.join("pipeline.json")
    }

    pub(super) fn read(&self) -> Result<Record, JobError> {
        let path = self.record_path();
        let failed = |source| JobError::Folder { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed(io::Error::other("it is too large")));
        }
        Record::from_json(&bytes).map_err(|detail| {
            JobError::Told(Problem::new(
                "the pipeline's record cannot be used",
                format!("{}: {detail}", path.display()),
                "its jobs are not lost: `tilth job ls` lists them",
            ))
        })
    }

    /// Writes the record whole, on disk before anything that follows from it happens.
    pub(super) fn write(&self, record: &Record) -> Result<(), JobError> {
        let path = self.record_path();
        let text = serde_json::to_vec(record).map_err(|error| JobError::Folder {
            path: path.clone(),
            source: io::Error::other(error),
        })?;
        write_whole(&path, &text)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.path.join("cancelled").exists()
    }

    pub(super) fn mark_cancelled(&self) -> Result<(), JobError> {
        write_whole(&self.path.join("cancelled"), b"")
    }

    /// Held by the one process that drives the pipeline.
    pub(super) fn lock(&self) -> Result<File, JobError> {
        let path = self.path.join("lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|source| JobError::Folder { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(JobError::Told(Problem::new(
                "another command follows this pipeline",
                format!("pipeline {} is driven by another process", self.number),
                "look at it with `tilth job show`, or end the other command first",
            ))),
            Err(fs::TryLockError::Error(source)) => Err(JobError::Folder { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_are_numbered_upwards_and_never_used_twice() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::create(dir.path()).unwrap();
        fs::create_dir(dir.path().join("41")).unwrap();
        fs::create_dir(dir.path().join("note")).unwrap();
        let second = Folder::create(dir.path()).unwrap();
        assert_eq!((first.number, second.number), (1, 42));
        let held = first.lock().unwrap();
        assert!(first.lock().unwrap_err().problem().what.contains("another command"));
        drop(held);
        first.lock().unwrap();
        assert!(!first.is_cancelled());
        first.mark_cancelled().unwrap();
        assert!(first.is_cancelled());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[{}\":a-z0-9,\\[\\]-]{0,200}") {
            let _ = Record::from_json(text.as_bytes());
        }
    }
}
