;; Writes its index in four bytes.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (global $stack (mut i32) (i32.const 1048576))
  (data (i32.const 16) "\20\00\00\00\04\00\00\00")
  (func (export "task") (param i32)
    (i32.store (i32.const 32) (local.get 0))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))
