//! Programs that want more than they should have. All of them must end soon, with a result that is
//! the same every time, and without the machine's own failure.

use std::time::{Duration, Instant};

use tilth_protocol::{Limits, Status};
use tilth_vm::{Log, SessionError};

use super::support::{LIMITS, guest, run, run_one, with_session};

/// Runs twice in one session and once in another, and checks that all outcomes are the same.
fn same_every_time(body: &str, limits: Limits) -> tilth_vm::TaskOutcome {
    let guest = guest(body);
    let started = Instant::now();
    let (_, mut first) = run(&guest, limits, &[5, 5]);
    assert_eq!(first[0], first[1]);
    assert_eq!(run(&guest, limits, &[5]).1, [first[0].clone()]);
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
    first.remove(0)
}

fn fails(body: &str, status: Status) -> tilth_vm::TaskOutcome {
    let outcome = same_every_time(body, LIMITS);
    assert_eq!(outcome.status, status, "{outcome:?}");
    assert_eq!(outcome.units, LIMITS.unit_cap);
    assert_eq!(outcome.output, b"");
    assert!(outcome.reason.is_some());
    outcome
}

#[test]
fn traps_are_results_and_cost_the_whole_cap() {
    fails(r#"(func (export "task") (param i32) unreachable)"#, Status::Trap);
    fails(r#"(func (export "task") (param i32) (drop (i32.load (i32.const -1))))"#, Status::Trap);
    fails(
        r#"(func (export "task") (param i32)
            (drop (i32.div_u (local.get 0) (i32.const 0))))"#,
        Status::Trap,
    );
    // Output that was written before is not part of the result.
    fails(
        r#"(func (export "task") (param i32)
            (call $print (i32.const 1) (i32.const 0) (i32.const 8)) unreachable)"#,
        Status::Trap,
    );
}

#[test]
fn endless_loops_run_out_of_fuel() {
    fails(r#"(func (export "task") (param i32) (loop (br 0)))"#, Status::OutOfFuel);
    fails(
        r#"(func (export "task") (param i32)
            (loop (drop (call $fd_write (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0)))
                (br 0)))"#,
        Status::OutOfFuel,
    );
}

#[test]
fn endless_recursion_ends_at_the_counter() {
    let outcome = fails(
        r#"(func $f (export "task") (param i32)
            (call $f (i32.add (local.get 0) (i32.const 1))))"#,
        Status::Trap,
    );
    assert_eq!(outcome.reason.as_deref(), Some("too many nested calls"));
    // Through a table.
    let outcome = fails(
        r#"(type $t (func (param i32)))
        (table 1 funcref) (elem (i32.const 0) $f)
        (func $f (export "task") (param i32)
            (call_indirect (type $t) (local.get 0) (i32.const 0)))"#,
        Status::Trap,
    );
    // Null and out-of-range entries trap first: index 5 is outside the table, so start at 0 instead.
    assert_eq!(outcome.reason.as_deref(), Some("too many nested calls"));
}

/// Frames as large as the compiler can be made to build: many live values, computed again after the
/// call so that they must be kept. The counter must stop this before the native stack ends, which
/// would be an error of the session.
#[test]
fn recursion_with_huge_frames_ends_at_the_counter() {
    let mut before = String::new();
    let mut after = String::new();
    for n in 0..3000 {
        let value = format!("(i64x2.mul (local.get $v) (i64x2.splat (i64.const {n})))");
        before.push_str(&format!("(local.set $s (v128.xor (local.get $s) {value}))"));
        after.push_str(&format!("(local.set $s (i64x2.add (local.get $s) {value}))"));
    }
    let body = format!(
        r#"(func $f (param $v v128) (result v128) (local $s v128)
            {before}
            (local.set $s (v128.xor (local.get $s) (call $f (local.get $s))))
            {after}
            (local.get $s))
        (func (export "task") (param i32) (drop (call $f (i32x4.splat (local.get 0)))))"#
    );
    let outcome = fails(&body, Status::Trap);
    assert_eq!(outcome.reason.as_deref(), Some("too many nested calls"));
}

#[test]
fn recursion_with_many_locals_ends_at_the_counter() {
    let sets: String =
        (0..4000).map(|n| format!("(local.set {n} (i64.load (i32.const {})))", n * 8)).collect();
    let gets: String = (0..4000).map(|n| format!("(local.get {n}) i64.xor ")).collect();
    let locals = "i64 ".repeat(4000);
    let body = format!(
        r#"(func $f (result i64) (local {locals}) {sets} (call $f) {gets})
        (func (export "task") (param i32) (drop (call $f)))"#
    );
    let outcome = fails(&body, Status::Trap);
    assert_eq!(outcome.reason.as_deref(), Some("too many nested calls"));
}

#[test]
fn deep_but_finite_recursion_is_fine() {
    let outcome = same_every_time(
        r#"(func $sum (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 0))
                (else (i32.add (local.get 0) (call $sum (i32.sub (local.get 0) (i32.const 1)))))))
        (func (export "task") (param i32)
            (i32.store (i32.const 100) (call $sum (i32.const 50000)))
            (call $print (i32.const 1) (i32.const 100) (i32.const 4)))"#,
        LIMITS,
    );
    assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
    assert_eq!(outcome.output, 1_250_025_000_u32.to_le_bytes());
}

#[test]
fn memory_grows_to_the_declared_limit_and_costs_fuel() {
    let limits = Limits { memory_bytes: 10 << 16, ..LIMITS };
    let outcome = same_every_time(
        r#"(func (export "task") (param i32)
            ;; 1 page at the start; 9 more fit, one more does not, nor do absurd amounts.
            (i32.store (i32.const 100) (memory.grow (i32.const 9)))
            (i32.store (i32.const 104) (memory.grow (i32.const 1)))
            (i32.store (i32.const 108) (memory.grow (i32.const -1)))
            (i32.store (i32.const 112) (memory.grow (i32.const 0)))
            (i32.store (i32.const 655356) (memory.size))
            (call $print (i32.const 1) (i32.const 100) (i32.const 16)))"#,
        limits,
    );
    assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
    let numbers: Vec<i32> = outcome
        .output
        .chunks(4)
        .map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    assert_eq!(numbers, [1, -1, -1, 10]);
    assert!(outcome.fuel >= 9 * tilth_vm::costs::GROW_PAGE_FUEL);
}

#[test]
fn allocating_without_end_ends() {
    // Each page costs, so a small cap ends before the limit ...
    let limits = Limits { unit_cap: 2, memory_bytes: 4 << 30, ..LIMITS };
    let body = r#"(func (export "task") (param i32)
        (loop (drop (memory.grow (i32.const 1))) (br 0)))"#;
    let outcome = same_every_time(body, limits);
    assert_eq!(outcome.status, Status::OutOfFuel);
    // ... and a failed one costs too.
    fails(body, Status::OutOfFuel);
}

/// Without a loop or call in between, the engine must still look at the fuel.
#[test]
fn bulk_operations_stop_at_the_cap() {
    let fills = "(memory.fill (i32.const 0) (local.get 0) (i32.const 65536000))".repeat(1000);
    let limits = Limits { unit_cap: 1000, memory_bytes: 64 << 20, ..LIMITS };
    let body = format!(
        r#"(func (export "task") (param i32) (drop (memory.grow (i32.const 999))) {fills})"#
    );
    let started = Instant::now();
    let outcome = run_one(&guest(&body), limits);
    assert_eq!(outcome.status, Status::OutOfFuel, "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn printing_gigabytes_is_bad_output_and_the_log_is_bounded() {
    let limits = Limits { unit_cap: 10_000, ..LIMITS };
    let outcome = run_one(
        &guest(
            r#"(func (export "task") (param i32)
                (loop (call $print (i32.const 1) (i32.const 0) (i32.const 65536)) (br 0)))"#,
        ),
        limits,
    );
    assert_eq!(outcome.status, Status::BadOutput);
    assert_eq!((outcome.units, outcome.output.len()), (10_000, 0));

    let outcome = run_one(
        &guest(
            r#"(func (export "task") (param $left i32) (local.set $left (i32.const 20000))
                (loop
                    (call $print (i32.const 2) (i32.const 0) (i32.const 65536))
                    (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))"#,
        ),
        limits,
    );
    assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
    assert_eq!(outcome.log.bytes.len(), Log::MAX_BYTES);
    assert_eq!(outcome.log.dropped, 20_000 * 65_536 - Log::MAX_BYTES as u64);
    assert!(outcome.units > 1_310, "a byte of log costs as much as a byte of output");
}

#[test]
fn output_up_to_the_limit_is_fine_and_one_byte_more_is_not() {
    let body = |length: u32| {
        format!(
            r#"(func (export "task") (param i32)
                (call $print (i32.const 1) (i32.const 0) (i32.const 32768))
                (call $print (i32.const 1) (i32.const 0) (i32.const {length})))"#
        )
    };
    let outcome = run_one(&guest(&body(32_768)), LIMITS);
    assert_eq!((outcome.status, outcome.output.len()), (Status::Ok, 65_536));
    fails(&body(32_769), Status::BadOutput);
}

#[test]
fn nan_bits_are_canonical() {
    let outcome = same_every_time(
        r#"(func (export "task") (param i32) (local $nan f64)
            ;; A NaN with a payload and a sign, through arithmetic.
            (local.set $nan (f64.reinterpret_i64 (i64.const 0xfff8dead_beef0001)))
            (f64.store (i32.const 100) (f64.add (local.get $nan) (f64.const 1)))
            (f64.store (i32.const 108) (f64.sqrt (f64.const -1)))
            (f32.store (i32.const 116) (f32.div (f32.const 0) (f32.const 0)))
            (v128.store (i32.const 120)
                (f32x4.mul (f32x4.splat (f32.const inf)) (f32x4.splat (f32.const 0))))
            (call $print (i32.const 1) (i32.const 100) (i32.const 36)))"#,
        LIMITS,
    );
    let mut expected = Vec::new();
    expected.extend_from_slice(&0x7ff8_0000_0000_0000_u64.to_le_bytes());
    expected.extend_from_slice(&0x7ff8_0000_0000_0000_u64.to_le_bytes());
    for _ in 0..5 {
        expected.extend_from_slice(&0x7fc0_0000_u32.to_le_bytes());
    }
    assert_eq!(outcome.output, expected);
}

#[test]
fn a_program_that_starts_with_more_memory_than_the_job_allows_is_an_error() {
    let guest = guest(r#"(func (export "task") (param i32))"#);
    let limits = Limits { memory_bytes: 65_535, ..LIMITS };
    let error = with_session(&guest, limits, None, |_| ()).unwrap_err();
    assert!(matches!(error, SessionError::Memory { needed: 65_536, allowed: 65_535 }));
}

#[test]
fn a_cap_that_does_not_pay_for_the_memory_is_out_of_fuel() {
    // 1000 pages at 4096 fuel: five units.
    let guest =
        super::support::artifact(r#"(module (memory 1000) (func (export "task") (param i32)))"#);
    let run_with = |unit_cap| run_one(&guest, Limits { unit_cap, ..LIMITS });
    assert_eq!(run_with(4).status, Status::OutOfFuel);
    let outcome = run_with(5);
    assert_eq!((outcome.status, outcome.units), (Status::Ok, 5));
}
