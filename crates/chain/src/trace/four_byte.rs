//! `4byteTracer`: which functions were called, with how much data.

use std::collections::BTreeMap;

use alloy_primitives::hex;

use super::{Enter, FrameKind, Tracer};

/// See the module's description.
#[derive(Default)]
pub(super) struct FourByteTracer {
    counts: BTreeMap<String, u64>,
}

impl Tracer for FourByteTracer {
    fn enter(&mut self, frame: Enter) {
        let is_call = !frame.kind.is_create() && frame.kind != FrameKind::SelfDestruct;
        if !is_call || frame.precompile {
            return;
        }
        if let Some((selector, rest)) = frame.input.split_first_chunk::<4>() {
            let key = format!("{}-{}", hex::encode_prefixed(selector), rest.len());
            *self.counts.entry(key).or_default() += 1;
        }
    }

    fn size(&self) -> usize {
        self.counts.len() * 64
    }

    fn finish(self: Box<Self>) -> String {
        serde_json::to_string(&self.counts).unwrap_or_default()
    }
}
