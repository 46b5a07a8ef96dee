//! A whole conversation in one process.

use alloy::signers::{SignerSync, local::PrivateKeySigner};
use tilth_protocol::challenge::{
    Beacon, Hash, MemoryTask, ProductTask, Sealed, Secret, Statement, Subject, Task, Times,
    Transcript,
    answer::{commit_digest, ends_digest, openings_digest, signing_hash, statement_digest},
    prove::{Engine, Prover},
};

pub const PRODUCTS: ProductTask = ProductTask { order: 64, rounds: 2, samples: 16 };
pub const MEMORY: MemoryTask =
    MemoryTask { lanes: 64, depth: 16, walks: 40, steps: 4, samples: 16, walk_samples: 3 };

pub fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&[0x11; 32].into()).unwrap()
}

/// A question with the nonce and the secret of this number.
pub fn statement(task: Task, number: u64) -> (Statement, Secret) {
    let bytes = |salt: u8| *blake3::keyed_hash(&[salt; 32], &number.to_le_bytes()).as_bytes();
    let secret = Secret(bytes(1));
    let subject =
        Subject { node: signer().address().into(), endpoint: [2; 32], device: "cpu".into() };
    let statement = Statement {
        subject,
        asker: [3; 32],
        beacon: Beacon { chain_id: 4, block: 5, hash: [6; 32] },
        nonce: bytes(2),
        promise: secret.promise(),
        task,
    };
    (statement, secret)
}

fn seal<T>(said: T, digest: &Hash) -> Sealed<T> {
    let signature = signer().sign_hash_sync(&signing_hash(digest)).unwrap().as_bytes();
    Sealed { said, signature }
}

/// What comes out if this engine is asked.
pub fn converse(engine: impl Engine, task: Task, number: u64) -> Transcript {
    let (statement, secret) = statement(task, number);
    let mut prover = Prover::new(engine, statement.clone()).unwrap();
    let commit = prover.commit().unwrap();
    let mut fixed = commit_digest(&statement_digest(&statement), &commit);
    let commit = seal(commit, &fixed);
    let ends = matches!(task, Task::Memory(_)).then(|| {
        let root = prover.walk(&secret.walk()).unwrap();
        fixed = ends_digest(&fixed, &root);
        seal(root, &fixed)
    });
    let openings = prover.open(&secret).unwrap();
    let digest = openings_digest(&fixed, &secret, &openings);
    let openings = seal(openings, &digest);
    Transcript { statement, commit, ends, secret, openings, times: Times::default() }
}
