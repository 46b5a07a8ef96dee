//! The worker: does one range's tasks inside the sandbox.
//!
//! It is entered as a hidden subcommand of `tilth`, so that one build gives one file:
//!
//! - `worker compile IN OUT` checks the program in the file IN, compiles it and writes the artifact to
//!   OUT. Says [`FromWorker::Hello`] and, if it fails, [`FromWorker::Failed`]; the exit code is 0 or 1.
//! - `worker inspect` says [`FromWorker::Hello`] and what GPU there is ([`FromWorker::Gpu`]).
//! - `worker infer` serves a language model ([`tilth_protocol::infer::order`]) over standard input and output.
//! - `worker prove DEVICE` answers one challenge ([`tilth_protocol::challenge`]) over standard input and output.
//! - `worker serve` speaks [`tilth_protocol::worker`] over standard input and output until it is told
//!   to stop or its input ends.
//!
//! Nothing is trusted here and nothing here is trusted: the process has no network and no keys, and
//! whatever it says is checked by the agent that started it. A failure of this machine ends the
//! process with a reason; it never becomes a result.
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "gpu")]
mod gpu;
mod infer;
mod outbox;
mod prove;
mod serve;
mod workload;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader, Write},
    os::fd::AsFd,
    path::Path,
    process::ExitCode,
};

use tilth_protocol::{
    Problem,
    worker::{FromWorker, WORKER_PROTOCOL, write_frame},
};

use crate::workload::{TABLE, row_of_program};

/// Exit code for a command line that is not understood.
const USAGE: u8 = 2;

/// Runs the worker. `args` are those behind the subcommand's name.
pub fn main(args: &[OsString]) -> ExitCode {
    let words: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap_or_default()).collect();
    let result = match (words.as_slice(), args) {
        (["serve"], _) => serve_standard(),
        (["inspect"], _) => inspect(),
        (["infer"], _) => infer::main(),
        (["prove", device], _) => prove::main(device),
        (["compile", _, _], [_, source, artifact]) => {
            compile(Path::new(source), Path::new(artifact))
        }
        _ => {
            eprintln!(
                "worker: it is started by agents, as `serve`, `infer`, `inspect`, `prove DEVICE` or `compile IN OUT`"
            );
            return ExitCode::from(USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The first frame of every conversation.
fn hello() -> FromWorker {
    let engines: Vec<_> = TABLE.iter().map(|row| (row.engine)()).collect();
    FromWorker::Hello { protocol: WORKER_PROTOCOL, engine: engines.join(" + ") }
}

/// Standard input without a buffer of its own.
fn input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Standard output without the line buffering of [`io::Stdout`], which would cut frames at newlines.
fn output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn compile(source: &Path, artifact: &Path) -> io::Result<()> {
    let mut output = output()?;
    write_frame(&mut output, &hello())?;
    let result = (row_of_program(source).compile)(source, artifact);
    if let Err(problem) = &result {
        write_frame(&mut output, &FromWorker::Failed(problem.clone()))?;
    }
    output.flush()?;
    result.map_err(problem_error)
}

#[cfg(feature = "gpu")]
use workload::gpu::inspect as look;

/// A worker that was built without GPU programs finds none.
#[cfg(not(feature = "gpu"))]
fn look() -> Result<Option<tilth_protocol::GpuReport>, Problem> {
    Ok(None)
}

fn inspect() -> io::Result<()> {
    let mut output = output()?;
    write_frame(&mut output, &hello())?;
    output.flush()?;
    let found = look();
    let frame = match &found {
        Ok(report) => FromWorker::Gpu(report.clone()),
        Err(problem) => FromWorker::Failed(problem.clone()),
    };
    write_frame(&mut output, &frame)?;
    output.flush()?;
    found.map(drop).map_err(problem_error)
}

fn serve_standard() -> io::Result<()> {
    let input = BufReader::new(input()?);
    let output = output()?;
    // Guests need a deep stack, so everything happens on such a thread.
    tilth_vm::on_deep_stack(|| serve::serve(input, output))?
}

fn problem_error(problem: Problem) -> io::Error {
    io::Error::other(problem)
}
