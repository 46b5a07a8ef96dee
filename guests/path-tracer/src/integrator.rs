//! Light along one camera path: next-event estimation of environment and emissive triangles, combined with
//! surface sampling by multiple importance sampling (power heuristic), Russian roulette after some bounces.
//!
//! Light through glass or cut-outs is taken straight, without bending, for shadow rays and for paths that have
//! already met a rough surface; only paths from the eye bend. So glass casts light shadows instead of noise, and
//! both sampling techniques see the same scene.

use crate::bvh::trace::{FILTERING, Hit, OPAQUE, Ray, Stack};
use crate::environment::Environment;
use crate::material::{Material, Surface};
use crate::math::{Vec3, clamp, frame, max, min, vec3};
use crate::random::Sampler;
use crate::scene::{Point, Scene};

/// Farther than anything.
const FAR: f32 = 1e28;
/// Cut-outs or panes that one ray may pass.
const MAX_LAYERS: u32 = 24;
/// Bounces before Russian roulette.
const ROULETTE_AFTER: u32 = 2;

// Dimension pairs of a path: the first two belong to the camera, then four per bounce.
const CAMERA_PAIRS: u32 = 2;
const PAIRS_PER_BOUNCE: u32 = 4;

/// What paths need.
pub struct Integrator<'a> {
    /// The scene.
    pub scene: &'a Scene,
    /// The light around it.
    pub environment: &'a Environment,
    /// Surfaces a path may meet.
    pub max_bounces: u32,
    /// Cut for indirect light; 0 for none.
    pub clamp: f32,
}

/// The state of a path between two surfaces.
struct Path {
    ray: Ray,
    weight: Vec3,
    light: Vec3,
    /// Density with which the last surface chose the direction; zero after mirrors, glass and the camera.
    density: f32,
    /// Share of light samples that went to the environment there.
    share: f32,
    /// True once a surface has scattered that light sampling can serve.
    rough: bool,
}

fn power(a: f32, b: f32) -> f32 {
    let (a2, b2) = (a * a, b * b);
    if a2 + b2 > 0.0 { a2 / (a2 + b2) } else { 0.0 }
}

impl Integrator<'_> {
    /// Share of the light samples taken at `p` that go to the environment.
    fn environment_share(&self, p: Vec3) -> f32 {
        match (self.environment.is_dark(), self.scene.has_lights()) {
            (true, _) => 0.0,
            (false, false) => 1.0,
            (false, true) => {
                let (e, l) = (self.environment.strength(), self.scene.light_at(p));
                clamp(e / (e + l), 0.1, 0.97)
            }
        }
    }

    /// Radiance along a camera ray.
    pub fn radiance(&self, stack: &mut Stack, ray: Ray, sampler: &Sampler) -> Vec3 {
        let mut path = Path {
            ray,
            weight: Vec3::ONE,
            light: Vec3::ZERO,
            density: 0.0,
            share: 0.0,
            rough: false,
        };
        for bounce in 0..=self.max_bounces {
            let base = CAMERA_PAIRS + bounce * PAIRS_PER_BOUNCE;
            let Some((hit, mut point)) = self.meet(stack, &mut path, sampler, base) else {
                self.add_environment(&mut path, bounce);
                break;
            };
            let material = &self.scene.materials[point.material as usize];
            self.add_emission(&mut path, bounce, &hit, &point, material);
            if bounce == self.max_bounces
                || !self.scatter(stack, &mut path, bounce, &hit, &mut point, sampler, base)
            {
                break;
            }
            if bounce >= ROULETTE_AFTER {
                let keep = min(path.weight.max_component(), 0.95);
                if sampler.pair(base + 1).1 >= keep {
                    break;
                }
                path.weight = path.weight * (1.0 / keep);
            }
        }
        if path.light.is_finite() { path.light } else { Vec3::ZERO }
    }

    /// The next surface that stops the path; what lets light through unbent is passed.
    fn meet(
        &self,
        stack: &mut Stack,
        path: &mut Path,
        sampler: &Sampler,
        base: u32,
    ) -> Option<(Hit, Point)> {
        for layer in 0..MAX_LAYERS {
            let hit = self.scene.world.nearest(stack, &path.ray, FAR, OPAQUE | FILTERING)?;
            let point = self.scene.point(&path.ray, &hit);
            let m = &self.scene.materials[point.material as usize];
            if !m.filters() {
                return Some((hit, point));
            }
            let stopped = self.scene.opacity(m, &point.uv);
            let pick = sampler.hashed(base * 64 + layer);
            let mut point = point;
            if pick < stopped {
                if !(path.rough && m.transmission > 0.0) {
                    return Some((hit, point));
                }
                let s = self.surface(&path.ray, &hit, &mut point, m);
                // Only the glassy share passes; the rest of the surface is met as it is.
                if sampler.hashed(base * 64 + 32 + layer) >= s.glass {
                    return Some((hit, point));
                }
                path.weight *=
                    s.straight(-path.ray.direction.dot(point.normal)) * (1.0 / max(s.glass, 1e-6));
            }
            path.ray.origin = offset(point.position, -point.flat, hit.t);
        }
        None
    }

    fn surface(&self, ray: &Ray, hit: &Hit, point: &mut Point, m: &Material) -> Surface {
        let looked = self.scene.look_up(point, hit);
        Surface::new(m, &looked, max(-ray.direction.dot(point.normal), 1e-3))
    }

    fn add(&self, path: &mut Path, light: Vec3, bounce: u32) {
        let mut light = light;
        if bounce > 0 && self.clamp > 0.0 {
            let l = light.max_component();
            if l > self.clamp {
                light = light * (self.clamp / l);
            }
        }
        path.light += light;
    }

    fn add_environment(&self, path: &mut Path, bounce: u32) {
        let mut light = path.weight * self.environment.radiance(path.ray.direction);
        if bounce == 0 {
            light = light * self.environment.background;
        } else if path.density > 0.0 {
            let other = self.environment.density(path.ray.direction) * path.share;
            light = light * power(path.density, other);
        }
        self.add(path, light, bounce);
    }

    fn add_emission(&self, path: &mut Path, bounce: u32, hit: &Hit, point: &Point, m: &Material) {
        if m.emission == Vec3::ZERO {
            return;
        }
        let mut light = path.weight * self.scene.emission(m, &point.uv);
        if path.density > 0.0 {
            let cos = max(-path.ray.direction.dot(point.flat), 1e-6);
            let area = self.scene.light_density(m) * (1.0 - path.share);
            light = light * power(path.density, area * hit.t * hit.t / cos);
        }
        self.add(path, light, bounce);
    }

    /// Adds light that falls on the surface, then chooses how the path goes on; false when it ends.
    #[allow(clippy::too_many_arguments)]
    fn scatter(
        &self,
        stack: &mut Stack,
        path: &mut Path,
        bounce: u32,
        hit: &Hit,
        point: &mut Point,
        sampler: &Sampler,
        base: u32,
    ) -> bool {
        let m = &self.scene.materials[point.material as usize];
        let eye = -path.ray.direction;
        let s = self.surface(&path.ray, hit, point, m);
        let (t, b) = frame(point.normal);
        let to_local = |d: Vec3| vec3(d.dot(t), d.dot(b), d.dot(point.normal));
        let to_world = |d: Vec3| t * d.x + b * d.y + point.normal * d.z;
        let mut out = to_local(eye);
        out.z = max(out.z, 1e-4);
        let (pick, pick2) = sampler.pair(base + 2);
        let (u, v) = sampler.pair(base + 3);
        path.share = self.environment_share(point.position);
        let glassy = s.glass > 0.0 && pick2 < s.glass;
        let scattered = if glassy {
            s.sample_glass(out, point.front, pick, u, v)
        } else {
            self.direct(stack, path, bounce, hit, point, &s, out, &to_local, sampler, base);
            s.sample(out, pick, u, v)
        };
        let Some(next) = scattered else { return false };
        let direction = to_world(next.direction).unit_or(point.normal);
        let above = direction.dot(point.flat) > 0.0;
        if above != (next.direction.z > 0.0) {
            return false; // the map or interpolation bent the normal so far that this side does not exist
        }
        path.weight *= next.weight;
        path.density = next.density;
        path.rough |= !glassy;
        path.ray = Ray {
            origin: offset(point.position, if above { point.flat } else { -point.flat }, hit.t),
            direction,
        };
        path.weight.max_component() > 0.0
    }

    /// One light sample: environment or an emissive triangle.
    #[allow(clippy::too_many_arguments)]
    fn direct(
        &self,
        stack: &mut Stack,
        path: &mut Path,
        bounce: u32,
        hit: &Hit,
        point: &Point,
        s: &Surface,
        out: Vec3,
        to_local: &impl Fn(Vec3) -> Vec3,
        sampler: &Sampler,
        base: u32,
    ) {
        let share = path.share;
        let (u, v) = sampler.pair(base);
        let (pick, _) = sampler.pair(base + 1);
        let (direction, distance, radiance, density) = if pick < share {
            let e = self.environment.sample(u, v);
            (e.direction, FAR, e.radiance, e.density * share)
        } else if self.scene.has_lights() {
            let again = (pick - share) / (1.0 - share);
            let l = self.scene.sample_light(again, u, v);
            let way = l.point - point.position;
            let d2 = way.dot(way);
            let distance = crate::math::sqrt(d2);
            let direction = way.unit_or(point.normal);
            let cos = direction.dot(l.normal).abs();
            if cos < 1e-5 || distance < 1e-6 {
                return;
            }
            (direction, distance * 0.9995, l.radiance, l.density * (1.0 - share) * d2 / cos)
        } else {
            return;
        };
        if !(density > 0.0) {
            return;
        }
        let local = to_local(direction);
        let above = direction.dot(point.flat) > 0.0;
        if above != (local.z > 0.0) {
            return;
        }
        let (value, other) = s.evaluate(out, local);
        let light = path.weight * value * radiance * (power(density, other) / density);
        if !(light.max_component() > 0.0) {
            return;
        }
        let from = offset(point.position, if above { point.flat } else { -point.flat }, hit.t);
        let ray = Ray { origin: from, direction };
        if self.scene.world.occluded(stack, &ray, distance, OPAQUE) {
            return;
        }
        let through =
            if self.scene.filters { self.through(stack, ray, distance) } else { Vec3::ONE };
        self.add(path, light * through, bounce + 1);
    }

    /// What panes and cut-outs leave of a shadow ray's light.
    fn through(&self, stack: &mut Stack, mut ray: Ray, mut distance: f32) -> Vec3 {
        let mut left = Vec3::ONE;
        for _ in 0..MAX_LAYERS {
            let Some(hit) = self.scene.world.nearest(stack, &ray, distance, FILTERING) else {
                return left;
            };
            let mut point = self.scene.point(&ray, &hit);
            let m = &self.scene.materials[point.material as usize];
            let stopped = self.scene.opacity(m, &point.uv);
            let mut passes = Vec3::splat(1.0 - stopped);
            if m.transmission > 0.0 {
                let s = self.surface(&ray, &hit, &mut point, m);
                passes += s.straight(-ray.direction.dot(point.normal)) * stopped;
            }
            left *= passes;
            if !(left.max_component() > 1e-4) {
                return Vec3::ZERO;
            }
            ray.origin = offset(point.position, -point.flat, hit.t);
            distance -= hit.t;
        }
        Vec3::ZERO
    }
}

/// A point lifted off its surface by more than the rounding of where it lies.
fn offset(p: Vec3, normal: Vec3, t: f32) -> Vec3 {
    p + normal * (4e-6 * (p.abs().max_component() + min(t, 1e6)))
}
