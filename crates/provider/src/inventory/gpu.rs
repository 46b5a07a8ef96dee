//! Graphics cards: what the kernel says under `/sys/class/drm`, what NVIDIA's driver says under `/proc`, and
//! what its own tool says where it is installed. All three are merged by PCI address.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{names, text};

/// NVIDIA's tool, and what it is asked.
const TOOL: &str = "nvidia-smi";
const ASKED: &str = "--query-gpu=pci.bus_id,uuid,name,memory.total,driver_version,compute_cap";
/// How long it may take; with a broken driver it hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of its answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// A graphics card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GpuFacts {
    /// PCI address, such as `0000:01:00.0`.
    pub pci: String,
    /// Who makes it.
    pub vendor: String,
    /// Its name, or its PCI numbers.
    pub model: String,
    /// Its memory, where the system says.
    pub vram_mib: Option<u64>,
    /// Kernel driver and its version.
    pub driver: Option<String>,
    /// What computes on it besides Vulkan, where the system says: `cuda 8.9`.
    pub compute: Option<String>,
    /// The maker's unique number.
    pub uuid: Option<String>,
}

fn vendor(id: &str) -> String {
    let known = [
        ("0x10de", "NVIDIA"),
        ("0x1002", "AMD"),
        ("0x8086", "Intel"),
        ("0x13b5", "ARM"),
        ("0x5143", "Qualcomm"),
    ];
    known.iter().find(|(known, _)| *known == id).map_or(id, |(_, name)| *name).to_owned()
}

/// A PCI address as Linux writes it: NVIDIA's tool writes eight digits of domain, and large letters.
fn address(text: &str) -> String {
    let small = text.trim().to_ascii_lowercase();
    match small.split_once(':') {
        Some((domain, rest)) if domain.len() > 4 => {
            format!("{}:{rest}", domain.get(domain.len() - 4..).unwrap_or(domain))
        }
        _ => small,
    }
}

/// Looks under `root`; `nvidia` is what NVIDIA's tool says.
pub(super) fn look(root: &Path, nvidia: &str) -> Vec<GpuFacts> {
    let mut found = BTreeMap::<String, GpuFacts>::new();
    let cards = root.join("sys/class/drm");
    let is_card = |name: &String| {
        name.strip_prefix("card").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    for name in names(&cards).into_iter().filter(is_card) {
        if let Some(facts) = kernel(&cards.join(name).join("device")) {
            found.insert(facts.pci.clone(), facts);
        }
    }
    let driver = root.join("proc/driver/nvidia");
    for name in names(&driver.join("gpus")) {
        let information = text(&driver.join("gpus").join(&name).join("information"));
        let pci = address(&name);
        let facts =
            found.entry(pci.clone()).or_insert_with(|| GpuFacts { pci, ..GpuFacts::default() });
        facts.vendor = "NVIDIA".to_owned();
        for (name, value) in information.lines().filter_map(|line| line.split_once(':')) {
            match (name.trim(), value.trim()) {
                ("Model", value) => value.clone_into(&mut facts.model),
                ("GPU UUID", value) if !value.contains('?') => facts.uuid = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    for line in nvidia.lines() {
        let parts: Vec<&str> = line.split(',').map(str::trim).collect();
        let [pci, uuid, model, memory, version, compute] = parts[..] else { continue };
        let pci = address(pci);
        let facts =
            found.entry(pci.clone()).or_insert_with(|| GpuFacts { pci, ..GpuFacts::default() });
        "NVIDIA".clone_into(&mut facts.vendor);
        model.clone_into(&mut facts.model);
        facts.vram_mib = memory.parse().ok();
        facts.driver = Some(format!("nvidia {version}"));
        facts.compute = Some(format!("cuda {compute}"));
        facts.uuid = Some(uuid.to_owned());
    }
    found.into_values().collect()
}

/// Memory in MiB, as the system says, of the device that a driver names so: the card at its PCI address, or of its name, or
/// the only one there is.
pub(crate) fn vram_of(cards: &[GpuFacts], pci: &str, name: &str) -> Option<u32> {
    let pci = address(pci);
    let at = cards.iter().find(|card| !pci.is_empty() && card.pci == pci);
    let named = || cards.iter().find(|card| pci.is_empty() && card.model == name);
    let only = || cards.first().filter(|_| pci.is_empty() && cards.len() == 1);
    let mib = at.or_else(named).or_else(only)?.vram_mib?;
    u32::try_from(mib).ok().filter(|mib| *mib > 0)
}

/// What the kernel says about a PCI device; none for graphics that are no PCI devices.
fn kernel(device: &Path) -> Option<GpuFacts> {
    let uevent = text(&device.join("uevent"));
    let says = |name: &str| {
        let line = uevent.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(str::to_owned)
    };
    let read = |name: &str| text(&device.join(name)).trim().to_owned();
    let number = |name: &str| read(name).parse::<u64>().ok();
    let version = read("driver/module/version");
    let driver = says("DRIVER").map(|name| format!("{name} {version}").trim().to_owned());
    Some(GpuFacts {
        pci: address(&says("PCI_SLOT_NAME")?),
        vendor: vendor(&read("vendor")),
        model: format!("PCI {}", says("PCI_ID")?),
        vram_mib: number("mem_info_vram_total").map(|bytes| bytes >> 20),
        driver,
        compute: None,
        uuid: Some(read("unique_id")).filter(|uuid| !uuid.is_empty()),
    })
}

/// What NVIDIA's tool says about all cards; empty where there is none, or where it does not answer.
pub(super) fn ask_nvidia() -> String {
    let started = Command::new(TOOL)
        .args([ASKED, "--format=csv,noheader,nounits"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = started else { return String::new() };
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(_)) => {
                let output = child.wait_with_output().map(|output| output.stdout);
                let mut output = output.unwrap_or_default();
                output.truncate(MAX_ANSWER);
                return String::from_utf8_lossy(&output).into_owned();
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => break,
        }
    }
    // It is beyond help, and must not outlive the question.
    let _ = child.kill();
    let _ = child.wait();
    String::new()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn cards_are_merged_from_all_that_is_said_about_them() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let amd = "sys/class/drm/card0/device";
        write(
            &format!("{amd}/uevent"),
            "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0\n",
        );
        write(&format!("{amd}/vendor"), "0x1002\n");
        write(&format!("{amd}/mem_info_vram_total"), "25753026560\n");
        write(&format!("{amd}/unique_id"), "7d3e\n");
        let nvidia = "sys/class/drm/card1/device";
        write(
            &format!("{nvidia}/uevent"),
            "DRIVER=nvidia\nPCI_ID=10DE:2684\nPCI_SLOT_NAME=0000:01:00.0\n",
        );
        write(&format!("{nvidia}/vendor"), "0x10de\n");
        write("sys/class/drm/card1-HDMI-A-1/status", "connected\n");
        write("sys/class/drm/card2/device/uevent", "DRIVER=simple-framebuffer\n");
        write(
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "Model: \t\t NVIDIA GeForce RTX 4090\nGPU UUID: \t GPU-1f\n",
        );
        let tool =
            "00000000:01:00.0, GPU-1f, NVIDIA GeForce RTX 4090, 24564, 550.54, 8.9\nnonsense\n";
        let facts = look(root.path(), tool);
        let [nvidia, amd] = &facts[..] else { panic!("{facts:#?}") };
        assert_eq!((amd.vendor.as_str(), amd.model.as_str()), ("AMD", "PCI 1002:744C"));
        assert_eq!((amd.vram_mib, amd.uuid.as_deref()), (Some(24_560), Some("7d3e")));
        assert_eq!(amd.driver.as_deref(), Some("amdgpu"));
        assert_eq!(nvidia.model, "NVIDIA GeForce RTX 4090");
        assert_eq!((nvidia.vram_mib, nvidia.uuid.as_deref()), (Some(24_564), Some("GPU-1f")));
        assert_eq!(nvidia.compute.as_deref(), Some("cuda 8.9"));
        assert_eq!(nvidia.driver.as_deref(), Some("nvidia 550.54"));
        let without_tool = look(root.path(), "");
        assert_eq!(without_tool[0].uuid.as_deref(), Some("GPU-1f"));
        assert_eq!(without_tool[0].vram_mib, None);
        assert_eq!(look(Path::new("/nowhere"), ""), []);
    }

    #[test]
    fn a_devices_memory_is_its_own_cards() {
        let card = |pci: &str, model: &str, vram_mib| GpuFacts {
            pci: pci.into(),
            model: model.into(),
            vram_mib,
            ..GpuFacts::default()
        };
        let large = card("0000:01:00.0", "NVIDIA A", Some(24_564));
        let small = card("0000:03:00.0", "PCI 1002:744C", Some(512));
        let silent = card("0000:00:02.0", "PCI 8086:1", None);
        let all = [silent.clone(), large.clone(), small];
        assert_eq!(vram_of(&all, "00000000:03:00.0", "NVIDIA A"), Some(512));
        assert_eq!(vram_of(&all, "0000:00:02.0", "NVIDIA A"), None, "the system does not say");
        assert_eq!(vram_of(&all, "0000:09:00.0", "NVIDIA A"), None, "this card is not here");
        assert_eq!(vram_of(&all, "", "NVIDIA A"), Some(24_564));
        assert_eq!(vram_of(&all, "", "another"), None);
        assert_eq!(vram_of(&[large], "", "another"), Some(24_564));
        assert_eq!(vram_of(&[silent], "", "another"), None);
        assert_eq!(vram_of(&[card("", "", Some(0))], "", ""), None);
    }
}
