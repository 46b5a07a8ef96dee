//! The inner loops on seeded and on extreme inputs, as lines of text; the guest `conformance` runs the same source.
//!
//! Inputs are words of Philox with the counter (index, 0, 0, 0) and the key (stream, 0): bytes of a tile are the low
//! bytes of the first word (-127 for -128), the two numbers of a pair the first two words, weights the first.

use std::fmt::Write;

use tilth_tensor::int1::attention::PAGE;
use tilth_tensor::int1::random::philox;
use tilth_tensor::kernels::{GROUP_BYTES, Kernels, PAIRS, TILE, WIDE};

fn first(stream: u32, index: usize) -> u32 {
    philox([index as u32, 0, 0, 0], [stream, 0])[0]
}

/// Within `-limit..=limit`.
fn number(word: u32, limit: i16) -> i16 {
    let span = 2 * u32::from(limit.unsigned_abs()) + 1;
    ((word % span) as i32 - i32::from(limit)) as i16
}

fn pair(even: i16, odd: i16) -> u32 {
    u32::from(even.cast_unsigned()) | u32::from(odd.cast_unsigned()) << 16
}

fn pairs(stream: u32, count: usize, limit: i16) -> Vec<u32> {
    let word = |i| {
        let [a, b, ..] = philox([i as u32, 0, 0, 0], [stream, 0]);
        pair(number(a, limit), number(b, limit))
    };
    (0..count).map(word).collect()
}

fn tile(stream: u32, groups: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..groups * GROUP_BYTES).map(|i| first(stream, i) as u8).collect();
    for group in bytes.chunks_mut(GROUP_BYTES) {
        for weight in &mut group[2 * TILE..] {
            *weight = if *weight == 0x80 { 0x81 } else { *weight };
        }
    }
    bytes
}

fn products(text: &mut String, kernels: &Kernels) {
    for groups in [1, 2, 3, 18, 48] {
        let tile = tile(100 + groups as u32, groups);
        let vectors: [Vec<u32>; WIDE] =
            std::array::from_fn(|k| pairs(200 + k as u32, groups * PAIRS, 32_639));
        let dot = (kernels.dot)(&tile, &vectors[0]);
        let wide = (kernels.dot_wide)(&tile, vectors.each_ref().map(Vec::as_slice));
        writeln!(text, "dot {groups} {dot:?}").unwrap();
        writeln!(text, "dot_wide {groups} {wide:?}").unwrap();
    }
}

fn attention(text: &mut String, kernels: &Kernels) {
    for width in [2, 6, 20, 64, 128, 250, 256] {
        let keys: Vec<i16> = (0..PAGE * width).map(|i| number(first(300, i), 4_095)).collect();
        let values: Vec<i16> = (0..PAGE * width).map(|i| number(first(301, i), 8_191)).collect();
        let query = pairs(302, width / 2, 4_095);
        let weights: [u32; PAGE] = std::array::from_fn(|i| first(303, i) >> 10);
        let mut sums: Vec<i64> = (0..width).map(|i| i64::from(first(304, i)) << 12).collect();
        writeln!(text, "scores {width} {:?}", (kernels.scores)(&keys, &query)).unwrap();
        (kernels.mix)(&values, &weights, &mut sums);
        writeln!(text, "mix {width} {sums:?}").unwrap();
    }
}

/// The largest magnitudes that the profile's bounds allow, of either sign.
fn extremes(text: &mut String, kernels: &Kernels) {
    let groups = 1 << 10;
    for (weight, activation) in
        [(127u8, 32_639i16), (0x81, 32_639), (127, -32_639), (0x81, -32_639)]
    {
        let mut tile = vec![weight; groups * GROUP_BYTES];
        for group in tile.chunks_mut(GROUP_BYTES) {
            group[..2 * TILE].fill(255);
        }
        let vector = vec![pair(activation, activation); groups * PAIRS];
        let sums = (kernels.dot_wide)(&tile, [&vector; WIDE]);
        writeln!(text, "extreme {weight} {activation} {:?}", (kernels.dot)(&tile, &vector))
            .unwrap();
        writeln!(text, "extreme_wide {weight} {activation} {sums:?}").unwrap();
    }
    let (keys, values) = (vec![-4_095i16; PAGE * 256], vec![-8_191i16; PAGE * 256]);
    let scores = (kernels.scores)(&keys, &[pair(4_095, 4_095); 128]);
    writeln!(text, "extreme_scores {scores:?}").unwrap();
    let mut sums = vec![0; 256];
    (kernels.mix)(&values, &[(1 << 22) - 1; PAGE], &mut sums);
    writeln!(text, "extreme_mix {sums:?}").unwrap();
}

/// All lines.
pub fn text(kernels: &Kernels) -> String {
    let mut text = String::new();
    products(&mut text, kernels);
    attention(&mut text, kernels);
    extremes(&mut text, kernels);
    text
}
