//! Starting the init process and handing it its plan.
//!
//! The init is started with the program's pipes as its own, and connects back to a socket whose name it is told. Both
//! sides check whom they talk to. The socket is how the init learns that the agent has died, in whatever way.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener as StdListener},
    },
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, pipe},
    },
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{
    CommandLine, SandboxError,
    confined::Tail,
    init::CONTROL,
    wire::{MAX_LINE, Plan, Report},
};

/// How long the init may take to build a sandbox. It takes milliseconds; a machine in trouble gets its chance.
const DEADLINE: Duration = Duration::from_secs(20);

/// A program that runs, with all the ends it is held by.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) child: Child,
    pub(crate) stdin: pipe::Sender,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: Tail,
    pub(crate) reports: Reports,
    pub(crate) hold: OwnedWriteHalf,
}

/// Starts the init and waits until it says that the program runs.
pub(crate) async fn launch(init: &CommandLine, plan: &Plan) -> Result<Launched, SandboxError> {
    let failed = |source| SandboxError::Init { init: init.program.clone(), source };
    let line = encode(plan).map_err(failed)?;
    let (name, listener) = listen().map_err(failed)?;
    let (stdin, program_stdin) = pipe::pipe().map_err(failed)?;
    let mut command = Command::new(&init.program);
    command.args(&init.args).arg(CONTROL).arg(&name);
    command.stdin(program_stdin.into_blocking_fd().map_err(failed)?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: Ctrl-C at the agent's terminal is for the agent to answer.
    command.process_group(0).env_clear();
    let mut child = command.spawn().map_err(failed)?;
    drop(command);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(failed(io::ErrorKind::BrokenPipe.into()));
    };
    let stderr = Tail::follow(stderr);
    let answered = timeout(DEADLINE, converse(&listener, &mut child, &line)).await;
    match answered.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        Ok((Report::Started, reports, hold)) => {
            Ok(Launched { child, stdin, stdout, stderr, reports, hold })
        }
        Ok((Report::Failed(fault), ..)) => {
            // Its last act; waiting for it leaves no zombie and no half-removed cgroup behind.
            let _ = timeout(DEADLINE, child.wait()).await;
            Err(SandboxError::SetUp {
                protection: fault.protection,
                step: fault.step,
                why: fault.why,
                errno: fault.errno,
            })
        }
        Ok(_) => Err(failed(io::ErrorKind::InvalidData.into())),
        Err(error) => {
            // The socket is gone by now, which ends whatever the init has started.
            stderr.finish().await;
            let said = stderr.text();
            let said =
                if said.trim().is_empty() { error.to_string() } else { said.trim().to_owned() };
            Err(SandboxError::Silent { said })
        }
    }
}

async fn converse(
    listener: &UnixListener,
    child: &mut Child,
    line: &[u8],
) -> io::Result<(Report, Reports, OwnedWriteHalf)> {
    let stream = tokio::select! {
        stream = accept_from(listener, child.id()) => stream?,
        status = child.wait() => return Err(io::Error::other(format!("it ended with {}", status?))),
    };
    let (read, mut hold) = stream.into_split();
    let mut reports = Reports { read: BufReader::new(read), line: Vec::new() };
    hold.write_all(line).await?;
    let first =
        reports.next().await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok((first, reports, hold))
}

/// Accepts the connection of the child and drops those of anybody else.
async fn accept_from(listener: &UnixListener, child: Option<u32>) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        let peer = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
        if peer.is_some() && peer == child {
            return Ok(stream);
        }
    }
}

fn encode(plan: &Plan) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(plan)?;
    line.push(b'\n');
    if line.len() as u64 > MAX_LINE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "arguments and environment are too large",
        ));
    }
    Ok(line)
}

/// A listening socket in the abstract namespace. Its name is odd only so that nobody else has it by accident.
fn listen() -> io::Result<(String, UnixListener)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let salt = RandomState::new().hash_one(number);
    let name = format!("tilth-sandbox-{}-{number}-{salt:016x}", std::process::id());
    let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
    listener.set_nonblocking(true)?;
    Ok((name, UnixListener::from_std(listener)?))
}

/// The reports of one init, in order.
#[derive(Debug)]
pub(crate) struct Reports {
    read: BufReader<OwnedReadHalf>,
    line: Vec<u8>,
}

impl Reports {
    /// The next report; `None` when the init has ended. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Report>> {
        let room = MAX_LINE.saturating_sub(self.line.len() as u64);
        (&mut self.read).take(room).read_until(b'\n', &mut self.line).await?;
        if self.line.last() != Some(&b'\n') {
            return if self.line.is_empty() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        let report = serde_json::from_slice(&self.line);
        self.line.clear();
        Ok(Some(report?))
    }
}
