//! Calls that the protocol itself makes at the start and the end of a block.

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::{BEACON_ROOTS_ADDRESS, SYSTEM_ADDRESS},
    eip6110, eip7002, eip7251,
};
use alloy_evm::Evm;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_trie::KECCAK_EMPTY;
use revm::{DatabaseCommit, context::result::ExecutionResult};
use sha2::{Digest, Sha256};

use super::{ExecutionError, machine_error};
use crate::{
    block::ExecutedReceipt,
    state::{Journal, StateError, StateReader},
};

/// Records the beacon chain's root of the parent (EIP-4788).
pub(crate) fn record_beacon_root<R, E>(evm: &mut E, root: B256) -> Result<(), ExecutionError>
where
    R: StateReader,
    E: Evm<DB = Journal<R>, Error = revm::context_interface::result::EVMError<StateError>>,
{
    call(evm, BEACON_ROOTS_ADDRESS, Bytes::copy_from_slice(root.as_slice())).map(drop)
}

/// Records the parent's hash (EIP-2935).
pub(crate) fn record_parent_hash<R, E>(evm: &mut E, hash: B256) -> Result<(), ExecutionError>
where
    R: StateReader,
    E: Evm<DB = Journal<R>, Error = revm::context_interface::result::EVMError<StateError>>,
{
    call(evm, HISTORY_STORAGE_ADDRESS, Bytes::copy_from_slice(hash.as_slice())).map(drop)
}

/// Collects what the execution layer asks of the consensus layer (EIP-7685) and returns its hash:
/// deposits, withdrawals, consolidations.
pub(crate) fn requests_hash<R, E>(
    evm: &mut E,
    deposit_contract: Address,
    receipts: &[ExecutedReceipt],
) -> Result<B256, ExecutionError>
where
    R: StateReader,
    E: Evm<DB = Journal<R>, Error = revm::context_interface::result::EVMError<StateError>>,
{
    let deposits = deposits(deposit_contract, receipts)?;
    let mut requests = vec![(eip6110::DEPOSIT_REQUEST_TYPE, Bytes::from(deposits))];
    for (kind, address) in [
        (eip7002::WITHDRAWAL_REQUEST_TYPE, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
        (eip7251::CONSOLIDATION_REQUEST_TYPE, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
    ] {
        let failed = |reason: String| ExecutionError::SystemContract { address, reason };
        let contract = evm.db_mut().account(address)?.unwrap_or_default();
        if contract.code_hash == KECCAK_EMPTY {
            return Err(failed("there is no code".to_owned()));
        }
        match call(evm, address, Bytes::new())? {
            Ok(output) => requests.push((kind, output)),
            Err(reason) => return Err(failed(reason)),
        }
    }
    Ok(hash(&requests))
}

/// The hash of requests by kind; kinds without any do not count.
fn hash(requests: &[(u8, Bytes)]) -> B256 {
    let mut all = Sha256::new();
    for (kind, data) in requests.iter().filter(|(_, data)| !data.is_empty()) {
        all.update(Sha256::new().chain_update([*kind]).chain_update(data).finalize());
    }
    B256::from_slice(&all.finalize())
}

/// Calls a contract as the system, and gives its output or how it failed.
fn call<R, E>(
    evm: &mut E,
    contract: Address,
    input: Bytes,
) -> Result<Result<Bytes, String>, ExecutionError>
where
    R: StateReader,
    E: Evm<DB = Journal<R>, Error = revm::context_interface::result::EVMError<StateError>>,
{
    let outcome =
        evm.transact_system_call(SYSTEM_ADDRESS, contract, input).map_err(machine_error)?;
    evm.db_mut().commit(outcome.state);
    Ok(match outcome.result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(format!("reverted with {output}")),
        ExecutionResult::Halt { reason, .. } => Err(format!("{reason:?}")),
    })
}

/// Lengths of a deposit's public key, withdrawal credentials, amount, signature and index.
const DEPOSIT_PARTS: [usize; 5] = [48, 32, 8, 96, 8];

/// The deposits in a block's logs, one after another (EIP-6110).
fn deposits(contract: Address, receipts: &[ExecutedReceipt]) -> Result<Vec<u8>, ExecutionError> {
    let topic = keccak256(b"DepositEvent(bytes,bytes,bytes,bytes,bytes)");
    let mut all = Vec::new();
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        if log.address == contract && log.topics().first() == Some(&topic) {
            let deposit =
                deposit(&log.data.data).ok_or_else(|| ExecutionError::SystemContract {
                    address: contract,
                    reason: "a deposit's log is not laid out as EIP-6110 says".to_owned(),
                })?;
            all.extend_from_slice(&deposit);
        }
    }
    Ok(all)
}

/// Takes the five parts out of a deposit log's data, whose layout EIP-6110 fixes: five offsets,
/// then each part's length and its bytes, padded to whole words.
fn deposit(data: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| -> Option<usize> {
        let (high, low) = data.get(at..at.checked_add(32)?)?.split_at(24);
        let low = u64::from_be_bytes(low.try_into().ok()?);
        if high.iter().any(|byte| *byte != 0) { None } else { usize::try_from(low).ok() }
    };
    let mut deposit = Vec::with_capacity(DEPOSIT_PARTS.iter().sum());
    let mut position = 32 * DEPOSIT_PARTS.len();
    for (part, length) in DEPOSIT_PARTS.into_iter().enumerate() {
        if word(32 * part)? != position || word(position)? != length {
            return None;
        }
        let content = position.checked_add(32)?;
        deposit.extend_from_slice(data.get(content..content.checked_add(length)?)?);
        position = content.checked_add(length.next_multiple_of(32))?;
    }
    (data.len() == position).then_some(deposit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_requests_hash_to_the_known_value() {
        let none = [(0, Bytes::new()), (1, Bytes::new())];
        assert_eq!(hash(&none), alloy_eips::eip7685::EMPTY_REQUESTS_HASH);
    }

    #[test]
    fn deposit_logs_must_have_their_layout() {
        let mut data = Vec::new();
        let word = |n: usize| alloy_primitives::U256::from(n).to_be_bytes::<32>();
        let mut position = 160;
        for length in DEPOSIT_PARTS {
            data.extend(word(position));
            position += 32 + length.next_multiple_of(32);
        }
        for (part, length) in (1..).zip(DEPOSIT_PARTS) {
            data.extend(word(length));
            data.extend(vec![part; length]);
            data.extend(vec![0; length.next_multiple_of(32) - length]);
        }
        let deposit = deposit(&data).unwrap();
        assert_eq!(deposit.len(), 192);
        assert_eq!(
            (deposit[0], deposit[48], deposit[80], deposit[88], deposit[184]),
            (1, 2, 3, 4, 5)
        );
        for wrong in [0, 31, 191, data.len() - 1] {
            assert_eq!(super::deposit(&data[..wrong]), None);
        }
        data[31] += 1;
        assert_eq!(super::deposit(&data), None);
    }
}
