//! JSON-RPC messages as geth reads and writes them. Pure: nothing here is executed or sent.
//!
//! What arrives is taken apart without being understood: an `id` is echoed byte for byte, members are
//! known without regard to case, unknown ones are skipped, and of one that comes twice the last counts.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::error::RpcError;
use crate::decode::Name;

/// The members of a message.
const NAMES: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The longest method name that is looked at, in bytes (geth's).
pub(super) const METHOD_NAME_MAX: usize = 2048;

/// What came in one HTTP body or WebSocket message.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// Nothing but white space.
    Nothing,
    /// Not JSON.
    Malformed,
    /// One message.
    Single(Message<'a>),
    /// An array of them.
    Batch(Vec<Message<'a>>),
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A method call, to be answered.
    Call,
    /// A method call without `id`, not to be answered.
    Notification,
    /// An answer to somebody's call; a server has none to expect.
    Response,
    /// None of these.
    Invalid,
}

/// One message, or what there is of it.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    version: bool,
    id: Option<&'a RawValue>,
    /// Empty if there is none.
    pub(super) method: Cow<'a, str>,
    /// As sent.
    pub(super) params: Option<&'a RawValue>,
    answers: bool,
}

impl<'a> Message<'a> {
    /// See [`Kind`].
    pub(super) fn kind(&self) -> Kind {
        let named = !self.method.is_empty();
        if self.version && self.id.is_none() && named {
            Kind::Notification
        } else if self.version && self.usable_id().is_some() && named {
            Kind::Call
        } else if self.version
            && self.usable_id().is_some()
            && self.params.is_none()
            && self.answers
        {
            Kind::Response
        } else {
            Kind::Invalid
        }
    }

    /// The id to answer with: as sent, or `null`.
    pub(super) fn id(&self) -> &'a str {
        self.usable_id().unwrap_or("null")
    }

    fn usable_id(&self) -> Option<&'a str> {
        let id = self.id?.get();
        (!id.starts_with(['{', '['])).then_some(id)
    }
}

/// Takes a body apart. What follows the first JSON value is not looked at.
pub(super) fn parse(body: &[u8]) -> Incoming<'_> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let raw = match values.next() {
        None => return Incoming::Nothing,
        Some(Err(_)) => return Incoming::Malformed,
        Some(Ok(raw)) => raw.get(),
    };
    if !raw.starts_with('[') {
        return Incoming::Single(parse_one(raw));
    }
    match serde_json::from_str::<Vec<&RawValue>>(raw) {
        Ok(items) => Incoming::Batch(items.into_iter().map(|item| parse_one(item.get())).collect()),
        Err(_) => Incoming::Malformed,
    }
}

fn parse_one(raw: &str) -> Message<'_> {
    serde_json::from_str(raw).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut message = Message::default();
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    let known = NAMES.iter().find(|known| name.eq_ignore_ascii_case(known));
                    match known.copied().unwrap_or_default() {
                        "jsonrpc" => {
                            message.version = map.next_value::<&RawValue>()?.get() == "\"2.0\"";
                        }
                        "id" => message.id = Some(map.next_value()?),
                        "method" => {
                            let raw = map.next_value::<&RawValue>()?.get();
                            message.method = serde_json::from_str::<Name<'de>>(raw)
                                .map(|name| name.0)
                                .unwrap_or_default();
                        }
                        "params" => message.params = Some(map.next_value()?),
                        "result" | "error" => {
                            map.next_value::<IgnoredAny>()?;
                            message.answers = true;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(message)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Appends an answer to `out`. The result is JSON already.
pub(super) fn write_answer(out: &mut Vec<u8>, id: &str, answer: &Result<String, RpcError>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_bytes());
    match answer {
        Ok(result) => {
            out.extend_from_slice(br#","result":"#);
            out.extend_from_slice(result.as_bytes());
        }
        Err(error) => {
            out.extend_from_slice(br#","error":"#);
            out.extend_from_slice(error.to_json().as_bytes());
        }
    }
    out.push(b'}');
}

/// What stands before the result in a notification of the subscription with this id in a namespace.
pub(super) fn notification_start(namespace: &str, subscription: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"{namespace}_subscription","params":{{"subscription":"{subscription}","result":"#
    )
}

/// What stands after it.
pub(super) const NOTIFICATION_END: &str = "}}";

#[cfg(test)]
mod tests {
    use super::*;

    fn single(body: &str) -> (Kind, String, String) {
        match parse(body.as_bytes()) {
            Incoming::Single(message) => {
                (message.kind(), message.id().to_owned(), message.method.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_told_apart_as_geth_does() {
        let call = single(r#"{"jsonrpc":"2.0","id":1.5,"method":"a\u0062","params":[1]}"#);
        assert_eq!(call, (Kind::Call, "1.5".into(), "ab".into()));
        let null = single(r#" {"id":null,"method":"a","jsonrpc":"2.0","more":{}} trailing"#);
        assert_eq!(null, (Kind::Call, "null".into(), "a".into()));
        assert_eq!(single(r#"{"jsonrpc":"2.0","method":"a"}"#).0, Kind::Notification);
        let loud = single(r#"{"Method":"b","ID":2,"JSONRPC":"2.0","id":1,"METHOD":"a"}"#);
        assert_eq!(loud, (Kind::Call, "1".into(), "a".into()));
        assert_eq!(single(r#"{"jsonrpc":"2.0","id":"x","result":1}"#).0, Kind::Response);
        for invalid in [
            r#"{"jsonrpc":"1.0","id":7,"method":"a"}"#,
            r#"{"id":7,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":3}"#,
        ] {
            assert_eq!(single(invalid).0, Kind::Invalid, "{invalid}");
            assert_eq!(single(invalid).1, "7");
        }
        let object = single(r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#);
        assert_eq!((object.0, object.1), (Kind::Invalid, "null".into()));
        for scalar in ["1", "null", "\"x\"", "true"] {
            assert_eq!(single(scalar), (Kind::Invalid, "null".into(), String::new()));
        }
        assert!(matches!(parse(b" \n"), Incoming::Nothing));
        assert!(matches!(parse(b"{\"a\":"), Incoming::Malformed));
        assert!(matches!(parse(b"\xff"), Incoming::Malformed));
        match parse(br#" [1,{"jsonrpc":"2.0","id":2,"method":"b"}]"#) {
            Incoming::Batch(items) => {
                assert_eq!(items[0].kind(), Kind::Invalid);
                assert_eq!((items[1].kind(), items[1].id()), (Kind::Call, "2"));
            }
            other => panic!("{other:?}"),
        }
        // Deep nesting is skipped without recursion.
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = parse(deep.as_bytes());
    }
}
