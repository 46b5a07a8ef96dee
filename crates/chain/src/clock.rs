//! The producer's clock. Execution never reads it; it only proposes timestamps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Where a producer takes the time from, in whole seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `None` follows the machine's clock.
    manual: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is advanced; clones show the same time.
    pub fn manual(start: u64) -> Self {
        Self { manual: Some(Arc::new(AtomicU64::new(start))) }
    }

    /// Moves a manual clock forward. The machine's clock is left alone, and `false` returned.
    pub fn advance(&self, seconds: u64) -> bool {
        let Some(manual) = &self.manual else { return false };
        manual.fetch_add(seconds, Ordering::SeqCst);
        true
    }

    /// Now.
    pub fn now(&self) -> u64 {
        match &self.manual {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }
}
