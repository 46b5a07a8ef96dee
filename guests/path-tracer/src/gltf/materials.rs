//! Materials and pictures of a glTF file.

use super::MAX_TEXTURE_PIXELS;
use super::accessor::Source;
use super::document::{Document, TextureInfo};
use crate::error::{Result, bad};
use crate::material::{Material, Opacity};
use crate::math::{Vec3, clamp};
use crate::texture::{Picture, Texture, Wrap};

/// Decodes all pictures that textures use.
pub fn pictures(source: &Source) -> Result<Vec<Picture>> {
    let mut out = Vec::new();
    let mut pixels = 0usize;
    for (i, image) in source.document.images.iter().enumerate() {
        let view = image.buffer_view.ok_or_else(|| {
            let what = image.uri.as_deref().map_or("nothing", |u| {
                if u.starts_with("data:") { "a data URI" } else { "a file" }
            });
            bad!(
                "scene: image {i} points to {what}; only images inside the .glb file are supported"
            )
        })?;
        let picture = Picture::decode(source.view(view)?.0)?;
        pixels = pixels.saturating_add(picture.size().0 * picture.size().1);
        if pixels > MAX_TEXTURE_PIXELS {
            return Err(bad!(
                "scene: the textures have more than {MAX_TEXTURE_PIXELS} pixels together"
            ));
        }
        out.push(picture);
    }
    Ok(out)
}

/// All materials, then glTF's default material.
pub fn materials(document: &Document, pictures: usize) -> Result<Vec<Material>> {
    let texture = |info: &Option<TextureInfo>| {
        info.as_ref().map(|i| texture(document, i, pictures)).transpose()
    };
    let mut out = Vec::new();
    for m in &document.materials {
        let pbr = &m.pbr_metallic_roughness;
        let x = &m.extensions;
        let strength =
            x.emissive_strength.as_ref().and_then(|e| e.emissive_strength).unwrap_or(1.0);
        let emission = Vec3::from_array(m.emissive_factor.unwrap_or([0.0; 3])) * strength;
        let share = |v: f32| clamp(v, 0.0, 1.0);
        out.push(Material {
            base: pbr.base_color_factor.unwrap_or([1.0; 4]).map(share),
            base_texture: texture(&pbr.base_color_texture)?,
            metallic: share(pbr.metallic_factor.unwrap_or(1.0)),
            roughness: share(pbr.roughness_factor.unwrap_or(1.0)),
            roughness_texture: texture(&pbr.metallic_roughness_texture)?,
            normal_texture: match (texture(&m.normal_texture)?, &m.normal_texture) {
                (Some(t), Some(info)) => Some((t, clamp(info.scale.unwrap_or(1.0), -10.0, 10.0))),
                _ => None,
            },
            emission: emission.max(Vec3::ZERO).min(Vec3::splat(1e6)),
            emission_texture: texture(&m.emissive_texture)?,
            opacity: match m.alpha_mode.as_deref() {
                None | Some("OPAQUE") => Opacity::Opaque,
                Some("MASK") => Opacity::Mask(share(m.alpha_cutoff.unwrap_or(0.5))),
                Some("BLEND") => Opacity::Blend,
                Some(other) => return Err(bad!("scene: alpha mode {other} does not exist")),
            },
            transmission: share(
                x.transmission.as_ref().and_then(|t| t.transmission_factor).unwrap_or(0.0),
            ),
            ior: clamp(x.ior.as_ref().and_then(|i| i.ior).unwrap_or(1.5), 1.0, 4.0),
            translucency: share(
                x.diffuse_transmission
                    .as_ref()
                    .and_then(|d| d.diffuse_transmission_factor)
                    .unwrap_or(0.0),
            ),
            translucency_colour: Vec3::from_array(
                x.diffuse_transmission
                    .as_ref()
                    .and_then(|d| d.diffuse_transmission_color_factor)
                    .unwrap_or([1.0; 3])
                    .map(share),
            ),
            clearcoat: share(x.clearcoat.as_ref().and_then(|c| c.clearcoat_factor).unwrap_or(0.0)),
            clearcoat_roughness: share(
                x.clearcoat.as_ref().and_then(|c| c.clearcoat_roughness_factor).unwrap_or(0.0),
            ),
        });
    }
    out.push(Material::default());
    Ok(out)
}

fn texture(document: &Document, info: &TextureInfo, pictures: usize) -> Result<Texture> {
    let t = document
        .textures
        .get(info.index)
        .ok_or_else(|| bad!("scene: texture {} does not exist", info.index))?;
    let picture = t.source.ok_or_else(|| bad!("scene: texture {} has no picture", info.index))?;
    if picture >= pictures {
        return Err(bad!("scene: image {picture} does not exist"));
    }
    let mut set = info.tex_coord;
    let mut transform = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    if let Some(x) = &info.extensions.transform {
        set = x.tex_coord.unwrap_or(set);
        let [ox, oy] = x.offset.unwrap_or([0.0; 2]);
        let [sx, sy] = x.scale.unwrap_or([1.0; 2]);
        let r = x.rotation.unwrap_or(0.0);
        let (s, c) = (libm::sinf(r), libm::cosf(r));
        transform = [[c * sx, s * sy, ox], [-s * sx, c * sy, oy]];
        if transform.iter().flatten().any(|v| !v.is_finite()) {
            return Err(bad!("scene: a texture transform is not finite"));
        }
    }
    if set > 1 {
        return Err(bad!(
            "scene: only the texture coordinate sets 0 and 1 are supported, not {set}"
        ));
    }
    let sampler = match t.sampler {
        None => None,
        Some(s) => Some(
            document.samplers.get(s).ok_or_else(|| bad!("scene: sampler {s} does not exist"))?,
        ),
    };
    let wrap = |code: Option<u32>| match code {
        None | Some(10497) => Ok(Wrap::Repeat),
        Some(33071) => Ok(Wrap::Clamp),
        Some(33648) => Ok(Wrap::Mirror),
        Some(other) => Err(bad!("scene: wrap mode {other} does not exist")),
    };
    let wrap = [wrap(sampler.and_then(|s| s.wrap_s))?, wrap(sampler.and_then(|s| s.wrap_t))?];
    Ok(Texture { picture: picture as u32, set: set as u8, wrap, transform })
}
