//! Finding jobs again: from events on chain and specs in the store.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, U256},
    rpc::types::{Filter, Log},
    sol_types::{SolEvent, SolEventInterface},
};
use tilth_blobs::Tag;
use tilth_contracts::{JobBook, JobBook::JobBookEvents, JobState};
use tilth_protocol::{Amount, Contact, ContentHash, JobId, JobSpec, spec::MAX_SPEC_BYTES};
use tilth_service::Doing;

use super::{Agreed, JobError, Jobs, Listed, Note};
use crate::{ChainError, Chronicle, Link, holding::Deposit};

/// How long a spec may take to fetch when it is not here.
const FETCH_SPEC: Duration = Duration::from_secs(30);
/// Most jobs in a list, newest first.
const MAX_LISTED: usize = 1_000;
/// Largest `job.json` that is read.
const MAX_NOTE_BYTES: u64 = 64 << 10;

impl Jobs {
    /// Finds a job again: terms from the chain, spec from the store or from whoever serves it.
    ///
    /// # Errors
    /// [`JobError::NoSuchJob`], [`JobError::BadSpec`], those of chain and store.
    pub fn attach(&self, job: JobId) -> Doing<'_, Result<Agreed, JobError>> {
        Box::pin(async move {
            let opened = self.opened(Some(job), &[]).await?;
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
            self.adopt(&agreed, None).await?;
            Ok(agreed)
        })
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

    /// `JobOpened` events of one job, or of these clients (none: of everybody), oldest first.
    async fn opened(
        &self,
        job: Option<JobId>,
        clients: &[Address],
    ) -> Result<Vec<(JobBook::JobOpened, Log)>, JobError> {
        let mut filter = Filter::new()
            .address(self.account.link().addresses().job_book)
            .event_signature(JobBook::JobOpened::SIGNATURE_HASH);
        if let Some(job) = job {
            filter = filter.topic1(U256::from(job.0));
        }
        if !clients.is_empty() {
            let words: Vec<_> = clients.iter().map(|client| client.into_word()).collect();
            filter = filter.topic2(words);
        }
        let logs = self.account.link().scan(&filter, self.first_block).await?;
        Ok(logs
            .into_iter()
            .filter_map(|log| Some((JobBook::JobOpened::decode_log(&log.inner).ok()?.data, log)))
            .collect())
    }

    /// The jobs that these clients opened (none: everybody's), newest first.
    ///
    /// # Errors
    /// Those of the chain.
    pub fn list<'a>(&'a self, clients: &'a [Address]) -> Doing<'a, Result<Vec<Listed>, JobError>> {
        Box::pin(async move {
            let opened = self.opened(None, clients).await?;
            let mut listed = Vec::new();
            for (event, _) in opened.into_iter().rev().take(MAX_LISTED) {
                let job = JobId(event.jobId);
                let now = self.state(job).await?;
                let state = JobState::try_from(now.state).unwrap_or(JobState::None);
                listed.push(Listed {
                    job,
                    client: event.client,
                    name: self.name(job, ContentHash(event.terms.specHash.0)).await,
                    state: if now.dry { "dry".to_owned() } else { state.to_string() },
                    tasks: event.terms.taskCount,
                    settled: now.settledTasks,
                    replicas: event.terms.replicas.max(1),
                    escrow: Amount(now.escrow),
                    opened_at: event.at.to::<u64>(),
                });
            }
            Ok(listed)
        })
    }

    /// A job's present state on chain.
    ///
    /// # Errors
    /// Those of the chain.
    pub fn state(&self, job: JobId) -> Doing<'_, Result<tilth_contracts::Job, JobError>> {
        Box::pin(async move {
            let link = self.account.link();
            let call = JobBook::jobCall { jobId: job.0 };
            Ok(link.read(link.addresses().job_book, call).await?)
        })
    }

    async fn name(&self, job: JobId, spec: ContentHash) -> Option<String> {
        if let Some(note) = self.note(job) {
            return (note.spec == spec).then_some(note.name);
        }
        let bytes = self.blobs.read(spec, MAX_SPEC_BYTES as u64).await.ok()?;
        JobSpec::from_bytes(&bytes).ok().map(|spec| spec.name)
    }

    /// What was to be locked for those who hold a job's results, as far as its folder says it.
    pub(crate) fn deposit_of(&self, job: JobId) -> Option<Deposit> {
        self.note(job)?.deposit
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
        Self::chronicle(self.account.link(), job, self.first_block).await
    }

    /// As [`Jobs::history`], for those who have no account.
    ///
    /// # Errors
    /// As [`Jobs::history`].
    pub fn chronicle(
        link: &Link,
        job: JobId,
        first_block: u64,
    ) -> Doing<'_, Result<Chronicle, JobError>> {
        Box::pin(async move {
            let filter = Filter::new().address(link.addresses().job_book).topic1(U256::from(job.0));
            let logs = link.scan(&filter, first_block).await?;
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
        })
    }
}
