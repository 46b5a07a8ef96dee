//! What single fields of a question say, in the words of the protocol.
//!
//! What a field may be in more than one form is looked at as it was written: no more of it is kept than its form allows,
//! however much a stranger has put there.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tilth_protocol::infer::{MAX_ALTERNATIVES, MAX_MESSAGES, MAX_STOP_BYTES, MAX_STOPS, Message};

use super::request::Kind;
use crate::api::ApiError;

/// A list of at most so many. Of a longer one the rest is not read.
pub(super) struct AtMost<T, const MOST: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for AtMost<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List::<T, MOST>(PhantomData)).map(Self)
    }
}

struct List<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            if all.len() >= MOST {
                return Err(A::Error::custom(format_args!("there are more than {MOST}")));
            }
            all.push(one);
        }
        Ok(all)
    }
}

/// What a field is, if it is of this form.
fn is<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether a field says anything: an empty list or object does not.
pub(super) fn says_any(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| {
        let mut signs = raw.get().chars().filter(|sign| !sign.is_ascii_whitespace());
        let (first, second, more) = (signs.next(), signs.next(), signs.next());
        let empty = [(Some('['), Some(']')), (Some('{'), Some('}'))].contains(&(first, second));
        !empty || more.is_some()
    })
}

/// Whether a field says something else than these.
pub(super) fn says(raw: Option<&RawValue>, harmless: &[&str]) -> bool {
    raw.is_some_and(|raw| {
        let said = is::<String>(raw);
        !harmless.iter().any(|text| said.as_deref() == Some(*text))
    })
}

/// Whether more is wanted than text.
pub(super) fn says_more_than_text(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| {
        let only = is::<AtMost<String, 1>>(raw);
        only.is_none_or(|AtMost(kinds)| kinds != ["text"])
    })
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    role: String,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

impl RawMessage<'_> {
    /// What says something that no model here is told.
    fn unsupported(&self) -> Option<&'static str> {
        let fields = [
            ("name", self.name),
            ("tool_calls", self.tool_calls),
            ("tool_call_id", self.tool_call_id),
            ("function_call", self.function_call),
        ];
        fields.into_iter().find(|(_, raw)| says_any(*raw)).map(|(field, _)| field)
    }
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

pub(super) fn stops(stop: Option<&RawValue>) -> Result<Vec<String>, ApiError> {
    let Some(stop) = stop else { return Ok(vec![]) };
    let one = is::<String>(stop).map(|stop| vec![stop]);
    let all = one.or_else(|| is::<AtMost<String, MAX_STOPS>>(stop).map(|AtMost(stops)| stops));
    let all = all.ok_or_else(|| {
        ApiError::field("stop", format!("`stop` is a text, or a list of at most {MAX_STOPS}."))
    })?;
    if all.iter().any(|stop| !(1..=MAX_STOP_BYTES).contains(&stop.len())) {
        let text = format!("A text in `stop` has 1 to {MAX_STOP_BYTES} bytes.");
        return Err(ApiError::field("stop", text));
    }
    Ok(all)
}

/// Whether log-probabilities are wanted.
pub(super) fn wants_logprobs(logprobs: Option<&RawValue>) -> bool {
    logprobs.is_some_and(|raw| is::<bool>(raw) != Some(false))
}

pub(super) fn alternatives(
    kind: Kind,
    logprobs: Option<&RawValue>,
    top: Option<i64>,
) -> Result<Option<u8>, ApiError> {
    let Some(logprobs) = logprobs.filter(|_| wants_logprobs(logprobs)) else {
        if top.is_some_and(|top| top != 0) {
            return Err(ApiError::field("top_logprobs", "`top_logprobs` needs `logprobs`."));
        }
        return Ok(None);
    };
    let (field, count) = match (kind, is::<bool>(logprobs)) {
        (_, Some(_)) => ("top_logprobs", u64::try_from(top.unwrap_or(0)).ok()),
        (Kind::Text, None) => ("logprobs", is::<u64>(logprobs)),
        (Kind::Chat, None) => {
            return Err(ApiError::field("logprobs", "`logprobs` must be `true` or `false`."));
        }
    };
    let count = count.and_then(|count| u8::try_from(count).ok());
    let count = count.filter(|count| *count <= MAX_ALTERNATIVES);
    count.map(Some).ok_or_else(|| {
        let text = format!("`{field}` must be a whole number from 0 to {MAX_ALTERNATIVES}.");
        ApiError::field(field, text)
    })
}

/// The prompt of the plain shape: a text, or a list with one.
pub(super) fn plain(prompt: Option<&RawValue>) -> Result<String, ApiError> {
    let Some(prompt) = prompt else {
        return Err(ApiError::field("prompt", "`prompt` is missing."));
    };
    let listed = || is::<AtMost<String, 1>>(prompt).and_then(|AtMost(mut list)| list.pop());
    let text = is(prompt).or_else(listed);
    text.ok_or_else(|| ApiError::field("prompt", "`prompt` must be one text."))
}

pub(super) fn messages(raw: Option<&RawValue>) -> Result<Vec<Message>, ApiError> {
    let raw = raw.ok_or_else(|| ApiError::field("messages", "`messages` is missing."))?;
    let all: AtMost<RawMessage<'_>, MAX_MESSAGES> =
        serde_json::from_str(raw.get()).map_err(|error| {
            ApiError::field(
                "messages",
                format!("`messages` is no chat (places are counted from its start): {error}."),
            )
        })?;
    all.0
        .into_iter()
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
fn words(content: Option<&RawValue>) -> Result<String, ApiError> {
    let Some(content) = content else { return Ok(String::new()) };
    let text = is(content).or_else(|| is::<Parts>(content).map(|Parts(text)| text));
    text.ok_or_else(|| ApiError::field("messages", "Only texts can be the content of a message."))
}

/// The texts of all parts, one after the other.
struct Parts(String);

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: String,
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Joined).map(Self)
    }
}

struct Joined;

impl<'de> Visitor<'de> for Joined {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<String, A::Error> {
        let mut whole = String::new();
        while let Some(Part { kind, text }) = parts.next_element()? {
            if kind != "text" {
                return Err(A::Error::custom("a part that is no text"));
            }
            whole.push_str(&text);
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_list_that_is_too_long_the_rest_is_not_read() {
        let read = |text| serde_json::from_str::<AtMost<u8, 2>>(text).map(|AtMost(list)| list);
        assert_eq!(read("[1, 2]").unwrap(), [1, 2]);
        let error = read("[1, 2, 3, and what is no JSON").unwrap_err();
        assert!(error.to_string().starts_with("there are more than 2"), "{error}");
        assert!(read("{}").is_err());
    }

    #[test]
    fn what_is_empty_says_nothing() {
        let raw = |text| serde_json::from_str::<&RawValue>(text).unwrap();
        for nothing in ["[]", "[ \n ]", "{}", "{ }"] {
            assert!(!says_any(Some(raw(nothing))), "{nothing}");
        }
        for something in ["[0]", "[[]]", r#"{"a":{}}"#, r#""""#, "0", "false"] {
            assert!(says_any(Some(raw(something))), "{something}");
        }
        assert!(!says_any(None));
    }
}
