//! How the network's own chain began: written once, read at every later start.

use std::{fs, path::Path};

use alloy::primitives::{Address, U256};
use serde::{Deserialize, Serialize};
use tilth_chain::{Genesis, Predeploy};
use tilth_contracts::{Addresses, DeployParams, plan};
use tilth_protocol::{Problem, amount::GRAIN};

/// Chain id of local networks: the letters "til" as a number, so that no wallet takes such a chain
/// for a public one.
pub const CHAIN_ID: u64 = 0x74_69_6c;
/// Gas limit of a block: room for two hundred ranges' transactions.
const GAS_LIMIT: u64 = 60_000_000;
/// First base fee, wei per gas.
const BASE_FEE: u64 = 1_000_000_000;
/// Coins of the account that funds everybody: a billion, so that a long-lived network never runs dry.
const FUNDS: u128 = 1_000_000_000 * GRAIN;

/// What has to be the same at every start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Beginning {
    chain_id: u64,
    timestamp: u64,
    funder: Address,
    treasury: Address,
}

/// Reads how the chain began, or decides it now.
pub(crate) fn open(dir: &Path, funder: Address, treasury: Address) -> Result<Genesis, Problem> {
    let path = dir.join("genesis.json");
    let failed = |detail: String| {
        Problem::new(
            "the chain's beginning cannot be read or written",
            format!("{}: {detail}", path.display()),
            "check the folder, or start anew with `tilth up --fresh` (this deletes the chain)",
        )
    };
    let beginning = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let timestamp = tilth_client::clock::wall().as_secs();
            let beginning = Beginning { chain_id: CHAIN_ID, timestamp, funder, treasury };
            let text = serde_json::to_string_pretty(&beginning)
                .map_err(|error| failed(error.to_string()))?;
            tilth_service::files::write_whole(&path, (text + "\n").as_bytes())
                .map_err(|error| failed(error.to_string()))?;
            beginning
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    Ok(genesis(&beginning))
}

fn genesis(beginning: &Beginning) -> Genesis {
    let params = DeployParams::standard(beginning.treasury);
    let predeploys = plan(&Addresses::predeployed(), &params)
        .into_iter()
        .map(|step| Predeploy { address: step.address, init_code: step.init_code })
        .collect();
    Genesis {
        chain_id: beginning.chain_id,
        timestamp: beginning.timestamp,
        gas_limit: GAS_LIMIT,
        base_fee: BASE_FEE,
        balances: vec![(beginning.funder, U256::from(FUNDS))],
        predeploys,
        ..Genesis::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_is_decided_once() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let first = open(dir.path(), a, b).unwrap();
        assert_eq!(open(dir.path(), b, a).unwrap(), first);
        assert!(first.execute().is_ok());
        fs::write(dir.path().join("genesis.json"), "{").unwrap();
        assert!(open(dir.path(), a, b).is_err());
    }
}
