// The path tracer as a GPU program of the exact class: what `Renderer::tile` does, operation by operation, so
// that an exact device gives the same bytes. One invocation is one pixel; a dispatch adds one sample to it, and
// the last dispatch turns sums into bytes. `layout.rs` lays out what is read here.

const NONE: u32 = 0xffffffffu;
const LEAF: u32 = 0x80000000u;
const OPAQUE: u32 = 1u;
const FILTERING: u32 = 2u;
const FAR: f32 = 1e28f;
const MAX_LAYERS: u32 = 24u;
const PI: f32 = 3.14159274f;
const INV_PI: f32 = 0.318309873f;
const STACK: u32 = 160u;

struct Frame {
    // Task, repetition, and two of zero: filled by the worker.
    task: vec4<u32>,
    // Width, height, tile, tiles across.
    size: vec4<u32>,
    // Samples, most bounces, whether some surface filters, root of the scene's tree.
    paths: vec4<u32>,
    // Eye, radius of the lens.
    eye: vec4<f32>,
    // Right, distance that is sharp.
    right: vec4<f32>,
    // Up, half the width at distance one.
    up: vec4<f32>,
    // Forward, half the height.
    forward: vec4<f32>,
    // Environment: width, height, where rows and columns begin.
    around: vec4<u32>,
    // Environment: mean, intensity, turn, background.
    light: vec4<f32>,
    // Middle of the emissive triangles, square of their reach.
    centre: vec4<f32>,
    // Power of the emissive triangles, strength of the environment, cut for indirect light, one over samples.
    power: vec4<f32>,
    // Exposure, saturation, contrast, and one if the environment is dark.
    tone: vec4<f32>,
    // Where instances, meshes, materials, textures begin.
    tables: vec4<u32>,
    // Where pictures, sRGB values, lights, shares begin.
    tables2: vec4<u32>,
    // Lights, nothing.
    counts: vec4<u32>,
}

@group(0) @binding(0) var<uniform> frame: Frame;
@group(0) @binding(1) var<storage, read> nodes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> packs: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> words: array<u32>;
@group(0) @binding(4) var<storage, read> pixels: array<u32>;
@group(0) @binding(5) var<storage, read> around: array<u32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<u32>;

struct Ray { origin: vec3<f32>, direction: vec3<f32> }
struct Hit { found: bool, t: f32, u: f32, v: f32, triangle: u32, instance: u32 }
struct Affine { x: vec3<f32>, y: vec3<f32>, z: vec3<f32>, origin: vec3<f32> }
struct Point {
    position: vec3<f32>, flat: vec3<f32>, normal: vec3<f32>, front: bool,
    uv0: vec2<f32>, uv1: vec2<f32>, colour: vec3<f32>, material: u32,
}
struct Looked { base: vec3<f32>, metallic: f32, roughness: f32 }
struct Surface {
    diffuse: vec3<f32>, translucent: vec3<f32>, f0: vec3<f32>, alpha: f32,
    coat: f32, coat_alpha: f32, glass: f32, tint: vec3<f32>, ior: f32,
    choose_specular: f32, choose_coat: f32, boost: vec3<f32>,
}
struct Scatter { some: bool, direction: vec3<f32>, weight: vec3<f32>, density: f32 }
struct Value { value: vec3<f32>, density: f32 }
struct Texel { colour: vec3<f32>, alpha: f32 }
struct Drawn { direction: vec3<f32>, radiance: vec3<f32>, density: f32 }
struct Corners { p: array<u32, 4>, w: array<f32, 4> }

var<private> stack_words: array<u32, 160>;
var<private> stack_near: array<f32, 160>;
var<private> stack_top: u32;

// The state of a path, and its sample points.
var<private> ray: Ray;
var<private> weight: vec3<f32>;
var<private> gathered: vec3<f32>;
var<private> density: f32;
var<private> share: f32;
var<private> rough: bool;
var<private> sampler_pixel: u32;
var<private> sampler_index: u32;
var<private> point: Point;
var<private> hit: Hit;

// math.rs

fn min1(a: f32, b: f32) -> f32 { return select(b, a, a < b); }
fn max1(a: f32, b: f32) -> f32 { return select(b, a, a > b); }
fn clamp1(x: f32, low: f32, high: f32) -> f32 { return max1(min1(x, high), low); }
fn root(x: f32) -> f32 { return sqrt(max1(x, 0.0f)); }
fn dot3(a: vec3<f32>, b: vec3<f32>) -> f32 { return a.x * b.x + a.y * b.y + a.z * b.z; }
fn cross3(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
    return vec3<f32>(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}
fn length3(a: vec3<f32>) -> f32 { return root(dot3(a, a)); }
fn unit_or(a: vec3<f32>, otherwise: vec3<f32>) -> vec3<f32> {
    let l = length3(a);
    if (l > 1e-20f) { return a * (1.0f / l); }
    return otherwise;
}
fn largest(a: vec3<f32>) -> f32 { return max1(a.x, max1(a.y, a.z)); }
fn luminance(a: vec3<f32>) -> f32 { return 0.2126f * a.x + 0.7152f * a.y + 0.0722f * a.z; }
fn lerp3(a: vec3<f32>, b: vec3<f32>, t: f32) -> vec3<f32> { return a * (1.0f - t) + b * t; }
fn splat(v: f32) -> vec3<f32> { return vec3<f32>(v, v, v); }
fn is_finite(a: vec3<f32>) -> bool {
    let bits = bitcast<vec3<u32>>(a) & vec3<u32>(0x7f800000u);
    return bits.x != 0x7f800000u && bits.y != 0x7f800000u && bits.z != 0x7f800000u;
}

fn concentric_disk(u: f32, v: f32) -> vec2<f32> {
    let a = 2.0f * u - 1.0f;
    let b = 2.0f * v - 1.0f;
    if (a == 0.0f && b == 0.0f) { return vec2<f32>(0.0f, 0.0f); }
    var r = b;
    var phi = 0.0f;
    if (abs(a) > abs(b)) {
        r = a;
        phi = 0.785398185f * (b / a);
    } else {
        phi = 1.57079637f - 0.785398185f * (a / b);
    }
    return vec2<f32>(r * tilth_cos(phi), r * tilth_sin(phi));
}

fn float_at(at: u32) -> f32 { return bitcast<f32>(words[at]); }
fn vector_at(at: u32) -> vec3<f32> {
    return vec3<f32>(float_at(at), float_at(at + 1u), float_at(at + 2u));
}
fn affine_at(at: u32) -> Affine {
    return Affine(vector_at(at), vector_at(at + 3u), vector_at(at + 6u), vector_at(at + 9u));
}
fn map_vector(m: Affine, v: vec3<f32>) -> vec3<f32> { return m.x * v.x + m.y * v.y + m.z * v.z; }
fn map_point(m: Affine, p: vec3<f32>) -> vec3<f32> { return map_vector(m, p) + m.origin; }
fn map_normal(m: Affine, n: vec3<f32>) -> vec3<f32> {
    return vec3<f32>(dot3(m.x, n), dot3(m.y, n), dot3(m.z, n));
}

// random.rs

fn mix1(seed: u32) -> u32 {
    var x = seed;
    x = x ^ (x >> 16u);
    x = x * 0x7feb352du;
    x = x ^ (x >> 15u);
    x = x * 0x846ca68bu;
    return x ^ (x >> 16u);
}
fn mix2(a: u32, b: u32) -> u32 { return mix1(a ^ mix1(b + 0x9e3779b9u)); }
fn unit(x: u32) -> f32 { return f32(x >> 8u) * 5.9604644775390625e-8f; }
fn permute(start: u32, seed: u32) -> u32 {
    var x = start;
    x = x ^ (x * 0x3d20adeau);
    x = x + seed;
    x = x * ((seed >> 16u) | 1u);
    x = x ^ (x * 0x05526c56u);
    return x ^ (x * 0x53a22864u);
}
fn sobol2_reversed(start: u32) -> u32 {
    var i = start;
    i = i ^ ((i >> 1u) & 0x55555555u);
    i = i ^ ((i >> 2u) & 0x33333333u);
    i = i ^ ((i >> 4u) & 0x0f0f0f0fu);
    i = i ^ ((i >> 8u) & 0x00ff00ffu);
    return i ^ (i >> 16u);
}
fn pair(number: u32) -> vec2<f32> {
    let seed = mix2(sampler_pixel, number);
    let i = reverseBits(permute(sampler_index, seed));
    let x = reverseBits(permute(i, mix1(seed ^ 0x68bc21ebu)));
    let y = reverseBits(permute(sobol2_reversed(i), mix1(seed ^ 0x02e5be93u)));
    return vec2<f32>(unit(x), unit(y));
}
fn hashed(dimension: u32) -> f32 {
    return unit(mix2(sampler_pixel ^ sampler_index, dimension | 0x80000000u));
}

// bvh/trace.rs

fn push(word: u32, near: f32) {
    if (stack_top < STACK) {
        stack_words[stack_top] = word;
        stack_near[stack_top] = near;
        stack_top = stack_top + 1u;
    }
}

fn inverted(d: f32) -> f32 {
    var e = d;
    if (abs(d) < 1e-18f) { e = select(1e-18f, -1e-18f, d < 0.0f); }
    return 1.0f / e;
}

fn min4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return select(b, a, a < b); }
fn max4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return select(b, a, a > b); }

// Pushes the children of a node that the ray enters before `t_max`, the nearest on top.
fn enter(node: u32, origin: vec3<f32>, inverse: vec3<f32>, t_max: f32) {
    let at = node * 7u;
    let sx = select(0u, 1u, inverse.x < 0.0f);
    let sy = select(0u, 1u, inverse.y < 0.0f);
    let sz = select(0u, 1u, inverse.z < 0.0f);
    let ox = vec4<f32>(origin.x, origin.x, origin.x, origin.x);
    let oy = vec4<f32>(origin.y, origin.y, origin.y, origin.y);
    let oz = vec4<f32>(origin.z, origin.z, origin.z, origin.z);
    let near_x = (bitcast<vec4<f32>>(nodes[at + sx]) - ox) * inverse.x;
    let near_y = (bitcast<vec4<f32>>(nodes[at + 2u + sy]) - oy) * inverse.y;
    let near_z = (bitcast<vec4<f32>>(nodes[at + 4u + sz]) - oz) * inverse.z;
    let far_x = (bitcast<vec4<f32>>(nodes[at + 1u - sx]) - ox) * inverse.x;
    let far_y = (bitcast<vec4<f32>>(nodes[at + 3u - sy]) - oy) * inverse.y;
    let far_z = (bitcast<vec4<f32>>(nodes[at + 5u - sz]) - oz) * inverse.z;
    let zero = vec4<f32>(0.0f, 0.0f, 0.0f, 0.0f);
    let near = max4(max4(near_x, near_y), max4(near_z, zero));
    let far = min4(min4(far_x, far_y), min4(far_z, vec4<f32>(t_max, t_max, t_max, t_max)));
    let entered = near <= far * 1.0000005f;
    let children = nodes[at + 6u];
    let start = stack_top;
    for (var lane = 0u; lane < 4u; lane = lane + 1u) {
        if (!entered[lane]) { continue; }
        push(children[lane], near[lane]);
        var k = stack_top - 1u;
        while (k > start && stack_near[k - 1u] < stack_near[k]) {
            let word = stack_words[k];
            let t = stack_near[k];
            stack_words[k] = stack_words[k - 1u];
            stack_near[k] = stack_near[k - 1u];
            stack_words[k - 1u] = word;
            stack_near[k - 1u] = t;
            k = k - 1u;
        }
    }
}

struct Four { t: vec4<f32>, u: vec4<f32>, v: vec4<f32>, hit: vec4<bool> }

fn lanes(at: u32) -> vec4<f32> { return bitcast<vec4<f32>>(packs[at]); }

fn triangles(pack: u32, o: vec3<f32>, d: vec3<f32>, t_max: f32) -> Four {
    let at = pack * 10u;
    let e1x = lanes(at + 3u); let e1y = lanes(at + 4u); let e1z = lanes(at + 5u);
    let e2x = lanes(at + 6u); let e2y = lanes(at + 7u); let e2z = lanes(at + 8u);
    let dx = vec4<f32>(d.x, d.x, d.x, d.x);
    let dy = vec4<f32>(d.y, d.y, d.y, d.y);
    let dz = vec4<f32>(d.z, d.z, d.z, d.z);
    let px = dy * e2z - dz * e2y;
    let py = dz * e2x - dx * e2z;
    let pz = dx * e2y - dy * e2x;
    let determinant = e1x * px + e1y * py + e1z * pz;
    let inverse = vec4<f32>(1.0f, 1.0f, 1.0f, 1.0f) / determinant;
    let sx = vec4<f32>(o.x, o.x, o.x, o.x) - lanes(at);
    let sy = vec4<f32>(o.y, o.y, o.y, o.y) - lanes(at + 1u);
    let sz = vec4<f32>(o.z, o.z, o.z, o.z) - lanes(at + 2u);
    let u = (sx * px + sy * py + sz * pz) * inverse;
    let qx = sy * e1z - sz * e1y;
    let qy = sz * e1x - sx * e1z;
    let qz = sx * e1y - sy * e1x;
    let v = (dx * qx + dy * qy + dz * qz) * inverse;
    let t = (e2x * qx + e2y * qy + e2z * qz) * inverse;
    let zero = vec4<f32>(0.0f, 0.0f, 0.0f, 0.0f);
    let one = vec4<f32>(1.0f, 1.0f, 1.0f, 1.0f);
    // A flat triangle is never hit; said outright, for not every device compares NaN as it should.
    let real = determinant != zero;
    let inside = (zero <= u) & (zero <= v) & (u + v <= one);
    let ahead = (zero < t) & (t < vec4<f32>(t_max, t_max, t_max, t_max));
    return Four(t, u, v, real & inside & ahead);
}

// Nearest (or, with `any`, any) triangle of a mesh; what is found goes into `hit`.
fn meet_mesh(mesh: u32, local: Ray, t_max: f32, instance: u32, any_hit: bool) -> bool {
    let nodes_at = words[mesh];
    let tree = words[mesh + 1u];
    let packs_at = words[mesh + 2u];
    let inverse =
        vec3<f32>(inverted(local.direction.x), inverted(local.direction.y), inverted(local.direction.z));
    var limit = t_max;
    var found = false;
    let base = stack_top;
    if (tree != NONE) { push(tree, 0.0f); }
    while (stack_top > base) {
        stack_top = stack_top - 1u;
        let word = stack_words[stack_top];
        if (!any_hit && stack_near[stack_top] > limit) { continue; }
        if ((word & LEAF) == 0u) {
            enter(nodes_at + word, local.origin, inverse, limit);
            continue;
        }
        let pack = packs_at + (word & ~LEAF);
        let four = triangles(pack, local.origin, local.direction, limit);
        for (var lane = 0u; lane < 4u; lane = lane + 1u) {
            if (!four.hit[lane]) { continue; }
            if (any_hit) { return true; }
            if (four.t[lane] < limit) {
                limit = four.t[lane];
                let triangle = packs[pack * 10u + 9u];
                hit = Hit(true, limit, four.u[lane], four.v[lane], triangle[lane], instance);
                found = true;
            }
        }
    }
    return found;
}

fn meet_scene(along: Ray, t_max: f32, kinds: u32, any_hit: bool) -> bool {
    stack_top = 0u;
    let inverse =
        vec3<f32>(inverted(along.direction.x), inverted(along.direction.y), inverted(along.direction.z));
    var limit = t_max;
    var found = false;
    if (!any_hit) { hit = Hit(false, 0.0f, 0.0f, 0.0f, 0u, 0u); }
    if (frame.paths.w != NONE) { push(frame.paths.w, 0.0f); }
    while (stack_top > 0u) {
        stack_top = stack_top - 1u;
        let word = stack_words[stack_top];
        if (!any_hit && stack_near[stack_top] > limit) { continue; }
        if ((word & LEAF) == 0u) {
            enter(word, along.origin, inverse, limit);
            continue;
        }
        let instance = word & ~LEAF;
        let at = frame.tables.x + instance * 32u;
        if ((words[at + 25u] & kinds) == 0u) { continue; }
        let to_mesh = affine_at(at + 12u);
        let local = Ray(map_point(to_mesh, along.origin), map_vector(to_mesh, along.direction));
        let mesh = frame.tables.y + words[at + 24u] * 12u;
        if (meet_mesh(mesh, local, limit, instance, any_hit)) {
            if (any_hit) { return true; }
            limit = hit.t;
            found = true;
        }
    }
    return found;
}

// texture.rs

fn wrapped(i: i32, n: i32, wrap: u32) -> u32 {
    var k = i;
    if (wrap == 0u) {
        k = i % n;
        if (k < 0) { k = k + n; }
    } else if (wrap == 1u) {
        k = i % (2 * n);
        if (k < 0) { k = k + 2 * n; }
        if (k >= n) { k = 2 * n - 1 - k; }
    } else {
        k = clamp(i, 0, n - 1);
    }
    return u32(k);
}

fn corners(texture: u32, uv: vec2<f32>) -> Corners {
    let picture = frame.tables2.x + words[texture] * 3u;
    let w = i32(words[picture]);
    let h = i32(words[picture + 1u]);
    let u = float_at(texture + 4u) * uv.x + float_at(texture + 5u) * uv.y + float_at(texture + 6u);
    let v = float_at(texture + 7u) * uv.x + float_at(texture + 8u) * uv.y + float_at(texture + 9u);
    let x = u * f32(w) - 0.5f;
    let y = v * f32(h) - 0.5f;
    let fx = floor(x);
    let fy = floor(y);
    let ix = clamp(i32(fx), -1073741824, 1073741824);
    let iy = clamp(i32(fy), -1073741824, 1073741824);
    let tx = x - fx;
    let ty = y - fy;
    let x0 = wrapped(ix, w, words[texture + 2u]);
    let x1 = wrapped(ix + 1, w, words[texture + 2u]);
    let y0 = wrapped(iy, h, words[texture + 3u]);
    let y1 = wrapped(iy + 1, h, words[texture + 3u]);
    let first = words[picture + 2u];
    let across = u32(w);
    return Corners(
        array<u32, 4>(
            pixels[first + y0 * across + x0], pixels[first + y0 * across + x1],
            pixels[first + y1 * across + x0], pixels[first + y1 * across + x1]),
        array<f32, 4>((1.0f - tx) * (1.0f - ty), tx * (1.0f - ty), (1.0f - tx) * ty, tx * ty));
}

fn byte_of(pixel: u32, number: u32) -> u32 { return (pixel >> (8u * number)) & 0xffu; }

fn uv_of(texture: u32, uv0: vec2<f32>, uv1: vec2<f32>) -> vec2<f32> {
    return select(uv0, uv1, (words[texture + 1u] & 1u) == 1u);
}

fn colour_of(texture: u32, uv0: vec2<f32>, uv1: vec2<f32>) -> Texel {
    var four = corners(texture, uv_of(texture, uv0, uv1));
    var c = splat(0.0f);
    var alpha = 0.0f;
    for (var k = 0u; k < 4u; k = k + 1u) {
        let p = four.p[k];
        let w = four.w[k];
        let linear = vec3<f32>(
            float_at(frame.tables2.y + byte_of(p, 0u)),
            float_at(frame.tables2.y + byte_of(p, 1u)),
            float_at(frame.tables2.y + byte_of(p, 2u)));
        c = c + linear * w;
        alpha = alpha + f32(byte_of(p, 3u)) * w;
    }
    return Texel(c, alpha * 0.00392156886f);
}

fn values_of(texture: u32, uv0: vec2<f32>, uv1: vec2<f32>) -> vec3<f32> {
    var four = corners(texture, uv_of(texture, uv0, uv1));
    var c = splat(0.0f);
    for (var k = 0u; k < 4u; k = k + 1u) {
        let p = four.p[k];
        c = c + vec3<f32>(f32(byte_of(p, 0u)), f32(byte_of(p, 1u)), f32(byte_of(p, 2u))) * four.w[k];
    }
    return c * 0.00392156886f;
}

fn texture_at(number: u32) -> u32 { return frame.tables.w + number * 10u; }

// environment.rs

fn texel(at: u32) -> vec3<f32> {
    return vec3<f32>(
        bitcast<f32>(around[at * 3u]),
        bitcast<f32>(around[at * 3u + 1u]),
        bitcast<f32>(around[at * 3u + 2u]));
}

fn sky_coordinates(d: vec3<f32>) -> vec2<f32> {
    let u = tilth_atan2(d.x, -d.z) * 0.159154937f + 0.5f + frame.light.z;
    let v = tilth_acos(clamp1(d.y, -1.0f, 1.0f)) * INV_PI;
    return vec2<f32>(u - floor(u), v);
}

fn sky_radiance(d: vec3<f32>) -> vec3<f32> {
    let uv = sky_coordinates(d);
    let w = i32(frame.around.x);
    let h = i32(frame.around.y);
    let x = uv.x * f32(w) - 0.5f;
    let y = uv.y * f32(h) - 0.5f;
    let fx = floor(x);
    let fy = floor(y);
    let tx = x - fx;
    let ty = y - fy;
    let x0 = wrapped(i32(fx), w, 0u);
    let x1 = wrapped(i32(fx) + 1, w, 0u);
    let r0 = u32(clamp(i32(fy), 0, h - 1) * w);
    let r1 = u32(clamp(i32(fy) + 1, 0, h - 1) * w);
    let top = lerp3(texel(r0 + x0), texel(r0 + x1), tx);
    let low = lerp3(texel(r1 + x0), texel(r1 + x1), tx);
    return lerp3(top, low, ty) * frame.light.y;
}

fn sky_brightness(x: u32, y: u32) -> f32 {
    let w = frame.around.x;
    let h = frame.around.y;
    let left = select(x - 1u, w - 1u, x == 0u);
    let right = select(x + 1u, 0u, x + 1u == w);
    let up = select(y - 1u, 0u, y == 0u);
    let down = min(y + 1u, h - 1u);
    return 0.5f * luminance(texel(y * w + x))
        + 0.125f
            * (luminance(texel(y * w + left)) + luminance(texel(y * w + right))
                + luminance(texel(up * w + x)) + luminance(texel(down * w + x)));
}

fn texel_density(x: u32, y: u32, cosine: f32) -> f32 {
    let sine = root(1.0f - cosine * cosine);
    if (sine < 1e-6f) { return 0.0f; }
    let weighted = tilth_sin(PI * (f32(y) + 0.5f) / f32(frame.around.y));
    return sky_brightness(x, y) * weighted / (frame.light.x * 2.0f * PI * PI * sine);
}

fn sky_density(d: vec3<f32>) -> f32 {
    let uv = sky_coordinates(d);
    let x = min(u32(uv.x * f32(frame.around.x)), frame.around.x - 1u);
    let y = min(u32(uv.y * f32(frame.around.y)), frame.around.y - 1u);
    return texel_density(x, y, d.y);
}

struct Cell { index: u32, place: f32 }

fn cumulative(at: u32) -> f32 { return bitcast<f32>(around[at]); }

fn find(first: u32, count: u32, u: f32) -> Cell {
    var low = 0u;
    var high = count;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (cumulative(first + middle) <= u) { low = middle + 1u; } else { high = middle; }
    }
    let i = min(low, count - 1u);
    var below = 0.0f;
    if (i > 0u) { below = cumulative(first + i - 1u); }
    let size = cumulative(first + i) - below;
    var f = 0.5f;
    if (size > 0.0f) { f = (u - below) / size; }
    return Cell(i, clamp1(f, 0.0f, 0.999999f));
}

fn draw_sky(a: f32, b: f32) -> Drawn {
    let row = find(frame.around.z, frame.around.y, b);
    let y = row.index;
    let column = find(frame.around.w + y * frame.around.x, frame.around.x, a);
    let x = column.index;
    let u = (f32(x) + column.place) / f32(frame.around.x) - frame.light.z - 0.5f;
    let phi = u * 2.0f * PI;
    let theta = (f32(y) + row.place) / f32(frame.around.y) * PI;
    let sine = tilth_sin(theta);
    let cosine = tilth_cos(theta);
    let direction = vec3<f32>(sine * tilth_sin(phi), cosine, -sine * tilth_cos(phi));
    return Drawn(direction, sky_radiance(direction), texel_density(x, y, cosine));
}

// scene.rs

fn material_at(number: u32) -> u32 { return frame.tables.z + number * 28u; }

fn filters(material: u32) -> bool { return words[material + 19u] != 0u; }

fn light_at(p: vec3<f32>) -> f32 {
    let way = p - frame.centre.xyz;
    return frame.power.x / max1(max1(dot3(way, way), frame.centre.w), 1e-12f);
}

fn light_density(material: u32) -> f32 {
    return luminance(vector_at(material + 6u)) / max1(frame.power.x, 1e-20f);
}

fn is_dim(v: vec3<f32>) -> bool { return v.x == 0.0f && v.y == 0.0f && v.z == 0.0f; }

fn emission_of(material: u32, uv0: vec2<f32>, uv1: vec2<f32>) -> vec3<f32> {
    let emission = vector_at(material + 6u);
    let texture = words[material + 24u];
    if (texture != NONE && !is_dim(emission)) {
        return emission * colour_of(texture_at(texture), uv0, uv1).colour;
    }
    return emission;
}

fn mesh_of(instance: u32) -> u32 {
    return frame.tables.y + words[frame.tables.x + instance * 32u + 24u] * 12u;
}

fn coordinates(mesh: u32, number: u32, corner: vec3<u32>, u: f32, v: f32) -> vec2<f32> {
    let first = words[mesh + 6u + number];
    if (first == NONE) { return vec2<f32>(0.0f, 0.0f); }
    let w = 1.0f - u - v;
    let p = first + corner.x * 2u;
    let q = first + corner.y * 2u;
    let r = first + corner.z * 2u;
    return vec2<f32>(
        float_at(p) * w + float_at(q) * u + float_at(r) * v,
        float_at(p + 1u) * w + float_at(q + 1u) * u + float_at(r + 1u) * v);
}

fn corners_of(mesh: u32, triangle: u32) -> vec3<u32> {
    let at = words[mesh + 3u] + triangle * 3u;
    return vec3<u32>(words[at], words[at + 1u], words[at + 2u]);
}

fn opacity_at(material: u32, p: Point) -> f32 {
    let kind = words[material + 9u];
    if (kind == 0u) { return 1.0f; }
    var alpha = float_at(material + 3u);
    let texture = words[material + 20u];
    if (texture != NONE) {
        alpha = alpha * colour_of(texture_at(texture), p.uv0, p.uv1).alpha;
    } else {
        alpha = alpha * 1.0f;
    }
    if (kind == 1u) { return select(0.0f, 1.0f, alpha >= float_at(material + 10u)); }
    return alpha;
}

fn point_at(along: Ray, h: Hit) -> Point {
    let instance = frame.tables.x + h.instance * 32u;
    let mesh = mesh_of(h.instance);
    let corner = corners_of(mesh, h.triangle);
    let w = 1.0f - h.u - h.v;
    let positions = words[mesh + 4u];
    let pa = vector_at(positions + corner.x * 3u);
    let pb = vector_at(positions + corner.y * 3u);
    let pc = vector_at(positions + corner.z * 3u);
    let placed = affine_at(instance);
    let inverse = affine_at(instance + 12u);
    let position = map_point(placed, pa * w + pb * h.u + pc * h.v);
    let up = -along.direction;
    var flat = unit_or(map_normal(inverse, cross3(pb - pa, pc - pa)), up);
    let front = dot3(flat, up) >= 0.0f;
    if (!front) { flat = -flat; }
    var normal = flat;
    let normals = words[mesh + 5u];
    if (normals != NONE) {
        let n = vector_at(normals + corner.x * 3u) * w + vector_at(normals + corner.y * 3u) * h.u
            + vector_at(normals + corner.z * 3u) * h.v;
        normal = unit_or(map_normal(inverse, n), flat);
        if (dot3(normal, flat) < 0.0f) { normal = -normal; }
    }
    var colour = vector_at(instance + 26u);
    let colours = words[mesh + 8u];
    if (colours != NONE) {
        colour = colour * (vector_at(colours + corner.x * 3u) * w + vector_at(colours + corner.y * 3u) * h.u
            + vector_at(colours + corner.z * 3u) * h.v);
    }
    return Point(
        position, flat, normal, front,
        coordinates(mesh, 0u, corner, h.u, h.v), coordinates(mesh, 1u, corner, h.u, h.v),
        colour, words[mesh + 9u]);
}

// The normal of a normal map for `point`.
fn bent(h: Hit, texture: u32, n: vec3<f32>) -> vec3<f32> {
    let mesh = mesh_of(h.instance);
    let uvs = words[mesh + 6u + (words[texture + 1u] & 1u)];
    if (uvs == NONE) { return point.normal; }
    let corner = corners_of(mesh, h.triangle);
    let positions = words[mesh + 4u];
    let pa = vector_at(positions + corner.x * 3u);
    let e1 = vector_at(positions + corner.y * 3u) - pa;
    let e2 = vector_at(positions + corner.z * 3u) - pa;
    let a = uvs + corner.x * 2u;
    let b = uvs + corner.y * 2u;
    let c = uvs + corner.z * 2u;
    let du1 = float_at(b) - float_at(a);
    let dv1 = float_at(b + 1u) - float_at(a + 1u);
    let du2 = float_at(c) - float_at(a);
    let dv2 = float_at(c + 1u) - float_at(a + 1u);
    let determinant = du1 * dv2 - du2 * dv1;
    if (abs(determinant) < 1e-20f) { return point.normal; }
    let placed = affine_at(frame.tables.x + h.instance * 32u);
    let raw = map_vector(placed, (e1 * dv2 - e2 * dv1) * (1.0f / determinant));
    let across = map_vector(placed, (e2 * du1 - e1 * du2) * (1.0f / determinant));
    let tangent = unit_or(raw - point.normal * dot3(point.normal, raw), splat(0.0f));
    let turned = cross3(point.normal, tangent);
    let side = select(1.0f, -1.0f, dot3(turned, across) >= 0.0f);
    let bitangent = turned * side;
    let turn = select(-1.0f, 1.0f, point.front);
    let normal = unit_or(
        tangent * (n.x * turn) + bitangent * (n.y * turn) + point.normal * n.z, point.normal);
    if (dot3(normal, point.flat) < 0.02f) { return point.normal; }
    return normal;
}

// Looks up colour, metalness and roughness, and bends the shading normal of `point`.
fn look_up(h: Hit) -> Looked {
    let m = material_at(point.material);
    var base = vector_at(m) * point.colour;
    if (words[m + 20u] != NONE) {
        base = base * colour_of(texture_at(words[m + 20u]), point.uv0, point.uv1).colour;
    }
    var metallic = float_at(m + 4u);
    var roughness = float_at(m + 5u);
    if (words[m + 21u] != NONE) {
        let v = values_of(texture_at(words[m + 21u]), point.uv0, point.uv1);
        roughness = roughness * v.y;
        metallic = metallic * v.z;
    }
    if (words[m + 22u] != NONE) {
        let texture = texture_at(words[m + 22u]);
        let strength = float_at(m + 23u);
        let v = values_of(texture, point.uv0, point.uv1) * 2.0f - splat(1.0f);
        point.normal = bent(h, texture, vec3<f32>(v.x * strength, v.y * strength, max1(v.z, 0.05f)));
    }
    return Looked(base, metallic, roughness);
}

// material.rs

fn fresnel(f0: vec3<f32>, cosine: f32) -> vec3<f32> {
    let m = 1.0f - clamp1(cosine, 0.0f, 1.0f);
    let m2 = m * m;
    return f0 + (splat(1.0f) - f0) * (m2 * m2 * m);
}

// The sum of nine products, from zero on.
fn fitted(x: f32, y: f32, a: vec4<f32>, b: vec4<f32>, c: f32) -> f32 {
    let xy = x * y;
    let x2 = x * x;
    let y2 = y * y;
    var s = 0.0f + a.x;
    s = s + x * a.y;
    s = s + y * a.z;
    s = s + xy * a.w;
    s = s + x2 * b.x;
    s = s + y2 * b.y;
    s = s + x2 * y * b.z;
    s = s + x * y2 * b.w;
    return s + x2 * y2 * c;
}

fn albedo_fit(alpha: f32, cosine: f32) -> vec2<f32> {
    let upper_scale = fitted(cosine, alpha, vec4<f32>(0.1003f, -0.6303f, 9.748f, -2.038f),
        vec4<f32>(29.34f, -8.245f, -26.44f, 19.99f), -5.448f);
    let upper_offset = fitted(cosine, alpha, vec4<f32>(0.9345f, -2.323f, 2.229f, -3.748f),
        vec4<f32>(1.424f, -0.7684f, 1.436f, 0.2913f), 0.6286f);
    let lower_scale = fitted(cosine, alpha, vec4<f32>(1.0f, -1.765f, 8.263f, 11.53f),
        vec4<f32>(28.96f, -7.507f, -36.11f, 15.86f), 33.37f);
    let lower_offset = fitted(cosine, alpha, vec4<f32>(1.0f, 0.2281f, 15.94f, -55.83f),
        vec4<f32>(13.08f, 41.26f, 54.9f, 300.2f), -285.1f);
    return vec2<f32>(
        clamp1(upper_scale / lower_scale, 0.0f, 1.0f), clamp1(upper_offset / lower_offset, 0.0f, 1.0f));
}

fn ggx_d(alpha: f32, cosine: f32) -> f32 {
    let a2 = alpha * alpha;
    let k = cosine * cosine * (a2 - 1.0f) + 1.0f;
    return a2 / (PI * k * k);
}

fn lambda(alpha: f32, cosine: f32) -> f32 {
    let c2 = cosine * cosine;
    let tan2 = max1(1.0f - c2, 0.0f) / max1(c2, 1e-12f);
    return 0.5f * (root(1.0f + alpha * alpha * tan2) - 1.0f);
}

fn visible_normal(alpha: f32, away: vec3<f32>, u: f32, v: f32) -> vec3<f32> {
    let pole = vec3<f32>(0.0f, 0.0f, 1.0f);
    let vh = unit_or(vec3<f32>(alpha * away.x, alpha * away.y, away.z), pole);
    let len2 = vh.x * vh.x + vh.y * vh.y;
    var t1 = vec3<f32>(1.0f, 0.0f, 0.0f);
    if (len2 > 1e-12f) { t1 = vec3<f32>(-vh.y, vh.x, 0.0f) * (1.0f / root(len2)); }
    let t2 = cross3(vh, t1);
    let p = concentric_disk(u, v);
    let s = 0.5f * (1.0f + vh.z);
    let p2 = (1.0f - s) * root(1.0f - p.x * p.x) + s * p.y;
    let n = t1 * p.x + t2 * p2 + vh * root(1.0f - p.x * p.x - p2 * p2);
    return unit_or(vec3<f32>(alpha * n.x, alpha * n.y, max1(n.z, 1e-6f)), pole);
}

fn dielectric(cos_in: f32, eta: f32) -> f32 {
    let sin2 = eta * eta * (1.0f - cos_in * cos_in);
    if (sin2 >= 1.0f) { return 1.0f; }
    let cos_t = root(1.0f - sin2);
    let rs = (eta * cos_in - cos_t) / (eta * cos_in + cos_t);
    let rp = (cos_in - eta * cos_t) / (cos_in + eta * cos_t);
    return 0.5f * (rs * rs + rp * rp);
}

fn surface_of(m: u32, looked: Looked, cos_out: f32) -> Surface {
    let roughness = clamp1(looked.roughness, 0.0f, 1.0f);
    let metallic = clamp1(looked.metallic, 0.0f, 1.0f);
    let alpha = max1(roughness * roughness, 0.002f);
    let ior = float_at(m + 12u);
    let r = (ior - 1.0f) / (ior + 1.0f);
    let f0 = lerp3(splat(r * r), looked.base, metallic);
    let fit = albedo_fit(alpha, cos_out);
    let single = clamp1(max1(fit.x + fit.y, 1.0f - 1.2f * alpha), 0.05f, 1.0f);
    let whole = splat(1.0f) + f0 * (1.0f / single - 1.0f);
    let albedo = (f0 * fit.x + splat(fit.y)) * whole;
    let coat = float_at(m + 17u);
    let coat_roughness = clamp1(float_at(m + 18u), 0.0f, 1.0f);
    let coat_alpha = max1(coat_roughness * coat_roughness, 0.002f);
    var coat_albedo = 0.0f;
    if (coat > 0.0f) {
        let c = albedo_fit(coat_alpha, cos_out);
        coat_albedo = coat * (0.04f * c.x + c.y);
    }
    let under = 1.0f - coat_albedo;
    let glass = float_at(m + 11u) * (1.0f - metallic);
    let body = looked.base
        * ((1.0f - metallic) * (1.0f - glass) * (1.0f - min1(largest(albedo), 1.0f)) * under);
    let translucency = float_at(m + 13u);
    let diffuse = body * (1.0f - translucency);
    let translucent = body * vector_at(m + 14u) * translucency;
    let boost = whole * under;
    let specular = max1(luminance(albedo) * under, 0.0f);
    let all_of = specular + coat_albedo + luminance(diffuse) + luminance(translucent) + 1e-6f;
    let choose_coat = coat_albedo / all_of;
    var choose_specular = 1.0f - choose_coat;
    if (largest(diffuse) + largest(translucent) > 0.0f) {
        choose_specular = clamp1(specular / all_of, 0.1f, 0.9f);
    }
    return Surface(
        diffuse, translucent, f0, alpha, coat, coat_alpha, glass, looked.base, ior,
        min1(choose_specular, 1.0f - choose_coat), choose_coat, boost);
}

// GGX times masking times cosine, and the density of visible-normal sampling.
fn lobe(alpha: f32, cos_out: f32, cos_to: f32, cos_half: f32) -> vec2<f32> {
    let d = ggx_d(alpha, cos_half);
    let lo = lambda(alpha, cos_out);
    let lt = lambda(alpha, cos_to);
    let quarter = d / (4.0f * cos_out);
    return vec2<f32>(quarter / (1.0f + lo + lt), quarter / (1.0f + lo));
}

fn evaluate(s: Surface, away: vec3<f32>, to: vec3<f32>) -> Value {
    let choose_diffuse = max1(1.0f - s.choose_specular - s.choose_coat, 0.0f);
    let through = luminance(s.translucent);
    let part = through / (through + luminance(s.diffuse) + 1e-12f);
    if (to.z <= 0.0f) {
        let cosine = -to.z;
        return Value(s.translucent * (cosine * INV_PI), choose_diffuse * part * cosine * INV_PI);
    }
    if (away.z <= 1e-6f) { return Value(splat(0.0f), 0.0f); }
    var value = s.diffuse * (to.z * INV_PI);
    var dense = choose_diffuse * (1.0f - part) * to.z * INV_PI;
    let half = unit_or(away + to, vec3<f32>(0.0f, 0.0f, 1.0f));
    let cos_half = max1(dot3(away, half), 0.0f);
    let main_lobe = lobe(s.alpha, away.z, to.z, half.z);
    value = value + fresnel(s.f0, cos_half) * s.boost * main_lobe.x;
    dense = dense + s.choose_specular * main_lobe.y;
    if (s.coat > 0.0f) {
        let coat_lobe = lobe(s.coat_alpha, away.z, to.z, half.z);
        value = value + fresnel(splat(0.04f), cos_half) * (s.coat * coat_lobe.x);
        dense = dense + s.choose_coat * coat_lobe.y;
    }
    return Value(value, dense);
}

fn nowhere() -> Scatter { return Scatter(false, splat(0.0f), splat(0.0f), 0.0f); }

fn draw_surface(s: Surface, away: vec3<f32>, pick: f32, u: f32, v: f32) -> Scatter {
    var direction = splat(0.0f);
    if (pick < s.choose_specular + s.choose_coat) {
        let alpha = select(s.coat_alpha, s.alpha, pick < s.choose_specular);
        let h = visible_normal(alpha, away, u, v);
        direction = h * (2.0f * dot3(away, h)) - away;
        if (direction.z <= 1e-6f) { return nowhere(); }
    } else {
        let rest = 1.0f - s.choose_specular - s.choose_coat;
        let again = (pick - s.choose_specular - s.choose_coat) / max1(rest, 1e-6f);
        let p = concentric_disk(u, v);
        let z = max1(root(1.0f - p.x * p.x - p.y * p.y), 1e-6f);
        let through = luminance(s.translucent);
        let part = through / (through + luminance(s.diffuse) + 1e-12f);
        direction = vec3<f32>(p.x, p.y, select(z, -z, again < part));
    }
    let e = evaluate(s, away, direction);
    if (!(e.density > 1e-12f)) { return nowhere(); }
    return Scatter(true, direction, e.value * (1.0f / e.density), e.density);
}

fn draw_glass(s: Surface, away: vec3<f32>, entering: bool, pick: f32, u: f32, v: f32) -> Scatter {
    let h = visible_normal(s.alpha, away, u, v);
    let cosine = dot3(away, h);
    if (cosine <= 0.0f) { return nowhere(); }
    var eta = s.ior;
    if (entering) { eta = 1.0f / s.ior; }
    let reflected = dielectric(cosine, eta);
    var direction = splat(0.0f);
    var colour = splat(1.0f);
    if (pick < reflected) {
        direction = h * (2.0f * cosine) - away;
    } else {
        let cos_t = root(1.0f - eta * eta * (1.0f - cosine * cosine));
        direction = h * (eta * cosine - cos_t) - away * eta;
        colour = s.tint;
    }
    if ((pick < reflected && direction.z <= 0.0f) || (pick >= reflected && direction.z >= 0.0f)) {
        return nowhere();
    }
    let masking = (1.0f + lambda(s.alpha, away.z))
        / (1.0f + lambda(s.alpha, away.z) + lambda(s.alpha, abs(direction.z)));
    return Scatter(true, direction, colour * masking, 0.0f);
}

fn straight(s: Surface, cos_out: f32) -> vec3<f32> {
    let f = dielectric(clamp1(cos_out, 0.02f, 1.0f), 1.0f / s.ior);
    return s.tint * ((1.0f - f) * s.glass);
}

// integrator.rs

fn power_rule(a: f32, b: f32) -> f32 {
    let a2 = a * a;
    let b2 = b * b;
    if (a2 + b2 > 0.0f) { return a2 / (a2 + b2); }
    return 0.0f;
}

fn lifted(p: vec3<f32>, normal: vec3<f32>, t: f32) -> vec3<f32> {
    return p + normal * (4e-6f * (largest(abs(p)) + min1(t, 1e6f)));
}

fn environment_share(p: vec3<f32>) -> f32 {
    if (frame.tone.w != 0.0f) { return 0.0f; }
    if (frame.counts.x == 0u) { return 1.0f; }
    let e = frame.power.y;
    let l = light_at(p);
    return clamp1(e / (e + l), 0.1f, 0.97f);
}

// The surface of `point`, seen along a ray.
fn surface_here(along: Ray, h: Hit) -> Surface {
    let looked = look_up(h);
    let cosine = max1(dot3(-along.direction, point.normal), 1e-3f);
    return surface_of(material_at(point.material), looked, cosine);
}

fn gather(raw: vec3<f32>, bounce: u32) {
    var light = raw;
    if (bounce > 0u && frame.power.z > 0.0f) {
        let l = largest(light);
        if (l > frame.power.z) { light = light * (frame.power.z / l); }
    }
    gathered = gathered + light;
}

// The next surface that stops the path; false: there is none.
fn next_surface(base: u32) -> bool {
    for (var layer = 0u; layer < MAX_LAYERS; layer = layer + 1u) {
        if (!meet_scene(ray, FAR, OPAQUE | FILTERING, false)) { return false; }
        point = point_at(ray, hit);
        let m = material_at(point.material);
        if (!filters(m)) { return true; }
        let stopped = opacity_at(m, point);
        let pick = hashed(base * 64u + layer);
        if (pick < stopped) {
            if (!(rough && float_at(m + 11u) > 0.0f)) { return true; }
            let s = surface_here(ray, hit);
            if (hashed(base * 64u + 32u + layer) >= s.glass) { return true; }
            weight = weight
                * (straight(s, dot3(-ray.direction, point.normal)) * (1.0f / max1(s.glass, 1e-6f)));
        }
        ray.origin = lifted(point.position, -point.flat, hit.t);
    }
    return false;
}

fn add_sky(bounce: u32) {
    var light = weight * sky_radiance(ray.direction);
    if (bounce == 0u) {
        light = light * frame.light.w;
    } else if (density > 0.0f) {
        let other = sky_density(ray.direction) * share;
        light = light * power_rule(density, other);
    }
    gather(light, bounce);
}

fn add_emission(bounce: u32) {
    let m = material_at(point.material);
    if (is_dim(vector_at(m + 6u))) { return; }
    var light = weight * emission_of(m, point.uv0, point.uv1);
    if (density > 0.0f) {
        let cosine = max1(dot3(-ray.direction, point.flat), 1e-6f);
        let area = light_density(m) * (1.0f - share);
        light = light * power_rule(density, area * hit.t * hit.t / cosine);
    }
    gather(light, bounce);
}

// What panes and cut-outs leave of a shadow ray's light. Spoils `point` and `hit`.
fn left_through(start: Ray, reach: f32) -> vec3<f32> {
    var along = start;
    var distance_left = reach;
    var left = splat(1.0f);
    for (var layer = 0u; layer < MAX_LAYERS; layer = layer + 1u) {
        if (!meet_scene(along, distance_left, FILTERING, false)) { return left; }
        point = point_at(along, hit);
        let m = material_at(point.material);
        let stopped = opacity_at(m, point);
        var passes = splat(1.0f - stopped);
        if (float_at(m + 11u) > 0.0f) {
            let s = surface_here(along, hit);
            passes = passes + straight(s, dot3(-along.direction, point.normal)) * stopped;
        }
        left = left * passes;
        if (!(largest(left) > 1e-4f)) { return splat(0.0f); }
        along.origin = lifted(point.position, -point.flat, hit.t);
        distance_left = distance_left - hit.t;
    }
    return splat(0.0f);
}

// One light sample: environment or an emissive triangle.
fn add_direct(s: Surface, away: vec3<f32>, t: vec3<f32>, b: vec3<f32>, bounce: u32, base: u32) {
    let uv = pair(base);
    let pick = pair(base + 1u).x;
    var direction = splat(0.0f);
    var reach = FAR;
    var radiance = splat(0.0f);
    var dense = 0.0f;
    if (pick < share) {
        let e = draw_sky(uv.x, uv.y);
        direction = e.direction;
        radiance = e.radiance;
        dense = e.density * share;
    } else if (frame.counts.x != 0u) {
        let again = (pick - share) / (1.0f - share);
        var low = 0u;
        var high = frame.counts.x;
        while (low < high) {
            let middle = (low + high) / 2u;
            if (float_at(frame.tables2.w + middle) <= again) { low = middle + 1u; } else { high = middle; }
        }
        let light = frame.tables2.z + min(low, frame.counts.x - 1u) * 12u;
        let root_u = root(uv.x);
        let lu = uv.y * root_u;
        let lv = 1.0f - root_u;
        let edge1 = vector_at(light + 5u);
        let edge2 = vector_at(light + 8u);
        let normal = unit_or(cross3(edge1, edge2), vec3<f32>(0.0f, 1.0f, 0.0f));
        let mesh = mesh_of(words[light]);
        let corner = corners_of(mesh, words[light + 1u]);
        let uv0 = coordinates(mesh, 0u, corner, lu, lv);
        let uv1 = coordinates(mesh, 1u, corner, lu, lv);
        let m = material_at(words[mesh + 9u]);
        let place = vector_at(light + 2u) + edge1 * lu + edge2 * lv;
        let way = place - point.position;
        let d2 = dot3(way, way);
        let far_off = root(d2);
        direction = unit_or(way, point.normal);
        let cosine = abs(dot3(direction, normal));
        if (cosine < 1e-5f || far_off < 1e-6f) { return; }
        reach = far_off * 0.9995f;
        radiance = emission_of(m, uv0, uv1);
        dense = light_density(m) * (1.0f - share) * d2 / cosine;
    } else {
        return;
    }
    if (!(dense > 0.0f)) { return; }
    let local =
        vec3<f32>(dot3(direction, t), dot3(direction, b), dot3(direction, point.normal));
    let above = dot3(direction, point.flat) > 0.0f;
    if (above != (local.z > 0.0f)) { return; }
    let e = evaluate(s, away, local);
    let light = weight * e.value * radiance * (power_rule(dense, e.density) / dense);
    if (!(largest(light) > 0.0f)) { return; }
    let side = select(-point.flat, point.flat, above);
    let shadow = Ray(lifted(point.position, side, hit.t), direction);
    if (meet_scene(shadow, reach, OPAQUE, true)) { return; }
    var through = splat(1.0f);
    if (frame.paths.z != 0u) {
        let here = point;
        let met = hit;
        through = left_through(shadow, reach);
        point = here;
        hit = met;
    }
    gather(light * through, bounce + 1u);
}

// Adds light that falls on the surface, then chooses how the path goes on; false when it ends.
fn scatter(bounce: u32, base: u32) -> bool {
    let eye = -ray.direction;
    let s = surface_here(ray, hit);
    let n = point.normal;
    let sign = select(-1.0f, 1.0f, n.z >= 0.0f);
    let fa = -1.0f / (sign + n.z);
    let fb = n.x * n.y * fa;
    let t = vec3<f32>(1.0f + sign * n.x * n.x * fa, sign * fb, -sign * n.x);
    let b = vec3<f32>(fb, sign + n.y * n.y * fa, -n.y);
    var away = vec3<f32>(dot3(eye, t), dot3(eye, b), dot3(eye, n));
    away.z = max1(away.z, 1e-4f);
    let picks = pair(base + 2u);
    let uv = pair(base + 3u);
    share = environment_share(point.position);
    let glassy = s.glass > 0.0f && picks.y < s.glass;
    var next = nowhere();
    if (glassy) {
        next = draw_glass(s, away, point.front, picks.x, uv.x, uv.y);
    } else {
        add_direct(s, away, t, b, bounce, base);
        next = draw_surface(s, away, picks.x, uv.x, uv.y);
    }
    if (!next.some) { return false; }
    let d = next.direction;
    let direction = unit_or(t * d.x + b * d.y + n * d.z, n);
    let above = dot3(direction, point.flat) > 0.0f;
    if (above != (d.z > 0.0f)) { return false; }
    weight = weight * next.weight;
    density = next.density;
    rough = rough || !glassy;
    let side = select(-point.flat, point.flat, above);
    ray = Ray(lifted(point.position, side, hit.t), direction);
    return largest(weight) > 0.0f;
}

fn trace_path() {
    weight = splat(1.0f);
    gathered = splat(0.0f);
    density = 0.0f;
    share = 0.0f;
    rough = false;
    let most = frame.paths.y;
    for (var bounce = 0u; bounce <= most; bounce = bounce + 1u) {
        let base = 2u + bounce * 4u;
        if (!next_surface(base)) {
            add_sky(bounce);
            break;
        }
        add_emission(bounce);
        if (bounce == most || !scatter(bounce, base)) { break; }
        if (bounce >= 2u) {
            let keep = min1(largest(weight), 0.95f);
            if (pair(base + 1u).y >= keep) { break; }
            weight = weight * (1.0f / keep);
        }
    }
}

// camera.rs, lib.rs

fn tent(sample: f32) -> f32 {
    let u = 2.0f * sample;
    if (u < 1.0f) { return root(u) - 1.0f; }
    return 1.0f - root(2.0f - u);
}

fn camera_ray(x: f32, y: f32, lens: vec2<f32>) -> Ray {
    let eye = frame.eye.xyz;
    let forward = frame.forward.xyz;
    let at_x = (2.0f * x - 1.0f) * frame.up.w;
    let at_y = (1.0f - 2.0f * y) * frame.forward.w;
    let way = frame.right.xyz * at_x + frame.up.xyz * at_y + forward;
    if (frame.eye.w <= 0.0f) { return Ray(eye, unit_or(way, forward)); }
    let p = concentric_disk(lens.x, lens.y);
    let origin = eye + frame.right.xyz * (p.x * frame.eye.w) + frame.up.xyz * (p.y * frame.eye.w);
    let target_point = eye + way * frame.right.w;
    return Ray(origin, unit_or(target_point - origin, forward));
}

// Left edge, upper edge, width and height of the task's tile.
fn place() -> vec4<u32> {
    let tile = frame.size.z;
    let x = frame.task.x % frame.size.w * tile;
    let y = frame.task.x / frame.size.w * tile;
    return vec4<u32>(x, y, min(tile, frame.size.x - x), min(tile, frame.size.y - y));
}

@compute @workgroup_size(8, 8)
fn trace(@builtin(global_invocation_id) id: vec3<u32>) {
    let tile = place();
    if (id.x >= tile.z || id.y >= tile.w) { return; }
    let x = tile.x + id.x;
    let y = tile.y + id.y;
    sampler_pixel = mix2(x, mix2(y, 0x7117u));
    sampler_index = reverseBits(frame.task.y);
    let uv = pair(0u);
    let px = (f32(x) + 0.5f + tent(uv.x)) / f32(frame.size.x);
    let py = (f32(y) + 0.5f + tent(uv.y)) / f32(frame.size.y);
    ray = camera_ray(px, py, pair(1u));
    trace_path();
    if (!is_finite(gathered)) { gathered = splat(0.0f); }
    let at = (id.y * frame.size.z + id.x) * 3u;
    sums[at] = sums[at] + gathered.x;
    sums[at + 1u] = sums[at + 1u] + gathered.y;
    sums[at + 2u] = sums[at + 2u] + gathered.z;
}

// tone.rs

fn encode(v: f32) -> f32 {
    let x = clamp1(
        (tilth_log2(max1(v, 1e-10f)) - -12.47393f) * 0.060606062f, 0.0f, 1.0f);
    let x2 = x * x;
    let x4 = x2 * x2;
    return 15.5f * x4 * x2 - 40.14f * x4 * x + 31.96f * x4 - 6.868f * x2 * x + 0.4298f * x2 + 0.1191f * x
        - 0.00232f;
}

fn toned(light: vec3<f32>) -> vec3<f32> {
    let exposed = light * frame.tone.x;
    let l = vec3<f32>(max1(exposed.x, 0.0f), max1(exposed.y, 0.0f), max1(exposed.z, 0.0f));
    let inset = vec3<f32>(
        0.84247906f * l.x + 0.0784336f * l.y + 0.079223745f * l.z,
        0.042328243f * l.x + 0.8784686f * l.y + 0.07916613f * l.z,
        0.042375654f * l.x + 0.0784336f * l.y + 0.879143f * l.z);
    let e = vec3<f32>(encode(inset.x), encode(inset.y), encode(inset.z));
    let c = vec3<f32>(
        tilth_pow(max1(e.x, 0.0f), frame.tone.z),
        tilth_pow(max1(e.y, 0.0f), frame.tone.z),
        tilth_pow(max1(e.z, 0.0f), frame.tone.z));
    let grey = splat(luminance(c));
    let s = grey + (c - grey) * frame.tone.y;
    return vec3<f32>(
        1.196879f * s.x - 0.09802088f * s.y - 0.09902974f * s.z,
        -0.05289685f * s.x + 1.1519031f * s.y - 0.09896118f * s.z,
        -0.052971635f * s.x - 0.09804345f * s.y + 1.1510737f * s.z);
}

// Byte `number` of the tile's rows of RGB.
fn tile_byte(tile: vec4<u32>, number: u32) -> u32 {
    let pixel = number / 3u;
    let channel = number % 3u;
    let column = pixel % tile.z;
    let row = pixel / tile.z;
    let at = (row * frame.size.z + column) * 3u;
    let light = vec3<f32>(sums[at], sums[at + 1u], sums[at + 2u]) * frame.power.w;
    let seed = mix2(tile.x + column, mix2(tile.y + row, 0xd17eu));
    let noise = unit(mix2(seed, channel)) - unit(mix2(seed, channel + 3u));
    return min(u32(clamp1(toned(light)[channel], 0.0f, 1.0f) * 255.0f + 0.5f + 0.5f * noise), 255u);
}

@compute @workgroup_size(64)
fn resolve(@builtin(global_invocation_id) id: vec3<u32>) {
    let tile = place();
    let bytes = tile.z * tile.w * 3u;
    if (id.x == 0u) { out[0] = bytes; }
    var word = 0u;
    for (var k = 0u; k < 4u; k = k + 1u) {
        let number = id.x * 4u + k;
        if (number < bytes) { word = word | (tile_byte(tile, number) << (8u * k)); }
    }
    if (id.x * 4u < bytes) { out[id.x + 1u] = word; }
}
