//! Why a program could not be run in the sandbox.

use std::{io, path::PathBuf};

use tilth_protocol::Problem;

use crate::Protection;

/// Why a program could not be started or followed. The program's own failures are not errors but [`crate::How`].
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The program's file cannot be used.
    #[error("cannot use the program {}", path.display())]
    Program {
        /// The program's file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A file or folder that was to be given to the program is not there.
    #[error("cannot give {} to the program", path.display())]
    Bind {
        /// The file or folder on the machine.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A limit or path in the request makes no sense.
    #[error("cannot run a program like this: {0}")]
    Request(&'static str),
    /// The init process cannot be started or spoken with.
    #[error("cannot start the sandbox's init {}", init.display())]
    Init {
        /// The program that was to be the init.
        init: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// The init process ended, or said nothing for too long.
    #[error("the sandbox's init gave up: {said}")]
    Silent {
        /// The last it wrote to stderr.
        said: String,
    },
    /// A step of the set-up failed; nothing was started.
    #[error("cannot set up the sandbox: {step}: {why}")]
    SetUp {
        /// The protection that could not be had this time, if it was one.
        protection: Option<Protection>,
        /// The step.
        step: String,
        /// What the system answered.
        why: String,
        /// The system's error number, 0 when there was none.
        errno: i32,
    },
}

impl SandboxError {
    /// The three parts that people are shown.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let detail = std::error::Error::source(self).map_or_else(String::new, ToString::to_string);
        let advice = match self {
            Self::Program { .. } => "Install tilth anew, or name a program built for this machine.",
            Self::Bind { .. } => "Check that the file exists and that the provider may read it.",
            Self::Request(_) => "Correct the limits in the provider's configuration.",
            Self::Init { .. } => {
                "Check that the tilth program has not been moved or replaced while it runs."
            }
            Self::Silent { .. } => {
                "The machine may be overloaded; if it stays so, run `tilth doctor`."
            }
            Self::SetUp { protection: Some(protection), .. } => protection.advice(),
            Self::SetUp { protection: None, .. } => {
                "Run `tilth doctor` to see what this machine can enforce."
            }
        };
        Problem::new(self.to_string(), detail, advice)
    }
}
