//! Clients against a real chain with the real contracts, and providers made of client parts.

mod accounts;
mod jobs;
mod world;
