//! Getting a job ready: spec, program and inputs are fetched, checked against what the chain was told
//! and against our limits, laid out for the worker, and the program is compiled.
//!
//! All of it happens before the first claim, so a client that does not serve its inputs costs nobody a
//! range. Doing it again is quick when everything is in place, and mends what is not.

pub(crate) mod checks;
pub(crate) mod layout;

use std::{
    fs, io,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use tilth_blobs::{Blobs, BlobsError, Tag};
use tilth_client::{
    ChainError,
    holding::{holders_of, inputs_state, least_fee, prices_of},
};
use tilth_protocol::{
    Contact, ContentRef, JobId, JobSpec, RangeId, SpecError, spec::MAX_SPEC_BYTES,
};
use tilth_verification::holding::Prices;
use tracing::{debug, info, warn};

use self::{
    checks::{agree, can_be_answered_for, can_be_held, fits},
    layout::lay_out,
};
use crate::{
    compile::{CompileError, compile},
    machine::{MAX_FETCHES, Refusal, Trouble},
    news::Opening,
    shop::{Ready, Shop},
    words::inputs_held,
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
    /// A file of it is among results that are kept for somebody now. They are here, and its program could carry them out.
    #[error("a file of it is also a result whose auditors are to find it out by themselves")]
    Kept,
    /// A GPU program whose ranges are audited.
    #[error("it is audited, and a GPU program")]
    Unauditable,
    /// Auditors are to hold its results, and would not, or not all that a range can have made: then only the client could have
    /// it paid.
    #[error("nobody would hold its results: {0}")]
    Unholdable(&'static str),
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
            | Self::Unauditable
            | Self::Unholdable(_)
            | Self::TooLarge { .. }
            | Self::Compile(CompileError::Program(_))
            | Self::Blobs(BlobsError::TooLarge { .. } | BlobsError::NotASequence { .. }) => {
                Trouble::Lasting
            }
            Self::Refused(_)
            | Self::Unknown
            | Self::Kept
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
        if shop.opening(job).is_some_and(|opening| opening.kept) {
            // Its deposit comes a moment after it, and its inputs must be held; before that there is no room in it, which is no
            // reason to wait for long.
            prices(shop, job).await?;
            are_inputs_held(shop, job).await?;
        }
        shop.chain.would_give(job).await.map_err(FetchError::Refused)?;
    }
    get_ready(shop, job, Whom::Provider { holds }).await
}

/// For whom a job is got ready.
#[derive(Debug)]
pub(crate) enum Whom {
    /// Who is paid for the results, and answers for them.
    Provider {
        /// Whether ranges of it are its already.
        holds: bool,
    },
    /// Who says in audits what others should have found, and answers for that. Besides the client these may hold the job's
    /// files.
    Auditor(Vec<Contact>),
    /// Who only wants to know, with the same holders.
    Onlooker(Vec<Contact>),
}

impl Whom {
    /// Whether stake depends on what is found, and who holds the job's files besides its client.
    fn known(self) -> (bool, Vec<Contact>) {
        match self {
            Self::Provider { .. } => (true, Vec::new()),
            Self::Auditor(others) => (true, others),
            Self::Onlooker(others) => (false, others),
        }
    }
}

/// Gets a job ready without asking whether there is work in it. The inputs of a kept job are asked of those who have signed that
/// they hold them, too: by auditors first, for the client may be the one whose range is checked, and may serve them so slowly
/// that their time is over; by whoever is to work for it only where its client serves them no longer.
pub(crate) async fn get_ready(shop: &Shop, job: JobId, whom: Whom) -> Result<(), FetchError> {
    let opening = shop.opening(job).ok_or(FetchError::Unknown)?;
    let is_new = matches!(whom, Whom::Provider { holds: false });
    let holders_first = opening.kept && !matches!(whom, Whom::Provider { .. });
    let (answers_for_it, mut known) = whom.known();
    known.extend(Contact::from_bytes(&opening.contact));
    let cares = Cares { is_new, answers_for_it };
    let mut tried = None;
    for of_holders in [holders_first, !holders_first] {
        let sources = match (of_holders, opening.kept) {
            (false, _) => known.clone(),
            (true, true) => sworn(shop, job).await,
            (true, false) => Vec::new(),
        };
        if sources.is_empty() {
            continue;
        }
        match Box::pin(ready_from(shop, job, &opening, cares, &sources)).await {
            Err(FetchError::Blobs(error)) => {
                debug!(%job, %error, of_holders, "the files of a job are not to be had here");
                tried = Some(error);
            }
            done => return done,
        }
    }
    Err(tried.map_or(FetchError::Contact, FetchError::Blobs))
}

/// Who has signed that it holds the inputs of a job, beginning with another one for everybody who asks: they share the work, and one that
/// is slow is not the first for all.
async fn sworn(shop: &Shop, job: JobId) -> Vec<Contact> {
    let link = &shop.chain.link;
    let found = holders_of(link, shop.chain.first_block, RangeId::inputs(job)).await;
    let mut found = found.unwrap_or_else(|error| {
        debug!(%job, %error, "who holds the inputs of a job is not known");
        Vec::new()
    });
    let first = usize::from(shop.chain.node.address()[0]) % found.len().max(1);
    found.rotate_left(first);
    found
}

/// What somebody who gets a job ready looks at first.
#[derive(Clone, Copy, Debug)]
struct Cares {
    /// Whether nothing of the job is its yet.
    is_new: bool,
    /// Whether its stake depends on what is found.
    answers_for_it: bool,
}

/// Gets a job ready with what `holders` have of it.
async fn ready_from(
    shop: &Shop,
    job: JobId,
    opening: &Opening,
    Cares { is_new, answers_for_it }: Cares,
    holders: &[Contact],
) -> Result<(), FetchError> {
    // The folder first: what is pinned for a job is found again by it.
    fs::create_dir_all(shop.folder.job(job).join("ranges"))?;
    let tag = Tag::inputs(job);
    let deadline = Instant::now() + SPEC_TIME;
    let max = MAX_SPEC_BYTES as u64;
    shop.blobs.get_up_to(opening.spec, max, holders, &tag, deadline).await?;
    let spec = JobSpec::from_bytes(&shop.blobs.read(opening.spec, max).await?)?;
    agree(&spec, opening)?;
    if answers_for_it {
        can_be_answered_for(&spec, opening)?;
    }
    if is_new && opening.kept {
        let (prices, least) = prices(shop, job).await?;
        can_be_held(&spec, opening, &prices, least)?;
    }
    // Whoever the contact says the client is. What is ready for long was so before there was anything to keep.
    if is_new && !is_free(&shop.blobs, &spec) {
        return Err(FetchError::Kept);
    }
    fits(shop, job, &spec)?;
    debug!(%job, name = spec.name, bytes = spec.blob_bytes(), "fetching program and inputs");
    for blob in spec.blobs() {
        let deadline = Instant::now() + time_for(&blob, shop.blobs.limits().download);
        shop.blobs.get(blob, holders, &tag, deadline).await?;
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

/// What a job pays those who hold its results, which stays as it is, and the least fee of an audit.
async fn prices(shop: &Shop, job: JobId) -> Result<(Prices, u128), FetchError> {
    let link = &shop.chain.link;
    let told = async { Ok::<_, ChainError>((prices_of(link, job).await?, least_fee(link).await?)) };
    match told.await {
        Ok((Some(prices), least)) => return Ok((prices, least)),
        Ok((None, _)) => debug!(%job, "nothing is locked yet for those who hold its results"),
        Err(error) => debug!(%job, %error, "what a job pays holders is not known"),
    }
    Err(FetchError::Refused(Refusal::Later))
}

/// Whether auditors hold the inputs of a job. Whoever works on it before has no room there; and where they were not held in
/// time nobody ever has.
async fn are_inputs_held(shop: &Shop, job: JobId) -> Result<(), FetchError> {
    let held = match inputs_state(&shop.chain.link, job).await {
        Ok(state) => inputs_held(state),
        Err(error) => {
            debug!(%job, %error, "whether the inputs of a job are held is not known");
            Err(Refusal::Later)
        }
    };
    held.map_err(FetchError::Refused)
}

/// Whether nothing that a job's program is to see is kept from anybody.
fn is_free(blobs: &Blobs, spec: &JobSpec) -> bool {
    !spec.blobs().any(|blob| blobs.is_kept(blob.hash))
}

/// A cap of our own on what is fetched is nobody else's slowness: jobs that are fetched at the same time
/// share it, and half of a share is enough.
fn time_for(blob: &ContentRef, cap: Option<NonZeroU64>) -> Duration {
    let shares = 2 * MAX_FETCHES as u64;
    let least = cap.map_or(u64::MAX, |cap| cap.get() / shares).clamp(1, LEAST_BYTES_PER_SECOND);
    LEAST_TIME + Duration::from_secs(blob.size / least)
}

/// Writes to the log why a job is not ready; refusals are everyday and stay quiet.
pub(crate) fn report(job: JobId, error: &FetchError) {
    match error {
        FetchError::Refused(why) => debug!(%job, ?why, "not fetching a job now"),
        FetchError::Blobs(error) => {
            let problem = error.problem();
            warn!(%job, detail = problem.detail, "a job's files cannot be had: {}", problem.what);
        }
        FetchError::Unauditable => tell_unauditable(job),
        error => warn!(%job, %error, "a job cannot be worked on"),
    }
}

/// Says why an audited GPU job is left alone.
pub(crate) fn tell_unauditable(job: JobId) {
    warn!(
        %job,
        detail = "auditors may compute other bits on other devices, and that would cost the stake",
        advice = "nothing is to be done here; its client can submit it without audits",
        "an audited job with a GPU program is left alone"
    );
}

#[cfg(test)]
mod tests {
    use tilth_blobs::Kept;
    use tilth_protocol::{ContentHash, Input, InputSource, Limits, Output, Workload};

    use super::*;

    #[tokio::test]
    async fn no_program_carries_out_what_is_kept_for_somebody() {
        let dir = tempfile::tempdir().unwrap();
        let bind = "127.0.0.1:0".parse().unwrap();
        let blobs = tilth_blobs::Config::new(dir.path(), [7; 32], bind);
        let blobs = Blobs::spawn(blobs).await.unwrap();
        let file = |byte| ContentRef { hash: ContentHash([byte; 32]), size: 64 };
        let input = Input { name: "list".into(), source: InputSource::Blob(file(2)) };
        let spec = JobSpec {
            name: "thief".into(),
            workload: Workload::Wasm,
            program: file(1),
            inputs: vec![input],
            task_count: 1,
            limits: Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 64 },
            output: Output::Values,
        };
        assert!(is_free(&blobs, &spec));
        let tag = Tag::range(JobId(1), 0);
        for kept in [1, 2] {
            let hashes = vec![file(kept).hash];
            blobs.keep(Kept { tag: tag.clone(), hashes, only: Some([9; 32]) });
            assert!(!is_free(&blobs, &spec), "{kept}");
        }
        blobs.release(&tag);
        assert!(is_free(&blobs, &spec));
    }

    #[test]
    fn nobody_answers_with_its_stake_for_bits_that_differ_between_machines() {
        let (answers, _) = Whom::Auditor(Vec::new()).known();
        let provider = Whom::Provider { holds: false };
        assert!(answers && provider.known().0 && !Whom::Onlooker(Vec::new()).known().0);
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
}
