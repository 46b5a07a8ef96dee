//! Classes of strength: what a class bit promises, and the challenge that keeps to it.
//!
//! A class is a rate. Its challenge is sized to take [`SECONDS`] at that rate, and the deadline follows from
//! the rate, so no figure of any device enters the rules. What is *not* here are classes of single models,
//! which would need the models' measured medians; a rate cannot tell two models of similar strength apart.

use super::{MemoryTask, ProductTask, Task, memory, product::TILE};
use crate::gpu::{CLASS_GPU, CLASS_GPU_EXACT};

/// How long a challenge takes a device that is just in its class. With three tries a day the duty is
/// `3 * 3 / 86,400`, about 0.01 %.
pub const SECONDS: u64 = 3;
/// A provider announces a class from this many hundredths of its rate on, and a deadline is this many
/// hundredths of the time at the class's rate: whoever is a fifth slower than measured is not late yet.
pub const HEADROOM_PERCENT: u64 = 125;
/// Added to every deadline besides the round trip: starting a worker in its sandbox, which takes some tens
/// of milliseconds on an idle machine (`docs/measurements/2026-11-28-sandbox.md`), and for a GPU loading
/// its driver.
pub const START_MS: u64 = 1_000;
/// For the openings: reading what is there. Longer than a second or two it takes nobody; who computes again
/// instead has his own time for it.
pub const OPEN_MS: u64 = 5_000;
/// Mebibyte.
const MIB: u64 = 1 << 20;

/// What a class's rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Multiplications and additions of int8 numbers in exact products, generation and hashing of the
    /// matrices included.
    Int8,
    /// Bytes of labels filled into a memory, hashing and the tree included.
    Fill,
}

/// A class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its bit among a provider's class bits.
    pub bit: u64,
    /// For people.
    pub name: &'static str,
    /// What is counted.
    pub measure: Measure,
    /// The rate, per second.
    pub per_second: u64,
}

const fn class(shift: u32, name: &'static str, measure: Measure, per_second: u64) -> Class {
    Class { bit: 1 << shift, name, measure, per_second }
}

/// All classes of strength, weakest first of each measure. Bits 0 and 1 say what a GPU is
/// ([`crate::gpu::CLASS_GPU`]); these begin at 7 and 16.
pub const CLASSES: [Class; 11] = [
    class(7, "int8-1g", Measure::Int8, 1_000_000_000),
    class(8, "int8-10g", Measure::Int8, 10_000_000_000),
    class(9, "int8-100g", Measure::Int8, 100_000_000_000),
    class(10, "int8-1t", Measure::Int8, 1_000_000_000_000),
    class(11, "int8-10t", Measure::Int8, 10_000_000_000_000),
    class(12, "int8-100t", Measure::Int8, 100_000_000_000_000),
    class(13, "int8-1000t", Measure::Int8, 1_000_000_000_000_000),
    class(16, "fill-100m", Measure::Fill, 100_000_000),
    class(17, "fill-1g", Measure::Fill, 1_000_000_000),
    class(18, "fill-10g", Measure::Fill, 10_000_000_000),
    class(19, "fill-100g", Measure::Fill, 100_000_000_000),
];

/// When each step is late, in milliseconds from its question, without the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// For the roots.
    pub commit_ms: u64,
    /// For the walks' ends.
    pub walk_ms: u64,
    /// For the openings.
    pub open_ms: u64,
}

impl Deadline {
    /// That of the longest work, without the openings.
    pub fn work_ms(&self) -> u64 {
        self.commit_ms.max(self.walk_ms)
    }
}

/// The class bits of a device with this rate.
pub fn bits(measure: Measure, per_second: u64) -> u64 {
    let held = |class: &&Class| {
        class.measure == measure
            && u128::from(per_second) * 100
                >= u128::from(class.per_second) * u128::from(HEADROOM_PERCENT)
    };
    CLASSES.iter().filter(held).fold(0, |bits, class| bits | class.bit)
}

/// Classes that are found otherwise: by the conformance vector of GPU programs (`docs/reference/gpu.md`).
const GPU: [(&str, u64); 2] = [("gpu", CLASS_GPU), ("gpu-exact", CLASS_GPU_EXACT)];

/// Names of all classes.
pub fn names() -> impl Iterator<Item = &'static str> {
    GPU.iter().map(|(name, _)| *name).chain(CLASSES.iter().map(|class| class.name))
}

/// The bit of the class with this name.
pub fn bit_of(name: &str) -> Option<u64> {
    let gpu = GPU.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit);
    gpu.or_else(|| CLASSES.iter().find(|class| class.name == name).map(|class| class.bit))
}

/// The names of class bits; bits that are no class's are left out.
pub fn names_of(class_bits: u64) -> Vec<&'static str> {
    names().filter(|name| bit_of(name).is_some_and(|bit| class_bits & bit != 0)).collect()
}

/// Those of these class bits whose challenge fits a device that can be given tasks like this; bits that are no class's
/// of strength stay. Nobody could hold a device to the others.
pub fn provable(class_bits: u64, fits: impl Fn(&Task) -> bool) -> u64 {
    let unproved = CLASSES.iter().filter(|class| !fits(&class.least()));
    unproved.fold(class_bits, |bits, class| bits & !class.bit)
}

/// The strongest class of a measure among class bits.
pub fn strongest(measure: Measure, class_bits: u64) -> Option<Class> {
    let held = |class: &&Class| class.measure == measure && class_bits & class.bit != 0;
    CLASSES.iter().rfind(held).copied()
}

impl Class {
    /// The challenge of products for this class: the largest matrices of which at least eight rounds fit.
    pub fn products(&self, samples: u32) -> ProductTask {
        let operations = self.per_second.saturating_mul(SECONDS);
        let round = |order: u32| 2 * u64::from(order).pow(3);
        let orders = (6..=14).map(|power| 1_u32 << power);
        let order = orders.rev().find(|order| round(*order) * 8 <= operations).unwrap_or(8 * TILE);
        let rounds = (operations / round(order)).clamp(1, super::product::MAX_ROUNDS.into());
        ProductTask { order, rounds: u32::try_from(rounds).unwrap_or(1), samples }
    }

    /// Whether keeping the deadline of this task shows this class: its work is at least half of what the class does
    /// in [`SECONDS`]. Below that the time to start that everybody is given counts for more than strength.
    pub fn is_shown_by(&self, task: &Task) -> bool {
        let (measure, work) = match task {
            Task::Products(task) => (Measure::Int8, task.operations()),
            Task::Memory(task) => (Measure::Fill, task.bytes()),
        };
        self.measure == measure && work.saturating_mul(2) >= self.per_second.saturating_mul(SECONDS)
    }

    /// A small task that shows this class.
    pub fn least(&self) -> Task {
        match self.measure {
            Measure::Int8 => Task::Products(self.products(1)),
            Measure::Fill => {
                let half = self.per_second.saturating_mul(SECONDS).div_ceil(2);
                let mib = |labels: u64| u32::try_from(labels.div_ceil(MIB)).unwrap_or(u32::MAX);
                let task = memory(mib(half));
                // Lanes are a power of two, so the labels may come out a layer short.
                let task = if task.bytes() < half {
                    memory(mib(half.saturating_add(half / 4)))
                } else {
                    task
                };
                Task::Memory(task)
            }
        }
    }

    /// When an answer to a task is late if it comes from a device of this class.
    pub fn deadline(&self, task: &Task) -> Deadline {
        let millis = |work: u64| {
            let whole = u128::from(work) * 10 * u128::from(HEADROOM_PERCENT);
            u64::try_from(whole / u128::from(self.per_second.max(1))).unwrap_or(u64::MAX)
        };
        let (commit, walk) = match task {
            Task::Products(task) => (task.operations(), 0),
            // A step reads one label and hashes a quarter of what filling one takes; it counts as one.
            Task::Memory(task) => {
                (task.bytes(), u64::from(task.walks) * u64::from(task.steps) * 32)
            }
        };
        Deadline {
            commit_ms: millis(commit).saturating_add(START_MS),
            walk_ms: millis(walk).saturating_add(START_MS),
            open_ms: OPEN_MS,
        }
    }
}

/// The challenge that fills so many MiB; at least 1. Lanes grow with the size, so that a processor with much
/// memory has much to do at once. Walks read a sixteenth to an eighth of the labels, and of more than a GiB no
/// more than 2^22: 65,536 walks of 64 steps.
pub fn memory(mib: u32) -> MemoryTask {
    let labels = u64::from(mib.max(1)) * MIB / memory::LABEL_BYTES as u64;
    let lanes = (labels / 512).clamp(64, 1 << 20);
    let lanes = 1_u64 << lanes.ilog2();
    let depth = (labels / lanes).clamp(2, memory::DEPTH.1.into());
    let walks = lanes.min(1 << 16);
    let steps = (labels / 8 / walks).clamp(16, 64);
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    MemoryTask {
        lanes: small(lanes),
        depth: small(depth),
        walks: small(walks),
        steps: small(steps),
        samples: 96,
        walk_samples: 6,
    }
}

/// Share of its graphics memory that a device is asked to fill, in percent: the rest is the driver's, the screen's, and for the
/// walks' ends.
pub const VRAM_PERCENT: u32 = 92;

/// The challenge that shows a graphics memory of so many MiB.
pub fn vram(mib: u32) -> MemoryTask {
    let filled = u64::from(mib) * u64::from(VRAM_PERCENT) / 100;
    memory(u32::try_from(filled).unwrap_or(u32::MAX))
}

/// The largest graphics memory, MiB, that [`memory`] of so many MiB shows.
pub fn shown_vram(filled_mib: u32) -> u32 {
    let beyond = (u64::from(filled_mib) + 1) * 100 - 1;
    u32::try_from(beyond / u64::from(VRAM_PERCENT)).unwrap_or(u32::MAX)
}
