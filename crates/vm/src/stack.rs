//! The native stack that guests run on.
//!
//! How deep a guest may recurse is decided by the counter that admission puts into the program, never
//! by the native stack, whose use depends on the compiler. So the native stack must be large enough
//! for every admitted program at the counter's limit: functions are weighed with an upper bound of
//! their frame (see [`frame_weight`]), the sum along a call chain stays below [`STACK_BUDGET`], and
//! only a function that calls no other function is not counted, which is what [`LEAF_RESERVE`] is
//! for. The pages are only committed when a guest really uses them.

use std::{cell::Cell, io, thread};

/// Sum of frame weights along a chain of calls.
pub(crate) const STACK_BUDGET: u32 = 128 << 20;
/// Room for the deepest, uncounted leaf function: its weight is bounded by the caps of admission.
pub(crate) const LEAF_RESERVE: usize = 16 << 20;
/// Room for host functions and what is below the guest.
const HOST_RESERVE: usize = 4 << 20;
/// Native stack that WebAssembly may use before the engine stops it.
pub(crate) const WASM_STACK: usize = STACK_BUDGET as usize + LEAF_RESERVE;

thread_local! {
    static DEEP: Cell<bool> = const { Cell::new(false) };
}

/// An upper bound of the bytes a function's native frame takes: every local and parameter may be
/// spilled at vector width, and so may every value that an instruction computes; an instruction that
/// makes a new value of 16 bytes takes at least two bytes of code.
pub(crate) fn frame_weight(locals: u32, body_bytes: u32) -> u32 {
    let locals = locals.saturating_mul(16);
    let values = body_bytes.saturating_mul(8);
    // Return address, saved registers and outgoing arguments of calls.
    2048_u32.saturating_add(locals).saturating_add(values)
}

/// Runs `work` on a new thread whose stack is deep enough for every admitted program. A
/// [`Session`](crate::Session) can only be made inside.
///
/// # Errors
/// The thread could not be started, for lack of address space or of threads.
///
/// # Panics
/// Resumes a panic of `work`.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("guest".into())
            .stack_size(WASM_STACK + HOST_RESERVE)
            .spawn_scoped(scope, || {
                DEEP.set(true);
                work()
            })?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Whether this thread was started by [`on_deep_stack`].
pub(crate) fn is_deep() -> bool {
    DEEP.get()
}
