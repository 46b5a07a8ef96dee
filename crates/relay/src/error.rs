//! Why a relay cannot run.

use std::{net::SocketAddr, path::PathBuf};

use tilth_client::ChainError;
use tilth_protocol::Problem;

use crate::MAX_LISTED;

/// Why a relay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It cannot listen there.
    #[error("cannot listen at {address}: {detail}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        detail: String,
    },
    /// Its certificate or key cannot be used.
    #[error("{}: {detail}", path.display())]
    Certificate {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The list of those who may use it is not one.
    #[error("{detail}")]
    List {
        /// What is wrong.
        detail: String,
    },
    /// The chain that says who may use it has no usable address.
    #[error(transparent)]
    Chain(ChainError),
    /// It has stopped.
    #[error("{0}")]
    Stopped(String),
}

impl RelayError {
    /// The three-part message for people.
    pub fn problem(&self) -> Problem {
        let (what, advice) = match self {
            Self::Listen { .. } => (
                "the relay cannot listen",
                "choose another address; ports below 1024 need the right CAP_NET_BIND_SERVICE".to_owned(),
            ),
            Self::Certificate { .. } => (
                "the relay's certificate cannot be used",
                "name a certificate chain and its key in PEM, readable by this user; or name neither and let the relay make its own".to_owned(),
            ),
            Self::List { .. } => (
                "the list of those who may use the relay is not valid",
                format!("write at most {MAX_LISTED} keys of 64 hexadecimal digits; `tilth provider status` shows a provider's"),
            ),
            Self::Chain(error) => return error.problem(),
            Self::Stopped(_) => (
                "the relay has stopped",
                "start it again; it keeps nothing that could be lost".to_owned(),
            ),
        };
        Problem::new(what, self.to_string(), advice)
    }
}
