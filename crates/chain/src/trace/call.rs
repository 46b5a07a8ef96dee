//! `callTracer`: the tree of frames.

use alloy_primitives::{Address, B256, Bytes, Log, U64, U256};
use serde::{Deserialize, Serialize};

use super::{End, Enter, Exit, FrameKind, REVERTED, Start, Tracer, World};
use crate::{rpc::reason_in_words, state::StateError};

/// Bytes a frame takes besides its input and output.
const FRAME_SIZE: usize = 320;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CallOptions {
    only_top_call: bool,
    with_log: bool,
}

/// A frame as it is reported; the order of fields is geth's.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frame {
    pub(super) from: Address,
    pub(super) gas: U64,
    pub(super) gas_used: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Address>,
    pub(super) input: Bytes,
    #[serde(skip_serializing_if = "no_bytes")]
    pub(super) output: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revert_reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) calls: Vec<Frame>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<FrameLog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<U256>,
    #[serde(rename = "type", serialize_with = "name")]
    pub(super) kind: FrameKind,
    #[serde(skip)]
    reverted: bool,
    #[serde(skip)]
    pub(super) precompile: bool,
}

#[derive(Clone, Debug, Serialize)]
struct FrameLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    index: U64,
    /// Calls of the frame before the log.
    position: U64,
}

fn no_bytes(bytes: &Bytes) -> bool {
    bytes.is_empty()
}

fn name<S: serde::Serializer>(kind: &FrameKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

impl Frame {
    fn close(&mut self, exit: Exit) {
        self.reverted = exit.reverted;
        let error = match exit.error {
            // Before Homestead a creation that could not pay for its code was no failure.
            Some(error) if exit.reverted => error,
            Some(_) | None => {
                self.output = exit.output;
                return;
            }
        };
        if self.kind.is_create() {
            self.to = None;
        }
        if error == REVERTED && !exit.output.is_empty() {
            self.revert_reason = reason_in_words(&exit.output);
            self.output = exit.output;
        }
        self.error = Some(error);
    }

    fn clear_failed_logs(&mut self, parent_failed: bool) {
        let failed = parent_failed || (self.error.is_some() && self.reverted);
        if failed {
            self.logs.clear();
        }
        self.calls.iter_mut().for_each(|call| call.clear_failed_logs(failed));
    }
}

/// See the module's description.
pub(super) struct CallTracer {
    options: CallOptions,
    /// The open frames, the transaction's first. It is never removed.
    open: Vec<Frame>,
    depth: usize,
    gas_limit: u64,
    size: usize,
}

impl CallTracer {
    pub(super) fn new(options: CallOptions) -> Self {
        Self { options, open: Vec::new(), depth: 0, gas_limit: 0, size: 0 }
    }

    /// The frame that was entered last and is still open.
    pub(super) fn last_open(&mut self) -> Option<&mut Frame> {
        self.open.last_mut()
    }

    /// The transaction's frame.
    pub(super) fn into_root(self) -> Option<Frame> {
        self.open.into_iter().next()
    }
}

impl Tracer for CallTracer {
    fn start(&mut self, start: &Start<'_>, _: &mut dyn World) -> Result<(), StateError> {
        self.gas_limit = start.transaction.gas_limit;
        Ok(())
    }

    fn enter(&mut self, frame: Enter) {
        self.depth = frame.depth;
        if self.options.only_top_call && frame.depth > 0 {
            return;
        }
        self.size += FRAME_SIZE + 2 * frame.input.len();
        let gas = if frame.depth == 0 { self.gas_limit } else { frame.gas };
        self.open.push(Frame {
            from: frame.from,
            gas: U64::from(gas),
            gas_used: U64::ZERO,
            to: Some(frame.to),
            input: frame.input,
            output: Bytes::new(),
            error: None,
            revert_reason: None,
            calls: Vec::new(),
            logs: Vec::new(),
            value: frame.value,
            kind: frame.kind,
            reverted: false,
            precompile: frame.precompile,
        });
    }

    fn exit(&mut self, frame: Exit) {
        if frame.depth == 0 {
            self.size += 2 * frame.output.len();
            if let [root] = self.open.as_mut_slice() {
                root.close(frame);
            }
            return;
        }
        self.depth = frame.depth - 1;
        if self.options.only_top_call || self.open.len() <= 1 {
            return;
        }
        let Some(mut call) = self.open.pop() else { return };
        self.size += 2 * frame.output.len();
        call.gas_used = U64::from(frame.gas_used);
        call.close(frame);
        if let Some(parent) = self.open.last_mut() {
            parent.calls.push(call);
        }
    }

    fn log(&mut self, log: &Log, index: u64) {
        if !self.options.with_log || (self.options.only_top_call && self.depth > 0) {
            return;
        }
        let Some(frame) = self.open.last_mut() else { return };
        self.size += FRAME_SIZE + 2 * log.data.data.len();
        frame.logs.push(FrameLog {
            address: log.address,
            topics: log.topics().to_vec(),
            data: log.data.data.clone(),
            index: U64::from(index),
            position: U64::from(frame.calls.len()),
        });
    }

    fn end(&mut self, end: &End, _: &mut dyn World) -> Result<(), StateError> {
        if let Some(root) = self.open.first_mut() {
            root.gas_used = U64::from(end.gas_used);
            root.clear_failed_logs(false);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.size
    }

    fn finish(self: Box<Self>) -> String {
        // Frames have no maps with keys that are not strings: they always serialise.
        self.into_root().and_then(|root| serde_json::to_string(&root).ok()).unwrap_or_default()
    }
}
