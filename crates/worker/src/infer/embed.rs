//! Serves one encoder: an embedding for every input of many questions, each of which has its turn.
//!
//! What an embedding is depends on the model and its input alone. Questions take turns of [`ROWS`] tokens, so that a
//! long one keeps nobody waiting for all of it.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError, sync_channel},
    },
    thread,
};

use tilth_protocol::{
    Problem,
    infer::{End, FromModel, Makes, Refusal, Room},
    worker::FromWorker,
};
use tilth_tensor::{blob::Blob, matrix::Machine};

use super::{ORDERS, Order, fail, loaded::Encodes, machine, prompt, read, tensor_problem};
use crate::outbox::Outbox;

/// Tokens of one turn, unless one input alone has more: as many as an encoder takes at once.
const ROWS: usize = 512;

pub(super) fn serve(
    input: impl Read + Send + 'static,
    outbox: &Outbox,
    blob: &Blob,
    room: Room,
) -> io::Result<()> {
    let loaded = Encodes::of(blob).map_err(|problem| fail(outbox, problem))?;
    let loaded = Arc::new(loaded);
    let desk = Desk::new(Arc::clone(&loaded), room).map_err(|problem| fail(outbox, problem))?;
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let ready = FromModel::Ready {
        name: loaded.name.clone(),
        makes: Makes::Embeddings { dimensions: number(loaded.encoder.dimension()) },
        context: number(desk.context),
        weight: loaded.weight,
    };
    outbox.say(FromWorker::Infer(ready))?;
    let (orders, inbox) = sync_channel(ORDERS);
    // Ends with the process: it may be waiting for an order that never comes.
    thread::spawn(move || read(input, |prompt| prompt::inputs(&loaded, prompt), &orders));
    desk.work(&inbox, outbox)
}

/// A question that waits for its next turn.
struct Question {
    id: u64,
    /// Those without an embedding.
    inputs: VecDeque<Vec<u32>>,
}

/// The thread that computes.
struct Desk {
    loaded: Arc<Encodes>,
    machine: Machine,
    /// Most tokens of an input.
    context: usize,
    /// Most questions.
    most: usize,
    questions: VecDeque<Question>,
}

/// How many inputs come together.
fn together(inputs: &VecDeque<Vec<u32>>) -> usize {
    let mut rows = 0_usize;
    let fits = inputs.iter().take_while(|input| {
        rows = rows.saturating_add(input.len());
        rows <= ROWS
    });
    fits.count().max(1).min(inputs.len())
}

impl Desk {
    fn new(loaded: Arc<Encodes>, room: Room) -> Result<Self, Problem> {
        let context = loaded.encoder.context().min(room.context as usize);
        let most = (room.running as usize).saturating_add(room.waiting as usize).max(1);
        let machine = machine(room)?;
        Ok(Self { loaded, machine, context, most, questions: VecDeque::new() })
    }

    fn work(mut self, inbox: &Receiver<Order<Vec<Vec<u32>>>>, outbox: &Outbox) -> io::Result<()> {
        loop {
            let order = if self.questions.is_empty() {
                inbox.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                inbox.try_recv()
            };
            match order {
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return Ok(()),
                Ok(Order::Broken(error)) => return Err(error),
                Ok(Order::Cancel(id)) => self.questions.retain(|question| question.id != id),
                Ok(Order::Ask { id, tokens, .. }) => {
                    outbox.say(FromWorker::Infer(self.take(id, tokens)))?;
                }
                Err(TryRecvError::Empty) => self.turn(outbox)?,
            }
        }
    }

    fn take(&mut self, id: u64, inputs: Result<Vec<Vec<u32>>, String>) -> FromModel {
        let refused = |why, text: String| FromModel::Refused { id, why, text };
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(text) => return refused(Refusal::Invalid, text),
        };
        if inputs.is_empty() {
            return refused(Refusal::Invalid, "there are no inputs".into());
        }
        for (number, input) in inputs.iter().enumerate() {
            if input.is_empty() {
                return refused(Refusal::Invalid, format!("input {number} has no tokens"));
            }
            let (length, most) = (input.len(), self.context);
            if length > most {
                let text = format!("input {number} has {length} tokens, it may have {most}");
                return refused(Refusal::TooLong { left: 0 }, text);
            }
            let vocabulary = self.loaded.vocabulary;
            if let Some(token) = input.iter().find(|token| **token as usize >= vocabulary) {
                let text = format!("input {number} has token {token}, there are {vocabulary}");
                return refused(Refusal::Invalid, text);
            }
        }
        if self.questions.len() >= self.most {
            return refused(Refusal::Busy, format!("{} questions wait", self.questions.len()));
        }
        let tokens = inputs.iter().map(Vec::len).fold(0, usize::saturating_add);
        self.questions.push_back(Question { id, inputs: inputs.into() });
        FromModel::Begun { id, prompt_tokens: u32::try_from(tokens).unwrap_or(u32::MAX) }
    }

    /// Some of the inputs of whoever waits longest.
    fn turn(&mut self, outbox: &Outbox) -> io::Result<()> {
        let Some(Question { id, mut inputs }) = self.questions.pop_front() else { return Ok(()) };
        let count = together(&inputs);
        let some: Vec<Vec<u32>> = inputs.drain(..count).collect();
        let some: Vec<&[u32]> = some.iter().map(Vec::as_slice).collect();
        let made = self.loaded.encoder.embed(&some, &self.machine);
        for embedding in made.map_err(|error| fail(outbox, tensor_problem(&error)))? {
            outbox.say(FromWorker::Infer(FromModel::Embedding { id, embedding }))?;
        }
        if inputs.is_empty() {
            let ended = FromModel::Ended { id, end: End::Stop };
            return outbox.say(FromWorker::Infer(ended));
        }
        self.questions.push_back(Question { id, inputs });
        Ok(())
    }
}

#[cfg(test)]
#[path = "embed_tests.rs"]
mod tests;
