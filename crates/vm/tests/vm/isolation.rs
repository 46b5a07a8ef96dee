//! Tasks do not see each other, and all of them see what the prepare phase left.

use std::time::{Duration, Instant};

use tilth_protocol::{Limits, Status};
use tilth_vm::SessionError;

use super::support::{HEAD, LIMITS, artifact, guest, run, with_session};

/// Prints a counter in memory and one in a global, then counts both up.
const COUNTERS: &str = r#"
    (data (i32.const 200) "\05")
    (global $counter (mut i32) (i32.const 7))
    (global $other (mut v128) (v128.const i64x2 1 2))
    (func $count
        (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
        (global.set $counter (i32.add (global.get $counter) (i32.const 1)))
        (global.set $other (i64x2.add (global.get $other) (global.get $other)))
        (drop (memory.grow (i32.const 2))))
    (func (export "task") (param i32)
        (i32.store (i32.const 204) (global.get $counter))
        (v128.store (i32.const 208) (global.get $other))
        (i32.store (i32.const 224) (memory.size))
        (call $print (i32.const 1) (i32.const 200) (i32.const 28))
        (call $count)
        ;; Dirty everything, too.
        (memory.fill (i32.const 0) (i32.const 0xee) (i32.mul (memory.size) (i32.const 65536))))
"#;

fn counters(memory: u32, global: u32, other: (u64, u64), pages: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&memory.to_le_bytes());
    bytes.extend_from_slice(&global.to_le_bytes());
    bytes.extend_from_slice(&other.0.to_le_bytes());
    bytes.extend_from_slice(&other.1.to_le_bytes());
    bytes.extend_from_slice(&pages.to_le_bytes());
    bytes
}

#[test]
fn writes_to_memory_and_globals_do_not_leak() {
    let (_, outcomes) = run(&guest(COUNTERS), LIMITS, &[0, 1, 2, 1]);
    for outcome in &outcomes {
        assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
        assert_eq!(outcome.output, counters(5, 7, (1, 2), 1));
        assert_eq!(outcome.fuel, outcomes[0].fuel);
    }
}

#[test]
fn tasks_start_from_what_prepare_left() {
    let body = format!(
        r#"{COUNTERS} (func $once (call $count))
        (start $once)
        (func (export "_initialize") (call $count))
        (func (export "prepare") (call $count))"#
    );
    let limits = Limits { prepare_cap: 10, ..LIMITS };
    let (prepared, outcomes) = run(&guest(&body), limits, &[0, 1, 2]);
    assert_eq!((prepared.status, prepared.units), (Status::Ok, 1));
    for outcome in &outcomes {
        assert_eq!(outcome.output, counters(8, 10, (8, 16), 7), "{outcome:?}");
    }
    // Without a prepare cap every task does all of it itself, with the same result.
    let (prepared, dearer) = run(&guest(&body), LIMITS, &[0, 1, 2]);
    assert_eq!((prepared.status, prepared.units), (Status::Ok, 0));
    for (dear, cheap) in dearer.iter().zip(&outcomes) {
        assert_eq!(dear.output, cheap.output);
        assert!(dear.fuel > cheap.fuel);
    }
}

#[test]
fn what_prepare_prints_is_log() {
    let body = r#"
        (data (i32.const 100) "hello")
        (func (export "prepare") (call $print (i32.const 1) (i32.const 100) (i32.const 5)))
        (func (export "task") (param i32)
            (call $print (i32.const 1) (i32.const 100) (i32.const 2))
            (call $print (i32.const 2) (i32.const 102) (i32.const 3)))"#;
    let (prepared, outcomes) = run(&guest(body), Limits { prepare_cap: 1, ..LIMITS }, &[0]);
    assert_eq!(prepared.log.text(), "hello");
    assert_eq!((outcomes[0].output.as_slice(), outcomes[0].log.text()), (&b"he"[..], "llo".into()));
    let (prepared, outcomes) = run(&guest(body), LIMITS, &[0]);
    assert!(prepared.log.is_empty());
    assert_eq!(outcomes[0].output, b"he");
    assert_eq!(outcomes[0].log.text(), "hellollo");
}

#[test]
fn a_failed_prepare_fails_every_task_at_no_charge() {
    let limits = Limits { prepare_cap: 3, ..LIMITS };
    for (body, status) in [("unreachable", Status::Trap), ("(loop (br 0))", Status::OutOfFuel)] {
        let body =
            format!(r#"(func (export "prepare") {body}) (func (export "task") (param i32))"#);
        let (prepared, outcomes) = run(&guest(&body), limits, &[0, 9]);
        assert_eq!((prepared.status, prepared.units), (status, 3));
        for outcome in outcomes {
            assert_eq!((outcome.status, outcome.units), (status, 0));
        }
    }
}

#[test]
fn dropped_segments_and_changed_tables_are_fresh_for_every_task() {
    let body = r#"
        (type $t (func (result i32)))
        (table 2 funcref) (elem (i32.const 0) $one $two)
        (elem $passive func $two)
        (data $bytes "abc")
        (func $one (result i32) (i32.const 1))
        (func $two (result i32) (i32.const 2))
        (func (export "task") (param i32)
            (memory.init $bytes (i32.const 100) (i32.const 0) (i32.const 3))
            (data.drop $bytes)
            (i32.store (i32.const 103) (call_indirect (type $t) (i32.const 0)))
            (table.init $passive (i32.const 0) (i32.const 0) (i32.const 1))
            (elem.drop $passive)
            (i32.store (i32.const 104) (call_indirect (type $t) (i32.const 0)))
            (call $print (i32.const 1) (i32.const 100) (i32.const 5)))"#;
    let guest = guest(body);
    let (_, outcomes) = run(&guest, LIMITS, &[0, 1]);
    for outcome in outcomes {
        assert_eq!(outcome.output, b"abc\x01\x02", "{:?}", outcome.reason);
    }
    // An image would not have these changes, so a prepare phase is refused.
    let error =
        with_session(&guest, Limits { prepare_cap: 1, ..LIMITS }, None, |_| ()).unwrap_err();
    assert!(matches!(error, SessionError::Tables));
}

#[test]
fn active_segments_behave_as_dropped() {
    // memory.init from an active segment traps unless it copies nothing.
    let with_length = |length: u32| {
        guest(&format!(
            r#"(data $active (i32.const 100) "xyz")
            (func (export "task") (param i32)
                (memory.init $active (i32.const 0) (i32.const 0) (i32.const {length}))
                (call $print (i32.const 1) (i32.const 100) (i32.const 3)))"#
        ))
    };
    assert_eq!(run(&with_length(0), LIMITS, &[0]).1[0].output, b"xyz");
    assert_eq!(run(&with_length(1), LIMITS, &[0]).1[0].status, Status::Trap);
}

/// A hundred megabytes of prepared memory do not make the start of a task slower.
#[test]
fn large_images_are_not_copied() {
    let limits = Limits { prepare_cap: 10_000, memory_bytes: 128 << 20, ..LIMITS };
    let body = r#"
        (func (export "prepare") (local $at i32)
            (drop (memory.grow (i32.const 999)))
            ;; A number in every host page: 64 MB.
            (loop
                (i32.store (local.get $at) (i32.xor (local.get $at) (i32.const 0x5a5a5a5a)))
                (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                (br_if 0 (i32.lt_u (local.get $at) (i32.const 65536000)))))
        (func (export "task") (param $i i32) (local $at i32)
            (local.set $at (i32.mul (local.get $i) (i32.const 40960)))
            (i32.store (i32.const 100) (i32.load (local.get $at)))
            (i32.store (local.get $at) (i32.const 0))
            (call $print (i32.const 1) (i32.const 100) (i32.const 4)))"#;
    with_session(&guest(body), limits, None, |session| {
        assert_eq!(session.prepare().unwrap().status, Status::Ok);
        let started = Instant::now();
        for index in (1..1600).chain(1..1600) {
            let outcome = session.run(index).unwrap();
            assert_eq!(outcome.output, ((index * 40_960) ^ 0x5a5a_5a5a).to_le_bytes(), "{index}");
        }
        // Copying the image would take 20 ms a task, a minute for all; this takes some 30 ms.
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    })
    .unwrap();
}

#[test]
fn tasks_before_prepare_and_a_second_prepare_are_errors() {
    let guest = artifact(&format!(r#"(module {HEAD} (func (export "task") (param i32)))"#));
    with_session(&guest, LIMITS, None, |session| {
        assert!(matches!(session.run(0), Err(SessionError::Order)));
        session.prepare().unwrap();
        assert!(matches!(session.prepare(), Err(SessionError::Order)));
    })
    .unwrap();
}

#[test]
fn sessions_need_the_deep_stack() {
    let guest = guest(r#"(func (export "task") (param i32))"#);
    let result = tilth_vm::Session::new(&guest, tilth_vm::Inputs::none(), LIMITS);
    assert!(matches!(result, Err(SessionError::Stack)));
}

#[test]
fn artifacts_survive_their_file_and_damage_is_found() {
    use tilth_vm::{Artifact, ArtifactError};
    let guest = guest(COUNTERS);
    let bytes = guest.to_bytes();
    let again = Artifact::from_bytes(&bytes).unwrap();
    assert_eq!(run(&again, LIMITS, &[0]), run(&guest, LIMITS, &[0]));
    assert_eq!(again.program(), guest.program());
    for position in [0, 8, 40, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        assert_eq!(Artifact::from_bytes(&damaged).unwrap_err(), ArtifactError::Damaged);
        assert!(Artifact::from_bytes(&bytes[..position]).is_err());
    }
}
