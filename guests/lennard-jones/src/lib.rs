//! Molecular dynamics of the Lennard-Jones fluid at constant number, volume and temperature, and the equation of
//! state that follows from many such runs. Everything is in reduced units: lengths in sigma, energies in epsilon,
//! times in sigma (m / epsilon)^(1/2).
//!
//! One program for two jobs: with `/in/tasks.csv` a task is one run, [`run`]; with `/in/map.csv` beside the runs'
//! outputs it is one part of their evaluation, [`reduce`].
//!
//! The same bits everywhere: only `+ - * /`, square roots and comparisons, in a fixed order and never fused; the
//! few logarithms and exponentials are in [`arithmetic`].

pub mod arithmetic;
pub mod dynamics;
pub mod equation;
pub mod fluid;
pub mod plot;
pub mod random;
pub mod reduce;
pub mod run;
pub mod statistics;

/// Called by the farm, once per task.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn task(index: i32) {
    // A task's number is unsigned; WebAssembly knows only one kind.
    door::finish(work(index.cast_unsigned() as usize).map(String::into_bytes));
}

/// A task's output.
///
/// # Errors
/// An input is missing or not what it should be.
pub fn work(index: usize) -> Result<String, String> {
    match door::text("map.csv")? {
        Some(table) => reduce::part(&table, index),
        None => run::row(&door::need("tasks.csv")?, index),
    }
}
