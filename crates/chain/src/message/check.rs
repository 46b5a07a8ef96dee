//! Whether a message may start at all, decided in geth's order and answered in geth's words.
//!
//! The machine checks most of this again; it runs with its own complaints about nonces, base fees
//! and senders with code switched off, because geth asks for them only of real transactions.

use alloy_primitives::{Address, U256};
use revm::{
    context::{CfgEnv, TxEnv},
    primitives::{
        eip4844::{GAS_PER_BLOB, VERSIONED_HASH_VERSION_KZG},
        hardfork::SpecId,
    },
};

use super::Message;
use crate::state::AccountState;

/// Blobs in one transaction from Osaka on (EIP-7594).
const BLOBS_MAX: usize = 6;

/// Which checks a message has to pass besides those that all must.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// Its nonce must be the account's next.
    pub(crate) nonce: bool,
    /// It must pay the base fee even if it offers no price at all.
    pub(crate) base_fee: bool,
}

impl Checks {
    /// Those of `eth_call`.
    pub(crate) const CALL: Self = Self { nonce: false, base_fee: false };
}

/// Why a message does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("nonce too high: address {address}, tx: {tx} state: {state}")]
    NonceTooHigh { address: Address, tx: u64, state: u64 },
    #[error("nonce too low: address {address}, tx: {tx} state: {state}")]
    NonceTooLow { address: Address, tx: u64, state: u64 },
    #[error("nonce has max value: address {address}, nonce: {nonce}")]
    NonceMax { address: Address, nonce: u64 },
    #[error(
        "max priority fee per gas higher than max fee per gas: address {address}, \
         maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"
    )]
    TipAboveFeeCap { address: Address, tip: u128, cap: u128 },
    #[error(
        "max fee per gas less than block base fee: address {address}, maxFeePerGas: {cap}, \
         baseFee: {base_fee}"
    )]
    FeeCapTooLow { address: Address, cap: u128, base_fee: u64 },
    #[error("blob transaction of type create")]
    BlobCreate,
    #[error("blob transaction missing blob hashes")]
    NoBlobs,
    #[error("blob transaction has too many blobs")]
    TooManyBlobs,
    #[error("blob {0} has invalid hash version")]
    BlobVersion(usize),
    #[error(
        "max fee per blob gas less than block blob gas fee: address {address} blobGasFeeCap: \
         {cap}, blobBaseFee: {base_fee}"
    )]
    BlobFeeCapTooLow { address: Address, cap: u128, base_fee: u128 },
    #[error("EIP-7702 transaction cannot be used to create contract (sender {0})")]
    SetCodeCreate(Address),
    #[error("EIP-7702 transaction with empty auth list (sender {0})")]
    NoAuthorizations(Address),
    #[error("max initcode size exceeded: code size {size} limit {limit}")]
    InitCodeSize { size: usize, limit: usize },
    #[error(
        "insufficient funds for gas * price + value: address {address} required balance exceeds \
         256 bits"
    )]
    FundsOverflow { address: Address },
    #[error(
        "insufficient funds for gas * price + value: address {address} have {have} want {want}"
    )]
    Funds { address: Address, have: U256, want: U256 },
    #[error("intrinsic gas too low: have {have}, want {want}")]
    IntrinsicGas { have: u64, want: u64 },
    #[error("insufficient gas for floor data gas cost: have {have}, want {want}")]
    FloorGas { have: u64, want: u64 },
    /// A complaint of the machine that geth has no words for.
    #[error("{0}")]
    Machine(String),
}

/// The prices of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    pub(crate) base_fee: u64,
    pub(crate) blob: u128,
}

/// Why `message` may not start in this block, from this account; `None` if it may.
pub(crate) fn refusal(
    message: &Message,
    account: &AccountState,
    transaction: &TxEnv,
    cfg: &CfgEnv,
    prices: Prices,
    checks: Checks,
) -> Option<Refusal> {
    nonces(message, account, checks)
        .or_else(|| fees(message, cfg.spec, prices, checks))
        .or_else(|| blobs(message, cfg.spec, prices, checks))
        .or_else(|| shape(message, cfg))
        .or_else(|| funds(message, account, cfg.spec))
        .or_else(|| gas(transaction, cfg))
}

fn nonces(message: &Message, account: &AccountState, checks: Checks) -> Option<Refusal> {
    let (address, tx, state) = (message.from, message.nonce, account.nonce);
    if !checks.nonce {
        None
    } else if state < tx {
        Some(Refusal::NonceTooHigh { address, tx, state })
    } else if state > tx {
        Some(Refusal::NonceTooLow { address, tx, state })
    } else if state == u64::MAX {
        Some(Refusal::NonceMax { address, nonce: state })
    } else {
        None
    }
}

fn fees(message: &Message, fork: SpecId, prices: Prices, checks: Checks) -> Option<Refusal> {
    let (address, cap, tip) = (message.from, message.fee_cap, message.tip_cap);
    let offers_nothing = cap == 0 && tip == 0;
    if !fork.is_enabled_in(SpecId::LONDON) || (!checks.base_fee && offers_nothing) {
        return None;
    }
    let base_fee = prices.base_fee;
    if cap < tip {
        Some(Refusal::TipAboveFeeCap { address, tip, cap })
    } else if cap < base_fee.into() {
        Some(Refusal::FeeCapTooLow { address, cap, base_fee })
    } else {
        None
    }
}

fn blobs(message: &Message, fork: SpecId, prices: Prices, checks: Checks) -> Option<Refusal> {
    let hashes = message.blob_hashes.as_ref()?;
    if message.to.is_none() {
        return Some(Refusal::BlobCreate);
    }
    if hashes.is_empty() {
        return Some(Refusal::NoBlobs);
    }
    if fork.is_enabled_in(SpecId::OSAKA) && hashes.len() > BLOBS_MAX {
        return Some(Refusal::TooManyBlobs);
    }
    if let Some(at) = hashes.iter().position(|hash| hash[0] != VERSIONED_HASH_VERSION_KZG) {
        return Some(Refusal::BlobVersion(at));
    }
    let (cap, base_fee) = (message.blob_fee_cap.unwrap_or_default(), prices.blob);
    let skips = !checks.base_fee && cap == 0;
    let too_low = fork.is_enabled_in(SpecId::CANCUN) && !skips && cap < base_fee;
    too_low.then_some(Refusal::BlobFeeCapTooLow { address: message.from, cap, base_fee })
}

fn shape(message: &Message, cfg: &CfgEnv) -> Option<Refusal> {
    if let Some(authorizations) = &message.authorizations {
        if message.to.is_none() {
            return Some(Refusal::SetCodeCreate(message.from));
        }
        if authorizations.is_empty() {
            return Some(Refusal::NoAuthorizations(message.from));
        }
    }
    let (size, limit) = (message.data.len(), revm::context_interface::Cfg::max_initcode_size(cfg));
    let too_long = message.to.is_none() && cfg.spec.is_enabled_in(SpecId::SHANGHAI) && size > limit;
    too_long.then_some(Refusal::InitCodeSize { size, limit })
}

fn funds(message: &Message, account: &AccountState, fork: SpecId) -> Option<Refusal> {
    let (address, have) = (message.from, account.balance);
    let blobs = match &message.blob_hashes {
        Some(hashes) if fork.is_enabled_in(SpecId::CANCUN) => {
            U256::from(hashes.len()) * U256::from(GAS_PER_BLOB)
        }
        Some(_) | None => U256::ZERO,
    };
    let want = U256::from(message.gas)
        .checked_mul(U256::from(message.fee_cap))
        .and_then(|gas| gas.checked_add(message.value))
        .and_then(|sum| {
            let blob_fee = U256::from(message.blob_fee_cap.unwrap_or_default());
            sum.checked_add(blobs.checked_mul(blob_fee)?)
        });
    let Some(want) = want else { return Some(Refusal::FundsOverflow { address }) };
    (have < want).then_some(Refusal::Funds { address, have, want })
}

fn gas(transaction: &TxEnv, cfg: &CfgEnv) -> Option<Refusal> {
    let needed = cfg.gas_params.initial_tx_gas_for_tx(transaction, None);
    let (have, want) = (transaction.gas_limit, needed.initial_total_gas());
    if have < want {
        return Some(Refusal::IntrinsicGas { have, want });
    }
    let want = needed.floor_gas();
    (cfg.spec.is_enabled_in(SpecId::PRAGUE) && have < want)
        .then_some(Refusal::FloorGas { have, want })
}
