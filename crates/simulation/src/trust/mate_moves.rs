//! What a provider sends about a replicated range as one of its two: its commitment, its root, and its moves in a walk.

use tilth_client::mates::{Effect, Move, Part, Party, Role};
use tilth_contracts::{ReplicaState, Replicas};
use tilth_protocol::RangeId;
use tilth_verification::replica::Found;

use super::{
    mind::ProviderMind,
    pairing::{Name, Pairing},
    scene::{Scene, What},
    work::Work,
};
use crate::farm::FarmError;

impl Pairing {
    /// Whether it was sent: as the real one, it looks once more before.
    pub(super) fn commit(
        &self,
        (range, part): (RangeId, Part),
        found: &Found,
        mind: &dyn ProviderMind,
        scene: &mut Scene,
    ) -> Result<bool, FarmError> {
        let Name { me, who, number, .. } = self.name;
        let seen = scene.look_at_pair(range, self.mates.local(scene.now))?;
        let role = seen.role(Party::Provider(number));
        if seen.state != ReplicaState::Working || seen.part != part || role != Role::Mate {
            return Ok(false);
        }
        let own = self.sealer.seal(range, found);
        let primary = scene.public.ranges.get(&range).map(|facts| facts.root);
        let sealed_ = primary.filter(|_| mind.copies()).unwrap_or(own);
        let call = Replicas::commitCall { jobId: range.job.0, seq: range.seq, sealed_ };
        let replicas = scene.farm.addresses().replicas;
        scene.send(me, who, replicas, &call, What::Mate(range));
        Ok(true)
    }

    pub(super) fn reveal(
        &self,
        (range, role): (RangeId, Role),
        found: Found,
        mind: &dyn ProviderMind,
        scene: &mut Scene,
    ) {
        let own = (found, self.sealer.salt(range, &found));
        if role == Role::Primary {
            scene.openings.insert(range, own);
        }
        let copied = scene.openings.get(&range).copied().filter(|_| mind.copies());
        let (Found { root, units, failures }, salt) = copied.unwrap_or(own);
        let RangeId { job, seq } = range;
        let call = Replicas::revealCall { jobId: job.0, seq, root, units, failures, salt };
        let replicas = scene.farm.addresses().replicas;
        scene.send(self.name.me, self.name.who, replicas, &call, What::Mate(range));
    }

    /// Whether a move of a walk is under way: what it has found has such a place.
    pub(super) fn walk(
        &self,
        effect: &Effect,
        work: Option<&Work>,
        mind: &dyn ProviderMind,
        scene: &mut Scene,
    ) -> bool {
        let range = effect.range();
        let level = match effect {
            Effect::Post { at, .. } => at.level,
            _ => 0,
        };
        if !mind.walks(level) {
            // Silence: the machine waits for an end that does not come.
            return true;
        }
        let Some(made) = work.and_then(|work| Move::of(effect, &work.hand_in.leaves)) else {
            return false;
        };
        let replicas = scene.farm.addresses().replicas;
        let Name { me, who, .. } = self.name;
        match made {
            Move::Walk(call) => scene.send(me, who, replicas, &call, What::Mate(range)),
            Move::Show(call) => scene.send(me, who, replicas, &call, What::Mate(range)),
        }
        true
    }
}
