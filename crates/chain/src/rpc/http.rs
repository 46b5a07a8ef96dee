//! JSON-RPC over HTTP, with geth's status codes and words, and the door to WebSocket.

use std::{convert::Infallible, sync::Arc};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{dispatch::Dispatcher, origin::Gate, server::Tasks, socket, subscriptions::Hub};
use crate::{message::Caller, websocket::is_upgrade};

type Reply = Response<Full<Bytes>>;

/// What requests are handed to.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) dispatcher: Dispatcher,
    pub(super) hub: Arc<Hub>,
    pub(super) gate: Gate,
    /// WebSocket connections run here, so that a stop can wait for them.
    pub(super) connections: Tasks,
    pub(super) stop: CancellationToken,
}

/// A connection that is served.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) caller: Caller,
    /// Its place among those the node serves at the same time.
    pub(super) _place: OwnedSemaphorePermit,
}

/// A connection's place, free when the last clone is gone.
pub(super) type Place = Arc<Connection>;

/// Bodies of these types are JSON-RPC.
const CONTENT_TYPES: [&str; 3] =
    ["application/json", "application/json-rpc", "application/jsonrequest"];

/// Answers one HTTP request.
pub(super) async fn handle(
    service: Arc<Service>,
    place: Place,
    mut request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    let host = host.or_else(|| request.uri().authority().map(|host| host.as_str().as_bytes()));
    let host = host.map(|host| String::from_utf8_lossy(host).into_owned()).unwrap_or_default();
    if !service.gate.allows_host(&host) {
        return Ok(refusal(StatusCode::FORBIDDEN, "invalid host specified"));
    }
    if is_upgrade(request.headers()) {
        return Ok(socket::accept(&service, &mut request, place));
    }
    let page = text(request.headers(), header::ORIGIN).map(str::to_owned);
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut reply = if is_preflight {
        preflight(request.headers())
    } else {
        answer(&service, place.caller, request).await
    };
    share(&service.gate, page.as_deref(), is_preflight, reply.headers_mut());
    Ok(reply)
}

async fn answer(service: &Service, caller: Caller, request: Request<Incoming>) -> Reply {
    let limits = &service.dispatcher.rpc.node.limits;
    let max = usize::try_from(limits.request_bytes_max).unwrap_or(usize::MAX);
    let (head, body) = request.into_parts();
    let length = text(&head.headers, header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok());
    if head.method == Method::GET
        && length.unwrap_or(0) == 0
        && !head.headers.contains_key(header::TRANSFER_ENCODING)
        && head.uri.query().is_none()
    {
        // Load balancers ask so whether the server lives.
        return Response::new(Full::default());
    }
    if head.method == Method::PUT || head.method == Method::DELETE {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    }
    if let Some(length) = length
        && length > u64::from(limits.request_bytes_max)
    {
        let message = format!("content length too large ({length}>{max})");
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, &message);
    }
    let kind = text(&head.headers, header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if head.method != Method::OPTIONS && !CONTENT_TYPES.contains(&&*kind) {
        let message = "invalid content type, only application/json is supported";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    let body = Limited::new(body, max).collect();
    let body = match tokio::time::timeout(limits.request_time_max, body).await {
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "request body took too long"),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("content length too large (>{max})");
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        Ok(Err(_)) => return refusal(StatusCode::BAD_REQUEST, "request body could not be read"),
        Ok(Ok(body)) => body.to_bytes(),
    };
    let answer = service.dispatcher.answer(&body, caller, None).await;
    let mut reply = Response::new(Full::new(Bytes::from(answer.body)));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// An answer for people, in the form of Go's `http.Error`.
pub(super) fn refusal(status: StatusCode, message: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(format!("{message}\n"))));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// The answer to a browser that asks whether a page may send a request.
fn preflight(asked: &HeaderMap) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    let methods = HeaderValue::from_static("POST, GET");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    reply
}

/// Lets the page read the answer, if it may. Without the header, its browser keeps the answer from
/// it; and without the headers of a preflight it does not even send the request.
fn share(gate: &Gate, page: Option<&str>, is_preflight: bool, headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    match page {
        Some(page) if gate.allows_origin(page) => {
            if let Ok(page) = HeaderValue::from_str(page) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, page);
            }
        }
        _ if is_preflight => {
            headers.remove(header::ACCESS_CONTROL_ALLOW_METHODS);
            headers.remove(header::ACCESS_CONTROL_ALLOW_HEADERS);
            headers.remove(header::ACCESS_CONTROL_MAX_AGE);
        }
        _ => {}
    }
}

/// A header's value, if it is there and readable.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
