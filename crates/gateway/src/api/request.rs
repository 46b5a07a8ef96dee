//! Reading questions. Unknown fields are ignored, as clients send more every month; fields that would change the
//! answer and are not supported are refused, never ignored.

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json};
use tilth_protocol::infer::{Form, Parameters, Prompt};

use super::values::{
    Logprobs, OneOrMany, RawMessage, alternatives, fixed, messages, plain, says, stops,
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
    /// Whether the number of tokens was said; otherwise it is cut to what the context has room for.
    pub(crate) most_said: bool,
    pub(crate) n: u32,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) echo: bool,
    /// Elements of embeddings, if they were said.
    pub(crate) dimensions: Option<u32>,
}

#[derive(Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
}

/// Fields of both shapes.
#[derive(Deserialize)]
struct Body {
    model: String,
    prompt: Option<Value>,
    messages: Option<Vec<RawMessage>>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    seed: Option<i64>,
    n: Option<i64>,
    stop: Option<OneOrMany>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    logprobs: Option<Logprobs>,
    top_logprobs: Option<i64>,
    echo: Option<bool>,
    best_of: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    logit_bias: Option<std::collections::BTreeMap<String, IgnoredAny>>,
    repetition_penalty: Option<f64>,
    min_p: Option<f64>,
    suffix: Option<String>,
    tools: Option<Vec<IgnoredAny>>,
    tool_choice: Option<Value>,
    functions: Option<Vec<IgnoredAny>>,
    function_call: Option<Value>,
    reasoning_effort: Option<Value>,
    modalities: Option<Value>,
    response_format: Option<ResponseFormat>,
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ApiError::invalid(format!("The body is not UTF-8: {error}.")))?;
    serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("The body is not a valid question: {error}.")))
}

fn prompt(
    kind: Kind,
    raw: Option<Vec<RawMessage>>,
    text: Option<Value>,
) -> Result<Prompt, ApiError> {
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
    if let Some(inputs) = embed::prompt_of(body)? {
        return Ok(inputs);
    }
    let body: Body = parse(body)?;
    let kind = if body.messages.is_some() { Kind::Chat } else { Kind::Text };
    let prompt = prompt(kind, body.messages, body.prompt)?;
    prompt.check().map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(prompt)
}

/// Reads a body. `fresh` is the seed of questions that name none.
pub(crate) fn read(kind: Kind, body: &[u8], fresh: u64) -> Result<Wanted, ApiError> {
    let body: Body = parse(body)?;
    refuse_unsupported(kind, &body)?;
    let prompt = prompt(kind, body.messages, body.prompt)?;
    let most = body.max_completion_tokens.or(body.max_tokens);
    let otherwise = if kind == Kind::Chat { CHAT_TOKENS } else { 16 };
    let n = whole_number("n", body.n, 1, MAX_N, 1)?;
    if body.best_of.is_some_and(|best| best != i64::from(n)) {
        return Err(ApiError::field("best_of", "`best_of` other than `n` is not supported."));
    }
    let parameters = Parameters {
        most: whole_number("max_tokens", most, 1, 1 << 20, otherwise)?,
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
        most_said: most.is_some(),
        n,
        stream: body.stream.unwrap_or(false),
        include_usage: body.stream_options.unwrap_or_default().include_usage,
        echo: body.echo.unwrap_or(false),
        dimensions: None,
    };
    wanted.prompt.check().map_err(|error| ApiError::invalid(error.to_string()))?;
    wanted.parameters.check().map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(wanted)
}

fn form(format: Option<ResponseFormat>) -> Result<Form, ApiError> {
    match format.as_ref().map(|format| format.kind.as_str()) {
        None | Some("text") => Ok(Form::Text),
        Some("json_object") => Ok(Form::JsonObject),
        Some(_) => {
            let text = "`response_format` must be of the type `text` or `json_object`.";
            Err(ApiError::field("response_format", text))
        }
    }
}

fn refuse_unsupported(kind: Kind, body: &Body) -> Result<(), ApiError> {
    let penal = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    // The prompt's log-probabilities would belong to it, and of a chat the template's words.
    let echo = body.echo == Some(true)
        && (kind == Kind::Chat || !matches!(body.logprobs, None | Some(Logprobs::Flag(false))));
    let repetition = body.repetition_penalty.is_some_and(|penalty| penalty != 1.0);
    let modalities = body.modalities.as_ref().is_some_and(|kinds| *kinds != json!(["text"]));
    let asked = [
        ("presence_penalty", penal(body.presence_penalty)),
        ("frequency_penalty", penal(body.frequency_penalty)),
        ("logit_bias", body.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty())),
        ("repetition_penalty", repetition),
        ("min_p", penal(body.min_p)),
        ("suffix", body.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty())),
        ("tools", body.tools.as_ref().is_some_and(|tools| !tools.is_empty())),
        // Without tools these two mean nothing else.
        ("tool_choice", says(body.tool_choice.as_ref(), &["none", "auto"])),
        ("function_call", says(body.function_call.as_ref(), &["none", "auto"])),
        ("reasoning_effort", says(body.reasoning_effort.as_ref(), &["none"])),
        ("modalities", modalities),
        ("functions", body.functions.as_ref().is_some_and(|functions| !functions.is_empty())),
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
