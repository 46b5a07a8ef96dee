//! `prestateTracer`: the accounts and slots a transaction looks at, and what it changed in them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_trie::KECCAK_EMPTY;
use revm::{
    bytecode::{Bytecode, opcode},
    context::transaction::AuthorizationTr,
    primitives::hardfork::SpecId,
};
use serde::{Deserialize, Serialize};

use super::{End, Start, Step, TraceError, Tracer, World};
use crate::state::StateError;

/// Bytes an account or a slot takes in the record besides its code.
const ENTRY_SIZE: usize = 200;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PrestateOptions {
    diff_mode: bool,
    disable_code: bool,
    disable_storage: bool,
    include_empty: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_hash: Option<B256>,
    #[serde(skip_serializing_if = "is_zero")]
    nonce: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    storage: BTreeMap<B256, B256>,
    #[serde(skip)]
    empty: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(nonce: &u64) -> bool {
    *nonce == 0
}

/// What an instruction will have looked at if it can start.
#[derive(Default)]
struct Pending {
    accounts: Vec<Address>,
    slot: Option<(Address, U256)>,
    created: Option<Address>,
    deleted: Option<Address>,
}

/// See the module's description.
pub(super) struct PrestateTracer {
    options: PrestateOptions,
    fork: SpecId,
    before: BTreeMap<Address, Record>,
    after: BTreeMap<Address, Record>,
    created: BTreeSet<Address>,
    deleted: BTreeSet<Address>,
    /// Accounts first seen by the instruction under way; kept only if it can start.
    fresh: Vec<(Address, Record)>,
    pending: Pending,
    slot: Option<(Address, B256, B256)>,
    size: usize,
}

impl PrestateTracer {
    pub(super) fn new(options: PrestateOptions, fork: SpecId) -> Result<Self, TraceError> {
        if options.diff_mode && options.include_empty {
            return Err(TraceError::Options("cannot use diffMode with includeEmpty".into()));
        }
        Ok(Self {
            options,
            fork,
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            created: BTreeSet::new(),
            deleted: BTreeSet::new(),
            fresh: Vec::new(),
            pending: Pending::default(),
            slot: None,
            size: 0,
        })
    }

    fn record(&self, address: Address, world: &mut dyn World) -> Result<Record, StateError> {
        let seen = world.account(address)?;
        let has_code = seen.code_hash != KECCAK_EMPTY;
        let code =
            if has_code && !self.options.disable_code { Some(world.code(address)?) } else { None };
        Ok(Record {
            balance: Some(seen.balance),
            code,
            code_hash: has_code.then_some(seen.code_hash),
            nonce: seen.nonce,
            storage: BTreeMap::new(),
            empty: seen.is_empty(),
        })
    }

    fn look_up(&mut self, address: Address, world: &mut dyn World) -> Result<(), StateError> {
        if !self.before.contains_key(&address) {
            let record = self.record(address, world)?;
            self.keep(address, record);
        }
        Ok(())
    }

    fn keep(&mut self, address: Address, record: Record) {
        self.size += ENTRY_SIZE + 2 * record.code.as_ref().map_or(0, |code| code.len());
        self.before.entry(address).or_insert(record);
    }

    /// Where the code of `address` sends its callers, since EIP-7702.
    fn delegate(
        &self,
        address: Address,
        world: &mut dyn World,
    ) -> Result<Option<Address>, StateError> {
        if !self.fork.is_enabled_in(SpecId::PRAGUE) {
            return Ok(None);
        }
        Ok(match Bytecode::new_raw_checked(world.code(address)?) {
            Ok(code) => code.eip7702_address(),
            Err(_) => None,
        })
    }

    fn plan(&self, step: &Step<'_>, world: &mut dyn World) -> Result<Pending, StateError> {
        let mut plan = Pending::default();
        let address = |depth| step.back(depth).map(|word| Address::from_word(word.into()));
        match step.op {
            opcode::SLOAD | opcode::SSTORE => {
                plan.slot = step.back(0).map(|slot| (step.address, slot));
            }
            opcode::EXTCODECOPY
            | opcode::EXTCODEHASH
            | opcode::EXTCODESIZE
            | opcode::BALANCE
            | opcode::SELFDESTRUCT => {
                let Some(target) = address(0) else { return Ok(plan) };
                plan.accounts.push(target);
                let spared = self.fork.is_enabled_in(SpecId::CANCUN)
                    && !self.created.contains(&step.address);
                if step.op == opcode::SELFDESTRUCT && !spared {
                    plan.deleted = Some(step.address);
                }
            }
            opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL => {
                if let (Some(target), true) = (address(1), step.stack.len() >= 5) {
                    plan.accounts.push(target);
                    plan.accounts.extend(self.delegate(target, world)?);
                }
            }
            opcode::CREATE => {
                let nonce = world.account(step.address)?.nonce;
                plan.created = Some(step.address.create(nonce));
            }
            opcode::CREATE2 => {
                if let (Some(offset), Some(size), Some(salt)) =
                    (step.back(1), step.back(2), step.back(3))
                    && let Some(init) = slice_padded(step.memory, offset, size)
                {
                    plan.created = Some(step.address.create2(salt.to_be_bytes(), keccak256(init)));
                }
            }
            _ => {}
        }
        plan.accounts.extend(plan.created);
        Ok(plan)
    }

    fn compare(&mut self, world: &mut dyn World) -> Result<(), StateError> {
        let mut unchanged = Vec::new();
        for (address, before) in &mut self.before {
            if self.deleted.contains(address) {
                continue;
            }
            let mut changed = false;
            let mut after = Record::default();
            let seen = world.account(*address)?;
            if Some(seen.balance) != before.balance {
                changed = true;
                after.balance = Some(seen.balance);
            }
            if seen.nonce != before.nonce {
                changed = true;
                after.nonce = seen.nonce;
            }
            if seen.code_hash != before.code_hash.unwrap_or(KECCAK_EMPTY) {
                changed = true;
                after.code_hash = Some(seen.code_hash);
                if !self.options.disable_code {
                    after.code = Some(world.code(*address)?);
                }
            }
            let mut kept = BTreeMap::new();
            for (slot, old) in std::mem::take(&mut before.storage) {
                let new: B256 = world.storage(*address, slot.into())?.into();
                if new == old {
                    continue;
                }
                changed = true;
                if !old.is_zero() {
                    kept.insert(slot, old);
                }
                if !new.is_zero() {
                    after.storage.insert(slot, new);
                }
            }
            before.storage = kept;
            if changed {
                self.after.insert(*address, after);
            } else {
                unchanged.push(*address);
            }
        }
        for address in unchanged {
            self.before.remove(&address);
        }
        Ok(())
    }
}

/// Memory from `offset`, with zeros where there is none; `None` for what no gas could pay.
fn slice_padded(memory: &[u8], offset: U256, size: U256) -> Option<Vec<u8>> {
    const SIZE_MAX: usize = 1 << 20;
    let size = usize::try_from(size).ok().filter(|size| *size <= SIZE_MAX)?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(memory.len());
    let end = offset.saturating_add(size).min(memory.len());
    let mut bytes = memory[offset..end].to_vec();
    bytes.resize(size, 0);
    Some(bytes)
}

impl Tracer for PrestateTracer {
    fn wants_steps(&self) -> bool {
        true
    }

    fn start(&mut self, start: &Start<'_>, world: &mut dyn World) -> Result<(), StateError> {
        let (tx, from) = (start.transaction, start.transaction.caller);
        let to = match tx.kind {
            TxKind::Call(to) => {
                if let Some(target) = self.delegate(to, world)? {
                    self.look_up(target, world)?;
                }
                to
            }
            TxKind::Create => {
                let to = from.create(world.account(from)?.nonce);
                self.created.insert(to);
                to
            }
        };
        for address in [from, to, start.beneficiary] {
            self.look_up(address, world)?;
        }
        for authorization in &tx.authorization_list {
            if let Some(authority) = authorization.authority() {
                self.look_up(authority, world)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step<'_>, world: &mut dyn World) -> Result<(), StateError> {
        self.pending = self.plan(step, world)?;
        self.fresh.clear();
        for address in std::mem::take(&mut self.pending.accounts) {
            if !self.before.contains_key(&address) {
                self.fresh.push((address, self.record(address, world)?));
            }
        }
        self.slot = None;
        if let Some((address, slot)) = self.pending.slot
            && !self.options.disable_storage
            && !self
                .before
                .get(&address)
                .is_some_and(|record| record.storage.contains_key(&B256::from(slot)))
        {
            let value = world.storage(address, slot)?;
            self.slot = Some((address, slot.into(), value.into()));
        }
        Ok(())
    }

    fn stepped(&mut self, _: u64, error: Option<&str>) {
        let plan = std::mem::take(&mut self.pending);
        let (fresh, slot) = (std::mem::take(&mut self.fresh), self.slot.take());
        if error.is_some() {
            return;
        }
        for (address, record) in fresh {
            self.keep(address, record);
        }
        if let Some((address, slot, value)) = slot
            && let Some(record) = self.before.get_mut(&address)
        {
            self.size += ENTRY_SIZE;
            record.storage.insert(slot, value);
        }
        self.created.extend(plan.created);
        self.deleted.extend(plan.deleted);
    }

    fn end(&mut self, _: &End, world: &mut dyn World) -> Result<(), StateError> {
        if self.options.diff_mode {
            self.compare(world)?;
        }
        if !self.options.include_empty {
            self.before.retain(|_, record| !record.empty);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.size
    }

    fn finish(self: Box<Self>) -> String {
        #[derive(Serialize)]
        struct Both<'a> {
            post: &'a BTreeMap<Address, Record>,
            pre: &'a BTreeMap<Address, Record>,
        }
        let json = if self.options.diff_mode {
            serde_json::to_string(&Both { post: &self.after, pre: &self.before })
        } else {
            serde_json::to_string(&self.before)
        };
        json.unwrap_or_default()
    }
}
