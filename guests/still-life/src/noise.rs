//! Repeatable randomness: hashes, value noise, cells.

use path_tracer::math::{Vec3, sqrt, vec3};
use path_tracer::random::{mix, mix2, unit};

/// A stream of random numbers from a seed.
pub struct Stream(u32);

impl Stream {
    /// The stream of this seed.
    pub fn new(seed: u32) -> Stream {
        Stream(mix(seed ^ 0x5eed_5eed))
    }
    /// The next number in `[0, 1)`.
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        unit(mix(self.0))
    }
    /// The next number in `low..high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.next()
    }
}

fn corner(x: i32, y: i32, z: i32) -> f32 {
    unit(mix2(x as u32, mix2(y as u32, z as u32)))
}

fn fade(t: f32) -> f32 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

/// Smooth noise in `-1..1` with features of size one.
pub fn noise(p: Vec3) -> f32 {
    let f = vec3(p.x.floor(), p.y.floor(), p.z.floor());
    let (x, y, z) = (f.x as i32, f.y as i32, f.z as i32);
    let (tx, ty, tz) = (fade(p.x - f.x), fade(p.y - f.y), fade(p.z - f.z));
    let lerp = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let row = |y, z| lerp(corner(x, y, z), corner(x + 1, y, z), tx);
    let layer = |z| lerp(row(y, z), row(y + 1, z), ty);
    lerp(layer(z), layer(z + 1), tz) * 2.0 - 1.0
}

/// Noise of several sizes, each half the one before.
pub fn fractal(p: Vec3, octaves: u32) -> f32 {
    let (mut sum, mut size, mut weight) = (0.0, 1.0, 0.5);
    for k in 0..octaves {
        sum += noise(p * size + Vec3::splat(k as f32 * 17.3)) * weight;
        size *= 2.03;
        weight *= 0.5;
    }
    sum
}

/// Distance to the nearest of scattered points, one per unit cell, in the plane; `period` cells repeat in x.
pub fn cells(x: f32, y: f32, period: i32) -> f32 {
    let (ix, iy) = (x.floor() as i32, y.floor() as i32);
    let mut best = 9.0f32;
    for dy in -1..=1 {
        for dx in -1..=1 {
            let (cx, cy) = (ix + dx, iy + dy);
            let wrapped = cx.rem_euclid(period);
            let px = cx as f32 + 0.15 + 0.7 * corner(wrapped, cy, 3);
            let py = cy as f32 + 0.15 + 0.7 * corner(wrapped, cy, 5);
            let d = (px - x) * (px - x) + (py - y) * (py - y);
            if d < best {
                best = d;
            }
        }
    }
    sqrt(best)
}

/// 0 below `a`, 1 above `b`, smooth between.
pub fn smooth(a: f32, b: f32, x: f32) -> f32 {
    let t = path_tracer::math::clamp((x - a) / (b - a), 0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
