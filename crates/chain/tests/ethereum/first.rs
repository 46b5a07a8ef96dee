//! First blocks from balances and contracts.

use std::collections::BTreeMap;

use alloy::{
    consensus::Header,
    primitives::{Address, B256, Bytes, U256, hex},
    rlp::Decodable as _,
};
use serde::Deserialize;
use tilth_chain::{Forks, Genesis, GenesisAccount, GenesisHeader};

use crate::{source::TestFile, tally::Tally, world::Quantity};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenesisTest {
    nonce: Quantity,
    alloc: BTreeMap<Address, Content>,
    timestamp: Quantity,
    parent_hash: B256,
    extra_data: Bytes,
    gas_limit: Quantity,
    difficulty: Quantity,
    mix_hash: B256,
    coinbase: Address,
    result: String,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default, alias = "wei")]
    balance: Quantity,
    #[serde(default)]
    code: Bytes,
    #[serde(default)]
    nonce: Quantity,
    #[serde(default)]
    storage: BTreeMap<Quantity, Quantity>,
}

/// Runs all tests of a file.
pub fn run(file: &TestFile, tally: &mut Tally) {
    let tests: BTreeMap<String, GenesisTest> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no genesis test: {error}", file.path));
    for (name, test) in tests {
        tally.case(&format!("{} {name}", file.path), || test.check());
    }
}

impl GenesisTest {
    fn check(&self) -> Result<(), String> {
        let slots = |storage: &BTreeMap<Quantity, Quantity>| {
            storage.iter().map(|(slot, value)| (slot.0, value.0)).collect::<BTreeMap<U256, U256>>()
        };
        let account = |content: &Content| GenesisAccount {
            balance: content.balance.0,
            nonce: content.nonce.small(),
            code: content.code.clone(),
            storage: slots(&content.storage),
        };
        let genesis = Genesis {
            chain_id: 1,
            forks: Forks::none(),
            timestamp: self.timestamp.small(),
            gas_limit: self.gas_limit.small(),
            accounts: self.alloc.iter().map(|(key, content)| (*key, account(content))).collect(),
            header: GenesisHeader {
                nonce: self.nonce.small(),
                difficulty: self.difficulty.0,
                mix_hash: self.mix_hash,
                coinbase: self.coinbase,
                extra_data: self.extra_data.clone(),
                parent_hash: self.parent_hash,
                ..GenesisHeader::default()
            },
            ..Genesis::default()
        };
        let made = genesis.execute().map_err(|error| format!("{error:?}"))?;
        let rlp = hex::decode(&self.result).map_err(|error| error.to_string())?;
        let mut content = rlp.as_slice();
        alloy::rlp::Header::decode(&mut content).map_err(|error| error.to_string())?;
        let wanted = Header::decode(&mut content).map_err(|error| error.to_string())?;
        let header = made.block.header.inner();
        if *header == wanted { Ok(()) } else { Err(format!("{header:?}, not {wanted:?}")) }
    }
}
