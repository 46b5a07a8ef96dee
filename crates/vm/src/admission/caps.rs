//! Static caps of admission, with their reasons.
//!
//! They bound what compiling and starting a program can cost. The unit of account is compile time:
//! one megabyte of ordinary code takes two to three seconds on one core.

use super::Refusal;

/// A program, code and data: [`tilth_protocol::spec::MAX_PROGRAM_BYTES`].
pub const PROGRAM_BYTES: u64 = tilth_protocol::spec::MAX_PROGRAM_BYTES;
/// The code section. Programs with the Rust standard library have 0.1 to 1 MiB; this is twice what a
/// compiler built for wasm needs, and about 20 s to compile.
pub const CODE_BYTES: u64 = 8 << 20;
/// One function. Some passes of the compiler take more than linear time in it.
pub const BODY_BYTES: u64 = 256 << 10;
/// Functions, each with a fixed cost: 20,000 empty ones take 1.5 s.
pub const FUNCTIONS: u64 = 50_000;
/// Types.
pub const TYPES: u64 = 10_000;
/// Parameters of a function, which travel on the native stack.
pub const PARAMS: u64 = 64;
/// Results of a function or block.
pub const RESULTS: u64 = 16;
/// Locals and parameters of a function.
pub const LOCALS: u64 = 8_192;
/// Nested blocks. A `switch` with n cases is n nested blocks, so interpreters need many.
pub const NESTING: u64 = 1_024;
/// Entries of all `br_table` in one function, counted times the nesting depth they stand at: the
/// compiler makes an edge for each, whose cost grows with the number of blocks it crosses.
pub const BRANCH_WORK: u64 = 1 << 20;
/// The same, in the whole program.
pub const PROGRAM_BRANCH_WORK: u64 = 4 << 20;
/// Sum over all functions of the square of loops times locals, see
/// `BodySurvey::loop_work`: the compiler's time for merging locals at loop heads is quadratic, 2 KB of
/// code can take a second and 10 KB minutes. This much takes about 30 s. A function of 60 loops and 300
/// locals, which is a large one, has a tenth of it.
pub const LOOP_WORK: u64 = 4_000_000_000;
/// Imports.
pub const IMPORTS: u64 = 64;
/// Globals; mutable ones are restored for every task.
pub const GLOBALS: u64 = 1_024;
/// Exports.
pub const EXPORTS: u64 = 4_096;
/// Tables.
pub const TABLES: u64 = 8;
/// Elements of all tables together, initially and at any time; every task starts with fresh tables.
pub const TABLE_ELEMENTS: u64 = 65_536;
/// Element segments.
pub const ELEMENT_SEGMENTS: u64 = 1_024;
/// Data segments.
pub const DATA_SEGMENTS: u64 = 65_536;

/// Refuses a count above its cap.
pub(crate) fn check(what: impl Into<String>, value: usize, cap: u64) -> Result<(), Refusal> {
    let value = value as u64;
    if value <= cap {
        return Ok(());
    }
    Err(Refusal::Cap { what: what.into(), value, cap })
}
