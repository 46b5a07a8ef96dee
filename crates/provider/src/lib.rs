//! The provider.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
pub mod journal;
pub mod machine;
