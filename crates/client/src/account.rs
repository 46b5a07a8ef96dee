//! An account that sends transactions: nonces, fees, waiting, sending again.
//!
//! Every transaction is simulated first, so a contract's refusal costs nothing and comes with its
//! reason. Nonces are handed out one at a time and only used up by what the node accepted. While a
//! transaction is in no block it is handed in again (the node may have restarted and lost it) and, if
//! that takes long, with a higher fee under the same nonce, so that it happens at most once. What an earlier life of the
//! program has left before it is overtaken: see `stuck`. On a chain that takes blocks back this goes on until it is as deep
//! as the network says: see `depth`.

mod depth;
mod offer;
mod once;
mod sent;
mod stuck;
mod turns;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    primitives::{Address, Bytes, TxKind, U256},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync as _, local::PrivateKeySigner},
    sol_types::SolCall,
};
use tilth_contracts::{Consent, consent_digest};
use tilth_service::Doing;
use tokio::sync::Mutex;
use tracing::debug;

pub use self::once::Signed;
use self::{
    sent::{Pace, is_known, is_stale},
    stuck::Flying,
    turns::Turns,
};
use crate::{ChainError, Link};

/// How long a transaction may take in all, where nothing is taken back.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a whole send starts over because another program used the nonce.
const STARTS: u32 = 16;
/// How often a transaction may fail in a block without a reason that lasts.
const FAILURES: u32 = 4;
/// How long an owner may use a node key's consent.
const CONSENT_SECONDS: u64 = 60 * 60;

/// What is going on when a transaction fails in a block.
const EXECUTING: &str = "executing a transaction";

/// A key and the chain it acts on. Cheap to clone; clones share the nonce.
#[derive(Clone, Debug)]
pub struct Account {
    link: Link,
    signer: Arc<PrivateKeySigner>,
    /// The next nonce, once known. Held while a transaction is handed in.
    nonce: Arc<Mutex<Option<u64>>>,
    /// Nonces of what is waited for.
    flying: Flying,
    /// Who adds to what is locked for a job.
    turns: Turns,
    pace: Pace,
}

/// One transaction to be.
#[derive(Clone, Debug)]
struct Order {
    to: TxKind,
    input: Bytes,
    value: U256,
    gas: u64,
}

impl Account {
    /// An account on a chain.
    pub fn new(link: Link, signer: PrivateKeySigner) -> Self {
        let (signer, nonce) = (Arc::new(signer), Arc::default());
        let (flying, turns) = (Flying::default(), Turns::default());
        Self { link, signer, nonce, flying, turns, pace: Pace::default() }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The chain it acts on.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Calls a contract function and waits until it is in a block that stays.
    ///
    /// # Errors
    /// As [`Account::send`].
    pub async fn execute<C: SolCall>(
        &self,
        to: Address,
        call: C,
    ) -> Result<TransactionReceipt, ChainError> {
        self.send(to, Bytes::from(call.abi_encode()), U256::ZERO).await
    }

    /// What a contract function would return if it were executed now.
    ///
    /// # Errors
    /// As [`Link::read`].
    pub async fn simulate<C: SolCall>(
        &self,
        to: Address,
        call: C,
    ) -> Result<C::Return, ChainError> {
        let action = C::SIGNATURE;
        let request = TransactionRequest::default()
            .with_from(self.address())
            .with_to(to)
            .with_input(Bytes::from(call.abi_encode()));
        let answer = self.link.simulate(action, request, BlockNumberOrTag::Latest).await?;
        C::abi_decode_returns(&answer)
            .map_err(|error| ChainError::BadAnswer { action, detail: error.to_string() })
    }

    /// Sends a transaction and waits until it is in a block that stays: with [`Link::confirmations`] blocks on top.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when the contract refuses (before sending, or in the block),
    /// [`ChainError::NoGas`], [`ChainError::NotIncluded`] or [`ChainError::NotConfirmed`] after three minutes (and half
    /// a minute for each block that it should have on top), and those of [`Link`]. After those two or
    /// [`ChainError::Unreachable`] the transaction may still happen; look at the chain's state before sending it again.
    pub async fn send(
        &self,
        to: Address,
        input: Bytes,
        value: U256,
    ) -> Result<TransactionReceipt, ChainError> {
        self.deliver(TxKind::Call(to), input, value).await
    }

    /// Creates a contract.
    ///
    /// # Errors
    /// As [`Account::send`].
    pub async fn create(&self, init_code: Bytes) -> Result<TransactionReceipt, ChainError> {
        self.deliver(TxKind::Create, init_code, U256::ZERO).await
    }

    /// The nonce of the next transaction, as the chain sees it.
    ///
    /// # Errors
    /// Those of [`Link`].
    pub async fn next_nonce(&self) -> Result<u64, ChainError> {
        self.link.nonce(self.address(), BlockNumberOrTag::Pending).await
    }

    /// As a node key: agrees to work for an owner, who has an hour to say so to the Registry.
    ///
    /// # Errors
    /// [`ChainError::Signing`], and those of [`Link`], which is asked for the chain's id and time.
    pub fn agree_to_work_for(&self, owner: Address) -> Doing<'_, Result<Consent, ChainError>> {
        Box::pin(async move {
            let chain_id = self.link.chain_id().await?;
            let deadline = self.link.next_time().await?.saturating_add(CONSENT_SECONDS);
            let digest = consent_digest(chain_id, self.link.addresses().registry, owner, deadline);
            let signature = self.signer.sign_hash_sync(&digest);
            let signature = signature.map_err(|error| ChainError::Signing(error.to_string()))?;
            let signature = Bytes::from(signature.as_bytes());
            Ok(Consent { deadline: U256::from(deadline), signature })
        })
    }

    fn deliver(
        &self,
        to: TxKind,
        input: Bytes,
        value: U256,
    ) -> Doing<'_, Result<TransactionReceipt, ChainError>> {
        Box::pin(async move {
            let mut order = self.order(to, input.clone(), value).await?;
            let mut failures = 0;
            let deadline = Instant::now() + self.patience();
            for _ in 0..STARTS {
                let sent = Box::pin(self.hand_in(&order)).await?;
                match Box::pin(self.wait(&order, sent, deadline)).await? {
                    Some(receipt) if receipt.status() => return Ok(receipt),
                    Some(receipt) => {
                        if let Some(refusal) = self.refusal(&order, &receipt).await {
                            return Err(refusal);
                        }
                        failures += 1;
                        if failures == FAILURES {
                            return Err(overtaken(&receipt));
                        }
                        // What failed changed nothing, and would not fail now: the state had moved since the simulation,
                        // most often by more than the spare gas. Simulated anew it is refused, or gets what it needs.
                        debug!(account = %self.address(), hash = %receipt.transaction_hash, "failed, sending anew");
                        order = self.order(to, input.clone(), value).await?;
                    }
                    // Another program used the nonce, so ours can never happen: send it anew.
                    None => {
                        debug!(account = %self.address(), "nonce was used elsewhere, sending anew")
                    }
                }
            }
            Err(ChainError::Refused {
                action: "sending a transaction",
                code: 0,
                message: "another program keeps using this account's nonces".to_owned(),
            })
        })
    }

    /// Simulates a transaction: refused now, or with the gas that it needs.
    async fn order(&self, to: TxKind, input: Bytes, value: U256) -> Result<Order, ChainError> {
        let mut request = TransactionRequest::default()
            .with_from(self.address())
            .with_input(input.clone())
            .with_value(value);
        request.to = Some(to);
        let estimate = self.link.estimate(request).await.map_err(|error| self.name(error))?;
        // State may move between simulation and block (another claim, a first write to a slot).
        let gas = estimate.saturating_add(estimate / 4).saturating_add(30_000);
        Ok(Order { to, input, value, gas })
    }

    /// Why a contract refused a mined transaction. `None` if the same call at the end of that block, with as much gas as
    /// it likes, would succeed: it ran out of gas, or what was in its way is gone.
    async fn refusal(&self, order: &Order, receipt: &TransactionReceipt) -> Option<ChainError> {
        let mut request = TransactionRequest::default()
            .with_from(self.address())
            .with_input(order.input.clone())
            .with_value(order.value);
        request.to = Some(order.to);
        let block = receipt.block_number.map_or(BlockNumberOrTag::Latest, Into::into);
        match self.link.simulate(EXECUTING, request, block).await {
            Err(error @ ChainError::Reverted { .. }) => Some(error),
            _ => None,
        }
    }

    /// Names what every node says in its own words.
    fn name(&self, error: ChainError) -> ChainError {
        match error {
            ChainError::Refused { message, .. }
                if message.to_ascii_lowercase().contains("insufficient funds") =>
            {
                ChainError::NoGas { account: self.address(), detail: message }
            }
            error => error,
        }
    }
}

/// A transaction that failed for a reason that is gone.
fn overtaken(receipt: &TransactionReceipt) -> ChainError {
    let problem = tilth_protocol::Problem::new(
        "a transaction failed",
        format!("transaction {} failed", receipt.transaction_hash),
        "somebody else acted at the same time; look at the current state and try again",
    );
    ChainError::Reverted { action: EXECUTING, problem: problem.into(), data: Bytes::new() }
}
