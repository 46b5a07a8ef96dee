//! Prompts answered by a language model: task `i` answers line `i` of a file.
//!
//! The output is one line of JSON. Units are tokens, of prompt and answer, times the model's weight.

use std::{fs, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use tilth_protocol::{
    Limits, Problem, Status, TaskIndex, Workload,
    infer::{
        End, Message, Parameters, Prompt,
        program::{INFER_MAGIC, InferProgram, MAX_INFER_PROGRAM_BYTES, MAX_PROMPTS_BYTES},
    },
    worker::TaskDone,
};
use tilth_tensor::{
    engine::{self, Engine, Form},
    int1::attention::PAGE,
    matrix::Machine,
};

use super::{Finished, Order, Prepared, Row, Tasks, file_problem, lines::Lines, read_bounded};
use crate::infer::{Answer, Loaded, NO_FORM, prompt, request, tensor_problem};

/// Rows of a prompt in one step.
const ROWS: usize = 64;

/// The row of `infer`.
pub(crate) const INFER: Row = Row {
    workload: Workload::Infer,
    engine: || "int1 1",
    magic: INFER_MAGIC,
    compile: compile_file,
    load,
};

fn program(path: &Path) -> Result<InferProgram, Problem> {
    let bytes = read_bounded(path, (MAX_INFER_PROGRAM_BYTES + INFER_MAGIC.len()) as u64)
        .map_err(|error| file_problem("the program cannot be read", path, &error))?;
    InferProgram::from_bytes(&bytes).map_err(|error| {
        let advice = "see docs/guide/inference.md for what the program of such a job holds";
        Problem::new("the program is not one for language models", error.to_string(), advice)
    })
}

fn compile_file(source: &Path, artifact: &Path) -> Result<(), Problem> {
    fs::write(artifact, program(source)?.to_bytes())
        .map_err(|error| file_problem("the program cannot be written", artifact, &error))
}

fn load(order: &Order<'_>) -> Result<Box<dyn Tasks>, Problem> {
    Ok(Box::new(Answers::open(order)?))
}

/// A line with one text, or with more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Question(Question),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    seed: Option<u64>,
}

/// An answer as it is written. The order of the fields is that of the bytes, which everybody must get: it is here and in
/// no library's choice of a map.
#[derive(Serialize)]
struct Written<'a> {
    text: &'a str,
    tokens: &'a [u32],
    prompt_tokens: usize,
    finish_reason: &'static str,
}

impl Written<'_> {
    fn line(&self) -> Result<Vec<u8>, Problem> {
        let mut line = serde_json::to_vec(self).map_err(|error| {
            let advice = "report this as a bug";
            Problem::new("an answer cannot be written", error.to_string(), advice)
        })?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A model and the prompts for it.
struct Answers {
    loaded: Loaded,
    engine: Engine,
    /// Most tokens of a prompt and its answer.
    context: usize,
    limits: Limits,
    parameters: Parameters,
    prompts: Lines,
}

/// The prompt of a task and how it is answered.
struct Asked {
    tokens: Vec<u32>,
    parameters: Parameters,
    form: Option<Box<dyn Form>>,
}

/// Why a task has no answer: its own fault, and the same on every machine.
struct Failed(Status, String);

impl Answers {
    fn open(order: &Order<'_>) -> Result<Self, Problem> {
        let program = program(order.program)?;
        let loaded = Loaded::open(&order.inputs.join(&program.model))?;
        let path = order.inputs.join(&program.prompts);
        let prompts = read_bounded(&path, MAX_PROMPTS_BYTES)
            .map_err(|error| file_problem("the prompts cannot be read", &path, &error))?;
        let prompts = Lines::new(prompts);
        let page = loaded.model.cache_shape().page_bytes().max(1) as u64;
        let pages = usize::try_from(order.limits.memory_bytes / page).unwrap_or(usize::MAX);
        let own = loaded.model.architecture().context;
        let pages = pages.min(own.div_ceil(PAGE));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = Machine::new(threads).map_err(|error| tensor_problem(&error))?;
        let room = engine::Limits { pages, rows: ROWS, running: 1, waiting: 1 };
        let engine = Engine::new(Arc::clone(&loaded.model), Arc::new(machine), room)
            .map_err(|error| tensor_problem(&error))?;
        let context = own.min(pages * PAGE);
        let (limits, parameters) = (order.limits, program.parameters);
        Ok(Self { loaded, engine, context, limits, parameters, prompts })
    }

    fn question(&self, index: TaskIndex) -> Result<Asked, Failed> {
        let trap = |text: String| Failed(Status::Trap, text);
        // A task says nothing of the form: it is the program's.
        let form = self.loaded.form(&self.parameters.form);
        let form = form.ok_or_else(|| trap(NO_FORM.to_owned()))?;
        let line = self.prompts.get(index as usize);
        let line = line.ok_or_else(|| trap(format!("there is no line {index}")))?;
        let line: Line =
            serde_json::from_slice(line).map_err(|error| trap(format!("line {index}: {error}")))?;
        let mut parameters = self.parameters.clone();
        let prompt = match line {
            Line::Text(text) => Prompt::Text(text),
            Line::Question(Question { prompt, messages, seed }) => {
                parameters.seed = seed.unwrap_or(parameters.seed);
                match (prompt, messages) {
                    (Some(text), None) => Prompt::Text(text),
                    (None, Some(messages)) => Prompt::Chat(messages),
                    _ => return Err(trap(format!("line {index}: prompt or messages"))),
                }
            }
        };
        prompt.check().map_err(|error| trap(format!("line {index}: {error}")))?;
        let tokens = prompt::tokens(&self.loaded, &prompt);
        let tokens = tokens.map_err(|error| trap(format!("line {index}: {error}")))?;
        if tokens.is_empty() {
            return Err(trap(format!("line {index}: the prompt has no tokens")));
        }
        let paid = usize::try_from(self.limits.unit_cap / self.loaded.weight).unwrap_or(usize::MAX);
        let left = paid.min(self.context).saturating_sub(tokens.len());
        if left == 0 {
            let text = format!("line {index}: {} tokens leave no room for an answer", tokens.len());
            return Err(Failed(Status::OutOfFuel, text));
        }
        parameters.most = parameters.most.min(u32::try_from(left).unwrap_or(u32::MAX));
        Ok(Asked { tokens, parameters, form })
    }

    fn answer(&mut self, index: TaskIndex, asked: Asked) -> Result<TaskDone, Problem> {
        let Asked { tokens, parameters, form } = asked;
        let id = u64::from(index);
        let prompt_tokens = tokens.len();
        let request = request(id, tokens, &parameters, &self.loaded);
        self.engine.submit_as(request, form).map_err(|error| tensor_problem(&error))?;
        let mut answer = Answer::new(&parameters.stops);
        let (mut said, mut text) = (Vec::new(), String::new());
        let end = loop {
            let events = self.engine.step().map_err(|error| tensor_problem(&error))?;
            let mut over = None;
            for event in events {
                let (piece, end) = answer.take(&event, &self.loaded.tokenizer);
                said.extend(piece.said.iter().map(|said| said.token));
                text.push_str(&piece.text);
                over = over.or(end);
            }
            if let Some(end) = over {
                self.engine.cancel(id);
                break end;
            }
        };
        let reason = match end {
            End::Stop => "stop",
            End::Length => "length",
        };
        let count = prompt_tokens.saturating_add(said.len()) as u64;
        let output =
            Written { text: &text, tokens: &said, prompt_tokens, finish_reason: reason }.line()?;
        let units = count.saturating_mul(self.loaded.weight);
        if output.len() as u64 > self.limits.output_bytes {
            let units = self.limits.unit_cap;
            return Ok(TaskDone { index, status: Status::BadOutput, units, output: vec![] });
        }
        Ok(TaskDone { index, status: Status::Ok, units, output })
    }
}

impl Tasks for Answers {
    fn prepare(&mut self) -> Result<Prepared, Problem> {
        Ok(Prepared { status: Status::Ok, units: 0, log: None })
    }

    fn run(&mut self, index: TaskIndex) -> Result<Finished, Problem> {
        match self.question(index) {
            Ok(asked) => Ok(Finished { done: self.answer(index, asked)?, log: None }),
            Err(Failed(status, text)) => {
                let units = self.limits.unit_cap;
                let done = TaskDone { index, status, units, output: vec![] };
                Ok(Finished { done, log: Some(text) })
            }
        }
    }
}

#[cfg(test)]
#[path = "infer_tests.rs"]
mod tests;
