//! Clients that cancel their jobs when that is worst for others: when somebody has just begun to work, or has handed in
//! what nobody has looked at yet, while a mate works or auditors judge, and while others are asked to hold something.
//! They acknowledge nothing, so whoever wants to be paid has to see to it.

use tilth_contracts::RangeState;
use tilth_protocol::{JobId, RangeId};

use super::{
    AUDITORS, PROVIDERS, TASKS,
    holders::{ENOUGH, client, kept},
    replicated,
};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{ClientMind, Honest, Service},
        public::Public,
    },
};

/// Of what it has just heard when it cancels its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Somebody has claimed a range.
    Claimed,
    /// A range is handed in, and nobody knows yet whom the beacon draws for it.
    Submitted,
    /// A range has a mate, which works.
    Mated,
    /// An auditor has committed to an answer.
    Judged,
    /// A provider has asked for holders of a range.
    Asked,
    /// It has asked so often for holders of its inputs itself.
    Inputs(usize),
}

impl Moment {
    fn has_come(self, job: JobId, public: &Public) -> bool {
        let all = RangeId { job, seq: 0 }..=RangeId { job, seq: u32::MAX };
        let mut ranges = public.ranges.range(all);
        match self {
            Self::Claimed => ranges.any(|(_, range)| range.state == RangeState::Claimed),
            Self::Submitted => ranges.any(|(_, range)| range.state == RangeState::Submitted),
            Self::Mated => ranges.any(|(id, _)| {
                let replica = public.replicas.get(id);
                replica.is_some_and(|replica| replica.mate != 0 && !replica.over)
            }),
            Self::Judged => ranges.any(|(id, range)| {
                range.state == RangeState::Submitted && public.seals.contains_key(id)
            }),
            Self::Asked => ranges.any(|(id, _)| public.asked.contains(id)),
            Self::Inputs(times) => public.asks(RangeId::inputs(job)) >= times,
        }
    }
}

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Canceller {
    /// When it cancels.
    pub moment: Moment,
    /// To which holders it gives its inputs.
    pub service: Service,
}

impl Canceller {
    /// One that gives its inputs to all.
    fn at(moment: Moment) -> Self {
        Self { moment, service: Service::Anybody }
    }
}

impl ClientMind for Canceller {
    fn serves_holders(&self) -> Service {
        self.service
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn cancels(&self, job: JobId, public: &Public) -> bool {
        self.moment.has_come(job, public)
    }
}

/// The last client's job has no audits: whoever claims there is paid for whatever it hands in.
fn plain(cast: &mut Cast) {
    if let Some(plan) = cast.clients.last_mut() {
        plan.audited = false;
    }
}

/// Clients of plain and of audited jobs beside an honest one of each kind.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS / 2, PROVIDERS + 1, AUDITORS);
    cast.client(Side::Honest, TASKS / 4, Honest);
    plain(&mut cast);
    for moment in [Moment::Claimed, Moment::Submitted] {
        cast.client(Side::Foe, TASKS / 4, Canceller::at(moment));
        plain(&mut cast);
    }
    for moment in [Moment::Claimed, Moment::Submitted, Moment::Judged] {
        cast.client(Side::Foe, TASKS / 4, Canceller::at(moment));
    }
    cast
}

/// Of replicated ones. A provider has a bond in each of them.
pub fn mates(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    cast.clients[0].tasks = TASKS / 2;
    cast.providers.iter_mut().for_each(|provider| provider.stake *= 3);
    for moment in [Moment::Claimed, Moment::Submitted, Moment::Mated, Moment::Judged] {
        cast.client(Side::Foe, TASKS / 4, Canceller::at(moment));
    }
    cast.clients.iter_mut().for_each(|plan| plan.replicated = true);
    cast
}

/// Of kept ones, whose inputs others hold, or have just been asked to.
pub fn holders(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    for moment in [Moment::Inputs(1), Moment::Claimed, Moment::Submitted, Moment::Asked] {
        client(&mut cast, Side::Foe, ENOUGH, Canceller::at(moment));
    }
    cast
}

/// Clients that give their inputs to nobody: one gives up in the first ask, which costs nothing, one in the second.
pub fn inputs(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    for times in [1, 2] {
        let (moment, service) = (Moment::Inputs(times), Service::Nobody);
        client(&mut cast, Side::Foe, ENOUGH, Canceller { moment, service });
    }
    cast
}
