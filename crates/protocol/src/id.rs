//! Names of jobs, ranges and tasks.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The number of a task inside its job, `0 <= index < task_count`.
pub type TaskIndex = u32;

/// A job's number in its `JobBook`, counted from 1.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A range: the job and the range's sequence number in it, counted from 0.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct RangeId {
    /// The job.
    pub job: JobId,
    /// The range's number inside the job.
    pub seq: u32,
}

impl RangeId {
    /// What stands for a job's inputs where a range is named otherwise. No job has so many ranges.
    pub const INPUTS: u32 = u32::MAX;

    /// The inputs of a job: its spec, its program and its files.
    pub const fn inputs(job: JobId) -> Self {
        Self { job, seq: Self::INPUTS }
    }

    /// Whether it is no range, but the inputs of its job.
    pub const fn is_inputs(self) -> bool {
        self.seq == Self::INPUTS
    }
}

impl fmt::Display for RangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_inputs() {
            return write!(f, "{}.inputs", self.job);
        }
        write!(f, "{}.{}", self.job, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_no_range() {
        let inputs = RangeId::inputs(JobId(7));
        assert!(inputs.is_inputs());
        assert_eq!(inputs.to_string(), "7.inputs");
        let range = RangeId { job: JobId(7), seq: 3 };
        assert!(!range.is_inputs());
        assert_eq!(range.to_string(), "7.3");
    }
}
