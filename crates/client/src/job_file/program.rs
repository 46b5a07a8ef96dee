//! The program of a job: of the workload that it is said to be of, and within the job's limits.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tilth_protocol::{
    GpuProgram, JobSpec, Problem, Workload, gpu::BufferRole, infer::program::InferProgram,
};

use super::mistake;
use crate::{gpu_program, infer_program};

/// First bytes of every WebAssembly module.
const WASM_MAGIC: &[u8; 4] = b"\0asm";

/// Where the program is that travels: a GPU program's manifest is packed first.
pub(super) fn packed(workload: Workload, written: PathBuf) -> Result<PathBuf, Problem> {
    let is_manifest = written.extension().is_some_and(|kind| kind == "toml");
    match workload {
        Workload::Gpu if is_manifest => gpu_program::pack(&written),
        Workload::Infer if is_manifest => infer_program::pack(&written),
        _ => Ok(written),
    }
}

/// Checks that a program is of the job's workload; a GPU program is read whole, for it says what it needs.
pub(super) fn check(
    workload: Workload,
    path: &Path,
    program: &[u8],
) -> Result<Option<GpuProgram>, Problem> {
    match workload {
        Workload::Wasm if program.starts_with(WASM_MAGIC) => Ok(None),
        Workload::Wasm => Err(Problem::new(
            "the program is not WebAssembly",
            format!("{} does not begin with \\0asm", path.display()),
            "compile it for wasm32-wasip1 or wasm32-unknown-unknown; see docs/reference/guest.md",
        )),
        Workload::Infer => InferProgram::from_bytes(program).map(|_| None).map_err(|error| {
            Problem::new(
                "the program is not one for language models",
                format!("{}: {error}", path.display()),
                "name a manifest in TOML, or a program packed from one; see docs/guide/inference.md",
            )
        }),
        Workload::Gpu => GpuProgram::from_bytes(program).map(Some).map_err(|error| {
            Problem::new(
                "the program is not a GPU program",
                format!("{}: {error}", path.display()),
                "name a manifest in TOML, or a program packed from one; see docs/reference/gpu.md",
            )
        }),
    }
}

/// Checks that a job gives a GPU program what it needs: all of that is known before it runs.
///
/// `handed` are the names of inputs that come from the job before.
pub(super) fn check_gpu(
    path: &Path,
    program: &GpuProgram,
    spec: &JobSpec,
    handed: &BTreeSet<String>,
) -> Result<(), Problem> {
    let limits = &spec.limits;
    for (field, needed, given) in [
        ("limits.units-per-task, in thousandths", program.units(), limits.unit_cap),
        ("limits.memory, in bytes", program.memory_bytes(), limits.memory_bytes),
        ("limits.output, in bytes", program.output_bytes(), limits.output_bytes),
    ] {
        if needed > given {
            let detail = format!("{field}, is {given}; the program takes {needed} for each task");
            return Err(mistake(
                path,
                detail,
                "raise the limit, or make the program's tasks smaller",
            ));
        }
    }
    for buffer in &program.buffers {
        if let BufferRole::Input { file } = &buffer.role
            && spec.inputs.iter().all(|input| input.name != *file)
            && !handed.contains(file)
        {
            let detail = format!("the program reads the input {file:?}, the job has none");
            return Err(mistake(path, detail, "name it under [inputs]"));
        }
    }
    Ok(())
}
