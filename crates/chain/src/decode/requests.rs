//! Transactions as they are asked for: objects of optional fields.

use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_rpc_types_eth::{AccessList, TransactionInput, TransactionRequest};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{DecodeError, Members, Parameter, kind};

/// The name of the Go type; clients see it.
const WANTED: &str = "ethapi.TransactionArgs";

/// Known fields.
const NAMES: [&str; 15] = [
    "from",
    "to",
    "gas",
    "gasPrice",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "value",
    "nonce",
    "data",
    "input",
    "accessList",
    "chainId",
    "maxFeePerBlobGas",
    "blobVersionedHashes",
    "authorizationList",
];

/// What was given for each of [`NAMES`].
struct Fields<'a>(Members<'a, { NAMES.len() }>);

impl Fields<'_> {
    fn take<T: Parameter>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        self.0.take("TransactionArgs", name)
    }

    /// A price. What no account could pay anyway counts as the highest that can be written.
    fn price(&self, name: &str) -> Result<Option<u128>, DecodeError> {
        Ok(self.take::<U256>(name)?.map(|price| price.saturating_to()))
    }

    /// Of types that read themselves.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        self.0.own(name)
    }
}

impl Parameter for TransactionRequest {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let fields = Fields(Members::read(json, &NAMES, WANTED)?);
        Ok(Self {
            from: fields.take::<Address>("from")?,
            to: fields.take::<Address>("to")?.map(TxKind::Call),
            gas: fields.take::<U64>("gas")?.map(|gas| gas.to()),
            gas_price: fields.price("gasPrice")?,
            max_fee_per_gas: fields.price("maxFeePerGas")?,
            max_priority_fee_per_gas: fields.price("maxPriorityFeePerGas")?,
            value: fields.take::<U256>("value")?,
            nonce: fields.take::<U64>("nonce")?.map(|nonce| nonce.to()),
            input: TransactionInput {
                data: fields.take::<Bytes>("data")?,
                input: fields.take::<Bytes>("input")?,
            },
            access_list: fields.read::<AccessList>("accessList")?,
            chain_id: fields.take::<U256>("chainId")?.map(|id| id.saturating_to()),
            max_fee_per_blob_gas: fields.price("maxFeePerBlobGas")?,
            blob_versioned_hashes: fields.read::<Vec<B256>>("blobVersionedHashes")?,
            authorization_list: fields
                .take::<Authorizations>("authorizationList")?
                .map(|Authorizations(list)| list),
            ..Self::default()
        })
    }
}

/// What accounts have signed to run a contract's code as their own (EIP-7702).
struct Authorizations(Vec<SignedAuthorization>);

impl Parameter for Authorizations {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        const LIST: &str = "[]types.SetCodeAuthorization";
        let entries: Vec<&RawValue> =
            serde_json::from_str(json).map_err(|_| DecodeError::form(kind(json), LIST))?;
        let entries = entries.iter().map(|entry| authorization(entry.get()));
        entries.collect::<Result<_, _>>().map(Self)
    }
}

/// Members of an authorization; some clients call `yParity` `v`.
const AUTHORIZATION: [&str; 7] = ["chainId", "address", "nonce", "yParity", "v", "r", "s"];

/// One authorization, of which nothing may be missing.
fn authorization(json: &str) -> Result<SignedAuthorization, DecodeError> {
    const NAME: &str = "SetCodeAuthorization";
    fn required<T: Parameter>(
        members: &Members<'_, { AUTHORIZATION.len() }>,
        name: &str,
    ) -> Result<T, DecodeError> {
        let missing = || DecodeError::Other(format!("missing required field '{name}' for {NAME}"));
        members.take(NAME, name)?.ok_or_else(missing)
    }

    let members = Members::read(json, &AUTHORIZATION, "types.SetCodeAuthorization")?;
    let inner = Authorization {
        chain_id: required(&members, "chainId")?,
        address: required(&members, "address")?,
        nonce: required::<U64>(&members, "nonce")?.to(),
    };
    let parity = if members.get("v").is_some() && members.get("yParity").is_none() {
        "v"
    } else {
        "yParity"
    };
    // What is too large for a byte is as wrong as the largest.
    let parity = required::<U64>(&members, parity)?.saturating_to();
    let (r, s) = (required(&members, "r")?, required(&members, "s")?);
    Ok(SignedAuthorization::new_unchecked(inner, parity, r, s))
}
