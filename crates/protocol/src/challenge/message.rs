//! What asker and provider say to each other over one stream. A frame is a little-endian `u32` length and
//! so many bytes of borsh, at most [`MAX_QUESTION_BYTES`] one way and [`MAX_REPLY_BYTES`] the other.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{Commit, Hash, MAX_OPENING_BYTES, Openings, Sealed, Secret, Statement};

/// Name of this protocol on the wire.
pub const ALPN: &[u8] = b"tilth/challenge/1";
/// Most bytes of a frame from the asker.
pub const MAX_QUESTION_BYTES: usize = 1 << 10;
/// Most bytes of a frame from the provider: openings and their signature.
pub const MAX_REPLY_BYTES: usize = MAX_OPENING_BYTES + (4 << 10);
/// Most devices of a provider.
pub const MAX_DEVICES: usize = 64;
/// The device that every provider has: its processor.
pub const CPU: &str = "cpu";
/// The GPU that a provider offers.
pub const GPU: &str = "gpu";
/// Longest work of one step, in milliseconds, counted by the provider: several times what a device takes in its
/// class ([`super::class::SECONDS`]). A provider may end what takes longer ([`Refusal::TooLong`]), so an asker asks
/// for nothing whose deadline is later.
pub const MAX_WORK_MS: u64 = 20_000;
/// Most characters of an explanation.
pub const MAX_TEXT_CHARS: usize = 400;

/// From the asker.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Question {
    /// Which devices are there? Answered at once, so it also measures the way there.
    Who,
    /// The challenge.
    Ask(Box<Statement>),
    /// What the walk begins with.
    Walk(Hash),
    /// What draws the samples.
    Draw(Secret),
}

/// A device that may be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceOffer {
    /// Its name in statements.
    pub name: String,
    /// What it is, for people.
    pub model: String,
    /// Class bits that it was found to deserve.
    pub class_bits: u64,
    /// Memory that it can be asked to fill, MiB.
    pub memory_mib: u32,
}

/// Why a provider does not answer. Only [`Refusal::Broken`] and [`Refusal::TooLong`] say anything
/// against the provider.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It works, for a job or for another asker.
    Busy,
    /// It has answered its share for now.
    TooSoon,
    /// The challenge needs more than the device is offered with.
    TooLarge,
    /// It has no such device, or is not whom the statement names.
    NotMe,
    /// The statement or the secret breaks the rules.
    Invalid,
    /// The device or the worker failed.
    Broken,
    /// It has worked for [`MAX_WORK_MS`] and was not done. Who has announced a class for which that is enough is late.
    TooLong,
}

/// From the provider.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Reply {
    /// Who it is.
    Here {
        /// Its node account.
        node: [u8; 20],
        /// Its devices, at most [`MAX_DEVICES`].
        devices: Vec<DeviceOffer>,
    },
    /// The roots.
    Committed(Sealed<Commit>),
    /// The root of the walks' ends.
    Walked(Sealed<Hash>),
    /// The samples.
    Opened(Box<Sealed<Openings>>),
    /// No answer.
    Refused {
        /// Why.
        why: Refusal,
        /// Seconds after which it is worth asking again; 0: unknown.
        after_seconds: u32,
        /// For people, at most [`MAX_TEXT_CHARS`].
        text: String,
    },
}
