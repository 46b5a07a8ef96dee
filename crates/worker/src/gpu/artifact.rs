//! A program as the compiling child leaves it for the worker that runs it.

use borsh::{BorshDeserialize, BorshSerialize};
use tilth_protocol::{GpuProgram, Problem, decode, encode, gpu::MAX_GPU_PROGRAM_BYTES};

/// First bytes of an artifact.
const MAGIC: &[u8; 8] = b"tilthgpa";
/// Most bytes of an artifact: SPIR-V takes several times the text it comes from.
pub(crate) const MAX_ARTIFACT_BYTES: usize = 64 * MAX_GPU_PROGRAM_BYTES;

/// A checked program, and what its shaders need.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Artifact {
    pub(crate) program: GpuProgram,
    /// One per shader; empty for plain programs, which the graphics library translates.
    pub(crate) spirv: Vec<Vec<u32>>,
    /// The fewest bytes that each buffer must have for what shaders read there without an index.
    pub(crate) least: Vec<u64>,
}

impl Artifact {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(encode(self));
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Problem> {
        let torn = |detail: String| {
            Problem::new("the compiled program cannot be read", detail, "compile it again")
        };
        let body = bytes.strip_prefix(MAGIC);
        let body = body.ok_or_else(|| torn("it is not that of a GPU program".into()))?;
        let artifact: Self =
            decode(body, MAX_ARTIFACT_BYTES).map_err(|error| torn(error.to_string()))?;
        artifact.program.check().map_err(|error| torn(error.to_string()))?;
        let program = &artifact.program;
        if artifact.least.len() != program.buffers.len()
            || artifact.spirv.len() != program.shaders.len()
        {
            return Err(torn("its parts do not belong together".into()));
        }
        Ok(artifact)
    }
}
