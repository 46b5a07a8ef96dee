//! Why a scene cannot be rendered: one sentence for the person who made the job.

use std::fmt;

/// A scene, environment or settings file that cannot be used.
#[derive(Debug)]
pub struct InputError(pub String);

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InputError {}

/// What reading an input gives.
pub type Result<T> = std::result::Result<T, InputError>;

/// An [`InputError`] from format arguments.
macro_rules! bad {
    ($($arg:tt)*) => { $crate::error::InputError(format!($($arg)*)) };
}
pub(crate) use bad;
