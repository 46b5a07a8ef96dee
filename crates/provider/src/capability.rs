//! What this machine is worth: measured by challenges at the start, remembered for a while, announced on chain.
//! Nothing that an owner writes into a configuration gets there.

use std::{fs, io::Read as _, path::Path, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};
use tilth_protocol::GpuReport;
use tilth_sandbox::{Confinement, GpuAccess};
use tracing::{info, warn};

use crate::{
    challenge::{Device, Measured, Start, measure},
    config::Config,
    folder::Folder,
    inventory,
};

/// How long a measurement is believed, in seconds: a week. A machine that changes shows it by its
/// fingerprint; one that wears out, within this time.
const BELIEVED_SECONDS: u64 = 7 * 24 * 60 * 60;
/// As long is believed that a card holds less than it is said to have: others may have used it at the time.
const PARTLY_BELIEVED_SECONDS: u64 = 60 * 60;
/// Most bytes of the note about it.
const MAX_NOTE_BYTES: u64 = 16 << 10;

/// What is announced, and what can be asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capability {
    pub(crate) class_bits: u64,
    pub(crate) vram_mib: u32,
    pub(crate) devices: Vec<Device>,
}

/// A measurement as it is remembered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Note {
    /// What was measured: processor, cores, engine. Another machine is measured anew.
    fingerprint: String,
    /// Seconds since 1970.
    at: u64,
    measured: Measured,
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What is remembered of this very machine, if it is not too old. Rates only: which classes they deserve is for the
/// classes and the memory of today to say.
fn recall(note: &[u8], fingerprint: &str, now: u64, device: &Device) -> Option<Measured> {
    let Note { fingerprint: known, at, measured } = serde_json::from_slice(note).ok()?;
    let partly = measured.vram_mib < device.vram_mib;
    let believed = if partly { PARTLY_BELIEVED_SECONDS } else { BELIEVED_SECONDS };
    let fresh = now.checked_sub(at).is_some_and(|age| age < believed);
    let class_bits = measured.classes(device);
    let vram_mib = measured.vram_mib.min(device.vram_mib);
    (fresh && known == fingerprint).then_some(Measured { class_bits, vram_mib, ..measured })
}

impl Capability {
    /// Finds out. A device that cannot be measured is announced without classes, and why is said aloud.
    pub(crate) async fn find(
        config: &Config,
        folder: &Folder,
        confinement: &Arc<Confinement>,
        engine: &str,
        gpu: Option<(GpuReport, GpuAccess)>,
    ) -> Self {
        let cpu = inventory::cpu();
        let memory_mib = u32::try_from(config.limits.memory_per_slot >> 20).unwrap_or(u32::MAX);
        let machine = format!("{} x {}, {engine}", cpu.threads, cpu.model);
        let mut class_bits = 0;
        let mut devices = vec![(Device::cpu(&cpu.model, memory_mib), machine.clone())];
        if let Some((report, access)) = gpu {
            class_bits |= report.class_bits();
            let device = Device::of_report(&report, memory_mib, access).await;
            let GpuReport { name, driver, .. } = &report;
            let fingerprint = format!("{name}, {driver}, {} MiB, {machine}", device.vram_mib);
            devices.push((device, fingerprint));
        }
        let start = Start { confinement: Arc::clone(confinement), worker: config.worker.clone() };
        let mut vram_mib = 0;
        if config.measure {
            for (device, fingerprint) in &mut devices {
                let path = folder.root().join(format!("measured-{}.json", device.offer.name));
                match measured(&start, device, &path, std::mem::take(fingerprint)).await {
                    Ok(measured) => {
                        device.offer.class_bits = measured.class_bits;
                        device.filled_bytes = measured.filled_bytes;
                        vram_mib = vram_mib.max(measured.vram_mib);
                    }
                    Err(why) => {
                        warn!(why, "a device's strength cannot be measured; no class is announced");
                    }
                }
                class_bits |= device.offer.class_bits;
            }
        }
        let devices = devices.into_iter().map(|(device, _)| device).collect();
        Self { class_bits, vram_mib, devices }
    }
}

async fn measured(
    start: &Start,
    device: &Device,
    path: &Path,
    fingerprint: String,
) -> Result<Measured, String> {
    let mut bytes = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_NOTE_BYTES).read_to_end(&mut bytes));
    if read.is_ok()
        && let Some(measured) = recall(&bytes, &fingerprint, seconds(), device)
    {
        return Ok(measured);
    }
    let measured = measure(start, device).await?;
    let Measured { int8_per_second, fill_bytes_per_second, class_bits, vram_mib, .. } = measured;
    let device = &device.offer.name;
    info!(
        device,
        int8_per_second, fill_bytes_per_second, vram_mib, class_bits, "a device was measured"
    );
    let note = Note { fingerprint, at: seconds(), measured };
    let text = serde_json::to_vec(&note).map_err(|error| error.to_string())?;
    if let Err(error) = fs::write(path, text) {
        warn!(%error, "the measurement cannot be remembered");
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use tilth_protocol::challenge::class;

    use super::*;

    #[test]
    fn a_measurement_is_believed_for_a_week_and_on_its_machine() {
        let device = Device::cpu("A", 2_048);
        let mut measured = Measured { int8_per_second: 2_000_000_000, ..Measured::default() };
        measured.class_bits = measured.classes(&device);
        assert_eq!(class::names_of(measured.class_bits), ["int8-1g"]);
        let note = Note { fingerprint: "2 x A".into(), at: 1_000, measured };
        let bytes = serde_json::to_vec(&note).unwrap();
        let recall = |bytes: &[u8], fingerprint, now| recall(bytes, fingerprint, now, &device);
        assert_eq!(recall(&bytes, "2 x A", 1_000 + BELIEVED_SECONDS - 1), Some(measured));
        assert_eq!(recall(&bytes, "2 x A", 1_000 + BELIEVED_SECONDS), None);
        assert_eq!(recall(&bytes, "2 x A", 999), None, "from the future");
        assert_eq!(recall(&bytes, "4 x A", 2_000), None);
        assert_eq!(recall(b"{}", "2 x A", 2_000), None);
    }

    #[test]
    fn class_bits_are_not_remembered_but_found_anew() {
        // As if it was written when another class had this bit, or when more memory was offered.
        let measured = Measured { class_bits: u64::MAX, vram_mib: 1_000, ..Measured::default() };
        let note = Note { fingerprint: "2 x A".into(), at: 1_000, measured };
        let bytes = serde_json::to_vec(&note).unwrap();
        let recalled = recall(&bytes, "2 x A", 1_000, &Device::cpu("A", 2_048)).unwrap();
        assert_eq!((recalled.class_bits, recalled.vram_mib), (0, 0));
        let card = Device::gpu("A", 512, 512, GpuAccess::default());
        assert_eq!(recall(&bytes, "2 x A", 1_000, &card).unwrap().vram_mib, 512);
    }

    #[test]
    fn that_a_card_holds_less_than_it_has_is_soon_tried_again() {
        let measured = Measured { vram_mib: 512, ..Measured::default() };
        let note = Note { fingerprint: "A".into(), at: 1_000, measured };
        let bytes = serde_json::to_vec(&note).unwrap();
        let known = |vram_mib, now| {
            let card = Device::gpu("A", vram_mib, vram_mib, GpuAccess::default());
            recall(&bytes, "A", now, &card).map(|measured| measured.vram_mib)
        };
        assert_eq!(known(512, 1_000 + PARTLY_BELIEVED_SECONDS), Some(512));
        assert_eq!(known(1_024, 1_000 + PARTLY_BELIEVED_SECONDS - 1), Some(512));
        assert_eq!(known(1_024, 1_000 + PARTLY_BELIEVED_SECONDS), None);
    }
}
