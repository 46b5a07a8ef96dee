//! Hashes and signatures, as everything has them that is signed for good.

/// A BLAKE3 hash or key.
pub type Hash = [u8; 32];

/// Bytes of a signature by a node key: secp256k1, recoverable, `r`, `s`, `v`. It has one form, which contracts take as
/// well: a low `s`, and a `v` of 27 or 28.
pub const SIGNATURE_BYTES: usize = 65;
