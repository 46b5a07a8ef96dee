//! The conversation with the agent.

use std::{
    io::{self, Read, Write},
    path::Path,
    thread,
};

use tilth_protocol::{
    PREPARE_INDEX, Problem, TaskIndex,
    worker::{FromWorker, ToWorker, read_frame},
};

use crate::{
    hello,
    outbox::Outbox,
    problem_error,
    workload::{Order, Tasks, row},
};

/// Bytes of guests' words that are passed on for one order; the rest is dropped.
const LOG_BYTES: usize = 256 << 10;

/// Serves until told to stop or the input ends. Failures are told to the agent and returned.
pub(crate) fn serve(input: impl Read, output: impl Write + Send) -> io::Result<()> {
    let outbox = Outbox::default();
    thread::scope(|scope| {
        let writer = scope.spawn(|| outbox.write_to(output));
        let result = outbox.say(hello()).and_then(|()| converse(input, &outbox));
        outbox.close();
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // If the agent is gone, that is the reason for everything else.
        written.and(result)
    })
}

/// Tells the agent why this worker cannot go on.
fn fail(outbox: &Outbox, problem: Problem) -> io::Error {
    // If that cannot be told any more, the error still ends the process.
    let _ = outbox.say(FromWorker::Failed(problem.clone()));
    problem_error(problem)
}

fn out_of_turn(what: &str) -> Problem {
    Problem::new(
        "the worker was told something out of turn",
        what,
        "use an agent and a worker of the same version",
    )
}

fn converse(mut input: impl Read, outbox: &Outbox) -> io::Result<()> {
    let mut tasks: Option<Box<dyn Tasks>> = None;
    while let Some(order) = read_frame::<ToWorker>(&mut input)? {
        match (order, &mut tasks) {
            (ToWorker::Load { workload, program, inputs, limits }, None) => {
                let order =
                    Order { program: Path::new(&program), inputs: Path::new(&inputs), limits };
                let loaded = row(workload).and_then(|row| (row.load)(&order));
                let mut loaded = loaded.map_err(|problem| fail(outbox, problem))?;
                prepare(loaded.as_mut(), outbox)?;
                tasks = Some(loaded);
            }
            (ToWorker::Load { .. }, Some(_)) => {
                return Err(fail(outbox, out_of_turn("load a second program")));
            }
            (ToWorker::Run { from, count }, Some(tasks)) => {
                run(tasks.as_mut(), from, count, outbox)?;
            }
            (ToWorker::Run { .. }, None) => {
                return Err(fail(outbox, out_of_turn("run before a program was loaded")));
            }
            (ToWorker::Stop, _) => break,
            (ToWorker::Prove(_) | ToWorker::Walk(_) | ToWorker::Draw(_), _) => {
                return Err(fail(outbox, out_of_turn("answer a challenge")));
            }
            (ToWorker::Infer(_), _) => {
                return Err(fail(outbox, out_of_turn("serve a model")));
            }
        }
    }
    Ok(())
}

fn prepare(tasks: &mut dyn Tasks, outbox: &Outbox) -> io::Result<()> {
    let prepared = tasks.prepare().map_err(|problem| fail(outbox, problem))?;
    if let Some(text) = prepared.log {
        outbox.log(PREPARE_INDEX, text)?;
    }
    outbox.say(FromWorker::Loaded { prepare: prepared.status, prepare_units: prepared.units })
}

fn run(tasks: &mut dyn Tasks, from: TaskIndex, count: u32, outbox: &Outbox) -> io::Result<()> {
    let end = from
        .checked_add(count)
        .ok_or_else(|| fail(outbox, out_of_turn("run tasks beyond the last possible one")))?;
    let mut room = LOG_BYTES;
    for index in from..end {
        let finished = tasks.run(index).map_err(|problem| fail(outbox, problem))?;
        if let Some(text) = finished.log.filter(|text| text.len() <= room) {
            room -= text.len();
            outbox.log(index, text)?;
        }
        outbox.done(finished.done)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use tilth_protocol::{
        Limits, Status, Workload,
        worker::{TaskDone, WORKER_PROTOCOL, write_frame},
    };

    use super::*;
    use crate::workload::WASM;

    const LIMITS: Limits =
        Limits { unit_cap: 50, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 3 << 20 };

    /// Prints the index in four bytes, and for 9 two megabytes before; 13 traps.
    const GUEST: &str = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory 16)
        (data (i32.const 16) "\00\00\01\00\00\00\08\00")
        (data (i32.const 32) "\64\00\00\00\04\00\00\00")
        (data (i32.const 110) "well")
        (data (i32.const 40) "\6e\00\00\00\04\00\00\00")
        (func (export "prepare")
            (drop (call $write (i32.const 2) (i32.const 40) (i32.const 1) (i32.const 8))))
        (func (export "task") (param i32) (local $n i32)
            (i32.store (i32.const 100) (local.get 0))
            (if (i32.eq (local.get 0) (i32.const 13)) (then unreachable))
            (if (i32.eq (local.get 0) (i32.const 9)) (then
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))
            (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 8)))))"#;

    /// A folder with a compiled program and no inputs.
    fn bench(wat: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (source, artifact) = (folder.path().join("program"), folder.path().join("artifact"));
        fs::write(&source, wat::parse_str(wat).unwrap()).unwrap();
        (WASM.compile)(&source, &artifact).unwrap();
        let inputs = folder.path().join("in");
        fs::create_dir(&inputs).unwrap();
        (folder, artifact, inputs)
    }

    fn load(artifact: &Path, inputs: &Path, limits: Limits) -> ToWorker {
        ToWorker::Load {
            workload: Workload::Wasm,
            program: artifact.to_str().unwrap().into(),
            inputs: inputs.to_str().unwrap().into(),
            limits,
        }
    }

    /// Says everything at once; returns what the worker said and how it ended.
    fn talk(orders: &[ToWorker]) -> (Vec<FromWorker>, io::Result<()>) {
        let mut input = Vec::new();
        for order in orders {
            write_frame(&mut input, order).unwrap();
        }
        let (mut reader, writer) = io::pipe().unwrap();
        thread::scope(|scope| {
            let worker = scope
                .spawn(|| tilth_vm::on_deep_stack(|| serve(input.as_slice(), writer)).unwrap());
            let mut said = Vec::new();
            while let Some(frame) = read_frame(&mut reader).unwrap() {
                said.push(frame);
            }
            let greeting = said.remove(0);
            assert!(matches!(greeting, FromWorker::Hello { protocol: WORKER_PROTOCOL, .. }));
            (said, worker.join().unwrap())
        })
    }

    /// Results with their chunks put together.
    fn results(said: &[FromWorker]) -> Vec<TaskDone> {
        let (mut found, mut chunks) = (Vec::new(), Vec::new());
        for frame in said {
            match frame {
                FromWorker::Chunk(part) => chunks.extend_from_slice(part),
                FromWorker::Done(batch) => {
                    let mut batch = batch.clone();
                    chunks.append(&mut batch[0].output);
                    batch[0].output = std::mem::take(&mut chunks);
                    found.extend(batch);
                }
                _ => {}
            }
        }
        found
    }

    #[test]
    fn a_range_is_loaded_run_and_told() {
        let (_folder, artifact, inputs) = bench(GUEST);
        let limits = Limits { prepare_cap: 5, ..LIMITS };
        let (said, ended) = talk(&[
            load(&artifact, &inputs, limits),
            ToWorker::Run { from: 5, count: 10 },
            ToWorker::Run { from: 0, count: 1 },
            ToWorker::Stop,
            ToWorker::Run { from: 0, count: 1 },
        ]);
        ended.unwrap();
        assert_eq!(said[0], FromWorker::Log { index: PREPARE_INDEX, text: "well".into() });
        assert_eq!(said[1], FromWorker::Loaded { prepare: Status::Ok, prepare_units: 1 });
        let results = results(&said);
        let indices: Vec<_> = results.iter().map(|done| done.index).collect();
        assert_eq!(indices, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0]);
        for done in &results {
            match done.index {
                13 => {
                    assert_eq!((done.status, done.units), (Status::Trap, 50));
                    assert!(done.output.is_empty());
                }
                9 => assert_eq!(done.output.len(), (2 << 20) + 4),
                index => assert_eq!(done.output, index.to_le_bytes()),
            }
        }
        let reasons = said.iter().filter(|f| matches!(f, FromWorker::Log { index: 13, .. }));
        assert_eq!(reasons.count(), 1);
    }

    #[test]
    fn the_end_of_the_input_is_an_end() {
        let (_folder, artifact, inputs) = bench(GUEST);
        let (said, ended) = talk(&[load(&artifact, &inputs, LIMITS)]);
        ended.unwrap();
        assert_eq!(said, [FromWorker::Loaded { prepare: Status::Ok, prepare_units: 0 }]);
        assert!(talk(&[]).1.is_ok());
    }

    #[test]
    fn failures_are_told_and_end_the_worker() {
        let (folder, artifact, inputs) = bench(GUEST);
        let good = load(&artifact, &inputs, LIMITS);
        let missing = folder.path().join("missing");
        let torn = folder.path().join("torn");
        let bytes = fs::read(&artifact).unwrap();
        fs::write(&torn, &bytes[..bytes.len() - 1]).unwrap();
        let little = Limits { memory_bytes: 1 << 16, ..LIMITS };
        for orders in [
            vec![ToWorker::Run { from: 0, count: 1 }],
            vec![good.clone(), good.clone()],
            vec![good.clone(), ToWorker::Run { from: u32::MAX, count: 2 }],
            vec![load(&missing, &inputs, LIMITS)],
            vec![load(&torn, &inputs, LIMITS)],
            vec![load(&artifact, &missing, LIMITS)],
            vec![load(&artifact, &inputs, little)],
        ] {
            let (said, ended) = talk(&orders);
            let Some(FromWorker::Failed(problem)) = said.last() else { panic!("{said:?}") };
            assert!(!problem.advice.is_empty());
            ended.unwrap_err();
        }
    }

    #[test]
    fn a_failed_prepare_phase_is_told() {
        let (_folder, artifact, inputs) = bench(
            r#"(module (memory 1) (func (export "prepare") unreachable)
                (func (export "task") (param i32)))"#,
        );
        let limits = Limits { prepare_cap: 7, ..LIMITS };
        let (said, ended) = talk(&[load(&artifact, &inputs, limits)]);
        ended.unwrap();
        assert_eq!(
            said.last(),
            Some(&FromWorker::Loaded { prepare: Status::Trap, prepare_units: 7 })
        );
    }

    #[test]
    fn programs_that_are_refused_are_not_compiled() {
        let folder = tempfile::tempdir().unwrap();
        let (source, artifact) = (folder.path().join("program"), folder.path().join("artifact"));
        fs::write(&source, b"not a program").unwrap();
        let problem = (WASM.compile)(&source, &artifact).unwrap_err();
        assert_eq!(problem.what, "the program cannot be run by the machine");
        assert!(!artifact.exists());
        (WASM.compile)(&folder.path().join("missing"), &artifact).unwrap_err();
    }
}
