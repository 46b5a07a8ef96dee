//! Tending a job until it is over: follow it, fetch and check what is handed in, acknowledge, end it.
//!
//! The actor around [`Attention`]: it performs effects and shows progress. Dropping a [`Tending`]
//! detaches; everything goes on from chain and store when the job is tended again.

mod audits;
mod kept;
mod replicas;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy::{primitives::Address, sol_types::SolEventInterface};
use serde::Serialize;
use tilth_blobs::BlobsError;
use tilth_contracts::{HoldState, JobBook, JobBook::JobBookEvents, RangeState};
use tilth_protocol::{Contact, JobId, Problem};
use tokio::{sync::watch, task::JoinSet};
use tracing::{debug, info, warn};

pub use self::{audits::AuditTotals, kept::KeptTotals, replicas::ReplicaTotals};
use crate::{
    Agreed, ChainError, Chronicle, Follow, Following, JobError, Jobs, News, Scope, Totals,
    attention::{Attention, Effect, Event, Moment},
    audit::Standing,
    chronicle::RangeView,
    collect::{CollectError, collect},
    holding,
    jobs::write_whole,
    mates, waiting,
};

/// How long one attempt at fetching a range may take; the next one goes on where it stopped.
const FETCH: Duration = Duration::from_secs(30);
/// After so long without anybody working the reason is looked for.
const IDLE: Duration = Duration::from_secs(8);
/// How often the reason is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A job's progress, as shown to people and printed as JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Where it stands, for people.
    pub state: String,
    /// Whether nothing can change any more.
    pub over: bool,
    /// Whether the escrow pays for no further task.
    pub dry: bool,
    /// The job in numbers.
    pub totals: Totals,
    /// Tasks whose results are here and right.
    pub checked: u32,
    /// Audits, in an audited job.
    pub audits: Option<AuditTotals>,
    /// What came of the seals of its ranges, in a replicated job.
    pub replicas: Option<ReplicaTotals>,
    /// Who holds its ranges, in a kept job.
    pub kept: Option<KeptTotals>,
    /// Whether auditors hold its inputs, in a kept job of ours: before that nobody works on it. As text what the contract
    /// says of them.
    #[serde(serialize_with = "kept::in_words")]
    pub inputs: Option<HoldState>,
    /// Ranges whose results are not what was submitted.
    pub refused: Vec<RefusedRange>,
    /// Why nobody works on it, if so for a while.
    pub waiting: Option<Problem>,
    /// Why the chain cannot be seen, while so.
    pub away: Option<String>,
    /// Why results of some range could not be had, while so.
    pub missing: Option<String>,
}

/// A range that is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusedRange {
    /// Its number.
    pub seq: u32,
    /// Who submitted it.
    pub provider: Address,
    /// What is wrong.
    pub reason: String,
}

/// How to tend a job.
#[derive(Clone, Copy, Debug)]
pub struct Tend {
    /// Acknowledge and end the job (the client's own account), or only look on and fetch.
    pub pay: bool,
}

/// A job being tended. Dropping it detaches.
#[derive(Debug)]
pub struct Tending {
    progress: watch::Receiver<Progress>,
    task: tokio::task::JoinHandle<Result<Progress, JobError>>,
}

impl Drop for Tending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tending {
    /// The progress now and, by `changed()`, from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Waits until the job is over and its results are here; of an audited job of ours also, for a minute at most, until
    /// all verdicts are known.
    ///
    /// # Errors
    /// What makes it impossible to go on; an unreachable chain or provider does not.
    pub async fn finished(mut self) -> Result<Progress, JobError> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => Err(JobError::Told(Problem::new(
                "following the job ended",
                error.to_string(),
                "attach to the job again; nothing is lost",
            ))),
        }
    }
}

impl Jobs {
    /// Begins to tend a job.
    pub fn tend(&self, agreed: &Agreed, how: Tend) -> Tending {
        let (tender, progress) = Tender::new(self, agreed, how);
        Tending { progress, task: tokio::spawn(tender.run()) }
    }
}

/// What a piece of work on the side came to.
enum Done {
    Fetched(u32, Result<(), CollectError>),
    Acknowledged(Result<(), ChainError>),
    Finished(Result<(), ChainError>),
    Looked(Option<Problem>),
    Time(Option<u64>),
}

struct Tender {
    jobs: Jobs,
    agreed: Agreed,
    attention: Attention,
    pays: bool,
    chronicle: Option<Chronicle>,
    began: Instant,
    show: watch::Sender<Progress>,
    work: JoinSet<Done>,
    /// The time the next block had at least when it was last asked.
    chain_now: u64,
    /// When somebody was last seen working.
    last_work: Instant,
    /// When it was last asked why nobody works.
    looked: Option<Instant>,
    /// How the audits of ranges stand.
    standings: BTreeMap<u32, Standing>,
    /// How their replicas stand, in a replicated job.
    replicas: BTreeMap<u32, mates::Standing>,
    /// Who holds them, in a kept job.
    kept: BTreeMap<u32, holding::Standing>,
    /// How its inputs stand, in a kept job.
    inputs: Option<HoldState>,
    /// Whether nothing of its deposit is left.
    deposit_back: bool,
}

impl Tender {
    /// A tender that has not begun, and what it shows.
    fn new(jobs: &Jobs, agreed: &Agreed, how: Tend) -> (Self, watch::Receiver<Progress>) {
        let progress = Progress {
            job: agreed.job,
            name: agreed.spec.name.clone(),
            state: "opening".to_owned(),
            over: false,
            dry: false,
            totals: Totals { tasks: agreed.spec.task_count, ..Totals::default() },
            checked: 0,
            // Who only watches does not follow them, and zeros would say that there are none.
            audits: (agreed.terms.audited && how.pay).then(AuditTotals::default),
            replicas: (agreed.terms.replicas != 0 && how.pay).then(ReplicaTotals::default),
            kept: (agreed.terms.kept && how.pay).then(KeptTotals::default),
            inputs: None,
            refused: Vec::new(),
            waiting: None,
            away: None,
            missing: None,
        };
        let (show, seen) = watch::channel(progress);
        let tender = Self {
            jobs: jobs.clone(),
            agreed: agreed.clone(),
            attention: Attention::new(how.pay, agreed.terms.audited),
            standings: BTreeMap::new(),
            replicas: BTreeMap::new(),
            kept: BTreeMap::new(),
            inputs: None,
            deposit_back: false,
            chronicle: None,
            pays: how.pay,
            began: Instant::now(),
            show,
            work: JoinSet::new(),
            chain_now: 0,
            last_work: Instant::now(),
            looked: None,
        };
        (tender, seen)
    }

    async fn run(self) -> Result<Progress, JobError> {
        let link = self.jobs.account().link().clone();
        let job_book = link.addresses().job_book;
        let scope = Scope::contracts([job_book], self.agreed.opened_block).job(self.agreed.job);
        self.follow(Follow::new(&link, scope).spawn()).await
    }

    async fn follow(mut self, mut follow: Following) -> Result<Progress, JobError> {
        let mut leave = false;
        let blobs = self.jobs.blobs().clone();
        let failed = blobs.failure();
        tokio::pin!(failed);
        let (mut standings, mut audits) = self.keep_audits();
        while !leave {
            let wake = self.wake();
            leave = tokio::select! {
                error = &mut failed => return Err(error.into()),
                news = follow.next() => self.news(news.ok_or(ChainError::Unread)?)?,
                Some(done) = self.work.join_next() => self.done(done)?,
                Some(moved) = standings.recv() => self.moved(moved),
                Some(ended) = audits.join_next() => {
                    // Without them nothing of the job would be paid any more.
                    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
                    false
                }
                () = tokio::time::sleep_until(wake.into()) => self.tick()?,
            };
            if let Some(problem) = self.has_lost_inputs() {
                return Err(JobError::Told(problem));
            }
        }
        self.hear_verdicts(&mut standings).await;
        Ok(self.show.borrow().clone())
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    /// When to look again even if nothing happens.
    fn wake(&self) -> Instant {
        let machine = self.attention.wake().map(|moment| self.began + moment);
        let look = Instant::now() + Duration::from_secs(1);
        machine.map_or(look, |machine| machine.min(look))
    }

    fn news(&mut self, news: News) -> Result<bool, JobError> {
        match news {
            News::Logs { logs, to, .. } => {
                debug!(job = %self.agreed.job, logs = logs.len(), to, "read the chain");
                let mut leave = false;
                for log in &logs {
                    let Ok(event) = JobBookEvents::decode_log(&log.inner) else {
                        warn!(job = %self.agreed.job, "an event of the contracts cannot be read");
                        continue;
                    };
                    leave |= self.event(&event.data)?;
                }
                Ok(leave | self.judge()?)
            }
            News::Away { detail } => {
                warn!(job = %self.agreed.job, detail, "the chain does not answer, waiting for it");
                self.show.send_modify(|progress| progress.away = Some(detail));
                Ok(false)
            }
            News::Back { after } => {
                info!(job = %self.agreed.job, ?after, "the chain answers again");
                self.show.send_modify(|progress| progress.away = None);
                Ok(false)
            }
            News::Rewound { expected, found } => {
                Err(ChainError::Rewound { expected, found }.into())
            }
        }
    }

    fn event(&mut self, event: &JobBookEvents) -> Result<bool, JobError> {
        let Some(chronicle) = &mut self.chronicle else {
            self.chronicle = Chronicle::begin(event);
            return Ok(false);
        };
        let seq = chronicle.apply(event).map_err(|error| {
            let detail = error.to_string();
            ChainError::BadAnswer { action: "reading events", detail }
        })?;
        let Some(range) = seq.and_then(|seq| chronicle.ranges.get(&seq)) else { return Ok(false) };
        self.last_work = Instant::now();
        let event = match range.state {
            // Of a seal nothing can be said, and its results are a secret.
            RangeState::Submitted | RangeState::Settled if !range.can_be_checked() => {
                return Ok(false);
            }
            RangeState::Submitted => Event::Results { seq: range.seq, settled: false },
            RangeState::Settled => Event::Results { seq: range.seq, settled: true },
            RangeState::Released | RangeState::Expired | RangeState::Rejected => {
                Event::Lost(range.seq)
            }
            RangeState::Claimed | RangeState::None => return Ok(false),
        };
        let (seq, content) = (range.seq, range.content);
        match event {
            Event::Results { settled: false, .. } => self.withhold(seq, content),
            _ => self.give_free(seq),
        }
        let leave = self.step(event);
        // Audits are read on their own, and may be known first.
        let paid = self.standings.get(&seq).is_some_and(|standing| standing.may_be_paid());
        Ok(leave | (paid && self.step(Event::MayBePaid(seq))))
    }

    /// Tells the machine how the job stands, and people what there is to see.
    fn judge(&mut self) -> Result<bool, JobError> {
        let Some(chronicle) = &self.chronicle else { return Ok(false) };
        let totals = chronicle.totals();
        let event = Event::Job {
            finishable: chronicle.is_finishable(self.chain_now),
            over: chronicle.state.is_over(),
            quiet: totals.claimed == 0 && chronicle.unclaimed() == 0,
        };
        let leave = self.step(event);
        self.show();
        Ok(leave)
    }

    fn show(&self) {
        let Some(chronicle) = &self.chronicle else { return };
        let checked = self
            .attention
            .checked()
            .filter_map(|seq| chronicle.ranges.get(&seq))
            .fold(0_u32, |sum, range| sum.saturating_add(range.count));
        self.show.send_modify(|progress| {
            progress.state = chronicle.shown_state().to_string();
            progress.over = chronicle.state.is_over();
            progress.dry = chronicle.dry;
            progress.totals = chronicle.totals();
            progress.checked = checked;
            if progress.over || self.last_work.elapsed() < IDLE {
                progress.waiting = None;
            }
        });
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) -> Result<bool, JobError> {
        let done = done.map_err(|error| {
            JobError::Told(Problem::new(
                "following the job failed",
                error.to_string(),
                "attach to the job again; nothing is lost",
            ))
        })?;
        let job = self.agreed.job;
        let event = match done {
            Done::Fetched(seq, Ok(())) => {
                self.show.send_modify(|progress| progress.missing = None);
                Event::Checked(seq)
            }
            Done::Fetched(seq, Err(CollectError::Wrong(reason))) => {
                self.refuse(seq, reason)?;
                Event::Refused(seq)
            }
            Done::Fetched(_, Err(CollectError::Missing(error @ BlobsError::DiskFull { .. }))) => {
                return Err(error.into());
            }
            Done::Fetched(seq, Err(CollectError::Missing(error))) => {
                warn!(%job, seq, %error, "results cannot be had now");
                let text = format!("range {seq}: {error}");
                self.show.send_modify(|progress| progress.missing = Some(text));
                Event::Missing(seq)
            }
            Done::Acknowledged(result) => {
                if let Err(error) = &result {
                    warn!(%job, %error, "acknowledging failed");
                }
                // Settled by somebody else in between counts as done: the events say so as well.
                let accepted = match &result {
                    Ok(()) => true,
                    Err(error) => error.revert_data().is_some() && self.all_settled(),
                };
                Event::Acknowledged { accepted }
            }
            Done::Finished(result) => {
                if let Err(error) = &result {
                    debug!(%job, %error, "ending the job failed");
                }
                Event::Finished { accepted: result.is_ok() }
            }
            Done::Looked(problem) => {
                self.show.send_modify(|progress| progress.waiting = problem);
                return Ok(false);
            }
            Done::Time(time) => {
                self.chain_now = time.unwrap_or(self.chain_now);
                return self.judge();
            }
        };
        let leave = self.step(event);
        self.show();
        Ok(leave)
    }

    fn all_settled(&self) -> bool {
        self.chronicle.as_ref().is_some_and(|chronicle| {
            chronicle.ranges.values().all(|range| range.state != RangeState::Submitted)
        })
    }

    /// Keeps what a wrong range looked like; its content stays pinned.
    fn refuse(&mut self, seq: u32, reason: String) -> Result<(), JobError> {
        let Some(range) = self.chronicle.as_ref().and_then(|c| c.ranges.get(&seq)) else {
            return Ok(());
        };
        warn!(job = %self.agreed.job, seq, provider = %range.provider, reason, "results are not what was submitted");
        let evidence = serde_json::json!({
            "job": self.agreed.job,
            "seq": seq,
            "provider": range.provider,
            "from": range.from,
            "count": range.count,
            "root": range.root,
            "units": range.units,
            "failures": range.failures,
            "content": range.content,
            "reason": reason,
        });
        let path = self.jobs.folder(self.agreed.job).join("evidence").join(format!("{seq}.json"));
        let refused = RefusedRange { seq, provider: range.provider, reason };
        self.show.send_modify(|progress| progress.refused.push(refused));
        write_whole(&path, evidence.to_string().as_bytes())
    }

    fn tick(&mut self) -> Result<bool, JobError> {
        self.look_around();
        Ok(self.step(Event::Tick))
    }

    /// Once in a while: the chain's time, and why nobody works.
    fn look_around(&mut self) {
        let Some(chronicle) = &self.chronicle else { return };
        let due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN);
        if !due || chronicle.state.is_over() {
            return;
        }
        self.looked = Some(Instant::now());
        let link = self.jobs.account().link().clone();
        let idle = self.last_work.elapsed() >= IDLE && chronicle.outstanding() == 0;
        let open = chronicle.unclaimed() > 0;
        if idle && open {
            let (link, job) = (link.clone(), self.agreed.job);
            let kept = self.agreed.terms.kept;
            self.work.spawn(async move { Done::Looked(waiting::why(&link, job, kept).await.ok()) });
        }
        self.work.spawn(async move { Done::Time(link.next_time().await.ok()) });
    }

    fn step(&mut self, event: Event) -> bool {
        let now = self.now();
        let mut leave = false;
        for effect in self.attention.step(event, now) {
            match effect {
                Effect::Fetch(seq) => self.fetch(seq),
                Effect::Acknowledge(seqs) => self.acknowledge(seqs),
                Effect::Finish => self.finish(),
                Effect::Leave => leave = true,
            }
        }
        leave
    }

    fn fetch(&mut self, seq: u32) {
        let Some(range) = self.chronicle.as_ref().and_then(|c| c.ranges.get(&seq)).cloned() else {
            return;
        };
        let others: Vec<_> = self
            .chronicle
            .iter()
            .flat_map(|chronicle| chronicle.ranges.values())
            .map(|other| other.provider)
            .filter(|provider| *provider != range.provider)
            .collect();
        let (jobs, agreed) = (self.jobs.clone(), self.agreed.clone());
        self.work
            .spawn(async move { Done::Fetched(seq, fetch(&jobs, &agreed, &range, others).await) });
    }

    fn acknowledge(&mut self, seqs: Vec<u32>) {
        let (account, job) = (self.jobs.account().clone(), self.agreed.job);
        self.work.spawn(async move {
            let to = account.link().addresses().job_book;
            let call = JobBook::acknowledgeCall { jobId: job.0, seqs };
            Done::Acknowledged(account.execute(to, call).await.map(drop))
        });
    }

    fn finish(&mut self) {
        let (account, job) = (self.jobs.account().clone(), self.agreed.job);
        self.work.spawn(async move {
            let to = account.link().addresses().job_book;
            let call = JobBook::finishCall { jobId: job.0 };
            Done::Finished(account.execute(to, call).await.map(drop))
        });
    }
}

/// Fetches and checks one range: from its provider, else from its mate, else from others who work on the job, else from its
/// holders.
async fn fetch(
    jobs: &Jobs,
    agreed: &Agreed,
    range: &RangeView,
    mut others: Vec<Address>,
) -> Result<(), CollectError> {
    others.sort_unstable();
    others.dedup();
    if agreed.terms.replicas != 0
        && let Some(mate) = replicas::mate_of(jobs, agreed.job, range).await
    {
        others.retain(|other| *other != mate);
        others.insert(0, mate);
    }
    let known = contacts(jobs, range.provider, &others, false).await;
    let result = attempt(jobs, agreed, range, &known).await;
    if !matches!(result, Err(CollectError::Missing(_))) {
        return result;
    }
    // The provider may have moved.
    let mut fresh = contacts(jobs, range.provider, &others, true).await;
    // And who holds it has it, wherever the provider is.
    fresh.extend(kept::holders(jobs, agreed, range).await);
    if fresh == known { result } else { attempt(jobs, agreed, range, &fresh).await }
}

/// Who may hold a range's content: its provider first, at every endpoint it has had of late. While the chain is away, those that are known.
async fn contacts(jobs: &Jobs, first: Address, others: &[Address], fresh: bool) -> Vec<Contact> {
    let mut contacts = Vec::new();
    for (index, provider) in std::iter::once(&first).chain(others).enumerate() {
        if let Ok(known) = jobs.contacts().of(*provider, fresh && index == 0).await {
            contacts.extend(known);
        }
    }
    contacts
}

async fn attempt(
    jobs: &Jobs,
    agreed: &Agreed,
    range: &RangeView,
    holders: &[Contact],
) -> Result<(), CollectError> {
    let claim = range.claim(agreed.job);
    let (blobs, deadline) = (jobs.blobs(), Instant::now() + FETCH);
    let collected = collect(blobs, &agreed.spec, &claim, range.content, holders, deadline).await;
    // Also of what is wrong, or came in part.
    audits::withhold_parts(blobs, agreed, range).await?;
    collected.map(drop)
}
