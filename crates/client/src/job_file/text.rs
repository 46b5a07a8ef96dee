//! A job file as written, before anything in it is believed.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use tilth_protocol::Workload;
use tilth_service::{ByteSize, TimeSpan};

use super::{files::FilesText, price::PriceText, requires::RequiresText, sweep::SweepText};

/// A job, or what comes after one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Text {
    pub(super) name: Option<String>,
    #[serde(default = "wasm")]
    pub(super) workload: Workload,
    pub(super) program: PathBuf,
    pub(super) tasks: Option<u32>,
    #[serde(default)]
    pub(super) inputs: BTreeMap<String, PathBuf>,
    pub(super) files: Option<FilesText>,
    pub(super) sweep: Option<SweepText>,
    pub(super) limits: LimitsText,
    pub(super) price: Option<PriceText>,
    #[serde(default)]
    pub(super) verification: VerificationText,
    #[serde(default)]
    pub(super) schedule: ScheduleText,
    #[serde(default)]
    pub(super) requires: RequiresText,
    #[serde(default)]
    pub(super) output: OutputText,
    /// Only in what comes after a job.
    pub(super) failed_tasks: Option<FailedTasks>,
    pub(super) after: Option<Box<Text>>,
}

fn wasm() -> Workload {
    Workload::Wasm
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct LimitsText {
    #[serde(alias = "units-per-task")]
    pub(super) gfuel_per_task: f64,
    #[serde(default)]
    pub(super) gfuel_prepare: f64,
    pub(super) memory: ByteSize,
    #[serde(default = "one_mebibyte")]
    pub(super) output: ByteSize,
}

fn one_mebibyte() -> ByteSize {
    ByteSize::from_bytes(1 << 20)
}

/// How results are judged.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct VerificationText {
    pub(super) window: Option<TimeSpan>,
    pub(super) max_failures: Option<u32>,
    pub(super) audited: Option<bool>,
    pub(super) replicas: Option<u8>,
    pub(super) keep: Option<TimeSpan>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ScheduleText {
    pub(super) target: Option<TimeSpan>,
    pub(super) range_timeout: Option<TimeSpan>,
    pub(super) deadline: Option<TimeSpan>,
    pub(super) parallelism: Option<u16>,
    pub(super) first_range: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum OutputText {
    Files {
        #[serde(default)]
        names: Vec<String>,
    },
    Values,
    Image {
        width: u32,
        height: u32,
        tile: u32,
    },
}

impl Default for OutputText {
    fn default() -> Self {
        Self::Files { names: Vec::new() }
    }
}

/// What happens to the next job when tasks of this one fail (trap, out of fuel, too much output).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedTasks {
    /// It is not opened.
    #[default]
    Stop,
    /// It is opened without their outputs, unless all have failed; `map.csv` says which they are.
    LeaveOut,
}
