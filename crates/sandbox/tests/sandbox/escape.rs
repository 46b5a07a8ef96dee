//! All attempts to escape, on every kind of machine there can be, and with walls torn down to see that it would show.

use std::{fmt::Write as _, fs, path::Path};

use tilth_sandbox::{
    Protection::{self, *},
    escape::{ATTEMPTS, Finding, Verdict},
};

use super::{
    Way,
    suite::{Findings, Suite},
};

impl Way {
    fn suite(&self, without: &[Protection], only: &[&str]) -> Findings {
        let only = only.iter().map(ToString::to_string).collect();
        let suite = Suite { without: without.into(), only };
        let output =
            self.fixture("suite", &serde_json::to_string(&suite).unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.name());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let verdict = format!("{:?}", finding.verdict);
        writeln!(
            text,
            "{:<9} {:<10} {:<20} {}",
            verdict,
            finding.area.to_string(),
            finding.name,
            finding.how
        )
        .unwrap();
    }
    text
}

/// Every attempt was made and stopped, but for those named, which must have worked for want of any wall.
fn all_held(what: &str, way: &Way, without: &[Protection], open: &[&str]) {
    let findings = way.suite(without, &[]).findings;
    eprintln!("{what}, {}:\n{}", way.name(), table(&findings));
    assert_eq!(findings.len(), ATTEMPTS.len());
    let wrong: Vec<_> = findings
        .iter()
        .filter(|finding| {
            let due =
                if open.contains(&finding.name.as_str()) { Verdict::Open } else { Verdict::Held };
            finding.verdict != due
        })
        .collect();
    assert!(wrong.is_empty(), "{what}, {}: {wrong:#?}", way.name());
}

#[test]
fn nothing_escapes() {
    for way in Way::all() {
        all_held("all that this machine has", &way, &[], &[]);
    }
}

#[test]
fn nothing_escapes_without_cgroups() {
    for way in Way::all() {
        all_held("no cgroups", &way, &[MemoryGroup, CpuGroup, ProcessCount], &[]);
    }
}

#[test]
fn nothing_escapes_without_the_second_wall() {
    all_held("no file rules", &Way::new(None), &[FileRules], &["output-removed"]);
}

#[test]
fn what_escapes_without_namespaces_is_what_is_said() {
    // No process count that is the program's own, so bombs are bounded by nothing.
    all_held(
        "neither namespaces nor rights",
        &Way::bare(),
        &[],
        &["fork-bomb", "thread-bomb", "zombies", "own-pipes"],
    );
}

/// Makes some attempts without some walls and asserts that each of them works, and that this is said.
fn works_without(without: &[Protection], names: &[&str]) {
    let way = Way::new(None);
    let Findings { findings, report } = way.suite(without, names);
    eprintln!("without {without:?}:\n{}", table(&findings));
    assert_eq!(findings.len(), names.len());
    for finding in findings {
        assert_eq!(finding.verdict, Verdict::Open, "{finding:#?}");
    }
    for place in ["/dev/shm/tilth-escape", "/sys/fs/cgroup/escape", "/lib/libescape.so"] {
        assert!(!Path::new(place).exists(), "{place} is left");
    }
    for table in ["shm", "sem", "msg"] {
        let all = fs::read_to_string(Path::new("/proc/sysvipc").join(table)).unwrap_or_default();
        let left = all.lines().any(|line| line.split_whitespace().next() == Some("77"));
        assert!(!left, "an attempt's {table} is left:\n{all}");
    }
    for measure in report {
        assert!(!(without.contains(&measure.protection) && measure.is_enforced()), "{measure:?}");
    }
}

#[test]
fn the_attempts_work_where_nothing_stops_them() {
    works_without(
        &[CallFilter],
        &[
            "netlink",
            "odd-sockets",
            "input-locks",
            "keyring",
            "output-reserved",
            "output-attributes",
            "processor",
            "page-moves",
            "watchers",
            "ipc",
        ],
    );
    works_without(&[CallFilter, NoNetwork, FileRules], &["tcp", "udp", "abstract-socket"]);
    works_without(
        &[PrivateFiles, FileRules],
        &["host-files", "kernel-files", "host-programs", "devices"],
    );
    works_without(&[CallFilter, OwnProcesses, OtherUser, FileRules], &["signals"]);
    works_without(&[ProcessCount, Quotas], &["fork-bomb", "open-files"]);
    works_without(
        &[CallFilter, NoPrivileges, OtherUser],
        &["capabilities", "namespaces", "chroot"],
    );
}
