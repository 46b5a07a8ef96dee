//! This machine's clock, for whoever performs what a machine decides: machines are told the time and never ask.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait without a look at the clock, which may have been set since the wait was reckoned.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The time since 1970; zero before.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same in milliseconds.
pub fn now() -> u64 {
    u64::try_from(wall().as_millis()).unwrap_or(u64::MAX)
}

/// Waits until a time in milliseconds since 1970, but no longer than a minute; for ever without one.
pub async fn until(time: Option<u64>) {
    match time {
        Some(time) => {
            let wait = Duration::from_millis(time.saturating_sub(now()));
            tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_past_is_not_waited_for_and_nothing_never_comes() {
        until(Some(0)).await;
        let soon = now() + 20;
        until(Some(soon)).await;
        assert!(now() >= soon || now() < soon - 20, "it has come, or the clock was set");
        let never = tokio::time::timeout(Duration::from_millis(10), until(None)).await;
        assert!(never.is_err());
    }
}
