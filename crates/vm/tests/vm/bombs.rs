//! Modules made to cost the compiler much. Each is refused, or compiled in bounded time.
//!
//! The bound here is wide because test machines are slow and busy; the compile step runs under a time
//! limit besides.

use std::time::{Duration, Instant};

use tilth_vm::{Refusal, admit, compile};

const LIMIT: Duration = Duration::from_secs(60);

/// Compiles what is admitted; `None` if it was refused.
fn cost(what: &str, body: &str) -> Option<Duration> {
    let wat = format!(r#"(module (memory 1) (func (export "task") (param i32)) {body})"#);
    let bytes = wat::parse_str(&wat).unwrap();
    let started = Instant::now();
    let admitted = match admit(&bytes) {
        Ok(admitted) => admitted,
        Err(Refusal::Cap { what: cap, .. }) => {
            println!("{what}: refused, {cap}");
            return None;
        }
        Err(other) => panic!("{what}: {other}"),
    };
    compile(&admitted).unwrap();
    let took = started.elapsed();
    println!("{what}: {} bytes compiled in {took:.2?}", bytes.len());
    assert!(took < LIMIT, "{what} took {took:?}");
    Some(took)
}

/// `count` functions with a branch table of `entries` into `depth` nested blocks.
fn branch_tables(count: usize, entries: usize, depth: usize) -> String {
    let targets: String = (0..entries).map(|n| format!("{} ", n % depth)).collect();
    let open = "block ".repeat(depth);
    let close = "end ".repeat(depth);
    format!("(func (param i32) {open} local.get 0 br_table {targets} {close})").repeat(count)
}

#[test]
fn branch_tables_in_deep_nests() {
    // The bomb of the reference page: one function, 100 tables of 500 in 500 blocks.
    let open = "block ".repeat(500);
    let close = "end ".repeat(500);
    let targets: String = (0..500).map(|n| format!("{n} ")).collect();
    let tables = format!("block local.get 0 br_table {targets} end ").repeat(100);
    let bomb = format!("(func (param i32) {open} {tables} {close})");
    assert_eq!(cost("100 tables of 500 in 500", &bomb), None);
    // The largest that passes.
    let tables = format!("block local.get 0 br_table {targets} end ").repeat(4);
    let bomb = format!("(func (param i32) {open} {tables} {close})").repeat(4);
    assert!(cost("4 x 4 tables of 500 in 500", &bomb).is_some());
    // What interpreters look like: one table with an entry for each nested block.
    assert!(cost("10 switches of 256", &branch_tables(10, 256, 256)).is_some());
}

#[test]
fn many_blocks_functions_and_locals() {
    assert!(cost("20,000 empty functions", &"(func)".repeat(20_000)).is_some());
    let ifs = "local.get 0 if (local.set 0 (i32.const 1)) else (local.set 0 (i32.const 2)) end ";
    assert!(cost("8,000 ifs", &format!("(func (param i32) {})", ifs.repeat(8_000))).is_some());
    let locals = "i64 ".repeat(8_000);
    let body = "local.get 0 if (local.set 1 (i64.const 1)) end ".repeat(5_000);
    assert!(cost("8,000 locals", &format!("(func (param i32) (local {locals}) {body})")).is_some());
    let values = "(i32.load (i32.const 0))".repeat(20_000);
    let sum = "i32.add ".repeat(19_999);
    assert!(cost("20,000 live values", &format!("(func (result i32) {values} {sum})")).is_some());
    let calls = "(call 1)".repeat(20_000);
    assert!(cost("20,000 calls", &format!("(func) (func {calls})")).is_some());
}

/// `loops` loops one after the other inside a loop that changes `locals` locals.
fn loops(loops: usize, locals: usize) -> String {
    let declared = "i64 ".repeat(locals);
    let changes: String = (1..locals)
        .map(|n| format!("(local.set {n} (i64.add (local.get {n}) (i64.const {n})))"))
        .collect();
    let inner = "loop local.get 0 br_if 0 end ".repeat(loops);
    format!("(func (param i32) (local {declared}) loop {inner} {changes} local.get 0 br_if 0 end)")
}

#[test]
fn loops_that_carry_many_locals() {
    assert!(cost("70 loops, 150 locals", &loops(70, 150)).is_some());
    assert!(cost("20 x 50 loops, 80 locals", &loops(50, 80).repeat(20)).is_some());
    // These take minutes or hours.
    assert_eq!(cost("1,000 loops, 200 locals", &loops(1_000, 200)), None);
    assert_eq!(cost("100 x 100 loops, 200 locals", &loops(100, 200).repeat(100)), None);
    let nested = format!("{} {}", "loop ".repeat(1_000), "local.get 0 br_if 0 end ".repeat(1_000));
    assert!(cost("1,000 nested loops", &format!("(func (param i32) {nested})")).is_some());
    assert_eq!(
        cost("20 x 1,000 nested loops", &format!("(func (param i32) {nested})").repeat(20)),
        None
    );
    let fills = "(memory.fill (i32.const 0) (i32.const 0) (local.get 0))".repeat(8_000);
    assert_eq!(cost("8 x 8,000 fills", &format!("(func (param i32) {fills})").repeat(8)), None);
}
