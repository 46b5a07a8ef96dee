//! Clients against a real chain with the real contracts, and providers made of client parts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod accounts;
mod jobs;
mod pipeline;
mod tabs;
mod world;
