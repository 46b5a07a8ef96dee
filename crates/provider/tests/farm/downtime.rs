//! Whoever is down for half of the time that it has in an audit, in a replica or as a holder answers when it is up again, and
//! loses nothing.

use std::mem;

use tilth_client::Agreed;
use tilth_contracts::{AuditState, Audits, HoldState, ReplicaOutcome, ReplicaState, Replicas};
use tilth_protocol::{RangeId, amount::GRAIN};
use tilth_provider::auditor;
use tilth_verification::holding::HOLD_TIME_S;

use crate::{
    audits::{LEAST, order, stake_of, started, stop},
    kept::{self, ask_of, is_in, is_upheld},
    mates::{SHOWN, WRONG},
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

/// How the replica of a job's first range stands, who has shown what is asked for there, and until when.
async fn step_of(stage: &Stage, agreed: &Agreed) -> (ReplicaState, u8, u64) {
    let call = Replicas::pairCall { jobId: agreed.job.0, seq: 0 };
    let pair = stage.link().read(stage.link().addresses().replicas, call).await.unwrap();
    (ReplicaState::try_from(pair.state).unwrap(), pair.shown, pair.due.to())
}

/// As [`lose_half`], in a step of a replica.
async fn lose_half_of_step(stage: &Stage, agreed: &Agreed, state: ReplicaState, shown: u8) {
    let step = step_of(stage, agreed).await;
    assert_eq!((step.0, step.1), (state, shown));
    let now = stage.link().now().await.unwrap();
    assert!(now < step.2, "the clock stands still: nothing is late");
    stage.pass((step.2 - now) / 2).await;
    assert_eq!(step_of(stage, agreed).await, step);
}

pub async fn no_auditor_has_lost_anything(stage: &Stage) {
    for key in 10..10 + LEAST {
        let owner = stage.world.account(key).address();
        let known = auditor::standing(stage.link(), owner).await.unwrap();
        assert_eq!(known.stake, 20 * GRAIN, "nobody has lost anything");
    }
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
    no_auditor_has_lost_anything(&stage).await;
    stop(running).await;
}

/// The mate lies, so that there is a walk; what it loses, it loses for that and not for being late.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_down_for_half_of_its_time_in_a_walk_goes_on_with_it() {
    let stage = Stage::set().await;
    let flipping = || stage.world.provider_that(3, 1, &["choosy", "flips"]).expect("up");
    let (primary, mate) = (stage.provider(2), flipping());
    let (order, agreed) = stage.order(1, true).await;
    stage.wait_for_line(&agreed, 2).await;
    mate.kill();
    stage.let_them_claim().await;
    let tending = stage.client.tend(&agreed);
    stage.reaches(&agreed, ReplicaState::Working, 0).await;
    primary.kill();

    lose_half_of_step(&stage, &agreed, ReplicaState::Working, 0).await;
    let mate = flipping();
    stage.reaches(&agreed, ReplicaState::Revealing, SHOWN.1).await;
    mate.kill();
    lose_half_of_step(&stage, &agreed, ReplicaState::Revealing, SHOWN.1).await;
    // It shows its root, and is the first to post its nodes.
    let primary = stage.provider(2);
    stage.reaches(&agreed, ReplicaState::Walking, SHOWN.0).await;
    primary.kill();
    lose_half_of_step(&stage, &agreed, ReplicaState::Walking, SHOWN.0).await;
    let mate = flipping();
    stage.reaches(&agreed, ReplicaState::Showing, SHOWN.1).await;
    mate.kill();
    lose_half_of_step(&stage, &agreed, ReplicaState::Showing, SHOWN.1).await;
    let primary = stage.provider(2);

    let progress = stage.client.finish(tending).await;
    stage.reaches(&agreed, ReplicaState::Closed, SHOWN.0 | SHOWN.1).await;
    assert_eq!(stage.state(&agreed, 0).await.1, ReplicaOutcome::Alone);
    let audits = progress.audits.as_ref().expect("an audited job");
    assert_eq!((audits.upheld, audits.overturned, audits.undecided), (1, 0, 0), "{progress:?}");
    stage.client.check_outputs(&stage.world, &agreed, &order.script).await;
    let lost: Vec<Replicas::MateLost> =
        stage.said(stage.link().addresses().replicas, &agreed).await;
    assert_eq!(lost.iter().map(|lost| lost.why).collect::<Vec<_>>(), [WRONG], "{lost:?}");
    assert_eq!(stake_of(&stage.world, &primary).await, 50 * GRAIN);
    no_auditor_has_lost_anything(&stage).await;
    stop(stage.auditors).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_who_are_down_for_half_of_their_time_sign_when_they_are_up() {
    let mut stage = Stage::set().await;
    let provider = stage.world.provider(2, 1).expect("up");
    let agreed = stage.client.submit(&stage.world, &kept::order("2h")).await;
    let (link, range) = (stage.link().clone(), RangeId { job: agreed.job, seq: 0 });
    wait("its audit lets it be paid", async || is_upheld(&link, range).await).await;
    stop(mem::take(&mut stage.auditors)).await;
    // Nobody follows the job: when its window is over its provider has holders drawn, who are all away.
    stage.pass(7_300).await;
    wait("holders are drawn", async || is_in(&link, range, HoldState::Open).await).await;
    stage.pass(HOLD_TIME_S / 2).await;
    let ask = ask_of(&link, range).await;
    assert!(is_in(&link, range, HoldState::Open).await && ask.votes == 0, "{ask:?}");

    stage.auditors = started(&stage.world, LEAST).await;
    wait("it is held", async || is_in(&link, range, HoldState::Held).await).await;
    let ask = ask_of(&link, range).await;
    assert!(ask.asked == 1 && ask.votes >= 4, "a majority of seven, at once: {ask:?}");
    let from: u64 = ask.from.to();
    assert!(link.now().await.unwrap() < from + HOLD_TIME_S, "their time is not over");
    assert_eq!(stake_of(&stage.world, &provider).await, 50 * GRAIN);
    no_auditor_has_lost_anything(&stage).await;
    stop(stage.auditors).await;
}
