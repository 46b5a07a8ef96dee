//! Finding blocks and states, and the chain's records in the dress of the RPC.

use std::sync::Arc;

use alloy_consensus::{Header, Sealable, Transaction as _};
use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718};
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{
    Block as RpcBlock, BlockTransactions, Header as RpcHeader, Log as RpcLog,
    Transaction as RpcTransaction, TransactionReceipt,
};
use revm::bytecode::Bytecode;
use serde::Serialize;

use super::{Rpc, error::RpcError};
use crate::{
    block::{Block, ChainSpec, ExecutedReceipt, SealedHeader, Transaction},
    node::{Head, NodeError, PendingBlock, chain_of_causes},
    state::{AccountState, StateError, StateReader},
    store::{HistoricState, Snapshot},
};

/// The state after one block, whether the last or an earlier one.
pub(super) enum StateView<'a> {
    Latest(&'a Snapshot),
    Historic(HistoricState<'a>),
    Pending(Arc<PendingBlock>),
}

impl Rpc {
    pub(super) fn head(&self) -> Arc<Head> {
        self.node.head()
    }

    /// The pending block. Waits for a turn to execute it; not to be called with a turn.
    pub(super) fn pending(&self) -> Result<Arc<PendingBlock>, RpcError> {
        self.node.pending(&self.turns).map_err(|error| match error {
            NodeError::State(error) => error.into(),
            NodeError::Execution(error) => error.into(),
            other => RpcError::internal(chain_of_causes(&other)),
        })
    }

    /// The block a state query names, and its state: also that of the pending block.
    pub(super) fn view<'a>(
        &self,
        head: &'a Head,
        block: Option<BlockId>,
    ) -> Result<(SealedHeader, StateView<'a>), RpcError> {
        if block == Some(BlockId::Number(BlockNumberOrTag::Pending)) {
            let pending = self.pending()?;
            return Ok((pending.executed.block.header.clone(), StateView::Pending(pending)));
        }
        head.state_of(block)
    }
}

impl Head {
    /// The number a tag or number means, if that block exists.
    pub(super) fn resolve(&self, block: BlockNumberOrTag) -> Option<u64> {
        match block {
            // Blocks of a solo chain are final when they are made; pending shows the last one.
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Pending
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized => Some(self.header.number),
            BlockNumberOrTag::Earliest => Some(0),
            BlockNumberOrTag::Number(number) => (number <= self.header.number).then_some(number),
        }
    }

    /// The number of a block given in any way.
    pub(super) fn number_of(&self, block: Option<BlockId>) -> Result<Option<u64>, StateError> {
        match block.unwrap_or_default() {
            BlockId::Number(number) => Ok(self.resolve(number)),
            BlockId::Hash(hash) => self.snapshot.number_of(&hash.block_hash),
        }
    }

    /// The number of a block that must be there.
    pub(super) fn existing(&self, block: Option<BlockId>) -> Result<u64, RpcError> {
        self.number_of(block)?.ok_or_else(|| match block {
            Some(BlockId::Hash(_)) => RpcError::server("header for hash not found"),
            Some(BlockId::Number(_)) | None => RpcError::header_not_found(),
        })
    }

    /// The header of a block. One that was dropped is an error.
    pub(super) fn header_of(&self, number: u64) -> Result<Option<SealedHeader>, StateError> {
        if number == self.header.number {
            return Ok(Some(self.header.clone()));
        }
        self.snapshot.kept_header(number)
    }

    /// A block, whole. One that was dropped is an error.
    pub(super) fn block_of(&self, number: u64) -> Result<Option<Block>, StateError> {
        self.header_of(number)?.map(|header| self.with_body(header)).transpose()
    }

    /// The block a state query names, and its state.
    pub(super) fn state_of(
        &self,
        block: Option<BlockId>,
    ) -> Result<(SealedHeader, StateView<'_>), RpcError> {
        let number = self.existing(block)?;
        let header = self.header_of(number)?.ok_or_else(RpcError::header_not_found)?;
        let view = if number == self.header.number {
            StateView::Latest(&self.snapshot)
        } else {
            StateView::Historic(self.snapshot.state_at(number)?)
        };
        Ok((header, view))
    }
}

impl StateReader for StateView<'_> {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        match self {
            Self::Latest(state) => state.account(address),
            Self::Historic(state) => state.account(address),
            Self::Pending(block) => block.state.account(address),
        }
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        match self {
            Self::Latest(state) => state.storage(address, slot),
            Self::Historic(state) => state.storage(address, slot),
            Self::Pending(block) => block.state.storage(address, slot),
        }
    }
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        match self {
            Self::Latest(state) => state.code(hash),
            Self::Historic(state) => state.code(hash),
            Self::Pending(block) => block.state.code(hash),
        }
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        match self {
            Self::Latest(state) => state.block_hash(number),
            Self::Historic(state) => state.block_hash(number),
            Self::Pending(block) => block.state.block_hash(number),
        }
    }
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        match self {
            Self::Latest(state) => state.storage_entries(address),
            Self::Historic(state) => state.storage_entries(address),
            Self::Pending(block) => block.state.storage_entries(address),
        }
    }
}

/// A mined transaction.
pub(super) fn mined(
    header: &SealedHeader,
    index: usize,
    transaction: Transaction,
) -> RpcTransaction {
    let effective = transaction.effective_gas_price(header.base_fee_per_gas);
    RpcTransaction {
        inner: transaction,
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(effective),
        block_timestamp: Some(header.timestamp),
    }
}

/// A transaction that waits in the pool. Everything about its block is null.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Waiting {
    #[serde(flatten)]
    transaction: RpcTransaction,
    #[serde(rename = "blockTimestamp")]
    block_timestamp: (),
}

/// As [`Waiting`]. Its price is the highest it may pay, as in geth.
pub(super) fn waiting(transaction: Transaction) -> Waiting {
    let price = transaction.max_fee_per_gas();
    let transaction = RpcTransaction {
        inner: transaction,
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(price),
        block_timestamp: None,
    };
    Waiting { transaction, block_timestamp: () }
}

/// A header with its hash.
pub(super) fn header(header: &SealedHeader) -> RpcHeader {
    RpcHeader {
        hash: header.hash(),
        inner: header.inner().clone(),
        total_difficulty: None,
        size: None,
    }
}

/// Bytes of a whole block in RLP.
fn size(block: &Block) -> usize {
    let list =
        |payload_length| alloy_rlp::Header { list: true, payload_length }.length_with_payload();
    let transactions: usize = block.transactions.iter().map(|tx| tx.inner().network_len()).sum();
    let ommers: usize = block.ommers.iter().map(Encodable::length).sum();
    let withdrawals = block.withdrawals.as_ref().map_or(0, Encodable::length);
    list(block.header.inner().length() + list(transactions) + list(ommers) + withdrawals)
}

/// A whole block.
pub(super) fn block(block: Block, full: bool) -> RpcBlock {
    let size = U256::from(size(&block));
    let header = RpcHeader { size: Some(size), ..header(&block.header) };
    let transactions = if full {
        let of_block = |(index, tx)| mined(&block.header, index, tx);
        BlockTransactions::Full(block.transactions.into_iter().enumerate().map(of_block).collect())
    } else {
        let hashes = block.transactions.iter().map(|tx| *tx.inner().tx_hash());
        BlockTransactions::Hashes(hashes.collect())
    };
    RpcBlock {
        header,
        uncles: block.ommers.iter().map(Header::hash_slow).collect(),
        transactions,
        withdrawals: block.withdrawals,
    }
}

/// An uncle: a block of which there is only the header.
pub(super) fn uncle(uncle: Header) -> RpcBlock {
    let block = Block { withdrawals: None, ..Block::new(uncle.seal_slow(), Vec::new()) };
    RpcBlock {
        header: RpcHeader { size: Some(U256::from(size(&block))), ..header(&block.header) },
        uncles: Vec::new(),
        transactions: BlockTransactions::Uncle,
        withdrawals: None,
    }
}

/// The logs of one transaction.
pub(super) fn logs(
    header: &SealedHeader,
    index: usize,
    hash: B256,
    receipt: &ExecutedReceipt,
) -> Vec<RpcLog> {
    let first = receipt.first_log;
    let log = |(position, log): (usize, &alloy_primitives::Log)| RpcLog {
        inner: log.clone(),
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        block_timestamp: Some(header.timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(index as u64),
        log_index: Some(first + position as u64),
        removed: false,
    };
    receipt.logs.iter().enumerate().map(log).collect()
}

/// One receipt.
pub(super) fn receipt(
    spec: &ChainSpec,
    header: &SealedHeader,
    index: usize,
    transaction: &Transaction,
    receipt: &ExecutedReceipt,
) -> TransactionReceipt {
    let hash = *transaction.inner().tx_hash();
    let created = transaction.is_create().then(|| transaction.signer().create(transaction.nonce()));
    TransactionReceipt {
        inner: receipt.envelope_with(logs(header, index, hash, receipt)),
        transaction_hash: hash,
        transaction_index: Some(index as u64),
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        gas_used: receipt.gas_used,
        effective_gas_price: transaction.effective_gas_price(header.base_fee_per_gas),
        blob_gas_used: transaction.blob_gas_used(),
        blob_gas_price: transaction.blob_gas_used().and_then(|_| spec.blob_fee_of(header)),
        from: transaction.signer(),
        to: transaction.to(),
        contract_address: created,
    }
}
