//! Ways to name a block: by number, by tag, by hash, or by an object (EIP-1898).

use std::borrow::Cow;

use alloy_eips::{BlockId, BlockNumberOrTag, RpcBlockHash};
use alloy_primitives::B256;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DecodeError, Parameter, fixed_text, kind, number, quoted};

/// The largest block number geth's signed integer holds.
const NUMBER_MAX: u64 = i64::MAX as u64;

fn tag(text: &str) -> Option<BlockNumberOrTag> {
    Some(match text {
        "earliest" => BlockNumberOrTag::Earliest,
        "latest" => BlockNumberOrTag::Latest,
        "pending" => BlockNumberOrTag::Pending,
        "finalized" => BlockNumberOrTag::Finalized,
        "safe" => BlockNumberOrTag::Safe,
        _ => return None,
    })
}

impl Parameter for BlockNumberOrTag {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let text = quoted(json).unwrap_or(json);
        if let Some(tag) = tag(text) {
            return Ok(tag);
        }
        let number = number(text).map_err(DecodeError::other)?;
        if number > NUMBER_MAX {
            return Err(DecodeError::other("block number larger than int64"));
        }
        Ok(Self::Number(number))
    }
}

/// The object form. Names are matched as Go matches them, without regard to case.
#[derive(Default)]
struct Named<'a> {
    number: Option<&'a RawValue>,
    hash: Option<&'a RawValue>,
    canonical: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Named<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Named<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Named<'de>, A::Error> {
                let mut named = Named::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    let value = map.next_value::<&RawValue>()?;
                    let value = (value.get() != "null").then_some(value);
                    if name.eq_ignore_ascii_case("blockNumber") {
                        named.number = value;
                    } else if name.eq_ignore_ascii_case("blockHash") {
                        named.hash = value;
                    } else if name.eq_ignore_ascii_case("requireCanonical") {
                        named.canonical = value;
                    }
                }
                Ok(named)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Parameter for BlockId {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        // geth tries an object first and, whatever was wrong with it, a string after.
        match kind(json) {
            "object" | "null" => {
                by_object(json).unwrap_or_else(|| Err(DecodeError::form(kind(json), "string")))
            }
            "string" => by_text(&String::decode(json)?),
            other => Err(DecodeError::form(other, "string")),
        }
    }
}

/// A block by object, or nothing if the fields do not decode.
fn by_object(json: &str) -> Option<Result<BlockId, DecodeError>> {
    let named: Named<'_> =
        if json == "null" { Named::default() } else { serde_json::from_str(json).ok()? };
    let number = named.number.map(|raw| BlockNumberOrTag::decode(raw.get())).transpose().ok()?;
    let hash = named.hash.map(|raw| B256::decode(raw.get())).transpose().ok()?;
    let canonical = named.canonical.map(|raw| bool::decode(raw.get())).transpose().ok()?;
    Some(match (number, hash) {
        (Some(_), Some(_)) => Err(DecodeError::other(
            "cannot specify both BlockHash and BlockNumber, choose one or the other",
        )),
        (None, None) => Err(DecodeError::other("must specify either BlockHash or BlockNumber")),
        (Some(number), None) => Ok(BlockId::Number(number)),
        (None, Some(hash)) => Ok(BlockId::Hash(RpcBlockHash::from_hash(hash, canonical))),
    })
}

fn by_text(text: &str) -> Result<BlockId, DecodeError> {
    if let Some(tag) = tag(text) {
        return Ok(BlockId::Number(tag));
    }
    if text.len() == 66 {
        let hash = fixed_text::<32>(text, "Hash")?;
        return Ok(BlockId::Hash(RpcBlockHash::from_hash(hash, None)));
    }
    let number = number(text).map_err(DecodeError::other)?;
    if number > NUMBER_MAX {
        return Err(DecodeError::other("blocknumber too high"));
    }
    Ok(BlockId::Number(BlockNumberOrTag::Number(number)))
}
