//! What single fields of a question say, in the words of the protocol.

use serde::Deserialize;
use serde_json::Value;
use tilth_protocol::infer::{MAX_ALTERNATIVES, MAX_STOPS, Message};

use super::request::Kind;
use crate::api::ApiError;

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Logprobs {
    Flag(bool),
    Count(u64),
}

#[derive(Deserialize)]
pub(super) struct RawMessage {
    role: String,
    content: Option<Value>,
    name: Option<Value>,
    tool_calls: Option<Value>,
    tool_call_id: Option<Value>,
    function_call: Option<Value>,
}

impl RawMessage {
    /// What says something that no model here is told.
    fn unsupported(&self) -> Option<&'static str> {
        let says = |value: &Option<Value>| match value {
            None | Some(Value::Null) => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        let fields = [
            ("name", &self.name),
            ("tool_calls", &self.tool_calls),
            ("tool_call_id", &self.tool_call_id),
            ("function_call", &self.function_call),
        ];
        fields.into_iter().find(|(_, value)| says(value)).map(|(field, _)| field)
    }
}

/// Whether a field says something else than these.
pub(super) fn says(value: Option<&Value>, harmless: &[&str]) -> bool {
    let known = |value: &Value| harmless.iter().any(|text| value.as_str() == Some(*text));
    value.is_some_and(|value| !value.is_null() && !known(value))
}

/// A probability or temperature with 16 fractional bits.
pub(super) fn fixed(
    field: &str,
    value: Option<f64>,
    highest: f64,
    otherwise: f64,
) -> Result<u32, ApiError> {
    let value = value.unwrap_or(otherwise);
    tilth_client::infer::fixed(value, highest).ok_or_else(|| {
        ApiError::field(field, format!("`{field}` is {value}, it must be 0 to {highest}."))
    })
}

pub(super) fn stops(stop: Option<OneOrMany>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
        None => vec![],
        Some(OneOrMany::One(stop)) => vec![stop],
        Some(OneOrMany::Many(stops)) => stops,
    };
    if stops.len() > MAX_STOPS {
        return Err(ApiError::field("stop", format!("`stop` has at most {MAX_STOPS} texts.")));
    }
    Ok(stops)
}

pub(super) fn alternatives(
    kind: Kind,
    logprobs: Option<Logprobs>,
    top: Option<i64>,
) -> Result<Option<u8>, ApiError> {
    let count = match (kind, logprobs) {
        (_, None | Some(Logprobs::Flag(false))) => {
            if top.is_some_and(|top| top != 0) {
                return Err(ApiError::field("top_logprobs", "`top_logprobs` needs `logprobs`."));
            }
            return Ok(None);
        }
        (_, Some(Logprobs::Flag(true))) => u64::try_from(top.unwrap_or(0)).ok(),
        (Kind::Text, Some(Logprobs::Count(count))) => Some(count),
        (Kind::Chat, Some(Logprobs::Count(_))) => None,
    };
    let count = count.and_then(|count| u8::try_from(count).ok());
    let count = count.filter(|count| *count <= MAX_ALTERNATIVES);
    count.map(Some).ok_or_else(|| {
        let text = format!("At most {MAX_ALTERNATIVES} alternatives are reported.");
        ApiError::field("logprobs", text)
    })
}

/// The prompt of the plain shape: a text, or a list with one.
pub(super) fn plain(prompt: Option<Value>) -> Result<String, ApiError> {
    match prompt {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(mut list)) if list.len() == 1 => plain(list.pop()),
        Some(_) => Err(ApiError::field("prompt", "`prompt` must be one text.")),
        None => Err(ApiError::field("prompt", "`prompt` is missing.")),
    }
}

pub(super) fn messages(raw: Option<Vec<RawMessage>>) -> Result<Vec<Message>, ApiError> {
    let raw = raw.ok_or_else(|| ApiError::field("messages", "`messages` is missing."))?;
    raw.into_iter()
        .map(|message| {
            if let Some(field) = message.unsupported() {
                let text = format!("`{field}` of a message is not supported by exact models.");
                return Err(ApiError::field("messages", text));
            }
            Ok(Message { role: message.role, content: words(message.content)? })
        })
        .collect()
}

/// The text of a message: a text, or parts that all are texts.
fn words(content: Option<Value>) -> Result<String, ApiError> {
    let refused = || ApiError::field("messages", "Only texts can be the content of a message.");
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let mut whole = String::new();
            for part in parts {
                let is_text = part.get("type").and_then(Value::as_str) == Some("text");
                let text = part.get("text").and_then(Value::as_str).filter(|_| is_text);
                whole.push_str(text.ok_or_else(refused)?);
            }
            Ok(whole)
        }
        Some(_) => Err(refused()),
    }
}
