//! Blocks, receipts and the rules of the chain, with their stored forms.

mod scan;

use alloy_consensus::{
    Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Sealed, TxEnvelope, TxType,
    transaction::Recovered,
};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use revm::primitives::hardfork::SpecId;

pub(crate) use scan::receipts_with;

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
    /// Logs of the block before this transaction's first one.
    pub first_log: u64,
    /// In order of emission; empty unless the transaction succeeded.
    pub logs: Vec<Log>,
}

impl ExecutedReceipt {
    /// The receipt of a transaction that follows the one of `previous` in its block.
    pub fn after(
        previous: Option<&Self>,
        kind: TxType,
        success: bool,
        gas_used: u64,
        logs: Vec<Log>,
    ) -> Self {
        let (gas_before, first_log) = previous.map_or((0, 0), |previous| {
            (previous.cumulative_gas_used, previous.first_log + previous.logs.len() as u64)
        });
        let cumulative_gas_used = gas_before + gas_used;
        Self { kind: kind.into(), success, gas_used, cumulative_gas_used, first_log, logs }
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

/// One transaction of a stored body, without decoding the others.
pub(crate) fn decode_body_at(bytes: &[u8], index: usize) -> Option<Transaction> {
    let mut fields = list_payload(bytes)?;
    let transaction = Bytes::decode(&mut nth_item(list_payload(fields)?, index)?).ok()?;
    skip_item(&mut fields)?;
    let sender = Address::decode(&mut nth_item(list_payload(fields)?, index)?).ok()?;
    let envelope = TxEnvelope::decode_2718_exact(&transaction).ok()?;
    Some(Recovered::new_unchecked(envelope, sender))
}

/// One receipt of a stored list, without decoding the others.
pub(crate) fn decode_receipt_at(bytes: &[u8], index: usize) -> Option<ExecutedReceipt> {
    ExecutedReceipt::decode(&mut nth_item(list_payload(bytes)?, index)?).ok()
}

/// The content of an RLP list that `bytes` begins with.
fn list_payload(mut bytes: &[u8]) -> Option<&[u8]> {
    alloy_rlp::Header::decode_bytes(&mut bytes, true).ok()
}

fn nth_item(mut items: &[u8], index: usize) -> Option<&[u8]> {
    for _ in 0..index {
        skip_item(&mut items)?;
    }
    (!items.is_empty()).then_some(items)
}

fn skip_item(items: &mut &[u8]) -> Option<()> {
    let mut rest = *items;
    let header = alloy_rlp::Header::decode(&mut rest).ok()?;
    *items = rest.get(header.payload_length..)?;
    Some(())
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

#[cfg(test)]
mod tests {
    use alloy_consensus::{Signed, TxLegacy};
    use alloy_primitives::{Signature, U256};

    use super::*;

    #[test]
    fn single_records_decode_as_the_whole_does() {
        let transactions: Vec<Transaction> = (0..20_u8)
            .map(|number| {
                let input = vec![7; usize::from(number) * 11].into();
                let tx = TxLegacy { nonce: number.into(), input, ..TxLegacy::default() };
                let signature = Signature::new(U256::ONE, U256::ONE, false);
                let envelope = TxEnvelope::Legacy(Signed::new_unhashed(tx, signature));
                Recovered::new_unchecked(envelope, Address::repeat_byte(number))
            })
            .collect();
        let body = encode_body(&transactions);
        assert_eq!(decode_body(&body).unwrap(), transactions);
        let mut receipts: Vec<ExecutedReceipt> = Vec::new();
        for logs in 0..20 {
            let logs = vec![Log::default(); logs % 3];
            receipts.push(ExecutedReceipt::after(receipts.last(), TxType::Eip1559, true, 9, logs));
        }
        let stored = alloy_rlp::encode(&receipts);
        for (index, (transaction, receipt)) in transactions.iter().zip(&receipts).enumerate() {
            assert_eq!(decode_body_at(&body, index).as_ref(), Some(transaction));
            assert_eq!(decode_receipt_at(&stored, index).as_ref(), Some(receipt));
        }
        assert_eq!(receipts[19].first_log, 18);
        assert_eq!(receipts[19].cumulative_gas_used, 180);
        assert_eq!(decode_body_at(&body, 20), None);
        assert_eq!(decode_receipt_at(&stored, 20), None);
    }
}
