//! What the tests share: building a program from text and running it.

use std::path::Path;

use tilth_protocol::Limits;
use tilth_vm::{
    Artifact, Inputs, PrepareOutcome, Refusal, Session, SessionError, TaskOutcome, admit, compile,
    on_deep_stack,
};

pub const LIMITS: Limits =
    Limits { unit_cap: 100, prepare_cap: 0, memory_bytes: 64 << 20, output_bytes: 1 << 16 };

/// Imports that most guests here use, and a memory.
pub const HEAD: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1 1000)
    ;; Writes $length bytes from $at to descriptor $fd; the vector is at 0.
    (func $print (param $fd i32) (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $length))
        (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))
            (then unreachable)))
"#;

pub fn artifact(wat: &str) -> Artifact {
    let bytes = wat::parse_str(wat).expect("the test's text is valid");
    compile(&admit(&bytes).expect("the test's program is admitted")).expect("and compiled")
}

/// A reactor made of [`HEAD`] and `body`.
pub fn guest(body: &str) -> Artifact {
    artifact(&format!("(module {HEAD} {body})"))
}

pub fn refusal(wat: &str) -> Refusal {
    let bytes = wat::parse_str(wat).expect("the test's text is valid");
    admit(&bytes).expect_err("the test's program is refused")
}

/// Runs with a folder of inputs.
pub fn with_session<T: Send>(
    artifact: &Artifact,
    limits: Limits,
    inputs: Option<&Path>,
    work: impl FnOnce(&mut Session) -> T + Send,
) -> Result<T, SessionError> {
    on_deep_stack(|| {
        let inputs = inputs.map_or_else(Inputs::none, |folder| Inputs::open(folder).unwrap());
        let mut session = Session::new(artifact, inputs, limits)?;
        Ok(work(&mut session))
    })
    .unwrap()
}

/// Prepares and runs tasks.
pub fn run(
    artifact: &Artifact,
    limits: Limits,
    indices: &[u32],
) -> (PrepareOutcome, Vec<TaskOutcome>) {
    with_session(artifact, limits, None, |session| {
        let prepared = session.prepare().unwrap();
        let outcomes = indices.iter().map(|index| session.run(*index).unwrap()).collect();
        (prepared, outcomes)
    })
    .unwrap()
}

/// Runs task 0 of a guest without a prepare phase.
pub fn run_one(artifact: &Artifact, limits: Limits) -> TaskOutcome {
    run(artifact, limits, &[0]).1.remove(0)
}
