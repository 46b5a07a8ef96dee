//! Programs that are not admitted, and why.

use tilth_vm::{Refusal, admit};

use super::support::refusal;

fn refused(wat: &str, reason: &str) {
    let refusal = refusal(wat);
    assert!(refusal.to_string().contains(reason), "{refusal}");
    let problem = refusal.problem();
    assert!(!problem.advice.is_empty() && problem.detail == refusal.to_string());
}

const TASK: &str = r#"(func (export "task") (param i32))"#;

#[test]
fn features_that_are_off_are_refused() {
    for (what, wat) in [
        ("threads", format!("(module (memory 1 1 shared) {TASK})")),
        (
            "atomics",
            format!("(module (memory 1) {TASK} (func (drop (i32.atomic.load (i32.const 0)))))"),
        ),
        ("memory64", format!("(module (memory i64 1) {TASK})")),
        ("several memories", format!("(module (memory 1) (memory 1) {TASK})")),
        ("tail calls", format!("(module (memory 1) {TASK} (func $f (return_call $f)))")),
        ("exceptions", format!("(module (memory 1) (tag) {TASK})")),
        (
            "relaxed SIMD",
            format!(
                "(module (memory 1) {TASK} (func (param v128) (result v128)
                (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0))))"
            ),
        ),
        ("garbage collection", format!("(module (type (struct)) (memory 1) {TASK})")),
        ("externref", format!("(module (memory 1) (table 1 externref) {TASK})")),
        (
            "extended constants",
            format!(
                "(module (memory 1) (global i32 (i32.add (i32.const 1) (i32.const 2))) {TASK})"
            ),
        ),
        ("custom page sizes", format!("(module (memory 1 (pagesize 1)) {TASK})")),
        (
            "wide arithmetic",
            format!(
                "(module (memory 1) {TASK} (func (param i64) (result i64 i64)
                (i64.mul_wide_u (local.get 0) (local.get 0))))"
            ),
        ),
        (
            "function references",
            format!(
                "(module (memory 1) (type $t (func)) {TASK} (func (param (ref $t)) (call_ref $t (local.get 0))))"
            ),
        ),
    ] {
        let found = refusal(&wat);
        assert!(matches!(found, Refusal::Invalid(_)), "{what}: {found}");
    }
}

#[test]
fn only_wasi_preview_1_can_be_imported() {
    let import = |text: &str| format!("(module (import {text}) (memory 1) {TASK})");
    refused(&import(r#""env" "f" (func)"#), "does not offer");
    refused(&import(r#""tilth" "grow" (func (param i32) (result i32))"#), "reserved");
    refused(&import(r#""wasi_snapshot_preview1" "fd_wriet" (func)"#), "not a function of WASI");
    refused(&import(r#""wasi_snapshot_preview1" "fd_write" (func)"#), "another signature");
    refused(
        &import(r#""wasi_snapshot_preview1" "fd_tell" (func (param i64 i32) (result i32))"#),
        "another signature",
    );
    refused(
        &import(r#""wasi_snapshot_preview1" "proc_exit" (func (param i32) (result i32))"#),
        "another",
    );
    refused(&import(r#""env" "g" (global i32)"#), "only functions");
    refused(&format!(r#"(module (import "env" "memory" (memory 1)) {TASK})"#), "only functions");
}

#[test]
fn exports_must_make_a_program() {
    refused("(module (memory 1))", "neither _start nor task");
    refused(
        r#"(module (memory 1) (func (export "_start")) (func (export "task") (param i32)))"#,
        "both",
    );
    refused(r#"(module (memory 1) (func (export "task")))"#, "one i32 parameter");
    refused(
        r#"(module (memory 1) (func (export "task") (param i32) (result i32) i32.const 0))"#,
        "no results",
    );
    refused(
        r#"(module (memory 1) (func (export "_start")) (func (export "prepare")))"#,
        "need task",
    );
    refused(&format!(r#"(module (memory 1) {TASK} (func (export "tilth:x")))"#), "reserved");
    refused(&format!("(module {TASK})"), "no memory");
    // An export of the right name that is no function is no entry.
    refused(r#"(module (memory 1) (global (export "task") i32 (i32.const 0)))"#, "neither");
}

#[test]
fn segments_must_fit() {
    refused(
        &format!(r#"(module (memory 1) (data (i32.const 65535) "ab") {TASK})"#),
        "data segment",
    );
    refused(
        r#"(module (memory 1) (table 1 funcref) (elem (i32.const 1) $t)
            (func $t (export "task") (param i32)))"#,
        "element segment",
    );
}

#[test]
fn counts_are_capped() {
    let cases = [
        ("types", "(type (func))".repeat(10_001)),
        ("functions", "(func)".repeat(50_001)),
        ("globals", "(global i32 (i32.const 0))".repeat(1_025)),
        ("elements of tables", "(table 65537 funcref)".into()),
        ("tables", "(table 1 funcref)".repeat(9)),
        ("parameters", format!("(func (param {}))", "i32 ".repeat(65))),
        ("locals", format!("(func (local {}))", "i32 ".repeat(8_193))),
        ("nested blocks", format!("(func {} {})", "block ".repeat(1_100), "end ".repeat(1_100))),
        ("bytes of function", format!("(func {})", "nop ".repeat(300_000))),
        ("data segments", r#"(data "")"#.repeat(65_537)),
        ("element segments", "(elem func)".repeat(1_025)),
    ];
    for (what, text) in cases {
        let refusal = refusal(&format!("(module (memory 1) {TASK} {text})"));
        assert!(
            matches!(&refusal, Refusal::Cap { what: found, .. } if found.contains(what)),
            "{what}: {refusal}"
        );
    }
    let huge = vec![0; usize::try_from(tilth_vm::admission::caps::PROGRAM_BYTES).unwrap() + 1];
    assert!(matches!(admit(&huge), Err(Refusal::Cap { .. })));
}

#[test]
fn arbitrary_bytes_are_refused() {
    assert!(matches!(admit(b""), Err(Refusal::Invalid(_))));
    assert!(matches!(
        admit(b"\0asm\x0d\0\x01\0"),
        Err(Refusal::Invalid(_) | Refusal::Unsupported(_))
    ));
    let valid = wat::parse_str(format!("(module (memory 1) {TASK})")).unwrap();
    for length in 0..valid.len() {
        let result = admit(&valid[..length]);
        assert!(result.is_err(), "{length} of {} bytes were admitted", valid.len());
    }
    proptest::proptest!(|(position in 0..valid.len(), byte: u8)| {
        let mut changed = valid.clone();
        changed[position] = byte;
        // Must end, one way or the other, and what is admitted must compile.
        if let Ok(admitted) = admit(&changed) {
            tilth_vm::compile(&admitted).unwrap();
        }
    });
}
