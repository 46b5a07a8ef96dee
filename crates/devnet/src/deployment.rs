//! Putting the contracts on an existing chain.

use tilth_client::{Account, Link, Network};
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
    let problem = |error: tilth_client::ChainError| error.problem();
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
    })
}

/// Whether the contracts of a network file are still on the chain.
pub(crate) async fn is_deployed(network: &Network) -> bool {
    let Ok(link) = Link::open(&network.rpc_url, network.contracts.into()) else { return false };
    link.check().await.is_ok_and(|chain_id| chain_id == network.chain_id)
}
