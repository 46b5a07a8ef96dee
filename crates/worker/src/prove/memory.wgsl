// A filled memory, its tree's lower levels and its walks. BLAKE3 (`compress`) comes from blake3.wgsl; LANES, DEPTH, `label_at`
// and `put_label` are written by the host for as many buffers as the labels lie in. Integers only: the same bits on every
// device.

struct Frame {
    // fill: layer. nodes: first node in the part, groups of the part. walk: walks, steps of each now, whether they go on.
    now: vec4<u32>,
    label: array<vec4<u32>, 2>,
    group: array<vec4<u32>, 2>,
    node: array<vec4<u32>, 2>,
    walk: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> frame: Frame;
// Nodes of the tree, or the walks' ends; two vectors each.
@group(0) @binding(1) var<storage, read_write> hashes: array<vec4<u32>>;
// The part whose nodes are made, two vectors a label.
@group(0) @binding(2) var<storage, read_write> part: array<vec4<u32>>;

// A label or a hash.
struct Words {
    low: vec4<u32>,
    high: vec4<u32>,
}

// The high half of a product: there are no wide numbers here.
fn scale(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    let other = a0 * b1 + (middle & 0xffffu);
    return a1 * b1 + (middle >> 16u) + (other >> 16u);
}

fn word(label: Words, number: u32) -> u32 {
    if (number < 4u) {
        return label.low[number];
    }
    return label.high[number - 4u];
}

// A whole message of at most 64 bytes.
fn single(key: array<vec4<u32>, 2>, a: Words, b: Words, length: u32) -> Words {
    let flags = CHUNK_START | CHUNK_END | ROOT | KEYED;
    let s = compress(key[0], key[1], a.low, a.high, b.low, b.high, 0u, length, flags);
    return Words(s.a, s.b);
}

// The first label of a lane, and the beginning of a walk: of eight bytes.
fn first_label(key: array<vec4<u32>, 2>, number: u32) -> Words {
    let none = Words(vec4<u32>(0u), vec4<u32>(0u));
    return single(key, Words(vec4<u32>(number, 0u, 0u, 0u), vec4<u32>(0u)), none, 8u);
}

// One of the four blocks of 256 bytes, on what came out of those before.
fn quarter(before: Words, a: Words, b: Words, number: u32) -> Words {
    var flags = KEYED;
    if (number == 0u) {
        flags |= CHUNK_START;
    }
    if (number == 3u) {
        flags |= CHUNK_END | ROOT;
    }
    let s = compress(before.low, before.high, a.low, a.high, b.low, b.high, 0u, 64u, flags);
    return Words(s.a, s.b);
}

// Parent `number` of the label after `before` in its lane.
fn parent(before: Words, number: u32) -> Words {
    let layer = scale(word(before, number), frame.now.x);
    let lane = word(before, number + 1u) & (LANES - 1u);
    return label_at(layer, lane);
}

// A layer: an invocation makes a label.
@compute @workgroup_size(128)
fn fill(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let layer = frame.now.x;
    if (layer == 0u) {
        put_label(layer, lane, first_label(frame.label, lane));
        return;
    }
    let before = label_at(layer - 1u, lane);
    var state = quarter(Words(frame.label[0], frame.label[1]), before, parent(before, 0u), 0u);
    for (var block = 1u; block < 4u; block++) {
        state = quarter(state, parent(before, block * 2u - 1u), parent(before, block * 2u), block);
    }
    put_label(layer, lane, state);
}

fn in_part(label: u32) -> Words {
    return Words(part[label * 2u], part[label * 2u + 1u]);
}

// Leaves, and then the levels above them.
var<workgroup> near: array<Words, 64>;

// A workgroup makes the node above 64 groups. The memory's last one may have fewer; a node without a right sibling goes up
// unchanged, here by staying where it is.
@compute @workgroup_size(64)
fn nodes(
    @builtin(workgroup_id) node: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let first = (frame.now.x + node.x) * 64u;
    let groups = frame.now.y;
    if (first + me < groups) {
        var state = Words(frame.group[0], frame.group[1]);
        for (var block = 0u; block < 4u; block++) {
            let label = (first + me) * 8u + block * 2u;
            state = quarter(state, in_part(label), in_part(label + 1u), block);
        }
        near[me] = state;
    }
    workgroupBarrier();
    for (var reach = 1u; reach < 64u; reach = reach * 2u) {
        let left = me * reach * 2u;
        let right = left + reach;
        if (right < 64u && first + right < groups) {
            near[left] = single(frame.node, near[left], near[right], 64u);
        }
        workgroupBarrier();
    }
    if (me == 0u) {
        hashes[node.x * 2u] = near[0].low;
        hashes[node.x * 2u + 1u] = near[0].high;
    }
}

@compute @workgroup_size(64)
fn walk(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= frame.now.x) {
        return;
    }
    var state = first_label(frame.walk, id.x);
    if (frame.now.z != 0u) {
        state = Words(hashes[id.x * 2u], hashes[id.x * 2u + 1u]);
    }
    for (var taken = 0u; taken < frame.now.y; taken++) {
        let layer = scale(state.low.x, DEPTH);
        let lane = state.low.y & (LANES - 1u);
        state = single(frame.walk, state, label_at(layer, lane), 64u);
    }
    hashes[id.x * 2u] = state.low;
    hashes[id.x * 2u + 1u] = state.high;
}
