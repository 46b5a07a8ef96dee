//! GPU programs: WGSL through Vulkan.
//!
//! ```text
//! program ── translate ── artifact (program and, for exact ones, SPIR-V)      child process, no device
//!                            │
//! device ── conformance ── tasks: buffers, pipelines, one dispatch at a time, under a watchdog
//! ```
//!
//! Nothing of a program is trusted: sizes and counts are bounded by [`tilth_protocol::gpu`], shaders are
//! validated, all indices are cut to what they index, and a device that does not answer in time ends the
//! process. Exact programs are translated here, every float operation is told to stay as written, and what
//! a device does not round right is replaced by functions of our own.

pub(crate) mod artifact;
mod buffers;
pub(crate) mod conformance;
pub(crate) mod device;
mod rules;
pub(crate) mod spirv;
pub(crate) mod tasks;
#[cfg(test)]
mod tests;
pub(crate) mod translate;
mod watchdog;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use tilth_protocol::Problem;

/// Names this engine: artifacts of one are not for another.
pub(crate) const ENGINE: &str = "gpu 1, naga 30.0.2";

/// What the engine gives back without waiting. On this side of the graphics library futures are ready at
/// the first look.
fn ready<T>(future: impl Future<Output = T>) -> Result<T, Problem> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Problem::new(
            "the graphics library waits for something",
            "a call that answers at once did not",
            "report this as a bug",
        )),
    }
}
