//! Keeps a model's worker running, and passes on what callers and worker say to each other.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tilth_protocol::{
    infer::{FromModel, Refusal, ToModel},
    spec::MAX_NAME_BYTES,
    worker::{FromWorker, ToWorker},
};
use tilth_sandbox::{Bind, Limits as Cage, Program};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tracing::{debug, info, warn};

use super::{
    LOAD, Model,
    engine::{About, Event, Order},
    pipe::Pipes,
    yielding::Yielding,
};
use crate::{
    challenge::Start,
    hand::{Hand, HandError, Leash},
};

/// Wait before a worker is started again; doubles with every death in a row, up to the longest. One that has worked for
/// longer than that begins a new row.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Where the worker finds the model.
const INSIDE: &str = "/job/model";

/// How long to wait after a death: the last wait, and how long the worker has worked since.
fn wait_after(last: Option<Duration>, lived: Duration) -> Duration {
    let last = last.filter(|_| lived <= LONGEST_WAIT);
    last.map_or(FIRST_WAIT, |last| (last * 2).min(LONGEST_WAIT))
}

/// Keeps a worker running.
pub(super) struct Keeper {
    pub(super) start: Start,
    pub(super) model: Model,
    pub(super) yielding: Yielding,
    pub(super) inbox: mpsc::UnboundedReceiver<Order>,
    pub(super) unsent: Arc<AtomicUsize>,
    pub(super) calls: HashMap<u64, mpsc::Sender<Event>>,
}

/// Why a worker that has not died is not needed any more.
enum Over {
    /// Nobody is left to ask.
    Alone,
    /// The owner wants the memory.
    Wanted,
}

impl Keeper {
    pub(super) async fn keep(&mut self, mut tell: Option<oneshot::Sender<Result<About, String>>>) {
        let mut wait = None;
        loop {
            let mut lived = Duration::ZERO;
            // Somebody waits for the first start to know whether the model can be sold at all.
            let is_first = tell.is_some();
            if !is_first && refusing(&mut self.inbox, self.yielding.free()).await.is_none() {
                return;
            }
            let beginning = Box::pin(begin(&self.start, &self.model));
            let begun = if is_first {
                refusing(&mut self.inbox, beginning).await.map(Some)
            } else {
                refusing(&mut self.inbox, self.yielding.unless_wanted(beginning)).await
            };
            let Some(begun) = begun else { return };
            // One that is being loaded when the owner comes goes, too.
            let Some(begun) = begun else { continue };
            let error = match begun {
                Ok((hand, about)) => {
                    let began = Instant::now();
                    if let Some(tell) = tell.take() {
                        // Who started it may have given up.
                        let _ = tell.send(Ok(about));
                    }
                    let served = self.serve(hand).await;
                    lived = began.elapsed();
                    match served {
                        Ok(Over::Alone) => return,
                        Ok(Over::Wanted) => {
                            let model = self.model.file.display();
                            info!(%model, "a model left the memory to the owner");
                            self.forget();
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => {
                    if let Some(tell) = tell.take() {
                        let _ = tell.send(Err(error.to_string()));
                        return;
                    }
                    error
                }
            };
            warn!(%error, model = %self.model.file.display(), "a model's worker has died");
            self.forget();
            let next = wait_after(wait, lived);
            wait = Some(next);
            if refusing(&mut self.inbox, sleep(next)).await.is_none() {
                return;
            }
        }
    }

    /// Forgets who waits for a worker that is gone, which tells them.
    fn forget(&mut self) {
        self.calls.clear();
        self.unsent.store(0, Ordering::Relaxed);
    }

    /// Passes orders and answers on until the worker dies (an error) or is not needed any more. It ends with this.
    async fn serve(&mut self, hand: Hand) -> Result<Over, HandError> {
        let mut pipes = Pipes::new(hand, Arc::clone(&self.unsent));
        loop {
            tokio::select! {
                order = self.inbox.recv() => match order {
                    Some(order) => self.take(order, &pipes),
                    None => return Ok(Over::Alone),
                },
                () = self.yielding.wanted() => return Ok(Over::Wanted),
                frame = pipes.hear() => {
                    let FromWorker::Infer(said) = frame? else {
                        return Err(HandError::Nonsense("it said something else than answers".into()));
                    };
                    self.pass(said, &pipes)?;
                }
            }
        }
    }

    fn take(&mut self, order: Order, pipes: &Pipes) {
        match order {
            Order::Ask { id, prompt, parameters, events } => {
                self.calls.insert(id, events);
                pipes.say(&ToModel::Ask { id, prompt, parameters: *parameters });
            }
            Order::Cancel(id) => {
                if self.calls.remove(&id).is_some() {
                    pipes.say(&ToModel::Cancel(id));
                }
            }
        }
    }

    /// Gives what the worker says to whom it is for.
    fn pass(&mut self, said: FromModel, pipes: &Pipes) -> Result<(), HandError> {
        let (id, event, last) = match said {
            FromModel::Begun { id, prompt_tokens } => (id, Event::Begun(prompt_tokens), false),
            FromModel::Piece { id, piece } => (id, Event::Piece(piece), false),
            FromModel::Embedding { id, embedding } => (id, Event::Embedding(embedding), false),
            FromModel::Ended { id, end } => (id, Event::Ended(end), true),
            FromModel::Refused { id, why, text } => (id, Event::Refused { why, text }, true),
            FromModel::Ready { .. } => {
                return Err(HandError::Nonsense("it has loaded a second time".into()));
            }
        };
        // What is said of those who were cancelled is on its way for a while.
        let Some(events) = self.calls.get(&id) else { return Ok(()) };
        let heard = events.try_send(event).is_ok();
        if last {
            self.calls.remove(&id);
        } else if !heard {
            debug!(id, "a caller takes too long and is forgotten");
            self.calls.remove(&id);
            pipes.say(&ToModel::Cancel(id));
        }
        Ok(())
    }
}

/// Starts the worker and has it load the model.
async fn begin(start: &Start, model: &Model) -> Result<(Hand, About), HandError> {
    let mut program = Program::new(&start.worker.program);
    program.args = start.worker.args.clone();
    program.args.push("infer".into());
    let bind = Bind::new(&model.file, INSIDE);
    let inside: &Path = start.confinement.path_inside(&bind);
    let inside = inside.to_string_lossy().into_owned();
    program.read_only = vec![bind];
    let size = model.file.metadata().map_or(0, |about| about.len());
    let cage = Cage {
        memory_bytes: model.memory_bytes.saturating_add(size),
        // A thread per core is more than the default allows on large machines.
        processes: 1024,
        ..Cage::default()
    };
    let confined = start.confinement.spawn(&program, &cage).await?;
    let mut hand = Hand::spawn(confined, Leash::default()).await?;
    hand.say(&ToWorker::Infer(ToModel::Load { model: inside, room: model.room })).await?;
    match hand.hear(LOAD).await? {
        FromWorker::Infer(FromModel::Ready { name, makes, context, .. }) => {
            makes.check().map_err(|error| HandError::Nonsense(error.to_string()))?;
            check_name(&name)?;
            Ok((hand, About { name, makes, context }))
        }
        other => Err(crate::hand::unexpected(&other)),
    }
}

/// Whether callers take such a name; a worker says no other.
fn check_name(name: &str) -> Result<(), HandError> {
    if name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let text = format!("its model's name is no plain text of at most {MAX_NAME_BYTES} bytes");
    Err(HandError::Nonsense(text))
}

/// Waits for something, and refuses everybody meanwhile: orders that nobody takes would pile up without bound. `None`
/// when nobody is left to ask.
async fn refusing<T>(
    inbox: &mut mpsc::UnboundedReceiver<Order>,
    until: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(until);
    loop {
        tokio::select! {
            done = &mut until => return Some(done),
            order = inbox.recv() => match order {
                Some(Order::Ask { events, .. }) => {
                    // True of a first start, of one after a death, and while the owner has the memory, which is
                    // nobody else's business.
                    let text = "the model is not loaded at the moment".to_owned();
                    // Whoever has given up meanwhile need not be told.
                    let _ = events.try_send(Event::Refused { why: Refusal::Busy, text });
                }
                Some(Order::Cancel(_)) => {}
                None => return None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::infer::Prompt;

    use super::*;

    #[tokio::test]
    async fn orders_do_not_pile_up_while_a_worker_loads() {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let (done, loaded) = oneshot::channel();
        let asking = async {
            for id in 0..100 {
                let (events, mut heard) = mpsc::channel(1);
                let (prompt, parameters) = (Prompt::Text("once".into()), Box::default());
                let order = Order::Ask { id, prompt, parameters, events };
                assert!(orders.send(order).is_ok());
                let told = heard.recv().await;
                assert!(matches!(told, Some(Event::Refused { why: Refusal::Busy, .. })));
                assert_eq!(heard.recv().await, None, "it is forgotten");
                // As everybody does who hangs up.
                assert!(orders.send(Order::Cancel(id)).is_ok());
            }
            done.send(7).unwrap();
        };
        let (loaded, ()) = tokio::join!(refusing(&mut inbox, loaded), asking);
        assert_eq!(loaded, Some(Ok(7)));
        assert!(inbox.len() <= 1, "{} orders lie there", inbox.len());
        drop(orders);
        let never = std::future::pending::<()>();
        assert_eq!(refusing(&mut inbox, never).await, None, "nobody is left to ask");
    }

    #[test]
    fn names_are_as_long_as_the_protocol_has_them() {
        check_name(&"n".repeat(MAX_NAME_BYTES)).unwrap();
        for odd in ["n".repeat(MAX_NAME_BYTES + 1), "a\nb".into()] {
            assert!(check_name(&odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn workers_that_die_again_and_again_wait_longer_though_each_of_them_loads() {
        let moment = Duration::from_secs(2);
        let mut wait = None;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let next = wait_after(wait, moment);
            assert_eq!(next, Duration::from_secs(seconds));
            wait = Some(next);
        }
        assert_eq!(wait_after(wait, Duration::from_secs(3600)), FIRST_WAIT);
    }
}
