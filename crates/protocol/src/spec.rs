//! A job's spec: the program, its inputs, the number of tasks and the limits each runs under.
//!
//! The spec is a blob; the chain holds its hash beside the terms of payment. A provider checks that
//! spec and terms agree before it claims.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    content::{ContentHash, ContentRef},
    encoding::{DecodeError, decode, encode},
    leaf::PREPARE_INDEX,
};

/// Most bytes of an encoded spec: room for every inline input and a few thousand names.
pub const MAX_SPEC_BYTES: usize = 1 << 20;
/// Most inputs of a job.
pub const MAX_INPUTS: usize = 1024;
/// Most bytes of all inline inputs together; larger files travel as blobs.
pub const MAX_INLINE_BYTES: usize = 256 << 10;
/// Most bytes of a program. A guest with the Rust standard library is well under 1 MiB.
pub const MAX_PROGRAM_BYTES: u64 = 16 << 20;
/// Most bytes of all inputs together: what a provider's default disk budget can hold twice.
pub const MAX_INPUT_BYTES: u64 = 64 << 30;
/// Most bytes of a name (job, input).
pub const MAX_NAME_BYTES: usize = 128;
/// Most memory a task may declare: what a 32-bit wasm memory can address.
pub const MAX_MEMORY_BYTES: u64 = 4 << 30;
/// Most bytes one task may write: held in memory by worker and agent.
pub const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// Most units of one task or one prepare phase (1,000,000 Gfuel): about three weeks of one core.
pub const MAX_UNIT_CAP: u64 = 1_000_000_000;
/// Most pixels along a side of a merged image.
pub const MAX_IMAGE_SIDE: u32 = 32_768;

/// The kind of work. One row in the worker's table each.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// A WebAssembly program on the deterministic machine; unit: a thousandth of a Gfuel.
    Wasm,
    /// A GPU program ([`crate::gpu`]); unit: a thousand of the countable things its author has named.
    Gpu,
    /// Prompts for a language model ([`crate::infer::program`]); unit: a token that goes through a million weights.
    Infer,
}

impl Workload {
    /// What a thousand units are called, for people.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Wasm => "Gfuel",
            Self::Gpu => "million counts",
            Self::Infer => "tokens through a billion weights",
        }
    }
}

/// One input file: a task sees it read-only as `/in/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Input {
    /// File name without directories.
    pub name: String,
    /// Where the bytes are.
    pub source: InputSource,
}

/// Where an input's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub enum InputSource {
    /// In the spec itself.
    Inline(Vec<u8>),
    /// A blob.
    Blob(ContentRef),
}

/// Limits every task runs under.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
pub struct Limits {
    /// Units one task may use; a task that traps is charged all of them.
    pub unit_cap: u64,
    /// Units the prepare phase may use, charged once per range. 0: the program has no such phase.
    pub prepare_cap: u64,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Bytes one task may write.
    pub output_bytes: u64,
}

/// What the outputs are put together to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Output {
    /// One file per task.
    Files,
    /// Inline values, one line per task.
    Values,
    /// RGB8 tiles of a picture, row-major; tiles at the right and lower border are cut.
    Image {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Side of a tile in pixels.
        tile: u32,
    },
}

/// What a client submits, apart from the terms of payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct JobSpec {
    /// For people.
    pub name: String,
    /// The kind of work.
    pub workload: Workload,
    /// The program (for `wasm`: the module as the client has it; for `gpu`: [`crate::GpuProgram`]).
    pub program: ContentRef,
    /// Files every task can read.
    pub inputs: Vec<Input>,
    /// Number of tasks, at least 1.
    pub task_count: u32,
    /// Limits of each task.
    pub limits: Limits,
    /// How outputs belong together.
    pub output: Output,
}

/// Versioned wire form.
#[derive(BorshSerialize, BorshDeserialize)]
enum Wire {
    V1(JobSpec),
}

/// Why a spec was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// Not the encoding of a spec.
    #[error("the spec cannot be decoded: {0}")]
    Encoding(#[from] DecodeError),
    /// A field is outside its bounds.
    #[error("{field} is {value}, it must be {bound}")]
    Bound {
        /// Which field.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        bound: String,
    },
}

fn bound(
    ok: bool,
    field: &str,
    value: impl ToString,
    allowed: impl ToString,
) -> Result<(), SpecError> {
    if ok {
        return Ok(());
    }
    Err(SpecError::Bound {
        field: field.into(),
        value: value.to_string(),
        bound: allowed.to_string(),
    })
}

impl JobSpec {
    /// The blob's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&Wire::V1(self.clone()))
    }

    /// The blob's hash, which the chain holds.
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(&self.to_bytes())
    }

    /// Reads and checks a spec.
    ///
    /// # Errors
    /// Too long, not an encoding, or a field outside its bounds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SpecError> {
        let Wire::V1(spec) = decode(bytes, MAX_SPEC_BYTES)?;
        spec.check()?;
        Ok(spec)
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// Names the first field that is outside.
    pub fn check(&self) -> Result<(), SpecError> {
        let Limits { unit_cap, prepare_cap, memory_bytes, output_bytes } = self.limits;
        bound(
            !self.name.is_empty() && self.name.len() <= MAX_NAME_BYTES,
            "the job's name",
            format!("{} bytes long", self.name.len()),
            format!("1 to {MAX_NAME_BYTES} bytes long"),
        )?;
        // Names are shown on terminals, which obey control characters.
        bound(
            !self.name.chars().any(char::is_control),
            "the job's name",
            format!("{:?}", self.name),
            "without control characters",
        )?;
        bound(
            (1..PREPARE_INDEX).contains(&self.task_count),
            "the number of tasks",
            self.task_count,
            format!("1 to {}", PREPARE_INDEX - 1),
        )?;
        bound(
            (1..=MAX_PROGRAM_BYTES).contains(&self.program.size),
            "the program's size",
            self.program.size,
            format!("1 to {MAX_PROGRAM_BYTES} bytes"),
        )?;
        bound(
            (1..=MAX_UNIT_CAP).contains(&unit_cap),
            "the unit cap of a task",
            unit_cap,
            format!("1 to {MAX_UNIT_CAP} units"),
        )?;
        bound(
            prepare_cap <= MAX_UNIT_CAP,
            "the unit cap of the prepare phase",
            prepare_cap,
            format!("at most {MAX_UNIT_CAP} units"),
        )?;
        bound(
            self.workload == Workload::Wasm || prepare_cap == 0,
            "the unit cap of the prepare phase",
            prepare_cap,
            "0, for only WebAssembly programs have such a phase",
        )?;
        bound(
            (1..=MAX_MEMORY_BYTES).contains(&memory_bytes),
            "the memory limit",
            memory_bytes,
            format!("1 to {MAX_MEMORY_BYTES} bytes"),
        )?;
        bound(
            output_bytes <= MAX_OUTPUT_BYTES,
            "the output limit",
            output_bytes,
            format!("at most {MAX_OUTPUT_BYTES} bytes"),
        )?;
        self.check_inputs()?;
        self.check_output()
    }

    fn check_inputs(&self) -> Result<(), SpecError> {
        bound(
            self.inputs.len() <= MAX_INPUTS,
            "the number of inputs",
            self.inputs.len(),
            format!("at most {MAX_INPUTS}"),
        )?;
        let (mut inline, mut total) = (0_usize, 0_u64);
        for (position, input) in self.inputs.iter().enumerate() {
            bound(
                is_file_name(&input.name),
                "an input's name",
                format!("{:?}", input.name),
                format!("a plain file name of at most {MAX_NAME_BYTES} bytes"),
            )?;
            bound(
                self.inputs[..position].iter().all(|other| other.name != input.name),
                "an input's name",
                format!("{:?} twice", input.name),
                "unique",
            )?;
            match &input.source {
                InputSource::Inline(bytes) => {
                    inline = inline.saturating_add(bytes.len());
                    total = total.saturating_add(bytes.len() as u64);
                }
                InputSource::Blob(content) => total = total.saturating_add(content.size),
            }
        }
        bound(
            inline <= MAX_INLINE_BYTES,
            "the size of inline inputs",
            inline,
            format!("at most {MAX_INLINE_BYTES} bytes"),
        )?;
        bound(
            total <= MAX_INPUT_BYTES,
            "the size of all inputs",
            total,
            format!("at most {MAX_INPUT_BYTES} bytes"),
        )
    }

    fn check_output(&self) -> Result<(), SpecError> {
        let Output::Image { width, height, tile } = self.output else {
            return Ok(());
        };
        for (field, value) in [
            ("the image's width", width),
            ("the image's height", height),
            ("the tile's side", tile),
        ] {
            bound(
                (1..=MAX_IMAGE_SIDE).contains(&value),
                field,
                value,
                format!("1 to {MAX_IMAGE_SIDE} pixels"),
            )?;
        }
        let tiles = u64::from(width.div_ceil(tile)) * u64::from(height.div_ceil(tile));
        bound(
            u64::from(self.task_count) == tiles,
            "the number of tasks",
            self.task_count,
            format!("{tiles}, the number of tiles of the image"),
        )?;
        let tile_bytes = u64::from(tile.min(width)) * u64::from(tile.min(height)) * 3;
        bound(
            tile_bytes <= self.limits.output_bytes,
            "the output limit",
            self.limits.output_bytes,
            format!("at least {tile_bytes} bytes, the size of a tile"),
        )
    }

    /// Bytes of inputs and program that must be fetched as blobs.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs().map(|content| content.size).fold(0, u64::saturating_add)
    }

    /// Program and blob inputs.
    pub fn blobs(&self) -> impl Iterator<Item = ContentRef> + '_ {
        let inputs = self.inputs.iter().filter_map(|input| match &input.source {
            InputSource::Inline(_) => None,
            InputSource::Blob(content) => Some(*content),
        });
        std::iter::once(self.program).chain(inputs)
    }
}

/// Whether a name can be used as a file in the task's flat input folder.
pub fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && name != "."
        && name != ".."
        && !name.chars().any(|c| c == '/' || c == '\\' || c.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            name: "still life".into(),
            workload: Workload::Wasm,
            program: ContentRef::of(b"\0asm"),
            inputs: vec![Input { name: "a".into(), source: InputSource::Inline(vec![1, 2, 3]) }],
            task_count: 4,
            limits: Limits { unit_cap: 10, prepare_cap: 0, memory_bytes: 65_536, output_bytes: 64 },
            output: Output::Files,
        }
    }

    #[test]
    fn spec_survives_its_encoding() {
        assert_eq!(JobSpec::from_bytes(&spec().to_bytes()), Ok(spec()));
    }

    #[test]
    fn fields_outside_their_bounds_are_named() {
        let refused = |change: fn(&mut JobSpec), names: &str| {
            let mut spec = spec();
            change(&mut spec);
            let error = spec.check().expect_err(names).to_string();
            assert!(error.contains(names), "{error}");
            assert!(JobSpec::from_bytes(&spec.to_bytes()).is_err());
        };
        refused(|s| s.task_count = 0, "number of tasks");
        refused(|s| s.task_count = u32::MAX, "number of tasks");
        refused(|s| s.name = "n".repeat(200), "name");
        refused(|s| s.name = "red \u{1b}[31m".into(), "control");
        refused(|s| s.limits.unit_cap = 0, "unit cap");
        refused(|s| s.limits.memory_bytes = 5 << 30, "memory");
        refused(|s| (s.workload, s.limits.prepare_cap) = (Workload::Gpu, 1), "prepare phase");
        refused(|s| s.inputs[0].name = "../x".into(), "input's name");
        refused(|s| s.inputs.push(s.inputs[0].clone()), "twice");
        refused(
            |s| s.inputs[0].source = InputSource::Inline(vec![0; MAX_INLINE_BYTES + 1]),
            "inline",
        );
        refused(|s| s.output = Output::Image { width: 128, height: 64, tile: 64 }, "tiles");
        refused(|s| s.output = Output::Image { width: 4, height: 4, tile: 0 }, "tile's side");
    }

    #[test]
    fn image_of_four_tiles_needs_four_tasks() {
        let mut spec = spec();
        spec.output = Output::Image { width: 5, height: 5, tile: 4 };
        assert_eq!(spec.check(), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = JobSpec::from_bytes(&bytes);
        }

        #[test]
        fn a_changed_byte_never_gives_the_same_hash(position in 0_usize..60, flip in 1_u8..) {
            let bytes = spec().to_bytes();
            let mut changed = bytes.clone();
            let position = position % bytes.len();
            changed[position] ^= flip;
            if let Ok(other) = JobSpec::from_bytes(&changed) {
                prop_assert_ne!(other.hash(), spec().hash());
                prop_assert_eq!(other.to_bytes(), changed);
            }
        }
    }
}
