//! State and block overrides: what a request pretends before its messages run.

use alloy_eips::eip4895::Withdrawals;
use alloy_evm::{Database, EvmEnv, eth::EthEvmContext, precompiles::PrecompilesMap};
use alloy_primitives::{Address, B256, U64, U256, map::AddressSet};
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use revm::{
    context::CfgEnv,
    handler::PrecompileProvider,
    interpreter::{CallInputs, InterpreterResult},
    precompile::{PrecompileSpecId, Precompiles as Builtin},
    primitives::hardfork::SpecId,
};

use crate::{
    block::ChainSpec,
    decode::{DecodeError, Members, Parameter},
    state::{Journal, StateError, StateReader},
};

/// The precompiles of a block, some of them moved or hidden by overrides.
#[derive(Clone, Debug)]
pub(crate) struct Precompiles {
    builtin: &'static Builtin,
    /// Where a precompile is gone, and where it went if anywhere.
    changes: Vec<(Address, Option<Address>)>,
}

impl Precompiles {
    /// Those of a fork.
    pub(crate) fn of(fork: SpecId) -> Self {
        let builtin = Builtin::new(PrecompileSpecId::from_spec_id(fork));
        Self { builtin, changes: Vec::new() }
    }

    /// Their addresses before any override.
    pub(crate) fn addresses(&self) -> &AddressSet {
        self.builtin.addresses_set()
    }

    fn contains(&self, address: &Address) -> bool {
        let moved_here = self.changes.iter().any(|(_, to)| to.as_ref() == Some(address));
        let moved_away = self.changes.iter().any(|(from, _)| from == address);
        moved_here || (!moved_away && self.builtin.contains(address))
    }

    /// What the machine calls.
    pub(crate) fn called(&self) -> CalledPrecompiles {
        let mut map = PrecompilesMap::from_static(self.builtin);
        let warm = self.builtin.addresses_set();
        if self.changes.is_empty() {
            return map.into();
        }
        let mut moved = Vec::new();
        for (from, to) in &self.changes {
            map.apply_precompile(from, |precompile| {
                moved.extend((*to).zip(precompile));
                None
            });
        }
        map.extend_precompiles(moved);
        CalledPrecompiles { map, warm: Some(warm) }
    }
}

impl From<PrecompilesMap> for CalledPrecompiles {
    fn from(map: PrecompilesMap) -> Self {
        Self { map, warm: None }
    }
}

/// The precompiles a machine calls. The accounts that count as warm are always those of the fork,
/// wherever overrides moved what.
#[derive(Debug)]
pub(crate) struct CalledPrecompiles {
    map: PrecompilesMap,
    /// If they are not just those in the map.
    warm: Option<&'static AddressSet>,
}

impl<D: Database> PrecompileProvider<EthEvmContext<D>> for CalledPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, _: SpecId) -> bool {
        false
    }

    fn run(
        &mut self,
        context: &mut EthEvmContext<D>,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        self.map.run(context, inputs)
    }

    fn warm_addresses(&self) -> &AddressSet {
        match self.warm {
            Some(warm) => warm,
            None => PrecompileProvider::<EthEvmContext<D>>::warm_addresses(&self.map),
        }
    }
}

/// Why overrides are not possible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OverrideError {
    #[error("account {0} has already been overridden by a precompile")]
    UnderPrecompile(Address),
    #[error("account {0} is not a precompile")]
    NoPrecompile(Address),
    #[error("account {0} is already overridden")]
    Overridden(Address),
    #[error("account {0} has both 'state' and 'stateDiff'")]
    BothStates(Address),
    #[error("block override \"{0}\" is not supported for this RPC method")]
    Unsupported(&'static str),
    #[error("block override \"{0}\" is out of range")]
    OutOfRange(&'static str),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Applies `overrides` in the order of their addresses.
pub(crate) fn override_state<R: StateReader>(
    journal: &mut Journal<R>,
    precompiles: &mut Precompiles,
    overrides: &StateOverride,
) -> Result<(), OverrideError> {
    let mut accounts: Vec<(&Address, &AccountOverride)> = overrides.iter().collect();
    accounts.sort_unstable_by_key(|(address, _)| **address);
    let mut destinations = AddressSet::default();
    for (address, account) in accounts {
        if destinations.contains(address) {
            return Err(OverrideError::UnderPrecompile(*address));
        }
        let is_precompile = precompiles.contains(address);
        if let Some(to) = account.move_precompile_to {
            if !is_precompile {
                return Err(OverrideError::NoPrecompile(*address));
            }
            if overrides.contains_key(&to) {
                return Err(OverrideError::Overridden(to));
            }
            destinations.insert(to);
        }
        if is_precompile {
            precompiles.changes.push((*address, account.move_precompile_to));
        }
        override_account(journal, *address, account)?;
    }
    Ok(())
}

fn override_account<R: StateReader>(
    journal: &mut Journal<R>,
    address: Address,
    account: &AccountOverride,
) -> Result<(), OverrideError> {
    if account.balance.is_some() || account.nonce.is_some() {
        journal.set_account(address, |state| {
            state.balance = account.balance.unwrap_or(state.balance);
            state.nonce = account.nonce.unwrap_or(state.nonce);
        })?;
    }
    if let Some(code) = &account.code {
        journal.set_code(address, code.clone())?;
    }
    let (slots, replaces) = match (&account.state, &account.state_diff) {
        (Some(_), Some(_)) => return Err(OverrideError::BothStates(address)),
        (Some(slots), None) => (slots, true),
        (None, Some(slots)) => (slots, false),
        (None, None) => return Ok(()),
    };
    journal.set_account(address, |_| {})?;
    if replaces {
        journal.clear_storage(address)?;
    }
    for (slot, value) in slots {
        journal.set_storage(address, (*slot).into(), (*value).into())?;
    }
    Ok(())
}

/// Fields of a block that a request wants otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockOverrides {
    pub(crate) number: Option<U256>,
    pub(crate) time: Option<U256>,
    pub(crate) gas_limit: Option<U256>,
    pub(crate) fee_recipient: Option<Address>,
    pub(crate) prev_randao: Option<B256>,
    pub(crate) base_fee_per_gas: Option<U256>,
    pub(crate) blob_base_fee: Option<U256>,
    pub(crate) beacon_root: Option<B256>,
    pub(crate) withdrawals: Option<Withdrawals>,
}

/// Fields as geth names them, and the names that other clients use for some of these.
const NAMES: [&str; 15] = [
    "number",
    "difficulty",
    "time",
    "gasLimit",
    "feeRecipient",
    "prevRandao",
    "baseFeePerGas",
    "blobBaseFee",
    "beaconRoot",
    "withdrawals",
    "timestamp",
    "coinbase",
    "random",
    "baseFee",
    "parentBeaconBlockRoot",
];

impl Parameter for BlockOverrides {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let members = Members::read(json, &NAMES, "override.BlockOverrides")?;
        let called = |name, other| if members.get(name).is_some() { name } else { other };
        let small = |name| {
            let given = members.take::<U64>(STRUCTURE, name);
            given.map(|given| given.map(|number| U256::from(number.to::<u64>())))
        };
        // Without effect: no block since the merge has one.
        members.take::<U256>(STRUCTURE, "difficulty")?;
        Ok(Self {
            number: members.take(STRUCTURE, "number")?,
            time: small(called("time", "timestamp"))?,
            gas_limit: small("gasLimit")?,
            fee_recipient: members.take(STRUCTURE, called("feeRecipient", "coinbase"))?,
            prev_randao: members.take(STRUCTURE, called("prevRandao", "random"))?,
            base_fee_per_gas: members.take(STRUCTURE, called("baseFeePerGas", "baseFee"))?,
            blob_base_fee: members.take(STRUCTURE, "blobBaseFee")?,
            beacon_root: members.take(STRUCTURE, called("beaconRoot", "parentBeaconBlockRoot"))?,
            withdrawals: members.own("withdrawals")?,
        })
    }
}

/// Their Go type; clients see it.
const STRUCTURE: &str = "BlockOverrides";

impl BlockOverrides {
    /// Changes the environment of a single message.
    pub(crate) fn apply(
        &self,
        spec: &ChainSpec,
        environment: &mut EvmEnv,
    ) -> Result<(), OverrideError> {
        if self.beacon_root.is_some() {
            return Err(OverrideError::Unsupported("beaconRoot"));
        }
        if self.withdrawals.is_some() {
            return Err(OverrideError::Unsupported("withdrawals"));
        }
        let block = &mut environment.block_env;
        block.number = self.number.unwrap_or(block.number);
        block.timestamp = self.time.unwrap_or(block.timestamp);
        if let Some(gas_limit) = self.gas_limit {
            block.gas_limit = narrow(gas_limit, "gasLimit")?;
        }
        block.beneficiary = self.fee_recipient.unwrap_or(block.beneficiary);
        block.prevrandao = self.prev_randao.or(block.prevrandao);
        if let Some(base_fee) = self.base_fee_per_gas {
            block.basefee = narrow(base_fee, "baseFeePerGas")?;
        }
        if let (Some(fee), Some(blob)) = (self.blob_base_fee, &mut block.blob_excess_gas_and_price)
        {
            blob.blob_gasprice = narrow(fee, "blobBaseFee")?;
        }
        if self.number.is_some() || self.time.is_some() {
            let number = u64::try_from(block.number).unwrap_or(u64::MAX);
            let timestamp = u64::try_from(block.timestamp).unwrap_or(u64::MAX);
            let fork = spec.fork_at(number, timestamp, block.prevrandao.is_some());
            environment.cfg_env = CfgEnv::new_with_spec(fork).with_chain_id(spec.chain_id);
        }
        Ok(())
    }
}

/// A field in the machine's own width.
pub(crate) fn narrow<T: TryFrom<U256>>(
    value: U256,
    field: &'static str,
) -> Result<T, OverrideError> {
    T::try_from(value).map_err(|_| OverrideError::OutOfRange(field))
}
