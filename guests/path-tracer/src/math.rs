//! Vectors, matrices and the few functions that the renderer needs, in a form that has one answer.
//!
//! Every operation here is `+ - * /`, square root, a comparison, or a function of [`crate::exact`], in a fixed
//! order and never fused, so the result has the same bits natively, in WebAssembly and on an exact GPU. What is
//! done once per scene, before any GPU, may use the `libm` crate.

use crate::exact;
use std::ops::{Add, AddAssign, Index, Mul, MulAssign, Neg, Sub};

/// The circle constant.
pub const PI: f32 = std::f32::consts::PI;
/// One over the circle constant.
pub const INV_PI: f32 = std::f32::consts::FRAC_1_PI;

/// The smaller of two numbers; the second one when they compare equal or either is NaN.
#[inline(always)]
pub fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger of two numbers; the second one when they compare equal or either is NaN.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `x` limited to `low..=high`; NaN becomes `high`.
#[inline(always)]
pub fn clamp(x: f32, low: f32, high: f32) -> f32 {
    max(min(x, high), low)
}

/// Square root; zero for what is below zero.
#[inline(always)]
pub fn sqrt(x: f32) -> f32 {
    max(x, 0.0).sqrt()
}

/// A point, direction or linear RGB colour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vec3 {
    /// First component; red.
    pub x: f32,
    /// Second component; green.
    pub y: f32,
    /// Third component; blue.
    pub z: f32,
}

/// Shorthand for [`Vec3`].
#[inline(always)]
pub const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    /// All components zero.
    pub const ZERO: Vec3 = vec3(0.0, 0.0, 0.0);
    /// All components one.
    pub const ONE: Vec3 = vec3(1.0, 1.0, 1.0);

    /// The same number three times.
    #[inline(always)]
    pub const fn splat(v: f32) -> Vec3 {
        vec3(v, v, v)
    }

    /// From an array.
    #[inline(always)]
    pub const fn from_array(a: [f32; 3]) -> Vec3 {
        vec3(a[0], a[1], a[2])
    }

    /// Inner product, left to right.
    #[inline(always)]
    pub fn dot(self, o: Vec3) -> f32 {
        self.x * o.x + self.y * o.y + self.z * o.z
    }

    /// Cross product.
    #[inline(always)]
    pub fn cross(self, o: Vec3) -> Vec3 {
        vec3(self.y * o.z - self.z * o.y, self.z * o.x - self.x * o.z, self.x * o.y - self.y * o.x)
    }

    /// Length.
    #[inline(always)]
    pub fn length(self) -> f32 {
        sqrt(self.dot(self))
    }

    /// Unit vector of the same direction, or `otherwise` when there is none.
    #[inline(always)]
    pub fn unit_or(self, otherwise: Vec3) -> Vec3 {
        let l = self.length();
        if l > 1e-20 { self * (1.0 / l) } else { otherwise }
    }

    /// Largest component.
    #[inline(always)]
    pub fn max_component(self) -> f32 {
        max(self.x, max(self.y, self.z))
    }

    /// Component-wise smaller.
    #[inline(always)]
    pub fn min(self, o: Vec3) -> Vec3 {
        vec3(min(self.x, o.x), min(self.y, o.y), min(self.z, o.z))
    }

    /// Component-wise larger.
    #[inline(always)]
    pub fn max(self, o: Vec3) -> Vec3 {
        vec3(max(self.x, o.x), max(self.y, o.y), max(self.z, o.z))
    }

    /// Component-wise magnitude.
    #[inline(always)]
    pub fn abs(self) -> Vec3 {
        vec3(self.x.abs(), self.y.abs(), self.z.abs())
    }

    /// Brightness of a linear sRGB colour.
    #[inline(always)]
    pub fn luminance(self) -> f32 {
        0.2126 * self.x + 0.7152 * self.y + 0.0722 * self.z
    }

    /// `self` at 0, `o` at 1.
    #[inline(always)]
    pub fn lerp(self, o: Vec3, t: f32) -> Vec3 {
        self * (1.0 - t) + o * t
    }

    /// True when no component is infinite or NaN.
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite() && self.z.is_finite()
    }
}

impl Add for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn add(self, o: Vec3) -> Vec3 {
        vec3(self.x + o.x, self.y + o.y, self.z + o.z)
    }
}
impl AddAssign for Vec3 {
    #[inline(always)]
    fn add_assign(&mut self, o: Vec3) {
        *self = *self + o;
    }
}
impl Sub for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn sub(self, o: Vec3) -> Vec3 {
        vec3(self.x - o.x, self.y - o.y, self.z - o.z)
    }
}
impl Mul for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn mul(self, o: Vec3) -> Vec3 {
        vec3(self.x * o.x, self.y * o.y, self.z * o.z)
    }
}
impl Mul<f32> for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn mul(self, s: f32) -> Vec3 {
        vec3(self.x * s, self.y * s, self.z * s)
    }
}
impl MulAssign for Vec3 {
    #[inline(always)]
    fn mul_assign(&mut self, o: Vec3) {
        *self = *self * o;
    }
}
impl Neg for Vec3 {
    type Output = Vec3;
    #[inline(always)]
    fn neg(self) -> Vec3 {
        vec3(-self.x, -self.y, -self.z)
    }
}
impl Index<usize> for Vec3 {
    type Output = f32;
    #[inline(always)]
    fn index(&self, axis: usize) -> &f32 {
        match axis {
            0 => &self.x,
            1 => &self.y,
            _ => &self.z,
        }
    }
}

/// Two directions that make a right-handed orthonormal frame with the unit vector `n`
/// (Duff et al. 2017, branch on the sign).
#[inline(always)]
pub fn frame(n: Vec3) -> (Vec3, Vec3) {
    let sign = if n.z >= 0.0 { 1.0 } else { -1.0 };
    let a = -1.0 / (sign + n.z);
    let b = n.x * n.y * a;
    (vec3(1.0 + sign * n.x * n.x * a, sign * b, -sign * n.x), vec3(b, sign + n.y * n.y * a, -n.y))
}

/// Where on the unit disk the unit square's point lies (Shirley and Chiu's concentric map).
#[inline(always)]
pub fn concentric_disk(u: f32, v: f32) -> (f32, f32) {
    let a = 2.0 * u - 1.0;
    let b = 2.0 * v - 1.0;
    if a == 0.0 && b == 0.0 {
        return (0.0, 0.0);
    }
    let (r, phi) = if a.abs() > b.abs() {
        (a, 0.25 * PI * (b / a))
    } else {
        (b, 0.5 * PI - 0.25 * PI * (a / b))
    };
    (r * exact::cos(phi), r * exact::sin(phi))
}

/// An affine map: three rows of a 3x4 matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Images of the axes.
    pub columns: [Vec3; 3],
    /// Image of the origin.
    pub origin: Vec3,
}

impl Affine {
    /// The map that changes nothing.
    pub const IDENTITY: Affine = Affine {
        columns: [vec3(1.0, 0.0, 0.0), vec3(0.0, 1.0, 0.0), vec3(0.0, 0.0, 1.0)],
        origin: Vec3::ZERO,
    };

    /// Scale, then rotate by the unit quaternion `[x, y, z, w]`, then move.
    pub fn from_parts(translation: Vec3, rotation: [f32; 4], scale: Vec3) -> Affine {
        let [x, y, z, w] = rotation;
        let columns = [
            vec3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + z * w), 2.0 * (x * z - y * w))
                * scale.x,
            vec3(2.0 * (x * y - z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + x * w))
                * scale.y,
            vec3(2.0 * (x * z + y * w), 2.0 * (y * z - x * w), 1.0 - 2.0 * (x * x + y * y))
                * scale.z,
        ];
        Affine { columns, origin: translation }
    }

    /// The image of a point.
    #[inline(always)]
    pub fn point(&self, p: Vec3) -> Vec3 {
        self.vector(p) + self.origin
    }

    /// The image of a direction.
    #[inline(always)]
    pub fn vector(&self, v: Vec3) -> Vec3 {
        self.columns[0] * v.x + self.columns[1] * v.y + self.columns[2] * v.z
    }

    /// A normal of the source space, carried over by the transpose; call it on the inverse map.
    #[inline(always)]
    pub fn normal(&self, n: Vec3) -> Vec3 {
        vec3(self.columns[0].dot(n), self.columns[1].dot(n), self.columns[2].dot(n))
    }

    /// First `inner`, then `self`.
    pub fn after(&self, inner: &Affine) -> Affine {
        Affine {
            columns: [
                self.vector(inner.columns[0]),
                self.vector(inner.columns[1]),
                self.vector(inner.columns[2]),
            ],
            origin: self.point(inner.origin),
        }
    }

    /// The inverse map, or nothing when the matrix is singular or not finite.
    pub fn inverse(&self) -> Option<Affine> {
        let [a, b, c] = self.columns;
        let r0 = b.cross(c);
        let det = a.dot(r0);
        if !det.is_finite() || det.abs() < 1e-30 || !self.origin.is_finite() {
            return None;
        }
        let i = 1.0 / det;
        let (r0, r1, r2) = (r0 * i, c.cross(a) * i, a.cross(b) * i);
        let columns = [vec3(r0.x, r1.x, r2.x), vec3(r0.y, r1.y, r2.y), vec3(r0.z, r1.z, r2.z)];
        if !columns.iter().all(|c| c.is_finite()) {
            return None;
        }
        let linear = Affine { columns, origin: Vec3::ZERO };
        Some(Affine { columns, origin: -linear.vector(self.origin) })
    }
}

/// An axis-aligned box.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Lowest corner.
    pub low: Vec3,
    /// Highest corner.
    pub high: Vec3,
}

impl Bounds {
    /// The box that holds nothing.
    pub const EMPTY: Bounds = Bounds { low: Vec3::splat(1e30), high: Vec3::splat(-1e30) };

    /// The smallest box around this one and a point.
    #[inline(always)]
    pub fn with(self, p: Vec3) -> Bounds {
        Bounds { low: self.low.min(p), high: self.high.max(p) }
    }

    /// The smallest box around two.
    #[inline(always)]
    pub fn union(self, o: Bounds) -> Bounds {
        Bounds { low: self.low.min(o.low), high: self.high.max(o.high) }
    }

    /// Middle of the box.
    #[inline(always)]
    pub fn centre(self) -> Vec3 {
        (self.low + self.high) * 0.5
    }

    /// Half the surface area; zero for the empty box.
    #[inline(always)]
    pub fn half_area(self) -> f32 {
        let d = self.high - self.low;
        if d.x < 0.0 { 0.0 } else { d.x * d.y + d.y * d.z + d.z * d.x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_undoes_an_affine_map() {
        let s = libm::sinf(0.3);
        let c = libm::cosf(0.3);
        let a = Affine::from_parts(vec3(1.0, -2.0, 3.0), [s, 0.0, 0.0, c], vec3(2.0, 0.5, 1.5));
        let i = a.inverse().unwrap();
        let p = vec3(0.3, 0.7, -1.1);
        assert!((i.point(a.point(p)) - p).length() < 1e-5);
        assert!(Affine { columns: [Vec3::ZERO; 3], origin: Vec3::ZERO }.inverse().is_none());
    }

    #[test]
    fn frames_are_orthonormal_on_both_sides() {
        for n in
            [vec3(0.0, 0.0, 1.0), vec3(0.0, 0.0, -1.0), vec3(0.6, 0.0, -0.8), vec3(0.0, 1.0, 0.0)]
        {
            let (t, b) = frame(n);
            assert!(t.dot(n).abs() < 1e-6 && b.dot(n).abs() < 1e-6 && t.dot(b).abs() < 1e-6);
            assert!((t.cross(b) - n).length() < 1e-5);
        }
    }
}
