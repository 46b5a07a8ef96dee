//! The owner's hand on a running provider: a socket in its folder, one line of JSON each way.
//!
//! Only the provider's own user and root are answered: the kernel says who is at the other end. A pause
//! is also a file in the folder, so it outlives restarts and can be set while no provider runs. The file holds the
//! pause's end, or nothing if it has none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tilth_client::clock::{now, until};
use tilth_service::Doing;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
    time::timeout,
};
use tracing::{debug, info, warn};

use crate::{idle::Reason, machine::Millis, status::Status};

const SOCKET: &str = "control";
const MARK: &str = "paused";
/// Longest line that is read, in bytes: a status of a thousand slots.
const MAX_LINE: u64 = 1 << 20;
/// How long the other end may take for its line.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an order may take to be carried out before its outcome is shown as it is.
const CARRY_OUT: Duration = Duration::from_secs(10);
/// Connections served at once; the owner needs one.
const MAX_CONNECTIONS: usize = 8;

/// What the owner may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Wish {
    /// Work for nobody until told otherwise.
    Pause,
    /// Work for nobody until then.
    PauseUntil {
        /// When the pause ends by itself, in milliseconds since 1970.
        until: Millis,
    },
    /// Work again.
    Resume,
    /// Say what is going on.
    Status,
}

/// The end of a pause that has none.
const FOR_EVER: Millis = Millis::MAX;

impl Wish {
    /// Until when a provider is to be paused, 0 if not at all; `None`: as it is.
    fn paused_until(self) -> Option<Millis> {
        match self {
            Self::Pause => Some(FOR_EVER),
            Self::PauseUntil { until } => Some(until),
            Self::Resume => Some(0),
            Self::Status => None,
        }
    }
}

/// Why a provider could not be told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The folder is not one of a provider.
    #[error("{} is not a provider's folder", .0.display())]
    NoProvider(PathBuf),
    /// Its files or socket cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It said something that cannot be understood, or nothing in time.
    #[error("the provider does not answer as it should: {0}")]
    Answer(String),
}

/// A provider's folder as its owner's commands see it.
#[derive(Clone, Debug)]
pub struct Control {
    dir: PathBuf,
}

impl Control {
    /// The provider in this folder, running or not.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn of(dir: &Path) -> Result<Self, ControlError> {
        if !dir.join("lock").exists() {
            return Err(ControlError::NoProvider(dir.to_owned()));
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Whether the owner has paused it.
    pub fn is_paused(&self) -> bool {
        marked(&self.dir) > now()
    }

    /// When its pause ends by itself, in milliseconds since 1970; `None` if it does not, or there is none.
    pub fn paused_until(&self) -> Option<Millis> {
        Some(marked(&self.dir)).filter(|end| *end > now() && *end != FOR_EVER)
    }

    /// Tells the provider, and gives its [`Status`] afterwards, in JSON; `None` if none runs in the folder. A pause
    /// or its end is kept in either case.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn tell(&self, wish: Wish) -> Doing<'_, Result<Option<Box<RawValue>>, ControlError>> {
        Box::pin(async move {
            let failed = |path: PathBuf, source| ControlError::File { path, source };
            if let Some(end) = wish.paused_until() {
                mark(&self.dir, end).map_err(|source| failed(self.dir.join(MARK), source))?;
            }
            let path = self.dir.join(SOCKET);
            let connected = short_path(&self.dir).map(|(folder, path)| (folder, path.join(SOCKET)));
            let (_folder, short) = connected.map_err(|source| failed(path.clone(), source))?;
            let stream = match UnixStream::connect(&short).await {
                Ok(stream) => stream,
                // The socket of one that was killed stays behind.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                    ) =>
                {
                    return Ok(None);
                }
                Err(source) => return Err(failed(path, source)),
            };
            let asked = timeout(PATIENCE + CARRY_OUT, ask(stream, wish)).await;
            let answer = asked.map_err(|_| ControlError::Answer("it takes too long".into()))?;
            answer.map(Some).map_err(|source| ControlError::Answer(source.to_string()))
        })
    }
}

async fn ask(mut stream: UnixStream, wish: Wish) -> io::Result<Box<RawValue>> {
    let mut line = serde_json::to_vec(&wish)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(serde_json::from_slice(&read_line(&mut stream).await?)?)
}

/// Sets the mark of a pause with this end, or removes it if that is 0.
fn mark(dir: &Path, end: Millis) -> io::Result<()> {
    let path = dir.join(MARK);
    if end > 0 {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
        let text = if end == FOR_EVER { String::new() } else { end.to_string() };
        return file?.write_all(text.as_bytes());
    }
    fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// The end of the pause that is marked in a folder, 0 without one. In doubt the owner wants it, and for ever.
fn marked(dir: &Path) -> Millis {
    match fs::read_to_string(dir.join(MARK)) {
        Ok(text) => text.trim().parse().unwrap_or(FOR_EVER),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(_) => FOR_EVER,
    }
}

/// Ends a pause whose time is over.
fn end_pause(paused: &watch::Sender<Millis>) {
    let ended = paused.send_if_modified(|end| {
        let over = *end > 0 && *end <= now();
        if over {
            *end = 0;
        }
        over
    });
    if ended {
        info!("the pause that the owner asked for is over");
    }
}

/// A folder under a short name: a socket's path has 107 bytes, which folders can exceed. Good while the
/// file is open.
fn short_path(dir: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::open(dir)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    Ok((folder, short))
}

/// The provider's end.
#[derive(Debug)]
pub(crate) struct Ear {
    listener: UnixListener,
    dir: PathBuf,
    paused: watch::Sender<Millis>,
    status: watch::Receiver<Status>,
}

impl Ear {
    /// Opens the socket; whoever holds the folder's lock may replace one that was left behind. What is told is the end of
    /// a pause, in milliseconds since 1970, 0 without one.
    pub(crate) fn open(
        dir: &Path,
        status: watch::Receiver<Status>,
    ) -> io::Result<(Self, watch::Receiver<Millis>)> {
        let (_folder, short) = short_path(dir)?;
        let path = short.join(SOCKET);
        crate::folder::remove(&path)?;
        let listener = UnixListener::bind(&path)?;
        // Others are refused by who they are; this spares them the try.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let (paused, pauses) = watch::channel(marked(dir));
        Ok((Self { listener, dir: dir.to_owned(), paused, status }, pauses))
    }

    /// Answers until it is dropped.
    pub(crate) async fn listen(self) {
        let mut open = tokio::task::JoinSet::new();
        let Self { listener, dir, paused, status } = self;
        loop {
            // Nobody waits for the end of no pause, or for that of one that has none.
            let end = Some(*paused.borrow()).filter(|end| *end > 0 && *end != FOR_EVER);
            tokio::select! {
                () = until(end) => end_pause(&paused),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if open.len() < MAX_CONNECTIONS => {
                        let (dir, paused, status) = (dir.clone(), paused.clone(), status.clone());
                        open.spawn(async move {
                            if let Err(error) = serve(stream, &dir, &paused, status).await {
                                debug!(%error, "the owner's command was not answered");
                            }
                        });
                    }
                    Ok(_) => debug!("too many commands at once"),
                    Err(error) => {
                        warn!(%error, "commands cannot be heard for a moment");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
                Some(_) = open.join_next() => {}
            }
        }
    }
}

async fn serve(
    mut stream: UnixStream,
    dir: &Path,
    paused: &watch::Sender<Millis>,
    mut status: watch::Receiver<Status>,
) -> io::Result<()> {
    let other = stream.peer_cred()?.uid();
    if other != 0 && other != geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {other} asks")));
    }
    let line = timeout(PATIENCE, read_line(&mut stream)).await??;
    let wish: Wish = serde_json::from_slice(&line)?;
    if let Some(end) = wish.paused_until() {
        mark(dir, end)?;
        paused.send_replace(end);
        let pause = end > now();
        info!("{}", if pause { "paused by the owner" } else { "resumed by the owner" });
        // The watch has taken it in when it is among the reasons, or not any more.
        let done = |status: &Status| status.rests.contains(&Reason::Paused) == pause;
        let _ = timeout(CARRY_OUT, status.wait_for(done)).await;
    }
    let mut answer = serde_json::to_vec(&*status.borrow())?;
    answer.push(b'\n');
    timeout(PATIENCE, stream.write_all(&answer)).await?
}

async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream).take(MAX_LINE).read_until(b'\n', &mut line).await?;
    if line.last() == Some(&b'\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn a_pause_is_kept_whether_a_provider_runs_or_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Control::of(dir.path()), Err(ControlError::NoProvider(_))));
        // Deeper than a socket's path may be long.
        let deep = dir.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        fs::write(deep.join("lock"), "").unwrap();
        let control = Control::of(&deep).unwrap();
        assert!(control.tell(Wish::Pause).await.unwrap().is_none());
        assert!(control.is_paused() && control.paused_until().is_none());
        let (_shown, status) = watch::channel(crate::status::tests::sample());
        let (ear, mut pauses) = Ear::open(&deep, status).unwrap();
        assert_eq!(*pauses.borrow_and_update(), FOR_EVER, "remembered from before");
        let mode = fs::metadata(deep.join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let listening = tokio::spawn(ear.listen());
        let read = |answer: Option<Box<RawValue>>| -> serde_json::Value {
            serde_json::from_str(answer.unwrap().get()).unwrap()
        };
        let status = read(control.tell(Wish::Status).await.unwrap());
        assert!(status["slots"].is_array(), "{status}");
        let answer = read(control.tell(Wish::Resume).await.unwrap());
        assert_eq!(answer["rests"], serde_json::json!([]));
        assert!(*pauses.borrow_and_update() == 0 && !control.is_paused());
        listening.abort();
        let _ = listening.await;
        let away = control.tell(Wish::Status).await.unwrap();
        assert!(away.is_none(), "the socket is still there");
        // Another one opens in the same folder.
        let (_shown, status) = watch::channel(crate::status::tests::sample());
        Ear::open(&deep, status).unwrap();
    }

    #[tokio::test]
    async fn nonsense_is_not_answered() {
        let dir = tempfile::tempdir().unwrap();
        let (_shown, status) = watch::channel(crate::status::tests::sample());
        let (ear, pauses) = Ear::open(dir.path(), status).unwrap();
        let _listening = tokio::spawn(ear.listen());
        let path = dir.path().join(SOCKET);
        for nonsense in ["\n", "{\"do\":\"dance\"}\n", "[1,2", "\u{0}\n"] {
            let path = path.clone();
            let said = tokio::task::spawn_blocking(move || {
                let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
                stream.write_all(nonsense.as_bytes()).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = String::new();
                let _ = stream.read_to_string(&mut answer);
                answer
            });
            assert_eq!(said.await.unwrap(), "", "{nonsense:?}");
        }
        assert_eq!(*pauses.borrow(), 0);
    }

    #[tokio::test]
    async fn a_pause_with_an_end_is_over_then() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lock"), "").unwrap();
        let control = Control::of(dir.path()).unwrap();
        let late = now() + 3_600_000;
        control.tell(Wish::PauseUntil { until: late }).await.unwrap();
        assert!(control.is_paused());
        assert_eq!(control.paused_until(), Some(late));
        let (shown, status) = watch::channel(crate::status::tests::sample());
        let (ear, mut pauses) = Ear::open(dir.path(), status).unwrap();
        assert_eq!(*pauses.borrow_and_update(), late);
        // Those who wait for it to be carried out need not wait here.
        shown.send_modify(|status| status.rests = vec![Reason::Paused]);
        let _listening = tokio::spawn(ear.listen());
        // Long enough to be heard as a pause, on a clock that may be slow; then it ends without another word.
        let soon = now() + 200;
        control.tell(Wish::PauseUntil { until: soon }).await.unwrap().expect("it listens");
        tokio::time::timeout(Duration::from_secs(120), pauses.wait_for(|end| *end == 0))
            .await
            .expect("it is over by itself")
            .unwrap();
        assert!(now() >= soon && !control.is_paused() && control.paused_until().is_none());
        // Nor does the next start take it up; a mark that nobody can read is a pause.
        assert!(marked(dir.path()) <= now());
        shown.send_modify(|status| status.rests.clear());
        fs::write(dir.path().join(MARK), "soon").unwrap();
        assert_eq!(marked(dir.path()), FOR_EVER);
        control.tell(Wish::Resume).await.unwrap().expect("it listens");
        assert_eq!(marked(dir.path()), 0);
    }
}
