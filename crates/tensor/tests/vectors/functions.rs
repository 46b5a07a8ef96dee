//! The functions of the profile on seeded inputs, as lines of text. Pure and without files: the guest `conformance`
//! runs the same source in WebAssembly.

use std::fmt::Write;

use tilth_tensor::int1::activation::{gelu_tanh, silu};
use tilth_tensor::int1::attention::{Factor, finish, weigh};
use tilth_tensor::int1::block::{ACTIVATION, KEY, VALUE, encode};
use tilth_tensor::int1::exponential::{exp2, log2, logistic};
use tilth_tensor::int1::norm::{Gains, normalise};
use tilth_tensor::int1::random::{draw, philox};
use tilth_tensor::int1::rotation::{Pairing, angles, cos_sin, rotate};
use tilth_tensor::int1::sampling::{LogProbabilities, Sampling};
use tilth_tensor::kernels::{GROUP_BYTES, Kernels, PAIRS, TILE};

/// The `i`-th random word of a stream, of a size that varies.
fn word(stream: u32, i: u32) -> i32 {
    let [a, b, ..] = philox([i, 0, 0, 0], [stream, 0]);
    a.cast_signed().max(-i32::MAX) >> (b % 31)
}

fn words(stream: u32, count: u32) -> Vec<i32> {
    (0..count).map(|i| word(stream, i)).collect()
}

fn scalars(text: &mut String) {
    for i in 0..64 {
        let x = word(1, i);
        let d = x.unsigned_abs();
        writeln!(text, "exp2 {d} {}", exp2(d)).unwrap();
        let wide = u64::from(d) << (i % 33);
        writeln!(text, "log2 {wide} {}", log2(wide)).unwrap();
        writeln!(text, "logistic {x} {}", logistic(x)).unwrap();
        writeln!(text, "silu {x} {}", silu(x)).unwrap();
        writeln!(text, "gelu_tanh {x} {}", gelu_tanh(x)).unwrap();
        let turn = philox([i, 0, 0, 0], [2, 0])[0];
        writeln!(text, "cos_sin {turn} {:?}", cos_sin(turn)).unwrap();
        writeln!(text, "draw {i} {}", draw(0x0123_4567_89ab_cdef, i % 3, i)).unwrap();
    }
}

fn rows(text: &mut String) {
    for stream in 10..16 {
        let x = words(stream, 24);
        for (name, form) in [("activation", ACTIVATION), ("key", KEY), ("value", VALUE)] {
            let mut into = [0; 24];
            let fraction = encode(&x, 16, form, &mut into);
            writeln!(text, "encode {name} {x:?} {fraction} {into:?}").unwrap();
        }
        let gains = Gains {
            mantissas: words(stream + 100, 24).iter().map(|x| x >> 8).collect(),
            fraction: 20,
            epsilon: 1_030_792,
        };
        let mut into = [0; 24];
        normalise(&x, &gains, &mut into);
        writeln!(text, "normalise {x:?} {:?} {} {into:?}", gains.mantissas, gains.epsilon).unwrap();
        let turns = [1 << 61, 0x0123_4567_89ab_cdef, 77];
        for pairing in [Pairing::Neighbours, Pairing::Halves] {
            let mut head = x[..8].to_vec();
            rotate(&mut head, &angles(&turns, 1000 + stream), pairing);
            writeln!(text, "rotate {pairing:?} {turns:?} {} {:?} {head:?}", 1000 + stream, &x[..8])
                .unwrap();
        }
    }
}

fn products(text: &mut String, kernels: &Kernels) {
    let tile: Vec<u8> = (0..2 * GROUP_BYTES)
        .map(|i| {
            let byte = philox([i as u32, 0, 0, 0], [3, 0])[0] as u8;
            if i % GROUP_BYTES >= 2 * TILE && byte == 0x80 { 0 } else { byte }
        })
        .collect();
    let vector: Vec<u32> = (0..2 * PAIRS as u32)
        .map(|i| {
            let [a, b, ..] = philox([i, 0, 0, 0], [4, 0]);
            let half = |x: u32| ((x % 65_279) as i32 - 32_639) as i16 as u16;
            u32::from(half(a)) | u32::from(half(b)) << 16
        })
        .collect();
    writeln!(text, "dot {tile:?} {vector:?} {:?}", (kernels.dot)(&tile, &vector)).unwrap();
    for stream in 20..24 {
        let exponents: Vec<i32> = words(stream, 12).iter().map(|x| x >> 10).collect();
        let fractions: Vec<i8> =
            words(stream + 50, 12).iter().map(|x| (x.unsigned_abs() % 32) as i8 - 2).collect();
        let mut weights = [0; 12];
        let weighing = weigh(&exponents, &fractions, &mut weights);
        let sums: Vec<i64> = words(stream + 70, 4).iter().map(|x| i64::from(*x) << 20).collect();
        let mut into = [0; 4];
        finish(&sums, weighing, &mut into);
        writeln!(text, "attend {exponents:?} {fractions:?} {weights:?} {sums:?} {into:?}").unwrap();
    }
    let factor = Factor { mantissa: 1_549_082_004, fraction: 33 };
    for i in 0..16 {
        let dot = i64::from(word(5, i)) * 2;
        writeln!(text, "exponent {dot} {} {}", i % 40, factor.exponent(dot, i.cast_signed() % 40))
            .unwrap();
    }
}

fn choices(text: &mut String) {
    let logits: Vec<i32> =
        words(30, 50).iter().map(|x| (x >> 11).clamp(-600_000, 600_000)).collect();
    writeln!(text, "logits {logits:?}").unwrap();
    for (temperature, top_k, top_p) in [
        (0, 0, 65_536),
        (65_536, 0, 65_536),
        (30_000, 5, 65_536),
        (131_072, 0, 50_000),
        (90_000, 9, 60_000),
    ] {
        let sampling = Sampling { temperature, top_k, top_p, seed: 42, stream: 1 };
        let chosen: Vec<u32> = (0..24).map(|position| sampling.choose(&logits, position)).collect();
        writeln!(text, "choose {temperature} {top_k} {top_p} {chosen:?}").unwrap();
    }
    let all = LogProbabilities::new(&logits);
    writeln!(
        text,
        "log_probabilities {:?}",
        (0..50).map(|token| all.of(token)).collect::<Vec<_>>()
    )
    .unwrap();
}

/// All lines, products by these kernels.
pub fn text(kernels: &Kernels) -> String {
    let mut text = String::new();
    scalars(&mut text);
    rows(&mut text);
    products(&mut text, kernels);
    choices(&mut text);
    text
}
