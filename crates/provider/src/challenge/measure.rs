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
use tilth_service::Doing;
use tilth_verification::challenge::check;
use tracing::debug;

use super::{
    Device, LONGEST as IN_TIME, Start,
    growth::Growth,
    prover::{Worker, WorkerError},
};
use crate::idle::millis;

/// Longest time of one measurement: a device that takes longer is in no class.
const LONGEST: Duration = Duration::from_secs(60);
/// The first look: 1 G operations, a tenth of a second for the weakest class.
const LOOK: ProductTask = ProductTask { order: 512, rounds: 4, samples: 16 };
/// Samples of the measurement proper.
const SAMPLES: u32 = 64;

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measured {
    /// Operations on int8 numbers per second; see [`Measure::Int8`].
    pub int8_per_second: u64,
    /// Bytes of labels filled per second; see [`Measure::Fill`].
    pub fill_bytes_per_second: u64,
    /// Bytes of labels that were filled in the time that others wait.
    pub filled_bytes: u64,
    /// Graphics memory that this shows, MiB; 0 of a processor.
    pub vram_mib: u32,
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

impl Measured {
    /// The class bits that these rates deserve on this device by the classes of today: of those whose challenge fits
    /// its memory, of a GPU what of it was filled.
    pub(crate) fn classes(&self, device: &Device) -> u64 {
        let held = class::bits(Measure::Int8, self.int8_per_second)
            | class::bits(Measure::Fill, self.fill_bytes_per_second);
        class::provable(held, |task| device.fits_filled(task, self.filled_bytes))
    }

    /// Takes in how a fill of so many MiB went. Returns how long the slowest part of it took.
    fn filled(&mut self, mib: u32, went: &Went, device: &Device) -> Duration {
        let task = class::memory(mib);
        let reads = u64::from(task.walks) * u64::from(task.steps);
        self.fill_bytes_per_second = rate(task.bytes(), went.commit);
        self.walk_reads_per_second = rate(reads, went.walk);
        self.check_memory_ms = millis(went.check);
        let slowest = went.commit.max(went.walk);
        // What takes longer nobody could ask for.
        if slowest <= IN_TIME {
            self.filled_bytes = task.bytes();
            self.vram_mib = class::shown_vram(mib).min(device.vram_mib);
        }
        slowest
    }
}

/// Work per second.
pub fn rate(work: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(work) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// Measures a device.
///
/// # Errors
/// In one line: its worker fails, or it computes wrong.
pub fn measure<'a>(start: &'a Start, device: &'a Device) -> Doing<'a, Result<Measured, String>> {
    Box::pin(async move {
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
            ..Measured::default()
        };
        fill(start, device, &mut measured).await.map_err(|error| about(device, &error))?;
        measured.class_bits = measured.classes(device);
        Ok(measured)
    })
}

/// Fills as much as the device is said to hold, or as it does hold. The rates are those of the largest fill. A GPU whose memory
/// is all taken, or too small in its driver's buffers, has its products left.
async fn fill(start: &Start, device: &Device, measured: &mut Measured) -> Result<(), Failed> {
    let mut growth = Growth::to(device.most_filled());
    loop {
        let task = class::memory(growth.next);
        let more = match converse(start, device, Task::Memory(task)).await {
            Ok(went) => growth.filled(measured.filled(growth.next, &went, device)),
            Err(Failed::Worker(error)) if device.is_gpu() => {
                debug!(%error, mib = growth.next, "a device does not hold so much");
                growth.failed()
            }
            Err(error) => return Err(error),
        };
        if !more {
            return Ok(());
        }
    }
}

/// Challenges a device of this machine with one task, and checks what it says as a stranger would.
///
/// # Errors
/// In one line: its worker fails, or it computes wrong.
pub fn run<'a>(
    start: &'a Start,
    device: &'a Device,
    task: Task,
) -> Doing<'a, Result<Went, String>> {
    Box::pin(
        async move { converse(start, device, task).await.map_err(|error| about(device, &error)) },
    )
}

fn about(device: &Device, error: &Failed) -> String {
    format!("{}: {error}", device.offer.name)
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

#[cfg(test)]
mod tests {
    use tilth_sandbox::GpuAccess;

    use super::*;

    #[test]
    fn no_class_is_deserved_whose_task_does_not_fit_the_device() {
        let rates = Measured {
            int8_per_second: 200_000_000_000,
            fill_bytes_per_second: 2_000_000_000,
            ..Measured::default()
        };
        let names = |mib| class::names_of(rates.classes(&Device::cpu("", mib)));
        assert_eq!(names(4_096), ["int8-1g", "int8-10g", "int8-100g", "fill-100m", "fill-1g"]);
        assert_eq!(names(1_024), ["int8-1g", "int8-10g", "int8-100g", "fill-100m"]);
        assert_eq!(names(100), ["int8-1g", "int8-10g", "int8-100g"].map(|name| name));
        assert!(names(1).is_empty());
    }

    #[test]
    fn a_card_deserves_no_class_of_more_than_it_has_filled() {
        let filled = |mib| Measured {
            fill_bytes_per_second: 20_000_000_000,
            filled_bytes: class::memory(mib).bytes(),
            ..Measured::default()
        };
        let card = Device::gpu("", 24_564, 24_564, GpuAccess::default());
        let names = |mib| class::names_of(filled(mib).classes(&card));
        assert_eq!(names(20_000), ["fill-100m", "fill-1g", "fill-10g"]);
        assert_eq!(names(12_711), ["fill-100m", "fill-1g"]);
        assert_eq!(names(1_000), ["fill-100m"]);
        assert!(names(64).is_empty());
    }

    #[test]
    fn what_took_too_long_to_fill_is_not_offered() {
        let card = Device::gpu("", 8_192, 8_192, GpuAccess::default());
        let went = |commit| Went { commit, ..Went::default() };
        let mut measured = Measured::default();
        assert_eq!(measured.filled(512, &went(IN_TIME), &card), IN_TIME);
        let shown = (class::memory(512).bytes(), class::shown_vram(512));
        assert_eq!((measured.filled_bytes, measured.vram_mib), shown);
        let late = IN_TIME + Duration::from_millis(1);
        assert_eq!(measured.filled(4_096, &went(late), &card), late);
        assert_eq!((measured.filled_bytes, measured.vram_mib), shown);
        assert_eq!(measured.fill_bytes_per_second, rate(class::memory(4_096).bytes(), late));
        // Nor is anything of a card that is late with the first.
        let mut slow = Measured::default();
        slow.filled(64, &Went { walk: late, ..went(IN_TIME) }, &card);
        assert_eq!((slow.filled_bytes, slow.vram_mib), (0, 0));
    }
}
