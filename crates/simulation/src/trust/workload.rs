//! A workload whose execution is free: what a task comes to is a hash of its number.

use alloy_primitives::keccak256;
use tilth_protocol::{JobId, Leaf, Status};

/// Most units of a task.
pub const UNIT_CAP: u64 = 100;
/// Least units of a task that ends.
const LEAST_UNITS: u64 = 20;

/// What whoever executes the task finds: an inline output, units from 20 to 100, and once in about
/// sixty tasks a trap, charged at the cap.
pub fn leaf(job: JobId, index: u32) -> Leaf {
    let mut name = [0; 12];
    name[..8].copy_from_slice(&job.0.to_be_bytes());
    name[8..].copy_from_slice(&index.to_be_bytes());
    let digest = keccak256(name);
    if digest[30] < 4 {
        return Leaf::failed(index, Status::Trap, UNIT_CAP);
    }
    let units = LEAST_UNITS + u64::from(digest[31]) % (UNIT_CAP - LEAST_UNITS + 1);
    Leaf::finished(index, digest.as_slice(), units)
}

/// The same for a run of tasks.
pub fn leaves(job: JobId, from: u32, count: u32) -> Vec<Leaf> {
    (from..from.saturating_add(count)).map(|index| leaf(job, index)).collect()
}

/// Size of what so many tasks have made, MiB: four tasks a MiB, and what says so. Of none: of the inputs of a job.
pub fn mib(count: u32) -> u32 {
    1 + count / 4
}

/// Units of some leaves.
pub fn units(leaves: &[Leaf]) -> u64 {
    leaves.iter().map(|leaf| leaf.units).fold(0, u64::saturating_add)
}

/// What so many units come to at a price in base units.
pub fn worth(units: u64, price: u128) -> u128 {
    u128::from(units) * price
}
