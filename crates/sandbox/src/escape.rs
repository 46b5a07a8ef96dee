//! Attempts to escape, made for real, each of them reported.
//!
//! [`run`] starts the program itself in the sandbox once for each [`Attempt`], lays out bait outside (a secret file, open
//! sockets, a neighbour process), and judges by what the attempt tells, by how it ended, and by what became of the bait.
//! What an attempt does is harmless if it works: files are opened and not written, calls are made with arguments that
//! change nothing. So an owner can run it on a machine in use.

mod bait;
mod greed;
mod judge;
mod kernel;
mod lasting;
mod outward;
mod raw;
mod table;
mod tries;
mod writing;

use std::{
    ffi::OsStr,
    fmt, fs, io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, BufReader},
    process::ChildStdout,
    time::timeout,
};

pub(crate) use self::bait::be_victim;
pub use self::table::{ATTEMPTS, Attempt};
use self::{
    bait::{Bait, Laid},
    table::{Meanwhile, Stop},
    tries::{READY, Tries},
};
use crate::{
    Bind, Confinement, Limits, Program, SandboxError, confined::Confined, init::ATTEMPT, output,
};

/// What an attempt is given. Little, so that attempts end soon.
const LIMITS: Limits = Limits {
    memory_bytes: 64 << 20,
    cpu: Some(Duration::from_secs(10)),
    processes: 16,
    open_files: 32,
    file_bytes: 8 << 20,
    tmp_bytes: 4 << 20,
    out_bytes: 16 << 20,
    out_files: 256,
};
/// CPU time of attempts that are after time.
const LITTLE_TIME: Duration = Duration::from_millis(300);
/// How long an attempt may take that is to end by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one is let go on that is to be killed.
const WHILE: Duration = Duration::from_millis(200);
/// How long a killed program may take to be gone.
const END: Duration = Duration::from_secs(20);
/// Most that an attempt may say, in bytes.
const MAX_SAID: u64 = 256 << 10;

/// What is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Other machines, and sockets of this one.
    Network,
    /// The machine's files, devices and kernel files.
    Files,
    /// Users, capabilities, namespaces, mounts.
    Rights,
    /// Other processes, and its own number and end.
    Processes,
    /// Memory, in all its forms.
    Memory,
    /// Processor time, and time.
    Time,
    /// The folder it may write to.
    Output,
    /// The agent that started it.
    Agent,
    /// Parts of the kernel that computing does not need.
    Kernel,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "network",
            Self::Files => "files",
            Self::Rights => "rights",
            Self::Processes => "processes",
            Self::Memory => "memory",
            Self::Time => "time",
            Self::Output => "output",
            Self::Agent => "agent",
            Self::Kernel => "kernel",
        })
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was stopped.
    Held,
    /// It worked, and the report of this machine's protections says why: none of those that stop it is in force.
    Open,
    /// It worked although a protection that should stop it is in force: a fault of the sandbox.
    Escaped,
    /// It could not be made, or ended in a way that says nothing.
    Untested,
}

/// One attempt and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The attempt's name.
    pub name: String,
    /// What it is about.
    pub area: Area,
    /// What it tried, in words.
    pub goal: String,
    /// What came of it.
    pub verdict: Verdict,
    /// How it was stopped, or what worked; a line for people.
    pub how: String,
    /// The protections in force that stop it.
    pub walls: Vec<String>,
    /// Every single try: what, and what the system answered.
    pub tries: Vec<(String, String)>,
    /// How the program ended.
    pub ended: String,
}

/// Makes the attempts whose names are in `only`, or all if it is empty, and hands over each finding as it comes.
///
/// Takes up to a minute or two, at most a gigabyte of disk in the folder for temporary files for a moment, and 256 MiB of memory.
///
/// # Errors
/// When the bait cannot be laid out or a program cannot be started: then nothing is known.
pub async fn run(
    confinement: &Confinement,
    only: &[String],
    mut each: impl FnMut(&Finding),
) -> Result<Vec<Finding>, SandboxError> {
    let failed = |source| SandboxError::Bind { path: std::env::temp_dir(), source };
    let mut laid = Laid::lay(confinement.init(), LIMITS).map_err(failed)?;
    // What has nothing to do with any attempt must not be blamed on the first.
    laid.harm();
    let mut findings = Vec::new();
    for attempt in ATTEMPTS {
        if !only.is_empty() && only.iter().all(|name| name != attempt.name) {
            continue;
        }
        let seen = perform(confinement, &mut laid, attempt).await?;
        let finding = judge::judge(attempt, confinement.report(), &seen);
        each(&finding);
        findings.push(finding);
    }
    Ok(findings)
}

/// What was seen of one attempt.
#[derive(Debug, Default)]
struct Seen {
    said: String,
    /// How it ended; absent if it could not be ended.
    ended: Option<crate::How>,
    /// What happened outside.
    harm: Vec<String>,
}

async fn perform(
    confinement: &Confinement,
    laid: &mut Laid,
    attempt: &Attempt,
) -> Result<Seen, SandboxError> {
    let out = laid.folder.join("out");
    let io_failed = |source| SandboxError::Bind { path: out.clone(), source };
    output::clear(&out).map_err(io_failed)?;
    fs::DirBuilder::new().mode(0o700).create(&out).map_err(io_failed)?;
    let mut limits = LIMITS;
    if attempt.stops.contains(&Stop::Time) {
        limits.cpu = Some(LITTLE_TIME);
    }
    let program = program(confinement, laid, attempt, limits)?;
    let mut confined = confinement.spawn(&program, &limits).await?;
    drop(confined.stdin.take());
    let mut seen = Seen::default();
    follow(&mut confined, laid, attempt, &mut seen).await;
    confined.kill();
    let ended = timeout(END, confined.wait()).await;
    seen.ended = ended.ok().and_then(Result::ok).map(|ended| ended.how);
    let tail = confined.stderr_tail();
    if tail.contains('\u{1b}') {
        seen.harm.push("terminal codes came through".into());
    }
    drop(confined);
    if !all_gone(&laid.folder).await {
        seen.harm.push("processes are left".into());
    }
    seen.harm.extend(laid.harm());
    seen.harm.extend(left_over(&out));
    Ok(seen)
}

fn program(
    confinement: &Confinement,
    laid: &Laid,
    attempt: &Attempt,
    limits: Limits,
) -> Result<Program, SandboxError> {
    let (input, out) =
        (Bind::new(laid.folder.join("input"), "/in"), Bind::new(laid.folder.join("out"), "/out"));
    let bait = Bait {
        input: confinement.path_inside(&input).to_owned(),
        out: confinement.path_inside(&out).to_owned(),
        limits,
        ..laid.bait.clone()
    };
    let bait = serde_json::to_string(&bait)
        .map_err(|_| SandboxError::Request("the bait cannot be described"))?;
    let init = confinement.init();
    let mut program = Program::new(&init.program);
    program.args = init.args.clone();
    program.args.extend([ATTEMPT.into(), attempt.name.into(), bait.into()]);
    program.read_only = vec![input];
    program.writable = Some(out);
    Ok(program)
}

/// Reads what the program says until it ends or is to be ended.
async fn follow(confined: &mut Confined, laid: &Laid, attempt: &Attempt, seen: &mut Seen) {
    let Some(stdout) = confined.stdout.take() else { return };
    let mut stdout = BufReader::new(stdout.take(MAX_SAID));
    let mut said = Vec::new();
    if attempt.stops.contains(&Stop::Killed) {
        let ready = timeout(PATIENCE, hear(&mut stdout, &mut said, READY)).await;
        if ready.is_ok() {
            match attempt.agent {
                Meanwhile::Ignores => {
                    // Its output is not read and piles up, so it must wait.
                    let _ = timeout(WHILE, confined.wait()).await;
                }
                Meanwhile::TakesOutput => take_for_a_while(laid, seen).await,
                Meanwhile::Reads => {
                    let _ = timeout(WHILE, hear(&mut stdout, &mut said, "")).await;
                    let _ = timeout(WHILE, confined.wait()).await;
                }
            }
        }
    } else if timeout(PATIENCE, stdout.read_to_end(&mut said)).await.is_ok() {
        let _ = timeout(PATIENCE, confined.wait()).await;
    }
    seen.said = String::from_utf8_lossy(&said).into_owned();
}

/// Reads until a line is this word, or to the end.
async fn hear(
    stdout: &mut BufReader<tokio::io::Take<ChildStdout>>,
    said: &mut Vec<u8>,
    word: &str,
) -> io::Result<()> {
    let end = format!("{word}\n");
    while word.is_empty() || !said.ends_with(end.as_bytes()) {
        said.push(stdout.read_u8().await?);
    }
    Ok(())
}

async fn take_for_a_while(laid: &Laid, seen: &mut Seen) {
    let start = Instant::now();
    while start.elapsed() < WHILE {
        for _ in 0..100 {
            let Ok(file) = output::take(&laid.folder.join("out"), "artifact", 1 << 20) else {
                continue;
            };
            let mut content = Vec::new();
            if io::Read::read_to_end(&mut io::Read::take(file, 1 << 20), &mut content).is_ok()
                && laid.is_secret(&content)
            {
                seen.harm.push("the agent was led to the secret".into());
                return;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Whether no process of an attempt is left, soon.
async fn all_gone(folder: &Path) -> bool {
    let start = Instant::now();
    while is_running(folder) {
        if start.elapsed() > END {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Whether any process has the bait's folder among the arguments of an attempt.
fn is_running(folder: &Path) -> bool {
    let mark = folder.to_string_lossy().into_owned();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut processes = all.filter(|entry| {
        entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
    });
    processes.any(|entry| {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        arguments.contains(ATTEMPT) && arguments.contains(&mark)
    })
}

/// What lies in the output folder and must not.
fn left_over(out: &Path) -> Vec<String> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let mut found = Vec::new();
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let Ok(data) = entry.metadata() else { continue };
        let kind = data.file_type();
        if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
            found.push("a device, pipe or socket is left".into());
        }
        // The group's bit means something only together with the group's right to execute.
        let rights = data.mode() & 0o4000 != 0 || data.mode() & 0o2010 == 0o2010;
        if kind.is_file() && rights && data.len() > 0 {
            found.push("a set-user-id program is left".into());
        }
        if kind.is_file() && data.len() > LIMITS.file_bytes {
            found.push("a file is larger than allowed".into());
        }
    }
    found
}

/// Entry of an attempt inside the sandbox.
pub(crate) fn act(name: &OsStr, bait: &OsStr) -> io::Result<()> {
    let bait: Bait = serde_json::from_slice(bait.as_encoded_bytes())?;
    let attempt = ATTEMPTS.iter().find(|attempt| name == attempt.name);
    let attempt = attempt.ok_or_else(|| io::Error::other("no such attempt"))?;
    let mut tries = Tries::new();
    (attempt.act)(&bait, &mut tries);
    tries.done()
}
