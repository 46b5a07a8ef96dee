//! A worker process in the sandbox, and what it is told and says.
//!
//! Everything it says is hostile: frames are bounded before they are read, results must come in order,
//! within the job's limits and before the worker has been silent for too long. Whatever is not so ends
//! the worker, by dropping the [`Hand`]. A worker on a [`Leash`] stands still when it is pulled, and that
//! time does not count.

use std::{
    io,
    pin::pin,
    time::{Duration, Instant},
};

use tilth_protocol::{
    Leaf, Limits, Status, TaskIndex, Workload,
    worker::{
        FromWorker, MAX_BATCH, TaskDone, ToWorker, WORKER_PROTOCOL, frame_body, frame_length,
        write_frame,
    },
};
use tilth_sandbox::{Bind, Confined, How, Limits as Cage, Program, SandboxError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::unix::pipe,
    process::ChildStdout,
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    fetch::layout::check_inputs,
    gpu,
    shop::{Ready, Shop},
};

/// How long a worker may take to say who it is.
const HELLO: Duration = Duration::from_secs(30);
/// Memory a worker needs besides the guest's: code, its own heap, buffered outputs.
pub(crate) const WORKER_OVERHEAD: u64 = 192 << 20;
/// Buffer for what a worker says.
const BUFFER: usize = 256 << 10;
/// Most characters of a guest's log line that are passed on.
const MAX_LOG_CHARS: usize = 2_000;
/// How long the end of a dead worker is waited for, to say why it died.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a worker cannot be worked with any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandError {
    /// It could not be started: our fault or the machine's.
    #[error("starting a worker failed: {0}")]
    Start(#[from] SandboxError),
    /// Its job's inputs do not lie as the spec has them: it would find other results than anybody else.
    #[error("its inputs are not in order: {0}")]
    Inputs(#[source] io::Error),
    /// It did not say who it is. It knows nothing of any job yet, so no job is to blame.
    #[error("a worker does not begin: {0}")]
    Unheard(#[source] Box<HandError>),
    /// It died.
    #[error("the worker ended ({how}): {said}")]
    Ended {
        /// In which way.
        how: String,
        /// The end of its stderr, or its own words.
        said: String,
    },
    /// It said nothing, or nothing to the point, for too long.
    #[error("the worker gave no result for {} s", .0.as_secs())]
    Silent(Duration),
    /// It said something it must not say.
    #[error("the worker broke the rules: {0}")]
    Nonsense(String),
}

/// By which a worker is made to stand still. The default is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leash {
    pulled: Option<watch::Receiver<bool>>,
}

impl Leash {
    pub(crate) fn new(pulled: watch::Receiver<bool>) -> Self {
        Self { pulled: Some(pulled) }
    }

    fn is_pulled(&self) -> bool {
        self.pulled.as_ref().is_some_and(|pulled| *pulled.borrow())
    }

    /// Waits until it is pulled or let go.
    async fn changed(&mut self) {
        let changed = match &mut self.pulled {
            Some(pulled) => pulled.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            // Nobody is left who could.
            self.pulled = None;
            std::future::pending::<()>().await;
        }
    }
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Hand {
    confined: Confined,
    leash: Leash,
    stands: bool,
    stood: Duration,
    stdin: pipe::Sender,
    stdout: BufReader<ChildStdout>,
    engine: String,
}

/// A worker's standard input and output.
pub(crate) type Ends = (pipe::Sender, BufReader<ChildStdout>);

/// How a worker's prepare phase ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    pub(crate) prepare: Status,
    pub(crate) prepare_units: u64,
}

/// One result with its output, which is in the leaf, too, if it is short.
#[derive(Debug)]
pub(crate) struct TaskResult {
    pub(crate) leaf: Leaf,
    pub(crate) output: Vec<u8>,
}

impl Hand {
    /// Starts a worker that sees these files, and waits for its greeting.
    async fn start(
        shop: &Shop,
        binds: Vec<Bind>,
        workload: Workload,
        cage: &Cage,
        leash: Leash,
    ) -> Result<Self, HandError> {
        let mut program = Program::new(&shop.worker.program);
        program.args = shop.worker.args.clone();
        program.args.push("serve".into());
        program.read_only = binds;
        if workload == Workload::Gpu {
            shop.gpu.give(&mut program);
        }
        Self::spawn(shop.confinement.spawn(&program, cage).await?, leash).await
    }

    /// Takes over a started worker.
    pub(crate) async fn spawn(mut confined: Confined, leash: Leash) -> Result<Self, HandError> {
        let (Some(stdin), Some(stdout)) = (confined.stdin.take(), confined.stdout.take()) else {
            return Err(HandError::Nonsense("it has no pipes".into()));
        };
        let stdout = BufReader::with_capacity(BUFFER, stdout);
        let (stands, stood, engine) = (false, Duration::ZERO, String::new());
        let mut hand = Self { confined, leash, stands, stood, stdin, stdout, engine };
        match hand.hear(HELLO).await.map_err(|error| HandError::Unheard(Box::new(error)))? {
            FromWorker::Hello { protocol: WORKER_PROTOCOL, engine } => hand.engine = engine,
            FromWorker::Hello { protocol, .. } => {
                let text = format!("it speaks version {protocol}, we speak {WORKER_PROTOCOL}");
                return Err(HandError::Nonsense(text));
            }
            other => return Err(unexpected(&other)),
        }
        Ok(hand)
    }

    /// Takes the worker apart: who asks and hears at the same time needs its ends in two hands. What is left
    /// keeps the worker alive and knows how it ends.
    pub(crate) fn part(self) -> (Keep, Ends) {
        (Keep(self.confined), (self.stdin, self.stdout))
    }

    /// What the worker says it is.
    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    /// Starts a worker for a job and loads the job. Includes the prepare phase.
    pub(crate) async fn load(
        shop: &Shop,
        ready: &Ready,
        leash: Leash,
    ) -> Result<(Self, Loaded), HandError> {
        let laid_out = shop.folder.inputs(ready.job);
        check_inputs(&laid_out, &ready.spec).map_err(HandError::Inputs)?;
        let limits = ready.spec.limits;
        let artifact = shop.folder.artifact(&shop.engine, ready.spec.program.hash);
        let program = Bind::new(artifact, "/job/program");
        let inputs = Bind::new(laid_out, "/job/inputs");
        let inside = |bind| shop.confinement.path_inside(bind).to_string_lossy().into_owned();
        let load = ToWorker::Load {
            workload: ready.spec.workload,
            program: inside(&program),
            inputs: inside(&inputs),
            limits,
        };
        let workload = ready.spec.workload;
        let cage = match workload {
            Workload::Wasm => Cage { open_files: 128, ..Cage::default() },
            Workload::Gpu => gpu::cage(),
            // A thread per core is more than the default allows on large machines.
            Workload::Infer => Cage { processes: 1024, ..Cage::default() },
        };
        let inputs_open = u32::try_from(ready.spec.inputs.len()).unwrap_or(0);
        let cage = Cage {
            memory_bytes: shop.limits.memory_per_slot,
            open_files: cage.open_files.saturating_add(inputs_open),
            // The guest's memory is an anonymous file, which counts as one.
            file_bytes: limits.memory_bytes.saturating_add(1 << 30),
            ..cage
        };
        let mut hand = Self::start(shop, vec![program, inputs], workload, &cage, leash).await?;
        if hand.engine != shop.engine {
            return Err(HandError::Nonsense(format!("it is {} now", hand.engine)));
        }
        hand.say(&load).await?;
        let whole = Duration::from_millis(ready.range_timeout_ms).max(HELLO);
        let patience = Patience::new(whole, hand.stood);
        let loaded = loop {
            match hand.hear_within(patience).await? {
                FromWorker::Loaded { prepare, prepare_units } => {
                    break Loaded { prepare, prepare_units };
                }
                FromWorker::Log { index, text } => log(ready, index, &text),
                other => return Err(unexpected(&other)),
            }
        };
        check_prepare(&loaded, &limits)?;
        Ok((hand, loaded))
    }

    /// Asks for tasks; their results come from [`Hand::results`].
    pub(crate) async fn order(&mut self, from: TaskIndex, count: u32) -> Result<(), HandError> {
        self.say(&ToWorker::Run { from, count }).await
    }

    /// The next results, in order, the first being of task `next`; at most `most`, at least one. They must come within
    /// `silence`: log lines and pieces of output on the way do not prolong it, or a worker could talk for ever.
    pub(crate) async fn results(
        &mut self,
        ready: &Ready,
        next: TaskIndex,
        most: u32,
        silence: Duration,
    ) -> Result<Vec<TaskResult>, HandError> {
        let limits = &ready.spec.limits;
        let mut output = Vec::new();
        let patience = Patience::new(silence, self.stood);
        loop {
            match self.hear_within(patience).await? {
                FromWorker::Chunk(part) => {
                    let size = (output.len() as u64).saturating_add(part.len() as u64);
                    if size > limits.output_bytes {
                        return Err(HandError::Nonsense("an output is too large".into()));
                    }
                    output.extend_from_slice(&part);
                }
                FromWorker::Done(done) => return check_results(done, output, next, most, limits),
                FromWorker::Log { index, text } => log(ready, index, &text),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Tells the worker something.
    pub(crate) async fn say(&mut self, message: &ToWorker) -> Result<(), HandError> {
        let mut bytes = Vec::new();
        let said = match write_frame(&mut bytes, message) {
            Ok(()) => timeout(HELLO, self.stdin.write_all(&bytes)).await,
            Err(error) => return Err(HandError::Nonsense(error.to_string())),
        };
        match said {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.ended(&error).await),
            Err(_) => Err(HandError::Silent(HELLO)),
        }
    }

    /// The next thing it says.
    pub(crate) async fn hear(&mut self, patience: Duration) -> Result<FromWorker, HandError> {
        match self.frame(patience).await {
            Ok(Ok(FromWorker::Failed(problem))) => {
                let said = problem.to_string().chars().take(MAX_LOG_CHARS).collect();
                Err(HandError::Ended { how: "by its own words".into(), said })
            }
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(HandError::Nonsense(error.to_string()))
            }
            Ok(Err(error)) => Err(self.ended(&error).await),
            Err(()) => Err(HandError::Silent(patience)),
        }
    }

    /// The next frame, if it comes before patience ends.
    async fn hear_within(&mut self, patience: Patience) -> Result<FromWorker, HandError> {
        let left = patience.left(self.stood);
        // Asked about explicitly: a frame that is there already would be heard even when no time is left.
        if left.is_zero() {
            return Err(HandError::Silent(patience.whole));
        }
        match self.hear(left).await {
            Err(HandError::Silent(_)) => Err(HandError::Silent(patience.whole)),
            heard => heard,
        }
    }

    /// The next frame, or `Err` after so much silence. While the leash is pulled the worker stands still
    /// and the time does not count.
    async fn frame(&mut self, patience: Duration) -> Result<io::Result<FromWorker>, ()> {
        let Self { confined, leash, stands, stood, stdout, .. } = self;
        let mut frame = pin!(read_frame(stdout));
        let mut left = patience;
        loop {
            if *stands != leash.is_pulled() {
                *stands = !*stands;
                let told = if *stands { confined.stand_still() } else { confined.go_on() };
                // One that cannot be told has ended, which its pipe says next.
                if let Err(error) = told {
                    debug!(%error, "a worker cannot be told to stand still or to go on");
                }
            }
            let began = Instant::now();
            tokio::select! {
                frame = &mut frame => return Ok(frame),
                () = sleep(left), if !*stands => return Err(()),
                () = leash.changed() => {}
            }
            match *stands {
                true => *stood = stood.saturating_add(began.elapsed()),
                false => left = left.saturating_sub(began.elapsed()),
            }
        }
    }

    /// How long the worker has stood still in all.
    pub(crate) fn stood(&self) -> Duration {
        self.stood
    }

    /// Why the worker's pipes are closed.
    async fn ended(&mut self, pipe: &io::Error) -> HandError {
        last_words(&mut self.confined, pipe).await
    }
}

/// A worker without its pipes. Dropping it ends the worker.
#[derive(Debug)]
pub(crate) struct Keep(Confined);

impl Keep {
    /// Why the worker's pipes are closed.
    pub(crate) async fn ended(&mut self, pipe: &io::Error) -> HandError {
        last_words(&mut self.0, pipe).await
    }
}

async fn last_words(confined: &mut Confined, pipe: &io::Error) -> HandError {
    let how = match timeout(LAST_WORDS, confined.wait()).await {
        Ok(Ok(ended)) => describe(ended.how),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("its pipe: {pipe}"),
    };
    let tail = confined.stderr_tail();
    let skip = tail.chars().count().saturating_sub(MAX_LOG_CHARS);
    HandError::Ended { how, said: tail.chars().skip(skip).collect() }
}

/// A time that runs down over several frames, and not while the worker stands still.
#[derive(Clone, Copy, Debug)]
struct Patience {
    whole: Duration,
    began: Instant,
    /// How long the worker had stood still by then.
    stood: Duration,
}

impl Patience {
    fn new(whole: Duration, stood: Duration) -> Self {
        Self { whole, began: Instant::now(), stood }
    }

    /// What is left when the worker has stood still for `stood` in all.
    fn left(self, stood: Duration) -> Duration {
        let stood = stood.saturating_sub(self.stood);
        self.whole.saturating_sub(self.began.elapsed().saturating_sub(stood))
    }
}

/// How a program ended, for people.
pub(crate) fn describe(how: How) -> String {
    match how {
        How::Exited(code) => format!("exit code {code}"),
        How::Signalled(signal) => format!("signal {signal}"),
        How::MemoryLimit => "memory limit".into(),
        How::CpuLimit => "CPU time limit".into(),
        How::DiskLimit => "disk limit".into(),
        How::ForbiddenCall => "forbidden system call".into(),
        How::Killed => "killed".into(),
    }
}

pub(crate) async fn read_frame(stdout: &mut BufReader<ChildStdout>) -> io::Result<FromWorker> {
    let mut length = [0; 4];
    stdout.read_exact(&mut length).await?;
    let mut body = vec![0; frame_length(length)?];
    stdout.read_exact(&mut body).await?;
    frame_body(&body)
}

/// What to make of a frame that is not due.
pub(crate) fn unexpected(frame: &FromWorker) -> HandError {
    let name = match frame {
        FromWorker::Hello { .. } => "a greeting",
        FromWorker::Loaded { .. } => "that it has loaded",
        FromWorker::Chunk(_) => "a piece of output",
        FromWorker::Done(_) => "results",
        FromWorker::Log { .. } => "a log line",
        FromWorker::Gpu(_) => "what GPU there is",
        FromWorker::Failed(_) => "that it failed",
        FromWorker::Committed(_) | FromWorker::Walked(_) | FromWorker::Opened(_) => {
            "an answer to a challenge"
        }
        FromWorker::Infer(_) => "something about a model",
    };
    HandError::Nonsense(format!("it said {name} out of turn"))
}

/// A guest's log line. Untrusted text: control characters do not reach a terminal.
fn log(ready: &Ready, index: TaskIndex, text: &str) {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(MAX_LOG_CHARS).map(clean).collect();
    debug!(job = %ready.job, index, text, "the program says");
}

fn check_prepare(loaded: &Loaded, limits: &Limits) -> Result<(), HandError> {
    let cap = limits.prepare_cap;
    let fits = match (cap, loaded.prepare) {
        (0, status) => status == Status::Ok && loaded.prepare_units == 0,
        (cap, Status::Ok) => (1..=cap).contains(&loaded.prepare_units),
        (cap, _) => loaded.prepare_units == cap,
    };
    if fits {
        return Ok(());
    }
    warn!(units = loaded.prepare_units, cap, "units of the prepare phase are out of bounds");
    Err(HandError::Nonsense("units of the prepare phase are out of bounds".into()))
}

/// Checks results against the order and the job's limits, and makes leaves of them.
fn check_results(
    done: Vec<TaskDone>,
    mut first_output: Vec<u8>,
    next: TaskIndex,
    most: u32,
    limits: &Limits,
) -> Result<Vec<TaskResult>, HandError> {
    let count = u32::try_from(done.len()).unwrap_or(u32::MAX);
    if count == 0 || count > most || done.len() > MAX_BATCH {
        return Err(HandError::Nonsense(format!("{count} results where 1 to {most} are due")));
    }
    let mut results = Vec::with_capacity(done.len());
    for (due, TaskDone { index, status, units, output }) in (next..).zip(done) {
        let output = if first_output.is_empty() {
            output
        } else {
            // Pieces belong to the result that comes next, whose own part is the last.
            let mut whole = std::mem::take(&mut first_output);
            whole.extend_from_slice(&output);
            whole
        };
        let wrong = |what: &str| Err(HandError::Nonsense(format!("task {index}: {what}")));
        if index != due {
            return wrong("out of order");
        }
        if output.len() as u64 > limits.output_bytes {
            return wrong("an output is too large");
        }
        let leaf = match status {
            Status::Ok if !(1..=limits.unit_cap).contains(&units) => {
                return wrong("units are out of bounds");
            }
            Status::Ok => Leaf::finished(index, &output, units),
            _ if units != limits.unit_cap || !output.is_empty() => {
                return wrong("a failure has output, or not all units");
            }
            failed => Leaf::failed(index, failed, units),
        };
        results.push(TaskResult { leaf, output });
    }
    Ok(results)
}

#[cfg(test)]
mod deaths;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { unit_cap: 10, prepare_cap: 20, memory_bytes: 1 << 20, output_bytes: 40 };

    fn done(index: u32, units: u64, output: &[u8]) -> TaskDone {
        TaskDone { index, status: Status::Ok, units, output: output.to_vec() }
    }

    fn check(results: Vec<TaskDone>, pieces: &[u8]) -> Result<Vec<TaskResult>, HandError> {
        check_results(results, pieces.to_vec(), 5, 3, &LIMITS)
    }

    #[test]
    fn results_in_order_and_bounds_become_leaves() {
        let trap = TaskDone { index: 6, status: Status::Trap, units: 10, output: Vec::new() };
        let results = check(vec![done(5, 3, &[1; 10]), trap], &[2; 30]).unwrap();
        let mut whole = vec![2; 30];
        whole.extend_from_slice(&[1; 10]);
        assert_eq!(results[0].output, whole);
        assert_eq!(results[0].leaf, Leaf::finished(5, &whole, 3));
        assert_eq!(results[1].leaf, Leaf::failed(6, Status::Trap, 10));
    }

    #[test]
    fn whatever_breaks_the_rules_is_refused() {
        let failure = |units, output: &[u8]| TaskDone {
            index: 5,
            status: Status::OutOfFuel,
            units,
            output: output.to_vec(),
        };
        for wrong in [
            vec![],
            vec![done(6, 1, &[])],
            vec![done(5, 1, &[]), done(7, 1, &[])],
            vec![done(5, 0, &[])],
            vec![done(5, 11, &[])],
            vec![done(5, 1, &[0; 41])],
            vec![failure(9, &[])],
            vec![failure(10, &[1])],
            (5..9).map(|index| done(index, 1, &[])).collect(),
        ] {
            let refused = check(wrong.clone(), &[]);
            assert!(matches!(refused, Err(HandError::Nonsense(_))), "{wrong:?}");
        }
        assert!(check(vec![done(5, 1, &[0; 20])], &[0; 21]).is_err());
    }

    #[test]
    fn a_prepare_phase_is_held_to_its_cap() {
        let loaded = |prepare, prepare_units| Loaded { prepare, prepare_units };
        let without = Limits { prepare_cap: 0, ..LIMITS };
        assert!(check_prepare(&loaded(Status::Ok, 20), &LIMITS).is_ok());
        assert!(check_prepare(&loaded(Status::Trap, 20), &LIMITS).is_ok());
        assert!(check_prepare(&loaded(Status::Ok, 0), &without).is_ok());
        for (wrong, limits) in [
            (loaded(Status::Ok, 21), LIMITS),
            (loaded(Status::Ok, 0), LIMITS),
            (loaded(Status::Trap, 19), LIMITS),
            (loaded(Status::Ok, 1), without),
            (loaded(Status::Trap, 0), without),
        ] {
            assert!(check_prepare(&wrong, &limits).is_err(), "{wrong:?}");
        }
    }
}
