//! geth's default tracer: one record per instruction.

use std::{collections::BTreeMap, fmt::Write as _};

use alloy_primitives::{Address, B256, Bytes, U256, hex, map::HashMap};
use revm::bytecode::opcode;

use super::{End, Exit, REVERTED, Step, Tracer, World, fault};
use crate::state::StateError;

/// What the records contain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoggerOptions {
    pub(super) enable_memory: bool,
    pub(super) disable_stack: bool,
    pub(super) disable_storage: bool,
    pub(super) enable_return_data: bool,
    /// Bytes of records after which no more are written; zero for no limit.
    pub(super) limit: usize,
}

/// See the module's description.
pub(super) struct StructLogger {
    options: LoggerOptions,
    /// The records so far, with commas between them.
    records: String,
    /// Bytes of the records alone.
    written: usize,
    /// What was read and written in each contract so far.
    storage: HashMap<Address, BTreeMap<B256, B256>>,
    pending: Option<Pending>,
    output: Bytes,
    error: Option<String>,
    gas_used: u64,
}

/// A record whose cost is not known yet.
struct Pending {
    pc: usize,
    op: u8,
    gas: u64,
    depth: usize,
    refund: u64,
    /// The fields between depth and refund.
    tail: String,
}

impl StructLogger {
    pub(super) fn new(options: LoggerOptions) -> Self {
        Self {
            options,
            records: String::new(),
            written: 0,
            storage: HashMap::default(),
            pending: None,
            output: Bytes::new(),
            error: None,
            gas_used: 0,
        }
    }

    fn snapshot(
        &mut self,
        step: &Step<'_>,
        world: &mut dyn World,
    ) -> Result<Option<&BTreeMap<B256, B256>>, StateError> {
        if self.options.disable_storage {
            return Ok(None);
        }
        let (slot, value) = match (step.op, step.back(0), step.back(1)) {
            (opcode::SLOAD, Some(slot), _) => (slot, world.storage(step.address, slot)?),
            (opcode::SSTORE, Some(slot), Some(value)) => (slot, value),
            _ => return Ok(None),
        };
        let known = self.storage.entry(step.address).or_default();
        known.insert(slot.into(), value.into());
        Ok(Some(known))
    }
}

fn push_list<T>(
    out: &mut String,
    items: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (position, item) in items.enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push('"');
        each(out, item);
        out.push('"');
    }
    out.push(']');
}

fn push_quantity(out: &mut String, value: U256) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value:#x}");
}

/// A word of memory, filled up with zeros.
fn push_word(out: &mut String, chunk: &[u8]) {
    out.push_str("0x");
    out.push_str(&hex::encode(chunk));
    (chunk.len()..32).for_each(|_| out.push_str("00"));
}

impl Tracer for StructLogger {
    fn wants_steps(&self) -> bool {
        true
    }

    fn step(&mut self, step: &Step<'_>, world: &mut dyn World) -> Result<(), StateError> {
        self.pending = None;
        if self.options.limit != 0 && self.written > self.options.limit {
            return Ok(());
        }
        let options = self.options;
        let mut tail = String::new();
        if !options.disable_stack {
            tail.push_str(",\"stack\":");
            push_list(&mut tail, step.stack.iter(), |out, item| push_quantity(out, *item));
        }
        if options.enable_return_data && !step.return_data.is_empty() {
            let _ = write!(tail, ",\"returnData\":\"{}\"", hex::encode_prefixed(step.return_data));
        }
        if options.enable_memory && !step.memory.is_empty() {
            tail.push_str(",\"memory\":");
            push_list(&mut tail, step.memory.chunks(32), push_word);
        }
        if let Some(slots) = self.snapshot(step, world)? {
            tail.push_str(",\"storage\":{");
            for (position, (slot, value)) in slots.iter().enumerate() {
                let comma = if position > 0 { "," } else { "" };
                let _ = write!(tail, "{comma}\"{slot}\":\"{value}\"");
            }
            tail.push('}');
        }
        let Step { pc, op, gas, depth, refund, .. } = *step;
        self.pending = Some(Pending { pc, op, gas, depth, refund, tail });
        Ok(())
    }

    fn stepped(&mut self, cost: u64, error: Option<&str>) {
        let Some(Pending { pc, op, gas, depth, refund, tail }) = self.pending.take() else {
            return;
        };
        if !self.records.is_empty() {
            self.records.push(',');
        }
        let before = self.records.len();
        let name = fault::name(op);
        let _ = write!(
            self.records,
            "{{\"pc\":{pc},\"op\":\"{name}\",\"gas\":{gas},\"gasCost\":{cost},\"depth\":{depth}"
        );
        if let Some(error) = error {
            let _ = write!(self.records, ",\"error\":{}", serde_json::Value::from(error));
        }
        self.records.push_str(&tail);
        if refund > 0 {
            let _ = write!(self.records, ",\"refund\":{refund}");
        }
        self.records.push('}');
        self.written += self.records.len() - before;
    }

    fn exit(&mut self, frame: Exit) {
        if frame.depth == 0 {
            self.output = frame.output;
            self.error = frame.error;
        }
    }

    fn end(&mut self, end: &End, _: &mut dyn World) -> Result<(), StateError> {
        self.gas_used = end.gas_used;
        Ok(())
    }

    fn size(&self) -> usize {
        self.records.len() + self.pending.as_ref().map_or(0, |pending| pending.tail.len())
    }

    fn finish(self: Box<Self>) -> String {
        let output = match self.error.as_deref() {
            None | Some(REVERTED) => hex::encode_prefixed(&self.output),
            Some(_) => "0x".to_owned(),
        };
        let (gas, failed) = (self.gas_used, self.error.is_some());
        let mut json = format!(
            "{{\"gas\":{gas},\"failed\":{failed},\"returnValue\":\"{output}\",\"structLogs\":["
        );
        json.push_str(&self.records);
        json.push_str("]}");
        json
    }
}
