//! The attempts to escape on a machine of its own: Debian's kernel in an emulator, with cgroup version 2, which the
//! machine that runs the tests may not have, and with a helper for core dumps, which must not be set up on it.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tilth_sandbox::escape::Verdict;

use super::{Protection, suite::Findings};

/// What stands before each line of the console that is meant for us.
const MARK: &str = "@tilth ";

/// How long the machine may take: it is emulated instruction by instruction, on machines that are shared.
const PATIENCE: Duration = Duration::from_secs(900);

/// The kernel to try: that of Debian's package `linux-image-cloud-amd64`, unpacked. None was named: nothing is tried.
fn kernel() -> Option<PathBuf> {
    let kernel = PathBuf::from(std::env::var_os("TILTH_TEST_KERNEL")?);
    assert!(kernel.is_file(), "TILTH_TEST_KERNEL names {}, which is no file", kernel.display());
    Some(kernel)
}

/// An archive in the format that kernels start from ("new ASCII" cpio), as the kernel's documentation describes it.
struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        let number = u32::try_from(self.0.len()).unwrap();
        let (size, named) = (content.len(), name.len() + 1);
        write!(self.0, "070701{number:08x}{mode:08x}").unwrap();
        for field in [0, 0, 1, 0, size, 0, 0, 0, 0, named, 0] {
            write!(self.0, "{field:08x}").unwrap();
        }
        self.0.extend(name.as_bytes());
        self.0.push(0);
        self.pad();
        self.0.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// The fixture as the machine's first process, with its libraries.
fn archive() -> Vec<u8> {
    let fixture = Path::new(env!("CARGO_BIN_EXE_sandbox-fixture"));
    let mut archive = Archive(Vec::new());
    for folder in ["bin", "lib", "lib64", "proc", "dev"] {
        archive.add(folder, 0o40755, &[]);
    }
    let listing = Command::new("ldd").arg(fixture).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    for word in listing.split_whitespace().filter(|word| word.starts_with('/')) {
        let folder = if word.contains("ld-linux") { "lib64" } else { "lib" };
        let name = Path::new(word).file_name().unwrap().to_str().unwrap();
        archive.add(&format!("{folder}/{name}"), 0o100_755, &fs::read(word).unwrap());
    }
    let program = fs::read(fixture).unwrap();
    archive.add("bin/fixture", 0o100_755, &program);
    archive.add("init", 0o120_777, b"bin/fixture");
    archive.add("TRAILER!!!", 0, &[]);
    archive.0
}

/// Starts the machine and returns the lines that are meant for us.
fn run_machine(kernel: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let initial = dir.path().join("initial");
    fs::write(&initial, archive()).unwrap();
    let mut emulator = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "max", "-m", "1024", "-smp", "2", "-nographic"])
        .args(["-no-reboot", "-nic", "none", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initial)
        .args([
            "-append",
            "console=ttyS0 quiet loglevel=0 panic=-1 mitigations=off rdinit=/bin/fixture machine",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect(
            "TILTH_TEST_KERNEL is set, so qemu-system-x86_64 is needed (Debian: qemu-system-x86)",
        );
    let mut stdout = emulator.stdout.take().unwrap();
    let console = std::thread::spawn(move || {
        let mut console = Vec::new();
        stdout.read_to_end(&mut console).map(|_| String::from_utf8_lossy(&console).into_owned())
    });
    let deadline = Instant::now() + PATIENCE;
    let in_time = loop {
        if emulator.try_wait().unwrap().is_some() {
            break true;
        }
        if Instant::now() > deadline {
            emulator.kill().unwrap();
            emulator.wait().unwrap();
            break false;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let console = console.join().unwrap().unwrap();
    assert!(in_time, "the machine has not ended within {PATIENCE:?}; it said: {console}");
    let lines: Vec<String> = console
        .lines()
        .filter_map(|line| Some(line.trim().split_once(MARK)?.1.to_owned()))
        .collect();
    assert!(!lines.is_empty(), "the machine said: {console}");
    lines
}

fn said<'a>(lines: &'a [String], word: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
}

#[test]
fn nothing_escapes_with_version_2_cgroups() {
    let Some(kernel) = kernel() else {
        eprintln!(
            "SKIPPED: cgroup version 2, and helpers for core dumps, are not tried: TILTH_TEST_KERNEL names no \
             kernel (boot/vmlinuz of Debian's linux-image-cloud-amd64)"
        );
        return;
    };
    let lines = run_machine(&kernel);
    assert_eq!(said(&lines, "failed"), Vec::<&str>::new());
    eprintln!("Linux {}", said(&lines, "kernel")[0]);
    for (who, missing) in [("root", &[][..]), ("user", &[Protection::OtherUser])] {
        let told: Findings = serde_json::from_str(said(&lines, who)[0]).unwrap();
        eprintln!("version 2, {who}:\n{}", super::escape::table(&told.findings));
        for measure in &told.report {
            assert_eq!(
                measure.is_enforced(),
                !missing.contains(&measure.protection),
                "{measure:?}"
            );
        }
        for finding in &told.findings {
            assert_eq!(finding.verdict, Verdict::Held, "{who}: {finding:#?}");
        }
    }
    // No helper is started for a crash inside, and one would be without our limit.
    assert_eq!(
        (said(&lines, "dump-with"), said(&lines, "dump-without")),
        (vec!["false"], vec!["true"])
    );
}
