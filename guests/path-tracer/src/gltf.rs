//! Reads binary glTF 2.0 (`.glb`) into a [`Model`]: meshes, placed instances, materials, pictures, a camera.
//!
//! Every size and index in the file is checked before it is used; a hostile file gives an error, never a panic
//! or an allocation that the file's own length does not justify. Supported extensions: `KHR_mesh_quantization`,
//! `KHR_texture_transform`, `EXT_mesh_gpu_instancing` (with `_COLOR_0`), `KHR_materials_emissive_strength`,
//! `KHR_materials_ior`, `KHR_materials_transmission`, `KHR_materials_diffuse_transmission`,
//! `KHR_materials_clearcoat`. A file that *requires* another one is refused.

pub mod accessor;
pub mod document;
pub mod materials;
pub mod nodes;

use crate::error::{Result, bad};
use crate::material::Material;
use crate::math::{Affine, Vec3};
use crate::texture::Picture;
use document::Document;

/// Most triangles in all meshes together, before instancing.
pub const MAX_TRIANGLES: usize = 16 << 20;
/// Most instances of meshes in a scene.
pub const MAX_INSTANCES: usize = 4 << 20;
/// Most pixels in all textures together.
pub const MAX_TEXTURE_PIXELS: usize = 256 << 20;

/// One triangle mesh with one material.
pub struct Mesh {
    /// Corners of triangles.
    pub triangles: Vec<[u32; 3]>,
    /// Where the vertices are.
    pub positions: Vec<Vec3>,
    /// Unit normals; empty for flat shading.
    pub normals: Vec<Vec3>,
    /// Texture coordinates, two sets; empty when absent.
    pub coordinates: [Vec<[f32; 2]>; 2],
    /// Linear vertex colours; empty when absent.
    pub colours: Vec<Vec3>,
    /// Which material.
    pub material: u32,
}

/// A mesh put somewhere.
pub struct Instance {
    /// Which mesh.
    pub mesh: u32,
    /// Mesh space to world.
    pub placed: Affine,
    /// Factor on the base colour.
    pub colour: Vec3,
}

/// A camera of the file.
pub struct Camera {
    /// Camera space to world; it looks along its negative z.
    pub placed: Affine,
    /// Vertical angle of view in radians.
    pub field_of_view: f32,
}

/// What a file holds.
pub struct Model {
    /// Meshes, one per glTF primitive.
    pub meshes: Vec<Mesh>,
    /// Where they are.
    pub instances: Vec<Instance>,
    /// Materials; the last one is glTF's default.
    pub materials: Vec<Material>,
    /// Pictures.
    pub pictures: Vec<Picture>,
    /// The first perspective camera of the scene.
    pub camera: Option<Camera>,
}

const SUPPORTED: [&str; 8] = [
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "EXT_mesh_gpu_instancing",
    "KHR_materials_emissive_strength",
    "KHR_materials_ior",
    "KHR_materials_transmission",
    "KHR_materials_diffuse_transmission",
    "KHR_materials_clearcoat",
];

/// Reads a `.glb` file.
pub fn read(bytes: &[u8]) -> Result<Model> {
    let (json, data) = chunks(bytes)?;
    let document: Document = serde_json::from_slice(json).map_err(|e| bad!("scene: {e}"))?;
    if document.asset.version != "2.0" {
        return Err(bad!(
            "scene: glTF version {} is not supported, only 2.0",
            document.asset.version
        ));
    }
    if let Some(e) = document.extensions_required.iter().find(|e| !SUPPORTED.contains(&e.as_str()))
    {
        return Err(bad!("scene: the file requires the extension {e}, which is not supported"));
    }
    let source = accessor::Source { document: &document, data };
    let (meshes, ranges) = nodes::meshes(&source)?;
    let (instances, camera) = nodes::instances(&source, &ranges)?;
    let pictures = materials::pictures(&source)?;
    let materials = materials::materials(&document, pictures.len())?;
    Ok(Model { meshes, instances, materials, pictures, camera })
}

/// The JSON and the binary chunk.
fn chunks(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let word = |at: usize| -> Result<usize> {
        let b = bytes.get(at..at + 4).ok_or_else(|| bad!("scene: the file is cut off"))?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    };
    if !bytes.starts_with(b"glTF") {
        return Err(bad!("scene: not a binary glTF file (.glb)"));
    }
    if word(4)? != 2 {
        return Err(bad!("scene: binary glTF version {} is not supported, only 2", word(4)?));
    }
    let (mut at, mut json, mut data) = (12usize, None, &[][..]);
    while at + 8 <= bytes.len() {
        let (len, kind) = (word(at)?, word(at + 4)?);
        let body = bytes[at + 8..].get(..len).ok_or_else(|| bad!("scene: a chunk is cut off"))?;
        match kind {
            0x4e4f_534a if json.is_none() => json = Some(body),
            0x004e_4942 if data.is_empty() => data = body,
            _ => {}
        }
        at += 8 + len;
    }
    Ok((json.ok_or_else(|| bad!("scene: the file has no JSON chunk"))?, data))
}
