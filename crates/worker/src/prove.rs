//! Answers one challenge, for one device.

mod cpu;
mod dot;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "gpu")]
mod parts;
#[cfg(feature = "gpu")]
mod stage;
#[cfg(feature = "gpu")]
mod vram;

use std::io::{self, BufReader, Read, Write};

use tilth_protocol::{
    Problem,
    challenge::{
        message::CPU,
        prove::{Engine, Prover},
    },
    worker::{FromWorker, ToWorker, read_frame, write_frame},
};

#[cfg(feature = "gpu")]
use tilth_protocol::challenge::message::GPU;

use crate::{hello, input, output, problem_error};

/// Speaks over standard input and output until it is told to stop or its input ends.
pub(crate) fn main(device: &str) -> io::Result<()> {
    let (input, mut output) = (BufReader::new(input()?), output()?);
    write_frame(&mut output, &hello())?;
    output.flush()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    match device {
        CPU => answer(cpu::Cpu::new(threads), input, output),
        #[cfg(feature = "gpu")]
        GPU => match gpu::Gpu::open() {
            Ok(gpu) => answer(gpu, input, output),
            Err(problem) => {
                write_frame(&mut output, &FromWorker::Failed(problem.clone()))?;
                Err(problem_error(problem))
            }
        },
        other => {
            let detail = format!("there is no device {other:?} here");
            let problem = Problem::new("the device is not here", detail, "see `tilth doctor`");
            write_frame(&mut output, &FromWorker::Failed(problem.clone()))?;
            Err(problem_error(problem))
        }
    }
}

fn out_of_turn() -> Problem {
    Problem::new(
        "the worker was told something out of turn",
        "a challenge begins with its statement, and is the only thing that is done here",
        "use an agent and a worker of the same version",
    )
}

/// Answers with what an engine computes.
fn answer<E: Engine>(engine: E, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut say = |frame: &FromWorker| {
        write_frame(&mut output, frame)?;
        output.flush()
    };
    let (mut engine, mut prover) = (Some(engine), None::<Prover<E>>);
    while let Some(order) = read_frame::<ToWorker>(&mut input)? {
        let answer = match (order, &mut prover) {
            (ToWorker::Prove(statement), None) => match engine.take() {
                Some(engine) => Prover::new(engine, statement)
                    .and_then(|begun| prover.insert(begun).commit())
                    .map(FromWorker::Committed),
                None => Err(out_of_turn()),
            },
            (ToWorker::Walk(walk), Some(prover)) => prover.walk(&walk).map(FromWorker::Walked),
            (ToWorker::Draw(secret), Some(prover)) => prover.open(&secret).map(FromWorker::Opened),
            (ToWorker::Stop, _) => return Ok(()),
            _ => Err(out_of_turn()),
        };
        match answer {
            Ok(frame) => say(&frame)?,
            Err(problem) => {
                say(&FromWorker::Failed(problem.clone()))?;
                return Err(problem_error(problem));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
