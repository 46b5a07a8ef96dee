//! How published files write numbers.

use crate::{Error, Result};

/// An encoding of weights. Names are GGUF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Blocks of 32: a scale, 4-bit weights less 8.
    Q4_0,
    /// Blocks of 32: a scale and a minimum, 4-bit weights.
    Q4_1,
    /// Blocks of 32: a scale, 5-bit weights less 16.
    Q5_0,
    /// Blocks of 32: a scale and a minimum, 5-bit weights.
    Q5_1,
    /// Blocks of 32: a scale, 8-bit weights.
    Q8_0,
    /// Blocks of 256 in eight parts with 6-bit scales and minima, 4-bit weights.
    Q4K,
    /// Blocks of 256 in sixteen parts with 8-bit scales, 6-bit weights less 32.
    Q6K,
}

impl Encoding {
    /// By GGUF's number.
    #[must_use]
    pub fn from_gguf(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Weights and bytes of a block.
    #[must_use]
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q6K => (256, 210),
        }
    }

    /// The numbers of one block.
    fn decode(self, block: &[u8], into: &mut [f32]) {
        let half = |at: usize| half(u16::from_le_bytes([block[at], block[at + 1]]));
        match self {
            Self::F32 => {
                into[0] = block.first_chunk().map_or(0.0, |word| f32::from_le_bytes(*word))
            }
            Self::F16 => into[0] = half(0),
            Self::Bf16 => {
                into[0] = f32::from_bits(u32::from(u16::from_le_bytes([block[0], block[1]])) << 16)
            }
            Self::Q4_0 => nibbles(&block[2..], 0, into, |q| (f32::from(q) - 8.0) * half(0)),
            Self::Q4_1 => nibbles(&block[4..], 0, into, |q| f32::from(q) * half(0) + half(2)),
            Self::Q5_0 => {
                nibbles(&block[6..], fifth(&block[2..]), into, |q| (f32::from(q) - 16.0) * half(0))
            }
            Self::Q5_1 => {
                nibbles(&block[8..], fifth(&block[4..]), into, |q| f32::from(q) * half(0) + half(2))
            }
            Self::Q8_0 => {
                for (slot, byte) in into.iter_mut().zip(&block[2..]) {
                    *slot = f32::from(byte.cast_signed()) * half(0);
                }
            }
            Self::Q4K => four_k(half(0), half(2), &block[4..16], &block[16..], into),
            Self::Q6K => six_k(half(208), block, into),
        }
    }
}

/// Sixteen bytes: the low nibbles are weights 0 to 15, the high ones 16 to 31; `fifth` holds a fifth bit
/// for each.
fn nibbles(bytes: &[u8], fifth: u32, into: &mut [f32], value: impl Fn(u8) -> f32) {
    for (j, byte) in bytes.iter().enumerate().take(16) {
        let bit = |weight: usize| if fifth >> weight & 1 == 1 { 16 } else { 0 };
        into[j] = value((byte & 15) | bit(j));
        into[j + 16] = value((byte >> 4) | bit(j + 16));
    }
}

fn fifth(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

fn four_k(scale: f32, minimum: f32, packed: &[u8], weights: &[u8], into: &mut [f32]) {
    let part = |j: usize| {
        if j < 4 {
            (packed[j] & 63, packed[j + 4] & 63)
        } else {
            (
                (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4,
                (packed[j + 4] >> 4) | (packed[j] >> 6) << 4,
            )
        }
    };
    for (j, slots) in into.chunks_mut(32).enumerate() {
        let (s, m) = part(j);
        let (s, m) = (scale * f32::from(s), minimum * f32::from(m));
        for (slot, byte) in slots.iter_mut().zip(&weights[j / 2 * 32..]) {
            let q = if j % 2 == 0 { byte & 15 } else { byte >> 4 };
            *slot = s * f32::from(q) - m;
        }
    }
}

fn six_k(scale: f32, block: &[u8], into: &mut [f32]) {
    for (half, slots) in into.chunks_mut(128).enumerate() {
        let (low, high) = (&block[64 * half..], &block[128 + 32 * half..]);
        let scales = &block[192 + 8 * half..];
        for (i, slot) in slots.iter_mut().enumerate() {
            let (quarter, l) = (i / 32, i % 32);
            let byte = low[l + 32 * (quarter % 2)];
            let nibble = if quarter < 2 { byte & 15 } else { byte >> 4 };
            let q = nibble | (high[l] >> (2 * quarter) & 3) << 4;
            *slot = scale
                * f32::from(scales[2 * quarter + l / 16].cast_signed())
                * (f32::from(q) - 32.0);
        }
    }
}

/// Half precision to single precision, exactly.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 31);
    let mantissa = u32::from(bits & 1023);
    match exponent {
        // A subnormal is its mantissa times 2^-24.
        0 => f32::from(bits & 1023) * f32::from_bits(sign | 103 << 23),
        31 => f32::from_bits(sign | 255 << 23 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | mantissa << 13),
    }
}

/// A tensor of one or two dimensions in a file. A vector has one row.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    encoding: Encoding,
    rows: usize,
    columns: usize,
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// The tensor at the beginning of `bytes`.
    ///
    /// # Errors
    /// When a row is no whole number of blocks, or the bytes are not all there.
    pub fn new(encoding: Encoding, rows: usize, columns: usize, bytes: &'a [u8]) -> Result<Self> {
        let (weights, size) = encoding.block();
        let length = columns
            .is_multiple_of(weights)
            .then(|| (columns / weights).checked_mul(size)?.checked_mul(rows))
            .flatten();
        match length.and_then(|length| bytes.get(..length)) {
            Some(bytes) if rows > 0 && columns > 0 => Ok(Self { encoding, rows, columns, bytes }),
            _ => Err(Error::damaged(format!(
                "a tensor of {rows} x {columns} in {encoding:?} is cut short"
            ))),
        }
    }

    /// Rows and columns.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Writes one row's numbers; `into` has one slot per column.
    pub fn row(&self, row: usize, into: &mut [f32]) {
        let (weights, size) = self.encoding.block();
        let length = self.columns / weights * size;
        let bytes = &self.bytes[row * length..][..length];
        for (block, slots) in bytes.chunks_exact(size).zip(into.chunks_exact_mut(weights)) {
            self.encoding.decode(block, slots);
        }
    }

    /// All numbers, if there are `length`.
    ///
    /// # Errors
    /// When there are not.
    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>> {
        if self.rows != 1 || self.columns != length {
            return Err(Error::damaged(format!(
                "{name} is {} x {}, not {length}",
                self.rows, self.columns
            )));
        }
        let mut numbers = vec![0.0; length];
        self.row(0, &mut numbers);
        Ok(numbers)
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(half(0xc000), -2.0);
        assert_eq!(half(0x0001), 2f32.powi(-24));
        assert_eq!(half(0x83ff), -1023.0 * 2f32.powi(-24));
        assert_eq!(half(0x7bff), 65_504.0);
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }

    /// One block of each kind, by hand from the formats' definitions.
    #[test]
    fn blocks_decode() {
        let decode = |encoding: Encoding, block: &[u8]| {
            let (weights, size) = encoding.block();
            assert_eq!(block.len(), size);
            let mut into = vec![0.0; weights];
            encoding.decode(block, &mut into);
            into
        };
        let one = [0x00, 0x3c];
        let half = [0x00, 0x38];
        let nibbles: Vec<u8> = (0..16).map(|i| i | (15 - i) << 4).collect();
        let x = decode(Encoding::Q4_0, &[&one[..], &nibbles].concat());
        assert_eq!((x[0], x[15], x[16], x[31]), (-8.0, 7.0, 7.0, -8.0));
        let x = decode(Encoding::Q4_1, &[&one[..], &half, &nibbles].concat());
        assert_eq!((x[0], x[15], x[16], x[31]), (0.5, 15.5, 15.5, 0.5));
        let x =
            decode(Encoding::Q5_0, &[&one[..], &0x8001_0001u32.to_le_bytes(), &nibbles].concat());
        assert_eq!((x[0], x[1], x[16], x[31]), (0.0, -15.0, 15.0, 0.0));
        let x = decode(
            Encoding::Q5_1,
            &[&one[..], &half, &0x8001_0001u32.to_le_bytes(), &nibbles].concat(),
        );
        assert_eq!((x[0], x[1], x[16], x[31]), (16.5, 1.5, 31.5, 16.5));
        let x = decode(
            Encoding::Q8_0,
            &[&half[..], &(0..32).map(|i| (i as u8).wrapping_sub(16)).collect::<Vec<_>>()].concat(),
        );
        assert_eq!((x[0], x[31]), (-8.0, 7.5));
    }

    /// GGUF's numbers, and what llama.cpp says of a block of each kind.
    #[test]
    fn every_kind_has_its_number_and_its_size() {
        use Encoding::{Bf16, F16, F32, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q6K, Q8_0};
        let kinds = [
            (0, F32, (1, 4)),
            (1, F16, (1, 2)),
            (2, Q4_0, (32, 18)),
            (3, Q4_1, (32, 20)),
            (6, Q5_0, (32, 22)),
            (7, Q5_1, (32, 24)),
            (8, Q8_0, (32, 34)),
            (12, Q4K, (256, 144)),
            (14, Q6K, (256, 210)),
            (30, Bf16, (1, 2)),
        ];
        for (number, kind, block) in kinds {
            assert_eq!(Encoding::from_gguf(number), Some(kind));
            assert_eq!(kind.block(), block, "{kind:?}");
        }
        let known = (0..=u32::from(u16::MAX)).filter_map(Encoding::from_gguf).count();
        assert_eq!(known, kinds.len(), "whatever else there is is refused");
    }

    #[test]
    fn single_numbers_decode() {
        let decode = |encoding: Encoding, bytes: &[u8]| {
            let mut into = vec![0.0; 2];
            Tensor::new(encoding, 1, 2, bytes).unwrap().row(0, &mut into);
            into
        };
        // The lower byte comes first.
        assert_eq!(decode(Encoding::Bf16, &[0xc0, 0x3f, 0x00, 0xc0]), [1.5, -2.0]);
        assert_eq!(decode(Encoding::F16, &[0x00, 0x3e, 0x00, 0xc0]), [1.5, -2.0]);
        assert_eq!(decode(Encoding::F32, &[0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0]), [1.5, -2.0]);
    }

    #[test]
    fn rows_of_blocks_are_told_apart() {
        let block = |number: u8| [&[0x00, 0x3c][..], &[number; 32]].concat();
        let bytes: Vec<u8> = (1..=4).flat_map(block).collect();
        let tensor = Tensor::new(Encoding::Q8_0, 2, 64, &bytes).unwrap();
        let mut row = vec![0.0; 64];
        tensor.row(1, &mut row);
        assert_eq!((row[0], row[31], row[32], row[63]), (3.0, 3.0, 4.0, 4.0));
    }

    #[test]
    fn wide_blocks_decode() {
        // Scales 1..8, minima 0 except the last (32): parts 4..8 take their upper bits from the first four.
        let mut packed = [0u8; 12];
        for j in 0..4 {
            packed[j] = j as u8 + 1;
            packed[j + 8] = j as u8 + 5;
        }
        packed[7] |= 2 << 6;
        let mut block = vec![0x00, 0x3c, 0x00, 0x3c];
        block.extend(packed);
        block.extend([0x21; 128]);
        let mut x = vec![0.0; 256];
        Encoding::Q4K.decode(&block, &mut x);
        assert_eq!(
            (x[0], x[32], x[64], x[128], x[223], x[224]),
            (1.0, 4.0, 3.0, 5.0, 7.0, 16.0 - 32.0)
        );

        let mut block = vec![0u8; 210];
        block[0] = 0x21; // weights 0 and 64
        block[32] = 0x43; // weights 32 and 96
        block[128] = 0b11_10_01_00;
        for (i, scale) in block[192..208].iter_mut().enumerate() {
            *scale = i as u8 + 1;
        }
        block[208..210].copy_from_slice(&[0x00, 0x3c]);
        Encoding::Q6K.decode(&block, &mut x);
        assert_eq!(x[0], (1.0 - 32.0) * 1.0);
        assert_eq!(x[32], (3.0 + 16.0 - 32.0) * 3.0);
        assert_eq!(x[64], (2.0 + 32.0 - 32.0) * 5.0);
        assert_eq!(x[96], (4.0 + 48.0 - 32.0) * 7.0);
        assert_eq!(x[255], -32.0 * 16.0);
    }

    #[test]
    fn short_or_ragged_tensors_are_refused() {
        assert!(Tensor::new(Encoding::F32, 2, 3, &[0; 23]).is_err());
        assert!(Tensor::new(Encoding::F32, 2, 3, &[0; 24]).is_ok());
        assert!(Tensor::new(Encoding::Q8_0, 1, 33, &[0; 99]).is_err());
        assert!(Tensor::new(Encoding::F32, usize::MAX, 32, &[0; 64]).is_err());
    }
}
