//! What to run and within which limits, as the callers say it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A program file with the arguments that select what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program file, absolute.
    pub program: PathBuf,
    /// The arguments that go before any others.
    pub args: Vec<OsString>,
}

impl CommandLine {
    /// The running program itself with these arguments.
    ///
    /// # Errors
    /// When the system does not tell the program's file, as where `/proc` is not mounted.
    pub fn of_this_program(
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self { program, args: args.into_iter().map(Into::into).collect() })
    }
}

/// A file or folder of the machine, and where the program finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The file or folder on the machine.
    pub host: PathBuf,
    /// The absolute path under which the program sees it, without `.` and `..`.
    pub inside: PathBuf,
}

impl Bind {
    /// A bind of `host` at `inside`.
    pub fn new(host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self { host: host.into(), inside: inside.into() }
    }
}

/// An untrusted program and all it is to see.
///
/// It finds: itself in `/bin`, its shared libraries in `/lib`, an empty `/tmp`, `/dev/null`, `/dev/zero`, the binds, and
/// nothing else; no `/proc`, no `/etc`. Its first argument (`argv[0]`) is its own path as it sees it. Its working
/// folder is `/`.
///
/// When the agent runs as root the program has a user id of its own, so what is bound read-only must be readable by
/// everybody; the folder bound writable is given to that user id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program file on the machine, absolute.
    pub path: PathBuf,
    /// Its arguments, without `argv[0]`.
    pub args: Vec<OsString>,
    /// Its whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// What it may read.
    pub read_only: Vec<Bind>,
    /// Files that it may load as code besides its own libraries: those of drivers.
    pub code: Vec<Bind>,
    /// Device nodes that it may open, at their own paths. They widen the sandbox by all that their drivers do; while
    /// there are any, the calls by which drivers of GPUs are spoken to are allowed. See [`crate::GpuAccess`].
    pub devices: Vec<PathBuf>,
    /// The one folder it may write to, apart from `/tmp`. It can make files there and write them, but neither remove
    /// nor move any. What it writes is hostile: links, odd names, sparse files, folders without rights; take it with
    /// [`crate::output`]. Looked at 20 times a second; what is written between two looks comes on top of the limits.
    pub writable: Option<Bind>,
}

impl Program {
    /// A program without arguments, environment and binds.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            read_only: Vec::new(),
            code: Vec::new(),
            devices: Vec::new(),
            writable: None,
        }
    }

    /// Where the program finds itself when its files are private.
    pub(crate) fn inside_path(path: &Path) -> PathBuf {
        Path::new("/bin").join(path.file_name().unwrap_or(path.as_os_str()))
    }
}

/// How much a program may use. Exceeding memory, CPU or the writable folder's bounds ends it, as does a file beyond `file_bytes` (SIGXFSZ, unless the
/// program ignores that signal); exceeding the others makes its calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all its processes together, in bytes, what lies in `/tmp` and in anonymous files included. Address
    /// space that is only reserved is free.
    pub memory_bytes: u64,
    /// CPU time of all its processes together; `None` for no bound.
    pub cpu: Option<Duration>,
    /// Processes and threads, the first included; at least 1.
    pub processes: u32,
    /// Open file descriptors of each process.
    pub open_files: u32,
    /// Size of each file it writes, in bytes.
    pub file_bytes: u64,
    /// Size of `/tmp`, in bytes; 0 for no `/tmp`.
    pub tmp_bytes: u64,
    /// What the writable folder may take on disk, in bytes. Exceeding it ends the program.
    pub out_bytes: u64,
    /// Files, folders and links in the writable folder. Exceeding it ends the program, as do folders more than
    /// [`crate::output::MAX_DEPTH`] deep and folders that cannot be listed.
    pub out_files: u32,
}

impl Default for Limits {
    /// One GiB of memory, 64 threads, 64 open files, files of 1 GiB, a `/tmp` of 64 MiB, CPU time unbounded, an output
    /// of 1 GiB in 1024 files.
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            cpu: None,
            processes: 64,
            open_files: 64,
            file_bytes: 1 << 30,
            tmp_bytes: 64 << 20,
            out_bytes: 1 << 30,
            out_files: 1024,
        }
    }
}
