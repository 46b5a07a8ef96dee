//! Physics and file features on a scene small enough to know the answer: one square before a white surrounding.

use path_tracer::Renderer;
use serde_json::{Value, json};

/// A square from -1 to 1 in x and y at z = 0, facing +z, with a 2 x 2 PNG and a camera 3 units before it.
fn square(material: Value, pixels: [[u8; 4]; 4]) -> Vec<u8> {
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, 2, 2);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels.concat()).unwrap();
    writer.finish().unwrap();

    let mut data: Vec<u8> = Vec::new();
    let positions: [[f32; 3]; 4] =
        [[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]];
    // glTF's texture coordinates start in the upper left corner.
    let coordinates: [[f32; 2]; 4] = [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]];
    data.extend(positions.iter().flatten().flat_map(|v| v.to_le_bytes()));
    data.extend(coordinates.iter().flatten().flat_map(|v| v.to_le_bytes()));
    data.extend([0u8, 1, 2, 0, 2, 3]);
    data.extend([0, 0]);
    let at = data.len();
    data.extend(&picture);
    while data.len() % 4 != 0 {
        data.push(0);
    }
    let document = json!({
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"mesh": 0}, {"camera": 0, "translation": [0.0, 0.0, 3.0]}],
        "cameras": [{"type": "perspective", "perspective": {"yfov": 0.4, "znear": 0.1}}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [material],
        "textures": [{"source": 0, "sampler": 0}], "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "samplers": [{"wrapS": 33071, "wrapT": 33071}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 4},
            {"bufferView": 1, "componentType": 5126, "type": "VEC2", "count": 4},
            {"bufferView": 2, "componentType": 5121, "type": "SCALAR", "count": 6}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 32},
            {"buffer": 0, "byteOffset": 80, "byteLength": 6},
            {"buffer": 0, "byteOffset": at, "byteLength": picture.len()}],
        "buffers": [{"byteLength": data.len()}],
    });
    let mut text = document.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut out = b"glTF".to_vec();
    let total = (28 + text.len() + data.len()) as u32;
    for word in [2, total, text.len() as u32, 0x4e4f_534a] {
        out.extend(word.to_le_bytes());
    }
    out.extend(&text);
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(0x004e_4942u32.to_le_bytes());
    out.extend(&data);
    out
}

/// 16 x 16 pixels of it.
fn picture(material: Value, pixels: [[u8; 4]; 4]) -> Vec<[u8; 3]> {
    let settings = br#"{"width":16,"height":16,"tile":16,"samples":256,"max-bounces":4}"#;
    let r = Renderer::new(&square(material, pixels), None, settings).unwrap();
    r.tile(0).unwrap().chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()
}

/// The byte of white surroundings, which fill no pixel of the other pictures.
fn white() -> u8 {
    let nothing =
        json!({"alphaMode": "MASK", "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 0.1]}});
    let p = picture(nothing, [[255; 4]; 4]);
    assert!(p.iter().flatten().all(|b| b.abs_diff(p[0][0]) <= 3), "the surroundings are not even");
    p[100][1]
}

fn near(a: u8, b: u8, by: u8) -> bool {
    a.abs_diff(b) <= by
}

/// In an even surrounding a surface that absorbs nothing cannot be seen.
#[test]
fn white_surfaces_vanish_in_white_light() {
    let white = white();
    for (metallic, roughness) in [(1.0, 0.05), (1.0, 0.4), (1.0, 1.0), (0.0, 1.0), (0.0, 0.3)] {
        let m = json!({"pbrMetallicRoughness": {"metallicFactor": metallic, "roughnessFactor": roughness}});
        let p = picture(m, [[255; 4]; 4]);
        assert!(
            p.iter().flatten().all(|&b| near(b, white, 6)),
            "{metallic} {roughness}: {:?} against {white}",
            p[100]
        );
    }
}

#[test]
fn clear_glass_vanishes_but_for_its_fresnel_symmetry() {
    let white = white();
    let m = json!({"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.0},
        "extensions": {"KHR_materials_transmission": {"transmissionFactor": 1.0}}});
    let p = picture(m, [[255; 4]; 4]);
    assert!(p.iter().flatten().all(|&b| near(b, white, 6)), "{:?} against {white}", p[100]);
}

#[test]
fn texture_rows_start_on_top_and_columns_on_the_left() {
    let (red, green, blue, black) =
        ([255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [0, 0, 0, 255]);
    let m = json!({"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0,
        "baseColorTexture": {"index": 0}}});
    let p = picture(m, [red, green, blue, black]);
    let brightest = |x: usize, y: usize| {
        let c = p[y * 16 + x];
        (0..3).max_by_key(|&k| c[k]).unwrap()
    };
    assert_eq!([brightest(2, 2), brightest(13, 2), brightest(2, 13)], [0, 1, 2]);
    let dark = p[13 * 16 + 13];
    assert!(dark.iter().all(|&b| b < p[2 * 16 + 2][0]), "{dark:?}");
}

#[test]
fn masks_cut_holes() {
    let white = white();
    let m = json!({"alphaMode": "MASK", "alphaCutoff": 0.5, "pbrMetallicRoughness": {"metallicFactor": 0.0,
        "roughnessFactor": 1.0, "baseColorFactor": [0.02, 0.02, 0.02, 1.0], "baseColorTexture": {"index": 0}}});
    let p = picture(m, [[255, 255, 255, 0], [255; 4], [255, 255, 255, 0], [255; 4]]);
    assert!(near(p[8 * 16 + 2][0], white, 3), "left is {:?}", p[8 * 16 + 2]);
    assert!(p[8 * 16 + 13][0] < white / 2, "right is {:?}", p[8 * 16 + 13]);
}

#[test]
fn files_that_need_what_is_not_supported_are_named() {
    let mut scene = square(json!({}), [[255; 4]; 4]);
    let text = String::from_utf8_lossy(&scene[20..]).find("\"2.0\"").unwrap();
    scene[20 + text + 1] = b'3';
    let settings = br#"{"width":16,"height":16}"#;
    let e = Renderer::new(&scene, None, settings).err().unwrap().to_string();
    assert!(e.contains("glTF version 3.0"), "{e}");
}
