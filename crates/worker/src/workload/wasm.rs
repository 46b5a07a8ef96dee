//! WebAssembly programs on the deterministic machine.

use std::{fs, path::Path};

use tilth_protocol::{Problem, TaskIndex, Workload, spec::MAX_PROGRAM_BYTES, worker::TaskDone};
use tilth_vm::{
    Artifact, Inputs, Log, Session, admit, artifact::MAX_ARTIFACT_BYTES, compile, engine_key,
};

use super::{Finished, Order, Prepared, Row, Tasks, file_problem, read_bounded};

/// The row of `wasm`.
pub(crate) const WASM: Row = Row {
    workload: Workload::Wasm,
    engine: engine_key,
    magic: b"\0asm",
    compile: compile_file,
    load,
};

fn compile_file(program: &Path, artifact: &Path) -> Result<(), Problem> {
    let bytes = read_bounded(program, MAX_PROGRAM_BYTES)
        .map_err(|error| file_problem("the program cannot be read", program, &error))?;
    let admitted = admit(&bytes).map_err(|refusal| refusal.problem())?;
    let compiled = compile(&admitted).map_err(|error| error.problem())?;
    fs::write(artifact, compiled.to_bytes())
        .map_err(|error| file_problem("the compiled program cannot be written", artifact, &error))
}

fn load(order: &Order<'_>) -> Result<Box<dyn Tasks>, Problem> {
    let bytes = read_bounded(order.program, MAX_ARTIFACT_BYTES as u64).map_err(|error| {
        file_problem("the compiled program cannot be read", order.program, &error)
    })?;
    let artifact = Artifact::from_bytes(&bytes).map_err(|error| error.problem())?;
    let inputs = Inputs::open(order.inputs).map_err(|error| error.problem())?;
    let session = Session::new(&artifact, inputs, order.limits).map_err(|error| error.problem())?;
    Ok(Box::new(session))
}

/// What people get to see of a run.
fn words(log: &Log, reason: Option<String>) -> Option<String> {
    match (log.is_empty(), reason) {
        (true, reason) => reason,
        (false, None) => Some(log.text()),
        (false, Some(reason)) => Some(format!("{}\n{reason}", log.text())),
    }
}

impl Tasks for Session {
    fn prepare(&mut self) -> Result<Prepared, Problem> {
        let outcome = Session::prepare(self).map_err(|error| error.problem())?;
        let log = words(&outcome.log, outcome.reason);
        Ok(Prepared { status: outcome.status, units: outcome.units, log })
    }

    fn run(&mut self, index: TaskIndex) -> Result<Finished, Problem> {
        let outcome = Session::run(self, index).map_err(|error| error.problem())?;
        let log = words(&outcome.log, outcome.reason);
        let (status, units, output) = (outcome.status, outcome.units, outcome.output);
        Ok(Finished { done: TaskDone { index, status, units, output }, log })
    }
}
