//! Transactions, receipts and logs of old blocks are dropped as configured, and what is left is whole.

use std::path::Path;

use alloy::{
    network::TransactionBuilder, primitives::TxHash, providers::Provider,
    rpc::types::TransactionRequest,
};
use serde_json::{Value, json};
use tilth_chain::{
    Chain, ChainError, Config, Limits, NodeError, Production, SealedHeader, StoredChain,
    TransferError,
    block::Block,
    fsck::{Level, Options, fsck},
    retention::prune,
    snapshot::{ExportOptions, ImportOptions, export, import},
    transfer::BlockFile,
};

use crate::fixture::{client, config, deploying, register, signer, start, words};

fn keeping(dir: &Path, body_blocks: u64) -> Config {
    let limits = Limits { body_blocks, history_blocks: 10, ..Limits::default() };
    Config { dir: Some(dir.to_owned()), production: Production::Manual, limits, ..config() }
}

/// Mines blocks with one log each, from block 2 on; returns the hash of the last transaction of each.
async fn grow(chain: &Chain, to: u64) -> Vec<TxHash> {
    let provider = client(chain);
    let contract = signer(0).address().create(0);
    let mut hashes = Vec::new();
    while chain.head().number < to {
        let number = chain.head().number + 1;
        let request = if number == 1 {
            TransactionRequest::default().with_deploy_code(deploying(&register()))
        } else {
            let input = words(&[number % 7, number]);
            TransactionRequest::default().with_to(contract).with_input(input)
        };
        let request = request.with_gas_limit(500_000).with_nonce(number - 1);
        hashes.push(*provider.send_transaction(request).await.unwrap().tx_hash());
        chain.mine().await.unwrap();
    }
    hashes
}

async fn ask(chain: &Chain, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    serde_json::from_slice(&chain.answer(body.to_string().as_bytes()).await).unwrap()
}

async fn is_dropped(chain: &Chain, method: &str, params: Value) {
    let answer = ask(chain, method, params).await;
    let expected = json!({ "code": 4444, "message": "pruned history unavailable" });
    assert_eq!(answer["error"], expected, "{method}: {answer}");
}

async fn logs(chain: &Chain, from: u64, to: u64) -> Value {
    let range = json!([{ "fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}"),
        "address": signer(0).address().create(0) }]);
    ask(chain, "eth_getLogs", range).await
}

fn check(dir: &Path) -> u64 {
    let options = Options { level: Level::Full, repair: false };
    let report = fsck(dir, options, &mut |_| {}).unwrap();
    assert_eq!(report.findings, Vec::new());
    report.blocks
}

#[tokio::test]
async fn old_blocks_lose_their_transactions_and_say_so_as_geth_does() {
    let dir = tempfile::tempdir().unwrap();
    // Fewer than the least that is kept, which is 128.
    let chain = start(keeping(dir.path(), 5)).await;
    let hashes = grow(&chain, 300).await;
    let first = 300 - 128;
    for number in [1, 100, first - 1] {
        let name = json!(format!("{number:#x}"));
        let header = ask(&chain, "eth_getHeaderByNumber", json!([name])).await;
        let hash = header["result"]["hash"].clone();
        assert!(hash.is_string(), "{header}");
        for (method, params) in [
            ("eth_getBlockByNumber", json!([name, false])),
            ("eth_getBlockByHash", json!([hash, true])),
            ("eth_getBlockTransactionCountByNumber", json!([name])),
            ("eth_getBlockReceipts", json!([name])),
            ("eth_getTransactionByBlockNumberAndIndex", json!([name, "0x0"])),
            ("eth_getTransactionByBlockHashAndIndex", json!([hash, "0x0"])),
            ("debug_traceBlockByNumber", json!([name])),
            ("debug_getRawBlock", json!([name])),
            ("eth_feeHistory", json!(["0x1", name, [50]])),
            ("eth_getLogs", json!([{ "fromBlock": name, "toBlock": "latest" }])),
            ("eth_getLogs", json!([{ "blockHash": hash }])),
        ] {
            is_dropped(&chain, method, params).await;
        }
        let mined = hashes[usize::try_from(number - 1).unwrap()];
        for method in ["eth_getTransactionByHash", "eth_getTransactionReceipt"] {
            let answer = ask(&chain, method, json!([mined])).await;
            assert_eq!(answer["result"], Value::Null, "{answer}");
        }
    }
    let genesis = ask(&chain, "eth_getBlockByNumber", json!(["0x0", true])).await;
    assert!(genesis["result"]["hash"].is_string(), "{genesis}");
    let kept = ask(&chain, "eth_getBlockReceipts", json!([format!("{first:#x}")])).await;
    assert_eq!(kept["result"].as_array().unwrap().len(), 1);
    let found = logs(&chain, first, 300).await;
    assert_eq!(found["result"].as_array().unwrap().len(), 129, "{found}");
    // Both for contracts and for clients, hashes of all blocks stay.
    let can = ask(&chain, "eth_capabilities", json!([])).await;
    assert_eq!(can["result"]["receipts"]["oldestBlock"], format!("{first:#x}"));
    assert_eq!(can["result"]["tx"]["deleteStrategy"]["retentionBlocks"], "0x5");
    chain.shutdown().await;
    assert_eq!(check(dir.path()), 301);
}

#[tokio::test]
async fn lowered_retention_is_caught_up_with_by_and_by_or_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (old, copy) = (dir.path().join("old"), dir.path().join("copy"));
    let chain = start(keeping(&old, u64::MAX)).await;
    grow(&chain, 300).await;
    assert_eq!(logs(&chain, 0, 300).await["result"].as_array().unwrap().len(), 299);
    chain.shutdown().await;
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(old.join("chain.redb"), copy.join("chain.redb")).unwrap();

    // With each block some.
    let chain = start(keeping(&old, 130)).await;
    grow(&chain, 310).await;
    is_dropped(&chain, "eth_getBlockReceipts", json!(["0x50"])).await;
    let receipts = ask(&chain, "eth_getBlockReceipts", json!(["0x51"])).await;
    assert!(receipts["result"].is_array(), "{receipts}");
    chain.shutdown().await;
    check(&old);

    // At once, and then again nothing.
    let mut reports = 0;
    let limits = keeping(&copy, 130).limits;
    let pruned = prune(&copy, &limits, &mut |_| reports += 1).unwrap();
    assert_eq!((pruned.body_blocks, pruned.first_body), (169, 170));
    assert_eq!(pruned.oldest_state, 290);
    assert!(reports > 1);
    let again = prune(&copy, &limits, &mut |_| {}).unwrap();
    assert_eq!((again.body_blocks, again.history_blocks), (0, 0));
    assert_eq!(check(&copy), 301);

    // Its snapshot holds what is there, and the indices can be made anew from that.
    let file = dir.path().join("file");
    let written = export(&copy, &file, &ExportOptions { blocks: u64::MAX }, &mut |_| {}).unwrap();
    assert_eq!(written.blocks, 132);
    let new = dir.path().join("new");
    import(&file, &new, &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(check(&new), 132);
    let database = redb::Database::open(copy.join("chain.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let tail = redb::TableDefinition::<u64, &[u8]>::new("log_tail");
    transaction.open_table(tail).unwrap().pop_last().unwrap().unwrap();
    transaction.commit().unwrap();
    drop(database);
    let options = Options { level: Level::Full, repair: true };
    assert!(fsck(&copy, options, &mut |_| {}).unwrap().repaired);
    assert_eq!(check(&copy), 301);
    for dir in [&copy, &new] {
        let chain = start(keeping(dir, u64::MAX)).await;
        let found = logs(&chain, 170, 300).await;
        assert_eq!(found["result"].as_array().unwrap().len(), 131, "{found}");
        is_dropped(&chain, "eth_getLogs", json!([{ "fromBlock": "0xa9" }])).await;
        chain.shutdown().await;
    }
}

#[tokio::test]
async fn blocks_from_before_a_snapshot_are_dropped_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new, file) =
        (dir.path().join("old"), dir.path().join("new"), dir.path().join("file"));
    let chain = start(keeping(&old, u64::MAX)).await;
    grow(&chain, 20).await;
    chain.shutdown().await;
    export(&old, &file, &ExportOptions { blocks: 8 }, &mut |_| {}).unwrap();
    import(&file, &new, &ImportOptions::default(), &mut |_| {}).unwrap();
    let chain = start(keeping(&new, u64::MAX)).await;
    for number in [1, 7, 12] {
        let name = json!(format!("{number:#x}"));
        for (method, params) in [
            ("eth_getBlockByNumber", json!([name, false])),
            ("eth_getHeaderByNumber", json!([name])),
            ("eth_getBlockTransactionCountByNumber", json!([name])),
            ("eth_getUncleCountByBlockNumber", json!([name])),
            ("eth_getUncleByBlockNumberAndIndex", json!([name, "0x0"])),
            ("eth_getBlockReceipts", json!([name])),
            ("eth_getTransactionByBlockNumberAndIndex", json!([name, "0x0"])),
            ("eth_getRawTransactionByBlockNumberAndIndex", json!([name, "0x0"])),
            ("eth_getBalance", json!([signer(0).address(), name])),
            ("eth_call", json!([{ "to": signer(0).address() }, name])),
            ("eth_getProof", json!([signer(0).address(), [], name])),
            ("eth_simulateV1", json!([{ "blockStateCalls": [] }, name])),
            ("eth_feeHistory", json!(["0x1", name, [50]])),
            ("eth_getLogs", json!([{ "fromBlock": name, "toBlock": "latest" }])),
            ("debug_traceBlockByNumber", json!([name])),
            ("debug_executionWitness", json!([name])),
            ("debug_getRawHeader", json!([name])),
            ("debug_getRawBlock", json!([name])),
            ("debug_getRawReceipts", json!([name])),
            ("debug_getModifiedAccountsByNumber", json!([number])),
        ] {
            is_dropped(&chain, method, params).await;
        }
    }
    // What never was is another thing, and what is there is there.
    let unknown = ask(&chain, "eth_getBlockByNumber", json!(["0x64", false])).await;
    assert_eq!(unknown["result"], Value::Null, "{unknown}");
    let kept = ask(&chain, "eth_getBlockByNumber", json!(["0xd", true])).await;
    assert!(kept["result"]["hash"].is_string(), "{kept}");
    let genesis = ask(&chain, "eth_getBlockByNumber", json!(["earliest", true])).await;
    assert!(genesis["result"]["hash"].is_string(), "{genesis}");
    // Suggestions learn from what there is, and the chain goes on.
    let price = ask(&chain, "eth_gasPrice", json!([])).await;
    assert!(price["result"].is_string(), "{price}");
    grow(&chain, 22).await;
    chain.shutdown().await;
}

/// Nobody can say whether a block from before a snapshot is the chain's, so it is not called another one.
#[tokio::test]
async fn blocks_from_before_a_snapshot_are_not_called_those_of_another_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new, file) =
        (dir.path().join("old"), dir.path().join("new"), dir.path().join("file"));
    let chain = start(keeping(&old, u64::MAX)).await;
    grow(&chain, 20).await;
    let spec = chain.spec().clone();
    chain.shutdown().await;
    let mut rlp = Vec::new();
    let stored = StoredChain::open(keeping(&old, u64::MAX)).unwrap();
    stored.export(1..=20, &mut rlp, |_| ()).unwrap();
    drop(stored);
    let blocks = BlockFile::new(rlp.as_slice(), spec).collect::<Result<Vec<Block>, _>>().unwrap();
    export(&old, &file, &ExportOptions { blocks: 8 }, &mut |_| {}).unwrap();
    import(&file, &new, &ImportOptions::default(), &mut |_| {}).unwrap();

    let chain = start(keeping(&new, u64::MAX)).await;
    let (before, held) = blocks.split_at(12);
    for block in before {
        for refused in [chain.verify(block.clone()).await, chain.finalise(block.clone()).await] {
            let error = refused.unwrap_err();
            let number = block.header.number;
            assert!(
                matches!(
                    error,
                    ChainError::Node(NodeError::BeforeHeld { number: n, first: 13 }) if n == number
                ),
                "{number}: {error:?}"
            );
            let advice = error.problem().advice;
            assert!(!advice.contains("folder"), "{advice}");
        }
    }
    for block in held {
        chain.verify(block.clone()).await.unwrap();
        chain.finalise(block.clone()).await.unwrap();
    }
    let mut forged = held[0].clone();
    let mut header = forged.header.inner().clone();
    header.state_root = Default::default();
    forged.header = SealedHeader::new(header);
    let other = chain.verify(forged).await.unwrap_err();
    let is_other = matches!(other, ChainError::Node(NodeError::OtherFinal { number: 13 }));
    assert!(is_other, "{other:?}");
    let refused = chain.import(std::io::Cursor::new(rlp), |_| ()).await.unwrap_err();
    let is_dropped = matches!(refused, TransferError::Dropped { number: 1, first: 13 });
    assert!(is_dropped, "{refused:?}");
    let mut from_held = Vec::new();
    held.iter().for_each(|block| from_held.extend(block.to_rlp()));
    let taken = chain.import(std::io::Cursor::new(from_held), |_| ()).await.unwrap();
    assert_eq!((taken.blocks, taken.skipped), (0, 8));
    chain.shutdown().await;
}
