//! A cap on bytes per second, for what is served or for what is fetched.
//!
//! [`Bucket`] decides, without clock and without waiting; [`Pace`] waits. Whoever has bytes to move asks
//! first; those who ask share the rate in the order in which they came.

use std::{
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How much may go at once after a quiet time: a quarter of a second's worth, so that short answers are
/// not slowed down and a meter that looks every second sees the cap kept.
const BURST: Duration = Duration::from_millis(250);

/// A token bucket, kept as the moment at which all that was granted will have gone.
#[derive(Debug)]
struct Bucket {
    per_second: NonZeroU64,
    /// Since the start.
    free_at: Duration,
}

impl Bucket {
    fn new(per_second: NonZeroU64) -> Self {
        Self { per_second, free_at: Duration::ZERO }
    }

    /// Grants `bytes` and says when they may go. `now` is the time since the start.
    fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        let start = self.free_at.max(now.saturating_sub(BURST));
        let nanos = u128::from(bytes).saturating_mul(1_000_000_000);
        let nanos = nanos.div_ceil(u128::from(self.per_second.get()));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = start.saturating_add(cost);
        start
    }
}

/// One direction's cap; without one nobody waits.
#[derive(Debug)]
pub(crate) struct Pace {
    bucket: Option<Mutex<Bucket>>,
    began: Instant,
}

impl Pace {
    pub(crate) fn new(per_second: Option<NonZeroU64>) -> Self {
        let bucket = per_second.map(|rate| Mutex::new(Bucket::new(rate)));
        Self { bucket, began: Instant::now() }
    }

    pub(crate) fn is_capped(&self) -> bool {
        self.bucket.is_some()
    }

    /// Waits until so many bytes may go.
    pub(crate) async fn take(&self, bytes: u64) {
        let Some(bucket) = &self.bucket else { return };
        let now = self.began.elapsed();
        // A panic elsewhere has not harmed two numbers.
        let at = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now);
        if at > now {
            tokio::time::sleep(at.saturating_sub(now)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In every stretch of time no more goes than the rate allows, a burst and the last piece aside;
        /// and whoever asks without pause gets the whole rate.
        #[test]
        fn the_rate_is_kept_and_used(
            rate in 1_000_u64..1_000_000_000,
            asks in prop::collection::vec((0_u64..200_000, 0_u64..2_000), 1..80),
        ) {
            let mut bucket = Bucket::new(NonZeroU64::new(rate).unwrap());
            let (mut now, mut gone) = (Duration::from_secs(5), Vec::new());
            for (bytes, pause_ms) in asks {
                now += Duration::from_millis(pause_ms);
                let at = bucket.take(bytes, now).max(now);
                gone.push((at, bytes));
                // One sender: it asks again when it has sent.
                now = at;
            }
            for (first, (from, _)) in gone.iter().enumerate() {
                let mut sum = 0_u128;
                for (to, bytes) in &gone[first..] {
                    let span = to.saturating_sub(*from) + BURST;
                    let allowed = span.as_nanos() * u128::from(rate) / 1_000_000_000 + 1;
                    // What goes at `to` was allowed to begin; it may be one whole piece.
                    prop_assert!(sum <= allowed, "{sum} bytes before {to:?}, {allowed} allowed");
                    sum += u128::from(*bytes);
                }
            }
        }
    }

    #[test]
    fn without_pause_the_whole_rate_is_used() {
        let mut bucket = Bucket::new(NonZeroU64::new(1 << 20).unwrap());
        let (mut now, mut sent) = (Duration::ZERO, 0_u64);
        while now < Duration::from_secs(10) {
            now = now.max(bucket.take(16_384, now));
            sent += 16_384;
        }
        assert!((10 << 20..11 << 20).contains(&sent), "{sent} bytes in ten seconds at 1 MiB/s");
    }
}
