use std::sync::Mutex;

use alloy::{
    primitives::{
        Address, B256, U256,
        aliases::{U40, U96},
    },
    signers::local::PrivateKeySigner,
    sol_types::SolError,
};
use tilth_contracts::{Addresses, Holders, Spots, Terms};

use super::*;
use crate::{
    Account, Link,
    holding::{moves::tests::refused, node::terms, words::Part},
};

const US: Address = Address::repeat_byte(5);
const NOTHING: [Event; 0] = [];
const RANGE: RangeId = RangeId { job: JobId(7), seq: 3 };

/// Has nothing to do, and remembers up to where was read, of what it heard then that it is all, and what is noted.
#[derive(Default)]
struct Idler {
    read: Mutex<u64>,
    all: Mutex<Option<Vec<RangeId>>>,
    /// What it has noted.
    noted: Mutex<BTreeSet<RangeId>>,
}

impl Hand for Idler {
    async fn size(&self, _: RangeId, _: Part) -> Option<u32> {
        None
    }

    async fn fetch(&self, _: RangeId, _: Part, _: u32, _: Millis) -> bool {
        false
    }

    fn note(&self, _: &Effect) {}

    async fn failed(&self, _: &ChainError) {}

    fn noted(&self) -> BTreeSet<RangeId> {
        self.noted.lock().unwrap().clone()
    }

    fn caught_up(&self, cases: Vec<RangeId>) {
        let before = self.all.lock().unwrap().replace(cases);
        assert_eq!(before, None, "said twice");
    }

    fn read_up_to(&self, block: u64) {
        *self.read.lock().unwrap() = block;
    }
}

fn keeper(party: Party) -> Keeper<Idler> {
    keeper_of(party, Idler::default())
}

fn keeper_of(party: Party, hand: Idler) -> Keeper<Idler> {
    let link = Link::open("http://127.0.0.1:1", Addresses::predeployed()).unwrap();
    let account = Account::new(link, PrivateKeySigner::random());
    let post = Post { account, party, from_block: 0, job: None, most: 0 };
    Keeper::new(post, Arc::new(hand))
}

/// A log as it is read.
fn read(block: u64, log: Log) -> ReadLog {
    ReadLog { inner: log, block_number: Some(block), ..ReadLog::default() }
}

fn log<E: SolEvent>(event: &E) -> Log {
    Log { address: Address::ZERO, data: event.encode_log_data() }
}

fn opened(job: u64, kept: bool) -> Log {
    let terms = Terms { kept, ..terms(9) };
    log(&JobBook::JobOpened {
        jobId: job,
        client: US,
        program: B256::ZERO,
        terms,
        escrow: 0,
        at: U40::from(1),
    })
}

fn submitted(job: u64) -> Log {
    log(&JobBook::RangeSubmitted {
        jobId: job,
        seq: 3,
        provider: US,
        root: B256::ZERO,
        units: 1,
        failures: 0,
        contentHash: B256::ZERO,
        escrow: 0,
        at: U40::from(1),
    })
}

#[tokio::test]
async fn ranges_that_cannot_be_seen_any_more_end_with_an_error() {
    let ended = keeper(Party::Client).keep_reading(Following::dead()).await;
    assert!(matches!(ended, Err(ChainError::Unread)), "{ended:?}");
}

#[tokio::test]
async fn only_ranges_of_kept_jobs_concern_a_provider() {
    let mut keeper = keeper(Party::Provider(US));
    assert_eq!(keeper.concerns(3, &opened(7, true)), NOTHING);
    assert_eq!(keeper.concerns(3, &opened(8, false)), NOTHING);
    let due = Event::Submitted { range: RANGE, provider: US };
    assert_eq!(keeper.concerns(4, &submitted(7)), [due]);
    assert_eq!(keeper.concerns(4, &submitted(8)), NOTHING);
}

#[tokio::test]
async fn a_client_sees_to_the_inputs_of_its_kept_job() {
    let mut keeper = keeper(Party::Client);
    let due = Event::Opened { inputs: RangeId::inputs(JobId(7)) };
    assert_eq!(keeper.concerns(3, &opened(7, true)), [due]);
    assert_eq!(keeper.concerns(3, &opened(8, false)), NOTHING);
}

/// A node that did not have it when it was asked says it later.
#[tokio::test]
async fn a_range_is_not_missed_because_its_job_is_heard_of_later() {
    let mut keeper = keeper(Party::Provider(US));
    let following = |keeper: &Keeper<Idler>| keeper.machine.cases().collect::<Vec<_>>();
    keeper.read(&[read(40, submitted(7)), read(40, submitted(8))], (50, 30), true);
    assert!(following(&keeper).is_empty());
    keeper.read(&[read(35, opened(8, false))], (50, 30), true);
    keeper.read(&[read(35, opened(7, true))], (50, 30), true);
    assert_eq!(following(&keeper), [RANGE]);
    assert!(keeper.early.is_empty());
    // Whatever is still to come is younger than this one.
    keeper.read(&[read(60, submitted(9))], (70, 61), true);
    assert!(keeper.early.is_empty());
}

fn asked(seq: u32) -> Log {
    let reserved = U96::from(9);
    log(&Holders::HoldAsked { jobId: 7, seq, provider: US, round: 12, mib: 30, asked: 1, reserved })
}

/// A holder that is started again must hear of everything that it still has to keep.
#[tokio::test]
async fn what_is_followed_is_read_again_at_the_next_start() {
    let mut keeper = keeper(Party::Auditor(4));
    keeper.read(&[], (39, 30), false);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 30, "what is to be read twice is not read yet");
    keeper.read(&[read(40, asked(3))], (50, 45), false);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 40);
    keeper.read(&[], (60, 55), true);
    assert_eq!(*keeper.hand.all.lock().unwrap(), None, "a late node may know of more");
    keeper.read(&[], (70, 61), true);
    assert_eq!(*keeper.hand.all.lock().unwrap(), Some(vec![RANGE]));
    keeper.read(&[], (80, 81), true);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 40, "it may be ours to hold");
    assert_eq!(keeper.machine.cases().collect::<Vec<_>>(), [RANGE]);
}

/// For a year, otherwise: so long a range can be kept.
#[tokio::test]
async fn what_is_noted_is_known_at_the_next_start_without_its_logs() {
    let mut keeper = keeper(Party::Auditor(4));
    let other = RangeId { seq: 4, ..RANGE };
    keeper.read(&[read(40, asked(3)), read(60, asked(4))], (70, 71), true);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 40, "it may be ours to hold");
    keeper.hand.noted.lock().unwrap().insert(RANGE);
    keeper.read(&[], (80, 81), true);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 60, "the other is not noted");
    // What is let go while it is asked for anew is heard of again.
    keeper.hand.noted.lock().unwrap().insert(other);
    keeper.read(&[], (90, 91), true);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 91);
    keeper.hand.noted.lock().unwrap().remove(&RANGE);
    keeper.read(&[read(95, asked(3))], (99, 100), true);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 95);

    // The next life has its notes, and reads on from there. That an ask is over does not make it nobody's.
    let hand = Idler { noted: Mutex::new([other].into()), ..Idler::default() };
    let mut keeper = keeper_of(Party::Auditor(4), hand);
    let over = Holders::RangeHeld { jobId: 7, seq: 4, bits: 15, until: U40::from(9) };
    keeper.read(&[read(100, log(&over))], (110, 111), true);
    assert_eq!(*keeper.hand.all.lock().unwrap(), Some(vec![other]), "it is not let go");
    assert_eq!(keeper.machine.cases().collect::<Vec<_>>(), [other]);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 111);
}

#[tokio::test]
async fn only_auditors_have_notes_of_what_they_hold() {
    for party in [Party::Client, Party::Provider(US)] {
        let hand = Idler { noted: Mutex::new([RANGE].into()), ..Idler::default() };
        assert_eq!(keeper_of(party, hand).machine.cases().count(), 0, "{party:?}");
    }
}

/// What has to be looked at is heard of again at the next start, though nobody has signed for it here.
#[tokio::test]
async fn who_is_called_to_look_hears_of_it_again() {
    let mut keeper = keeper(Party::Auditor(4));
    let called = Spots::SpotAsked { jobId: 7, seq: 3, round: 12, until: U40::from(9) };
    keeper.read(&[read(40, log(&called))], (50, 45), true);
    assert_eq!(keeper.machine.cases().collect::<Vec<_>>(), [RANGE]);
    keeper.read(&[], (80, 81), true);
    assert_eq!(*keeper.hand.read.lock().unwrap(), 40);
}

/// Else it would be refused again and again, and nobody would know why nobody works.
#[tokio::test]
async fn that_a_deposit_does_not_pay_for_the_inputs_is_no_refusal_like_others() {
    let hand = Idler::default();
    let inputs = RangeId::inputs(JobId(7));
    let little = || {
        let (free, cost) = (U256::from(3), U256::from(9));
        Err(refused(Holders::TooLittleFree { free, cost }.abi_encode()))
    };
    let ask = Effect::Ask { range: inputs, mib: 3 };
    let end = ended(&hand, inputs, &ask, little()).await;
    assert_eq!(end, Event::Unpaid { range: inputs });
    let of_range = Effect::Ask { range: RANGE, mib: 3 };
    let end = ended(&hand, RANGE, &of_range, little()).await;
    assert_eq!(end, Event::Ended { range: RANGE, done: false });
    let other = Holders::NotYours { caller: US }.abi_encode();
    let end = ended(&hand, inputs, &ask, Err(refused(other))).await;
    assert_eq!(end, Event::Ended { range: inputs, done: false });
    let end = ended(&hand, inputs, &ask, Ok(())).await;
    assert_eq!(end, Event::Ended { range: inputs, done: true });
}
