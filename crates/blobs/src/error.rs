//! What can go wrong with content, and what a person is told about it.

use std::path::PathBuf;

use tilth_protocol::{ContentHash, Problem};

/// How a holder has answered that was looked at and has not served what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Not at all: it was not reached.
    None,
    /// It has no place for those who ask now: it is to be asked again a little later.
    Busy,
    /// What it sent did not come to an end.
    Broken,
    /// It does not have it, or sent something else.
    Other,
}

/// A failed operation on content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobsError {
    /// The store's folder cannot be used.
    #[error("cannot open the content store in {dir}: {detail}")]
    Open {
        /// The folder.
        dir: PathBuf,
        /// The system's or the store's message.
        detail: String,
        /// Another process (or another store in this process) has it open.
        in_use: bool,
    },
    /// The endpoint's socket cannot be opened.
    #[error("cannot open a socket at {address}: {detail}")]
    Bind {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// The system's message.
        detail: String,
    },
    /// Too little room on the disk. Nothing was written.
    #[error("{need} bytes are needed in {dir} and {free} are free ({reserve} stay reserved)")]
    DiskFull {
        /// The store's folder.
        dir: PathBuf,
        /// Bytes the operation needs.
        need: u64,
        /// Bytes free on that disk.
        free: u64,
        /// Bytes that are always left free.
        reserve: u64,
    },
    /// The store may not take more of the disk. Nothing was written.
    #[error("{need} bytes are needed in {dir}, {used} are in use and the cap is {cap}")]
    CapReached {
        /// The store's folder.
        dir: PathBuf,
        /// Bytes the operation needs.
        need: u64,
        /// Bytes in use.
        used: u64,
        /// Most bytes the store may take.
        cap: u64,
    },
    /// A relay's address or certificate cannot be used.
    #[error("{detail}")]
    Relay {
        /// Which, and why.
        detail: String,
    },
    /// The content is larger than allowed, or larger than it was announced to be.
    #[error("{content} has {size} bytes, at most {max} are allowed")]
    TooLarge {
        /// Which content, for people ("content 12ab.." or "file x").
        content: String,
        /// Its size, as far as known; of a sequence the sum of what was looked at.
        size: u64,
        /// The bound.
        max: u64,
    },
    /// A sequence has too many parts or is not a list of hashes.
    #[error("content {hash} is not a sequence of at most {max_items} hashes")]
    NotASequence {
        /// Which content.
        hash: ContentHash,
        /// Most parts the caller allows.
        max_items: u32,
    },
    /// The store does not hold this content completely.
    #[error("content {hash} is not here")]
    NotHere {
        /// Which content.
        hash: ContentHash,
    },
    /// Nobody delivered the content before the deadline.
    #[error("content {hash} could not be had from any of {holders} holders: {last}")]
    Unavailable {
        /// Which content.
        hash: ContentHash,
        /// How many holders were asked.
        holders: usize,
        /// What the last of them answered.
        last: String,
    },
    /// A holder that was looked at has not served it.
    #[error("content {hash} was not served by the holder that was asked: {detail}")]
    NotServed {
        /// Which content.
        hash: ContentHash,
        /// How the holder has answered.
        answer: Answer,
        /// In words.
        detail: String,
    },
    /// The name cannot be a tag.
    #[error("{name:?} cannot be a tag")]
    BadTag {
        /// The name.
        name: String,
    },
    /// Reading or writing a file failed.
    #[error("{action} {path}: {source}")]
    File {
        /// What was tried ("reading").
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The store itself failed.
    #[error("the content store failed while {action}: {detail}")]
    Store {
        /// What was tried ("adding content").
        action: &'static str,
        /// The store's message.
        detail: String,
    },
}

impl BlobsError {
    /// Whether trying the same again later can succeed without anybody changing anything here.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NotServed { .. })
    }

    /// The three-part message for people.
    pub fn problem(&self) -> Problem {
        let (what, advice) = match self {
            Self::Open { in_use: true, .. } => (
                "the content store is in use",
                "stop the other tilth process that uses this folder, or choose another folder",
            ),
            Self::Open { .. } => (
                "the content store cannot be opened",
                "check that the folder exists on a local disk and may be written by this user",
            ),
            Self::Bind { .. } => (
                "the data endpoint cannot be opened",
                "choose another address or port 0, and check that this address belongs to this machine",
            ),
            Self::DiskFull { .. } => (
                "the disk is full",
                "make room on this disk or move the folder to a larger one; work goes on from where it stopped",
            ),
            Self::CapReached { .. } => (
                "the content store has reached its cap",
                "wait until what is no longer owed has been removed, or raise the cap in the configuration",
            ),
            Self::Relay { .. } => (
                "a relay cannot be used",
                "write its address like https://relay.example.org, and name the certificate file that its operator hands out if it has one of its own",
            ),
            Self::TooLarge { .. } => (
                "content is larger than allowed",
                "if it is your own file, make it smaller or raise the limit; if it came from somebody else, it was not stored",
            ),
            Self::NotASequence { .. } => (
                "a result is not in the agreed form",
                "nothing is wrong on this machine; the provider that published it should not be paid for it",
            ),
            Self::NotHere { .. } => (
                "content is missing from the local store",
                "fetch it again from the network, or put the file into the store again",
            ),
            Self::Unavailable { .. } | Self::NotServed { .. } => (
                "content cannot be fetched",
                "check that the machines that hold it are running and can be reached over UDP from here, then try again",
            ),
            Self::BadTag { .. } => (
                "the name of a pin is not valid",
                "use lower-case letters, digits, '.', '_', '-' and '/'",
            ),
            Self::File { .. } => (
                "a file cannot be read or written",
                "check that the path exists and that this user may use it",
            ),
            Self::Store { .. } => (
                "the content store failed",
                "check the disk (space, errors in the system log) and start the program again; what was synced is still there",
            ),
        };
        Problem::new(what, self.to_string(), advice)
    }
}
