//! `tilth try`: the tasks of a job on bare workers of this machine: no chain, no network, no sandbox.
//! For authors of programs, to see results and costs before paying anybody.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use serde_json::json;
use tilth_client::{
    handover,
    job_file::{self, FailedTasks, PreparedJob},
    merge::{self, Merged, TaskOutput},
    pipeline::plan::{Endings, judge},
    task_table::TaskTable,
};
use tilth_protocol::{
    Harmless, Input, InputSource, JobSpec, Output, Problem, Status, TaskIndex, Units,
    worker::{FromWorker, ToWorker, read_frame, write_frame},
};

use crate::{
    Ended,
    args::{Common, Try},
    print_json,
    run::{say_notes, sha256},
};

/// Results by task: how it ended, its units, its output.
type Results = BTreeMap<TaskIndex, (TaskOutput, u64)>;

/// What trying one job came to.
struct Tried {
    results: Results,
    prepare_units: u64,
    seconds: f64,
}

pub fn run(common: &Common, args: &Try) -> Ended {
    let mut loaded = job_file::load_all(&args.job, &args.files)?;
    say_notes(&loaded.notes);
    let count = loaded.stages.len();
    let mut reports = Vec::with_capacity(count);
    for stage in 0..count {
        if !common.json && count > 1 {
            eprintln!(
                "stage {} of {count}: {}",
                stage + 1,
                Harmless(&loaded.stages[stage].job.spec.name)
            );
        }
        let job = &loaded.stages[stage].job;
        let tried = tasks(common, args, job)?;
        let last = stage + 1 == count;
        let path = args.results.out.clone().filter(|_| last).unwrap_or_else(|| {
            let name = merge::default_name(job.spec.output);
            let name = if last { name.to_owned() } else { format!("stage-{}-{name}", stage + 1) };
            args.job.with_file_name(name)
        });
        let merged = merge::merge(&job.spec, &path, |index| {
            Ok(tried.results.get(&index).map(|(output, _)| output.clone()))
        })?;
        reports.push(report(common, job, &tried, &merged)?);
        if let Some(next) = loaded.stages.get(stage + 1) {
            let inputs = hand_over(&job.spec, &tried, &merged, next.failed_tasks)?;
            loaded.stages[stage + 1].job.spec.inputs.extend(inputs);
        }
    }
    if common.json {
        match reports.as_slice() {
            [only] => print_json(only)?,
            _ => print_json(&json!({ "stages": reports }))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Units and seconds of a job's tasks on one bare worker, one after the other.
pub fn speed(common: &Common, job: &Path) -> Result<(u64, f64), Problem> {
    let loaded = job_file::load_all(job, &[])?;
    let results = crate::args::Results { out: None };
    let args = Try { job: job.to_owned(), files: Vec::new(), results, workers: 1, tasks: None };
    let (mut units, mut seconds) = (0, 0.0);
    for stage in &loaded.stages {
        let tried = tasks(common, &args, &stage.job)?;
        units += tried.results.values().map(|(_, units)| units).sum::<u64>();
        seconds += tried.seconds;
    }
    Ok((units, seconds))
}

/// Runs the tasks of one job.
fn tasks(common: &Common, args: &Try, job: &PreparedJob) -> Result<Tried, Problem> {
    let folder = tempfile::tempdir().map_err(|error| broken(&error))?;
    let program = compile(job, folder.path())?;
    let inputs = lay_out(job, folder.path())?;
    let tasks = args.tasks.unwrap_or(job.spec.task_count).min(job.spec.task_count);
    let (next, results, prepared) =
        (AtomicU32::new(0), Mutex::new(Results::new()), Mutex::new(0_u64));
    let began = Instant::now();
    let unit = job.unit();
    std::thread::scope(|scope| {
        let work = || -> Result<(), Problem> {
            let mut worker = Worker::start(job, &program, &inputs)?;
            *prepared.lock().unwrap_or_else(PoisonError::into_inner) = worker.prepare_units;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    return Ok(());
                }
                let (output, units) = worker.task(index)?;
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                results.insert(index, (output, units));
                if !common.json {
                    eprintln!("task {index}: {} {unit}", Units(units).to_gfuel());
                }
            }
        };
        let threads: Vec<_> = (0..args.workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
    })?;
    Ok(Tried {
        results: results.into_inner().unwrap_or_else(PoisonError::into_inner),
        prepare_units: prepared.into_inner().unwrap_or_else(PoisonError::into_inner),
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// The results of a job as inputs of the next one, under the names that they have on the farm.
fn hand_over(
    spec: &JobSpec,
    tried: &Tried,
    merged: &Merged,
    failed_tasks: FailedTasks,
) -> Result<Vec<Input>, Problem> {
    let status = |index| tried.results.get(&index).map(|(output, _)| output.status);
    let count = |wanted: fn(Option<Status>) -> bool| {
        u32::try_from((0..spec.task_count).filter(|index| wanted(status(*index))).count())
            .unwrap_or(u32::MAX)
    };
    let endings = Endings {
        cancelled: false,
        ok: count(|status| status == Some(Status::Ok)),
        failed: count(|status| status.is_some_and(|status| status != Status::Ok)),
        missing: count(|status| status.is_none()),
    };
    judge(endings, Some(failed_tasks)).map_err(|why| {
        Problem::new(
            "the next job has nothing to read",
            why.to_string(),
            "correct the first job, or try all of its tasks",
        )
    })?;
    let table = TaskTable::of(spec);
    let inline = |name: String, bytes| Input { name, source: InputSource::Inline(bytes) };
    let csv = table.csv(spec.task_count, status);
    let mut inputs = vec![inline(handover::TABLE.to_owned(), csv.into_bytes())];
    if spec.output == Output::Files {
        let good = tried.results.iter().filter(|(_, (output, _))| output.status == Status::Ok);
        inputs.extend(
            good.map(|(index, (output, _))| inline(table.output(*index), output.bytes.clone())),
        );
    } else {
        let bytes = fs::read(&merged.path).map_err(|error| broken(&error))?;
        inputs.push(inline(merge::default_name(spec.output).to_owned(), bytes));
    }
    Ok(inputs)
}

/// Says what trying a job came to; as JSON, too.
fn report(
    common: &Common,
    job: &PreparedJob,
    tried: &Tried,
    merged: &Merged,
) -> Result<serde_json::Value, Problem> {
    let unit = job.unit();
    let Tried { results, prepare_units, seconds } = tried;
    let units: u64 = results.values().map(|(_, units)| units).sum();
    let most = results.values().map(|(_, units)| *units).max().unwrap_or(0);
    let failures = results.values().filter(|(output, _)| output.status != Status::Ok).count();
    let sha256 = sha256(&merged.path)?;
    if !common.json {
        println!("tasks     {} run, {failures} failed, {seconds:.1} s", results.len());
        println!("cost      {} {unit} in all", Units(units).to_gfuel());
        println!("          {} {unit} for the dearest task", Units(most).to_gfuel());
        println!(
            "          {} {unit} for the prepare phase, once per range",
            Units(*prepare_units).to_gfuel()
        );
        println!("output: {}", merged.path.display());
        if let Some(sha256) = &sha256 {
            println!("sha256: {sha256}");
        }
    }
    Ok(json!({
        "tasks": results.len(), "failures": failures, "missing": merged.missing,
        "units": units, "unit": unit, "units-most": most, "prepare-units": prepare_units,
        "output": merged.path, "sha256": sha256, "seconds": seconds,
    }))
}

fn broken(error: &io::Error) -> Problem {
    Problem::new(
        "the job cannot be tried on this machine",
        error.to_string(),
        "check free space and permissions of the temporary folder (TMPDIR)",
    )
}

fn panicked() -> Problem {
    Problem::new("a worker's thread ended unexpectedly", "", "report this as a bug")
}

fn worker_command() -> Result<Command, Problem> {
    let mut command = Command::new(std::env::current_exe().map_err(|error| broken(&error))?);
    command.arg("worker");
    Ok(command)
}

fn compile(job: &PreparedJob, folder: &Path) -> Result<PathBuf, Problem> {
    let artifact = folder.join("program");
    let output = worker_command()?
        .arg("compile")
        .args([&job.files[0].1, &artifact])
        .output()
        .map_err(|error| broken(&error))?;
    if output.status.success() {
        return Ok(artifact);
    }
    let mut said = output.stdout.as_slice();
    while let Ok(Some(frame)) = read_frame::<FromWorker>(&mut said) {
        if let FromWorker::Failed(problem) = frame {
            return Err(problem);
        }
    }
    Err(Problem::new(
        "the program cannot be compiled",
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        "see docs/reference/guest.md for what a program may use",
    ))
}

/// The input files as a task sees them.
fn lay_out(job: &PreparedJob, folder: &Path) -> Result<PathBuf, Problem> {
    let inputs = folder.join("inputs");
    fs::create_dir(&inputs).map_err(|error| broken(&error))?;
    for input in &job.spec.inputs {
        let path = inputs.join(&input.name);
        let written = match &input.source {
            InputSource::Inline(bytes) => fs::write(path, bytes),
            InputSource::Blob(content) => {
                let file = job.files.iter().find(|(known, _)| known == content);
                file.map_or(Ok(()), |(_, source)| fs::copy(source, path).map(drop))
            }
        };
        written.map_err(|error| broken(&error))?;
    }
    Ok(inputs)
}

/// A worker process without a sandbox.
struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: io::BufReader<ChildStdout>,
    prepare_units: u64,
}

impl Worker {
    fn start(job: &PreparedJob, program: &Path, inputs: &Path) -> Result<Self, Problem> {
        let mut child = worker_command()?
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| broken(&error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(panicked());
        };
        let stdout = io::BufReader::new(stdout);
        let mut worker = Self { child, stdin, stdout, prepare_units: 0 };
        worker.tell(&ToWorker::Load {
            workload: job.spec.workload,
            program: program.display().to_string(),
            inputs: inputs.display().to_string(),
            limits: job.spec.limits,
        })?;
        loop {
            match worker.hear()? {
                FromWorker::Loaded { prepare: Status::Ok, prepare_units } => {
                    worker.prepare_units = prepare_units;
                    return Ok(worker);
                }
                FromWorker::Loaded { prepare, prepare_units } => {
                    return Err(Problem::new(
                        "the program's prepare phase failed",
                        format!(
                            "{prepare:?} after {} {}",
                            Units(prepare_units).to_gfuel(),
                            job.unit()
                        ),
                        "see what the program printed; if it ran out of fuel, raise gfuel-prepare",
                    ));
                }
                FromWorker::Failed(problem) => return Err(problem),
                FromWorker::Log { text, .. } => eprint!("{}", Harmless(&text)),
                _ => {}
            }
        }
    }

    fn task(&mut self, index: TaskIndex) -> Result<(TaskOutput, u64), Problem> {
        self.tell(&ToWorker::Run { from: index, count: 1 })?;
        let mut bytes = Vec::new();
        loop {
            match self.hear()? {
                FromWorker::Chunk(chunk) => bytes.extend(chunk),
                FromWorker::Done(done) => {
                    if let Some(done) = done.into_iter().find(|done| done.index == index) {
                        bytes.extend(done.output);
                        return Ok((TaskOutput { status: done.status, bytes }, done.units));
                    }
                }
                FromWorker::Log { text, .. } => eprint!("{}", Harmless(&text)),
                FromWorker::Failed(problem) => return Err(problem),
                // Others belong to other orders.
                _ => {}
            }
        }
    }

    fn tell(&mut self, message: &ToWorker) -> Result<(), Problem> {
        write_frame(&mut self.stdin, message)
            .and_then(|()| io::Write::flush(&mut self.stdin))
            .map_err(|error| broken(&error))
    }

    fn hear(&mut self) -> Result<FromWorker, Problem> {
        let frame = read_frame(&mut self.stdout).map_err(|error| broken(&error))?;
        frame.ok_or_else(|| {
            Problem::new(
                "the worker ended in the middle of the job",
                "its last words, if any, are above",
                "report this as a bug with the job file",
            )
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
