//! Kept jobs: who does not let others have what it has made, who signs for what it does not have, and who does not pay. Jobs
//! are smaller than elsewhere: an ask that fails lasts two hours, in which everybody looks again and again.

use tilth_protocol::{JobId, Leaf, RangeId};

use super::{AUDITORS, PROVIDERS, TASKS, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, ClientMind, Conduct, HandIn, ProviderMind, Service},
        public::{Job, Public},
    },
};

/// For so many ranges as large as can be the deposit of a client reaches that does not fill it up: for all of a small job.
pub(super) const ENOUGH: u32 = 16;

/// A provider that has done its work and does not give it to its client.
#[derive(Clone, Copy, Debug)]
pub struct Withholder {
    /// To which holders it gives it.
    pub service: Service,
    /// Whether it asks for holders: else its client has to.
    pub asks: bool,
    /// How many ranges it still wants: whoever withholds for ever keeps its job from being done.
    pub left: u32,
}

impl ProviderMind for Withholder {
    fn wants(&mut self, _: JobId, _: &Job, _: &Public) -> bool {
        self.left != 0
    }

    fn hand_in(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        _: &Public,
        _: &mut Random,
    ) -> Option<HandIn> {
        self.left = self.left.saturating_sub(1);
        Some(HandIn::honest(truth))
    }

    fn serves_outputs(&self) -> bool {
        false
    }

    fn serves_holders(&self) -> Service {
        self.service
    }

    fn asks_for_holders(&self) -> bool {
        self.asks
    }
}

/// An auditor that is honest in audits, and not as a holder.
#[derive(Clone, Copy, Debug)]
pub struct Holder(pub Conduct);

impl AuditorMind for Holder {
    fn holds(&self) -> Conduct {
        self.0
    }
}

/// A client that has holders drawn for what it has got already, and then says so.
#[derive(Clone, Copy, Debug)]
pub struct Late;

impl ClientMind for Late {
    fn waits_for_asks(&self) -> bool {
        true
    }
}

/// A client that acknowledges nothing: it is away, or means ill.
#[derive(Clone, Copy, Debug)]
pub struct Away {
    /// Whether it takes its deposit back.
    pub withdraws: bool,
}

impl ClientMind for Away {
    fn acknowledges(&self) -> bool {
        false
    }

    fn withdraws(&self) -> bool {
        self.withdraws
    }
}

/// Honest people with a kept job, whose client acknowledges what it gets.
pub(super) fn kept(tasks: u32, providers: usize) -> Cast {
    let mut cast = Cast::honest(tasks, providers, AUDITORS);
    cast.clients[0].keep = Some(ENOUGH);
    cast
}

/// Adds a client that acknowledges nothing, and its deposit.
pub(super) fn away(cast: &mut Cast, side: Side, keep: u32, withdraws: bool) {
    client(cast, side, keep, Away { withdraws });
}

pub(super) fn client(cast: &mut Cast, side: Side, keep: u32, mind: impl ClientMind + 'static) {
    cast.client(side, TASKS / 4, mind);
    if let Some(plan) = cast.clients.last_mut() {
        plan.keep = Some(keep);
    }
}

/// Two clients, one of which is away, and has to fill its deposit up.
pub fn honest(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    away(&mut cast, Side::Honest, 3, false);
    cast
}

/// A client that is away, of a job that is replicated, too.
pub fn mates(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    cast.clients[0].mind = Box::new(Away { withdraws: false });
    (cast.clients[0].keep, cast.clients[0].tasks) = (Some(ENOUGH), TASKS / 2);
    cast
}

/// Two providers that give what they have made to these holders.
fn withholding(service: Service, left: u32) -> Cast {
    let mut cast = kept(TASKS / 2, PROVIDERS);
    for asks in [true, service != Service::Nobody] {
        cast.provider(Side::Foe, 200, Withholder { service, asks, left });
    }
    cast
}

/// To nobody; one of them does not even ask.
pub fn nobody(_: &mut Random) -> Cast {
    withholding(Service::Nobody, 2)
}

/// To holders alone.
pub fn only_holders(_: &mut Random) -> Cast {
    withholding(Service::Anybody, u32::MAX)
}

/// To as few of them as must sign.
pub fn majority(_: &mut Random) -> Cast {
    withholding(Service::Majority, u32::MAX)
}

/// To nobody, where a third of the auditors' stake signs for whatever it is drawn for.
pub fn lying(_: &mut Random) -> Cast {
    let mut cast = withholding(Service::Nobody, 2);
    (0..4).for_each(|_| cast.auditor(Side::Foe, 28, Holder(Conduct::Lies)));
    cast
}

/// A fifth of the auditors' stake holds nothing, and a client is away.
pub fn absent(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    away(&mut cast, Side::Honest, ENOUGH, false);
    (0..2).for_each(|_| cast.auditor(Side::Foe, 28, Holder(Conduct::Absent)));
    cast
}

/// A client that pays holders rather than to say that it has what it has got.
pub fn thankless(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    away(&mut cast, Side::Foe, ENOUGH, false);
    cast
}

/// A client that acknowledges what it has got when that has cost its provider an ask.
pub fn late(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    client(&mut cast, Side::Foe, ENOUGH, Late);
    cast
}

/// A client that never acknowledges and has no deposit, so that nobody works for it, and one that takes it back as soon as something is handed in.
pub fn penniless(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    away(&mut cast, Side::Foe, 0, false);
    away(&mut cast, Side::Foe, ENOUGH, true);
    cast.allowed.undone = true;
    cast
}
