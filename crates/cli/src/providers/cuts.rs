//! Why a provider's stake was cut: what the contracts say of it in the same transaction. The cut itself says nobody's name but
//! its owner's.

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::{SolEvent as _, SolEventInterface as _},
};
use tilth_contracts::{
    AuditOutcome, Audits, HoldState, Holders, JobBook, JobBook::JobBookEvents, Registry, Replicas,
};
use tilth_protocol::{JobId, Problem, RangeId};

use crate::place::Place;

/// A cut of the stake.
#[derive(Debug)]
pub struct Cut {
    /// Why, and over which range, where the chain says it.
    pub cause: Option<Cause>,
    /// How much, base units.
    pub amount: u128,
    /// Where.
    pub log: Log,
}

/// Why a stake was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// For people.
    pub why: &'static str,
    /// The range that it was for.
    pub range: RangeId,
}

impl Cut {
    /// What happened, for people.
    pub fn words(&self) -> String {
        self.cause
            .map_or_else(|| "stake cut".to_owned(), |cause| format!("stake cut: {}", cause.why))
    }
}

/// The cuts of one provider's stake, oldest first. `closed`: how its audits have ended.
///
/// # Errors
/// Those of the chain.
pub async fn of(
    place: &Place,
    (owner, number): (Address, u32),
    closed: Vec<Log>,
) -> Result<Vec<Cut>, Problem> {
    let at = &place.network.contracts;
    let number = B256::from(U256::from(number));
    let bonds = vec![JobBook::RangeExpired::SIGNATURE_HASH, JobBook::RangeReleased::SIGNATURE_HASH];
    let lost = vec![Replicas::MateLost::SIGNATURE_HASH, Replicas::PrimaryLost::SIGNATURE_HASH];
    let mut logs = closed;
    // Who has lost what nobody would hold is not said: another one's has no cut of this stake beside it.
    for filter in [
        Filter::new()
            .address(at.registry)
            .event_signature(Registry::StakeSlashed::SIGNATURE_HASH)
            .topic1(owner.into_word()),
        Filter::new().address(at.job_book).event_signature(bonds).topic3(owner.into_word()),
        Filter::new().address(at.replicas).event_signature(lost).topic3(number),
        Filter::new().address(at.holders).event_signature(Holders::HoldFailed::SIGNATURE_HASH),
    ] {
        let found = place.link.scan(&filter, place.network.first_block).await;
        logs.extend(found.map_err(|error| error.problem())?);
    }
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    Ok(explained(&logs, at.audits))
}

/// What an event says of cuts.
enum Told {
    /// Those that follow are for this.
    Following(Cause),
    /// The one before it was for this; with its size, where that is said.
    Before(Cause, Option<u128>),
    /// The one before it, of this size, was for this, and so was what its audit has cost, before that.
    Lost(Cause, u128),
}

/// The cuts in logs, which are in the order of the chain. `purse`: who has what an audit costs.
fn explained(logs: &[Log], purse: Address) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    let mut verdict: Option<(&Log, Cause)> = None;
    for log in logs {
        let together = |other: &Log| other.transaction_hash == log.transaction_hash;
        if let Ok(event) = Registry::StakeSlashed::decode_log(&log.inner) {
            let cause = verdict.filter(|&(other, _)| together(other)).map(|(_, cause)| cause);
            let amount = event.toBeneficiary.saturating_add(event.burned);
            cuts.push(Cut { cause, amount, log: log.clone() });
            continue;
        }
        match told(log) {
            Some(Told::Following(cause)) => verdict = Some((log, cause)),
            Some(Told::Before(cause, size)) => {
                let is_it = |cut: &&mut Cut| {
                    cut.cause.is_none()
                        && size.is_none_or(|size| size == cut.amount)
                        && together(&cut.log)
                };
                if let Some(cut) = cuts.iter_mut().rev().find(is_it) {
                    cut.cause = Some(cause);
                }
            }
            Some(Told::Lost(cause, size)) => mark_lost(&mut cuts, log, (cause, size), purse),
            None => {}
        }
    }
    cuts
}

/// Says of the cuts for a range that nobody held what they were for: of that with the size that `log` says, and of the
/// purse's just before it. Where the stake ends with that, it is the only one.
fn mark_lost(cuts: &mut [Cut], log: &Log, (cause, size): (Cause, u128), purse: Address) {
    let is_open =
        |cut: &Cut| cut.cause.is_none() && cut.log.transaction_hash == log.transaction_hash;
    let found = cuts.iter().rposition(|cut| is_open(cut) && cut.amount == size);
    let end = match found {
        Some(at) => at,
        None if size == 0 => cuts.len(),
        // Another provider's.
        None => return,
    };
    if let Some(cut) = found.and_then(|at| cuts.get_mut(at)) {
        cut.cause = Some(cause);
    }
    let before = end.checked_sub(1).and_then(|at| cuts.get_mut(at));
    if let Some(cut) = before
        && is_open(cut)
        && Registry::StakeSlashed::decode_log(&cut.log.inner).is_ok_and(|e| e.beneficiary == purse)
    {
        cut.cause = Some(cause);
    }
}

fn told(log: &Log) -> Option<Told> {
    let cause = |why, (job, seq)| Cause { why, range: RangeId { job: JobId(job), seq } };
    if let Ok(e) = Audits::AuditClosed::decode_log(&log.inner) {
        let range = (e.jobId, e.seq);
        return match AuditOutcome::try_from(e.outcome) {
            Ok(AuditOutcome::Overturned) if e.answer.is_zero() => {
                Some(Told::Following(cause("silent in an audit", range)))
            }
            Ok(AuditOutcome::Overturned) => {
                Some(Told::Following(cause("overturned by auditors", range)))
            }
            Ok(AuditOutcome::Undecided) => {
                Some(Told::Before(cause("no auditor could look into it", range), None))
            }
            _ => None,
        };
    }
    if let Ok(e) = Holders::HoldFailed::decode_log(&log.inner) {
        let is_lost = HoldState::try_from(e.state) == Ok(HoldState::Lost);
        let cause = cause("its results were not held", (e.jobId, e.seq));
        return is_lost.then_some(Told::Lost(cause, e.cut));
    }
    if let Ok(e) = Replicas::MateLost::decode_log(&log.inner) {
        // As `IReplicas.Fault` counts them.
        let why = match e.why {
            0 => "late as a mate",
            1 => "silent as a mate",
            _ => "wrong as a mate",
        };
        return Some(Told::Before(cause(why, (e.jobId, e.seq)), Some(e.cut)));
    }
    if let Ok(e) = Replicas::PrimaryLost::decode_log(&log.inner) {
        let cause = cause("its root was not shown", (e.jobId, e.seq));
        return Some(Told::Before(cause, Some(e.cut)));
    }
    let (cause, bond) = match JobBookEvents::decode_log(&log.inner).ok()?.data {
        JobBookEvents::RangeExpired(e) => (cause("handed in too late", (e.jobId, e.seq)), e.bond),
        JobBookEvents::RangeReleased(e) => {
            (cause("given back once too often", (e.jobId, e.seq)), e.bond)
        }
        _ => return None,
    };
    (bond > 0).then_some(Told::Before(cause, Some(bond)))
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolEvent;

    use super::*;

    fn log<E: SolEvent>(transaction: u8, event: &E) -> Log {
        let inner =
            alloy::primitives::Log { address: Address::ZERO, data: event.encode_log_data() };
        let transaction_hash = Some(B256::repeat_byte(transaction));
        Log { inner, transaction_hash, ..Log::default() }
    }

    const PURSE: Address = Address::repeat_byte(6);

    fn cut(transaction: u8, amount: u128) -> Log {
        cut_for(Address::ZERO, transaction, amount)
    }

    /// A cut that somebody has half of.
    fn cut_for(beneficiary: Address, transaction: u8, amount: u128) -> Log {
        let owner = Address::ZERO;
        let (to_beneficiary, stake, unbonding) = (amount / 2, 0, 0);
        let event = Registry::StakeSlashed {
            owner,
            beneficiary,
            toBeneficiary: to_beneficiary,
            burned: amount - to_beneficiary,
            stake,
            unbonding,
        };
        log(transaction, &event)
    }

    fn closed(transaction: u8, seq: u32, outcome: AuditOutcome, answer: B256) -> Log {
        let (outcome, provider, record) = (outcome.into(), 5, 0);
        let event = Audits::AuditClosed { jobId: 7, seq, outcome, answer, provider, record };
        log(transaction, &event)
    }

    fn words(logs: &[Log]) -> Vec<(String, Option<u32>, u128)> {
        let seq = |cut: &Cut| cut.cause.map(|cause| cause.range.seq);
        explained(logs, PURSE).iter().map(|cut| (cut.words(), seq(cut), cut.amount)).collect()
    }

    #[test]
    fn a_verdict_explains_the_cuts_that_follow_it_in_its_transaction() {
        let (overturned, answer) = (AuditOutcome::Overturned, B256::repeat_byte(1));
        let told = words(&[
            closed(1, 2, overturned, answer),
            cut(1, 10),
            cut(1, 990),
            cut(2, 5),
            closed(3, 4, overturned, B256::ZERO),
            cut(3, 70),
            // Nobody came, so there is a cut before the end.
            cut(4, 30),
            closed(4, 6, AuditOutcome::Undecided, B256::ZERO),
            // What was right explains nothing.
            closed(5, 8, AuditOutcome::Upheld, answer),
            cut(5, 1),
        ]);
        let expected = [
            ("stake cut: overturned by auditors", Some(2), 10),
            ("stake cut: overturned by auditors", Some(2), 990),
            ("stake cut", None, 5),
            ("stake cut: silent in an audit", Some(4), 70),
            ("stake cut: no auditor could look into it", Some(6), 30),
            ("stake cut", None, 1),
        ];
        assert_eq!(told, expected.map(|(what, seq, cut)| (what.to_owned(), seq, cut)));
    }

    #[test]
    fn bonds_and_what_nobody_holds_have_their_range() {
        let provider = Address::ZERO;
        let late = |seq, bond| JobBook::RangeExpired { jobId: 7, seq, provider, bond, escrow: 0 };
        let given_back =
            JobBook::RangeReleased { jobId: 7, seq: 3, provider, releases: 4, bond: 11, escrow: 0 };
        let free = JobBook::RangeReleased { seq: 4, bond: 0, ..given_back.clone() };
        let unheld = |seq, state: HoldState, cut| {
            let state = state.into();
            Holders::HoldFailed { jobId: 7, seq, state, cut }
        };
        let told = words(&[
            // Two at once, by whoever had them taken back.
            cut(1, 5),
            log(1, &late(0, 5)),
            cut(1, 6),
            log(1, &late(1, 6)),
            cut(2, 11),
            log(2, &given_back),
            log(3, &free),
            cut(4, 9),
            log(4, &unheld(5, HoldState::Lost, 9)),
            // Another provider's, beside a cut for something else.
            cut(5, 9),
            log(5, &unheld(6, HoldState::Lost, 8)),
            log(6, &unheld(7, HoldState::Again, 0)),
        ]);
        let expected = [
            ("stake cut: handed in too late", Some(0), 5),
            ("stake cut: handed in too late", Some(1), 6),
            ("stake cut: given back once too often", Some(3), 11),
            ("stake cut: its results were not held", Some(5), 9),
            ("stake cut", None, 9),
        ];
        assert_eq!(told, expected.map(|(what, seq, cut)| (what.to_owned(), seq, cut)));
    }

    #[test]
    fn what_a_lost_range_has_cost_is_said_with_its_audit() {
        let unheld = |seq, cut| {
            let state = HoldState::Lost.into();
            Holders::HoldFailed { jobId: 7, seq, state, cut }
        };
        let told = words(&[
            // As much for the one as for the other; and twice in a transaction.
            cut_for(PURSE, 1, 9),
            cut(1, 9),
            log(1, &unheld(1, 9)),
            cut_for(PURSE, 1, 4),
            cut(1, 80),
            log(1, &unheld(2, 80)),
            // The audit's was all that was left.
            cut_for(PURSE, 2, 5),
            log(2, &unheld(3, 0)),
            // Nothing was left before.
            log(3, &unheld(4, 0)),
            // The purse's, but of something else.
            cut_for(PURSE, 4, 3),
            cut(5, 7),
            log(5, &unheld(5, 7)),
            // Another provider's, beside a cut for something else.
            cut_for(PURSE, 6, 2),
            log(6, &unheld(6, 8)),
            // What somebody else has is not the purse's.
            cut(7, 1),
            cut(7, 6),
            log(7, &unheld(7, 6)),
        ]);
        let lost = "stake cut: its results were not held";
        let expected = [
            (lost, Some(1), 9),
            (lost, Some(1), 9),
            (lost, Some(2), 4),
            (lost, Some(2), 80),
            (lost, Some(3), 5),
            ("stake cut", None, 3),
            (lost, Some(5), 7),
            ("stake cut", None, 2),
            ("stake cut", None, 1),
            (lost, Some(7), 6),
        ];
        assert_eq!(told, expected.map(|(what, seq, cut)| (what.to_owned(), seq, cut)));
    }

    #[test]
    fn what_a_replica_has_cost_is_said() {
        let mate = |seq, why, cut| Replicas::MateLost { jobId: 7, seq, number: 5, why, cut };
        let silent = Replicas::PrimaryLost { jobId: 7, seq: 4, number: 5, cut: 90 };
        let told = words(&[
            cut(1, 5),
            log(1, &mate(1, 0, 5)),
            cut(2, 60),
            log(2, &mate(2, 1, 60)),
            cut(3, 70),
            log(3, &mate(3, 2, 70)),
            cut(4, 90),
            log(4, &silent),
        ]);
        let expected = [
            ("stake cut: late as a mate", Some(1), 5),
            ("stake cut: silent as a mate", Some(2), 60),
            ("stake cut: wrong as a mate", Some(3), 70),
            ("stake cut: its root was not shown", Some(4), 90),
        ];
        assert_eq!(told, expected.map(|(what, seq, cut)| (what.to_owned(), seq, cut)));
    }
}
