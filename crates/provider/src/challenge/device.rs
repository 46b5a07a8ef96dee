//! A device that can be asked about.

use tilth_protocol::{
    GpuReport,
    challenge::{
        Task,
        class::{self, VRAM_PERCENT},
        message::{CPU, DeviceOffer, GPU},
    },
};
use tilth_sandbox::{GpuAccess, Limits as Cage, Program};

use crate::{gpu::memory_needed, inventory};

/// Memory of a worker besides what a task needs: code, and twice the openings on their way.
const OVERHEAD: u64 = 64 << 20;
/// Memory that a GPU may be asked to use for products, MiB: two matrices and the hashes of the largest class that its
/// processor can make trees for.
const PRODUCTS_MIB: u32 = 4_096;
/// Memory that a processor's fill is measured with, MiB: more than its caches.
const PROCESSOR_FILL_MIB: u32 = 64;

/// Graphics memory, MiB, of a GPU whose memory the system does not name, such as a driver in software or one that shares the
/// machine's: so little that filling it takes seconds on a processor, so that jobs with `vram` can be tried there.
const SHARED_VRAM_MIB: u32 = 16;

/// A device that can be asked about.
#[derive(Clone, Debug)]
pub struct Device {
    /// As askers see it.
    pub offer: DeviceOffer,
    /// What its worker sees besides.
    pub access: GpuAccess,
    /// Graphics memory that it is said to have, MiB; no more is announced, however much it fills. 0 of a processor.
    pub vram_mib: u32,
    /// Bytes of labels that a GPU fills for others: what it has filled when it was measured, before that what shows all that it
    /// is said to have. Whatever is offered, the rest may be the driver's or another program's.
    pub(crate) filled_bytes: u64,
}

fn offer(name: &str, model: &str, memory_mib: u32) -> DeviceOffer {
    let model = model.chars().take(100).collect();
    DeviceOffer { name: name.to_owned(), model, class_bits: 0, memory_mib }
}

impl Device {
    /// The processor, with so many MiB of memory.
    pub fn cpu(model: &str, memory_mib: u32) -> Self {
        let offer = offer(CPU, model, memory_mib);
        Self { offer, access: GpuAccess::default(), vram_mib: 0, filled_bytes: 0 }
    }

    /// The GPU that was found, which can be asked to fill so many MiB and is said to have so many of its own.
    pub fn gpu(model: &str, memory_mib: u32, vram_mib: u32, access: GpuAccess) -> Self {
        let filled_bytes = class::vram(vram_mib).bytes();
        Self { offer: offer(GPU, model, memory_mib), access, vram_mib, filled_bytes }
    }

    /// The GPU that a worker reports, as the system describes it; `memory_mib` is what is offered if it has no memory of its
    /// own.
    pub async fn of_report(report: &GpuReport, memory_mib: u32, access: GpuAccess) -> Self {
        match own_memory(report).await {
            Some(vram_mib) => Self::gpu(&report.name, vram_mib, vram_mib, access),
            None => Self::gpu(&report.name, memory_mib, SHARED_VRAM_MIB.min(memory_mib), access),
        }
    }

    pub(super) fn is_gpu(&self) -> bool {
        self.offer.name == GPU
    }

    /// What a measurement fills at most, MiB: of a GPU what shows all of its memory.
    pub(super) fn most_filled(&self) -> u32 {
        if self.is_gpu() {
            let filled = u64::from(self.vram_mib) * u64::from(VRAM_PERCENT) / 100;
            u32::try_from(filled).unwrap_or(u32::MAX)
        } else {
            PROCESSOR_FILL_MIB.min(self.offer.memory_mib / 2)
        }
    }

    /// Whether a task fits into the memory that is offered, and of a GPU into what was filled.
    pub(super) fn fits(&self, task: &Task) -> bool {
        self.fits_filled(task, self.filled_bytes)
    }

    /// As [`Device::fits`], of a GPU that has filled so many bytes of labels.
    pub(super) fn fits_filled(&self, task: &Task, filled_bytes: u64) -> bool {
        let (most, filled) = match task {
            Task::Products(_) if self.is_gpu() => (self.offer.memory_mib.min(PRODUCTS_MIB), true),
            Task::Memory(task) if self.is_gpu() => {
                (self.offer.memory_mib, task.bytes() <= filled_bytes)
            }
            _ => (self.offer.memory_mib, true),
        };
        filled && task.memory_bytes() <= u64::from(most) << 20
    }

    /// What is said to who asks for more.
    pub(super) fn offers(&self) -> String {
        let offered = self.offer.memory_mib;
        if self.is_gpu() {
            format!("{offered} MiB are offered, {} MiB of labels at most", self.filled_bytes >> 20)
        } else {
            format!("{offered} MiB are offered")
        }
    }

    /// What its worker may use, and sees.
    pub(super) fn prepare(&self, program: &mut Program, task: &Task) -> Cage {
        self.access.give(program);
        let needed = task.memory_bytes().saturating_add(OVERHEAD);
        let (cage, needed) = if self.access.is_usable() {
            (crate::gpu::cage(), memory_needed(needed))
        } else {
            (Cage::default(), needed)
        };
        // A thread per core is more than the default allows on large machines.
        Cage {
            memory_bytes: needed.max(cage.memory_bytes),
            processes: cage.processes.max(1024),
            ..cage
        }
    }
}

/// Memory of its own that the system names for a device, MiB.
async fn own_memory(report: &GpuReport) -> Option<u32> {
    if report.software {
        return None;
    }
    let cards = tokio::task::spawn_blocking(inventory::cards).await.unwrap_or_default();
    inventory::vram_of(&cards, &report.pci, &report.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graphics_card_fits_what_shows_all_of_its_memory_and_no_more() {
        for vram in [16, 2_048, 24_564, 143_771] {
            let card = Device::gpu("", vram, vram, GpuAccess::default());
            let fits = |mib| card.fits(&Task::Memory(class::memory(mib)));
            assert!(fits(card.most_filled()), "{vram}");
            assert!(card.fits(&Task::Memory(class::vram(vram))));
            assert!(!fits(vram), "{vram}: some of it is the driver's");
        }
    }

    #[test]
    fn a_card_is_asked_for_what_it_has_filled_though_more_is_offered() {
        let mut card = Device::gpu("", 24_564, 24_564, GpuAccess::default());
        card.filled_bytes = class::memory(12_711).bytes();
        let fits = |mib| card.fits(&Task::Memory(class::memory(mib)));
        assert!(fits(12_711) && !fits(13_000));
        // As others ask for what is announced then.
        let announced = class::shown_vram(12_711);
        assert!(announced > 13_000 && card.fits(&Task::Memory(class::vram(announced))));
        assert!(card.offers().contains("24564") && card.offers().contains("12704 MiB"));
    }

    #[test]
    fn the_trees_of_a_cards_products_are_its_processors_and_so_bounded() {
        let card = Device::gpu("", 81_920, 81_920, GpuAccess::default());
        let products = |name| {
            let class = class::CLASSES.iter().find(|class| class.name == name).unwrap();
            card.fits(&Task::Products(class.products(1)))
        };
        assert!(products("int8-1t") && products("int8-10t"));
        assert!(!products("int8-100t"));
    }
}
