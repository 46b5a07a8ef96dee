//! Serves one model: answers many questions at the same time until it is told to stop. Encoders are served by [`embed`].
//!
//! Three threads: one reads orders and makes tokens of prompts, so that a long prompt keeps nobody waiting; one
//! computes, a batch after the other; one writes. What an answer says depends on model, prompt and parameters
//! alone, not on who else is answered.

mod answer;
mod automaton;
mod bounds;
mod digits;
mod embed;
mod json;
mod lexicon;
pub(crate) mod loaded;
mod mapping;
pub(crate) mod prompt;
mod shape;

use std::{
    collections::HashMap,
    io::{self, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
};

use tilth_protocol::{
    Problem,
    infer::{FromModel, Makes, Parameters, Prompt, Refusal, Room, ToModel},
    worker::{FromWorker, ToWorker, read_frame},
};
use tilth_tensor::{
    engine::{Engine, Limits, Request},
    int1::{attention::PAGE, sampling::Sampling},
    matrix::Machine,
};

use crate::{hello, input, outbox::Outbox, output, problem_error};
pub(crate) use answer::Answer;
pub(crate) use loaded::Loaded;

/// Orders that wait for the thread that computes. Each may hold a prompt's tokens.
const ORDERS: usize = 64;
/// Rows of prompts in one step, beside one row for each answer that goes on: as many as keep a step short for
/// those who wait for their next token.
const PROMPT_ROWS: usize = 32;

/// Of models that lack some bytes as tokens: those of JSON, or of the keys, texts and bounds of a schema.
pub(crate) const NO_FORM: &str = "the model's tokens cannot be held to this form, byte by byte: ask for text, or take another model";

/// Speaks over standard input and output until it is told to stop or its input ends.
pub(crate) fn main() -> io::Result<()> {
    let (input, output) = (BufReader::new(input()?), output()?);
    let outbox = Arc::new(Outbox::default());
    let writing = Arc::clone(&outbox);
    let writer = thread::spawn(move || writing.write_to(output));
    let result = outbox.say(hello()).and_then(|()| serve(input, &outbox));
    outbox.close();
    let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    // If the agent is gone, that is the reason for everything else.
    written.and(result)
}

fn fail(outbox: &Outbox, problem: Problem) -> io::Error {
    // If that cannot be told any more, the error still ends the process.
    let _ = outbox.say(FromWorker::Failed(problem.clone()));
    problem_error(problem)
}

fn out_of_turn() -> Problem {
    Problem::new(
        "the worker was told something out of turn",
        "a model is loaded first, and once",
        "use an agent and a worker of the same version",
    )
}

/// A problem of the tensor crate, for the agent.
pub(crate) fn tensor_problem(error: &tilth_tensor::Error) -> Problem {
    Problem::new(error.what, error.detail.clone(), error.advice)
}

fn serve(mut input: impl Read + Send + 'static, outbox: &Outbox) -> io::Result<()> {
    let (path, room) = match read_frame::<ToWorker>(&mut input)? {
        Some(ToWorker::Infer(ToModel::Load { model, room })) => (model, room),
        Some(ToWorker::Stop) | None => return Ok(()),
        Some(_) => return Err(fail(outbox, out_of_turn())),
    };
    let blob = loaded::mapped(Path::new(&path)).map_err(|problem| fail(outbox, problem))?;
    if blob.header().architecture.pooling.is_some() {
        return embed::serve(input, outbox, &blob, room);
    }
    let loaded = Loaded::of(&blob).map_err(|problem| fail(outbox, problem))?;
    let loaded = Arc::new(loaded);
    let desk = Desk::new(Arc::clone(&loaded), room).map_err(|problem| fail(outbox, problem))?;
    let ready = FromModel::Ready {
        name: loaded.name.clone(),
        makes: Makes::Text,
        context: desk.context,
        weight: loaded.weight,
    };
    outbox.say(FromWorker::Infer(ready))?;
    let (orders, inbox) = sync_channel(ORDERS);
    // Ends with the process: it may be waiting for an order that never comes.
    thread::spawn(move || read(input, |prompt| prompt::tokens(&loaded, prompt), &orders));
    desk.work(&inbox, outbox)
}

/// An order, with tokens in place of texts: those of a prompt, or of each input.
enum Order<T> {
    Ask { id: u64, tokens: Result<T, String>, parameters: Box<Parameters> },
    Cancel(u64),
    Stop,
    Broken(io::Error),
}

fn read<T>(
    mut input: impl Read,
    tokens: impl Fn(&Prompt) -> tilth_tensor::Result<T>,
    orders: &SyncSender<Order<T>>,
) {
    loop {
        let order = match read_frame::<ToWorker>(&mut input) {
            Ok(Some(ToWorker::Infer(ToModel::Ask { id, prompt, parameters }))) => {
                let tokens = tokens(&prompt).map_err(|error| error.to_string());
                Order::Ask { id, tokens, parameters: Box::new(parameters) }
            }
            Ok(Some(ToWorker::Infer(ToModel::Cancel(id)))) => Order::Cancel(id),
            Ok(Some(ToWorker::Stop) | None) => Order::Stop,
            Ok(Some(_)) => Order::Broken(problem_error(out_of_turn())),
            Err(error) => Order::Broken(error),
        };
        let last = matches!(order, Order::Stop | Order::Broken(_));
        if orders.send(order).is_err() || last {
            return;
        }
    }
}

/// The thread that computes.
struct Desk {
    loaded: Arc<Loaded>,
    engine: Engine,
    context: u32,
    waiting_most: usize,
    running_most: usize,
    answers: HashMap<u64, Answer>,
}

/// How tokens are chosen, in the words of the engine.
pub(crate) fn sampling(parameters: &Parameters) -> Sampling {
    Sampling {
        temperature: parameters.temperature,
        top_k: parameters.top_k,
        top_p: parameters.top_p,
        seed: parameters.seed,
        stream: parameters.stream,
    }
}

/// What the engine is asked.
pub(crate) fn request(
    id: u64,
    tokens: Vec<u32>,
    parameters: &Parameters,
    loaded: &Loaded,
) -> Request {
    Request {
        id,
        prompt: tokens,
        most: parameters.most as usize,
        sampling: sampling(parameters),
        stops: loaded.tokenizer.ends().to_vec(),
        alternatives: parameters.alternatives.map(usize::from),
    }
}

/// The threads that compute.
fn machine(room: Room) -> Result<Machine, Problem> {
    let threads = match room.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    };
    Machine::new(threads).map_err(|error| tensor_problem(&error))
}

impl Desk {
    fn new(loaded: Arc<Loaded>, room: Room) -> Result<Self, Problem> {
        let own = u32::try_from(loaded.model.architecture().context).unwrap_or(u32::MAX);
        // More than all that run can have is never used.
        let page = u32::try_from(PAGE).unwrap_or(u32::MAX);
        let most = own.div_ceil(page).saturating_mul(room.running.max(1));
        let pages = (room.tokens / page).min(most);
        let context = room.context.min(own).min(pages.saturating_mul(page));
        let (running, waiting) = (room.running.max(1) as usize, room.waiting as usize);
        let limits = Limits {
            pages: pages as usize,
            rows: running.saturating_add(PROMPT_ROWS),
            running,
            waiting: running.saturating_add(waiting),
        };
        let engine = Engine::new(Arc::clone(&loaded.model), Arc::new(machine(room)?), limits)
            .map_err(|error| tensor_problem(&error))?;
        Ok(Self {
            loaded,
            engine,
            context,
            waiting_most: waiting,
            running_most: running,
            answers: HashMap::new(),
        })
    }

    fn work(mut self, inbox: &Receiver<Order<Vec<u32>>>, outbox: &Outbox) -> io::Result<()> {
        loop {
            let order = if self.engine.is_idle() {
                inbox.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                inbox.try_recv()
            };
            match order {
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return Ok(()),
                Ok(Order::Broken(error)) => return Err(error),
                Ok(Order::Cancel(id)) => self.forget(id),
                Ok(Order::Ask { id, tokens, parameters }) => {
                    outbox.say(FromWorker::Infer(self.take(id, tokens, &parameters)))?;
                }
                Err(TryRecvError::Empty) => self.step(outbox)?,
            }
        }
    }

    fn forget(&mut self, id: u64) {
        self.engine.cancel(id);
        self.answers.remove(&id);
    }

    fn take(
        &mut self,
        id: u64,
        tokens: Result<Vec<u32>, String>,
        parameters: &Parameters,
    ) -> FromModel {
        let refused = |why, text: String| FromModel::Refused { id, why, text };
        let tokens = match tokens {
            Ok(tokens) => tokens,
            Err(text) => return refused(Refusal::Invalid, text),
        };
        let prompt_tokens = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        let length = prompt_tokens.saturating_add(parameters.most);
        if prompt_tokens == 0 {
            return refused(
                Refusal::Invalid,
                "the prompt is empty, and this model needs at least one token".into(),
            );
        }
        if length > self.context {
            let text = format!(
                "the prompt has {prompt_tokens} tokens and the answer up to {}, together they may have {}",
                parameters.most, self.context
            );
            let left = self.context.saturating_sub(prompt_tokens);
            return refused(Refusal::TooLong { left }, text);
        }
        if self.answers.len() >= self.running_most.saturating_add(self.waiting_most) {
            return refused(Refusal::Busy, format!("{} answers run or wait", self.answers.len()));
        }
        let Some(form) = self.loaded.form(&parameters.form) else {
            return refused(Refusal::Invalid, NO_FORM.into());
        };
        let request = request(id, tokens, parameters, &self.loaded);
        if let Err(error) = self.engine.submit_as(request, form) {
            return refused(Refusal::Busy, error.to_string());
        }
        self.answers.insert(id, Answer::new(&parameters.stops));
        FromModel::Begun { id, prompt_tokens }
    }

    fn step(&mut self, outbox: &Outbox) -> io::Result<()> {
        let events = self.engine.step().map_err(|error| fail(outbox, tensor_problem(&error)))?;
        for event in events {
            let Some(answer) = self.answers.get_mut(&event.id) else { continue };
            let (piece, end) = answer.take(&event, &self.loaded.tokenizer);
            let id = event.id;
            outbox.say(FromWorker::Infer(FromModel::Piece { id, piece }))?;
            if let Some(end) = end {
                self.forget(id);
                outbox.say(FromWorker::Infer(FromModel::Ended { id, end }))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
