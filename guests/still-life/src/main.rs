//! Makes `scene.glb` of examples/render: a still life of wheat, a bowl of grain, apples, coins, glass and candle on an
//! oak table. Everything is generated here, from nothing but arithmetic, so the scene is ours to give away; the same
//! file comes out on every machine.
//!
//! `still-life OUT.glb`

mod glb;
mod noise;
mod objects;
mod paint;
mod shape;
mod wheat;

use glb::{Copy, Glb, Parts, Wrap};
use noise::Stream;
use path_tracer::math::{PI, Vec3, sqrt, vec3};
use serde_json::{Value, json};
use shape::{Shape, aim};

const BARE: Parts = Parts { textured: false, coloured: false, shiny: false };
const COLOURED: Parts = Parts { coloured: true, ..BARE };
const TEXTURED: Parts = Parts { textured: true, ..BARE };
const SHINY: Parts = Parts { shiny: true, ..BARE };

const BOWL: Vec3 = vec3(0.135, 0.0012, 0.045);
const VASE: Vec3 = vec3(-0.155, 0.0, -0.03);
const COINS: Vec3 = vec3(-0.062, 0.0, 0.150);
const CANDLE: Vec3 = vec3(0.325, 0.0, -0.095);
const GLASS: Vec3 = vec3(0.035, 0.0, -0.115);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1).ok_or("usage: still-life OUT.glb")?;
    let mut g = Glb::default();
    table(&mut g);
    linen(&mut g);
    vase(&mut g);
    wheat_in_vase(&mut g);
    bowl_of_grain(&mut g);
    coins(&mut g);
    apples(&mut g);
    glass(&mut g);
    candle(&mut g);
    println!("{} triangles shown", g.shown);
    let bytes = g.finish("tilth contributors, Apache-2.0 OR MIT");
    println!("{} bytes", bytes.len());
    std::fs::write(out, bytes)?;
    Ok(())
}

/// A material of plain numbers.
fn plain(colour: [f32; 3], metallic: f32, roughness: f32) -> Value {
    let [r, g, b] = colour;
    json!({"pbrMetallicRoughness": {"baseColorFactor": [r, g, b, 1.0], "metallicFactor": metallic,
        "roughnessFactor": roughness}})
}

/// The product of two rotations: first `b`, then `a`.
fn turn(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    let ([ax, ay, az, aw], [bx, by, bz, bw]) = (a, b);
    [
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    ]
}

fn about_x(angle: f32) -> [f32; 4] {
    [libm::sinf(0.5 * angle), 0.0, 0.0, libm::cosf(0.5 * angle)]
}

fn about_y(angle: f32) -> [f32; 4] {
    [0.0, libm::sinf(0.5 * angle), 0.0, libm::cosf(0.5 * angle)]
}

fn table(g: &mut Glb) {
    let colour = g.texture(&paint::oak_colour(1280, 640).jpeg(true, 80), Wrap::Mirror);
    let rough = g.texture(&paint::oak_roughness(640, 320).jpeg(false, 66), Wrap::Mirror);
    let bumps = g.texture(&paint::oak_bumps(768, 384).jpeg(false, 74), Wrap::Mirror);
    let oak = g.material(json!({
        "name": "oiled oak",
        "pbrMetallicRoughness": {"baseColorTexture": {"index": colour}, "metallicFactor": 0.0,
            "metallicRoughnessTexture": {"index": rough}},
        "normalTexture": {"index": bumps, "scale": 0.22}}));
    for k in 0..6 {
        let width = 0.128;
        let offset = [0.37 * k as f32, 0.113 * (k * k) as f32 + 0.02 * k as f32];
        let mesh = g.mesh("plank", &objects::plank(1.9, width, offset), oak, TEXTURED);
        g.place(mesh, &Copy::at(vec3(0.0, 0.0, 0.29 - k as f32 * (width + 0.0009))));
    }
}

fn linen(g: &mut Glb) {
    let threads = 18.0;
    let colour = g.texture(&paint::linen_colour(256, threads).jpeg(true, 80), Wrap::Repeat);
    let bumps = g.texture(&paint::linen_bumps(256, threads).jpeg(false, 80), Wrap::Repeat);
    let repeat = json!({"KHR_texture_transform": {"scale": [28.0, 21.0]}});
    let linen = g.material(json!({
        "name": "linen",
        "pbrMetallicRoughness": {"baseColorTexture": {"index": colour, "extensions": repeat.clone()},
            "metallicFactor": 0.0, "roughnessFactor": 0.95},
        "normalTexture": {"index": bumps, "scale": 0.8, "extensions": repeat}}));
    let angle = 0.28f32;
    let (s, c) = (libm::sinf(angle), libm::cosf(angle));
    let centre = vec3(0.155, 0.0, 0.058);
    let flat = move |x: f32, z: f32| {
        // Where the bowl's foot stands, seen from the cloth.
        let (bx, bz) = (BOWL.x - centre.x, BOWL.z - centre.z);
        let (lx, lz) = (bx * c - bz * s, bx * s + bz * c);
        let d = sqrt((x - lx) * (x - lx) + (z - lz) * (z - lz));
        noise::smooth(0.085, 0.045, d)
    };
    let mesh = g.mesh(
        "cloth",
        &objects::cloth(0.42, 0.31, flat),
        linen,
        Parts { coloured: true, ..TEXTURED },
    );
    g.place(mesh, &Copy { rotation: about_y(angle), ..Copy::at(centre) });
}

fn vase(g: &mut Glb) {
    let colour = g.texture(&paint::glaze(576, 512).jpeg(true, 78), Wrap::Repeat);
    let glaze = g.material(json!({
        "name": "celadon",
        "pbrMetallicRoughness": {"baseColorTexture": {"index": colour}, "metallicFactor": 0.0, "roughnessFactor": 0.42},
        "extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 1.0, "clearcoatRoughnessFactor": 0.09}}}));
    let mesh = g.mesh("vase", &objects::vase(), glaze, Parts { textured: true, ..SHINY });
    g.place(mesh, &Copy { rotation: about_y(2.1), ..Copy::at(VASE) });
}

/// Dry, translucent plant matter.
fn straw_material(g: &mut Glb, name: &str, colour: [f32; 3], through: f32) -> usize {
    let mut m = plain(colour, 0.0, 0.55);
    m["name"] = json!(name);
    m["doubleSided"] = json!(true);
    m["extensions"] = json!({"KHR_materials_diffuse_transmission": {"diffuseTransmissionFactor": through,
        "diffuseTransmissionColorFactor": [1.0, 0.86, 0.55]}});
    g.material(m)
}

fn wheat_in_vase(g: &mut Glb) {
    let husk = straw_material(g, "ears", [0.80, 0.585, 0.285], 0.40);
    let straw = straw_material(g, "straw", [0.76, 0.585, 0.275], 0.30);
    let dry = straw_material(g, "leaves", [0.70, 0.54, 0.28], 0.50);
    let ears: Vec<usize> = [(1, 19, 0.25), (2, 17, 0.55), (3, 21, 0.85), (4, 18, 0.05)]
        .iter()
        .map(|&(seed, count, nod)| g.mesh("ear", &wheat::ear(seed, count, nod), husk, COLOURED))
        .collect();
    let mut random = Stream::new(77);
    let mut copies: Vec<Vec<Copy>> = ears.iter().map(|_| Vec::new()).collect();
    let mut stalks = Shape::default();
    let mut leaves = Shape::default();
    let count = 34;
    for k in 0..count {
        let a = k as f32 * 2.399_963 + random.range(-0.3, 0.3);
        let spread = sqrt((k as f32 + 0.5) / count as f32);
        let (c, s) = (libm::cosf(a), libm::sinf(a));
        let inside = VASE + vec3(-0.012 * c, 0.11, -0.012 * s);
        let neck = VASE + vec3(0.019 * spread * c, 0.19, 0.019 * spread * s);
        let reach = spread * random.range(0.10, 0.145);
        let high = random.range(0.285, 0.335) - 0.075 * spread * spread;
        let tip = VASE + vec3(reach * c * 1.15, high, reach * s * 0.8);
        // Through the neck: the middle control point makes the curve pass it.
        let t = 0.36;
        let (w0, w1, w2) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
        let middle = (neck - inside * w0 - tip * w2) * (1.0 / w1);
        stalks.append(
            &wheat::straw(inside, middle, tip, random.range(0.0012, 0.0016)),
            &path_tracer::math::Affine::IDENTITY,
        );
        let way = (tip - wheat::bow(inside, middle, tip, 0.96)).unit_or(vec3(0.0, 1.0, 0.0));
        // The ear nods outwards: turn its +x towards the spread direction.
        let pick = if spread > 0.75 { 1 + (k % 2) } else { [0, 3, 1][k % 3] };
        let outwards = -a + random.range(-0.5, 0.5);
        let tone = random.range(0.78, 1.0);
        copies[pick].push(Copy {
            translation: tip,
            rotation: aim(way, outwards),
            scale: Vec3::splat(random.range(0.92, 1.08)),
            colour: vec3(tone, tone * random.range(0.93, 1.0), tone * random.range(0.86, 1.0)),
        });
        if k % 4 == 1 {
            let from = wheat::bow(inside, middle, tip, random.range(0.45, 0.62));
            let b = a + random.range(-0.6, 0.6);
            let far = random.range(0.06, 0.12);
            let top = from
                + vec3(
                    libm::cosf(b) * far * 0.55,
                    random.range(0.055, 0.085),
                    libm::sinf(b) * far * 0.55,
                );
            let end = from
                + vec3(
                    libm::cosf(b) * far * 1.4,
                    random.range(-0.04, 0.02),
                    libm::sinf(b) * far * 1.4,
                );
            let shape =
                wheat::leaf(from, top, end, random.range(0.0038, 0.0055), random.range(-2.0, 2.0));
            leaves.append(&shape, &path_tracer::math::Affine::IDENTITY);
        }
    }
    for (mesh, copies) in ears.iter().zip(&mut copies) {
        if *mesh == ears[1] {
            lying_ear(copies);
        }
        g.scatter(*mesh, copies);
    }
    lying_straw(&mut stalks);
    let mesh = g.mesh("straw", &stalks, straw, COLOURED);
    g.place(mesh, &Copy::at(Vec3::ZERO));
    let mesh = g.mesh("leaves", &leaves, dry, COLOURED);
    g.place(mesh, &Copy::at(Vec3::ZERO));
}

/// Foot and head of the straw that lies on the table.
const LYING: [Vec3; 2] = [vec3(-0.335, 0.0035, 0.075), vec3(-0.205, 0.0065, 0.165)];

fn lying_ear(copies: &mut Vec<Copy>) {
    let way = LYING[1] - LYING[0] + vec3(0.0, 0.004, 0.0);
    copies.push(Copy { rotation: aim(way, 1.3), ..Copy::at(LYING[1]) });
}

fn lying_straw(stalks: &mut Shape) {
    let [a, c] = LYING;
    let b = a.lerp(c, 0.5) + vec3(0.006, 0.0, -0.006);
    stalks.append(&wheat::straw(a, b, c, 0.0016), &path_tracer::math::Affine::IDENTITY);
}

/// Points in a disk at least `apart` from each other, by throwing darts.
fn darts(random: &mut Stream, radius: f32, apart: f32, tries: u32) -> Vec<[f32; 2]> {
    let mut points: Vec<[f32; 2]> = Vec::new();
    for _ in 0..tries {
        let r = radius * sqrt(random.next());
        let a = 2.0 * PI * random.next();
        let p = [r * libm::cosf(a), r * libm::sinf(a)];
        let free = points
            .iter()
            .all(|q| (q[0] - p[0]) * (q[0] - p[0]) + (q[1] - p[1]) * (q[1] - p[1]) > apart * apart);
        if free {
            points.push(p);
        }
    }
    points
}

fn kernel_copy(random: &mut Stream, at: Vec3, normal: Vec3, tilt: f32) -> Copy {
    let lean = vec3(random.range(-tilt, tilt), 0.0, random.range(-tilt, tilt));
    let rotation = turn(
        aim(normal + lean, random.range(0.0, std::f32::consts::TAU)),
        about_x(random.range(-1.0, 1.0) * PI),
    );
    let tone = random.range(0.74, 1.0);
    Copy {
        translation: at,
        rotation,
        scale: vec3(random.range(0.92, 1.08), random.range(0.9, 1.08), random.range(0.9, 1.08)),
        colour: vec3(tone, tone * random.range(0.92, 1.0), tone * random.range(0.82, 1.0)),
    }
}

fn bowl_of_grain(g: &mut Glb) {
    let bumps = g.texture(&paint::hammered(768, 384, 28, 10.0).jpeg(false, 86), Wrap::Repeat);
    let copper = g.material(json!({
        "name": "beaten copper",
        "pbrMetallicRoughness": {"baseColorFactor": [0.93, 0.53, 0.36, 1.0], "metallicFactor": 1.0, "roughnessFactor": 0.27},
        "normalTexture": {"index": bumps, "scale": 1.0}}));
    let mesh = g.mesh("bowl", &objects::bowl(), copper, Parts { textured: true, ..SHINY });
    g.place(mesh, &Copy::at(BOWL));
    let bed = g.material(plain([0.20, 0.115, 0.045], 0.0, 1.0));
    let mesh = g.mesh("bed", &objects::heap_bed(), bed, BARE);
    g.place(mesh, &Copy::at(BOWL));

    let mut m = plain([0.84, 0.47, 0.15], 0.0, 0.40);
    m["name"] = json!("kernels");
    let skin = g.material(m);
    let kernel = g.mesh("kernel", &wheat::kernel(), skin, COLOURED);
    let mut random = Stream::new(5);
    let mut copies = Vec::new();
    for (layer, apart, tries) in
        [(-0.0024, 0.0036, 9000), (-0.0002, 0.0040, 9000), (0.0019, 0.0085, 2500)]
    {
        for [x, z] in darts(&mut random, 0.0875, apart, tries) {
            let r = sqrt(x * x + z * z);
            let slope = 2.0 * 0.027 / (0.091 * 0.091);
            let normal = vec3(x * slope, 1.0, z * slope);
            let at = BOWL + vec3(x, objects::heap(r) + layer + random.range(-0.0006, 0.0006), z);
            copies.push(kernel_copy(&mut random, at, normal, 0.35));
        }
    }
    spilled(&mut random, &mut copies);
    g.scatter(kernel, &copies);
}

/// Kernels on the table around the coins and beside the cloth.
fn spilled(random: &mut Stream, copies: &mut Vec<Copy>) {
    let mut points: Vec<[f32; 2]> = Vec::new();
    for _ in 0..900 {
        let a = 2.0 * PI * random.next();
        let r = 0.012 + 0.11 * random.next() * random.next();
        let p = [-0.035 + 1.5 * r * libm::cosf(a), 0.175 + 0.75 * r * libm::sinf(a)];
        let near = |q: &[f32; 2], d: f32| {
            (q[0] - p[0]) * (q[0] - p[0]) + (q[1] - p[1]) * (q[1] - p[1]) < d * d
        };
        let blocked = COIN_SPOTS.iter().any(|c| near(&[COINS.x + c[0], COINS.z + c[1]], 0.027));
        let on_cloth = p[0] > -0.045 && p[1] < 0.225;
        if points.len() < 84 && !blocked && !on_cloth && !points.iter().any(|q| near(q, 0.0058)) {
            points.push(p);
        }
    }
    for [x, z] in points {
        let mut copy = kernel_copy(random, vec3(x, 0.00155, z), vec3(0.0, 1.0, 0.0), 0.05);
        copy.rotation = turn(
            about_y(random.range(0.0, std::f32::consts::TAU)),
            about_x(random.range(-0.5, 0.5)),
        );
        copies.push(copy);
    }
}

/// Where coins lie, seen from [`COINS`]: the stack first.
const COIN_SPOTS: [[f32; 2]; 4] = [[0.0, 0.0], [0.050, 0.020], [-0.052, 0.026], [0.008, 0.050]];

fn coins(g: &mut Glb) {
    let mut m = plain([1.0, 0.62, 0.21], 1.0, 0.22);
    m["name"] = json!("gold");
    let gold = g.material(m);
    let coin = g.mesh("coin", &objects::coin(), gold, SHINY);
    let mut random = Stream::new(12);
    let mut copies = Vec::new();
    for k in 0..6 {
        let at = COINS
            + vec3(random.range(-0.0014, 0.0014), 0.0031 * k as f32, random.range(-0.0014, 0.0014));
        copies.push(Copy {
            rotation: about_y(random.range(0.0, std::f32::consts::TAU)),
            ..Copy::at(at)
        });
    }
    if let Some(top) = copies.last_mut() {
        top.rotation = about_y(0.35);
    }
    for (spot, angle) in COIN_SPOTS.iter().skip(2).zip([-0.5, 0.15]) {
        copies.push(Copy {
            rotation: about_y(angle),
            ..Copy::at(COINS + vec3(spot[0], 0.0001, spot[1]))
        });
    }
    // One leans on the stack, its face to the eye.
    let lean = turn(about_y(0.62), about_x(1.02));
    copies.push(Copy { rotation: lean, ..Copy::at(COINS + vec3(0.032, 0.0200, 0.022)) });
    g.scatter(coin, &copies);
}

fn apples(g: &mut Glb) {
    let colour = g.texture(&paint::apple(640, 384).jpeg(true, 78), Wrap::Repeat);
    let skin = g.material(json!({
        "name": "apple",
        "pbrMetallicRoughness": {"baseColorTexture": {"index": colour}, "metallicFactor": 0.0, "roughnessFactor": 0.38},
        "extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 0.6, "clearcoatRoughnessFactor": 0.16}}}));
    let bark = g.material(plain([0.16, 0.085, 0.035], 0.0, 0.8));
    let apple = g.mesh("apple", &objects::apple(), skin, Parts { textured: true, ..SHINY });
    let stalk = g.mesh("stalk", &objects::stalk(), bark, BARE);
    let spots = [
        (vec3(-0.045, 0.0, 0.015), turn(about_y(0.6), about_x(0.14)), 1.0),
        (vec3(-0.272, 0.0, 0.052), turn(about_y(3.6), about_x(0.10)), 0.96),
        (vec3(0.292, 0.002, 0.058), turn(about_y(1.9), turn(about_x(1.05), about_y(0.8))), 1.0),
    ];
    for (at, rotation, size) in spots {
        let lift = if at.x > 0.2 { 0.0165 } else { 0.0 };
        let copy =
            Copy { rotation, scale: Vec3::splat(size), ..Copy::at(at + vec3(0.0, lift, 0.0)) };
        g.place(apple, &copy);
        g.place(stalk, &copy);
    }
}

fn glass(g: &mut Glb) {
    let glass = g.material(json!({
        "name": "amber glass",
        "pbrMetallicRoughness": {"baseColorFactor": [0.95, 0.74, 0.36, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.0},
        "extensions": {"KHR_materials_transmission": {"transmissionFactor": 1.0}, "KHR_materials_ior": {"ior": 1.5}}}));
    let mesh = g.mesh("tumbler", &objects::tumbler(), glass, SHINY);
    g.place(mesh, &Copy::at(GLASS));
}

fn candle(g: &mut Glb) {
    let mut m = plain([0.83, 0.62, 0.27], 0.0, 0.5);
    m["name"] = json!("beeswax");
    m["extensions"] = json!({"KHR_materials_diffuse_transmission": {"diffuseTransmissionFactor": 0.30,
        "diffuseTransmissionColorFactor": [1.0, 0.72, 0.35]}});
    let wax = g.material(m);
    let mut m = plain([0.0, 0.0, 0.0], 0.0, 1.0);
    m["name"] = json!("flame");
    m["emissiveFactor"] = json!([1.0, 0.52, 0.16]);
    m["extensions"] = json!({"KHR_materials_emissive_strength": {"emissiveStrength": 15.0}});
    let fire = g.material(m);
    let brass = g.material(plain([0.87, 0.66, 0.34], 1.0, 0.30));
    let soot = g.material(plain([0.02, 0.015, 0.01], 0.0, 0.9));
    let tall = 0.095;
    let foot = CANDLE + vec3(0.0, 0.004, 0.0);
    let mesh = g.mesh("saucer", &objects::saucer(), brass, SHINY);
    g.place(mesh, &Copy::at(CANDLE));
    let mesh = g.mesh("candle", &objects::candle(tall), wax, BARE);
    g.place(mesh, &Copy::at(foot));
    let mesh = g.mesh("wick", &objects::wick(), soot, BARE);
    g.place(mesh, &Copy::at(foot + vec3(0.0, tall - 0.009, 0.0)));
    let mesh = g.mesh("flame", &objects::flame(), fire, BARE);
    g.place(mesh, &Copy::at(foot + vec3(0.0018, tall - 0.003, 0.0)));
}
