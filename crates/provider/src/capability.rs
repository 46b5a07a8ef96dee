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
/// Memory that a GPU may be asked to use for products, MiB: two matrices and the hashes of the largest class
/// that its processor can make a tree for.
const GPU_MIB: u32 = 4_096;
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

/// What is remembered of this very machine, if it is not too old.
fn recall(note: &[u8], fingerprint: &str, now: u64) -> Option<Measured> {
    let note: Note = serde_json::from_slice(note).ok()?;
    let fresh = now.checked_sub(note.at).is_some_and(|age| age < BELIEVED_SECONDS);
    (fresh && note.fingerprint == fingerprint).then_some(note.measured)
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
            let fingerprint = format!("{}, {}, {machine}", report.name, report.driver);
            devices.push((Device::gpu(&report.name, GPU_MIB, access), fingerprint));
        }
        let start = Start { confinement: Arc::clone(confinement), worker: config.worker.clone() };
        if config.measure {
            for (device, fingerprint) in &mut devices {
                let path = folder.root().join(format!("measured-{}.json", device.offer.name));
                match measured(&start, device, &path, std::mem::take(fingerprint)).await {
                    Ok(measured) => device.offer.class_bits = measured.class_bits,
                    Err(why) => {
                        warn!(why, "a device's strength cannot be measured; no class is announced");
                    }
                }
                class_bits |= device.offer.class_bits;
            }
        }
        let devices = devices.into_iter().map(|(device, _)| device).collect();
        // Graphics memory is announced when a challenge can fill it, and that is not built yet.
        Self { class_bits, vram_mib: 0, devices }
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
        && let Some(measured) = recall(&bytes, &fingerprint, seconds())
    {
        return Ok(measured);
    }
    let measured = measure(start, device).await?;
    let Measured { int8_per_second, fill_bytes_per_second, class_bits, .. } = measured;
    info!(int8_per_second, fill_bytes_per_second, class_bits, "this machine was measured");
    let note = Note { fingerprint, at: seconds(), measured };
    let text = serde_json::to_vec(&note).map_err(|error| error.to_string())?;
    if let Err(error) = fs::write(path, text) {
        warn!(%error, "the measurement cannot be remembered");
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_believed_for_a_week_and_on_its_machine() {
        let measured = Measured { class_bits: 0x100, ..Measured::default() };
        let note = Note { fingerprint: "2 x A".into(), at: 1_000, measured };
        let bytes = serde_json::to_vec(&note).unwrap();
        assert_eq!(recall(&bytes, "2 x A", 1_000 + BELIEVED_SECONDS - 1), Some(measured));
        assert_eq!(recall(&bytes, "2 x A", 1_000 + BELIEVED_SECONDS), None);
        assert_eq!(recall(&bytes, "2 x A", 999), None, "from the future");
        assert_eq!(recall(&bytes, "4 x A", 2_000), None);
        assert_eq!(recall(b"{}", "2 x A", 2_000), None);
    }
}
