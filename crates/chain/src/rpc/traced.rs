//! What the log says of a request: a number of its own, which everything carries that is logged while
//! it is answered, and how it went. At debug level; below that it costs next to nothing.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tracing::Span;

/// Bytes of a method's name that are shown: it is what somebody has sent.
const NAME_SHOWN: usize = 64;

/// The next request's number in this process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Where everything belongs that is logged while a request is answered.
pub(super) fn span(method: &str) -> Span {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let method = &method[..method.floor_char_boundary(NAME_SHOWN)];
    tracing::debug_span!("request", id, method)
}

/// Says how so many requests under one number went, together.
pub(super) fn answered(span: &Span, requests: usize, refused: usize, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(parent: span, requests, refused, micros, "answered");
}
