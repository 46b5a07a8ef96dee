//! Re-executing a whole submitted range, for anybody: without stake, without keys, and without believing anything
//! but the chain and this machine.

use std::{fmt::Display, path::Path};

use alloy::signers::local::PrivateKeySigner;
use tilth_blobs::{Blobs, BlobsError};
use tilth_client::{Account, Contacts, Link, Network};
use tilth_contracts::{JobBook, RangeState};
use tilth_protocol::{
    GpuProgram, RangeId, Tally, TaskIndex, Workload,
    gpu::{GPU_MAGIC, GpuClass, MAX_GPU_PROGRAM_BYTES},
};
use tilth_sandbox::{CommandLine, GpuAccess, GpuUse};
use tilth_service::Doing;
use tilth_verification::{MerkleSum, Root};

use crate::{
    ProviderError,
    auditor::examine::{ExamineError, Place, execute, make_ready},
    chain::Chain,
    compile::CompileError,
    config::{GasReserve, Limits},
    fetch::FetchError,
    role::Workshop,
    shop::Shop,
};

/// A place where ranges are executed again.
#[derive(Debug)]
pub struct Recheck {
    shop: Shop,
    contacts: Contacts,
    first_block: u64,
    blobs: Blobs,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rechecked {
    /// What the provider submitted.
    pub claimed: Root,
    /// What this machine has found.
    pub found: Root,
    /// Number of leaves: one for each task, and one for the prepare phase where there is one.
    pub leaves: u32,
    /// First task.
    pub from: TaskIndex,
    /// Number of tasks.
    pub count: u32,
    /// Where the range stands.
    pub state: RangeState,
}

impl Rechecked {
    /// Whether every result, status and unit is what was submitted.
    pub fn is_right(&self) -> bool {
        self.claimed == self.found
    }
}

impl Recheck {
    /// Opens such a place in a folder of its own, with the usual limits.
    ///
    /// # Errors
    /// The folder, the sandbox, the worker or the network cannot be used.
    pub fn open<'a>(
        dir: &'a Path,
        network: &'a Network,
        worker: CommandLine,
        sandbox_init: CommandLine,
        gpu: GpuUse,
    ) -> Doing<'a, Result<Self, ProviderError>> {
        Box::pin(async move {
            let Workshop { folder, confinement, engine } =
                Workshop::open(dir, &worker, &sandbox_init).await?;
            let link = Link::to(network)?;
            link.check().await?;
            // Nothing is ever sent.
            let nobody = Account::new(link.clone(), PrivateKeySigner::random());
            let chain = Chain::new(nobody.clone(), nobody, network, GasReserve::default());
            let anywhere = ([0, 0, 0, 0], 0).into();
            let store =
                tilth_blobs::Config::new(folder.content(), folder.endpoint_secret()?, anywhere);
            let blobs = Blobs::spawn(store).await?;
            let gpu = GpuAccess::find(&worker.program, gpu);
            let limits = Limits::default();
            let shop =
                Shop::new(folder, blobs.clone(), chain, confinement, worker, gpu, engine, limits);
            let first_block = network.first_block;
            Ok(Self { shop, contacts: Contacts::new(link, first_block), first_block, blobs })
        })
    }

    /// Executes a range and compares. All of its leaves: the root covers each.
    ///
    /// # Errors
    /// [`ProviderError::Recheck`]: the range has no results, cannot be executed here, or is one of a GPU program that says
    /// nothing here about what it has made elsewhere.
    pub fn range(&self, range: RangeId) -> Doing<'_, Result<Rechecked, ProviderError>> {
        Box::pin(async move {
            let link = &self.shop.chain.link;
            let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
            let claimed = link.read(link.addresses().job_book, call).await?;
            let state = RangeState::try_from(claimed.state);
            let state = state.map_err(|error| refused(range, &error, NEWER))?;
            if claimed.root.is_zero() {
                let why = format!("there are no results of it (it is {state})");
                return Err(refused(
                    range,
                    &why,
                    "wait until it is submitted, or name another range",
                ));
            }
            let (shop, contacts, first_block) = (&self.shop, &self.contacts, self.first_block);
            let place = Place { shop, contacts, first_block, at_stake: false };
            make_ready(&place, range).await.map_err(|error| failed(range, error))?;
            self.can_be_compared(range).await?;
            let executed = execute(&place, range, |leaves| (0..leaves).collect()).await;
            let leaves = executed.map_err(|error| failed(range, error))?;
            let tree = MerkleSum::build(range.job, &leaves);
            let tree = tree.map_err(|error| refused(range, &error, REPORT))?;
            let tally = Tally { units: claimed.units, failures: claimed.failures };
            Ok(Rechecked {
                claimed: Root { hash: claimed.root, tally },
                found: tree.root(),
                leaves: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
                from: claimed.from,
                count: claimed.count,
                state,
            })
        })
    }

    /// Whether what this machine finds says anything about what others have found. Only of GPU programs it may not.
    async fn can_be_compared(&self, range: RangeId) -> Result<(), ProviderError> {
        let ready = self.shop.ready(range.job);
        let Some(ready) = ready.filter(|ready| ready.spec.workload == Workload::Gpu) else {
            return Ok(());
        };
        let most = MAX_GPU_PROGRAM_BYTES.saturating_add(GPU_MAGIC.len()) as u64;
        let bytes = self.shop.blobs.read(ready.spec.program.hash, most).await?;
        let program = GpuProgram::from_bytes(&bytes);
        let program = program.map_err(|error| refused(range, &error, REPORT))?;
        let gpu = &self.shop.gpu;
        match incomparable(program.class, gpu.is_usable(), &gpu.missing) {
            None => Ok(()),
            Some((why, advice)) => Err(refused(range, &why, advice)),
        }
    }

    /// Closes the content store.
    ///
    /// # Errors
    /// Those of the store.
    pub fn close(self) -> Doing<'static, Result<(), ProviderError>> {
        Box::pin(async move { Ok(self.blobs.shutdown().await?) })
    }
}

/// For what nobody can help but those who write this program.
const REPORT: &str = "report this with the detail";
/// For states that this version does not know.
const NEWER: &str =
    "the network's contracts may be newer than this program: install the latest tilth";
/// For files that nobody gave.
const HOLDERS: &str =
    "its files are with its client and its providers: try again when one of them is online";

/// Why what a GPU program makes here would say nothing, and what can be done about that.
fn incomparable(
    class: GpuClass,
    has_gpu: bool,
    missing: &[String],
) -> Option<(String, &'static str)> {
    match (class, has_gpu, missing) {
        (GpuClass::Plain, ..) => Some((
            "its GPU program is a plain one, which may make other bits on every device".to_owned(),
            "nobody can find out whether it is right; have it done with a program of the exact class",
        )),
        (GpuClass::Exact, true, _) => None,
        (GpuClass::Exact, false, []) => {
            let why = "it has a GPU program, and no GPU is to be used".to_owned();
            Some((why, "choose the GPU that it is to run on: tilth verify --gpu hardware"))
        }
        (GpuClass::Exact, false, missing) => {
            let missing = missing.join("; ");
            let why = format!("it has a GPU program, and no GPU can be used here: {missing}");
            Some((why, "verify it on a machine whose GPU `tilth doctor` finds to be exact"))
        }
    }
}

fn refused(range: RangeId, why: &dyn Display, advice: impl Into<String>) -> ProviderError {
    ProviderError::Recheck { detail: format!("range {range}: {why}"), advice: advice.into() }
}

/// A range that could not be executed here, and what can be done about that.
fn failed(range: RangeId, error: ExamineError) -> ProviderError {
    let advice = match &error {
        ExamineError::Fetch(FetchError::Blobs(BlobsError::Unavailable { .. })) => HOLDERS,
        ExamineError::Fetch(FetchError::Blobs(cause)) => {
            return refused(range, &error, cause.problem().advice);
        }
        ExamineError::NoJob | ExamineError::Fetch(FetchError::Unknown) => {
            "check the job's number and the network: another chain has other jobs"
        }
        ExamineError::Fetch(FetchError::TooLarge { .. } | FetchError::NoSpace(_)) => {
            "verify it on a machine with more memory and disk"
        }
        ExamineError::Fetch(FetchError::File(_) | FetchError::Compile(CompileError::File(_))) => {
            "check the disk that has tilth's folder, then try again"
        }
        ExamineError::Hand(_) | ExamineError::Fetch(FetchError::Compile(_)) => {
            "see `tilth doctor` for what this machine can run; a program that fails everywhere is its client's to mend"
        }
        ExamineError::Fetch(_) => {
            "nothing can be done here: the job is such that it cannot be checked like this"
        }
        ExamineError::Chain(_) | ExamineError::Outside | ExamineError::Late => REPORT,
    };
    match error {
        ExamineError::Chain(error) => error.into(),
        error => refused(range, &error, advice),
    }
}

#[cfg(test)]
mod tests {
    use tilth_client::ChainError;
    use tilth_protocol::{ContentHash, JobId};

    use super::*;

    #[test]
    fn a_gpu_program_is_compared_only_where_its_bits_are_the_same() {
        let (none, missing) = ([], ["no GPU: /dev/dri".to_owned()]);
        assert_eq!(incomparable(GpuClass::Exact, true, &none), None);
        // Some of its drivers may be missing as long as one is there.
        assert_eq!(incomparable(GpuClass::Exact, true, &missing), None);
        let refusal = |class, has_gpu, missing: &[String]| {
            let (why, advice) = incomparable(class, has_gpu, missing).unwrap();
            let range = RangeId { job: JobId(7), seq: 2 };
            refused(range, &why, advice).problem()
        };
        let off = refusal(GpuClass::Exact, false, &none);
        assert!(off.advice.contains("--gpu hardware") && off.detail.contains("range 7"), "{off}");
        let without = refusal(GpuClass::Exact, false, &missing);
        assert!(without.detail.contains("/dev/dri"), "{without}");
        assert!(without.advice.contains("tilth doctor"), "{without}");
        // Another root would accuse somebody who was honest.
        let plain = refusal(GpuClass::Plain, true, &none);
        assert!(plain.detail.contains("plain") && plain.advice.contains("exact"), "{plain}");
    }

    #[test]
    fn advice_is_about_what_went_wrong() {
        let range = RangeId { job: JobId(7), seq: 2 };
        let advice = |error| failed(range, error).problem().advice;
        let hash = ContentHash([1; 32]);
        let away = BlobsError::Unavailable { hash, holders: 2, last: "no answer".into() };
        assert_eq!(advice(FetchError::Blobs(away).into()), HOLDERS);
        let dir = "/full".into();
        let full = BlobsError::DiskFull { dir, need: 5, free: 1, reserve: 0 };
        assert!(advice(FetchError::Blobs(full).into()).contains("make room"));
        assert!(advice(ExamineError::NoJob).contains("number"));
        let large = FetchError::TooLarge { what: "memory", needed: 9, offered: 5 };
        assert!(advice(large.into()).contains("more memory"));
        let killed = CompileError::Interrupted("by the system".into());
        assert!(advice(FetchError::Compile(killed).into()).contains("doctor"));
        let waits = std::time::Duration::from_secs(1);
        let away = ChainError::Unreachable {
            url: "http://x".into(),
            action: "reading",
            waited: waits,
            detail: "refused".into(),
        };
        assert!(matches!(failed(range, away.into()), ProviderError::Chain(_)));
        let told = failed(range, ExamineError::Outside).problem();
        assert!(told.detail.contains("range 7"), "{told}");
    }
}
