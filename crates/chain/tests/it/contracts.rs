use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, address, keccak256},
    providers::Provider,
    rpc::types::{Filter, TransactionRequest},
};
use alloy_trie_check::verify;
use tilth_chain::{Chain, Config, Genesis, Predeploy};

use crate::fixture::{client, config, deploying, genesis, register, reverter, start, words};

/// Checks proofs with alloy-trie, which shares no code with our trie's walk.
mod alloy_trie_check {
    use alloy::{
        primitives::{B256, Bytes, U256, keccak256},
        rpc::types::EIP1186AccountProofResponse,
    };
    use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, proof::verify_proof};

    pub fn verify(root: B256, proof: &EIP1186AccountProofResponse) {
        let account = TrieAccount {
            nonce: proof.nonce,
            balance: proof.balance,
            storage_root: proof.storage_hash,
            code_hash: proof.code_hash,
        };
        let empty = TrieAccount::default();
        let expected = (account != empty).then(|| alloy_rlp::encode(account));
        check(root, keccak256(proof.address), expected, &proof.account_proof);
        for slot in &proof.storage_proof {
            let expected = (slot.value != U256::ZERO).then(|| alloy_rlp::encode(slot.value));
            check(proof.storage_hash, keccak256(slot.key.as_b256()), expected, &slot.proof);
        }
    }

    fn check(root: B256, key: B256, value: Option<Vec<u8>>, proof: &[Bytes]) {
        if root == EMPTY_ROOT_HASH {
            assert!(value.is_none() && proof.is_empty());
            return;
        }
        verify_proof(root, Nibbles::unpack(key), value, proof).unwrap();
    }
}

async fn deploy(chain: &Chain, runtime: &[u8]) -> Address {
    let request = TransactionRequest::default().with_deploy_code(deploying(runtime));
    let provider = client(chain);
    let receipt = provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    receipt.contract_address.unwrap()
}

async fn send(chain: &Chain, to: Address, input: Bytes) -> alloy::rpc::types::TransactionReceipt {
    let request = TransactionRequest::default().with_to(to).with_input(input);
    client(chain).send_transaction(request).await.unwrap().get_receipt().await.unwrap()
}

#[tokio::test]
async fn contract_stores_logs_and_is_proven() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let contract = deploy(&chain, &register()).await;
    assert_eq!(provider.get_code_at(contract).await.unwrap(), register());
    for value in 1..=20 {
        assert!(send(&chain, contract, words(&[value, value * 100])).await.status());
    }
    let call = TransactionRequest::default().with_to(contract).with_input(words(&[7]));
    assert_eq!(provider.call(call).await.unwrap(), words(&[700]));
    assert_eq!(provider.get_storage_at(contract, U256::from(7)).await.unwrap(), U256::from(700));

    let keys: Vec<B256> = (5..25).map(|key| B256::from(U256::from(key))).collect();
    let block = provider.get_block(BlockId::latest()).await.unwrap().unwrap();
    let proof = provider.get_proof(contract, keys.clone()).await.unwrap();
    assert_eq!(proof.storage_proof[2].value, U256::from(700));
    verify(block.header.state_root, &proof);
    for absent in 0..20 {
        let proof = provider.get_proof(Address::repeat_byte(absent), vec![keys[0]]).await.unwrap();
        verify(block.header.state_root, &proof);
    }

    let filter = Filter::new().address(contract).from_block(0);
    let logs = provider.get_logs(&filter).await.unwrap();
    assert_eq!(logs.len(), 20);
    assert_eq!(logs[6].inner.topics(), [B256::from(U256::from(7))]);
    assert_eq!(logs[6].inner.data.data, words(&[700]));
    assert_eq!(logs[6].log_index, Some(0));
    let seven = filter.clone().event_signature(B256::from(U256::from(7)));
    assert_eq!(provider.get_logs(&seven).await.unwrap(), logs[6..7]);
    let elsewhere = Filter::new().address(Address::repeat_byte(1)).from_block(0);
    assert!(provider.get_logs(&elsewhere).await.unwrap().is_empty());
    let one_block = Filter::new().at_block_hash(logs[3].block_hash.unwrap());
    assert_eq!(provider.get_logs(&one_block).await.unwrap(), logs[3..4]);
}

#[tokio::test]
async fn reverts_carry_their_reason_everywhere() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let contract = deploy(&chain, &reverter()).await;
    let request = TransactionRequest::default().with_to(contract);
    let call = provider.call(request.clone()).await.unwrap_err();
    let estimate = provider.estimate_gas(request.clone()).await.unwrap_err();
    for error in [call, estimate] {
        let payload = error.as_error_resp().unwrap();
        assert_eq!(payload.code, 3);
        assert_eq!(payload.message, "execution reverted: out of hay");
        let data: Bytes = payload.try_data_as().unwrap().unwrap();
        assert_eq!(data[..4], [0x08, 0xc3, 0x79, 0xa0]);
        assert_eq!(data.len(), 100);
    }
    let mined = provider.send_transaction(request.with_gas_limit(100_000)).await.unwrap();
    let receipt = mined.get_receipt().await.unwrap();
    assert!(!receipt.status());
    assert!(receipt.gas_used < 100_000);
}

#[tokio::test]
async fn filters_report_what_is_new_once() {
    let chain = start(config()).await;
    let provider = client(&chain);
    let contract = deploy(&chain, &register()).await;
    let blocks = provider.new_block_filter().await.unwrap();
    let pending = provider.new_pending_transactions_filter(false).await.unwrap();
    let logs = provider.new_filter(&Filter::new().address(contract)).await.unwrap();
    let receipt = send(&chain, contract, words(&[1, 2])).await;
    let new: Vec<B256> = provider.get_filter_changes(blocks).await.unwrap();
    assert_eq!(new, [receipt.block_hash.unwrap()]);
    let new: Vec<B256> = provider.get_filter_changes(pending).await.unwrap();
    assert_eq!(new, [receipt.transaction_hash]);
    let new = provider.get_filter_changes::<alloy::rpc::types::Log>(logs).await.unwrap();
    assert_eq!(new, receipt.inner.logs());
    let again: Vec<B256> = provider.get_filter_changes(blocks).await.unwrap();
    assert!(again.is_empty());
    assert!(provider.uninstall_filter(blocks).await.unwrap());
    let gone = provider.get_filter_changes::<B256>(blocks).await.unwrap_err();
    assert_eq!(gone.as_error_resp().unwrap().message, "filter not found");
}

#[tokio::test]
async fn predeploys_run_their_constructor_in_place() {
    let at = address!("00000000000000000000000000000000007e117e");
    // Stores its last word of calldata-like constructor argument (at the end of its code) in slot
    // 0, then returns the register's code.
    let runtime = register();
    let length = u8::try_from(runtime.len()).unwrap();
    // codecopy(0, codesize - 32, 32); sstore(0, mload(0)); codecopy(0, 0x1c, len); return(0, len)
    let mut code = vec![
        0x60, 0x20, 0x60, 0x20, 0x38, 0x03, 0x60, 0x00, 0x39, 0x60, 0x00, 0x51, 0x60, 0x00, 0x55,
        0x60, length, 0x60, 0x1b, 0x60, 0x00, 0x39, 0x60, length, 0x60, 0x00, 0xf3,
    ];
    assert_eq!(code.len(), 0x1b);
    code.extend(&runtime);
    code.extend(U256::from(4242).to_be_bytes::<32>());
    let predeploy = Predeploy { address: at, init_code: code.into() };
    let genesis = Genesis { predeploys: vec![predeploy], ..genesis() };
    let chain = start(Config { genesis, ..config() }).await;
    let provider = client(&chain);
    assert_eq!(provider.get_code_at(at).await.unwrap(), runtime);
    assert_eq!(provider.get_storage_at(at, U256::ZERO).await.unwrap(), U256::from(4242));
    assert_eq!(provider.get_transaction_count(at).await.unwrap(), 1);
    let block = provider.get_block_by_number(0.into()).await.unwrap().unwrap();
    let proof = provider.get_proof(at, vec![B256::ZERO]).await.unwrap();
    assert_eq!(proof.code_hash, keccak256(&runtime));
    verify(block.header.state_root, &proof);
    assert!(send(&chain, at, words(&[9, 10])).await.status());
    assert_eq!(provider.get_storage_at(at, U256::from(9)).await.unwrap(), U256::from(10));
}

#[tokio::test]
async fn a_failing_predeploy_is_a_clear_error() {
    let at = Address::repeat_byte(0x99);
    let predeploy = Predeploy { address: at, init_code: reverter().into() };
    let genesis = Genesis { predeploys: vec![predeploy], ..genesis() };
    let error = tilth_chain::spawn(Config { genesis, ..config() }).await.unwrap_err();
    let problem = error.problem();
    assert!(problem.detail.contains(&at.to_string()), "{problem}");
    assert!(problem.detail.contains("reverted"), "{problem}");
}
