//! Every kernel that this machine runs gives the bits of the scalar reference.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]

use proptest::prelude::*;
use tilth_tensor::int1::attention::PAGE;
use tilth_tensor::kernels::{GROUP_BYTES, Kernels, PAIRS, TILE, WIDE, scalar};

/// Words that hold two activations, extremes often.
fn pair(limit: i16) -> impl Strategy<Value = u32> {
    let one = move || prop_oneof![Just(limit), Just(-limit), Just(0), -limit..=limit];
    (one(), one()).prop_map(|(even, odd)| {
        u32::from(even.cast_unsigned()) | u32::from(odd.cast_unsigned()) << 16
    })
}

fn others() -> Vec<Kernels> {
    Kernels::available().into_iter().filter(|kernels| kernels.name != "scalar").collect()
}

/// A tile of weights within -127..=127 and any scales.
fn tile(groups: usize, seed: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..groups * GROUP_BYTES)
        .map(|i| seed[i * 31 % seed.len()].wrapping_mul(i as u8 | 1))
        .collect();
    for group in bytes.chunks_mut(GROUP_BYTES) {
        for weight in &mut group[2 * TILE..] {
            if *weight == 0x80 {
                *weight = 0x81;
            }
        }
    }
    bytes
}

proptest! {
    #[test]
    fn dots_are_the_reference_s(
        groups in 1usize..7,
        seed in prop::collection::vec(any::<u8>(), 97),
        words in prop::collection::vec(pair(32_639), WIDE * 7 * PAIRS),
    ) {
        let tile = tile(groups, &seed);
        let vectors: Vec<&[u32]> = words.chunks(7 * PAIRS).map(|vector| &vector[..groups * PAIRS]).collect();
        let vectors: [&[u32]; WIDE] = vectors.try_into().unwrap();
        let expected = vectors.map(|vector| (scalar::KERNELS.dot)(&tile, vector));
        for kernels in others() {
            prop_assert_eq!((kernels.dot_wide)(&tile, vectors), expected, "{}", kernels.name);
            for (vector, expected) in vectors.iter().zip(&expected) {
                prop_assert_eq!(&(kernels.dot)(&tile, vector), expected, "{}", kernels.name);
            }
        }
    }

    #[test]
    fn attention_is_the_reference_s(
        half in 1usize..=128,
        seed in prop::collection::vec(prop_oneof![Just(8_191i16), Just(-8_191), -8_191i16..=8_191], 61),
        query in prop::collection::vec(pair(4_095), 128),
        weights in prop::collection::vec(prop_oneof![Just((1u32 << 22) - 1), Just(0), 0u32..1 << 22], PAGE),
    ) {
        let width = 2 * half;
        let page: Vec<i16> = (0..PAGE * width).map(|i| seed[(i * 7 + i / 61) % seed.len()]).collect();
        let keys: Vec<i16> = page.iter().map(|x| (*x).clamp(-4_095, 4_095)).collect();
        let weights: [u32; PAGE] = weights.try_into().unwrap();
        let expected = (scalar::KERNELS.scores)(&keys, &query[..half]);
        let mut mixed = vec![5i64; width];
        (scalar::KERNELS.mix)(&page, &weights, &mut mixed);
        for kernels in others() {
            prop_assert_eq!((kernels.scores)(&keys, &query[..half]), expected, "{}", kernels.name);
            let mut ours = vec![5i64; width];
            (kernels.mix)(&page, &weights, &mut ours);
            prop_assert_eq!(&ours, &mixed, "{}", kernels.name);
        }
    }
}

/// What a run that is made for the sake of certain kernels names, so that it cannot pass without them.
#[test]
fn required_kernels_are_there() {
    let here: Vec<&str> = Kernels::available().iter().map(|kernels| kernels.name).collect();
    let required = std::env::var("TILTH_REQUIRE_KERNELS").unwrap_or_default();
    for name in required.split_whitespace() {
        assert!(here.contains(&name), "{name} is required and not among {here:?}");
    }
}

/// One of the edges, another from index to index.
fn edge<T: Copy>(edges: &[T], stream: u32, index: usize) -> T {
    let word = (index as u32 ^ stream << 24).wrapping_mul(0x9e37_79b1);
    let word = (word ^ word >> 15).wrapping_mul(0x85eb_ca6b);
    edges[(word >> 16) as usize % edges.len()]
}

fn edges(edges: &[i16], stream: u32, count: usize) -> Vec<u32> {
    let half = |i| u32::from(edge(edges, stream, i).cast_unsigned());
    (0..count).map(|i| half(2 * i) | half(2 * i + 1) << 16).collect()
}

/// Few enough steps for an interpreter, which has instructions that this machine does not have.
#[test]
fn small_products_at_the_edges_are_the_reference_s() {
    let weights: [&[i8]; 3] = [&[127], &[-127], &[-127, -126, -65, -1, 0, 1, 64, 126, 127]];
    let numbers: [&[i16]; 3] = [&[32_639], &[-32_639], &[-32_639, -257, -1, 0, 1, 256, 32_639]];
    let scales = [0u16, 1, 255, 256, 32_767, 32_768, 65_535];
    for groups in [1, 3] {
        for (weights, numbers) in weights.iter().flat_map(|w| numbers.iter().map(move |n| (w, n))) {
            let mut tile: Vec<u8> =
                (0..groups * GROUP_BYTES).map(|i| edge(weights, 0, i).cast_unsigned()).collect();
            for (g, group) in tile.chunks_mut(GROUP_BYTES).enumerate() {
                for (row, scale) in group[..2 * TILE].chunks_mut(2).enumerate() {
                    scale.copy_from_slice(&edge(&scales, 1, TILE * g + row).to_le_bytes());
                }
            }
            let vectors: [Vec<u32>; WIDE] =
                std::array::from_fn(|k| edges(numbers, 2 + k as u32, groups * PAIRS));
            let vectors = vectors.each_ref().map(Vec::as_slice);
            let expected = vectors.map(|vector| (scalar::KERNELS.dot)(&tile, vector));
            for kernels in others() {
                assert_eq!((kernels.dot_wide)(&tile, vectors), expected, "{}", kernels.name);
                assert_eq!((kernels.dot)(&tile, vectors[0]), expected[0], "{}", kernels.name);
            }
        }
    }
}

/// As above; the widths end in each of the pieces that kernels take a row in.
#[test]
fn small_attention_at_the_edges_is_the_reference_s() {
    let large = (1u32 << 22) - 1;
    for width in [2, 12, 58, 130] {
        let keys: Vec<i16> =
            (0..PAGE * width).map(|i| edge(&[-4_095, -1, 0, 1, 4_095], 0, i)).collect();
        let values: Vec<i16> =
            (0..PAGE * width).map(|i| edge(&[-8_191, -1, 0, 1, 8_191], 1, i)).collect();
        let query = edges(&[-4_095, -1, 0, 1, 4_095], 2, width / 2);
        let weights: [u32; PAGE] =
            std::array::from_fn(|i| edge(&[0, 1, 2_047, 2_048, large], 3, i));
        let expected = (scalar::KERNELS.scores)(&keys, &query);
        let mut mixed = vec![-5i64; width];
        (scalar::KERNELS.mix)(&values, &weights, &mut mixed);
        for kernels in others() {
            assert_eq!((kernels.scores)(&keys, &query), expected, "{width}, {}", kernels.name);
            let mut ours = vec![-5i64; width];
            (kernels.mix)(&values, &weights, &mut ours);
            assert_eq!(ours, mixed, "{width}, {}", kernels.name);
        }
    }
}

/// The sums at the very edge of what the specification's proofs allow.
#[test]
fn extremes_do_not_overflow() {
    let groups = 1 << 15;
    let mut tile = vec![127u8; groups * GROUP_BYTES];
    for group in tile.chunks_mut(GROUP_BYTES) {
        group[..2 * TILE].fill(255);
    }
    let word = u32::from(32_639u16) | 32_639 << 16;
    let vector = vec![word; groups * PAIRS];
    let expected = i64::from(groups as i32) * 32 * 127 * 32_639 * 65_535;
    assert!(expected < 1 << 58);
    let keys = vec![-4_095i16; PAGE * 256];
    let query = vec![u32::from(4_095u16) | 4_095 << 16; 128];
    let values = vec![-8_191i16; PAGE * 256];
    for kernels in Kernels::available() {
        assert_eq!((kernels.dot)(&tile, &vector), [expected; TILE], "{}", kernels.name);
        assert_eq!(
            (kernels.dot_wide)(&tile, [&vector; WIDE]),
            [[expected; TILE]; WIDE],
            "{}",
            kernels.name
        );
        assert_eq!(
            (kernels.scores)(&keys, &query),
            [-4_095i64 * 4_095 * 256; PAGE],
            "{}",
            kernels.name
        );
        let mut sums = vec![0; 256];
        (kernels.mix)(&values, &[(1 << 22) - 1; PAGE], &mut sums);
        assert_eq!(sums, vec![-32i64 * 8_191 * ((1 << 22) - 1); 256], "{}", kernels.name);
    }
}
