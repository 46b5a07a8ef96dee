//! When the time of those who hold something is over: others look whether they serve it, and who does not has only the
//! half that it was paid when it signed.

use std::fs;

use tilth_client::{
    Account, Link,
    earnings::{self, Source},
};
use tilth_contracts::{HoldState, Holders, Keep, RangeState, SpotState, Spots};
use tilth_protocol::{JobId, RangeId};

use crate::{
    audits::{LEAST, stop},
    kept::{ask_of, is_in, is_upheld, order, said, state_of},
    stage::Stage,
    world::{World, wait},
};

/// Key of the first auditor; the others follow.
const FIRST: u8 = 10;

async fn keep_of(link: &Link, job: JobId) -> Keep {
    let call = Holders::keptCall { jobId: job.0 };
    link.read(link.addresses().holders, call).await.unwrap()
}

/// The draws of those who have signed for it that name one auditor.
async fn draws_of(link: &Link, of: RangeId, number: u32) -> u16 {
    let call = Holders::namedCall { jobId: of.job.0, seq: of.seq };
    let named = link.read(link.addresses().holders, call).await.unwrap();
    let draws = (0_u32..16).zip(&named).filter(|(_, named)| **named == number);
    ask_of(link, of).await.bits & draws.fold(0, |bits, (draw, _)| bits | 1_u16 << draw)
}

/// How many have looked, and where looking stands.
async fn look_of(link: &Link, of: RangeId) -> (u8, SpotState) {
    let call = Spots::spotOfCall { jobId: of.job.0, seq: of.seq };
    let spot = link.read(link.addresses().spots, call).await.unwrap();
    (spot.votes, SpotState::try_from(spot.state).unwrap())
}

async fn all_have_looked(link: &Link, of: RangeId) -> bool {
    look_of(link, of).await == (7, SpotState::Asked)
}

/// Ends a look whose time is over: no vote does that.
async fn conclude(account: &Account, of: RangeId) {
    let link = account.link();
    let call = Spots::concludeCall { jobId: of.job.0, seq: of.seq };
    // One of their holders may be quicker.
    let _ = account.execute(link.addresses().spots, call).await;
    wait("what was seen counts", async || look_of(link, of).await == (7, SpotState::Over)).await;
}

/// Checks that all have looked, and have seen everybody serve but one auditor. Returns what the second halves are.
async fn served_without(link: &Link, of: RangeId, thief: u32) -> u128 {
    let looked = said::<Spots::Spotted>(link, of).await;
    let votes = looked.iter().filter(|one| one.seq == of.seq).count();
    assert_eq!(votes, 7, "no time has passed in which one could have been away: {looked:?}");
    let ended = said::<Spots::SpotOver>(link, of).await;
    let over = ended.iter().find(|over| over.seq == of.seq).unwrap();
    let honest = ask_of(link, of).await.bits & !draws_of(link, of, thief).await;
    assert_eq!(over.served, honest, "{of}: {looked:?}");
    over.fee.to::<u128>() * u128::from(honest.count_ones())
}

/// What one was paid when it signed, and what when it was seen to serve.
async fn halves_of(link: &Link, world: &World, key: u8) -> (u128, u128) {
    let entries = earnings::of(link, 0, world.account(key).address()).await.unwrap();
    let paid = |wanted: fn(Source) -> bool| {
        let found = entries.iter().filter(|entry| wanted(entry.source));
        found.map(|entry| entry.paid.0).sum::<u128>()
    };
    let first = paid(|source| matches!(source, Source::Held(_)));
    (first, paid(|source| matches!(source, Source::Served(_))))
}

/// Checks that what was funded is what was paid and what came back, to the unit.
async fn adds_up(link: &Link, range: RangeId) {
    let fees = said::<Holders::Held>(link, range).await;
    let mut spent: u128 = fees.iter().map(|one| one.fee.to::<u128>()).sum();
    let fees = said::<Spots::Spotted>(link, range).await;
    spent += fees.iter().map(|one| one.fee.to::<u128>()).sum::<u128>();
    for over in said::<Spots::SpotOver>(link, range).await {
        spent += over.fee.to::<u128>() * u128::from(over.served.count_ones());
    }
    let back = said::<Holders::KeepClosed>(link, range).await;
    spent += back.iter().map(|one| one.amount.to::<u128>()).sum::<u128>();
    let funded = said::<Holders::KeepFunded>(link, range).await;
    assert_eq!(spent, funded.iter().map(|one| one.amount.to::<u128>()).sum::<u128>());
}

/// Stops one of those who hold a range, and deletes all that it has.
async fn steal(stage: &mut Stage, link: &Link, range: RangeId) -> (u8, u32) {
    let signed = said::<Holders::Held>(link, range).await;
    let thief = signed.iter().find(|held| held.seq == range.seq).unwrap().number;
    let place = stage.auditors.iter().position(|auditor| auditor.number() == thief).unwrap();
    stage.auditors.remove(place).stop().await.unwrap();
    let key = FIRST + u8::try_from(place).unwrap();
    let dir = stage.world.dir.path().join(format!("auditor{key}"));
    fs::remove_dir_all(dir.join("content")).unwrap();
    (key, thief)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_deleted_what_it_was_to_hold_has_no_second_half_and_the_others_have() {
    let mut stage = Stage::set().await;
    let provider = stage.world.provider(2, 1).expect("up");
    let agreed = stage.client.submit(&stage.world, &order("60s")).await;
    let account = stage.client.jobs.account().clone();
    let link = account.link().clone();
    let (range, inputs) = (RangeId { job: agreed.job, seq: 0 }, RangeId::inputs(agreed.job));
    wait("its audit lets it be paid", async || is_upheld(&link, range).await).await;
    stage.pass(100).await;
    wait("it is held", async || is_in(&link, range, HoldState::Held).await).await;
    wait("it is paid", async || state_of(&link, range).await == RangeState::Settled).await;
    // Its client comes, fetches it from those who hold it, and ends the job: nobody needs its inputs any more.
    provider.kill();
    let progress = stage.client.finish(stage.client.tend(&agreed)).await;
    assert_eq!((progress.totals.settled, progress.checked), (1, 1), "{progress:?}");

    let (key, thief) = steal(&mut stage, &link, range).await;
    stage.pass(86_500).await;
    // It wants its half and calls for those who look. Of the inputs, which it may not have held, anybody does.
    stage.auditors.push(stage.world.auditor(key).await);
    wait("others have looked", async || all_have_looked(&link, range).await).await;
    let call = Spots::checkCall { jobId: inputs.job.0, seq: inputs.seq };
    // One of their holders may have been quicker.
    let _ = account.execute(link.addresses().spots, call).await;
    wait("others have looked", async || all_have_looked(&link, inputs).await).await;
    stage.pass(7_300).await;
    for of in [range, inputs] {
        conclude(&account, of).await;
    }
    stop(stage.auditors).await;

    let mut due = served_without(&link, range, thief).await;
    due += served_without(&link, inputs, thief).await;
    for auditor in FIRST..FIRST + LEAST {
        let (first, second) = halves_of(&link, &stage.world, auditor).await;
        assert_eq!(second, if auditor == key { 0 } else { first }, "auditor {auditor}");
        due -= second;
    }
    assert_eq!(due, 0, "whoever was seen to serve has got it");

    // The rest is the client's, when it looks after its job again.
    let keep = keep_of(&link, agreed.job).await;
    assert!(keep.reserved.is_zero(), "{keep:?}");
    let _tending = stage.client.tend(&agreed);
    wait("the rest is back", async || keep_of(&link, agreed.job).await.deposit.is_zero()).await;
    adds_up(&link, range).await;
}
