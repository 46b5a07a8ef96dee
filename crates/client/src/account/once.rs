//! Transactions that happen at most once, also when the program that sends them is killed.
//!
//! A transaction is signed first and kept on disk by the caller; then it is handed in, as often as it
//! takes. Its nonce is in the signature, so however often that is, the chain takes it once.

use std::time::Instant;

use alloy::{
    primitives::{Address, B256, Bytes, TxKind, U256},
    rpc::types::TransactionReceipt,
    sol_types::SolCall,
};
use serde::{Deserialize, Serialize};
use tilth_service::Doing;

use super::{Account, Order, is_known, is_stale, overtaken, sent::Sent};
use crate::{ChainError, link::Fees};

/// A signed call of a contract function that may not have been handed in yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signed {
    to: Address,
    input: Bytes,
    gas: u64,
    nonce: u64,
    max_fee: u128,
    priority_fee: u128,
    hash: B256,
    raw: Bytes,
}

impl Account {
    /// Simulates and signs a call, but does not hand it in.
    ///
    /// # Errors
    /// As [`Account::send`] for a contract that refuses; those of [`Link`](crate::Link).
    pub async fn sign_call<C: SolCall>(&self, to: Address, call: C) -> Result<Signed, ChainError> {
        let input = Bytes::from(call.abi_encode());
        let order = self.order(TxKind::Call(to), input.clone(), U256::ZERO).await?;
        let fees = self.link.fees().await?;
        // Never a nonce that this process has given out already, or waits for: a node may not count it.
        let next = self.nonce.lock().await;
        let nonce = match *next {
            Some(nonce) => nonce,
            None => self.flying.free_from(self.next_nonce().await?),
        };
        drop(next);
        let (hash, raw) = self.sign(&order, nonce, fees).await?;
        let (max_fee, priority_fee) = (fees.max, fees.priority);
        let raw = Bytes::from(raw);
        Ok(Signed { to, input, gas: order.gas, nonce, max_fee, priority_fee, hash, raw })
    }

    /// Hands a signed call in, perhaps not for the first time, and waits until it is in a block that stays.
    /// `None`: its nonce is used by another transaction (or by this one with a higher fee, which only the
    /// process that raised it can tell), so this one can never happen any more.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when it is in a block and failed; as [`Account::send`] otherwise. It may
    /// still happen then, and can be handed in again.
    pub fn hand_in_signed<'a>(
        &'a self,
        signed: &'a Signed,
    ) -> Doing<'a, Result<Option<TransactionReceipt>, ChainError>> {
        Box::pin(async move {
            let to = TxKind::Call(signed.to);
            let order =
                Order { to, input: signed.input.clone(), value: U256::ZERO, gas: signed.gas };
            match self.link.send_raw(&signed.raw).await {
                Ok(()) => {}
                // In a block, in the pool, or overtaken: waiting tells which.
                Err(error) if is_known(&error) || is_stale(&error) => {}
                Err(error) => return Err(self.name(error)),
            }
            // Other transactions of this process ask the chain for what comes after it.
            *self.nonce.lock().await = None;
            let sent = Sent {
                nonce: signed.nonce,
                fees: Fees { max: signed.max_fee, priority: signed.priority_fee },
                raw: signed.raw.to_vec(),
                hashes: vec![signed.hash],
                _flying: self.flying.begin(signed.nonce),
            };
            match self.wait(&order, sent, Instant::now() + self.patience()).await? {
                Some(receipt) if receipt.status() => Ok(Some(receipt)),
                Some(receipt) => {
                    Err(self.refusal(&order, &receipt).await.unwrap_or_else(|| overtaken(&receipt)))
                }
                None => Ok(None),
            }
        })
    }
}

#[cfg(test)]
#[path = "once_tests.rs"]
mod tests;
