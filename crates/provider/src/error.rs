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
    /// The folder cannot be used.
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
    /// Another role works in the folder.
    #[error("another provider or auditor works in {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder belongs to another network.
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
    /// Results that are kept for somebody cannot be told from others.
    #[error("for whom results are cannot be read: {detail}")]
    Guard {
        /// Which, and why.
        detail: String,
    },
    /// A GPU is to be offered, and there is none that can be used.
    #[error("no GPU can be used: {why}")]
    Gpu {
        /// What the worker found.
        why: String,
        /// What is missing on this machine, if anything.
        missing: String,
    },
    /// A range of somebody else cannot be executed here.
    #[error("{detail}")]
    Recheck {
        /// Which range, and why.
        detail: String,
        /// What whoever wants to know can do.
        advice: String,
    },
    /// The worker program is not what it should be.
    #[error("the worker cannot be used: {0}")]
    Worker(String),
    /// The provider or auditor has stopped.
    #[error("it has stopped: {0}")]
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
                "the configuration is not valid",
                detail.clone(),
                "correct the value named and start again",
            ),
            // What the system says has no advice in its text, what we say about secrets has.
            Self::Folder { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied
                    && source.get_ref().is_some() =>
            {
                (
                    "the folder cannot be used",
                    format!("{self}: {source}"),
                    "do what it says; the folder and what is in it must be this user's alone",
                )
            }
            Self::Folder { .. } => (
                "the folder cannot be used",
                format!("{self}: {source}"),
                "check that the folder is on a local disk with free space and may be written by this user",
            ),
            Self::InUse { .. } => (
                "the folder is in use",
                self.to_string(),
                "stop the other one, or give this one a folder of its own",
            ),
            Self::OtherNetwork { .. } => (
                "the folder belongs to another network",
                self.to_string(),
                "give it a new folder, or remove the old one if nothing on that network is owed to it",
            ),
            Self::Guard { detail } => (
                "for whom an audited range's results are cannot be read",
                format!(
                    "{detail}; its journal, which would say what they are, is not there or not complete"
                ),
                "put the folder back from a copy; if `tilth provider status` showed that everything is paid, or the range is settled or rejected, remove the file named and start again",
            ),
            Self::Gpu { why, missing } => (
                "no GPU can be used",
                if missing.is_empty() { why.clone() } else { format!("{why}; missing: {missing}") },
                "see `tilth doctor`; without --gpu the provider offers everything else",
            ),
            Self::Recheck { detail, advice } => {
                ("the range cannot be re-executed here", detail.clone(), advice.as_str())
            }
            Self::Worker(detail) => (
                "the worker program cannot be used",
                detail.clone(),
                "install tilth anew; the program and its worker must be of the same version",
            ),
            Self::Stopped(detail) => (
                "it has stopped",
                detail.clone(),
                "start it again: it goes on where it was; report the detail if it happens again",
            ),
        };
        Problem::new(what, detail, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_what_to_do_is_pointed_at() {
        let advice = |source| {
            let path = PathBuf::from("/tilth/endpoint.key");
            let error = ProviderError::Folder { action: "cannot use", path, source };
            error.problem().advice
        };
        let kind = io::ErrorKind::PermissionDenied;
        let ours = io::Error::new(kind, "its mode lets others read it; chmod 600 it");
        assert!(advice(ours).contains("do what it says"));
        for systems in [io::Error::from_raw_os_error(13), kind.into()] {
            assert_eq!(systems.kind(), kind);
            let said = advice(systems);
            assert!(said.contains("may be written by this user"), "{said}");
        }
    }
}
