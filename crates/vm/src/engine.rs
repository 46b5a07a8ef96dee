//! The one configuration of the engine.
//!
//! Everything that can change a result is set by name here, because defaults move between versions.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock},
};

use wasmparser::WasmFeatures;
use wasmtime::{Config, Engine, OptLevel, WasmBacktraceDetails};

use crate::{costs, image::Memories, stack};

/// Counts changes of the costs, of the rewriting and of the host's answers.
const SEMANTICS: u32 = 1;
/// Address space behind a linear memory: all that 32-bit addresses reach, so that the compiler needs
/// no bounds checks.
pub(crate) const RESERVATION: usize = 4 * (1 << 30);
/// Unmapped space behind the reservation, for constant offsets in loads and stores.
pub(crate) const GUARD: usize = 32 << 20;

/// The WebAssembly features programs may use: what compilers emit by default and what gives the same
/// bits everywhere. Not: threads, relaxed SIMD (its results differ between processors), several or
/// 64-bit memories, tail calls and exceptions (not counted by the recursion counter), reference
/// counting or garbage collection.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS);

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .consume_fuel(true)
        .operator_cost(costs::operator_cost())
        .epoch_interruption(false)
        .async_stack_size(stack::WASM_STACK)
        .max_wasm_stack(stack::WASM_STACK)
        .memory_reservation(RESERVATION as u64)
        .memory_guard_size(GUARD as u64)
        .memory_may_move(false)
        .guard_before_linear_memory(false)
        .memory_init_cow(false)
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        .native_unwind_info(false)
        .debug_info(false);
    config
}

/// An engine that compiles. It makes no memories of its own.
pub(crate) fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// An engine that runs with memories from `memories`.
pub(crate) fn runner(memories: Arc<Memories>) -> wasmtime::Result<Engine> {
    let mut config = config();
    config.with_host_memory(memories);
    Engine::new(&config)
}

/// Names the engine: version, configuration, target processor and our own semantics. Artifacts and
/// metered units are only comparable under the same key, and an artifact is refused under another.
///
/// The part before the `+` is the same on every machine of one release; what follows names the
/// processor's features that machine code was compiled for.
pub fn engine_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let machine = compiler().map_or(0, |engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        });
        format!("wasmtime-{}.{SEMANTICS}+{machine:016x}", wasmtime_version())
    })
}

fn wasmtime_version() -> &'static str {
    "48.0.8"
}
