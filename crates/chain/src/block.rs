//! Blocks and receipts with their stored forms.

mod scan;

use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Sealed, TxEnvelope, TxType,
    transaction::Recovered,
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};

pub use crate::spec::ChainSpec;

pub(crate) use scan::receipts_with;

/// A signed transaction with its recovered sender.
pub type Transaction = Recovered<TxEnvelope>;

/// A header with its hash.
pub type SealedHeader = Sealed<Header>;

/// A block as it is executed and stored.
#[derive(Clone, Debug)]
pub struct Block {
    /// Header and hash.
    pub header: SealedHeader,
    /// In order of execution.
    pub transactions: Vec<Transaction>,
    /// Headers of ommers (uncles); only in proof of work blocks.
    pub ommers: Vec<Header>,
    /// Coins that come out of staking (EIP-4895); `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
}

impl Block {
    /// A block of transactions alone.
    pub fn new(header: SealedHeader, transactions: Vec<Transaction>) -> Self {
        Self { header, transactions, ommers: Vec::new(), withdrawals: None }
    }
}

/// What executing one transaction left behind.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
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
    /// The state root after this transaction: before Byzantium in place of the status.
    pub state_root: Option<B256>,
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
        Self {
            kind: kind.into(),
            success,
            gas_used,
            cumulative_gas_used,
            first_log,
            logs,
            state_root: None,
        }
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
            status: match self.state_root {
                Some(root) => Eip658Value::PostState(root),
                None => self.success.into(),
            },
            cumulative_gas_used: self.cumulative_gas_used,
            logs,
        };
        // Only kinds that were transactions before are ever stored.
        let kind = TxType::try_from(self.kind).unwrap_or(TxType::Legacy);
        ReceiptEnvelope::from_typed(kind, ReceiptWithBloom::new(receipt, self.bloom()))
    }
}

/// A block's content as stored: EIP-2718 bytes and senders, so that nothing is recovered twice.
#[derive(RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
struct StoredBody {
    transactions: Vec<Bytes>,
    senders: Vec<Address>,
    ommers: Option<Vec<Header>>,
    withdrawals: Option<Withdrawals>,
}

/// What a block carries besides its header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// In order of execution.
    pub transactions: Vec<Transaction>,
    /// Headers of ommers.
    pub ommers: Vec<Header>,
    /// `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
}

pub(crate) fn encode_body(block: &Block) -> Vec<u8> {
    let transactions = &block.transactions;
    let more = !block.ommers.is_empty() || block.withdrawals.is_some();
    alloy_rlp::encode(StoredBody {
        transactions: transactions.iter().map(|tx| tx.inner().encoded_2718().into()).collect(),
        senders: transactions.iter().map(Recovered::signer).collect(),
        ommers: more.then(|| block.ommers.clone()),
        withdrawals: block.withdrawals.clone(),
    })
}

pub(crate) fn decode_body(bytes: &[u8]) -> Option<Body> {
    let body: StoredBody = alloy_rlp::decode_exact(bytes).ok()?;
    if body.transactions.len() != body.senders.len() {
        return None;
    }
    let decode = |(bytes, sender): (Bytes, Address)| {
        let envelope = TxEnvelope::decode_2718_exact(&bytes).ok()?;
        Some(Recovered::new_unchecked(envelope, sender))
    };
    let transactions =
        body.transactions.into_iter().zip(body.senders).map(decode).collect::<Option<_>>()?;
    let (ommers, withdrawals) = (body.ommers.unwrap_or_default(), body.withdrawals);
    Some(Body { transactions, ommers, withdrawals })
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

/// The randomness that a pending block shows: chained from the parent, so everybody knows it, and no block ever has it.
pub(crate) fn chained_randomness(parent: &SealedHeader) -> B256 {
    of_pair(&parent.mix_hash, parent)
}

/// The randomness that a solo producer puts into a block: whoever does not have its secret knows neither this nor the
/// block's hash before the block is there. The producer itself can grind both by choosing transactions.
pub(crate) fn secret_randomness(secret: &B256, parent: &SealedHeader) -> B256 {
    of_pair(secret, parent)
}

fn of_pair(first: &B256, parent: &SealedHeader) -> B256 {
    let mut preimage = [0u8; 64];
    preimage[..32].copy_from_slice(first.as_slice());
    preimage[32..].copy_from_slice(parent.hash().as_slice());
    alloy_primitives::keccak256(preimage)
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Sealable, Signed, TxLegacy};
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
        let header = Header::default().seal_slow();
        let block = Block::new(header, transactions.clone());
        let body = encode_body(&block);
        assert_eq!(decode_body(&body).unwrap().transactions, transactions);
        let ommers = vec![Header { number: 9, ..Header::default() }];
        for (ommers, withdrawals) in [
            (ommers, None),
            (Vec::new(), Some(Withdrawals::default())),
            (Vec::new(), Some(Withdrawals::new(vec![Default::default()]))),
        ] {
            let block = Block { ommers, withdrawals, ..block.clone() };
            let stored = encode_body(&block);
            let body = decode_body(&stored).unwrap();
            assert_eq!((body.ommers, body.withdrawals), (block.ommers, block.withdrawals));
            assert_eq!(decode_body_at(&stored, 3).as_ref(), Some(&transactions[3]));
        }
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
