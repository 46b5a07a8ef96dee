//! Small guest programs in WebAssembly text, well-behaved and not.

/// Head of every guest: the output call and one page of memory.
const HEAD: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $emit (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
"#;

/// A guest whose `task` has this body; `$i` is the task's index.
pub fn guest(body: &str) -> String {
    format!("(module {HEAD} (func (export \"task\") (param $i i32) {body}))")
}

/// Writes its index (four bytes, little-endian).
pub fn index() -> String {
    guest("(i32.store (i32.const 16) (local.get $i)) (call $emit (i32.const 16) (i32.const 4))")
}

/// Spins for about `millions` million rounds, then writes its index.
pub fn slow(millions: u32) -> String {
    guest(&format!(
        "(local $n i32)
         (local.set $n (i32.const {}))
         (loop $again
           (local.set $n (i32.sub (local.get $n) (i32.const 1)))
           (br_if $again (local.get $n)))
         (i32.store (i32.const 16) (local.get $i))
         (call $emit (i32.const 16) (i32.const 4))",
        millions * 1_000_000
    ))
}

/// Behaves by index: 0 well, 1 traps, 2 loops for ever, 3 grows memory without end and traps when it
/// gets none, 4 prints without end, 5 recurses without end, 6 reads outside its memory.
pub fn zoo() -> String {
    format!(
        r#"(module {HEAD}
  (func $deep (param $n i32) (result i32)
    (i32.add (call $deep (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))
  (func (export "task") (param $i i32)
    (if (i32.eq (local.get $i) (i32.const 1)) (then unreachable))
    (if (i32.eq (local.get $i) (i32.const 2)) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $i) (i32.const 3)) (then
      (loop $more
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $more))))
    (if (i32.eq (local.get $i) (i32.const 4)) (then
      (loop $more (call $emit (i32.const 0) (i32.const 65536)) (br $more))))
    (if (i32.eq (local.get $i) (i32.const 5)) (then (drop (call $deep (i32.const 0)))))
    (if (i32.eq (local.get $i) (i32.const 6)) (then (drop (i32.load (i32.const 0x7fffffff)))))
    (i32.store (i32.const 16) (local.get $i))
    (call $emit (i32.const 16) (i32.const 4))))"#
    )
}

/// The rest of a job file: tasks, caps, price; `more` is appended.
pub fn job(tasks: u32, gfuel: f64, more: &str) -> String {
    format!(
        "tasks = {tasks}\n[limits]\ngfuel-per-task = {gfuel}\nmemory = \"8MiB\"\noutput = \"64KiB\"\n\
         [price]\nper-gfuel = \"0.01\"\n{more}\n[output]\nkind = \"values\"\n"
    )
}
