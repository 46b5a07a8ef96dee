;; The smallest reactor: a task does nothing.
(module
  (memory (export "memory") 17)
  (global $stack (mut i32) (i32.const 1048576))
  (func (export "task") (param i32)))
