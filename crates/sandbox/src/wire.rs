//! What the agent and the init process tell each other over their control socket: one line of JSON each.
//!
//! Both ends are our own code. The untrusted program never holds this socket; lines are bounded all the same. The
//! agent sends one [`Plan`], then at most single bytes ([`Order`]); when its end closes, the init ends the program.

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Bind, Limits, Protection};

/// The set-up step after whose failure there are no namespaces at all.
pub(crate) const MAKE_USER_NAMESPACE: &str = "make a user namespace";

/// The longest line either side accepts, in bytes.
pub(crate) const MAX_LINE: u64 = 1 << 20;

/// What the agent may want of a running program, one byte each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop where it is.
    StandStill,
    /// Go on from there.
    GoOn,
}

impl Order {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::StandStill => b's',
            Self::GoOn => b'g',
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::StandStill, Self::GoOn].into_iter().find(|order| order.byte() == byte)
    }
}

/// By which right namespaces are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rank {
    /// As root, without a user namespace.
    Root,
    /// In a user namespace.
    UserNamespace,
    /// Not at all.
    None,
}

/// Everything the init process needs to know. All host paths are canonical.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) protections: BTreeSet<Protection>,
    pub(crate) rank: Rank,
    /// Whether RLIMIT_NPROC counts this program's processes alone and so can be set.
    pub(crate) own_process_quota: bool,
    /// The program file on the machine.
    pub(crate) program: PathBuf,
    /// The path to run it by, as it is seen after the root has changed.
    pub(crate) exec: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    /// Files that may be executed or mapped executable: the program, its loader, its libraries.
    pub(crate) code: Vec<Bind>,
    pub(crate) read_only: Vec<Bind>,
    /// Device nodes, seen at their own paths.
    pub(crate) devices: Vec<PathBuf>,
    /// Groups that another user needs to open those nodes.
    pub(crate) device_groups: Vec<u32>,
    pub(crate) writable: Option<Bind>,
    pub(crate) limits: Limits,
    /// Folders of the cgroups made for this program.
    pub(crate) groups: Vec<PathBuf>,
}

/// Where and why a set-up step failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// The protection that could not be had; `None` when the program cannot run at all.
    pub(crate) protection: Option<Protection>,
    /// What was tried.
    pub(crate) step: String,
    /// What the system answered.
    pub(crate) why: String,
    /// The system's error number, 0 when there was none.
    pub(crate) errno: i32,
}

impl Fault {
    pub(crate) fn new(
        protection: Option<Protection>,
        step: impl Into<String>,
        error: &std::io::Error,
    ) -> Self {
        Self {
            protection,
            step: step.into(),
            why: error.to_string(),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }
}

/// Turns the error of a set-up step into a [`Fault`] that names it.
pub(crate) trait Step<T> {
    fn step(self, protection: impl Into<Option<Protection>>, step: &str) -> Result<T, Fault>;
}

impl<T, E: Into<std::io::Error>> Step<T> for Result<T, E> {
    fn step(self, protection: impl Into<Option<Protection>>, step: &str) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(protection.into(), step, &error.into()))
    }
}

/// Which bound the watch found exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exceeded {
    Memory,
    Cpu,
    Disk,
}

/// What the init process tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The program does not run, and will not.
    Failed(Fault),
    /// The program runs.
    Started,
    /// The first process of the program has ended by itself or was killed by the kernel.
    Exited { code: Option<i32>, signal: Option<i32>, cpu: Duration, max_rss_bytes: u64 },
    /// All is gone; the last line.
    Closed { exceeded: Option<Exceeded>, cpu: Duration, peak_bytes: u64, oom_kills: u64 },
}
