//! The solo producer: decides when a block is made, on demand or by the clock.
//!
//! It only calls [`Node::produce`]; another producer (agreement among validators) would drive the
//! same execution from elsewhere.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    config::Production,
    node::{Head, Node, NodeError, chain_of_causes},
};

/// Wait after a block could not be made (disk full), before the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until its future is dropped.
pub(crate) async fn produce(node: Arc<Node>, production: Production) {
    match production {
        Production::Instant => instant(node).await,
        Production::Interval(every) => by_interval(node, every).await,
        Production::Manual => {}
    }
}

async fn instant(node: Arc<Node>) {
    loop {
        node.arrivals.notified().await;
        while node.has_work() {
            match make_block(&node, false).await {
                Ok(Some(_)) => {}
                // What waits cannot be mined now; it is tried again with the next arrival.
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(cause = chain_of_causes(&error), "no block could be made");
                    sleep(RETRY).await;
                }
            }
        }
    }
}

async fn by_interval(node: Arc<Node>, every: Duration) {
    // A timer cannot run with no time between its ticks.
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate; the genesis block is block enough for that moment.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = make_block(&node, true).await {
            tracing::error!(cause = chain_of_causes(&error), "no block could be made");
        }
    }
}

/// How often transactions that have waited too long are looked for.
const POOL_UPKEEP: Duration = Duration::from_secs(60);

/// Keeps the pool from holding what nobody will ever mine. Runs until its future is dropped.
pub(crate) async fn keep_pool(node: Arc<Node>) {
    // What the last run left may be ready for a block.
    node.arrivals.notify_one();
    let mut ticks = interval(POOL_UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        node.expire_pool();
    }
}

/// Makes one block on a thread where that may take its time.
pub(crate) async fn make_block(
    node: &Arc<Node>,
    empty: bool,
) -> Result<Option<Arc<Head>>, NodeError> {
    let node = Arc::clone(node);
    match tokio::task::spawn_blocking(move || node.produce(empty)).await {
        Ok(made) => made,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, so nobody waits for the block.
            Err(_) => Ok(None),
        },
    }
}
