//! Load of other programs: processors and graphics cards.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Places, Processes, programs::ask};

/// How often `nvidia-smi` is asked, and how long it may take: it measures for a second.
const NVIDIA_EVERY: Duration = Duration::from_secs(10);
const NVIDIA_PATIENCE: Duration = Duration::from_secs(6);
/// Most open files of one process that are looked at.
const MOST_FILES: usize = 1_024;

/// The processors. The load of others is all load less our own: a worker that is busy is no reason.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    last: Option<Ticks>,
    unreadable: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    busy: u64,
    own: u64,
}

impl Cpu {
    /// Share of all processors that others have used since the last look, in percent.
    pub(super) fn others(&mut self, places: &Places, processes: &Processes) -> Option<u8> {
        let stat = fs::read_to_string(places.proc.join("stat")).unwrap_or_default();
        let Some((all, busy)) = parse_total(&stat) else {
            self.unreadable = true;
            return None;
        };
        let now = Ticks { all, busy, own: processes.own_ticks() };
        let last = self.last.replace(now)?;
        let all = now.all.checked_sub(last.all).filter(|all| *all > 0)?;
        let busy = now.busy.saturating_sub(last.busy);
        let others = busy.saturating_sub(now.own.saturating_sub(last.own));
        u8::try_from((others.saturating_mul(100) / all).min(100)).ok()
    }

    pub(super) fn blind(&self) -> impl Iterator<Item = &'static str> {
        self.unreadable.then_some("load: /proc/stat cannot be read").into_iter()
    }
}

/// All ticks of all processors, and those in which they worked.
fn parse_total(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal; what follows is contained in these.
    let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|t| t.parse().ok()).collect();
    let [_, _, _, idle, waiting, ..] = ticks[..] else { return None };
    let all = ticks.iter().copied().fold(0, u64::saturating_add);
    Some((all, all.saturating_sub(idle).saturating_sub(waiting)))
}

/// Nanoseconds of engines by process and client.
type BusyTimes = BTreeMap<(u32, u64), u64>;

/// Graphics cards. Drivers tell the time that each open file of a card has used its engines; without
/// the right to look at others' files only the card's own figure is left, which includes our work.
#[derive(Debug, Default)]
pub(super) struct Gpu {
    /// Nanoseconds of engines by process and client, at the last look.
    last: Option<(Instant, BusyTimes)>,
    nvidia: Option<(Instant, Option<u8>)>,
    hidden: bool,
    mute: bool,
}

impl Gpu {
    /// Share of the busiest card that others use, in percent; `None` without a card that says so.
    pub(super) fn others(&mut self, places: &Places, processes: &Processes) -> Option<u8> {
        let drm = self.engines(places, processes);
        let nvidia = self.nvidia(places, processes);
        drm.max(nvidia)
    }

    pub(super) fn blind(&self) -> impl Iterator<Item = &'static str> {
        let hidden = "graphics cards: what programs of other users draw can only be seen by root or with \
                      CAP_SYS_PTRACE; the card's own figure is used, while no worker of ours is on it";
        let mute =
            "graphics cards: nvidia-smi does not answer, so use of the card by others is not seen";
        self.hidden.then_some(hidden).into_iter().chain(self.mute.then_some(mute))
    }

    /// Cards whose drivers tell per open file.
    fn engines(&mut self, places: &Places, processes: &Processes) -> Option<u8> {
        let cards = fs::read_dir(places.sys.join("class/drm")).into_iter().flatten().flatten();
        let cards: Vec<PathBuf> = cards
            .map(|card| card.path())
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.strip_prefix("card").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
            })
            .collect();
        if cards.is_empty() {
            return None;
        }
        let (mut now, mut ours) = (BTreeMap::new(), false);
        self.hidden = false;
        for pid in processes.others() {
            self.hidden |= !clients(places, pid, &mut now);
        }
        let own = processes.own.iter().copied();
        let mut own_now = BTreeMap::new();
        for pid in own {
            clients(places, pid, &mut own_now);
        }
        ours |= !own_now.is_empty();
        let at = Instant::now();
        let last = self.last.replace((at, now.clone()));
        let told = last.and_then(|(then, before)| share(&before, &now, at.duration_since(then)));
        let whole = cards.iter().filter_map(|card| busy_percent(card)).max();
        match (told, whole) {
            // The card's figure counts our own work, too, so it is believed only without any.
            (told, Some(whole)) if self.hidden && !ours => Some(told.unwrap_or(0).max(whole)),
            (told, _) => told,
        }
    }

    fn nvidia(&mut self, places: &Places, processes: &Processes) -> Option<u8> {
        if !places.proc.join("driver/nvidia").exists() {
            return None;
        }
        if let Some((asked, answer)) = self.nvidia
            && asked.elapsed() < NVIDIA_EVERY
        {
            return answer;
        }
        let args = ["pmon", "-c", "1", "-s", "u"];
        let answer = ask(&places.nvidia_smi, &args, NVIDIA_PATIENCE);
        self.mute = answer.is_none();
        let busy = answer.map(|answer| parse_pmon(&answer, |pid| !processes.is_own(pid)));
        self.nvidia = Some((Instant::now(), busy));
        busy
    }
}

fn busy_percent(card: &Path) -> Option<u8> {
    let text = fs::read_to_string(card.join("device/gpu_busy_percent")).ok()?;
    text.trim().parse::<u8>().ok().map(|percent| percent.min(100))
}

/// Adds what a process's open files of graphics cards have used. False: its files are hidden from us.
fn clients(places: &Places, pid: u32, used: &mut BTreeMap<(u32, u64), u64>) -> bool {
    let process = places.proc.join(pid.to_string());
    let Ok(files) = fs::read_dir(process.join("fd")) else { return !process.exists() };
    for file in files.flatten().take(MOST_FILES) {
        let card = places.dev.join("dri");
        if !fs::read_link(file.path()).is_ok_and(|target| target.starts_with(&card)) {
            continue;
        }
        let info = fs::read_to_string(process.join("fdinfo").join(file.file_name()));
        if let Some((client, nanos)) = info.ok().as_deref().and_then(parse_client) {
            // A file opened twice is one client.
            used.insert((pid, client), nanos);
        }
    }
    true
}

/// The client's number and the nanoseconds of its busiest engine.
fn parse_client(info: &str) -> Option<(u64, u64)> {
    let value = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
    let mut client = None;
    let mut nanos = None::<u64>;
    for line in info.lines() {
        if let Some(rest) = line.strip_prefix("drm-client-id:") {
            client = value(rest);
        } else if let Some((name, rest)) = line.split_once(':')
            && name.starts_with("drm-engine-")
            && !name.starts_with("drm-engine-capacity-")
        {
            nanos = nanos.max(value(rest));
        }
    }
    Some((client?, nanos?))
}

/// What clients have used between two looks, in percent of the time.
fn share(
    before: &BTreeMap<(u32, u64), u64>,
    now: &BTreeMap<(u32, u64), u64>,
    span: Duration,
) -> Option<u8> {
    let used = now.iter().map(|(client, nanos)| match before.get(client) {
        Some(before) => nanos.saturating_sub(*before),
        // New since the last look.
        None => *nanos,
    });
    let used = u128::from(used.fold(0, u64::saturating_add));
    let percent = used.saturating_mul(100).checked_div(span.as_nanos())?;
    u8::try_from(percent.min(100)).ok()
}

/// Sum over processes of what `nvidia-smi pmon` says of the processors of each card; the busiest card's.
fn parse_pmon(answer: &str, counts: impl Fn(u32) -> bool) -> u8 {
    let mut cards = BTreeMap::<&str, u32>::new();
    for line in answer.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [card, pid, _kind, busy, ..] = fields[..] else { continue };
        // `-` stands for nothing.
        let (Ok(pid), Ok(busy)) = (pid.parse(), busy.parse::<u32>()) else { continue };
        if counts(pid) {
            let sum = cards.entry(card).or_default();
            *sum = sum.saturating_add(busy.min(100));
        }
    }
    cards.values().max().map_or(0, |busy| u8::try_from(*busy.min(&100)).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{
        super::tests::{places, stat, write},
        *,
    };

    #[test]
    fn our_own_work_is_no_load_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let mut cpu = Cpu::default();
        let mut look = |user: u64, idle: u64, own: u64| {
            write(
                places.proc.join("stat"),
                &format!("cpu  {user} 0 0 {idle} 10 0 0 0 0 0\ncpu0 1\n"),
            );
            stat(dir.path(), 10, 1, own);
            cpu.others(&places, &Processes::read(&places))
        };
        assert_eq!(look(1_000, 5_000, 900), None);
        assert_eq!(look(1_100, 5_100, 1_000), Some(0), "half of the machine, all of it ours");
        assert_eq!(look(1_250, 5_150, 1_040), Some(55), "110 of 200 ticks");
        assert_eq!(look(1_250, 5_150, 1_040), None, "no time has passed");
        assert_eq!(look(1_350, 5_150, 1_000), Some(100), "a worker that is gone");
        assert_eq!(parse_total("cpux 1"), None);
    }

    #[test]
    fn files_of_cards_tell_who_draws() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let card = places.dev.join("dri/renderD128");
        write(&card, "");
        fs::create_dir_all(places.sys.join("class/drm/card0-HDMI-A-1")).unwrap();
        let mut gpu = Gpu::default();
        let draw = |pid: u32, nanos: u64| {
            stat(dir.path(), pid, 1, 0);
            let process = places.proc.join(pid.to_string());
            fs::create_dir_all(process.join("fd")).unwrap();
            let _ = symlink(&card, process.join("fd/5"));
            let info = format!(
                "pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t7\ndrm-engine-gfx:\t{nanos} ns\n\
                 drm-engine-capacity-gfx:\t4\ndrm-engine-dec:\t5 ns\n"
            );
            write(process.join("fdinfo/5"), &info);
        };
        assert_eq!(gpu.others(&places, &Processes::read(&places)), None, "no card");
        write(places.sys.join("class/drm/card0/device/gpu_busy_percent"), "80\n");
        draw(10, 0);
        draw(20, 0);
        gpu.others(&places, &Processes::read(&places));
        draw(10, 1 << 60);
        assert_eq!(gpu.others(&places, &Processes::read(&places)), Some(0), "we draw, nobody else");
        draw(20, 1 << 60);
        assert_eq!(gpu.others(&places, &Processes::read(&places)), Some(100));
    }

    #[test]
    fn times_of_engines_become_shares() {
        let used = |nanos| BTreeMap::from([((20, 7), nanos)]);
        let second = Duration::from_secs(1);
        assert_eq!(share(&used(100), &used(250_000_100), second), Some(25));
        assert_eq!(share(&BTreeMap::new(), &used(u64::MAX), second), Some(100));
        assert_eq!(share(&used(9), &used(5), second), Some(0), "a counter that began anew");
        assert_eq!(share(&used(9), &used(9), Duration::ZERO), None);
        assert_eq!(parse_client("drm-engine-gfx: 5 ns"), None);
    }

    #[test]
    fn nvidias_table_is_read() {
        let table = "# gpu        pid  type    sm   mem   enc   dec   command\n\
                     # Idx          #   C/G     %     %     %     %   name\n    \
                     0       1200     C    90    10     -     -   worker\n    \
                     0       1300     G    12     3     -     -   Xorg\n    \
                     0       1400     G     -     -     -     -   idle\n    \
                     1       1500     C    40     3     -     -   other\n";
        assert_eq!(parse_pmon(table, |pid| pid != 1200), 40);
        assert_eq!(parse_pmon(table, |_| true), 100);
        assert_eq!(parse_pmon("    0          -     -     -     -     -     -   -\n", |_| true), 0);
        assert_eq!(parse_pmon("", |_| true), 0);
    }

    #[test]
    fn a_program_that_does_not_answer_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut places = places(dir.path());
        fs::create_dir_all(places.proc.join("driver/nvidia")).unwrap();
        let mut gpu = Gpu::default();
        assert_eq!(gpu.others(&places, &Processes::default()), None);
        assert!(gpu.blind().any(|text| text.contains("nvidia-smi")), "it is not there");
        places.nvidia_smi = "true".into();
        let mut gpu = Gpu::default();
        assert_eq!(gpu.others(&places, &Processes::default()), Some(0));
        let began = Instant::now();
        assert_eq!(ask(Path::new("sleep"), &["100"], Duration::from_millis(20)), None);
        assert!(began.elapsed() < Duration::from_secs(50));
    }
}
