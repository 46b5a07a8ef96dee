//! The scene as words. `tracer.wgsl` reads what is written here, in the same order.

use crate::Renderer;
use crate::bvh::build::Tree;
use crate::environment::Environment;
use crate::gltf::Mesh;
use crate::material::{Material, Opacity};
use crate::math::{Affine, Vec3};
use crate::texture::{Texture, Wrap};

/// The word of what is absent.
const NONE: u32 = u32::MAX;
/// Words of one record each.
const INSTANCE: usize = 32;
const MESH: usize = 12;
const MATERIAL: usize = 28;
const TEXTURE: usize = 10;
const LIGHT: usize = 12;

/// What the GPU gets.
pub(super) struct Buffers {
    /// The uniform buffer behind the words that the worker fills.
    pub(super) frame: Vec<u32>,
    pub(super) nodes: Vec<u32>,
    pub(super) packs: Vec<u32>,
    pub(super) words: Vec<u32>,
    pub(super) pixels: Vec<u32>,
    pub(super) around: Vec<u32>,
}

/// Words under construction.
#[derive(Default)]
struct Words(Vec<u32>);

impl Words {
    fn here(&self) -> u32 {
        self.0.len() as u32
    }
    fn word(&mut self, word: u32) {
        self.0.push(word);
    }
    fn float(&mut self, v: f32) {
        self.0.push(v.to_bits());
    }
    fn floats(&mut self, all: impl IntoIterator<Item = f32>) {
        self.0.extend(all.into_iter().map(f32::to_bits));
    }
    fn vector(&mut self, v: Vec3) {
        self.floats([v.x, v.y, v.z]);
    }
    fn affine(&mut self, map: &Affine) {
        let [x, y, z] = map.columns;
        [x, y, z, map.origin].into_iter().for_each(|v| self.vector(v));
    }
    /// Where the vectors begin, or that there are none.
    fn vectors(&mut self, all: &[Vec3]) -> u32 {
        let here = if all.is_empty() { NONE } else { self.here() };
        all.iter().for_each(|v| self.vector(*v));
        here
    }
    /// Fills up a record that began at `start`.
    fn fill(&mut self, start: u32, size: usize) {
        self.0.resize(start as usize + size, 0);
    }
}

fn nodes_of(tree: &Tree, nodes: &mut Vec<u32>) -> u32 {
    let first = (nodes.len() / 28) as u32;
    for node in &tree.nodes {
        for side in node.planes.iter().flatten() {
            nodes.extend(side.array().map(f32::to_bits));
        }
        nodes.extend(node.children);
    }
    first
}

/// Vertices and triangles of a mesh: the words of its record from the triangles on.
fn geometry(mesh: &Mesh, words: &mut Words) -> [u32; 7] {
    let triangles = words.here();
    mesh.triangles.iter().flatten().for_each(|corner| words.word(*corner));
    let positions = words.vectors(&mesh.positions);
    let normals = words.vectors(&mesh.normals);
    let mut sets = [NONE; 2];
    for (set, coordinates) in sets.iter_mut().zip(&mesh.coordinates) {
        if !coordinates.is_empty() {
            *set = words.here();
            words.floats(coordinates.iter().flatten().copied());
        }
    }
    let colours = words.vectors(&mesh.colours);
    [triangles, positions, normals, sets[0], sets[1], colours, mesh.material]
}

fn material(m: &Material, words: &mut Words, textures: &mut Vec<Texture>) {
    let start = words.here();
    let mut texture = |t: Option<&Texture>| {
        t.map_or(NONE, |t| {
            textures.push(*t);
            textures.len() as u32 - 1
        })
    };
    let found = [
        texture(m.base_texture.as_ref()),
        texture(m.roughness_texture.as_ref()),
        texture(m.normal_texture.as_ref().map(|(t, _)| t)),
        texture(m.emission_texture.as_ref()),
    ];
    words.floats(m.base);
    words.float(m.metallic);
    words.float(m.roughness);
    words.vector(m.emission);
    let (kind, cut) = match m.opacity {
        Opacity::Opaque => (0, 0.0),
        Opacity::Mask(cut) => (1, cut),
        Opacity::Blend => (2, 0.0),
    };
    words.word(kind);
    words.float(cut);
    words.float(m.transmission);
    words.float(m.ior);
    words.float(m.translucency);
    words.vector(m.translucency_colour);
    words.float(m.clearcoat);
    words.float(m.clearcoat_roughness);
    words.word(u32::from(m.filters()));
    words.word(found[0]);
    words.word(found[1]);
    words.word(found[2]);
    words.float(m.normal_texture.as_ref().map_or(0.0, |(_, strength)| *strength));
    words.word(found[3]);
    words.fill(start, MATERIAL);
}

fn texture(t: &Texture, words: &mut Words) {
    let start = words.here();
    words.word(t.picture);
    words.word(u32::from(t.set));
    for wrap in t.wrap {
        words.word(match wrap {
            Wrap::Repeat => 0,
            Wrap::Mirror => 1,
            Wrap::Clamp => 2,
        });
    }
    words.floats(t.transform.iter().flatten().copied());
    words.fill(start, TEXTURE);
}

/// Everything that the shader reads.
pub(super) fn lay_out(r: &Renderer) -> Buffers {
    let scene = &r.scene;
    let (mut nodes, mut packs, mut pixels) = (Vec::new(), Vec::new(), Vec::new());
    let mut words = Words::default();
    // The scene's tree first: its nodes have the numbers that they have there.
    nodes_of(&scene.world.tree, &mut nodes);
    let mut records = Vec::new();
    for tree in &scene.world.meshes {
        let first = nodes_of(&tree.tree, &mut nodes);
        records.push([first, tree.tree.root, (packs.len() / 40) as u32]);
        for pack in &tree.packs {
            for part in [&pack.corner, &pack.edge1, &pack.edge2] {
                for axis in [part.x, part.y, part.z] {
                    packs.extend(axis.array().map(f32::to_bits));
                }
            }
            packs.extend(pack.triangle);
        }
    }
    let geometry: Vec<_> = scene.meshes.iter().map(|mesh| geometry(mesh, &mut words)).collect();
    let meshes = words.here();
    for (tree, geometry) in records.iter().zip(&geometry) {
        let start = words.here();
        words.0.extend(tree);
        words.0.extend(geometry);
        words.fill(start, MESH);
    }
    let instances = words.here();
    for (number, instance) in scene.instances.iter().enumerate() {
        let start = words.here();
        words.affine(&instance.placed);
        words.affine(&scene.to_mesh[number]);
        words.word(instance.mesh);
        words.word(scene.world.placed[number].kind);
        words.vector(instance.colour);
        words.fill(start, INSTANCE);
    }
    let materials = words.here();
    let mut textures = Vec::new();
    scene.materials.iter().for_each(|m| material(m, &mut words, &mut textures));
    let textures_at = words.here();
    textures.iter().for_each(|t| texture(t, &mut words));
    let pictures = words.here();
    for picture in &scene.pictures {
        let (width, height) = picture.size();
        words.0.extend([width, height, pixels.len()].map(|number| number as u32));
        pixels.extend(picture.pixels.iter().map(|pixel| u32::from_le_bytes(*pixel)));
    }
    let srgb = words.here();
    words.floats(scene.srgb.0);
    let lights = words.here();
    for light in &scene.lights {
        let start = words.here();
        words.word(light.instance);
        words.word(light.triangle);
        [light.corner, light.edge1, light.edge2].into_iter().for_each(|v| words.vector(v));
        words.fill(start, LIGHT);
    }
    let shares = words.here();
    words.floats(scene.shares.iter().copied());
    let tables = [instances, meshes, materials, textures_at, pictures, srgb, lights, shares];
    let around = surroundings(r);
    Buffers { frame: frame(r, &tables), nodes, packs, words: words.0, pixels, around }
}

/// Texels, then cumulative rows, then cumulative columns.
fn surroundings(r: &Renderer) -> Vec<u32> {
    let mut words = Words::default();
    r.environment.texels.iter().for_each(|texel| words.vector(*texel));
    let shares = r.environment.rows.iter().chain(&r.environment.columns);
    words.floats(shares.copied());
    words.0
}

/// The uniform buffer from its second row on.
fn frame(r: &Renderer, tables: &[u32; 8]) -> Vec<u32> {
    let (s, scene, environment, camera) = (&r.settings, &r.scene, &r.environment, &r.camera);
    let mut words = Words::default();
    words.0.extend([s.width, s.height, s.tile, s.tiles_across()]);
    words.0.extend([s.samples, s.max_bounces, u32::from(scene.filters), scene.world.tree.root]);
    for (v, beside) in [
        (camera.eye, camera.aperture),
        (camera.right, camera.focus),
        (camera.up, camera.half[0]),
        (camera.forward, camera.half[1]),
    ] {
        words.vector(v);
        words.float(beside);
    }
    let rows = environment.texels.len() * 3;
    let columns = rows + environment.rows.len();
    let sizes = [environment.width, environment.height, rows, columns];
    words.0.extend(sizes.map(|v| v as u32));
    let Environment { mean, intensity, turn, background, .. } = environment;
    words.floats([*mean, *intensity, *turn, *background]);
    words.vector(scene.light_centre);
    words.float(scene.light_reach2);
    let share = 1.0 / s.samples as f32;
    words.floats([scene.light_power, environment.strength(), s.clamp, share]);
    let dark = if environment.is_dark() { 1.0 } else { 0.0 };
    words.floats([r.tone.exposure, r.tone.saturation, r.tone.contrast, dark]);
    words.0.extend(tables);
    words.word(scene.lights.len() as u32);
    let whole = words.0.len().next_multiple_of(4);
    words.fill(0, whole);
    words.0
}
