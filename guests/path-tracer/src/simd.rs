//! Four floats at a time: SSE2, WebAssembly SIMD or plain arrays, the same bits from all three.
//!
//! Only operations with one right answer are offered. `min` and `max` are defined by a comparison
//! (the second operand on a tie or NaN), as `minps` and `pmin` define them.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod lanes {
    use std::arch::x86_64::*;
    pub type Raw = __m128;
    // SAFETY of every block here: SSE2 belongs to the x86_64 baseline, and none of these touches memory.
    #[inline(always)]
    pub fn splat(v: f32) -> Raw {
        unsafe { _mm_set1_ps(v) }
    }
    #[inline(always)]
    pub fn new(v: [f32; 4]) -> Raw {
        unsafe { _mm_setr_ps(v[0], v[1], v[2], v[3]) }
    }
    #[inline(always)]
    pub fn array(v: Raw) -> [f32; 4] {
        // SAFETY: both are 16 bytes of plain floats.
        unsafe { std::mem::transmute(v) }
    }
    #[inline(always)]
    pub fn add(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_add_ps(a, b) }
    }
    #[inline(always)]
    pub fn sub(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_sub_ps(a, b) }
    }
    #[inline(always)]
    pub fn mul(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_mul_ps(a, b) }
    }
    #[inline(always)]
    pub fn div(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_div_ps(a, b) }
    }
    #[inline(always)]
    pub fn min(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_min_ps(a, b) }
    }
    #[inline(always)]
    pub fn max(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_max_ps(a, b) }
    }
    #[inline(always)]
    pub fn le(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_cmple_ps(a, b) }
    }
    #[inline(always)]
    pub fn lt(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_cmplt_ps(a, b) }
    }
    #[inline(always)]
    pub fn and(a: Raw, b: Raw) -> Raw {
        unsafe { _mm_and_ps(a, b) }
    }
    #[inline(always)]
    pub fn bits(a: Raw) -> u32 {
        unsafe { _mm_movemask_ps(a) as u32 }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use std::arch::wasm32::*;
    pub type Raw = v128;
    #[inline(always)]
    pub fn splat(v: f32) -> Raw {
        f32x4_splat(v)
    }
    #[inline(always)]
    pub fn new(v: [f32; 4]) -> Raw {
        f32x4(v[0], v[1], v[2], v[3])
    }
    #[inline(always)]
    pub fn array(v: Raw) -> [f32; 4] {
        // SAFETY: both are 16 bytes of plain floats.
        unsafe { std::mem::transmute(v) }
    }
    #[inline(always)]
    pub fn add(a: Raw, b: Raw) -> Raw {
        f32x4_add(a, b)
    }
    #[inline(always)]
    pub fn sub(a: Raw, b: Raw) -> Raw {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    pub fn mul(a: Raw, b: Raw) -> Raw {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    pub fn div(a: Raw, b: Raw) -> Raw {
        f32x4_div(a, b)
    }
    #[inline(always)]
    pub fn min(a: Raw, b: Raw) -> Raw {
        f32x4_pmin(b, a)
    }
    #[inline(always)]
    pub fn max(a: Raw, b: Raw) -> Raw {
        f32x4_pmax(b, a)
    }
    #[inline(always)]
    pub fn le(a: Raw, b: Raw) -> Raw {
        f32x4_le(a, b)
    }
    #[inline(always)]
    pub fn lt(a: Raw, b: Raw) -> Raw {
        f32x4_lt(a, b)
    }
    #[inline(always)]
    pub fn and(a: Raw, b: Raw) -> Raw {
        v128_and(a, b)
    }
    #[inline(always)]
    pub fn bits(a: Raw) -> u32 {
        i32x4_bitmask(a) as u32
    }
}

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
mod lanes {
    #[derive(Clone, Copy)]
    #[repr(align(16))]
    pub struct Raw([f32; 4]);
    fn zip(a: Raw, b: Raw, f: impl Fn(f32, f32) -> f32) -> Raw {
        Raw([f(a.0[0], b.0[0]), f(a.0[1], b.0[1]), f(a.0[2], b.0[2]), f(a.0[3], b.0[3])])
    }
    fn mask(b: bool) -> f32 {
        f32::from_bits(if b { u32::MAX } else { 0 })
    }
    pub fn splat(v: f32) -> Raw {
        Raw([v; 4])
    }
    pub fn new(v: [f32; 4]) -> Raw {
        Raw(v)
    }
    pub fn array(v: Raw) -> [f32; 4] {
        v.0
    }
    pub fn add(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| a + b)
    }
    pub fn sub(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| a - b)
    }
    pub fn mul(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| a * b)
    }
    pub fn div(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| a / b)
    }
    pub fn min(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    pub fn max(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    pub fn le(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| mask(a <= b))
    }
    pub fn lt(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| mask(a < b))
    }
    pub fn and(a: Raw, b: Raw) -> Raw {
        zip(a, b, |a, b| f32::from_bits(a.to_bits() & b.to_bits()))
    }
    pub fn bits(a: Raw) -> u32 {
        (0..4).fold(0, |m, i| m | ((a.0[i].to_bits() >> 31) << i))
    }
}

/// Four floats.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F4(lanes::Raw);

impl F4 {
    /// The same number in every lane.
    #[inline(always)]
    pub fn splat(v: f32) -> F4 {
        F4(lanes::splat(v))
    }
    /// One number per lane.
    #[inline(always)]
    pub fn new(v: [f32; 4]) -> F4 {
        F4(lanes::new(v))
    }
    /// The lanes.
    #[inline(always)]
    pub fn array(self) -> [f32; 4] {
        lanes::array(self.0)
    }
    /// Lane-wise smaller; `o` on a tie or NaN.
    #[inline(always)]
    pub fn min(self, o: F4) -> F4 {
        F4(lanes::min(self.0, o.0))
    }
    /// Lane-wise larger; `o` on a tie or NaN.
    #[inline(always)]
    pub fn max(self, o: F4) -> F4 {
        F4(lanes::max(self.0, o.0))
    }
    /// All ones in each lane where `self <= o`.
    #[inline(always)]
    pub fn le(self, o: F4) -> F4 {
        F4(lanes::le(self.0, o.0))
    }
    /// All ones in each lane where `self < o`.
    #[inline(always)]
    pub fn lt(self, o: F4) -> F4 {
        F4(lanes::lt(self.0, o.0))
    }
    /// Both masks.
    #[inline(always)]
    pub fn and(self, o: F4) -> F4 {
        F4(lanes::and(self.0, o.0))
    }
    /// One bit per lane: its sign.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        lanes::bits(self.0)
    }
}

impl std::ops::Add for F4 {
    type Output = F4;
    #[inline(always)]
    fn add(self, o: F4) -> F4 {
        F4(lanes::add(self.0, o.0))
    }
}
impl std::ops::Sub for F4 {
    type Output = F4;
    #[inline(always)]
    fn sub(self, o: F4) -> F4 {
        F4(lanes::sub(self.0, o.0))
    }
}
impl std::ops::Mul for F4 {
    type Output = F4;
    #[inline(always)]
    fn mul(self, o: F4) -> F4 {
        F4(lanes::mul(self.0, o.0))
    }
}
impl std::ops::Div for F4 {
    type Output = F4;
    #[inline(always)]
    fn div(self, o: F4) -> F4 {
        F4(lanes::div(self.0, o.0))
    }
}

/// Three coordinates of four points.
#[derive(Clone, Copy)]
pub struct Vec3x4 {
    /// First coordinates.
    pub x: F4,
    /// Second coordinates.
    pub y: F4,
    /// Third coordinates.
    pub z: F4,
}

impl Vec3x4 {
    /// The same point four times.
    #[inline(always)]
    pub fn splat(v: crate::math::Vec3) -> Vec3x4 {
        Vec3x4 { x: F4::splat(v.x), y: F4::splat(v.y), z: F4::splat(v.z) }
    }
    /// From four points.
    pub fn new(v: [crate::math::Vec3; 4]) -> Vec3x4 {
        Vec3x4 {
            x: F4::new(v.map(|p| p.x)),
            y: F4::new(v.map(|p| p.y)),
            z: F4::new(v.map(|p| p.z)),
        }
    }
    /// Inner products, left to right.
    #[inline(always)]
    pub fn dot(self, o: Vec3x4) -> F4 {
        self.x * o.x + self.y * o.y + self.z * o.z
    }
    /// Cross products.
    #[inline(always)]
    pub fn cross(self, o: Vec3x4) -> Vec3x4 {
        Vec3x4 {
            x: self.y * o.z - self.z * o.y,
            y: self.z * o.x - self.x * o.z,
            z: self.x * o.y - self.y * o.x,
        }
    }
    /// Lane-wise difference.
    #[inline(always)]
    pub fn minus(self, o: Vec3x4) -> Vec3x4 {
        Vec3x4 { x: self.x - o.x, y: self.y - o.y, z: self.z - o.z }
    }
    /// Point of one lane.
    pub fn lane(self, i: usize) -> crate::math::Vec3 {
        crate::math::vec3(self.x.array()[i], self.y.array()[i], self.z.array()[i])
    }
}
