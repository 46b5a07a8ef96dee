//! Jobs from the client's side: submit, find again, list, cancel, put together.
//!
//! Everything that matters is on the chain or in the content store; a job's folder holds only what
//! saves time (`job.json`) and what a person may want to see (`evidence/`). So a client can be killed
//! at any moment and attach again, also with an empty folder.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{
        Address, U256,
        aliases::{U40, U96},
    },
    rpc::types::{Filter, Log},
    sol_types::{SolEvent, SolEventInterface},
};
use serde::{Deserialize, Serialize};
use tilth_blobs::{Blobs, BlobsError, Tag};
use tilth_contracts::{JobBook, JobBook::JobBookEvents, JobState, Ledger, Terms};
use tilth_protocol::{
    Amount, Contact, ContentHash, JobId, JobSpec, Leaf, PREPARE_INDEX, Problem, Status,
    spec::MAX_SPEC_BYTES,
};

use crate::{
    Account, ChainError, Chronicle, collect,
    contacts::Contacts,
    job_file::PreparedJob,
    merge::{self, Merged, TaskOutput},
};

/// How long a spec may take to fetch when it is not here.
const FETCH_SPEC: Duration = Duration::from_secs(30);
/// Most jobs in a list, newest first.
const MAX_LISTED: usize = 1_000;
/// Largest `job.json` that is read.
const MAX_NOTE_BYTES: u64 = 64 << 10;

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
                "deposit more (tilth account deposit AMOUNT), or lower the price, the caps or the number of tasks; what is not used comes back",
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
}

/// A line in a list of jobs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// The job.
    pub job: JobId,
    /// Its name, if its spec is here.
    pub name: Option<String>,
    /// Where it stands, for people.
    pub state: String,
    /// Tasks.
    pub tasks: u32,
    /// Tasks settled.
    pub settled: u32,
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

    pub(crate) fn contacts(&self) -> &Arc<Contacts> {
        &self.contacts
    }

    /// A job's folder.
    pub fn folder(&self, job: JobId) -> PathBuf {
        self.dir.join(job.to_string())
    }

    /// What a job should be funded with if nothing else is said: every task at its cap, and a
    /// prepare phase for as many ranges as are likely. What is not used comes back.
    pub fn usual_funds(job: &PreparedJob) -> Option<Amount> {
        let ranges = u32::from(job.offer.parallelism).saturating_mul(8).saturating_add(16);
        job.most_cost(ranges.min(job.spec.task_count))
    }

    /// Submits a job: checks the balance, stores and serves spec and inputs, opens it on chain.
    ///
    /// The inputs are served by this store, so it has to stay open until providers have them.
    ///
    /// # Errors
    /// [`JobError::TooLittleBalance`], [`JobError::WindowTooShort`], [`JobError::FileChanged`], those
    /// of the store and of [`Account::send`].
    pub async fn submit(
        &self,
        prepared: &PreparedJob,
        funds: Option<Amount>,
    ) -> Result<Agreed, JobError> {
        let too_much = || {
            JobError::Told(Problem::new(
                "the job costs too much",
                "tasks x caps x price is more money than there can be",
                "lower one of the three",
            ))
        };
        let funds = funds.or_else(|| Self::usual_funds(prepared)).ok_or_else(too_much)?;
        let value = prepared.most_cost(1).ok_or_else(too_much)?;
        let (link, addresses) = (self.account.link(), *self.account.link().addresses());
        let owner = self.account.address();
        let free = link.read(addresses.ledger, Ledger::accountCall { owner }).await?.free;
        if Amount(free) < funds {
            return Err(JobError::TooLittleBalance { needed: funds, free: Amount(free) });
        }
        let least = JobBook::minWindowCall { value: U256::from(value.0) };
        let least = link.read(addresses.job_book, least).await?;
        let window = prepared.offer.window_s.unwrap_or(least);
        if window < least {
            return Err(JobError::WindowTooShort { window, least, value });
        }
        let spec_bytes = prepared.spec.to_bytes();
        let spec_hash = ContentHash::of(&spec_bytes);
        let draft = Tag::new(format!("draft/{spec_hash}"))?;
        self.store_inputs(prepared, &draft).await?;
        self.blobs.put(spec_bytes, &draft).await?;
        self.blobs.sync().await?;

        let terms = self.terms(prepared, spec_hash, window).await?;
        let call = JobBook::openCall { terms: terms.clone(), funds: funds.0 };
        let receipt = self.account.execute(addresses.job_book, call).await?;
        let opened = receipt
            .inner
            .logs()
            .iter()
            .filter(|log| log.address() == addresses.job_book)
            .find_map(|log| JobBook::JobOpened::decode_log(&log.inner).ok())
            .ok_or(ChainError::BadAnswer {
                action: "opening a job",
                detail: "the receipt holds no JobOpened event".to_owned(),
            })?;
        let agreed = Agreed {
            job: JobId(opened.jobId),
            client: owner,
            spec: Arc::new(prepared.spec.clone()),
            terms,
            opened_block: receipt.block_number.unwrap_or(self.first_block),
        };
        self.adopt(&agreed).await?;
        self.blobs.unpin(&draft).await?;
        Ok(agreed)
    }

    async fn store_inputs(&self, prepared: &PreparedJob, draft: &Tag) -> Result<(), JobError> {
        for (expected, path) in &prepared.files {
            let stored = self.blobs.put_file(path, draft).await?;
            if stored != *expected {
                return Err(JobError::FileChanged { path: path.clone() });
            }
        }
        Ok(())
    }

    async fn terms(
        &self,
        prepared: &PreparedJob,
        spec: ContentHash,
        window: u32,
    ) -> Result<Terms, JobError> {
        let offer = &prepared.offer;
        let now = self.account.link().next_time().await?;
        let deadline = now.saturating_add(u64::from(offer.deadline_s));
        Ok(Terms {
            specHash: spec.0.into(),
            taskCount: prepared.spec.task_count,
            unitCap: prepared.spec.limits.unit_cap,
            prepareCap: prepared.spec.limits.prepare_cap,
            price: U96::saturating_from(offer.price.0),
            window,
            rangeTimeout: offer.range_timeout_s,
            targetSeconds: offer.target_s,
            parallelism: offer.parallelism,
            firstRange: offer.first_range,
            deadline: U40::saturating_from(deadline),
            maxFailures: offer.max_failures,
            requiredClass: 0,
            minVramMib: 0,
            afterJob: 0,
            callback: Address::ZERO,
            contact: self.blobs.contact().to_bytes().into(),
        })
    }

    /// Pins what belongs to a job and notes it in its folder.
    async fn adopt(&self, agreed: &Agreed) -> Result<(), JobError> {
        let tag = Tag::inputs(agreed.job);
        let spec = ContentHash(agreed.terms.specHash.0);
        for hash in agreed.spec.blobs().map(|blob| blob.hash).chain([spec]) {
            // Somebody else's job can be looked at without holding its inputs.
            if self.blobs.has(hash).await? {
                self.blobs.pin_also(hash, &tag).await?;
            }
        }
        let note = Note {
            chain_id: self.account.link().chain_id().await?,
            job: agreed.job,
            job_book: self.account.link().addresses().job_book,
            name: agreed.spec.name.clone(),
            spec,
            opened_block: agreed.opened_block,
        };
        let text = serde_json::to_vec_pretty(&note).map_err(|error| JobError::Folder {
            path: self.folder(agreed.job),
            source: io::Error::other(error),
        })?;
        write_whole(&self.folder(agreed.job).join("job.json"), &text)
    }

    /// Finds a job again: terms from the chain, spec from the store or from whoever serves it.
    ///
    /// # Errors
    /// [`JobError::NoSuchJob`], [`JobError::BadSpec`], those of chain and store.
    pub async fn attach(&self, job: JobId) -> Result<Agreed, JobError> {
        let opened = self.opened(Some(job), None).await?;
        let Some((opened, log)) = opened.into_iter().next_back() else {
            return Err(JobError::NoSuchJob(job));
        };
        let bad = |detail: String| JobError::BadSpec { job, detail };
        let hash = ContentHash(opened.terms.specHash.0);
        if !self.blobs.has(hash).await? {
            let contact = Contact::from_bytes(&opened.terms.contact)
                .map_err(|error| bad(format!("nobody says where it is: {error}")))?;
            self.fetch_spec(job, hash, contact).await?;
        }
        let bytes = self.blobs.read(hash, MAX_SPEC_BYTES as u64).await?;
        let spec = JobSpec::from_bytes(&bytes).map_err(|error| bad(error.to_string()))?;
        let terms = &opened.terms;
        let agree = spec.task_count == terms.taskCount
            && spec.limits.unit_cap == terms.unitCap
            && spec.limits.prepare_cap == terms.prepareCap;
        if !agree {
            return Err(bad("it does not agree with the terms on chain".to_owned()));
        }
        let agreed = Agreed {
            job,
            client: opened.client,
            spec: Arc::new(spec),
            terms: opened.terms.clone(),
            opened_block: log.block_number.unwrap_or(self.first_block),
        };
        self.adopt(&agreed).await?;
        Ok(agreed)
    }

    /// A spec's size is not on chain, so it comes as a sequence of one is not possible either: it is
    /// fetched under the largest size a spec may have.
    async fn fetch_spec(
        &self,
        job: JobId,
        hash: ContentHash,
        contact: Contact,
    ) -> Result<(), JobError> {
        let deadline = Instant::now() + FETCH_SPEC;
        let max = MAX_SPEC_BYTES as u64;
        self.blobs.get_up_to(hash, max, &[contact], &Tag::inputs(job), deadline).await?;
        Ok(())
    }

    /// `JobOpened` events of one job or one client, oldest first.
    async fn opened(
        &self,
        job: Option<JobId>,
        client: Option<Address>,
    ) -> Result<Vec<(JobBook::JobOpened, Log)>, JobError> {
        let mut filter = Filter::new()
            .address(self.account.link().addresses().job_book)
            .event_signature(JobBook::JobOpened::SIGNATURE_HASH);
        if let Some(job) = job {
            filter = filter.topic1(U256::from(job.0));
        }
        if let Some(client) = client {
            filter = filter.topic2(client.into_word());
        }
        let logs = self.account.link().scan(&filter, self.first_block).await?;
        Ok(logs
            .into_iter()
            .filter_map(|log| Some((JobBook::JobOpened::decode_log(&log.inner).ok()?.data, log)))
            .collect())
    }

    /// This account's jobs (or everybody's), newest first.
    ///
    /// # Errors
    /// Those of the chain.
    pub async fn list(&self, everybody: bool) -> Result<Vec<Listed>, JobError> {
        let client = (!everybody).then(|| self.account.address());
        let opened = self.opened(None, client).await?;
        let mut listed = Vec::new();
        for (event, _) in opened.into_iter().rev().take(MAX_LISTED) {
            let job = JobId(event.jobId);
            let now = self.state(job).await?;
            let state = JobState::try_from(now.state).unwrap_or(JobState::None);
            listed.push(Listed {
                job,
                name: self.name(job, ContentHash(event.terms.specHash.0)).await,
                state: if now.dry { "dry".to_owned() } else { state.to_string() },
                tasks: event.terms.taskCount,
                settled: now.settledTasks,
                escrow: Amount(now.escrow),
                opened_at: event.at.to::<u64>(),
            });
        }
        Ok(listed)
    }

    /// A job's present state on chain.
    ///
    /// # Errors
    /// Those of the chain.
    pub async fn state(&self, job: JobId) -> Result<tilth_contracts::Job, JobError> {
        let link = self.account.link();
        let call = JobBook::jobCall { jobId: job.0 };
        Ok(link.read(link.addresses().job_book, call).await?)
    }

    async fn name(&self, job: JobId, spec: ContentHash) -> Option<String> {
        if let Some(note) = self.note(job) {
            return (note.spec == spec).then_some(note.name);
        }
        let bytes = self.blobs.read(spec, MAX_SPEC_BYTES as u64).await.ok()?;
        JobSpec::from_bytes(&bytes).ok().map(|spec| spec.name)
    }

    fn note(&self, job: JobId) -> Option<Note> {
        let path = self.folder(job).join("job.json");
        let size = fs::metadata(&path).ok()?.len();
        if size > MAX_NOTE_BYTES {
            return None;
        }
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// A job's whole history up to now.
    ///
    /// # Errors
    /// [`JobError::NoSuchJob`], those of the chain.
    pub async fn history(&self, job: JobId) -> Result<Chronicle, JobError> {
        let link = self.account.link();
        let filter = Filter::new().address(link.addresses().job_book).topic1(U256::from(job.0));
        let logs = link.scan(&filter, self.first_block).await?;
        let mut chronicle: Option<Chronicle> = None;
        for event in logs.iter().filter_map(|log| JobBookEvents::decode_log(&log.inner).ok()) {
            match &mut chronicle {
                None => chronicle = Chronicle::begin(&event.data),
                Some(chronicle) => {
                    chronicle.apply(&event.data).map_err(|error| {
                        let detail = error.to_string();
                        ChainError::BadAnswer { action: "reading events", detail }
                    })?;
                }
            }
        }
        chronicle.ok_or(JobError::NoSuchJob(job))
    }

    /// Puts more money into a job.
    ///
    /// # Errors
    /// [`JobError::TooLittleBalance`], those of [`Account::send`].
    pub async fn top_up(&self, job: JobId, funds: Amount) -> Result<(), JobError> {
        let (link, owner) = (self.account.link(), self.account.address());
        let free = link.read(link.addresses().ledger, Ledger::accountCall { owner }).await?.free;
        if Amount(free) < funds {
            return Err(JobError::TooLittleBalance { needed: funds, free: Amount(free) });
        }
        let call = JobBook::topUpCall { jobId: job.0, funds: funds.0 };
        self.account.execute(link.addresses().job_book, call).await?;
        Ok(())
    }

    /// Stops new claims and gets the unreserved escrow back. Ranges already claimed are still judged
    /// and paid; the job ends when they are.
    ///
    /// # Errors
    /// Those of [`Account::send`].
    pub async fn cancel(&self, job: JobId) -> Result<(), JobError> {
        let to = self.account.link().addresses().job_book;
        self.account.execute(to, JobBook::cancelCall { jobId: job.0 }).await?;
        Ok(())
    }

    /// Puts a job's results together in `path`, from what is here. Ranges that are not here are
    /// counted as missing.
    ///
    /// # Errors
    /// The results cannot be read or written.
    pub async fn merge(&self, agreed: &Agreed, path: &Path) -> Result<Merged, JobError> {
        let history = self.history(agreed.job).await?;
        let mut leaves = BTreeMap::new();
        for range in history.ranges.values().filter(|range| range.has_results()) {
            let claim = range.claim(agreed.job);
            if !self.blobs.has(range.content).await? {
                continue;
            }
            match collect::read(&self.blobs, &agreed.spec, &claim, range.content).await {
                Ok(manifest) => {
                    let tasks = manifest.leaves.into_iter().filter(|l| l.index != PREPARE_INDEX);
                    leaves.extend(tasks.map(|leaf| (leaf.index, leaf)));
                }
                Err(collect::CollectError::Missing(BlobsError::NotHere { .. })) => {}
                Err(collect::CollectError::Missing(error)) => return Err(error.into()),
                Err(collect::CollectError::Wrong(detail)) => {
                    tracing::warn!(job = %agreed.job, seq = range.seq, detail, "a range is left out");
                }
            }
        }
        let (blobs, spec) = (self.blobs.clone(), Arc::clone(&agreed.spec));
        let path = path.to_owned();
        let runtime = tokio::runtime::Handle::current();
        let merging = tokio::task::spawn_blocking(move || {
            merge::merge(&spec, &path, |index| match leaves.get(&index) {
                None => Ok(None),
                Some(leaf) => runtime.block_on(output(&blobs, leaf)).map_err(io::Error::other),
            })
        });
        let merged = merging
            .await
            .map_err(|error| JobError::Incomplete { job: agreed.job, detail: error.to_string() })?;
        merged.map_err(JobError::Told)
    }
}

/// A task's output from the store.
async fn output(blobs: &Blobs, leaf: &Leaf) -> Result<Option<TaskOutput>, BlobsError> {
    if leaf.status != Status::Ok {
        return Ok(Some(TaskOutput { status: leaf.status, bytes: Vec::new() }));
    }
    let bytes = match (leaf.inline_output(), leaf.blob()) {
        (_, Some(hash)) => match blobs.read(hash, leaf.size).await {
            Ok(bytes) => bytes.to_vec(),
            Err(BlobsError::NotHere { .. }) => return Ok(None),
            Err(error) => return Err(error),
        },
        (Some(bytes), None) => bytes.to_vec(),
        (None, None) => return Ok(None),
    };
    Ok(Some(TaskOutput { status: leaf.status, bytes }))
}

/// Writes a file so that a crash leaves the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    let failed = |source| JobError::Folder { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(failed)
}
