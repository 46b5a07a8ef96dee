//! Serving within the cap on what is sent.

use iroh_blobs::{
    BlobsProtocol,
    api::Store,
    provider::events::{EventMask, EventSender, ProviderMessage, ThrottleMode},
};
use tokio::task::AbortHandle;

use crate::pace::Pace;

/// Questions that may wait for their turn. Each is one piece of 16 KiB of one request; those who do not
/// fit wait at the door.
const QUEUE: usize = 64;

/// The protocol that serves a store, and the task that lets pieces go when there is a cap.
pub(crate) fn protocol(store: &Store, pace: Pace) -> (BlobsProtocol, Option<AbortHandle>) {
    if !pace.is_capped() {
        return (BlobsProtocol::new(store, None), None);
    }
    let mask = EventMask { throttle: ThrottleMode::Intercept, ..EventMask::DEFAULT };
    let (events, mut inbox) = EventSender::channel(QUEUE, mask);
    let pacer = tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            if let ProviderMessage::Throttle(piece) = message {
                pace.take(piece.inner.size).await;
                // The one who asked may be gone.
                let _ = piece.tx.send(Ok(())).await;
            }
        }
    });
    (BlobsProtocol::new(store, Some(events)), Some(pacer.abort_handle()))
}
