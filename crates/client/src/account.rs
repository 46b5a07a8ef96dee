//! An account that sends transactions: nonces, fees, waiting, sending again.
//!
//! Every transaction is simulated first, so a contract's refusal costs nothing and comes with its
//! reason. Nonces are handed out one at a time and only used up by what the node accepted. While a
//! transaction is in no block it is handed in again (the node may have restarted and lost it) and, if
//! that takes long, with a higher fee under the same nonce, so that it happens at most once. On a chain
//! that takes blocks back this goes on until it is as deep as the network says: see `depth`.

mod depth;
mod once;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::{BlockNumberOrTag, Encodable2718},
    network::{TransactionBuilder, TxSignerSync},
    primitives::{Address, B256, Bytes, TxKind, U256},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync as _, local::PrivateKeySigner},
    sol_types::SolCall,
};
use tilth_contracts::{Consent, consent_digest};
use tokio::sync::Mutex;
use tracing::{debug, warn};

pub use self::once::Signed;
use crate::{ChainError, Link, link::Fees};

/// How long a transaction may take in all, where nothing is taken back.
const PATIENCE: Duration = Duration::from_secs(180);
/// First pause between two looks for a receipt; doubles up to [`LONGEST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// Longest pause between two looks, at a node on this machine and elsewhere.
const LONGEST_LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// After so long in no block the transaction is handed in again unchanged.
const HAND_IN_AGAIN: Duration = Duration::from_secs(3);
/// After so long in no block the fee is raised.
const RAISE: Duration = Duration::from_secs(24);
/// How often a whole send starts over because another program used the nonce.
const STARTS: u32 = 16;
/// How often a transaction may fail in a block without a reason that lasts.
const FAILURES: u32 = 4;
/// How long an owner may use a node key's consent.
const CONSENT_SECONDS: u64 = 60 * 60;
/// How many nonces are tried when another program with the same key keeps being faster.
const NONCES: u32 = 32;
/// Pause after a nonce was refused, times the number of refusals.
const NONCE_PAUSE: Duration = Duration::from_millis(2);

/// What is going on when a transaction fails in a block.
const EXECUTING: &str = "executing a transaction";

/// A key and the chain it acts on. Cheap to clone; clones share the nonce.
#[derive(Clone, Debug)]
pub struct Account {
    link: Link,
    signer: Arc<PrivateKeySigner>,
    /// The next nonce, once known. Held while a transaction is handed in.
    nonce: Arc<Mutex<Option<u64>>>,
}

/// One transaction to be.
#[derive(Clone, Debug)]
struct Order {
    to: TxKind,
    input: Bytes,
    value: U256,
    gas: u64,
}

/// A transaction that was handed in.
struct Sent {
    nonce: u64,
    fees: Fees,
    raw: Vec<u8>,
    /// Hashes of all versions, the latest last.
    hashes: Vec<B256>,
}

/// What handing in again came to.
enum Pushed {
    HandedIn,
    /// The nonce was used by a transaction that is not ours.
    Overtaken,
}

impl Account {
    /// An account on a chain.
    pub fn new(link: Link, signer: PrivateKeySigner) -> Self {
        Self { link, signer: Arc::new(signer), nonce: Arc::default() }
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
    pub async fn agree_to_work_for(&self, owner: Address) -> Result<Consent, ChainError> {
        let chain_id = self.link.chain_id().await?;
        let deadline = self.link.next_time().await?.saturating_add(CONSENT_SECONDS);
        let digest = consent_digest(chain_id, self.link.addresses().registry, owner, deadline);
        let signature = self.signer.sign_hash_sync(&digest);
        let signature = signature.map_err(|error| ChainError::Signing(error.to_string()))?;
        let signature = Bytes::from(signature.as_bytes());
        Ok(Consent { deadline: U256::from(deadline), signature })
    }

    async fn deliver(
        &self,
        to: TxKind,
        input: Bytes,
        value: U256,
    ) -> Result<TransactionReceipt, ChainError> {
        let mut order = self.order(to, input.clone(), value).await?;
        let mut failures = 0;
        let deadline = Instant::now() + self.patience();
        for _ in 0..STARTS {
            let sent = self.hand_in(&order).await?;
            match self.wait(&order, sent, deadline).await? {
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
                None => debug!(account = %self.address(), "nonce was used elsewhere, sending anew"),
            }
        }
        Err(ChainError::Refused {
            action: "sending a transaction",
            code: 0,
            message: "another program keeps using this account's nonces".to_owned(),
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

    /// Signs with the next nonce and hands in; the nonce is used up only if the node took it.
    async fn hand_in(&self, order: &Order) -> Result<Sent, ChainError> {
        let fees = self.link.fees().await?;
        let mut next = self.nonce.lock().await;
        for attempt in 1..=NONCES {
            let nonce = match *next {
                Some(nonce) => nonce,
                None => self.next_nonce().await?,
            };
            let (hash, raw) = self.sign(order, nonce, fees).await?;
            match self.link.send_raw(&raw).await {
                Ok(()) => {}
                Err(error) if is_known(&error) => {}
                Err(error) if is_stale(&error) => {
                    // It may be our own: taken and mined while the node's answer got lost.
                    if self.link.receipt(hash).await?.is_none() {
                        *next = None;
                        tokio::time::sleep(NONCE_PAUSE.saturating_mul(attempt)).await;
                        continue;
                    }
                }
                Err(error) => {
                    // Nobody knows whether it arrived: the next one asks the chain.
                    *next = None;
                    return Err(self.name(error));
                }
            }
            *next = Some(nonce.saturating_add(1));
            return Ok(Sent { nonce, fees, raw, hashes: vec![hash] });
        }
        Err(ChainError::Refused {
            action: "sending a transaction",
            code: 0,
            message: "the node refuses every nonce".to_owned(),
        })
    }

    /// Waits for the receipt in a block that stays. `None`: the nonce was used by another transaction in one.
    async fn wait(
        &self,
        order: &Order,
        mut sent: Sent,
        deadline: Instant,
    ) -> Result<Option<TransactionReceipt>, ChainError> {
        let began = Instant::now();
        let longest = if self.link.is_local() { LONGEST_LOOK.0 } else { LONGEST_LOOK.1 };
        let (mut handed_in, mut raised, mut look) = (began, began, FIRST_LOOK);
        let mut seen = false;
        loop {
            let was_seen = seen;
            // It is handed in, so while the chain is away there is nothing better than to wait.
            match self.look_deep(&sent, &mut seen).await {
                Ok(Some(receipt)) => return Ok(Some(receipt)),
                Err(error) if !error.is_temporary() || Instant::now() >= deadline => {
                    *self.nonce.lock().await = None;
                    return Err(error);
                }
                Ok(None) | Err(_) => {}
            }
            let now = Instant::now();
            if now >= deadline {
                *self.nonce.lock().await = None;
                return Err(self.not_done(&sent, seen, began.elapsed()));
            }
            // The block that was taken back may have taken it along.
            let lost = was_seen && !seen;
            if seen {
                raised = now;
            } else if lost || now.duration_since(handed_in) >= HAND_IN_AGAIN {
                let raise = now.duration_since(raised) >= RAISE;
                if raise {
                    raised = now;
                }
                match self.push(order, &mut sent, raise).await {
                    Ok(Pushed::Overtaken) => {
                        *self.nonce.lock().await = None;
                        return Ok(None);
                    }
                    Ok(Pushed::HandedIn) => {}
                    Err(error) => {
                        warn!(account = %self.address(), %error, "handing in again failed");
                    }
                }
                handed_in = Instant::now();
            }
            tokio::time::sleep(look).await;
            look = look.saturating_mul(2).min(longest);
        }
    }

    /// The receipt of whichever version got into a block.
    async fn look(&self, sent: &Sent) -> Result<Option<TransactionReceipt>, ChainError> {
        for hash in sent.hashes.iter().rev() {
            if let Some(receipt) = self.link.receipt(*hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Hands the transaction in again, with a higher fee if `raise`.
    async fn push(
        &self,
        order: &Order,
        sent: &mut Sent,
        raise: bool,
    ) -> Result<Pushed, ChainError> {
        if self.is_overtaken(sent).await? {
            return Ok(Pushed::Overtaken);
        }
        if raise {
            self.raise(order, sent).await?;
        }
        match self.link.send_raw(&sent.raw).await {
            Err(error) if !is_known(&error) && !is_stale(&error) => Err(error),
            Ok(()) | Err(_) => Ok(Pushed::HandedIn),
        }
    }

    /// Whether the nonce is used up for good although none of our versions is in a block.
    async fn is_overtaken(&self, sent: &Sent) -> Result<bool, ChainError> {
        // What has overtaken us in a block that is taken back may never happen, and ours then would.
        let used = self.link.nonce(self.address(), self.link.confirmed_block().await?).await?;
        if used <= sent.nonce {
            return Ok(false);
        }
        // Looked for once more: it may have got into a block between the two questions.
        Ok(self.look(sent).await?.is_none())
    }

    /// Signs again with at least 20 % more fee; nodes ask for 10 %.
    async fn raise(&self, order: &Order, sent: &mut Sent) -> Result<(), ChainError> {
        let market = self.link.fees().await?;
        let more = |fee: u128| fee.saturating_add(fee / 5).saturating_add(1);
        sent.fees = Fees {
            max: more(sent.fees.max).max(market.max),
            priority: more(sent.fees.priority).max(market.priority),
        };
        sent.fees.max = sent.fees.max.max(sent.fees.priority);
        let (hash, raw) = self.sign(order, sent.nonce, sent.fees).await?;
        sent.hashes.push(hash);
        sent.raw = raw;
        Ok(())
    }

    async fn sign(
        &self,
        order: &Order,
        nonce: u64,
        fees: Fees,
    ) -> Result<(B256, Vec<u8>), ChainError> {
        let mut transaction = TxEip1559 {
            chain_id: self.link.chain_id().await?,
            nonce,
            gas_limit: order.gas,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.priority,
            to: order.to,
            value: order.value,
            access_list: Default::default(),
            input: order.input.clone(),
        };
        let signature = self
            .signer
            .sign_transaction_sync(&mut transaction)
            .map_err(|error| ChainError::Signing(error.to_string()))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok((*envelope.tx_hash(), envelope.encoded_2718()))
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

/// The node has this very transaction already.
fn is_known(error: &ChainError) -> bool {
    says(error, &["already known", "already imported", "known transaction"])
}

/// The nonce is not the next one (any more).
fn is_stale(error: &ChainError) -> bool {
    says(error, &["nonce too low", "nonce too high", "replacement transaction underpriced"])
}

fn says(error: &ChainError, words: &[&str]) -> bool {
    let ChainError::Refused { message, .. } = error else { return false };
    let message = message.to_ascii_lowercase();
    words.iter().any(|word| message.contains(word))
}
