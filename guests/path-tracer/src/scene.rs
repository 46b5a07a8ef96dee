//! A model made ready for tracing: trees over its triangles, lights to sample, surface points from hits.

use crate::bvh::build::{build, triangle_bounds};
use crate::bvh::trace::{FILTERING, Hit, MeshTree, OPAQUE, Placed, Ray, World};
use crate::bvh::{EMPTY, Pack};
use crate::error::{Result, bad};
use crate::gltf::{Instance, Mesh, Model};
use crate::material::{Looked, Material, Opacity};
use crate::math::{Affine, Bounds, Vec3, max, sqrt, vec3};
use crate::simd::Vec3x4;
use crate::texture::{Picture, SrgbTable, Texture};

/// Everything a path needs to know about the scene.
pub struct Scene {
    /// What rays meet.
    pub world: World,
    pub(crate) meshes: Vec<Mesh>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) to_mesh: Vec<Affine>,
    /// Materials by number.
    pub materials: Vec<Material>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) srgb: SrgbTable,
    pub(crate) lights: Vec<Light>,
    /// Cumulative share of each light, ending at 1.
    pub(crate) shares: Vec<f32>,
    pub(crate) light_power: f32,
    /// Middle of the lights and the square of their reach from there.
    pub(crate) light_centre: Vec3,
    pub(crate) light_reach2: f32,
    /// True when some surface lets light through unbent.
    pub filters: bool,
}

/// A triangle that gives off light, in world space.
pub(crate) struct Light {
    pub(crate) instance: u32,
    pub(crate) triangle: u32,
    pub(crate) corner: Vec3,
    pub(crate) edge1: Vec3,
    pub(crate) edge2: Vec3,
}

/// A point on a light.
pub struct LightSample {
    /// Where.
    pub point: Vec3,
    /// Unit normal of the triangle.
    pub normal: Vec3,
    /// Radiance on both sides.
    pub radiance: Vec3,
    /// Density per area.
    pub density: f32,
}

/// A surface point of a hit.
pub struct Point {
    /// Where, in the world.
    pub position: Vec3,
    /// Unit normal of the triangle, on the side of the eye.
    pub flat: Vec3,
    /// Unit normal for shading, on the side of the eye.
    pub normal: Vec3,
    /// True when the eye is on the triangle's front.
    pub front: bool,
    /// Texture coordinates, two sets.
    pub uv: [[f32; 2]; 2],
    /// Factor on the base colour from vertices and instance.
    pub colour: Vec3,
    /// Which material.
    pub material: u32,
}

impl Scene {
    /// Builds the trees.
    pub fn new(model: Model) -> Result<Scene> {
        let Model { meshes, instances, materials, pictures, .. } = model;
        if instances.is_empty() {
            return Err(bad!("scene: it shows nothing"));
        }
        let trees: Vec<MeshTree> = meshes.iter().map(mesh_tree).collect();
        let mut boxes = Vec::with_capacity(instances.len());
        let mut placed = Vec::with_capacity(instances.len());
        let mut to_mesh = Vec::with_capacity(instances.len());
        for i in &instances {
            let inverse =
                i.placed.inverse().ok_or_else(|| bad!("scene: an instance is squashed flat"))?;
            let filters = materials[meshes[i.mesh as usize].material as usize].filters();
            boxes.push(placed_bounds(&trees[i.mesh as usize].tree.bounds, &i.placed));
            placed.push(Placed {
                to_mesh: inverse,
                mesh: i.mesh,
                kind: if filters { FILTERING } else { OPAQUE },
            });
            to_mesh.push(inverse);
        }
        let tree = build(&boxes, 1, |items| items[0]);
        let filters = placed.iter().any(|p| p.kind == FILTERING);
        let mut scene = Scene {
            world: World { meshes: trees, placed, tree },
            meshes,
            instances,
            to_mesh,
            materials,
            pictures,
            srgb: SrgbTable::default(),
            lights: Vec::new(),
            shares: Vec::new(),
            light_power: 0.0,
            light_centre: Vec3::ZERO,
            light_reach2: 0.0,
            filters,
        };
        scene.find_lights();
        Ok(scene)
    }

    /// Triangles on show: those of each instance counted.
    pub fn triangles_shown(&self) -> usize {
        self.instances.iter().map(|i| self.meshes[i.mesh as usize].triangles.len()).sum()
    }

    fn find_lights(&mut self) {
        let mut powers = Vec::new();
        for (number, i) in self.instances.iter().enumerate() {
            let mesh = &self.meshes[i.mesh as usize];
            let emission = self.materials[mesh.material as usize].emission.luminance();
            if !(emission > 0.0) {
                continue;
            }
            for (k, t) in mesh.triangles.iter().enumerate() {
                let [a, b, c] = t.map(|v| i.placed.point(mesh.positions[v as usize]));
                let (edge1, edge2) = (b - a, c - a);
                let area = 0.5 * edge1.cross(edge2).length();
                if area > 0.0 && area.is_finite() {
                    self.lights.push(Light {
                        instance: number as u32,
                        triangle: k as u32,
                        corner: a,
                        edge1,
                        edge2,
                    });
                    powers.push(f64::from(area * emission));
                }
            }
        }
        let around = self.lights.iter().fold(Bounds::EMPTY, |b, l| {
            b.with(l.corner).with(l.corner + l.edge1).with(l.corner + l.edge2)
        });
        if !self.lights.is_empty() {
            self.light_centre = around.centre();
            let half = (around.high - around.low) * 0.5;
            self.light_reach2 = half.dot(half);
        }
        let total: f64 = powers.iter().sum();
        let mut sum = 0.0;
        for p in powers {
            sum += p;
            self.shares.push((sum / total) as f32);
        }
        self.light_power = total as f32;
    }

    /// True when some surface gives off light.
    pub fn has_lights(&self) -> bool {
        !self.lights.is_empty()
    }

    /// Roughly the light that all emissive triangles together send to a point.
    pub fn light_at(&self, p: Vec3) -> f32 {
        let way = p - self.light_centre;
        self.light_power / max(max(way.dot(way), self.light_reach2), 1e-12)
    }

    /// A point on a light, drawn in proportion to power.
    pub fn sample_light(&self, pick: f32, u: f32, v: f32) -> LightSample {
        let i = self.shares.partition_point(|&s| s <= pick).min(self.lights.len() - 1);
        let l = &self.lights[i];
        let s = sqrt(u);
        let (b, c) = (v * s, 1.0 - s);
        let hit = Hit { t: 0.0, u: b, v: c, triangle: l.triangle, instance: l.instance };
        let normal = l.edge1.cross(l.edge2).unit_or(vec3(0.0, 1.0, 0.0));
        let uv = self.coordinates(&hit);
        let material = &self.materials
            [self.meshes[self.instances[l.instance as usize].mesh as usize].material as usize];
        LightSample {
            point: l.corner + l.edge1 * b + l.edge2 * c,
            normal,
            radiance: self.emission(material, &uv),
            density: self.light_density(material),
        }
    }

    /// Density per area with which points of this material are drawn.
    pub fn light_density(&self, material: &Material) -> f32 {
        material.emission.luminance() / max(self.light_power, 1e-20)
    }

    /// Light given off at a point.
    pub fn emission(&self, m: &Material, uv: &[[f32; 2]; 2]) -> Vec3 {
        match &m.emission_texture {
            Some(t) if m.emission != Vec3::ZERO => m.emission * self.colour(t, uv).0,
            _ => m.emission,
        }
    }

    fn colour(&self, t: &Texture, uv: &[[f32; 2]; 2]) -> (Vec3, f32) {
        self.pictures[t.picture as usize].colour(t, uv[(t.set & 1) as usize], &self.srgb)
    }

    fn values(&self, t: &Texture, uv: &[[f32; 2]; 2]) -> Vec3 {
        self.pictures[t.picture as usize].values(t, uv[(t.set & 1) as usize])
    }

    fn coordinates(&self, hit: &Hit) -> [[f32; 2]; 2] {
        let mesh = &self.meshes[self.instances[hit.instance as usize].mesh as usize];
        let [a, b, c] = mesh.triangles[hit.triangle as usize].map(|i| i as usize);
        let w = 1.0 - hit.u - hit.v;
        let mut uv = [[0.0; 2]; 2];
        for (slot, set) in uv.iter_mut().zip(&mesh.coordinates) {
            if !set.is_empty() {
                let (p, q, r) = (set[a], set[b], set[c]);
                *slot = [
                    p[0] * w + q[0] * hit.u + r[0] * hit.v,
                    p[1] * w + q[1] * hit.u + r[1] * hit.v,
                ];
            }
        }
        uv
    }

    /// Opacity at a hit, 0 to 1, with masks already decided.
    pub fn opacity(&self, m: &Material, uv: &[[f32; 2]; 2]) -> f32 {
        let alpha = || m.base[3] * m.base_texture.as_ref().map_or(1.0, |t| self.colour(t, uv).1);
        match m.opacity {
            Opacity::Opaque => 1.0,
            Opacity::Mask(cut) => f32::from(u8::from(alpha() >= cut)),
            Opacity::Blend => alpha(),
        }
    }

    /// The surface point of a hit, without textures.
    pub fn point(&self, ray: &Ray, hit: &Hit) -> Point {
        let i = &self.instances[hit.instance as usize];
        let mesh = &self.meshes[i.mesh as usize];
        let [a, b, c] = mesh.triangles[hit.triangle as usize].map(|i| i as usize);
        let w = 1.0 - hit.u - hit.v;
        let (pa, pb, pc) = (mesh.positions[a], mesh.positions[b], mesh.positions[c]);
        let inverse = &self.to_mesh[hit.instance as usize];
        let position = i.placed.point(pa * w + pb * hit.u + pc * hit.v);
        let up = -ray.direction;
        let local_flat = (pb - pa).cross(pc - pa);
        let mut flat = inverse.normal(local_flat).unit_or(up);
        let front = flat.dot(up) >= 0.0;
        if !front {
            flat = -flat;
        }
        let mut normal = flat;
        if !mesh.normals.is_empty() {
            let n = mesh.normals[a] * w + mesh.normals[b] * hit.u + mesh.normals[c] * hit.v;
            normal = inverse.normal(n).unit_or(flat);
            // A mirroring instance turns triangles over but not their normals; take the triangle's side.
            if normal.dot(flat) < 0.0 {
                normal = -normal;
            }
        }
        let mut colour = i.colour;
        if !mesh.colours.is_empty() {
            colour *= mesh.colours[a] * w + mesh.colours[b] * hit.u + mesh.colours[c] * hit.v;
        }
        Point {
            position,
            flat,
            normal,
            front,
            uv: self.coordinates(hit),
            colour,
            material: mesh.material,
        }
    }

    /// Looks up colour, metalness and roughness, and bends the shading normal by the normal map.
    pub fn look_up(&self, point: &mut Point, hit: &Hit) -> Looked {
        let m = &self.materials[point.material as usize];
        let mut base = vec3(m.base[0], m.base[1], m.base[2]) * point.colour;
        if let Some(t) = &m.base_texture {
            base *= self.colour(t, &point.uv).0;
        }
        let (mut metallic, mut roughness) = (m.metallic, m.roughness);
        if let Some(t) = &m.roughness_texture {
            let v = self.values(t, &point.uv);
            roughness *= v.y;
            metallic *= v.z;
        }
        if let Some((t, strength)) = &m.normal_texture {
            let v = self.values(t, &point.uv) * 2.0 - Vec3::ONE;
            point.normal =
                self.bend(point, hit, t, vec3(v.x * strength, v.y * strength, max(v.z, 0.05)));
        }
        Looked { base, metallic, roughness }
    }

    /// The normal of a normal map, in a frame made of the triangle's texture directions.
    fn bend(&self, point: &Point, hit: &Hit, t: &Texture, n: Vec3) -> Vec3 {
        let i = &self.instances[hit.instance as usize];
        let mesh = &self.meshes[i.mesh as usize];
        let set = &mesh.coordinates[(t.set & 1) as usize];
        if set.is_empty() {
            return point.normal;
        }
        let [a, b, c] = mesh.triangles[hit.triangle as usize].map(|i| i as usize);
        let (e1, e2) =
            (mesh.positions[b] - mesh.positions[a], mesh.positions[c] - mesh.positions[a]);
        let (du1, dv1) = (set[b][0] - set[a][0], set[b][1] - set[a][1]);
        let (du2, dv2) = (set[c][0] - set[a][0], set[c][1] - set[a][1]);
        let det = du1 * dv2 - du2 * dv1;
        if det.abs() < 1e-20 {
            return point.normal;
        }
        let tangent = i.placed.vector((e1 * dv2 - e2 * dv1) * (1.0 / det));
        let bitangent = i.placed.vector((e2 * du1 - e1 * du2) * (1.0 / det));
        let tangent = (tangent - point.normal * point.normal.dot(tangent)).unit_or(Vec3::ZERO);
        // glTF's green points against v.
        let side = if point.normal.cross(tangent).dot(bitangent) >= 0.0 { -1.0 } else { 1.0 };
        let bitangent = point.normal.cross(tangent) * side;
        // Seen from behind, the bumps are the same ones: the frame's normal was turned to the eye.
        let turn = if point.front { 1.0 } else { -1.0 };
        let bent = (tangent * (n.x * turn) + bitangent * (n.y * turn) + point.normal * n.z)
            .unit_or(point.normal);
        if bent.dot(point.flat) < 0.02 { point.normal } else { bent }
    }
}

fn mesh_tree(mesh: &Mesh) -> MeshTree {
    let corners = |t: &[u32; 3]| t.map(|i| mesh.positions[i as usize]);
    let boxes: Vec<Bounds> = mesh
        .triangles
        .iter()
        .map(|t| {
            let [a, b, c] = corners(t);
            triangle_bounds(a, b, c)
        })
        .collect();
    let mut packs: Vec<Pack> = Vec::with_capacity(boxes.len() / 3 + 1);
    let tree = build(&boxes, 4, |items| {
        let (mut p, mut e1, mut e2) = ([Vec3::ZERO; 4], [Vec3::ZERO; 4], [Vec3::ZERO; 4]);
        let mut triangle = [EMPTY; 4];
        for (lane, &i) in items.iter().enumerate() {
            let [a, b, c] = corners(&mesh.triangles[i as usize]);
            (p[lane], e1[lane], e2[lane], triangle[lane]) = (a, b - a, c - a, i);
        }
        packs.push(Pack {
            corner: Vec3x4::new(p),
            edge1: Vec3x4::new(e1),
            edge2: Vec3x4::new(e2),
            triangle,
        });
        packs.len() as u32 - 1
    });
    MeshTree { tree, packs }
}

fn placed_bounds(b: &Bounds, placed: &Affine) -> Bounds {
    let mut out = Bounds::EMPTY;
    if b.low.x > b.high.x {
        return out;
    }
    for k in 0..8 {
        let pick = |bit: u32, low: f32, high: f32| if k >> bit & 1 == 0 { low } else { high };
        out = out.with(placed.point(vec3(
            pick(0, b.low.x, b.high.x),
            pick(1, b.low.y, b.high.y),
            pick(2, b.low.z, b.high.z),
        )));
    }
    let slack =
        Vec3::splat(2e-6 * max(out.low.abs().max_component(), out.high.abs().max_component()));
    Bounds { low: out.low - slack, high: out.high + slack }
}
