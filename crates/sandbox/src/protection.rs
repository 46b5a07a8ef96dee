//! The protections the sandbox is made of, and what a machine without one of them gives up.

use std::fmt;

use serde::{Deserialize, Serialize};
use tilth_protocol::Problem;

/// One protection. The order is the order in which reports list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protection {
    /// A root folder of its own that holds the program, its libraries and what it was given, and nothing else.
    PrivateFiles,
    /// Landlock rules: whatever else it could see, it can open only what it was given.
    FileRules,
    /// A network namespace without any device, not even loopback.
    NoNetwork,
    /// A process namespace of its own: it sees, signals and traces nobody outside, and dies as a whole.
    OwnProcesses,
    /// Its own System V IPC, host name and cgroup view.
    OwnSystemNames,
    /// A user id that owns nothing on this machine.
    OtherUser,
    /// No capabilities, none to be had by any program, and `no_new_privs`.
    NoPrivileges,
    /// Only the system calls that computing needs; hostile ones end the program.
    CallFilter,
    /// Limits on open files, file sizes, stack, core dumps and CPU time per process.
    Quotas,
    /// A bound on processes and threads that the kernel keeps for this program alone.
    ProcessCount,
    /// A memory cgroup: everything the program's processes use counts, and the kernel stops it at the limit.
    MemoryGroup,
    /// CPU time of all its processes is counted by a cgroup.
    CpuGroup,
}

impl Protection {
    /// All protections, in report order.
    pub const ALL: [Self; 12] = [
        Self::PrivateFiles,
        Self::FileRules,
        Self::NoNetwork,
        Self::OwnProcesses,
        Self::OwnSystemNames,
        Self::OtherUser,
        Self::NoPrivileges,
        Self::CallFilter,
        Self::Quotas,
        Self::ProcessCount,
        Self::MemoryGroup,
        Self::CpuGroup,
    ];

    /// A few words for lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateFiles => "private files",
            Self::FileRules => "file rules",
            Self::NoNetwork => "no network",
            Self::OwnProcesses => "own processes",
            Self::OwnSystemNames => "own ipc and host name",
            Self::OtherUser => "other user",
            Self::NoPrivileges => "no privileges",
            Self::CallFilter => "system call filter",
            Self::Quotas => "quotas",
            Self::ProcessCount => "process count",
            Self::MemoryGroup => "memory cgroup",
            Self::CpuGroup => "cpu cgroup",
        }
    }

    /// What an untrusted program could do, or what is weaker, where this protection is missing.
    #[must_use]
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::PrivateFiles => {
                "only file rules, where they are in force, keep an escaped program from the files of this user"
            }
            Self::FileRules => {
                "private files have no second wall behind them, and no substitute where they are missing"
            }
            Self::NoNetwork => {
                "only the system call filter stands between an escaped program and the network"
            }
            Self::OwnProcesses => {
                "an escaped program could see other processes, and is stopped by a search for its children"
            }
            Self::OwnSystemNames => "an escaped program could use the System V IPC of this machine",
            Self::OtherUser => {
                "a program that escapes all namespaces would have the rights of this user"
            }
            Self::NoPrivileges => {
                "an escaped program could gain privileges from set-user-id programs"
            }
            Self::CallFilter => {
                "an escaped program could attack the whole system call interface of the kernel"
            }
            Self::Quotas => {
                "open files, file sizes and CPU time of a process are not bounded by the kernel"
            }
            Self::ProcessCount => "an escaped program could start processes without end",
            Self::MemoryGroup => {
                "memory is watched 20 times a second, so a burst can pass the limit for a moment, and what the kernel \
                 keeps for the program, such as buffers of pipes, is bounded only by the number of open files"
            }
            Self::CpuGroup => {
                "CPU time is summed over its processes 20 times a second, in ticks of 10 ms; work in processes that \
                 live for less is counted roughly"
            }
        }
    }

    /// What the owner of the machine can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::PrivateFiles | Self::NoNetwork | Self::OwnProcesses | Self::OwnSystemNames => {
                "Allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, \
                 kernel.apparmor_restrict_unprivileged_userns=0), or start the provider as root."
            }
            Self::FileRules => {
                "Use Linux 5.13 or later with Landlock switched on (lsm=landlock,...)."
            }
            Self::OtherUser => {
                "Run the provider as a user made for it alone, or as root, which gives each program an id of its own."
            }
            Self::NoPrivileges => "Start the provider as an ordinary user.",
            Self::CallFilter => "Use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64.",
            Self::Quotas => "Raise this user's own limits (ulimit -H) above those asked for.",
            Self::ProcessCount | Self::MemoryGroup | Self::CpuGroup => {
                "Start the provider as root, or in a scope with delegated cgroups: \
                 systemd-run --user --scope -p Delegate=yes tilth ..."
            }
        }
    }

    /// Whether it lives in a namespace, and so needs either root or a user namespace.
    #[must_use]
    pub(crate) const fn is_namespace(self) -> bool {
        matches!(
            self,
            Self::PrivateFiles | Self::NoNetwork | Self::OwnProcesses | Self::OwnSystemNames
        )
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a protection is in force on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Tried at start and found to hold.
    Enforced,
    /// Not to be had here.
    Missing {
        /// What the system answered.
        why: String,
    },
}

/// One line of the report that is given at start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The protection.
    pub protection: Protection,
    /// Whether it is in force.
    pub state: State,
}

impl Measure {
    /// A few words for lists.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.protection.name()
    }

    /// What its absence means; of interest when it is missing.
    #[must_use]
    pub fn consequence(&self) -> &'static str {
        self.protection.consequence()
    }

    /// What the owner can do about its absence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        self.protection.advice()
    }

    /// What people are told when it is missing.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let State::Missing { why } = &self.state else { return None };
        let what = format!("this machine cannot give the sandbox {}", self.name());
        Some(Problem::new(what, format!("{why}; {}", self.consequence()), self.advice()))
    }

    /// Whether it is in force.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.state == State::Enforced
    }
}
