//! The engine that workers are made of runs in the sandbox: compiling, reserved address space, copy-on-write images from
//! anonymous files, traps by signal, threads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::path::PathBuf;

use tilth_sandbox::{CommandLine, Confinement, How, Limits, Program};
use tokio::io::AsyncReadExt;
use wasmtime::{Config, Engine, Instance, Module, Store};

const INSIDE: &str = "inside_the_sandbox";
const DONE: &str = "the engine works";

/// A module with an image of two pages and a function for each thing that must work.
fn module() -> Vec<u8> {
    let text = format!(
        r#"(module
            (memory (export "memory") 4 2048)
            (data (i32.const 0) "{}")
            (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
            (func $deep (export "deep") (param i32) (result i32)
                (i32.add (i32.const 1) (call $deep (local.get 0)))))"#,
        "tilth".repeat(20_000)
    );
    wat::parse_str(text).unwrap()
}

/// Not a test by itself: the test below runs it in the sandbox.
#[test]
#[ignore = "the child of a test: cargo nextest run --release -p tilth-sandbox the_engine_works_in_the_sandbox"]
fn inside_the_sandbox() {
    assert!(std::fs::read("/etc/passwd").is_err(), "this must run in the sandbox");
    let mut config = Config::new();
    config.consume_fuel(true).cranelift_nan_canonicalization(true);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, module()).unwrap();
    let run = |name: &str, argument: i32| {
        let mut store = Store::new(&engine, ());
        store.set_fuel(1_000_000).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let function = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        function.call(&mut store, argument)
    };
    for _ in 0..100 {
        assert_eq!(run("load", 5).unwrap(), i32::from_le_bytes(*b"tilt"));
    }
    assert_eq!(run("grow", 1000).unwrap(), 4);
    assert!(run("load", i32::MAX).is_err() && run("divide", 0).is_err() && run("deep", 0).is_err());
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| ())).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("{DONE}");
}

#[tokio::test]
async fn the_engine_works_in_the_sandbox() {
    let init = PathBuf::from(env!("CARGO_BIN_EXE_sandbox-fixture"));
    let confinement =
        Confinement::probe(CommandLine { program: init, args: vec!["init".into()] }).await.unwrap();
    let mut program = Program::new(std::env::current_exe().unwrap());
    program.args = ["--exact", INSIDE, "--ignored", "--nocapture"].map(Into::into).into();
    program.env = vec![("RUST_BACKTRACE".into(), "1".into())];
    let limits = Limits { memory_bytes: 256 << 20, ..Limits::default() };
    let mut confined = confinement.spawn(&program, &limits).await.unwrap();
    let mut said = String::new();
    confined.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    let ended = confined.wait().await.unwrap();
    assert_eq!(ended.how, How::Exited(0), "{said}\n{}", confined.stderr_tail());
    assert!(said.contains(DONE), "{said}");
}

#[tokio::test]
async fn many_programs_start_side_by_side() {
    let init = PathBuf::from(env!("CARGO_BIN_EXE_sandbox-fixture"));
    let confinement =
        Confinement::probe(CommandLine { program: init.clone(), args: vec!["init".into()] })
            .await
            .unwrap();
    let mut program = Program::new(init);
    program.args = vec!["act".into(), "echo".into()];
    let mut running = Vec::new();
    for _ in 0..16 {
        running.push(confinement.spawn(&program, &Limits::default()).await.unwrap());
    }
    // Each waits for its input; dropping one must not disturb the others.
    running.truncate(8);
    for confined in &mut running {
        drop(confined.stdin.take());
    }
    for mut confined in running {
        assert_eq!(confined.wait().await.unwrap().how, How::Exited(0));
    }
}
