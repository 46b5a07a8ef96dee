//! What ends the tending of a job that is not over, and what is done about a range whose root is sealed.

use std::sync::Arc;

use alloy::{
    primitives::{
        B256, Bytes,
        aliases::{U40, U96},
    },
    signers::local::PrivateKeySigner,
};
use tilth_blobs::{Blobs, Config, Limits as BlobsLimits};
use tilth_contracts::{
    Addresses, AuditOutcome, AuditState,
    JobBook::{
        JobCancelled, JobOpened, RangeClaimed, RangeRejected, RangeSubmitted, RangeUnsealed,
    },
    ReplicaOutcome, ReplicaState, Terms,
};
use tilth_protocol::{ContentHash, ContentRef, JobSpec, Limits, Output, Workload};

use super::{
    audits::{Moved, Standings},
    *,
};
use crate::{Account, Link};

fn spec() -> JobSpec {
    JobSpec {
        name: "a job".into(),
        workload: Workload::Wasm,
        program: ContentRef { hash: ContentHash([1; 32]), size: 64 },
        inputs: Vec::new(),
        task_count: 1,
        limits: Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 64 },
        output: Output::Values,
    }
}

fn terms() -> Terms {
    Terms {
        specHash: B256::repeat_byte(2),
        taskCount: 1,
        unitCap: 1,
        prepareCap: 0,
        price: U96::ZERO,
        floorPrice: U96::ZERO,
        finishSeconds: 0,
        window: 600,
        rangeTimeout: 600,
        targetSeconds: 60,
        parallelism: 1,
        firstRange: 1,
        deadline: U40::ZERO,
        maxFailures: 0,
        requiredClass: 0,
        minVramMib: 0,
        afterJob: 0,
        audited: false,
        replicas: 0,
        kept: false,
        callback: Address::ZERO,
        program: B256::repeat_byte(1),
        contact: Bytes::new(),
    }
}

/// A client of a chain that does not answer.
async fn jobs() -> (tempfile::TempDir, Blobs, Jobs) {
    let dir = tempfile::tempdir().unwrap();
    let bind = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::new(dir.path().join("content"), [1; 32], bind);
    config.limits = BlobsLimits { disk_reserve: 1 << 20, ..BlobsLimits::default() };
    let blobs = Blobs::spawn(config).await.unwrap();
    let link = Link::open("http://127.0.0.1:1", Addresses::predeployed()).unwrap();
    let account = Account::new(link, PrivateKeySigner::random());
    let jobs = Jobs::new(account, blobs.clone(), dir.path().join("jobs"), 0);
    (dir, blobs, jobs)
}

fn agreed(jobs: &Jobs, terms: Terms) -> Agreed {
    let client = jobs.account().address();
    Agreed { job: JobId(1), client, spec: Arc::new(spec()), terms, opened_block: 0 }
}

/// A replicated job of one task, which is handed in as a seal.
fn sealed(jobs: &Jobs) -> Tender {
    let agreed = agreed(jobs, Terms { audited: true, replicas: 2, ..terms() });
    let (mut tender, _) = Tender::new(jobs, &agreed, Tend { pay: true });
    let (job, provider, at) = (1, Address::repeat_byte(7), U40::ZERO);
    let (terms, program, client) = (agreed.terms.clone(), B256::ZERO, agreed.client);
    let opened = JobOpened { jobId: job, client, program, terms, escrow: 9, at };
    let price = U96::from(1);
    let claimed =
        RangeClaimed { jobId: job, seq: 0, provider, from: 0, count: 1, price, escrow: 7, at };
    let (root, content) = (B256::repeat_byte(5), B256::repeat_byte(6));
    let submitted = RangeSubmitted {
        jobId: job,
        seq: 0,
        provider,
        root,
        units: 1,
        failures: 0,
        contentHash: content,
        escrow: 7,
        at,
    };
    for event in [
        JobBookEvents::JobOpened(opened),
        JobBookEvents::RangeClaimed(claimed),
        JobBookEvents::RangeSubmitted(submitted),
    ] {
        assert!(!tender.event(&event).unwrap());
    }
    assert!(!tender.judge().unwrap());
    tender
}

#[tokio::test]
async fn a_sealed_range_is_fetched_when_its_root_is_shown_and_paid_when_its_audit_is_over() {
    let (_dir, blobs, jobs) = jobs().await;
    let mut tender = sealed(&jobs);
    tender.moved(Moved::Replica(0, mates::Standing::Open(ReplicaState::Revealing)));
    assert!(tender.work.is_empty(), "its results are a secret");
    assert_eq!(tender.show.borrow().replicas.unwrap().sealed, 1);

    let root = B256::repeat_byte(8);
    let unsealed = JobBookEvents::RangeUnsealed(RangeUnsealed { jobId: 1, seq: 0, root });
    assert!(!tender.event(&unsealed).unwrap());
    assert_eq!(tender.work.len(), 1, "it is fetched");
    tender.moved(Moved::Replica(0, mates::Standing::Over(ReplicaOutcome::Matched)));
    let totals = tender.show.borrow().replicas.unwrap();
    assert_eq!((totals.sealed, totals.matched), (0, 1));

    assert!(!tender.done(Ok(Done::Fetched(0, Ok(())))).unwrap());
    assert!(!tender.judge().unwrap());
    assert_eq!(tender.work.len(), 1, "it is right, and its audit is open");
    for state in [AuditState::Revealing, AuditState::Closed] {
        assert!(!tender.moved(Moved::Audit(0, Standing::Disputed(state))));
        assert_eq!(tender.work.len(), 1, "one leaf of it is right");
        assert_eq!(tender.show.borrow().audits.unwrap().open, 1);
    }
    assert!(!tender.moved(Moved::Audit(0, Standing::Over(AuditOutcome::Upheld))));
    assert_eq!(tender.work.len(), 2, "it is acknowledged");
    drop(tender);
    blobs.shutdown().await.unwrap();
}

/// A kept job that is open, and what is shown of it.
fn kept(jobs: &Jobs, pay: bool) -> (Tender, watch::Receiver<Progress>) {
    let agreed = agreed(jobs, Terms { audited: true, kept: true, ..terms() });
    let (mut tender, seen) = Tender::new(jobs, &agreed, Tend { pay });
    let (terms, program, client) = (agreed.terms.clone(), B256::ZERO, agreed.client);
    let opened = JobOpened { jobId: 1, client, program, terms, escrow: 9, at: U40::ZERO };
    tender.event(&JobBookEvents::JobOpened(opened)).unwrap();
    (tender, seen)
}

#[tokio::test]
async fn a_job_whose_inputs_nobody_holds_in_time_is_not_waited_for() {
    let (_dir, blobs, jobs) = jobs().await;
    let (mut tender, seen) = kept(&jobs, true);
    for state in [HoldState::Asked, HoldState::Open, HoldState::Again, HoldState::Held] {
        assert!(!tender.moved(Moved::Inputs(state)));
        assert_eq!(seen.borrow().inputs, Some(state));
        assert_eq!(tender.has_lost_inputs(), None, "{state}");
    }
    assert!(tender.show.borrow().kept.unwrap() == KeptTotals::default(), "they are no range");
    let said = serde_json::to_value(&*seen.borrow()).unwrap();
    assert_eq!(said["inputs"], "held");
    tender.moved(Moved::Inputs(HoldState::Lost));
    let problem = tender.has_lost_inputs().expect("nobody will work on it");
    assert!(problem.what.contains("not held in time"), "{problem}");
    assert!(problem.advice.contains("tilth job cancel 1"), "{problem}");
    // What is cancelled is followed to its end.
    let cancelled = JobCancelled { jobId: 1, refunded: 9 };
    tender.event(&JobBookEvents::JobCancelled(cancelled)).unwrap();
    assert_eq!(tender.has_lost_inputs(), None);
    drop(tender);
    blobs.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_has_its_inputs_held_also_where_it_acknowledges_nothing() {
    let (_dir, blobs, jobs) = jobs().await;
    let (tender, _) = kept(&jobs, false);
    assert!(tender.follows_kept());
    let others = Agreed { client: Address::repeat_byte(8), ..tender.agreed.clone() };
    let (tender, _) = Tender::new(&jobs, &others, Tend { pay: false });
    assert!(!tender.follows_kept(), "that is its client's");
    drop(tender);
    blobs.shutdown().await.unwrap();
}

/// Whether nothing more has to be heard.
async fn knows_all(tender: &mut Tender, heard: &mut Standings) -> bool {
    tokio::select! {
        biased;
        () = tender.hear_verdicts(heard) => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test]
async fn no_verdict_is_waited_for_where_a_root_was_never_shown() {
    let (_dir, blobs, jobs) = jobs().await;
    let mut tender = sealed(&jobs);
    let provider = Address::repeat_byte(7);
    let rejected = RangeRejected { jobId: 1, seq: 0, provider, escrow: 9 };
    tender.event(&JobBookEvents::RangeRejected(rejected)).unwrap();
    let (_told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    assert!(!knows_all(&mut tender, &mut heard).await, "why it was rejected is not known");
    tender.moved(Moved::Replica(0, mates::Standing::Over(ReplicaOutcome::Silent)));
    assert!(knows_all(&mut tender, &mut heard).await);
    drop(tender);
    blobs.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_job_that_cannot_be_seen_any_more_is_not_waited_for() {
    let (_dir, blobs, jobs) = jobs().await;
    let agreed = agreed(&jobs, terms());
    let (tender, _seen) = Tender::new(&jobs, &agreed, Tend { pay: true });
    // Without an error it would look once a second for ever, and show the job as it was.
    let following = tender.follow(Following::dead());
    let ended = tokio::time::timeout(Duration::from_secs(60), following).await.expect("it ends");
    assert!(matches!(ended, Err(JobError::Chain(ChainError::Unread))), "{ended:?}");
    blobs.shutdown().await.unwrap();
}
