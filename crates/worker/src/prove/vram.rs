//! A memory of labels that lies on a GPU: filled, walked through and read there. What comes back is little: nodes of the tree
//! above 64 groups each, the walks' ends, and the labels below one such node for an opening.

use std::{sync::Arc, time::Duration};

use tilth_protocol::{
    Problem,
    challenge::{
        Hash, LabelOpening, MemoryTask,
        crown::{Crown, KEPT, KEPT_BYTES},
        memory::{GROUP, LABEL_BYTES, LabelAt},
        message::MAX_WORK_MS,
        prove::{MemoryKeys, nothing_filled},
    },
};

use super::{
    gpu::BLAKE3,
    parts::{FIRST_PART, Parts},
    stage::{Stage, stages},
};
use crate::gpu::device::{Device, SET_UP};

const SOURCE: &str = include_str!("memory.wgsl");

/// Longest time of what is waited for at once: as long as an agent waits for the whole answer.
const PATIENCE: Duration = Duration::from_millis(MAX_WORK_MS);
/// Orders, each of a layer or of steps, before they are waited for: enough that the device is never idle, few enough that they
/// take no room.
const ORDERS_AT_ONCE: u32 = 64;
/// Steps of all walks together that are ordered at once: a device that draws a screen is not kept from it, and drivers take
/// one that is busy for seconds for hung.
const STEPS_AT_ONCE: u32 = 1 << 24;
/// Bytes that come back at once. Its nodes are 32,768 workgroups, of which devices take 65,535 at once.
const PIECE: u64 = 1 << 20;
const HASH_BYTES: u64 = 32;
const NODES_AT_ONCE: u32 = 1 << 15;
/// Invocations of a workgroup, as memory.wgsl says.
const FILLERS: u32 = 128;
const WALKERS: u32 = 64;
/// Where the keys begin in the shader's frame, and that of walks.
const KEYS_AT: u64 = 16;
const WALK_KEY_AT: u64 = KEYS_AT + 3 * HASH_BYTES;

/// A filled memory.
#[derive(Debug)]
pub(super) struct Memory {
    held: Held,
    crown: Crown,
}

/// Labels on the device, and what works on them.
#[derive(Debug)]
struct Held {
    device: Arc<Device>,
    task: MemoryTask,
    parts: Parts,
    labels: Vec<wgpu::Buffer>,
    frame: wgpu::Buffer,
    /// Nodes of the tree, or ends of walks.
    hashes: wgpu::Buffer,
    /// What comes back is copied to it, to be read.
    staging: wgpu::Buffer,
    walk: Stage,
}

impl Memory {
    /// Fills a memory on the device.
    pub(super) fn fill(
        device: Arc<Device>,
        task: &MemoryTask,
        keys: &MemoryKeys,
    ) -> Result<Self, Problem> {
        let limits = device.device.limits();
        let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        Self::fill_in(device, task, keys, most)
    }

    /// As [`Memory::fill`], in buffers of at most `most` bytes.
    fn fill_in(
        device: Arc<Device>,
        task: &MemoryTask,
        keys: &MemoryKeys,
        most: u64,
    ) -> Result<Self, Problem> {
        let limits = device.device.limits();
        let numbered = limits.max_bindings_per_bind_group.saturating_sub(FIRST_PART);
        let buffers = limits.max_storage_buffers_per_shader_stage.min(numbered);
        let parts = Parts::of(task, most, buffers)?;
        let watched = device.watchdog.watch("making room for labels", SET_UP);
        let make = |size, usage| {
            device.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let stored = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let labels = |part| make(parts.labels(part) * LABEL_BYTES as u64, stored);
        let labels: Vec<_> = (0..parts.count).map(labels).collect();
        let hashes = make((u64::from(task.walks) * HASH_BYTES).max(PIECE), stored);
        let staging = make(PIECE, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let set = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let frame = make(WALK_KEY_AT + HASH_BYTES, set);
        let all_keys = [keys.label, keys.group, keys.node];
        device.queue.write_buffer(&frame, KEYS_AT, all_keys.as_flattened());
        device.queue.submit([]);
        drop(watched);
        // A device without so much memory says it here.
        device.wait("making room for labels", SET_UP)?;

        let watched = device.watchdog.watch("loading the memory's program", SET_UP);
        let source = [BLAKE3, SOURCE, &parts.shader()].concat();
        let module = device.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let [fill, walk, nodes] = stages(&device, &module, (&frame, &hashes), &labels);
        drop(watched);
        device.wait("loading the memory's program", SET_UP)?;

        let task = *task;
        let held = Held { device, task, parts, labels, frame, hashes, staging, walk };
        held.make_labels(&fill)?;
        let nodes = held.make_nodes(&nodes)?;
        Ok(Self { held, crown: Crown::new(keys, nodes) })
    }

    /// The root of the memory's tree.
    pub(super) fn root(&self) -> Hash {
        self.crown.root()
    }

    /// The ends of all walks.
    pub(super) fn walk(&self, key: &Hash) -> Result<Vec<Hash>, Problem> {
        self.held.walk_in(key, (STEPS_AT_ONCE / self.held.task.walks.max(1)).max(1))
    }

    /// The group of the label at `at`, with its path.
    pub(super) fn read(&self, at: LabelAt) -> Result<LabelOpening, Problem> {
        let Held { task, parts, labels, .. } = &self.held;
        let number = task.number(at);
        if number >= task.labels() {
            return Err(nothing_filled());
        }
        let first = Crown::piece_of(number);
        let (part, within) = (first / parts.full(), first % parts.full());
        let part = u32::try_from(part).unwrap_or(u32::MAX);
        let labels = labels.get(part as usize).ok_or_else(nothing_filled)?;
        let left = parts.labels(part).saturating_sub(within) * LABEL_BYTES as u64;
        let bytes = left.min(KEPT_BYTES as u64);
        let opened = self.held.fetch(labels, within * LABEL_BYTES as u64, bytes, |labels| {
            self.crown.open(number, labels)
        })?;
        opened.ok_or_else(nothing_filled)
    }
}

impl Held {
    /// Gives an order to the device: an entry, its numbers, and how many workgroups.
    fn order(&self, stage: &Stage, part: usize, now: [u32; 3], workgroups: u32) {
        let words: Vec<u8> = now.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.device.queue.write_buffer(&self.frame, 0, &words);
        self.device.dispatch(&stage.pipeline, stage.groups.get(part), [workgroups, 1, 1]);
    }

    fn make_labels(&self, fill: &Stage) -> Result<(), Problem> {
        // A driver may hang in taking orders, too; what it does with them is waited for on its own.
        let _watched = self.device.watchdog.watch("giving orders", SET_UP);
        for layer in 0..self.task.depth {
            self.order(fill, 0, [layer, 0, 0], self.task.lanes.div_ceil(FILLERS));
            if (layer + 1).is_multiple_of(ORDERS_AT_ONCE) {
                self.device.wait("filling the memory", PATIENCE)?;
            }
        }
        self.device.wait("filling the memory", PATIENCE)
    }

    /// The nodes that are kept, in order.
    fn make_nodes(&self, stage: &Stage) -> Result<Vec<Hash>, Problem> {
        let _watched = self.device.watchdog.watch("giving orders", SET_UP);
        let mut nodes = Vec::new();
        for (number, part) in (0..).zip(0..self.parts.count) {
            let groups = self.parts.labels(part) / u64::from(GROUP);
            let groups = u32::try_from(groups).unwrap_or(u32::MAX);
            let mut first = 0;
            while first < groups.div_ceil(KEPT) {
                let these = (groups.div_ceil(KEPT) - first).min(NODES_AT_ONCE);
                self.order(stage, number, [first, groups, 0], these);
                self.device.wait("hashing the memory", PATIENCE)?;
                self.fetch_hashes(these, &mut nodes)?;
                first += these;
            }
        }
        Ok(nodes)
    }

    /// Appends the first hashes that were made last.
    fn fetch_hashes(&self, count: u32, into: &mut Vec<Hash>) -> Result<(), Problem> {
        let (mut at, end) = (0, u64::from(count) * HASH_BYTES);
        while at < end {
            let bytes = (end - at).min(PIECE);
            self.fetch(&self.hashes, at, bytes, |seen| into.extend_from_slice(seen.as_chunks().0))?;
            at += bytes;
        }
        Ok(())
    }

    /// Shows at most [`PIECE`] bytes of a buffer.
    fn fetch<T>(
        &self,
        from: &wgpu::Buffer,
        at: u64,
        bytes: u64,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Problem> {
        let Device { device, queue, .. } = &*self.device;
        let mut encoder = device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, at, &self.staging, 0, Some(bytes));
        queue.submit([encoder.finish()]);
        self.device.read(&self.staging, bytes, look)
    }

    /// As [`Memory::walk`], each walk at most so many steps at once; at least 1.
    fn walk_in(&self, key: &Hash, at_once: u32) -> Result<Vec<Hash>, Problem> {
        let MemoryTask { walks, steps, .. } = self.task;
        let _watched = self.device.watchdog.watch("giving orders", SET_UP);
        self.device.queue.write_buffer(&self.frame, WALK_KEY_AT, key);
        let (mut taken, mut orders) = (0, 0_u32);
        while taken < steps {
            let these = (steps - taken).min(at_once);
            let now = [walks, these, u32::from(taken > 0)];
            self.order(&self.walk, 0, now, walks.div_ceil(WALKERS));
            (taken, orders) = (taken + these, orders + 1);
            if orders.is_multiple_of(ORDERS_AT_ONCE) {
                self.device.wait("walking through the memory", PATIENCE)?;
            }
        }
        self.device.wait("walking through the memory", PATIENCE)?;
        let mut ends = Vec::new();
        self.fetch_hashes(walks, &mut ends)?;
        Ok(ends)
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::challenge::prove::{Engine, Reference};

    use super::*;

    fn task(lanes: u32, depth: u32) -> MemoryTask {
        MemoryTask { lanes, depth, walks: 100, steps: 7, samples: 1, walk_samples: 1 }
    }

    /// The same root, ends and openings as the definition, on whatever device is there, in one buffer and in several.
    /// `TILTH_REQUIRE_GPU` makes the device's absence a failure.
    #[test]
    fn a_gpu_gives_the_reference_memory() {
        let Some(device) = super::super::gpu::device_of_tests() else { return };
        let keys = MemoryKeys { label: [1; 32], group: [2; 32], node: [3; 32] };
        for (lanes, depth, most) in [
            (64, 2, u64::MAX),
            (64, 20, 16 << 10),
            (64, 20, u64::MAX),
            (256, 33, 1 << 17),
            (1024, 9, 64 << 10),
            (4096, 5, u64::MAX),
        ] {
            let task = task(lanes, depth);
            let mut reference = Reference::default();
            let memory = Memory::fill_in(Arc::clone(&device), &task, &keys, most).unwrap();
            assert_eq!(memory.root(), reference.fill(&task, &keys).unwrap(), "{task:?}");
            assert!(most == u64::MAX || memory.held.labels.len() > 1, "{:?}", memory.held.parts);
            for key in [[4; 32], [5; 32]] {
                let ends = reference.walk(&task, &key).unwrap();
                assert!(memory.walk(&key).unwrap() == ends);
                // Seven steps in three, three and one.
                assert!(memory.held.walk_in(&key, 3).unwrap() == ends);
            }
            for layer in 0..depth {
                for lane in [0, 7, 8, 63, lanes / 2, lanes - 1] {
                    let at = LabelAt { layer, lane };
                    assert!(memory.read(at).unwrap() == reference.read(&task, at).unwrap());
                }
            }
            assert!(memory.read(LabelAt { layer: depth, lane: 0 }).is_err());
        }
    }

    #[test]
    fn a_memory_that_the_device_cannot_hold_is_refused() {
        let Some(device) = super::super::gpu::device_of_tests() else { return };
        let keys = MemoryKeys { label: [1; 32], group: [2; 32], node: [3; 32] };
        let refused = Memory::fill_in(device, &task(1024, 9), &keys, 1 << 10).unwrap_err();
        assert!(refused.what.contains("cannot hold"), "{refused:?}");
    }
}
