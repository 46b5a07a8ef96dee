//! Sample points: a pure function of pixel, sample and dimension, so that any tile of any size gives the
//! same pixels.
//!
//! Dimensions come in pairs; each pair is an Owen-scrambled (0,2)-sequence, shuffled on its own (Burley 2020,
//! "Practical Hash-based Owen Scrambling"). The second Sobol dimension is computed by a superset sum instead
//! of a table of direction numbers.

/// Mixes 32 bits thoroughly (Ellis's lowbias32).
#[inline(always)]
pub fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Mixes two words into one.
#[inline(always)]
pub fn mix2(a: u32, b: u32) -> u32 {
    mix(a ^ mix(b.wrapping_add(0x9e37_79b9)))
}

/// A number in `[0, 1)` from the upper 24 bits.
#[inline(always)]
pub fn unit(x: u32) -> f32 {
    (x >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Permutes a bit-reversed word so that each bit depends on the ones below it only (Laine and Karras, with
/// Vegdahl's constants).
#[inline(always)]
fn permute(mut x: u32, seed: u32) -> u32 {
    x ^= x.wrapping_mul(0x3d20_adea);
    x = x.wrapping_add(seed);
    x = x.wrapping_mul((seed >> 16) | 1);
    x ^= x.wrapping_mul(0x0552_6c56);
    x ^ x.wrapping_mul(0x53a2_2864)
}

/// The second Sobol dimension of index `i`, bits reversed: bit `j` is the parity of the bits of `i` at the
/// positions that contain `j` as a subset (Lucas).
#[inline(always)]
fn sobol2_reversed(mut i: u32) -> u32 {
    i ^= (i >> 1) & 0x5555_5555;
    i ^= (i >> 2) & 0x3333_3333;
    i ^= (i >> 4) & 0x0f0f_0f0f;
    i ^= (i >> 8) & 0x00ff_00ff;
    i ^ (i >> 16)
}

/// The stream of sample points of one camera path.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    pixel: u32,
    index: u32,
}

impl Sampler {
    /// The points of sample `index` in pixel (`x`, `y`).
    pub fn new(x: u32, y: u32, index: u32) -> Sampler {
        Sampler { pixel: mix2(x, mix2(y, 0x7117)), index: index.reverse_bits() }
    }

    /// Two numbers in `[0, 1)`: dimension pair `pair` of this path.
    #[inline]
    pub fn pair(&self, pair: u32) -> (f32, f32) {
        let seed = mix2(self.pixel, pair);
        let i = permute(self.index, seed).reverse_bits();
        let x = permute(i, mix(seed ^ 0x68bc_21eb)).reverse_bits();
        let y = permute(sobol2_reversed(i), mix(seed ^ 0x02e5_be93)).reverse_bits();
        (unit(x), unit(y))
    }

    /// A number in `[0, 1)` from a plain hash, for decisions that gain nothing from even spacing.
    #[inline]
    pub fn hashed(&self, dimension: u32) -> f32 {
        unit(mix2(self.pixel ^ self.index, dimension | 0x8000_0000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both projections and both square-ish elementary intervals of 16 points hold exactly one point each.
    #[test]
    fn sixteen_samples_fill_every_stratum() {
        for pair in 0..20 {
            let points: Vec<_> = (0..16).map(|i| Sampler::new(7, 9, i).pair(pair)).collect();
            for (w, h) in [(16u32, 1u32), (8, 2), (4, 4), (2, 8), (1, 16)] {
                let mut cells = std::collections::BTreeSet::new();
                for (x, y) in &points {
                    cells.insert(((x * w as f32) as u32, (y * h as f32) as u32));
                }
                assert_eq!(cells.len(), 16, "pair {pair}, {w}x{h}");
            }
        }
    }

    #[test]
    fn neighbouring_pixels_differ() {
        assert_ne!(Sampler::new(0, 0, 0).pair(0), Sampler::new(1, 0, 0).pair(0));
        assert_ne!(Sampler::new(0, 0, 0).pair(0), Sampler::new(0, 1, 0).pair(0));
    }
}
