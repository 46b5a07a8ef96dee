//! Whether a transaction may enter the pool, in the words geth uses for it.

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Encodable2718;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::U256;
use revm::{
    context::TxEnv,
    context_interface::cfg::gas::calculate_initial_tx_gas_for_tx,
    primitives::{eip3860, eip7825, hardfork::SpecId},
};

use crate::block::Transaction;

/// What the chain demands of every transaction now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRules {
    /// The chain's id.
    pub chain_id: u64,
    /// Rules of the next block.
    pub fork: SpecId,
    /// Gas limit of the next block.
    pub gas_limit: u64,
    /// Largest encoded transaction, in bytes.
    pub bytes_max: usize,
    /// Smallest tip, in wei per gas.
    pub tip_min: u128,
    /// Whether transactions without replay protection (EIP-155) are taken.
    pub allow_unprotected: bool,
}

/// The sender's account in the state of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Next nonce.
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    /// The account holds code that is not a delegation, so it cannot send (EIP-3607).
    pub is_contract: bool,
}

/// Why a transaction is refused. The texts are geth's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Exactly this one is here.
    #[error("already known")]
    AlreadyKnown,
    /// Its nonce was used.
    #[error("nonce too low: next nonce {state}, tx nonce {nonce}")]
    NonceTooLow {
        /// Of the account.
        state: u64,
        /// Of the transaction.
        nonce: u64,
    },
    /// The nonce cannot be incremented any more.
    #[error("nonce has max value: tx nonce {0}")]
    NonceMax(u64),
    /// It does not offer enough more than the one it would replace.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// The balance does not cover value and highest possible fee.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, \
         overshot {}", cost.saturating_sub(*balance)
    )]
    InsufficientFunds {
        /// Of the sender.
        balance: U256,
        /// Of the transaction.
        cost: U256,
    },
    /// The balance does not cover this transaction and the sender's others.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, \
         tx cost {cost}, overshot {}", queued.saturating_add(*cost).saturating_sub(*balance)
    )]
    Overspent {
        /// Of the sender.
        balance: U256,
        /// Of the sender's other transactions.
        queued: U256,
        /// Of this one.
        cost: U256,
    },
    /// Less gas than any execution needs.
    #[error("intrinsic gas too low: gas {gas_limit}, minimum needed {needed}")]
    IntrinsicGas {
        /// Of the transaction.
        gas_limit: u64,
        /// By its content.
        needed: u64,
    },
    /// Less gas than its calldata costs at least (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas_limit}, minimum needed {needed}")]
    FloorGas {
        /// Of the transaction.
        gas_limit: u64,
        /// By its calldata.
        needed: u64,
    },
    /// Fits into no block.
    #[error("exceeds block gas limit")]
    BlockGasLimit,
    /// Above the cap per transaction (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas_limit})")]
    GasLimitCap {
        /// The protocol's.
        cap: u64,
        /// Of the transaction.
        gas_limit: u64,
    },
    /// Tip above fee.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, \
         maxFeePerGas: {fee}"
    )]
    TipAboveFee {
        /// The tip.
        tip: u128,
        /// The fee.
        fee: u128,
    },
    /// Tip below the node's minimum.
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {needed}")]
    Underpriced {
        /// Of the transaction.
        tip: u128,
        /// By this node.
        needed: u128,
    },
    /// Blob transactions, and kinds yet unknown.
    #[error("transaction type not supported")]
    KindNotSupported,
    /// The signature gives no sender.
    #[error("invalid sender")]
    InvalidSender,
    /// For another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Of the transaction.
        have: u64,
        /// Of the chain.
        want: u64,
    },
    /// Without EIP-155 protection.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// Creation code too large (EIP-3860).
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCodeSize {
        /// Of the transaction.
        size: usize,
        /// The protocol's.
        limit: usize,
    },
    /// Too many bytes.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Of the transaction.
        size: usize,
        /// Of this node.
        limit: usize,
    },
    /// The sender is a contract (EIP-3607).
    #[error("sender not an eoa: address {0}")]
    SenderIsContract(alloy_primitives::Address),
    /// EIP-7702 without authorizations.
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizations,
    /// The sender has too many waiting.
    #[error("account limit exceeded: the sender has too many transactions in the pool")]
    SenderFull,
    /// The pool is full of better ones.
    #[error("txpool is full")]
    Full,
}

/// Highest possible cost of a transaction, in wei.
pub(super) fn cost(transaction: &Transaction) -> U256 {
    U256::from(transaction.max_fee_per_gas())
        .saturating_mul(U256::from(transaction.gas_limit()))
        .saturating_add(transaction.value())
}

/// Checks everything that does not depend on the other transactions in the pool.
pub fn admit(
    transaction: &Transaction,
    sender: Sender,
    rules: &AdmissionRules,
) -> Result<(), PoolError> {
    check_form(transaction, rules)?;
    check_gas(transaction, rules)?;
    if sender.is_contract {
        return Err(PoolError::SenderIsContract(transaction.signer()));
    }
    let nonce = transaction.nonce();
    if nonce < sender.nonce {
        return Err(PoolError::NonceTooLow { state: sender.nonce, nonce });
    }
    if nonce == u64::MAX {
        return Err(PoolError::NonceMax(nonce));
    }
    let cost = cost(transaction);
    if cost > sender.balance {
        return Err(PoolError::InsufficientFunds { balance: sender.balance, cost });
    }
    Ok(())
}

fn check_form(transaction: &Transaction, rules: &AdmissionRules) -> Result<(), PoolError> {
    if transaction.inner().is_eip4844() {
        return Err(PoolError::KindNotSupported);
    }
    let size = transaction.inner().encode_2718_len();
    if size > rules.bytes_max {
        return Err(PoolError::Oversized { size, limit: rules.bytes_max });
    }
    match transaction.chain_id() {
        Some(have) if have != rules.chain_id => {
            return Err(PoolError::ChainId { have, want: rules.chain_id });
        }
        None if !rules.allow_unprotected => return Err(PoolError::Unprotected),
        Some(_) | None => {}
    }
    if transaction.is_create() && transaction.input().len() > eip3860::MAX_INITCODE_SIZE {
        let (size, limit) = (transaction.input().len(), eip3860::MAX_INITCODE_SIZE);
        return Err(PoolError::InitCodeSize { size, limit });
    }
    if transaction.inner().is_eip7702()
        && transaction.authorization_list().is_none_or(<[_]>::is_empty)
    {
        return Err(PoolError::EmptyAuthorizations);
    }
    let fee = transaction.max_fee_per_gas();
    let tip = transaction.max_priority_fee_per_gas().unwrap_or(fee);
    if tip > fee {
        return Err(PoolError::TipAboveFee { tip, fee });
    }
    if tip < rules.tip_min {
        return Err(PoolError::Underpriced { tip, needed: rules.tip_min });
    }
    Ok(())
}

fn check_gas(transaction: &Transaction, rules: &AdmissionRules) -> Result<(), PoolError> {
    let gas_limit = transaction.gas_limit();
    if rules.fork.is_enabled_in(SpecId::OSAKA) && gas_limit > eip7825::TX_GAS_LIMIT_CAP {
        return Err(PoolError::GasLimitCap { cap: eip7825::TX_GAS_LIMIT_CAP, gas_limit });
    }
    if gas_limit > rules.gas_limit {
        return Err(PoolError::BlockGasLimit);
    }
    let environment = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
    let gas = calculate_initial_tx_gas_for_tx(&environment, rules.fork, None);
    if gas_limit < gas.initial_regular_gas {
        return Err(PoolError::IntrinsicGas { gas_limit, needed: gas.initial_regular_gas });
    }
    if gas_limit < gas.floor_gas {
        return Err(PoolError::FloorGas { gas_limit, needed: gas.floor_gas });
    }
    Ok(())
}
