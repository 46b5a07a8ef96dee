//! Pictures: oak, linen, glaze, apple skin, hammered metal.

use crate::noise::{cells, fractal, noise, smooth};
use path_tracer::math::{Vec3, clamp, max, sqrt, vec3};

/// A picture of linear values.
pub struct Paint {
    width: usize,
    height: usize,
    pixels: Vec<Vec3>,
}

impl Paint {
    /// From a function of texture coordinates.
    pub fn new(width: usize, height: usize, f: impl Fn(f32, f32) -> Vec3) -> Paint {
        let at =
            |i: usize| f((i % width) as f32 / width as f32, (i / width) as f32 / height as f32);
        Paint { width, height, pixels: (0..width * height).map(at).collect() }
    }

    /// A normal map of a height field given in texels.
    pub fn bumps(width: usize, height: usize, f: impl Fn(f32, f32) -> f32) -> Paint {
        let h: Vec<f32> = (0..width * height)
            .map(|i| f((i % width) as f32 / width as f32, (i / width) as f32 / height as f32))
            .collect();
        let pixels = (0..width * height)
            .map(|i| {
                let (x, y) = (i % width, i / width);
                let at = |x: usize, y: usize| h[(y % height) * width + x % width];
                let dx = 0.5 * (at(x + 1, y) - at(x + width - 1, y));
                let dy = 0.5 * (at(x, y + 1) - at(x, y + height - 1));
                vec3(-dx, dy, 1.0).unit_or(vec3(0.0, 0.0, 1.0)) * 0.5 + Vec3::splat(0.5)
            })
            .collect();
        Paint { width, height, pixels }
    }

    /// A JPEG file; `colour` encodes linear values as sRGB, otherwise they are stored as they are.
    pub fn jpeg(&self, colour: bool, quality: u8) -> Vec<u8> {
        let encode = |v: f32| {
            let v = clamp(v, 0.0, 1.0);
            let s = match colour {
                false => v,
                true if v <= 0.003_130_8 => v * 12.92,
                true => 1.055 * libm::powf(v, 1.0 / 2.4) - 0.055,
            };
            (s * 255.0 + 0.5) as u8
        };
        let raw: Vec<u8> =
            self.pixels.iter().flat_map(|p| [encode(p.x), encode(p.y), encode(p.z)]).collect();
        let mut out = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut out, quality);
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_4_4);
        encoder.set_optimized_huffman_tables(true);
        if let Err(e) = encoder.encode(
            &raw,
            self.width as u16,
            self.height as u16,
            jpeg_encoder::ColorType::Rgb,
        ) {
            panic!("a JPEG of {} x {} pixels cannot be written: {e}", self.width, self.height);
        }
        out
    }
}

/// Oak: how far along from early to late wood, and how deep the pores are. `x` runs along the grain, metres.
fn oak(x: f32, y: f32) -> (f32, f32, f32) {
    let warp =
        fractal(vec3(x * 2.2, y * 9.0, 0.3), 3) * 0.012 + noise(vec3(x * 0.9, y * 2.0, 7.0)) * 0.02;
    let centre = 0.055 + 0.03 * noise(vec3(x * 1.1, 0.0, 4.0));
    let (a, b) = (y - centre + warp, 0.028 + 0.09 * x + warp * 0.6);
    let r = sqrt(a * a + b * b) * 190.0;
    let ring = r - r.floor();
    let late = smooth(0.25, 0.92, ring) * (1.0 - smooth(0.94, 1.0, ring));
    let fibre =
        noise(vec3(x * 60.0, y * 2600.0, 1.0)) * 0.5 + noise(vec3(x * 25.0, y * 900.0, 2.0)) * 0.5;
    let pore =
        smooth(0.42, 0.75, noise(vec3(x * 95.0, y * 1900.0, 5.0)) * (0.55 + 0.6 * (1.0 - late)));
    (late, pore, fibre)
}

/// Colour of oak; the picture covers 0.6 by 0.3 metres and mirrors well.
pub fn oak_colour(width: usize, height: usize) -> Paint {
    Paint::new(width, height, |u, v| {
        let (x, y) = (u * 0.6, v * 0.3);
        let (late, pore, fibre) = oak(x, y);
        let tone = 0.5 + 0.5 * noise(vec3(x * 5.0, y * 11.0, 9.0));
        let early = vec3(0.36, 0.190, 0.082).lerp(vec3(0.43, 0.240, 0.112), tone);
        let dark = vec3(0.185, 0.082, 0.032);
        let c = early.lerp(dark, late * 0.72) * (1.0 + 0.16 * fibre);
        c * (1.0 - 0.55 * pore)
    })
}

/// Roughness (green) of oak.
pub fn oak_roughness(width: usize, height: usize) -> Paint {
    Paint::new(width, height, |u, v| {
        let (late, pore, fibre) = oak(u * 0.6, v * 0.3);
        vec3(1.0, clamp(0.60 - 0.10 * late + 0.35 * pore + 0.06 * fibre, 0.05, 1.0), 0.0)
    })
}

/// Bumps of oak.
pub fn oak_bumps(width: usize, height: usize) -> Paint {
    Paint::bumps(width, height, |u, v| {
        let (late, pore, fibre) = oak(u * 0.6, v * 0.3);
        0.35 * late - 0.9 * pore + 0.25 * fibre
    })
}

/// One repeat of a plain weave, `n` threads wide.
fn weave(u: f32, v: f32, n: f32) -> (f32, f32) {
    let (x, y) = (u * n, v * n);
    let over = ((x.floor() as i32 + y.floor() as i32) & 1) == 0;
    let (fx, fy) = (x - x.floor() - 0.5, y - y.floor() - 0.5);
    let (across, along) = if over { (fx, fy) } else { (fy, fx) };
    let body = sqrt(max(1.0 - 4.2 * across * across, 0.0)) * (1.0 - 1.1 * along * along);
    (body, if over { x.floor() } else { y.floor() + 31.0 })
}

/// Bumps of linen.
pub fn linen_bumps(side: usize, threads: f32) -> Paint {
    Paint::bumps(side, side, |u, v| {
        let (h, thread) = weave(u, v, threads);
        2.2 * h * (0.8 + 0.3 * noise(vec3(thread * 3.7, 0.5, 1.0)))
    })
}

/// Colour of linen.
pub fn linen_colour(side: usize, threads: f32) -> Paint {
    Paint::new(side, side, |u, v| {
        let (h, thread) = weave(u, v, threads);
        let tone = noise(vec3(thread * 5.1, if thread > 30.0 { u * 6.0 } else { v * 6.0 }, 2.0));
        vec3(0.70, 0.64, 0.53) * (0.74 + 0.26 * h + 0.07 * tone)
    })
}

/// Glaze of the vase: celadon over brown clay that shows at the rim and foot, with iron specks. `v` rises.
pub fn glaze(width: usize, height: usize) -> Paint {
    Paint::new(width, height, |u, v| {
        let a = u * 2.0 * path_tracer::math::PI;
        let p = vec3(libm::cosf(a) * 1.6, v * 5.0, libm::sinf(a) * 1.6);
        let flow = fractal(p, 4);
        let streak = noise(vec3(p.x * 6.0, v * 1.4, p.z * 6.0));
        let mut c =
            vec3(0.16, 0.30, 0.27).lerp(vec3(0.30, 0.44, 0.37), 0.5 + 0.5 * flow + 0.15 * streak);
        // Throwing rings gather glaze.
        let ring = noise(vec3(0.3, v * 46.0, 0.7));
        c = c * (1.0 + 0.08 * ring);
        let speck = smooth(0.60, 0.72, noise(p * 22.0)) + 0.6 * smooth(0.66, 0.76, noise(p * 41.0));
        c = c.lerp(vec3(0.07, 0.04, 0.025), clamp(speck, 0.0, 0.85));
        let bare = smooth(0.055, 0.035, v + 0.012 * noise(p * 3.0) + 0.008 * streak);
        c = c.lerp(vec3(0.23, 0.115, 0.06), bare);
        c
    })
}

/// Apple skin, from the stem (`v` = 1) to the calyx.
pub fn apple(width: usize, height: usize) -> Paint {
    Paint::new(width, height, |u, v| {
        let a = u * 2.0 * path_tracer::math::PI;
        let around = vec3(libm::cosf(a), libm::sinf(a), 0.0);
        let streak = fractal(vec3(around.x * 9.0, around.y * 9.0, v * 1.6), 4);
        let patch = fractal(vec3(around.x * 1.1, around.y * 1.1, v * 1.7 + 3.0), 3);
        let yellow = vec3(0.62, 0.47, 0.10);
        let red = vec3(0.42, 0.022, 0.022).lerp(vec3(0.24, 0.010, 0.016), 0.5 + 0.5 * streak);
        let ripe = smooth(
            -0.30,
            0.22,
            patch + 0.55 * streak + 0.14
                - 0.45 * smooth(0.80, 1.0, v)
                - 0.25 * smooth(0.22, 0.0, v),
        );
        let mut c = yellow.lerp(red, ripe);
        let dots = smooth(0.62, 0.70, noise(vec3(around.x * 26.0, around.y * 26.0, v * 34.0)));
        c = c.lerp(vec3(0.66, 0.50, 0.26), 0.55 * dots);
        let stem = smooth(0.955, 0.99, v + 0.02 * streak);
        c.lerp(vec3(0.28, 0.22, 0.07), 0.8 * stem)
    })
}

/// Bumps of beaten metal, repeating along `u`.
pub fn hammered(width: usize, height: usize, across: i32, down: f32) -> Paint {
    Paint::bumps(width, height, |u, v| {
        let d = cells(u * across as f32, v * down, across);
        let scale = width as f32 / across as f32;
        0.24 * scale * d * d
    })
}
