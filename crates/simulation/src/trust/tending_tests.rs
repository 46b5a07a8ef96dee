//! That what a client does about its job is what the machine says, and that this hears all it must.

use alloy_primitives::{
    B256, Bytes,
    aliases::{U40, U96},
};
use tilth_contracts::JobState;

use super::*;
use crate::{
    farm::Farm,
    random::Random,
    trust::{Cast, cast::terms},
};

const JOB: JobId = JobId(1);
const CLIENT: Address = Address::repeat_byte(1);
const PROVIDER: Address = Address::repeat_byte(2);

/// A client with a job of two ranges of eight tasks each.
struct Play {
    scene: Scene,
    tending: Tending,
    /// Ranges whose audits let them be paid.
    upheld: BTreeSet<u32>,
    /// What it has sent that is in no block.
    flying: Vec<Tx>,
}

impl Play {
    /// With a plain job, changed so.
    fn new(change: impl Fn(&mut Cast)) -> Self {
        let scene = Scene::new(Farm::new().unwrap(), Random::new(0));
        let mut cast = Cast::honest(16, 0, 0);
        cast.clients[0].audited = false;
        change(&mut cast);
        let terms = terms(&cast.clients[0], scene.farm.now);
        let tending = Tending::new(Actor::Client(0), CLIENT, scene.now);
        let mut play = Self { scene, tending, upheld: BTreeSet::new(), flying: Vec::new() };
        play.tell(JobBookEvents::JobOpened(JobBook::JobOpened {
            jobId: JOB.0,
            client: CLIENT,
            program: B256::ZERO,
            terms,
            escrow: 1,
            at: U40::ZERO,
        }));
        play
    }

    /// The same, with both ranges handed in.
    fn handed_in(change: impl Fn(&mut Cast)) -> Self {
        let mut play = Self::new(change);
        (0..2).for_each(|seq| play.claim(seq));
        (0..2).for_each(|seq| play.submit(seq));
        play
    }

    fn tell(&mut self, event: JobBookEvents) {
        self.scene.public.book.push((JOB, event));
    }

    fn claim(&mut self, seq: u32) {
        self.tell(JobBookEvents::RangeClaimed(JobBook::RangeClaimed {
            jobId: JOB.0,
            seq,
            provider: PROVIDER,
            from: 8 * seq,
            count: 8,
            price: U96::from(1),
            escrow: 1,
            at: U40::ZERO,
        }));
    }

    fn submit(&mut self, seq: u32) {
        self.tell(JobBookEvents::RangeSubmitted(JobBook::RangeSubmitted {
            jobId: JOB.0,
            seq,
            provider: PROVIDER,
            root: B256::ZERO,
            units: 1,
            failures: 0,
            contentHash: B256::ZERO,
            escrow: 1,
            at: U40::ZERO,
        }));
    }

    fn settle(&mut self, seq: u32) {
        self.tell(JobBookEvents::RangeSettled(JobBook::RangeSettled {
            jobId: JOB.0,
            seq,
            provider: PROVIDER,
            paid: 1,
            fee: 0,
            resultRoot: B256::ZERO,
        }));
    }

    /// What it sends when it acts after so many milliseconds.
    fn act(&mut self, after: Millis) -> Vec<Bytes> {
        self.scene.now += after;
        let upheld = &self.upheld;
        self.tending.act(|id| upheld.contains(&id.seq), &mut self.scene);
        let sent = std::mem::take(&mut self.scene.pool);
        let calls = sent.iter().map(|tx| tx.data.clone()).collect();
        self.flying.extend(sent);
        calls
    }

    /// All that waits is in a block.
    fn end(&mut self, success: bool) {
        let receipt = Receipt { success, output: Bytes::new(), logs: Vec::new() };
        for tx in self.flying.drain(..) {
            self.tending.done(&tx, &receipt);
        }
    }

    /// In how many milliseconds it acts without news.
    fn due_in(&self) -> Option<Millis> {
        let now = self.scene.now;
        self.tending.due(now).map(|due| due - now)
    }
}

fn acknowledge(seqs: &[u32]) -> Bytes {
    JobBook::acknowledgeCall { jobId: JOB.0, seqs: seqs.to_vec() }.abi_encode().into()
}

fn finish() -> Bytes {
    JobBook::finishCall { jobId: JOB.0 }.abi_encode().into()
}

#[test]
fn ranges_are_acknowledged_together_and_then_the_job_is_ended_once() {
    let mut play = Play::new(|_| {});
    (0..2).for_each(|seq| play.claim(seq));
    play.submit(0);
    assert!(play.act(0).is_empty(), "another one may join it");
    assert_eq!(play.due_in(), Some(750));
    play.submit(1);
    assert_eq!(play.act(100), [acknowledge(&[0, 1])]);
    assert!(play.act(6_000).is_empty(), "it is under way");
    (0..2).for_each(|seq| play.settle(seq));
    play.end(true);
    assert_eq!(play.due_in(), Some(0), "something has ended");
    assert_eq!(play.act(6_000), [finish()]);
    play.tell(JobBookEvents::JobDone(JobBook::JobDone {
        jobId: JOB.0,
        state: JobState::Done.into(),
        resultRoot: B256::ZERO,
        settledTasks: 16,
        refunded: 0,
    }));
    play.end(true);
    assert!(play.act(6_000).is_empty());
    assert_eq!((play.due_in(), play.tending.jobs.len()), (None, 0));
    assert_eq!(play.tending.acknowledged(), 1);
}

#[test]
fn a_range_waits_for_its_audit_and_is_never_acknowledged_when_that_rejects_it() {
    let mut play = Play::handed_in(|cast| cast.clients[0].audited = true);
    assert!(play.act(0).is_empty() && play.act(60_000).is_empty());
    assert_eq!(play.due_in(), None, "nothing to wait for but the audits");
    play.upheld.insert(1);
    assert_eq!(play.act(6_000), [acknowledge(&[1])]);
    play.settle(1);
    play.tell(JobBookEvents::RangeRejected(JobBook::RangeRejected {
        jobId: JOB.0,
        seq: 0,
        provider: PROVIDER,
        escrow: 1,
    }));
    play.end(true);
    play.upheld.insert(0);
    assert!(play.act(6_000).is_empty(), "its tasks are given out again");
}

#[test]
fn of_a_seal_nothing_can_be_said() {
    let mut play = Play::new(|cast| {
        (cast.clients[0].audited, cast.clients[0].replicated) = (true, true);
    });
    play.claim(0);
    play.submit(0);
    play.upheld.insert(0);
    assert!(play.act(0).is_empty() && play.act(60_000).is_empty());
    let root = B256::repeat_byte(7);
    play.tell(JobBookEvents::RangeUnsealed(JobBook::RangeUnsealed { jobId: JOB.0, seq: 0, root }));
    assert!(play.act(6_000).is_empty(), "others may join it");
    assert_eq!(play.act(6_000), [acknowledge(&[0])]);
}

#[test]
fn what_was_refused_is_sent_again_after_a_pause_unless_somebody_else_has_settled_it() {
    let mut play = Play::handed_in(|_| {});
    assert_eq!(play.act(0), [acknowledge(&[0, 1])]);
    play.end(false);
    assert!(play.act(6_000).is_empty());
    assert_eq!(play.due_in(), Some(500));
    assert_eq!(play.act(500), [acknowledge(&[0, 1])]);
    (0..2).for_each(|seq| play.settle(seq));
    play.end(false);
    assert_eq!(play.act(6_000), [finish()]);
}

#[test]
fn what_cannot_be_had_is_asked_for_again_and_not_acknowledged_before() {
    let mut play = Play::handed_in(|_| {});
    play.scene.keeps_outputs.insert(PROVIDER, true);
    assert!(play.act(0).is_empty());
    assert_eq!(play.due_in(), Some(500));
    assert!(play.act(500).is_empty());
    assert_eq!(play.due_in(), Some(1_000));
    play.scene.keeps_outputs.insert(PROVIDER, false);
    assert_eq!(play.act(1_000), [acknowledge(&[0, 1])]);
}
