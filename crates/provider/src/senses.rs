//! Looking at the machine: input of people, load of others, graphics cards, battery.
//!
//! Reads `/proc`, `/sys` and `/dev`, and asks `nvidia-smi` and logind's bus where they are there. What
//! needs rights that this user lacks is not seen; [`Senses::blind`] says what and what to do about it.
//! Blocking: to be called away from threads that serve others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use crate::idle::Observation;

mod input;
mod load;
mod programs;

use input::Input;
use load::{Cpu, Gpu};

/// Where the machine is looked at; tests look at folders of their own.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) proc: PathBuf,
    pub(crate) sys: PathBuf,
    pub(crate) dev: PathBuf,
    /// `nvidia-smi` and `busctl`, or other programs in their place.
    pub(crate) nvidia_smi: PathBuf,
    pub(crate) busctl: PathBuf,
    /// Our own process; it and all it has started is not "others".
    pub(crate) own: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            dev: "/dev".into(),
            nvidia_smi: "nvidia-smi".into(),
            busctl: "busctl".into(),
            own: std::process::id(),
        }
    }
}

/// What is remembered from look to look.
#[derive(Debug)]
pub(crate) struct Senses {
    places: Places,
    input: Input,
    cpu: Cpu,
    gpu: Gpu,
}

impl Senses {
    pub(crate) fn new(places: Places) -> Self {
        let input = Input::new(&places);
        Self { places, input, cpu: Cpu::default(), gpu: Gpu::default() }
    }

    /// Looks once. `everything`: also at what only matters when the machine is to work when idle.
    pub(crate) fn look(&mut self, everything: bool) -> Observation {
        let mut seen =
            Observation { on_battery: on_battery(&self.places), ..Observation::default() };
        if everything {
            let processes = Processes::read(&self.places);
            seen.input_quiet_ms = self.input.quiet_ms(&self.places);
            seen.cpu_percent = self.cpu.others(&self.places, &processes);
            seen.gpu_percent = self.gpu.others(&self.places, &processes);
        }
        seen
    }

    /// What this system does not let us see, after a look: what, and what to do about it.
    pub(crate) fn blind(&self) -> Vec<String> {
        self.input
            .blind()
            .chain(self.cpu.blind())
            .chain(self.gpu.blind())
            .map(str::to_owned)
            .collect()
    }
}

/// Whether the machine runs on battery; `None` if it has neither battery nor anything that says so.
fn on_battery(places: &Places) -> Option<bool> {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut discharging = None;
    let supplies = fs::read_dir(places.sys.join("class/power_supply")).into_iter().flatten();
    for supply in supplies.flatten().map(|entry| entry.path()) {
        // The battery of a mouse says nothing about the machine.
        if read(supply.join("scope")) == "Device" {
            continue;
        }
        match read(supply.join("type")).as_str() {
            "Battery" => {
                let falls = read(supply.join("status")) == "Discharging";
                discharging = Some(discharging.unwrap_or(false) || falls);
            }
            "UPS" if read(supply.join("status")) == "Discharging" => discharging = Some(true),
            _ => {}
        }
    }
    // What is plugged in is not asked: a full battery does not discharge then, and one that discharges
    // although something is plugged in (a weak charger) is used up all the same.
    discharging
}

/// The machine's processes at a moment, as far as they can be seen.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// CPU ticks of each with its waited-for children, by process.
    ticks: BTreeMap<u32, u64>,
    /// Ours: this process and everything that descends from it.
    own: BTreeSet<u32>,
}

impl Processes {
    fn read(places: &Places) -> Self {
        let mut parents = BTreeMap::new();
        let mut ticks = BTreeMap::new();
        let entries = fs::read_dir(&places.proc).into_iter().flatten().flatten();
        for entry in entries {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let Some((parent, used)) = parse_stat(&stat) else { continue };
            parents.insert(pid, parent);
            ticks.insert(pid, used);
        }
        let own = parents.keys().copied().filter(|pid| descends(*pid, places.own, &parents));
        Self { own: own.collect(), ticks }
    }

    pub(super) fn own_ticks(&self) -> u64 {
        self.own.iter().filter_map(|pid| self.ticks.get(pid)).copied().fold(0, u64::saturating_add)
    }

    pub(super) fn others(&self) -> impl Iterator<Item = u32> + '_ {
        self.ticks.keys().copied().filter(|pid| !self.own.contains(pid))
    }

    pub(super) fn is_own(&self, pid: u32) -> bool {
        self.own.contains(&pid)
    }
}

/// Parent, and ticks of the process itself and of children it has waited for.
fn parse_stat(stat: &str) -> Option<(u32, u64)> {
    // The second field is a name in parentheses that may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
    let parent = fields.next()?.parse().ok()?;
    let ticks = fields.skip(9).take(4).filter_map(|field| field.parse::<u64>().ok());
    Some((parent, ticks.fold(0, u64::saturating_add)))
}

fn descends(pid: u32, from: u32, parents: &BTreeMap<u32, u32>) -> bool {
    let mut at = pid;
    // Deeper trees than this are no trees: the table was read while it changed.
    for _ in 0..128 {
        if at == from {
            return true;
        }
        match parents.get(&at) {
            Some(&parent) if parent != 0 => at = parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    pub(super) fn write(path: impl AsRef<Path>, text: &str) {
        fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A machine made of files.
    pub(super) fn places(dir: &Path) -> Places {
        Places {
            proc: dir.join("proc"),
            sys: dir.join("sys"),
            dev: dir.join("dev"),
            nvidia_smi: dir.join("nvidia-smi"),
            busctl: dir.join("busctl"),
            own: 10,
        }
    }

    pub(super) fn stat(dir: &Path, pid: u32, parent: u32, ticks: u64) {
        let text =
            format!("{pid} (a) b) x) S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5\n");
        write(dir.join(format!("proc/{pid}/stat")), &text);
    }

    #[test]
    fn a_machine_runs_on_battery_when_its_battery_empties() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        assert_eq!(on_battery(&places), None);
        let set =
            |file: &str, text: &str| write(places.sys.join("class/power_supply").join(file), text);
        set("AC/type", "Mains\n");
        set("AC/online", "0\n");
        assert_eq!(on_battery(&places), None, "a desktop's mains");
        set("hid/type", "Battery\n");
        set("hid/scope", "Device\n");
        set("hid/status", "Discharging\n");
        assert_eq!(on_battery(&places), None, "a mouse's battery");
        set("BAT0/type", "Battery\n");
        set("BAT0/status", "Full\n");
        assert_eq!(on_battery(&places), Some(false));
        set("BAT0/status", "Discharging\n");
        assert_eq!(on_battery(&places), Some(true));
    }

    #[test]
    fn what_we_have_started_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, ticks) in
            [(1, 0, 5), (10, 1, 7), (11, 10, 100), (12, 11, 50), (20, 1, 900)]
        {
            stat(dir.path(), pid, parent, ticks);
        }
        write(dir.path().join("proc/uptime"), "1");
        let processes = Processes::read(&places(dir.path()));
        assert_eq!(processes.own_ticks(), 157);
        assert_eq!(processes.others().collect::<Vec<_>>(), [1, 20]);
        assert!(processes.is_own(12) && !processes.is_own(20));
    }

    #[test]
    fn this_machine_is_looked_at() {
        let mut senses = Senses::new(Places::default());
        senses.look(true);
        // The processors can always be seen, from the second look on.
        let seen = senses.look(true);
        let real = Processes::read(&Places::default());
        assert!(real.is_own(std::process::id()) && !real.is_own(1));
        assert!(seen.cpu_percent.is_none_or(|percent| percent <= 100));
        assert!(senses.blind().iter().all(|text| !text.is_empty()));
    }
}
