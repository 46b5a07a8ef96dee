// The conformance vector: operations whose bits a device may get wrong, on numbers made from a hash.
// `reference` in conformance.rs does the same on the CPU.

@group(0) @binding(0) var<storage, read_write> out: array<u32>;

fn scramble(seed: u32) -> u32 {
    var x = seed;
    x = x ^ (x >> 16u);
    x = x * 0x7feb352du;
    x = x ^ (x >> 15u);
    x = x * 0x846ca68bu;
    return x ^ (x >> 16u);
}

// A number of either sign whose exponent field is `low` to `low + span - 1`.
fn number(i: u32, salt: u32, low: u32, span: u32) -> f32 {
    let h = scramble(i + salt * 0x9e3779b9u);
    let m = scramble(h ^ 0x85ebca6bu);
    let exponent = low + (h & 0x7fffffffu) % span;
    return bitcast<f32>((h & 0x80000000u) | (exponent << 23u) | (m & 0x007fffffu));
}

@compute @workgroup_size(64)
fn contraction(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let a = number(i, 1u, 125u, 4u);
    let b = number(i, 2u, 125u, 4u);
    let c = number(i, 3u, 123u, 8u);
    out[i] = bitcast<u32>(a * b + c);
}

@compute @workgroup_size(64)
fn reassociation(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let a = number(i, 1u, 124u, 6u);
    let b = number(i, 2u, 124u, 6u);
    var r = (a + b) - b;
    if (i % 4u == 1u) { r = (a * 1.1f) * 1.3f; }
    if (i % 4u == 2u) { r = (a + 0.1f) + 0.3f; }
    if (i % 4u == 3u) { r = a * b + a * 0.7f; }
    out[i] = bitcast<u32>(r);
}

@compute @workgroup_size(64)
fn denormals(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    var r = number(i, 1u, 50u, 20u) * number(i, 2u, 50u, 20u);
    if (i % 3u == 1u) { r = number(i, 1u, 0u, 3u) + number(i, 2u, 0u, 3u); }
    if (i % 3u == 2u) { r = number(i, 1u, 0u, 1u) * number(i, 2u, 130u, 20u); }
    out[i] = bitcast<u32>(r);
}

@compute @workgroup_size(64)
fn conversions(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let h = scramble(i);
    let a = number(i, 1u, 120u, 36u);
    var r = bitcast<u32>(f32(h >> (i % 9u)));
    if (i % 5u == 1u) { r = bitcast<u32>(f32(bitcast<i32>(h) >> (i % 9u))); }
    if (i % 5u == 2u) { r = bitcast<u32>(i32(number(i, 1u, 120u, 36u))); }
    if (i % 5u == 3u) { r = u32(abs(a)); }
    if (i % 5u == 4u) { r = bitcast<u32>(floor(a) + ceil(a) * 0.5f + trunc(a) * 0.25f); }
    out[i] = r;
}

// Rows by columns, k ascending, one accumulator.
@compute @workgroup_size(64)
fn products(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let row = i / 64u;
    let column = i % 64u;
    var sum = 0.0f;
    for (var k = 0u; k < 256u; k = k + 1u) {
        sum = sum + number(row * 256u + k, 1u, 120u, 10u) * number(k * 64u + column, 2u, 120u, 10u);
    }
    out[i] = bitcast<u32>(sum);
}

fn dividend(i: u32) -> f32 {
    return select(number(i, 1u, 124u, 6u), number(i, 1u, 0u, 255u), i % 2u == 1u);
}

fn divisor(i: u32) -> f32 {
    return select(number(i, 2u, 124u, 6u), number(i, 2u, 0u, 255u), i % 2u == 1u);
}

fn radicand(i: u32) -> f32 {
    return abs(select(number(i, 1u, 124u, 6u), number(i, 1u, 0u, 255u), i % 2u == 1u));
}

@compute @workgroup_size(64)
fn division(@builtin(global_invocation_id) id: vec3<u32>) {
    out[id.x] = bitcast<u32>(dividend(id.x) / divisor(id.x));
}

@compute @workgroup_size(64)
fn square_root(@builtin(global_invocation_id) id: vec3<u32>) {
    out[id.x] = bitcast<u32>(sqrt(radicand(id.x)));
}

@compute @workgroup_size(64)
fn own_division(@builtin(global_invocation_id) id: vec3<u32>) {
    out[id.x] = bitcast<u32>(tilth_div(dividend(id.x), divisor(id.x)));
}

@compute @workgroup_size(64)
fn own_square_root(@builtin(global_invocation_id) id: vec3<u32>) {
    out[id.x] = bitcast<u32>(tilth_sqrt(radicand(id.x)));
}
