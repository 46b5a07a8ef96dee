//! State overrides: accounts as a request pretends them to be.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, U64, map::B256Map};
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use super::{DecodeError, Members, Parameter, fixed_text, members::pairs};

/// The Go type of an account; clients see it.
const ACCOUNT: &str = "OverrideAccount";

const NAMES: [&str; 6] =
    ["balance", "nonce", "code", "state", "stateDiff", "movePrecompileToAddress"];

impl Parameter for StateOverride {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let accounts = pairs(json, "override.StateOverride")?.into_iter();
        let decode = |(name, raw): (Cow<'_, str>, &RawValue)| -> Result<_, DecodeError> {
            let address: Address = fixed_text::<20>(&name, "Address")?.into();
            Ok((address, AccountOverride::decode(raw.get())?))
        };
        accounts.map(decode).collect()
    }
}

impl Parameter for AccountOverride {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let members = Members::read(json, &NAMES, "override.OverrideAccount")?;
        let slots = |name| {
            let given = members.take::<Slots>(ACCOUNT, name);
            given.map(|given| given.map(|Slots(slots)| slots))
        };
        Ok(Self {
            balance: members.take(ACCOUNT, "balance")?,
            nonce: members.take::<U64>(ACCOUNT, "nonce")?.map(|nonce| nonce.to()),
            code: members.take(ACCOUNT, "code")?,
            state: slots("state")?,
            state_diff: slots("stateDiff")?,
            move_precompile_to: members.take(ACCOUNT, "movePrecompileToAddress")?,
        })
    }
}

/// Values of storage slots.
struct Slots(B256Map<B256>);

impl Parameter for Slots {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let slots = pairs(json, "map[common.Hash]common.Hash")?.into_iter();
        let decode = |(name, raw): (Cow<'_, str>, &RawValue)| -> Result<_, DecodeError> {
            Ok((fixed_text::<32>(&name, "Hash")?, B256::decode(raw.get())?))
        };
        slots.map(decode).collect::<Result<_, _>>().map(Self)
    }
}

/// A parameter as a member of a structure that serde reads from text; null is none.
pub(crate) fn given<'de, T: Parameter, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    raw.map(|raw| T::decode(raw.get())).transpose().map_err(D::Error::custom)
}
