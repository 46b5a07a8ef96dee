//! Whether a stored block is what its header says.

use alloy_consensus::{Transaction as _, proofs, transaction::SignerRecoverable};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Bloom;

use crate::block::{Block, Body, ExecutedReceipt, SealedHeader, decode_body};

/// Checks transactions and receipts, as they are stored, against a header, recovering every sender.
///
/// # Errors
/// What is wrong.
pub fn verify_block(
    header: SealedHeader,
    body: &[u8],
    receipts: &[u8],
) -> Result<(Block, Vec<ExecutedReceipt>), &'static str> {
    let Body { transactions, ommers, withdrawals } =
        decode_body(body).ok_or("the transactions do not decode")?;
    let root = proofs::ordered_trie_root_with_encoder(&transactions, |tx, out| {
        tx.inner().encode_2718(out);
    });
    if root != header.transactions_root {
        return Err("the transactions do not have the root in the header");
    }
    if proofs::calculate_ommers_root(&ommers) != header.ommers_hash {
        return Err("the ommers do not have the hash in the header");
    }
    let withdrawals_root = withdrawals.as_ref().map(|all| proofs::calculate_withdrawals_root(all));
    if withdrawals_root != header.withdrawals_root {
        return Err("the withdrawals do not have the root in the header");
    }
    for transaction in &transactions {
        // Before Homestead both forms of a signature were valid; the root says which was used.
        if transaction.inner().recover_signer_unchecked().ok() != Some(transaction.signer()) {
            return Err("a transaction's stored sender did not sign it");
        }
    }
    let receipts: Vec<ExecutedReceipt> =
        alloy_rlp::decode_exact(receipts).map_err(|_| "the receipts do not decode")?;
    if receipts.len() != transactions.len() {
        return Err("there are not as many receipts as transactions");
    }
    let envelopes: Vec<_> = receipts.iter().map(ExecutedReceipt::envelope).collect();
    if proofs::calculate_receipt_root(&envelopes) != header.receipts_root {
        return Err("the receipts do not have the root in the header");
    }
    let bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom());
    if bloom != header.logs_bloom {
        return Err("the logs do not have the bloom in the header");
    }
    // What the roots do not cover follows from what they do.
    let (mut gas, mut logs) = (0_u64, 0_u64);
    for (transaction, receipt) in transactions.iter().zip(&receipts) {
        let is_consistent = receipt.cumulative_gas_used.checked_sub(gas) == Some(receipt.gas_used)
            && receipt.first_log == logs
            && receipt.gas_used <= transaction.gas_limit();
        if !is_consistent {
            return Err("a receipt's gas or log position does not follow from those before");
        }
        gas = receipt.cumulative_gas_used;
        logs += receipt.logs.len() as u64;
    }
    if gas != header.gas_used {
        return Err("the receipts do not have the gas in the header");
    }
    Ok((Block { header, transactions, ommers, withdrawals }, receipts))
}
