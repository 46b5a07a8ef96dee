//! Why a provider cannot start, or had to stop.

use std::{io, path::PathBuf};

use tilth_blobs::BlobsError;
use tilth_client::{ChainError, MoneyError};
use tilth_protocol::Problem;
use tilth_sandbox::SandboxError;

/// Why a provider cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A value of the configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// The provider's folder cannot be used.
    #[error("{action} {}", path.display())]
    Folder {
        /// What was tried ("cannot create").
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// Another provider works in the folder.
    #[error("another provider works in {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder belongs to a provider of another network.
    #[error("{} was used with contracts on chain {theirs}, now it is to be used on chain {ours}", path.display())]
    OtherNetwork {
        /// The folder.
        path: PathBuf,
        /// Chain of its earlier life.
        theirs: u64,
        /// Chain asked for.
        ours: u64,
    },
    /// The stake, or the coin for gas, cannot be paid.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// The chain refuses, or does not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The content store or its endpoint cannot be opened.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// Nothing can be run on this machine.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A GPU is to be offered, and there is none that can be used.
    #[error("no GPU can be used: {why}")]
    Gpu {
        /// What the worker found.
        why: String,
        /// What is missing on this machine, if anything.
        missing: String,
    },
    /// The worker program is not what it should be.
    #[error("the worker cannot be used: {0}")]
    Worker(String),
    /// The provider has stopped.
    #[error("the provider has stopped: {0}")]
    Stopped(String),
}

impl ProviderError {
    /// The three-part message for people.
    pub fn problem(&self) -> Problem {
        let source = std::error::Error::source(self).map_or_else(String::new, ToString::to_string);
        let (what, detail, advice) = match self {
            Self::Money(error) => return error.problem(),
            Self::Chain(error) => return error.problem(),
            Self::Blobs(error) => return error.problem(),
            Self::Sandbox(error) => return error.problem(),
            Self::Config(detail) => (
                "the provider's configuration is not valid",
                detail.clone(),
                "correct the value named and start again",
            ),
            Self::Folder { .. } => (
                "the provider's folder cannot be used",
                format!("{self}: {source}"),
                "check that the folder is on a local disk with free space and may be written by this user",
            ),
            Self::InUse { .. } => (
                "the provider's folder is in use",
                self.to_string(),
                "stop the other provider, or give this one a folder of its own",
            ),
            Self::OtherNetwork { .. } => (
                "the provider's folder belongs to another network",
                self.to_string(),
                "give this provider a new folder, or remove the old one if nothing on that network is owed to it",
            ),
            Self::Gpu { why, missing } => (
                "no GPU can be used",
                if missing.is_empty() { why.clone() } else { format!("{why}; missing: {missing}") },
                "see `tilth doctor`; without --gpu the provider offers everything else",
            ),
            Self::Worker(detail) => (
                "the worker program cannot be used",
                detail.clone(),
                "install tilth anew; the provider and its worker must be of the same version",
            ),
            Self::Stopped(detail) => (
                "the provider has stopped",
                detail.clone(),
                "start it again: it goes on where it was; report the detail if it happens again",
            ),
        };
        Problem::new(what, detail, advice)
    }
}
