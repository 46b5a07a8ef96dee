//! Blocks, receipts and the rules of the chain, with their stored forms.

use alloy_consensus::{
    Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Sealed, TxEnvelope, TxType,
    transaction::Recovered,
};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use revm::primitives::hardfork::SpecId;

/// A signed transaction with its recovered sender.
pub type Transaction = Recovered<TxEnvelope>;

/// A header with its hash.
pub type SealedHeader = Sealed<Header>;

/// What is fixed for the whole life of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    /// EIP-155 chain id.
    pub chain_id: u64,
}

impl ChainSpec {
    /// The rules in force in a block. There is one fork until schedules exist; callers must ask
    /// per block all the same.
    pub fn fork(&self, _number: u64, _timestamp: u64) -> SpecId {
        SpecId::OSAKA
    }

    /// EIP-1559 parameters.
    pub fn base_fee_params(&self) -> BaseFeeParams {
        BaseFeeParams::ethereum()
    }

    /// Base fee of the child of `parent`, in wei per gas.
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        parent.next_block_base_fee(self.base_fee_params()).unwrap_or_default()
    }
}

/// A block as it is executed and stored.
#[derive(Clone, Debug)]
pub struct Block {
    /// Header and hash.
    pub header: SealedHeader,
    /// In order of execution.
    pub transactions: Vec<Transaction>,
}

/// What executing one transaction left behind.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ExecutedReceipt {
    kind: u8,
    success: bool,
    /// Gas of this transaction alone, after refunds.
    pub gas_used: u64,
    /// Gas of the block up to and including this transaction.
    pub cumulative_gas_used: u64,
    /// In order of emission; empty unless the transaction succeeded.
    pub logs: Vec<Log>,
}

impl ExecutedReceipt {
    /// Puts a receipt together.
    pub fn new(
        kind: TxType,
        success: bool,
        gas_used: u64,
        cumulative_gas_used: u64,
        logs: Vec<Log>,
    ) -> Self {
        Self { kind: kind.into(), success, gas_used, cumulative_gas_used, logs }
    }

    /// Whether the transaction took effect.
    pub fn success(&self) -> bool {
        self.success
    }

    /// Bloom filter over addresses and topics of the logs.
    pub fn bloom(&self) -> Bloom {
        alloy_primitives::logs_bloom(&self.logs)
    }

    /// The receipt as Ethereum hashes it.
    pub fn envelope(&self) -> ReceiptEnvelope {
        self.envelope_with(self.logs.clone())
    }

    /// The receipt's envelope with logs in another dress (the RPC's).
    pub fn envelope_with<T>(&self, logs: Vec<T>) -> ReceiptEnvelope<T> {
        let receipt = Receipt {
            status: self.success.into(),
            cumulative_gas_used: self.cumulative_gas_used,
            logs,
        };
        // Only kinds that were transactions before are ever stored.
        let kind = TxType::try_from(self.kind).unwrap_or(TxType::Legacy);
        ReceiptEnvelope::from_typed(kind, ReceiptWithBloom::new(receipt, self.bloom()))
    }
}

/// A block's transactions as stored: EIP-2718 bytes and senders, so that nothing is recovered twice.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredBody {
    transactions: Vec<Bytes>,
    senders: Vec<Address>,
}

pub(crate) fn encode_body(transactions: &[Transaction]) -> Vec<u8> {
    alloy_rlp::encode(StoredBody {
        transactions: transactions.iter().map(|tx| tx.inner().encoded_2718().into()).collect(),
        senders: transactions.iter().map(Recovered::signer).collect(),
    })
}

pub(crate) fn decode_body(bytes: &[u8]) -> Option<Vec<Transaction>> {
    let body: StoredBody = alloy_rlp::decode_exact(bytes).ok()?;
    if body.transactions.len() != body.senders.len() {
        return None;
    }
    let decode = |(bytes, sender): (Bytes, Address)| {
        let envelope = TxEnvelope::decode_2718_exact(&bytes).ok()?;
        Some(Recovered::new_unchecked(envelope, sender))
    };
    body.transactions.into_iter().zip(body.senders).map(decode).collect()
}

/// Where a transaction was mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionPlace {
    /// Block number.
    pub block: u64,
    /// Position in the block.
    pub index: u32,
}

/// Hash of a block number and a parent's hash: the randomness a solo producer puts into a block.
/// A producer can grind it by choosing transactions; nobody else can predict it.
pub(crate) fn chained_randomness(parent: &SealedHeader) -> B256 {
    let mut preimage = [0u8; 64];
    preimage[..32].copy_from_slice(parent.mix_hash.as_slice());
    preimage[32..].copy_from_slice(parent.hash().as_slice());
    alloy_primitives::keccak256(preimage)
}
