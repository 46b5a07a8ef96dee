//! The listening socket: a bounded number of connections, each of which must make progress.
//!
//! A connection is closed when a request's head takes too long (also while it idles between
//! requests), when a body does ([`super::http`]), or when its peer takes nothing of what is
//! written to it for [`crate::Limits::stall_time_max`]. So whoever opens connections and lets them
//! hang holds neither a place nor memory for long.

use std::{io, net::SocketAddr, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tilth_service::{Door, Steady};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    http::{Connection, Place, Service, handle},
    message::NOTIFICATION_END,
};
use crate::{message::Caller, websocket::Outbox};

/// Told to a connection for which there is no place.
const FULL: &str = "too many connections\n";

/// The running server; stops when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: Tasks,
    service: Arc<Service>,
    /// Ends what has not ended by itself, when the server is gone.
    _end: DropGuard,
}

/// The server's tasks: none outlives it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = task => {}
                () = end.cancelled() => {}
            }
        });
    }
}

impl Server {
    pub(super) async fn start(
        address: SocketAddr,
        make: impl FnOnce(Tasks, CancellationToken) -> Service,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (tasks, stop) = (Tasks::default(), CancellationToken::new());
        let service = Arc::new(make(tasks.clone(), stop.clone()));
        tasks.spawn(Arc::clone(&service.hub).run(stop.clone()));
        tasks.spawn(accept(listener, Arc::clone(&service), tasks.clone(), stop.clone()));
        let _end = tasks.end.clone().drop_guard();
        Ok(Self { address, stop, tasks, service, _end })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The answer to one request body.
    pub(crate) async fn answer(&self, body: &[u8]) -> Vec<u8> {
        self.service.dispatcher.answer(body, Caller::NODE, None).await.body
    }

    /// For fuzzing: the answer to one message of a connection of its own, which ends with it.
    pub(crate) async fn answer_in_session(&self, body: &[u8]) -> Vec<u8> {
        let service = &self.service;
        let bytes_max = service.dispatcher.rpc.node.limits.subscription_bytes_max;
        let session = service.hub.session(Arc::new(Outbox::new(bytes_max, NOTIFICATION_END)));
        let answer = service.dispatcher.answer(body, Caller::NODE, Some(&session)).await;
        answer.subscriptions.into_iter().for_each(|pending| session.begin(pending));
        session.end();
        answer.body
    }

    /// Names of the methods, sorted.
    pub(crate) fn methods(&self) -> Vec<&'static str> {
        self.service.dispatcher.table.names()
    }

    /// Stops taking requests and waits until those under way are answered. Dropping the future cuts
    /// off those that are not.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    tasks: Tasks,
    stop: CancellationToken,
) {
    let limits = &service.dispatcher.rpc.node.limits;
    let max = usize::try_from(limits.connections_max).unwrap_or(usize::MAX);
    let text = "text/plain; charset=utf-8";
    let door = Door::new(listener, max, limits.stall_time_max, text, FULL);
    for number in 1.. {
        let (stream, place) = tokio::select! {
            accepted = door.next(|| ()) => accepted,
            () = stop.cancelled() => return,
        };
        let host = stream.peer().ok().map(|peer| peer.ip());
        let connection = Connection { caller: Caller::new(host, number), _place: place };
        tasks.spawn(serve(stream, Arc::clone(&service), Arc::new(connection), stop.clone()));
    }
}

async fn serve(stream: Steady, service: Arc<Service>, place: Place, stop: CancellationToken) {
    let idle = service.dispatcher.rpc.node.limits.idle_time_max;
    let handler =
        service_fn(move |request| handle(Arc::clone(&service), Arc::clone(&place), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection ended");
    }
}
