//! The signal that the pool has something new.

use tokio::sync::{Notify, watch};

/// Wakes the producer, and whoever else follows the pool. A signal with nobody waiting is kept.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    producer: Notify,
    followers: watch::Sender<()>,
}

impl Arrivals {
    /// Gives the signal.
    pub(crate) fn notify_one(&self) {
        self.producer.notify_one();
        self.followers.send_replace(());
    }

    /// Waits for it, for the one producer.
    pub(crate) async fn notified(&self) {
        self.producer.notified().await;
    }

    /// Waits for it, for anybody.
    pub(crate) fn follow(&self) -> watch::Receiver<()> {
        self.followers.subscribe()
    }
}
