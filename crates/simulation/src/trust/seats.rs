//! Watches over who sits in a case: nobody with a part in it, and nobody pays for an absence where most were absent.

use tilth_protocol::RangeId;
use tilth_verification::walk::DISPUTED_RATE;

use super::{oracle::Oracle, scene::Scene};

impl Oracle {
    /// Nobody came to a seat: that is noticed first, and costs something when the votes have decided, if no more people
    /// were absent than came. Whether others hold what they need makes no difference: it may be more than they can
    /// execute.
    pub(super) fn miss(&mut self, id: RangeId, seat: u8, cut: u128) {
        let Some(seen) = self.cases.get_mut(&id) else { return };
        if cut == 0 {
            seen.absent |= 1_u16.checked_shl(seat.into()).unwrap_or(0);
            return;
        }
        self.counts.absences += 1;
        let (absent, given) = (seen.absent.count_ones(), u32::from(seen.given));
        if 2 * absent > given {
            self.blame(format!("{absent} of {given} were absent in {id}, and one of them paid"));
        }
    }

    /// Who is drawn to judge a range has no part in it: neither its client nor its provider, and in a dispute not its
    /// mate either, who loses all or nothing by it.
    pub(super) fn seat(&mut self, id: RangeId, auditor: u32, seat: u8, scene: &Scene) {
        let Some(seen) = self.cases.get_mut(&id) else { return };
        seen.given = seen.given.max(seat.saturating_add(1));
        let is_dispute = seen.rate == DISPUTED_RATE;
        let client = scene.public.jobs.get(&id.job).map(|facts| facts.client);
        let provider = scene.public.ranges.get(&id).map(|facts| facts.provider);
        let mate = if is_dispute { self.pairs.mate_of(id) } else { None };
        let who = self.keeps.holder(auditor).map(|one| one.who);
        if who.is_some() && [client, provider, mate].contains(&who) {
            self.blame(format!("{auditor} judges {id} and has a part in it: {who:?}"));
        }
        if mate.is_some_and(|mate| self.keeps.people.iter().any(|one| one.who == mate)) {
            self.counts.left_out += 1;
        }
    }
}
