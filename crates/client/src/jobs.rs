//! Jobs from the client's side: submit, find again, list, cancel, put together.
//!
//! Everything that matters is on the chain or in the content store; a job's folder holds only what
//! saves time (`job.json`) and what a person may want to see (`evidence/`). So a client can be killed
//! at any moment and attach again, also with an empty folder.

mod audited;
mod find;
mod results;
mod submit;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};
use tilth_blobs::{Blobs, BlobsError};
use tilth_contracts::{JobBook, Ledger, Terms};
use tilth_protocol::{Amount, ContentHash, JobId, JobSpec, Problem};
use tilth_service::Doing;

pub(crate) use self::submit::too_much;
use crate::{Account, ChainError, contacts::Contacts, holding::Deposit};

/// Something about a job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The Ledger holds too little for the job.
    #[error("the job needs {needed} GRAIN in escrow, {free} are free in the Ledger")]
    TooLittleBalance {
        /// What the job locks.
        needed: Amount,
        /// What is free.
        free: Amount,
    },
    /// The challenge window is shorter than the contract allows for the job's value.
    #[error("the window is {window} s, a job worth {value} GRAIN needs at least {least} s")]
    WindowTooShort {
        /// Seconds wanted.
        window: u32,
        /// Seconds needed.
        least: u32,
        /// The most the job can cost.
        value: Amount,
    },
    /// A file of the job is not what it was when it was checked.
    #[error("{path} changed while the job was being submitted")]
    FileChanged {
        /// The file.
        path: PathBuf,
    },
    /// There is no such job on this chain.
    #[error("there is no job {0} on this chain")]
    NoSuchJob(JobId),
    /// The spec on the chain cannot be understood.
    #[error("the spec of job {job} cannot be used: {detail}")]
    BadSpec {
        /// The job.
        job: JobId,
        /// What is wrong.
        detail: String,
    },
    /// Results that are needed are not here.
    #[error("results of job {job} are not here: {detail}")]
    Incomplete {
        /// The job.
        job: JobId,
        /// What is missing.
        detail: String,
    },
    /// The job's folder cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// File or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A problem that is told already.
    #[error("{0}")]
    Told(Problem),
    /// The chain said no, or nothing.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The content store said no.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
}

impl JobError {
    /// The three-part message for people.
    pub fn problem(&self) -> Problem {
        let (what, advice) = match self {
            Self::TooLittleBalance { .. } => (
                "the balance is too small for this job",
                "deposit more (tilth account deposit NAME AMOUNT), or lower the price, the caps or the number of tasks; what is not used comes back",
            ),
            Self::WindowTooShort { .. } => (
                "the challenge window is too short",
                "leave out `window` in [verification], or make it longer",
            ),
            Self::FileChanged { .. } => {
                ("a file of the job changed", "submit again when the file is complete")
            }
            Self::NoSuchJob(_) => {
                ("there is no such job", "`tilth job ls` lists your jobs; check the network, too")
            }
            Self::BadSpec { .. } => (
                "the job's spec cannot be used",
                "it was written by another program or version; its results cannot be put together here",
            ),
            Self::Incomplete { .. } => {
                ("results are missing", "run `tilth job fetch` again when the providers are online")
            }
            Self::Folder { .. } => (
                "the job's folder cannot be used",
                "check the folder's permissions and free space; nothing is lost",
            ),
            Self::Told(problem) => return problem.clone(),
            Self::Chain(error) => return error.problem(),
            Self::Blobs(error) => return error.problem(),
        };
        Problem::new(what, self.to_string(), advice)
    }
}

/// A job that can be tended: what was agreed.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// The job.
    pub job: JobId,
    /// Who pays.
    pub client: Address,
    /// What is run.
    pub spec: Arc<JobSpec>,
    /// What is paid, as opened.
    pub terms: Terms,
    /// The block in which the job was opened.
    pub opened_block: u64,
}

/// What a job's folder remembers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Note {
    chain_id: u64,
    job: JobId,
    job_book: Address,
    name: String,
    spec: ContentHash,
    opened_block: u64,
    /// What is to be locked for those who hold its results.
    #[serde(default)]
    deposit: Option<Deposit>,
}

/// A line in a list of jobs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// The job.
    pub job: JobId,
    /// Who pays.
    pub client: Address,
    /// Its name, if its spec is here.
    pub name: Option<String>,
    /// Where it stands, for people.
    pub state: String,
    /// Tasks.
    pub tasks: u32,
    /// Tasks settled.
    pub settled: u32,
    /// Providers of each of its ranges: 1 or 2.
    pub replicas: u8,
    /// Money no range has reserved.
    pub escrow: Amount,
    /// When it was opened, Unix seconds.
    pub opened_at: u64,
}

/// A client's jobs on one chain.
#[derive(Clone, Debug)]
pub struct Jobs {
    account: Account,
    blobs: Blobs,
    dir: PathBuf,
    first_block: u64,
    contacts: Arc<Contacts>,
}

impl Jobs {
    /// `dir` holds a folder per job; `first_block` is the first block that can hold an event of the
    /// contracts.
    pub fn new(account: Account, blobs: Blobs, dir: impl Into<PathBuf>, first_block: u64) -> Self {
        let contacts = Arc::new(Contacts::new(account.link().clone(), first_block));
        Self { account, blobs, dir: dir.into(), first_block, contacts }
    }

    /// The paying account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The content store.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The first block that can hold an event of the contracts.
    pub(crate) fn first_block(&self) -> u64 {
        self.first_block
    }

    pub(crate) fn contacts(&self) -> &Arc<Contacts> {
        &self.contacts
    }

    /// A job's folder.
    pub fn folder(&self, job: JobId) -> PathBuf {
        self.dir.join(job.to_string())
    }

    /// Puts more money into a job.
    ///
    /// # Errors
    /// [`JobError::TooLittleBalance`], those of [`Account::send`].
    pub fn top_up(&self, job: JobId, funds: Amount) -> Doing<'_, Result<(), JobError>> {
        Box::pin(async move {
            let (link, owner) = (self.account.link(), self.account.address());
            let free =
                link.read(link.addresses().ledger, Ledger::accountCall { owner }).await?.free;
            if Amount(free) < funds {
                return Err(JobError::TooLittleBalance { needed: funds, free: Amount(free) });
            }
            let call = JobBook::topUpCall { jobId: job.0, funds: funds.0 };
            self.account.execute(link.addresses().job_book, call).await?;
            Ok(())
        })
    }

    /// Stops new claims and gets the unreserved escrow back. Ranges already claimed are still judged
    /// and paid; the job ends when they are.
    ///
    /// # Errors
    /// Those of [`Account::send`].
    pub fn cancel(&self, job: JobId) -> Doing<'_, Result<(), JobError>> {
        Box::pin(async move {
            let to = self.account.link().addresses().job_book;
            self.account.execute(to, JobBook::cancelCall { jobId: job.0 }).await?;
            Ok(())
        })
    }
}

/// Writes a file of a job's folder whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    let failed = |source| JobError::Folder { path: path.to_owned(), source };
    tilth_service::files::write_whole(path, bytes).map_err(failed)
}
