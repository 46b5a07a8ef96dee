//! This machine's clock beside the chain's. Moves follow the chain's; but claims, windows and pauses are reckoned with
//! ours, so people are told if it is wrong.

use std::time::Duration;

use tilth_client::{ChainError, Link, clock};
use tokio::time::sleep;
use tracing::warn;

/// Difference that nobody is told about: producers of blocks may be some seconds ahead.
const SLACK_SECONDS: u64 = 30;
/// How often a new block is looked for: one that is found is not older than this.
const GLANCE: Duration = Duration::from_secs(15);
/// How often the clocks are compared.
const COMPARE: Duration = Duration::from_secs(1_800);

/// Says aloud if this machine's clock is behind the chain's: it would take deadlines and windows for later
/// than they are. (One that is ahead cannot be told at once from a chain that has been idle: [`watch_clock`].)
pub(crate) async fn compare_clocks(link: &Link) -> Result<(), ChainError> {
    tell(compare(link.now().await?, clock::wall().as_secs(), false));
    Ok(())
}

/// Compares with blocks that are seen to come, which shows both.
pub(crate) async fn watch_clock(link: Link) {
    loop {
        let Ok(first) = link.block_number().await else {
            sleep(GLANCE).await;
            continue;
        };
        loop {
            sleep(GLANCE).await;
            if link.block_number().await.is_ok_and(|head| head > first) {
                break;
            }
        }
        if let Ok(chain) = link.now().await {
            tell(compare(chain, clock::wall().as_secs(), true));
        }
        sleep(COMPARE).await;
    }
}

/// How wrong our clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Behind(u64),
    Ahead(u64),
}

/// `fresh`: the block has come within [`GLANCE`].
fn compare(chain: u64, wall: u64, fresh: bool) -> Option<Wrong> {
    let (behind, ahead) = (chain.saturating_sub(wall), wall.saturating_sub(chain));
    if behind > SLACK_SECONDS {
        return Some(Wrong::Behind(behind));
    }
    (fresh && ahead > SLACK_SECONDS + GLANCE.as_secs()).then_some(Wrong::Ahead(ahead))
}

fn tell(wrong: Option<Wrong>) {
    let (seconds, how) = match wrong {
        Some(Wrong::Behind(seconds)) => (seconds, "behind"),
        Some(Wrong::Ahead(seconds)) => (seconds, "ahead of"),
        None => return,
    };
    warn!(seconds, "this machine's clock is {how} the chain's by so many seconds: set it right");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_chain_is_not_taken_for_a_wrong_clock() {
        assert_eq!(compare(1_000, 1_029, true), None);
        assert_eq!(compare(1_000, 9_000, false), None);
        assert_eq!(compare(1_000, 9_000, true), Some(Wrong::Ahead(8_000)));
        assert_eq!(compare(9_000, 1_000, false), Some(Wrong::Behind(8_000)));
        assert_eq!(compare(1_020, 1_000, true), None);
    }
}
