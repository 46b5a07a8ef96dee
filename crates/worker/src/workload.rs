//! The kinds of work, one row each.

mod wasm;

use std::path::Path;

use tilth_protocol::{Limits, Problem, Status, TaskIndex, Workload, worker::TaskDone};

pub(crate) use wasm::WASM;

/// A kind of work.
pub(crate) struct Row {
    /// Its name in specs.
    pub(crate) workload: Workload,
    /// Names the engine; artifacts of one are not for another.
    pub(crate) engine: fn() -> &'static str,
    /// Turns a program into an artifact.
    pub(crate) compile: fn(program: &Path, artifact: &Path) -> Result<(), Problem>,
    /// Loads an artifact with inputs.
    pub(crate) load: fn(&Order<'_>) -> Result<Box<dyn Tasks>, Problem>,
}

/// What to load.
pub(crate) struct Order<'a> {
    /// The artifact.
    pub(crate) program: &'a Path,
    /// The folder of inputs.
    pub(crate) inputs: &'a Path,
    /// Limits of each task.
    pub(crate) limits: Limits,
}

/// How the prepare phase ended.
pub(crate) struct Prepared {
    pub(crate) status: Status,
    pub(crate) units: u64,
    /// What it printed, if anything.
    pub(crate) log: Option<String>,
}

/// How a task ended.
pub(crate) struct Finished {
    pub(crate) done: TaskDone,
    /// What it printed, if anything, and why it failed, if it did.
    pub(crate) log: Option<String>,
}

/// A loaded program.
pub(crate) trait Tasks {
    /// Runs the prepare phase; once, before the first task.
    fn prepare(&mut self) -> Result<Prepared, Problem>;

    /// Runs one task. An error is a failure of this machine.
    fn run(&mut self, index: TaskIndex) -> Result<Finished, Problem>;
}

/// All rows.
const TABLE: &[&Row] = &[&WASM];

/// The row of a workload.
pub(crate) fn row(workload: Workload) -> Result<&'static Row, Problem> {
    TABLE.iter().copied().find(|row| row.workload == workload).ok_or_else(|| {
        Problem::new(
            "this worker does not do such work",
            format!("{workload:?}"),
            "use a provider that offers it",
        )
    })
}
