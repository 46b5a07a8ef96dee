//! Logs on stderr, so that stdout stays free for what a command answers.

use std::{fmt, io::IsTerminal, str::FromStr};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line for people, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LogError::Format(other.into())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The format is not known.
    #[error("log format {0:?} is not one of text, json")]
    Format(String),
    /// The filter cannot be read.
    #[error("cannot read the log filter {filter:?}")]
    Filter {
        /// The filter as given.
        filter: String,
        /// The part that was refused.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Some other code of this process has set a logger before.
    #[error("logs are set up already in this process")]
    AlreadySet,
}

/// Sends this process's logs to stderr, once per process.
///
/// `filter` has the syntax of `tracing`'s `EnvFilter`: `"info"`, `"warn,tilth_provider=debug"`.
///
/// # Errors
/// [`LogError::Filter`] for a malformed filter, [`LogError::AlreadySet`] on the second call.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.into(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    }
    .map_err(|_| LogError::AlreadySet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_filters_are_checked() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert!("xml".parse::<LogFormat>().is_err());
        assert!(matches!(init(LogFormat::Text, "tilth=verbose"), Err(LogError::Filter { .. })));
        init(LogFormat::Json, "info,tilth=debug").unwrap();
        assert!(matches!(init(LogFormat::Text, "info"), Err(LogError::AlreadySet)));
    }
}
