//! What a provider keeps of its ranges, and shows in audits.

use tilth_contracts::{
    Audits,
    bindings::audits::MerkleSum::{Leaf as OnChainLeaf, Sibling},
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{
    MerkleSum, Root,
    audit::SAMPLES,
    draw::{Pick, Seed},
    replica::Found,
};

use super::mind::HandIn;

/// What it keeps of a range until that is judged.
#[derive(Debug)]
pub struct Work {
    /// What was handed in.
    pub hand_in: HandIn,
    /// The tree of its leaves.
    pub tree: MerkleSum,
    /// Whether a transaction to have it paid is under way.
    pub paying: bool,
}

impl Work {
    /// Of what is to be handed in; `None` if that has no root.
    pub fn new(job: JobId, hand_in: HandIn) -> Option<Self> {
        let tree = MerkleSum::build(job, &hand_in.leaves).ok()?;
        Some(Self { hand_in, tree, paying: false })
    }

    /// What was handed in.
    pub fn found(&self) -> Found {
        let Root { hash, tally } = self.tree.root();
        let (root, units) = self.hand_in.instead.unwrap_or((hash, tally.units));
        Found { root, units, failures: tally.failures }
    }

    /// Units that were handed in.
    pub fn units(&self) -> u64 {
        self.found().units
    }

    /// Where the drawn leaves are. A unit that its leaves do not have is nowhere; it says 0.
    pub fn positions(&self, seed: Seed) -> Vec<u32> {
        let leaves = u32::try_from(self.hand_in.leaves.len()).unwrap_or(u32::MAX);
        let place = |i| match seed.pick(i, leaves, self.units()) {
            Some(Pick::Position(position)) => position,
            Some(Pick::Unit(unit)) => self.tree.position_of_unit(unit).unwrap_or(0),
            None => 0,
        };
        (0..SAMPLES).map(place).collect()
    }

    /// The opening of these leaves; `None` if there are no such leaves.
    pub fn opened(&self, range: RangeId, positions: &[u32]) -> Option<Audits::openCall> {
        let (mut leaves, mut proofs) = (Vec::new(), Vec::new());
        for position in positions {
            let leaf = self.hand_in.leaves.get(usize::try_from(*position).ok()?)?;
            leaves.push(OnChainLeaf {
                job: range.job.0,
                index: leaf.index,
                status: leaf.status as u8,
                output: leaf.output.into(),
                size: leaf.size,
                units: leaf.units,
            });
            let siblings = self.tree.open(*position)?.siblings.into_iter();
            let proof = siblings.map(|(hash, tally)| Sibling { hash, tally: tally.packed() });
            proofs.push(proof.collect());
        }
        Some(Audits::openCall { jobId: range.job.0, seq: range.seq, leaves, proofs })
    }
}
