//! Golden results in `vectors/int1`: what any other implementation must reproduce, function by function, and its inner
//! loops on inputs up to the profile's bounds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]

#[path = "vectors/functions.rs"]
mod functions;
#[path = "vectors/kernels.rs"]
mod kernels;

use std::path::PathBuf;

use tilth_tensor::int1::exponential::{HIGH, LOW};
use tilth_tensor::kernels::{Kernels, scalar};

type Text = fn(&Kernels) -> String;

/// The files, and what fills them.
const FILES: [(&str, Text); 2] =
    [("functions.txt", functions::text), ("kernels.txt", kernels::text)];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/int1").join(name)
}

#[test]
fn every_kernel_gives_the_golden_results() {
    for (name, text) in FILES {
        let golden = std::fs::read_to_string(path(name)).unwrap();
        for kernels in Kernels::available() {
            let ours = text(&kernels);
            for (ours, golden) in ours.lines().zip(golden.lines()) {
                assert_eq!(ours, golden, "{name}, {}", kernels.name);
            }
            assert_eq!(ours.lines().count(), golden.lines().count(), "{name}, {}", kernels.name);
        }
    }
}

/// The hash that int1.md names.
#[test]
fn tables_are_the_specified_ones() {
    let bytes: Vec<u8> = HIGH.iter().chain(&LOW).flat_map(|word| word.to_le_bytes()).collect();
    let specification = include_str!("../../../docs/reference/int1.md");
    let hash = blake3::hash(&bytes);
    assert!(specification.contains(&hash.to_string()), "the tables' hash is {hash}");
}

#[test]
#[ignore = "writes vectors/int1; by hand: cargo nextest run -p tilth-tensor --run-ignored only -E 'test(write_vectors)'"]
fn write_vectors() {
    for (name, text) in FILES {
        std::fs::write(path(name), text(&scalar::KERNELS)).unwrap();
    }
}
