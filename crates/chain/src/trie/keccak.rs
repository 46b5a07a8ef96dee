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
            self.messages[..len].iter_mut().for_each(pad);
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

    /// One lane rotated to the left.
    macro_rules! rotated {
        ($lanes:expr, $by:literal) => {{
            let lanes = $lanes;
            let low = _mm256_srli_epi64::<{ 64 - $by }>(lanes);
            _mm256_or_si256(_mm256_slli_epi64::<$by>(lanes), low)
        }};
    }

    /// One row of lanes after a round: those that rho and pi bring there (FIPS 202, 3.2.2 and 3.2.3), each given by
    /// its index and its rotation, and chi (3.2.4).
    macro_rules! row {
        ($from:ident, $effect:ident, $to:ident[$first:literal], $($lane:literal << $by:literal),*) => {{
            let [a, b, c, d, e] = [$(rotated!(_mm256_xor_si256($from[$lane], $effect[$lane % 5]), $by)),*];
            $to[$first] = _mm256_xor_si256(a, _mm256_andnot_si256(b, c));
            $to[$first + 1] = _mm256_xor_si256(b, _mm256_andnot_si256(c, d));
            $to[$first + 2] = _mm256_xor_si256(c, _mm256_andnot_si256(d, e));
            $to[$first + 3] = _mm256_xor_si256(d, _mm256_andnot_si256(e, a));
            $to[$first + 4] = _mm256_xor_si256(e, _mm256_andnot_si256(a, b));
        }};
    }

    /// Lane `(x, y)` has the index `x + 5 y`. Every index and rotation is a constant, so that the lanes are not
    /// looked for and rotating takes three instructions, however little the compiler does by itself.
    #[target_feature(enable = "avx2")]
    fn permute(state: &mut [Lanes; 25]) {
        let mut other = [_mm256_setzero_si256(); 25];
        const { assert!(ROUNDS.len().is_multiple_of(2)) };
        // A compiler that knows the number of rounds writes all of them out: 31 KB, as much as the processor's whole
        // instruction cache, which takes half as long again.
        for [first, second] in std::hint::black_box(&ROUNDS[..]).as_chunks::<2>().0 {
            round(state, &mut other, *first);
            round(&other, state, *second);
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn round(from: &[Lanes; 25], to: &mut [Lanes; 25], constant: u64) {
        macro_rules! parity {
            ($x:literal) => {{
                let upper = _mm256_xor_si256(from[$x], from[$x + 5]);
                let lower = _mm256_xor_si256(from[$x + 10], from[$x + 15]);
                _mm256_xor_si256(_mm256_xor_si256(upper, lower), from[$x + 20])
            }};
        }
        let [a, b, c, d, e] = [parity!(0), parity!(1), parity!(2), parity!(3), parity!(4)];
        let effect = [
            _mm256_xor_si256(e, rotated!(b, 1)),
            _mm256_xor_si256(a, rotated!(c, 1)),
            _mm256_xor_si256(b, rotated!(d, 1)),
            _mm256_xor_si256(c, rotated!(e, 1)),
            _mm256_xor_si256(d, rotated!(a, 1)),
        ];
        row!(from, effect, to[0], 0 << 0, 6 << 44, 12 << 43, 18 << 21, 24 << 14);
        row!(from, effect, to[5], 3 << 28, 9 << 20, 10 << 3, 16 << 45, 22 << 61);
        row!(from, effect, to[10], 1 << 1, 7 << 6, 13 << 25, 19 << 8, 20 << 18);
        row!(from, effect, to[15], 4 << 27, 5 << 36, 11 << 10, 17 << 15, 23 << 56);
        row!(from, effect, to[20], 2 << 62, 8 << 55, 14 << 39, 15 << 41, 21 << 2);
        to[0] = _mm256_xor_si256(to[0], _mm256_set1_epi64x(constant.cast_signed()));
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
