//! Keccak-256 of four messages side by side.
//!
//! On x86-64 with AVX2 four states fit the vector registers, and hashing four messages takes about as
//! long as hashing one. Elsewhere messages are hashed one by one. The only file of this crate with
//! `unsafe`: the call of a function that the processor at hand is known to be able to run.

#![allow(
    unsafe_code,
    reason = "calling a function compiled for AVX2, after asking whether the processor has it"
)]

use alloy_primitives::keccak256;

/// Bytes absorbed at once.
pub(super) const BLOCK: usize = 136;

/// Messages that are hashed side by side.
pub(super) const WAYS: usize = 4;

/// Up to [`WAYS`] messages of the same number of blocks.
#[derive(Default)]
pub(super) struct Quad {
    messages: [Vec<u8>; WAYS],
    len: usize,
}

impl Quad {
    /// Adds a message; there must be room, and all must have the same number of blocks.
    pub(super) fn push(&mut self, message: &[u8]) {
        let place = &mut self.messages[self.len];
        place.clear();
        place.extend_from_slice(message);
        self.len += 1;
    }

    /// The hashes of the messages, which are taken out.
    pub(super) fn hash(&mut self) -> impl Iterator<Item = [u8; 32]> + use<> {
        let len = std::mem::take(&mut self.len);
        #[cfg(target_arch = "x86_64")]
        if len > 1 && std::arch::is_x86_feature_detected!("avx2") {
            self.messages.iter_mut().for_each(pad);
            let [a, b, c, d] = self.messages.each_ref();
            let pick = |index: usize, message| if index < len { message } else { a };
            let padded: [&[u8]; WAYS] = [a, pick(1, b), pick(2, c), pick(3, d)];
            // SAFETY: the processor has AVX2.
            return unsafe { avx2::hash(padded) }.into_iter().take(len);
        }
        let one = |message: &Vec<u8>| keccak256(message).0;
        let mut hashes = [[0; 32]; WAYS];
        for (hash, message) in hashes.iter_mut().zip(&self.messages[..len]) {
            *hash = one(message);
        }
        hashes.into_iter().take(len)
    }
}

/// Pads a message to whole blocks.
#[cfg(target_arch = "x86_64")]
fn pad(message: &mut Vec<u8>) {
    message.push(1);
    message.resize(message.len().next_multiple_of(BLOCK), 0);
    if let Some(last) = message.last_mut() {
        *last |= 0x80;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{BLOCK, WAYS};

    /// Lane `n` of four states.
    type Lanes = __m256i;

    const ROUNDS: [u64; 24] = [
        0x0000_0000_0000_0001,
        0x0000_0000_0000_8082,
        0x8000_0000_0000_808a,
        0x8000_0000_8000_8000,
        0x0000_0000_0000_808b,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8009,
        0x0000_0000_0000_008a,
        0x0000_0000_0000_0088,
        0x0000_0000_8000_8009,
        0x0000_0000_8000_000a,
        0x0000_0000_8000_808b,
        0x8000_0000_0000_008b,
        0x8000_0000_0000_8089,
        0x8000_0000_0000_8003,
        0x8000_0000_0000_8002,
        0x8000_0000_0000_0080,
        0x0000_0000_0000_800a,
        0x8000_0000_8000_000a,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8080,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8008,
    ];

    /// Lane `(x, y)` has the index `x + 5 y`. Where each goes in the order of the lanes, and by how
    /// much it is rotated (FIPS 202, 3.2.2 and 3.2.3).
    const ROTATIONS: [i32; 25] = [
        0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56,
        14,
    ];

    /// The hashes of four padded messages of the same length.
    #[target_feature(enable = "avx2")]
    pub(super) fn hash(messages: [&[u8]; WAYS]) -> [[u8; 32]; WAYS] {
        let mut state = [_mm256_setzero_si256(); 25];
        let [a, b, c, d] = messages.map(|message| message.chunks_exact(BLOCK));
        for (((a, b), c), d) in a.zip(b).zip(c).zip(d) {
            for (index, lanes) in state[..BLOCK / 8].iter_mut().enumerate() {
                let words = [a, b, c, d].map(|block| word(block, index));
                let input = _mm256_set_epi64x(words[3], words[2], words[1], words[0]);
                *lanes = _mm256_xor_si256(*lanes, input);
            }
            permute(&mut state);
        }
        let mut hashes = [[0; 32]; WAYS];
        for (index, lanes) in state[..4].iter().enumerate() {
            let words = [
                _mm256_extract_epi64::<0>(*lanes),
                _mm256_extract_epi64::<1>(*lanes),
                _mm256_extract_epi64::<2>(*lanes),
                _mm256_extract_epi64::<3>(*lanes),
            ];
            for (hash, word) in hashes.iter_mut().zip(words) {
                hash[index * 8..][..8].copy_from_slice(&word.to_le_bytes());
            }
        }
        hashes
    }

    fn word(block: &[u8], index: usize) -> i64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&block[index * 8..][..8]);
        i64::from_le_bytes(bytes)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn rotate(lanes: Lanes, by: i32) -> Lanes {
        let left = _mm256_sll_epi64(lanes, _mm_cvtsi32_si128(by));
        _mm256_or_si256(left, _mm256_srl_epi64(lanes, _mm_cvtsi32_si128(64 - by)))
    }

    #[target_feature(enable = "avx2")]
    fn permute(state: &mut [Lanes; 25]) {
        for round in ROUNDS {
            let mut parity = [_mm256_setzero_si256(); 5];
            for x in 0..5 {
                for y in 0..5 {
                    parity[x] = _mm256_xor_si256(parity[x], state[x + 5 * y]);
                }
            }
            let mut moved = [_mm256_setzero_si256(); 25];
            for x in 0..5 {
                let effect = _mm256_xor_si256(parity[(x + 4) % 5], rotate(parity[(x + 1) % 5], 1));
                for y in 0..5 {
                    let lanes = _mm256_xor_si256(state[x + 5 * y], effect);
                    let to = y + 5 * ((2 * x + 3 * y) % 5);
                    moved[to] = rotate(lanes, ROTATIONS[x + 5 * y]);
                }
            }
            for y in 0..5 {
                for x in 0..5 {
                    let others =
                        _mm256_andnot_si256(moved[(x + 1) % 5 + 5 * y], moved[(x + 2) % 5 + 5 * y]);
                    state[x + 5 * y] = _mm256_xor_si256(moved[x + 5 * y], others);
                }
            }
            state[0] = _mm256_xor_si256(state[0], _mm256_set1_epi64x(round.cast_signed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_length_hash_as_one_by_one() {
        let text: Vec<u8> = (0..600_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
        for length in 0..600 - 2 * WAYS {
            for count in 1..=WAYS {
                let mut quad = Quad::default();
                // Different content; the same number of blocks.
                let same = |n: usize| if (length + n) / BLOCK == length / BLOCK { n } else { 0 };
                let messages: Vec<&[u8]> =
                    (0..count).map(|n| &text[n..n + length + same(n)]).collect();
                messages.iter().for_each(|message| quad.push(message));
                let hashes: Vec<[u8; 32]> = quad.hash().collect();
                let wanted: Vec<[u8; 32]> = messages.iter().map(|m| keccak256(m).0).collect();
                assert_eq!(hashes, wanted, "{count} messages of {length} bytes");
            }
        }
    }
}
