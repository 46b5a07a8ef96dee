//! Why a gateway cannot start.

use std::{io, net::SocketAddr, path::PathBuf};

use tilth_blobs::BlobsError;
use tilth_client::ChainError;
use tilth_protocol::Problem;

use crate::books;

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its folder.
    #[error("the folder {} cannot be used: {source}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The key of its endpoint.
    #[error("the key in {} cannot be used: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Where its operator is heard.
    #[error("the operator cannot be heard in {}: {source}", path.display())]
    Operator {
        /// The folder of the socket.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Its books.
    #[error(transparent)]
    Books(#[from] books::BooksError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Its endpoint.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// Its port.
    #[error("it cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system answered.
        source: io::Error,
    },
}

impl GatewayError {
    /// The three-part form for people.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Chain(error) => return error.problem(),
            Self::Blobs(error) => return error.problem(),
            Self::Folder { .. } => "check the folder's permissions and free space",
            Self::Key { .. } => {
                "do what it says, if it says something; one that does not hold 32 bytes can be moved away: a new one is made, \
                 and no receipt or key of a caller depends on the old one"
            }
            Self::Operator { .. } => {
                "check the folder's permissions, and that its path has no more than 80 bytes"
            }
            Self::Books(error) => error.advice(),
            Self::Listen { .. } => {
                "choose another address: --listen of `tilth gateway`, --gateway of `tilth up`"
            }
        };
        Problem::new("the gateway cannot start", self.to_string(), advice)
    }
}
