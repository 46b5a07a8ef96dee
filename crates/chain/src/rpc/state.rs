//! Accounts, storage, proofs, and facts about the node.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{Arguments, Rpc, error::RpcError};
use crate::state::StateReader;

/// Storage keys one `eth_getProof` may ask for (geth's limit).
const PROOF_KEYS_MAX: usize = 1024;

/// A storage key as clients write it: up to 32 bytes of hex, with or without leading zeros.
#[derive(Clone, Copy)]
struct Slot {
    value: U256,
    /// Written with all 64 digits; answers repeat the form of the question.
    whole: bool,
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .ok_or_else(|| D::Error::custom("hex string without 0x prefix"))?;
        if digits.is_empty() || digits.len() > 64 {
            return Err(D::Error::custom("storage key is not 1 to 64 hex digits"));
        }
        let value = U256::from_str_radix(digits, 16).map_err(D::Error::custom)?;
        Ok(Self { value, whole: digits.len() == 64 })
    }
}

pub(super) fn client_version(_: &Rpc, _: Arguments<'_>) -> Result<String, RpcError> {
    Ok(format!("tilth/v{}/{}", env!("CARGO_PKG_VERSION"), std::env::consts::OS))
}

pub(super) fn sha3(_: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    Ok(keccak256(args.required::<Bytes>()?))
}

pub(super) fn net_version(rpc: &Rpc, _: Arguments<'_>) -> Result<String, RpcError> {
    Ok(rpc.node.spec.chain_id.to_string())
}

pub(super) fn net_listening(_: &Rpc, _: Arguments<'_>) -> Result<bool, RpcError> {
    Ok(true)
}

pub(super) fn net_peer_count(_: &Rpc, _: Arguments<'_>) -> Result<U64, RpcError> {
    Ok(U64::ZERO)
}

pub(super) fn chain_id(rpc: &Rpc, _: Arguments<'_>) -> Result<U64, RpcError> {
    Ok(U64::from(rpc.node.spec.chain_id))
}

/// A solo node is never behind.
pub(super) fn syncing(_: &Rpc, _: Arguments<'_>) -> Result<bool, RpcError> {
    Ok(false)
}

/// The node holds no keys.
pub(super) fn accounts(_: &Rpc, _: Arguments<'_>) -> Result<Vec<Address>, RpcError> {
    Ok(Vec::new())
}

pub(super) fn balance(rpc: &Rpc, mut args: Arguments<'_>) -> Result<U256, RpcError> {
    let address: Address = args.required()?;
    let head = rpc.head();
    let (_, state) = head.state_of(args.optional()?)?;
    Ok(state.account(&address)?.unwrap_or_default().balance)
}

pub(super) fn transaction_count(rpc: &Rpc, mut args: Arguments<'_>) -> Result<U64, RpcError> {
    let address: Address = args.required()?;
    let block: Option<BlockId> = args.optional()?;
    if block == Some(BlockId::Number(BlockNumberOrTag::Pending))
        && let Some(nonce) = rpc.node.pool().pending_nonce(&address)
    {
        return Ok(U64::from(nonce));
    }
    let head = rpc.head();
    let (_, state) = head.state_of(block)?;
    Ok(U64::from(state.account(&address)?.unwrap_or_default().nonce))
}

pub(super) fn code(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let address: Address = args.required()?;
    let head = rpc.head();
    let (_, state) = head.state_of(args.optional()?)?;
    let hash = state.account(&address)?.unwrap_or_default().code_hash;
    Ok(state.code(&hash)?.original_bytes())
}

pub(super) fn storage_at(rpc: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    let address: Address = args.required()?;
    let slot: Slot = args.required()?;
    let head = rpc.head();
    let (_, state) = head.state_of(args.optional()?)?;
    Ok(state.storage(&address, &slot.value)?.into())
}

pub(super) fn proof(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<EIP1186AccountProofResponse, RpcError> {
    let address: Address = args.required()?;
    let keys: Vec<Slot> = args.required()?;
    if keys.len() > PROOF_KEYS_MAX {
        return Err(RpcError::invalid(format!(
            "too many keys requested; max {PROOF_KEYS_MAX}, got {}",
            keys.len()
        )));
    }
    let head = rpc.head();
    let number = head.number_of(args.optional()?)?.ok_or_else(RpcError::header_not_found)?;
    let slots: Vec<B256> = keys.iter().map(|key| key.value.into()).collect();
    let proof = head.prove(number, &address, &slots)?;
    let storage_proof = keys.iter().zip(proof.slots).map(|(key, (value, proof))| {
        let key = if key.whole { B256::from(key.value).into() } else { key.value.into() };
        EIP1186StorageProof { key, value, proof }
    });
    Ok(EIP1186AccountProofResponse {
        address,
        balance: proof.account.balance,
        code_hash: proof.account.code_hash,
        nonce: proof.account.nonce,
        storage_hash: proof.account.storage_root,
        account_proof: proof.nodes,
        storage_proof: storage_proof.collect(),
    })
}
