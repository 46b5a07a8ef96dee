//! The futures of doors between crates.

use std::pin::Pin;

/// What is being done, behind a pointer: only what awaits it makes it go on.
///
/// The compiler translates the body of an `async fn` not in its own crate but in every crate that awaits it, all that it
/// awaits itself included: every program and every test would have the network, the store and the node compiled anew. Functions
/// that many of them call return this, and are translated once.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
