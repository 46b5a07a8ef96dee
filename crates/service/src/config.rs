//! Configuration files: TOML, bounded in size before it is read, refused with the place and the reason.
//!
//! The type that is loaded must derive `Deserialize` with `deny_unknown_fields`, so that a misspelt key is an error
//! and not a silent default.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// The largest configuration file that is read, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Why a configuration was refused. [`ConfigError::advice`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// The path names something else than a plain file.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file is larger than [`MAX_CONFIG_BYTES`].
    #[error("{} is larger than {MAX_CONFIG_BYTES} bytes", path.display())]
    TooLarge {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// The file is not UTF-8 text.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// The text is not TOML, or does not say what is expected here.
    #[error("{} is not valid", path.display())]
    Invalid {
        /// Where the text came from.
        path: PathBuf,
        /// Line, column and reason.
        #[source]
        source: Box<toml::de::Error>,
    },
}

impl ConfigError {
    /// The cause below the message, for the middle part of what people are shown. Empty when there is none.
    #[must_use]
    pub fn detail(&self) -> String {
        std::error::Error::source(self)
            .map_or_else(String::new, |cause| cause.to_string().trim_end().to_owned())
    }

    /// What the reader of the message can do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "Check the path; it is relative to the folder in which the command runs."
            }
            Self::Read { .. } => "Check that the file may be read by this user.",
            Self::NotAFile { .. } => "Name the file itself, not a folder or device.",
            Self::TooLarge { .. } => {
                "Move large values into files of their own and name those here."
            }
            Self::NotText { .. } => "Save the file as UTF-8.",
            Self::Invalid { .. } => {
                "Correct the line shown; unknown keys are refused, so check the spelling."
            }
        }
    }
}

/// Loads a TOML file of at most [`MAX_CONFIG_BYTES`].
///
/// # Errors
/// [`ConfigError`], which names the file, the place and the reason.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse(&read_text(path)?, path)
}

/// Reads TOML from a text; `origin` is only named in errors.
///
/// # Errors
/// [`ConfigError::Invalid`] with line, column and reason; [`ConfigError::TooLarge`].
pub fn parse<T: DeserializeOwned>(text: &str, origin: &Path) -> Result<T, ConfigError> {
    if text.len() as u64 > MAX_CONFIG_BYTES {
        return Err(ConfigError::TooLarge { path: origin.into() });
    }
    toml::from_str(text)
        .map_err(|source| ConfigError::Invalid { path: origin.into(), source: Box::new(source) })
}

pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let read = |source| ConfigError::Read { path: path.into(), source };
    // The kind is asked before opening: opening a FIFO would wait for a writer for ever.
    if !path.metadata().map_err(read)?.is_file() {
        return Err(ConfigError::NotAFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(read)?
        .take(MAX_CONFIG_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(ConfigError::TooLarge { path: path.into() });
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::NotText { path: path.into() })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{ByteSize, TimeSpan};

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Example {
        disk: ByteSize,
        poll_every: TimeSpan,
    }

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn a_good_file_is_loaded() {
        let (_dir, path) = written(b"disk = \"2GiB\"\npoll-every = \"250ms\"\n");
        let example: Example = load(&path).unwrap();
        assert_eq!(
            example,
            Example { disk: ByteSize::from_bytes(2 << 30), poll_every: TimeSpan::from_millis(250) }
        );
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_with_their_line() {
        let (_dir, path) = written(b"disk = \"2GiB\"\npoll-every = \"250ms\"\npol-evry = 1\n");
        let error = load::<Example>(&path).unwrap_err();
        assert!(
            error.detail().contains("line 3") && error.detail().contains("pol-evry"),
            "{}",
            error.detail()
        );
        let (_dir, path) = written(b"disk = \"2GiB\"\npoll-every = \"often\"\n");
        let error = load::<Example>(&path).unwrap_err();
        assert!(
            error.detail().contains("line 2") && error.detail().contains("often"),
            "{}",
            error.detail()
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_kind() {
        let (dir, path) = written(&[0xff, 0xfe]);
        assert!(matches!(load::<Example>(&path), Err(ConfigError::NotText { .. })));
        assert!(matches!(load::<Example>(dir.path()), Err(ConfigError::NotAFile { .. })));
        let missing = load::<Example>(&dir.path().join("no")).unwrap_err();
        assert!(matches!(missing, ConfigError::Read { .. }) && missing.advice().contains("path"));
        let (_dir, path) = written(&vec![b' '; usize::try_from(MAX_CONFIG_BYTES).unwrap() + 1]);
        assert!(matches!(load::<Example>(&path), Err(ConfigError::TooLarge { .. })));
    }
}
