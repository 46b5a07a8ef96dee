// The border of the Mandelbrot set near the seahorse valley. Each invocation makes one sample of a pixel per
// repetition; the last dispatch writes the tile as rows of RGB bytes, four at a time.

struct Frame {
    task: u32, repetition: u32, zero0: u32, zero1: u32,
    width: u32, height: u32, tile: u32, samples: u32,
    centre_x: f32, centre_y: f32, scale: f32, limit: u32,
}

@group(0) @binding(0) var<uniform> frame: Frame;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

// Left edge, upper edge, width and height of the task's tile.
fn place() -> vec4<u32> {
    let across = (frame.width + frame.tile - 1u) / frame.tile;
    let x = frame.task % across * frame.tile;
    let y = frame.task / across * frame.tile;
    return vec4<u32>(x, y, min(frame.tile, frame.width - x), min(frame.tile, frame.height - y));
}

// How slowly a point escapes, smoothly; below zero if it does not.
fn escape(cx: f32, cy: f32) -> f32 {
    var x = 0.0;
    var y = 0.0;
    for (var n = 0u; n < frame.limit; n = n + 1u) {
        let xx = x * x;
        let yy = y * y;
        if (xx + yy > 256.0) {
            return f32(n) + 4.0 - tilth_log2(tilth_log2(xx + yy));
        }
        y = 2.0 * x * y + cy;
        x = xx - yy + cx;
    }
    return -1.0;
}

fn wave(v: f32, shift: f32) -> f32 {
    return 0.5 + 0.5 * tilth_cos(0.085 * v + shift);
}

@compute @workgroup_size(8, 8)
fn sample(@builtin(global_invocation_id) id: vec3<u32>) {
    let tile = place();
    if (id.x >= tile.z || id.y >= tile.w) { return; }
    // Four by four places in a pixel at most.
    let jx = (f32(frame.repetition % 4u) + 0.5) * 0.25;
    let jy = (f32(frame.repetition / 4u % 4u) + 0.5) * 0.25;
    let px = f32(tile.x + id.x) + jx - 0.5 * f32(frame.width);
    let py = f32(tile.y + id.y) + jy - 0.5 * f32(frame.height);
    let v = escape(frame.centre_x + px * frame.scale, frame.centre_y + py * frame.scale);
    if (v < 0.0) { return; }
    let at = (id.y * frame.tile + id.x) * 3u;
    sums[at] = sums[at] + wave(v, 3.9);
    sums[at + 1u] = sums[at + 1u] + wave(v, 3.3);
    sums[at + 2u] = sums[at + 2u] + wave(v, 2.2);
}

@compute @workgroup_size(64)
fn write_bytes(@builtin(global_invocation_id) id: vec3<u32>) {
    let tile = place();
    let bytes = tile.z * tile.w * 3u;
    if (id.x == 0u) { out[0] = bytes; }
    var word = 0u;
    for (var k = 0u; k < 4u; k = k + 1u) {
        let number = id.x * 4u + k;
        if (number < bytes) {
            let pixel = number / 3u;
            let at = (pixel / tile.z * frame.tile + pixel % tile.z) * 3u + number % 3u;
            let level = sums[at] / f32(frame.samples);
            word = word | (u32(level * 255.0 + 0.5) << (8u * k));
        }
    }
    if (id.x * 4u < bytes) { out[id.x + 1u] = word; }
}
