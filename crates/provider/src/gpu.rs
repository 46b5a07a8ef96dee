//! Which GPU this machine offers: found by a worker in the sandbox, which opens the device and runs the
//! conformance vector on it.

use std::time::Duration;

use tilth_protocol::{GpuReport, worker::FromWorker};
use tilth_sandbox::{CommandLine, Confinement, GpuAccess, Limits as Cage, Program};
use tilth_service::Doing;

use crate::hand::{Hand, HandError, Leash};

/// How long a worker may look at a GPU: drivers compile the vector meanwhile.
const LOOK: Duration = Duration::from_secs(120);
/// Memory of a worker's process that a driver takes for itself, above all to compile shaders. With lavapipe (Mesa 22.3) the
/// process peaks at 85 MiB for the conformance vector; the rest is room for large shaders and for drivers of devices.
pub(crate) const DRIVER_MEMORY: u64 = 640 << 20;
/// Buffers of the conformance vector: 135,168 words and what they are read through.
const VECTOR_BUFFERS: u64 = 2 << 20;

/// Has a worker look at the GPU that `access` opens, in the sandbox. `None`: there is none, or the worker was
/// built without GPU programs.
///
/// # Errors
/// What went wrong, in one line: the worker did not start, died, or hung.
pub fn inspect_gpu<'a>(
    confinement: &'a Confinement,
    worker: &'a CommandLine,
    access: &'a GpuAccess,
) -> Doing<'a, Result<Option<GpuReport>, String>> {
    Box::pin(async move {
        let report = look(confinement, worker, access).await.map_err(|error| error.to_string())?;
        Ok(report)
    })
}

async fn look(
    confinement: &Confinement,
    worker: &CommandLine,
    access: &GpuAccess,
) -> Result<Option<GpuReport>, HandError> {
    let mut program = Program::new(&worker.program);
    program.args = worker.args.clone();
    program.args.push("inspect".into());
    access.give(&mut program);
    let cage = Cage { memory_bytes: memory_needed(VECTOR_BUFFERS), ..cage() };
    let mut hand = Hand::spawn(confinement.spawn(&program, &cage).await?, Leash::default()).await?;
    match hand.hear(LOOK).await? {
        FromWorker::Gpu(report) => Ok(report),
        _ => Err(HandError::Nonsense("it said something else than what GPU there is".into())),
    }
}

/// Memory of a worker's process for a GPU job with such buffers: a driver in software, and one of a GPU that shares the
/// machine's memory, keeps them in the process.
pub(crate) fn memory_needed(buffers: u64) -> u64 {
    buffers.saturating_add(DRIVER_MEMORY)
}

/// The sandbox's limits for a worker that uses a GPU: drivers open many files and start many threads.
pub(crate) fn cage() -> Cage {
    Cage { open_files: 512, processes: 256, ..Cage::default() }
}
