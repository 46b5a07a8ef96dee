//! Surfaces as grids of a function, and smooth curves to shape them with.

use path_tracer::math::{Affine, PI, Vec3, vec3};

/// Triangles with normals, texture coordinates and colours.
#[derive(Default)]
pub struct Shape {
    /// Where the vertices are.
    pub positions: Vec<Vec3>,
    /// Unit normals.
    pub normals: Vec<Vec3>,
    /// Texture coordinates.
    pub coordinates: Vec<[f32; 2]>,
    /// Linear colours.
    pub colours: Vec<Vec3>,
    /// Corners.
    pub triangles: Vec<[u32; 3]>,
}

impl Shape {
    /// The surface `f(u, v)`, both from 0 to 1, in `nu` by `nv` cells; its front is on the side of
    /// `df/du x df/dv`.
    pub fn grid(nu: u32, nv: u32, f: impl Fn(f32, f32) -> Vec3) -> Shape {
        let mut s = Shape::default();
        const E: f32 = 5e-4;
        for j in 0..=nv {
            for i in 0..=nu {
                let (u, v) = (i as f32 / nu as f32, j as f32 / nv as f32);
                s.positions.push(f(u, v));
                // At a pole the derivative along u vanishes: look a little beside it.
                let mut at = v;
                let mut du = f(u + E, at) - f(u - E, at);
                if du.length() < 1e-7 {
                    at = if v < 0.5 { v + 4.0 * E } else { v - 4.0 * E };
                    du = f(u + E, at) - f(u - E, at);
                }
                let low = path_tracer::math::max(at - E, 0.0);
                let high = path_tracer::math::min(at + E, 1.0);
                let dv = f(u, high) - f(u, low);
                s.normals.push(du.cross(dv).unit_or(vec3(0.0, 1.0, 0.0)));
                s.coordinates.push([u, v]);
                s.colours.push(Vec3::ONE);
            }
        }
        let at = |i: u32, j: u32| j * (nu + 1) + i;
        for j in 0..nv {
            for i in 0..nu {
                let (a, b, c, d) = (at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1));
                s.triangles.push([a, b, c]);
                s.triangles.push([a, c, d]);
            }
        }
        s.triangles.retain(|t| {
            let [a, b, c] = t.map(|i| s.positions[i as usize]);
            (b - a).cross(c - a).length() > 1e-14
        });
        s
    }

    /// A curve of (radius, height) turned around the vertical axis; from the bottom up along the outside.
    pub fn lathe(nu: u32, nv: u32, outline: &[[f32; 2]]) -> Shape {
        Shape::grid(nu, nv, |u, v| {
            let [r, y] = spline(outline, v);
            let a = 2.0 * PI * u;
            vec3(r * libm::cosf(a), y, -r * libm::sinf(a))
        })
    }

    /// A round tube along a path, `radius(t)` thick.
    pub fn tube(
        nu: u32,
        nv: u32,
        path: impl Fn(f32) -> Vec3,
        radius: impl Fn(f32) -> f32,
    ) -> Shape {
        Shape::grid(nu, nv, |u, v| {
            let v2 = path_tracer::math::clamp(v, 0.0, 1.0);
            let way = (path(v2 + 1e-3) - path(v2 - 1e-3)).unit_or(vec3(0.0, 1.0, 0.0));
            let side = way.cross(vec3(0.37, 0.11, 0.92)).unit_or(vec3(1.0, 0.0, 0.0));
            let other = way.cross(side);
            let a = 2.0 * PI * u;
            path(v2) + (side * libm::cosf(a) + other * libm::sinf(a)) * radius(v2)
        })
    }

    /// Colours every vertex by where it is.
    pub fn coloured(mut self, f: impl Fn(Vec3, [f32; 2]) -> Vec3) -> Shape {
        for ((c, p), uv) in self.colours.iter_mut().zip(&self.positions).zip(&self.coordinates) {
            *c = f(*p, *uv);
        }
        self
    }

    /// Adds a moved copy of another shape.
    pub fn append(&mut self, other: &Shape, placed: &Affine) {
        let base = self.positions.len() as u32;
        let inverse = placed.inverse().unwrap_or(Affine::IDENTITY);
        self.positions.extend(other.positions.iter().map(|p| placed.point(*p)));
        self.normals.extend(other.normals.iter().map(|n| inverse.normal(*n).unit_or(*n)));
        self.coordinates.extend(&other.coordinates);
        self.colours.extend(&other.colours);
        self.triangles.extend(other.triangles.iter().map(|t| t.map(|i| i + base)));
    }
}

/// A smooth curve through points at even steps (Catmull and Rom); `t` from 0 to 1.
pub fn spline(points: &[[f32; 2]], t: f32) -> [f32; 2] {
    let last = points.len() - 1;
    let x = path_tracer::math::clamp(t, 0.0, 1.0) * last as f32;
    let i = (x as usize).min(last - 1);
    let f = x - i as f32;
    let p = |k: isize| points[(i as isize + k).clamp(0, last as isize) as usize];
    let (a, b, c, d) = (p(-1), p(0), p(1), p(2));
    let mut out = [0.0; 2];
    for k in 0..2 {
        out[k] = 0.5
            * (2.0 * b[k]
                + (c[k] - a[k]) * f
                + (2.0 * a[k] - 5.0 * b[k] + 4.0 * c[k] - d[k]) * f * f
                + (3.0 * b[k] - a[k] - 3.0 * c[k] + d[k]) * f * f * f);
    }
    out
}

/// The rotation that carries +y to `to`, after turning by `spin` around y, as a quaternion.
pub fn aim(to: Vec3, spin: f32) -> [f32; 4] {
    let to = to.unit_or(vec3(0.0, 1.0, 0.0));
    let half = vec3(to.x, to.y + 1.0, to.z);
    let (x, z, w) = if half.length() < 1e-4 {
        (1.0, 0.0, 0.0)
    } else {
        let h = half.unit_or(vec3(0.0, 1.0, 0.0));
        // y cross h, and y dot h
        (h.z, -h.x, h.y)
    };
    let (sy, sw) = (libm::sinf(0.5 * spin), libm::cosf(0.5 * spin));
    // (x, 0, z, w) * (0, sy, 0, sw)
    [x * sw - z * sy, w * sy, z * sw + x * sy, w * sw]
}
