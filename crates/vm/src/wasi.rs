//! WASI preview 1 as guests see it: deterministic answers, no side effects.
//!
//! A guest has standard input (empty), standard output (the task's output), standard error (its log)
//! and descriptor 3, the folder `/in` with the job's inputs. Time stands still at zero, random bytes
//! come from a stream that everyone can recompute, and whatever is not offered answers `ENOSYS`, so
//! that programs which merely link a function are admitted.

mod calls;
pub mod files;
mod table;

pub(crate) use calls::link;
pub(crate) use table::{MODULE, signature};

/// Descriptor of the folder of inputs.
pub(crate) const FOLDER: u32 = 3;
/// Name of the folder of inputs.
pub(crate) const FOLDER_NAME: &[u8] = b"/in";

/// Error numbers of WASI preview 1 that we answer with.
pub(crate) mod errno {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const BADF: i32 = 8;
    pub(crate) const FAULT: i32 = 21;
    pub(crate) const INVAL: i32 = 28;
    pub(crate) const ISDIR: i32 = 31;
    pub(crate) const MFILE: i32 = 33;
    pub(crate) const NOENT: i32 = 44;
    pub(crate) const NOSYS: i32 = 52;
    pub(crate) const NOTDIR: i32 = 54;
    pub(crate) const ROFS: i32 = 69;
    pub(crate) const SPIPE: i32 = 70;
    pub(crate) const NOTCAPABLE: i32 = 76;
}
