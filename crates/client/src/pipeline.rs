//! Jobs that follow each other: the results of one are the inputs of the next.
//!
//! The client drives it, for only the client can say what the next job reads before that job has a hash
//! (`docs/decisions`: jobs after jobs). What has been decided is on disk before it happens, so a client
//! that is killed goes on where it was: no job is opened twice, none before the one before it is complete.
//! [`plan`] decides, this module performs.

pub mod plan;
mod record;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use serde::Serialize;
use tilth_blobs::Tag;
use tilth_contracts::{JobBook, JobState};
use tilth_protocol::{Amount, ContentHash, JobId, JobSpec, Problem, Status};
use tilth_service::Doing;

use self::{
    plan::{Endings, Standing, Step, Stop, judge, step},
    record::{Folder, Intent, Record, StageRecord},
};
use crate::{
    Agreed, ChainError, JobError, Jobs, Progress,
    job_file::{FailedTasks, PreparedJob, Stage},
    jobs::too_much,
};

/// A pipeline in this process's hands.
#[derive(Debug)]
pub struct Pipeline {
    jobs: Jobs,
    folder: Folder,
    record: Record,
    tag: Tag,
    /// Held as long as this process drives it.
    _lock: File,
}

/// What the caller has to do for a pipeline to go on.
#[derive(Debug)]
pub enum Next {
    /// Follow this job until it is over, then call [`Pipeline::ended`].
    Follow {
        /// Which stage it is, from 0 on.
        stage: usize,
        /// The job.
        agreed: Box<Agreed>,
        /// Whether it was opened just now.
        fresh: bool,
    },
    /// Nothing; `Err` names the stage at which it ended early.
    Over(Result<(), (usize, Stop)>),
}

/// A pipeline as lists show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shown {
    /// Its number in this folder.
    pub pipeline: u32,
    /// Whether somebody has cancelled it.
    pub cancelled: bool,
    /// Its jobs in their order.
    pub stages: Vec<ShownStage>,
}

/// One job of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShownStage {
    /// The job's name.
    pub name: String,
    /// Number of tasks.
    pub tasks: u32,
    /// Where it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

impl ShownStage {
    /// Its job, if it was opened.
    pub fn job(&self) -> Option<JobId> {
        match self.standing {
            Standing::Open { job } | Standing::Complete { job } => Some(job),
            Standing::Stopped { job, .. } => job,
            Standing::Waiting | Standing::Opening => None,
        }
    }
}

/// The pipelines of a folder.
pub fn list(dir: &Path) -> Vec<Shown> {
    let mut all: Vec<Shown> = Folder::all(dir)
        .filter_map(|folder| {
            // One that cannot be read belongs to another version, or was never begun.
            let record = folder.read().ok()?;
            let stages = record.stages.iter().map(|stage| {
                let spec = stage.spec().ok()?;
                let standing = stage.standing.clone();
                Some(ShownStage { name: spec.name, tasks: spec.task_count, standing })
            });
            let stages = stages.collect::<Option<_>>()?;
            Some(Shown { pipeline: folder.number, cancelled: folder.is_cancelled(), stages })
        })
        .collect();
    all.sort_by_key(|shown| shown.pipeline);
    all
}

/// The pipeline that a job belongs to, also if the job was opened by a client that died before it could
/// note the job's number.
///
/// # Errors
/// Those of the chain.
pub fn of_job<'a>(
    jobs: &'a Jobs,
    dir: &'a Path,
    job: JobId,
) -> Doing<'a, Result<Option<u32>, JobError>> {
    Box::pin(async move {
        let mut opening = Vec::new();
        for folder in Folder::all(dir) {
            let Ok(record) = folder.read() else { continue };
            if record.jobs().any(|known| known == job) {
                return Ok(Some(folder.number));
            }
            let signed = record.stages.iter().filter(|stage| stage.standing == Standing::Opening);
            let hashes = signed.filter_map(|stage| stage.signed.as_ref()?.spec_hash());
            opening.extend(hashes.map(|hash| (hash, folder.number)));
        }
        if opening.is_empty() {
            return Ok(None);
        }
        let spec = ContentHash(jobs.state(job).await?.terms.specHash.0);
        Ok(opening.into_iter().find(|(hash, _)| *hash == spec).map(|(_, number)| number))
    })
}

/// Ends a pipeline: no further job is opened, those that are open are cancelled, and `job`, by which it was
/// named, even if the client that opened it died before it could note that. Works beside the process that
/// drives it.
///
/// # Errors
/// All of its jobs are over, or the folder or the chain does not answer.
pub fn cancel<'a>(
    jobs: &'a Jobs,
    dir: &'a Path,
    number: u32,
    job: JobId,
) -> Doing<'a, Result<Vec<JobId>, JobError>> {
    Box::pin(async move {
        let folder = Folder::at(dir, number);
        let standings = folder.read()?.stages.into_iter().map(|stage| stage.standing);
        if matches!(step(&standings.collect::<Vec<_>>(), false), Step::Over(_)) {
            return Err(JobError::Told(Problem::new(
                "the pipeline is over",
                format!("pipeline {number} of job {job}"),
                "nothing is left to cancel; `tilth job fetch` gets its results",
            )));
        }
        // First the mark: whoever opens a job looks for it afterwards.
        folder.mark_cancelled()?;
        let record = folder.read()?;
        let mut cancelled = Vec::new();
        let open = record.stages.iter().filter_map(|stage| match stage.standing {
            Standing::Open { job } => Some(job),
            _ => None,
        });
        // One that a dead client has opened stands nowhere yet.
        let unknown = record.jobs().all(|known| known != job).then_some(job);
        for job in open.chain(unknown) {
            if end_job(jobs, job).await? {
                cancelled.push(job);
            }
        }
        Ok(cancelled)
    })
}

/// Cancels a job, or finds that somebody else has; says whether it is cancelled, and not over in another way.
async fn end_job(jobs: &Jobs, job: JobId) -> Result<bool, JobError> {
    if let Some(cancelled) = ended(jobs.state(job).await?.state) {
        return Ok(cancelled);
    }
    match jobs.cancel(job).await {
        Ok(()) => Ok(true),
        // It may have ended meanwhile.
        Err(error) => ended(jobs.state(job).await?.state).ok_or(error),
    }
}

/// Whether a job that gives nothing out any more was cancelled; `None`: it goes on.
fn ended(state: u8) -> Option<bool> {
    match JobState::try_from(state) {
        Ok(JobState::Open | JobState::Draining) => None,
        state => Some(matches!(state, Ok(JobState::Cancelling | JobState::Cancelled))),
    }
}

impl Pipeline {
    /// Puts everything that the jobs of a file need on disk and in the store; opens nothing yet.
    ///
    /// `funds` is what the first job locks, if not all that it can cost.
    ///
    /// # Errors
    /// The balance is too small for all jobs together, a file changed, or folder, store or chain fail.
    pub fn begin<'a>(
        jobs: &'a Jobs,
        dir: &'a Path,
        stages: &'a [Stage],
        funds: Option<Amount>,
    ) -> Doing<'a, Result<Self, JobError>> {
        Box::pin(async move {
            let mut needed = Amount::ZERO;
            let mut records = Vec::with_capacity(stages.len());
            for (index, stage) in stages.iter().enumerate() {
                let funds = funds.filter(|_| index == 0);
                let most = funds.or_else(|| Jobs::usual_funds(&stage.job)).ok_or_else(too_much)?;
                let held = jobs.deposit(&stage.job).await?.map_or(0, |deposit| deposit.amount.0);
                let all = needed.0.checked_add(most.0).and_then(|all| all.checked_add(held));
                needed = Amount(all.ok_or_else(too_much)?);
                let PreparedJob { spec, offer, .. } = &stage.job;
                records.push(StageRecord::new(spec, offer.clone(), stage.failed_tasks, funds));
            }
            jobs.check_free(needed).await?;
            let chain_id = jobs.account().link().chain_id().await?;
            let folder = Folder::create(dir)?;
            let lock = folder.lock()?;
            let tag = tag(&folder)?;
            for stage in stages {
                jobs.store_inputs(&stage.job, &tag).await?;
            }
            jobs.blobs().sync().await?;
            let record = Record::new(chain_id, jobs.account(), records);
            folder.write(&record)?;
            Ok(Self { jobs: jobs.clone(), folder, record, tag, _lock: lock })
        })
    }

    /// Takes a pipeline up again.
    ///
    /// # Errors
    /// Another process drives it, it is not this account's or not of this chain, its record is broken.
    pub fn resume<'a>(
        jobs: &'a Jobs,
        dir: &'a Path,
        number: u32,
    ) -> Doing<'a, Result<Self, JobError>> {
        Box::pin(async move {
            let folder = Folder::at(dir, number);
            let lock = folder.lock()?;
            let record = folder.read()?;
            let account = jobs.account();
            let same = record.chain_id == account.link().chain_id().await?
                && record.job_book == account.link().addresses().job_book
                && record.client == account.address();
            if !same {
                return Err(JobError::Told(Problem::new(
                    "the pipeline belongs to another account or chain",
                    format!("{} on chain {}", record.client, record.chain_id),
                    "use the folder and the account that it was begun with",
                )));
            }
            let tag = tag(&folder)?;
            Ok(Self { jobs: jobs.clone(), folder, record, tag, _lock: lock })
        })
    }

    /// Its number in its folder.
    pub fn number(&self) -> u32 {
        self.folder.number
    }

    /// How many jobs it has.
    pub fn len(&self) -> usize {
        self.record.stages.len()
    }

    /// Never: a pipeline has at least one job.
    pub fn is_empty(&self) -> bool {
        self.record.stages.is_empty()
    }

    /// The jobs that were opened so far.
    pub fn opened(&self) -> Vec<JobId> {
        self.record.jobs().collect()
    }

    /// Goes on until somebody has to follow a job, or nothing is left to do.
    ///
    /// # Errors
    /// Those of opening a job; the pipeline can be taken up again after each of them.
    pub async fn next(&mut self) -> Result<Next, JobError> {
        self.step().await
    }

    fn step(&mut self) -> Doing<'_, Result<Next, JobError>> {
        Box::pin(async move {
            let mut fresh = false;
            loop {
                let standings: Vec<_> =
                    self.record.stages.iter().map(|stage| stage.standing.clone()).collect();
                match step(&standings, self.folder.is_cancelled()) {
                    Step::Sign(stage) => self.sign(stage).await?,
                    Step::HandIn(stage) => fresh = self.hand_in(stage).await?,
                    Step::Follow(stage, job) => {
                        // Whoever cancels looks at the record after marking; whoever opens looks at the mark after
                        // noting, and again whenever it is taken up.
                        if self.folder.is_cancelled() {
                            end_job(&self.jobs, job).await?;
                        }
                        let agreed = Box::new(self.jobs.attach(job).await?);
                        return Ok(Next::Follow { stage, agreed, fresh });
                    }
                    Step::Over(end) => {
                        self.jobs.blobs().unpin(&self.tag).await?;
                        return Ok(Next::Over(end));
                    }
                }
            }
        })
    }

    /// Notes how a followed job ended.
    ///
    /// # Errors
    /// Results or folder cannot be read or written.
    pub fn ended<'a>(
        &'a mut self,
        stage: usize,
        agreed: &'a Agreed,
        progress: &'a Progress,
    ) -> Doing<'a, Result<(), JobError>> {
        Box::pin(async move {
            let leaves = self.jobs.leaves(agreed).await?;
            let tasks = agreed.spec.task_count;
            let ok = leaves.values().filter(|leaf| leaf.status == Status::Ok).count();
            let known = u32::try_from(leaves.len()).unwrap_or(tasks);
            let ok = u32::try_from(ok).unwrap_or(known);
            let endings = Endings {
                cancelled: progress.state == JobState::Cancelled.to_string(),
                ok,
                failed: known.saturating_sub(ok),
                missing: tasks.saturating_sub(known),
            };
            let next: Option<FailedTasks> =
                self.record.stages.get(stage + 1).map(|next| next.failed_tasks);
            let job = agreed.job;
            let standing = match judge(endings, next) {
                Ok(()) => Standing::Complete { job },
                Err(why) => Standing::Stopped { job: Some(job), why },
            };
            self.stand(stage, standing)
        })
    }

    fn stand(&mut self, stage: usize, standing: Standing) -> Result<(), JobError> {
        self.record.stages[stage].standing = standing;
        self.folder.write(&self.record)
    }

    /// Signs the opening of a stage and writes it down.
    async fn sign(&mut self, stage: usize) -> Result<(), JobError> {
        let record = &self.record.stages[stage];
        let mut spec = record.spec().map_err(|detail| self.broken(&detail))?;
        self.read_before(stage, &mut spec).await?;
        spec.check().map_err(|error| {
            JobError::Told(Problem::new(
                "the results of a job cannot be the inputs of the next one",
                error.to_string(),
                "let the first job write less, or `kind = \"values\"`; its results are in its folder",
            ))
        })?;
        let prepared = PreparedJob { spec, offer: record.offer.clone(), files: Vec::new() };
        // Whoever opens a job must be able to serve what it reads, or its money waits for nothing.
        for content in prepared.spec.blobs() {
            if !self.jobs.blobs().has(content.hash).await? {
                return Err(JobError::Told(Problem::new(
                    "the inputs of the next job are in another content store",
                    format!("pipeline {}: {} is not here", self.folder.number, content.hash),
                    "another command uses that store: wait until it is done, then fetch again",
                )));
            }
        }
        let money = self.jobs.money(&prepared, record.funds).await?;
        let call = self.jobs.opening(&prepared, money, &self.tag).await?;
        let account = self.jobs.account();
        // It may also get into a block in the place of one of the last, if those are taken back.
        let head = account.link().block_number().await?;
        let from_block = head.saturating_sub(account.link().confirmations().into());
        let transaction = account.sign_call(account.link().addresses().job_book, call).await?;
        let intent = Intent::new(transaction, &prepared.spec, from_block);
        self.record.stages[stage].signed = Some(intent);
        self.stand(stage, Standing::Opening)
    }

    /// Adds what the stage before has left to what a stage reads.
    async fn read_before(&self, stage: usize, spec: &mut JobSpec) -> Result<(), JobError> {
        let before = stage.checked_sub(1).and_then(|before| self.record.stages.get(before));
        let Some(Standing::Complete { job }) = before.map(|before| &before.standing) else {
            return Ok(());
        };
        let agreed = self.jobs.attach(*job).await?;
        let leaves = self.jobs.leaves(&agreed).await?;
        let here = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        if here < agreed.spec.task_count {
            let detail = format!("{} of {} tasks", here, agreed.spec.task_count);
            return Err(JobError::Incomplete { job: *job, detail });
        }
        self.jobs.hand_over(&agreed, &leaves, spec, &self.tag).await
    }

    /// Hands in the opening that is written down; whether the job is open now.
    async fn hand_in(&mut self, stage: usize) -> Result<bool, JobError> {
        let Some(intent) = self.record.stages[stage].signed.clone() else {
            return Err(self.broken("an opening without a signature"));
        };
        let spec = intent.spec().map_err(|detail| self.broken(&detail))?;
        let offer = self.record.stages[stage].offer.clone();
        let prepared = PreparedJob { spec, offer, files: Vec::new() };
        // Asked before: once the job is open nothing may keep its deposit from being noted.
        let deposit = self.jobs.deposit(&prepared).await?;
        let handed_in = self.jobs.account().hand_in_signed(&intent.transaction).await;
        let job = match handed_in {
            Ok(Some(receipt)) => Some(self.jobs.opened_by(&prepared, &receipt, deposit).await?.job),
            Ok(None) => {
                let found = self.find(&intent).await?;
                if let Some(job) = found {
                    // Whoever opened it may have died before its deposit, too.
                    self.jobs.lock_deposit(job, deposit, &prepared.spec).await?;
                }
                found
            }
            Err(error @ ChainError::Reverted { .. }) => {
                // It has happened and opened nothing.
                self.stand(stage, Standing::Waiting)?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        let Some(job) = job else {
            self.stand(stage, Standing::Waiting)?;
            return Ok(false);
        };
        self.stand(stage, Standing::Open { job })?;
        Ok(true)
    }

    /// The job that a signed opening has opened after all: the process that raised its fee died before it
    /// could say so.
    async fn find(&self, intent: &Intent) -> Result<Option<JobId>, JobError> {
        let account = self.jobs.account();
        let filter = Filter::new()
            .address(account.link().addresses().job_book)
            .event_signature(JobBook::JobOpened::SIGNATURE_HASH)
            .topic2(account.address().into_word());
        let logs = account.link().scan(&filter, intent.from_block).await?;
        let wanted = intent.spec_hash();
        let taken: Vec<JobId> = match self.folder.path.parent() {
            Some(dir) => Folder::all(dir)
                .filter_map(|folder| folder.read().ok())
                .flat_map(|record| record.jobs().collect::<Vec<_>>())
                .collect(),
            None => Vec::new(),
        };
        let opened = logs.iter().filter_map(|log| JobBook::JobOpened::decode_log(&log.inner).ok());
        let same = opened.filter(|event| Some(ContentHash(event.terms.specHash.0)) == wanted);
        Ok(same.map(|event| JobId(event.jobId)).find(|job| !taken.contains(job)))
    }

    fn broken(&self, detail: &str) -> JobError {
        JobError::Told(Problem::new(
            "the pipeline's record cannot be used",
            format!("pipeline {}: {detail}", self.folder.number),
            "its jobs are not lost: `tilth job ls` lists them",
        ))
    }
}

fn tag(folder: &Folder) -> Result<Tag, JobError> {
    Ok(Tag::new(format!("pipeline/{}", folder.number))?)
}

/// Where the pipelines of a network's folder are.
pub fn folder(network: &Path) -> PathBuf {
    network.join("pipelines")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_was_not_cancelled() {
        for (state, cancelled) in [
            (JobState::Open, None),
            (JobState::Draining, None),
            (JobState::Done, Some(false)),
            (JobState::Cancelling, Some(true)),
            (JobState::Cancelled, Some(true)),
        ] {
            assert_eq!(ended(state.into()), cancelled, "{state}");
        }
        assert_eq!(ended(u8::MAX), Some(false));
    }
}
