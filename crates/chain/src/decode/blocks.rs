//! Ways to name a block: by number, by tag, by hash, or by an object (EIP-1898).

use alloy_eips::{BlockId, BlockNumberOrTag, RpcBlockHash};
use alloy_primitives::B256;

use super::{DecodeError, Members, Parameter, fixed_text, kind, number, quoted};

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

/// The members of the object form.
const NAMES: [&str; 3] = ["blockNumber", "blockHash", "requireCanonical"];

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
    let members = Members::read(json, &NAMES, "rpc.BlockNumberOrHash").ok()?;
    let number = members.get("blockNumber").map(BlockNumberOrTag::decode).transpose().ok()?;
    let hash = members.get("blockHash").map(B256::decode).transpose().ok()?;
    let canonical = members.get("requireCanonical").map(bool::decode).transpose().ok()?;
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
