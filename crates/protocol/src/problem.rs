//! What a person is told when something goes wrong: what happened, the detail, what to do.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A three-part message. Every error that can reach a person is turned into one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Problem {
    /// What happened, one short sentence without a full stop ("the job file is not valid").
    pub what: String,
    /// The facts: names, numbers, the underlying message. May be empty.
    pub detail: String,
    /// What the reader can do next. Never empty.
    pub advice: String,
}

impl Problem {
    /// Puts the three parts together.
    pub fn new(
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), detail: detail.into(), advice: advice.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Harmless(&self.what))?;
        if !self.detail.is_empty() {
            write!(f, "\n  detail: {}", Harmless(&self.detail))?;
        }
        write!(f, "\n  to do:  {}", Harmless(&self.advice))
    }
}

impl std::error::Error for Problem {}

/// Shows a text that strangers may have written (a node's message, a provider's reason): control
/// characters, which a terminal would obey, appear as their escapes; only line feeds and tabs stay.
#[derive(Clone, Copy, Debug)]
pub struct Harmless<'a>(pub &'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            if c.is_control() && !matches!(c, '\n' | '\t') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_get_no_commands_from_strangers() {
        let problem = Problem::new("the node refused", "\u{1b}[2Jgone\r\u{9b}1A\nnext", "wait");
        let shown = problem.to_string();
        assert!(shown.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2Jgone\\r") && shown.contains("\nnext"), "{shown:?}");
    }
}
