//! The data plane: put, get, pin and share content by its BLAKE3 hash.
//!
//! A role that moves data owns one [`Blobs`]: a store on disk and one iroh endpoint (QUIC) that
//! serves what the store holds and fetches from others. Direct addresses are dialled, and relays that
//! were configured ([`Relays`]); no other relay, name service or infrastructure of third parties is
//! ever contacted.
//!
//! What holds everywhere in this crate:
//! - **Nothing larger than announced is stored.** [`Blobs::get`] knows the exact size and refuses a
//!   holder that offers another one before the first byte is written; [`Blobs::get_sequence`] bounds
//!   the number of children and the sum of their sizes.
//! - **Everything stored was verified** against its hash, 16 KiB at a time, while it came in.
//! - **What is kept for one is served to nobody else** ([`Blobs::keep`]), neither alone nor as part of a sequence that
//!   somebody has planted; except files of jobs, which are everybody's whatever else they are ([`Blobs::spare`]).
//! - **Pinned content stays.** Every put and get names a [`Tag`]; content without a tag is collected.
//! - **A crash loses nothing that was synced.** [`Blobs::sync`] returns when all earlier puts survive
//!   a kill; without it they do so within half a second.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admission;
mod blobs;
mod dial;
mod disk;
mod doing;
mod door;
mod error;
mod fetch;
mod guard;
mod holders;
#[doc(hidden)]
pub mod hostile;
mod local;
mod pace;
mod piece;
mod places;
mod relay;
mod serve;
mod spared;
mod tag;
mod talk;
mod transfer;

pub use blobs::{Blobs, Config, Limits};
pub(crate) use doing::Doing;
pub use error::{Answer, BlobsError};
pub use fetch::SequenceBounds;
pub use guard::Kept;
pub use piece::PIECE_BYTES;
pub use relay::{MAX_RELAYS, Relays, Route};
pub use tag::Tag;
pub use talk::{Line, Talk, TalkError};
