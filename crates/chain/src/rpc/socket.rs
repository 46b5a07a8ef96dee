//! JSON-RPC over WebSocket, on the port that serves HTTP.
//!
//! One task reads requests and starts each on a task of its own, at most
//! [`crate::Limits::requests_per_connection_max`] at a time: then it reads no more, and the peer
//! feels it. Another task writes what is in the connection's [`Outbox`].

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf},
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    chain_trace,
    http::{Place, Service, refusal},
    message::NOTIFICATION_END,
    subscriptions::{Session, Subscription},
};
use crate::{
    message::Caller,
    websocket::{self, Broken, Event, Outbox, Outgoing, Reader, Step, code, handshake},
};

/// How long a stopping node waits for requests under way and for peers that do not read.
const FAREWELL: Duration = Duration::from_secs(3);

type Stream = TokioIo<Upgraded>;

/// Answers the handshake and starts the connection.
pub(super) fn accept(
    service: &Arc<Service>,
    request: &mut Request<Incoming>,
    place: Place,
) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let page = headers.get(header::ORIGIN).map(|page| page.to_str().unwrap_or_default());
    if page.is_some_and(|page| !service.gate.allows_origin(page)) {
        return refusal(StatusCode::FORBIDDEN, "origin not allowed");
    }
    let reply = match handshake(request) {
        Ok(reply) => reply,
        Err(refused) => {
            let mut reply = refusal(StatusCode::BAD_REQUEST, "Bad Request");
            refused.note(reply.headers_mut());
            return reply;
        }
    };
    let upgrade = hyper::upgrade::on(request);
    let served = Arc::clone(service);
    service.connections.spawn(async move {
        match upgrade.await {
            Ok(stream) => run(served, TokioIo::new(stream), place).await,
            Err(error) => tracing::trace!(%error, "a connection was not upgraded"),
        }
    });
    reply
}

async fn run(service: Arc<Service>, stream: Stream, place: Place) {
    let node = &service.dispatcher.rpc.node;
    let _counted = node.meters.connections.hold();
    let limits = &node.limits;
    let outbox = Arc::new(Outbox::new(limits.subscription_bytes_max, NOTIFICATION_END));
    let session = Arc::new(service.hub.session(Arc::clone(&outbox)));
    let seen = Arc::new(Mutex::new(Instant::now()));
    let (read, write) = tokio::io::split(stream);
    let caller = place.caller;
    let written = write_all(&outbox, write, &seen, limits.ping_every);
    let gone = CancellationToken::new();
    // Also when this future is dropped.
    let _gone = gone.clone().drop_guard();
    let stopped = async {
        service.stop.cancelled().await;
        sleep(FAREWELL).await;
    };
    let reader = async {
        let (code, reason) = read_all(&service, &session, caller, read, &seen, &gone).await;
        outbox.close(code, reason);
    };
    tokio::pin!(reader);
    tokio::select! {
        // The writer ends when it has sent the close frame, or cannot write.
        () = written => {}
        () = async { (&mut reader).await; std::future::pending::<()>().await } => {}
        () = stopped => {}
    }
    session.end();
    drop(place);
}

/// Reads until the peer or the node wants no more; says with which code to close.
async fn read_all(
    service: &Arc<Service>,
    session: &Arc<Session>,
    caller: Caller,
    stream: ReadHalf<Stream>,
    seen: &Mutex<Instant>,
    gone: &CancellationToken,
) -> (u16, &'static str) {
    let limits = &service.dispatcher.rpc.node.limits;
    let bytes_max = usize::try_from(limits.request_bytes_max).unwrap_or(usize::MAX);
    let mut reader = Reader::new(BufReader::new(stream), bytes_max, limits.request_time_max);
    let places = Arc::new(Semaphore::new(limits.requests_per_connection_max.max(1)));
    let tasks = TaskTracker::new();
    loop {
        let event = tokio::select! {
            event = reader.next() => event,
            () = service.stop.cancelled() => {
                tasks.close();
                tasks.wait().await;
                return (code::GOING_AWAY, "the node is shutting down");
            }
        };
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let message = match event {
            Ok(Event::Message(message)) => message,
            Ok(Event::Ping(payload)) => {
                session.outbox().push(Outgoing::Pong(payload));
                continue;
            }
            Ok(Event::Pong) => continue,
            Ok(Event::Close) => return (code::NORMAL, ""),
            Err(Broken::Gone) => return (code::NORMAL, ""),
            Err(Broken::Protocol(reason)) => return (code::PROTOCOL, reason),
            Err(Broken::TooLarge) => return (code::TOO_LARGE, "message too large"),
            Err(Broken::TooSlow) => return (code::POLICY, "message took too long"),
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return (code::INTERNAL, "");
        };
        let (service, session) = (Arc::clone(service), Arc::clone(session));
        let gone = gone.clone();
        tasks.spawn(async move {
            let answer = tokio::select! {
                answer = service.dispatcher.answer(&message, caller, Some(&session)) => answer,
                () = gone.cancelled() => return,
            };
            if !answer.body.is_empty() {
                session.outbox().push(Outgoing::Answer { body: answer.body, _place: place });
            }
            // Their ids are on the way, so their news may follow.
            for subscription in answer.subscriptions {
                let traced = subscription.traced();
                session.begin(subscription);
                if let Some(reader) = traced {
                    trace(&service, caller, reader, gone.clone());
                }
            }
        });
    }
}

/// Traces blocks for a subscription as long as there is somebody to tell.
fn trace(service: &Service, caller: Caller, reader: Arc<Subscription>, gone: CancellationToken) {
    let (rpc, stop) = (Arc::clone(&service.dispatcher.rpc), service.stop.clone());
    service.connections.spawn(async move {
        tokio::select! {
            () = chain_trace::run(rpc, caller, reader) => {}
            () = gone.cancelled() => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Writes until the outbox ends or the peer cannot be written to.
async fn write_all(
    outbox: &Outbox,
    stream: WriteHalf<Stream>,
    seen: &Mutex<Instant>,
    ping_every: Duration,
) {
    let mut stream = BufWriter::with_capacity(32 << 10, stream);
    let mut pings = interval(ping_every.max(Duration::from_millis(1)));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    let mut head = Vec::with_capacity(256);
    loop {
        let frame = match outbox.step() {
            Step::Send(frame) => frame,
            Step::Idle => {
                if stream.flush().await.is_err() {
                    return;
                }
                tokio::select! {
                    () = outbox.changed() => {}
                    _ = pings.tick() => {
                        let silent = seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
                        if silent > ping_every.saturating_mul(2) {
                            outbox.close(code::POLICY, "no answer to pings");
                        } else {
                            outbox.push(Outgoing::Ping);
                        }
                    }
                }
                continue;
            }
            Step::Close(code, reason) => {
                head.clear();
                websocket::close(code, reason, &mut head);
                let _ = write(&mut stream, &[&head]).await;
                let _ = stream.shutdown().await;
                return;
            }
        };
        head.clear();
        let (body, end) = frame.encode(&mut head);
        let parts = [&head, body.unwrap_or_default(), end.as_bytes()];
        if write(&mut stream, &parts).await.is_err() {
            return;
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), parts: &[&[u8]]) -> std::io::Result<()> {
    for part in parts {
        stream.write_all(part).await?;
    }
    Ok(())
}
