// BLAKE3, four columns of its state at a time.

struct State {
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
    d: vec4<u32>,
}

const CHUNK_START = 1u;
const CHUNK_END = 2u;
const ROOT = 8u;
const KEYED = 16u;

fn turn(x: vec4<u32>, by: u32) -> vec4<u32> {
    return (x >> vec4<u32>(by)) | (x << vec4<u32>(32u - by));
}

fn mix(before: State, x: vec4<u32>, y: vec4<u32>) -> State {
    var s = before;
    s.a = s.a + s.b + x;
    s.d = turn(s.d ^ s.a, 16u);
    s.c = s.c + s.d;
    s.b = turn(s.b ^ s.c, 12u);
    s.a = s.a + s.b + y;
    s.d = turn(s.d ^ s.a, 8u);
    s.c = s.c + s.d;
    s.b = turn(s.b ^ s.c, 7u);
    return s;
}

// All sixteen words of the output.
fn compress(
    low: vec4<u32>, high: vec4<u32>,
    w0: vec4<u32>, w1: vec4<u32>, w2: vec4<u32>, w3: vec4<u32>,
    counter: u32, length: u32, flags: u32,
) -> State {
    var s: State;
    s.a = low;
    s.b = high;
    s.c = vec4<u32>(0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au);
    s.d = vec4<u32>(counter, 0u, length, flags);
    var m0 = w0;
    var m1 = w1;
    var m2 = w2;
    var m3 = w3;
    for (var round = 0u; round < 7u; round++) {
        s = mix(s, vec4<u32>(m0.x, m0.z, m1.x, m1.z), vec4<u32>(m0.y, m0.w, m1.y, m1.w));
        s.b = s.b.yzwx;
        s.c = s.c.zwxy;
        s.d = s.d.wxyz;
        s = mix(s, vec4<u32>(m2.x, m2.z, m3.x, m3.z), vec4<u32>(m2.y, m2.w, m3.y, m3.w));
        s.b = s.b.wxyz;
        s.c = s.c.zwxy;
        s.d = s.d.yzwx;
        let n0 = vec4<u32>(m0.z, m1.z, m0.w, m2.z);
        let n1 = vec4<u32>(m1.w, m0.x, m1.x, m3.y);
        let n2 = vec4<u32>(m0.y, m2.w, m3.x, m1.y);
        let n3 = vec4<u32>(m2.y, m3.z, m3.w, m2.x);
        m0 = n0;
        m1 = n1;
        m2 = n2;
        m3 = n3;
    }
    return State(s.a ^ s.c, s.b ^ s.d, s.c ^ low, s.d ^ high);
}
