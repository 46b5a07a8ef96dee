//! The integer profile `int1`: the arithmetic that every implementation repeats bit by bit.
//!
//! `docs/reference/int1.md` is the specification; the functions here are its reference. Everything
//! is addition, multiplication, shift, comparison and truncating division of integers of at most
//! 64 bits (two products in [`sampling`] are wider), so that sums have no order and 32-bit hardware follows with pairs of words.

pub mod activation;
pub mod arithmetic;
pub mod attention;
pub mod block;
pub mod direction;
pub mod exponential;
pub mod layer_norm;
pub mod norm;
pub mod random;
pub mod rotation;
pub mod sampling;
