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
    infer::{FromModel, ToModel},
    worker::{FromWorker, ToWorker},
};
use tilth_sandbox::{Bind, Limits as Cage, Program};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tracing::{debug, warn};

use super::{
    LOAD, Model,
    engine::{About, Event, Order},
    pipe::Pipes,
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
    pub(super) inbox: mpsc::UnboundedReceiver<Order>,
    pub(super) unsent: Arc<AtomicUsize>,
    pub(super) calls: HashMap<u64, mpsc::Sender<Event>>,
}

impl Keeper {
    pub(super) async fn keep(&mut self, mut tell: Option<oneshot::Sender<Result<About, String>>>) {
        let mut wait = None;
        loop {
            let mut lived = Duration::ZERO;
            let error = match self.begin().await {
                Ok((hand, about)) => {
                    let began = Instant::now();
                    if let Some(tell) = tell.take() {
                        // Who started it may have given up.
                        let _ = tell.send(Ok(about));
                    }
                    let served = self.serve(hand).await;
                    lived = began.elapsed();
                    match served {
                        Ok(()) => return,
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
            self.calls.clear();
            self.unsent.store(0, Ordering::Relaxed);
            let next = wait_after(wait, lived);
            wait = Some(next);
            if !self.refuse_for(next).await {
                return;
            }
        }
    }

    /// Starts the worker and has it load the model.
    async fn begin(&self) -> Result<(Hand, About), HandError> {
        let mut program = Program::new(&self.start.worker.program);
        program.args = self.start.worker.args.clone();
        program.args.push("infer".into());
        let bind = Bind::new(&self.model.file, INSIDE);
        let inside: &Path = self.start.confinement.path_inside(&bind);
        let model = inside.to_string_lossy().into_owned();
        program.read_only = vec![bind];
        let size = self.model.file.metadata().map_or(0, |about| about.len());
        let cage = Cage {
            memory_bytes: self.model.memory_bytes.saturating_add(size),
            // A thread per core is more than the default allows on large machines.
            processes: 1024,
            ..Cage::default()
        };
        let confined = self.start.confinement.spawn(&program, &cage).await?;
        let mut hand = Hand::spawn(confined, Leash::default()).await?;
        hand.say(&ToWorker::Infer(ToModel::Load { model, room: self.model.room })).await?;
        match hand.hear(LOAD).await? {
            FromWorker::Infer(FromModel::Ready { name, makes, context, .. }) => {
                makes.check().map_err(|error| HandError::Nonsense(error.to_string()))?;
                let name = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
                Ok((hand, About { name, makes, context }))
            }
            other => Err(crate::hand::unexpected(&other)),
        }
    }

    /// Passes orders and answers on until the worker dies (an error) or nobody is left to ask.
    async fn serve(&mut self, hand: Hand) -> Result<(), HandError> {
        let mut pipes = Pipes::new(hand, Arc::clone(&self.unsent));
        loop {
            tokio::select! {
                order = self.inbox.recv() => match order {
                    Some(order) => self.take(order, &pipes),
                    None => return Ok(()),
                },
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

    /// Refuses everybody for a while; says whether anybody may still come.
    async fn refuse_for(&mut self, wait: Duration) -> bool {
        let over = sleep(wait);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                // Dropping the order tells the caller.
                order = self.inbox.recv() => if order.is_none() { return false },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
