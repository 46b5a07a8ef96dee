//! The chain as far as nobody takes it back.
//!
//! A chain may replace its last blocks by others. What has [`Link::confirmations`] blocks on top is believed, and it is
//! taken for granted that it stays: against a chain that takes back more nothing here helps.

use alloy::eips::BlockNumberOrTag;

use super::Link;
use crate::ChainError;

impl Link {
    /// Blocks that something must have on top before it is believed, as the network's file says; 0 where nothing is
    /// ever taken back, and to whoever knows no network.
    pub fn confirmations(&self) -> u32 {
        self.inner.confirmations
    }

    /// The same link, of which [`Link::read`] sees the chain as it is in the last block that is believed: one and the
    /// same for all that is read. Everything else, the clock and the head among it, is of now.
    ///
    /// # Errors
    /// As every call.
    pub async fn confirmed(&self) -> Result<Self, ChainError> {
        let at = self.confirmed_block().await?;
        Ok(Self { at, ..self.clone() })
    }

    /// The last block that is believed.
    pub(crate) async fn confirmed_block(&self) -> Result<BlockNumberOrTag, ChainError> {
        let depth = u64::from(self.inner.confirmations);
        if depth == 0 {
            return Ok(BlockNumberOrTag::Latest);
        }
        Ok(BlockNumberOrTag::Number(self.block_number().await?.saturating_sub(depth)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use alloy::primitives::hex;
    use serde_json::{Value, json};
    use tilth_contracts::JobBook;
    use tilth_protocol::{JobId, RangeId};

    use super::*;
    use crate::{
        audit, mates,
        test_node::{Said, linked_deep},
    };

    /// The blocks of which contracts were asked, in the node's words.
    type Asked = Arc<Mutex<Vec<Value>>>;

    /// A node with 90 blocks whose contracts have nothing but zeros, and which says no more than that.
    async fn zeros(confirmations: u32) -> (Link, Asked) {
        let asked = Asked::default();
        let heard = Arc::clone(&asked);
        let says = move |question: Value| {
            let told: Said = match question["method"].as_str() {
                Some("eth_blockNumber") => Ok("0x5a".into()),
                Some("eth_call") => {
                    heard.lock().unwrap().push(question["params"][1].clone());
                    Ok(hex::encode_prefixed([0_u8; 4_096]).into())
                }
                _ => Err(json!({ "code": -32_601, "message": "not available" })),
            };
            std::future::ready(told)
        };
        (linked_deep(says, confirmations).await, asked)
    }

    #[tokio::test]
    async fn what_is_believed_lies_as_deep_as_the_network_says() {
        for (confirmations, of) in [(0, "latest"), (7, "0x53"), (64, "0x1a"), (200, "0x0")] {
            let (link, asked) = zeros(confirmations).await;
            let book = link.addresses().job_book;
            link.read(book, JobBook::jobCountCall {}).await.unwrap();
            let confirmed = link.confirmed().await.unwrap();
            confirmed.read(book, JobBook::jobCountCall {}).await.unwrap();
            // More patience does not make it look elsewhere.
            let patient = confirmed.with_patience(super::super::PATIENCE);
            patient.read(book, JobBook::jobCountCall {}).await.unwrap();
            assert_eq!(*asked.lock().unwrap(), ["latest", of, of]);
        }
    }

    /// An answer and its salt, leaves and roots are shown on the strength of these.
    #[tokio::test]
    async fn cases_and_replicas_are_seen_only_as_far_as_they_stay() {
        let range = RangeId { job: JobId(1), seq: 0 };
        for (confirmations, of) in [(0, "latest"), (7, "0x53")] {
            let (link, asked) = zeros(confirmations).await;
            // It does not say what time it is, and that is asked last.
            audit::look(&link, range, Some((0, 0))).await.unwrap_err();
            assert_eq!(*asked.lock().unwrap(), [of; 5]);
            asked.lock().unwrap().clear();
            mates::look(&link, range).await.unwrap_err();
            assert_eq!(*asked.lock().unwrap(), [of; 4]);
        }
    }
}
