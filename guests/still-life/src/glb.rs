//! Writes binary glTF: quantised vertices (`KHR_mesh_quantization`), JPEG pictures, instances
//! (`EXT_mesh_gpu_instancing`).

use crate::shape::Shape;
use path_tracer::math::{Vec3, max};
use serde_json::{Value, json};

/// Where a copy of a mesh stands.
pub struct Copy {
    /// Move.
    pub translation: Vec3,
    /// Turn, as a quaternion.
    pub rotation: [f32; 4],
    /// Stretch.
    pub scale: Vec3,
    /// Factor on the colour.
    pub colour: Vec3,
}

impl Copy {
    /// At a point, upright, as it is.
    pub fn at(translation: Vec3) -> Copy {
        Copy { translation, rotation: [0.0, 0.0, 0.0, 1.0], scale: Vec3::ONE, colour: Vec3::ONE }
    }
}

/// How a picture goes on outside the unit square: the number of the sampler that says so.
#[derive(Clone, Copy)]
pub enum Wrap {
    /// Again.
    Repeat = 0,
    /// Mirrored.
    Mirror = 1,
}

/// What of a shape is written besides positions and normals.
#[derive(Clone, Copy, Default)]
pub struct Parts {
    /// Texture coordinates.
    pub textured: bool,
    /// Vertex colours.
    pub coloured: bool,
    /// Normals of 16 bits instead of 8, for what mirrors.
    pub shiny: bool,
}

/// A file in the making.
#[derive(Default)]
pub struct Glb {
    data: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
    meshes: Vec<Value>,
    sizes: Vec<f32>,
    nodes: Vec<Value>,
    materials: Vec<Value>,
    images: Vec<Value>,
    textures: Vec<Value>,
    /// Triangles of all copies.
    pub shown: usize,
    counts: Vec<usize>,
}

impl Glb {
    fn view(&mut self, bytes: &[u8], stride: Option<usize>) -> usize {
        while !self.data.len().is_multiple_of(4) {
            self.data.push(0);
        }
        let mut v = json!({"buffer": 0, "byteOffset": self.data.len(), "byteLength": bytes.len()});
        if let Some(s) = stride {
            v["byteStride"] = json!(s);
        }
        self.data.extend(bytes);
        self.views.push(v);
        self.views.len() - 1
    }

    fn accessor(
        &mut self,
        bytes: &[u8],
        stride: Option<usize>,
        code: u32,
        shape: &str,
        count: usize,
        unit: bool,
    ) -> usize {
        let view = self.view(bytes, stride);
        let mut a =
            json!({"bufferView": view, "componentType": code, "type": shape, "count": count});
        if unit {
            a["normalized"] = json!(true);
        }
        self.accessors.push(a);
        self.accessors.len() - 1
    }

    /// Adds a JPEG picture and returns its texture number.
    pub fn texture(&mut self, jpeg: &[u8], wrap: Wrap) -> usize {
        let view = self.view(jpeg, None);
        self.images.push(json!({"bufferView": view, "mimeType": "image/jpeg"}));
        self.textures.push(json!({"source": self.images.len() - 1, "sampler": wrap as usize}));
        self.textures.len() - 1
    }

    /// Adds a material as glTF spells it and returns its number.
    pub fn material(&mut self, material: Value) -> usize {
        self.materials.push(material);
        self.materials.len() - 1
    }

    /// Adds a mesh and returns its number.
    pub fn mesh(&mut self, name: &str, shape: &Shape, material: usize, parts: Parts) -> usize {
        let size = shape.positions.iter().fold(1e-6, |m, p| max(m, p.abs().max_component()));
        let n = shape.positions.len();
        let short =
            |v: f32| ((v * 32_767.0 + if v < 0.0 { -0.5 } else { 0.5 }) as i16).to_le_bytes();
        let triple = |v: Vec3| [short(v.x), short(v.y), short(v.z), [0, 0]].concat();
        let bytes: Vec<u8> =
            shape.positions.iter().flat_map(|p| triple(*p * (1.0 / size))).collect();
        let position = self.accessor(&bytes, Some(8), 5122, "VEC3", n, true);
        let s = shape.positions.iter().fold((Vec3::splat(9.0), Vec3::splat(-9.0)), |(l, h), p| {
            let q = (*p * (1.0 / size)) * 32_767.0;
            (l.min(q), h.max(q))
        });
        let round = |v: Vec3| json!([libm::roundf(v.x), libm::roundf(v.y), libm::roundf(v.z)]);
        self.accessors[position]["min"] = round(s.0);
        self.accessors[position]["max"] = round(s.1);
        let normal = if parts.shiny {
            let bytes: Vec<u8> = shape.normals.iter().flat_map(|p| triple(*p)).collect();
            self.accessor(&bytes, Some(8), 5122, "VEC3", n, true)
        } else {
            let tiny = |v: f32| (v * 127.0 + if v < 0.0 { -0.5 } else { 0.5 }) as i8 as u8;
            let bytes: Vec<u8> =
                shape.normals.iter().flat_map(|p| [tiny(p.x), tiny(p.y), tiny(p.z), 0]).collect();
            self.accessor(&bytes, Some(4), 5120, "VEC3", n, true)
        };
        let mut attributes = json!({"POSITION": position, "NORMAL": normal});
        if parts.textured {
            let inside = shape.coordinates.iter().flatten().all(|c| (0.0..=1.0).contains(c));
            let flat = shape.coordinates.iter().flatten();
            attributes["TEXCOORD_0"] = json!(if inside {
                let bytes: Vec<u8> =
                    flat.flat_map(|c| ((c * 65_535.0 + 0.5) as u16).to_le_bytes()).collect();
                self.accessor(&bytes, None, 5123, "VEC2", n, true)
            } else {
                let bytes: Vec<u8> = flat.flat_map(|c| c.to_le_bytes()).collect();
                self.accessor(&bytes, None, 5126, "VEC2", n, false)
            });
        }
        if parts.coloured {
            let byte = |v: f32| (path_tracer::math::clamp(v, 0.0, 1.0) * 255.0 + 0.5) as u8;
            let bytes: Vec<u8> =
                shape.colours.iter().flat_map(|c| [byte(c.x), byte(c.y), byte(c.z), 255]).collect();
            attributes["COLOR_0"] = json!(self.accessor(&bytes, Some(4), 5121, "VEC4", n, true));
        }
        let flat = shape.triangles.iter().flatten();
        let indices = if n <= 65_535 {
            let bytes: Vec<u8> = flat.flat_map(|&i| (i as u16).to_le_bytes()).collect();
            self.accessor(&bytes, None, 5123, "SCALAR", shape.triangles.len() * 3, false)
        } else {
            let bytes: Vec<u8> = flat.flat_map(|&i| i.to_le_bytes()).collect();
            self.accessor(&bytes, None, 5125, "SCALAR", shape.triangles.len() * 3, false)
        };
        self.meshes.push(json!({"name": name, "primitives": [
            {"attributes": attributes, "indices": indices, "material": material}]}));
        self.sizes.push(size);
        self.counts.push(shape.triangles.len());
        self.meshes.len() - 1
    }

    /// Puts one copy of a mesh into the scene.
    pub fn place(&mut self, mesh: usize, copy: &Copy) {
        self.shown += self.counts[mesh];
        let s = copy.scale * self.sizes[mesh];
        let t = copy.translation;
        self.nodes
            .push(json!({"mesh": mesh, "translation": [t.x, t.y, t.z], "rotation": copy.rotation,
            "scale": [s.x, s.y, s.z]}));
    }

    /// Puts many copies of a mesh into the scene.
    pub fn scatter(&mut self, mesh: usize, copies: &[Copy]) {
        self.shown += self.counts[mesh] * copies.len();
        let size = self.sizes[mesh];
        let n = copies.len();
        let floats = |f: &dyn Fn(&Copy) -> Vec<f32>| -> Vec<u8> {
            copies.iter().flat_map(f).flat_map(f32::to_le_bytes).collect()
        };
        let xyz = |v: Vec3| vec![v.x, v.y, v.z];
        let t = self.accessor(&floats(&|c| xyz(c.translation)), None, 5126, "VEC3", n, false);
        let short =
            |v: f32| ((v * 32_767.0 + if v < 0.0 { -0.5 } else { 0.5 }) as i16).to_le_bytes();
        let bytes: Vec<u8> = copies.iter().flat_map(|c| c.rotation.map(short).concat()).collect();
        let r = self.accessor(&bytes, None, 5122, "VEC4", n, true);
        let s = self.accessor(&floats(&|c| xyz(c.scale * size)), None, 5126, "VEC3", n, false);
        let byte = |v: f32| (path_tracer::math::clamp(v, 0.0, 1.0) * 255.0 + 0.5) as u8;
        let bytes: Vec<u8> = copies
            .iter()
            .flat_map(|c| [byte(c.colour.x), byte(c.colour.y), byte(c.colour.z), 255])
            .collect();
        let colour = self.accessor(&bytes, None, 5121, "VEC4", n, true);
        self.nodes
            .push(json!({"mesh": mesh, "extensions": {"EXT_mesh_gpu_instancing": {"attributes":
            {"TRANSLATION": t, "ROTATION": r, "SCALE": s, "_COLOR_0": colour}}}}));
    }

    /// The file.
    pub fn finish(mut self, copyright: &str) -> Vec<u8> {
        while !self.data.len().is_multiple_of(4) {
            self.data.push(0);
        }
        let used = [
            "KHR_mesh_quantization",
            "EXT_mesh_gpu_instancing",
            "KHR_texture_transform",
            "KHR_materials_ior",
            "KHR_materials_transmission",
            "KHR_materials_diffuse_transmission",
            "KHR_materials_clearcoat",
            "KHR_materials_emissive_strength",
        ];
        let document = json!({
            "asset": {"version": "2.0", "generator": "tilth still-life", "copyright": copyright},
            "extensionsUsed": used,
            "extensionsRequired": ["KHR_mesh_quantization", "EXT_mesh_gpu_instancing"],
            "scene": 0,
            "scenes": [{"nodes": (0..self.nodes.len()).collect::<Vec<_>>()}],
            "nodes": self.nodes, "meshes": self.meshes, "materials": self.materials,
            "accessors": self.accessors, "bufferViews": self.views,
            "buffers": [{"byteLength": self.data.len()}],
            "images": self.images, "textures": self.textures,
            "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497},
                {"magFilter": 9729, "minFilter": 9987, "wrapS": 33648, "wrapT": 33648}],
        });
        let mut text = document.to_string().into_bytes();
        while !text.len().is_multiple_of(4) {
            text.push(b' ');
        }
        let total = 12 + 8 + text.len() + 8 + self.data.len();
        let mut out = b"glTF".to_vec();
        for word in [2, total as u32, text.len() as u32, 0x4e4f_534a] {
            out.extend(word.to_le_bytes());
        }
        out.extend(text);
        for word in [self.data.len() as u32, 0x004e_4942] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.data);
        out
    }
}
