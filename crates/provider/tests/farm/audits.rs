//! Audited jobs, from the submission to the verdict: honest ones, one with a wrong bit, auditors who do not
//! work.

use std::time::{Duration, Instant};

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use alloy_primitives::{Address, Bytes, U256};
use tilth_blobs::{Blobs, Config as BlobsConfig, SequenceBounds, Tag};
use tilth_chain::Clock;
use tilth_client::{Contacts, earnings, money};
use tilth_contracts::{AuditState, Audits, JobBook, Registry, SeatState};
use tilth_protocol::{Contact, ContentHash, ContentRef, RangeId, amount::GRAIN};
use tilth_provider::{Auditor, auditor};

use crate::{
    idler::{HUGE, Idler, SMALL},
    script::Script,
    world::{Order, PATIENCE, Running, World, until, wait},
};

/// Auditors without whom nothing is given out in audited jobs: five for a lead, and two more.
pub const LEAST: u8 = 7;

/// Keys of so many auditors.
fn keys(count: u8) -> std::ops::Range<u8> {
    10..10 + count
}

/// Starts them, and waits until what is submitted can be audited by all of them: they are drawn from the line as of the
/// second before.
pub async fn auditors(world: &World, count: u8) -> Vec<Auditor> {
    let auditors = started(world, count).await;
    on_the_line(world).await;
    auditors
}

/// Starts them where they are on the line already.
pub async fn started(world: &World, count: u8) -> Vec<Auditor> {
    let mut auditors = Vec::new();
    for key in keys(count) {
        auditors.push(world.auditor(key).await);
    }
    auditors
}

async fn on_the_line(world: &World) {
    let account = world.account(1);
    let joined = account.link().now().await.unwrap();
    wait("they are on the line", async || account.link().next_time().await.unwrap() > joined).await;
}

pub async fn stop(auditors: Vec<Auditor>) {
    for auditor in auditors {
        auditor.stop().await.unwrap();
    }
}

/// A job with so few tasks, and slots expected for it, that every range has one.
///
/// A range may take nearly as long as the contract allows for audited ones, so none is taken back from a machine that is
/// only slow. The window outlasts every audit here, so nothing is paid before its client has seen what its audit came to.
pub fn order(tasks: u32) -> Order {
    let script = Script { output: 100, ..Script::default() };
    let (window, timeout) = ("2h", "200s");
    Order { audited: true, prepare: true, window, timeout, ..Order::new(tasks, script) }
}

pub async fn stake_of(world: &World, provider: &Running) -> u128 {
    let (account, owner) = (world.account(1), provider.address);
    let registry = world.network.contracts.registry;
    account.link().read(registry, Registry::providerCall { owner }).await.unwrap().stake
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_audited_job_is_paid_and_its_auditors_are_too() {
    let world = World::start().await;
    let client = world.client().await;
    let auditors = auditors(&world, LEAST).await;
    let mut provider = world.provider(2, 1).expect("up");
    let order = order(6);
    let agreed = client.submit(&world, &order).await;
    assert!(agreed.terms.audited);
    let progress = client.finish(client.tend(&agreed)).await;
    let audits = progress.audits.expect("an audited job shows its audits");
    // A newcomer is audited always; the little record of its first ranges spares a later one once in 100,000 times.
    assert!(audits.upheld > 0, "{audits:?}");
    let others = audits.overturned + audits.undecided + audits.open;
    assert_eq!((others, progress.totals.settled), (0, 6), "{audits:?}");
    client.check_outputs(&world, &agreed, &order.script).await;
    assert_eq!(stake_of(&world, &provider).await, 50 * GRAIN, "the stake is untouched");
    // Tended again it is over at once, and its verdicts are shown nevertheless.
    let again = client.finish(client.tend(&agreed)).await;
    assert_eq!(again.audits, Some(audits));

    // The record grows, so the next job is audited a little less.
    let link = client.jobs.account().link();
    let at = world.network.contracts;
    let record = link.read(at.audits, Audits::recordCall { provider: 1 }).await.unwrap();
    // Tasks of three units each, and a prepare phase of five in every range.
    let units = 3 * (6 - audits.not_audited) + 5 * audits.upheld;
    assert_eq!(record, u128::from(units) * 100_000_000_000_000);
    // Auditors have been paid, or are owed.
    let mut earned = 0;
    for key in keys(LEAST) {
        let owner = world.account(key).address();
        let owed = link.read(at.audits, Audits::owedCall { owner }).await.unwrap();
        earned += owed + money::balances(link, owner).await.unwrap().free.0;
    }
    assert!(earned > 0);
    provider.say("drain");
    assert_eq!(provider.hear(), "drained");
    stop(auditors).await;
}

/// Claim, submission, draw, naming, commitments, opening, votes and pay, each of them with blocks on top before the
/// next.
#[tokio::test(flavor = "multi_thread")]
async fn an_audited_job_is_paid_where_all_wait_for_confirmations() {
    let world = World::start_deep(2).await;
    let provider = world.provider(2, 1);
    let auditor = |key| Box::pin(world.auditor(key));
    let (client, a, b, c, d, e, f, g) = tokio::join!(
        Box::pin(world.client()),
        auditor(10),
        auditor(11),
        auditor(12),
        auditor(13),
        auditor(14),
        auditor(15),
        auditor(16)
    );
    let auditors = vec![a, b, c, d, e, f, g];
    assert_eq!(auditors.len(), usize::from(LEAST));
    on_the_line(&world).await;
    let mut provider = provider.expect("up");
    let order = order(1);
    let agreed = client.submit(&world, &order).await;
    let progress = client.finish(client.tend(&agreed)).await;
    let audits = progress.audits.expect("an audited job shows its audits");
    // A newcomer is audited always.
    assert_eq!((audits.upheld, progress.totals.settled), (1, 1), "{audits:?}");
    client.check_outputs(&world, &agreed, &order.script).await;
    assert_eq!(stake_of(&world, &provider).await, 50 * GRAIN, "the stake is untouched");
    provider.say("drain");
    assert_eq!(provider.hear(), "drained");
    stop(auditors).await;
}

/// Somebody who is not the client, and what it wants of a range with one output.
struct Stranger {
    blobs: Blobs,
    content: ContentHash,
    output: ContentRef,
    tag: Tag,
}

impl Stranger {
    /// Whether it can have the output, with the content sequence and by itself.
    async fn gets(&self, holders: &[Contact], time: Duration) -> (bool, bool) {
        let bounds = SequenceBounds { max_total_bytes: 1 << 20, max_items: 10 };
        let until = Instant::now() + time;
        let all = self.blobs.get_sequence(self.content, bounds, holders, &self.tag, until).await;
        let until = Instant::now() + time;
        let alone = self.blobs.get(self.output, holders, &self.tag, until).await;
        (all.is_ok(), alone.is_ok())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_their_clients_alone_until_the_leaves_are_open() {
    let world = World::start().await;
    let client = world.client().await;
    // They have stake and are away, so the case waits for them.
    stop(auditors(&world, LEAST).await).await;
    let provider = world.provider(2, 1).expect("up");
    let order = order(1);
    let agreed = client.submit(&world, &order).await;
    let tending = client.tend(&agreed);
    let mut progress = tending.progress();
    until("the client has the results", &mut progress, |progress| progress.checked > 0).await;
    let (link, at) = (client.jobs.account().link().clone(), world.network.contracts);
    wait("the auditors are waited for", async || {
        let call = Audits::auditCaseCall { jobId: agreed.job.0, seq: 0 };
        let state = link.read(at.audits, call).await.unwrap().state;
        AuditState::try_from(state) == Ok(AuditState::Committing)
    })
    .await;
    let submitted = JobBook::RangeSubmitted::SIGNATURE_HASH;
    let filter = Filter::new().address(at.job_book).event_signature(submitted);
    let logs = link.scan(&filter, 0).await.unwrap();
    let submitted = JobBook::RangeSubmitted::decode_log(&logs[0].inner).unwrap();
    let bind = "127.0.0.1:0".parse().unwrap();
    let config = BlobsConfig::new(world.dir.path().join("stranger"), [99; 32], bind);
    let stranger = Stranger {
        blobs: Blobs::spawn(config).await.unwrap(),
        content: ContentHash(submitted.contentHash.0),
        output: ContentRef::of(&order.script.output_of(0)),
        tag: Tag::job(agreed.job),
    };
    let of_provider = Contacts::new(link.clone(), 0).of(provider.address, false).await.unwrap();
    let of_client = vec![client.blobs.contact()];
    for holders in [&of_provider, &of_client] {
        assert_eq!(stranger.gets(holders, Duration::from_secs(1)).await, (false, false));
    }
    // They come back, and when they have found out by themselves everybody may know.
    let running = auditors(&world, LEAST).await;
    let progress = client.finish(tending).await;
    assert_eq!(progress.audits.unwrap().upheld, 1, "{progress:?}");
    assert_eq!(stranger.gets(&of_client, PATIENCE).await, (true, true));
    stop(running).await;
    drop(provider);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_costs_the_bond_and_the_job_ends_right() {
    let world = World::start().await;
    let client = world.client().await;
    let _auditors = auditors(&world, LEAST).await;
    let cheat = world.provider_that(2, 1, &["flips"]).expect("up");
    // Without a prepare phase a range has one leaf, so every draw hits the wrong one. Beside the leaf of a prepare phase
    // all eight draws would miss it once in a hundred times.
    let order = Order { prepare: false, ..order(4) };
    let agreed = client.submit(&world, &order).await;
    let tending = client.tend(&agreed);
    let mut progress = tending.progress();
    until("the wrong range is there", &mut progress, |progress| {
        progress.totals.submitted + progress.totals.settled > 0
    })
    .await;
    let honest = world.provider(3, 1).expect("up");
    let progress = client.finish(tending).await;
    let audits = progress.audits.unwrap();
    assert_eq!(
        (audits.overturned, audits.undecided, progress.totals.settled),
        (1, 0, 4),
        "{audits:?}"
    );
    client.check_outputs(&world, &agreed, &order.script).await;
    assert_eq!(stake_of(&world, &cheat).await, 0, "the bond is gone");
    assert_eq!(stake_of(&world, &honest).await, 50 * GRAIN);
    // Its own account says so: each cut once, and of this job. What it did right may have been paid.
    let link = client.jobs.account().link();
    let entries = earnings::of(link, 0, cheat.address).await.unwrap();
    let sums = earnings::sums(&entries, |_| String::new()).unwrap()[0].sums;
    assert_eq!(sums.lost.0, 50 * GRAIN, "{entries:?}");
    let of_job = |entry: &earnings::Entry| entry.source.range().map(|range| range.job);
    assert!(entries.iter().all(|entry| of_job(entry) == Some(agreed.job)), "{entries:?}");
    let entries = earnings::of(link, 0, honest.address).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.lost.0).sum::<u128>(), 0, "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_that_does_not_work_has_nothing_to_copy_and_loses_half() {
    let world = World::start().await;
    let client = world.client().await;
    // Votes go by stake: fourteen of fifteen are honest.
    let _auditors = auditors(&world, LEAST).await;
    let idler = Idler::join(&world, 5, SMALL).await;
    let provider = world.provider(2, 1).expect("up");
    let (mut jobs, mut undecided) = (0, 0);
    while idler.stake().await == SMALL {
        jobs += 1;
        // By chance once in a hundred thousand times, with six ranges in every job.
        assert!(jobs < 30, "it has a fifteenth of the stake and is never drawn");
        let order = order(6);
        let agreed = client.submit(&world, &order).await;
        let tending = client.tend(&agreed);
        let mut progress = tending.progress();
        tokio::select! {
            () = idler.pretend(agreed.job) => {}
            _ = until("the job is over", &mut progress, |progress| progress.over) => {}
        }
        let progress = client.finish(tending).await;
        let audits = progress.audits.unwrap();
        assert_eq!(audits.overturned, 0, "{progress:?}");
        client.check_outputs(&world, &agreed, &order.script).await;
        // It was drawn for six of fifteen votes of a case: about once in six hundred times.
        undecided += audits.undecided;
    }
    // Half of it, and again of what was left for every further range of the job in which it was drawn.
    let stake = idler.stake().await;
    assert!((1..=6).any(|times| stake == SMALL >> times), "{stake}");
    let owner = idler.owner.address();
    let owed = Audits::owedCall { owner };
    let audits = world.network.contracts.audits;
    let owed = idler.owner.link().read(audits, owed).await.unwrap();
    // Where nothing is decided all votes get the least fee, for nobody knows which were right.
    assert!(owed == 0 || undecided > 0, "and it earned nothing, but is owed {owed}");
    assert_eq!(stake_of(&world, &provider).await, 50 * GRAIN, "the provider is none the worse");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_that_is_down_is_replaced_by_the_next_draw() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let clock = Clock::manual(now.as_secs());
    let world = World::start_at(clock.clone()).await;
    let client = world.client().await;
    let auditors = auditors(&world, LEAST - 1).await;
    let idler = Idler::join(&world, 5, HUGE).await;
    // Auditors are drawn from the line as of the second before a submission, and this clock stands still.
    assert!(clock.advance(2));
    let provider = world.provider(2, 1).expect("up");
    let (mut jobs, mut is_missed) = (0, false);
    while !is_missed {
        jobs += 1;
        assert!(jobs < 8, "it has nearly all the stake and is never drawn");
        let order = order(1);
        let agreed = client.submit(&world, &order).await;
        let tending = client.tend(&agreed);
        let progress = tending.progress();
        wait("the idler is waited for, or nobody waits", async || {
            let seats = idler.seats().await;
            let Some((range, seat)) = seats.into_iter().find(|(r, _)| r.job == agreed.job) else {
                return progress.borrow().over;
            };
            idler.state(range, seat).await == (AuditState::Committing, SeatState::Drawn)
        })
        .await;
        is_missed = !progress.borrow().over;
        if is_missed {
            // An hour later; a transaction of anybody's makes a block that shows it.
            assert!(clock.advance(3_700));
            let dust = Address::repeat_byte(9);
            idler.owner.send(dust, Bytes::new(), U256::ONE).await.unwrap();
        }
        let progress = client.finish(tending).await;
        assert_eq!(progress.audits.unwrap().upheld, 1, "{progress:?}");
        client.check_outputs(&world, &agreed, &order.script).await;
    }
    assert_eq!(
        idler.stake().await,
        HUGE,
        "nobody holds the inputs: it may be that it was not served"
    );
    assert_eq!(stake_of(&world, &provider).await, 50 * GRAIN);
    stop(auditors).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_in_the_middle_of_an_audit_goes_on_where_it_was() {
    let world = World::start().await;
    let client = world.client().await;
    // They have stake, but as long as neither they nor the client are there to draw, the provider alone does, seconds
    // after its submission.
    stop(auditors(&world, LEAST).await).await;
    let provider = world.provider(2, 1).expect("up");
    let order = order(1);
    let agreed = client.submit(&world, &order).await;
    let range = RangeId { job: agreed.job, seq: 0 };
    let (link, at) = (client.jobs.account().link().clone(), world.network.contracts);
    let state = async || {
        let call = Audits::auditCaseCall { jobId: range.job.0, seq: range.seq };
        AuditState::try_from(link.read(at.audits, call).await.unwrap().state).unwrap()
    };
    wait("the range is submitted", async || state().await != AuditState::None).await;
    provider.kill();
    let tending = client.tend(&agreed);
    // On a machine that stood still for seconds it has drawn and named already, and nobody is in the middle of anything.
    if state().await != AuditState::Committing {
        let running = auditors(&world, LEAST).await;
        // An auditor or the client draws; then everybody waits for the provider.
        wait("the provider is waited for", async || {
            matches!(state().await, AuditState::Naming | AuditState::Committing)
        })
        .await;
        stop(running).await;
    }
    let provider = world.provider(2, 1).expect("up");
    wait("the auditor is waited for", async || state().await == AuditState::Committing).await;
    // Held down, so that nothing can be revealed before the auditors were stopped.
    provider.kill();
    let seat = async || {
        let call = Audits::seatCall { jobId: range.job.0, seq: range.seq, number: 0 };
        SeatState::try_from(link.read(at.audits, call).await.unwrap().state).unwrap()
    };
    assert_eq!(seat().await, SeatState::Drawn);
    let running = auditors(&world, LEAST).await;
    wait("the auditor has committed", async || state().await == AuditState::Opening).await;
    // What it has sealed is on disk.
    stop(running).await;
    let running = auditors(&world, LEAST).await;
    assert_eq!((state().await, seat().await), (AuditState::Opening, SeatState::Committed));
    let provider = world.provider(2, 1).expect("up");
    let progress = client.finish(tending).await;
    assert_eq!(progress.audits.unwrap().upheld, 1, "{progress:?}");
    assert_eq!(stake_of(&world, &provider).await, 50 * GRAIN);
    for key in keys(LEAST) {
        let known = auditor::standing(&link, world.account(key).address()).await.unwrap();
        assert_eq!(known.stake, 20 * GRAIN, "nobody has lost anything");
    }
    stop(running).await;
}
