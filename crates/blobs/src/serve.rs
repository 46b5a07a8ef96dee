//! Serving within the cap on what is sent.

use iroh_blobs::{
    BlobsProtocol,
    api::Store,
    provider::events::{EventMask, EventSender, ProviderMessage, ThrottleMode},
};
use tokio::task::AbortHandle;

use crate::{Limits, pace::Pace};

/// Questions that may wait for their turn. Each is one piece of 16 KiB of one request; those who do not
/// fit wait at the door.
const QUEUE: usize = 64;

/// Bytes of one piece.
const PIECE: u64 = 16 << 10;
/// Requests that one reader is taken to have under way: what our own roles do at most.
const REQUESTS: u64 = 4;

/// How many connections are served at once: with a cap only so many that each of their requests gets its
/// next piece in half the time after which readers give up. Those who come beyond are told that we are
/// busy and come again, instead of all of them waiting in vain.
pub(crate) fn places(limits: &Limits) -> usize {
    let Some(rate) = limits.upload else { return limits.max_connections };
    let millis = u64::try_from((limits.stall / 2).as_millis()).unwrap_or(u64::MAX);
    let pieces = rate.get().saturating_mul(millis) / 1_000 / PIECE;
    let places = usize::try_from(pieces / REQUESTS).unwrap_or(usize::MAX);
    places.clamp(1, limits.max_connections.max(1))
}

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

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU64, time::Duration};

    use super::*;

    #[test]
    fn nobody_is_let_in_to_wait_in_vain() {
        let places =
            |rate: u64| places(&Limits { upload: NonZeroU64::new(rate), ..Limits::default() });
        assert_eq!(places(0), Limits::default().max_connections, "no cap");
        assert_eq!(places(1 << 40), Limits::default().max_connections);
        assert_eq!(places(1), 1);
        for rate in [64 << 10, 100 << 10, 1 << 20] {
            let stall = Limits::default().stall;
            // All of them ask for everything they may: the last one's turn comes in time.
            let waiting = u32::try_from(places(rate) as u64 * REQUESTS).unwrap();
            let turn = Duration::from_secs_f64(PIECE as f64 / rate as f64) * waiting;
            assert!(turn <= stall / 2, "{rate}: {turn:?}");
        }
    }
}
