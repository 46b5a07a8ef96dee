//! Walks the trees: nearest hit and any hit, triangles inside instances.

use super::build::Tree;
use super::{EMPTY, LEAF, Node, Pack};
use crate::math::{Affine, Vec3, vec3};
use crate::simd::{F4, Vec3x4};

/// Words on the traversal stack. A node of four stands for at least one binary level and pushes at most three
/// words more than it pops; the builder's depth is below 48 + 32; an instance's tree lies on top of the scene's.
const STACK: usize = 512;

/// A half-line.
#[derive(Clone, Copy, Debug)]
pub struct Ray {
    /// Where it starts.
    pub origin: Vec3,
    /// Where it goes; need not be of unit length.
    pub direction: Vec3,
}

impl Ray {
    /// The point at parameter `t`.
    #[inline(always)]
    pub fn at(&self, t: f32) -> Vec3 {
        self.origin + self.direction * t
    }
}

/// The nearest triangle on a ray.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Ray parameter.
    pub t: f32,
    /// Weight of the second corner.
    pub u: f32,
    /// Weight of the third corner.
    pub v: f32,
    /// Which triangle of the mesh.
    pub triangle: u32,
    /// Which instance of the scene.
    pub instance: u32,
}

/// The triangles of one mesh.
pub struct MeshTree {
    /// The tree; leaves are numbers of packs.
    pub tree: Tree,
    /// Triangles, four by four.
    pub packs: Vec<Pack>,
}

/// One placed mesh.
pub struct Placed {
    /// World to mesh.
    pub to_mesh: Affine,
    /// Which mesh.
    pub mesh: u32,
    /// Bits of [`OPAQUE`] and [`FILTERING`].
    pub kind: u32,
}

/// Kind bit of instances that stop every ray.
pub const OPAQUE: u32 = 1;
/// Kind bit of instances whose surface lets part of the light through unbent (cut-outs, glass).
pub const FILTERING: u32 = 2;

/// A ray prepared for boxes.
struct Slabs {
    origin: Vec3x4,
    inverse: Vec3x4,
    sign: [usize; 3],
}

impl Slabs {
    #[inline(always)]
    fn new(ray: &Ray) -> Slabs {
        let inv = |d: f32| {
            let d = if d.abs() < 1e-18 { if d < 0.0 { -1e-18 } else { 1e-18 } } else { d };
            1.0 / d
        };
        let i = vec3(inv(ray.direction.x), inv(ray.direction.y), inv(ray.direction.z));
        let sign = |v: f32| usize::from(v < 0.0);
        Slabs {
            origin: Vec3x4::splat(ray.origin),
            inverse: Vec3x4::splat(i),
            sign: [sign(i.x), sign(i.y), sign(i.z)],
        }
    }

    /// Entry parameters of the four boxes, and a bit for each that the ray enters before `t_max`.
    #[inline(always)]
    fn enter(&self, node: &Node, t_max: f32) -> (F4, u32) {
        let [x, y, z] = &node.planes;
        let [sx, sy, sz] = self.sign;
        let near_x = (x[sx] - self.origin.x) * self.inverse.x;
        let near_y = (y[sy] - self.origin.y) * self.inverse.y;
        let near_z = (z[sz] - self.origin.z) * self.inverse.z;
        let far_x = (x[1 - sx] - self.origin.x) * self.inverse.x;
        let far_y = (y[1 - sy] - self.origin.y) * self.inverse.y;
        let far_z = (z[1 - sz] - self.origin.z) * self.inverse.z;
        let near = near_x.max(near_y).max(near_z.max(F4::splat(0.0)));
        let far = far_x.min(far_y).min(far_z.min(F4::splat(t_max)));
        // Widened by the rounding of the slab test (Ize 2013).
        (near, near.le(far * F4::splat(1.000_000_5)).bits())
    }
}

/// Unvisited child words and where the ray enters them: scratch space, made once and used for every ray.
pub struct Stack {
    words: [(u32, f32); STACK],
    len: usize,
}

impl Default for Stack {
    fn default() -> Stack {
        Stack { words: [(EMPTY, 0.0); STACK], len: 0 }
    }
}

impl Stack {
    /// Puts a tree's root on top of what is there and returns where it lies.
    #[inline(always)]
    fn enter(&mut self, root: u32) -> usize {
        let base = self.len;
        if root != EMPTY {
            self.push(root, 0.0);
        }
        base
    }
    #[inline(always)]
    fn push(&mut self, word: u32, t: f32) {
        if self.len < STACK {
            self.words[self.len] = (word, t);
            self.len += 1;
        }
    }
    #[inline(always)]
    fn pop(&mut self, base: usize) -> Option<(u32, f32)> {
        if self.len <= base {
            return None;
        }
        self.len -= 1;
        Some(self.words[self.len])
    }
    /// Pushes the entered children so that the nearest is popped first.
    #[inline(always)]
    fn push_children(&mut self, node: &Node, near: F4, mask: u32) {
        let near = near.array();
        let start = self.len;
        let mut mask = mask;
        while mask != 0 {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            self.push(node.children[lane & 3], near[lane & 3]);
            // Insertion: the farthest lies deepest. At most three steps.
            let mut k = self.len - 1;
            while k > start && self.words[k - 1].1 < self.words[k].1 {
                self.words.swap(k - 1, k);
                k -= 1;
            }
        }
    }
}

/// Four triangles against a ray (Moeller and Trumbore): parameters, weights, and a bit for each hit.
#[inline(always)]
fn triangles(pack: &Pack, origin: &Vec3x4, direction: &Vec3x4, t_max: f32) -> (F4, F4, F4, u32) {
    let zero = F4::splat(0.0);
    let p = direction.cross(pack.edge2);
    let inverse = F4::splat(1.0) / pack.edge1.dot(p);
    let s = origin.minus(pack.corner);
    let u = s.dot(p) * inverse;
    let q = s.cross(pack.edge1);
    let v = direction.dot(q) * inverse;
    let t = pack.edge2.dot(q) * inverse;
    let inside = zero.le(u).and(zero.le(v)).and((u + v).le(F4::splat(1.0)));
    // A degenerate triangle divides by zero and fails these comparisons (or the ones above) as NaN.
    let ahead = zero.lt(t).and(t.lt(F4::splat(t_max)));
    (t, u, v, inside.and(ahead).bits())
}

/// Everything that rays can meet.
pub struct World {
    /// Meshes, in their own space.
    pub meshes: Vec<MeshTree>,
    /// Where they stand.
    pub placed: Vec<Placed>,
    /// The tree over [`World::placed`]; leaves are instance numbers.
    pub tree: Tree,
}

impl World {
    /// The nearest hit closer than `t_max` on instances of these kinds.
    pub fn nearest(&self, stack: &mut Stack, ray: &Ray, t_max: f32, kinds: u32) -> Option<Hit> {
        stack.len = 0;
        let slabs = Slabs::new(ray);
        let mut best: Option<Hit> = None;
        let mut limit = t_max;
        let base = stack.enter(self.tree.root);
        while let Some((word, near)) = stack.pop(base) {
            if near > limit {
                continue;
            }
            if word & LEAF == 0 {
                let node = &self.tree.nodes[word as usize];
                let (near, mask) = slabs.enter(node, limit);
                stack.push_children(node, near, mask);
                continue;
            }
            let instance = word & !LEAF;
            let placed = &self.placed[instance as usize];
            if placed.kind & kinds == 0 {
                continue;
            }
            let local = Ray {
                origin: placed.to_mesh.point(ray.origin),
                direction: placed.to_mesh.vector(ray.direction),
            };
            if let Some(hit) =
                self.meshes[placed.mesh as usize].nearest(stack, &local, limit, instance)
            {
                limit = hit.t;
                best = Some(hit);
            }
        }
        best
    }

    /// Whether anything of these kinds lies before `t_max`.
    pub fn occluded(&self, stack: &mut Stack, ray: &Ray, t_max: f32, kinds: u32) -> bool {
        stack.len = 0;
        let slabs = Slabs::new(ray);
        let base = stack.enter(self.tree.root);
        while let Some((word, _)) = stack.pop(base) {
            if word & LEAF == 0 {
                let node = &self.tree.nodes[word as usize];
                let (near, mask) = slabs.enter(node, t_max);
                stack.push_children(node, near, mask);
                continue;
            }
            let placed = &self.placed[(word & !LEAF) as usize];
            if placed.kind & kinds == 0 {
                continue;
            }
            let local = Ray {
                origin: placed.to_mesh.point(ray.origin),
                direction: placed.to_mesh.vector(ray.direction),
            };
            if self.meshes[placed.mesh as usize].occluded(stack, &local, t_max) {
                return true;
            }
        }
        false
    }
}

impl MeshTree {
    fn nearest(&self, stack: &mut Stack, ray: &Ray, t_max: f32, instance: u32) -> Option<Hit> {
        let slabs = Slabs::new(ray);
        let direction = Vec3x4::splat(ray.direction);
        let mut best: Option<Hit> = None;
        let mut limit = t_max;
        let base = stack.enter(self.tree.root);
        while let Some((word, near)) = stack.pop(base) {
            if near > limit {
                continue;
            }
            if word & LEAF == 0 {
                let node = &self.tree.nodes[word as usize];
                let (near, mask) = slabs.enter(node, limit);
                stack.push_children(node, near, mask);
                continue;
            }
            let pack = &self.packs[(word & !LEAF) as usize];
            let (t, u, v, mut mask) = triangles(pack, &slabs.origin, &direction, limit);
            if mask == 0 {
                continue;
            }
            let (t, u, v) = (t.array(), u.array(), v.array());
            while mask != 0 {
                let lane = (mask.trailing_zeros() & 3) as usize;
                mask &= mask - 1;
                if t[lane] < limit {
                    limit = t[lane];
                    best = Some(Hit {
                        t: t[lane],
                        u: u[lane],
                        v: v[lane],
                        triangle: pack.triangle[lane],
                        instance,
                    });
                }
            }
        }
        best
    }

    fn occluded(&self, stack: &mut Stack, ray: &Ray, t_max: f32) -> bool {
        let slabs = Slabs::new(ray);
        let direction = Vec3x4::splat(ray.direction);
        let base = stack.enter(self.tree.root);
        while let Some((word, _)) = stack.pop(base) {
            if word & LEAF == 0 {
                let node = &self.tree.nodes[word as usize];
                let (near, mask) = slabs.enter(node, t_max);
                stack.push_children(node, near, mask);
            } else {
                let pack = &self.packs[(word & !LEAF) as usize];
                if triangles(pack, &slabs.origin, &direction, t_max).3 != 0 {
                    return true;
                }
            }
        }
        false
    }
}
