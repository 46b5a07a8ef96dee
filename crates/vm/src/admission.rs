//! Which programs the machine takes, and the form it takes them in.
//!
//! Admission is pure and deterministic: every machine admits the same programs and rewrites them to
//! the same bytes. It bounds what compiling costs, refuses what could make results differ between
//! machines, and leaves the engine nothing to decide: the recursion depth is counted by the program
//! itself, memory grows through a metered call, and active data segments are handed out as
//! [`Segment`]s so that a task's memory can be mapped instead of being filled.

mod body;
pub mod caps;
mod rewrite;
mod survey;

use tilth_protocol::{ContentHash, Problem};

/// Module name of the imports that admission adds. Programs cannot import from it themselves.
pub(crate) const HOST_MODULE: &str = "tilth";
/// Import `(pages: i32) -> i32` that stands for every `memory.grow`.
pub(crate) const GROW: &str = "grow";
/// Import `() -> ()` that is called when recursion is too deep; it does not return.
pub(crate) const TOO_DEEP: &str = "too-deep";
/// Prefix of the exports that admission adds.
const PREFIX: &str = "tilth:";
/// Export of the linear memory.
pub(crate) const MEMORY: &str = "tilth:memory";
/// Export of the start function, if the program had one.
pub(crate) const START: &str = "tilth:start";

/// Export of the program's n-th mutable global.
pub(crate) fn global_name(number: usize) -> String {
    format!("{PREFIX}global:{number}")
}

/// What a task of the program calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub enum Entry {
    /// `_start`, with the arguments `[program, index]`.
    Command,
    /// `task(index: i32)`.
    Reactor,
}

/// What the program exports besides its entry. They run in this order, before the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Phases {
    /// A start section.
    pub start: bool,
    /// `_initialize`.
    pub initialize: bool,
    /// `prepare`.
    pub prepare: bool,
}

/// Initial content of a part of memory.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Segment {
    /// Address of the first byte.
    pub offset: u32,
    /// The bytes; they lie inside the program's initial memory.
    pub bytes: Vec<u8>,
}

/// A program that passed admission, rewritten for the machine.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub(crate) program: ContentHash,
    pub(crate) module: Vec<u8>,
    pub(crate) facts: Facts,
    pub(crate) segments: Vec<Segment>,
}

impl Admitted {
    /// Hash of the module as its author has it.
    pub fn program(&self) -> ContentHash {
        self.program
    }

    /// What a task calls.
    pub fn entry(&self) -> Entry {
        self.facts.entry
    }

    /// What runs before it.
    pub fn phases(&self) -> Phases {
        self.facts.phases
    }

    /// Memory the program starts with, in 64 KiB pages.
    pub fn memory_pages(&self) -> u32 {
        self.facts.memory_pages
    }

    /// Data that was taken out of the module and is to be in memory when it starts.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The rewritten module, for the curious and for tests.
    pub fn module(&self) -> &[u8] {
        &self.module
    }
}

/// What the machine must know about a program to run it.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub(crate) struct Facts {
    pub(crate) entry: Entry,
    pub(crate) phases: Phases,
    /// Initial size of the memory.
    pub(crate) memory_pages: u32,
    /// Elements of tables and element segments.
    pub(crate) table_elements: u32,
    /// Mutable globals, exported as `tilth:global:N`.
    pub(crate) globals: u32,
    /// Whether the program changes tables or drops segments, which an image does not capture.
    pub(crate) changes_tables: bool,
}

/// Why a program was refused. The same on every machine.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// A count or size is above its cap.
    #[error("{what}: {value}, at most {cap} are allowed")]
    Cap {
        /// What was counted, and where.
        what: String,
        /// How much there is.
        value: u64,
        /// How much there may be.
        cap: u64,
    },
    /// Not a WebAssembly module, or it uses a feature that is off.
    #[error("not a valid module: {0}")]
    Invalid(String),
    /// It imports something the machine does not offer.
    #[error("it imports {module}.{name}, {why}")]
    Import {
        /// Module part of the import's name.
        module: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its exports do not make a program.
    #[error("{0}")]
    Entry(String),
    /// Something valid that the machine does not support.
    #[error("{0}")]
    Unsupported(String),
}

impl Refusal {
    /// For people.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Cap { .. } => {
                "build the program smaller: optimise for size, strip it, or split large functions"
            }
            Self::Invalid(_) => {
                "build for wasm32-wasip1 without threads, relaxed SIMD, tail calls or exceptions"
            }
            Self::Import { .. } => {
                "build for wasm32-wasip1; a program can read /in, write its output and its log, nothing else"
            }
            Self::Entry(_) => {
                "export either _start (an ordinary program) or task(index: i32), see the guest reference"
            }
            Self::Unsupported(_) => "see the guest reference for what programs may use",
        };
        Problem::new("the program cannot be run by the machine", self.to_string(), advice)
    }
}

/// Checks and rewrites a module.
///
/// # Errors
/// [`Refusal`] names the first reason found.
pub fn admit(bytes: &[u8]) -> Result<Admitted, Refusal> {
    caps::check("bytes of the program", bytes.len(), caps::PROGRAM_BYTES)?;
    let survey = survey::survey(bytes)?;
    let (module, segments) = rewrite::rewrite(bytes, &survey)?;
    Ok(Admitted { program: ContentHash::of(bytes), module, facts: survey.facts()?, segments })
}
