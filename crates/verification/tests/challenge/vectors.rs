//! `vectors/challenge.json`: whole conversations, for whoever writes another prover or checker. Written when
//! `TILTH_WRITE_VECTORS` is set and compared otherwise, so a change of the hashing is a change of a committed file.

use std::path::Path;

use alloy_primitives::hex;
use serde_json::{Value, json};
use tilth_protocol::{
    challenge::{
        MemoryTask, ProductTask, Task,
        answer::{signing_hash, statement_digest},
        prove::Reference,
        seed::Seed,
    },
    encode,
};

use crate::world::{MEMORY, PRODUCTS, converse};

fn case(task: Task) -> Value {
    let transcript = converse(Reference::default(), task, 1);
    tilth_verification::challenge::check(&transcript).unwrap();
    let digest = statement_digest(&transcript.statement);
    let roots: Vec<_> = transcript.commit.said.roots.iter().map(hex::encode).collect();
    let bytes = transcript.to_bytes();
    json!({
        "task": task,
        "statement": hex::encode(encode(&transcript.statement)),
        "seed": hex::encode(Seed::of(&transcript.statement).0),
        "statement-digest": hex::encode(digest),
        "signing-hash-of-statement-digest": hex::encode(signing_hash(&digest)),
        "roots": roots,
        "ends": transcript.ends.as_ref().map(|ends| hex::encode(ends.said)),
        "secret": hex::encode(transcript.secret.0),
        "openings-bytes": encode(&transcript.openings.said).len(),
        "openings-blake3": blake3::hash(&encode(&transcript.openings.said)).to_string(),
        "transcript-bytes": bytes.len(),
        "transcript-blake3": blake3::hash(&bytes).to_string(),
    })
}

#[test]
fn challenge_vectors_are_those_committed() {
    let cases = [
        Task::Products(PRODUCTS),
        Task::Products(ProductTask { order: 256, rounds: 3, samples: 5 }),
        Task::Memory(MEMORY),
        Task::Memory(MemoryTask { lanes: 256, depth: 33, ..MEMORY }),
    ];
    let cases: Vec<_> = cases.into_iter().map(case).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/challenge.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&json!({ "cases": cases })).unwrap());
    if std::env::var_os("TILTH_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "vectors/challenge.json differs: is the change of hashing meant?");
}
