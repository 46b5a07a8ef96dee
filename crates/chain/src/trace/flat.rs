//! `flatCallTracer`: frames in a list, in Parity's format.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::{Deserialize, Serialize};

use super::{
    End, Enter, Exit, FrameKind, REVERTED, Start, Subject, Tracer, World,
    call::{CallOptions, CallTracer, Frame},
};
use crate::state::StateError;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FlatOptions {
    convert_parity_errors: bool,
    include_precompiles: bool,
}

/// See the module's description.
pub(super) struct FlatCallTracer {
    options: FlatOptions,
    subject: Subject,
    inner: CallTracer,
}

impl FlatCallTracer {
    pub(super) fn new(options: FlatOptions, subject: Subject) -> Self {
        Self { options, subject, inner: CallTracer::new(CallOptions::default()) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FlatFrame<'a> {
    action: Action<'a>,
    block_hash: Option<B256>,
    block_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Outcome<'a>>,
    subtraces: usize,
    trace_address: Vec<usize>,
    transaction_hash: Option<B256>,
    transaction_position: usize,
    r#type: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Action<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gas: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<&'a Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<U256>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a Bytes>,
    gas_used: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Bytes>,
}

/// The error in Parity's words.
fn parity_error(error: &str) -> &str {
    match error {
        "contract creation code storage out of gas"
        | "out of gas"
        | "gas uint64 overflow"
        | "max code size exceeded" => "Out of gas",
        "invalid jump destination" => "Bad jump destination",
        REVERTED => "Reverted",
        "return data out of bounds" => "Out of bounds",
        "stack limit reached 1024 (1023)" => "Out of stack",
        "precompiled failed" | "invalid input length" => "Built-in failed",
        other if other.starts_with("out of gas:") => "Out of gas",
        other if other.starts_with("invalid opcode:") => "Bad instruction",
        other if other.starts_with("stack underflow") => "Stack underflow",
        other => other,
    }
}

impl FlatCallTracer {
    #[expect(clippy::too_many_lines, reason = "one literal per kind of action")]
    fn flatten<'a>(
        &self,
        frame: &'a Frame,
        address: &mut Vec<usize>,
        out: &mut Vec<FlatFrame<'a>>,
    ) {
        let (kind, action, outcome) = match frame.kind {
            FrameKind::Create | FrameKind::Create2 => (
                "create",
                Action {
                    creation_method: Some(frame.kind.name().to_lowercase()),
                    from: Some(frame.from),
                    gas: Some(frame.gas),
                    value: frame.value,
                    init: Some(&frame.input),
                    ..Action::default()
                },
                Some(Outcome {
                    address: frame.to,
                    code: Some(&frame.output),
                    gas_used: frame.gas_used,
                    output: None,
                }),
            ),
            FrameKind::SelfDestruct => (
                "suicide",
                Action {
                    address: Some(frame.from),
                    balance: frame.value,
                    refund_address: frame.to,
                    ..Action::default()
                },
                None,
            ),
            FrameKind::Call
            | FrameKind::CallCode
            | FrameKind::DelegateCall
            | FrameKind::StaticCall => (
                "call",
                Action {
                    from: Some(frame.from),
                    to: frame.to,
                    gas: Some(frame.gas),
                    value: frame.value,
                    call_type: Some(frame.kind.name().to_lowercase()),
                    input: Some(&frame.input),
                    ..Action::default()
                },
                Some(Outcome {
                    address: None,
                    code: None,
                    gas_used: frame.gas_used,
                    output: Some(&frame.output),
                }),
            ),
        };
        let mut error = frame.error.as_deref();
        let keeps_result = error.is_none_or(|error| error == REVERTED);
        if self.options.convert_parity_errors {
            error = error.map(parity_error);
        }
        out.push(FlatFrame {
            action,
            block_hash: self.subject.block_hash,
            block_number: self.subject.block_number.unwrap_or_default(),
            error,
            result: outcome.filter(|_| keeps_result),
            subtraces: frame.calls.len(),
            trace_address: address.clone(),
            transaction_hash: self.subject.hash,
            transaction_position: self.subject.index,
            r#type: kind,
        });
        for (position, call) in frame.calls.iter().enumerate() {
            address.push(position);
            self.flatten(call, address, out);
            address.pop();
        }
    }
}

impl Tracer for FlatCallTracer {
    fn start(&mut self, start: &Start<'_>, world: &mut dyn World) -> Result<(), StateError> {
        self.inner.start(start, world)
    }

    fn enter(&mut self, frame: Enter) {
        let depth = frame.depth;
        self.inner.enter(frame);
        if depth > 0
            && let Some(open) = self.inner.last_open()
        {
            open.value.get_or_insert(U256::ZERO);
        }
    }

    fn exit(&mut self, frame: Exit) {
        let depth = frame.depth;
        self.inner.exit(frame);
        if depth == 0 || self.options.include_precompiles {
            return;
        }
        let Some(parent) = self.inner.last_open() else { return };
        if parent.calls.last().is_some_and(|call| {
            call.precompile && matches!(call.kind, FrameKind::Call | FrameKind::StaticCall)
        }) {
            parent.calls.pop();
        }
    }

    fn end(&mut self, end: &End, world: &mut dyn World) -> Result<(), StateError> {
        self.inner.end(end, world)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn finish(mut self: Box<Self>) -> String {
        let inner = std::mem::replace(&mut self.inner, CallTracer::new(CallOptions::default()));
        let root = inner.into_root();
        let mut frames = Vec::new();
        if let Some(root) = &root {
            self.flatten(root, &mut Vec::new(), &mut frames);
        }
        serde_json::to_string(&frames).unwrap_or_default()
    }
}
