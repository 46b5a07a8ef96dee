//! What this machine can enforce, found out by trial, and the starting of programs under it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustix::process::geteuid;
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    Bind, CommandLine, Confined, Limits, Measure, Program, Protection, SandboxError, State,
    groups::{GroupPlaces, GroupSet},
    init::{Sight, TRIAL, cage::is_plain},
    launch::launch,
    libraries,
    nodes::groups_of,
    wire::{MAKE_USER_NAMESPACE, Plan, Rank},
};

/// The most a trial program may say.
const MAX_SIGHT: u64 = 64 << 10;
/// How long a trial program may take.
const TRIAL_DEADLINE: Duration = Duration::from_secs(20);
/// Why a protection is missing that the caller wanted to be.
pub(crate) const LEFT_OUT: &str = "left out on purpose";
/// The least memory with which a program can be loaded at all.
const MIN_MEMORY: u64 = 1 << 20;

/// The sandbox of this machine: knows what can be enforced, starts programs under all of it.
#[derive(Debug)]
pub struct Confinement {
    init: CommandLine,
    rank: Rank,
    protections: BTreeSet<Protection>,
    places: GroupPlaces,
    report: Vec<Measure>,
    /// What programs need to be loaded, by file and time of last change.
    code: Mutex<HashMap<(PathBuf, SystemTime), Vec<Bind>>>,
}

impl Confinement {
    /// Finds out by trial runs what can be enforced here. `init` is the command whose `main` calls
    /// [`crate::init_main`] with the arguments after those given.
    ///
    /// Takes some tens of milliseconds. Needs a tokio runtime, as everything here does.
    ///
    /// # Errors
    /// When not even an unprotected program can be started by way of `init`. Missing protections are no errors but
    /// part of the [`Confinement::report`].
    pub async fn probe(init: CommandLine) -> Result<Self, SandboxError> {
        Self::probe_without(init, &[]).await
    }

    /// As [`Confinement::probe`], but as if this machine did not have these protections. For trying out what the others
    /// hold by themselves, and whether attempts to escape would be noticed. The report names what was left out.
    ///
    /// # Errors
    /// As [`Confinement::probe`].
    pub async fn probe_without(
        init: CommandLine,
        without: &[Protection],
    ) -> Result<Self, SandboxError> {
        let is_root = geteuid().is_root();
        let places = GroupPlaces::discover(is_root);
        let mut probe = Self {
            init,
            rank: if is_root { Rank::Root } else { Rank::UserNamespace },
            protections: Protection::ALL.into(),
            places,
            report: Vec::new(),
            code: Mutex::default(),
        };
        probe.places.leave_out(without);
        let mut missing: BTreeMap<_, _> = without
            .iter()
            .filter(|protection| **protection != Protection::ProcessCount)
            .map(|protection| (*protection, LEFT_OUT.to_owned()))
            .collect();
        if !is_root {
            let user = geteuid().as_raw();
            missing.insert(
                Protection::OtherUser,
                format!("only root can change users, and this is user {user}"),
            );
        }
        for group in [Protection::MemoryGroup, Protection::CpuGroup] {
            if let Some(why) = probe.places.why_missing(group) {
                missing.insert(group, why.to_owned());
            }
        }
        loop {
            probe.protections.retain(|protection| !missing.contains_key(protection));
            if !probe.counts_processes() && probe.protections.remove(&Protection::ProcessCount) {
                let why = probe.places.why_missing(Protection::ProcessCount).unwrap_or("no cgroup");
                missing.insert(
                    Protection::ProcessCount,
                    format!("{why}, and the quota counts all of this user"),
                );
            }
            match probe.trial().await {
                Ok(broken) => {
                    missing.extend(broken);
                    break;
                }
                Err(error) => probe.learn(error, &mut missing)?,
            }
        }
        let state = |protection| match missing.get(&protection) {
            None => State::Enforced,
            Some(why) => State::Missing { why: why.clone() },
        };
        probe.report = Protection::ALL
            .into_iter()
            .map(|protection| Measure { protection, state: state(protection) })
            .collect();
        Ok(probe)
    }

    /// The command by which programs are started.
    pub(crate) fn init(&self) -> &CommandLine {
        &self.init
    }

    /// Every protection, and whether it is in force.
    #[must_use]
    pub fn report(&self) -> &[Measure] {
        &self.report
    }

    /// The path under which a program will find what is bound. That is `bind.inside`, except where files cannot be
    /// private: there programs see the machine's own tree. Whoever tells a program its paths must use this.
    #[must_use]
    pub fn path_inside<'a>(&self, bind: &'a Bind) -> &'a Path {
        if self.protections.contains(&Protection::PrivateFiles) { &bind.inside } else { &bind.host }
    }

    /// Starts a program under all that can be enforced and waits until it runs.
    ///
    /// # Errors
    /// [`SandboxError`]; nothing has been started then.
    pub async fn spawn(
        &self,
        program: &Program,
        limits: &Limits,
    ) -> Result<Confined, SandboxError> {
        check(program, limits)?;
        let (plan, groups) = self.plan(program, limits)?;
        let launched = launch(&self.init, &plan).await?;
        let memory_is_grouped = self.protections.contains(&Protection::MemoryGroup);
        Ok(Confined::new(launched, groups, *limits, memory_is_grouped))
    }

    /// Runs the init itself as a program in the sandbox and returns what it finds not to hold.
    async fn trial(&self) -> Result<Vec<(Protection, String)>, SandboxError> {
        let mut program = Program::new(&self.init.program);
        program.args = self.init.args.clone();
        program.args.push(TRIAL.into());
        let mut confined = self.spawn(&program, &Limits::default()).await?;
        let code = self.code_of(&self.init.program)?;
        let seen = timeout(TRIAL_DEADLINE, async {
            let mut text = Vec::new();
            if let Some(stdout) = confined.stdout.take() {
                stdout.take(MAX_SIGHT).read_to_end(&mut text).await?;
            }
            let sight: Result<Sight, _> = serde_json::from_slice(&text);
            let ended = confined.wait().await?;
            sight.map_err(|_| {
                io::Error::other(format!(
                    "a trial ended with {:?}: {}",
                    ended.how,
                    confined.stderr_tail().trim()
                ))
            })
        });
        let seen = seen.await.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let sight = seen.map_err(|error| SandboxError::Silent { said: error.to_string() })?;
        let mut root: BTreeSet<String> = ["bin", "dev", "tmp"].map(String::from).into();
        root.extend(code.iter().filter_map(|bind| top_folder(&bind.inside)));
        let mut broken = sight.broken(geteuid().as_raw(), &root);
        broken.retain(|(protection, _)| self.protections.contains(protection));
        Ok(broken)
    }

    /// Draws the lesson from a failed trial: one protection less, or a lower rank.
    fn learn(
        &mut self,
        error: SandboxError,
        missing: &mut BTreeMap<Protection, String>,
    ) -> Result<(), SandboxError> {
        let SandboxError::SetUp { protection, step, why, errno } = &error else {
            return Err(error);
        };
        let why = format!("cannot {step}: {why}");
        match *protection {
            None if step == MAKE_USER_NAMESPACE => {
                self.rank = Rank::None;
                for protection in Protection::ALL.into_iter().filter(|one| one.is_namespace()) {
                    missing.entry(protection).or_insert_with(|| why.clone());
                }
            }
            // A container's root may lack the right; the user namespace it may make brings it.
            Some(one) if one.is_namespace() && self.rank == Rank::Root && *errno == libc::EPERM => {
                self.rank = Rank::UserNamespace;
            }
            Some(one) if self.protections.contains(&one) => {
                missing.insert(one, why);
            }
            Some(_) | None => return Err(error),
        }
        Ok(())
    }

    /// Whether processes can be counted for one program alone, by a cgroup or by the user's quota.
    fn counts_processes(&self) -> bool {
        self.places.why_missing(Protection::ProcessCount).is_none() || self.own_process_quota()
    }

    fn own_process_quota(&self) -> bool {
        if !self.protections.contains(&Protection::Quotas) {
            return false;
        }
        let other_user = self.protections.contains(&Protection::OtherUser);
        match self.rank {
            Rank::Root | Rank::None => other_user,
            Rank::UserNamespace => other_user || kernel_counts_per_namespace(),
        }
    }

    fn plan(&self, program: &Program, limits: &Limits) -> Result<(Plan, GroupSet), SandboxError> {
        let unusable = |source| SandboxError::Program { path: program.path.clone(), source };
        let path = program.path.canonicalize().map_err(unusable)?;
        let private = self.protections.contains(&Protection::PrivateFiles);
        // A group opens all of its nodes and files, so it is given only where others are out of sight or reach.
        let walled = private || self.protections.contains(&Protection::FileRules);
        let mut env = program.env.clone();
        let mut code = self.code_of(&path)?;
        for more in &program.code {
            let more = canonical(more)?;
            // Drivers share libraries with the program.
            if code.iter().all(|known| known.inside != more.inside) {
                code.push(more);
            }
        }
        if private {
            env.push(("LD_LIBRARY_PATH".into(), "/lib".into()));
        }
        let exec = if private { Program::inside_path(&path) } else { path.clone() };
        let groups =
            self.places.create(&self.protections, limits).map_err(|(protection, error)| {
                SandboxError::SetUp {
                    protection: Some(protection),
                    step: "make a cgroup".into(),
                    why: error.to_string(),
                    errno: error.raw_os_error().unwrap_or(0),
                }
            })?;
        let plan = Plan {
            protections: self.protections.clone(),
            rank: self.rank,
            own_process_quota: self.own_process_quota(),
            program: path,
            exec,
            args: program.args.clone(),
            env,
            code,
            read_only: program.read_only.iter().map(canonical).collect::<Result<_, _>>()?,
            devices: program.devices.clone(),
            device_groups: if walled { groups_of(&program.devices) } else { Vec::new() },
            writable: program.writable.as_ref().map(canonical).transpose()?,
            limits: *limits,
            groups: groups.folders.clone(),
        };
        Ok((plan, groups))
    }

    /// The program and what it needs to be loaded.
    fn code_of(&self, program: &Path) -> Result<Vec<Bind>, SandboxError> {
        let unusable = |source| SandboxError::Program { path: program.into(), source };
        let changed = program.metadata().and_then(|data| data.modified()).map_err(unusable)?;
        let key = (program.to_owned(), changed);
        // Listing takes a millisecond or two and happens once per file, so waiting under the lock is fine.
        let mut known = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = known.get(&key) {
            return Ok(code.clone());
        }
        let mut code = libraries::needed_by(program).map_err(unusable)?;
        let host = program.canonicalize().map_err(unusable)?;
        code.push(Bind::new(&host, Program::inside_path(&host)));
        known.retain(|(path, _), _| path != program);
        known.insert(key, code.clone());
        Ok(code)
    }
}

fn canonical(bind: &Bind) -> Result<Bind, SandboxError> {
    let host = bind.host.canonicalize();
    let host = host.map_err(|source| SandboxError::Bind { path: bind.host.clone(), source })?;
    Ok(Bind { host, inside: bind.inside.clone() })
}

fn check(program: &Program, limits: &Limits) -> Result<(), SandboxError> {
    if limits.memory_bytes < MIN_MEMORY || limits.processes == 0 || limits.open_files < 8 {
        return Err(SandboxError::Request(
            "memory, processes or open files are fewer than any program needs",
        ));
    }
    let plain = program.code.iter().map(|bind| &bind.inside).chain(&program.devices);
    if !plain.clone().all(|path| is_plain(path))
        || !program.devices.iter().all(|path| path.starts_with("/dev"))
    {
        return Err(SandboxError::Request("libraries and devices must lie at plain paths"));
    }
    let reserved = ["bin", "dev", "lib", "lib64", "tmp"];
    for bind in program.read_only.iter().chain(&program.writable) {
        let top = top_folder(&bind.inside);
        if !is_plain(&bind.inside) || top.is_some_and(|top| reserved.contains(&top.as_str())) {
            return Err(SandboxError::Request(
                "what is bound must lie at a plain path outside /bin, /dev, /lib, /tmp",
            ));
        }
    }
    Ok(())
}

fn top_folder(path: &Path) -> Option<String> {
    path.components().find_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    })
}

/// From Linux 5.14 on the quota of processes counts those of one user namespace alone.
fn kernel_counts_per_namespace() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 14)
}
