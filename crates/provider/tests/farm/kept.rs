//! Kept jobs: nobody works on them before auditors hold their inputs, and what their client does not acknowledge is paid
//! only when auditors hold it. Both is had from them then.

use std::mem;

use alloy::{
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use alloy_primitives::{Address, U256};
use tilth_client::{
    Link,
    earnings::{self, Source},
    holding::least_fee,
};
use tilth_contracts::{
    Auditors, Audits, HoldAsk, HoldState, Holders, JobBook, RangeState, Registry,
};
use tilth_protocol::{RangeId, amount::GRAIN};
use tilth_verification::holding::{ASK_FIRST_S, lost};

use crate::{
    audits::{LEAST, auditors, stop},
    script::Script,
    stage::Stage,
    world::{Order, World, wait},
};

/// A job of one range, of which auditors hold what its client does not acknowledge.
pub fn order(window: &'static str) -> Order {
    let script = Script { output: 100, ..Script::default() };
    Order { audited: true, kept: true, window, timeout: "200s", ..Order::new(1, script) }
}

pub async fn ask_of(link: &Link, range: RangeId) -> HoldAsk {
    let call = Holders::askedCall { jobId: range.job.0, seq: range.seq };
    link.read(link.addresses().holders, call).await.unwrap()
}

pub async fn is_in(link: &Link, range: RangeId, state: HoldState) -> bool {
    HoldState::try_from(ask_of(link, range).await.state) == Ok(state)
}

pub async fn state_of(link: &Link, range: RangeId) -> RangeState {
    let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
    let range = link.read(link.addresses().job_book, call).await.unwrap();
    RangeState::try_from(range.state).unwrap()
}

/// Whether a range is handed in, and its audit lets it be paid.
pub async fn is_upheld(link: &Link, range: RangeId) -> bool {
    if state_of(link, range).await != RangeState::Submitted {
        return false;
    }
    let call = Audits::billCall { jobId: range.job.0, seq: range.seq, value: U256::ZERO };
    link.read(link.addresses().audits, call).await.unwrap().mayPay
}

async fn stake_of(link: &Link, owner: Address) -> u128 {
    let call = Registry::providerCall { owner };
    link.read(link.addresses().registry, call).await.unwrap().stake
}

/// The cuts of a provider's stake, oldest first.
pub async fn slashed(link: &Link, owner: Address) -> Vec<Registry::StakeSlashed> {
    let filter = Filter::new()
        .address(link.addresses().registry)
        .event_signature(Registry::StakeSlashed::SIGNATURE_HASH)
        .topic1(owner.into_word());
    let logs = link.scan(&filter, 0).await.unwrap();
    let cut = |log: &Log| Registry::StakeSlashed::decode_log(&log.inner).unwrap().data;
    logs.iter().map(cut).collect()
}

/// The signatures for a range, or for the inputs.
async fn signed(link: &Link, range: RangeId) -> Vec<Holders::Held> {
    let all = said::<Holders::Held>(link, range).await;
    all.into_iter().filter(|held| held.seq == range.seq).collect()
}

async fn inputs_held(link: &Link, inputs: RangeId) {
    wait("its inputs are held", async || is_in(link, inputs, HoldState::Held).await).await;
}

/// What the contract has said about a job.
pub async fn said<E: SolEvent>(link: &Link, range: RangeId) -> Vec<E> {
    let filter = Filter::new()
        .address(vec![link.addresses().holders, link.addresses().spots])
        .event_signature(E::SIGNATURE_HASH)
        .topic1(U256::from(range.job.0));
    let logs = link.scan(&filter, 0).await.unwrap();
    logs.iter().map(|log| E::decode_log(&log.inner).unwrap().data).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_client_does_not_fetch_is_held_and_paid_and_had_from_holders() {
    let world = World::start().await;
    let client = world.client().await;
    let holders = auditors(&world, LEAST).await;
    let provider = world.provider(2, 1).expect("up");
    let order = order("60s");
    let agreed = client.submit(&world, &order).await;
    assert!(agreed.terms.kept);
    let link = client.jobs.account().link().clone();
    let range = RangeId { job: agreed.job, seq: 0 };
    // Nobody follows the job: its client has the inputs served and does nothing else.
    wait("its audit lets it be paid", async || is_upheld(&link, range).await).await;
    wait("somebody is asked to hold it", async || ask_of(&link, range).await.asked > 0).await;
    wait("it is held", async || is_in(&link, range, HoldState::Held).await).await;
    let inputs = RangeId::inputs(agreed.job);
    assert!(is_in(&link, inputs, HoldState::Held).await, "nobody works before that");
    let held = [signed(&link, inputs).await, signed(&link, range).await];
    for held in &held {
        assert!(held.len() >= 4, "a majority of seven: {held:?}");
    }
    wait("it is paid", async || state_of(&link, range).await == RangeState::Settled).await;

    // Whoever holds it does so after a restart, at another address; whoever has made it is gone.
    provider.kill();
    stop(holders).await;
    let holders = auditors(&world, LEAST).await;
    let progress = client.finish(client.tend(&agreed)).await;
    assert_eq!((progress.totals.settled, progress.checked), (1, 1), "{progress:?}");
    assert_eq!(progress.inputs, Some(HoldState::Held));
    let kept = progress.kept.expect("a kept job shows who holds it");
    assert_eq!((kept.held, kept.open, kept.waived, kept.lost), (1, 0, 0, 0));
    client.check_outputs(&world, &agreed, &order.script).await;
    stop(holders).await;

    // The deposit is fees, what came back, and what holders can still earn until their time is over, to the unit.
    let funded = said::<Holders::KeepFunded>(&link, range).await;
    let [funded] = &funded[..] else { panic!("filled up although it reached: {funded:?}") };
    let closed = said::<Holders::KeepClosed>(&link, range).await;
    let back: u128 = closed.iter().map(|one| one.amount.to::<u128>()).sum();
    let fees: u128 = held.iter().flatten().map(|one| one.fee.to::<u128>()).sum();
    let mut earned = 0;
    for key in 10..10 + LEAST {
        let owner = world.account(key).address();
        let entries = earnings::of(&link, 0, owner).await.unwrap();
        let is_ours = |of: RangeId| of == range || of == inputs;
        assert!(
            entries.iter().all(|entry| matches!(entry.source, Source::Held(of) if is_ours(of)))
        );
        earned += entries.iter().map(|entry| entry.paid.0).sum::<u128>();
    }
    assert!(fees > 0 && earned == fees, "{earned} of {fees}");
    let late = said::<Holders::Held>(&link, range).await;
    assert_eq!(late.len(), held.concat().len(), "nobody signs for what is held");
    let call = Holders::keptCall { jobId: agreed.job.0 };
    let keep = link.read(link.addresses().holders, call).await.unwrap();
    assert!(keep.deposit == keep.reserved && !keep.reserved.is_zero(), "{keep:?}");
    assert_eq!(fees + back + keep.deposit.to::<u128>(), funded.amount.to::<u128>());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_serves_nobody_is_not_paid_and_loses_a_tenth_of_the_value_and_the_audit() {
    let stage = Stage::set().await;
    let provider = stage.world.provider(2, 1).expect("up");
    let agreed = stage.client.submit(&stage.world, &order("2h")).await;
    let account = stage.client.jobs.account().clone();
    let link = account.link().clone();
    let range = RangeId { job: agreed.job, seq: 0 };
    wait("its audit lets it be paid", async || is_upheld(&link, range).await).await;
    let owner = provider.address;
    assert_eq!(stake_of(&link, owner).await, 50 * GRAIN);
    let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
    let record = link.read(link.addresses().job_book, call).await.unwrap();
    let value = u128::from(record.units) * record.price.to::<u128>();
    // What the range would have brought the purse, out of which its auditors are paid.
    let audits = link.addresses().audits;
    let call = Audits::billCall { jobId: range.job.0, seq: range.seq, value: U256::from(value) };
    let charge = link.read(audits, call).await.unwrap().charge.to::<u128>();
    assert!(charge > 0 && charge <= value / 2, "{charge} of {value}");
    provider.kill();

    stage.pass(7_300).await;
    let call = Holders::keptCall { jobId: agreed.job.0 };
    let mib = link.read(link.addresses().holders, call).await.unwrap().maxMib;
    for (asked, ended) in [(1, HoldState::Again), (2, HoldState::Lost)] {
        // Its provider has an hour to ask itself, each time.
        stage.pass(ASK_FIRST_S + 100).await;
        let call = Holders::askCall { jobId: range.job.0, seq: range.seq, mib };
        account.execute(link.addresses().holders, call).await.unwrap();
        wait("holders are drawn", async || is_in(&link, range, HoldState::Open).await).await;
        // Those who are drawn find nobody who has it, and say so when their time is over.
        stage.pass(7_300).await;
        wait("their time is over", async || is_in(&link, range, ended).await).await;
        let ask = ask_of(&link, range).await;
        assert_eq!((ask.asked, ask.votes), (asked, 0), "nobody signs for what it has not");
    }
    assert_eq!(state_of(&link, range).await, RangeState::Rejected);
    let cut = 50 * GRAIN - stake_of(&link, owner).await;
    // First twice what the purse would have had, for half of all that is cut is burned; then what the client has half
    // of. Each is a share of the stake, rounded up: by less than a billionth of it.
    let dues = [2 * charge, lost(value, least_fee(&link).await.unwrap())];
    let rounding = 50 * GRAIN / 1_000_000_000;
    let cuts = slashed(&link, owner).await;
    let [purse, client] = &cuts[..] else { panic!("{cuts:?}") };
    assert_eq!((purse.beneficiary, client.beneficiary), (audits, account.address()));
    for (one, due) in [purse, client].into_iter().zip(dues) {
        let sum = one.toBeneficiary + one.burned;
        assert!((due..=due + rounding).contains(&sum), "{sum} and not {due}");
        assert_eq!(one.toBeneficiary, sum / 2, "the rest is burned");
    }
    let all: u128 = cuts.iter().map(|one| one.toBeneficiary + one.burned).sum();
    assert_eq!(cut, all, "{cuts:?}");
    assert!(signed(&link, range).await.is_empty());
    stop(stage.auditors).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_has_lost_its_journal_answers_by_what_it_has_published() {
    let stage = Stage::set().await;
    let provider = stage.world.provider(2, 1).expect("up");
    let agreed = stage.client.submit(&stage.world, &order("2h")).await;
    let link = stage.link().clone();
    let range = RangeId { job: agreed.job, seq: 0 };
    wait("it is handed in", async || state_of(&link, range).await == RangeState::Submitted).await;
    let journal = provider.dir.join(format!("jobs/{}/ranges/0.journal", range.job));
    provider.kill();
    std::fs::remove_file(&journal).unwrap();
    let _provider = stage.world.provider(2, 1).expect("up");
    // The drawn leaves are shown, if they were not before. Nobody follows the job: it is the provider that asks.
    wait("its audit lets it be paid", async || is_upheld(&link, range).await).await;
    stage.pass(7_300).await;
    wait("it is held", async || is_in(&link, range, HoldState::Held).await).await;
    assert!(!journal.exists(), "it was not run again");
    stop(stage.auditors).await;
}

async fn stakes(world: &World) -> Vec<u128> {
    let link = world.account(1).link().clone();
    let mut stakes = Vec::new();
    for number in 1..=u32::from(LEAST) {
        let call = Auditors::auditorCall { number };
        stakes.push(link.read(link.addresses().auditors, call).await.unwrap().stake);
    }
    stakes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_withholds_inputs_has_no_work_and_burns_nobody() {
    let mut stage = Stage::set().await;
    // They are drawn whether they run or not, and what they fetch first must not be there any more.
    stop(mem::take(&mut stage.auditors)).await;
    let staked = stakes(&stage.world).await;
    let agreed = stage.client.submit(&stage.world, &order("2h")).await;
    stage.client.blobs.shutdown().await.unwrap();
    stage.auditors = auditors(&stage.world, LEAST).await;
    let mut provider = stage.world.provider(2, 1).expect("up");

    let account = stage.client.jobs.account().clone();
    let link = account.link().clone();
    let inputs = RangeId::inputs(agreed.job);
    let keep = async || {
        let call = Holders::keptCall { jobId: agreed.job.0 };
        link.read(link.addresses().holders, call).await.unwrap()
    };
    let deposit = keep().await.deposit;
    let mib = ask_of(&link, inputs).await.mib;
    for (asked, ended) in [(1, HoldState::Again), (2, HoldState::Lost)] {
        if asked == 2 {
            let call = Holders::askCall { jobId: inputs.job.0, seq: inputs.seq, mib };
            account.execute(link.addresses().holders, call).await.unwrap();
        }
        wait("holders are drawn", async || is_in(&link, inputs, HoldState::Open).await).await;
        wait("the provider waits for them", async || {
            provider.status()["waiting"]["holders"].as_u64() == Some(1)
        })
        .await;
        stage.pass(7_300).await;
        wait("their time is over", async || is_in(&link, inputs, ended).await).await;
        let ask = ask_of(&link, inputs).await;
        assert_eq!((ask.asked, ask.votes), (asked, 0), "nobody signs for what it has not");
    }
    // It has had no work, and takes back what it has locked, but for what is burned of it: least fees, as many as holders
    // would have signed.
    let call = JobBook::jobCall { jobId: inputs.job.0 };
    assert_eq!(link.read(link.addresses().job_book, call).await.unwrap().ranges, 0);
    let (left, burned) = (keep().await, 8 * least_fee(&link).await.unwrap());
    assert!(burned > 0 && left.reserved.is_zero(), "{left:?}");
    let due = deposit.to::<u128>().checked_sub(burned);
    assert_eq!(due, Some(left.deposit.to::<u128>()), "{left:?}");
    stage.client.jobs.cancel(agreed.job).await.unwrap();
    let call = Holders::closeCall { jobId: inputs.job.0 };
    account.execute(link.addresses().holders, call).await.unwrap();
    assert!(keep().await.deposit.is_zero());
    // And nobody else has lost anything.
    assert_eq!(stake_of(&link, provider.address).await, 50 * GRAIN);
    assert_eq!(stakes(&stage.world).await, staked);
    stop(stage.auditors).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_inputs_are_held_is_done_without_its_client() {
    let world = World::start().await;
    let client = world.client().await;
    let holders = auditors(&world, LEAST).await;
    let agreed = client.submit(&world, &order("60s")).await;
    let link = client.jobs.account().link().clone();
    let (range, inputs) = (RangeId { job: agreed.job, seq: 0 }, RangeId::inputs(agreed.job));
    inputs_held(&link, inputs).await;
    let until = ask_of(&link, inputs).await.until.to::<u64>();
    let deadline = agreed.terms.deadline.to::<u64>();
    assert_eq!(until, deadline + 7 * 86_400, "as long as a case can need them");
    // From now on the auditors are all who have them.
    client.blobs.shutdown().await.unwrap();
    let _provider = world.provider(2, 1).expect("up");
    wait("its audit lets it be paid", async || is_upheld(&link, range).await).await;
    wait("it is held", async || is_in(&link, range, HoldState::Held).await).await;
    wait("it is paid", async || state_of(&link, range).await == RangeState::Settled).await;
    let call = JobBook::jobCall { jobId: agreed.job.0 };
    let job = link.read(link.addresses().job_book, call).await.unwrap();
    assert_eq!((job.settledTasks, job.outstanding), (1, 0));
    stop(holders).await;
}
