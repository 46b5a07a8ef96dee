//! Whoever is down for half of the time that it has in an audit answers when it is up again, and loses nothing.

use std::mem;

use tilth_contracts::{AuditState, Audits};
use tilth_protocol::{RangeId, amount::GRAIN};
use tilth_provider::auditor;

use crate::{
    audits::{LEAST, order, stake_of, started, stop},
    stage::Stage,
    world::wait,
};

pub async fn case_of(stage: &Stage, range: RangeId) -> (AuditState, u64) {
    let call = Audits::auditCaseCall { jobId: range.job.0, seq: range.seq };
    let case = stage.link().read(stage.link().addresses().audits, call).await.unwrap();
    (AuditState::try_from(case.state).unwrap(), case.deadline.to())
}

pub async fn reaches(stage: &Stage, range: RangeId, state: AuditState) {
    let what = format!("its audit is {state:?}");
    wait(&what, async || case_of(stage, range).await.0 == state).await;
}

/// Lets half of the time pass in which somebody is waited for; it is still waited for then.
async fn lose_half(stage: &Stage, range: RangeId, state: AuditState) {
    let (found, deadline) = case_of(stage, range).await;
    assert_eq!(found, state);
    let now = stage.link().now().await.unwrap();
    assert!(now < deadline, "the clock stands still: nothing is late");
    stage.pass((deadline - now) / 2).await;
    assert_eq!(case_of(stage, range).await, (state, deadline));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_down_for_half_of_its_time_answers_when_it_is_up() {
    let mut stage = Stage::set().await;
    // They are on the line, but the provider alone draws, as soon as it has handed in.
    stop(mem::take(&mut stage.auditors)).await;
    let provider = stage.world.provider(2, 1).expect("up");
    let agreed = stage.client.submit(&stage.world, &order(1)).await;
    let range = RangeId { job: agreed.job, seq: 0 };
    wait("the range is handed in", async || case_of(&stage, range).await.0 != AuditState::None)
        .await;
    provider.kill();
    if case_of(&stage, range).await.0 == AuditState::Submitted {
        let running = started(&stage.world, LEAST).await;
        reaches(&stage, range, AuditState::Naming).await;
        stop(running).await;
    }
    // On a machine that stood still for seconds it has named already.
    if case_of(&stage, range).await.0 == AuditState::Naming {
        lose_half(&stage, range, AuditState::Naming).await;
        let provider = stage.world.provider(2, 1).expect("up");
        reaches(&stage, range, AuditState::Committing).await;
        // Held down, so that nothing is opened before half of that time is over, too.
        provider.kill();
    }
    lose_half(&stage, range, AuditState::Committing).await;
    let running = started(&stage.world, LEAST).await;
    reaches(&stage, range, AuditState::Opening).await;
    stop(running).await;

    lose_half(&stage, range, AuditState::Opening).await;
    let provider = stage.world.provider(2, 1).expect("up");
    reaches(&stage, range, AuditState::Revealing).await;

    lose_half(&stage, range, AuditState::Revealing).await;
    let running = started(&stage.world, LEAST).await;
    let progress = stage.client.finish(stage.client.tend(&agreed)).await;
    let audits = progress.audits.as_ref().expect("an audited job");
    assert_eq!((audits.upheld, audits.overturned, audits.undecided), (1, 0, 0), "{progress:?}");
    assert_eq!(stake_of(&stage.world, &provider).await, 50 * GRAIN);
    for key in 10..10 + LEAST {
        let owner = stage.world.account(key).address();
        let known = auditor::standing(stage.link(), owner).await.unwrap();
        assert_eq!(known.stake, 20 * GRAIN, "nobody has lost anything");
    }
    stop(running).await;
}
