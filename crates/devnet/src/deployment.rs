//! Putting the contracts on an existing chain.

use tilth_client::{Account, ChainError, Link, Network};
use tilth_contracts::{Addresses, DeployParams, plan};
use tilth_protocol::Problem;
use tracing::info;

/// Deploys the contracts with the funder's key and says where they are.
///
/// # Errors
/// The chain cannot be reached, the funder cannot pay, or another program uses its key meanwhile.
pub(crate) async fn deploy(
    url: &str,
    funder: &Account,
    params: &DeployParams,
) -> Result<Network, Problem> {
    let problem = |error: ChainError| error.problem();
    let chain_id = funder.link().chain_id().await.map_err(problem)?;
    let first_block = funder.link().block_number().await.map_err(problem)?;
    let nonce = funder.next_nonce().await.map_err(problem)?;
    let addresses = Addresses::from_deployer(funder.address(), nonce, params.token);
    for step in plan(&addresses, params) {
        let receipt = funder.create(step.init_code).await.map_err(problem)?;
        let found = receipt.contract_address;
        if found != Some(step.address) {
            return Err(Problem::new(
                "the contracts cannot be deployed",
                format!("{} is at {found:?}, it was expected at {}", step.name, step.address),
                "another program uses the same key: stop it, or use another key, and start again",
            ));
        }
        info!(contract = step.name, address = %step.address, "deployed");
    }
    Ok(Network {
        rpc_url: url.to_owned(),
        chain_id,
        contracts: addresses.into(),
        first_block,
        wraps_native: params.token.is_none(),
        confirmations: 0,
    })
}

/// Whether the contracts of a network file are still on the chain.
///
/// # Errors
/// The chain cannot be asked, or is another one. Then nobody may deploy again: stakes and escrows are
/// in the contracts that are there.
pub(crate) async fn is_deployed(network: &Network) -> Result<bool, Problem> {
    let problem = |error: ChainError| error.problem();
    let link = Link::open(&network.rpc_url, network.contracts.into()).map_err(problem)?;
    let chain_id = link.chain_id().await.map_err(problem)?;
    if chain_id != network.chain_id {
        return Err(other_chain(network.chain_id, &format!("chain {chain_id}")));
    }
    match link.check().await {
        Ok(_) => Ok(true),
        Err(ChainError::NoContracts { .. }) => Ok(false),
        Err(error) => Err(error.problem()),
    }
}

/// The folder's network is not on the chain that is asked for.
pub(crate) fn other_chain(theirs: u64, asked: &str) -> Problem {
    Problem::new(
        "this folder belongs to a network on another chain",
        format!("its accounts, providers and jobs are on chain {theirs}, not on {asked}"),
        "choose another folder with --dir, or start anew in this one with --fresh",
    )
}
