//! What a provider has earned, and an auditor for what it holds and for looking whether others do: every payment and
//! every loss, from the chain's events alone.
//!
//! Exact: amounts are the contracts' own, summed in whole base units.

mod cuts;
mod held;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::{SolEvent, SolEventInterface},
};
use tilth_contracts::{JobBook, JobBook::JobBookEvents, Registry, Replicas, Tabs};
use tilth_protocol::{Amount, ContentHash, JobId, RangeId};
use tilth_service::Doing;

use self::{
    cuts::{Cut, cuts},
    held::{held, signed},
};
use crate::{ChainError, Link};

/// Jobs asked for at once. Nodes bound what a filter may hold: geth answers up to 1,000 alternatives of a topic.
const MAX_TOPICS: usize = 500;

/// What an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A range.
    Range(RangeId),
    /// A range of somebody else, for whose results its owner has signed as an auditor that it holds them.
    Held(RangeId),
    /// The same, when others have seen that they were served until their time was over.
    Served(RangeId),
    /// A range that others hold, of which its owner has said as an auditor who serves it.
    Looked(RangeId),
    /// Single answers, which a payer settled together.
    Answers,
    /// A cut of the stake that no range explains: that of a verdict about a range which was not there any more.
    Unknown,
}

impl Source {
    /// The range, if it is about one.
    pub fn range(self) -> Option<RangeId> {
        match self {
            Self::Range(range) | Self::Held(range) | Self::Served(range) | Self::Looked(range) => {
                Some(range)
            }
            Self::Answers | Self::Unknown => None,
        }
    }
}

/// One payment, or one loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, by the chain's clock: seconds since 1970.
    pub at: u64,
    /// The block.
    pub block: u64,
    /// What it belongs to.
    pub source: Source,
    /// The job's program, if its opening is known.
    pub program: Option<ContentHash>,
    /// Tasks that were paid; 0 in a loss, for answers, for what is held, and of a mate.
    pub tasks: u32,
    /// Units that were paid; 0 in a loss, for answers, for what is held, and of a mate.
    pub units: u64,
    /// What came to the provider's owner.
    pub paid: Amount,
    /// What the protocol kept.
    pub fee: Amount,
    /// What was cut from the stake because the range was late or given back once too often, or, as an entry of its own,
    /// because an audit overturned it or a mate did not do it.
    pub lost: Amount,
}

/// Sums of some entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Ranges paid, without those that are only held.
    pub ranges: u64,
    /// Tasks paid.
    pub tasks: u64,
    /// Units paid. Those of different programs are not comparable.
    pub units: u64,
    /// What clients paid for them.
    pub gross: Amount,
    /// What the protocol kept of that.
    pub fees: Amount,
    /// What came to the owner.
    pub paid: Amount,
    /// What was cut from the stake.
    pub lost: Amount,
}

/// Sums of those entries that have a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: String,
    /// The sums.
    pub sums: Sums,
}

impl Sums {
    /// Adds an entry; `None` if a sum does not fit.
    fn add(self, entry: &Entry) -> Option<Self> {
        let gross = entry.paid.checked_add(entry.fee)?;
        let is_range =
            matches!(entry.source, Source::Range(_)) && (entry.units > 0 || gross > Amount::ZERO);
        Some(Self {
            ranges: self.ranges.checked_add(u64::from(is_range))?,
            tasks: self.tasks.checked_add(entry.tasks.into())?,
            units: self.units.checked_add(entry.units)?,
            gross: self.gross.checked_add(gross)?,
            fees: self.fees.checked_add(entry.fee)?,
            paid: self.paid.checked_add(entry.paid)?,
            lost: self.lost.checked_add(entry.lost)?,
        })
    }

    /// What is left, paid less lost: its sign (`-` or nothing) and its size.
    pub fn net(&self) -> (&'static str, Amount) {
        match self.paid.checked_sub(self.lost) {
            Some(net) => ("", net),
            None => ("-", Amount(self.lost.0.saturating_sub(self.paid.0))),
        }
    }
}

/// Sums entries by a key, in the order of the keys' first entries. `None` if a sum does not fit, which no
/// chain of ours can bring about.
pub fn sums(entries: &[Entry], key: impl Fn(&Entry) -> String) -> Option<Vec<Row>> {
    let mut places = HashMap::new();
    let mut rows: Vec<Row> = Vec::new();
    for entry in entries {
        let key = key(entry);
        let place = *places.entry(key.clone()).or_insert(rows.len());
        if place == rows.len() {
            rows.push(Row { key, sums: Sums::default() });
        }
        let row = rows.get_mut(place)?;
        row.sums = row.sums.add(entry)?;
    }
    Some(rows)
}

/// Reads the entries of a provider, of an auditor, or of who is both, oldest first.
///
/// # Errors
/// Those of the chain.
pub fn of(
    link: &Link,
    first_block: u64,
    owner: Address,
) -> Doing<'_, Result<Vec<Entry>, ChainError>> {
    Box::pin(async move {
        let slashed = Filter::new()
            .address(link.addresses().registry)
            .event_signature(Registry::StakeSlashed::SIGNATURE_HASH)
            .topic1(owner.into_word());
        // First: so of every cut that is seen, the event of its range is seen, too.
        let slashed = link.scan(&slashed, first_block).await?;
        let filter = Filter::new().address(link.addresses().job_book);
        let own = [
            JobBook::RangeClaimed::SIGNATURE_HASH,
            JobBook::RangeSubmitted::SIGNATURE_HASH,
            JobBook::RangeSettled::SIGNATURE_HASH,
            JobBook::MateSettled::SIGNATURE_HASH,
            JobBook::RangeReleased::SIGNATURE_HASH,
            JobBook::RangeExpired::SIGNATURE_HASH,
            JobBook::RangeRejected::SIGNATURE_HASH,
        ];
        let own = filter.clone().event_signature(own.to_vec()).topic3(owner.into_word());
        let logs = link.scan(&own, first_block).await?;
        let as_mate = lost_as_mate(link, first_block, owner).await?;
        let as_holder = signed(link, first_block, owner).await?;
        let jobs = jobs_of(logs.iter().chain(&as_mate).chain(&as_holder));
        let filter = filter.event_signature(JobBook::JobOpened::SIGNATURE_HASH);
        let mut opened = Vec::new();
        for jobs in jobs.chunks(MAX_TOPICS) {
            opened.extend(link.scan(&filter.clone().topic1(jobs.to_vec()), first_block).await?);
        }
        let answers = Filter::new()
            .address(link.addresses().tabs)
            .event_signature(Tabs::TabSettled::SIGNATURE_HASH)
            .topic3(owner.into_word());
        let answers = link.scan(&answers, first_block).await?;
        let mut times = HashMap::new();
        for log in logs.iter().chain(&answers).chain(&slashed).chain(&as_holder) {
            let block = log.block_number.unwrap_or(0);
            if let (None, false) = (log.block_timestamp, times.contains_key(&block)) {
                // Not every node says the time with the log.
                times.insert(block, link.time_of(block).await?);
            }
        }
        let time = |log: &Log| {
            let known = log.block_number.and_then(|block| times.get(&block).copied());
            log.block_timestamp.or(known).unwrap_or(0)
        };
        let programs = programs(&opened);
        let mut all = entries(&logs, &programs, time);
        all.extend(answered(&answers, time));
        all.extend(held(&as_holder, &programs, time));
        let mut explained: Vec<&Log> = slashed.iter().chain(&logs).chain(&as_mate).collect();
        explained.sort_by_key(|log| (log.block_number, log.log_index));
        all.extend(lost(&cuts(&explained), &programs, time));
        // Each of them is in the chain's order already.
        all.sort_by_key(|entry| entry.block);
        Ok(all)
    })
}

/// Only the jobs that a provider had to do with, also those of which it has nothing but a loss: a chain can have far more.
fn jobs_of<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Vec<B256> {
    let jobs: BTreeSet<B256> =
        logs.into_iter().filter_map(|log| log.topics().get(1).copied()).collect();
    jobs.into_iter().collect()
}

/// What the chain says about the ranges that a provider owed as a mate.
async fn lost_as_mate(
    link: &Link,
    first_block: u64,
    owner: Address,
) -> Result<Vec<Log>, ChainError> {
    let known = link.read(link.addresses().registry, Registry::providerCall { owner }).await?;
    let filter = Filter::new()
        .address(link.addresses().replicas)
        .event_signature(Replicas::MateLost::SIGNATURE_HASH)
        .topic3(B256::from(U256::from(known.number)));
    link.scan(&filter, first_block).await
}

/// What was cut besides the bonds of ranges.
fn lost(
    cuts: &[Cut<'_>],
    programs: &BTreeMap<u64, ContentHash>,
    time: impl Fn(&Log) -> u64,
) -> Vec<Entry> {
    let entry = |cut: &Cut<'_>| Entry {
        at: time(cut.log),
        block: cut.log.block_number.unwrap_or(0),
        source: cut.source,
        program: cut.source.range().and_then(|range| programs.get(&range.job.0).copied()),
        tasks: 0,
        units: 0,
        paid: Amount::ZERO,
        fee: Amount::ZERO,
        lost: Amount(cut.amount),
    };
    cuts.iter().map(entry).collect()
}

fn programs(opened: &[Log]) -> BTreeMap<u64, ContentHash> {
    let read = |log: &Log| JobBook::JobOpened::decode_log(&log.inner).ok();
    opened
        .iter()
        .filter_map(read)
        .map(|event| (event.jobId, ContentHash(event.program.0)))
        .collect()
}

fn entries(
    logs: &[Log],
    programs: &BTreeMap<u64, ContentHash>,
    time: impl Fn(&Log) -> u64,
) -> Vec<Entry> {
    let mut counts = BTreeMap::new();
    let mut units = BTreeMap::new();
    let mut all = Vec::new();
    for log in logs {
        let Ok(event) = JobBookEvents::decode_log(&log.inner) else { continue };
        let entry = |job: u64, seq: u32| Entry {
            at: time(log),
            block: log.block_number.unwrap_or(0),
            source: Source::Range(RangeId { job: JobId(job), seq }),
            program: programs.get(&job).copied(),
            tasks: 0,
            units: 0,
            paid: Amount::ZERO,
            fee: Amount::ZERO,
            lost: Amount::ZERO,
        };
        let made = match event.data {
            JobBookEvents::RangeClaimed(e) => {
                counts.insert((e.jobId, e.seq), e.count);
                continue;
            }
            JobBookEvents::RangeSubmitted(e) => {
                units.insert((e.jobId, e.seq), e.units);
                continue;
            }
            JobBookEvents::RangeSettled(e) => {
                let id = (e.jobId, e.seq);
                Entry {
                    tasks: counts.remove(&id).unwrap_or(0),
                    units: units.remove(&id).unwrap_or(0),
                    paid: Amount(e.paid),
                    fee: Amount(e.fee),
                    ..entry(e.jobId, e.seq)
                }
            }
            // Who did it as a mate: the tasks are booked with its provider.
            JobBookEvents::MateSettled(e) => {
                Entry { paid: Amount(e.paid), fee: Amount(e.fee), ..entry(e.jobId, e.seq) }
            }
            JobBookEvents::RangeReleased(e) if e.bond > 0 => {
                Entry { lost: Amount(e.bond), ..entry(e.jobId, e.seq) }
            }
            JobBookEvents::RangeExpired(e) if e.bond > 0 => {
                Entry { lost: Amount(e.bond), ..entry(e.jobId, e.seq) }
            }
            _ => continue,
        };
        all.push(made);
    }
    all
}

/// What came in for single answers.
fn answered(logs: &[Log], time: impl Fn(&Log) -> u64) -> Vec<Entry> {
    let entry = |log: &Log| {
        let event = Tabs::TabSettled::decode_log(&log.inner).ok()?;
        Some(Entry {
            at: time(log),
            block: log.block_number.unwrap_or(0),
            source: Source::Answers,
            program: None,
            tasks: 0,
            units: 0,
            paid: Amount(event.paid),
            fee: Amount(event.fee),
            lost: Amount::ZERO,
        })
    };
    logs.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Log as Plain;
    use proptest::prelude::*;

    use super::*;

    fn log<E: SolEvent>(event: &E, block: u64) -> Log {
        let inner = Plain { address: Address::ZERO, data: event.encode_log_data() };
        Log { inner, block_number: Some(block), ..Log::default() }
    }

    #[test]
    fn payments_and_losses_are_read_with_their_tasks_and_fees() {
        let provider = Address::repeat_byte(1);
        let submitted = JobBook::RangeSubmitted {
            jobId: 7,
            seq: 0,
            provider,
            root: B256::ZERO,
            units: 900,
            failures: 0,
            contentHash: B256::ZERO,
            escrow: 0,
            at: alloy::primitives::aliases::U40::from(5),
        };
        let claimed = JobBook::RangeClaimed {
            jobId: 7,
            seq: 0,
            provider,
            from: 0,
            count: 30,
            price: alloy::primitives::aliases::U96::from(1),
            escrow: 0,
            at: alloy::primitives::aliases::U40::from(4),
        };
        let settled = JobBook::RangeSettled {
            jobId: 7,
            seq: 0,
            provider,
            paid: 97,
            fee: 3,
            resultRoot: B256::ZERO,
        };
        let free =
            JobBook::RangeReleased { jobId: 7, seq: 1, provider, releases: 1, bond: 0, escrow: 0 };
        let late = JobBook::RangeExpired { jobId: 8, seq: 2, provider, bond: 500, escrow: 0 };
        let logs =
            [log(&claimed, 1), log(&submitted, 2), log(&settled, 3), log(&free, 4), log(&late, 5)];
        let programs = BTreeMap::from([(7, ContentHash([9; 32]))]);
        let read = entries(&logs, &programs, |log| log.block_number.unwrap() * 100);
        assert_eq!(read.len(), 2, "{read:?}");
        let Entry { at, tasks, units, paid, fee, program, .. } = &read[0];
        assert_eq!((*at, *tasks, *units), (300, 30, 900));
        assert_eq!((paid.0, fee.0, *program), (97, 3, Some(ContentHash([9; 32]))));
        assert_eq!((read[1].lost.0, read[1].paid.0, read[1].program), (500, 0, None));
        let job = |entry: &Entry| entry.source.range().unwrap().job.to_string();
        let rows = sums(&read, job).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].sums.gross, Amount(100));
        assert_eq!((rows[0].sums.ranges, rows[1].sums.ranges), (1, 0));
        let all = sums(&read, |_| String::new()).unwrap();
        assert_eq!(all[0].sums.net(), ("-", Amount(403)));
    }

    #[test]
    fn what_a_mate_is_paid_is_a_range_without_tasks_of_its_own() {
        let mate = Address::repeat_byte(1);
        let second = JobBook::MateSettled { jobId: 7, seq: 3, provider: mate, paid: 98, fee: 2 };
        let programs = BTreeMap::from([(7, ContentHash([9; 32]))]);
        let read = entries(&[log(&second, 3)], &programs, |_| 300);
        let Entry { source, program, tasks, units, paid, fee, .. } = &read[0];
        assert_eq!(*source, Source::Range(RangeId { job: JobId(7), seq: 3 }));
        assert_eq!((*program, *tasks, *units), (Some(ContentHash([9; 32])), 0, 0));
        assert_eq!((*paid, *fee), (Amount(98), Amount(2)));
        let rows = sums(&read, |_| String::new()).unwrap();
        assert_eq!((rows[0].sums.ranges, rows[0].sums.gross), (1, Amount(100)));
        // The topic by which a provider's own events are found.
        assert_eq!(second.encode_log_data().topics()[3], mate.into_word());
    }

    #[test]
    fn a_job_of_which_one_only_lost_as_a_mate_has_its_program() {
        let mate = Address::repeat_byte(1);
        let settled = JobBook::MateSettled { jobId: 7, seq: 3, provider: mate, paid: 98, fee: 2 };
        let late = Replicas::MateLost { jobId: 8, seq: 2, number: 3, why: 0, cut: 70 };
        let jobs = jobs_of([&log(&settled, 1), &log(&settled, 2), &log(&late, 3)]);
        assert_eq!(jobs, [7, 8].map(|job: u64| B256::from(U256::from(job))));
        let cut = Registry::StakeSlashed {
            owner: mate,
            beneficiary: Address::ZERO,
            toBeneficiary: 35,
            burned: 35,
            stake: 0,
            unbonding: 0,
        };
        let logs = [log(&cut, 3), log(&late, 3)];
        let logs: Vec<_> = logs.iter().collect();
        let programs = BTreeMap::from([(8, ContentHash([9; 32]))]);
        let read = lost(&cuts(&logs), &programs, |_| 300);
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].lost, read[0].program), (Amount(70), Some(ContentHash([9; 32]))));
    }

    #[test]
    fn settled_answers_are_money_and_no_ranges() {
        let settled = Tabs::TabSettled {
            payer: Address::repeat_byte(2),
            provider: 1,
            owner: Address::repeat_byte(1),
            book: B256::ZERO,
            total: 500,
            paid: 198,
            fee: 2,
            answers: 9,
            receipts: B256::ZERO,
        };
        let read = answered(&[log(&settled, 6)], |_| 700);
        assert_eq!((read[0].at, read[0].block, read[0].source), (700, 6, Source::Answers));
        let rows = sums(&read, |_| String::new()).unwrap();
        let sums = rows[0].sums;
        assert_eq!((sums.gross, sums.fees, sums.paid), (Amount(200), Amount(2), Amount(198)));
        assert_eq!((sums.ranges, sums.tasks, sums.units), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn however_it_is_summed_nothing_is_lost(
            amounts in prop::collection::vec((0_u64..9, 0_u128..1 << 90, 0_u128..1 << 80, any::<bool>()), 0..60),
        ) {
            let entries: Vec<_> = amounts.iter().map(|(job, paid, fee, late)| Entry {
                at: *job,
                block: 0,
                source: Source::Range(RangeId { job: JobId(*job), seq: 0 }),
                program: None,
                tasks: 1,
                units: 5,
                paid: if *late { Amount::ZERO } else { Amount(*paid) },
                fee: if *late { Amount::ZERO } else { Amount(*fee) },
                lost: if *late { Amount(*paid) } else { Amount::ZERO },
            }).collect();
            let rows = sums(&entries, |entry| entry.source.range().unwrap().job.to_string()).unwrap();
            let all = sums(&entries, |_| String::new()).unwrap();
            let total = |of: fn(&Sums) -> Amount| rows.iter().map(|row| of(&row.sums).0).sum::<u128>();
            if let [all] = &all[..] {
                prop_assert_eq!(total(|sums| sums.paid), all.sums.paid.0);
                prop_assert_eq!(total(|sums| sums.lost), all.sums.lost.0);
                prop_assert_eq!(all.sums.gross.0, all.sums.paid.0 + all.sums.fees.0);
            }
            let huge = Entry { paid: Amount(u128::MAX), ..entries.first().cloned().unwrap_or(Entry {
                at: 0, block: 0, source: Source::Answers, program: None, tasks: 0, units: 0,
                paid: Amount::ZERO, fee: Amount::ZERO, lost: Amount::ZERO,
            }) };
            prop_assert_eq!(sums(&[huge.clone(), huge], |_| String::new()), None);
        }
    }
}
