use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    test_chain::TestChain,
    test_node::{Said, linked},
};

/// A node that has no logs, or one.
#[derive(Debug, Default)]
struct Node {
    height: AtomicU64,
    /// The block of its log; 0: it has none.
    log: AtomicU64,
    /// Whether it refuses to say what logs there are.
    mute: AtomicBool,
    /// Or only for blocks up to this one; 0: for none.
    forgets: AtomicU64,
}

impl Node {
    fn say(&self, asked: &Value) -> Said {
        if asked["method"] == "eth_blockNumber" {
            Ok(format!("{:#x}", self.height.load(Ordering::Relaxed)).into())
        } else if self.mute.load(Ordering::Relaxed) {
            Err(json!({ "code": -32_000, "message": "not available" }))
        } else {
            let number = |name: &str| {
                let text = asked["params"][0][name].as_str().unwrap();
                u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
            };
            let block = self.log.load(Ordering::Relaxed);
            let blocks = number("fromBlock")..=number("toBlock");
            let forgets = self.forgets.load(Ordering::Relaxed);
            if forgets > 0 && *blocks.start() <= forgets {
                return Err(json!({ "code": -32_000, "message": "pruned" }));
            }
            let wanted = block > 0 && blocks.contains(&block);
            Ok(wanted.then(|| log(block)).into_iter().collect())
        }
    }
}

/// Starts a node and follows it.
async fn follow_one(node: &Arc<Node>) -> Follow {
    let node = Arc::clone(node);
    let link = linked(move |asked| std::future::ready(node.say(&asked))).await;
    Follow::new(&link, Scope::default())
}

/// The one log of a node, as it says it.
fn log(block: u64) -> Value {
    let transaction = B256::left_padding_from(&block.to_be_bytes());
    let (block, hash) = (format!("{block:#x}"), B256::repeat_byte(7));
    json!({
        "address": Address::ZERO, "topics": [hash], "data": "0x", "blockHash": hash,
        "blockNumber": block, "transactionHash": transaction, "transactionIndex": "0x0",
        "logIndex": "0x0", "removed": false,
    })
}

/// The number of logs, up to where they are said to be all, and before which block they are for certain.
fn told(news: Option<News>) -> Option<(usize, u64, u64)> {
    match news? {
        News::Logs { logs, to, certain, .. } => Some((logs.len(), to, certain)),
        other => panic!("{other:?}"),
    }
}

/// One node says how long the chain is, and another one, which is late, has not the logs of all of it.
#[tokio::test]
async fn what_a_late_node_did_not_have_is_delivered_later_and_once() {
    let node = Arc::new(Node { height: 10.into(), ..Node::default() });
    let mut follow = follow_one(&node).await;
    assert!(follow.again.is_none());
    // As one that reads twice, at nodes elsewhere, and without the wait.
    follow.again = Some(Again::new(Duration::ZERO));
    assert_eq!(told(follow.look().await.unwrap()), Some((0, 10, 0)));
    node.log.store(9, Ordering::Relaxed);
    assert_eq!(told(follow.look().await.unwrap()), Some((1, 10, 11)));
    assert_eq!(told(follow.look().await.unwrap()), None);
    // One that is there at once is not delivered a second time.
    node.height.store(12, Ordering::Relaxed);
    node.log.store(12, Ordering::Relaxed);
    assert_eq!(told(follow.look().await.unwrap()), Some((1, 12, 11)));
    node.height.store(13, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(told(follow.look().await.unwrap()), None);
    }
    assert_eq!(follow.next, 14);
}

#[tokio::test]
async fn what_cannot_be_read_twice_holds_up_nothing_and_is_read_when_it_can_be() {
    let node = Arc::new(Node { height: 10.into(), ..Node::default() });
    let mut follow = follow_one(&node).await;
    follow.again = Some(Again::new(Duration::ZERO));
    assert_eq!(told(follow.look().await.unwrap()), Some((0, 10, 0)));
    node.forgets.store(10, Ordering::Relaxed);
    node.height.store(12, Ordering::Relaxed);
    node.log.store(12, Ordering::Relaxed);
    assert_eq!(told(follow.look().await.unwrap()), Some((1, 12, 0)), "news come all the same");
    node.log.store(9, Ordering::Relaxed);
    node.forgets.store(0, Ordering::Relaxed);
    assert_eq!(told(follow.look().await.unwrap()), Some((1, 12, 13)));
}

/// Several nodes behind one address are not equally far; a chain that stays short is another one.
#[tokio::test]
async fn a_node_that_is_a_little_late_is_not_another_chain() {
    let node = Arc::new(Node { height: 10.into(), ..Node::default() });
    let mut follow = follow_one(&node).await;
    let first = follow.look().await.unwrap();
    assert!(matches!(first, Some(News::Logs { to: 10, at_head: true, .. })), "{first:?}");
    for late in [8, 10, 9, 11, 10] {
        node.height.store(late, Ordering::Relaxed);
        assert!(follow.look().await.unwrap().is_none(), "{late}");
    }
    node.height.store(3, Ordering::Relaxed);
    let rewound = tokio::time::timeout(Duration::from_secs(60), follow.next()).await.unwrap();
    assert!(matches!(rewound, News::Rewound { expected: 11, found: 3 }), "{rewound:?}");
}

#[tokio::test]
async fn a_node_that_says_its_height_and_no_logs_is_not_back() {
    let node = Arc::new(Node { height: 10.into(), ..Node::default() });
    let mut follow = follow_one(&node).await;
    let first = follow.look().await.unwrap();
    assert!(matches!(first, Some(News::Logs { to: 10, at_head: true, .. })), "{first:?}");
    node.mute.store(true, Ordering::Relaxed);
    node.height.store(11, Ordering::Relaxed);
    let error = follow.look().await.unwrap_err();
    assert!(matches!(follow.note_failure(&error), Some(News::Away { .. })));
    for _ in 0..3 {
        let error = follow.look().await.expect_err("nothing is read");
        assert!(follow.note_failure(&error).is_none(), "said once");
    }
    node.mute.store(false, Ordering::Relaxed);
    let back = follow.look().await.unwrap();
    assert!(matches!(back, Some(News::Back { .. })), "{back:?}");
    // And goes on where it was, with nothing lost.
    node.height.store(12, Ordering::Relaxed);
    assert!(follow.look().await.unwrap().is_none());
    assert_eq!(follow.next, 13);
}

#[tokio::test]
async fn what_is_delivered_is_never_taken_back_and_nothing_is_left_out() {
    for (seed, reach) in (0..24).zip([1, 2, 3, 8].into_iter().cycle()) {
        let chain = Arc::new(Mutex::new(TestChain::new(seed, reach)));
        let link = TestChain::link(&chain, u32::try_from(reach).unwrap()).await;
        let mut follow = Follow::new(&link, Scope::default());
        let mut told = Vec::new();
        for _ in 0..100 {
            match follow.look().await.unwrap() {
                Some(News::Logs { logs, certain, .. }) => {
                    assert_eq!(certain, follow.next);
                    let at = |log: &Log| log.block_number.zip(log.block_hash).unwrap();
                    told.extend(logs.iter().map(at));
                }
                None => {}
                news => panic!("seed {seed}: {news:?}"),
            }
        }
        let mut chain = chain.lock().unwrap();
        for _ in 0..200 {
            chain.step();
        }
        assert_eq!(told, chain.up_to(follow.next - 1), "seed {seed}");
        assert!(chain.taken_back > 10 && told.len() > 5, "seed {seed}: {}", told.len());
    }
}

#[tokio::test]
async fn a_scope_can_ask_for_more_confirmations_than_the_network_but_not_for_fewer() {
    let chain = Arc::new(Mutex::new(TestChain::new(0, 3)));
    let link = TestChain::link(&chain, 3).await;
    for (asked, waited_for) in [(0, 3), (3, 3), (9, 9)] {
        let scope = Scope { confirmations: asked, ..Scope::default() };
        assert_eq!(Follow::new(&link, scope).scope.confirmations, waited_for);
    }
}
