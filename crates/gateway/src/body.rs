//! Bodies of replies: a whole one, or one that comes in parts.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body as HttpBody, Frame, SizeHint},
    header::{self, HeaderValue},
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    api::ApiError,
    space::{NoRoom, Shelf},
};

/// Parts of one stream that wait for their reader.
const PARTS: usize = 64;
/// How long a reader may take nothing before its stream is cut off.
const STALL: Duration = Duration::from_secs(30);

/// A body.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Parts(mpsc::Receiver<Bytes>),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Parts(parts) => {
                parts.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Parts(_) => SizeHint::default(),
        }
    }
}

pub(crate) type Reply = Response<Body>;

/// A reply of one type.
pub(crate) fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Body::Whole(Some(body.into())));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Reply {
    reply(status, "application/json", value.to_string())
}

pub(crate) fn refusal(error: &ApiError) -> Reply {
    json(error.status, &error.body())
}

/// The writing end of a stream of events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    parts: mpsc::Sender<Bytes>,
    /// Where they wait for their reader.
    shelf: Shelf,
}

/// Why an event is not sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unsent {
    /// The reader is gone, or takes nothing.
    Gone,
    /// There is no room for it.
    NoRoom(NoRoom),
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

impl Events {
    /// A reply whose events come later.
    pub(crate) fn open(shelf: Shelf) -> (Self, Reply) {
        let (sender, parts) = mpsc::channel(PARTS);
        let mut reply = reply(StatusCode::OK, "text/event-stream; charset=utf-8", Bytes::new());
        *reply.body_mut() = Body::Parts(parts);
        // Some proxies hold streams back otherwise.
        reply.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        (Self { parts: sender, shelf }, reply)
    }

    /// Room for an event that is sent later.
    pub(crate) fn prepare(&self, value: &Value) -> Result<Bytes, NoRoom> {
        self.shelf.keep(event(value))
    }

    /// Sends what was prepared.
    pub(crate) async fn put(&self, event: Bytes) -> Result<(), Unsent> {
        self.parts.send_timeout(event, STALL).await.map_err(|_| Unsent::Gone)
    }

    /// Sends an event.
    pub(crate) async fn send(&self, value: &Value) -> Result<(), Unsent> {
        let event = self.prepare(value).map_err(Unsent::NoRoom)?;
        self.put(event).await
    }

    /// Sends one of the few small events at the end. For these there always is room.
    pub(crate) async fn last(&self, value: &Value) -> Result<(), Unsent> {
        self.put(event(value).into()).await
    }

    /// Sends the event after which nothing comes.
    pub(crate) async fn done(&self) -> Result<(), Unsent> {
        self.put(Bytes::from_static(b"data: [DONE]\n\n")).await
    }
}
