//! WASI preview 1 as guests see it.

use std::{fs, path::Path};

use tilth_protocol::{Limits, Status};

use super::support::{LIMITS, artifact, with_session};

/// Imports of the functions that the guests here call.
const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir"
        (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_get"
        (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file"
        (func $path_unlink_file (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get"
        (func $args_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get"
        (func $clock_time_get (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (import "wasi_snapshot_preview1" "sock_recv"
        (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    ;; Writes $length bytes from $at to the output; the vector is at 0.
    (func $out (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $length))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    ;; Writes one number to the output.
    (func $number (param i32)
        (i32.store (i32.const 16) (local.get 0))
        (call $out (i32.const 16) (i32.const 4)))
    ;; Opens the path at 1000 below descriptor 3; returns the error number, the descriptor is at 20.
    (func $open (param $length i32) (param $flags i32) (param $rights i64) (result i32)
        (call $path_open (i32.const 3) (i32.const 1) (i32.const 1000) (local.get $length)
            (local.get $flags) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 20)))
"#;

fn outcome(body: &str, inputs: Option<&Path>) -> tilth_vm::TaskOutcome {
    let guest = artifact(&format!("(module {IMPORTS} {body})"));
    with_session(&guest, LIMITS, inputs, |session| {
        session.prepare().unwrap();
        let first = session.run(3).unwrap();
        assert_eq!(session.run(3).unwrap(), first, "the same every time");
        first
    })
    .unwrap()
}

/// Runs a task's body and returns the numbers it printed.
fn numbers(data: &str, body: &str, inputs: Option<&Path>) -> Vec<i32> {
    let body =
        format!(r#"(data (i32.const 1000) "{data}") (func (export "task") (param i32) {body})"#);
    let outcome = outcome(&body, inputs);
    assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.reason);
    outcome.output.chunks(4).map(|four| i32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn inputs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.txt"), b"0123456789").unwrap();
    fs::write(folder.path().join("a"), b"").unwrap();
    fs::write(folder.path().join("scene file"), b"x").unwrap();
    folder
}

#[test]
fn a_command_gets_its_name_and_index() {
    let body = r#"
        (func (export "_start")
            (drop (call $args_sizes_get (i32.const 100) (i32.const 104)))
            (drop (call $args_get (i32.const 200) (i32.const 300)))
            (call $out (i32.const 100) (i32.const 8))
            (call $out (i32.load (i32.const 200)) (i32.const 8))
            (call $out (i32.load (i32.const 204)) (i32.const 2)))"#;
    assert_eq!(outcome(body, None).output, b"\x02\0\0\0\x0a\0\0\0program\x003\0");
}

#[test]
fn exit_codes_are_results() {
    let exit = |code: u32| {
        outcome(
            &format!(
                r#"(func (export "_start") (call $number (i32.const 7))
                    (call $proc_exit (i32.const {code})) unreachable)"#
            ),
            None,
        )
    };
    assert_eq!((exit(0).status, exit(0).output), (Status::Ok, vec![7, 0, 0, 0]));
    let failed = exit(3);
    assert_eq!((failed.status, failed.output), (Status::Trap, vec![]));
    assert_eq!(failed.reason.as_deref(), Some("exited with code 3"));
}

#[test]
fn inputs_are_read_with_positions() {
    let folder = inputs();
    let body = r#"
        (call $number (call $open (i32.const 5) (i32.const 0) (i64.const 2)))
        (call $number (i32.load (i32.const 20)))
        ;; Two buffers of 3 and 4 bytes.
        (i64.store (i32.const 32) (i64.const 0x3_000007d0))
        (i64.store (i32.const 40) (i64.const 0x4_000007d3))
        (call $number (call $fd_read (i32.const 4) (i32.const 32) (i32.const 2) (i32.const 24)))
        (call $number (i32.load (i32.const 24)))
        (call $number (i32.load (i32.const 2003)))
        ;; Three are left, then none.
        (call $number (call $fd_read (i32.const 4) (i32.const 32) (i32.const 2) (i32.const 24)))
        (call $number (i32.load (i32.const 24)))
        (call $number (call $fd_read (i32.const 4) (i32.const 32) (i32.const 2) (i32.const 24)))
        (call $number (i32.load (i32.const 24)))
        ;; Four before the end.
        (call $number (call $fd_seek (i32.const 4) (i64.const -4) (i32.const 2) (i32.const 24)))
        (call $number (i32.load (i32.const 24)))
        (call $number (call $fd_read (i32.const 4) (i32.const 40) (i32.const 1) (i32.const 24)))
        (call $number (i32.load (i32.const 2003)))
        ;; Before the beginning; then closed, twice.
        (call $number (call $fd_seek (i32.const 4) (i64.const -1) (i32.const 0) (i32.const 24)))
        (call $number (call $fd_close (i32.const 4)))
        (call $number (call $fd_close (i32.const 4)))
        (call $number (call $fd_read (i32.const 4) (i32.const 40) (i32.const 1) (i32.const 24)))"#;
    let text = |bytes: &[u8; 4]| i32::from_le_bytes(*bytes);
    assert_eq!(
        numbers("b.txt", body, Some(folder.path())),
        [0, 4, 0, 7, text(b"3456"), 0, 3, 0, 0, 0, 6, 0, text(b"6789"), 28, 0, 8, 8]
    );
}

/// Error numbers for a path, opened for reading.
fn open_answer(path: &str, flags: i32, rights: i64) -> i32 {
    let folder = inputs();
    let length = path.len();
    let body = format!(
        "(call $number (call $open (i32.const {length}) (i32.const {flags}) (i64.const {rights})))"
    );
    numbers(path, &body, Some(folder.path()))[0]
}

#[test]
fn paths_stay_inside_the_folder() {
    for (path, answer) in [
        ("b.txt", 0),
        ("./b.txt", 0),
        (".", 0),
        ("scene file", 0),
        ("c", 44),
        ("", 44),
        ("B.TXT", 44),
        ("../../etc/passwd", 76),
        ("..", 76),
        ("./..", 76),
        ("b.txt/..", 76),
        ("/etc/passwd", 76),
        ("/in/b.txt", 76),
        ("b.txt/", 54),
        ("b.txt/x", 54),
        ("x/../b.txt", 76),
    ] {
        assert_eq!(open_answer(path, 0, 2), answer, "{path:?}");
    }
    // Directory, create, exclusive, truncate; the right to write.
    assert_eq!(open_answer("b.txt", 2, 2), 54);
    assert_eq!(open_answer("new", 1, 2), 69);
    assert_eq!(open_answer("b.txt", 1, 2), 69);
    assert_eq!(open_answer("b.txt", 8, 2), 69);
    assert_eq!(open_answer("b.txt", 0, 0x40), 69);
}

#[test]
fn the_folder_is_listed_in_the_order_of_names() {
    let folder = inputs();
    let body = r#"
        (func (export "task") (param i32)
            ;; Space for two entries and a part of the third.
            (drop (call $fd_readdir
                (i32.const 3) (i32.const 2000) (i32.const 60) (i64.const 0) (i32.const 24)))
            (call $out (i32.const 24) (i32.const 4))
            (call $out (i32.const 2000) (i32.const 60))
            (drop (call $fd_readdir
                (i32.const 3) (i32.const 2000) (i32.const 60) (i64.const 2) (i32.const 24)))
            (call $out (i32.const 24) (i32.const 4))
            (call $out (i32.const 2000) (i32.const 34)))"#;
    let output = outcome(body, Some(folder.path())).output;
    let entry = |next: u64, name: &str| {
        let mut bytes = next.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(next + 1).to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&[4, 0, 0, 0]);
        bytes.extend_from_slice(name.as_bytes());
        bytes
    };
    let mut expected = 60_u32.to_le_bytes().to_vec();
    expected.extend([entry(1, "a"), entry(2, "b.txt"), entry(3, "scene file")].concat());
    expected.truncate(64);
    expected.extend_from_slice(&34_u32.to_le_bytes());
    expected.extend(entry(3, "scene file"));
    assert_eq!(output, expected);
}

#[test]
fn time_stands_still_and_nothing_else_is_offered() {
    let body = r#"
        (i64.store (i32.const 24) (i64.const -1))
        (call $number (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 24)))
        (call $number (i32.load (i32.const 24)))
        (call $number (i32.load (i32.const 28)))
        (call $number (call $path_unlink_file (i32.const 3) (i32.const 1000) (i32.const 1)))
        (call $number (call $sock_recv (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0)))
        ;; Reading standard input finds its end; the output cannot be read.
        (call $number (call $fd_read (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 24)))
        (call $number (i32.load (i32.const 24)))
        (call $number (call $fd_read (i32.const 1) (i32.const 32) (i32.const 0) (i32.const 24)))
        (call $number (call $fd_write (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 24)))
        (call $number (call $fd_write (i32.const 3) (i32.const 32) (i32.const 0) (i32.const 24)))"#;
    assert_eq!(numbers("x", body, None), [0, 0, 0, 69, 52, 0, 0, 8, 8, 69]);
}

#[test]
fn bad_pointers_are_answered() {
    let body = r#"
        (call $number (call $fd_write (i32.const 1) (i32.const -4) (i32.const 1) (i32.const 24)))
        (call $number (call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 24)))
        (i64.store (i32.const 32) (i64.const 0xffffffff_00000100))
        (call $number (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 24)))
        (call $number (call $random_get (i32.const 131071) (i32.const 2)))
        (call $number (call $path_open (i32.const 3) (i32.const 0) (i32.const 131072) (i32.const 9)
            (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 20)))
        (call $number (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 131065)))
        (call $number (call $fd_readdir
            (i32.const 3) (i32.const 65536) (i32.const 65537) (i64.const 0) (i32.const 24)))
        (call $number (call $path_filestat_get
            (i32.const 3) (i32.const 0) (i32.const 1000) (i32.const 1) (i32.const 131070)))"#;
    assert_eq!(numbers(".", body, None), [21, 28, 21, 21, 21, 21, 21, 21]);
}

#[test]
fn random_bytes_depend_on_the_task_only() {
    let body = r#"(func (export "task") (param i32)
        (drop (call $random_get (i32.const 2000) (i32.const 8)))
        (drop (call $random_get (i32.const 2008) (i32.const 8)))
        (call $out (i32.const 2000) (i32.const 16)))"#;
    let guest = artifact(&format!("(module {IMPORTS} {body})"));
    let draw = |index| {
        with_session(&guest, Limits { prepare_cap: 1, ..LIMITS }, None, |session| {
            session.prepare().unwrap();
            session.run(index).unwrap().output
        })
        .unwrap()
    };
    let first = draw(0);
    assert_eq!(draw(0), first);
    assert_ne!(draw(1), first);
    assert_ne!(first[..8], first[8..]);
}

/// Whether a program prepares once or in every task makes no difference to what a task sees.
#[test]
fn preparing_leaves_no_files_open_and_may_exit() {
    let folder = inputs();
    let body = r#"
        (data (i32.const 1000) "b.txt")
        (global $seen (mut i32) (i32.const 0))
        (func (export "prepare")
            (drop (call $open (i32.const 5) (i32.const 0) (i64.const 2)))
            (drop (call $random_get (i32.const 2000) (i32.const 4)))
            (global.set $seen (i32.load (i32.const 20)))
            (call $proc_exit (i32.const 0)))
        (func (export "task") (param i32)
            (drop (call $random_get (i32.const 2004) (i32.const 4)))
            (call $out (i32.const 2000) (i32.const 8))
            (call $number (global.get $seen))
            (call $number (call $fd_close (i32.const 4)))
            (call $number (call $open (i32.const 5) (i32.const 0) (i64.const 2)))
            (call $number (i32.load (i32.const 20))))"#;
    let guest = artifact(&format!("(module {IMPORTS} {body})"));
    let run_with = |prepare_cap| {
        with_session(&guest, Limits { prepare_cap, ..LIMITS }, Some(folder.path()), |session| {
            assert_eq!(session.prepare().unwrap().status, Status::Ok);
            session.run(3).unwrap()
        })
        .unwrap()
    };
    let (once, always) = (run_with(1), run_with(0));
    assert_eq!(once.status, Status::Ok, "{once:?}");
    assert_eq!(once.output, always.output);
    assert_eq!(once.output[8..], [4, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
}

/// An ordinary C program, see `tests/guests/libc.c`.
#[test]
fn a_program_against_wasi_libc_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("numbers"), "1 4 9\n2.25\n").unwrap();
    fs::write(folder.path().join("a file"), "hi\n").unwrap();
    let admitted = tilth_vm::admit(include_bytes!("../guests/libc.wasm")).unwrap();
    let guest = tilth_vm::compile(&admitted).unwrap();
    let (good, bad) = with_session(&guest, LIMITS, Some(folder.path()), |session| {
        session.prepare().unwrap();
        (session.run(6).unwrap(), session.run(7).unwrap())
    })
    .unwrap();
    assert_eq!(good.status, Status::Ok, "{good:?}");
    assert_eq!(
        String::from_utf8(good.output).unwrap(),
        "2 program 6\na file 3 1\nnumbers 11 1\n7.500000 5\n1 1\n1\n1 0\nx1000\n1\n"
    );
    assert_eq!(good.log.text(), "done\n");
    assert_eq!((bad.status, bad.reason.as_deref()), (Status::Trap, Some("exited with code 9")));
}
