//! The kinds of work, one row each.

#[cfg(feature = "gpu")]
pub(crate) mod gpu;
mod infer;
mod lines;
mod wasm;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use tilth_protocol::{Limits, Problem, Status, TaskIndex, Workload, worker::TaskDone};

pub(crate) use wasm::WASM;

/// A kind of work.
pub(crate) struct Row {
    /// Its name in specs.
    pub(crate) workload: Workload,
    /// Names the engine; artifacts of one are not for another.
    pub(crate) engine: fn() -> &'static str,
    /// How its programs begin.
    pub(crate) magic: &'static [u8],
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
pub(crate) const TABLE: &[&Row] = &[
    &WASM,
    &infer::INFER,
    #[cfg(feature = "gpu")]
    &gpu::GPU,
];

/// The row for a program file, by how it begins. What begins as nothing we know is refused by the first.
pub(crate) fn row_of_program(program: &Path) -> &'static Row {
    let mut start = Vec::new();
    // What cannot be read is refused with a reason by whoever reads it all.
    let _ = File::open(program).and_then(|file| file.take(16).read_to_end(&mut start));
    TABLE.iter().copied().find(|row| start.starts_with(row.magic)).unwrap_or(&WASM)
}

/// Reads a file of at most `most` bytes.
pub(crate) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than allowed, to see that there is more.
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("more than {most} bytes")));
    }
    Ok(bytes)
}

fn file_problem(what: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::new(what, format!("{}: {error}", path.display()), "see the provider's log")
}

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
