//! What this machine is worth: measured by challenges at the start, remembered for a while, announced on chain.
//! Nothing that an owner writes into a configuration gets there.

use std::{fs, io::Read as _, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use tilth_client::clock;
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
/// As long is believed that a card holds less than it is said to have: others may have used it at the time. Twice as long
/// every time that it is found again.
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
    /// How often in a row before this it was found to hold less than it is said to have.
    #[serde(default)]
    partly: u32,
}

impl Note {
    /// What is noted of this very machine.
    fn of(bytes: &[u8], fingerprint: &str) -> Option<Self> {
        let note: Self = serde_json::from_slice(bytes).ok()?;
        (note.fingerprint == fingerprint).then_some(note)
    }

    fn is_partly(&self, device: &Device) -> bool {
        self.measured.vram_mib < device.vram_mib
    }

    /// Seconds for which it is believed.
    fn believed(&self, device: &Device) -> u64 {
        if self.is_partly(device) {
            let times = 2_u64.saturating_pow(self.partly);
            PARTLY_BELIEVED_SECONDS.saturating_mul(times).min(BELIEVED_SECONDS)
        } else {
            BELIEVED_SECONDS
        }
    }

    /// What is remembered, if it is not too old. Rates only: which classes they deserve is for the classes and the memory
    /// of today to say.
    fn recall(&self, now: u64, device: &Device) -> Option<Measured> {
        let fresh = now.checked_sub(self.at).is_some_and(|age| age < self.believed(device));
        let class_bits = self.measured.classes(device);
        let vram_mib = self.measured.vram_mib.min(device.vram_mib);
        fresh.then_some(Measured { class_bits, vram_mib, ..self.measured })
    }

    /// What is noted after what was noted before.
    fn after(
        before: Option<&Self>,
        fingerprint: String,
        at: u64,
        measured: Measured,
        device: &Device,
    ) -> Self {
        let again = before.filter(|before| before.is_partly(device));
        let partly = again.map_or(0, |before| before.partly.saturating_add(1));
        Self { fingerprint, at, measured, partly }
    }
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
    let known = read.ok().and_then(|_| Note::of(&bytes, &fingerprint));
    let now = || clock::wall().as_secs();
    if let Some(measured) = known.as_ref().and_then(|note| note.recall(now(), device)) {
        return Ok(measured);
    }
    let measured = measure(start, device).await?;
    let Measured { int8_per_second, fill_bytes_per_second, class_bits, vram_mib, .. } = measured;
    let name = &device.offer.name;
    info!(
        device = name,
        int8_per_second, fill_bytes_per_second, vram_mib, class_bits, "a device was measured"
    );
    let note = Note::after(known.as_ref(), fingerprint, now(), measured, device);
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

    fn note(fingerprint: &str, measured: Measured, device: &Device) -> Note {
        Note::after(None, fingerprint.into(), 1_000, measured, device)
    }

    #[test]
    fn a_measurement_is_believed_for_a_week_and_on_its_machine() {
        let device = Device::cpu("A", 2_048);
        let mut measured = Measured { int8_per_second: 2_000_000_000, ..Measured::default() };
        measured.class_bits = measured.classes(&device);
        assert_eq!(class::names_of(measured.class_bits), ["int8-1g"]);
        let note = note("2 x A", measured, &device);
        let bytes = serde_json::to_vec(&note).unwrap();
        let recall = |bytes: &[u8], fingerprint, now| {
            Note::of(bytes, fingerprint).and_then(|note| note.recall(now, &device))
        };
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
        let cpu = Device::cpu("A", 2_048);
        let note = note("2 x A", measured, &cpu);
        let recalled = note.recall(1_000, &cpu).unwrap();
        assert_eq!((recalled.class_bits, recalled.vram_mib), (0, 0));
        let card = Device::gpu("A", 512, 512, GpuAccess::default());
        assert_eq!(note.recall(1_000, &card).unwrap().vram_mib, 512);
    }

    #[test]
    fn that_a_card_holds_less_than_it_has_is_soon_tried_again() {
        let measured = Measured { vram_mib: 512, ..Measured::default() };
        let card = |vram_mib| Device::gpu("A", vram_mib, vram_mib, GpuAccess::default());
        let note = note("A", measured, &card(512));
        let known =
            |vram_mib, now| note.recall(now, &card(vram_mib)).map(|measured| measured.vram_mib);
        assert_eq!(known(512, 1_000 + PARTLY_BELIEVED_SECONDS), Some(512));
        assert_eq!(known(1_024, 1_000 + PARTLY_BELIEVED_SECONDS - 1), Some(512));
        assert_eq!(known(1_024, 1_000 + PARTLY_BELIEVED_SECONDS), None);
    }

    #[test]
    fn a_card_that_never_holds_what_it_has_is_tried_less_and_less_often() {
        let card = Device::gpu("A", 1_024, 1_024, GpuAccess::default());
        let measured = |vram_mib| Measured { vram_mib, ..Measured::default() };
        let mut note = note("A", measured(512), &card);
        let mut believed = Vec::new();
        for _ in 0..100 {
            believed.push(note.believed(&card) / PARTLY_BELIEVED_SECONDS);
            // Others use more of it or less.
            let vram_mib = 500 + note.partly;
            note = Note::after(Some(&note), "A".into(), 1_000, measured(vram_mib), &card);
        }
        assert_eq!(believed[..8], [1, 2, 4, 8, 16, 32, 64, 128]);
        let week = BELIEVED_SECONDS / PARTLY_BELIEVED_SECONDS;
        assert!(believed[8..].iter().all(|hours| *hours == week));
        // Once it has shown all, it begins anew.
        let all = Note::after(Some(&note), "A".into(), 1_000, measured(1_024), &card);
        assert_eq!(all.believed(&card), BELIEVED_SECONDS);
        let less = Note::after(Some(&all), "A".into(), 1_000, measured(512), &card);
        assert_eq!(less.believed(&card), PARTLY_BELIEVED_SECONDS);
        // A note of an earlier version says nothing of it.
        let text = serde_json::to_string(&less).unwrap().replace(",\"partly\":0", "");
        assert!(!text.contains("partly"));
        assert_eq!(Note::of(text.as_bytes(), "A").unwrap().partly, 0);
    }
}
