//! Control groups, version 2 or 1, for memory, process count and CPU time of one program.
//!
//! The agent finds out where it may make groups, makes one set per program and writes the limits; the program's first
//! process puts itself into it; the init reads its counters and removes it at the end. Groups that a killed agent has
//! left behind are removed at the next start. A group is only ever made below the agent's own group or, for root on
//! version 2, below `tilth` at the top.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{Limits, Protection, confinement::LEFT_OUT};

const AGENT_GROUP: &str = "tilth-agent";
const ROOT_GROUP: &str = "tilth";
const CONTROLLERS: [(Protection, &str, &str); 3] = [
    (Protection::MemoryGroup, "memory", "memory"),
    (Protection::ProcessCount, "pids", "pids"),
    (Protection::CpuGroup, "cpuacct", "cpu"),
];

/// Where groups can be made, for each protection that is kept by one.
#[derive(Debug, Clone)]
pub(crate) struct GroupPlaces {
    places: BTreeMap<Protection, Result<PathBuf, String>>,
}

impl GroupPlaces {
    /// Looks at this process's own groups. On version 2 it may move this process into a group `tilth-agent` of its
    /// own, when that is what stands in the way.
    pub(crate) fn discover(is_root: bool) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let mounts = read("/proc/self/mountinfo");
        let own = read("/proc/self/cgroup");
        // Only looked for when needed, because looking may change things.
        let modern = LazyCell::new(|| modern_place(&mounts, &own, is_root));
        let mut places = BTreeMap::new();
        for (protection, legacy_name, modern_name) in CONTROLLERS {
            let place = match own_folder(&mounts, &own, Some(legacy_name)) {
                Some(folder) => Ok(folder),
                None => (*modern).clone().and_then(|place| has_controller(place, modern_name)),
            };
            places.insert(protection, place);
        }
        let mut found = Self { places };
        found.sweep();
        found.try_out();
        found
    }

    /// Makes a group of each kind once; a place that refuses is no place.
    fn try_out(&mut self) {
        for (protection, ..) in CONTROLLERS {
            let Some(Ok(place)) = self.places.get(&protection) else { continue };
            if let Err((_, error)) = self.create(&BTreeSet::from([protection]), &Limits::default())
            {
                let why = format!("cannot make a cgroup in {}: {error}", place.display());
                self.places.insert(protection, Err(why));
            }
        }
    }

    /// Makes as if no groups could be made for these.
    pub(crate) fn leave_out(&mut self, protections: &[Protection]) {
        for protection in protections {
            if let Some(place) = self.places.get_mut(protection) {
                *place = Err(LEFT_OUT.into());
            }
        }
    }

    /// Why no group can be made for this protection, if none can.
    pub(crate) fn why_missing(&self, protection: Protection) -> Option<&str> {
        self.places.get(&protection)?.as_ref().err().map(String::as_str)
    }

    /// Makes the groups for one program. The error names the protection that failed.
    pub(crate) fn create(
        &self,
        wanted: &BTreeSet<Protection>,
        limits: &Limits,
    ) -> Result<GroupSet, (Protection, io::Error)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tilth-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut set = GroupSet { folders: Vec::new() };
        for (&protection, place) in &self.places {
            let (true, Ok(place)) = (wanted.contains(&protection), place) else { continue };
            let folder = place.join(&name);
            if !set.folders.contains(&folder) {
                fs::create_dir(&folder).map_err(|error| (protection, error))?;
                set.folders.push(folder.clone());
            }
            limit(&folder, protection, limits).map_err(|error| (protection, error))?;
        }
        Ok(set)
    }

    /// Removes what agents that no longer live have left.
    fn sweep(&self) {
        for place in self.places.values().flatten() {
            let Ok(entries) = fs::read_dir(place) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let mut parts = name.to_str().unwrap_or_default().split('-');
                let (Some("tilth"), Some(Ok(pid)), Some(_)) =
                    (parts.next(), parts.next().map(str::parse::<u32>), parts.next())
                else {
                    continue;
                };
                if !Path::new("/proc").join(pid.to_string()).exists() {
                    // Refused while processes are in it, and that is right.
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }
}

/// The groups of one program; dropping removes them if they are empty.
#[derive(Debug)]
pub(crate) struct GroupSet {
    pub(crate) folders: Vec<PathBuf>,
}

impl Drop for GroupSet {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The init removes them when it ends; this is for programs whose init never ran.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn limit(folder: &Path, protection: Protection, limits: &Limits) -> io::Result<()> {
    match protection {
        Protection::MemoryGroup => {
            let bytes = limits.memory_bytes.to_string();
            if folder.join("memory.max").exists() {
                fs::write(folder.join("memory.max"), &bytes)?;
                // Kernels without swap accounting have no such file; then there is nothing to limit.
                let _ = fs::write(folder.join("memory.swap.max"), "0");
                let _ = fs::write(folder.join("memory.oom.group"), "1");
            } else {
                fs::write(folder.join("memory.limit_in_bytes"), &bytes)?;
                let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), &bytes);
            }
            Ok(())
        }
        Protection::ProcessCount => {
            fs::write(folder.join("pids.max"), limits.processes.to_string())
        }
        _ => cpu_used(folder)
            .map(drop)
            .ok_or_else(|| io::Error::other("the group counts no CPU time")),
    }
}

/// The folder of this process's own group in the hierarchy with the version 1 controller, or in version 2.
fn own_folder(mountinfo: &str, own_groups: &str, controller: Option<&str>) -> Option<PathBuf> {
    let path = own_groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let found = match controller {
            Some(name) => controllers.split(',').any(|one| one == name),
            None => number == "0" && controllers.is_empty(),
        };
        found.then_some(path)
    })?;
    let (root, mount_point) = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, _, options) = (after.next()?, after.next()?, after.next()?);
        let found = match controller {
            Some(name) => kind == "cgroup" && options.split(',').any(|one| one == name),
            None => kind == "cgroup2",
        };
        let mut before = before.split(' ').skip(3);
        found.then(|| (before.next(), before.next()))
    })?;
    // In a container the mount shows a part of the tree only; outside that part only its top is reachable.
    let below =
        path.strip_prefix(root?.trim_end_matches('/')).unwrap_or("").trim_start_matches('/');
    Some(Path::new(mount_point?).join(below))
}

fn modern_place(mountinfo: &str, own_groups: &str, is_root: bool) -> Result<PathBuf, String> {
    let own = own_folder(mountinfo, own_groups, None).ok_or("cgroups are not mounted")?;
    let own = match own.parent() {
        Some(parent) if own.ends_with(AGENT_GROUP) => parent.to_owned(),
        _ => own,
    };
    let top = own_folder(mountinfo, "0::/", None).filter(|_| is_root);
    let refused = match open_for_children(&own, std::process::id()) {
        Ok(()) => return Ok(own),
        Err(error) => format!("cannot make groups in {}: {error}", own.display()),
    };
    let Some(place) = top.map(|top| top.join(ROOT_GROUP)) else { return Err(refused) };
    let made = fs::create_dir(&place).or_else(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
    });
    let opened = made.and_then(|()| open_for_children(&place, std::process::id()));
    opened
        .map(|()| place.clone())
        .map_err(|error| format!("cannot make groups in {}: {error}", place.display()))
}

/// Hands the memory, pids and cpu controllers of a version 2 group on to its children.
fn open_for_children(folder: &Path, own_pid: u32) -> io::Result<()> {
    let control = folder.join("cgroup.subtree_control");
    let offered = fs::read_to_string(folder.join("cgroup.controllers"))?;
    let enabled = fs::read_to_string(&control)?;
    let missing: Vec<_> = ["memory", "pids", "cpu"]
        .into_iter()
        .filter(|name| offered.split_whitespace().any(|one| one == *name))
        .filter(|name| !enabled.split_whitespace().any(|one| one == *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let request = missing.join(" ");
    let Err(error) = fs::write(&control, &request) else { return Ok(()) };
    // A group that holds processes cannot hand controllers on. If it holds only this one, this one can step aside.
    let members = fs::read_to_string(folder.join("cgroup.procs"))?;
    if error.kind() != io::ErrorKind::ResourceBusy || members.trim() != own_pid.to_string() {
        return Err(error);
    }
    let aside = folder.join(AGENT_GROUP);
    if !aside.exists() {
        fs::create_dir(&aside)?;
    }
    fs::write(aside.join("cgroup.procs"), own_pid.to_string())?;
    fs::write(&control, &request)
}

fn has_controller(place: PathBuf, name: &str) -> Result<PathBuf, String> {
    // CPU time is counted in every version 2 group, whether or not the controller is on.
    let enabled = fs::read_to_string(place.join("cgroup.subtree_control")).unwrap_or_default();
    if name == "cpu" || enabled.split_whitespace().any(|one| one == name) {
        return Ok(place);
    }
    Err(format!("the controller {name} is not available in {}", place.display()))
}

fn cpu_used(folder: &Path) -> Option<Duration> {
    if let Ok(nanos) = fs::read_to_string(folder.join("cpuacct.usage")) {
        return nanos.trim().parse().ok().map(Duration::from_nanos);
    }
    let stat = fs::read_to_string(folder.join("cpu.stat")).ok()?;
    let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    micros.trim().parse().ok().map(Duration::from_micros)
}

/// Reads the counters of a program's groups.
#[derive(Debug)]
pub(crate) struct Meters<'a> {
    folders: &'a [PathBuf],
}

impl<'a> Meters<'a> {
    pub(crate) fn new(folders: &'a [PathBuf]) -> Self {
        Self { folders }
    }

    /// CPU time used by all processes ever in the group; `None` when no group counts it.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.folders.iter().find_map(|folder| cpu_used(folder))
    }

    /// The most memory in use at once, in bytes; `None` when no group counts it.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        let read = |file: &str| {
            let number =
                |folder: &PathBuf| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
            self.folders.iter().find_map(number)
        };
        read("memory.peak").or_else(|| read("memory.max_usage_in_bytes"))
    }

    /// How many processes the kernel has killed for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let in_file = |folder: &PathBuf, file: &str| {
            let text = fs::read_to_string(folder.join(file)).ok()?;
            text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse::<u64>().ok()
        };
        let files = ["memory.events", "memory.oom_control"];
        let found = self
            .folders
            .iter()
            .find_map(|folder| files.iter().find_map(|file| in_file(folder, file)));
        found.unwrap_or(0)
    }

    /// Removes the groups. Their processes must have ended; the kernel may need a moment to notice.
    pub(crate) fn remove(&self) {
        for folder in self.folders {
            for _ in 0..40 {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 /docker/abc /sys/fs/cgroup/pids rw,relatime shared:3 - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn own_groups_are_found_in_every_kind_of_hierarchy() {
        let own = "8:pids:/docker/abc/x\n4:memory:/a/b\n0::/user.slice/c\n";
        let folder = |controller| own_folder(LEGACY_MOUNTS, own, controller);
        assert_eq!(folder(Some("memory")), Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(folder(Some("pids")), Some("/sys/fs/cgroup/pids/x".into()));
        assert_eq!(folder(None), Some("/sys/fs/cgroup/unified/user.slice/c".into()));
        assert_eq!(folder(Some("cpuacct")), None);
    }

    #[test]
    fn modern_groups_are_limited_and_read() {
        let top = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(top.path().join(name), text).unwrap();
        put("cgroup.controllers", "cpu memory pids\n");
        put("cgroup.subtree_control", "memory pids cpu\n");
        open_for_children(top.path(), 1).unwrap();
        put("memory.max", "max");
        put("memory.events", "low 0\noom 1\noom_kill 2\n");
        put("memory.peak", "4096\n");
        put("cpu.stat", "usage_usec 1500\nuser_usec 1000\n");
        let limits = Limits { memory_bytes: 1 << 20, processes: 7, ..Limits::default() };
        for protection in [Protection::MemoryGroup, Protection::ProcessCount, Protection::CpuGroup]
        {
            limit(top.path(), protection, &limits).unwrap();
        }
        let read = |name: &str| fs::read_to_string(top.path().join(name)).unwrap();
        assert_eq!(
            (read("memory.max").as_str(), read("memory.swap.max").as_str()),
            ("1048576", "0")
        );
        assert_eq!(read("pids.max"), "7");
        let folders = [top.path().to_owned()];
        let meters = Meters::new(&folders);
        assert_eq!(meters.cpu(), Some(Duration::from_micros(1500)));
        assert_eq!((meters.peak_bytes(), meters.oom_kills()), (Some(4096), 2));
    }

    #[test]
    fn a_controller_that_is_not_handed_on_is_named() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("cgroup.subtree_control"), "pids\n").unwrap();
        assert!(has_controller(top.path().into(), "memory").unwrap_err().contains("memory"));
        assert!(has_controller(top.path().into(), "pids").is_ok());
    }
}
