//! Accounts, storage, proofs, and facts about the node.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use std::collections::BTreeMap;

use super::{Arguments, Rpc, error::RpcError};
use crate::{
    decode::{Bounded, SlotRequest, StorageKey},
    state::StateReader,
};

/// Storage keys one `eth_getProof` may ask for (geth's limit).
const PROOF_KEYS_MAX: usize = 1024;

/// geth's code for asking for more than one answer may hold.
const CLIENT_LIMIT: i32 = -38026;

pub(super) fn client_version(_: &Rpc, _: Arguments<'_>) -> Result<String, RpcError> {
    Ok(format!("tilth/v{}/{}", env!("CARGO_PKG_VERSION"), std::env::consts::OS))
}

pub(super) fn sha3(_: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    Ok(keccak256(args.take::<Bytes>()?))
}

/// `rpc_modules`: the namespaces there are, all in their first version.
pub(super) fn modules(
    _: &Rpc,
    _: Arguments<'_>,
) -> Result<BTreeMap<&'static str, &'static str>, RpcError> {
    let namespaces = ["debug", "eth", "net", "rpc", "txpool", "web3"];
    Ok(namespaces.map(|name| (name, "1.0")).into())
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

pub(super) fn balance(rpc: &Rpc, mut args: Arguments<'_>) -> Result<U256, RpcError> {
    let address: Address = args.take()?;
    let head = rpc.head();
    let (_, state) = rpc.view(&head, args.take_optional()?)?;
    Ok(state.account(&address)?.unwrap_or_default().balance)
}

pub(super) fn transaction_count(rpc: &Rpc, mut args: Arguments<'_>) -> Result<U64, RpcError> {
    let address: Address = args.take()?;
    let block: Option<BlockId> = args.take_optional()?;
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
    let address: Address = args.take()?;
    let head = rpc.head();
    let (_, state) = rpc.view(&head, args.take_optional()?)?;
    let hash = state.account(&address)?.unwrap_or_default().code_hash;
    Ok(state.code(&hash)?.original_bytes())
}

pub(super) fn storage_at(rpc: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    let (address, key): (Address, String) = (args.take()?, args.take()?);
    let head = rpc.head();
    let (_, state) = rpc.view(&head, args.take_optional()?)?;
    let key = storage_key(&key)?;
    Ok(state.storage(&address, &key.slot.into())?.into())
}

fn storage_key(text: &str) -> Result<StorageKey, RpcError> {
    StorageKey::read(text).map_err(|error| RpcError::invalid(error.to_string()))
}

pub(super) fn storage_values(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<BTreeMap<Address, Vec<B256>>, RpcError> {
    let request: SlotRequest = args.take()?;
    let block = args.take_optional()?;
    if request.too_many {
        let reason = format!("too many slots (max {})", SlotRequest::MAX);
        return Err(RpcError::coded(CLIENT_LIMIT, reason));
    }
    if request.slots.values().all(Vec::is_empty) {
        return Err(RpcError::invalid("empty request"));
    }
    let head = rpc.head();
    let (_, state) = rpc.view(&head, block)?;
    let mut values = BTreeMap::new();
    for (address, slots) in request.slots {
        let read = slots.iter().map(|slot| state.storage(&address, &(*slot).into()));
        let read = read.map(|value| value.map(B256::from)).collect::<Result<_, _>>()?;
        values.insert(address, read);
    }
    Ok(values)
}

pub(super) fn proof(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<EIP1186AccountProofResponse, RpcError> {
    let address: Address = args.take()?;
    let keys: Bounded<String, PROOF_KEYS_MAX> = args.take()?;
    if keys.given > PROOF_KEYS_MAX {
        return Err(RpcError::invalid(format!(
            "too many storage keys requested (max {PROOF_KEYS_MAX}, got {})",
            keys.given
        )));
    }
    let keys: Vec<_> = keys.items.iter().map(|key| storage_key(key)).collect::<Result<_, _>>()?;
    let slots: Vec<B256> = keys.iter().map(|key| key.slot).collect();
    let block: BlockId = args.take_optional()?.unwrap_or_default();
    let proof = match rpc.pending_if(block)? {
        Some(pending) => pending.prove(&address, &slots)?,
        None => {
            let head = rpc.head();
            let number = head.existing(Some(block))?;
            head.header_of(number)?.ok_or_else(RpcError::header_not_found)?;
            head.prove(number, &address, &slots)?
        }
    };
    let storage_proof = keys.iter().zip(proof.slots).map(|(key, (value, proof))| {
        // Keys of full length are repeated as such, shorter ones as numbers.
        let key =
            if key.bytes == 32 { key.slot.into() } else { U256::from_be_bytes(key.slot.0).into() };
        EIP1186StorageProof { key, value, proof }
    });
    let account = proof.account.unwrap_or_default();
    // Unlike geth, which gives zeros for what does not exist: so every answer can be checked
    // against its proof in the same way.
    Ok(EIP1186AccountProofResponse {
        address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: account.storage_root,
        account_proof: proof.nodes,
        storage_proof: storage_proof.collect(),
    })
}
