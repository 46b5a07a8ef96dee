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
        write!(f, "{}", self.what)?;
        if !self.detail.is_empty() {
            write!(f, "\n  detail: {}", self.detail)?;
        }
        write!(f, "\n  to do:  {}", self.advice)
    }
}

impl std::error::Error for Problem {}
