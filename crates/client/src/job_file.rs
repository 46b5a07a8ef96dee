//! Job files: what a person writes, checked and turned into specs and offers.
//!
//! ```toml
//! name = "still life"
//! workload = "wasm"
//! program = "path-tracer.wasm"      # relative to the job file
//! tasks = 96                        # may be left out for pictures, files and sweeps
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
//!
//! [requires]                        # only providers that have proved so much
//! classes = ["int8-100g"]
//! vram = "8GiB"
//!
//! [files]                           # one task per file
//! from = "photos/*.jpg"
//! # or [sweep]: one task per combination of parameters
//!
//! [after]                           # a job of its own that reads the results of the one above
//! program = "reduce.wasm"
//! tasks = 1
//! ```
//!
//! Every mistake is named with its place and what to do; nothing is sent before the whole file and all
//! its assets have been checked.

mod files;
mod inputs;
mod offer;
mod price;
mod program;
mod requires;
mod sweep;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tilth_protocol::{
    Amount, Clock, ContentRef, JobSpec, Limits, Output, Price, Problem, Units,
    amount::UNITS_PER_GFUEL,
    spec::{MAX_INPUTS, MAX_PROGRAM_BYTES},
};
use tilth_service::TimeSpan;

pub(crate) use self::inputs::INLINE_INPUT_BYTES;
use self::{
    inputs::{Inputs, read_bounded},
    price::price_rule,
    text::{OutputText, ScheduleText, Text, VerificationText},
};
pub use self::{offer::Offer, text::FailedTasks};
use crate::{handover, holding::keep_seconds, task_table};

/// Largest job file that is read: a thousand inputs with long names fit.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most jobs that one file puts one after the other.
pub const MAX_STAGES: usize = 8;
/// Most providers of a range: one claims it, one is drawn later.
pub const MAX_REPLICAS: u8 = 2;

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
    /// What all tasks can cost at most, with one prepare phase per `ranges`: to all providers of their ranges together.
    pub fn most_cost(&self, ranges: u32) -> Option<Amount> {
        self.offer.for_all(self.most_worth(ranges)?)
    }

    /// As [`PreparedJob::most_cost`], to one provider of each range: the value of the work.
    pub fn most_worth(&self, ranges: u32) -> Option<Amount> {
        let tasks = self.spec.limits.unit_cap.checked_mul(u64::from(self.spec.task_count))?;
        let prepare = self.spec.limits.prepare_cap.checked_mul(u64::from(ranges))?;
        Units(tasks.checked_add(prepare)?).cost(self.offer.price)
    }
}

/// One of the jobs of a file.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The job. Of a later one, what it reads from the one before is not there yet.
    pub job: PreparedJob,
    /// What becomes of this job when tasks of the one before fail.
    pub failed_tasks: FailedTasks,
}

/// A job file that has passed every check.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its jobs, the first one first; at least one.
    pub stages: Vec<Stage>,
    /// What a person should know about how the file was understood.
    pub notes: Vec<String>,
}

/// Reads and checks a job file and everything it names.
///
/// `places` are files, folders and patterns of files to work on, one task each, instead of those that the
/// file's `[files]` names; paths in the file are relative to it, these are as the caller means them.
///
/// # Errors
/// The first mistake found, as a three-part message.
pub fn load_all(path: &Path, places: &[PathBuf]) -> Result<Loaded, Problem> {
    load_bytes(path, &read_bounded(path, MAX_FILE_BYTES, "the job file")?, places)
}

/// As [`load_all`], with the file's content at hand; `path` says where its assets are.
///
/// # Errors
/// As [`load_all`].
pub fn load_bytes(path: &Path, bytes: &[u8], places: &[PathBuf]) -> Result<Loaded, Problem> {
    let text = parse(path, bytes)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut loaded = Loaded { stages: Vec::new(), notes: Vec::new() };
    let mut next = Some(text);
    while let Some(mut text) = next {
        next = text.after.take().map(|after| *after);
        if loaded.stages.len() >= MAX_STAGES {
            let detail = format!("more than {MAX_STAGES} jobs follow each other");
            return Err(mistake(path, detail, "split the file"));
        }
        let places = if loaded.stages.is_empty() { places } else { &[] };
        let before = loaded.stages.last().map(|stage| &stage.job);
        let failed_tasks = text.failed_tasks.unwrap_or_default();
        if before.is_none() && text.failed_tasks.is_some() {
            let detail = "`failed-tasks` stands in the first job".to_owned();
            return Err(mistake(path, detail, "move it into [after], which it is about"));
        }
        let job = prepare(&File { path, folder, before }, text, places, &mut loaded.notes)?;
        loaded.stages.push(Stage { job, failed_tasks });
    }
    Ok(loaded)
}

/// Reads and checks a job file that holds one job.
///
/// # Errors
/// As [`load_all`], and when there is an `[after]`.
pub fn load(path: &Path) -> Result<PreparedJob, Problem> {
    let mut loaded = load_all(path, &[])?;
    if loaded.stages.len() > 1 {
        let detail = "it has an [after]".to_owned();
        return Err(mistake(path, detail, "leave it out here, or use `tilth run`"));
    }
    Ok(loaded.stages.swap_remove(0).job)
}

/// Decodes a job file; nothing that it names is looked at.
fn parse(path: &Path, bytes: &[u8]) -> Result<Text, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        mistake(
            path,
            "it is not UTF-8 text".into(),
            "a job file is a TOML text; see docs/guide/client.md",
        )
    })?;
    toml::from_str(text).map_err(|error| {
        mistake(path, error.to_string().trim_end().to_owned(), "correct the place shown")
    })
}

fn mistake(path: &Path, detail: String, advice: &str) -> Problem {
    Problem::new("the job file is not valid", format!("{}: {detail}", path.display()), advice)
}

/// Where a job stands.
struct File<'a> {
    path: &'a Path,
    folder: &'a Path,
    /// The job whose results it reads.
    before: Option<&'a PreparedJob>,
}

fn prepare(
    file: &File<'_>,
    text: Text,
    places: &[PathBuf],
    notes: &mut Vec<String>,
) -> Result<PreparedJob, Problem> {
    let path = file.path;
    let program_path = program::packed(text.workload, file.folder.join(&text.program))?;
    let program = read_bounded(&program_path, MAX_PROGRAM_BYTES, "the program")?;
    let gpu = program::check(text.workload, &program_path, &program)?;
    let mut inputs = Inputs::new((ContentRef::of(&program), program_path));
    let output = match text.output {
        OutputText::Files { .. } => Output::Files,
        OutputText::Values => Output::Values,
        OutputText::Image { width, height, tile } => Output::Image { width, height, tile },
    };
    let task_count = tasks(file, &text, places, &mut inputs, notes)?;
    inputs.named(file.folder, &text.inputs)?;
    let limits = Limits {
        unit_cap: units(path, "limits.gfuel-per-task", text.limits.gfuel_per_task)?,
        prepare_cap: units(path, "limits.gfuel-prepare", text.limits.gfuel_prepare)?,
        memory_bytes: text.limits.memory.bytes(),
        output_bytes: text.limits.output.bytes(),
    };
    let name = name(file, text.name)?;
    let spec = JobSpec {
        name,
        workload: text.workload,
        program: inputs.files[0].0,
        inputs: inputs.inputs,
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
    let handed = match file.before {
        Some(before) => check_handover(path, &before.spec, &spec)?,
        None => BTreeSet::new(),
    };
    let price = match (&text.price, file.before) {
        (Some(price), _) => price_rule(path, price)?,
        (None, Some(before)) => (before.offer.price, before.offer.clock),
        (None, None) => {
            let advice = "add [price] with `per-gfuel`, or with a clock";
            return Err(mistake(path, "`[price]` is missing".into(), advice));
        }
    };
    let mut offer = offer(path, price, &text.verification, &text.schedule)?;
    if let Some(gpu) = gpu {
        program::check_gpu(path, &gpu, &spec, &handed)?;
        offer.required_class = gpu.class.required_class();
    }
    text.requires.add_to(path, &mut offer)?;
    let job = PreparedJob { spec, offer, files: inputs.files };
    if job.most_cost(1).is_none() {
        return Err(mistake(
            path,
            "tasks x gfuel-per-task x price (x replicas) is more money than there can be".into(),
            "lower one of them",
        ));
    }
    Ok(job)
}

fn name(file: &File<'_>, written: Option<String>) -> Result<String, Problem> {
    match (written, file.before) {
        (Some(name), _) => Ok(name),
        (None, Some(before)) => Ok(after_name(&before.spec.name)),
        (None, None) => {
            let advice = "add `name = \"...\"`, what people call the job";
            Err(mistake(file.path, "`name` is missing".into(), advice))
        }
    }
}

/// What a job is called that has no name of its own.
fn after_name(before: &str) -> String {
    let suffix = ", after";
    let room = tilth_protocol::spec::MAX_NAME_BYTES.saturating_sub(suffix.len());
    let cut = (0..=room.min(before.len())).rev().find(|at| before.is_char_boundary(*at));
    format!("{}{suffix}", &before[..cut.unwrap_or(0)])
}

/// The number of tasks, and the inputs that say what each of them is about.
fn tasks(
    file: &File<'_>,
    text: &Text,
    places: &[PathBuf],
    inputs: &mut Inputs,
    notes: &mut Vec<String>,
) -> Result<u32, Problem> {
    let path = file.path;
    let mut names = match &text.output {
        OutputText::Files { names } => names.clone(),
        OutputText::Values | OutputText::Image { .. } => Vec::new(),
    };
    let counted = match (&text.sweep, text.files.is_some() || !places.is_empty()) {
        (Some(_), true) => {
            let detail = "files and a sweep together".to_owned();
            let advice = "use one of the two; each of them says how many tasks there are";
            return Err(mistake(path, detail, advice));
        }
        (Some(sweep), false) => {
            let (table, rows) = sweep::table(path, sweep)?;
            inputs.text(task_table::PARAMETERS, table);
            Some((rows, "combinations of the sweep"))
        }
        (None, true) => {
            let found = one_per_task(file, text, places, inputs)?;
            notes.extend(found.notes);
            if let Some(extension) = text.files.as_ref().and_then(|text| text.extension.as_deref())
            {
                names = files::outputs(&found.files, extension);
            }
            Some((u32::try_from(found.files.len()).unwrap_or(u32::MAX), "files"))
        }
        (None, false) => None,
    };
    let tiles = match text.output {
        OutputText::Image { width, height, tile } if tile > 0 => {
            width.div_ceil(tile).checked_mul(height.div_ceil(tile)).map(|tiles| (tiles, "tiles"))
        }
        _ => None,
    };
    let named = u32::try_from(names.len()).ok().filter(|count| *count > 0);
    let known = counted.or(tiles).or(named.map(|count| (count, "names of outputs")));
    let count = agreed_count(path, text.tasks, known)?;
    if !names.is_empty() {
        if !task_table::are_outputs(&names, count as usize) {
            let detail = format!("{} names of outputs for {count} tasks", names.len());
            let advice = "give every task one name, a plain file name that no other has";
            return Err(mistake(path, detail, advice));
        }
        inputs.text(task_table::OUTPUTS, lines(names.iter()));
    }
    Ok(count)
}

/// The number of tasks that is written and the one that follows from the rest.
fn agreed_count(
    path: &Path,
    written: Option<u32>,
    known: Option<(u32, &str)>,
) -> Result<u32, Problem> {
    match (written, known) {
        (Some(tasks), Some((count, what))) if tasks != count => {
            let detail = format!("tasks = {tasks}, but there are {count} {what}");
            Err(mistake(path, detail, "leave `tasks` out"))
        }
        (Some(count), _) | (None, Some((count, _))) => Ok(count),
        (None, None) => {
            let advice = "add `tasks = N`, the number of tasks of the job";
            Err(mistake(path, "`tasks` is missing".into(), advice))
        }
    }
}

/// The files of the tasks become inputs, and their list, too.
fn one_per_task(
    file: &File<'_>,
    text: &Text,
    places: &[PathBuf],
    inputs: &mut Inputs,
) -> Result<files::Found, Problem> {
    let written = text.files.as_ref().filter(|_| places.is_empty());
    let found = match written {
        Some(written) => {
            let at = |place| file.folder.join(place);
            let places: Vec<_> = written.from.all().iter().map(at).collect();
            files::find(places.iter())?
        }
        None => files::find(places.iter())?,
    };
    inputs.text(task_table::FILES, lines(found.files.iter().map(|(name, _)| name)));
    for (name, place) in &found.files {
        inputs.file(name, place.clone())?;
    }
    Ok(found)
}

fn lines<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("{name}\n")).collect()
}

/// Whether the results of the job before fit beside the inputs of this one; their names.
fn check_handover(
    path: &Path,
    before: &JobSpec,
    spec: &JobSpec,
) -> Result<BTreeSet<String>, Problem> {
    let names =
        handover::names(before).map_err(|(detail, advice)| mistake(path, detail, advice))?;
    if spec.inputs.len() + names.len() > MAX_INPUTS {
        let detail = format!("{} inputs and {} results", spec.inputs.len(), names.len());
        return Err(mistake(path, detail, "a job has at most 1024 inputs: use fewer"));
    }
    let taken = spec.inputs.iter().find(|input| names.contains(&input.name));
    match taken {
        None => Ok(names),
        Some(input) => Err(mistake(
            path,
            format!("the input {:?} has the name of a result of the job before", input.name),
            "give it another name",
        )),
    }
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

/// For how long results are kept, in seconds.
fn kept_for(path: &Path, keep: TimeSpan) -> Result<u32, Problem> {
    keep_seconds(keep.into()).map_err(|problem| {
        let detail = format!("verification.{}", problem.detail);
        mistake(path, detail, "write a time such as \"7d\"")
    })
}

fn offer(
    path: &Path,
    (price, clock): (Price, Option<Clock>),
    verification: &VerificationText,
    schedule: &ScheduleText,
) -> Result<Offer, Problem> {
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
    let replicas = verification.replicas.unwrap_or(1);
    if !(1..=MAX_REPLICAS).contains(&replicas) {
        let detail = format!("verification.replicas is {replicas}, it must be 1 or {MAX_REPLICAS}");
        return Err(mistake(path, detail, "write `replicas = 2`, or leave it out"));
    }
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
        audited: verification.audited.unwrap_or(false),
        replicas,
        keep_s: verification.keep.map(|keep| kept_for(path, keep)).transpose()?,
        required_class: 0,
        min_vram_mib: 0,
    })
}
