//! Whether a transaction may enter the pool, in the words geth uses for it.

use alloy_consensus::{Transaction as _, crypto::secp256k1::recover_signer};
use alloy_eips::eip2718::Encodable2718;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::{Address, I256, U256};
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
    /// What code the account has.
    pub code: SenderCode,
}

/// What code a sender's account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderCode {
    /// None, as with most that send.
    None,
    /// A delegation to a contract (EIP-7702).
    Delegation,
    /// Code of its own, so it cannot send (EIP-3607).
    Contract,
}

/// A transaction with everything that admission needs and that costs time to find out, so that it
/// can be found out before anybody waits.
#[derive(Debug)]
pub struct Prepared {
    /// With its sender.
    pub transaction: Transaction,
    /// Who signed the valid ones of its authorizations (EIP-7702), each once.
    pub(super) authorities: Vec<Address>,
    /// Of the encoding.
    pub(super) bytes: usize,
    /// Highest possible cost, in wei.
    pub(super) cost: U256,
}

impl Prepared {
    /// Recovers who signed the authorizations. Their number is bounded by the size of the
    /// transaction, which is the caller's to bound.
    pub fn new(transaction: Transaction) -> Self {
        let mut authorities: Vec<Address> = transaction
            .authorization_list()
            .unwrap_or_default()
            .iter()
            .filter_map(|signed| {
                let signature = signed.signature().ok()?;
                recover_signer(&signature, signed.inner().signature_hash()).ok()
            })
            .collect();
        authorities.sort_unstable();
        authorities.dedup();
        let cost = U256::from(transaction.max_fee_per_gas())
            .saturating_mul(U256::from(transaction.gas_limit()))
            .saturating_add(transaction.value());
        let bytes = transaction.inner().encode_2718_len();
        Self { transaction, authorities, bytes, cost }
    }
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
    #[error("nonce has max value")]
    NonceMax,
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
    /// The balance does not cover this transaction and the sender's executable ones.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, \
         tx cost {cost}, overshot {}", queued.saturating_add(*cost).saturating_sub(*balance)
    )]
    Overspent {
        /// Of the sender.
        balance: U256,
        /// Of the sender's executable transactions.
        queued: U256,
        /// Of this one.
        cost: U256,
    },
    /// The balance does not cover the sender's executable transactions with this one in place of
    /// one of them.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, \
         tx bumped {bumped}, overshot {overshot}"
    )]
    OverspentByReplacement {
        /// Of the sender.
        balance: U256,
        /// Of the sender's executable transactions.
        queued: U256,
        /// By how much this one costs more than the one it replaces; may be negative.
        bumped: I256,
        /// What is missing.
        overshot: U256,
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
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// Tip below the node's minimum.
    #[error("transaction gas price below minimum: gas tip cap {tip}, minimum needed {needed}")]
    TipTooLow {
        /// Of the transaction.
        tip: u128,
        /// By this node.
        needed: u128,
    },
    /// Blob transactions.
    #[error("transaction type not supported: received type {0}")]
    KindNotSupported(u8),
    /// A kind that comes with a later fork.
    #[error("transaction type not supported: type {kind} rejected, pool not yet in {fork}")]
    KindNotYet {
        /// Of the transaction.
        kind: u8,
        /// The fork that brings it.
        fork: &'static str,
    },
    /// The signature gives no sender.
    #[error("invalid sender: invalid transaction v, r, s values")]
    InvalidSender,
    /// For another chain.
    #[error("invalid sender: invalid chain id for signer: have {have} want {want}")]
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
    #[error("max initcode size exceeded: code size {size} limit {limit}")]
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
    SenderIsContract(Address),
    /// EIP-7702 without authorizations.
    #[error("set code tx must have at least one authorization tuple")]
    EmptyAuthorizations,
    /// The sender has too many waiting.
    #[error("account limit exceeded: pooled {0} txs")]
    SenderFull(usize),
    /// The pool is full and everything in it pays as much or more.
    #[error("transaction underpriced")]
    Underpriced,
    /// The pool is full and there is nothing this one could take the place of.
    #[error("txpool is full")]
    Full,
    /// The pool is full, and a transaction that waits for others may not push out executable ones.
    #[error("future transaction tries to replace pending")]
    FutureReplacesPending,
    /// A delegated account (EIP-7702) sends one transaction at a time.
    #[error("in-flight transaction limit reached for delegated accounts")]
    DelegatedInFlight,
    /// A delegated account leaves no gaps.
    #[error("gapped-nonce tx from delegated accounts")]
    DelegatedGap,
    /// It authorizes for an account that has several transactions here.
    #[error("authority already reserved")]
    AuthorityReserved,
}

/// Checks everything that depends neither on the state nor on what else is in the pool.
///
/// # Errors
/// The first thing that is wrong, in geth's order.
pub fn check(transaction: &Transaction, rules: &AdmissionRules) -> Result<(), PoolError> {
    check_kind(transaction, rules)?;
    let size = transaction.inner().encode_2718_len();
    if size > rules.bytes_max {
        return Err(PoolError::Oversized { size, limit: rules.bytes_max });
    }
    let shanghai = rules.fork.is_enabled_in(SpecId::SHANGHAI);
    let size = transaction.input().len();
    if transaction.is_create() && shanghai && size > eip3860::MAX_INITCODE_SIZE {
        return Err(PoolError::InitCodeSize { size, limit: eip3860::MAX_INITCODE_SIZE });
    }
    let gas_limit = transaction.gas_limit();
    if rules.fork.is_enabled_in(SpecId::OSAKA) && gas_limit > eip7825::TX_GAS_LIMIT_CAP {
        return Err(PoolError::GasLimitCap { cap: eip7825::TX_GAS_LIMIT_CAP, gas_limit });
    }
    if gas_limit > rules.gas_limit {
        return Err(PoolError::BlockGasLimit);
    }
    let fee = transaction.max_fee_per_gas();
    let tip = transaction.max_priority_fee_per_gas().unwrap_or(fee);
    if tip > fee {
        return Err(PoolError::TipAboveFee);
    }
    if let Some(have) = transaction.chain_id()
        && have != rules.chain_id
    {
        return Err(PoolError::ChainId { have, want: rules.chain_id });
    }
    if transaction.nonce() == u64::MAX {
        return Err(PoolError::NonceMax);
    }
    check_gas(transaction, rules)?;
    if tip < rules.tip_min {
        return Err(PoolError::TipTooLow { tip, needed: rules.tip_min });
    }
    if transaction.inner().is_eip7702()
        && transaction.authorization_list().is_none_or(<[_]>::is_empty)
    {
        return Err(PoolError::EmptyAuthorizations);
    }
    Ok(())
}

fn check_kind(transaction: &Transaction, rules: &AdmissionRules) -> Result<(), PoolError> {
    if transaction.chain_id().is_none() && !rules.allow_unprotected {
        return Err(PoolError::Unprotected);
    }
    let kind = transaction.inner().tx_type() as u8;
    if transaction.inner().is_eip4844() {
        return Err(PoolError::KindNotSupported(kind));
    }
    let needed = [
        (kind > 0, SpecId::BERLIN, "Berlin"),
        (transaction.inner().is_eip1559(), SpecId::LONDON, "London"),
        (transaction.inner().is_eip7702(), SpecId::PRAGUE, "Prague"),
    ];
    for (concerned, since, fork) in needed {
        if concerned && !rules.fork.is_enabled_in(since) {
            return Err(PoolError::KindNotYet { kind, fork });
        }
    }
    Ok(())
}

fn check_gas(transaction: &Transaction, rules: &AdmissionRules) -> Result<(), PoolError> {
    let gas_limit = transaction.gas_limit();
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

/// Checks a transaction against the sender's account alone.
pub(super) fn check_account(prepared: &Prepared, sender: &Sender) -> Result<(), PoolError> {
    let nonce = prepared.transaction.nonce();
    if nonce < sender.nonce {
        return Err(PoolError::NonceTooLow { state: sender.nonce, nonce });
    }
    if sender.code == SenderCode::Contract {
        return Err(PoolError::SenderIsContract(prepared.transaction.signer()));
    }
    let (cost, balance) = (prepared.cost, sender.balance);
    if cost > balance {
        return Err(PoolError::InsufficientFunds { balance, cost });
    }
    Ok(())
}

/// Checks that the balance covers the executable transactions, of `queued` cost together, and this
/// one, which takes the place of one of them that costs `replaced`.
pub(super) fn check_funds(
    prepared: &Prepared,
    balance: U256,
    queued: U256,
    replaced: Option<U256>,
) -> Result<(), PoolError> {
    let cost = prepared.cost;
    let needed = queued.saturating_sub(replaced.unwrap_or_default()).saturating_add(cost);
    if needed <= balance {
        return Ok(());
    }
    Err(match replaced {
        None => PoolError::Overspent { balance, queued, cost },
        Some(replaced) => PoolError::OverspentByReplacement {
            balance,
            queued,
            bumped: I256::from_raw(cost.wrapping_sub(replaced)),
            overshot: needed - balance,
        },
    })
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
