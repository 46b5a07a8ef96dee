//! Inputs that nobody serves when auditors come for them, in a job that is not kept: there nobody can tell whose fault it
//! is.

use std::mem;

use tilth_client::{Agreed, holding::least_fee, money};
use tilth_contracts::{AuditOutcome, AuditState, Audits, JobBook, RangeState};
use tilth_protocol::{RangeId, amount::GRAIN};
use tilth_verification::audit::COMMITTEE;

use crate::{
    audits::{LEAST, order, stake_of, started, stop},
    downtime::{case_of, no_auditor_has_lost_anything, reaches},
    kept::{is_upheld, slashed, state_of},
    stage::Stage,
    world::{Running, wait},
};

/// A job of one range, handed in and named by its provider. Its auditors are on the line and away: none of them has fetched
/// anything of it.
async fn named(stage: &mut Stage) -> (Running, Agreed, RangeId) {
    stop(mem::take(&mut stage.auditors)).await;
    let provider = stage.world.provider(2, 1).expect("up");
    let agreed = stage.client.submit(&stage.world, &order(1)).await;
    assert!(agreed.terms.audited && !agreed.terms.kept);
    let range = RangeId { job: agreed.job, seq: 0 };
    reaches(stage, range, AuditState::Committing).await;
    (provider, agreed, range)
}

async fn outcome_of(stage: &Stage, range: RangeId) -> AuditOutcome {
    let call = Audits::auditCaseCall { jobId: range.job.0, seq: range.seq };
    let case = stage.link().read(stage.link().addresses().audits, call).await.unwrap();
    AuditOutcome::try_from(case.outcome).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_serves_no_auditor_burns_nobody_and_pays() {
    let mut stage = Stage::set().await;
    let (provider, _, range) = named(&mut stage).await;
    // From now on its provider alone has what the tasks need, and serves it to be paid.
    stage.client.blobs.shutdown().await.unwrap();
    stage.auditors = started(&stage.world, LEAST).await;
    let (account, link) = (stage.client.jobs.account().clone(), stage.link().clone());
    wait("its audit lets it be paid", async || is_upheld(&link, range).await).await;
    assert_eq!(outcome_of(&stage, range).await, AuditOutcome::Upheld);
    let free = money::balances(&link, provider.address).await.unwrap().free;
    // Nobody acknowledges anything; the window is over by the chain's clock alone.
    stage.pass(7_300).await;
    let call = JobBook::settleCall { jobId: range.job.0, seqs: vec![range.seq] };
    // Its provider may be quicker.
    let _ = account.execute(link.addresses().job_book, call).await;
    wait("it is paid", async || state_of(&link, range).await == RangeState::Settled).await;
    assert!(money::balances(&link, provider.address).await.unwrap().free > free, "it is paid");
    assert_eq!(stake_of(&stage.world, &provider).await, 50 * GRAIN);
    no_auditor_has_lost_anything(&stage).await;
    stop(stage.auditors).await;
}

/// What that costs a provider that does not serve either is far from what being wrong costs.
#[tokio::test(flavor = "multi_thread")]
async fn auditors_whom_nobody_serves_lose_nothing_and_the_case_closes() {
    let mut stage = Stage::set().await;
    let (provider, agreed, range) = named(&mut stage).await;
    let owner = provider.address;
    provider.kill();
    stage.client.blobs.shutdown().await.unwrap();
    stage.auditors = started(&stage.world, LEAST).await;
    let (account, link) = (stage.client.jobs.account().clone(), stage.link().clone());
    let mut asked = 0;
    loop {
        let (state, deadline) = case_of(&stage, range).await;
        if state == AuditState::Closed {
            break;
        }
        assert_eq!(state, AuditState::Committing, "nobody has anything to commit to");
        asked += 1;
        assert!(asked <= LEAST, "each of them is asked once");
        let now = link.now().await.unwrap();
        stage.pass(deadline.saturating_sub(now) + 1).await;
        let call = Audits::advanceCall { jobId: range.job.0, seq: range.seq };
        // Who was late before may be quicker.
        let _ = account.execute(link.addresses().audits, call).await;
        wait("others are asked, or nobody is left", async || {
            case_of(&stage, range).await != (state, deadline)
        })
        .await;
    }
    assert_eq!(outcome_of(&stage, range).await, AuditOutcome::Undecided);
    assert_eq!(state_of(&link, range).await, RangeState::Rejected, "its tasks are free again");
    no_auditor_has_lost_anything(&stage).await;
    // Twice what a committee would have had, for half of it is burned. It is a share of the stake, rounded up.
    let due = 2 * u128::from(COMMITTEE) * least_fee(&link).await.unwrap();
    let cuts = slashed(&link, owner).await;
    let [cut] = &cuts[..] else { panic!("{cuts:?}") };
    let sum = cut.toBeneficiary + cut.burned;
    assert!((due..=due + 50 * GRAIN / 1_000_000_000).contains(&sum), "{sum} and not {due}");
    assert_eq!(cut.stake, 50 * GRAIN - sum);
    let call = JobBook::jobCall { jobId: agreed.job.0 };
    let job = link.read(link.addresses().job_book, call).await.unwrap();
    assert_eq!(job.settledTasks, 0, "and nobody is paid");
    stop(stage.auditors).await;
}
