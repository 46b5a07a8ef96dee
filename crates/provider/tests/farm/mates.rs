//! Replicated jobs: every range is done by two providers, of whom the first does not know the second.
//!
//! Everybody waits in the job's line before its clock pays enough for a claim: the chain's clock stands still until
//! then.

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use alloy_primitives::{Address, B256, U256, aliases::U40};
use tilth_client::{Agreed, ReplicaTotals, money};
use tilth_contracts::{
    AuditOutcome, Audits, JobBook, ReplicaOutcome, ReplicaState, Replicas, Waiting,
};
use tilth_protocol::{Amount, amount::GRAIN};
use tilth_provider::{Stake, stake};
use tilth_verification::{arithmetic::ONE, walk::DISPUTED_RATE};

use crate::{
    audits::stake_of,
    script::Script,
    stage::Stage,
    world::{Order, Running, wait},
};

/// The primary has shown its root, and the mate has.
pub const SHOWN: (u8, u8) = (1, 2);
/// `IReplicas.Fault`: the auditors have found another answer than the mate's.
pub const WRONG: u8 = 2;

impl Stage {
    /// A provider that waits for the clock of replicated jobs.
    pub fn provider(&self, key: u8) -> Running {
        self.world.provider_that(key, 1, &["choosy"]).expect("up")
    }

    async fn submit(&self, tasks: u32) -> (Order, Agreed) {
        self.order(tasks, false).await
    }

    /// `prepare`: every range has a leaf more, so different roots are not a leaf's.
    pub async fn order(&self, tasks: u32, prepare: bool) -> (Order, Agreed) {
        let script = Script { output: 100, ..Script::default() };
        let (window, timeout) = ("2h", "200s");
        let usual = Order::new(tasks, script);
        let order = Order { prepare, audited: true, replicated: true, window, timeout, ..usual };
        let agreed = self.client.submit(&self.world, &order).await;
        assert_eq!(agreed.terms.replicas, 2);
        (order, agreed)
    }

    /// Waits until so many wait to be drawn in a job.
    pub async fn wait_for_line(&self, agreed: &Agreed, count: u64) {
        let at = self.world.network.contracts.waiting;
        wait("they are in the line", async || {
            let now = U40::from(self.link().now().await.unwrap());
            let call = Waiting::lineCall { jobId: agreed.job.0, asOf: now };
            self.link().read(at, call).await.unwrap().waiting == U256::from(count)
        })
        .await;
    }

    /// The clock of the job pays its cap from now on, and those who are in its line were so a while ago.
    pub async fn let_them_claim(&self) {
        self.pass(60).await;
    }

    pub async fn state(&self, agreed: &Agreed, seq: u32) -> (ReplicaState, ReplicaOutcome, u8) {
        let call = Replicas::pairCall { jobId: agreed.job.0, seq };
        let pair = self.link().read(self.world.network.contracts.replicas, call).await.unwrap();
        let state = ReplicaState::try_from(pair.state).unwrap();
        (state, ReplicaOutcome::try_from(pair.outcome).unwrap(), pair.shown)
    }

    /// Waits until the first range's replica stands so, and those have shown what is asked for there.
    pub async fn reaches(&self, agreed: &Agreed, state: ReplicaState, shown: u8) {
        wait(&format!("{state}, shown by {shown}"), async || {
            let (now, _, by) = self.state(agreed, 0).await;
            (now, by) == (state, shown)
        })
        .await;
    }

    /// The two of the first range were walked down to its task, which stands behind the leaf of the prepare phase.
    async fn differ_in_task_0(&self, agreed: &Agreed) {
        let replicas = self.world.network.contracts.replicas;
        let steps: Vec<Replicas::WalkStep> = self.said(replicas, agreed).await;
        let steps: Vec<_> = steps.iter().map(|step| (step.level, step.index)).collect();
        assert_eq!(steps, [(1, 0), (0, 1)]);
        let leaves: Vec<Replicas::LeafShown> = self.said(replicas, agreed).await;
        let [one, other] = &leaves[..] else { panic!("both show their leaf: {leaves:?}") };
        assert_eq!((one.leaf.index, other.leaf.index), (0, 0));
        assert_ne!(one.leaf.output, other.leaf.output);
        assert_ne!(one.number, other.number);
    }

    async fn free(&self, owner: Address) -> u128 {
        money::balances(self.link(), owner).await.unwrap().free.0
    }

    /// What a contract has said about a job.
    pub async fn said<E: SolEvent>(&self, contract: Address, agreed: &Agreed) -> Vec<E> {
        let filter = Filter::new()
            .address(contract)
            .event_signature(E::SIGNATURE_HASH)
            .topic1(B256::from(U256::from(agreed.job.0)));
        let logs = self.link().scan(&filter, 0).await.unwrap();
        logs.iter().map(|log| E::decode_log(&log.inner).unwrap().data).collect()
    }
}

/// So many ranges that two have agreed on.
fn matched(count: u32) -> Option<ReplicaTotals> {
    Some(ReplicaTotals { matched: count, ..ReplicaTotals::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_do_every_range_and_both_are_paid_for_it() {
    let stage = Stage::set().await;
    let mut providers: Vec<_> = [2, 3, 4].map(|key| stage.provider(key)).into();
    let client = stage.client.jobs.account().address();
    let before = stage.free(client).await;
    let (order, agreed) = stage.submit(4).await;
    stage.wait_for_line(&agreed, 3).await;
    for provider in &mut providers {
        wait("it says that it waits", async || provider.status()["lines"] == 1).await;
    }
    let mut had = Vec::new();
    for provider in &providers {
        had.push(stage.free(provider.address).await);
    }
    stage.let_them_claim().await;
    let progress = stage.client.finish(stage.client.tend(&agreed)).await;
    assert_eq!((progress.totals.settled, progress.replicas), (4, matched(4)), "{progress:?}");
    let audits = progress.audits.unwrap();
    assert_eq!(audits.upheld + audits.not_audited, 4, "{audits:?}");
    stage.client.check_outputs(&stage.world, &agreed, &order.script).await;

    // Both parts of a range are worth the same, and nobody is its own mate.
    let job_book = stage.world.network.contracts.job_book;
    let settled: Vec<JobBook::RangeSettled> = stage.said(job_book, &agreed).await;
    let mates: Vec<JobBook::MateSettled> = stage.said(job_book, &agreed).await;
    assert_eq!((settled.len(), mates.len()), (4, 4));
    let mut spent = 0;
    for range in &settled {
        let mate = mates.iter().find(|mate| mate.seq == range.seq).unwrap();
        assert_eq!(mate.paid + mate.fee, range.paid + range.fee, "range {}", range.seq);
        assert!(mate.provider != range.provider && mate.paid > 0, "range {}", range.seq);
        spent += 2 * (range.paid + range.fee);
    }
    assert_eq!(before - stage.free(client).await, spent, "and the rest is the client's again");
    for (provider, had) in providers.iter().zip(had) {
        let own = settled.iter().filter(|range| range.provider == provider.address);
        let as_mate = mates.iter().filter(|mate| mate.provider == provider.address);
        let paid: u128 = own.map(|range| range.paid).chain(as_mate.map(|mate| mate.paid)).sum();
        assert_eq!(stage.free(provider.address).await - had, paid);
        assert_eq!(stake_of(&stage.world, provider).await, 50 * GRAIN, "nobody has lost anything");
    }
    wait("they have counted what they have done", async || {
        let settled =
            |provider: &mut Running| provider.status()["totals"]["settled"].as_u64().unwrap();
        providers.iter_mut().map(settled).sum::<u64>() == 8
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bond_is_free_an_hour_after_its_line_was_left() {
    let stage = Stage::set().await;
    let mut provider = stage.provider(2);
    let (_, agreed) = stage.submit(1).await;
    stage.wait_for_line(&agreed, 1).await;
    wait("it says that it waits", async || provider.status()["lines"] == 1).await;
    let (owner, node) = (provider.address, stage.world.account(102));
    // Whoever is killed stays in the line, and its stake is bound there.
    provider.kill();
    let read = async || Stake::of(stage.link(), owner).await.unwrap().unwrap();
    let known = read().await;
    assert!(known.free < Amount(50 * GRAIN) && known.staked == Amount(50 * GRAIN));
    assert_eq!(stake::leave_lines(&node, known.number, 0).await.unwrap(), 1);
    stage.wait_for_line(&agreed, 0).await;
    assert_eq!(stake::leave_lines(&node, known.number, 0).await.unwrap(), 1, "it is too early");
    assert_eq!(read().await.free, known.free);
    stage.pass(3_700).await;
    assert_eq!(stake::leave_lines(&node, known.number, 0).await.unwrap(), 0);
    assert_eq!(read().await.free, Amount(50 * GRAIN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_lied_about_a_leaf_loses_its_stake_and_half_goes_to_its_mate() {
    let stage = Stage::set().await;
    let cheat = stage.world.provider_that(2, 1, &["choosy", "flips"]).expect("up");
    let honest = [3, 4].map(|key| stage.provider(key));
    let (order, agreed) = stage.order(1, true).await;
    stage.wait_for_line(&agreed, 3).await;
    // They stay in the line, and the only one that can claim is the cheat.
    honest.into_iter().for_each(Running::kill);
    stage.let_them_claim().await;
    let tending = stage.client.tend(&agreed);
    stage.reaches(&agreed, ReplicaState::Working, 0).await;
    let honest = [3, 4].map(|key| stage.provider(key));
    let mut had = 0;
    for provider in &honest {
        had += stage.free(provider.address).await;
    }
    let progress = stage.client.finish(tending).await;
    // What follows for the mate anybody does who is still there.
    stage.reaches(&agreed, ReplicaState::Closed, SHOWN.0 | SHOWN.1).await;
    assert_eq!(stage.state(&agreed, 0).await.1, ReplicaOutcome::Unequal);
    let (state, outcome, shown) = stage.state(&agreed, 1).await;
    let closed = (ReplicaState::Closed, SHOWN.0 | SHOWN.1);
    assert_eq!(((state, shown), outcome), (closed, ReplicaOutcome::Matched));
    let audits = progress.audits.unwrap();
    assert_eq!((audits.overturned, audits.undecided), (1, 0), "{audits:?}");
    stage.client.check_outputs(&stage.world, &agreed, &order.script).await;

    let at = stage.world.network.contracts;
    let due: Vec<Audits::AuditDue> = stage.said(at.audits, &agreed).await;
    let rates: Vec<_> = due.iter().filter(|due| due.seq == 0).map(|due| due.rate).collect();
    assert_eq!(rates, [DISPUTED_RATE], "that leaf is all that is audited of the range");
    stage.differ_in_task_0(&agreed).await;
    let lost: Vec<Replicas::MateLost> = stage.said(at.replicas, &agreed).await;
    assert!(lost.is_empty(), "its mate has done nothing wrong: {lost:?}");
    let mates: Vec<JobBook::MateSettled> = stage.said(at.job_book, &agreed).await;
    assert_eq!(mates.len(), 1, "one of the two ranges is rejected");
    let ranges: Vec<JobBook::RangeSettled> = stage.said(at.job_book, &agreed).await;
    let paid = mates[0].paid + ranges[0].paid;
    assert_eq!((mates[0].seq, ranges.len(), ranges[0].seq), (1, 1, 1));
    assert_eq!(stake_of(&stage.world, &cheat).await, 0, "all of it is gone");
    let mut have = 0;
    for provider in &honest {
        assert_eq!(stake_of(&stage.world, provider).await, 50 * GRAIN);
        have += stage.free(provider.address).await;
    }
    // Half of what the auditors' fees have left of the cheat's stake.
    let gained = have - had - paid;
    assert!(gained > 20 * GRAIN && gained <= 25 * GRAIN, "{gained}");
}

/// Both are killed and come back at every step: what was posted while one was away is read from the chain's past.
#[tokio::test(flavor = "multi_thread")]
async fn a_mate_with_one_flipped_bit_loses_its_stake_whoever_is_killed_on_the_way() {
    let stage = Stage::set().await;
    let flipping = || stage.world.provider_that(3, 1, &["choosy", "flips"]).expect("up");
    let (primary, cheat) = (stage.provider(2), flipping());
    let (order, agreed) = stage.order(1, true).await;
    stage.wait_for_line(&agreed, 2).await;
    cheat.kill();
    stage.let_them_claim().await;
    let tending = stage.client.tend(&agreed);
    stage.reaches(&agreed, ReplicaState::Working, 0).await;
    primary.kill();
    let cheat = flipping();
    stage.reaches(&agreed, ReplicaState::Revealing, SHOWN.1).await;
    cheat.kill();
    // It shows its root, which is another one, and is the first to post its nodes.
    let primary = stage.provider(2);
    stage.reaches(&agreed, ReplicaState::Walking, SHOWN.0).await;
    primary.kill();
    // It brings these along, and comes to the leaf.
    let cheat = flipping();
    stage.reaches(&agreed, ReplicaState::Showing, SHOWN.1).await;
    cheat.kill();
    let primary = stage.provider(2);
    let progress = stage.client.finish(tending).await;
    stage.reaches(&agreed, ReplicaState::Closed, SHOWN.0 | SHOWN.1).await;
    assert_eq!(stage.state(&agreed, 0).await.1, ReplicaOutcome::Alone);
    assert_eq!(progress.totals.settled, 1, "{progress:?}");
    let audits = progress.audits.unwrap();
    assert_eq!((audits.upheld, audits.overturned, audits.undecided), (1, 0, 0), "{audits:?}");
    stage.client.check_outputs(&stage.world, &agreed, &order.script).await;

    let at = stage.world.network.contracts;
    stage.differ_in_task_0(&agreed).await;
    let due: Vec<Audits::AuditDue> = stage.said(at.audits, &agreed).await;
    let [leaf, range] = &due[..] else { panic!("the leaf, and after it the range: {due:?}") };
    assert!(leaf.rate == DISPUTED_RATE && range.rate <= ONE.0, "{due:?}");
    assert!(leaf.round < range.round, "{due:?}");
    let closed: Vec<Audits::AuditClosed> = stage.said(at.audits, &agreed).await;
    let upheld: Vec<_> =
        closed.iter().map(|closed| closed.outcome == u8::from(AuditOutcome::Upheld)).collect();
    assert_eq!(upheld, [true, true], "a newcomer's range is surely audited: {closed:?}");
    assert_eq!(closed[0].record, 0, "a leaf is no record");
    let paid: Vec<JobBook::RangeSettled> = stage.said(at.job_book, &agreed).await;
    assert_eq!(paid.len(), 1);
    assert!(closed[1].record >= paid[0].paid, "the range is: {closed:?}");
    let lost: Vec<Replicas::MateLost> = stage.said(at.replicas, &agreed).await;
    let [lost] = &lost[..] else { panic!("one mate is lost: {lost:?}") };
    assert_eq!((lost.why, lost.cut), (WRONG, 50 * GRAIN));
    let cheat = stage.world.account(3).address();
    let read = Stake::of(stage.link(), cheat).await.unwrap().unwrap();
    assert_eq!((read.number, read.staked), (lost.number, Amount(0)), "it was the one that lied");
    assert_eq!(stage.free(cheat).await, 0, "it is not paid");
    assert_eq!(stake_of(&stage.world, &primary).await, 50 * GRAIN);
    assert!(stage.free(primary.address).await > 0, "the provider is");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_is_shown_after_both_were_killed() {
    let stage = Stage::set().await;
    let [primary, mate] = [2, 3].map(|key| stage.provider(key));
    let (order, agreed) = stage.submit(1).await;
    stage.wait_for_line(&agreed, 2).await;
    mate.kill();
    stage.let_them_claim().await;
    let tending = stage.client.tend(&agreed);
    wait("the mate is waited for", async || {
        stage.state(&agreed, 0).await.0 == ReplicaState::Working
    })
    .await;
    primary.kill();
    // It is drawn while it is away, does the range, commits and shows it.
    let mate = stage.provider(3);
    wait("the primary is waited for", async || {
        let (state, _, shown) = stage.state(&agreed, 0).await;
        (state, shown) == (ReplicaState::Revealing, SHOWN.1)
    })
    .await;
    let primary = stage.provider(2);
    let progress = stage.client.finish(tending).await;
    assert_eq!(progress.replicas, matched(1), "{progress:?}");
    stage.client.check_outputs(&stage.world, &agreed, &order.script).await;
    for provider in [&primary, &mate] {
        assert_eq!(stake_of(&stage.world, provider).await, 50 * GRAIN);
        assert!(stage.free(provider.address).await > 0, "both are paid");
    }
}
