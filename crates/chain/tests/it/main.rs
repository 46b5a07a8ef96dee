//! Integration tests: real clients against a real node.

mod calls;
mod contracts;
mod differential;
mod durability;
mod fixture;
mod history;
mod transactions;
