//! GPU programs: what the workload `gpu` runs.
//!
//! A program is one blob: shaders in WGSL, buffers with sizes and roles, and the dispatches that make a
//! task. Everything that decides about cost is written down, not found out: sizes, numbers of
//! workgroups, and how many countable things each invocation does. So a task's units are known before it
//! runs, and whoever runs it again counts the same.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{DecodeError, decode, encode},
    spec::{MAX_MEMORY_BYTES, MAX_NAME_BYTES, MAX_OUTPUT_BYTES, MAX_UNIT_CAP, is_file_name},
};

mod check;

/// First bytes of every GPU program.
pub const GPU_MAGIC: &[u8; 8] = b"tilthgpu";
/// Most bytes of an encoded program: shaders are text, data are inputs.
pub const MAX_GPU_PROGRAM_BYTES: usize = 1 << 20;
/// Most shaders of a program.
pub const MAX_SHADERS: usize = 16;
/// Most buffers of a program.
pub const MAX_BUFFERS: usize = 32;
/// Most buffers that one dispatch sees. Every device with Vulkan 1.1 in use has more.
pub const MAX_BINDINGS: usize = 16;
/// Most bytes of one buffer: what drivers bind at once at most (2 GiB less one page on the smallest).
pub const MAX_BUFFER_BYTES: u64 = 1 << 30;
/// Most bytes of a uniform buffer: the least that Vulkan promises.
pub const MAX_UNIFORM_BYTES: u64 = 16 << 10;
/// Most dispatches in a program's list.
pub const MAX_DISPATCHES: usize = 64;
/// Most times one dispatch is repeated in a task.
pub const MAX_REPEAT: u32 = 65_536;
/// Most workgroups along an axis: the least that Vulkan promises.
pub const MAX_WORKGROUPS: u32 = 65_535;
/// Most invocations of a workgroup: what WebGPU promises.
pub const MAX_WORKGROUP_SIZE: u32 = 256;
/// Longest time that one dispatch may take, seconds. Drivers of desktops stop at a few seconds.
pub const MAX_DISPATCH_SECONDS: u32 = 600;
/// Countable things in one unit; a thousand units are one of what the program's author has named.
pub const COUNTS_PER_UNIT: u128 = 1_000;
/// Words of a uniform buffer that the worker fills: task, repetition, two of zero.
pub const TASK_WORDS: usize = 4;

/// Class bit of providers with a GPU that runs plain programs.
pub const CLASS_GPU: u64 = 1;
/// Class bit of providers whose GPU has passed the conformance vector and runs exact programs.
pub const CLASS_GPU_EXACT: u64 = 1 << 1;

/// How results are compared.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum GpuClass {
    /// The same bits on every admitted device; some of WGSL is refused (docs/reference/gpu.md).
    Exact,
    /// All of WGSL; results differ between devices.
    Plain,
}

impl GpuClass {
    /// The class bits that a provider must have.
    pub fn required_class(self) -> u64 {
        match self {
            Self::Exact => CLASS_GPU | CLASS_GPU_EXACT,
            Self::Plain => CLASS_GPU,
        }
    }
}

/// What a buffer is for.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum BufferRole {
    /// An input of the job, the same for all tasks, read only.
    Input {
        /// The input's name.
        file: String,
    },
    /// Zero when a task begins.
    Scratch,
    /// Zero when a task begins; what lies in it at the end is (part of) the task's output.
    Output {
        /// The first word is the number of output bytes behind it; otherwise all bytes are output.
        counted: bool,
    },
    /// [`TASK_WORDS`] words about the task, then these.
    Uniform {
        /// Constants of the program.
        words: Vec<u32>,
    },
}

/// A buffer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GpuBuffer {
    /// For people.
    pub name: String,
    /// Bytes, a multiple of 4. Of an input: the most that the file may have.
    pub bytes: u64,
    /// What for.
    pub role: BufferRole,
}

/// A shader.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Shader {
    /// For people.
    pub name: String,
    /// WGSL.
    pub source: String,
}

/// One step of a task.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Dispatch {
    /// Which shader.
    pub shader: u16,
    /// Which entry point in it.
    pub entry: String,
    /// Buffers by binding number in group 0.
    pub bindings: Vec<u16>,
    /// Invocations of a workgroup, as the shader declares them.
    pub workgroup: [u32; 3],
    /// Number of workgroups.
    pub workgroups: [u32; 3],
    /// How often, one after the other.
    pub repeat: u32,
    /// Countable things that each invocation does.
    pub count: u32,
}

/// A GPU program.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GpuProgram {
    /// How results are compared.
    pub class: GpuClass,
    /// What a million counts are called, for people: "megapixel-samples".
    pub unit: String,
    /// Longest time of one dispatch, seconds. A device that takes longer counts as hung.
    pub dispatch_seconds: u32,
    /// Shaders.
    pub shaders: Vec<Shader>,
    /// Buffers.
    pub buffers: Vec<GpuBuffer>,
    /// What a task does, in order.
    pub dispatches: Vec<Dispatch>,
}

/// Why a program was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GpuProgramError {
    /// Does not begin as a GPU program does.
    #[error("it does not begin as a GPU program")]
    Magic,
    /// Not the encoding of a program.
    #[error("it cannot be decoded: {0}")]
    Encoding(#[from] DecodeError),
    /// Something is outside its bounds.
    #[error("{what} is {value}, it must be {bound}")]
    Bound {
        /// What.
        what: String,
        /// What it is.
        value: String,
        /// What it may be.
        bound: String,
    },
}

/// Versioned wire form.
#[derive(BorshSerialize, BorshDeserialize)]
enum Wire {
    V1(GpuProgram),
}

impl GpuProgram {
    /// The blob's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = GPU_MAGIC.to_vec();
        bytes.extend(encode(&Wire::V1(self.clone())));
        bytes
    }

    /// Reads and checks a program.
    ///
    /// # Errors
    /// Another kind of file, too long, not an encoding, or something outside its bounds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GpuProgramError> {
        let body = bytes.strip_prefix(GPU_MAGIC).ok_or(GpuProgramError::Magic)?;
        let Wire::V1(program) = decode(body, MAX_GPU_PROGRAM_BYTES)?;
        program.check()?;
        Ok(program)
    }

    /// Units of each task; at least 1. Of a checked program at most [`MAX_UNIT_CAP`].
    pub fn units(&self) -> u64 {
        let counts = |step: &Dispatch| {
            let factors = step.workgroup.iter().chain(&step.workgroups);
            let factors = factors.chain([&step.repeat, &step.count]);
            factors.fold(1_u128, |product, factor| product.saturating_mul(u128::from(*factor)))
        };
        let counts = self.dispatches.iter().map(counts).fold(0, u128::saturating_add);
        u64::try_from(counts.div_ceil(COUNTS_PER_UNIT)).unwrap_or(u64::MAX).max(1)
    }

    /// Bytes of all buffers together.
    pub fn memory_bytes(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.bytes).fold(0, u64::saturating_add)
    }

    /// Most bytes of a task's output.
    pub fn output_bytes(&self) -> u64 {
        let output = |buffer: &GpuBuffer| match buffer.role {
            BufferRole::Output { counted: true } => buffer.bytes.saturating_sub(4),
            BufferRole::Output { counted: false } => buffer.bytes,
            _ => 0,
        };
        self.buffers.iter().map(output).fold(0, u64::saturating_add)
    }
}

/// What a GPU was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GpuReport {
    /// The device's name.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// Its PCI address, such as `0000:01:00.0`; empty where the driver does not say.
    pub pci: String,
    /// It is the CPU that computes.
    pub software: bool,
    /// What the conformance vector found, in order.
    pub findings: Vec<Finding>,
    /// Exact programs may run: their bits are right on this device.
    pub exact: bool,
}

impl GpuReport {
    /// The class bits of a provider with this device.
    pub fn class_bits(&self) -> u64 {
        if self.exact { CLASS_GPU | CLASS_GPU_EXACT } else { CLASS_GPU }
    }
}

/// One part of the conformance vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Which part.
    pub part: String,
    /// Results that were compared.
    pub compared: u32,
    /// Results whose bits differ from the reference.
    pub different: u32,
    /// Exact programs can do without it: the worker puts its own function in its place.
    pub replaceable: bool,
}
