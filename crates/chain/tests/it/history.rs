use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, U256, keccak256},
    providers::Provider,
    rpc::types::{EIP1186AccountProofResponse, TransactionRequest},
};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount, proof::verify_proof};
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
    let block = provider.get_block_by_number(10.into()).await.unwrap().unwrap();
    let expected = format!("historical state {:x} is not available", block.header.state_root);
    assert_eq!(pruned.as_error_resp().unwrap().message, expected);
    let proof = provider.get_proof(contract, Vec::new()).block_id(10.into()).await.unwrap_err();
    assert_eq!(proof.as_error_resp().unwrap().message, expected);
    let unknown = read(31).await.unwrap_err();
    assert_eq!(unknown.as_error_resp().unwrap().message, "header not found");
    let untouched = provider.get_balance(Address::repeat_byte(0x42)).block_id(25.into());
    assert!(untouched.await.unwrap().is_zero());
}

/// Proves that the contract's slots have these values in the state with this root.
fn check_proof(proof: &EIP1186AccountProofResponse, state_root: B256, expected: &[(U256, U256)]) {
    let account = proof.nonce > 0 || !proof.balance.is_zero() || proof.code_hash != KECCAK_EMPTY;
    let account = account.then(|| {
        alloy::rlp::encode(TrieAccount {
            nonce: proof.nonce,
            balance: proof.balance,
            storage_root: proof.storage_hash,
            code_hash: proof.code_hash,
        })
    });
    let key = Nibbles::unpack(keccak256(proof.address));
    verify_proof(state_root, key, account, &proof.account_proof).unwrap();
    assert_eq!(proof.storage_proof.len(), expected.len());
    for (found, (slot, value)) in proof.storage_proof.iter().zip(expected) {
        assert_eq!(found.value, *value);
        let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
        let leaf = (!value.is_zero()).then(|| alloy::rlp::encode(value));
        if proof.storage_hash == EMPTY_ROOT_HASH {
            assert!(leaf.is_none() && found.proof.is_empty());
        } else {
            verify_proof(proof.storage_hash, key, leaf, &found.proof).unwrap();
        }
    }
}

#[tokio::test]
async fn proofs_hold_at_every_kept_block() {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let provider = client(&chain);
    let deploy = TransactionRequest::default()
        .with_deploy_code(deploying(&register()))
        .with_gas_limit(500_000)
        .with_nonce(0);
    let _ = provider.send_transaction(deploy).await.unwrap();
    chain.mine().await.unwrap();
    let contract = signer(0).address().create(0);
    // Slot n % 5 holds n, or nothing when n is a multiple of 7; and 60 slots that stay.
    let mut nonce = 1;
    let mut states = vec![(1, Vec::new())];
    let mut slots = std::collections::BTreeMap::new();
    for number in 2..=25_u64 {
        let mut writes = vec![(number % 5, if number % 7 == 0 { 0 } else { number })];
        if number == 3 {
            writes.extend((100..160).map(|slot| (slot, slot * 3)));
        }
        for (slot, value) in writes {
            let store = TransactionRequest::default()
                .with_to(contract)
                .with_input(words(&[slot, value]))
                .with_gas_limit(100_000)
                .with_nonce(nonce);
            let _ = provider.send_transaction(store).await.unwrap();
            slots.insert(slot, value);
            nonce += 1;
        }
        assert_eq!(chain.mine().await.unwrap().number, number);
        let values = slots.iter().map(|(s, v)| (U256::from(*s), U256::from(*v))).collect();
        states.push((number, values));
    }
    for (number, mut values) in states {
        let root = provider.get_block_by_number(number.into()).await.unwrap().unwrap();
        values.push((U256::from(0xabcdef), U256::ZERO));
        let keys: Vec<B256> =
            values.iter().map(|(slot, _): &(U256, U256)| B256::from(*slot)).collect();
        let proof = provider.get_proof(contract, keys).block_id(number.into()).await.unwrap();
        check_proof(&proof, root.header.state_root, &values);
        let nobody = provider.get_proof(Address::repeat_byte(0x99), vec![B256::ZERO]);
        let nobody = nobody.block_id(number.into()).await.unwrap();
        check_proof(&nobody, root.header.state_root, &[(U256::ZERO, U256::ZERO)]);
    }
    let before = provider.get_proof(contract, Vec::new()).block_id(0.into()).await.unwrap();
    assert_eq!(before.code_hash, KECCAK_EMPTY);
}
