//! Input of people: devices, terminals, the desktop's own word.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::OFlags;
use tilth_client::clock::wall;

use super::{Places, programs::ask};

/// How often devices are looked for, and the desktop is asked.
const RESCAN: Duration = Duration::from_secs(10);
/// How long the desktop's bus may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Keys from which on a device without pointer is taken for a keyboard; a power button has one.
const LEAST_KEYS: u32 = 10;
/// Bit of a device that reports its own movement, not a person's.
const ACCELEROMETER: u32 = 6;
/// Most devices and terminals looked at.
const MOST: usize = 256;

/// What is known about input.
#[derive(Debug)]
pub(super) struct Input {
    /// When a device last said something, of those we hear; before the start nothing is known.
    heard: Instant,
    began: Instant,
    devices: BTreeMap<PathBuf, File>,
    refused: bool,
    scanned: Option<Instant>,
    /// The desktop's word and when it was asked: idle since (time since 1970), or in use.
    desktop: Option<Option<Duration>>,
    hears: bool,
}

impl Input {
    pub(super) fn new(places: &Places) -> Self {
        let now = Instant::now();
        let mut input = Self {
            heard: now,
            began: now,
            devices: BTreeMap::new(),
            refused: false,
            scanned: None,
            desktop: None,
            hears: false,
        };
        input.rescan(places);
        input
    }

    pub(super) fn blind(&self) -> impl Iterator<Item = &'static str> {
        let text = "keyboard and mouse: the devices in /dev/input cannot be read, and no desktop says when \
                    it is idle; add this user to the group `input`, or give the provider a schedule";
        (self.refused && self.devices.is_empty() && self.desktop.is_none())
            .then_some(text)
            .into_iter()
    }

    /// Milliseconds since a person last did something; `None` if nothing of that can be seen.
    pub(super) fn quiet_ms(&mut self, places: &Places) -> Option<u64> {
        if self.scanned.is_none_or(|scanned| scanned.elapsed() >= RESCAN) {
            self.rescan(places);
        }
        let devices = self.listen();
        let desktop = self.desktop.map(|word| match word {
            None => Duration::ZERO,
            Some(since) => wall().saturating_sub(since),
        });
        let quiet = [devices, desktop, terminals(places)].into_iter().flatten().min();
        quiet.map(|quiet| u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX))
    }

    /// Opens devices that have come, and forgets those that have gone.
    fn rescan(&mut self, places: &Places) {
        self.scanned = Some(Instant::now());
        self.refused = false;
        let mut found = BTreeMap::new();
        for path in entries(&places.dev.join("input")) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with("event") || !is_for_people(places, name) {
                continue;
            }
            let known = self.devices.remove(&path);
            let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
            let opened = known.map_or_else(
                || OpenOptions::new().read(true).custom_flags(nonblocking).open(&path),
                Ok,
            );
            match opened {
                Ok(device) => {
                    found.insert(path, device);
                }
                Err(_) => self.refused = true,
            }
        }
        self.devices = found;
        // Only where the devices themselves cannot be heard: a desktop speaks late.
        self.desktop = if self.devices.is_empty() { desktop(places) } else { None };
    }

    /// Reads what devices have said. What they say is not looked at.
    fn listen(&mut self) -> Option<Duration> {
        let mut events = [0; 24 * 64];
        let mut gone = Vec::new();
        for (path, device) in &mut self.devices {
            loop {
                match device.read(&mut events) {
                    Ok(0) => break,
                    Ok(_) => (self.heard, self.hears) = (Instant::now(), true),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => {
                        if error.kind() != ErrorKind::WouldBlock {
                            gone.push(path.clone());
                        }
                        break;
                    }
                }
            }
        }
        for path in gone {
            self.devices.remove(&path);
        }
        // Before the first word the time since our own start is the least that is known.
        let since = if self.hears { self.heard } else { self.began };
        (!self.devices.is_empty()).then(|| since.elapsed())
    }
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).take(MOST)
}

/// Whether a device is one that people use: not a power button, a lid or an accelerometer.
fn is_for_people(places: &Places, name: &str) -> bool {
    let about = places.sys.join("class/input").join(name).join("device");
    let Ok(keys) = fs::read_to_string(about.join("capabilities/key")) else {
        // Nothing is said about it.
        return true;
    };
    let words = |file: &str| fs::read_to_string(about.join(file)).unwrap_or_default();
    let any = |text: &str| text.split_whitespace().any(|word| word != "0");
    let bits = |text: &str| -> u32 {
        let words = text.split_whitespace().map(|word| u64::from_str_radix(word, 16).unwrap_or(0));
        words.map(u64::count_ones).sum()
    };
    let properties = words("properties");
    let last = properties.split_whitespace().last().unwrap_or("0");
    let properties = u64::from_str_radix(last, 16).unwrap_or(0);
    let moves_by_itself = properties & (1 << ACCELEROMETER) != 0;
    let points = any(&words("capabilities/rel")) || any(&words("capabilities/abs"));
    bits(&keys) >= LEAST_KEYS || (points && !moves_by_itself)
}

/// Time since the last input at a terminal. Its access time moves when what was typed is read, at most
/// every eight seconds, and everybody may look at it.
fn terminals(places: &Places) -> Option<Duration> {
    let consoles = entries(&places.dev).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("tty")
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty())
    });
    let all = entries(&places.dev.join("pts")).chain(consoles);
    let read = all.filter_map(|path| Some(path.metadata().ok()?.atime()));
    let latest = read.filter_map(|seconds| u64::try_from(seconds).ok()).max()?;
    Some(wall().saturating_sub(Duration::from_secs(latest)))
}

/// What the login manager says about all sessions together: `Some(Some(since))` idle, `Some(None)` in
/// use, `None` if it does not say. A desktop that never tells it (its time is 0) says nothing.
fn desktop(places: &Places) -> Option<Option<Duration>> {
    let manager = "org.freedesktop.login1.Manager";
    let args = ["--system", "--timeout=1", "get-property", "org.freedesktop.login1"];
    let rest = ["/org/freedesktop/login1", manager, "IdleHint", "IdleSinceHint"];
    let args: Vec<_> = args.into_iter().chain(rest).collect();
    parse_desktop(&ask(&places.busctl, &args, PATIENCE)?)
}

fn parse_desktop(answer: &str) -> Option<Option<Duration>> {
    let mut lines = answer.lines();
    let idle = lines.next()?.strip_prefix("b ")?.trim() == "true";
    let since: u64 = lines.next()?.strip_prefix("t ")?.trim().parse().ok()?;
    if since == 0 {
        return None;
    }
    Some(idle.then(|| Duration::from_micros(since)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::fs::{FileType, Mode};

    use super::{
        super::tests::{places, write},
        *,
    };

    fn device(places: &Places, name: &str, keys: &str, rel: &str) -> PathBuf {
        let about = places.sys.join("class/input").join(name).join("device");
        write(about.join("capabilities/key"), keys);
        write(about.join("capabilities/rel"), rel);
        let path = places.dev.join("input").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A pipe says what a device says: nothing yet, or some bytes.
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        path
    }

    #[test]
    fn keys_and_pointers_are_heard_and_buttons_of_the_machine_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let keyboard = device(&places, "event0", "fffffffffffffffe\n", "0\n");
        let power = device(&places, "event1", "10000000000000 0\n", "0\n");
        device(&places, "event2", "70000 0 0 0 0\n", "903\n");
        let mut input = Input::new(&places);
        assert_eq!(input.devices.len(), 2, "{:?}", input.devices);
        input.began -= Duration::from_secs(100);
        let quiet = input.quiet_ms(&places).unwrap();
        assert!(quiet >= 100_000, "{quiet}");
        let say = |path| {
            let mut device = OpenOptions::new().write(true).read(true).open(path).unwrap();
            device.write_all(&[1; 24]).unwrap();
            device
        };
        let _power = say(&power);
        assert!(input.quiet_ms(&places).unwrap() >= 100_000);
        let _keyboard = say(&keyboard);
        assert!(input.quiet_ms(&places).unwrap() < 60_000);
        assert_eq!(input.blind().count(), 0);
    }

    #[test]
    fn terminals_tell_by_their_times() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        assert_eq!(Input::new(&places).quiet_ms(&places), None);
        write(places.dev.join("pts/0"), "");
        write(places.dev.join("ttyS0"), "");
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(1_000);
        let times = fs::FileTimes::new().set_accessed(long_ago);
        OpenOptions::new()
            .write(true)
            .open(places.dev.join("pts/0"))
            .unwrap()
            .set_times(times)
            .unwrap();
        let quiet = Input::new(&places).quiet_ms(&places).unwrap();
        assert!((999_000..1_100_000).contains(&quiet), "a serial line is no person: {quiet}");
    }

    #[test]
    fn the_desktop_is_believed_when_it_says_something() {
        assert_eq!(
            parse_desktop("b true\nt 1700000000000000\n"),
            Some(Some(Duration::from_secs(1_700_000_000)))
        );
        assert_eq!(parse_desktop("b false\nt 1700000000000000\n"), Some(None));
        assert_eq!(parse_desktop("b false\nt 0\n"), None, "it never says");
        assert_eq!(parse_desktop("nonsense"), None);
        assert_eq!(parse_desktop(""), None);
    }
}
