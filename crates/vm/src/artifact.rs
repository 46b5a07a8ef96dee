//! Compiled programs: machine code with what the machine must know to run it.
//!
//! ```text
//! "tilthvm" 1 | BLAKE3 of the rest, 32 bytes | borsh of the content
//! ```
//!
//! The checksum finds torn and rotten files; it is no protection against someone who may write
//! artifacts, who could put any machine code there. Only the compile step may.

use borsh::{BorshDeserialize, BorshSerialize};
use tilth_protocol::{ContentHash, DecodeError, Problem, decode, encode};

use crate::{
    admission::{Admitted, Entry, Facts, Phases, Segment},
    engine::{self, engine_key},
};

const MAGIC: [u8; 8] = *b"tilthvm\x01";
const HEADER: usize = MAGIC.len() + 32;
/// Most bytes of an artifact: machine code is up to ten times as large as the code it came from.
pub const MAX_ARTIFACT_BYTES: usize = 192 << 20;

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Artifact(Content);

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Content {
    /// Hash of the module as its author has it.
    pub(crate) program: ContentHash,
    /// [`engine_key`] of the compiler.
    engine: String,
    pub(crate) facts: Facts,
    pub(crate) segments: Vec<Segment>,
    pub(crate) code: Vec<u8>,
}

/// Why a program could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler did not take the module although admission did.
    #[error("the compiler failed: {0}")]
    Compiler(String),
    /// The machine code is too large.
    #[error("the artifact has {size} bytes, at most {MAX_ARTIFACT_BYTES} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
    },
}

impl CompileError {
    /// For people.
    pub fn problem(&self) -> Problem {
        Problem::new(
            "the program could not be compiled",
            self.to_string(),
            "if it is a valid program, report this together with the program",
        )
    }
}

/// Why bytes are not an artifact that this machine can run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ArtifactError {
    /// Not an artifact, or damaged.
    #[error("not an artifact, or damaged")]
    Damaged,
    /// Its content cannot be decoded.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// Compiled by or for another engine.
    #[error("compiled for {theirs}, this machine is {ours}")]
    Engine {
        /// What it was compiled for.
        theirs: String,
        /// What this is.
        ours: String,
    },
}

impl ArtifactError {
    /// For people.
    pub fn problem(&self) -> Problem {
        Problem::new(
            "the compiled program cannot be used",
            self.to_string(),
            "delete it, it will be compiled again",
        )
    }
}

/// Compiles a program. Takes seconds for large ones, and memory; run it in a process with limits.
///
/// # Errors
/// The compiler failed, or the result is too large.
pub fn compile(admitted: &Admitted) -> Result<Artifact, CompileError> {
    let compiler = |error: wasmtime::Error| CompileError::Compiler(format!("{error:#}"));
    let code = engine::compiler()
        .and_then(|engine| engine.precompile_module(&admitted.module))
        .map_err(compiler)?;
    let artifact = Artifact(Content {
        program: admitted.program,
        engine: engine_key().into(),
        facts: admitted.facts.clone(),
        segments: admitted.segments.clone(),
        code,
    });
    let size = artifact.to_bytes().len();
    if size > MAX_ARTIFACT_BYTES {
        return Err(CompileError::TooLarge { size });
    }
    Ok(artifact)
}

impl Artifact {
    /// The bytes of the artifact's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let content = encode(&self.0);
        let mut bytes = Vec::with_capacity(HEADER + content.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&ContentHash::of(&content).0);
        bytes.extend_from_slice(&content);
        bytes
    }

    /// Reads an artifact that our own compile step wrote.
    ///
    /// Machine code cannot be checked: whoever can write `bytes` can make this process run anything.
    ///
    /// # Errors
    /// Not an artifact, damaged, or for another engine.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtifactError> {
        let (Some(magic), Some(sum), Some(content)) =
            (bytes.get(..MAGIC.len()), bytes.get(MAGIC.len()..HEADER), bytes.get(HEADER..))
        else {
            return Err(ArtifactError::Damaged);
        };
        if magic != MAGIC || sum != ContentHash::of(content).0 {
            return Err(ArtifactError::Damaged);
        }
        let content: Content = decode(content, MAX_ARTIFACT_BYTES)?;
        if content.engine != engine_key() {
            return Err(ArtifactError::Engine {
                theirs: content.engine,
                ours: engine_key().into(),
            });
        }
        Ok(Self(content))
    }

    /// Hash of the module as its author has it.
    pub fn program(&self) -> ContentHash {
        self.0.program
    }

    /// What a task calls.
    pub fn entry(&self) -> Entry {
        self.0.facts.entry
    }

    /// What runs before it.
    pub fn phases(&self) -> Phases {
        self.0.facts.phases
    }

    pub(crate) fn content(&self) -> &Content {
        &self.0
    }
}
