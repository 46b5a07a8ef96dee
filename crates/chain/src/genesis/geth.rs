//! Reading a genesis in geth's JSON format.

use std::collections::BTreeMap;

use alloy_eips::eip7840::BlobParams;
use alloy_genesis::{ChainConfig, Genesis as GethGenesis};
use alloy_primitives::U256;
use serde::{Deserialize, de::IgnoredAny};

use super::{Genesis, GenesisAccount, GenesisError, GenesisHeader};
use crate::spec::{BlobCounts, BlobSchedule, Forks, INITIAL_BASE_FEE};

/// geth's gas limit where the file has none.
const GAS_LIMIT: u64 = 4_712_388;

/// Extra data of a header, in bytes.
const EXTRA_DATA_MAX: usize = 32;

/// What a genesis file must say, as geth demands it. The type that reads the file has a default for
/// every field, with chain id 1: without this, `{}` would be a chain whose transactions are valid
/// on the Ethereum main network.
#[derive(Deserialize)]
struct Demanded {
    #[serde(rename = "config")]
    _config: DemandedConfig,
    #[serde(rename = "gasLimit")]
    _gas_limit: IgnoredAny,
    #[serde(rename = "difficulty")]
    _difficulty: IgnoredAny,
    #[serde(rename = "alloc")]
    _alloc: IgnoredAny,
}

#[derive(Deserialize)]
struct DemandedConfig {
    #[serde(rename = "chainId")]
    _chain_id: IgnoredAny,
}

impl Genesis {
    /// Reads a genesis file as geth takes it: `config`, header fields and `alloc`.
    ///
    /// # Errors
    /// When it is not such a file or lacks `config.chainId`, `gasLimit`, `difficulty` or `alloc`,
    /// when the forks are out of order, or when it asks for clique or for forks after Osaka and its
    /// blob forks.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        let malformed = |error: serde_json::Error| GenesisError::Malformed(error.to_string());
        let _: Demanded = serde_json::from_slice(json).map_err(malformed)?;
        let geth: GethGenesis = serde_json::from_slice(json).map_err(malformed)?;
        let forks = forks_of(&geth.config)?;
        forks.check()?;
        if geth.number.is_some_and(|number| number != 0) {
            return Err(GenesisError::NotSupported("a first block with a number".to_owned()));
        }
        if geth.extra_data.len() > EXTRA_DATA_MAX {
            let length = geth.extra_data.len();
            return Err(GenesisError::NotSupported(format!("{length} bytes of extra data")));
        }
        let base_fee = geth.base_fee_per_gas.unwrap_or(INITIAL_BASE_FEE.into());
        let base_fee = u64::try_from(base_fee)
            .map_err(|_| GenesisError::Malformed("baseFeePerGas is too large".to_owned()))?;
        Ok(Self {
            chain_id: geth.config.chain_id,
            forks,
            timestamp: geth.timestamp,
            gas_limit: if geth.gas_limit == 0 { GAS_LIMIT } else { geth.gas_limit },
            base_fee,
            balances: Vec::new(),
            accounts: geth.alloc.into_iter().map(|(address, a)| (address, account(a))).collect(),
            predeploys: Vec::new(),
            header: GenesisHeader {
                nonce: geth.nonce,
                difficulty: geth.difficulty,
                mix_hash: geth.mix_hash,
                coinbase: geth.coinbase,
                extra_data: geth.extra_data,
                parent_hash: geth.parent_hash.unwrap_or_default(),
                excess_blob_gas: geth.excess_blob_gas.unwrap_or_default(),
                blob_gas_used: geth.blob_gas_used.unwrap_or_default(),
            },
        })
    }
}

fn account(account: alloy_genesis::GenesisAccount) -> GenesisAccount {
    let slots = account.storage.unwrap_or_default();
    GenesisAccount {
        balance: account.balance,
        nonce: account.nonce.unwrap_or_default(),
        code: account.code.unwrap_or_default(),
        storage: slots
            .into_iter()
            .map(|(slot, value)| (U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0)))
            .filter(|(_, value)| !value.is_zero())
            .collect(),
    }
}

fn forks_of(config: &ChainConfig) -> Result<Forks, GenesisError> {
    if config.clique.is_some() {
        return Err(GenesisError::NotSupported("clique (proof of authority)".to_owned()));
    }
    for (name, time) in
        [("amsterdamTime", config.amsterdam_time), ("bogotaTime", config.bogota_time)]
    {
        if time.is_some() {
            return Err(GenesisError::NotSupported(format!("the fork {name}")));
        }
    }
    let known = Forks::none();
    Ok(Forks {
        homestead: config.homestead_block,
        dao: config.dao_fork_block,
        dao_support: config.dao_fork_support,
        tangerine: config.eip150_block,
        eip155: config.eip155_block,
        spurious_dragon: config.eip158_block,
        byzantium: config.byzantium_block,
        constantinople: config.constantinople_block,
        // As geth does, Petersburg comes with Constantinople unless it is given.
        petersburg: config.petersburg_block.or(config.constantinople_block),
        istanbul: config.istanbul_block,
        muir_glacier: config.muir_glacier_block,
        berlin: config.berlin_block,
        london: config.london_block,
        arrow_glacier: config.arrow_glacier_block,
        gray_glacier: config.gray_glacier_block,
        merge_netsplit: config.merge_netsplit_block,
        terminal_total_difficulty: config.terminal_total_difficulty,
        shanghai: config.shanghai_time,
        cancun: config.cancun_time,
        prague: config.prague_time,
        osaka: config.osaka_time,
        blob_forks: [
            config.bpo1_time,
            config.bpo2_time,
            config.bpo3_time,
            config.bpo4_time,
            config.bpo5_time,
        ],
        blobs: blob_schedule(&config.blob_schedule)?,
        deposit_contract: config.deposit_contract_address.unwrap_or(known.deposit_contract),
        later_than_parent: true,
    })
}

fn blob_schedule(given: &BTreeMap<String, BlobParams>) -> Result<BlobSchedule, GenesisError> {
    let counts = |name: &str| {
        let Some(params) = given.get(name) else { return Ok(None) };
        let update_fraction = u64::try_from(params.update_fraction)
            .map_err(|_| GenesisError::Malformed(format!("baseFeeUpdateFraction of {name}")))?;
        let (target, max) = (params.target_blob_count, params.max_blob_count);
        Ok::<_, GenesisError>(Some(BlobCounts { target, max, update_fraction }))
    };
    Ok(BlobSchedule {
        cancun: counts("cancun")?,
        prague: counts("prague")?,
        osaka: counts("osaka")?,
        forks: [
            counts("bpo1")?,
            counts("bpo2")?,
            counts("bpo3")?,
            counts("bpo4")?,
            counts("bpo5")?,
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_lacks_what_geth_demands_is_refused_by_name() {
        let whole = serde_json::json!({
            "config": { "chainId": 7 }, "gasLimit": "0x0", "difficulty": "0x1", "alloc": {},
        });
        let read = |value: &serde_json::Value| Genesis::from_json(value.to_string().as_bytes());
        let genesis = read(&whole).unwrap();
        assert_eq!((genesis.chain_id, genesis.gas_limit), (7, GAS_LIMIT));
        for name in ["config", "gasLimit", "difficulty", "alloc"] {
            let mut lacking = whole.clone();
            lacking.as_object_mut().unwrap().remove(name);
            let error = read(&lacking).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
        let mut lacking = whole.clone();
        lacking["config"] = serde_json::json!({ "londonBlock": 0 });
        assert!(read(&lacking).unwrap_err().to_string().contains("chainId"));
        assert!(Genesis::from_json(b"{}").is_err());
    }
}
