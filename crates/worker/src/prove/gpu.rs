//! A GPU as an engine for products: each round is a GPU program of the engine that runs tenants' ones.
//!
//! Only the leaves come back; their tree is made on the processor, which for the largest matrices takes longer
//! than the product. A memory that stays on the device between two steps is no GPU program, so memories are
//! not answered yet.

use std::{path::Path, sync::Arc};

use tilth_protocol::{
    GpuProgram, Limits, Problem,
    challenge::{
        Hash, LabelOpening, MemoryTask, ProductTask,
        memory::LabelAt,
        prove::{Engine, MemoryKeys, RoundKeys},
    },
    gpu::{BufferRole, Dispatch, GpuBuffer, GpuClass, Shader},
};

use crate::gpu::{device::Device, spirv::Replace, tasks::GpuTasks, translate::translate};

const SOURCE: &str = include_str!("products.wgsl");
/// Longest time of one dispatch, seconds: as long as an agent waits for the whole answer.
const DISPATCH_SECONDS: u32 = 20;
/// Rows and columns that a workgroup works on.
const BLOCK: u32 = 64;

/// The device.
#[derive(Debug)]
pub(super) struct Gpu(Arc<Device>);

impl Gpu {
    /// The best device that this process sees.
    pub(super) fn open() -> Result<Self, Problem> {
        let device = Device::open()?.ok_or_else(|| {
            Problem::new("the device is not here", "Vulkan shows none", "see `tilth doctor`")
        })?;
        Ok(Self(Arc::new(device)))
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
        shaders: vec![Shader { name: "products".into(), source: SOURCE.into() }],
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

fn no_memory() -> Problem {
    Problem::new(
        "a GPU's memory cannot be challenged yet",
        "GPU programs keep nothing on the device between two steps",
        "ask for products, or for the memory of the device cpu",
    )
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
        let (device, none) = (Arc::clone(&self.0), Replace::default());
        let tasks = GpuTasks::load(device, translate(program)?, Path::new(""), limits, none)?;
        let hashes = tasks.compute(0)?;
        Ok(hashes.as_chunks().0.to_vec())
    }

    fn fill(&mut self, _: &MemoryTask, _: &MemoryKeys) -> Result<Hash, Problem> {
        Err(no_memory())
    }

    fn walk(&mut self, _: &MemoryTask, _: &Hash) -> Result<Vec<Hash>, Problem> {
        Err(no_memory())
    }

    fn read(&mut self, _: &MemoryTask, _: LabelAt) -> Result<LabelOpening, Problem> {
        Err(no_memory())
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::challenge::prove::Reference;

    use super::*;

    /// The same tiles as the definition, on whatever device is there. `TILTH_REQUIRE_GPU` makes its absence a
    /// failure.
    #[test]
    fn a_gpu_gives_the_reference_tiles() {
        let Ok(mut gpu) = Gpu::open() else {
            assert!(std::env::var_os("TILTH_REQUIRE_GPU").is_none(), "Vulkan shows no device");
            eprintln!(
                "SKIPPED: Vulkan shows no device; install mesa-vulkan-drivers and libvulkan1"
            );
            return;
        };
        for (order, salt) in [(64, 1), (128, 2), (256, 3)] {
            let task = ProductTask { order, rounds: 1, samples: 1 };
            let keys =
                RoundKeys { left: [salt; 32], right: [salt + 100; 32], tile: [salt + 200; 32] };
            let due = Reference::default().tiles(&task, &keys).unwrap();
            assert!(gpu.tiles(&task, &keys).unwrap() == due, "order {order}");
        }
    }
}
