//! The listening socket: a bounded number of connections, each of which must make progress.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tilth_service::Steady;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::handle::{Door, Service, handle};

/// Wait after the system has refused the operator's connection (no file descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How long a peer may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);
/// Longest time for one request of the operator.
const OPERATOR: Duration = Duration::from_secs(60);
/// Told to a connection for which there is no place.
const FULL: &str =
    "{\"error\":{\"message\":\"Too many connections.\",\"type\":\"server_error\"}}\n";

/// Serves until its future is dropped, which ends all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    connections_max: usize,
    idle: Duration,
) {
    let door = tilth_service::Door::new(listener, connections_max, STALL, "application/json", FULL);
    let refused = || service.counter.measures.refused_connections.increment();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, place) = door.next(refused).await;
        connections.spawn(one(stream, Arc::clone(&service), place, idle));
    }
}

async fn one(stream: Steady, service: Arc<Service>, _place: OwnedSemaphorePermit, idle: Duration) {
    let _held = service.counter.measures.connections.hold();
    let handler = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(handle(service, Door::Public, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(stream), handler);
    if let Err(error) = connection.await {
        tracing::trace!(%error, "a connection ended");
    }
}

/// Serves the operator, one request after the other, until its future is dropped.
pub(crate) async fn serve_operator(listener: UnixListener, service: Arc<Service>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "the operator's connection could not be accepted");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let service = Arc::clone(&service);
        let handler = service_fn(move |request| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(handle(service, Door::Operators, request).await) }
        });
        let connection = http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(STALL)
            .serve_connection(TokioIo::new(stream), handler);
        // Whoever does not read its answer keeps only the operator waiting, and not for ever.
        if let Ok(Err(error)) = timeout(OPERATOR, connection).await {
            tracing::debug!(%error, "the operator's connection ended");
        }
    }
}
