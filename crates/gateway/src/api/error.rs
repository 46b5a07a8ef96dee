//! Refusals in the shape that clients of the widespread API know.

use hyper::StatusCode;
use serde_json::{Value, json};
use tilth_client::infer::AskError;
use tilth_protocol::infer::{Form, Prompt, Refusal};

use super::Wanted;
use crate::{books::Denied, space::NoRoom};

/// Most characters of a message.
const MAX_MESSAGE: usize = 600;

/// The field that a prompt comes in.
fn field_of(prompt: &Prompt) -> &'static str {
    match prompt {
        Prompt::Text(_) => "prompt",
        Prompt::Chat(_) => "messages",
        Prompt::Inputs(_) => "input",
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// `invalid_request_error`, `server_error`, ...
    pub(crate) kind: &'static str,
    /// What a program may look at.
    pub(crate) code: Option<&'static str>,
    /// Which field is at fault.
    pub(crate) param: Option<String>,
    /// For people.
    pub(crate) message: String,
    /// What the operator does about it, in replies to the operator.
    pub(crate) advice: Option<&'static str>,
}

impl From<NoRoom> for ApiError {
    fn from(no: NoRoom) -> Self {
        match no {
            NoRoom::Here => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let text = "As many answers wait for their readers here as there is memory for. Ask again later, or for less.";
                Self::new(status, "server_error", Some("gateway_full"), text)
            }
            NoRoom::OfKey => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let text = "This key's answers take as much memory as one key has here. Read those that came, or ask for less.";
                Self::new(status, "insufficient_quota", Some("rate_limit_exceeded"), text)
            }
        }
    }
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        let message: String = message.into().chars().take(MAX_MESSAGE).collect();
        Self { status, kind, code, param: None, message, advice: None }
    }

    /// The question is at fault, in this field.
    pub(crate) fn field(param: &str, message: impl Into<String>) -> Self {
        let invalid = Self::invalid(message);
        Self { param: Some(param.to_owned()), ..invalid }
    }

    /// The question's prompt is at fault.
    pub(crate) fn of_prompt(prompt: &Prompt, message: impl Into<String>) -> Self {
        Self::field(field_of(prompt), message)
    }

    /// The answer is larger than what is kept of one. Its length is bounded by this field.
    pub(crate) fn too_much(field: &str) -> Self {
        let less = match field {
            "input" => "for fewer embeddings at a time",
            _ => "for fewer tokens, or for fewer likely ones with each",
        };
        Self::field(field, format!("The answer is longer than any that is kept here: ask {less}."))
    }

    /// The question is at fault.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, message)
    }

    pub(crate) fn body(&self) -> Value {
        let mut error = json!({
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        });
        if let Some(advice) = self.advice {
            error["advice"] = advice.into();
        }
        json!({ "error": error })
    }

    pub(crate) fn no_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            Some("invalid_api_key"),
            "No such API key. Send it as `Authorization: Bearer KEY`; `tilth gateway key create` makes one.",
        )
    }

    pub(crate) fn no_model(name: &str) -> Self {
        Self {
            param: Some("model".to_owned()),
            ..Self::new(
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                Some("model_not_found"),
                format!("Nobody sells the model {name:?} at the moment; see /v1/models."),
            )
        }
    }

    /// The model is on sale, and makes something else.
    pub(crate) fn other_use(name: &str, prompt: &Prompt) -> Self {
        let text = match prompt {
            Prompt::Inputs(_) => {
                format!(
                    "The model {name:?} writes text and makes no embeddings; ask /v1/chat/completions."
                )
            }
            Prompt::Text(_) | Prompt::Chat(_) => {
                format!(
                    "The model {name:?} makes embeddings and writes no text; ask /v1/embeddings."
                )
            }
        };
        Self::field("model", text)
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        let code = Some("overloaded");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", code, message)
    }

    /// There is no whole answer in the time for one.
    pub(crate) fn late() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "server_error",
            Some("provider_failed"),
            "There was no whole answer in time.",
        )
    }

    /// Its provider did not wait until a stream was read.
    pub(crate) fn slow_reader() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "invalid_request_error",
            Some("reader_too_slow"),
            "The answer was not read as fast as it came. Read faster, or ask without `stream`.",
        )
    }

    /// Prompt and answer do not fit.
    pub(crate) fn too_long(prompt: &Prompt, text: &str) -> Self {
        Self {
            code: Some("context_length_exceeded"),
            ..Self::of_prompt(prompt, format!("The context is too short: {text}."))
        }
    }

    /// This, unless it blames the question and something else was found before: what providers say of a question counts
    /// only if all of them say so.
    pub(crate) fn or_rather(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if self.status.is_client_error() && !before.status.is_client_error() => {
                before
            }
            _ => self,
        }
    }

    /// What a provider's failure or refusal comes to.
    pub(crate) fn of_ask(error: &AskError, wanted: &Wanted) -> Self {
        let prompt = &wanted.prompt;
        match error {
            AskError::Refused { why: Refusal::TooLong { .. }, text } => {
                Self::too_long(prompt, text)
            }
            AskError::Bounds(bounds) => Self::invalid(bounds.to_string()),
            AskError::TooMuch { .. } => Self::too_much(wanted.most_field()),
            AskError::Refused { why: Refusal::Invalid, text } => {
                let told = format!("The model does not take it: {text}.");
                if wanted.parameters.form == Form::Text {
                    return Self::of_prompt(prompt, told);
                }
                // The prompt or the form: that is said in the provider's words alone.
                Self::invalid(told)
            }
            AskError::Refused { why: Refusal::Busy, text } => {
                Self::busy(format!("Nobody answers it now; who was asked last is busy: {text}."))
            }
            other => Self::failed(other),
        }
    }

    /// A provider has failed.
    pub(crate) fn failed(error: &AskError) -> Self {
        let code = Some("provider_failed");
        Self::new(StatusCode::BAD_GATEWAY, "server_error", code, error.to_string())
    }

    pub(crate) fn of_denied(denied: &Denied) -> Self {
        let limit = |code| {
            let status = StatusCode::TOO_MANY_REQUESTS;
            Self::new(status, "insufficient_quota", Some(code), denied.to_string())
        };
        match denied {
            Denied::Unknown => Self::no_key(),
            Denied::Short(_) => limit("insufficient_quota"),
            Denied::TooMany => limit("rate_limit_exceeded"),
            Denied::Uncovered => {
                let limited = limit("insufficient_balance");
                let advice =
                    "deposit more (`tilth account deposit NAME AMOUNT`), and ask again in a minute";
                Self { message: format!("{}: {advice}.", limited.message), ..limited }
            }
            Denied::Broken => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                Some("books_broken"),
                "The gateway cannot write its books; its operator has to see to it.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Kind, embed, request};

    #[test]
    fn whoever_asks_for_too_much_is_told_of_what_in_the_field_that_it_came_in() {
        let of = |wanted: &Wanted| ApiError::of_ask(&AskError::TooMuch { most: 1 }, wanted);
        let text = br#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":9}"#;
        let text = of(&request::read(Kind::Chat, text, 0).unwrap());
        assert_eq!(text.param.as_deref(), Some("max_completion_tokens"));
        assert!(text.message.contains("fewer tokens"), "{text:?}");
        let (inputs, _) = embed::read(br#"{"model":"m","input":"x"}"#).unwrap();
        let inputs = of(&inputs);
        assert_eq!(inputs.param.as_deref(), Some("input"));
        let told = &inputs.message;
        assert!(told.contains("fewer embeddings") && !told.contains("token"), "{told}");
    }

    /// A model that lacks some bytes as tokens refuses forms, and of the messages nothing is wrong.
    #[test]
    fn no_field_is_blamed_for_what_may_be_the_fault_of_another() {
        let refused = AskError::Refused { why: Refusal::Invalid, text: "not so".into() };
        let told = |more: &str| {
            let messages = r#"[{"role":"user","content":"x"}]"#;
            let body = format!(r#"{{"model":"m","messages":{messages}{more}}}"#);
            let wanted = request::read(Kind::Chat, body.as_bytes(), 0).unwrap();
            let told = ApiError::of_ask(&refused, &wanted);
            assert!(told.status == 400 && told.message.contains("not so"), "{told:?}");
            told.param
        };
        assert_eq!(told("").as_deref(), Some("messages"));
        assert_eq!(told(r#","response_format":{"type":"json_object"}"#), None);
    }

    #[test]
    fn whoever_cannot_pay_is_told_what_to_do() {
        let told = ApiError::of_denied(&Denied::Uncovered);
        assert_eq!((told.status.as_u16(), told.code), (429, Some("insufficient_balance")));
        assert!(told.message.contains("than it owes: deposit more"), "{told:?}");
    }
}
