//! What the contracts' logs say to the machine.

use alloy::{primitives::Log, sol_types::SolEventInterface};
use tilth_contracts::{HoldState, Holders::HoldersEvents, JobBook::JobBookEvents};
use tilth_protocol::{JobId, RangeId};

use super::words::Event;

/// What a log of `Holders` or of the `JobBook` says. Of the latter's only those of kept jobs are to be asked about: it does
/// not say of which kind its job is. That something was said about a range is all the machine needs of most.
pub fn heard(log: &Log) -> Option<Event> {
    match HoldersEvents::decode_log(log) {
        Ok(said) => by_holders(&said.data),
        Err(_) => by_job_book(&JobBookEvents::decode_log(log).ok()?.data),
    }
}

fn by_holders(said: &HoldersEvents) -> Option<Event> {
    Some(match said {
        HoldersEvents::HoldAsked(e) => {
            let (range, provider, round) = (at(e.jobId, e.seq), e.provider, e.round);
            Event::Asked { range, provider, round }
        }
        HoldersEvents::Held(e) => Event::Signed { range: at(e.jobId, e.seq), auditor: e.number },
        HoldersEvents::HoldersDrawn(e) => Event::News { range: at(e.jobId, e.seq) },
        // Whoever comes anew has nothing to do with what was over long ago.
        HoldersEvents::RangeHeld(e) => Event::Over { range: at(e.jobId, e.seq) },
        HoldersEvents::HoldFailed(e) if HoldState::try_from(e.state) != Ok(HoldState::Again) => {
            Event::Over { range: at(e.jobId, e.seq) }
        }
        HoldersEvents::HoldFailed(e) => Event::News { range: at(e.jobId, e.seq) },
        HoldersEvents::SpotAsked(e) => Event::Called { range: at(e.jobId, e.seq) },
        HoldersEvents::Spotted(e) => Event::News { range: at(e.jobId, e.seq) },
        HoldersEvents::SpotOver(e) => Event::Over { range: at(e.jobId, e.seq) },
        // What a deposit covers is seen when it matters.
        HoldersEvents::KeepFunded(_)
        | HoldersEvents::KeepClosed(_)
        | HoldersEvents::HolderContact(_) => return None,
    })
}

fn by_job_book(said: &JobBookEvents) -> Option<Event> {
    Some(match said {
        JobBookEvents::RangeSubmitted(e) => {
            Event::Submitted { range: at(e.jobId, e.seq), provider: e.provider }
        }
        JobBookEvents::RangeUnsealed(e) => Event::News { range: at(e.jobId, e.seq) },
        JobBookEvents::RangeSettled(e) => Event::Over { range: at(e.jobId, e.seq) },
        JobBookEvents::RangeRejected(e) => Event::Over { range: at(e.jobId, e.seq) },
        JobBookEvents::JobDone(_) => Event::JobOver,
        _ => return None,
    })
}

fn at(job: u64, seq: u32) -> RangeId {
    RangeId { job: JobId(job), seq }
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::{
            Address, B256,
            aliases::{U40, U96},
        },
        sol_types::SolEvent,
    };
    use tilth_contracts::{Holders, JobBook};

    use super::*;

    const RANGE: RangeId = RangeId { job: JobId(7), seq: 3 };
    const PROVIDER: Address = Address::repeat_byte(5);

    fn told<E: SolEvent>(event: &E) -> Option<Event> {
        heard(&Log { address: Address::ZERO, data: event.encode_log_data() })
    }

    #[test]
    fn asks_and_signatures_say_whose_they_are() {
        let asked = Holders::HoldAsked {
            jobId: 7,
            seq: 3,
            provider: PROVIDER,
            round: 12,
            mib: 30,
            asked: 1,
            reserved: U96::from(9),
        };
        let due = Event::Asked { range: RANGE, provider: PROVIDER, round: 12 };
        assert_eq!(told(&asked), Some(due));
        let held = Holders::Held { jobId: 7, seq: 3, number: 4, draw: 2, fee: U96::from(1) };
        assert_eq!(told(&held), Some(Event::Signed { range: RANGE, auditor: 4 }));
    }

    #[test]
    fn whatever_is_said_about_a_range_is_news_of_it() {
        let news = Some(Event::News { range: RANGE });
        let time = U40::from(9);
        assert_eq!(told(&Holders::HoldersDrawn { jobId: 7, seq: 3, from: time }), news);
        let failed = |state: HoldState| {
            told(&Holders::HoldFailed { jobId: 7, seq: 3, state: state as u8, cut: 0 })
        };
        assert_eq!(failed(HoldState::Again), news);
        let over = Some(Event::Over { range: RANGE });
        assert_eq!(told(&Holders::RangeHeld { jobId: 7, seq: 3, bits: 15, until: time }), over);
        assert_eq!([HoldState::Lost, HoldState::Dropped].map(failed), [over.clone(), over]);
        let fee = U96::from(1);
        let spotted = Holders::Spotted { jobId: 7, seq: 3, number: 4, draw: 2, seen: 15, fee };
        assert_eq!(told(&spotted), news);
        let root = B256::repeat_byte(1);
        assert_eq!(told(&JobBook::RangeUnsealed { jobId: 7, seq: 3, root }), news);
    }

    #[test]
    fn who_is_to_look_is_called_and_sees_the_end() {
        let asked = Holders::SpotAsked { jobId: 7, seq: 3, round: 9, until: U40::from(9) };
        assert_eq!(told(&asked), Some(Event::Called { range: RANGE }));
        let over = Holders::SpotOver { jobId: 7, seq: 3, served: 15, fee: U96::from(1) };
        assert_eq!(told(&over), Some(Event::Over { range: RANGE }));
    }

    #[test]
    fn ends_are_told_apart() {
        let rejected = JobBook::RangeRejected { jobId: 7, seq: 3, provider: PROVIDER, escrow: 0 };
        assert_eq!(told(&rejected), Some(Event::Over { range: RANGE }));
        let done = JobBook::JobDone {
            jobId: 7,
            state: 4,
            resultRoot: B256::ZERO,
            settledTasks: 1,
            refunded: 0,
        };
        assert_eq!(told(&done), Some(Event::JobOver));
        // Money is no range's, whatever its second number is.
        let closed = Holders::KeepClosed { jobId: 7, amount: U96::from(3), deposit: U96::from(0) };
        assert_eq!(told(&closed), None);
    }
}
