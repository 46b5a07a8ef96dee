//! What a device is worth: it is challenged here as others will challenge it, the answer checked, and the time
//! taken. Only what comes out is announced.

use std::time::{Duration, Instant};

use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use serde::{Deserialize, Serialize};
use tilth_protocol::challenge::{
    Beacon, Hash, ProductTask, Sealed, Secret, Statement, Subject, Task, Times, Transcript,
    answer::{commit_digest, ends_digest, openings_digest, signing_hash, statement_digest},
    class::{self, Measure},
};
use tilth_verification::challenge::check;

use super::{
    Device, Start,
    prover::{Worker, WorkerError},
};

/// Longest time of one measurement: a device that takes longer is in no class.
const LONGEST: Duration = Duration::from_secs(60);
/// The first look: 1 G operations, a tenth of a second for the weakest class.
const LOOK: ProductTask = ProductTask { order: 512, rounds: 4, samples: 16 };
/// Samples of the measurement proper.
const SAMPLES: u32 = 64;
/// Memory that a processor's fill is measured with, MiB: more than its caches.
const FILL_MIB: u32 = 64;

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measured {
    /// Operations on int8 numbers per second; see [`Measure::Int8`].
    pub int8_per_second: u64,
    /// Bytes of labels filled per second; see [`Measure::Fill`].
    pub fill_bytes_per_second: u64,
    /// Bytes of labels that were filled.
    pub filled_bytes: u64,
    /// Labels that walks read per second.
    pub walk_reads_per_second: u64,
    /// Milliseconds that checking the products took here.
    pub check_products_ms: u64,
    /// Milliseconds that checking the memory took here.
    pub check_memory_ms: u64,
    /// The class bits that it deserves.
    pub class_bits: u64,
}

/// How one challenge went on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Went {
    /// From the question to the roots.
    pub commit: Duration,
    /// From the walk's key to its ends; of products next to nothing.
    pub walk: Duration,
    /// From the secret to the openings.
    pub open: Duration,
    /// Checking everything on one thread.
    pub check: Duration,
    /// Bytes of the transcript.
    pub transcript_bytes: usize,
}

fn rate(work: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(work) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Measures a device.
///
/// # Errors
/// In one line: its worker fails, or it computes wrong.
pub async fn measure(start: &Start, device: &Device) -> Result<Measured, String> {
    let look = run(start, device, Task::Products(LOOK)).await?;
    let mut int8 = rate(LOOK.operations(), look.commit);
    let mut check_products = look.check;
    if let Some(class) = class::strongest(Measure::Int8, class::bits(Measure::Int8, int8)) {
        let task = class.products(SAMPLES);
        if device.fits(&Task::Products(task)) {
            let went = run(start, device, Task::Products(task)).await?;
            int8 = rate(task.operations(), went.commit);
            check_products = went.check;
        }
    }
    let mut measured = Measured {
        int8_per_second: int8,
        check_products_ms: millis(check_products),
        class_bits: class::bits(Measure::Int8, int8),
        ..Measured::default()
    };
    if device.fills() {
        let memory = class::memory(FILL_MIB.min(device.offer.memory_mib / 2));
        let went = run(start, device, Task::Memory(memory)).await?;
        let fill = rate(memory.bytes(), went.commit);
        let reads = u64::from(memory.walks) * u64::from(memory.steps);
        measured.fill_bytes_per_second = fill;
        measured.filled_bytes = memory.bytes();
        measured.walk_reads_per_second = rate(reads, went.walk);
        measured.check_memory_ms = millis(went.check);
        measured.class_bits |= class::bits(Measure::Fill, fill);
    }
    Ok(measured)
}

/// Challenges a device of this machine with one task, and checks what it says as a stranger would.
///
/// # Errors
/// In one line: its worker fails, or it computes wrong.
pub async fn run(start: &Start, device: &Device, task: Task) -> Result<Went, String> {
    converse(start, device, task).await.map_err(|error| format!("{}: {error}", device.offer.name))
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error("it cannot be signed: {0}")]
    Signing(#[from] alloy::signers::Error),
    #[error("it computes wrong: {0}")]
    Wrong(#[from] tilth_verification::challenge::Fault),
}

async fn converse(start: &Start, device: &Device, task: Task) -> Result<Went, Failed> {
    // Nobody else is asked: a key of its own stands for the node's.
    let signer = PrivateKeySigner::random();
    let secret = Secret(PrivateKeySigner::random().to_bytes().0);
    let statement = Statement {
        subject: Subject {
            node: signer.address().into(),
            endpoint: [0; 32],
            device: device.offer.name.clone(),
        },
        asker: [0; 32],
        beacon: Beacon { chain_id: 0, block: 0, hash: [0; 32] },
        nonce: PrivateKeySigner::random().to_bytes().0,
        promise: secret.promise(),
        task,
    };
    let seal = |digest: &Hash| {
        signer.sign_hash_sync(&signing_hash(digest)).map(|sealed| sealed.as_bytes())
    };
    let mut worker = Worker::start(start, device, &task).await?;
    let began = Instant::now();
    let commit = worker.prove(&statement, LONGEST).await?;
    let worked = began.elapsed();
    let mut fixed = commit_digest(&statement_digest(&statement), &commit);
    let commit = Sealed { said: commit, signature: seal(&fixed)? };
    let began = Instant::now();
    let ends = match task {
        Task::Memory(_) => {
            let root = worker.walk(&secret.walk(), LONGEST).await?;
            fixed = ends_digest(&fixed, &root);
            Some(Sealed { said: root, signature: seal(&fixed)? })
        }
        Task::Products(_) => None,
    };
    let walk = began.elapsed();
    let began = Instant::now();
    let openings = worker.open(secret, LONGEST).await?;
    let open = began.elapsed();
    let digest = openings_digest(&fixed, &secret, &openings);
    let openings = Sealed { said: openings, signature: seal(&digest)? };
    let times = Times::default();
    let transcript = Transcript { statement, commit, ends, secret, openings, times };
    let transcript_bytes = transcript.to_bytes().len();
    let began = Instant::now();
    check(&transcript)?;
    let check = began.elapsed();
    Ok(Went { commit: worked, walk, open, check, transcript_bytes })
}
