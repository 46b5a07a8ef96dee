//! Reading questions. Fields that would change the answer and are not supported are refused, as far as they are known
//! here; whatever else a question has is ignored, as clients send more every month.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tilth_protocol::infer::{MAX_ANSWER_TOKENS, Parameters, Prompt};

use super::schema::{ResponseFormat, form};
use super::values::{
    alternatives, fixed, messages, plain, says, says_any, says_more_than_text, stops,
    wants_logprobs,
};
use super::{ApiError, embed};

/// Most answers to one question.
pub(crate) const MAX_N: u32 = 16;
/// Tokens of an answer when a chat does not say; the other kind has 16, as its users know it.
const CHAT_TOKENS: u32 = 1024;

/// Which of the two shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Text,
}

/// A question that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) model: String,
    pub(crate) prompt: Prompt,
    /// Of the first answer; the others differ in `stream` alone.
    pub(crate) parameters: Parameters,
    /// In which field the number of tokens was said; if in none, it is cut to what the context has room for.
    pub(crate) most_said: Option<&'static str>,
    pub(crate) n: u32,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) echo: bool,
    /// Elements of embeddings, if they were said.
    pub(crate) dimensions: Option<u32>,
}

impl Wanted {
    /// The field that bounds the answer's length.
    pub(crate) fn most_field(&self) -> &'static str {
        self.most_said.unwrap_or("max_tokens")
    }
}

#[derive(Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Fields of both shapes. Those that come in several forms stay as they were written, in the body itself, until it is
/// known what is wanted of them.
#[derive(Deserialize)]
struct Body<'a> {
    model: String,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    seed: Option<i64>,
    n: Option<i64>,
    #[serde(borrow)]
    stop: Option<&'a RawValue>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    top_logprobs: Option<i64>,
    echo: Option<bool>,
    best_of: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    #[serde(borrow)]
    logit_bias: Option<&'a RawValue>,
    repetition_penalty: Option<f64>,
    min_p: Option<f64>,
    suffix: Option<String>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_effort: Option<&'a RawValue>,
    #[serde(borrow)]
    modalities: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<ResponseFormat<'a>>,
}

pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ApiError::invalid(format!("The body is not UTF-8: {error}.")))?;
    serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("The body is not a valid question: {error}.")))
}

fn prompt(kind: Kind, raw: Option<&RawValue>, text: Option<&RawValue>) -> Result<Prompt, ApiError> {
    Ok(match kind {
        Kind::Chat => Prompt::Chat(messages(raw)?),
        Kind::Text => Prompt::Text(plain(text)?),
    })
}

/// A whole number of a field, within these bounds.
pub(super) fn whole_number(
    field: &str,
    value: Option<i64>,
    low: u32,
    high: u32,
    otherwise: u32,
) -> Result<u32, ApiError> {
    let Some(value) = value else { return Ok(otherwise) };
    let number = u32::try_from(value).ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| {
        ApiError::field(field, format!("`{field}` is {value}, it must be {low} to {high}."))
    })
}

/// The prompt of a question of any shape.
pub(crate) fn prompt_of(body: &[u8]) -> Result<Prompt, ApiError> {
    let shapes = Shapes::of(body)?;
    if shapes.input && !shapes.messages && !shapes.prompt {
        return embed::prompt_of(body);
    }
    prompt_in(if shapes.messages { Kind::Chat } else { Kind::Text }, body)
}

/// The prompt of a question whose receipt says this of it. A question may have fields of several shapes; which of them
/// was answered, the path decided that it was sent to, and the receipt's hash shows. If it is none of them, as
/// [`prompt_of`].
pub(crate) fn prompt_with(body: &[u8], hash: &[u8; 32]) -> Result<Prompt, ApiError> {
    let shapes = Shapes::of(body)?;
    let found = [
        shapes.messages.then(|| prompt_in(Kind::Chat, body)),
        shapes.prompt.then(|| prompt_in(Kind::Text, body)),
        shapes.input.then(|| embed::prompt_of(body)),
    ];
    let mut read = found.into_iter().flatten().flatten();
    match read.find(|prompt| prompt.hash() == *hash) {
        Some(prompt) => Ok(prompt),
        None => prompt_of(body),
    }
}

/// How a question wants this prompt of it to be answered. What gateways choose is as it was made, as far as they may
/// choose it: fewer tokens than there are unless it says how many, which of its answers this is, and the seed of a
/// question that names none.
pub(crate) fn parameters_with(
    body: &[u8],
    prompt: &Prompt,
    made: &Parameters,
) -> Result<Parameters, ApiError> {
    let kind = match prompt {
        Prompt::Chat(_) => Kind::Chat,
        Prompt::Text(_) => Kind::Text,
        Prompt::Inputs(_) => return Ok(Parameters::NONE),
    };
    let wanted = read(kind, body, made.seed)?;
    let most = wanted.parameters.most;
    let most = if wanted.most_said.is_some() { most } else { most.min(made.most) };
    let stream = made.stream.min(wanted.n.saturating_sub(1));
    Ok(Parameters { most, stream, ..wanted.parameters })
}

/// Which shapes' prompts a question has.
struct Shapes {
    messages: bool,
    prompt: bool,
    input: bool,
}

impl Shapes {
    fn of(body: &[u8]) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Fields {
            messages: Option<IgnoredAny>,
            prompt: Option<IgnoredAny>,
            input: Option<IgnoredAny>,
        }
        let Fields { messages, prompt, input } = parse(body)?;
        Ok(Self { messages: messages.is_some(), prompt: prompt.is_some(), input: input.is_some() })
    }
}

fn prompt_in(kind: Kind, body: &[u8]) -> Result<Prompt, ApiError> {
    let body: Body<'_> = parse(body)?;
    let prompt = prompt(kind, body.messages, body.prompt)?;
    prompt.check().map_err(|error| ApiError::of_prompt(&prompt, error.to_string()))?;
    Ok(prompt)
}

/// Reads a body. `fresh` is the seed of questions that name none.
pub(crate) fn read(kind: Kind, body: &[u8], fresh: u64) -> Result<Wanted, ApiError> {
    let body: Body<'_> = parse(body)?;
    refuse_unsupported(kind, &body)?;
    let prompt = prompt(kind, body.messages, body.prompt)?;
    let fields =
        [("max_completion_tokens", body.max_completion_tokens), ("max_tokens", body.max_tokens)];
    let most = fields.into_iter().find(|(_, most)| most.is_some());
    let (most_field, most) = most.unwrap_or(("max_tokens", None));
    let otherwise = if kind == Kind::Chat { CHAT_TOKENS } else { 16 };
    let n = whole_number("n", body.n, 1, MAX_N, 1)?;
    if body.best_of.is_some_and(|best| best != i64::from(n)) {
        return Err(ApiError::field("best_of", "`best_of` other than `n` is not supported."));
    }
    let parameters = Parameters {
        most: whole_number(most_field, most, 1, MAX_ANSWER_TOKENS, otherwise)?,
        temperature: fixed("temperature", body.temperature, 2.0, 1.0)?,
        top_k: whole_number("top_k", body.top_k, 0, u32::MAX, 0)?,
        top_p: fixed("top_p", body.top_p, 1.0, 1.0)?,
        seed: body.seed.map_or(fresh, i64::cast_unsigned),
        stream: 0,
        stops: stops(body.stop)?,
        alternatives: alternatives(kind, body.logprobs, body.top_logprobs)?,
        form: form(body.response_format)?,
    };
    let wanted = Wanted {
        model: body.model,
        prompt,
        parameters,
        most_said: most.map(|_| most_field),
        n,
        stream: body.stream.unwrap_or(false),
        include_usage: body.stream_options.unwrap_or_default().include_usage,
        echo: body.echo.unwrap_or(false),
        dimensions: None,
    };
    let prompt = &wanted.prompt;
    prompt.check().map_err(|error| ApiError::of_prompt(prompt, error.to_string()))?;
    wanted.parameters.check().map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(wanted)
}

fn refuse_unsupported(kind: Kind, body: &Body<'_>) -> Result<(), ApiError> {
    let penal = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    // The prompt's log-probabilities would belong to it, and of a chat the template's words.
    let echo = body.echo == Some(true) && (kind == Kind::Chat || wants_logprobs(body.logprobs));
    let repetition = body.repetition_penalty.is_some_and(|penalty| penalty != 1.0);
    let asked = [
        ("presence_penalty", penal(body.presence_penalty)),
        ("frequency_penalty", penal(body.frequency_penalty)),
        ("logit_bias", says_any(body.logit_bias)),
        ("repetition_penalty", repetition),
        ("min_p", penal(body.min_p)),
        ("suffix", body.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty())),
        ("tools", says_any(body.tools)),
        // Without tools these two mean nothing else.
        ("tool_choice", says(body.tool_choice, &["none", "auto"])),
        ("function_call", says(body.function_call, &["none", "auto"])),
        ("reasoning_effort", says(body.reasoning_effort, &["none"])),
        ("modalities", says_more_than_text(body.modalities)),
        ("functions", says_any(body.functions)),
        ("echo", echo),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => {
            Err(ApiError::field(field, format!("`{field}` is not supported by exact models.")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
