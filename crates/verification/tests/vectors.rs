//! The golden vectors that Rust and forge share: `vectors/merkle_sum.json` and `vectors/clock.json`.
//!
//! The first is written by its test when `TILTH_WRITE_VECTORS` is set and compared otherwise, so a
//! change of the hashing is a change of a committed file. The second holds columns of decimal numbers
//! that were computed once with big integers, apart from both implementations.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::path::Path;

use serde_json::{Value, json};
use tilth_protocol::{Clock, JobId, Leaf, PREPARE_INDEX, Price, Status};
use tilth_verification::MerkleSum;

const JOB: JobId = JobId(0x0102_0304_0506_0708);

fn leaves(count: u32) -> Vec<Leaf> {
    let mut leaves = vec![Leaf::finished(PREPARE_INDEX, &[], 11)];
    for index in 1000..1000 + count - 1 {
        leaves.push(match index % 4 {
            0 => Leaf::finished(index, &[0xab; 64], 3),
            1 => Leaf::failed(index, Status::OutOfFuel, 1 << 40),
            2 => Leaf::finished(index, &index.to_be_bytes(), u64::from(index)),
            _ => Leaf::failed(index, Status::BadOutput, 9),
        });
    }
    leaves
}

fn leaf_json(leaf: &Leaf) -> Value {
    json!({
        "index": leaf.index,
        "status": leaf.status as u8,
        "output": alloy_primitives::B256::from(leaf.output),
        "size": leaf.size,
        "units": leaf.units,
        "hash": leaf.hash(JOB),
    })
}

fn vectors() -> Value {
    let cases: Vec<Value> = [1_u32, 2, 3, 4, 5, 7, 8, 13]
        .into_iter()
        .map(|count| {
            let leaves = leaves(count);
            let tree = MerkleSum::build(JOB, &leaves).unwrap();
            let root = tree.root();
            let openings: Vec<Value> = (0..count)
                .map(|position| {
                    let opening = tree.open(position).unwrap();
                    assert!(opening.proves(JOB, &leaves[position as usize], &root));
                    let (hashes, tallies): (Vec<_>, Vec<_>) = opening
                        .siblings
                        .iter()
                        .map(|(hash, tally)| (*hash, tally.packed().to_string()))
                        .unzip();
                    json!({ "position": position, "hashes": hashes, "tallies": tallies })
                })
                .collect();
            json!({
                "leaves": leaves.iter().map(leaf_json).collect::<Vec<_>>(),
                "root": root.hash,
                "units": root.tally.units,
                "failures": root.tally.failures,
                "openings": openings,
            })
        })
        .collect();
    json!({ "job": JOB.0.to_string(), "cases": cases })
}

#[test]
fn merkle_sum_vectors_are_those_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/merkle_sum.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&vectors()).unwrap());
    if std::env::var_os("TILTH_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(committed, text, "vectors/merkle_sum.json differs: is the change of hashing meant?");
}

#[test]
fn clock_vectors_hold() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/clock.json");
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let number =
        |name: &str, row: usize| -> u128 { table[name][row].as_str().unwrap().parse().unwrap() };
    let narrow = |name: &str, row: usize| u32::try_from(number(name, row)).unwrap();
    let rows = table["level"].as_array().unwrap().len();
    assert!(rows > 100, "there are vectors");
    for row in 0..rows {
        let clock = Clock {
            floor: Price(number("floor", row)),
            cap: Price(number("cap", row)),
            finish_s: narrow("finish", row),
        };
        let elapsed = u64::try_from(number("elapsed", row)).unwrap();
        let level = clock.level(elapsed, narrow("claimed", row), narrow("tasks", row));
        assert_eq!(u128::from(level), number("level", row), "row {row}");
        assert_eq!(clock.price(level).0, number("price", row), "row {row}");
    }
}
