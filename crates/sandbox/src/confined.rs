//! A program that runs in the sandbox, and how it ended.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::unix::{OwnedWriteHalf, pipe},
    process::{Child, ChildStdout},
    sync::Mutex as AsyncMutex,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    Limits,
    groups::GroupSet,
    launch::{Launched, Reports},
    wire::{Exceeded, Order, Report},
};

/// How much of the end of a program's stderr is kept, in bytes.
const TAIL_BYTES: usize = 16 << 10;
/// How long the last of stderr is waited for after the program has ended.
const TAIL_PATIENCE: Duration = Duration::from_secs(1);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It ended itself with this exit code.
    Exited(i32),
    /// A signal ended it: its own fault, such as 11 (SIGSEGV) or 6 (SIGABRT).
    Signalled(i32),
    /// It needed more memory than it was given.
    MemoryLimit,
    /// It used up its CPU time.
    CpuLimit,
    /// It wrote more than it may into its writable folder.
    DiskLimit,
    /// It made a system call that no honest program makes.
    ForbiddenCall,
    /// It was killed by [`Confined::kill`], or the sandbox around it was killed from outside.
    Killed,
}

/// How a program ended and what it has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: How,
    /// CPU time of all its processes.
    pub cpu: Duration,
    /// The most memory it had in use at once, in bytes.
    pub max_rss: u64,
}

/// A running program. Dropping it kills the program and everything it has started.
#[derive(Debug)]
pub struct Confined {
    /// The program's stdin, until it is taken. Dropping it is the end of input.
    pub stdin: Option<pipe::Sender>,
    /// The program's stdout, until it is taken. The program waits when nobody reads it.
    pub stdout: Option<ChildStdout>,
    stderr: Tail,
    /// Held open for as long as the program may run.
    hold: Option<OwnedWriteHalf>,
    reports: Reports,
    child: Child,
    limits: Limits,
    memory_is_grouped: bool,
    exited: Option<(Option<i32>, Option<i32>)>,
    used: (Duration, u64),
    closed: Option<(Option<Exceeded>, u64)>,
    ended: Option<Ended>,
    _groups: GroupSet,
}

impl Confined {
    pub(crate) fn new(
        launched: Launched,
        groups: GroupSet,
        limits: Limits,
        memory_is_grouped: bool,
    ) -> Self {
        Self {
            stdin: Some(launched.stdin),
            stdout: Some(launched.stdout),
            stderr: launched.stderr,
            hold: Some(launched.hold),
            reports: launched.reports,
            child: launched.child,
            limits,
            memory_is_grouped,
            exited: None,
            used: (Duration::ZERO, 0),
            closed: None,
            ended: None,
            _groups: groups,
        }
    }

    /// The last 16 KiB of what the program has written to stderr, as text. Control characters, with which it could play
    /// with a terminal, are replaced; the words are still untrusted.
    #[must_use]
    pub fn stderr_tail(&self) -> String {
        self.stderr.text()
    }

    /// Kills the program and everything it has started. [`Confined::wait`] tells when that is done.
    pub fn kill(&mut self) {
        self.hold = None;
    }

    /// Stops the program and everything it has started where they are: they use no more CPU time and keep
    /// their memory. A program that stands still can be killed. Its silence is nobody's fault.
    ///
    /// # Errors
    /// The sandbox's own processes do not listen; they have ended or are about to.
    pub fn stand_still(&self) -> io::Result<()> {
        self.tell(Order::StandStill)
    }

    /// Undoes [`Confined::stand_still`].
    ///
    /// # Errors
    /// As there.
    pub fn go_on(&self) -> io::Result<()> {
        self.tell(Order::GoOn)
    }

    fn tell(&self, order: Order) -> io::Result<()> {
        let hold = self.hold.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        hold.try_write(&[order.byte()]).map(|_| ())
    }

    /// Waits for the end of the program and of all it has started. Cancel-safe; returns the same again afterwards.
    ///
    /// A program that waits for its input, or for its output to be read, does not end by itself.
    ///
    /// # Errors
    /// When the sandbox's own processes cannot be heard.
    pub async fn wait(&mut self) -> io::Result<Ended> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        while let Some(report) = self.reports.next().await? {
            match report {
                Report::Exited { code, signal, cpu, max_rss_bytes } => {
                    self.exited = Some((code, signal));
                    self.account(cpu, max_rss_bytes);
                }
                Report::Closed { exceeded, cpu, peak_bytes, oom_kills } => {
                    self.closed = Some((exceeded, oom_kills));
                    self.account(cpu, peak_bytes);
                }
                Report::Started => {}
                Report::Failed(fault) => {
                    return Err(io::Error::other(format!("{}: {}", fault.step, fault.why)));
                }
            }
        }
        self.child.wait().await?;
        self.stderr.finish().await;
        let (cpu, max_rss) = self.used;
        let ended = Ended { how: self.how(), cpu, max_rss };
        self.ended = Some(ended);
        Ok(ended)
    }

    fn account(&mut self, cpu: Duration, bytes: u64) {
        self.used = (self.used.0.max(cpu), self.used.1.max(bytes));
    }

    fn how(&self) -> How {
        let (exceeded, oom_kills) = self.closed.unwrap_or((None, 0));
        match exceeded {
            Some(Exceeded::Memory) => return How::MemoryLimit,
            Some(Exceeded::Cpu) => return How::CpuLimit,
            Some(Exceeded::Disk) => return How::DiskLimit,
            None => {}
        }
        let over_cpu = self.limits.cpu.is_some_and(|limit| self.used.0 >= limit);
        // Where no cgroup bounds memory, an allocation may be refused before the watch has looked again.
        let near_memory = self.used.1 >= self.limits.memory_bytes - self.limits.memory_bytes / 8;
        match self.exited {
            Some((Some(code), _)) => How::Exited(code),
            Some((None, Some(libc::SIGSYS))) => How::ForbiddenCall,
            Some((None, Some(libc::SIGKILL))) if oom_kills > 0 => How::MemoryLimit,
            Some((None, Some(libc::SIGKILL | libc::SIGXCPU))) if over_cpu => How::CpuLimit,
            Some((None, Some(_))) if !self.memory_is_grouped && near_memory => How::MemoryLimit,
            Some((None, Some(signal))) => How::Signalled(signal),
            Some((None, None)) | None => How::Killed,
        }
    }
}

/// The end of what a program writes to stderr. A flood is read and forgotten.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: AsyncMutex<Option<JoinHandle<()>>>,
    abort: tokio::task::AbortHandle,
}

impl Tail {
    pub(crate) fn follow(mut source: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::with_capacity(TAIL_BYTES)));
        let shared = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(count) = source.read(&mut buffer).await {
                if count == 0 {
                    break;
                }
                let mut kept = lock(&shared);
                let excess = (kept.len() + count).saturating_sub(TAIL_BYTES);
                kept.drain(..excess);
                kept.extend(&buffer[..count]);
            }
        });
        let abort = reader.abort_handle();
        Self { kept, reader: AsyncMutex::new(Some(reader)), abort }
    }

    pub(crate) fn text(&self) -> String {
        let mut kept = lock(&self.kept);
        let text = String::from_utf8_lossy(kept.make_contiguous());
        let plain = |c: char| {
            if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
        };
        text.chars().map(plain).collect()
    }

    /// Waits a little for what is still in the pipe.
    pub(crate) async fn finish(&self) {
        let mut reader = self.reader.lock().await;
        if let Some(handle) = reader.as_mut() {
            // A reader that failed or is late has kept what there was.
            let _ = timeout(TAIL_PATIENCE, handle).await;
            *reader = None;
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

fn lock(kept: &Mutex<VecDeque<u8>>) -> MutexGuard<'_, VecDeque<u8>> {
    // The bytes are whole between any two statements, so a panic elsewhere has not harmed them.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
