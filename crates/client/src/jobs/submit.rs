//! Submitting: everything is checked and stored before money moves.

use std::{io, sync::Arc, time::Duration};

use alloy::{
    primitives::{
        Address, U256,
        aliases::{U40, U96},
    },
    rpc::types::TransactionReceipt,
    sol_types::SolEvent,
};
use tilth_blobs::Tag;
use tilth_contracts::{JobBook, Ledger, Terms};
use tilth_protocol::{Amount, ContentHash, JobId, JobSpec, Problem};
use tilth_service::Doing;

use super::{Agreed, JobError, Jobs, Note, write_whole};
use crate::{
    ChainError, Link,
    holding::{Deposit, ask_for_inputs, least_fee, likely_ranges},
    job_file::PreparedJob,
};

/// What a job locks, and its challenge window in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Money {
    pub(crate) funds: Amount,
    pub(crate) window: u32,
}

/// What a job is told that no purse can hold.
pub(crate) fn too_much() -> JobError {
    JobError::Told(Problem::new(
        "the job costs too much",
        "tasks x caps x price (x replicas) is more money than there can be",
        "lower one of them",
    ))
}

/// What a client is told whose job is open and has no deposit.
fn without_deposit(job: JobId, error: &ChainError) -> Problem {
    Problem::new(
        format!("job {job} is open, and nothing is locked for those who are to hold its results"),
        error.to_string(),
        format!(
            "nobody works on it before that: when its account has enough free in the Ledger, `tilth job fetch {job}` \
             locks it and goes on; or cancel the job (tilth job cancel {job})"
        ),
    )
}

/// What a client is told whose job is open and whose inputs nobody is asked to hold.
fn without_holders(job: JobId, error: &ChainError) -> Problem {
    Problem::new(
        format!("job {job} is open, and nobody is asked to hold its inputs"),
        error.to_string(),
        format!(
            "nobody works on it before they are held: `tilth job fetch {job}` asks and goes on; or \
             cancel the job (tilth job cancel {job})"
        ),
    )
}

/// The files of a job: its spec, its program, its inputs.
fn files(spec: &JobSpec, hash: ContentHash) -> impl Iterator<Item = ContentHash> + '_ {
    spec.blobs().map(|blob| blob.hash).chain([hash])
}

impl Jobs {
    /// What a job should be funded with if nothing else is said: every task at its cap, and a
    /// prepare phase for as many ranges as are likely, to all providers of each. What is not used comes back.
    pub fn usual_funds(job: &PreparedJob) -> Option<Amount> {
        job.most_cost(likely_ranges(job.spec.task_count, job.offer.parallelism))
    }

    /// What a job locks besides for those who hold its inputs and its results; `None`: nobody does. The rest comes back,
    /// too.
    ///
    /// # Errors
    /// Those of the chain; nobody would hold ranges as large as the job's may be, or its inputs, or for so long.
    pub async fn usual_deposit(
        link: &Link,
        job: &PreparedJob,
    ) -> Result<Option<Deposit>, JobError> {
        let PreparedJob { spec, offer, .. } = job;
        let Some(keep_s) = offer.keep_s else { return Ok(None) };
        let keep = Duration::from_secs(keep_s.into());
        let tasks = (spec.task_count, offer.parallelism);
        let least = least_fee(link).await?;
        let deposit = Deposit::usual(least, keep, &spec.limits, tasks)
            .and_then(|deposit| deposit.with_inputs(least, spec, offer.deadline_s));
        deposit.map(Some).map_err(JobError::Told)
    }

    /// Submits a job: checks the balance, stores and serves spec and inputs, opens it on chain.
    ///
    /// The inputs are served by this store, so it has to stay open until providers have them.
    ///
    /// # Errors
    /// [`JobError::TooLittleBalance`], [`JobError::WindowTooShort`], [`JobError::FileChanged`], those
    /// of the store and of [`Account::send`].
    pub fn submit<'a>(
        &'a self,
        prepared: &'a PreparedJob,
        funds: Option<Amount>,
    ) -> Doing<'a, Result<Agreed, JobError>> {
        Box::pin(async move {
            let money = self.money(prepared, funds).await?;
            let draft = Tag::new(format!("draft/{}", prepared.spec.hash()))?;
            self.store_inputs(prepared, &draft).await?;
            let call = self.opening(prepared, money, &draft).await?;
            // Asked before: once the job is open nothing may keep its deposit from being noted.
            let deposit = self.deposit(prepared).await?;
            let receipt =
                self.account.execute(self.account.link().addresses().job_book, call).await?;
            let agreed = self.opened_by(prepared, &receipt, deposit).await?;
            self.blobs.unpin(&draft).await?;
            Ok(agreed)
        })
    }

    /// What a job locks and how long its window is, checked against the balance and the contract.
    pub(crate) async fn money(
        &self,
        prepared: &PreparedJob,
        funds: Option<Amount>,
    ) -> Result<Money, JobError> {
        let (link, addresses) = (self.account.link(), *self.account.link().addresses());
        Self::check_rules(link, prepared).await?;
        let funds = funds.or_else(|| Self::usual_funds(prepared)).ok_or_else(too_much)?;
        // A window protects one provider's part: the contract knows no other value.
        let value = prepared.most_worth(1).ok_or_else(too_much)?;
        let held = self.deposit(prepared).await?.map_or(Amount::ZERO, |deposit| deposit.amount);
        let all = funds.0.checked_add(held.0).map(Amount).ok_or_else(too_much)?;
        self.check_free(all).await?;
        if prepared.offer.audited {
            self.check_auditors().await?;
        }
        let least = JobBook::minWindowCall { value: U256::from(value.0) };
        let least = link.read(addresses.job_book, least).await?;
        let window = prepared.offer.window_s.unwrap_or(least);
        if window < least {
            return Err(JobError::WindowTooShort { window, least, value });
        }
        Ok(Money { funds, window })
    }

    /// What is locked for those who hold the results of a job; `None`: nobody does.
    pub(crate) async fn deposit(
        &self,
        prepared: &PreparedJob,
    ) -> Result<Option<Deposit>, JobError> {
        Self::usual_deposit(self.account.link(), prepared).await
    }

    /// Whether so much is free in the Ledger.
    pub(crate) async fn check_free(&self, needed: Amount) -> Result<(), JobError> {
        let owner = self.account.address();
        let call = Ledger::accountCall { owner };
        let link = self.account.link();
        let free = link.read(link.addresses().ledger, call).await?.free;
        if Amount(free) < needed {
            return Err(JobError::TooLittleBalance { needed, free: Amount(free) });
        }
        Ok(())
    }

    /// Stores the spec under `tag`, where the inputs are already, and says how the job is opened.
    pub(crate) async fn opening(
        &self,
        prepared: &PreparedJob,
        Money { funds, window }: Money,
        tag: &Tag,
    ) -> Result<JobBook::openCall, JobError> {
        let spec = self.blobs.put(prepared.spec.to_bytes(), tag).await?;
        self.blobs.sync().await?;
        // Others ask for them as soon as the job is open.
        self.blobs.spare(files(&prepared.spec, spec.hash));
        let terms = self.terms(prepared, spec.hash, window).await?;
        Ok(JobBook::openCall { terms, funds: funds.0 })
    }

    /// The job that a transaction has opened, adopted, and its deposit locked.
    pub(crate) async fn opened_by(
        &self,
        prepared: &PreparedJob,
        receipt: &TransactionReceipt,
        deposit: Option<Deposit>,
    ) -> Result<Agreed, JobError> {
        let job_book = self.account.link().addresses().job_book;
        let opened = receipt
            .inner
            .logs()
            .iter()
            .filter(|log| log.address() == job_book)
            .find_map(|log| JobBook::JobOpened::decode_log(&log.inner).ok())
            .ok_or(ChainError::BadAnswer {
                action: "opening a job",
                detail: "the receipt holds no JobOpened event".to_owned(),
            })?;
        let agreed = Agreed {
            job: JobId(opened.jobId),
            client: self.account.address(),
            spec: Arc::new(prepared.spec.clone()),
            terms: opened.terms.clone(),
            opened_block: receipt.block_number.unwrap_or(self.first_block),
        };
        // Noted before it is locked: a command that ends in between leaves it to the next one.
        self.adopt(&agreed, deposit).await?;
        self.lock_deposit(agreed.job, deposit, &agreed.spec).await?;
        Ok(agreed)
    }

    /// Locks what those are paid of who hold a job's inputs and results, and asks for holders of its inputs, if that was not
    /// done before.
    pub(crate) async fn lock_deposit(
        &self,
        job: JobId,
        deposit: Option<Deposit>,
        spec: &JobSpec,
    ) -> Result<(), JobError> {
        let Some(deposit) = deposit else { return Ok(()) };
        let locked = deposit.lock(&self.account, job).await;
        locked.map_err(|error| JobError::Told(without_deposit(job, &error)))?;
        let asked = ask_for_inputs(&self.account, job, spec).await;
        asked.map_err(|error| JobError::Told(without_holders(job, &error)))
    }

    pub(crate) async fn store_inputs(
        &self,
        prepared: &PreparedJob,
        draft: &Tag,
    ) -> Result<(), JobError> {
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
            floorPrice: U96::saturating_from(offer.clock.map_or(0, |clock| clock.floor.0)),
            finishSeconds: offer.clock.map_or(0, |clock| clock.finish_s),
            window,
            rangeTimeout: offer.range_timeout_s,
            targetSeconds: offer.target_s,
            parallelism: offer.parallelism,
            firstRange: offer.first_range,
            deadline: U40::saturating_from(deadline),
            maxFailures: offer.max_failures,
            requiredClass: offer.required_class,
            minVramMib: offer.min_vram_mib,
            afterJob: 0,
            audited: offer.audited,
            // The contract has no word for a single one.
            replicas: if offer.replicas > 1 { offer.replicas } else { 0 },
            kept: offer.keep_s.is_some(),
            callback: Address::ZERO,
            program: prepared.spec.program.hash.0.into(),
            contact: self.blobs.contact().to_bytes().into(),
        })
    }

    /// Pins what belongs to a job and notes it in its folder. The files of our own jobs are everybody's from then on, also if
    /// they are results of other jobs of ours; somebody else's job may name what it likes.
    pub(super) async fn adopt(
        &self,
        agreed: &Agreed,
        deposit: Option<Deposit>,
    ) -> Result<(), JobError> {
        let tag = Tag::inputs(agreed.job);
        let spec = ContentHash(agreed.terms.specHash.0);
        for hash in files(&agreed.spec, spec) {
            // Somebody else's job can be looked at without holding its inputs.
            if self.blobs.has(hash).await? {
                self.blobs.pin_also(hash, &tag).await?;
            }
        }
        if agreed.client == self.account.address() {
            self.blobs.spare(files(&agreed.spec, spec));
        }
        let note = Note {
            chain_id: self.account.link().chain_id().await?,
            job: agreed.job,
            job_book: self.account.link().addresses().job_book,
            name: agreed.spec.name.clone(),
            spec,
            opened_block: agreed.opened_block,
            deposit: deposit.or_else(|| self.deposit_of(agreed.job)),
        };
        let text = serde_json::to_vec_pretty(&note).map_err(|error| JobError::Folder {
            path: self.folder(agreed.job),
            source: io::Error::other(error),
        })?;
        write_whole(&self.folder(agreed.job).join("job.json"), &text)
    }
}
