//! The canonical byte encoding and its bounds.

use borsh::{BorshDeserialize, BorshSerialize};

/// Why bytes from outside were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The input is longer than the caller allows for this kind of value; nothing was decoded.
    #[error("{len} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes offered.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The bytes are not the canonical encoding of the value.
    #[error("not a valid encoding: {0}")]
    Malformed(String),
}

/// The canonical encoding of a value.
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    // borsh only fails when the writer fails or a length exceeds u32; a Vec does not fail, and all
    // our collections are bounded far below 4 GiB.
    borsh::to_vec(value).expect("writing to a vector cannot fail")
}

/// Decodes a value from at most `max` bytes, refusing anything left over.
///
/// # Errors
/// [`DecodeError::TooLong`] before looking inside, [`DecodeError::Malformed`] otherwise.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    T::try_from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))
}
