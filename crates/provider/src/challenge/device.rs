//! A device that can be asked about.

use tilth_protocol::challenge::{Task, message::DeviceOffer};
use tilth_sandbox::{GpuAccess, Limits as Cage, Program};

/// The name of the processor among devices.
pub const CPU: &str = "cpu";
/// The name of the GPU that is offered.
pub const GPU: &str = "gpu";
/// Memory of a worker besides what a task needs: code, and twice the openings on their way.
const OVERHEAD: u64 = 64 << 20;

/// A device that can be asked about.
#[derive(Clone, Debug)]
pub struct Device {
    /// As askers see it.
    pub offer: DeviceOffer,
    /// What its worker sees besides.
    pub access: GpuAccess,
}

impl Device {
    /// The processor, with so many MiB of memory.
    pub fn cpu(model: &str, memory_mib: u32) -> Self {
        let offer = DeviceOffer {
            name: CPU.to_owned(),
            model: model.chars().take(100).collect(),
            class_bits: 0,
            memory_mib,
        };
        Self { offer, access: GpuAccess::default() }
    }

    /// The GPU that was found, with so many MiB for challenges.
    pub fn gpu(model: &str, memory_mib: u32, access: GpuAccess) -> Self {
        let offer = DeviceOffer {
            name: GPU.to_owned(),
            model: model.chars().take(100).collect(),
            class_bits: 0,
            memory_mib,
        };
        Self { offer, access }
    }

    /// Whether it can be asked to fill a memory; of a GPU products only.
    pub fn fills(&self) -> bool {
        self.offer.name == CPU
    }

    /// Whether a task fits into the memory that is offered.
    pub(super) fn fits(&self, task: &Task) -> bool {
        (self.fills() || matches!(task, Task::Products(_)))
            && task.memory_bytes() <= u64::from(self.offer.memory_mib) << 20
    }

    /// What its worker may use, and sees.
    pub(super) fn prepare(&self, program: &mut Program, task: &Task) -> Cage {
        self.access.give(program);
        let memory_bytes = task.memory_bytes().saturating_add(OVERHEAD);
        let cage = if self.access.is_usable() { crate::gpu::cage() } else { Cage::default() };
        // A thread per core is more than the default allows on large machines.
        Cage {
            memory_bytes: memory_bytes.max(cage.memory_bytes),
            processes: cage.processes.max(1024),
            ..cage
        }
    }
}
