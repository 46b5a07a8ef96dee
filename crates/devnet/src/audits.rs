//! Audits and seals that are open when the network is stopped. The chain's time goes on while everybody is away, so whoever
//! is not back in time is punished at the next start.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};
use tracing::{info, warn};

/// What was handed in a moment ago is heard of a little later, at the latest when the chain is looked at again: at a node
/// of our own, and elsewhere.
pub(crate) const HEARSAY: (Duration, Duration) =
    (Duration::from_millis(600), Duration::from_secs(6));

/// What is waited for, and what it costs to be away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// At most so long. An audit takes seconds when everybody is up.
    pub(crate) patience: Duration,
    advice: &'static str,
}

pub(crate) const PROVIDER: Wait = Wait {
    patience: Duration::from_secs(120),
    advice: "start the network again within half an hour, or its stake is lost",
};
pub(crate) const AUDITOR: Wait = Wait {
    patience: Duration::from_secs(60),
    advice: "start the network again within half an hour, or it loses a part of its stake",
};

/// Waits until nothing is at stake; says whether that is so.
pub(crate) async fn settled(
    name: &str,
    mut at_stake: watch::Receiver<Option<usize>>,
    wait: Wait,
    hearsay: Duration,
) -> bool {
    let heard = at_stake.wait_for(|open| open.is_some_and(|open| open > 0));
    // Nothing for so long: then there is nothing.
    let _ = timeout(hearsay, heard).await;
    let known = *at_stake.borrow();
    // One that has not read the chain's past knows of nothing and has begun nothing in this life.
    let open = known.filter(|open| *open > 0);
    if let Some(open) = open {
        let patience_s = wait.patience.as_secs();
        info!(name, open, patience_s, "waiting for open audits and seals before stopping");
    } else if known.is_some() {
        return true;
    }
    let over = at_stake.wait_for(|open| *open == Some(0));
    let over = timeout(wait.patience, over).await.is_ok_and(|over| over.is_ok());
    if !over {
        let open = *at_stake.borrow();
        let (what, advice) = ("it stops while audits or seals of it are open", wait.advice);
        match open {
            Some(open) => warn!(name, open, advice, "{what}"),
            None => warn!(name, advice, "it stops before it has seen what of it is open"),
        }
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const BRIEF: Wait = Wait { patience: Duration::from_millis(50), ..PROVIDER };

    #[tokio::test]
    async fn a_stop_waits_for_open_audits_and_not_for_ever() {
        let (open, seen) = watch::channel(Some(0));
        assert!(settled("a", seen.clone(), PROVIDER, SOON).await, "nothing to wait for");
        open.send_replace(Some(2));
        assert!(!settled("a", seen.clone(), BRIEF, SOON).await);
        let waiting = tokio::spawn(async move { settled("a", seen, PROVIDER, SOON).await });
        open.send_replace(Some(1));
        open.send_replace(Some(0));
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn what_is_heard_of_a_moment_later_is_waited_for() {
        let (open, seen) = watch::channel(Some(0));
        let done = std::cell::Cell::new(false);
        let waiting = async {
            let over = settled("a", seen, PROVIDER, Duration::from_secs(60)).await;
            done.set(true);
            over
        };
        let handed_in = async {
            tokio::task::yield_now().await;
            open.send_replace(Some(1));
            for _ in 0..3 {
                tokio::task::yield_now().await;
                assert!(!done.get(), "it stops while one is open");
            }
            open.send_replace(Some(0));
        };
        let (over, ()) = tokio::join!(waiting, handed_in);
        assert!(over);
    }

    #[tokio::test]
    async fn one_that_is_dead_is_not_waited_for() {
        let (open, seen) = watch::channel(Some(2));
        drop(open);
        assert!(!settled("a", seen, PROVIDER, SOON).await);
    }
}
