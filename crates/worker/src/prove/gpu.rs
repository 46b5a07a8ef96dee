//! A GPU as an engine. Each round of products is a GPU program of the engine that runs tenants' ones; only the leaves come
//! back, and their tree is made on the processor, which for the largest matrices takes longer than the product. A memory
//! stays on the device between two steps, which no GPU program does, so it has code of its own ([`super::vram`]).

use std::{path::Path, sync::Arc};

use tilth_protocol::{
    GpuProgram, Limits, Problem,
    challenge::{
        Hash, LabelOpening, MemoryTask, ProductTask,
        memory::LabelAt,
        message::MAX_WORK_MS,
        prove::{Engine, MemoryKeys, RoundKeys, nothing_filled},
    },
    gpu::{BufferRole, Dispatch, GpuBuffer, GpuClass, Shader},
};

use super::vram::Memory;
use crate::gpu::{device::Device, spirv::Replace, tasks::GpuTasks, translate::translate};

/// The hash function, in front of every shader here.
pub(super) const BLAKE3: &str = include_str!("blake3.wgsl");
const SOURCE: &str = include_str!("products.wgsl");
/// Longest time of one dispatch, seconds: as long as an agent waits for the whole answer.
#[expect(clippy::cast_possible_truncation, reason = "it is 20; constants know no `try_from`")]
const DISPATCH_SECONDS: u32 = (MAX_WORK_MS / 1_000) as u32;
/// Rows and columns that a workgroup works on.
const BLOCK: u32 = 64;

/// The device.
#[derive(Debug)]
pub(super) struct Gpu {
    device: Arc<Device>,
    memory: Option<Memory>,
}

impl Gpu {
    /// The best device that this process sees.
    pub(super) fn open() -> Result<Self, Problem> {
        let device = Device::open()?.ok_or_else(|| {
            Problem::new("the device is not here", "Vulkan shows none", "see `tilth doctor`")
        })?;
        Ok(Self { device: Arc::new(device), memory: None })
    }
}

/// A round as a GPU program.
fn program(task: &ProductTask, keys: &RoundKeys) -> GpuProgram {
    let matrix = u64::from(task.order) * u64::from(task.order);
    let buffer = |name: &str, bytes, role| GpuBuffer { name: name.into(), bytes, role };
    let keys = [keys.left, keys.right, keys.tile];
    let key_words = keys.as_flattened().chunks_exact(4);
    let mut words: Vec<u32> =
        key_words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
    words.extend([task.order, 0, 0, 0]);
    let frame = (words.len() as u64 + 4) * 4;
    let blocks = task.order / BLOCK;
    let dispatch = |entry: &str, workgroup| Dispatch {
        shader: 0,
        entry: entry.into(),
        bindings: vec![0, 1, 2, 3],
        workgroup,
        workgroups: [blocks, blocks, 1],
        repeat: 1,
        count: 1,
    };
    GpuProgram {
        class: GpuClass::Plain,
        unit: "million tiles".into(),
        dispatch_seconds: DISPATCH_SECONDS,
        shaders: vec![Shader { name: "products".into(), source: [BLAKE3, SOURCE].concat() }],
        buffers: vec![
            buffer("frame", frame, BufferRole::Uniform { words }),
            buffer("left", matrix, BufferRole::Scratch),
            buffer("right", matrix, BufferRole::Scratch),
            buffer("hashes", task.tiles() * 32, BufferRole::Output { counted: false }),
        ],
        dispatches: vec![
            dispatch("rows_left", [64, 1, 1]),
            dispatch("rows_right", [64, 1, 1]),
            dispatch("tiles", [8, 8, 1]),
        ],
    }
}

impl Engine for Gpu {
    fn tiles(&mut self, task: &ProductTask, keys: &RoundKeys) -> Result<Vec<Hash>, Problem> {
        let program = program(task, keys);
        let limits = Limits {
            unit_cap: program.units(),
            prepare_cap: 0,
            memory_bytes: program.memory_bytes(),
            output_bytes: program.output_bytes(),
        };
        let (device, none) = (Arc::clone(&self.device), Replace::default());
        let tasks = GpuTasks::load(device, translate(program)?, Path::new(""), limits, none)?;
        let hashes = tasks.compute(0)?;
        Ok(hashes.as_chunks().0.to_vec())
    }

    fn fill(&mut self, task: &MemoryTask, keys: &MemoryKeys) -> Result<Hash, Problem> {
        // Two do not fit.
        self.memory = None;
        let filled = Memory::fill(Arc::clone(&self.device), task, keys)?;
        Ok(self.memory.insert(filled).root())
    }

    fn walk(&mut self, _: &MemoryTask, key: &Hash) -> Result<Vec<Hash>, Problem> {
        self.memory.as_ref().ok_or_else(nothing_filled)?.walk(key)
    }

    fn read(&mut self, _: &MemoryTask, at: LabelAt) -> Result<LabelOpening, Problem> {
        self.memory.as_ref().ok_or_else(nothing_filled)?.read(at)
    }
}

/// The device that the tests have; `None`, said aloud, where there is none. `TILTH_REQUIRE_GPU` makes that a failure.
#[cfg(test)]
pub(super) fn device_of_tests() -> Option<Arc<Device>> {
    let found = Gpu::open().ok().map(|gpu| gpu.device);
    if found.is_none() {
        assert!(std::env::var_os("TILTH_REQUIRE_GPU").is_none(), "Vulkan shows no device");
        eprintln!("SKIPPED: Vulkan shows no device; install mesa-vulkan-drivers and libvulkan1");
    }
    found
}

#[cfg(test)]
mod tests {
    use tilth_protocol::challenge::prove::Reference;

    use super::*;

    /// The same tiles as the definition, on whatever device is there.
    #[test]
    fn a_gpu_gives_the_reference_tiles() {
        let Some(device) = device_of_tests() else { return };
        let mut gpu = Gpu { device, memory: None };
        for (order, salt) in [(64, 1), (128, 2), (256, 3)] {
            let task = ProductTask { order, rounds: 1, samples: 1 };
            let keys =
                RoundKeys { left: [salt; 32], right: [salt + 100; 32], tile: [salt + 200; 32] };
            let due = Reference::default().tiles(&task, &keys).unwrap();
            assert!(gpu.tiles(&task, &keys).unwrap() == due, "order {order}");
        }
    }
}
