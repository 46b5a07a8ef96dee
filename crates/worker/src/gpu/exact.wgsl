// Functions that exact programs may call, and that stand in for a device's own division and square root
// where those are not rounded right. Whole numbers, and + - * / and floor in a fixed order: the same bits
// everywhere. The transcendental ones are those of guests/path-tracer/src/exact.rs, line by line.

// Quotient, rounded to nearest even: long division of the mantissas, eight bits a step.
fn tilth_div(a: f32, b: f32) -> f32 {
    let x = bitcast<u32>(a);
    let y = bitcast<u32>(b);
    let sign = (x ^ y) & 0x80000000u;
    let ax = x & 0x7fffffffu;
    let ay = y & 0x7fffffffu;
    let infinite = 0x7f800000u;
    // Not constants: a shader may not hold the bits of such numbers as floats.
    var nan = 0x7fc00000u;
    if (ax > infinite || ay > infinite) { return bitcast<f32>(nan); }
    if (ax == infinite) {
        if (ay == infinite) { return bitcast<f32>(nan); }
        return bitcast<f32>(sign | infinite);
    }
    if (ay == infinite) { return bitcast<f32>(sign); }
    if (ay == 0u) {
        if (ax == 0u) { return bitcast<f32>(nan); }
        return bitcast<f32>(sign | infinite);
    }
    if (ax == 0u) { return bitcast<f32>(sign); }
    var ea = i32(ax >> 23u);
    var ma = ax & 0x007fffffu;
    if (ea == 0) {
        let shift = countLeadingZeros(ma) - 8u;
        ma = ma << shift;
        ea = 1 - i32(shift);
    } else {
        ma = ma | 0x00800000u;
    }
    var eb = i32(ay >> 23u);
    var mb = ay & 0x007fffffu;
    if (eb == 0) {
        let shift = countLeadingZeros(mb) - 8u;
        mb = mb << shift;
        eb = 1 - i32(shift);
    } else {
        mb = mb | 0x00800000u;
    }
    var e = ea - eb + 127;
    if (ma < mb) {
        ma = ma << 1u;
        e = e - 1;
    }
    var rest = ma - mb;
    var q = 1u;
    for (var i = 0u; i < 3u; i = i + 1u) {
        let part = rest << 8u;
        let digit = part / mb;
        rest = part - digit * mb;
        q = (q << 8u) | digit;
    }
    if (e >= 255) { return bitcast<f32>(sign | infinite); }
    if (e > 0) {
        var m = q >> 1u;
        if ((q & 1u) != 0u && (rest != 0u || (m & 1u) != 0u)) { m = m + 1u; }
        return bitcast<f32>(sign | ((u32(e) << 23u) + (m - 0x00800000u)));
    }
    let shift = u32(2 - e);
    if (shift >= 26u) { return bitcast<f32>(sign); }
    var m = q >> shift;
    let half = 1u << (shift - 1u);
    let tail = q & ((1u << shift) - 1u);
    if (tail > half || (tail == half && (rest != 0u || (m & 1u) != 0u))) { m = m + 1u; }
    return bitcast<f32>(sign | m);
}

fn tilth_div2(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(tilth_div(a.x, b.x), tilth_div(a.y, b.y));
}

fn tilth_div3(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
    return vec3<f32>(tilth_div(a.x, b.x), tilth_div(a.y, b.y), tilth_div(a.z, b.z));
}

fn tilth_div4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        tilth_div(a.x, b.x), tilth_div(a.y, b.y), tilth_div(a.z, b.z), tilth_div(a.w, b.w));
}

// Square root, rounded to nearest: one bit a step.
fn tilth_sqrt(a: f32) -> f32 {
    let x = bitcast<u32>(a);
    let ax = x & 0x7fffffffu;
    var nan = 0x7fc00000u;
    if (ax == 0u) { return a; }
    if (x > 0x7f800000u) { return bitcast<f32>(nan); }
    if (ax == 0x7f800000u) { return a; }
    var e = i32(ax >> 23u);
    var m = ax & 0x007fffffu;
    if (e == 0) {
        let shift = countLeadingZeros(m) - 8u;
        m = m << shift;
        e = 1 - i32(shift);
    } else {
        m = m | 0x00800000u;
    }
    e = e - 127;
    if ((e & 1) != 0) {
        m = m << 1u;
        e = e - 1;
    }
    var digits = m << 7u;
    var rest = 0u;
    var root = 0u;
    for (var i = 0u; i < 25u; i = i + 1u) {
        rest = (rest << 2u) | (digits >> 30u);
        digits = digits << 2u;
        let trial = (root << 2u) | 1u;
        root = root << 1u;
        if (rest >= trial) {
            rest = rest - trial;
            root = root | 1u;
        }
    }
    // A tie would be an odd square that ends in zeros: there is none.
    let rounded = (root >> 1u) + (root & 1u);
    return bitcast<f32>((u32((e >> 1u) + 127) << 23u) + (rounded - 0x00800000u));
}

fn tilth_sqrt2(a: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(tilth_sqrt(a.x), tilth_sqrt(a.y));
}

fn tilth_sqrt3(a: vec3<f32>) -> vec3<f32> {
    return vec3<f32>(tilth_sqrt(a.x), tilth_sqrt(a.y), tilth_sqrt(a.z));
}

fn tilth_sqrt4(a: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(tilth_sqrt(a.x), tilth_sqrt(a.y), tilth_sqrt(a.z), tilth_sqrt(a.w));
}

fn tilth_infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn tilth_power_of_two(n: i32) -> f32 {
    return bitcast<f32>(u32(n + 127) << 23u);
}

fn tilth_scaled(x: f32, n: i32) -> f32 {
    let half = n >> 1u;
    return x * tilth_power_of_two(half) * tilth_power_of_two(n - half);
}

fn tilth_turns(x: f32) -> f32 {
    return floor(x * 0.6366198f + 0.5f);
}

fn tilth_angle_rest(x: f32, n: f32) -> f32 {
    return ((x - n * 1.5703125f) - n * 4.837513e-4f) - n * 7.54979e-8f;
}

fn tilth_small_sin(x: f32) -> f32 {
    let z = x * x;
    return ((-1.9515296e-4f * z + 8.332161e-3f) * z - 1.6666655e-1f) * z * x + x;
}

fn tilth_small_cos(x: f32) -> f32 {
    let z = x * x;
    return ((2.4433157e-5f * z - 1.3887316e-3f) * z + 4.1666646e-2f) * z * z - 0.5f * z + 1.0f;
}

fn tilth_sin(x: f32) -> f32 {
    if (!(abs(x) < 100000.0f)) { return 0.0f; }
    let n = tilth_turns(x);
    let q = i32(n);
    let rest = tilth_angle_rest(x, n);
    let v = select(tilth_small_cos(rest), tilth_small_sin(rest), (q & 1) == 0);
    return select(-v, v, (q & 2) == 0);
}

fn tilth_cos(x: f32) -> f32 {
    if (!(abs(x) < 100000.0f)) { return 1.0f; }
    let n = tilth_turns(x);
    let q = i32(n);
    let rest = tilth_angle_rest(x, n);
    let v = select(tilth_small_sin(rest), tilth_small_cos(rest), (q & 1) == 0);
    return select(-v, v, ((q + 1) & 2) == 0);
}

fn tilth_exp2(x: f32) -> f32 {
    if (!(x < 128.0f)) { return tilth_infinity(); }
    if (x < -150.0f) { return 0.0f; }
    let n = floor(x + 0.5f);
    let f = x - n;
    let p = ((((1.5353362e-4f * f + 1.3398874e-3f) * f + 9.618437e-3f) * f + 5.5503326e-2f) * f
        + 2.4022647e-1f)
        * f
        + 6.931472e-1f;
    return tilth_scaled(p * f + 1.0f, i32(n));
}

fn tilth_exp(x: f32) -> f32 {
    if (!(x < 88.8f)) { return tilth_infinity(); }
    if (x < -104.0f) { return 0.0f; }
    let n = floor(x * 1.442695f + 0.5f);
    let r = (x - n * 0.6933594f) - n * -2.1219444e-4f;
    let p = ((((1.9875691e-4f * r + 1.3982e-3f) * r + 8.333452e-3f) * r + 4.1665796e-2f) * r
        + 1.6666665e-1f)
        * r
        + 5e-1f;
    return tilth_scaled(p * (r * r) + r + 1.0f, i32(n));
}

// Exponent, mantissa near 1 less 1, and what is missing to its logarithm.
fn tilth_logarithm(x: f32) -> vec3<f32> {
    let tiny = x < 1.1754944e-38f;
    let bits = bitcast<u32>(select(x, x * 8388608.0f, tiny));
    var e = i32(bits >> 23u) - select(127, 150, tiny);
    var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u);
    if (m > 1.4142135f) {
        m = m * 0.5f;
        e = e + 1;
    }
    let f = m - 1.0f;
    let z = f * f;
    let p = (((((((7.037684e-2f * f - 1.151461e-1f) * f + 1.1676999e-1f) * f - 1.2420141e-1f) * f
        + 1.4249323e-1f)
        * f
        - 1.6668058e-1f)
        * f
        + 2.0000714e-1f)
        * f
        - 2.4999994e-1f)
        * f
        + 3.3333331e-1f;
    return vec3<f32>(f32(e), f, f * z * p - 0.5f * z);
}

fn tilth_log2(x: f32) -> f32 {
    if (!(x > 0.0f)) { return -tilth_infinity(); }
    let l = tilth_logarithm(x);
    return (l.z * 0.44269505f + l.y * 0.44269505f) + l.z + l.y + l.x;
}

fn tilth_log(x: f32) -> f32 {
    if (!(x > 0.0f)) { return -tilth_infinity(); }
    let l = tilth_logarithm(x);
    return (l.z + l.x * -2.1219444e-4f + l.y) + l.x * 0.6933594f;
}

fn tilth_pow(x: f32, y: f32) -> f32 {
    if (y == 0.0f || x == 1.0f) { return 1.0f; }
    if (!(x > 0.0f)) {
        if (y < 0.0f) { return tilth_infinity(); }
        return 0.0f;
    }
    return tilth_exp2(y * tilth_log2(x));
}

fn tilth_arc_tangent(x: f32) -> f32 {
    var base = 0.0f;
    var t = x;
    if (x > 2.4142137f) {
        base = 1.5707964f;
        t = -1.0f / x;
    } else if (x > 0.41421357f) {
        base = 0.7853982f;
        t = (x - 1.0f) / (x + 1.0f);
    }
    let z = t * t;
    let p = ((8.053745e-2f * z - 1.3877686e-1f) * z + 1.9977711e-1f) * z - 3.333295e-1f;
    return base + (p * z * t + t);
}

fn tilth_atan2(y: f32, x: f32) -> f32 {
    if (x == 0.0f && y == 0.0f) { return 0.0f; }
    let ax = abs(x);
    let ay = abs(y);
    var a = 1.5707964f;
    if (ax > 0.0f) { a = tilth_arc_tangent(ay / ax); }
    if (x < 0.0f) { a = 3.1415927f - a; }
    if (y < 0.0f) { a = -a; }
    return a;
}

fn tilth_acos(x: f32) -> f32 {
    if (!(x < 1.0f)) { return 0.0f; }
    if (x < -1.0f) { return 3.1415927f; }
    return tilth_atan2(sqrt((1.0f - x) * (1.0f + x)), x);
}
