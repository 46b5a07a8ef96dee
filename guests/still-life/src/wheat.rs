//! Wheat: kernels, ears with awns, straw, leaves.

use crate::noise::Stream;
use crate::shape::{Shape, aim};
use path_tracer::math::{Affine, PI, Vec3, clamp, max, sqrt, vec3};

/// A kernel, 6.6 mm long, lying along x with the crease below.
pub fn kernel() -> Shape {
    Shape::grid(14, 10, |u, v| {
        let a = 2.0 * PI * u;
        let t = clamp(v, 0.0, 1.0);
        let along = -libm::cosf(PI * t);
        // Blunt at the brush, pointed at the germ.
        let round = libm::powf(max(libm::sinf(PI * t), 0.0), 0.72 + 0.12 * along);
        let (c, s) = (libm::cosf(a), libm::sinf(a));
        let down = max(-s, 0.0);
        let crease = 1.0 - 0.42 * libm::powf(down, 14.0);
        vec3(along * 3.3e-3, s * 1.45e-3 * round * crease + 1e-4, -c * 1.65e-3 * round)
    })
    .coloured(|p, uv| {
        let tip = libm::powf((p.x * (1.0 / 3.3e-3)).abs(), 6.0);
        let a = 2.0 * PI * uv[0];
        let crease = libm::powf(max(-libm::sinf(a), 0.0), 10.0);
        vec3(1.0, 0.97, 0.93) * (1.0 - 0.35 * crease) * (1.0 - 0.28 * tip)
    })
}

/// A husk with its grain inside: 11 mm, pointing up y, its back towards z.
fn husk() -> Shape {
    Shape::grid(6, 6, |u, v| {
        let a = 2.0 * PI * u;
        let t = clamp(v, 0.0, 1.0);
        let w = libm::powf(max(libm::sinf(PI * libm::powf(t, 0.72)), 0.0), 0.85);
        let keel = 1.0 + 0.18 * libm::powf(max(libm::sinf(a), 0.0), 3.0);
        vec3(
            libm::cosf(a) * 1.9e-3 * w,
            t * 11.5e-3,
            -libm::sinf(a) * 1.7e-3 * w * keel - 0.9e-3 * libm::sinf(PI * t),
        )
    })
    .coloured(|_, uv| {
        vec3(1.0, 0.93, 0.80).lerp(vec3(0.74, 0.62, 0.42), libm::powf(1.0 - uv[1], 3.0))
    })
}

/// A bristle, bent outwards, from the origin up.
fn awn(length: f32, bend: f32, twist: f32) -> Shape {
    Shape::tube(
        3,
        5,
        |t| {
            vec3(
                bend * length * t * t + 0.004 * libm::sinf(t * 4.0 + twist),
                length * t,
                0.003 * libm::cosf(t * 5.0 + twist),
            )
        },
        |t| 2.6e-4 * (1.0 - t) + 5e-5,
    )
    .coloured(|_, uv| vec3(1.0, 0.95, 0.82).lerp(vec3(0.86, 0.70, 0.44), uv[1]))
}

/// An ear, from the origin up y, nodding towards +x. `length` counts spikelets.
pub fn ear(seed: u32, length: u32, nod: f32) -> Shape {
    let mut random = Stream::new(seed);
    let husk = husk();
    let mut out = Shape::default();
    let tall = length as f32 * 4.3e-3;
    let spine = |t: f32| vec3(nod * tall * t * t, tall * t * (1.0 - 0.18 * nod * nod * t), 0.0);
    out.append(&Shape::tube(5, 8, spine, |t| 1.1e-3 * (1.0 - 0.6 * t)), &Affine::IDENTITY);
    for i in 0..length {
        let t = (i as f32 + 0.5) / length as f32;
        let way = (spine(t + 0.02) - spine(t - 0.02)).unit_or(vec3(0.0, 1.0, 0.0));
        let side = if i % 2 == 0 { 1.0 } else { -1.0 };
        let flat = vec3(0.0, 0.0, side);
        let across = way.cross(flat);
        let size = (0.62 + 0.46 * sqrt(max(libm::sinf(PI * (0.12 + 0.80 * t)), 0.0)))
            * random.range(0.94, 1.05);
        let last = i + 1 == length;
        for f in -1..=1 {
            let lean = f as f32;
            let out_by = if last { 0.05 } else { 0.36 - 0.10 * lean.abs() };
            let direction = (way
                + flat * (out_by + random.range(-0.04, 0.04))
                + across * (0.34 * lean + random.range(-0.05, 0.05)))
            .unit_or(way);
            let spin = if side > 0.0 { PI } else { 0.0 } + 0.9 * lean * side;
            let at = spine(t) + flat * 0.9e-3 + across * (1.0e-3 * lean);
            let placed = Affine::from_parts(at, aim(direction, spin), Vec3::splat(size));
            out.append(&husk, &placed);
            if f != 0 || last {
                let length = random.range(0.055, 0.085) * (0.7 + 0.45 * t);
                let tip = at + direction * (10.5e-3 * size);
                let aimed = (direction * 0.55
                    + way * 0.6
                    + vec3(random.range(-0.1, 0.1), 0.0, random.range(-0.1, 0.1)))
                .unit_or(way);
                let bristle = awn(length, random.range(0.0, 0.13), random.range(0.0, 6.0));
                out.append(
                    &bristle,
                    &Affine::from_parts(
                        tip,
                        aim(aimed, random.range(0.0, std::f32::consts::TAU)),
                        Vec3::ONE,
                    ),
                );
            }
        }
    }
    out
}

/// A point on a curve of three control points.
pub fn bow(a: Vec3, b: Vec3, c: Vec3, t: f32) -> Vec3 {
    let s = 1.0 - t;
    a * (s * s) + b * (2.0 * s * t) + c * (t * t)
}

/// A straw along a curve.
pub fn straw(a: Vec3, b: Vec3, c: Vec3, thick: f32) -> Shape {
    Shape::tube(5, 11, |t| bow(a, b, c, t), |t| thick * (1.0 - 0.35 * t)).coloured(|p, uv| {
        let joint = libm::powf(max(libm::cosf((uv[1] - 0.42) * 9.0), 0.0), 60.0);
        vec3(1.0, 0.94, 0.76) * (0.92 + 0.08 * libm::sinf(p.y * 300.0)) * (1.0 - 0.35 * joint)
    })
}

/// A dry leaf along a curve: a bent ribbon of `width`.
pub fn leaf(a: Vec3, b: Vec3, c: Vec3, width: f32, twist: f32) -> Shape {
    Shape::grid(6, 22, |u, v| {
        let t = clamp(v, 0.0, 1.0);
        let way = (bow(a, b, c, t + 0.01) - bow(a, b, c, t - 0.01)).unit_or(vec3(0.0, 1.0, 0.0));
        let side = way
            .cross(vec3(libm::sinf(twist * t), 0.25, libm::cosf(twist * t)))
            .unit_or(vec3(1.0, 0.0, 0.0));
        let up = side.cross(way);
        let x = 2.0 * u - 1.0;
        let w =
            width * libm::powf(max(1.0 - t, 0.0), 0.6) * (0.45 + 0.55 * clamp(t * 6.0, 0.0, 1.0));
        let ripple = 0.12 * width * libm::sinf(t * 23.0 + twist) * x;
        bow(a, b, c, t) + side * (x * w) + up * (0.35 * w * x * x + ripple)
    })
    .coloured(|_, uv| {
        let vein = 0.9 + 0.1 * libm::cosf(uv[0] * 40.0);
        vec3(0.98, 0.90, 0.66).lerp(vec3(0.72, 0.52, 0.27), uv[1] * uv[1]) * vein
    })
}
