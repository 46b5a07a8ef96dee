use alloy::{
    consensus::Transaction as _,
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    primitives::{Address, B256, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use tilth_chain::{Config, Production};

use crate::fixture::{client, client_as, config, fortune, signer, start};

const ETHER: u128 = 1_000_000_000_000_000_000;

fn transfer(to: Address, value: u128) -> TransactionRequest {
    TransactionRequest::default().with_to(to).with_value(U256::from(value))
}

#[tokio::test]
async fn transfer_is_mined_at_once_and_everything_adds_up() {
    let chain = start(config()).await;
    let provider = client(&chain);
    assert_eq!(provider.get_chain_id().await.unwrap(), 7357);
    assert_eq!(provider.get_block_number().await.unwrap(), 0);
    let to = Address::repeat_byte(0x22);
    let receipt = provider
        .send_transaction(transfer(to, 3 * ETHER))
        .await
        .unwrap()
        .get_receipt()
        .await
        .unwrap();
    assert!(receipt.status());
    assert_eq!(receipt.gas_used, 21_000);
    assert_eq!(receipt.block_number, Some(1));
    assert_eq!(provider.get_balance(to).await.unwrap(), U256::from(3 * ETHER));
    let fee = U256::from(receipt.effective_gas_price) * U256::from(21_000);
    let left = provider.get_balance(signer(0).address()).await.unwrap();
    assert_eq!(left, fortune() - U256::from(3 * ETHER) - fee);
    let block = provider.get_block_by_number(1.into()).full().await.unwrap().unwrap();
    let base_fee = block.header.base_fee_per_gas.unwrap();
    let tip = U256::from(receipt.effective_gas_price - u128::from(base_fee)) * U256::from(21_000);
    assert_eq!(provider.get_balance(Address::repeat_byte(0xbe)).await.unwrap(), tip);
    // The hash of the header as the client computes it is the one the node gives.
    assert_eq!(block.header.inner.hash_slow(), block.header.hash);
    assert_eq!(block.header.hash, receipt.block_hash.unwrap());
    let root = alloy::consensus::proofs::calculate_transaction_root(
        &block.transactions.txns().map(|tx| tx.inner.inner().clone()).collect::<Vec<_>>(),
    );
    assert_eq!(root, block.header.transactions_root);
    let by_hash = provider.get_block_by_hash(block.header.hash).full().await.unwrap().unwrap();
    assert_eq!(by_hash, block);
    let tx = provider.get_transaction_by_hash(receipt.transaction_hash).await.unwrap().unwrap();
    assert_eq!(tx.to(), Some(to));
    assert_eq!(tx.block_number, Some(1));
    let receipts = provider.get_block_receipts(1.into()).await.unwrap().unwrap();
    assert_eq!(receipts, vec![receipt]);
    assert_eq!(provider.get_transaction_count(signer(0).address()).await.unwrap(), 1);
    chain.shutdown().await;
}

#[tokio::test]
async fn all_kinds_of_transactions_are_taken() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let to = Address::repeat_byte(0x33);
    let legacy = transfer(to, 1).with_gas_price(3_000_000_000);
    let access = transfer(to, 1).with_gas_price(3_000_000_000).access_list(Default::default());
    let dynamic =
        transfer(to, 1).with_max_fee_per_gas(3_000_000_000).with_max_priority_fee_per_gas(7);
    for (kind, request) in [(0, legacy), (1, access), (2, dynamic)] {
        let receipt =
            provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        assert!(receipt.status());
        assert_eq!(u8::from(receipt.transaction_type()), kind);
    }
    assert_eq!(provider.get_balance(to).await.unwrap(), U256::from(3));
}

#[tokio::test]
async fn delegation_makes_an_account_act_by_another_ones_code() {
    use alloy::{eips::eip7702::Authorization, signers::SignerSync};
    let chain = start(config()).await;
    let provider = client(&chain);
    let code = crate::fixture::deploying(&crate::fixture::register());
    let deployed = provider
        .send_transaction(TransactionRequest::default().with_deploy_code(code))
        .await
        .unwrap()
        .get_receipt()
        .await
        .unwrap();
    let target = deployed.contract_address.unwrap();
    let delegating = signer(1);
    let authorization = Authorization { chain_id: U256::from(7357), address: target, nonce: 0 };
    let signature = delegating.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let request = TransactionRequest::default()
        .with_to(delegating.address())
        .with_input(crate::fixture::words(&[5, 50]))
        .with_gas_limit(200_000);
    let mut request = request;
    request.authorization_list = Some(vec![authorization.into_signed(signature)]);
    let receipt = provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    let stored = provider.get_storage_at(delegating.address(), U256::from(5)).await.unwrap();
    assert_eq!(stored, U256::from(50));
    let code = provider.get_code_at(delegating.address()).await.unwrap();
    assert_eq!(code[..3], [0xef, 0x01, 0x00]);
    assert_eq!(code[3..], target.0.0);
    // A delegated account can still send.
    let sent = client_as(&chain, 1).send_transaction(transfer(target, 0)).await;
    assert!(sent.is_ok() || !sent.unwrap_err().to_string().contains("not an eoa"));
}

#[tokio::test]
async fn what_waits_together_is_mined_together() {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let provider = client(&chain);
    let address = signer(0).address();
    let mut hashes = Vec::new();
    for nonce in 0..50 {
        let request = transfer(Address::repeat_byte(0x44), 1).with_nonce(nonce);
        hashes.push(*provider.send_transaction(request).await.unwrap().tx_hash());
    }
    assert_eq!(chain.waiting(), 50);
    assert_eq!(provider.get_transaction_count(address).await.unwrap(), 0);
    assert_eq!(provider.get_transaction_count(address).pending().await.unwrap(), 50);
    let waiting = provider.get_transaction_by_hash(hashes[49]).await.unwrap().unwrap();
    assert_eq!(waiting.block_number, None);
    let header = chain.mine().await.unwrap();
    assert_eq!(header.number, 1);
    assert_eq!(header.gas_used, 50 * 21_000);
    assert_eq!(chain.waiting(), 0);
    let block = provider.get_block_by_number(BlockNumberOrTag::Latest).await.unwrap().unwrap();
    let mined: Vec<B256> = block.transactions.hashes().collect();
    assert_eq!(mined, hashes);
    // An empty block is made when asked for.
    assert_eq!(chain.mine().await.unwrap().number, 2);
}

#[tokio::test]
async fn a_gap_in_the_nonces_waits_until_it_is_filled() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let to = Address::repeat_byte(0x55);
    let late = provider.send_transaction(transfer(to, 1).with_nonce(1)).await.unwrap();
    assert_eq!(chain.waiting(), 1);
    let first = provider.send_transaction(transfer(to, 1).with_nonce(0)).await.unwrap();
    assert!(first.get_receipt().await.unwrap().status());
    assert!(late.get_receipt().await.unwrap().status());
    assert_eq!(provider.get_balance(to).await.unwrap(), U256::from(2));
}

#[tokio::test]
async fn a_replacement_needs_a_tenth_more() {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let provider = client(&chain);
    let with_fees = |value, fee: u128| {
        transfer(Address::repeat_byte(0x66), value)
            .with_nonce(0)
            .with_gas_limit(21_000)
            .with_max_fee_per_gas(fee)
            .with_max_priority_fee_per_gas(fee)
    };
    let _ = provider.send_transaction(with_fees(1, 10_000_000_000)).await.unwrap();
    let cheap = provider.send_transaction(with_fees(2, 10_900_000_000)).await.unwrap_err();
    assert!(cheap.to_string().contains("replacement transaction underpriced"), "{cheap}");
    let _ = provider.send_transaction(with_fees(3, 11_000_000_000)).await.unwrap();
    assert_eq!(chain.waiting(), 1);
    chain.mine().await.unwrap();
    let balance = provider.get_balance(Address::repeat_byte(0x66)).await.unwrap();
    assert_eq!(balance, U256::from(3));
}

#[tokio::test]
async fn refusals_are_worded_as_by_geth() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let to = Address::repeat_byte(0x77);
    let plain = |value: u128| {
        transfer(to, value)
            .with_gas_limit(21_000)
            .with_max_fee_per_gas(2_000_000_000)
            .with_max_priority_fee_per_gas(1)
    };
    let sent = provider.send_transaction(plain(1).with_nonce(0)).await.unwrap();
    sent.get_receipt().await.unwrap();
    let refused = [
        (plain(2).with_nonce(0), "nonce too low: next nonce 1, tx nonce 0"),
        (plain(u128::MAX).with_nonce(1), "insufficient funds for gas * price + value: balance"),
        (
            plain(1).with_nonce(1).with_gas_limit(20_999),
            "intrinsic gas too low: gas 20999, minimum needed 21000",
        ),
        (
            plain(1).with_nonce(1).with_gas_limit(16_777_217),
            "transaction gas limit too high (cap: 16777216, tx: 16777217)",
        ),
        (
            plain(1).with_nonce(1).with_max_priority_fee_per_gas(3_000_000_000),
            "max priority fee per gas higher than max fee per gas",
        ),
    ];
    for (request, message) in refused {
        let error = provider.send_transaction(request).await.unwrap_err();
        let payload = error.as_error_resp().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(payload.code, -32000);
        assert!(payload.message.starts_with(message), "{} is not {message}", payload.message);
    }
    assert_eq!(chain.waiting(), 0);
}

#[tokio::test]
async fn interval_production_makes_empty_blocks_too() {
    let every = std::time::Duration::from_millis(20);
    let chain = start(Config { production: Production::Interval(every), ..config() }).await;
    let reached = tokio::time::timeout(std::time::Duration::from_secs(20), chain.reached(3));
    reached.await.unwrap();
    let provider = client(&chain);
    let block = provider.get_block_by_number(2.into()).await.unwrap().unwrap();
    assert!(block.transactions.is_empty());
    let child = provider.get_block_by_number(3.into()).await.unwrap().unwrap();
    assert_eq!(child.header.parent_hash, block.header.hash);
    // Empty blocks lower the base fee by an eighth each.
    assert_eq!(child.header.base_fee_per_gas, Some(block.header.base_fee_per_gas.unwrap() * 7 / 8));
}
