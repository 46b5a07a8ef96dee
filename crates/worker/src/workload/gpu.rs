//! GPU programs.

use std::{fs, path::Path, sync::Arc};

use tilth_protocol::{
    GpuProgram, GpuReport, Problem, Workload,
    gpu::{GPU_MAGIC, GpuClass, MAX_GPU_PROGRAM_BYTES},
};

use super::{Order, Row, Tasks, file_problem, read_bounded};
use crate::gpu::{
    ENGINE,
    artifact::{Artifact, MAX_ARTIFACT_BYTES},
    conformance::examine,
    device::Device,
    tasks::GpuTasks,
    translate::translate,
};

/// The row of `gpu`.
pub(crate) const GPU: Row = Row {
    workload: Workload::Gpu,
    engine: || ENGINE,
    magic: GPU_MAGIC,
    compile: compile_file,
    load,
};

fn compile_file(program: &Path, artifact: &Path) -> Result<(), Problem> {
    // The magic comes on top of the encoded program.
    let most = (MAX_GPU_PROGRAM_BYTES + GPU_MAGIC.len()) as u64;
    let bytes = read_bounded(program, most)
        .map_err(|error| file_problem("the program cannot be read", program, &error))?;
    let program = GpuProgram::from_bytes(&bytes).map_err(|error| {
        let advice = "see docs/reference/gpu.md for what a GPU program may hold";
        Problem::new("the program is not a valid GPU program", error.to_string(), advice)
    })?;
    let translated = translate(program)?;
    fs::write(artifact, translated.to_bytes())
        .map_err(|error| file_problem("the compiled program cannot be written", artifact, &error))
}

fn load(order: &Order<'_>) -> Result<Box<dyn Tasks>, Problem> {
    let bytes = read_bounded(order.program, MAX_ARTIFACT_BYTES as u64).map_err(|error| {
        file_problem("the compiled program cannot be read", order.program, &error)
    })?;
    let artifact = Artifact::from_bytes(&bytes)?;
    let device = Device::open()?.map(Arc::new).ok_or_else(|| {
        Problem::new(
            "this worker sees no GPU",
            "Vulkan shows no device",
            "install the GPU's Vulkan driver; `tilth doctor` shows what the worker finds",
        )
    })?;
    let replace = match artifact.program.class {
        GpuClass::Plain => Default::default(),
        GpuClass::Exact => {
            let verdict = examine(&device)?;
            if !verdict.report.exact {
                return Err(not_exact(&verdict.report));
            }
            verdict.replace
        }
    };
    Ok(Box::new(GpuTasks::load(device, artifact, order.inputs, order.limits, replace)?))
}

fn not_exact(report: &GpuReport) -> Problem {
    let wrong = report.findings.iter().filter(|part| part.different > 0 && !part.replaceable);
    let wrong: Vec<_> = wrong.map(|part| part.part.as_str()).collect();
    let why = if report.findings.is_empty() {
        "its driver takes no SPIR-V from us".to_owned()
    } else {
        format!("it failed in: {}", wrong.join(", "))
    };
    Problem::new(
        "this GPU is not exact",
        format!("{}: {why}", report.name),
        "run plain programs on it; exact ones need a device that passes the conformance vector",
    )
}

/// What GPU there is.
pub(crate) fn inspect() -> Result<Option<GpuReport>, Problem> {
    let Some(device) = Device::open()? else { return Ok(None) };
    Ok(Some(examine(&Arc::new(device))?.report))
}
