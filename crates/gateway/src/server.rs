//! The listening socket: a bounded number of connections, each of which must make progress.

use std::{convert::Infallible, io::Write as _, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tilth_service::Steady;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::handle::{Door, Service, handle};

/// Wait after the system has refused a connection (no file descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How long a peer may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);
/// Longest time for one request of the operator.
const OPERATOR: Duration = Duration::from_secs(60);
/// Told to a connection for which there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 68\r\nconnection: close\r\n\r\n\
    {\"error\":{\"message\":\"Too many connections.\",\"type\":\"server_error\"}}\n";

/// Serves until its future is dropped, which ends all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    connections_max: usize,
    idle: Duration,
) {
    let places = Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            service.counter.measures.refused_connections.increment();
            refuse(stream);
            continue;
        };
        let _ = stream.set_nodelay(true);
        connections.spawn(one(stream, Arc::clone(&service), place, idle));
    }
}

/// Best effort: whoever does not read at once sees the connection closed. The socket is asked itself: the runtime does not
/// know yet that a new one can be written to, and nobody waits for it here.
fn refuse(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(FULL);
    }
}

async fn one(
    stream: TcpStream,
    service: Arc<Service>,
    _place: OwnedSemaphorePermit,
    idle: Duration,
) {
    let _held = service.counter.measures.connections.hold();
    let handler = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(handle(service, Door::Public, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(Steady::new(stream, STALL)), handler);
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = String::from_utf8(super::FULL.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
