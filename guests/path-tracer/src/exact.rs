//! Transcendental functions of single precision, made of `+ - * /`, square root, floor and bits alone, in
//! one fixed order. `crates/worker/src/gpu/exact.wgsl` holds the same functions line by line, so a GPU whose
//! basic operations are right gives the same bits; a test there compares the two.
//!
//! Polynomials and splittings are those of Cephes (Moshier): two units in the last place, `acos` four, `pow` six. All
//! functions are total: what lies outside a domain has a stated result, and none is NaN for finite arguments.

/// A quarter of a turn in three parts; the products of the first two with small whole numbers are exact.
const HALF_PI: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];
/// From here on an angle has lost its digits.
const LARGEST_ANGLE: f32 = 100_000.0;

/// Two to the power `n`, -126 to 127.
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// `x` times two to the power `n`, -252 to 254, rounded once.
fn scaled(x: f32, n: i32) -> f32 {
    let half = n >> 1;
    x * power_of_two(half) * power_of_two(n - half)
}

/// Quadrant of an angle, and what is left of it, at most a quarter of pi.
fn quadrant(x: f32) -> (i32, f32) {
    let n = (x * 0.636_619_8 + 0.5).floor();
    let rest = ((x - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2];
    (n as i32, rest)
}

fn small_sin(x: f32) -> f32 {
    let z = x * x;
    ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * x + x
}

fn small_cos(x: f32) -> f32 {
    let z = x * x;
    ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0
}

/// Sine; 0 for angles from 100,000 on.
pub fn sin(x: f32) -> f32 {
    if !(x.abs() < LARGEST_ANGLE) {
        return 0.0;
    }
    let (q, rest) = quadrant(x);
    let v = if q & 1 == 0 { small_sin(rest) } else { small_cos(rest) };
    if q & 2 == 0 { v } else { -v }
}

/// Cosine; 1 for angles from 100,000 on.
pub fn cos(x: f32) -> f32 {
    if !(x.abs() < LARGEST_ANGLE) {
        return 1.0;
    }
    let (q, rest) = quadrant(x);
    let v = if q & 1 == 0 { small_cos(rest) } else { small_sin(rest) };
    if (q + 1) & 2 == 0 { v } else { -v }
}

/// Two to the power `x`; infinite from 128 on, 0 below -150.
pub fn exp2(x: f32) -> f32 {
    if !(x < 128.0) {
        return f32::INFINITY;
    }
    if x < -150.0 {
        return 0.0;
    }
    let n = (x + 0.5).floor();
    let f = x - n;
    let p = ((((1.535_336_2e-4 * f + 1.339_887_4e-3) * f + 9.618_437e-3) * f + 5.550_332_6e-2) * f
        + 2.402_264_7e-1)
        * f
        + 6.931_472e-1;
    scaled(p * f + 1.0, n as i32)
}

/// `e` to the power `x`; infinite from 88.8 on, 0 below -104.
pub fn exp(x: f32) -> f32 {
    if !(x < 88.8) {
        return f32::INFINITY;
    }
    if x < -104.0 {
        return 0.0;
    }
    let n = (x * 1.442_695 + 0.5).floor();
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = ((((1.987_569_1e-4 * r + 1.398_2e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r
        + 1.666_666_5e-1)
        * r
        + 5e-1;
    scaled(p * (r * r) + r + 1.0, n as i32)
}

/// Exponent and mantissa near 1 of a number above zero: the mantissa less 1, and what is missing to its
/// logarithm.
fn logarithm(x: f32) -> (f32, f32, f32) {
    let tiny = x < 1.175_494_4e-38;
    let bits = (if tiny { x * 8_388_608.0 } else { x }).to_bits();
    let mut e = (bits >> 23) as i32 - if tiny { 150 } else { 127 };
    let mut m = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    if m > 1.414_213_5 {
        m *= 0.5;
        e += 1;
    }
    let f = m - 1.0;
    let z = f * f;
    let p = (((((((7.037_684e-2 * f - 1.151_461e-1) * f + 1.167_699_9e-1) * f - 1.242_014_1e-1)
        * f
        + 1.424_932_3e-1)
        * f
        - 1.666_805_8e-1)
        * f
        + 2.000_071_4e-1)
        * f
        - 2.499_999_4e-1)
        * f
        + 3.333_333_1e-1;
    (e as f32, f, f * z * p - 0.5 * z)
}

/// Logarithm to the base two of a finite number; -infinity for what is not above zero.
pub fn log2(x: f32) -> f32 {
    if !(x > 0.0) {
        return f32::NEG_INFINITY;
    }
    let (e, f, y) = logarithm(x);
    (y * 0.442_695_05 + f * 0.442_695_05) + y + f + e
}

/// Natural logarithm of a finite number; -infinity for what is not above zero.
pub fn log(x: f32) -> f32 {
    if !(x > 0.0) {
        return f32::NEG_INFINITY;
    }
    let (e, f, y) = logarithm(x);
    (y + e * -2.121_944_4e-4 + f) + e * 0.693_359_4
}

/// `x` to the power `y` for `x` of at least zero.
pub fn pow(x: f32, y: f32) -> f32 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if !(x > 0.0) {
        return if y < 0.0 { f32::INFINITY } else { 0.0 };
    }
    exp2(y * log2(x))
}

/// Arc tangent of a number of at least zero.
fn arc_tangent(x: f32) -> f32 {
    let (base, t) = if x > 2.414_213_7 {
        (1.570_796_4, -1.0 / x)
    } else if x > 0.414_213_57 {
        (0.785_398_2, (x - 1.0) / (x + 1.0))
    } else {
        (0.0, x)
    };
    let z = t * t;
    let p = ((8.053_745e-2 * z - 1.387_768_6e-1) * z + 1.997_771_1e-1) * z - 3.333_295e-1;
    base + (p * z * t + t)
}

/// Angle of the point (`x`, `y`), -pi to pi; 0 for the origin.
pub fn atan2(y: f32, x: f32) -> f32 {
    if x == 0.0 && y == 0.0 {
        return 0.0;
    }
    let (ax, ay) = (x.abs(), y.abs());
    let mut a = if ax > 0.0 { arc_tangent(ay / ax) } else { 1.570_796_4 };
    if x < 0.0 {
        a = 3.141_592_7 - a;
    }
    if y < 0.0 { -a } else { a }
}

/// Arc cosine; its argument is cut to -1..1.
pub fn acos(x: f32) -> f32 {
    if !(x < 1.0) {
        return 0.0;
    }
    if x < -1.0 {
        return 3.141_592_7;
    }
    atan2(((1.0 - x) * (1.0 + x)).sqrt(), x)
}
