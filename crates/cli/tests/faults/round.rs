//! One round: a farm, a schedule of faults, and what must be true when they are over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    errand::{Errand, undisturbed},
    farm::{Farm, PATIENCE, eventually, skip},
    oracle::{Money, each_task_once, money_adds_up, same_output},
    process::{adopt_orphans, groups_of, orphans},
    schedule::{Fault, Order, Plan, Role, What},
};

/// How often everything is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of each log that are shown when a round fails.
const SHOWN: usize = 40;

/// What a round came to.
#[derive(Debug, Default)]
pub struct Report {
    pub faults: BTreeMap<&'static str, u32>,
    pub skipped: u32,
    pub lies_told: u64,
    pub falls: u32,
    pub seconds: f64,
}

struct Round {
    farm: Farm,
    plan: Plan,
    errands: Vec<Errand>,
    /// Before the first job.
    money: Money,
    client_is_down: bool,
    began: Instant,
    log: File,
    report: Report,
}

/// Runs the round of a plan in a folder of its own, which stays if it fails. `Err` says why, with the
/// ends of all logs.
pub fn run(plan: Plan) -> Result<Report, String> {
    let name = plan.name();
    adopt_orphans();
    let folder = tempfile::Builder::new().prefix("tilth-faults-").tempdir();
    let folder = folder.map_err(|error| error.to_string())?;
    let root = folder.path().canonicalize().map_err(|error| error.to_string())?;
    // In a thread of its own, because it moves to another network.
    let there = root.clone();
    let round = std::thread::spawn(move || {
        let mut round = Round::begin(&there, plan)?;
        round.play()?;
        round.judge()?;
        round.end()
    });
    let outcome = round.join().unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "the round panicked".to_owned()))
    });
    let outcome = outcome.and_then(|report| {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let left = mounts.lines().find(|line| line.contains(&root.display().to_string()));
        left.map_or(Ok(report), |left| Err(format!("a mount stays behind: {left}")))
    });
    outcome.map_err(|why| {
        let kept = folder.keep();
        format!("{name}: {why}\neverything is kept in {}{}", kept.display(), ends_of_logs(&kept))
    })
}

impl Round {
    fn begin(root: &Path, plan: Plan) -> Result<Self, String> {
        let log = File::create(root.join("events.log")).map_err(|error| error.to_string())?;
        let farm = Farm::start(root, &plan)?;
        let money = farm.money()?;
        let began = Instant::now();
        let (errands, report) = (Vec::new(), Report::default());
        Ok(Self { farm, plan, errands, money, client_is_down: false, began, log, report })
    }

    fn say(&mut self, text: &str) {
        let ms = self.began.elapsed().as_millis();
        let _ = writeln!(self.log, "{ms:>6} ms  {text}");
        if std::env::var_os("TILTH_FAULT_SHOW").is_some() {
            eprintln!("{ms:>6} ms  {text}");
        }
    }

    /// Lets the schedule happen, and waits until all jobs are done and all second agents are gone.
    fn play(&mut self) -> Result<(), String> {
        self.began = Instant::now();
        let faults = self.plan.faults.clone();
        let mut orders = self.plan.orders.clone().into_iter().peekable();
        let (mut begun, mut over) = (BTreeSet::new(), BTreeSet::new());
        let ends = Duration::from_millis(self.plan.ends());
        let deadline = self.began + ends + PATIENCE;
        loop {
            let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            while let Some(order) = orders.next_if(|order| order.at <= now) {
                self.errands.push(Errand::new(order));
            }
            for (index, fault) in faults.iter().enumerate() {
                if fault.end() <= now && begun.contains(&index) && over.insert(index) {
                    self.say(&format!("over: {fault}"));
                    self.turn(*fault, false)?;
                }
                if fault.at <= now && begun.insert(index) {
                    self.say(&fault.to_string());
                    self.turn(*fault, true)?;
                }
            }
            self.look();
            let twins = self.farm.twins.iter().any(|twin| twin.is_running());
            let mut done = self.errands.iter().all(|errand| errand.output.is_some());
            if done && over.len() == faults.len() {
                done = !self.take_up_strays();
            }
            if over.len() == faults.len() && orders.peek().is_none() && done && !twins {
                break;
            }
            if Instant::now() > deadline {
                let open = self.errands.iter().filter(|errand| errand.output.is_none());
                let open: Vec<_> = open.map(|errand| errand.order.tasks).collect();
                return Err(format!(
                    "jobs {open:?} are not done, or a second agent ({twins}) is not gone, {PATIENCE:?} after the last fault"
                ));
            }
            std::thread::sleep(LOOK);
        }
        self.check_results()
    }

    /// Looks after every process.
    fn look(&mut self) {
        let mut noticed: Vec<_> =
            self.farm.services().filter_map(|service| service.watch()).collect();
        if !self.client_is_down {
            noticed.extend(self.errands.iter_mut().filter_map(|errand| errand.go_on(&self.farm)));
        }
        noticed.iter().for_each(|text| self.say(text));
    }

    /// A client that died while its transaction was on the way may have opened a job twice: what is open
    /// and nobody's is followed, too. True if there is such a job, or nobody can say.
    fn take_up_strays(&mut self) -> bool {
        let Ok(books) = self.farm.books() else { return true };
        let strays: Vec<_> = books.open().collect();
        for (job, tasks) in &strays {
            self.say(&format!("job {job} is nobody's"));
            self.errands.push(Errand::of_job(*job, *tasks));
        }
        !strays.is_empty()
    }

    /// Begins a fault, or ends it.
    fn turn(&mut self, fault: Fault, on: bool) -> Result<(), String> {
        if on && !self.can(fault.what) {
            self.report.skipped += 1;
            skip(&fault.to_string(), "this machine cannot do it, see above");
            return Ok(());
        }
        if on {
            *self.report.faults.entry(fault.what.kind()).or_default() += 1;
        } else if !self.can(fault.what) {
            return Ok(());
        }
        let failed = |error: std::io::Error| format!("{fault}: {error}");
        match fault.what {
            What::Cut(role) => self.link(role, |space, name| space.cut(name, on)),
            What::Slow(role, kilobits) => {
                self.link(role, |space, name| space.slow(name, on.then_some(kilobits)))
            }
            What::Lossy(role, percent) => {
                self.link(role, |space, name| space.lose(name, if on { percent } else { 0 }))
            }
            What::Kill(Role::Client) => {
                self.client_is_down = on;
                self.errands.iter_mut().filter(|_| on).for_each(Errand::kill);
                Ok(())
            }
            What::Kill(role) => {
                if let Some(service) = self.farm.service_of(role) {
                    if on { service.kill() } else { service.start() }
                }
                Ok(())
            }
            What::FullDisk(role) => match &self.farm.machine(&role.to_string()).disk {
                Some(disk) if on => disk.fill().map_err(failed),
                Some(disk) => disk.clear().map_err(failed),
                None => Ok(()),
            },
            What::Clock(role, seconds) => {
                let clock = &self.farm.machine(&role.to_string()).clock;
                clock.set(if on { seconds } else { 0 }).map_err(failed)
            }
            What::Twin(number) => {
                if let Some(twin) = self.farm.twins.get_mut(usize::from(number) - 1) {
                    // What it has handed in is in its folder alone: it leaves as an owner would
                    // have it leave, and not before that is fetched.
                    if on { twin.start() } else { twin.ask_to_stop() }
                }
                Ok(())
            }
            What::Lies(role, lie) => {
                if let Some(proxy) = &self.farm.machine(&role.to_string()).proxy {
                    proxy.lie(on.then_some(lie));
                }
                Ok(())
            }
        }
    }

    fn can(&self, what: What) -> bool {
        match what {
            What::Cut(_) | What::Slow(..) => self.farm.space.is_some(),
            What::Lossy(..) => self.farm.space.as_ref().is_some_and(|space| space.can_lose()),
            What::FullDisk(role) => self.farm.machine(&role.to_string()).disk.is_some(),
            What::Clock(..) => self.farm.can_turn_clocks(),
            What::Kill(_) | What::Twin(_) | What::Lies(..) => true,
        }
    }

    fn link(
        &self,
        role: Role,
        turn: impl FnOnce(&crate::space::Space, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        self.farm.space.as_ref().map_or(Ok(()), |space| turn(space, &role.to_string()))
    }

    /// Jobs complete with the right results, nothing lost, money conserved, each range paid once.
    fn check_results(&mut self) -> Result<(), String> {
        self.say("everything is done; checking");
        let books = self.farm.books()?;
        for errand in &self.errands {
            let tasks = errand.order.tasks;
            let expected = undisturbed(&self.farm, tasks)?;
            let path = errand.output.clone().unwrap_or_default();
            let got = fs::read(path).map_err(|error| error.to_string())?;
            same_output(&format!("the job of {tasks} tasks"), &got, &expected)?;
        }
        each_task_once(&books)?;
        let locked = self.farm.client_locked()?;
        if locked != 0 {
            return Err(format!("{locked} of the client's money is still locked"));
        }
        money_adds_up(&books, &self.money, &self.farm.money()?, self.farm.people)
    }

    /// Every role is healthy again: each provider, alone, does a job of its own.
    fn judge(&mut self) -> Result<(), String> {
        let count = self.farm.providers.len();
        self.errands.clear();
        for number in 0..count {
            self.say(&format!("provider-{} works alone", number + 1));
            let others = |index: usize| index != number;
            for (index, provider) in self.farm.providers.iter().enumerate() {
                provider.signal(if others(index) { Signal::STOP } else { Signal::CONT });
            }
            // Fewer tasks than any job of the schedule has, so that they are told apart.
            let tasks = 2 + u32::try_from(number).unwrap_or(0);
            let mut errand = Errand::new(Order { at: 0, tasks });
            let deadline = Instant::now() + PATIENCE;
            while errand.output.is_none() {
                if let Some(text) = errand.go_on(&self.farm) {
                    self.say(&text);
                }
                if Instant::now() > deadline {
                    return Err(format!("provider-{} does not work any more", number + 1));
                }
                std::thread::sleep(LOOK);
            }
            self.errands.push(errand);
        }
        self.farm.providers.iter().for_each(|provider| provider.signal(Signal::CONT));
        self.check_results()
    }

    /// Everything is put away and stops in order; nothing stays behind.
    fn end(mut self) -> Result<Report, String> {
        self.say("waiting until nothing is served any more, and stopping");
        let jobs: Vec<PathBuf> = (1..=self.farm.providers.len())
            .map(|n| format!("provider-{n}"))
            .map(|name| self.farm.machine(&name).dir.join("providers").join(name).join("jobs"))
            .collect();
        eventually("providers put finished jobs away", || {
            let left = jobs.iter().find(|folder| !is_empty(folder));
            left.map_or(Ok(()), |folder| Err(format!("{} is not empty", folder.display())))
        })?;
        self.farm.providers.iter_mut().for_each(|service| service.ask_to_stop());
        self.await_stops(Role::Provider(1))?;
        self.farm.node.ask_to_stop();
        self.await_stops(Role::Node)?;
        for jobs in &jobs {
            let work = jobs.with_file_name("work");
            if !is_empty(&work) {
                return Err(format!("{} is not empty", work.display()));
            }
        }
        eventually("nothing runs any more", || {
            let left = orphans();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })?;
        let pids: Vec<u32> = self.farm.services().flat_map(|s| s.pids.clone()).collect();
        let groups = groups_of(&pids);
        if !groups.is_empty() {
            return Err(format!("control groups stay behind: {groups:?}"));
        }
        self.report.falls = self.farm.services().map(|service| service.falls).sum();
        let proxies = self.farm.machines.iter().filter_map(|machine| machine.proxy.as_ref());
        self.report.lies_told = proxies.map(|proxy| proxy.told()).sum();
        self.report.seconds = self.began.elapsed().as_secs_f64();
        Ok(self.report)
    }

    fn await_stops(&mut self, who: Role) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let noticed: Vec<_> = self.farm.services().filter_map(|s| s.watch()).collect();
            noticed.iter().for_each(|text| self.say(text));
            if let Some(text) = noticed.iter().find(|text| !text.ends_with("exit status: 0")) {
                return Err(text.clone());
            }
            let runs = match who {
                Role::Node => self.farm.node.is_running(),
                _ => self.farm.providers.iter().any(|provider| provider.is_running()),
            };
            if !runs {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{who} does not stop"));
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// The last lines of every log in a folder.
fn ends_of_logs(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<_> = entries.map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|end| end == "log"));
    logs.sort();
    logs.iter().fold(String::new(), |text, path| {
        let log = fs::read_to_string(path).unwrap_or_default();
        // All of what happened, the end of what each role said about it.
        let shown = if path.ends_with("events.log") { usize::MAX } else { SHOWN };
        let lines: Vec<_> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(shown)..].join("\n");
        format!("{text}\n--- {}\n{end}", path.file_name().unwrap_or_default().display())
    })
}
