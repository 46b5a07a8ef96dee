//! A memory that is filled and walked through.
//!
//! The memory is `depth` layers of `lanes` labels of 32 bytes. A label depends on the one before it in its
//! lane and on seven of any earlier layers, which the one before names; so the layers come one after the
//! other and a layer's lanes all at once. Who keeps a part only must recompute the rest from eight labels
//! each, of which the same part is missing: below about six sevenths that does not end. Walks then read
//! labels that nobody can know before the fill is committed to.
//!
//! All of it is BLAKE3 over whole blocks and 32-bit words, so a GPU computes the same bytes.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{
    Hash, OutOfBounds,
    crown::KEPT,
    seed::{Draw, scale},
};

/// Bytes of a label.
pub const LABEL_BYTES: usize = 32;
/// Labels that a label depends on besides the one before it.
pub const PARENTS: usize = 7;
/// Labels that are hashed together into a leaf of the tree: as many bytes as a label and its parents.
pub const GROUP: u32 = 8;
/// Bytes of a group.
pub const GROUP_BYTES: usize = GROUP as usize * LABEL_BYTES;
/// Lanes, at least and at most: enough for a small processor, and for one that hides its latency.
pub const LANES: (u32, u32) = (64, 1 << 22);
/// Layers, at least and at most.
pub const DEPTH: (u32, u32) = (2, 1 << 16);
/// Most bytes of labels: 1 TiB.
pub const MAX_BYTES: u64 = 1 << 40;
/// Most walks.
pub const MAX_WALKS: u32 = 1 << 20;
/// Most steps of a walk.
pub const MAX_STEPS: u32 = 1 << 12;
/// Most labels that are opened with their parents.
pub const MAX_SAMPLES: u32 = 256;
/// Most walks that are opened.
pub const MAX_WALK_SAMPLES: u32 = 64;

/// A label.
pub type Label = [u8; LABEL_BYTES];

/// The sizes of a challenge of memory.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub struct MemoryTask {
    /// Labels of a layer: a power of two within [`LANES`].
    pub lanes: u32,
    /// Layers, within [`DEPTH`].
    pub depth: u32,
    /// Walks, 1 to [`MAX_WALKS`].
    pub walks: u32,
    /// Steps of a walk, 1 to [`MAX_STEPS`].
    pub steps: u32,
    /// Labels that are opened with their parents, 1 to [`MAX_SAMPLES`].
    pub samples: u32,
    /// Walks that are opened, 1 to [`MAX_WALK_SAMPLES`].
    pub walk_samples: u32,
}

/// Where a label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelAt {
    /// The layer.
    pub layer: u32,
    /// The lane.
    pub lane: u32,
}

impl MemoryTask {
    pub(super) fn check(&self) -> Result<(), OutOfBounds> {
        OutOfBounds::check("number of lanes", self.lanes.into(), LANES.0.into(), LANES.1.into())?;
        OutOfBounds::power("number of lanes", self.lanes)?;
        OutOfBounds::check("number of layers", self.depth.into(), DEPTH.0.into(), DEPTH.1.into())?;
        OutOfBounds::check("size of the memory, bytes", self.bytes(), 0, MAX_BYTES)?;
        OutOfBounds::check("number of walks", self.walks.into(), 1, MAX_WALKS.into())?;
        OutOfBounds::check("number of steps", self.steps.into(), 1, MAX_STEPS.into())?;
        OutOfBounds::check("number of samples", self.samples.into(), 1, MAX_SAMPLES.into())?;
        let most = u64::from(MAX_WALK_SAMPLES.min(self.walks));
        OutOfBounds::check("number of opened walks", self.walk_samples.into(), 1, most)
    }

    /// Labels.
    pub fn labels(&self) -> u64 {
        u64::from(self.lanes) * u64::from(self.depth)
    }

    /// Bytes of all labels.
    pub fn bytes(&self) -> u64 {
        self.labels() * LABEL_BYTES as u64
    }

    /// Leaves of the memory's tree.
    pub fn groups(&self) -> u64 {
        self.labels() / u64::from(GROUP)
    }

    pub(super) fn opening_bytes(&self) -> u64 {
        let nodes = u64::from(self.groups().next_power_of_two().ilog2());
        let label = GROUP_BYTES as u64 + 8 + 32 * nodes;
        let walk_nodes = u64::from(self.walks.next_power_of_two().ilog2());
        let walk = 8 + 32 * walk_nodes + u64::from(self.steps) * label;
        u64::from(self.samples) * (2 + PARENTS as u64) * label + u64::from(self.walk_samples) * walk
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        // Labels, what is kept of their tree, the walks' ends and their tree.
        self.bytes() + 64 * self.groups().div_ceil(KEPT.into()) + 96 * u64::from(self.walks)
    }

    /// A label's number: layer by layer.
    pub fn number(&self, at: LabelAt) -> u64 {
        u64::from(at.layer) * u64::from(self.lanes) + u64::from(at.lane)
    }

    /// Which labels are opened with their parents.
    pub fn draw_labels(&self, draw: &mut Draw) -> Vec<LabelAt> {
        let label = |_| LabelAt { layer: draw.below(self.depth), lane: draw.below(self.lanes) };
        (0..self.samples).map(label).collect()
    }

    /// Which walks are opened; after [`MemoryTask::draw_labels`] of the same draw.
    pub fn draw_walks(&self, draw: &mut Draw) -> Vec<u32> {
        (0..self.walk_samples).map(|_| draw.below(self.walks)).collect()
    }

    /// What the label at `at` depends on, given the one before it in its lane: that one's place, then
    /// [`PARENTS`] others. `at.layer` is not 0.
    pub fn parents(&self, at: LabelAt, before: &Label) -> [LabelAt; PARENTS] {
        let words = words(before);
        std::array::from_fn(|parent| LabelAt {
            layer: scale(words[parent], at.layer),
            lane: words[parent + 1] & (self.lanes - 1),
        })
    }

    /// Where a walk reads next.
    pub fn next_step(&self, state: &Label) -> LabelAt {
        let words = words(state);
        LabelAt { layer: scale(words[0], self.depth), lane: words[1] & (self.lanes - 1) }
    }
}

/// A label as words.
pub fn words(label: &Label) -> [u32; LABEL_BYTES / 4] {
    std::array::from_fn(|word| {
        let at = word * 4;
        u32::from_le_bytes([label[at], label[at + 1], label[at + 2], label[at + 3]])
    })
}

/// The first label of a lane, and the beginning of a walk: keyed hash of its number as eight bytes.
pub fn first_label(key: &Hash, number: u32) -> Label {
    *blake3::keyed_hash(key, &u64::from(number).to_le_bytes()).as_bytes()
}

/// Any later label: keyed hash of the one before it and its other parents, in order.
pub fn label(key: &Hash, before: &Label, parents: &[Label; PARENTS]) -> Label {
    let mut bytes = [0; LABEL_BYTES * (PARENTS + 1)];
    bytes[..LABEL_BYTES].copy_from_slice(before);
    for (place, parent) in bytes[LABEL_BYTES..].chunks_exact_mut(LABEL_BYTES).zip(parents) {
        place.copy_from_slice(parent);
    }
    *blake3::keyed_hash(key, &bytes).as_bytes()
}

/// A leaf of the tree: keyed hash of [`GROUP`] labels in a row.
pub fn group_hash(key: &Hash, group: &[u8]) -> Hash {
    *blake3::keyed_hash(key, group).as_bytes()
}

/// One step of a walk: keyed hash of where it stood and the label it read.
pub fn walk_step(key: &Hash, state: &Label, read: &Label) -> Label {
    super::tree::join(key, state, read)
}
