// Exact products of int8 matrices, tiles hashed with BLAKE3 (`compress`, from blake3.wgsl). Integers only: the same bits on
// every device.

struct Frame {
    task: vec4<u32>,
    left: array<vec4<u32>, 2>,
    right: array<vec4<u32>, 2>,
    tile: array<vec4<u32>, 2>,
    order: vec4<u32>,
}

@group(0) @binding(0) var<uniform> frame: Frame;
// Four numbers of a row, or of a column of the right matrix, in a word.
@group(0) @binding(1) var<storage, read_write> left: array<u32>;
@group(0) @binding(2) var<storage, read_write> right: array<u32>;
// Eight words a tile.
@group(0) @binding(3) var<storage, read_write> hashes: array<u32>;

// A block of the extended output for a row.
fn row(low: vec4<u32>, high: vec4<u32>, index: u32, block: u32) -> State {
    let none = vec4<u32>(0u);
    let flags = CHUNK_START | CHUNK_END | ROOT | KEYED;
    return compress(low, high, vec4<u32>(index, 0u, 0u, 0u), none, none, none, block, 8u, flags);
}

@compute @workgroup_size(64)
fn rows_left(@builtin(global_invocation_id) id: vec3<u32>) {
    let s = row(frame.left[0], frame.left[1], id.x, id.y);
    let at = id.x * (frame.order.x / 4u) + id.y * 16u;
    for (var word = 0u; word < 4u; word++) {
        left[at + word] = s.a[word];
        left[at + 4u + word] = s.b[word];
        left[at + 8u + word] = s.c[word];
        left[at + 12u + word] = s.d[word];
    }
}

@compute @workgroup_size(64)
fn rows_right(@builtin(global_invocation_id) id: vec3<u32>) {
    let s = row(frame.right[0], frame.right[1], id.x, id.y);
    let at = id.x * (frame.order.x / 4u) + id.y * 16u;
    for (var word = 0u; word < 4u; word++) {
        right[at + word] = s.a[word];
        right[at + 4u + word] = s.b[word];
        right[at + 8u + word] = s.c[word];
        right[at + 12u + word] = s.d[word];
    }
}

// 64 rows and 64 columns, 64 numbers of each: what a workgroup has at hand.
var<workgroup> near_left: array<u32, 1024>;
var<workgroup> near_right: array<u32, 1024>;

// A workgroup makes eight by eight tiles, an invocation one.
@compute @workgroup_size(8, 8)
fn tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) me: vec3<u32>,
    @builtin(local_invocation_index) number: u32,
) {
    let words = frame.order.x / 4u;
    var sums: array<vec4<i32>, 16>;
    for (var first = 0u; first < words; first += 16u) {
        for (var word = 0u; word < 16u; word++) {
            near_left[number * 16u + word] = left[(group.y * 64u + number) * words + first + word];
            near_right[number * 16u + word] = right[(group.x * 64u + number) * words + first + word];
        }
        workgroupBarrier();
        for (var word = 0u; word < 16u; word++) {
            var columns: array<u32, 8>;
            for (var x = 0u; x < 8u; x++) {
                columns[x] = near_right[(me.x * 8u + x) * 16u + word];
            }
            for (var y = 0u; y < 8u; y++) {
                let four = near_left[(me.y * 8u + y) * 16u + word];
                sums[y * 2u] += vec4<i32>(
                    dot4I8Packed(four, columns[0]),
                    dot4I8Packed(four, columns[1]),
                    dot4I8Packed(four, columns[2]),
                    dot4I8Packed(four, columns[3]),
                );
                sums[y * 2u + 1u] += vec4<i32>(
                    dot4I8Packed(four, columns[4]),
                    dot4I8Packed(four, columns[5]),
                    dot4I8Packed(four, columns[6]),
                    dot4I8Packed(four, columns[7]),
                );
            }
        }
        workgroupBarrier();
    }
    var low = frame.tile[0];
    var high = frame.tile[1];
    for (var block = 0u; block < 4u; block++) {
        var flags = KEYED;
        if (block == 0u) {
            flags |= CHUNK_START;
        }
        if (block == 3u) {
            flags |= CHUNK_END | ROOT;
        }
        let s = compress(
            low, high,
            bitcast<vec4<u32>>(sums[block * 4u]),
            bitcast<vec4<u32>>(sums[block * 4u + 1u]),
            bitcast<vec4<u32>>(sums[block * 4u + 2u]),
            bitcast<vec4<u32>>(sums[block * 4u + 3u]),
            0u, 64u, flags,
        );
        low = s.a;
        high = s.b;
    }
    let at = ((group.y * 8u + me.y) * (frame.order.x / 8u) + group.x * 8u + me.x) * 8u;
    for (var word = 0u; word < 4u; word++) {
        hashes[at + word] = low[word];
        hashes[at + 4u + word] = high[word];
    }
}
