//! One slot: a worker process and the range it runs, one order at a time.
//!
//! Reading results and keeping them overlap: while a batch is hashed, stored and journalled, the worker
//! computes on and the next frames are read, up to a few batches ahead. A leaf is journalled only after
//! its output is in the content store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tilth_blobs::{BlobsError, Tag};
use tilth_protocol::{JobId, Leaf, RangeId, Status, leaf::INLINE_BYTES};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::{
    hand::{Hand, HandError, Leash, Loaded, TaskResult},
    journal::{Journal, JournalError},
    machine::{Event, Pace, RunTrouble, SlotId},
    shop::{Kept, Ready, Shop, prepare_leaf},
};

/// Batches read ahead of the one that is being kept.
const AHEAD: usize = 4;
/// Most bytes of outputs in one batch for the store; bounds memory together with [`AHEAD`].
const LARGEST_KEPT: usize = 4 << 20;
/// How long the loader may go on when nothing is known about the job's speed.
const UNKNOWN_SILENCE: Duration = Duration::from_secs(60);

/// What a slot is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Run one task and keep its result.
    Calibrate { job: JobId, index: u32 },
    /// Run what is missing of a range.
    Run { range: RangeId, from: u32, count: u32, silence: Duration },
    /// End the worker.
    Unload,
}

/// What a slot is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// A trial task of a job.
    Calibration(JobId),
    /// A range.
    Range(RangeId),
}

/// Why a slot stopped.
#[derive(Debug, thiserror::Error)]
enum SlotError {
    #[error("its job is not ready")]
    NotReady,
    #[error(transparent)]
    Hand(#[from] HandError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    #[error("keeping results was interrupted")]
    Interrupted,
}

impl SlotError {
    fn trouble(&self) -> RunTrouble {
        match self {
            Self::Hand(HandError::Start(_) | HandError::Unheard(_) | HandError::Inputs(_)) => {
                RunTrouble::Local
            }
            Self::Hand(_) => RunTrouble::Worker,
            Self::NotReady | Self::Journal(_) | Self::Blobs(_) | Self::Interrupted => {
                RunTrouble::Local
            }
        }
    }
}

/// A slot's task: takes orders until its sender is gone.
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    pub(crate) shop: Arc<Shop>,
    pub(crate) orders: mpsc::Receiver<Order>,
    /// What must not be run any more.
    pub(crate) aborted: watch::Receiver<Option<Task>>,
    /// Pulled while the owner has the machine.
    pub(crate) leash: Leash,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) loaded: Option<(JobId, Hand, Loaded)>,
}

impl Slot {
    /// Follows orders. Dropping the future kills the worker.
    pub(crate) async fn follow(mut self) {
        while let Some(order) = self.orders.recv().await {
            let event = match order {
                Order::Unload => {
                    self.loaded = None;
                    continue;
                }
                Order::Calibrate { job, index } => self.calibrate(job, index).await,
                Order::Run { range, from, count, silence } => {
                    self.run(range, from, count, silence).await
                }
            };
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    async fn calibrate(&mut self, job: JobId, index: u32) -> Event {
        let stop = self.told_to_stop(Task::Calibration(job));
        let measured = tokio::select! {
            measured = self.measure(job, index) => measured,
            () = stop => {
                self.loaded = None;
                debug!(%job, slot = self.id, "stopped a trial task");
                let trouble = RunTrouble::Aborted;
                return Event::RunFailed { slot: self.id, done: 0, trouble };
            }
        };
        match measured {
            Ok(pace) => Event::Calibrated { slot: self.id, job, pace },
            Err(error) => {
                self.loaded = None;
                warn!(%job, slot = self.id, %error, "a trial task failed");
                Event::RunFailed { slot: self.id, done: 0, trouble: error.trouble() }
            }
        }
    }

    async fn measure(&mut self, job: JobId, index: u32) -> Result<Pace, SlotError> {
        let ready = self.shop.ready(job).ok_or(SlotError::NotReady)?;
        let (loaded, load_micros) = self.load(&ready).await?;
        if loaded.prepare != Status::Ok {
            // There is nothing to run: a range is what its prepare phase costs.
            let micros = load_micros.max(1_000);
            return Ok(Pace { tasks: 1, units: loaded.prepare_units, micros, load_micros });
        }
        let Some((_, hand, _)) = &mut self.loaded else { return Err(SlotError::NotReady) };
        let silence = Duration::from_millis(ready.range_timeout_ms).max(UNKNOWN_SILENCE);
        let (began, stood) = (Instant::now(), hand.stood());
        hand.order(index, 1).await?;
        let mut results = hand.results(&ready, index, 1, silence).await?;
        let micros = micros_of(began, hand.stood().saturating_sub(stood));
        let units = results.iter().map(|result| result.leaf.units).sum();
        if let Some(TaskResult { leaf, output }) = results.pop()
            && output.len() <= LARGEST_KEPT
        {
            ready.keep(Kept { leaf, output });
        }
        Ok(Pace { tasks: 1, units, micros, load_micros })
    }

    async fn run(&mut self, range: RangeId, from: u32, count: u32, silence: Duration) -> Event {
        let slot = self.id;
        let mut done = 0;
        let stop = self.told_to_stop(Task::Range(range));
        let outcome = tokio::select! {
            outcome = self.run_range(range, from, count, silence, &mut done) => outcome,
            () = stop => {
                self.loaded = None;
                debug!(%range, slot, "stopped a range");
                return Event::RunFailed { slot, done, trouble: RunTrouble::Aborted };
            }
        };
        match outcome {
            Ok(pace) => Event::RangeComplete { slot, range, pace },
            Err(error) => {
                self.loaded = None;
                warn!(%range, slot, done, %error, "a range stopped before its end");
                Event::RunFailed { slot, done, trouble: error.trouble() }
            }
        }
    }

    /// Waits until a task is to be stopped.
    fn told_to_stop(&self, task: Task) -> impl Future<Output = ()> + use<> {
        let mut aborted = self.aborted.clone();
        async move {
            if aborted.wait_for(|stop| *stop == Some(task)).await.is_err() {
                // Nobody is left who could stop it.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn run_range(
        &mut self,
        range: RangeId,
        from: u32,
        count: u32,
        silence: Duration,
        done: &mut u32,
    ) -> Result<Option<Pace>, SlotError> {
        let ready = self.shop.ready(range.job).ok_or(SlotError::NotReady)?;
        let mut keeper = Keeper::open(Arc::clone(&self.shop), &ready, range, from, count).await?;
        *done = keeper.journal.done();
        if keeper.journal.complete().is_some() {
            return Ok(None);
        }
        let (loaded, load_micros) = self.load(&ready).await?;
        if ready.has_prepare() {
            keeper.note(&[prepare_leaf(loaded.prepare, loaded.prepare_units)])?;
        }
        if loaded.prepare != Status::Ok {
            keeper.fail_all(loaded.prepare)?;
            return Ok(None);
        }
        let missing = keeper.journal.missing();
        let Some((_, hand, _)) = &mut self.loaded else { return Err(SlotError::NotReady) };
        let (began, stood) = (Instant::now(), hand.stood());
        let (batches, kept) = mpsc::channel(AHEAD);
        let read = read_all(hand, &ready, &missing, silence, batches);
        let ran = read_and_keep(read, &mut keeper, kept, done).await?;
        let micros = micros_of(began, hand.stood().saturating_sub(stood));
        Ok((ran.tasks > 0).then_some(Pace {
            tasks: ran.tasks,
            units: ran.units,
            micros,
            load_micros,
        }))
    }

    /// Makes sure that a worker has the job; says how long that took in microseconds.
    async fn load(&mut self, ready: &Ready) -> Result<(Loaded, u64), SlotError> {
        if let Some((job, _, loaded)) = &self.loaded
            && *job == ready.job
        {
            return Ok((*loaded, 0));
        }
        self.loaded = None;
        let began = Instant::now();
        let (hand, loaded) = Hand::load(&self.shop, ready, self.leash.clone()).await?;
        let micros = micros_of(began, hand.stood());
        self.loaded = Some((ready.job, hand, loaded));
        Ok((loaded, micros))
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
struct Ran {
    tasks: u32,
    units: u64,
}

/// Orders all missing runs, one after the other, and passes their results on.
async fn read_all(
    hand: &mut Hand,
    ready: &Ready,
    missing: &[(u32, u32)],
    silence: Duration,
    batches: mpsc::Sender<Vec<TaskResult>>,
) -> Result<Ran, SlotError> {
    let mut ran = Ran::default();
    for &(from, count) in missing {
        hand.order(from, count).await?;
        let (mut next, mut left) = (from, count);
        while left > 0 {
            let results = hand.results(ready, next, left, silence).await?;
            let here = u32::try_from(results.len()).unwrap_or(left);
            next = next.saturating_add(here);
            left = left.saturating_sub(here);
            ran.tasks = ran.tasks.saturating_add(here);
            let units = results.iter().map(|result| result.leaf.units);
            ran.units = units.fold(ran.units, u64::saturating_add);
            if batches.send(results).await.is_err() {
                // The keeper has failed and says why.
                return Ok(ran);
            }
        }
    }
    Ok(ran)
}

/// Reads and keeps at the same time. What was read before the worker failed is kept, too.
async fn read_and_keep(
    read: impl Future<Output = Result<Ran, SlotError>>,
    keeper: &mut Keeper,
    mut batches: mpsc::Receiver<Vec<TaskResult>>,
    done: &mut u32,
) -> Result<Ran, SlotError> {
    // Not `try_join`: a dead worker must not throw away its last results. If keeping fails, the
    // closed channel ends reading.
    let keep = async {
        let kept = async {
            while let Some(batch) = batches.recv().await {
                keeper.keep(batch).await?;
                *done = keeper.journal.done();
            }
            Ok::<_, SlotError>(())
        };
        let kept = kept.await;
        batches.close();
        kept
    };
    let (ran, kept) = tokio::join!(read, keep);
    kept?;
    ran
}

/// A range's journal and the place of its outputs.
struct Keeper {
    shop: Arc<Shop>,
    journal: Journal,
    tag: Tag,
}

impl Keeper {
    /// Opens a range's journal, drops leaves whose outputs are gone, and adds what calibration kept.
    async fn open(
        shop: Arc<Shop>,
        ready: &Ready,
        range: RangeId,
        from: u32,
        count: u32,
    ) -> Result<Self, SlotError> {
        let path = shop.folder.journal(range);
        let extent = ready.extent(range, from, count);
        let opened = tokio::task::spawn_blocking(move || Journal::open(&path, extent));
        let mut journal = opened.await.map_err(|_| SlotError::Interrupted)??;
        let blobs: Vec<_> =
            journal.leaves().filter_map(|leaf| Some((leaf.index, leaf.blob()?))).collect();
        for (index, hash) in blobs {
            if !shop.blobs.has(hash).await? {
                journal.forget(index);
            }
        }
        let tag = Tag::range(range.job, range.seq);
        let mut keeper = Self { shop, journal, tag };
        if let Some(Kept { leaf, output }) = ready.kept(from, count)
            && !keeper.journal.leaves().any(|known| known.index == leaf.index)
        {
            keeper.keep(vec![TaskResult { leaf, output }]).await?;
        }
        Ok(keeper)
    }

    /// Stores outputs, then journals their leaves.
    async fn keep(&mut self, batch: Vec<TaskResult>) -> Result<(), SlotError> {
        let mut leaves = Vec::with_capacity(batch.len());
        let mut outputs = Vec::new();
        for TaskResult { leaf, output } in batch {
            leaves.push(leaf);
            if output.len() > INLINE_BYTES {
                outputs.push(output.into());
            }
        }
        if !outputs.is_empty() {
            self.shop.blobs.put_many(outputs, &self.tag).await?;
        }
        self.note(&leaves)
    }

    /// Journals leaves. A write to the page cache of at most some hundred KiB.
    fn note(&mut self, leaves: &[Leaf]) -> Result<(), SlotError> {
        self.journal.append(leaves)?;
        Ok(())
    }

    /// The leaves of tasks that cannot run because the prepare phase failed.
    fn fail_all(&mut self, status: Status) -> Result<(), SlotError> {
        let extent = *self.journal.extent();
        let tasks = extent.from..extent.from.saturating_add(extent.count);
        // All of them, also those that an earlier life may have run with another outcome.
        let leaves: Vec<_> = tasks.map(|index| Leaf::failed(index, status, 0)).collect();
        self.note(&leaves)
    }
}

/// Time since a moment, less what the worker stood still of it.
fn micros_of(began: Instant, stood: Duration) -> u64 {
    u64::try_from(began.elapsed().saturating_sub(stood).as_micros()).unwrap_or(u64::MAX)
}
