//! A transaction that is handed in: its nonce and its fees, waiting for its block, handing in again.

use std::time::{Duration, Instant};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::Encodable2718,
    network::TxSignerSync,
    primitives::B256,
    rpc::types::TransactionReceipt,
};
use tracing::warn;

use super::{
    Account, Order,
    offer::{Offer, pause_after},
    stuck::InFlight,
};
use crate::{ChainError, link::Fees};

/// First pause between two looks for a receipt; doubles up to [`LONGEST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// Longest pause between two looks, at a node on this machine and elsewhere.
const LONGEST_LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How many nonces are tried when another program with the same key keeps being faster.
const NONCES: u32 = 32;
/// A fee is raised up to so many times what the next blocks ask for.
const ENOUGH: u128 = 10;

/// After how long in no block something is done about a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// It is handed in again unchanged.
    pub(super) again: Duration,
    /// Its fee is raised; the second time it is also seen to that nothing is in its way.
    pub(super) raise: Duration,
}

impl Default for Pace {
    /// Two blocks of Ethereum for the fee, and a look into most pools for a node that has forgotten it.
    fn default() -> Self {
        Self { again: Duration::from_secs(3), raise: Duration::from_secs(24) }
    }
}

/// A transaction that was handed in.
pub(super) struct Sent {
    pub(super) nonce: u64,
    pub(super) fees: Fees,
    pub(super) raw: Vec<u8>,
    /// Hashes of all versions, the latest last.
    pub(super) hashes: Vec<B256>,
    /// Counts it among what is waited for.
    pub(super) _flying: InFlight,
}

/// What handing in again came to.
enum Pushed {
    HandedIn,
    /// The nonce was used by a transaction that is not ours.
    Overtaken,
}

impl Account {
    /// Signs with the next nonce and hands in; the nonce is used up only if the node took it.
    pub(super) async fn hand_in(&self, order: &Order) -> Result<Sent, ChainError> {
        let mut offer = Offer::new(self.link.fees().await?);
        let mut next = self.nonce.lock().await;
        // All that was signed: what the node has refused may have reached another one behind the same address.
        let mut signed: Vec<(u64, B256)> = Vec::new();
        for attempt in 1..=NONCES {
            let nonce = match *next {
                Some(nonce) => nonce,
                None => self.flying.free_from(self.next_nonce().await?),
            };
            let fees = offer.under(nonce);
            let flying = self.flying.begin(nonce);
            let (hash, raw) = self.sign(order, nonce, fees).await?;
            if !signed.contains(&(nonce, hash)) {
                signed.push((nonce, hash));
            }
            match self.link.send_raw(&raw).await {
                Ok(()) => {}
                Err(error) if is_known(&error) => {}
                Err(error) if is_stale(&error) => {
                    // It may be our own: taken and mined while the node's answer got lost.
                    if self.first_receipt(under(nonce, &signed)).await?.is_none() {
                        *next = None;
                        let in_a_row = offer.refuse(nonce, is_outbid(&error));
                        let pause = pause_after(attempt, in_a_row, self.link.is_local());
                        tokio::time::sleep(pause).await;
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
            let hashes = under(nonce, &signed).collect();
            return Ok(Sent { nonce, fees, raw, hashes, _flying: flying });
        }
        Err(ChainError::Refused {
            action: "sending a transaction",
            code: 0,
            message: "the node refuses every nonce".to_owned(),
        })
    }

    /// Waits for the receipt in a block that stays. `None`: the nonce was used by another transaction in one.
    pub(super) async fn wait(
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
            } else if lost || now.duration_since(handed_in) >= self.pace.again {
                let raise = now.duration_since(raised) >= self.pace.raise;
                if raise {
                    raised = now;
                    if now.duration_since(began) >= self.pace.raise.saturating_mul(2) {
                        self.clear_the_way(sent.nonce).await;
                    }
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
    pub(super) async fn look(&self, sent: &Sent) -> Result<Option<TransactionReceipt>, ChainError> {
        self.first_receipt(sent.hashes.iter().rev().copied()).await
    }

    async fn first_receipt(
        &self,
        hashes: impl Iterator<Item = B256> + Send,
    ) -> Result<Option<TransactionReceipt>, ChainError> {
        for hash in hashes {
            if let Some(receipt) = self.link.receipt(hash).await? {
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

    /// Signs again with at least 20 % more fee; nodes ask for 10 %. What pays [`ENOUGH`] times what the next blocks ask for
    /// does not wait for its fee.
    async fn raise(&self, order: &Order, sent: &mut Sent) -> Result<(), ChainError> {
        let market = self.link.fees().await?;
        if sent.fees.max >= market.max.saturating_mul(ENOUGH) {
            return Ok(());
        }
        sent.fees = sent.fees.raised().at_least(market);
        let (hash, raw) = self.sign(order, sent.nonce, sent.fees).await?;
        sent.hashes.push(hash);
        sent.raw = raw;
        Ok(())
    }

    pub(super) async fn sign(
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
}

/// Hashes of what was signed with a nonce.
fn under(nonce: u64, signed: &[(u64, B256)]) -> impl Iterator<Item = B256> + Send {
    signed.iter().filter(move |(of, _)| *of == nonce).map(|(_, hash)| *hash)
}

/// The node has this very transaction already.
pub(super) fn is_known(error: &ChainError) -> bool {
    says(error, &["already known", "already imported", "known transaction"])
}

/// The nonce is not the next one (any more).
pub(super) fn is_stale(error: &ChainError) -> bool {
    is_outbid(error) || says(error, &["nonce too low", "nonce too high"])
}

/// The node has another one under that nonce, and this one does not offer enough more.
pub(super) fn is_outbid(error: &ChainError) -> bool {
    says(error, &["replacement transaction underpriced"])
}

fn says(error: &ChainError, words: &[&str]) -> bool {
    let ChainError::Refused { message, .. } = error else { return false };
    let message = message.to_ascii_lowercase();
    words.iter().any(|word| message.contains(word))
}
