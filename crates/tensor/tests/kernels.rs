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
