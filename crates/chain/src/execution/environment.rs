//! What a block's transactions see of their block, and the machine they run on.

use alloy_consensus::Header;
use alloy_evm::{EthEvm, EvmEnv, eth::EthEvmBuilder, precompiles::PrecompilesMap};
use alloy_primitives::U256;
use revm::{
    context::{BlockEnv, CfgEnv},
    context_interface::block::BlobExcessGasAndPrice,
    inspector::NoOpInspector,
    primitives::hardfork::SpecId,
};

use super::{BlockAttributes, net_gas};
use crate::{
    block::ChainSpec,
    state::{Journal, StateReader},
};

/// The environment of the transactions of a child of `parent`.
pub fn block_environment(
    spec: &ChainSpec,
    parent: &Header,
    attributes: &BlockAttributes,
) -> EvmEnv {
    let work = attributes.proof_of_work.as_ref();
    let number = parent.number.saturating_add(1);
    let fork = spec.fork_at(number, attributes.timestamp, work.is_none());
    let blob_gas = if fork.is_enabled_in(SpecId::CANCUN) {
        spec.next_excess_blob_gas(parent, attributes.timestamp)
    } else {
        None
    };
    environment(
        spec,
        fork,
        blob_gas,
        BlockEnv {
            number: U256::from(number),
            beneficiary: attributes.beneficiary,
            timestamp: U256::from(attributes.timestamp),
            gas_limit: attributes.gas_limit,
            basefee: spec.next_base_fee(parent),
            difficulty: work.map_or(U256::ZERO, |work| work.difficulty),
            prevrandao: Some(attributes.prev_randao),
            ..BlockEnv::default()
        },
    )
}

/// The environment a finished block was executed in.
pub fn environment_of(spec: &ChainSpec, header: &Header) -> EvmEnv {
    environment(
        spec,
        spec.fork_of(header),
        header.excess_blob_gas,
        BlockEnv {
            number: U256::from(header.number),
            beneficiary: header.beneficiary,
            timestamp: U256::from(header.timestamp),
            gas_limit: header.gas_limit,
            basefee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: header.difficulty,
            prevrandao: Some(header.mix_hash),
            ..BlockEnv::default()
        },
    )
}

fn environment(
    spec: &ChainSpec,
    fork: SpecId,
    excess_blob_gas: Option<u64>,
    mut block_env: BlockEnv,
) -> EvmEnv {
    let mut cfg_env = CfgEnv::new_with_spec(fork).with_chain_id(spec.chain_id);
    if spec.is_only_constantinople(block_env.number.saturating_to()) {
        cfg_env.set_gas_params(net_gas::prices());
    }
    if !fork.is_enabled_in(SpecId::MERGE) {
        block_env.prevrandao = None;
    }
    let params = spec.blob_params(block_env.timestamp.saturating_to());
    block_env.blob_excess_gas_and_price =
        excess_blob_gas.zip(params).map(|(excess_blob_gas, params)| BlobExcessGasAndPrice {
            excess_blob_gas,
            blob_gasprice: params.calc_blob_fee(excess_blob_gas),
        });
    if let Some(params) = params {
        cfg_env.set_max_blobs_per_tx(params.max_blobs_per_tx);
    }
    EvmEnv { cfg_env, block_env }
}

/// The machine all execution runs on; the chain's own precompiles are added here.
pub fn machine<R: StateReader>(
    mut journal: Journal<R>,
    environment: EvmEnv,
) -> EthEvm<Journal<R>, NoOpInspector, PrecompilesMap> {
    journal.allow_delegations(environment.cfg_env.spec.is_enabled_in(SpecId::PRAGUE));
    let mut evm = EthEvmBuilder::new(journal, environment).build().into_inner();
    net_gas::meter_net_gas(&evm.ctx.cfg, &mut evm.instruction);
    EthEvm::new(evm, false)
}
