//! What everybody can read from the chain's logs; of kept jobs beside this file (`kept_logs`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEventInterface;
use tilth_client::{
    audit::{Event, heard},
    holding, mates,
};
use tilth_contracts::{
    Addresses, Audits::AuditsEvents, Holders::HoldersEvents, JobBook::JobBookEvents, RangeState,
    Replicas::ReplicasEvents, Spots::SpotsEvents, Terms,
};
use tilth_protocol::{JobId, RangeId};
use tilth_provider::{machine::ChainEvent, words};

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Who pays.
    pub client: Address,
    /// As opened.
    pub terms: Terms,
    /// Tasks of settled ranges.
    pub settled: u32,
    /// Whether it was finished.
    pub over: bool,
}

/// A range.
#[derive(Clone, Debug)]
pub struct Range {
    /// Owner of its provider.
    pub provider: Address,
    /// Its first task.
    pub from: u32,
    /// Its tasks.
    pub count: u32,
    /// Base units per unit.
    pub price: u128,
    /// Where it stands.
    pub state: RangeState,
    /// When it was claimed or submitted, by the chain's clock, seconds.
    pub at: u64,
    /// The root it was submitted with; of a replicated range its seal, until the root is shown.
    pub root: B256,
}

/// A replicated range before its audit.
#[derive(Clone, Copy, Debug)]
pub struct Replica {
    /// Number of its provider.
    pub primary: u32,
    /// Number of the mate that was drawn last; 0: none.
    pub mate: u32,
    /// Whether its mate is not drawn yet.
    pub sealed: bool,
    /// Whether it is closed.
    pub over: bool,
}

/// All that logs told so far.
#[derive(Debug, Default)]
pub struct Public {
    /// Jobs.
    pub jobs: BTreeMap<JobId, Job>,
    /// Ranges.
    pub ranges: BTreeMap<RangeId, Range>,
    /// Commitments of auditors, in their order.
    pub seals: BTreeMap<RangeId, Vec<B256>>,
    /// Answers that auditors showed, in their order.
    pub answers: BTreeMap<RangeId, Vec<B256>>,
    /// What the opened leaves say.
    pub claimed: BTreeMap<RangeId, B256>,
    /// All that the `JobBook` said, and of which job: what clients go by.
    pub book: Vec<(JobId, JobBookEvents)>,
    /// All that providers work by, as their machines take it; of a place in a line with the number of whose it is.
    pub works: Vec<(ChainEvent, Option<u32>)>,
    /// All that was said about audits, as the machines take it.
    pub audits: Vec<Event>,
    /// Replicated ranges that were submitted.
    pub replicas: BTreeMap<RangeId, Replica>,
    /// All that was said about replicas, as the machines take it, and in which job.
    pub mates: Vec<(JobId, mates::Event)>,
    /// All that was said about ranges of kept jobs, as the machines take it, and in which job.
    pub holds: Vec<(JobId, holding::Event)>,
    /// Ranges for which holders were asked, and inputs.
    pub asked: BTreeSet<RangeId>,
    /// What enough have signed that they hold.
    pub held: BTreeMap<RangeId, Kept>,
}

/// What auditors hold.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// When nobody waits any more for others to look at it, or to say what they have seen; by the chain's clock,
    /// seconds.
    pub due: u64,
    /// Whether nobody need keep it any more.
    pub over: bool,
}

/// A range as logs name it.
pub(super) fn range(job: u64, seq: u32) -> RangeId {
    RangeId { job: JobId(job), seq }
}

/// The job that a log of the `JobBook`, of `Holders` or of `Spots` is about: all name it first.
pub(super) fn job_of(log: &Log) -> Option<JobId> {
    let named = log.data.topics().get(1);
    named.map(|job| JobId(U256::from_be_bytes(job.0).saturating_to()))
}

impl Public {
    /// Takes in a log.
    pub fn read(&mut self, at: &Addresses, log: &Log) {
        if log.address == at.job_book || log.address == at.waiting {
            self.works.extend(words::heard(log));
        }
        if log.address == at.job_book
            && let Ok(event) = JobBookEvents::decode_log(log)
        {
            self.read_job(&event.data);
            self.read_hold(log);
            self.book.extend(job_of(log).map(|job| (job, event.data)));
        } else if log.address == at.audits
            && let Ok(event) = AuditsEvents::decode_log(log)
        {
            self.audits.extend(heard(log));
            self.read_audit(&event.data);
        } else if log.address == at.replicas
            && let Ok(event) = ReplicasEvents::decode_log(log)
        {
            let job = self.read_replica(&event.data).job;
            self.mates.extend(mates::heard(log).map(|event| (job, event)));
        } else if log.address == at.holders {
            if let Ok(event) = HoldersEvents::decode_log(log) {
                self.read_kept(&event.data);
            }
            self.read_hold(log);
        } else if log.address == at.spots {
            if let Ok(event) = SpotsEvents::decode_log(log) {
                self.read_look(&event.data);
            }
            self.read_hold(log);
        }
    }

    fn read_job(&mut self, event: &JobBookEvents) {
        match event {
            JobBookEvents::JobOpened(e) => {
                let job = Job { client: e.client, terms: e.terms.clone(), settled: 0, over: false };
                self.jobs.insert(JobId(e.jobId), job);
            }
            JobBookEvents::JobDone(e) => {
                if let Some(job) = self.jobs.get_mut(&JobId(e.jobId)) {
                    job.over = true;
                }
            }
            JobBookEvents::RangeClaimed(e) => {
                let claimed = Range {
                    provider: e.provider,
                    from: e.from,
                    count: e.count,
                    price: e.price.to(),
                    state: RangeState::Claimed,
                    at: e.at.to(),
                    root: B256::ZERO,
                };
                self.ranges.insert(range(e.jobId, e.seq), claimed);
            }
            JobBookEvents::RangeSubmitted(e) => {
                if let Some(found) = self.ranges.get_mut(&range(e.jobId, e.seq)) {
                    (found.state, found.at, found.root) =
                        (RangeState::Submitted, e.at.to(), e.root);
                }
            }
            JobBookEvents::RangeUnsealed(e) => {
                if let Some(found) = self.ranges.get_mut(&range(e.jobId, e.seq)) {
                    found.root = e.root;
                }
            }
            JobBookEvents::RangeSettled(e) => {
                let id = range(e.jobId, e.seq);
                self.enter(id, RangeState::Settled);
                let count = self.ranges.get(&id).map_or(0, |found| found.count);
                if let Some(job) = self.jobs.get_mut(&id.job) {
                    job.settled = job.settled.saturating_add(count);
                }
            }
            JobBookEvents::RangeReleased(e) => {
                self.enter(range(e.jobId, e.seq), RangeState::Released);
            }
            JobBookEvents::RangeExpired(e) => {
                self.enter(range(e.jobId, e.seq), RangeState::Expired);
            }
            JobBookEvents::RangeRejected(e) => {
                self.enter(range(e.jobId, e.seq), RangeState::Rejected);
            }
            _ => {}
        }
    }

    /// How often holders were asked for of a range, or of inputs.
    pub fn asks(&self, id: RangeId) -> usize {
        let asks = self.holds.iter().filter(|(_, event)| match event {
            holding::Event::Asked { range, .. } => *range == id,
            _ => false,
        });
        asks.count()
    }

    fn enter(&mut self, id: RangeId, state: RangeState) {
        if let Some(found) = self.ranges.get_mut(&id) {
            found.state = state;
        }
    }

    /// Takes in what was said of a range, and says of which.
    fn read_replica(&mut self, event: &ReplicasEvents) -> RangeId {
        match event {
            ReplicasEvents::MateDue(e) => {
                let id = range(e.jobId, e.seq);
                let due = Replica { primary: e.provider, mate: 0, sealed: true, over: false };
                self.replicas.insert(id, due);
                id
            }
            ReplicasEvents::MateDrawn(e) => self.mate(range(e.jobId, e.seq), e.number),
            ReplicasEvents::MateLost(e) => self.mate(range(e.jobId, e.seq), 0),
            ReplicasEvents::NoMate(e) => self.mate(range(e.jobId, e.seq), 0),
            ReplicasEvents::MateCommitted(e) => range(e.jobId, e.seq),
            ReplicasEvents::RootShown(e) => range(e.jobId, e.seq),
            ReplicasEvents::WalkStep(e) => range(e.jobId, e.seq),
            ReplicasEvents::NodesPosted(e) => range(e.jobId, e.seq),
            ReplicasEvents::LeafShown(e) => range(e.jobId, e.seq),
            ReplicasEvents::LeafDisputed(e) => range(e.jobId, e.seq),
            ReplicasEvents::PrimaryLost(e) => range(e.jobId, e.seq),
            ReplicasEvents::ReplicaClosed(e) => {
                let id = range(e.jobId, e.seq);
                if let Some(found) = self.replicas.get_mut(&id) {
                    found.over = true;
                }
                id
            }
        }
    }

    fn mate(&mut self, id: RangeId, number: u32) -> RangeId {
        if let Some(found) = self.replicas.get_mut(&id) {
            (found.mate, found.sealed) = (number, false);
        }
        id
    }

    fn read_audit(&mut self, event: &AuditsEvents) {
        match event {
            // What was said in a dispute is of another case.
            AuditsEvents::AuditDue(e) => {
                let id = range(e.jobId, e.seq);
                self.seals.remove(&id);
                self.answers.remove(&id);
                self.claimed.remove(&id);
            }
            AuditsEvents::AuditCommitted(e) => {
                self.seals.entry(range(e.jobId, e.seq)).or_default().push(e.sealed_);
            }
            AuditsEvents::AuditOpened(e) => {
                self.claimed.insert(range(e.jobId, e.seq), e.claimed);
            }
            AuditsEvents::AuditRevealed(e) => {
                self.answers.entry(range(e.jobId, e.seq)).or_default().push(e.answer);
            }
            _ => {}
        }
    }

    /// Whether a range's tasks are with its provider, or its result is not judged.
    pub fn is_outstanding(&self, job: JobId) -> bool {
        self.outstanding(job) != 0
    }

    /// How many such ranges a job has.
    pub fn outstanding(&self, job: JobId) -> u128 {
        let all = RangeId { job, seq: 0 }..=RangeId { job, seq: u32::MAX };
        let out = self.ranges.range(all).filter(|(_, found)| {
            matches!(found.state, RangeState::Claimed | RangeState::Submitted)
        });
        out.count() as u128
    }
}
