//! What people send and what they get: the shapes of the widespread API for language models.

pub(crate) mod answer;
pub(crate) mod embed;
pub(crate) mod error;
pub(crate) mod request;
mod schema;
mod values;

pub(crate) use error::ApiError;
pub(crate) use request::{Kind, Wanted};
