//! The state a test begins with.

use std::{collections::BTreeMap, fmt};

use alloy::{
    consensus::Header,
    primitives::{Address, B256, Bytes, U256, keccak256},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use tilth_chain::{
    Forks, Genesis, GenesisAccount, SealedHeader,
    state::{AccountState, Commitment, Layer, Nothing, StateError, StateReader, TrieSource},
};

/// A number as the tests write it: hexadecimal with zeros in front or without, or decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(pub U256);

impl Quantity {
    /// The number, or the largest that fits.
    pub fn small(self) -> u64 {
        self.0.saturating_to()
    }

    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("0x:bigint ").unwrap_or(text);
        let value = match text.strip_prefix("0x") {
            Some("") => U256::ZERO,
            Some(digits) => U256::from_str_radix(digits, 16).ok()?,
            None => U256::from_str_radix(text, 10).ok()?,
        };
        Some(Self(value))
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number as text")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
                Quantity::parse(text).ok_or_else(|| E::custom(format!("{text} is no number")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An account of a test.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Account {
    balance: Quantity,
    code: Bytes,
    nonce: Quantity,
    storage: BTreeMap<Quantity, Quantity>,
}

/// Accounts by address.
pub type Accounts = BTreeMap<Address, Account>;

/// The accounts as a genesis takes them.
pub fn genesis_accounts(accounts: &Accounts) -> BTreeMap<Address, GenesisAccount> {
    let account = |account: &Account| GenesisAccount {
        balance: account.balance.0,
        nonce: account.nonce.small(),
        code: account.code.clone(),
        storage: account
            .storage
            .iter()
            .map(|(slot, value)| (slot.0, value.0))
            .filter(|(_, value)| !value.is_zero())
            .collect(),
    };
    accounts.iter().map(|(address, content)| (*address, account(content))).collect()
}

/// A state with its tries.
pub struct World {
    pub state: Layer<Numbered>,
    pub commitment: Commitment,
    pub root: B256,
}

impl World {
    pub fn of(accounts: &Accounts) -> Result<Self, String> {
        let genesis = Genesis {
            forks: Forks::none(),
            accounts: genesis_accounts(accounts),
            ..Genesis::default()
        };
        let made = genesis.execute().map_err(|error| format!("the state: {error:?}"))?;
        let mut state = Layer::new(Numbered);
        // A number that no test asks for: the hashes of blocks come from below.
        let header = Header { number: u64::MAX, ..Header::default() };
        state.absorb(&SealedHeader::new_unchecked(header, B256::ZERO), &made.diff);
        let commitment = Commitment::load(&state).map_err(|error| format!("{error:?}"))?;
        Ok(Self { state, commitment, root: made.block.header.state_root })
    }
}

/// No accounts, and blocks whose hashes are those of their numbers in decimal digits: the rule of
/// tests that have a state and no chain.
#[derive(Clone, Copy, Debug)]
pub struct Numbered;

impl StateReader for Numbered {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        Nothing.account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        Nothing.storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<revm::bytecode::Bytecode, StateError> {
        Nothing.code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(keccak256(number.to_string()))
    }
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        Nothing.storage_entries(address)
    }
}

impl TrieSource for Numbered {
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        Nothing.account_leaves()
    }
    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError> {
        Nothing.storage_leaves(account)
    }
}
