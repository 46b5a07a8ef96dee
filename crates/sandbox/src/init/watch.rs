//! Sums up what the program's processes use, where no cgroup does it, and says when a bound is exceeded.
//!
//! Runs in the init process, which the program cannot see. Reads `/proc` of the machine.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process, kill_process_group};

use super::hoard::Hoard;
use crate::{
    Limits, Protection,
    groups::Meters,
    output::{self, Size},
    sys::Usage,
    wire::{Exceeded, Plan},
};

/// How often the watch looks.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Clock ticks of `/proc/PID/stat`; 100 per second on every architecture that Linux offers to programs.
const TICKS_PER_SECOND: u64 = 100;

/// More processes than this are not looked at; limits on their number lie far below.
const MAX_PROCESSES: usize = 4096;

/// Rounds of looking for processes that are to be stopped.
const STOP_ROUNDS: u32 = 64;

pub(crate) struct Watch<'a> {
    limits: &'a Limits,
    meters: &'a Meters<'a>,
    /// The process all others descend from, itself not counted.
    top: Pid,
    sums_memory: bool,
    /// The writable folder on the machine.
    output: Option<&'a PathBuf>,
    seen: Usage,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(plan: &'a Plan, meters: &'a Meters<'a>, top: Pid) -> Self {
        let sums_memory = !plan.protections.contains(&Protection::MemoryGroup);
        let output = plan.writable.as_ref().map(|bind| &bind.host);
        Self { limits: &plan.limits, meters, top, sums_memory, output, seen: Usage::default() }
    }

    /// How often [`Watch::look`] is to be called; `None` when there is nothing to watch.
    pub(crate) fn tick(&self) -> Option<Duration> {
        (self.sums_memory || self.limits.cpu.is_some() || self.output.is_some()).then_some(TICK)
    }

    /// Looks once.
    pub(crate) fn look(&mut self) -> Option<Exceeded> {
        let group_cpu = self.meters.cpu();
        let mut memory: u64 = 0;
        let mut cpu = Duration::ZERO;
        if self.sums_memory || group_cpu.is_none() {
            let mut hoard = Hoard::new(self.limits.file_bytes);
            for pid in descendants(self.top) {
                memory = memory.saturating_add(private_bytes(pid).unwrap_or(0));
                cpu = cpu.saturating_add(cpu_time(pid).unwrap_or_default());
                if self.sums_memory {
                    hoard.add(pid);
                }
            }
            memory = memory.saturating_add(hoard.bytes());
            cpu = cpu.saturating_add(cpu_of_reaped(self.top).unwrap_or_default());
        }
        self.seen.cpu = self.seen.cpu.max(group_cpu.unwrap_or(cpu));
        self.seen.max_rss_bytes = self.seen.max_rss_bytes.max(memory);
        if self.sums_memory && memory > self.limits.memory_bytes {
            return Some(Exceeded::Memory);
        }
        if self.limits.cpu.is_some_and(|limit| self.seen.cpu > limit) {
            return Some(Exceeded::Cpu);
        }
        self.look_at_output()
    }

    /// Whether more lies in the writable folder than may. Also to be asked when the program has ended, for what it wrote
    /// last.
    pub(crate) fn look_at_output(&self) -> Option<Exceeded> {
        let bounds =
            Size { bytes: self.limits.out_bytes, entries: u64::from(self.limits.out_files) };
        // A folder that cannot be opened because the machine is in trouble is looked at again at the next look.
        let fits = match output::measure(self.output?, bounds) {
            Ok(size) => size.is_some(),
            // The machine's trouble. Any other error may be the program's doing, to hide what it writes.
            Err(error) => matches!(
                error.raw_os_error(),
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EIO)
            ),
        };
        (!fits).then_some(Exceeded::Disk)
    }

    /// The most that was seen.
    pub(crate) fn seen(&self) -> Usage {
        let mut seen = self.seen;
        seen.cpu = seen.cpu.max(self.meters.cpu().unwrap_or_default());
        seen.max_rss_bytes = seen.max_rss_bytes.max(self.meters.peak_bytes().unwrap_or(0));
        seen
    }
}

/// All processes that descend from `top`, without itself.
pub(crate) fn descendants(top: Pid) -> Vec<Pid> {
    if Path::new("/proc/thread-self/children").exists() {
        follow(top, |parent| {
            let tasks =
                fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
            let lists = tasks
                .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
            lists
                .flat_map(|list| list.split_whitespace().filter_map(pid_from).collect::<Vec<_>>())
                .collect()
        })
    } else {
        // Kernels without CONFIG_PROC_CHILDREN: one look at everybody's parent.
        let parents = parents();
        follow(top, |parent| {
            parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid).collect()
        })
    }
}

fn follow(top: Pid, children_of: impl Fn(Pid) -> Vec<Pid>) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut known = HashSet::from([top]);
    let mut open = vec![top];
    while let Some(parent) = open.pop() {
        for child in children_of(parent) {
            if found.len() < MAX_PROCESSES && known.insert(child) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

/// Every process of the machine that can be seen, with its parent.
fn parents() -> Vec<(Pid, Pid)> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| pid_from(entry.file_name().to_str()?));
    pids.filter_map(|pid| Some((pid, pid_from(stat_fields(pid)?.split(' ').nth(1)?)?))).collect()
}

fn pid_from(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok().filter(|&pid| pid > 0)?)
}

/// The fields of `/proc/PID/stat` from the third on: the second is a name in parentheses that may hold anything.
fn stat_fields(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, fields)| fields.to_owned())
}

/// Kills all descendants of `top`, and the process groups they have made.
pub(crate) fn kill_descendants(top: Pid) -> usize {
    let all = descendants(top);
    for &pid in &all {
        if let Ok(group) = getpgid(Some(pid))
            && group != getpgrp()
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = kill_process(pid, Signal::KILL);
    }
    all.len()
}

/// Stops all descendants of `top` where they are. One that forks meanwhile is found in the next round; the
/// bound is for a kernel that hides them from us.
pub(crate) fn stop_descendants(top: Pid) {
    let mut stopped = HashSet::new();
    for _ in 0..STOP_ROUNDS {
        let fresh: Vec<Pid> =
            descendants(top).into_iter().filter(|pid| stopped.insert(*pid)).collect();
        if fresh.is_empty() {
            return;
        }
        for pid in fresh {
            // One that has ended needs no stopping.
            let _ = kill_process(pid, Signal::STOP);
        }
    }
}

/// Sends a signal to all descendants of `top`.
pub(crate) fn signal_descendants(top: Pid, signal: Signal) {
    for pid in descendants(top) {
        let _ = kill_process(pid, signal);
    }
}

/// Anonymous memory a process has touched and the page tables for all it has mapped, in bytes. Tables alone can be
/// gigabytes: mapping reserved space read-only costs nothing else. Shared memory is counted by the [`Hoard`].
fn private_bytes(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    field("RssAnon:")?.checked_add(field("VmPTE:")?)
}

/// CPU time of a process and of the children it has waited for.
fn cpu_time(pid: Pid) -> Option<Duration> {
    ticks(pid, 11, 4)
}

/// CPU time of the children that a process has waited for: orphans that have ended come to the warden.
fn cpu_of_reaped(pid: Pid) -> Option<Duration> {
    ticks(pid, 13, 2)
}

/// The sum of some fields of `/proc/PID/stat`, counted from the third.
fn ticks(pid: Pid, first: usize, count: usize) -> Option<Duration> {
    let fields = stat_fields(pid)?;
    let fields = fields.split(' ').skip(first).take(count);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SECOND)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bind, wire::Rank};

    /// A plan of which only what the watch looks at means anything.
    fn plan(limits: Limits, sums_memory: bool, out: Option<&Path>) -> Plan {
        let protections = if sums_memory { vec![] } else { vec![Protection::MemoryGroup] };
        Plan {
            protections: protections.into_iter().collect(),
            rank: Rank::None,
            own_process_quota: false,
            program: PathBuf::new(),
            exec: PathBuf::new(),
            args: Vec::new(),
            env: Vec::new(),
            code: Vec::new(),
            read_only: Vec::new(),
            devices: Vec::new(),
            device_groups: Vec::new(),
            writable: out.map(|out| Bind::new(out, "/out")),
            limits,
            groups: Vec::new(),
        }
    }

    /// A shell below a shell, as the program is below its warden. Both end with the value.
    struct Below {
        warden: std::process::Child,
        top: Pid,
    }

    impl Below {
        fn start(script: &str) -> Self {
            let warden = std::process::Command::new("sh")
                .args(["-c", "sh -c \"$0\"; true", script])
                .stdin(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let top = Pid::from_raw(i32::try_from(warden.id()).unwrap()).unwrap();
            Self { warden, top }
        }

        /// Looks until something is exceeded.
        fn watched(&self, limits: Limits, sums_memory: bool) -> (Exceeded, Usage) {
            let plan = plan(limits, sums_memory, None);
            let meters = Meters::new(&plan.groups);
            let mut watch = Watch::new(&plan, &meters, self.top);
            assert_eq!(watch.tick(), Some(TICK));
            let start = std::time::Instant::now();
            loop {
                if let Some(exceeded) = watch.look() {
                    return (exceeded, watch.seen());
                }
                assert!(start.elapsed() < Duration::from_secs(60), "seen: {:?}", watch.seen());
                std::thread::sleep(TICK);
            }
        }
    }

    impl Drop for Below {
        fn drop(&mut self) {
            kill_descendants(self.top);
            let _ = self.warden.kill();
            let _ = self.warden.wait();
        }
    }

    #[test]
    fn who_takes_too_much_memory_is_noticed() {
        let hog = Below::start("x=$(head -c 60000000 /dev/zero | tr '\\0' x); read y");
        let limits = Limits { memory_bytes: 40 << 20, cpu: None, ..Limits::default() };
        let (exceeded, seen) = hog.watched(limits, true);
        assert_eq!(exceeded, Exceeded::Memory);
        assert!(seen.max_rss_bytes > 40 << 20, "{seen:?}");
    }

    #[test]
    fn who_takes_too_much_time_is_noticed() {
        let spinner = Below::start("while :; do :; done");
        let limit = Duration::from_millis(300);
        let limits = Limits { cpu: Some(limit), ..Limits::default() };
        for sums_memory in [true, false] {
            let (exceeded, seen) = spinner.watched(limits, sums_memory);
            assert_eq!(exceeded, Exceeded::Cpu);
            assert!(seen.cpu > limit, "{seen:?}");
        }
    }

    #[test]
    fn who_writes_too_much_is_noticed() {
        let out = tempfile::tempdir().unwrap();
        let limits = Limits { cpu: None, out_bytes: 100_000, out_files: 3, ..Limits::default() };
        let plan = plan(limits, false, Some(out.path()));
        let meters = Meters::new(&plan.groups);
        let mut watch = Watch::new(&plan, &meters, rustix::process::getpid());
        assert_eq!(watch.tick(), Some(TICK));
        fs::write(out.path().join("one"), vec![1; 50_000]).unwrap();
        assert_eq!(watch.look(), None);
        fs::write(out.path().join("two"), vec![1; 90_000]).unwrap();
        assert_eq!(watch.look(), Some(Exceeded::Disk));
        fs::remove_file(out.path().join("two")).unwrap();
        assert_eq!(watch.look_at_output(), None);
        for name in ["a", "b", "c"] {
            fs::write(out.path().join(name), []).unwrap();
        }
        assert_eq!(watch.look_at_output(), Some(Exceeded::Disk), "too many files");
    }

    #[test]
    fn where_groups_count_and_nothing_is_bounded_there_is_nothing_to_watch() {
        let plan = plan(Limits { cpu: None, ..Limits::default() }, false, None);
        let meters = Meters::new(&plan.groups);
        assert_eq!(Watch::new(&plan, &meters, rustix::process::getpid()).tick(), None);
    }

    #[test]
    fn this_process_is_measured() {
        let me = rustix::process::getpid();
        assert!(private_bytes(me).unwrap() > 10_000);
        assert!(cpu_time(me).is_some());
    }

    #[test]
    fn grandchildren_are_found() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "cat & cat"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let top = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let start = std::time::Instant::now();
        while descendants(top).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(10), "no child was found");
            std::thread::yield_now();
        }
        let me = rustix::process::getpid();
        assert!(parents().contains(&(top, me)) && descendants(me).contains(&top));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
