//! Job files: what a person writes, checked and turned into a spec and an offer.
//!
//! ```toml
//! name = "still life"
//! workload = "wasm"
//! program = "path-tracer.wasm"      # relative to the job file
//! tasks = 96                        # may be left out for pictures
//!
//! [inputs]                          # a task sees NAME as /in/NAME
//! "scene.glb" = "scene.glb"
//!
//! [limits]
//! gfuel-per-task = 40.0
//! memory = "512MiB"
//!
//! [price]
//! per-gfuel = "0.001"               # GRAIN
//! # or: kind = "clock", floor = "0.0005", cap = "0.002", finish = "2h"
//! ```
//!
//! Every mistake is named with its place and what to do; nothing is sent before the whole file and all
//! its assets have been checked.

mod price;

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tilth_protocol::{
    Amount, Clock, ContentHash, ContentRef, Input, InputSource, JobSpec, Limits, Output, Price,
    Problem, Units, Workload,
    amount::UNITS_PER_GFUEL,
    spec::{MAX_INLINE_BYTES, MAX_INPUT_BYTES, MAX_PROGRAM_BYTES},
};
use tilth_service::{ByteSize, TimeSpan};

use self::price::{PriceText, price_rule};

/// Largest job file that is read: a thousand inputs with long names fit.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Inputs up to this size travel inside the spec as long as there is room.
const INLINE_INPUT_BYTES: u64 = 16 << 10;
/// First bytes of every WebAssembly module.
const WASM_MAGIC: &[u8; 4] = b"\0asm";

/// A job file as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Text {
    name: String,
    #[serde(default = "wasm")]
    workload: Workload,
    program: PathBuf,
    tasks: Option<u32>,
    #[serde(default)]
    inputs: BTreeMap<String, PathBuf>,
    limits: LimitsText,
    price: PriceText,
    #[serde(default)]
    verification: VerificationText,
    #[serde(default)]
    schedule: ScheduleText,
    #[serde(default)]
    output: OutputText,
}

fn wasm() -> Workload {
    Workload::Wasm
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct LimitsText {
    gfuel_per_task: f64,
    #[serde(default)]
    gfuel_prepare: f64,
    memory: ByteSize,
    #[serde(default = "one_mebibyte")]
    output: ByteSize,
}

fn one_mebibyte() -> ByteSize {
    ByteSize::from_bytes(1 << 20)
}

/// How results are judged.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct VerificationText {
    window: Option<TimeSpan>,
    max_failures: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ScheduleText {
    target: Option<TimeSpan>,
    range_timeout: Option<TimeSpan>,
    deadline: Option<TimeSpan>,
    parallelism: Option<u16>,
    first_range: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum OutputText {
    #[default]
    Files,
    Values,
    Image {
        width: u32,
        height: u32,
        tile: u32,
    },
}

/// The terms of payment and schedule that go on chain beside the spec's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Per unit; on the clock the most that is paid.
    pub price: Price,
    /// The clock, if the price is not posted; its cap is `price`.
    pub clock: Option<Clock>,
    /// Challenge window, seconds; `None`: the shortest that the contract allows for the value.
    pub window_s: Option<u32>,
    /// Seconds after its claim from which a range may be expired.
    pub range_timeout_s: u32,
    /// How long one range should take, seconds.
    pub target_s: u16,
    /// Seconds from opening after which nothing is claimed any more.
    pub deadline_s: u32,
    /// Provider slots expected.
    pub parallelism: u16,
    /// Tasks in a provider's first range.
    pub first_range: u32,
    /// Failed tasks after which the job stops softly; 0: never.
    pub max_failures: u32,
}

/// A job that has passed every check and can be submitted.
#[derive(Clone, Debug)]
pub struct PreparedJob {
    /// What is run.
    pub spec: JobSpec,
    /// What is paid.
    pub offer: Offer,
    /// Files behind the spec's blobs: program first, then the inputs that are not inline.
    pub files: Vec<(ContentRef, PathBuf)>,
}

impl PreparedJob {
    /// What all tasks can cost at most, with one prepare phase per `ranges`.
    pub fn most_cost(&self, ranges: u32) -> Option<Amount> {
        let tasks = self.spec.limits.unit_cap.checked_mul(u64::from(self.spec.task_count))?;
        let prepare = self.spec.limits.prepare_cap.checked_mul(u64::from(ranges))?;
        Units(tasks.checked_add(prepare)?).cost(self.offer.price)
    }
}

/// Reads and checks a job file and everything it names.
///
/// # Errors
/// The first mistake found, as a three-part message.
pub fn load(path: &Path) -> Result<PreparedJob, Problem> {
    let text = read_bounded(path, MAX_FILE_BYTES, "the job file")?;
    let text = String::from_utf8(text).map_err(|_| {
        mistake(
            path,
            "it is not UTF-8 text".into(),
            "a job file is a TOML text; see docs/guide/client.md",
        )
    })?;
    let text: Text = toml::from_str(&text).map_err(|error| {
        mistake(path, error.to_string().trim_end().to_owned(), "correct the place shown")
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    prepare(path, folder, text)
}

fn mistake(path: &Path, detail: String, advice: &str) -> Problem {
    Problem::new("the job file is not valid", format!("{}: {detail}", path.display()), advice)
}

fn read_bounded(path: &Path, max: u64, what: &str) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(
            format!("{what} cannot be read"),
            format!("{}: {error}", path.display()),
            "check the path; paths in a job file are relative to the job file",
        )
    };
    let file = open_file(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(Problem::new(
            format!("{what} is too large"),
            format!("{} has more than {max} bytes", path.display()),
            "make it smaller, or move data into inputs",
        ));
    }
    Ok(bytes)
}

/// Opens a file of a job. Opening a pipe can wait for ever, and a device has no end.
fn open_file(path: &Path) -> std::io::Result<fs::File> {
    if fs::metadata(path)?.is_file() {
        return fs::File::open(path);
    }
    Err(std::io::Error::other("it is not a regular file"))
}

fn prepare(path: &Path, folder: &Path, text: Text) -> Result<PreparedJob, Problem> {
    let program_path = folder.join(&text.program);
    let program = read_bounded(&program_path, MAX_PROGRAM_BYTES, "the program")?;
    if !program.starts_with(WASM_MAGIC) {
        return Err(Problem::new(
            "the program is not WebAssembly",
            format!("{} does not begin with \\0asm", program_path.display()),
            "compile it for wasm32-wasip1 or wasm32-unknown-unknown; see docs/reference/guest.md",
        ));
    }
    let mut files = vec![(ContentRef::of(&program), program_path)];
    let inputs = inputs(folder, &text.inputs, &mut files)?;
    let output = match text.output {
        OutputText::Files => Output::Files,
        OutputText::Values => Output::Values,
        OutputText::Image { width, height, tile } => Output::Image { width, height, tile },
    };
    let tiles = match output {
        Output::Image { width, height, tile } if tile > 0 => {
            width.div_ceil(tile).checked_mul(height.div_ceil(tile))
        }
        _ => None,
    };
    let task_count = text.tasks.or(tiles).ok_or_else(|| {
        mistake(
            path,
            "`tasks` is missing".into(),
            "add `tasks = N`, the number of tasks of the job",
        )
    })?;
    let limits = Limits {
        unit_cap: units(path, "limits.gfuel-per-task", text.limits.gfuel_per_task)?,
        prepare_cap: units(path, "limits.gfuel-prepare", text.limits.gfuel_prepare)?,
        memory_bytes: text.limits.memory.bytes(),
        output_bytes: text.limits.output.bytes(),
    };
    let spec = JobSpec {
        name: text.name,
        workload: text.workload,
        program: files[0].0,
        inputs,
        task_count,
        limits,
        output,
    };
    spec.check().map_err(|error| {
        mistake(
            path,
            error.to_string(),
            "bring the value into its bounds; see docs/guide/client.md",
        )
    })?;
    let offer = offer(path, &text.price, &text.verification, &text.schedule)?;
    let job = PreparedJob { spec, offer, files };
    if job.most_cost(1).is_none() {
        return Err(mistake(
            path,
            "tasks x gfuel-per-task x price is more money than there can be".into(),
            "lower one of the three",
        ));
    }
    Ok(job)
}

/// Gfuel as written, in whole units. The only place where a job's numbers are floating-point: they
/// come from a person and are rounded up here, before anything is decided.
fn units(path: &Path, field: &str, gfuel: f64) -> Result<u64, Problem> {
    #[allow(clippy::cast_precision_loss, reason = "a thousand is exact")]
    let units = (gfuel * UNITS_PER_GFUEL as f64).ceil();
    // Beyond 2^53 the number as written is not exact; the protocol's cap is far below.
    if !(0.0..9.0e15).contains(&units) {
        let advice = "write the number of Gfuel, such as 2.5";
        return Err(mistake(path, format!("{field} is {gfuel}"), advice));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded to 0..9e15 just above"
    )]
    Ok(units as u64)
}

fn inputs(
    folder: &Path,
    named: &BTreeMap<String, PathBuf>,
    files: &mut Vec<(ContentRef, PathBuf)>,
) -> Result<Vec<Input>, Problem> {
    let mut inline_left = MAX_INLINE_BYTES as u64;
    let mut inputs = Vec::with_capacity(named.len());
    for (name, relative) in named {
        let path = folder.join(relative);
        let what = format!("the input {name:?}");
        let size = fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or_default();
        let source = if size <= INLINE_INPUT_BYTES.min(inline_left) {
            let bytes = read_bounded(&path, INLINE_INPUT_BYTES, &what)?;
            inline_left = inline_left.saturating_sub(bytes.len() as u64);
            InputSource::Inline(bytes)
        } else {
            let content = hash_file(&path, &what)?;
            files.push((content, path));
            InputSource::Blob(content)
        };
        inputs.push(Input { name: name.clone(), source });
    }
    Ok(inputs)
}

/// Hashes a file without holding it in memory.
fn hash_file(path: &Path, what: &str) -> Result<ContentRef, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(
            format!("{what} cannot be read"),
            format!("{}: {error}", path.display()),
            "check the path; paths in a job file are relative to the job file",
        )
    };
    let mut hasher = blake3::Hasher::new();
    let file = open_file(path).map_err(unreadable)?;
    let size =
        std::io::copy(&mut file.take(MAX_INPUT_BYTES + 1), &mut hasher).map_err(unreadable)?;
    if size > MAX_INPUT_BYTES {
        return Err(Problem::new(
            format!("{what} is too large"),
            format!("{} has more than {MAX_INPUT_BYTES} bytes", path.display()),
            "split the job, or the input",
        ));
    }
    Ok(ContentRef { hash: ContentHash(*hasher.finalize().as_bytes()), size })
}

fn offer(
    path: &Path,
    price: &PriceText,
    verification: &VerificationText,
    schedule: &ScheduleText,
) -> Result<Offer, Problem> {
    let (price, clock) = price_rule(path, price)?;
    let seconds = |field: &str, span: Option<TimeSpan>, default: u64, max: u64| {
        let seconds = span.map_or(default, |span| std::time::Duration::from(span).as_secs());
        if (1..=max).contains(&seconds) {
            return Ok(seconds);
        }
        let detail = format!("{field} is {seconds} s, it must be 1 to {max} s");
        Err(mistake(path, detail, "write a time such as \"30s\", \"10m\" or \"2h\""))
    };
    // The longest times are JobBook's own: MAX_RANGE_TIMEOUT, MAX_DURATION, MAX_WINDOW.
    let day = 86_400;
    let target = seconds("schedule.target", schedule.target, 10, 3_600)?;
    let timeout = seconds(
        "schedule.range-timeout",
        schedule.range_timeout,
        target.saturating_mul(6).max(60),
        day,
    )?;
    let deadline = seconds("schedule.deadline", schedule.deadline, day, 365 * day)?;
    if let Some(clock) = clock.filter(|clock| u64::from(clock.finish_s) > deadline) {
        let detail =
            format!("price.finish is {} s, schedule.deadline is {deadline} s", clock.finish_s);
        return Err(mistake(path, detail, "let the clock finish before the deadline"));
    }
    let window = match verification.window {
        Some(window) => Some(seconds("verification.window", Some(window), 0, 3 * day)?),
        None => None,
    };
    let narrow = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
    Ok(Offer {
        price,
        clock,
        window_s: window.map(narrow),
        range_timeout_s: narrow(timeout),
        target_s: u16::try_from(target).unwrap_or(u16::MAX),
        deadline_s: narrow(deadline),
        parallelism: schedule.parallelism.unwrap_or(4).max(1),
        first_range: schedule.first_range.unwrap_or(1).max(1),
        max_failures: verification.max_failures.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "test"
        program = "p.wasm"
        tasks = 3
        [inputs]
        "small" = "small.bin"
        "large" = "large.bin"
        [limits]
        gfuel-per-task = 0.0015
        memory = "1MiB"
        [price]
        per-gfuel = "0.5"
        [schedule]
        target = "2s"
    "#;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("p.wasm"), b"\0asm\x01\0\0\0").unwrap();
        fs::write(dir.path().join("small.bin"), [1, 2, 3]).unwrap();
        fs::write(dir.path().join("large.bin"), vec![5; 100_000]).unwrap();
        dir
    }

    fn load_text(dir: &tempfile::TempDir, text: &str) -> Result<PreparedJob, Problem> {
        let path = dir.path().join("job.toml");
        fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn good_file_becomes_spec_offer_and_files() {
        let dir = folder();
        let job = load_text(&dir, GOOD).unwrap();
        assert_eq!(job.spec.limits.unit_cap, 2);
        assert_eq!(job.spec.task_count, 3);
        assert_eq!(job.offer.target_s, 2);
        assert_eq!(job.offer.range_timeout_s, 60);
        assert_eq!(job.files.len(), 2);
        assert_eq!(job.files[1].0, ContentRef::of(&vec![5; 100_000]));
        let names: Vec<_> = job.spec.inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["large", "small"]);
        assert_eq!(job.most_cost(1), Some(Amount(6 * job.offer.price.0)));
    }

    #[test]
    fn every_mistake_is_named_with_advice() {
        let dir = folder();
        let refused = |from: &str, to: &str, names: &str| {
            assert!(GOOD.contains(from));
            let problem = load_text(&dir, &GOOD.replace(from, to)).expect_err(names);
            assert!(problem.to_string().contains(names), "{names}: {problem}");
            assert!(!problem.advice.is_empty());
        };
        refused("tasks = 3", "", "tasks");
        refused("tasks = 3", "tasks = 0", "number of tasks");
        refused("tasks = 3", "tasks = -1", "tasks");
        refused("tasks = 3", "tasks = 3\nbogus = 1", "bogus");
        refused("p.wasm", "missing.wasm", "missing.wasm");
        refused("p.wasm", "small.bin", "not WebAssembly");
        refused("small.bin", "missing.bin", "missing.bin");
        refused("\"small\" =", "\"../small\" =", "plain file name");
        refused("0.0015", "nan", "gfuel-per-task");
        refused("0.0015", "-1.0", "gfuel-per-task");
        refused("0.0015", "1e13", "gfuel-per-task");
        refused("0.0015", "1e8", "unit cap");
        refused("1MiB", "1XB", "1XB");
        refused("1MiB", "5GiB", "memory");
        refused("\"0.5\"", "\"abc\"", "per-gfuel");
        refused("\"0.5\"", "\"0\"", "zero");
        refused("\"2s\"", "\"0s\"", "schedule.target");
        refused("\"2s\"", "\"2s\"\nrange-timeout = \"2d\"", "schedule.range-timeout");
        refused("name = \"test\"", "name = \"\"", "name");
        refused("[price]", "[price", "job.toml");
    }

    #[test]
    fn oversized_and_binary_files_are_refused() {
        let dir = folder();
        let path = dir.path().join("job.toml");
        fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
        assert!(load(&path).unwrap_err().what.contains("too large"));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(load(&path).unwrap_err().detail.contains("UTF-8"));
        assert!(load(&dir.path().join("absent.toml")).unwrap_err().detail.contains("absent.toml"));
    }

    #[test]
    fn pipes_devices_and_folders_are_refused_at_once() {
        let dir = folder();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status();
        assert!(made.unwrap().success());
        for odd in ["pipe", "/dev/zero", "."] {
            for place in ["\"p.wasm\"", "\"large.bin\"\n        [limits]", "\"small.bin\"\n"] {
                let changed = place.replacen(place.split('"').nth(1).unwrap(), odd, 1);
                let problem = load_text(&dir, &GOOD.replacen(place, &changed, 1)).unwrap_err();
                assert!(problem.detail.contains("not a regular file"), "{odd}: {problem}");
            }
            let problem = load(&dir.path().join(odd)).unwrap_err();
            assert!(problem.detail.contains("not a regular file"), "{odd}: {problem}");
        }
    }

    #[test]
    fn a_clock_has_floor_cap_and_finish() {
        let dir = folder();
        let posted = "[price]\n        per-gfuel = \"0.5\"";
        let priced = |price: &str| load_text(&dir, &GOOD.replace(posted, price));
        let clock = "[price]\nkind = \"clock\"\nfloor = \"0.1\"\ncap = \"0.4\"\nfinish = \"2h\"";
        let offer = priced(clock).unwrap().offer;
        let unit = |text| Price::from_grain_per_gfuel(text).unwrap();
        let expected = Clock { floor: unit("0.1"), cap: unit("0.4"), finish_s: 7_200 };
        assert_eq!((offer.price, offer.clock), (expected.cap, Some(expected)));
        for (from, to, word) in [
            ("floor = \"0.1\"", "floor = \"0.5\"", "above"),
            ("floor = \"0.1\"", "", "floor is missing"),
            ("\"2h\"", "\"15s\"", "at least 16 s"),
            ("\"2h\"", "\"25h\"", "deadline"),
            ("cap = \"0.4\"", "cap = \"0\"", "zero"),
            ("cap = \"0.4\"", "cap = \"0.4\"\nper-gfuel = \"1\"", "mixes"),
            ("kind = \"clock\"", "", "mixes"),
            ("kind = \"clock\"", "kind = \"auction\"", "auction"),
        ] {
            let problem = priced(&clock.replace(from, to)).unwrap_err();
            assert!(problem.detail.contains(word), "{to}: {problem}");
        }
        assert!(priced("[price]").unwrap_err().detail.contains("per-gfuel is missing"));
    }

    #[test]
    fn pictures_know_their_number_of_tasks() {
        let dir = folder();
        let image = "[output]\nkind = \"image\"\nwidth = 100\nheight = 60\ntile = 32\n";
        let text = GOOD.replace("tasks = 3", "") + image;
        assert_eq!(load_text(&dir, &text).unwrap().spec.task_count, 8);
        let wrong = GOOD.to_owned() + image;
        assert!(load_text(&dir, &wrong).unwrap_err().detail.contains("tiles"));
    }
}
