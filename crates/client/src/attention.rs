//! What a client does about its job, as a pure state machine: fetch what was handed in, acknowledge
//! what was found right, end the job, and know when there is nothing left to do.
//!
//! Rules:
//! - Every range with results is fetched and checked, a few at a time; what cannot be had is tried
//!   again after growing pauses.
//! - Only a range that was checked is acknowledged. Acknowledgements go out in batches: a transaction
//!   costs far more than one more range in it. A batch leaves when it is large, when its oldest range
//!   has waited a moment, or when nothing else can join it.
//! - In audited jobs only what its audit leaves to be paid is acknowledged; the contract would skip the rest.
//! - One acknowledgement and one `finish` are under way at most.
//! - The job is left when it is over and every settled range is here (or nobody has delivered it for
//!   a long time).

use std::{collections::BTreeMap, time::Duration};

/// Ranges fetched at the same time.
const FETCHES: usize = 4;
/// Ranges that make a batch leave at once.
const BATCH: usize = 32;
/// Most ranges in one transaction (the contract's limit).
const MAX_BATCH: usize = 256;
/// The longest a checked range waits for others.
const LINGER: Duration = Duration::from_millis(750);
/// First pause after a failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long after a job's end missing results are still asked for.
const GIVE_UP: Duration = Duration::from_secs(120);

/// Time since the machine was started.
pub type Moment = Duration;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A range has results now; `settled` when it is paid already.
    Results {
        /// The range.
        seq: u32,
        /// Whether it is settled.
        settled: bool,
    },
    /// A range was released, expired or rejected.
    Lost(u32),
    /// A range of an audited job may be paid: its audit upheld it, or it was not drawn.
    MayBePaid(u32),
    /// The range's content is here and right.
    Checked(u32),
    /// The range's content is not what its provider submitted.
    Refused(u32),
    /// The range's content could not be had.
    Missing(u32),
    /// The acknowledgement under way ended.
    Acknowledged {
        /// Whether the chain took it.
        accepted: bool,
    },
    /// Whether the job could be ended now, and whether it is over.
    Job {
        /// `finish` would be accepted.
        finishable: bool,
        /// The job is done or cancelled.
        over: bool,
        /// No further range can be handed in soon: nothing else can join a batch.
        quiet: bool,
    },
    /// The `finish` under way ended.
    Finished {
        /// Whether the chain took it.
        accepted: bool,
    },
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Fetch and check a range's content.
    Fetch(u32),
    /// Acknowledge these ranges in one transaction.
    Acknowledge(Vec<u32>),
    /// End the job.
    Finish,
    /// Nothing is left to do.
    Leave,
}

/// Growing pauses between attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Retry {
    failures: u32,
    not_before: Moment,
}

impl Retry {
    fn failed(&mut self, now: Moment) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures));
        self.not_before = now.saturating_add(pause.min(LONGEST_PAUSE));
        self.failures = self.failures.saturating_add(1);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Wanted(Retry),
    UnderWay(Retry),
    Checked { at: Moment },
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    content: Content,
    settled: bool,
    /// Whether the contract would pay it; always so in plain jobs.
    may_be_paid: bool,
    /// In the acknowledgement under way.
    sent: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Attention {
    /// Whether to acknowledge and finish at all (not for somebody else's job).
    pays: bool,
    /// Whether audits decide what may be paid.
    audited: bool,
    ranges: BTreeMap<u32, Range>,
    acknowledging: bool,
    acknowledge: Retry,
    finishing: bool,
    finish: Retry,
    finishable: bool,
    quiet: bool,
    over_since: Option<Moment>,
    left: bool,
}

impl Attention {
    /// A machine that acknowledges and finishes (`pays`), or only looks on. `audited`: audits decide what
    /// may be paid.
    pub fn new(pays: bool, audited: bool) -> Self {
        Self {
            pays,
            audited,
            ranges: BTreeMap::new(),
            acknowledging: false,
            acknowledge: Retry::default(),
            finishing: false,
            finish: Retry::default(),
            finishable: false,
            quiet: false,
            over_since: None,
            left: false,
        }
    }

    /// Ranges that were checked and found right.
    pub fn checked(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().filter_map(|(seq, range)| {
            matches!(range.content, Content::Checked { .. }).then_some(*seq)
        })
    }

    /// Takes in an event and says what is to be done.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        match event {
            Event::Results { seq, settled } => {
                let content = Content::Wanted(Retry::default());
                let new = Range { content, settled, may_be_paid: !self.audited, sent: false };
                let range = self.ranges.entry(seq).or_insert(new);
                range.settled |= settled;
            }
            Event::Lost(seq) => {
                self.ranges.remove(&seq);
            }
            Event::MayBePaid(seq) => {
                if let Some(range) = self.ranges.get_mut(&seq) {
                    range.may_be_paid = true;
                }
            }
            Event::Checked(seq) => self.content(seq, |_| Content::Checked { at: now }),
            Event::Refused(seq) => self.content(seq, |_| Content::Refused),
            Event::Missing(seq) => self.content(seq, |mut retry| {
                retry.failed(now);
                Content::Wanted(retry)
            }),
            Event::Acknowledged { accepted } => {
                self.acknowledging = false;
                for range in self.ranges.values_mut().filter(|range| range.sent) {
                    range.sent = false;
                    // The chain's event says so, too; without this a slow event sends them again.
                    range.settled |= accepted;
                }
                if accepted {
                    self.acknowledge = Retry::default();
                } else {
                    self.acknowledge.failed(now);
                }
            }
            Event::Job { finishable, over, quiet } => {
                (self.finishable, self.quiet) = (finishable, quiet);
                if over {
                    self.over_since.get_or_insert(now);
                }
            }
            Event::Finished { accepted } => {
                self.finishing = false;
                if !accepted {
                    self.finish.failed(now);
                }
            }
            Event::Tick => {}
        }
        self.decide(now)
    }

    /// When to call [`Attention::step`] with [`Event::Tick`] if nothing happens before.
    pub fn wake(&self) -> Option<Moment> {
        let retries = self.ranges.values().filter_map(|range| match range.content {
            Content::Wanted(retry) if retry.failures > 0 => Some(retry.not_before),
            _ => None,
        });
        let batch = self
            .due()
            .map(|(_, at)| at.saturating_add(LINGER).max(self.acknowledge.not_before))
            .min()
            .filter(|_| !self.acknowledging);
        let finish = (self.pays && self.finishable && !self.finishing && self.over_since.is_none())
            .then_some(self.finish.not_before);
        let leave = self.over_since.map(|over| over.saturating_add(GIVE_UP));
        retries.chain(batch).chain(finish).chain(leave).min().filter(|_| !self.left)
    }

    fn content(&mut self, seq: u32, becomes: impl FnOnce(Retry) -> Content) {
        if let Some(range) = self.ranges.get_mut(&seq)
            && let Content::UnderWay(retry) = range.content
        {
            range.content = becomes(retry);
        }
    }

    /// Ranges to be acknowledged, with the time since which they wait.
    fn due(&self) -> impl Iterator<Item = (u32, Moment)> + '_ {
        let due = |range: &Range| match range.content {
            Content::Checked { at } if range.may_be_paid && !range.settled && !range.sent => {
                Some(at)
            }
            _ => None,
        };
        self.ranges
            .iter()
            .filter(|_| self.pays && self.over_since.is_none())
            .filter_map(move |(seq, range)| Some((*seq, due(range)?)))
    }

    fn decide(&mut self, now: Moment) -> Vec<Effect> {
        if self.left {
            return Vec::new();
        }
        let mut effects = self.fetches(now);
        effects.extend(self.batch(now));
        let finish = self.pays
            && self.finishable
            && !self.finishing
            && self.over_since.is_none()
            && now >= self.finish.not_before;
        if finish {
            self.finishing = true;
            effects.push(Effect::Finish);
        }
        if let Some(over) = self.over_since {
            let waiting = self
                .ranges
                .values()
                .any(|range| matches!(range.content, Content::Wanted(_) | Content::UnderWay(_)));
            if !waiting || now >= over.saturating_add(GIVE_UP) {
                self.left = true;
                effects.push(Effect::Leave);
            }
        }
        effects
    }

    fn fetches(&mut self, now: Moment) -> Vec<Effect> {
        let under_way = self
            .ranges
            .values()
            .filter(|range| matches!(range.content, Content::UnderWay(_)))
            .count();
        let mut effects = Vec::new();
        for (seq, range) in &mut self.ranges {
            if under_way + effects.len() >= FETCHES {
                break;
            }
            if let Content::Wanted(retry) = range.content
                && now >= retry.not_before
            {
                range.content = Content::UnderWay(retry);
                effects.push(Effect::Fetch(*seq));
            }
        }
        effects
    }

    fn batch(&mut self, now: Moment) -> Option<Effect> {
        if self.acknowledging || now < self.acknowledge.not_before {
            return None;
        }
        let due: Vec<_> = self.due().take(MAX_BATCH).collect();
        let oldest = due.iter().map(|(_, at)| *at).min()?;
        let more_to_come = !self.quiet
            || self
                .ranges
                .values()
                .any(|range| matches!(range.content, Content::Wanted(_) | Content::UnderWay(_)));
        let leaves = due.len() >= BATCH || !more_to_come || now >= oldest.saturating_add(LINGER);
        if !leaves {
            return None;
        }
        let seqs: Vec<_> = due.into_iter().map(|(seq, _)| seq).collect();
        for seq in &seqs {
            if let Some(range) = self.ranges.get_mut(seq) {
                range.sent = true;
            }
        }
        self.acknowledging = true;
        Some(Effect::Acknowledge(seqs))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    fn results(seq: u32) -> Event {
        Event::Results { seq, settled: false }
    }

    fn job(finishable: bool, over: bool, quiet: bool) -> Event {
        Event::Job { finishable, over, quiet }
    }

    #[test]
    fn only_checked_ranges_are_acknowledged_and_in_batches() {
        let mut machine = Attention::new(true, false);
        assert_eq!(machine.step(results(0), ms(0)), [Effect::Fetch(0)]);
        assert_eq!(machine.step(results(1), ms(0)), [Effect::Fetch(1)]);
        assert_eq!(machine.step(Event::Checked(0), ms(10)), []);
        assert_eq!(machine.step(Event::Refused(1), ms(20)), []);
        assert_eq!(machine.wake(), Some(ms(10) + LINGER));
        assert_eq!(machine.step(Event::Tick, ms(10) + LINGER), [Effect::Acknowledge(vec![0])]);
        assert_eq!(machine.step(Event::Tick, ms(9000)), []);
        machine.step(Event::Acknowledged { accepted: true }, ms(9001));
        assert_eq!(machine.step(Event::Tick, ms(20_000)), [], "not acknowledged twice");
    }

    #[test]
    fn a_batch_leaves_at_once_when_it_is_large_or_nothing_else_can_join() {
        let mut machine = Attention::new(true, false);
        machine.step(results(0), ms(0));
        machine.step(job(false, false, true), ms(1));
        assert_eq!(machine.step(Event::Checked(0), ms(2)), [Effect::Acknowledge(vec![0])]);
        machine.step(job(false, false, false), ms(3));
        machine.step(Event::Acknowledged { accepted: true }, ms(4));
        let last = u32::try_from(BATCH).unwrap();
        for seq in 1..=last {
            machine.step(results(seq), ms(5));
            let effects = machine.step(Event::Checked(seq), ms(5));
            let leaves = effects.iter().any(|effect| matches!(effect, Effect::Acknowledge(_)));
            assert_eq!(leaves, seq == last, "{seq}");
        }
    }

    #[test]
    fn in_audited_jobs_only_what_may_be_paid_is_acknowledged() {
        let mut machine = Attention::new(true, true);
        machine.step(job(false, false, true), ms(0));
        for seq in 0..3 {
            machine.step(results(seq), ms(0));
            assert!(
                !machine
                    .step(Event::Checked(seq), ms(1))
                    .iter()
                    .any(|effect| matches!(effect, Effect::Acknowledge(_)))
            );
        }
        assert_eq!(machine.wake(), None, "nothing to wait for but the audits");
        assert_eq!(machine.step(Event::MayBePaid(1), ms(2)), [Effect::Acknowledge(vec![1])]);
        machine.step(Event::Lost(0), ms(3));
        assert_eq!(machine.step(Event::Acknowledged { accepted: true }, ms(4)), []);
        assert_eq!(machine.step(Event::MayBePaid(2), ms(5)), [Effect::Acknowledge(vec![2])]);
    }

    #[test]
    fn a_refused_acknowledgement_is_sent_again_after_a_pause() {
        let mut machine = Attention::new(true, false);
        machine.step(job(false, false, true), ms(0));
        machine.step(results(0), ms(0));
        assert_eq!(machine.step(Event::Checked(0), ms(0)), [Effect::Acknowledge(vec![0])]);
        assert_eq!(machine.step(Event::Acknowledged { accepted: false }, ms(1)), []);
        assert_eq!(machine.step(Event::Tick, ms(1) + FIRST_PAUSE), [Effect::Acknowledge(vec![0])]);
    }

    #[test]
    fn missing_content_is_asked_for_until_long_after_the_end() {
        let mut machine = Attention::new(true, false);
        machine.step(results(0), ms(0));
        assert_eq!(machine.step(Event::Missing(0), ms(0)), []);
        assert_eq!(machine.step(Event::Tick, FIRST_PAUSE), [Effect::Fetch(0)]);
        machine.step(Event::Results { seq: 0, settled: true }, ms(600));
        assert_eq!(machine.step(job(false, true, true), ms(700)), []);
        machine.step(Event::Missing(0), ms(800));
        let end = ms(700) + GIVE_UP;
        assert!(machine.step(Event::Tick, end).contains(&Effect::Leave));
        assert_eq!(machine.wake(), None);
    }

    #[test]
    fn who_does_not_pay_only_looks_on() {
        let mut machine = Attention::new(false, false);
        machine.step(job(true, false, true), ms(0));
        machine.step(results(0), ms(0));
        assert_eq!(machine.step(Event::Checked(0), ms(10_000)), []);
        assert_eq!(machine.step(job(false, true, true), ms(10_001)), [Effect::Leave]);
    }

    /// A world that answers effects in some order, with failures.
    fn run(count: u32, choices: &[u8]) -> (BTreeSet<u32>, u32, Moment) {
        let mut machine = Attention::new(true, false);
        let (mut now, mut pending) = (ms(0), Vec::new());
        let (mut settled, mut transactions, mut choice) = (BTreeSet::new(), 0, 0_usize);
        for seq in 0..count {
            pending.extend(machine.step(results(seq), now));
        }
        let mut finished = false;
        for _ in 0..100_000 {
            let quiet = settled.len() == count as usize;
            pending.extend(machine.step(job(quiet && !finished, finished, true), now));
            if pending.is_empty() {
                let Some(wake) = machine.wake() else { break };
                assert!(wake >= now, "no sleep backwards");
                now = wake.max(now + ms(1));
                pending.extend(machine.step(Event::Tick, now));
                continue;
            }
            let luck = choices[choice % choices.len()];
            choice += 1;
            let index = usize::from(luck) % pending.len();
            let fails = luck.is_multiple_of(5);
            let event = match pending.swap_remove(index) {
                Effect::Fetch(seq) if fails => Event::Missing(seq),
                Effect::Fetch(seq) => Event::Checked(seq),
                Effect::Acknowledge(seqs) => {
                    transactions += 1;
                    assert!(!seqs.is_empty() && seqs.len() <= MAX_BATCH);
                    if !fails {
                        for seq in seqs {
                            assert!(settled.insert(seq), "acknowledged twice");
                        }
                    }
                    Event::Acknowledged { accepted: !fails }
                }
                Effect::Finish => {
                    assert_eq!(settled.len(), count as usize);
                    finished |= !fails;
                    Event::Finished { accepted: !fails }
                }
                Effect::Leave => {
                    assert!(finished);
                    return (settled, transactions, now);
                }
            };
            now += ms(3);
            pending.extend(machine.step(event, now));
        }
        panic!("the machine never left");
    }

    proptest! {
        #[test]
        fn every_range_is_settled_and_the_job_is_left(
            count in 1_u32..200,
            mut choices in proptest::collection::vec(any::<u8>(), 10..60),
        ) {
            choices.push(1);
            let (settled, transactions, _) = run(count, &choices);
            prop_assert_eq!(settled.len(), count as usize);
            prop_assert!(transactions <= 2 + 3 * count);
        }
    }
}
