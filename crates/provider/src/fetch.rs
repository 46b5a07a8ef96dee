//! Getting a job ready: spec, program and inputs are fetched, checked against what the chain was told
//! and against our limits, laid out for the worker, and the program is compiled.
//!
//! All of it happens before the first claim, so a client that does not serve its inputs costs nobody a
//! range. Doing it again is quick when everything is in place, and mends what is not.

use std::{
    fs, io,
    num::NonZeroU64,
    path::Path,
    time::{Duration, Instant},
};

use tilth_blobs::{BlobsError, Tag};
use tilth_protocol::{
    Contact, ContentRef, Input, InputSource, JobId, JobSpec, SpecError, spec::MAX_SPEC_BYTES,
};
use tracing::{debug, info, warn};

use crate::{
    compile::{CompileError, compile},
    folder::{publish, write_whole},
    hand::WORKER_OVERHEAD,
    machine::{MAX_FETCHES, Refusal, Trouble},
    news::Opening,
    shop::{Ready, Shop},
};

/// Time for a blob in any case.
const LEAST_TIME: Duration = Duration::from_secs(60);
/// Time for a spec: who does not serve that does not serve the rest.
const SPEC_TIME: Duration = Duration::from_secs(20);
/// A holder that is slower than this is not waited for.
const LEAST_BYTES_PER_SECOND: u64 = 256 << 10;

/// Why a job is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The chain would not give us a range of it now.
    #[error("the chain gives out no range of it now ({0:?})")]
    Refused(Refusal),
    /// Its opening was not heard.
    #[error("nothing is known about it")]
    Unknown,
    /// Content cannot be had or stored.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// The contact in its terms cannot be read.
    #[error("it names no usable contact")]
    Contact,
    /// The spec cannot be read.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The spec says something else than the chain was told.
    #[error("its spec and its terms disagree about {0}")]
    Disagree(&'static str),
    /// It asks for more than we offer.
    #[error("it needs {needed} bytes of {what}, we offer {offered}")]
    TooLarge {
        /// Memory or disk.
        what: &'static str,
        /// What it needs.
        needed: u64,
        /// What we offer.
        offered: u64,
    },
    /// Other jobs' files take the space.
    #[error("its files take {0} bytes, and other jobs take the space for now")]
    NoSpace(u64),
    /// Files cannot be laid out.
    #[error("writing its files: {0}")]
    File(#[from] io::Error),
    /// The program cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl FetchError {
    /// What the machine is to make of it.
    pub(crate) fn trouble(&self) -> Trouble {
        match self {
            Self::Contact
            | Self::Spec(_)
            | Self::Disagree(_)
            | Self::TooLarge { .. }
            | Self::Compile(CompileError::Program(_))
            | Self::Blobs(BlobsError::TooLarge { .. } | BlobsError::NotASequence { .. }) => {
                Trouble::Lasting
            }
            Self::Refused(_)
            | Self::Unknown
            | Self::Blobs(_)
            | Self::NoSpace(_)
            | Self::File(_)
            | Self::Compile(_) => Trouble::Passing,
        }
    }
}

/// Gets a job ready. `holds`: ranges of it are ours already.
pub(crate) async fn fetch(shop: &Shop, job: JobId, holds: bool) -> Result<(), FetchError> {
    if !holds {
        shop.chain.would_give(job).await.map_err(FetchError::Refused)?;
    }
    let opening = shop.opening(job).ok_or(FetchError::Unknown)?;
    let contact = Contact::from_bytes(&opening.contact).map_err(|_| FetchError::Contact)?;
    let holders = [contact];
    // The folder first: what is pinned for a job is found again by it.
    fs::create_dir_all(shop.folder.job(job).join("ranges"))?;
    let tag = Tag::inputs(job);
    let deadline = Instant::now() + SPEC_TIME;
    let max = MAX_SPEC_BYTES as u64;
    shop.blobs.get_up_to(opening.spec, max, &holders, &tag, deadline).await?;
    let spec = JobSpec::from_bytes(&shop.blobs.read(opening.spec, max).await?)?;
    agree(&spec, &opening)?;
    fits(shop, job, &spec)?;
    debug!(%job, name = spec.name, bytes = spec.blob_bytes(), "fetching program and inputs");
    for blob in spec.blobs() {
        let deadline = Instant::now() + time_for(&blob, shop.blobs.limits().download);
        shop.blobs.get(blob, &holders, &tag, deadline).await?;
    }
    lay_out(shop, job, &spec).await?;
    compile(shop, &shop.folder.program(job), spec.program.hash).await?;
    info!(%job, name = spec.name, tasks = spec.task_count, "a job is ready to be worked on");
    // Kept if it is there already: its calibration may be kept with it.
    if shop.ready(job).is_none_or(|ready| ready.spec != spec) {
        shop.set_ready(Ready::new(job, spec, opening.range_timeout_ms));
    }
    Ok(())
}

/// A cap of our own on what is fetched is nobody else's slowness: jobs that are fetched at the same time
/// share it, and half of a share is enough.
fn time_for(blob: &ContentRef, cap: Option<NonZeroU64>) -> Duration {
    let shares = 2 * MAX_FETCHES as u64;
    let least = cap.map_or(u64::MAX, |cap| cap.get() / shares).clamp(1, LEAST_BYTES_PER_SECOND);
    LEAST_TIME + Duration::from_secs(blob.size / least)
}

/// Whether the spec is what the chain was told.
fn agree(spec: &JobSpec, opening: &Opening) -> Result<(), FetchError> {
    for (agrees, what) in [
        (spec.task_count == opening.task_count, "the number of tasks"),
        (spec.limits.unit_cap == opening.unit_cap, "the unit cap of a task"),
        (spec.limits.prepare_cap == opening.prepare_cap, "the unit cap of the prepare phase"),
    ] {
        if !agrees {
            return Err(FetchError::Disagree(what));
        }
    }
    Ok(())
}

/// Whether we have memory and disk for it.
fn fits(shop: &Shop, job: JobId, spec: &JobSpec) -> Result<(), FetchError> {
    let needed = memory_needed(spec);
    let offered = shop.limits.memory_per_slot;
    if needed > offered {
        return Err(FetchError::TooLarge { what: "memory", needed, offered });
    }
    // In the store and laid out for the worker.
    let needed = spec.blob_bytes().saturating_mul(2).saturating_add(MAX_SPEC_BYTES as u64);
    if needed > shop.limits.disk {
        return Err(FetchError::TooLarge { what: "disk", needed, offered: shop.limits.disk });
    }
    if !shop.reserve_disk(job, needed) {
        return Err(FetchError::NoSpace(needed));
    }
    Ok(())
}

/// Memory of the worker for a job's tasks: the guest's own, and that of the prepared image if there is
/// one, since a task may touch every page of it.
fn memory_needed(spec: &JobSpec) -> u64 {
    let copies = if spec.limits.prepare_cap > 0 { 2 } else { 1 };
    spec.limits
        .memory_bytes
        .saturating_mul(copies)
        .saturating_add(spec.limits.output_bytes.saturating_mul(2))
        .saturating_add(WORKER_OVERHEAD)
}

/// Writes program and inputs where the worker reads them.
async fn lay_out(shop: &Shop, job: JobId, spec: &JobSpec) -> Result<(), FetchError> {
    let inputs = shop.folder.inputs(job);
    fs::create_dir_all(&inputs)?;
    publish(&inputs)?;
    export(shop, &spec.program, &shop.folder.program(job)).await?;
    for Input { name, source } in &spec.inputs {
        let path = inputs.join(name);
        match source {
            InputSource::Inline(bytes) if !has_size(&path, bytes.len() as u64) => {
                write_whole(&path, bytes)?;
            }
            InputSource::Inline(_) => {}
            InputSource::Blob(blob) => export(shop, blob, &path).await?,
        }
    }
    Ok(())
}

async fn export(shop: &Shop, blob: &ContentRef, path: &Path) -> Result<(), FetchError> {
    // Files are written whole or not at all and only we write there, so the size tells enough.
    if !has_size(path, blob.size) {
        shop.blobs.export(blob.hash, path).await?;
    }
    publish(path)?;
    Ok(())
}

fn has_size(path: &Path, size: u64) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.is_file() && data.len() == size)
}

/// Writes to the log why a job is not ready; refusals are everyday and stay quiet.
pub(crate) fn report(job: JobId, error: &FetchError) {
    match error {
        FetchError::Refused(why) => debug!(%job, ?why, "not fetching a job now"),
        FetchError::Blobs(error) => {
            let problem = error.problem();
            warn!(%job, detail = problem.detail, "a job's files cannot be had: {}", problem.what);
        }
        error => warn!(%job, %error, "a job cannot be worked on"),
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{ContentHash, Limits, Output, Workload};

    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            name: "n".into(),
            workload: Workload::Wasm,
            program: ContentRef { hash: ContentHash([1; 32]), size: 10 },
            inputs: Vec::new(),
            task_count: 5,
            limits: Limits { unit_cap: 7, prepare_cap: 8, memory_bytes: 1 << 20, output_bytes: 64 },
            output: Output::Values,
        }
    }

    fn opening() -> Opening {
        Opening {
            spec: ContentHash([2; 32]),
            task_count: 5,
            unit_cap: 7,
            prepare_cap: 8,
            range_timeout_ms: 1_000,
            contact: Vec::new(),
        }
    }

    #[test]
    fn a_spec_that_differs_from_its_terms_is_refused_for_good() {
        assert!(agree(&spec(), &opening()).is_ok());
        for other in [
            Opening { task_count: 6, ..opening() },
            Opening { unit_cap: 8, ..opening() },
            Opening { prepare_cap: 0, ..opening() },
        ] {
            let error = agree(&spec(), &other).unwrap_err();
            assert_eq!(error.trouble(), Trouble::Lasting, "{error}");
        }
    }

    #[test]
    fn fetches_that_share_a_cap_are_all_given_the_time_they_need() {
        let blob = ContentRef { hash: ContentHash([1; 32]), size: 64 << 20 };
        let cap = 128_u64 << 10;
        let alone = Duration::from_secs(blob.size / cap);
        let among_all = alone * u32::try_from(MAX_FETCHES).unwrap();
        assert!(time_for(&blob, NonZeroU64::new(cap)) > among_all);
        // Without a cap, and with a large one, a slow holder is not waited for.
        let usual = LEAST_TIME + Duration::from_secs(blob.size / LEAST_BYTES_PER_SECOND);
        assert_eq!(time_for(&blob, None), usual);
        assert_eq!(time_for(&blob, NonZeroU64::new(1 << 30)), usual);
    }

    #[test]
    fn a_prepared_job_needs_memory_for_its_image_and_its_task() {
        let mut spec = spec();
        spec.limits.memory_bytes = 1 << 30;
        assert!(memory_needed(&spec) > 2 << 30);
        spec.limits.prepare_cap = 0;
        assert!(memory_needed(&spec) < 2 << 30);
    }
}
