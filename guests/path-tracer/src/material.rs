//! How surfaces scatter light: glTF metallic-roughness, with glass and translucent sheets.
//!
//! Opaque surfaces are a Lambert lobe under a GGX lobe (visible-normal sampling, Heitz 2018; energy lost to
//! multiple scattering is given back by an analytic albedo). All directions are in the shading
//! frame: z along the normal, `out` towards the eye.

use crate::math::{INV_PI, PI, Vec3, clamp, max, min, sqrt, vec3};
use crate::texture::Texture;

/// What a glTF material says, before textures are looked up.
#[derive(Clone, Debug)]
pub struct Material {
    /// Linear colour factor and opacity.
    pub base: [f32; 4],
    /// Colour texture.
    pub base_texture: Option<Texture>,
    /// Metalness factor.
    pub metallic: f32,
    /// Roughness factor.
    pub roughness: f32,
    /// Roughness in green, metalness in blue.
    pub roughness_texture: Option<Texture>,
    /// Tangent-space normals and their strength.
    pub normal_texture: Option<(Texture, f32)>,
    /// Light given off.
    pub emission: Vec3,
    /// Factor on it.
    pub emission_texture: Option<Texture>,
    /// How opacity is used.
    pub opacity: Opacity,
    /// Share of the non-specular light that passes through as through glass.
    pub transmission: f32,
    /// Index of refraction.
    pub ior: f32,
    /// Share of the diffuse light that leaves on the other side (leaves, paper).
    pub translucency: f32,
    /// Colour of that light.
    pub translucency_colour: Vec3,
    /// Strength of a clear varnish on top.
    pub clearcoat: f32,
    /// Roughness of the varnish.
    pub clearcoat_roughness: f32,
}

/// How a material's opacity is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Opacity {
    /// Ignored.
    Opaque,
    /// Below this value there is nothing.
    Mask(f32),
    /// The share of light that is stopped.
    Blend,
}

impl Default for Material {
    fn default() -> Self {
        Material {
            base: [1.0; 4],
            base_texture: None,
            metallic: 1.0,
            roughness: 1.0,
            roughness_texture: None,
            normal_texture: None,
            emission: Vec3::ZERO,
            emission_texture: None,
            opacity: Opacity::Opaque,
            transmission: 0.0,
            ior: 1.5,
            translucency: 0.0,
            translucency_colour: Vec3::ONE,
            clearcoat: 0.0,
            clearcoat_roughness: 0.0,
        }
    }
}

impl Material {
    /// True when part of the light passes without being bent, so that shadow rays must look closer.
    pub fn filters(&self) -> bool {
        self.opacity != Opacity::Opaque || self.transmission > 0.0
    }
}

/// A surface point ready to scatter: textures looked up, derived numbers computed.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    diffuse: Vec3,
    translucent: Vec3,
    /// Reflectance at normal incidence.
    f0: Vec3,
    alpha: f32,
    coat: f32,
    coat_alpha: f32,
    /// Share of light that the glass lobe takes.
    pub glass: f32,
    /// Colour of glass.
    pub tint: Vec3,
    /// Index of refraction.
    pub ior: f32,
    /// Probability of the specular lobe and of the coat.
    choose_specular: f32,
    choose_coat: f32,
    /// Factor that returns multiply scattered light.
    boost: Vec3,
}

/// A scattered direction.
#[derive(Clone, Copy, Debug)]
pub struct Scatter {
    /// Where to, in the shading frame.
    pub direction: Vec3,
    /// Factor on the path's weight: reflectance times cosine over density.
    pub weight: Vec3,
    /// Probability density per solid angle; zero for mirror-like lobes that light sampling cannot find.
    pub density: f32,
}

/// Looked-up values of one surface point.
pub struct Looked {
    /// Linear colour.
    pub base: Vec3,
    /// 0 to 1.
    pub metallic: f32,
    /// 0 to 1.
    pub roughness: f32,
}

fn fresnel(f0: Vec3, cos: f32) -> Vec3 {
    let m = 1.0 - clamp(cos, 0.0, 1.0);
    let m2 = m * m;
    f0 + (Vec3::ONE - f0) * (m2 * m2 * m)
}

/// Scale and offset on the reflectance at normal incidence that give the albedo of a GGX lobe seen under this cosine
/// (the rational fit of MaterialX to simulated data).
fn albedo_fit(alpha: f32, cos: f32) -> (f32, f32) {
    let (x, y) = (cos, alpha);
    let (xy, x2, y2) = (x * y, x * x, y * y);
    let terms = [1.0, x, y, xy, x2, y2, x2 * y, x * y2, x2 * y2];
    const UPPER_SCALE: [f32; 9] =
        [0.1003, -0.6303, 9.748, -2.038, 29.34, -8.245, -26.44, 19.99, -5.448];
    const UPPER_OFFSET: [f32; 9] =
        [0.9345, -2.323, 2.229, -3.748, 1.424, -0.7684, 1.436, 0.2913, 0.6286];
    const LOWER_SCALE: [f32; 9] = [1.0, -1.765, 8.263, 11.53, 28.96, -7.507, -36.11, 15.86, 33.37];
    const LOWER_OFFSET: [f32; 9] = [1.0, 0.2281, 15.94, -55.83, 13.08, 41.26, 54.9, 300.2, -285.1];
    let sum = |factors: &[f32; 9]| terms.iter().zip(factors).fold(0.0, |s, (t, f)| s + t * f);
    (
        clamp(sum(&UPPER_SCALE) / sum(&LOWER_SCALE), 0.0, 1.0),
        clamp(sum(&UPPER_OFFSET) / sum(&LOWER_OFFSET), 0.0, 1.0),
    )
}

fn ggx_d(alpha: f32, cos: f32) -> f32 {
    let a2 = alpha * alpha;
    let k = cos * cos * (a2 - 1.0) + 1.0;
    a2 / (PI * k * k)
}

/// Smith's lambda for a direction with this cosine.
fn lambda(alpha: f32, cos: f32) -> f32 {
    let c2 = cos * cos;
    let tan2 = max(1.0 - c2, 0.0) / max(c2, 1e-12);
    0.5 * (sqrt(1.0 + alpha * alpha * tan2) - 1.0)
}

/// A normal of the GGX distribution visible from `out` (Heitz 2018).
fn visible_normal(alpha: f32, out: Vec3, u: f32, v: f32) -> Vec3 {
    let vh = vec3(alpha * out.x, alpha * out.y, out.z).unit_or(vec3(0.0, 0.0, 1.0));
    let len2 = vh.x * vh.x + vh.y * vh.y;
    let t1 = if len2 > 1e-12 {
        vec3(-vh.y, vh.x, 0.0) * (1.0 / sqrt(len2))
    } else {
        vec3(1.0, 0.0, 0.0)
    };
    let t2 = vh.cross(t1);
    let (p1, p2) = crate::math::concentric_disk(u, v);
    let s = 0.5 * (1.0 + vh.z);
    let p2 = (1.0 - s) * sqrt(1.0 - p1 * p1) + s * p2;
    let n = t1 * p1 + t2 * p2 + vh * sqrt(1.0 - p1 * p1 - p2 * p2);
    vec3(alpha * n.x, alpha * n.y, max(n.z, 1e-6)).unit_or(vec3(0.0, 0.0, 1.0))
}

/// Reflectance of a boundary between dielectrics; 1 under total reflection.
fn dielectric(cos_in: f32, eta: f32) -> f32 {
    let sin2 = eta * eta * (1.0 - cos_in * cos_in);
    if sin2 >= 1.0 {
        return 1.0;
    }
    let cos_t = sqrt(1.0 - sin2);
    let rs = (eta * cos_in - cos_t) / (eta * cos_in + cos_t);
    let rp = (cos_in - eta * cos_t) / (cos_in + eta * cos_t);
    0.5 * (rs * rs + rp * rp)
}

impl Surface {
    /// Prepares the point of a material seen from `cos_out` (cosine to the normal).
    pub fn new(m: &Material, looked: &Looked, cos_out: f32) -> Surface {
        let roughness = clamp(looked.roughness, 0.0, 1.0);
        let metallic = clamp(looked.metallic, 0.0, 1.0);
        let alpha = max(roughness * roughness, 0.002);
        let r = (m.ior - 1.0) / (m.ior + 1.0);
        let f0 = Vec3::splat(r * r).lerp(looked.base, metallic);
        let (scale, offset) = albedo_fit(alpha, cos_out);
        // The fit is low for smooth surfaces at grazing angles, which lose next to nothing.
        let single = clamp(max(scale + offset, 1.0 - 1.2 * alpha), 0.05, 1.0);
        let boost = Vec3::ONE + f0 * (1.0 / single - 1.0);
        let albedo = (f0 * scale + Vec3::splat(offset)) * boost;
        let coat_roughness = clamp(m.clearcoat_roughness, 0.0, 1.0);
        let coat_alpha = max(coat_roughness * coat_roughness, 0.002);
        let coat_albedo = if m.clearcoat > 0.0 {
            let (s, o) = albedo_fit(coat_alpha, cos_out);
            m.clearcoat * (0.04 * s + o)
        } else {
            0.0
        };
        let under = 1.0 - coat_albedo;
        let glass = m.transmission * (1.0 - metallic);
        let body = looked.base
            * ((1.0 - metallic) * (1.0 - glass) * (1.0 - min(albedo.max_component(), 1.0)) * under);
        let diffuse = body * (1.0 - m.translucency);
        let translucent = body * m.translucency_colour * m.translucency;
        let boost = boost * under;
        let specular = max(albedo.luminance() * under, 0.0);
        let all = specular + coat_albedo + diffuse.luminance() + translucent.luminance() + 1e-6;
        let choose_coat = coat_albedo / all;
        let choose_specular = if diffuse.max_component() + translucent.max_component() > 0.0 {
            clamp(specular / all, 0.1, 0.9)
        } else {
            1.0 - choose_coat
        };
        Surface {
            diffuse,
            translucent,
            f0,
            alpha,
            coat: m.clearcoat,
            coat_alpha,
            glass,
            tint: looked.base,
            ior: m.ior,
            choose_specular: min(choose_specular, 1.0 - choose_coat),
            choose_coat,
            boost,
        }
    }

    /// True when the lobe is so narrow that nearly all samples must come from the surface itself.
    pub fn evaluate(&self, out: Vec3, to: Vec3) -> (Vec3, f32) {
        let choose_diffuse = max(1.0 - self.choose_specular - self.choose_coat, 0.0);
        let through = self.translucent.luminance();
        let share = through / (through + self.diffuse.luminance() + 1e-12);
        if to.z <= 0.0 {
            let cos = -to.z;
            return (self.translucent * (cos * INV_PI), choose_diffuse * share * cos * INV_PI);
        }
        if out.z <= 1e-6 {
            return (Vec3::ZERO, 0.0);
        }
        let mut value = self.diffuse * (to.z * INV_PI);
        let mut density = choose_diffuse * (1.0 - share) * to.z * INV_PI;
        let half = (out + to).unit_or(vec3(0.0, 0.0, 1.0));
        let cos_half = max(out.dot(half), 0.0);
        let (shape, p) = lobe(self.alpha, out.z, to.z, half.z);
        value += fresnel(self.f0, cos_half) * self.boost * shape;
        density += self.choose_specular * p;
        if self.coat > 0.0 {
            let (shape, p) = lobe(self.coat_alpha, out.z, to.z, half.z);
            value += fresnel(Vec3::splat(0.04), cos_half) * (self.coat * shape);
            density += self.choose_coat * p;
        }
        (value, density)
    }

    /// Draws a direction of an opaque or translucent surface.
    pub fn sample(&self, out: Vec3, pick: f32, u: f32, v: f32) -> Option<Scatter> {
        let direction = if pick < self.choose_specular + self.choose_coat {
            let alpha = if pick < self.choose_specular { self.alpha } else { self.coat_alpha };
            let h = visible_normal(alpha, out, u, v);
            let d = h * (2.0 * out.dot(h)) - out;
            if d.z <= 1e-6 {
                return None;
            }
            d
        } else {
            let rest = 1.0 - self.choose_specular - self.choose_coat;
            let again = (pick - self.choose_specular - self.choose_coat) / max(rest, 1e-6);
            let (x, y) = crate::math::concentric_disk(u, v);
            let z = max(sqrt(1.0 - x * x - y * y), 1e-6);
            let through = self.translucent.luminance();
            let share = through / (through + self.diffuse.luminance() + 1e-12);
            vec3(x, y, if again < share { -z } else { z })
        };
        let (value, density) = self.evaluate(out, direction);
        if !(density > 1e-12) {
            return None;
        }
        Some(Scatter { direction, weight: value * (1.0 / density), density })
    }

    /// Draws a direction of glass: reflected or refracted. `entering` is true from outside.
    pub fn sample_glass(
        &self,
        out: Vec3,
        entering: bool,
        pick: f32,
        u: f32,
        v: f32,
    ) -> Option<Scatter> {
        let h = visible_normal(self.alpha, out, u, v);
        let cos = out.dot(h);
        if cos <= 0.0 {
            return None;
        }
        let eta = if entering { 1.0 / self.ior } else { self.ior };
        let reflected = dielectric(cos, eta);
        let (direction, colour) = if pick < reflected {
            (h * (2.0 * cos) - out, Vec3::ONE)
        } else {
            let cos_t = sqrt(1.0 - eta * eta * (1.0 - cos * cos));
            (h * (eta * cos - cos_t) - out * eta, self.tint)
        };
        if pick < reflected && direction.z <= 0.0 || pick >= reflected && direction.z >= 0.0 {
            return None;
        }
        // Visible-normal sampling leaves the masking of the new direction only.
        let masking = (1.0 + lambda(self.alpha, out.z))
            / (1.0 + lambda(self.alpha, out.z) + lambda(self.alpha, direction.z.abs()));
        Some(Scatter { direction, weight: colour * masking, density: 0.0 })
    }

    /// What glass lets straight through where bending is ignored (shadow rays, paths after a rough surface).
    pub fn straight(&self, cos_out: f32) -> Vec3 {
        let f = dielectric(clamp(cos_out, 0.02, 1.0), 1.0 / self.ior);
        self.tint * ((1.0 - f) * self.glass)
    }
}

/// GGX times masking times cosine without colour, and the density of visible-normal sampling.
fn lobe(alpha: f32, cos_out: f32, cos_to: f32, cos_half: f32) -> (f32, f32) {
    let d = ggx_d(alpha, cos_half);
    let (lo, lt) = (lambda(alpha, cos_out), lambda(alpha, cos_to));
    let quarter = d / (4.0 * cos_out);
    (quarter / (1.0 + lo + lt), quarter / (1.0 + lo))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Sampler;

    fn surface(metallic: f32, roughness: f32, cos: f32) -> Surface {
        let m = Material {
            translucency: 0.3,
            clearcoat: 0.5,
            clearcoat_roughness: 0.2,
            ..Material::default()
        };
        Surface::new(&m, &Looked { base: Vec3::splat(0.8), metallic, roughness }, cos)
    }

    /// The density integrates to at most one (directions under the horizon are given up), and the mean weight
    /// of samples equals the integral of the reflectance.
    #[test]
    fn samples_agree_with_density_and_conserve_energy() {
        for (metallic, roughness) in [(0.0, 0.5), (1.0, 0.3), (0.3, 1.0)] {
            let out = vec3(0.6, 0.0, 0.8);
            let s = surface(metallic, roughness, out.z);
            let n = 200;
            let (mut density, mut value) = (0.0f64, 0.0f64);
            for i in 0..n {
                for j in 0..2 * n {
                    let z = 1.0 - 2.0 * (i as f32 + 0.5) / n as f32;
                    let phi = PI * (j as f32 + 0.5) / n as f32;
                    let r = sqrt(1.0 - z * z);
                    let (v, p) = s.evaluate(out, vec3(r * libm::cosf(phi), r * libm::sinf(phi), z));
                    density += f64::from(p);
                    value += f64::from(v.x);
                }
            }
            let cell = 4.0 * std::f64::consts::PI / (2 * n * n) as f64;
            let (density, value) = (density * cell, value * cell);
            assert!(density < 1.01 && density > 0.85, "{metallic} {roughness} {density}");
            assert!(value < 1.03, "{metallic} {roughness} gives {value}");
            let mut mean = 0.0f64;
            let count = 16384;
            for k in 0..count {
                let p = Sampler::new(3, 5, k);
                let (u, v) = p.pair(0);
                if let Some(x) = s.sample(out, p.pair(1).0, u, v) {
                    mean += f64::from(x.weight.x) / f64::from(count);
                }
            }
            assert!((mean - value).abs() < 0.02, "{metallic} {roughness}: {mean} against {value}");
        }
    }

    /// A metal that absorbs nothing returns all light, whatever its roughness and from wherever it is seen.
    #[test]
    fn white_metal_returns_all_light() {
        for roughness in [0.05, 0.2, 0.4, 0.6, 0.8, 1.0] {
            for cos in [0.15f32, 0.4, 0.7, 1.0] {
                let looked = Looked { base: Vec3::ONE, metallic: 1.0, roughness };
                let s = Surface::new(&Material::default(), &looked, cos);
                let out = vec3(sqrt(1.0 - cos * cos), 0.0, cos);
                let mut mean = 0.0f64;
                for k in 0..8192 {
                    let p = Sampler::new(1, 2, k);
                    let (u, v) = p.pair(0);
                    mean += s
                        .sample(out, p.pair(1).0, u, v)
                        .map_or(0.0, |x| f64::from(x.weight.x) / 8192.0);
                }
                assert!((mean - 1.0).abs() < 0.05, "roughness {roughness}, cosine {cos}: {mean}");
            }
        }
    }

    #[test]
    fn total_reflection_under_glass() {
        assert_eq!(dielectric(0.3, 1.5), 1.0);
        assert!((dielectric(1.0, 1.0 / 1.5) - 0.04).abs() < 1e-4);
    }
}
