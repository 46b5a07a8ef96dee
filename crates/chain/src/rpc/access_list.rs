//! `eth_createAccessList`: what a message touches, found by running it until the list no longer
//! changes.

use std::collections::{BTreeMap, BTreeSet};

use alloy_eips::{
    BlockId,
    eip2930::{AccessList, AccessListItem},
};
use alloy_evm::Evm;
use alloy_primitives::{Address, B256, U64, U256, map::AddressSet};
use alloy_rpc_types_eth::{TransactionRequest, state::StateOverride};
use revm::{
    bytecode::opcode::{
        BALANCE, CALL, CALLCODE, DELEGATECALL, EXTCODECOPY, EXTCODEHASH, EXTCODESIZE, SELFDESTRUCT,
        SLOAD, SSTORE, STATICCALL,
    },
    context::result::ExecutionResult,
    context_interface::ContextTr,
    inspector::Inspector,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr, Jumps},
    },
};
use serde::Serialize;

use super::{
    Arguments, Rpc,
    call::{Stopped, prepare},
    error::RpcError,
};
use crate::{
    message::{BOTH_PRICES, LastStep, Message, Unsigned, halted},
    node::Head,
};

/// Gas per authorization that a message must have.
const AUTHORIZATION_GAS: u64 = 25_000;

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    access_list: AccessList,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    gas_used: U64,
}

pub(super) fn create(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Created, RpcError> {
    let mut request: TransactionRequest = args.take()?;
    let block: Option<BlockId> = args.take_optional()?;
    let overrides: Option<StateOverride> = args.take_optional()?;
    let head = rpc.head();
    let mut prepared = prepare(rpc, &head, block, overrides.as_ref(), None)?;
    let base_fee = prepared.header.base_fee_per_gas;
    fill_in_fees(rpc, &head, base_fee, &mut request)?;
    if request.blob_versioned_hashes.is_some() && request.max_fee_per_blob_gas.is_none() {
        let blob = prepared.environment.block_env.blob_excess_gas_and_price;
        request.max_fee_per_blob_gas = blob.map(|blob| blob.blob_gasprice.saturating_mul(2));
    }
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => {
            let from = request.from.unwrap_or_default();
            prepared.state.account(from)?.unwrap_or_default().nonce
        }
    };
    request.nonce = Some(nonce);
    let chain_id = rpc.node.spec.chain_id;
    let message =
        Message::new(&request, chain_id, rpc.node.limits.call_gas_max).map_err(RpcError::server)?;
    let mut excluded = AddressSet::default();
    excluded.insert(message.from);
    excluded.insert(message.to.unwrap_or_else(|| message.from.create(nonce)));
    excluded.extend(prepared.precompiles.addresses());
    let authorizations = message.authorizations.as_deref().unwrap_or_default();
    if authorizations.len() as u64 > message.gas / AUTHORIZATION_GAS {
        return Err(RpcError::server("insufficient gas to process all authorizations"));
    }
    for authorization in authorizations {
        let other_chain =
            !authorization.chain_id.is_zero() && authorization.chain_id != U256::from(chain_id);
        if !other_chain
            && authorization.nonce != u64::MAX
            && let Ok(authority) = authorization.recover_authority()
        {
            excluded.insert(authority);
        }
    }
    let mut known = Touched::new(message.access_list.as_ref(), &excluded);
    let touched = Inspected { list: known.clone(), excluded, last: LastStep::default() };
    let mut session = prepared.run(message, touched, true)?;
    loop {
        let list = known.list();
        session.message.access_list = Some(list.clone());
        let inspector = session.machine().components_mut().1;
        inspector.list = known.clone();
        inspector.last = LastStep::default();
        let result = session.execute().map_err(|stopped| match stopped {
            Stopped::Failed(error) => error,
            Stopped::Refused(refusal) => {
                let hash = Unsigned::new(&session.message, chain_id).hash;
                RpcError::server(format!("failed to apply transaction: {hash} err: {refusal}"))
            }
        })?;
        let inspected = session.machine().components().1;
        if inspected.list == known {
            let error = match &result {
                ExecutionResult::Success { .. } => None,
                ExecutionResult::Revert { .. } => Some("execution reverted".to_owned()),
                ExecutionResult::Halt { reason, .. } => Some(halted(reason, inspected.last)),
            };
            let gas_used = U64::from(result.tx_gas_used());
            return Ok(Created { access_list: list, error, gas_used });
        }
        known = inspected.list.clone();
    }
}

/// Chooses the fees a wallet would, unless the request does.
pub(super) fn fill_in_fees(
    rpc: &Rpc,
    head: &Head,
    base_fee: Option<u64>,
    request: &mut TransactionRequest,
) -> Result<(), RpcError> {
    let complain = |text: &str| Err(RpcError::server(text));
    if request.max_fee_per_blob_gas == Some(0) {
        return complain("maxFeePerBlobGas, if specified, must be non-zero");
    }
    let dynamic = request.max_fee_per_gas.or(request.max_priority_fee_per_gas);
    if request.gas_price.is_some() && dynamic.is_some() {
        return complain(BOTH_PRICES);
    }
    if request.gas_price.is_some() && request.authorization_list.is_some() {
        return complain("both gasPrice and authorizationList specified");
    }
    if request.gas_price.is_some() {
        if request.gas_price == Some(0) && base_fee.is_some() {
            return complain("gasPrice must be non-zero after london fork");
        }
        return Ok(());
    }
    let Some(base_fee) = base_fee else {
        if dynamic.is_some() {
            return complain(
                "maxFeePerGas and maxPriorityFeePerGas are not valid before London is active",
            );
        }
        request.gas_price = Some(rpc.oracle.tip(head)?);
        return Ok(());
    };
    if request.max_priority_fee_per_gas.is_some() && request.max_fee_per_gas == Some(0) {
        return complain("maxFeePerGas must be non-zero");
    }
    let tip = match request.max_priority_fee_per_gas {
        Some(tip) => tip,
        None => rpc.oracle.tip(head)?,
    };
    let cap = request
        .max_fee_per_gas
        .unwrap_or_else(|| tip.saturating_add(u128::from(base_fee).saturating_mul(2)));
    if cap < tip {
        return Err(RpcError::server(format!(
            "maxFeePerGas ({cap:#x}) < maxPriorityFeePerGas ({tip:#x})"
        )));
    }
    request.max_priority_fee_per_gas = Some(tip);
    request.max_fee_per_gas = Some(cap);
    Ok(())
}

/// Accounts and their slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Touched(BTreeMap<Address, BTreeSet<B256>>);

impl Touched {
    fn new(given: Option<&AccessList>, excluded: &AddressSet) -> Self {
        let mut touched = Self::default();
        for item in given.into_iter().flat_map(|list| &list.0) {
            if !excluded.contains(&item.address) {
                touched.0.entry(item.address).or_default().extend(&item.storage_keys);
            }
        }
        touched
    }

    fn list(&self) -> AccessList {
        let item = |(address, slots): (&Address, &BTreeSet<B256>)| AccessListItem {
            address: *address,
            storage_keys: slots.iter().copied().collect(),
        };
        AccessList(self.0.iter().map(item).collect())
    }
}

/// Adds to a list what instructions touch.
#[derive(Debug)]
struct Inspected {
    list: Touched,
    excluded: AddressSet,
    last: LastStep,
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for Inspected {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut C) {
        self.last.step(interpreter, context);
        let stack = interpreter.stack.data();
        let from_top = |position: usize| stack.iter().rev().nth(position).copied();
        match interpreter.bytecode.opcode() {
            SLOAD | SSTORE => {
                if let Some(slot) = from_top(0) {
                    let account = interpreter.input.target_address();
                    self.list.0.entry(account).or_default().insert(slot.into());
                }
            }
            EXTCODECOPY | EXTCODEHASH | EXTCODESIZE | BALANCE | SELFDESTRUCT => {
                if let Some(word) = from_top(0) {
                    self.account(Address::from_word(word.into()));
                }
            }
            DELEGATECALL | CALL | STATICCALL | CALLCODE if stack.len() >= 5 => {
                if let Some(word) = from_top(1) {
                    self.account(Address::from_word(word.into()));
                }
            }
            _ => {}
        }
    }
    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.last.call(context, inputs)
    }
    fn call_end(&mut self, context: &mut C, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.last.call_end(context, inputs, outcome);
    }
    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.last.create(context, inputs)
    }
    fn create_end(&mut self, context: &mut C, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.last.create_end(context, inputs, outcome);
    }
}

impl Inspected {
    fn account(&mut self, address: Address) {
        if !self.excluded.contains(&address) {
            self.list.0.entry(address).or_default();
        }
    }
}
