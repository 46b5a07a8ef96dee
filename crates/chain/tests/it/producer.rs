//! Nodes whose blocks are agreed on elsewhere: proposed by one, verified by others, then final.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use tilth_chain::{
    Chain, ChainError, Clock, Config, NodeError, Production, SealedHeader, block::Block,
    execution::BlockAttributes,
};

use crate::fixture::{client, config, start};

const PAID: Address = Address::repeat_byte(0x51);

async fn node(clock: Clock) -> Chain {
    start(Config { production: Production::Manual, clock, ..config() }).await
}

/// Sends so much to [`PAID`] without waiting for a block.
async fn pay(chain: &Chain, value: u64) {
    let request = TransactionRequest::default().with_to(PAID).with_value(U256::from(value));
    drop(client(chain).send_transaction(request.with_gas_limit(21_000)).await.unwrap());
}

fn attributes(parent: &SealedHeader) -> BlockAttributes {
    BlockAttributes {
        timestamp: parent.timestamp + 1,
        gas_limit: parent.gas_limit,
        ..BlockAttributes::default()
    }
}

async fn shown(chain: &Chain) -> (u64, U256) {
    let client = client(chain);
    let number = client.get_block_number().await.unwrap();
    (number, client.get_balance(PAID).await.unwrap())
}

#[tokio::test]
async fn nodes_follow_blocks_that_are_agreed_on_elsewhere() {
    // The follower's clock stands long before every block's time: nobody asks it.
    let (leader, follower) = (node(Clock::system()).await, node(Clock::manual(0)).await);
    let genesis = leader.head();
    pay(&leader, 1).await;
    let first = leader.propose(genesis.hash(), attributes(&genesis)).await.unwrap();
    pay(&leader, 2).await;
    let second = leader.propose(first.header.hash(), attributes(&first.header)).await.unwrap();
    assert_eq!((first.transactions.len(), second.transactions.len()), (1, 1));

    let early = follower.verify(second.clone()).await.unwrap_err();
    assert!(matches!(early, ChainError::Node(NodeError::UnknownParent(_))), "{early:?}");
    assert!(early.problem().advice.contains("oldest first"), "{}", early.problem());
    for block in [&first, &second] {
        let received = Block::from_rlp(&block.to_rlp(), follower.spec()).unwrap();
        follower.verify(received).await.unwrap();
    }
    for chain in [&leader, &follower] {
        assert_eq!(shown(chain).await, (0, U256::ZERO));
    }

    leader.finalise(first.clone()).await.unwrap();
    // The next block is made while one is written.
    pay(&leader, 4).await;
    let (written, third) = tokio::join!(
        leader.finalise(second.clone()),
        leader.propose(second.header.hash(), attributes(&second.header))
    );
    written.unwrap();
    let third = third.unwrap();
    for block in [&first, &second, &third, &third] {
        follower.finalise(block.clone()).await.unwrap();
    }
    leader.finalise(third.clone()).await.unwrap();
    for chain in [&leader, &follower] {
        assert_eq!(chain.head(), third.header);
        assert_eq!(shown(chain).await, (3, U256::from(7)));
    }
    assert_eq!(leader.waiting(), 0);
    let hash = *second.transactions[0].inner().tx_hash();
    let receipt = client(&follower).get_transaction_receipt(hash).await.unwrap().unwrap();
    assert_eq!(receipt.block_hash, Some(second.header.hash()));
}
