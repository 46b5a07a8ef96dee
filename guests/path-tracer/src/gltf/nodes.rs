//! Meshes of a glTF file, and the walk over its nodes that places them.

use super::accessor::Source;
use super::document::{Node, Primitive};
use super::{Camera, Instance, MAX_INSTANCES, MAX_TRIANGLES, Mesh};
use crate::error::{Result, bad};
use crate::math::{Affine, Vec3, clamp, vec3};
use std::ops::Range;

/// All primitives, and which of them belong to each glTF mesh.
pub fn meshes(source: &Source) -> Result<(Vec<Mesh>, Vec<Range<usize>>)> {
    let mut meshes = Vec::new();
    let mut ranges = Vec::new();
    let mut triangles = 0usize;
    for mesh in &source.document.meshes {
        let start = meshes.len();
        for p in &mesh.primitives {
            if p.mode < 4 {
                continue; // points and lines have no surface
            }
            let m = primitive(source, p)?;
            triangles = triangles.saturating_add(m.triangles.len());
            if triangles > MAX_TRIANGLES {
                return Err(bad!("scene: more than {MAX_TRIANGLES} triangles"));
            }
            meshes.push(m);
        }
        ranges.push(start..meshes.len());
    }
    Ok((meshes, ranges))
}

fn primitive(source: &Source, p: &Primitive) -> Result<Mesh> {
    let a = &p.attributes;
    let position = a.position.ok_or_else(|| bad!("scene: a mesh has no positions"))?;
    let positions: Vec<Vec3> =
        source.floats::<3>(position)?.into_iter().map(Vec3::from_array).collect();
    if positions.iter().any(|p| p.abs().max_component() > 1e9) {
        return Err(bad!("scene: a vertex is farther than 1e9 from the origin"));
    }
    let n = positions.len();
    let corners: Vec<u32> = match p.indices {
        Some(i) => source.indices(i)?,
        None => (0..u32::try_from(n).map_err(|_| bad!("scene: too many vertices"))?).collect(),
    };
    if corners.iter().any(|&c| c as usize >= n) {
        return Err(bad!("scene: an index points behind the last vertex"));
    }
    let triangles: Vec<[u32; 3]> = match p.mode {
        4 => corners.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect(),
        5 => corners
            .windows(3)
            .enumerate()
            .map(|(i, c)| if i % 2 == 0 { [c[0], c[1], c[2]] } else { [c[1], c[0], c[2]] })
            .collect(),
        6 => corners.windows(2).skip(1).map(|c| [corners[0], c[0], c[1]]).collect(),
        other => return Err(bad!("scene: primitive mode {other} does not exist")),
    };
    let same = |len: usize, what: &str| {
        if len == n { Ok(()) } else { Err(bad!("scene: {len} {what} for {n} vertices")) }
    };
    let mut normals = Vec::new();
    if let Some(i) = a.normal {
        normals = source
            .floats::<3>(i)?
            .into_iter()
            .map(|v| Vec3::from_array(v).unit_or(vec3(0.0, 1.0, 0.0)))
            .collect();
        same(normals.len(), "normals")?;
    }
    let mut coordinates = [Vec::new(), Vec::new()];
    for (slot, i) in coordinates.iter_mut().zip([a.texcoord0, a.texcoord1]) {
        if let Some(i) = i {
            *slot = source.floats::<2>(i)?;
            same(slot.len(), "texture coordinates")?;
        }
    }
    let mut colours = Vec::new();
    if let Some(i) = a.colour {
        colours = source.floats::<3>(i)?.into_iter().map(Vec3::from_array).collect();
        same(colours.len(), "colours")?;
    }
    let last = source.document.materials.len();
    let material = p.material.unwrap_or(last);
    if material > last {
        return Err(bad!("scene: material {material} does not exist"));
    }
    Ok(Mesh { triangles, positions, normals, coordinates, colours, material: material as u32 })
}

/// Walks the scene's nodes and places meshes and the first camera.
pub fn instances(
    source: &Source,
    ranges: &[Range<usize>],
) -> Result<(Vec<Instance>, Option<Camera>)> {
    let d = source.document;
    let roots: Vec<usize> = match d.scenes.get(d.scene.unwrap_or(0)) {
        Some(scene) => scene.nodes.clone(),
        None => return Err(bad!("scene: the file declares no scene")),
    };
    let mut out = Vec::new();
    let mut camera = None;
    // A node belongs to one parent; seeing one twice means a cycle or a shared child, both forbidden.
    let mut seen = vec![false; d.nodes.len()];
    let mut work: Vec<(usize, Affine)> =
        roots.into_iter().rev().map(|n| (n, Affine::IDENTITY)).collect();
    while let Some((index, parent)) = work.pop() {
        let node = d.nodes.get(index).ok_or_else(|| bad!("scene: node {index} does not exist"))?;
        if std::mem::replace(&mut seen[index], true) {
            return Err(bad!("scene: node {index} has two parents"));
        }
        let placed = parent.after(&local(node));
        if let Some(m) = node.mesh {
            let range = ranges.get(m).ok_or_else(|| bad!("scene: mesh {m} does not exist"))?;
            place(source, node, range, &placed, &mut out)?;
        }
        if let (Some(c), true) = (node.camera, camera.is_none()) {
            let c = d.cameras.get(c).ok_or_else(|| bad!("scene: camera {c} does not exist"))?;
            camera = c
                .perspective
                .as_ref()
                .map(|p| Camera { placed, field_of_view: clamp(p.yfov, 0.02, 3.0) });
        }
        work.extend(node.children.iter().rev().map(|&c| (c, placed)));
    }
    Ok((out, camera))
}

fn local(node: &Node) -> Affine {
    if let Some(m) = node.matrix {
        return Affine {
            columns: [vec3(m[0], m[1], m[2]), vec3(m[4], m[5], m[6]), vec3(m[8], m[9], m[10])],
            origin: vec3(m[12], m[13], m[14]),
        };
    }
    Affine::from_parts(
        Vec3::from_array(node.translation.unwrap_or([0.0; 3])),
        node.rotation.unwrap_or([0.0, 0.0, 0.0, 1.0]),
        Vec3::from_array(node.scale.unwrap_or([1.0; 3])),
    )
}

fn place(
    source: &Source,
    node: &Node,
    range: &Range<usize>,
    placed: &Affine,
    out: &mut Vec<Instance>,
) -> Result<()> {
    let mut add = |placed: Affine, colour: Vec3| -> Result<()> {
        for mesh in range.clone() {
            if out.len() >= MAX_INSTANCES {
                return Err(bad!("scene: more than {MAX_INSTANCES} instances"));
            }
            // What is squashed flat or not finite cannot be seen.
            if placed.inverse().is_some() {
                out.push(Instance { mesh: mesh as u32, placed, colour });
            }
        }
        Ok(())
    };
    let Some(instancing) = &node.extensions.instancing else {
        return add(*placed, Vec3::ONE);
    };
    let a = &instancing.attributes;
    let translations = a.translation.map(|i| source.floats::<3>(i)).transpose()?;
    let rotations = a.rotation.map(|i| source.floats::<4>(i)).transpose()?;
    let scales = a.scale.map(|i| source.floats::<3>(i)).transpose()?;
    let colours = a.colour.map(|i| source.floats::<3>(i)).transpose()?;
    let lengths = [
        translations.as_ref().map(Vec::len),
        rotations.as_ref().map(Vec::len),
        scales.as_ref().map(Vec::len),
        colours.as_ref().map(Vec::len),
    ];
    let count = lengths.iter().flatten().copied().next().unwrap_or(0);
    if lengths.iter().flatten().any(|&l| l != count) {
        return Err(bad!("scene: the attributes of an instanced node differ in length"));
    }
    for i in 0..count {
        let t = translations.as_ref().map_or([0.0; 3], |v| v[i]);
        let r = rotations.as_ref().map_or([0.0, 0.0, 0.0, 1.0], |v| v[i]);
        let s = scales.as_ref().map_or([1.0; 3], |v| v[i]);
        let c = colours.as_ref().map_or([1.0; 3], |v| v[i]);
        let inner = Affine::from_parts(Vec3::from_array(t), r, Vec3::from_array(s));
        add(placed.after(&inner), Vec3::from_array(c))?;
    }
    Ok(())
}
