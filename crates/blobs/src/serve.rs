//! Serving within the cap on what is sent, to those who may have it.

use std::{collections::HashMap, sync::Arc};

use iroh_blobs::{
    BlobsProtocol,
    api::Store,
    provider::events::{
        ConnectMode, EventMask, EventSender, ObserveMode, ProviderMessage, RequestMode,
        ThrottleMode,
    },
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use crate::{
    Limits,
    admission::{Admission, Asker},
    guard::Guard,
    holders::EndpointKey,
    pace::Pace,
};

/// Requests that one reader may have under way; the next ones wait in the transport. Twice what a role of ours has for
/// one job.
pub(crate) const REQUESTS: u32 = 8;

/// Messages on the way from the protocol to its porter. What waits behind it is bounded by what may be under way: each of
/// the [`REQUESTS`] of every connection asks one thing at a time.
const HANDED_OVER: usize = 64;

/// Bytes of one piece.
const PIECE: u64 = 16 << 10;

/// How many connections are served at once: with a cap only so many that each of their requests gets its
/// next piece in half the time after which readers give up. Those who come beyond are told that we are
/// busy and come again, instead of all of them waiting in vain.
pub(crate) fn places(limits: &Limits) -> usize {
    let Some(rate) = limits.upload else { return limits.max_connections };
    let millis = u64::try_from((limits.stall / 2).as_millis()).unwrap_or(u64::MAX);
    let pieces = rate.get().saturating_mul(millis) / 1_000 / PIECE;
    let places = usize::try_from(pieces / u64::from(REQUESTS)).unwrap_or(usize::MAX);
    places.clamp(1, limits.max_connections.max(1))
}

/// The protocol that serves a store, and the task that lets requests in and pieces go.
pub(crate) fn protocol(store: &Store, pace: Pace, guard: Guard) -> (BlobsProtocol, AbortHandle) {
    let mut mask = EventMask::DEFAULT;
    if pace.is_capped() {
        mask.throttle = ThrottleMode::Intercept;
    }
    mask.connected = ConnectMode::Notify;
    (mask.get, mask.get_many) = (RequestMode::Intercept, RequestMode::Intercept);
    mask.observe = ObserveMode::Intercept;
    let (events, inbox) = EventSender::channel(HANDED_OVER, mask);
    let admission = Admission::new(store.clone(), guard);
    let porter = tokio::spawn(port(inbox, pace, admission));
    (BlobsProtocol::new(store, Some(events)), porter.abort_handle())
}

/// A connection that is open.
#[derive(Debug)]
struct Caller {
    asker: Asker,
    /// What is done for it. When the connection is gone nothing is, and nothing of it stands in others' way.
    waiting: JoinSet<()>,
}

/// The connections that are open, by the protocol's numbers for them.
#[derive(Debug, Default)]
struct Callers(HashMap<u64, Caller>);

impl Callers {
    fn came(&mut self, connection: u64, key: EndpointKey) {
        let known = self.0.values().find(|other| other.asker.key == key);
        let asker = known.map_or_else(|| Asker::new(key), |other| other.asker.clone());
        self.0.insert(connection, Caller { asker, waiting: JoinSet::new() });
    }

    fn left(&mut self, connection: u64) {
        self.0.remove(&connection);
    }

    fn asker(&self, connection: u64) -> Option<&Asker> {
        self.0.get(&connection).map(|caller| &caller.asker)
    }

    /// Does something for a connection as long as it is open, and nothing if it is not.
    fn serve<W>(&mut self, connection: u64, work: impl FnOnce(Asker) -> W)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let Some(caller) = self.0.get_mut(&connection) else { return };
        while caller.waiting.try_join_next().is_some() {}
        caller.waiting.spawn(work(caller.asker.clone()));
    }
}

/// Decides who may have what, and when the next piece goes. Nobody waits for somebody else's turn here.
async fn port(mut inbox: mpsc::Receiver<ProviderMessage>, pace: Pace, admission: Admission) {
    let pace = Arc::new(pace);
    let mut callers = Callers::default();
    while let Some(message) = inbox.recv().await {
        match message {
            ProviderMessage::ClientConnectedNotify(caller) => {
                if let Some(key) = caller.inner.endpoint_id {
                    callers.came(caller.inner.connection_id, *key.as_bytes());
                }
            }
            ProviderMessage::ConnectionClosed(gone) => callers.left(gone.inner.connection_id),
            // Who is refused gets no answer from us, and so from the protocol what it says when it finds nothing: that
            // something is here would say too much. And who asked may be gone.
            ProviderMessage::GetRequestReceived(asked) => {
                let admission = admission.clone();
                callers.serve(asked.inner.connection_id, |asker| async move {
                    if admission.admits(&asked.inner.request, &asker).await {
                        let _ = asked.tx.send(Ok(())).await;
                    }
                });
            }
            ProviderMessage::GetManyRequestReceived(asked) => {
                let Some(asker) = callers.asker(asked.inner.connection_id) else { continue };
                if admission.admits_many(&asked.inner.request, asker) {
                    let _ = asked.tx.send(Ok(())).await;
                }
            }
            ProviderMessage::Throttle(piece) => {
                let pace = Arc::clone(&pace);
                callers.serve(piece.inner.connection_id, |_| async move {
                    pace.take(piece.inner.size).await;
                    let _ = piece.tx.send(Ok(())).await;
                });
            }
            // None of ours asks what is here without wanting it: refused, too.
            ProviderMessage::ObserveRequestReceived(_) => {}
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, num::NonZeroU64, time::Duration};

    use tokio::sync::oneshot;

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
            let waiting = u32::try_from(places(rate) * REQUESTS as usize).unwrap();
            let turn = Duration::from_secs_f64(PIECE as f64 / rate as f64) * waiting;
            assert!(turn <= stall / 2, "{rate}: {turn:?}");
        }
    }

    async fn never(_alive: oneshot::Sender<()>) {
        pending().await
    }

    #[tokio::test]
    async fn nothing_is_done_for_a_connection_that_is_gone() {
        let mut callers = Callers::default();
        callers.came(1, [1; 32]);
        callers.came(2, [1; 32]);
        callers.came(3, [2; 32]);
        let (alive, gone) = oneshot::channel();
        callers.serve(1, |_| never(alive));
        let (alive, mut other) = oneshot::channel();
        callers.serve(2, |_| never(alive));
        callers.left(1);
        let ended = tokio::time::timeout(Duration::from_secs(60), gone).await;
        ended.expect("its work is dropped").unwrap_err();
        // Those of other connections go on, also of the same endpoint.
        assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        // A request that is read after the connection was closed.
        let (alive, gone) = oneshot::channel();
        callers.serve(1, |_| never(alive));
        gone.await.unwrap_err();
        assert!(callers.asker(1).is_none() && callers.asker(3).is_some());
        callers.left(3);
        callers.left(2);
        assert!(callers.0.is_empty());
    }
}
