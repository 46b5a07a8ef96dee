//! The futures of this crate's doors.

use std::pin::Pin;

/// What is being done, behind a pointer. The body of an `async fn` is compiled in every crate that awaits it, here with
/// the network and the store below it; what returns this is compiled once.
pub(crate) type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
