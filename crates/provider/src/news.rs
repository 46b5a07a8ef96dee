//! The contracts' logs in the words of the machine. Pure.

use alloy::{rpc::types::Log, sol_types::SolEventInterface};
use alloy_primitives::Log as Plain;
use tilth_contracts::{JobBook::JobBookEvents, Terms as Offered, Waiting::WaitingEvents};
use tilth_protocol::{Amount, Clock, ContentHash, JobId, Price, RangeId};

use crate::machine::{ChainEvent, Claim, Millis, Place, Terms};

/// One log that concerns providers.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// For the machine.
    pub(crate) event: ChainEvent,
    /// The block it is in.
    pub(crate) block: u64,
    /// What only the log says.
    pub(crate) more: More,
}

/// What a log says that the machine need not know.
#[derive(Clone, Debug)]
pub(crate) enum More {
    /// Nothing.
    Nothing,
    /// Where and what a new job's spec is.
    Opened(Opening),
    /// What was submitted, and by whom.
    Submitted {
        /// The owner account.
        provider: alloy_primitives::Address,
        /// Its units.
        units: u64,
    },
    /// Who was paid.
    Settled {
        /// The owner account.
        provider: alloy_primitives::Address,
    },
    /// Whose place in a line it is.
    Line {
        /// The provider's number.
        number: u32,
    },
}

/// What is needed to fetch a job and to check that its spec is what the chain was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) spec: ContentHash,
    pub(crate) task_count: u32,
    pub(crate) unit_cap: u64,
    pub(crate) prepare_cap: u64,
    pub(crate) range_timeout_ms: u64,
    /// Whether submitted ranges are audited.
    pub(crate) audited: bool,
    /// Whether seals are submitted in the place of roots.
    pub(crate) replicated: bool,
    /// Whether auditors are to hold what its client does not acknowledge.
    pub(crate) kept: bool,
    /// Slots that its client expects: no range is larger than a half of each one's share.
    pub(crate) parallelism: u16,
    /// Encoded contact of whoever serves the spec.
    pub(crate) contact: Vec<u8>,
}

impl Heard {
    /// The job it is about.
    pub(crate) fn job(&self) -> JobId {
        match &self.event {
            ChainEvent::Opened { job, .. }
            | ChainEvent::ToppedUp { job }
            | ChainEvent::Draining { job }
            | ChainEvent::Reopened { job }
            | ChainEvent::Line { job, .. }
            | ChainEvent::Closed { job } => *job,
            ChainEvent::Claimed { claim, .. } => claim.range.job,
            ChainEvent::Submitted { range, .. }
            | ChainEvent::Released { range }
            | ChainEvent::Expired { range }
            | ChainEvent::Rejected { range }
            | ChainEvent::MatePaid { range, .. }
            | ChainEvent::Settled { range, .. } => range.job,
        }
    }
}

/// Reads a log of the `JobBook` or of `Waiting`. `None`: it does not concern providers.
pub(crate) fn hear(log: &Log) -> Option<Heard> {
    let block = log.block_number?;
    let (event, more) = read(&log.inner)?;
    Some(Heard { event, block, more })
}

/// What a log of the `JobBook` or of `Waiting` says to the machine; where that is a place in a line, with the number of the
/// provider whose it is, who alone is told. `None`: it does not concern providers.
pub fn heard(log: &Plain) -> Option<(ChainEvent, Option<u32>)> {
    let (event, more) = read(log)?;
    let number = match more {
        More::Line { number } => Some(number),
        More::Nothing | More::Opened(_) | More::Submitted { .. } | More::Settled { .. } => None,
    };
    Some((event, number))
}

fn read(log: &Plain) -> Option<(ChainEvent, More)> {
    let Ok(event) = JobBookEvents::decode_log(log) else { return read_line(log) };
    let event = event.data;
    let nothing = |event| Some((event, More::Nothing));
    match event {
        JobBookEvents::JobOpened(e) => {
            let job = JobId(e.jobId);
            let opening = Opening {
                spec: ContentHash(e.terms.specHash.0),
                task_count: e.terms.taskCount,
                unit_cap: e.terms.unitCap,
                prepare_cap: e.terms.prepareCap,
                range_timeout_ms: seconds(e.terms.rangeTimeout.into()),
                audited: e.terms.audited,
                replicated: e.terms.replicas != 0,
                kept: e.terms.kept,
                parallelism: e.terms.parallelism,
                contact: e.terms.contact.to_vec(),
            };
            let event = ChainEvent::Opened { job, terms: terms(&e.terms, e.at.to()) };
            Some((event, More::Opened(opening)))
        }
        JobBookEvents::JobFunded(e) => nothing(ChainEvent::ToppedUp { job: JobId(e.jobId) }),
        JobBookEvents::JobDraining(e) => nothing(ChainEvent::Draining { job: JobId(e.jobId) }),
        JobBookEvents::JobReopened(e) => nothing(ChainEvent::Reopened { job: JobId(e.jobId) }),
        JobBookEvents::JobCancelled(e) => nothing(ChainEvent::Closed { job: JobId(e.jobId) }),
        JobBookEvents::JobDone(e) => nothing(ChainEvent::Closed { job: JobId(e.jobId) }),
        JobBookEvents::RangeClaimed(e) => {
            let claim = Claim {
                range: range(e.jobId, e.seq),
                from: e.from,
                count: e.count,
                at: seconds(e.at.to::<u64>()),
            };
            nothing(ChainEvent::Claimed { provider: e.provider, claim })
        }
        JobBookEvents::RangeSubmitted(e) => {
            let at = seconds(e.at.to::<u64>());
            let event = ChainEvent::Submitted { range: range(e.jobId, e.seq), at };
            Some((event, More::Submitted { provider: e.provider, units: e.units }))
        }
        JobBookEvents::RangeSettled(e) => {
            let range = range(e.jobId, e.seq);
            let event = ChainEvent::Settled { range, paid: Amount(e.paid) };
            Some((event, More::Settled { provider: e.provider }))
        }
        JobBookEvents::RangeReleased(e) => {
            nothing(ChainEvent::Released { range: range(e.jobId, e.seq) })
        }
        JobBookEvents::RangeExpired(e) => {
            nothing(ChainEvent::Expired { range: range(e.jobId, e.seq) })
        }
        JobBookEvents::RangeRejected(e) => {
            nothing(ChainEvent::Rejected { range: range(e.jobId, e.seq) })
        }
        JobBookEvents::MateSettled(e) => nothing(ChainEvent::MatePaid {
            range: range(e.jobId, e.seq),
            provider: e.provider,
            paid: Amount(e.paid),
        }),
        // Whether the escrow is dry is asked when it matters; callbacks are the client's affair; our roots we know.
        JobBookEvents::JobDry(_)
        | JobBookEvents::JobCallback(_)
        | JobBookEvents::RangeUnsealed(_) => None,
    }
}

/// Reads a log of `Waiting`: somebody's place in a line.
fn read_line(log: &Plain) -> Option<(ChainEvent, More)> {
    let (job, number, place) = match WaitingEvents::decode_log(log).ok()?.data {
        WaitingEvents::ProviderWaits(e) => (e.jobId, e.number, Place::On),
        WaitingEvents::ProviderLeft(e) => (e.jobId, e.number, Place::Left),
        WaitingEvents::BondFreed(e) => (e.jobId, e.number, Place::Off),
    };
    Some((ChainEvent::Line { job: JobId(job), place }, More::Line { number }))
}

fn range(job: u64, seq: u32) -> RangeId {
    RangeId { job: JobId(job), seq }
}

/// Seconds of the chain as milliseconds.
fn seconds(seconds: u64) -> Millis {
    seconds.saturating_mul(1_000)
}

fn terms(terms: &Offered, opened_s: u64) -> Terms {
    let price = Price(terms.price.to::<u128>());
    let clock = (terms.finishSeconds != 0).then(|| {
        let floor = Price(terms.floorPrice.to::<u128>());
        (Clock { floor, cap: price, finish_s: terms.finishSeconds }, seconds(opened_s))
    });
    Terms {
        task_count: terms.taskCount,
        price,
        clock,
        window_ms: seconds(terms.window.into()),
        range_timeout_ms: seconds(terms.rangeTimeout.into()),
        deadline: seconds(terms.deadline.to::<u64>()),
        required_class: terms.requiredClass,
        min_vram_mib: terms.minVramMib,
        chained: terms.afterJob != 0,
        replicated: terms.replicas != 0,
        unit_cap: terms.unitCap,
        prepare_cap: terms.prepareCap,
        target_ms: seconds(terms.targetSeconds.into()),
        first_range: terms.firstRange,
        audited: terms.audited,
    }
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolEvent;
    use alloy_primitives::{
        Address, B256, LogData, U256,
        aliases::{U40, U96},
    };
    use proptest::{collection::vec, prelude::*};
    use tilth_contracts::{JobBook, Waiting};

    use super::*;

    fn log<E: SolEvent>(event: &E) -> Log {
        let inner = Plain { address: Address::ZERO, data: event.encode_log_data() };
        Log { inner, block_number: Some(9), ..Log::default() }
    }

    #[test]
    fn terms_and_times_are_read_in_our_units() {
        let terms = Offered {
            specHash: B256::repeat_byte(3),
            taskCount: 12,
            unitCap: 7,
            prepareCap: 8,
            price: U96::from(99),
            floorPrice: U96::from(9),
            finishSeconds: 800,
            window: 60,
            rangeTimeout: 30,
            targetSeconds: 5,
            parallelism: 2,
            firstRange: 1,
            deadline: U40::from(1_790_000_000_u64),
            maxFailures: 0,
            requiredClass: 1,
            minVramMib: 2,
            afterJob: 0,
            audited: true,
            replicas: 2,
            kept: true,
            callback: Address::ZERO,
            program: B256::repeat_byte(4),
            contact: vec![1, 2, 3].into(),
        };
        let opened = JobBook::JobOpened {
            jobId: 4,
            client: Address::ZERO,
            program: B256::repeat_byte(4),
            terms,
            escrow: 5,
            at: U40::from(17),
        };
        let heard = hear(&log(&opened)).unwrap();
        let ChainEvent::Opened { job: JobId(4), terms } = heard.event else { panic!("{heard:?}") };
        assert_eq!((terms.window_ms, terms.range_timeout_ms), (60_000, 30_000));
        assert_eq!((terms.deadline, terms.price.0), (1_790_000_000_000, 99));
        let clock = Clock { floor: Price(9), cap: Price(99), finish_s: 800 };
        assert_eq!(terms.clock, Some((clock, 17_000)));
        assert!(terms.audited && terms.replicated && !terms.chained);
        let More::Opened(opening) = heard.more else { panic!() };
        assert!(opening.kept);
        assert_eq!((opening.unit_cap, opening.prepare_cap), (7, 8));
        assert_eq!((terms.unit_cap, terms.prepare_cap), (7, 8));
        assert_eq!((terms.target_ms, terms.first_range), (5_000, 1));
        assert!(opening.replicated);
        assert_eq!((opening.contact, heard.block), (vec![1, 2, 3], 9));
    }

    #[test]
    fn jobs_are_drained_and_opened_again() {
        let drained = JobBook::JobDraining { jobId: 4, failures: 2 };
        let drained = hear(&log(&drained)).unwrap();
        assert_eq!(drained.event, ChainEvent::Draining { job: JobId(4) });
        let reopened = JobBook::JobReopened { jobId: 4, failures: 2 };
        let reopened = hear(&log(&reopened)).unwrap();
        assert_eq!(
            (&reopened.event, reopened.job()),
            (&ChainEvent::Reopened { job: JobId(4) }, JobId(4))
        );
    }

    #[test]
    fn places_in_lines_are_heard_with_whose_they_are() {
        let bond = U96::from(7);
        let waits = Waiting::ProviderWaits { jobId: 4, number: 3, bond, minPrice: U96::ZERO };
        let left = Waiting::ProviderLeft { jobId: 4, number: 3 };
        let freed = Waiting::BondFreed { jobId: 4, number: 3, bond };
        let heard = [log(&waits), log(&left), log(&freed)].map(|log| hear(&log).unwrap());
        for (heard, place) in heard.iter().zip([Place::On, Place::Left, Place::Off]) {
            assert_eq!(heard.event, ChainEvent::Line { job: JobId(4), place });
            assert!(matches!(heard.more, More::Line { number: 3 }), "{heard:?}");
        }
        let place = ChainEvent::Line { job: JobId(4), place: Place::Left };
        assert_eq!(super::heard(&log(&left).inner), Some((place, Some(3))));
    }

    #[test]
    fn logs_of_other_contracts_are_not_heard() {
        assert!(hear(&Log { block_number: Some(1), ..Log::default() }).is_none());
    }

    /// A word as contracts write them, and as they never do.
    fn word() -> impl Strategy<Value = B256> {
        prop_oneof![
            4 => Just(B256::ZERO),
            2 => any::<u8>().prop_map(|number| B256::from(U256::from(number))),
            1 => any::<[u8; 32]>().prop_map(B256::from),
        ]
    }

    proptest! {
        /// The node is somebody else's.
        #[test]
        fn whatever_a_log_says_is_heard_or_passed_over(
            which in any::<prop::sample::Index>(),
            topics in vec(word(), 0..4),
            words in vec(word(), 0..48),
        ) {
            let known = [JobBookEvents::SELECTORS, WaitingEvents::SELECTORS].concat();
            let topics = [vec![B256::from(*which.get(&known))], topics].concat();
            let words: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
            let data = LogData::new_unchecked(topics, words.into());
            let inner = Plain { address: Address::ZERO, data };
            let log = Log { inner, block_number: Some(9), ..Log::default() };
            if let Some(heard) = hear(&log) {
                prop_assert_eq!(heard.block, 9);
                // Of a number that is none of a job's, no more than that it is read.
                if let Ok(job) = u64::try_from(U256::from_be_bytes(log.inner.data.topics()[1].0)) {
                    prop_assert_eq!(heard.job(), JobId(job));
                }
            }
        }
    }
}
