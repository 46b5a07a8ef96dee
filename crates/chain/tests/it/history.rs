use alloy::{
    eips::BlockId, network::TransactionBuilder, primitives::Address, providers::Provider,
    rpc::types::TransactionRequest,
};
use tilth_chain::{Config, Limits, Production};

use crate::fixture::{client, config, deploying, register, signer, start, words};

#[tokio::test]
async fn earlier_states_can_be_read_as_far_back_as_configured() {
    let limits = Limits { history_blocks: 10, ..Limits::default() };
    let chain = start(Config { production: Production::Manual, limits, ..config() }).await;
    let provider = client(&chain);
    let deploy = TransactionRequest::default()
        .with_deploy_code(deploying(&register()))
        .with_gas_limit(500_000)
        .with_nonce(0);
    let _ = provider.send_transaction(deploy).await.unwrap();
    chain.mine().await.unwrap();
    let contract = signer(0).address().create(0);
    for number in 2..=30_u64 {
        let store = TransactionRequest::default()
            .with_to(contract)
            .with_input(words(&[1, number]))
            .with_gas_limit(100_000)
            .with_nonce(number - 1);
        let _ = provider.send_transaction(store).await.unwrap();
        assert_eq!(chain.mine().await.unwrap().number, number);
    }
    let read = |block: u64| {
        let request = TransactionRequest::default().with_to(contract).with_input(words(&[1]));
        provider.call(request).block(BlockId::number(block))
    };
    for block in 20..=30 {
        assert_eq!(read(block).await.unwrap(), words(&[block]), "block {block}");
        let nonce = provider.get_transaction_count(signer(0).address()).block_id(block.into());
        assert_eq!(nonce.await.unwrap(), block);
    }
    let pruned = read(10).await.unwrap_err();
    assert!(pruned.to_string().contains("historical state of block 10 is not available"));
    let unknown = read(31).await.unwrap_err();
    assert_eq!(unknown.as_error_resp().unwrap().message, "header not found");
    let untouched = provider.get_balance(Address::repeat_byte(0x42)).block_id(25.into());
    assert!(untouched.await.unwrap().is_zero());
}
