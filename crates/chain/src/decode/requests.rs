//! Transactions as they are asked for: objects of optional fields.

use std::{borrow::Cow, fmt};

use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_rpc_types_eth::{AccessList, SignedAuthorization, TransactionInput, TransactionRequest};
use serde::{
    Deserializer as _,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{DecodeError, Parameter, kind};

/// The name of the Go type; clients see it.
const WANTED: &str = "ethapi.TransactionArgs";

/// Known fields, in the order of [`Fields`].
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

/// What was given for each of [`NAMES`]. Names are matched as Go matches them, without regard to
/// case; of a field that comes twice the last one counts, and unknown ones are skipped.
#[derive(Default)]
struct Fields<'a>([Option<&'a RawValue>; NAMES.len()]);

impl<'de> Visitor<'de> for Fields<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value::<&RawValue>()?;
            if let Some(place) = NAMES.iter().position(|known| name.eq_ignore_ascii_case(known)) {
                self.0[place] = (value.get() != "null").then_some(value);
            }
        }
        Ok(self)
    }
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let place = NAMES.iter().position(|known| *known == name)?;
        self.0[place].map(RawValue::get)
    }

    fn take<T: Parameter>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        let field = || format!("TransactionArgs.{name}");
        self.get(name)
            .map(|raw| T::decode(raw).map_err(|error| error.in_field(&field())))
            .transpose()
    }

    /// A price. What no account could pay anyway counts as the highest that can be written.
    fn price(&self, name: &str) -> Result<Option<u128>, DecodeError> {
        Ok(self.take::<U256>(name)?.map(|price| price.saturating_to()))
    }

    /// Of types that read themselves.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        serde_json::from_str(raw).map(Some).map_err(|error| {
            let text = error.to_string();
            // Where in its own text a value is wrong says nothing to the caller.
            let reason = text.rfind(" at line ").map_or(&*text, |end| &text[..end]);
            DecodeError::Other(format!("{name}: {reason}"))
        })
    }
}

impl Parameter for TransactionRequest {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        match kind(json) {
            "null" => return Ok(Self::default()),
            "object" => {}
            other => return Err(DecodeError::form(other, WANTED)),
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        let fields = reader.deserialize_map(Fields::default());
        let fields = fields.map_err(|error| DecodeError::other(error.to_string()))?;
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
            authorization_list: fields.read::<Vec<SignedAuthorization>>("authorizationList")?,
            ..Self::default()
        })
    }
}
