//! Processes of the farm: started, watched, killed, frozen, and looked for when they should be gone.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Pause before a role that ended by itself is started again, as a service manager does.
const RESTART: Duration = Duration::from_millis(300);

/// A long-running role.
pub struct Service {
    pub name: String,
    make: Box<dyn Fn() -> Command>,
    folder: PathBuf,
    child: Option<Child>,
    wanted: bool,
    again: Instant,
    /// Process ids it has had.
    pub pids: Vec<u32>,
    /// Times it ended although nobody had told it to.
    pub falls: u32,
}

impl Service {
    /// A role that is not started yet. Its output goes to NAME.out and NAME.log in a folder.
    pub fn new(name: &str, folder: &Path, make: impl Fn() -> Command + 'static) -> Self {
        Self {
            name: name.to_owned(),
            make: Box::new(make),
            folder: folder.to_owned(),
            child: None,
            wanted: false,
            again: Instant::now(),
            pids: Vec::new(),
            falls: 0,
        }
    }

    pub fn start(&mut self) {
        self.wanted = true;
        let child = spawn(&mut (self.make)(), &self.folder, &self.name);
        self.pids.push(child.id());
        self.child = Some(child);
    }

    /// Kills it without warning; it stays down.
    pub fn kill(&mut self) {
        self.wanted = false;
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to stop; it is not started again.
    pub fn ask_to_stop(&mut self) {
        self.wanted = false;
        self.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }

    pub fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.as_ref()?.id()).ok()?)
    }

    /// Looks whether it has ended; starts it again if it should run. Says what was noticed.
    pub fn watch(&mut self) -> Option<String> {
        if let Some(child) = &mut self.child {
            let status = child.try_wait().unwrap()?;
            self.child = None;
            if !self.wanted {
                return Some(format!("{} has stopped: {status}", self.name));
            }
            self.falls += 1;
            self.again = Instant::now() + RESTART;
            return Some(format!("{} ended by itself: {status}", self.name));
        }
        if self.wanted && Instant::now() >= self.again {
            self.start();
            return Some(format!("{} is started again", self.name));
        }
        None
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// What it has said on standard output.
    pub fn said(&self) -> String {
        let path = self.folder.join(format!("{}.out", self.name));
        fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a command with its output in NAME.out and NAME.log.
pub fn spawn(command: &mut Command, folder: &Path, name: &str) -> Child {
    let open = |end: &str| {
        let path = folder.join(format!("{name}.{end}"));
        File::options().create(true).append(true).open(path).unwrap()
    };
    let command = command.stdin(Stdio::null()).stdout(open("out")).stderr(open("log"));
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command to its end; its output is in NAME.out and NAME.log.
pub fn finish(command: &mut Command, folder: &Path, name: &str) -> Result<ExitStatus, String> {
    let status = spawn(command, folder, name).wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(status) } else { Err(format!("{name}: {status}")) }
}

/// Makes processes whose parents die ours, so that none can get lost.
pub fn adopt_orphans() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

/// Children of this process, by their names. Dead ones are buried; so only to be called when whoever started
/// a child has waited for it, or its end would be taken away from them.
pub fn orphans() -> Vec<String> {
    let mut found = Vec::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for pid in list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()) {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let is_dead = stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"));
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            match pid {
                Some(pid) if is_dead => drop(waitpid(Some(pid), WaitOptions::NOHANG)),
                _ => found.push(stat.chars().take(60).collect()),
            }
        }
    }
    found
}

/// Control groups that were made for programs of these processes.
pub fn groups_of(pids: &[u32]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix("tilth-").and_then(|rest| rest.split('-').next());
            let owner = owner.and_then(|pid| pid.parse::<u32>().ok());
            if owner.is_some_and(|owner| pids.contains(&owner)) {
                found.push(entry.path());
            }
            folders.push(entry.path());
        }
    }
    found
}
