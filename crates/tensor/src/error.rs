//! Why something was refused.

/// What happened, the detail, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {detail}. {advice}")]
pub struct Error {
    /// What happened.
    pub what: &'static str,
    /// Names, sizes, offsets.
    pub detail: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of three parts.
    pub fn new(what: &'static str, detail: impl Into<String>, advice: &'static str) -> Self {
        Self { what, detail: detail.into(), advice }
    }

    /// A file that is not what it says.
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::new("the model file is damaged", detail, "Fetch it again from where it came from")
    }

    /// A file that is sound but beyond what this build runs.
    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(
            "the model is not supported",
            detail,
            "See docs/guide/models.md for what can be imported",
        )
    }
}
