//! Looking at the machine from outside: processes, cgroups, signals.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Living processes that run the copy of the fixture in this folder.
pub fn processes_of(folder: &Path) -> Vec<u32> {
    let ours = |pid: &u32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mark = folder.to_str().unwrap().as_bytes();
        // The program itself knows only its path inside, but its monitor is its ancestor.
        arguments.windows(mark.len()).any(|window| window == mark)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut found: Vec<u32> = all.into_iter().filter(ours).collect();
    let mut open = found.clone();
    while let Some(pid) = open.pop() {
        for child in children_of(pid) {
            if !found.contains(&child) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

pub fn monitors_of(folder: &Path) -> Vec<u32> {
    let is_monitor = |pid: &u32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.windows(9).any(|window| window == b"--control")
    };
    let mut found: Vec<u32> = processes_of(folder).into_iter().filter(is_monitor).collect();
    // The warden is a fork of the monitor and has its arguments; it comes later.
    found.sort_unstable();
    found
}

pub fn children_of(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

pub fn groups_named(prefix: &str) -> Vec<PathBuf> {
    fn search(folder: &Path, prefix: &str, depth: u32, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in
            entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
                found.push(entry.path());
            } else if depth > 0 {
                search(&entry.path(), prefix, depth - 1, found);
            }
        }
    }
    let mut found = Vec::new();
    search(Path::new("/sys/fs/cgroup"), prefix, 6, &mut found);
    found
}
