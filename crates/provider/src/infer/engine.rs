//! One model's worker, started again when it dies, and the questions that are with it.
//!
//! What a worker says goes at once to whoever asked, into a queue that is bounded; who does not take it is
//! forgotten, so that nobody waits for the slowest. Callers of a worker that dies are told so.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tilth_protocol::infer::{End, MAX_PROMPT_BYTES, Makes, Parameters, Piece, Prompt, Refusal};
use tilth_service::{OnFailure, Spawner};
use tokio::sync::{mpsc, oneshot};

use super::{Model, keeper::Keeper, yielding::Yielding};
use crate::challenge::Start;

/// Events that wait for one caller, a token each as a rule. Most answers fit whole; who lets more than this wait is
/// forgotten.
const UNHEARD: usize = 4096;
/// Orders on their way to the worker hold at most so many bytes.
const UNSENT_BYTES: usize = 16 * MAX_PROMPT_BYTES;

/// What a caller hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Begun(u32),
    Piece(Piece),
    Embedding(Vec<i32>),
    Ended(End),
    Refused { why: Refusal, text: String },
}

/// What a worker said of its model.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) makes: Makes,
    pub(crate) context: u32,
}

/// Too much waits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as much waits as may")]
pub(crate) struct Full;

pub(super) enum Order {
    Ask { id: u64, prompt: Prompt, parameters: Box<Parameters>, events: mpsc::Sender<Event> },
    Cancel(u64),
}

/// A model's worker. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    busy: AtomicUsize,
    most: usize,
    unsent: Arc<AtomicUsize>,
}

/// A question that was put. Dropping it cancels it.
#[derive(Debug)]
pub(crate) struct Call {
    id: u64,
    engine: Engine,
    events: mpsc::Receiver<Event>,
}

impl Call {
    /// What comes next; `None` when the worker has died, or has forgotten us because we were too slow.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.engine.shared.busy.fetch_sub(1, Ordering::Relaxed);
        // If nobody is there to be told, there is nothing to cancel.
        let _ = self.engine.orders.send(Order::Cancel(self.id));
    }
}

type Ready = oneshot::Receiver<Result<About, String>>;

impl Engine {
    /// Starts a model's worker. The receiver says how the first start went.
    pub(crate) fn start(
        start: Start,
        model: Model,
        yielding: Yielding,
        spawner: &Spawner,
    ) -> (Self, Ready) {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (tell, told) = oneshot::channel();
        let most = model.room.running.saturating_add(model.room.waiting) as usize;
        let shared = Arc::new(Shared { most, ..Shared::default() });
        let unsent = Arc::clone(&shared.unsent);
        let name = format!("model {}", model.file.display());
        let stop = spawner.token();
        spawner.spawn(name, OnFailure::StopAll, async move {
            let calls = HashMap::new();
            let mut keeper = Keeper { start, model, yielding, inbox, unsent, calls };
            tokio::select! {
                () = stop.cancelled() => {}
                () = keeper.keep(Some(tell)) => {}
            }
        });
        (Self { orders, shared }, told)
    }

    /// How many may be with it.
    pub(crate) fn most(&self) -> usize {
        self.shared.most
    }

    /// How many questions are with it.
    pub(crate) fn busy(&self) -> usize {
        self.shared.busy.load(Ordering::Relaxed)
    }

    /// Puts a question.
    pub(crate) fn ask(&self, prompt: Prompt, parameters: Parameters) -> Result<Call, Full> {
        let shared = &self.shared;
        if shared.unsent.load(Ordering::Relaxed) > UNSENT_BYTES {
            return Err(Full);
        }
        let took = shared.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| {
            (busy < shared.most).then_some(busy + 1)
        });
        took.map_err(|_| Full)?;
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let (events, heard) = mpsc::channel(UNHEARD);
        // From here on its drop gives the place back.
        let call = Call { id, engine: self.clone(), events: heard };
        let order = Order::Ask { id, prompt, parameters: Box::new(parameters), events };
        self.orders.send(order).map_err(|_| Full)?;
        Ok(call)
    }
}
