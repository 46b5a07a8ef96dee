//! Many sequences on one model: continuous batching over a paged cache.
//!
//! [`Engine::step`] runs one batch: the next token of every sequence that generates, and as much of the
//! waiting prompts as the budget allows. A sequence is admitted when the pages for its whole length are
//! free, so that nothing admitted is ever thrown out. What a sequence says does not depend on who else
//! is there.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cache::{Cache, Table};
use crate::int1::sampling::{LogProbabilities, Sampling};
use crate::matrix::Machine;
use crate::model::{Model, Row};
use crate::{Error, Result};

/// The most alternatives that are reported per token.
pub const MOST_ALTERNATIVES: usize = 20;

/// Sizes of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pages of the cache, 32 positions each.
    pub pages: usize,
    /// Rows of one step: at least as many as sequences that run at once.
    pub rows: usize,
    /// Sequences that run at once.
    pub running: usize,
    /// Sequences that wait.
    pub waiting: usize,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The caller's name for it; comes back in events.
    pub id: u64,
    /// The tokens before the answer; at least one.
    pub prompt: Vec<u32>,
    /// The most tokens of the answer; at least one.
    pub most: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens that end the answer; they are reported, and counted, as its last.
    pub stops: Vec<u32>,
    /// How many likely alternatives are reported with each token, if log-probabilities are wanted.
    pub alternatives: Option<usize>,
}

/// A form that an answer is held to. It decides from the tokens that it took alone, so that everybody gets the same.
pub trait Form: std::fmt::Debug + Send + Sync {
    /// The tokens that may come next, in ascending order; all others take no part in the choice. If there are none, every
    /// token may come.
    fn allowed(&self) -> Arc<[u32]>;

    /// This one has come.
    fn take(&mut self, token: u32);

    /// Whether the answer is whole, which ends it.
    fn is_whole(&self) -> bool;
}

/// What happened to a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub id: u64,
    /// The next token of the answer.
    pub token: u32,
    /// Its log-probability and the most likely tokens with theirs (16 fractional bits), if wanted.
    pub log_probability: Option<(i32, Vec<(u32, i32)>)>,
    /// Whether and why this was the last.
    pub end: Option<End>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A stop token.
    Stop,
    /// As many tokens as were asked for.
    Length,
}

#[derive(Debug)]
struct Sequence {
    request: Request,
    form: Option<Box<dyn Form>>,
    table: Table,
    /// Prompt and answer so far.
    tokens: Vec<u32>,
    /// How many of them are in the cache.
    done: usize,
}

/// A model and the sequences on it.
#[derive(Debug)]
pub struct Engine {
    model: Arc<Model>,
    machine: Arc<Machine>,
    cache: Cache,
    limits: Limits,
    running: Vec<Sequence>,
    waiting: VecDeque<(Request, Option<Box<dyn Form>>)>,
}

impl Engine {
    /// An engine without sequences.
    ///
    /// # Errors
    /// When there is no memory for the pages.
    pub fn new(model: Arc<Model>, machine: Arc<Machine>, limits: Limits) -> Result<Self> {
        let cache = Cache::new(model.cache_shape(), limits.pages)?;
        let limits = Limits {
            running: limits.running.max(1),
            rows: limits.rows.max(limits.running.max(1)),
            ..limits
        };
        Ok(Self { model, machine, cache, limits, running: vec![], waiting: VecDeque::new() })
    }

    /// Takes a request, which will run when there is room.
    ///
    /// # Errors
    /// When it can never run here, or too many wait.
    pub fn submit(&mut self, request: Request) -> Result<()> {
        self.submit_as(request, None)
    }

    /// As [`submit`](Self::submit), for an answer that is held to a form.
    ///
    /// # Errors
    /// Those of [`submit`](Self::submit).
    pub fn submit_as(&mut self, request: Request, form: Option<Box<dyn Form>>) -> Result<()> {
        let refuse =
            |detail: String, advice| Err(Error::new("the request cannot run", detail, advice));
        let length = request.prompt.len().saturating_add(request.most);
        let room =
            self.model.architecture().context.min(self.limits.pages * crate::int1::attention::PAGE);
        if request.prompt.is_empty() || request.most == 0 {
            return refuse(
                "an empty prompt or answer".into(),
                "Ask for at least one token after at least one",
            );
        }
        if length > room {
            return refuse(
                format!(
                    "{} tokens and {} more in a context of {room}",
                    request.prompt.len(),
                    request.most
                ),
                "Shorten the prompt or the answer",
            );
        }
        let vocabulary = self.model.architecture().vocabulary;
        if let Some(token) = request.prompt.iter().find(|token| **token as usize >= vocabulary) {
            return refuse(
                format!("token {token} of {vocabulary}"),
                "Use the model's own tokenizer",
            );
        }
        if request.alternatives.is_some_and(|count| count > MOST_ALTERNATIVES) {
            return refuse(format!("more than {MOST_ALTERNATIVES} alternatives"), "Ask for fewer");
        }
        let waiting = self.waiting.iter().map(|(request, _)| request);
        let known = self.running.iter().map(|sequence| &sequence.request).chain(waiting);
        if known.into_iter().any(|other| other.id == request.id) {
            return refuse(
                format!("the name {} is taken", request.id),
                "Give every request its own",
            );
        }
        if self.waiting.len() >= self.limits.waiting {
            return refuse(
                format!("{} requests wait already", self.waiting.len()),
                "Try again later",
            );
        }
        self.waiting.push_back((request, form));
        Ok(())
    }

    /// Forgets a request, running or waiting.
    pub fn cancel(&mut self, id: u64) {
        self.waiting.retain(|(request, _)| request.id != id);
        for i in (0..self.running.len()).rev() {
            if self.running[i].request.id == id {
                let mut sequence = self.running.remove(i);
                self.cache.release(&mut sequence.table);
            }
        }
    }

    /// Whether nothing runs or waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Runs one batch.
    ///
    /// # Errors
    /// Never for what [`submit`](Self::submit) took in; an error here is a fault of the engine.
    pub fn step(&mut self) -> Result<Vec<Event>> {
        self.admit();
        let rows = self.rows();
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let tables: Vec<&Table> = self.running.iter().map(|sequence| &sequence.table).collect();
        let logits = self.model.forward(&rows, &tables, &mut self.cache, &self.machine)?;
        for row in &rows {
            self.running[row.sequence].done = row.position as usize + 1;
        }
        let wanting = rows.iter().filter(|row| row.logits).map(|row| row.sequence);
        let events: Vec<Event> =
            wanting.zip(&logits).map(|(i, logits)| self.running[i].advance(logits)).collect();
        for i in (0..self.running.len()).rev() {
            if events
                .iter()
                .any(|event| event.end.is_some() && event.id == self.running[i].request.id)
            {
                let mut sequence = self.running.remove(i);
                self.cache.release(&mut sequence.table);
            }
        }
        Ok(events)
    }

    fn admit(&mut self) {
        while self.running.len() < self.limits.running {
            let Some((request, _)) = self.waiting.front() else { return };
            let mut table = Table::default();
            if !self.cache.grow(&mut table, request.prompt.len() + request.most) {
                return;
            }
            let Some((request, form)) = self.waiting.pop_front() else { return };
            let tokens = request.prompt.clone();
            self.running.push(Sequence { request, form, table, tokens, done: 0 });
        }
    }

    /// The rows of the next step: one per generating sequence, the rest of the budget for prompts, the
    /// oldest first.
    fn rows(&self) -> Vec<Row> {
        let generating = self.running.iter().filter(|s| s.tokens.len() - s.done == 1).count();
        let mut budget = self.limits.rows - generating;
        let mut rows = vec![];
        for (sequence, s) in self.running.iter().enumerate() {
            let open = s.tokens.len() - s.done;
            let take = if open == 1 { 1 } else { open.min(budget) };
            if open != 1 {
                budget -= take;
            }
            for (position, token) in (s.done..).zip(&s.tokens[s.done..s.done + take]) {
                let logits = position + 1 == s.tokens.len();
                // Contexts are below 2^20.
                let position = u32::try_from(position).unwrap_or(u32::MAX);
                rows.push(Row { sequence, position, token: *token, logits });
            }
        }
        rows
    }
}

impl Sequence {
    /// The next token: of all, or of those that the form allows, as if there were no others.
    fn choose(&mut self, logits: &[i32], position: u32) -> u32 {
        let sampling = self.request.sampling;
        let Some(form) = &mut self.form else { return sampling.choose(logits, position) };
        let logit = |token: &u32| Some((*token, *logits.get(*token as usize)?));
        let (allowed, some): (Vec<u32>, Vec<i32>) = form.allowed().iter().filter_map(logit).unzip();
        let token = if some.is_empty() {
            sampling.choose(logits, position)
        } else {
            allowed[sampling.choose(&some, position) as usize]
        };
        form.take(token);
        token
    }

    fn advance(&mut self, logits: &[i32]) -> Event {
        let position = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        let token = self.choose(logits, position);
        let log_probability = self.request.alternatives.map(|count| {
            let all = LogProbabilities::new(logits);
            (all.of(token), all.top(count))
        });
        self.tokens.push(token);
        let is_whole = self.form.as_ref().is_some_and(|form| form.is_whole());
        let end = if is_whole || self.request.stops.contains(&token) {
            Some(End::Stop)
        } else if self.tokens.len() >= self.request.prompt.len() + self.request.most {
            Some(End::Length)
        } else {
            None
        };
        Event { id: self.request.id, token, log_probability, end }
    }
}
