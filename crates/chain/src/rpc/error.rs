//! Errors as geth gives them: the only place that knows JSON-RPC codes.

use alloy_primitives::{Bytes, hex};
use serde::Serialize;

use crate::{
    execution::ExecutionError,
    message::OverrideError,
    node::{SubmitError, chain_of_causes},
    state::StateError,
};

/// geth's code for everything without a code of its own.
const SERVER_ERROR: i32 = -32000;
/// An execution that reverted; the revert's bytes are the data.
const REVERTED: i32 = 3;
/// A query above the node's limits (EIP-1474).
const LIMIT_EXCEEDED: i32 = -32005;

/// Arguments that cannot be used.
const INVALID_PARAMS_CODE: i32 = -32602;

/// What a method answers instead of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RpcError {
    code: i32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl RpcError {
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self { code: SERVER_ERROR, message: message.into(), data: None }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { code: -32603, message: message.into(), data: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { code: INVALID_PARAMS_CODE, message: message.into(), data: None }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self { code: LIMIT_EXCEEDED, message: message.into(), data: None }
    }

    /// As it is sent.
    pub(crate) fn to_json(&self) -> String {
        // Numbers and strings can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn parse_error() -> Self {
        Self { code: -32700, message: "parse error".to_owned(), data: None }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self { code: -32600, message: message.into(), data: None }
    }

    pub(crate) fn method_not_found(method: &str) -> Self {
        let message = format!("the method {method} does not exist/is not available");
        Self { code: -32601, message, data: None }
    }

    pub(crate) fn subscription_unknown(namespace: &str, name: &str) -> Self {
        let message = format!("no {name:?} subscription in {namespace} namespace");
        Self { code: -32601, message, data: None }
    }

    pub(crate) fn notifications_unsupported() -> Self {
        Self { code: -32601, message: "notifications not supported".to_owned(), data: None }
    }

    /// Blocks that are not kept (geth's code and words).
    pub(crate) fn history_pruned() -> Self {
        Self { code: 4444, message: "pruned history unavailable".to_owned(), data: None }
    }

    /// A method that panicked (geth's words).
    pub(crate) fn crashed() -> Self {
        Self::internal("method handler crashed")
    }

    pub(crate) fn timed_out() -> Self {
        Self { code: -32002, message: "request timed out".to_owned(), data: None }
    }

    pub(crate) fn response_too_large() -> Self {
        Self { code: -32003, message: "response too large".to_owned(), data: None }
    }

    pub(crate) fn header_not_found() -> Self {
        Self::server("header not found")
    }

    /// An error with a code of its own and data.
    pub(crate) fn with_data(code: i32, message: impl Into<String>, data: String) -> Self {
        Self { code, message: message.into(), data: Some(data) }
    }

    /// An error with a code of its own (`eth_simulateV1`).
    pub(crate) fn coded(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// A reverted execution, with the reason in words if it is an `Error(string)` or a `Panic`.
    pub(crate) fn reverted(output: &Bytes) -> Self {
        let reason = reason_in_words(output);
        let message = match reason {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { code: REVERTED, message, data: Some(hex::encode_prefixed(output)) }
    }
}

/// The string of `Error(string)`, or geth's words for a `Panic(uint256)`.
pub(crate) fn reason_in_words(output: &[u8]) -> Option<String> {
    let (selector, rest) = output.split_first_chunk::<4>()?;
    match selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let offset = word_as_usize(rest, 0)?;
            let length = word_as_usize(rest, offset)?;
            let start = offset.checked_add(32)?;
            let text = rest.get(start..start.checked_add(length)?)?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        [0x4e, 0x48, 0x7b, 0x71] => Some(match word_as_usize(rest, 0)? {
            0x00 => "generic panic".to_owned(),
            0x01 => "assert(false)".to_owned(),
            0x11 => "arithmetic underflow or overflow".to_owned(),
            0x12 => "division or modulo by zero".to_owned(),
            0x21 => "enum overflow".to_owned(),
            0x22 => "invalid encoded storage byte array accessed".to_owned(),
            0x31 => "out-of-bounds array access; popping on an empty array".to_owned(),
            0x32 => "out-of-bounds access of an array or bytesN".to_owned(),
            0x41 => "out of memory".to_owned(),
            0x51 => "uninitialized function".to_owned(),
            other => format!("unknown panic code: {other:#x}"),
        }),
        _ => None,
    }
}

fn word_as_usize(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(32)?)?;
    let (high, low) = word.split_at(24);
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    usize::try_from(u64::from_be_bytes(low.try_into().ok()?)).ok()
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Pruned { .. }
            | StateError::TooFar { .. }
            | StateError::Interrupted { .. } => Self::server(error.to_string()),
            StateError::PrunedBlock { .. } => Self::history_pruned(),
            StateError::Database(_) | StateError::Damaged { .. } | StateError::MissingCode(_) => {
                tracing::error!(cause = chain_of_causes(&error), "a request failed");
                Self::internal(chain_of_causes(&error))
            }
        }
    }
}

impl From<OverrideError> for RpcError {
    fn from(error: OverrideError) -> Self {
        match error {
            OverrideError::State(error) => error.into(),
            other => Self::server(other.to_string()),
        }
    }
}

impl From<ExecutionError> for RpcError {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::State(error) => error.into(),
            other => Self::server(chain_of_causes(&other)),
        }
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::State(error) => error.into(),
            SubmitError::Malformed(_) | SubmitError::Pool(_) | SubmitError::Halted(_) => {
                Self::server(error.to_string())
            }
        }
    }
}
