//! From light to bytes: exposure, a film-like curve (AgX after Troy Sobotka, in Benjamin Wrensch's polynomial
//! form), saturation and contrast, and a dither of one step against banding.

use crate::exact;
use crate::math::{Vec3, clamp, max, vec3};
use crate::random::{mix2, unit};

/// How light becomes a picture.
pub struct Tone {
    pub(crate) exposure: f32,
    pub(crate) saturation: f32,
    pub(crate) contrast: f32,
}

/// Stops below and above middle grey that the curve covers.
const LOW: f32 = -12.473_93;
const HIGH: f32 = 4.026_069;

fn inset(c: Vec3) -> Vec3 {
    vec3(
        0.842_479_06 * c.x + 0.078_433_6 * c.y + 0.079_223_745 * c.z,
        0.042_328_243 * c.x + 0.878_468_6 * c.y + 0.079_166_13 * c.z,
        0.042_375_654 * c.x + 0.078_433_6 * c.y + 0.879_143 * c.z,
    )
}

fn outset(c: Vec3) -> Vec3 {
    vec3(
        1.196_879 * c.x - 0.098_020_88 * c.y - 0.099_029_74 * c.z,
        -0.052_896_85 * c.x + 1.151_903_1 * c.y - 0.098_961_18 * c.z,
        -0.052_971_635 * c.x - 0.098_043_45 * c.y + 1.151_073_7 * c.z,
    )
}

fn curve(x: f32) -> f32 {
    let x2 = x * x;
    let x4 = x2 * x2;
    15.5 * x4 * x2 - 40.14 * x4 * x + 31.96 * x4 - 6.868 * x2 * x + 0.4298 * x2 + 0.1191 * x
        - 0.002_32
}

impl Tone {
    /// From the settings' stops and factors.
    pub fn new(stops: f32, saturation: f32, contrast: f32) -> Tone {
        Tone { exposure: libm::exp2f(stops), saturation, contrast }
    }

    /// The bytes of a pixel's mean radiance.
    pub fn bytes(&self, light: Vec3, x: u32, y: u32) -> [u8; 3] {
        let c = inset((light * self.exposure).max(Vec3::ZERO));
        let encode = |v: f32| {
            curve(clamp((exact::log2(max(v, 1e-10)) - LOW) * (1.0 / (HIGH - LOW)), 0.0, 1.0))
        };
        let mut c = vec3(encode(c.x), encode(c.y), encode(c.z));
        let pivot = |v: f32| exact::pow(max(v, 0.0), self.contrast);
        c = vec3(pivot(c.x), pivot(c.y), pivot(c.z));
        let grey = Vec3::splat(c.luminance());
        c = outset(grey + (c - grey) * self.saturation);
        let seed = mix2(x, mix2(y, 0xd17e));
        let byte = |v: f32, k: u32| {
            let noise = unit(mix2(seed, k)) - unit(mix2(seed, k + 3));
            (clamp(v, 0.0, 1.0) * 255.0 + 0.5 + 0.5 * noise) as u8
        };
        [byte(c.x, 0), byte(c.y, 1), byte(c.z, 2)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_stays_black_white_is_bright_and_grey_is_neutral() {
        let t = Tone::new(0.0, 1.0, 1.0);
        assert!(t.bytes(Vec3::ZERO, 1, 2).iter().all(|&b| b <= 2));
        assert!(t.bytes(Vec3::splat(40.0), 1, 2).iter().all(|&b| b >= 250));
        let g = t.bytes(Vec3::splat(0.18), 3, 4);
        assert!(g.iter().all(|b| b.abs_diff(g[0]) <= 2), "{g:?}");
    }
}
