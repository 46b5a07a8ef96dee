//! What a block must be like before its transactions are looked at: its header against the
//! parent's, and its body against its header.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, proofs};
use alloy_eips::{eip2718::Encodable2718, eip4844::DATA_GAS_PER_BLOB};
use alloy_primitives::{B64, B256, U256};
use alloy_rlp::Encodable;
use revm::primitives::hardfork::SpecId;

use super::{BLOCK_BYTES_MAX, builder::transactions_root, next_difficulty};
use crate::block::{Block, ChainSpec, SealedHeader};

/// Bytes of extra data.
const EXTRA_DATA_MAX: usize = 32;
/// No block has less gas.
const GAS_LIMIT_MIN: u64 = 5000;
/// No block has more gas.
const GAS_LIMIT_MAX: u64 = 0x7fff_ffff_ffff_ffff;
/// The gas limit moves by less than its 1024th part.
const GAS_LIMIT_DIVISOR: u64 = 1024;
/// Blocks after the DAO fork that must carry its mark, or must not.
const DAO_BLOCKS: u64 = 10;
/// The mark.
const DAO_MARK: &[u8] = b"dao-hard-fork";

/// The rule that a header or a body breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// Not the next number.
    #[error("invalid block number: have {have}, parent {parent}")]
    Number {
        /// Of the block.
        have: u64,
        /// Of the parent.
        parent: u64,
    },
    /// Not a child of the parent.
    #[error("unknown ancestor: parent hash {have}, head {parent}")]
    Parent {
        /// In the header.
        have: B256,
        /// Of the parent.
        parent: B256,
    },
    /// Not later than the parent.
    #[error("timestamp older than parent: have {have}, parent {parent}")]
    Timestamp {
        /// Of the block.
        have: u64,
        /// Of the parent.
        parent: u64,
    },
    /// Too much extra data.
    #[error("extra-data too long: {0} > 32")]
    ExtraData(usize),
    /// The DAO fork's mark is missing, or there though the fork is opposed.
    #[error("bad DAO fork extra-data")]
    DaoMark,
    /// Out of bounds, or too far from the parent's.
    #[error("invalid gas limit: have {have}, parent {parent}")]
    GasLimit {
        /// Of the block.
        have: u64,
        /// Of the parent, with the doubling at London.
        parent: u64,
    },
    /// More gas used than allowed.
    #[error("invalid gasUsed: have {used}, gasLimit {limit}")]
    GasUsed {
        /// In the header.
        used: u64,
        /// In the header.
        limit: u64,
    },
    /// Another value than the rules give.
    #[error("invalid {field}: have {have}, want {want}")]
    Value {
        /// Name of the header's field.
        field: &'static str,
        /// In the header.
        have: String,
        /// By the rules.
        want: String,
    },
    /// A field that the fork demands is missing.
    #[error("header is missing {0}")]
    Missing(&'static str),
    /// A field that only a later fork brings.
    #[error("invalid {0}: present before its fork")]
    Early(&'static str),
    /// Proof of work after proof of stake, or proof of stake before London.
    #[error("invalid terminal block: {0}")]
    Merge(&'static str),
    /// More blob gas than allowed, or not whole blobs.
    #[error(
        "blob gas used {used} exceeds maximum allowance {max} or is not a multiple of a blob's"
    )]
    BlobGas {
        /// In the header.
        used: u64,
        /// By the schedule.
        max: u64,
    },
    /// Too many bytes (EIP-7934).
    #[error("block RLP-encoded size {0} exceeds maximum")]
    Oversized(usize),
    /// An ommer that may not be there.
    #[error("invalid ommer: {0}")]
    Ommer(&'static str),
    /// An ommer whose header is not valid.
    #[error("invalid ommer: {0}")]
    OmmerHeader(Box<InvalidBlock>),
}

/// Checks a header against its parent's. The seal of a proof of work block is not checked.
///
/// # Errors
/// The first rule it breaks.
pub fn check_header(
    spec: &ChainSpec,
    parent: &SealedHeader,
    header: &Header,
) -> Result<(), InvalidBlock> {
    if header.parent_hash != parent.hash() {
        return Err(InvalidBlock::Parent { have: header.parent_hash, parent: parent.hash() });
    }
    if parent.number.checked_add(1) != Some(header.number) {
        return Err(InvalidBlock::Number { have: header.number, parent: parent.number });
    }
    let is_work = !header.difficulty.is_zero();
    let (have, before) = (header.timestamp, parent.timestamp);
    if have < before || (have == before && (is_work || spec.forks.later_than_parent)) {
        return Err(InvalidBlock::Timestamp { have, parent: before });
    }
    if header.extra_data.len() > EXTRA_DATA_MAX {
        return Err(InvalidBlock::ExtraData(header.extra_data.len()));
    }
    if header.gas_used > header.gas_limit {
        let (used, limit) = (header.gas_used, header.gas_limit);
        return Err(InvalidBlock::GasUsed { used, limit });
    }
    if is_work {
        check_work(spec, parent, header)?
    } else {
        check_stake(spec, header)?
    }
    check_fees(spec, parent, header)?;
    check_fields(spec, parent, header)
}

fn check_work(
    spec: &ChainSpec,
    parent: &SealedHeader,
    header: &Header,
) -> Result<(), InvalidBlock> {
    if parent.difficulty.is_zero() && parent.number > 0
        || spec.is_merged(header.number, header.timestamp)
    {
        return Err(InvalidBlock::Merge("proof of work after the merge"));
    }
    let want = next_difficulty(spec, parent, header.timestamp);
    if header.difficulty != want {
        return Err(value("difficulty", header.difficulty, want));
    }
    if let Some(fork) = spec.forks.dao
        && (fork..fork.saturating_add(DAO_BLOCKS)).contains(&header.number)
        && (*header.extra_data == *DAO_MARK) != spec.forks.dao_support
    {
        return Err(InvalidBlock::DaoMark);
    }
    Ok(())
}

fn check_stake(spec: &ChainSpec, header: &Header) -> Result<(), InvalidBlock> {
    if !spec.has_base_fee(header.number) {
        return Err(InvalidBlock::Merge("proof of stake before London"));
    }
    if spec.forks.terminal_total_difficulty.is_none()
        && !spec.is_merged(header.number, header.timestamp)
    {
        return Err(value("difficulty", U256::ZERO, "that of proof of work"));
    }
    if header.nonce != B64::ZERO {
        return Err(value("nonce", header.nonce, B64::ZERO));
    }
    if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return Err(value("sha3Uncles", header.ommers_hash, EMPTY_OMMER_ROOT_HASH));
    }
    Ok(())
}

/// Gas limit and base fee.
fn check_fees(
    spec: &ChainSpec,
    parent: &SealedHeader,
    header: &Header,
) -> Result<(), InvalidBlock> {
    let london = spec.has_base_fee(header.number);
    let before = if london && !spec.has_base_fee(parent.number) {
        parent.gas_limit.saturating_mul(2)
    } else {
        parent.gas_limit
    };
    let have = header.gas_limit;
    let is_near = have.abs_diff(before) < before / GAS_LIMIT_DIVISOR;
    // A solo chain's limit stays where it is, however small the genesis made it.
    let stays = have == before && !spec.forks.later_than_parent;
    if !(stays || is_near && (GAS_LIMIT_MIN..=GAS_LIMIT_MAX).contains(&have)) {
        return Err(InvalidBlock::GasLimit { have, parent: before });
    }
    let want = london.then(|| spec.next_base_fee(parent));
    match (header.base_fee_per_gas, want) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(InvalidBlock::Early("baseFee")),
        (None, Some(_)) => Err(InvalidBlock::Missing("baseFee")),
        (Some(have), Some(want)) if have == want => Ok(()),
        (Some(have), Some(want)) => Err(value("baseFee", have, want)),
    }
}

/// The fields that forks since the merge brought.
fn check_fields(
    spec: &ChainSpec,
    parent: &SealedHeader,
    header: &Header,
) -> Result<(), InvalidBlock> {
    let fork = spec.fork_of(header);
    let since = |wanted: SpecId| fork.is_enabled_in(wanted);
    let never = false;
    for (name, is_there, wanted) in [
        ("withdrawalsHash", header.withdrawals_root.is_some(), since(SpecId::SHANGHAI)),
        ("blobGasUsed", header.blob_gas_used.is_some(), since(SpecId::CANCUN)),
        ("excessBlobGas", header.excess_blob_gas.is_some(), since(SpecId::CANCUN)),
        ("parentBeaconRoot", header.parent_beacon_block_root.is_some(), since(SpecId::CANCUN)),
        ("requestsHash", header.requests_hash.is_some(), since(SpecId::PRAGUE)),
        ("blockAccessListHash", header.block_access_list_hash.is_some(), never),
        ("slotNumber", header.slot_number.is_some(), never),
    ] {
        match (is_there, wanted) {
            (true, false) => return Err(InvalidBlock::Early(name)),
            (false, true) => return Err(InvalidBlock::Missing(name)),
            (true, true) | (false, false) => {}
        }
    }
    let Some(params) = spec.blob_params(header.timestamp).filter(|_| since(SpecId::CANCUN)) else {
        return Ok(());
    };
    let (used, max) = (header.blob_gas_used.unwrap_or_default(), params.max_blob_gas_per_block());
    if used > max || !used.is_multiple_of(DATA_GAS_PER_BLOB) {
        return Err(InvalidBlock::BlobGas { used, max });
    }
    let want = spec.next_excess_blob_gas(parent, header.timestamp).unwrap_or_default();
    let have = header.excess_blob_gas.unwrap_or_default();
    if have == want { Ok(()) } else { Err(value("excessBlobGas", have, want)) }
}

/// Checks that a block's body is the one its header commits to, and its size.
///
/// # Errors
/// The first rule it breaks.
pub fn check_body(spec: &ChainSpec, block: &Block) -> Result<(), InvalidBlock> {
    let header = &block.header;
    if spec.fork_of(header).is_enabled_in(SpecId::OSAKA) {
        let size = encoded_length(block);
        if size > BLOCK_BYTES_MAX {
            return Err(InvalidBlock::Oversized(size));
        }
    }
    let ommers_hash = proofs::calculate_ommers_root(&block.ommers);
    if ommers_hash != header.ommers_hash {
        return Err(value("sha3Uncles", header.ommers_hash, ommers_hash));
    }
    let root = transactions_root(&block.transactions);
    if root != header.transactions_root {
        return Err(value("transactionsRoot", header.transactions_root, root));
    }
    let withdrawals = block.withdrawals.as_ref().map(|all| proofs::calculate_withdrawals_root(all));
    match (header.withdrawals_root, withdrawals) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(InvalidBlock::Early("withdrawals in the body")),
        (Some(_), None) => Err(InvalidBlock::Missing("withdrawals in the body")),
        (Some(have), Some(want)) if have == want => Ok(()),
        (Some(have), Some(want)) => Err(value("withdrawalsRoot", have, want)),
    }
}

/// Bytes of a block's RLP.
pub(crate) fn encoded_length(block: &Block) -> usize {
    let list =
        |payload_length| alloy_rlp::Header { list: true, payload_length }.length_with_payload();
    let transactions = block.transactions.iter().map(|tx| tx.inner().network_len()).sum();
    let withdrawals = block.withdrawals.as_ref().map_or(0, Encodable::length);
    list(block.header.inner().length() + list(transactions) + block.ommers.length() + withdrawals)
}

fn value(field: &'static str, have: impl ToString, want: impl ToString) -> InvalidBlock {
    InvalidBlock::Value { field, have: have.to_string(), want: want.to_string() }
}
