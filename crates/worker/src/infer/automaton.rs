//! What follows an answer byte by byte: one form, and where in it an answer is. Everything is decided from the bytes
//! alone, so that everybody gets the same.

use std::{fmt, hash::Hash};

use tilth_protocol::infer;

use super::{json::Json, shape};

/// How far one piece of text can lead at most: what it opens, closes and leaves blank, wherever it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Brackets and braces that open.
    pub(crate) opened: u8,
    /// Those that close.
    pub(crate) closed: u8,
    /// White space.
    pub(crate) spaces: u8,
}

/// A form that can be followed byte by byte.
pub(crate) trait Automaton: fmt::Debug + Send + Sync + 'static {
    /// Where in it an answer is.
    type At: Copy + Eq + Hash + fmt::Debug + Send + Sync + 'static;

    /// Before an answer.
    fn begin(&self) -> Self::At;

    /// Behind this byte; `None` if it may not be there.
    fn with(&self, at: Self::At, byte: u8) -> Option<Self::At>;

    /// Whether an answer is whole; nothing may follow.
    fn is_whole(&self, at: Self::At) -> bool;

    /// One place for all from which pieces of this reach go on alike, so that only so many need be looked at.
    fn class(&self, at: Self::At, reach: Reach) -> Self::At;

    /// A name of a class that none of another form has.
    fn place(&self, class: Self::At) -> Place;
}

/// A class of places of any form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// In any object.
    Any(Json),
    /// In one that keeps to the schema with this hash.
    Shaped(infer::Hash, shape::At),
}
