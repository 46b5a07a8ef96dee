//! Which blocks are made: the request's in ascending order, gaps filled with empty ones, each with
//! the header fields that are known before execution.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{TransactionRequest, state::StateOverride};
use revm::primitives::hardfork::SpecId;

use super::{BLOCKS_MAX, BlockCalls, SimulateError};
use crate::{
    block::{ChainSpec, SealedHeader},
    message::narrow,
};

/// Seconds between blocks whose time is not given.
const BLOCK_TIME: u64 = 12;

/// A block to be made.
#[derive(Clone, Debug)]
pub(super) struct Planned<'a> {
    /// With the parent's hash and all that execution gives still missing.
    pub(super) header: Header,
    /// The base fee if the request sets it.
    pub(super) base_fee: Option<u64>,
    /// The price of blobs if the request sets it.
    pub(super) blob_base_fee: Option<u128>,
    pub(super) withdrawals: Withdrawals,
    pub(super) overrides: Option<&'a StateOverride>,
    pub(super) calls: &'a [TransactionRequest],
}

/// Orders the blocks.
pub(super) fn plan<'a>(
    spec: &ChainSpec,
    base: &SealedHeader,
    blocks: &'a [BlockCalls],
) -> Result<Vec<Planned<'a>>, SimulateError> {
    let mut planned: Vec<Planned<'a>> = Vec::with_capacity(blocks.len());
    let (mut last_number, mut last_time) = (base.number, base.timestamp);
    let out_of_range = || SimulateError::plain("block timestamp is out of range");
    for block in blocks {
        let overrides = block.block_overrides.as_ref();
        let next = U256::from(last_number) + U256::ONE;
        let number = overrides.and_then(|o| o.number).unwrap_or(next);
        if number <= U256::from(last_number) {
            return Err(SimulateError::new(
                -38020,
                format!("block numbers must be in order: {number} <= {last_number}"),
            ));
        }
        if number - U256::from(base.number) > U256::from(BLOCKS_MAX) {
            return Err(SimulateError::limit("too many blocks"));
        }
        let number: u64 = number.saturating_to();
        for gap in last_number + 1..number {
            last_time = last_time.checked_add(BLOCK_TIME).ok_or_else(out_of_range)?;
            let parent = planned.last().map_or(base.inner(), |block| &block.header);
            let header = header(spec, parent, gap, last_time);
            planned.push(Planned::empty(header));
        }
        let time = match overrides.and_then(|o| o.time) {
            None => last_time.checked_add(BLOCK_TIME).ok_or_else(out_of_range)?,
            Some(time) if time <= U256::from(last_time) => {
                return Err(SimulateError::new(
                    -38021,
                    format!("block timestamps must be in order: {time} <= {last_time}"),
                ));
            }
            Some(time) => u64::try_from(time).map_err(|_| out_of_range())?,
        };
        let parent = planned.last().map_or(base.inner(), |block| &block.header);
        let header = header(spec, parent, number, time);
        planned.push(Planned::of(header, block)?);
        (last_number, last_time) = (number, time);
    }
    Ok(planned)
}

/// What a block has from its place in the chain. Beneficiary and gas limit stay as they were.
fn header(spec: &ChainSpec, parent: &Header, number: u64, timestamp: u64) -> Header {
    let merged = spec.is_merged(number, timestamp);
    let fork = spec.fork_at(number, timestamp, merged);
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: parent.beneficiary,
        difficulty: if merged { U256::ZERO } else { parent.difficulty },
        number,
        gas_limit: parent.gas_limit,
        timestamp,
        parent_beacon_block_root: fork.is_enabled_in(SpecId::CANCUN).then_some(B256::ZERO),
        ..Header::default()
    }
}

impl<'a> Planned<'a> {
    fn empty(header: Header) -> Self {
        Self {
            header,
            base_fee: None,
            blob_base_fee: None,
            withdrawals: Withdrawals::default(),
            overrides: None,
            calls: &[],
        }
    }

    fn of(header: Header, block: &'a BlockCalls) -> Result<Self, SimulateError> {
        let mut planned = Self::empty(header);
        planned.overrides = block.state_overrides.as_ref();
        planned.calls = block.calls.as_deref().unwrap_or_default();
        let Some(overrides) = &block.block_overrides else { return Ok(planned) };
        let header = &mut planned.header;
        header.beneficiary = overrides.fee_recipient.unwrap_or(header.beneficiary);
        header.mix_hash = overrides.prev_randao.unwrap_or_default();
        if let Some(gas_limit) = overrides.gas_limit {
            header.gas_limit = narrow(gas_limit, "gasLimit")?;
        }
        if let (Some(root), Some(own)) =
            (overrides.beacon_root, &mut header.parent_beacon_block_root)
        {
            *own = root;
        }
        planned.base_fee =
            overrides.base_fee_per_gas.map(|fee| narrow(fee, "baseFeePerGas")).transpose()?;
        planned.blob_base_fee =
            overrides.blob_base_fee.map(|fee| narrow(fee, "blobBaseFee")).transpose()?;
        planned.withdrawals = overrides.withdrawals.clone().unwrap_or_default();
        Ok(planned)
    }
}
