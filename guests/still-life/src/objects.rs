//! The things on the table, each around its own origin, in metres.

use crate::noise::{fractal, noise, smooth};
use crate::shape::{Shape, spline};
use path_tracer::math::{PI, clamp, max, min, sqrt, vec3};

/// A plank of the table along x, its upper face at height zero, edges eased.
pub fn plank(length: f32, width: f32, offset: [f32; 2]) -> Shape {
    let half = width * 0.5;
    let bevel = 0.0022;
    let outline = move |t: f32| -> [f32; 2] {
        // From the back edge over the top to the front edge: (z, y).
        let x = t * 10.0;
        if x < 1.0 {
            [-half, -0.03 + x * (0.03 - bevel)]
        } else if x < 3.0 {
            let a = (x - 1.0) * 0.25 * PI;
            [-half + bevel * (1.0 - libm::cosf(a)), -bevel + bevel * libm::sinf(a)]
        } else if x < 7.0 {
            [-half + bevel + (x - 3.0) * 0.25 * (width - 2.0 * bevel), 0.0]
        } else if x < 9.0 {
            let a = (x - 7.0) * 0.25 * PI;
            [half - bevel + bevel * libm::sinf(a), -bevel + bevel * libm::cosf(a)]
        } else {
            [half, -bevel - (x - 9.0) * (0.03 - bevel)]
        }
    };
    let mut s = Shape::grid(12, 24, |u, v| {
        let [z, y] = outline(clamp(v, 0.0, 1.0));
        let x = (1.0 - u - 0.5) * length;
        // Hand-planed: not quite flat.
        let wave = 0.00025 * noise(vec3(x * 9.0 + offset[0] * 50.0, z * 16.0, offset[1] * 40.0));
        vec3(x, y + wave, z)
    });
    for (uv, p) in s.coordinates.iter_mut().zip(&s.positions) {
        *uv = [(p.x + offset[0]) / 0.6, (p.z - p.y + offset[1]) / 0.3];
    }
    s
}

/// A thrown vase with a narrow neck.
pub fn vase() -> Shape {
    let outline = [
        [0.0, 0.004],
        [0.030, 0.003],
        [0.041, 0.000],
        [0.046, 0.004],
        [0.058, 0.030],
        [0.0725, 0.066],
        [0.0775, 0.100],
        [0.070, 0.132],
        [0.050, 0.157],
        [0.034, 0.172],
        [0.0285, 0.186],
        [0.031, 0.198],
        [0.0375, 0.2065],
        [0.0372, 0.2085],
        [0.0335, 0.2065],
        [0.0265, 0.197],
        [0.0245, 0.184],
        [0.029, 0.168],
        [0.03, 0.14],
        [0.0, 0.11],
    ];
    Shape::grid(72, 76, |u, v| {
        let [r, y] = spline(&outline, v);
        let a = 2.0 * PI * u;
        let rings = 0.00022
            * noise(vec3(libm::cosf(a) * 0.4, y * 190.0, libm::sinf(a) * 0.4))
            * smooth(0.0, 0.03, r);
        let wobble = 0.0006
            * noise(vec3(libm::cosf(a) * 1.2, y * 11.0, libm::sinf(a) * 1.2))
            * smooth(0.0, 0.03, r);
        let r = r + rings + wobble;
        vec3(r * libm::cosf(a), y, -r * libm::sinf(a))
    })
}

/// A beaten bowl on a foot ring.
pub fn bowl() -> Shape {
    Shape::lathe(
        80,
        52,
        &[
            [0.0, 0.007],
            [0.026, 0.006],
            [0.034, 0.0],
            [0.038, 0.000],
            [0.041, 0.006],
            [0.062, 0.0165],
            [0.081, 0.036],
            [0.0925, 0.061],
            [0.0975, 0.0745],
            [0.0970, 0.0765],
            [0.0945, 0.0755],
            [0.0895, 0.062],
            [0.078, 0.038],
            [0.058, 0.020],
            [0.03, 0.0115],
            [0.0, 0.010],
        ],
    )
}

/// Height of the heap of grain at this distance from the bowl's middle.
pub fn heap(r: f32) -> f32 {
    0.0655 + 0.027 * (1.0 - (r / 0.091) * (r / 0.091))
}

/// What lies under the uppermost kernels.
pub fn heap_bed() -> Shape {
    Shape::grid(48, 12, |u, v| {
        let r = 0.0895 * (1.0 - v);
        let a = 2.0 * PI * u;
        vec3(r * libm::cosf(a), heap(r) - 0.0042, -r * libm::sinf(a))
    })
}

/// How deep a point lies inside the ear of wheat on the coin, about in metres; negative outside.
fn relief(x: f32, z: f32) -> f32 {
    let x = x.abs();
    // Spikelets: slanted ellipses, in pairs, and one on top. z runs from the ear's foot (+) to its tip (-).
    let ellipse = |cx: f32, cz: f32, turn: f32, a: f32, b: f32| {
        let (s, c) = (libm::sinf(turn), libm::cosf(turn));
        let (dx, dz) = (x - cx, z - cz);
        let (p, q) = ((dx * c - dz * s) / a, (dx * s + dz * c) / b);
        (1.0 - sqrt(p * p + q * q)) * min(a, b)
    };
    let mut best = ellipse(0.0, -0.0128, 0.0, 0.0012, 0.0030);
    for k in 0..6 {
        let cz = -0.0098 + 0.00285 * k as f32;
        best = max(best, ellipse(0.0021, cz, -0.52, 0.0011, 0.0027));
    }
    let stem = 0.00045 - x;
    if z > -0.008 && z < 0.0148 {
        best = max(best, stem);
    }
    best = max(best, ellipse(0.0036, 0.0122, -0.95, 0.0009, 0.0038));
    best
}

/// A coin, 46 mm across, 3 mm thick, lying on the origin.
pub fn coin() -> Shape {
    let radius = 0.023;
    Shape::grid(132, 50, |u, v| {
        let a = 2.0 * PI * u;
        let (c, s) = (libm::cosf(a), libm::sinf(a));
        let v = clamp(v, 0.0, 1.0);
        let (r, y) = if v < 0.14 {
            (radius * 0.985 * v / 0.14, 0.0)
        } else if v < 0.18 {
            let t = (v - 0.14) / 0.04;
            (
                radius * (0.985 + 0.015 * libm::sinf(t * PI * 0.5)),
                0.0003 * (1.0 - libm::cosf(t * PI * 0.5)),
            )
        } else if v < 0.22 {
            (radius, 0.0003 + 0.0024 * (v - 0.18) / 0.04)
        } else if v < 0.26 {
            let t = (v - 0.22) / 0.04;
            (
                radius * (0.985 + 0.015 * libm::cosf(t * PI * 0.5)),
                0.0027 + 0.0003 * libm::sinf(t * PI * 0.5),
            )
        } else {
            let r = radius * 0.985 * (1.0 - (v - 0.26) / 0.74);
            let rim = smooth(0.900, 0.935, r / radius);
            let beads = {
                let k = a * 44.0 / (2.0 * PI);
                let along = (k - k.floor() - 0.5) * (2.0 * PI / 44.0) * r;
                let away = r - radius * 0.845;
                smooth(0.0012, 0.0004, sqrt(along * along + away * away))
            };
            let ear = smooth(-0.0001, 0.0007, relief(r * c, r * s));
            (r, 0.0022 + 0.00080 * rim + 0.00060 * beads * (1.0 - rim) + 0.00105 * ear)
        };
        vec3(r * c, y, -r * s)
    })
}

/// An apple.
pub fn apple() -> Shape {
    let outline = [
        [0.0, 0.0085],
        [0.006, 0.0050],
        [0.0145, 0.0008],
        [0.0250, 0.0075],
        [0.0345, 0.0240],
        [0.0383, 0.0420],
        [0.0345, 0.0585],
        [0.0240, 0.0660],
        [0.0120, 0.0645],
        [0.0040, 0.0570],
        [0.0, 0.0535],
    ];
    Shape::grid(64, 44, |u, v| {
        let [r, y] = spline(&outline, v);
        let a = 2.0 * PI * u;
        let lobes = 1.0
            + 0.030 * libm::cosf(5.0 * a + 0.4) * (0.35 + 0.65 * smooth(0.035, 0.0, y))
            + 0.012 * libm::cosf(2.0 * a + 1.0);
        let lean = 0.055 * libm::sinf(a) * y;
        let r = r * lobes;
        vec3(r * libm::cosf(a), y + lean * (r / 0.038), -r * libm::sinf(a))
    })
}

/// The apple's stalk.
pub fn stalk() -> Shape {
    Shape::tube(
        8,
        10,
        |t| vec3(0.006 * t * t, 0.052 + 0.024 * t, 0.003 * t),
        |t| {
            0.0011
                + 0.0011 * libm::powf(max(t, 0.0), 5.0)
                + 0.0006 * libm::powf(max(1.0 - t, 0.0), 4.0)
        },
    )
}

/// A tumbler of thick glass.
pub fn tumbler() -> Shape {
    Shape::lathe(
        56,
        52,
        &[
            [0.0, 0.0012],
            [0.018, 0.0010],
            [0.0260, 0.0],
            [0.0292, 0.0022],
            [0.0320, 0.022],
            [0.0345, 0.050],
            [0.0368, 0.078],
            [0.0382, 0.0975],
            [0.0376, 0.0990],
            [0.0366, 0.0978],
            [0.0352, 0.078],
            [0.0327, 0.050],
            [0.0300, 0.025],
            [0.0265, 0.0145],
            [0.0170, 0.0115],
            [0.0, 0.0108],
        ],
    )
}

/// A candle of beeswax, 58 mm thick, hollowed by its flame.
pub fn candle(height: f32) -> Shape {
    let h = height;
    let outline = [
        [0.0, 0.0],
        [0.020, 0.0],
        [0.0272, 0.0012],
        [0.0285, 0.006],
        [0.0287, h * 0.4],
        [0.0286, h * 0.75],
        [0.0285, h - 0.003],
        [0.0276, h],
        [0.0258, h - 0.0012],
        [0.0235, h - 0.0052],
        [0.014, h - 0.0082],
        [0.0, h - 0.0088],
    ];
    Shape::grid(48, 36, |u, v| {
        let [r, y] = spline(&outline, v);
        let a = 2.0 * PI * u;
        let (c, s) = (libm::cosf(a), libm::sinf(a));
        let soft = 0.0014 * fractal(vec3(c * 1.3, y * 9.0, s * 1.3), 3) * smooth(0.0, 0.02, r);
        let rim = 0.003
            * noise(vec3(c * 1.1, 5.0, s * 1.1))
            * smooth(h * 0.85, h, y)
            * smooth(0.015, 0.027, r);
        vec3((r + soft) * c, y + rim, -(r + soft) * s)
    })
}

/// The candle's wick.
pub fn wick() -> Shape {
    Shape::tube(6, 8, |t| vec3(0.0022 * t * t, 0.011 * t, 0.0), |_| 0.00075)
}

/// The candle's flame, 24 mm tall.
pub fn flame() -> Shape {
    Shape::lathe(
        20,
        20,
        &[
            [0.0, 0.0],
            [0.0028, 0.0022],
            [0.0044, 0.0068],
            [0.0038, 0.0125],
            [0.0019, 0.0190],
            [0.0, 0.0255],
        ],
    )
}

/// A saucer for the candle.
pub fn saucer() -> Shape {
    Shape::lathe(
        56,
        30,
        &[
            [0.0, 0.0022],
            [0.026, 0.0020],
            [0.030, 0.0],
            [0.033, 0.0008],
            [0.044, 0.0050],
            [0.0525, 0.0110],
            [0.0535, 0.0132],
            [0.0518, 0.0136],
            [0.0430, 0.0080],
            [0.034, 0.0046],
            [0.02, 0.0040],
            [0.0, 0.0040],
        ],
    )
}

/// A linen cloth; `flat` tells where things stand on it (1) or it may crease (0).
pub fn cloth(width: f32, depth: f32, flat: impl Fn(f32, f32) -> f32) -> Shape {
    let mut s = Shape::grid(84, 60, |u, v| {
        let (x, z) = ((u - 0.5) * width, (0.5 - v) * depth);
        let folds = fractal(vec3(x * 7.0 + 0.35 * z * 7.0, z * 3.2, 2.0), 2);
        let fine = fractal(vec3(x * 19.0, z * 16.0, 6.0), 3);
        let ridge = 1.0 - folds.abs() * 2.6;
        let high = 0.0075 * max(ridge, 0.0) * max(ridge, 0.0) + 0.0028 * fine + 0.0022;
        let keep = 1.0 - flat(x, z);
        let edge = 0.004 * noise(vec3(x * 6.0, z * 6.0, 1.0));
        vec3(x + edge * (v - 0.5) * 2.0, 0.0012 + max(high, 0.0) * keep, z + edge * (u - 0.5) * 2.0)
    });
    let stripe = |u: f32| {
        let band = |c: f32, w: f32| smooth(w + 0.004, w - 0.004, (u - c).abs());
        max(
            max(band(0.075, 0.022), band(0.125, 0.006)),
            max(band(0.925, 0.022), band(0.875, 0.006)),
        )
    };
    for (c, uv) in s.colours.iter_mut().zip(&s.coordinates) {
        let k = max(stripe(uv[0]), 0.0);
        *c = vec3(1.0, 0.98, 0.94).lerp(vec3(0.16, 0.26, 0.38), 0.85 * k);
    }
    s
}
