//! Whether a published manifest is what its provider submitted.

use alloy_primitives::B256;
use tilth_protocol::{Limits, PREPARE_INDEX, RangeId, RangeManifest, Status, TaskIndex};

use crate::merkle_sum::{MerkleSum, TreeError};

/// What the chain knows about a submitted range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeClaim {
    /// The range.
    pub range: RangeId,
    /// First task.
    pub from: TaskIndex,
    /// Number of tasks.
    pub count: u32,
    /// Submitted root hash.
    pub root: B256,
    /// Submitted units.
    pub units: u64,
    /// Submitted number of leaves whose status is not `Ok`.
    pub failures: u32,
}

/// Why a manifest is not acceptable. Each is the provider's fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RangeError {
    /// It names another range.
    #[error("the manifest is for range {0}")]
    OtherRange(RangeId),
    /// The number of leaves is not the range's.
    #[error("{found} leaves where {expected} are due")]
    LeafCount {
        /// Leaves in the manifest.
        found: usize,
        /// Leaves due: one per task and one for the prepare phase.
        expected: u64,
    },
    /// A leaf stands where another task is due.
    #[error("leaf {position} is of task {found}, {expected} was due")]
    Order {
        /// Position in the manifest.
        position: usize,
        /// Index found.
        found: TaskIndex,
        /// Index due.
        expected: TaskIndex,
    },
    /// Output, size and status of a leaf contradict each other, or exceed the limits.
    #[error("the leaf of task {0} breaks the rules: {1}")]
    BadLeaf(TaskIndex, &'static str),
    /// The root or its sums are not those submitted.
    #[error("the leaves do not give the submitted root and sums")]
    Root,
    /// The leaves have no root at all.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Checks a manifest against the chain's record and the job's limits.
///
/// # Errors
/// The first rule that is broken; the range must then not be acknowledged.
pub fn check_manifest(
    manifest: &RangeManifest,
    claim: &RangeClaim,
    limits: &Limits,
) -> Result<(), RangeError> {
    if manifest.range != claim.range || manifest.from != claim.from {
        return Err(RangeError::OtherRange(manifest.range));
    }
    let prepare = limits.prepare_cap > 0;
    let expected = u64::from(claim.count) + u64::from(prepare);
    if manifest.leaves.len() as u64 != expected {
        return Err(RangeError::LeafCount { found: manifest.leaves.len(), expected });
    }
    let indices = prepare
        .then_some(PREPARE_INDEX)
        .into_iter()
        .chain(claim.from..claim.from.saturating_add(claim.count));
    let mut prepare_failure = None;
    for ((position, leaf), expected) in manifest.leaves.iter().enumerate().zip(indices) {
        if leaf.index != expected {
            return Err(RangeError::Order { position, found: leaf.index, expected });
        }
        let broken = |rule| Err(RangeError::BadLeaf(leaf.index, rule));
        if !leaf.is_well_formed() {
            return broken("output, size and status contradict each other");
        }
        if leaf.size > limits.output_bytes {
            return broken("the output is larger than the job allows");
        }
        let is_prepare = leaf.index == PREPARE_INDEX;
        let cap = if is_prepare { limits.prepare_cap } else { limits.unit_cap };
        if is_prepare && leaf.size != 0 {
            return broken("the prepare phase has no output");
        }
        // A failed prepare phase is charged once, with its own leaf; its tasks then never ran.
        let charge_due = match (prepare_failure, leaf.status) {
            (Some(status), found) if found != status => {
                return broken("the prepare phase failed, so must every task, in the same way");
            }
            (Some(_), _) => Some(0),
            (None, Status::Ok) => None,
            (None, _) => Some(cap),
        };
        match charge_due {
            Some(due) if leaf.units != due => return broken("a failure is charged its full cap"),
            None if leaf.units == 0 || leaf.units > cap => return broken("units outside 1..=cap"),
            _ => {}
        }
        if is_prepare && leaf.status != Status::Ok {
            prepare_failure = Some(leaf.status);
        }
    }
    let root = MerkleSum::build(claim.range.job, &manifest.leaves)?.root();
    let same = root.hash == claim.root
        && root.tally.units == claim.units
        && root.tally.failures == claim.failures;
    if same { Ok(()) } else { Err(RangeError::Root) }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{JobId, Leaf};

    use super::*;

    const LIMITS: Limits =
        Limits { unit_cap: 10, prepare_cap: 20, memory_bytes: 1 << 20, output_bytes: 40 };

    fn honest() -> (RangeManifest, RangeClaim) {
        let range = RangeId { job: JobId(3), seq: 1 };
        let mut prepare = Leaf::finished(PREPARE_INDEX, &[], 15);
        prepare.index = PREPARE_INDEX;
        let leaves = vec![
            prepare,
            Leaf::finished(8, &[1; 40], 9),
            Leaf::failed(9, Status::Trap, 10),
            Leaf::finished(10, &[1], 1),
        ];
        let manifest = RangeManifest { range, from: 8, salt: [0; 32], leaves };
        let claim = claim_of(&manifest);
        (manifest, claim)
    }

    fn claim_of(manifest: &RangeManifest) -> RangeClaim {
        let root = MerkleSum::build(manifest.range.job, &manifest.leaves).unwrap().root();
        RangeClaim {
            range: manifest.range,
            from: manifest.from,
            count: 3,
            root: root.hash,
            units: root.tally.units,
            failures: root.tally.failures,
        }
    }

    /// Changes the manifest *and* recomputes the root, so that only the rule itself can refuse.
    fn refused(change: impl FnOnce(&mut RangeManifest)) -> RangeError {
        let (mut manifest, _) = honest();
        change(&mut manifest);
        let claim = RangeClaim { range: honest().1.range, from: 8, ..claim_of(&manifest) };
        check_manifest(&manifest, &claim, &LIMITS).expect_err("must be refused")
    }

    #[test]
    fn honest_manifest_is_accepted() {
        let (manifest, claim) = honest();
        assert_eq!(check_manifest(&manifest, &claim, &LIMITS), Ok(()));
    }

    #[test]
    fn every_broken_rule_is_refused() {
        assert!(matches!(refused(|m| m.range.seq = 2), RangeError::OtherRange(_)));
        assert!(matches!(
            refused(|m| {
                m.leaves.pop();
            }),
            RangeError::LeafCount { .. }
        ));
        assert!(matches!(refused(|m| m.leaves.swap(1, 3)), RangeError::Order { .. }));
        let rules: [fn(&mut RangeManifest); 6] = [
            |m| m.leaves[1].size = 41,
            |m| m.leaves[1].units = 11,
            |m| m.leaves[1].units = 0,
            |m| m.leaves[2].units = 1,
            |m| m.leaves[0].units = 21,
            |m| m.leaves[3].output[5] = 1,
        ];
        for rule in rules {
            assert!(matches!(refused(rule), RangeError::BadLeaf(..)));
        }
    }

    #[test]
    fn other_root_or_sums_are_refused() {
        let (manifest, claim) = honest();
        for changed in [
            RangeClaim { root: B256::ZERO, ..claim },
            RangeClaim { units: claim.units + 1, ..claim },
            RangeClaim { failures: 0, ..claim },
        ] {
            assert_eq!(check_manifest(&manifest, &changed, &LIMITS), Err(RangeError::Root));
        }
    }

    #[test]
    fn failed_prepare_phase_is_charged_once_and_fails_every_task() {
        let (mut manifest, _) = honest();
        manifest.leaves[0] = Leaf::failed(PREPARE_INDEX, Status::Trap, 20);
        for leaf in &mut manifest.leaves[1..] {
            *leaf = Leaf::failed(leaf.index, Status::Trap, 0);
        }
        let claim = claim_of(&manifest);
        assert_eq!(check_manifest(&manifest, &claim, &LIMITS), Ok(()));
        manifest.leaves[1] = Leaf::finished(8, &[1], 1);
        let claim = claim_of(&manifest);
        assert!(check_manifest(&manifest, &claim, &LIMITS).is_err());
    }
}
