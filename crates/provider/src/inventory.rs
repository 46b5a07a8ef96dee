//! What is in this machine, as the system says: processor, memory, disk, graphics cards, network. Unproved and
//! for people; what is announced comes from challenges ([`crate::challenge`]).

mod gpu;

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use gpu::GpuFacts;
pub(crate) use gpu::vram_of;

/// Most bytes of any file that is looked at.
const MAX_BYTES: u64 = 1 << 20;
/// What of a processor's abilities matters for the work here.
const FEATURES: [&str; 12] = [
    "sse4_1",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "sha_ni",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
];

/// The processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuFacts {
    /// Its name.
    pub model: String,
    /// Cores.
    pub cores: usize,
    /// Threads that run at the same time and that this program may use.
    pub threads: usize,
    /// Abilities that matter here, by Linux's names.
    pub features: Vec<String>,
}

/// Memory, in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemoryFacts {
    /// All.
    pub total_mib: u64,
    /// What could be given to programs now.
    pub available_mib: u64,
}

/// Where a folder's files lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskFacts {
    /// The folder.
    pub folder: PathBuf,
    /// Size of the file system, MiB.
    pub total_mib: u64,
    /// Free for this user, MiB.
    pub free_mib: u64,
}

/// A network interface that is up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkFacts {
    /// Its name.
    pub name: String,
    /// Mbit/s that the card has agreed on; of virtual ones mostly unknown.
    pub mbit_per_second: Option<u64>,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inventory {
    /// The processor.
    pub cpu: CpuFacts,
    /// Memory.
    pub memory: MemoryFacts,
    /// The disk of the folder that was asked about.
    pub disk: DiskFacts,
    /// Graphics cards.
    pub gpus: Vec<GpuFacts>,
    /// Network interfaces.
    pub network: Vec<LinkFacts>,
}

/// Reads a small file; empty if there is none.
fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names: BTreeSet<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.into_iter().collect()
}

/// The processor of this machine.
pub fn cpu() -> CpuFacts {
    let mut facts = read_cpu(&text(Path::new("/proc/cpuinfo")));
    facts.threads = std::thread::available_parallelism().map_or(1, usize::from);
    facts
}

/// The graphics cards of this machine. Takes as long as NVIDIA's tool, where there is one.
pub fn cards() -> Vec<GpuFacts> {
    gpu::look(Path::new("/"), &gpu::ask_nvidia())
}

/// Looks at this machine; `folder` says which disk.
pub fn look(folder: &Path) -> Inventory {
    Inventory {
        cpu: cpu(),
        memory: read_memory(&text(Path::new("/proc/meminfo"))),
        disk: disk(folder),
        gpus: cards(),
        network: links(Path::new("/")),
    }
}

fn read_cpu(info: &str) -> CpuFacts {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let fields: Vec<_> = info.lines().filter_map(field).collect();
    let first = |wanted: &[&str]| {
        let found = fields.iter().find(|(name, _)| wanted.contains(&name.as_str()));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let has = first(&["flags", "Features"]);
    let has: BTreeSet<&str> = has.split_whitespace().collect();
    // A core is a pair of package and number; where those are not said, each processor is one.
    let (mut package, mut cores, mut processors) = (String::new(), BTreeSet::new(), 0);
    for (name, value) in &fields {
        match name.as_str() {
            "processor" => processors += 1,
            "physical id" => package.clone_from(value),
            "core id" => {
                cores.insert((package.clone(), value.clone()));
            }
            _ => {}
        }
    }
    CpuFacts {
        model: first(&["model name", "Model", "Hardware", "cpu model"]),
        cores: if cores.is_empty() { processors } else { cores.len() },
        threads: processors,
        features: FEATURES
            .iter()
            .filter(|name| has.contains(*name))
            .map(ToString::to_string)
            .collect(),
    }
}

fn read_memory(info: &str) -> MemoryFacts {
    let mib = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) / 1024
    };
    MemoryFacts { total_mib: mib("MemTotal"), available_mib: mib("MemAvailable") }
}

fn disk(folder: &Path) -> DiskFacts {
    // The folder may not be there yet.
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let Ok(stat) = rustix::fs::statvfs(existing) else {
        return DiskFacts { folder: folder.to_owned(), ..DiskFacts::default() };
    };
    let mib = |blocks: u64| blocks.saturating_mul(stat.f_frsize) >> 20;
    DiskFacts {
        folder: folder.to_owned(),
        total_mib: mib(stat.f_blocks),
        free_mib: mib(stat.f_bavail),
    }
}

fn links(root: &Path) -> Vec<LinkFacts> {
    let folder = root.join("sys/class/net");
    let up = |name: &String| {
        name != "lo"
            && matches!(text(&folder.join(name).join("operstate")).trim(), "up" | "unknown")
    };
    let facts = |name: String| {
        let speed = text(&folder.join(&name).join("speed")).trim().parse::<u64>().ok();
        LinkFacts { name, mbit_per_second: speed.filter(|speed| *speed > 0 && *speed < 1 << 31) }
    };
    names(&folder).into_iter().filter(up).map(facts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_as_linux_writes_them() {
        let intel = "processor\t: 0\nmodel name\t: Fast CPU @ 3GHz\nphysical id\t: 0\ncore id\t\t: 0\n\
                     flags\t\t: fpu avx2 fma avx512_vnni\n\nprocessor\t: 1\nmodel name\t: Fast CPU @ 3GHz\n\
                     physical id\t: 0\ncore id\t\t: 0\nflags\t\t: fpu\n\nprocessor\t: 2\nphysical id\t: 1\ncore id\t: 0\n";
        let facts = read_cpu(intel);
        assert_eq!((facts.model.as_str(), facts.cores, facts.threads), ("Fast CPU @ 3GHz", 2, 3));
        assert_eq!(facts.features, ["avx2", "fma", "avx512_vnni"]);
        let arm = "processor\t: 0\nFeatures\t: fp asimd asimddp\n\nprocessor\t: 1\nFeatures\t: fp\n\nModel\t\t: Raspberry Pi 5\n";
        let facts = read_cpu(arm);
        assert_eq!((facts.model.as_str(), facts.cores), ("Raspberry Pi 5", 2));
        assert_eq!(facts.features, ["asimd", "asimddp"]);
        assert_eq!(read_cpu("nonsense"), CpuFacts::default());
    }

    #[test]
    fn memory_is_read_in_mib() {
        let info = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   12000000 kB\n";
        assert_eq!(read_memory(info), MemoryFacts { total_mib: 23_437, available_mib: 11_718 });
        assert_eq!(read_memory("MemTotal: x"), MemoryFacts::default());
    }

    #[test]
    fn this_machine_has_a_processor_memory_and_a_disk() {
        let found = look(Path::new("/tmp/not/there/yet"));
        assert!(found.cpu.cores >= 1 && found.cpu.threads >= 1 && !found.cpu.model.is_empty());
        assert!(found.memory.total_mib >= found.memory.available_mib && found.memory.total_mib > 0);
        assert!(found.disk.total_mib > 0 && found.disk.folder == Path::new("/tmp/not/there/yet"));
    }

    #[test]
    fn interfaces_that_are_up_are_listed() {
        let root = tempfile::tempdir().unwrap();
        for (name, state, speed) in [
            ("lo", "unknown", ""),
            ("eth0", "up", "2500"),
            ("wlan0", "down", "100"),
            ("tun0", "unknown", "-1"),
        ] {
            let folder = root.path().join("sys/class/net").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("operstate"), format!("{state}\n")).unwrap();
            fs::write(folder.join("speed"), format!("{speed}\n")).unwrap();
        }
        let found = links(root.path());
        let link = |name: &str, mbit_per_second| LinkFacts { name: name.into(), mbit_per_second };
        assert_eq!(found, [link("eth0", Some(2_500)), link("tun0", None)]);
    }
}
