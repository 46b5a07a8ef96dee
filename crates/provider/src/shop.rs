//! What every part of the agent uses: folder, content, chain, sandbox, and the jobs that are ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tilth_blobs::Blobs;
use tilth_client::mates::Part;
use tilth_protocol::{ContentHash, JobId, JobSpec, Leaf, PREPARE_INDEX, RangeId};
use tilth_sandbox::{CommandLine, Confinement, GpuAccess};
use tilth_verification::replica::{Found, Sealer};
use tokio::sync::watch;

use crate::{chain::Chain, config::Limits, folder::Folder, journal::Extent, news::Opening};

/// The shared means of one provider.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) folder: Folder,
    pub(crate) blobs: Blobs,
    pub(crate) chain: Chain,
    pub(crate) confinement: Arc<Confinement>,
    pub(crate) worker: CommandLine,
    /// What workers of GPU programs see besides; nothing if no GPU is offered.
    pub(crate) gpu: GpuAccess,
    /// What the worker said it is; compiled programs are only for this.
    pub(crate) engine: String,
    pub(crate) limits: Limits,
    /// Held by the one fetch whose program is being compiled.
    pub(crate) compiling: tokio::sync::Mutex<()>,
    /// What we are in replicated ranges; nothing if no provider is at work here.
    pub(crate) partner: Option<Partner>,
    /// What was found in ranges that we are the mate of, as soon as it is stored.
    stored: watch::Sender<BTreeMap<RangeId, (Part, Found)>>,
    books: Mutex<Books>,
}

/// A provider in replicated ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partner {
    /// Its number in the Registry.
    pub(crate) number: u32,
    /// Makes its seals.
    pub(crate) sealer: Sealer,
}

/// What is known about jobs besides the machine's decisions.
#[derive(Debug, Default)]
struct Books {
    openings: BTreeMap<JobId, Arc<Opening>>,
    ready: BTreeMap<JobId, Arc<Ready>>,
    /// Disk space that jobs' files take, in bytes.
    disk: BTreeMap<JobId, u64>,
}

/// A job whose program is compiled and whose inputs are on disk.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) job: JobId,
    pub(crate) spec: JobSpec,
    pub(crate) range_timeout_ms: u64,
    /// The calibration's result, until its task is claimed.
    kept: Mutex<Option<Kept>>,
}

/// A task's result outside any range.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) leaf: Leaf,
    pub(crate) output: Vec<u8>,
}

impl Shop {
    #[allow(
        clippy::too_many_arguments,
        reason = "each is something else, named alike on both sides"
    )]
    pub(crate) fn new(
        folder: Folder,
        blobs: Blobs,
        chain: Chain,
        confinement: Arc<Confinement>,
        worker: CommandLine,
        gpu: GpuAccess,
        engine: String,
        limits: Limits,
    ) -> Self {
        Self {
            folder,
            blobs,
            chain,
            confinement,
            worker,
            gpu,
            engine,
            limits,
            compiling: tokio::sync::Mutex::default(),
            partner: None,
            stored: watch::Sender::new(BTreeMap::new()),
            books: Mutex::default(),
        }
    }

    /// As a provider with this number and these seals.
    #[must_use]
    pub(crate) fn of(self, partner: Partner) -> Self {
        Self { partner: Some(partner), ..self }
    }

    /// Whether this is the number of the provider at work here.
    pub(crate) fn is_number(&self, number: u32) -> bool {
        self.partner.is_some_and(|partner| partner.number == number)
    }

    /// What was found in ranges that we are the mate of.
    pub(crate) fn stored(&self) -> watch::Receiver<BTreeMap<RangeId, (Part, Found)>> {
        self.stored.subscribe()
    }

    /// Tells whoever waits for it what was found in such a range.
    pub(crate) fn tell_found(&self, range: RangeId, part: Part, found: Found) {
        self.stored.send_modify(|stored| {
            stored.insert(range, (part, found));
        });
    }

    /// What was found in a range is not here any more.
    pub(crate) fn forget_found(&self, range: RangeId) {
        self.stored.send_if_modified(|stored| stored.remove(&range).is_some());
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Every change is one insertion or removal, so a panic elsewhere has not harmed the maps.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn opened(&self, job: JobId, opening: Opening) {
        self.books().openings.insert(job, Arc::new(opening));
    }

    pub(crate) fn opening(&self, job: JobId) -> Option<Arc<Opening>> {
        self.books().openings.get(&job).cloned()
    }

    pub(crate) fn set_ready(&self, ready: Ready) {
        self.books().ready.insert(ready.job, Arc::new(ready));
    }

    pub(crate) fn ready(&self, job: JobId) -> Option<Arc<Ready>> {
        self.books().ready.get(&job).cloned()
    }

    /// Specs, programs and inputs of all jobs that are ready: who works on those jobs or audits them needs them.
    pub(crate) fn files(&self) -> BTreeSet<ContentHash> {
        let books = self.books();
        let openings = books.ready.keys().filter_map(|job| books.openings.get(job));
        let specs = openings.map(|opening| opening.spec);
        let files = books.ready.values().flat_map(|ready| ready.spec.blobs());
        specs.chain(files.map(|blob| blob.hash)).collect()
    }

    /// Reserves disk space for a job's files. False: there is not so much left of what we may use.
    pub(crate) fn reserve_disk(&self, job: JobId, bytes: u64) -> bool {
        let mut books = self.books();
        let others = books.disk.iter().filter(|(id, _)| **id != job);
        let taken = others.map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        let fits = taken.saturating_add(bytes) <= self.limits.disk;
        if fits {
            books.disk.insert(job, bytes);
        }
        fits
    }

    pub(crate) fn forget(&self, job: JobId) {
        let mut books = self.books();
        books.openings.remove(&job);
        books.ready.remove(&job);
        books.disk.remove(&job);
    }
}

impl Ready {
    pub(crate) fn new(job: JobId, spec: JobSpec, range_timeout_ms: u64) -> Self {
        Self { job, spec, range_timeout_ms, kept: Mutex::default() }
    }

    /// Whether ranges have a leaf for the prepare phase.
    pub(crate) fn has_prepare(&self) -> bool {
        self.spec.limits.prepare_cap > 0
    }

    pub(crate) fn extent(&self, range: RangeId, from: u32, count: u32) -> Extent {
        Extent { range, from, count, prepare: self.has_prepare() }
    }

    pub(crate) fn keep(&self, result: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    /// The kept result, if it is of one of these tasks.
    pub(crate) fn kept(&self, from: u32, count: u32) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = from..from.saturating_add(count);
        kept.as_ref().filter(|kept| tasks.contains(&kept.leaf.index)).cloned()
    }
}

/// The leaf of a prepare phase.
pub(crate) fn prepare_leaf(status: tilth_protocol::Status, units: u64) -> Leaf {
    match status {
        tilth_protocol::Status::Ok => Leaf::finished(PREPARE_INDEX, &[], units),
        failed => Leaf::failed(PREPARE_INDEX, failed, units),
    }
}
